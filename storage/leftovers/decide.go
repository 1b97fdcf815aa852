package leftovers

import (
	"fmt"
	"strings"
	"time"

	"github.com/millrace/millrace/storage"
)

// decide sets what is kept, and why.
func decide(items []*Item, owners []Owner, o Options) {
	now := o.Now()
	young := func(i *Item) bool { return o.OlderThan > 0 && now.Sub(i.Active) < o.OlderThan }
	busy := usage{folders: map[string]bool{}, around: map[string]bool{}}
	for _, i := range items {
		if i.Kind != Doctor && !i.Active.IsZero() && young(i) {
			busy.add(i.folder)
		}
	}
	for _, i := range items {
		switch owner := ownerOf(i, owners); {
		case owner != nil:
			i.Kept = fmt.Sprintf("job %s is at work there", owner.ID)
		case i.complete:
			i.Kept = "the stages of a chain that is complete, as --keep-stages leaves them: remove the folder if nobody needs it"
		case i.Active.IsZero():
			i.Kept = "the store does not say how old it is"
		case young(i):
			i.Kept = "younger than " + Age(o.OlderThan)
		case i.Kind != Doctor && busy.holds(i.folder):
			i.Kept = "something beside it is younger than " + Age(o.OlderThan) + ": a job may be at work there"
		}
	}
}

// Age is a duration as people speak of ages: "40 s", "3 h", "2 days".
func Age(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%d days", d/(24*time.Hour))
	case d >= 2*time.Hour:
		return fmt.Sprintf("%d h", d/time.Hour)
	case d >= 2*time.Minute:
		return fmt.Sprintf("%d min", d/time.Minute)
	}
	return fmt.Sprintf("%d s", max(0, d)/time.Second)
}

// ownerOf returns the live job that an item may belong to: that of its id, or one whose output it lies in, or around which it
// lies if it is a folder of runs.
func ownerOf(i *Item, owners []Owner) *Owner {
	for n := range owners {
		o := &owners[n]
		if i.job != "" && (i.job == o.ID || strings.HasPrefix(i.job, o.ID+".")) || storage.Inside(i.URL, o.Output) {
			return o
		}
	}
	return nil
}

// usage is the folders in which something is younger than it would be if its job were dead.
type usage struct {
	folders map[string]bool // they
	around  map[string]bool // they and all folders around them
}

func (u usage) add(folder string) {
	u.folders[folder] = true
	for ; strings.Contains(folder, "://"); folder = above(folder) {
		u.around[folder] = true
	}
}

// holds says whether a folder is one of them, or lies around or below one: an output has folders below it.
func (u usage) holds(folder string) bool {
	if u.around[folder] {
		return true
	}
	for ; strings.Contains(folder, "://"); folder = above(folder) {
		if u.folders[folder] {
			return true
		}
	}
	return false
}
