// Package leftovers finds what dead jobs left in a bucket or in local folders, and removes it: pending uploads of parts, the
// claims on outputs and folders of runs beside them, what an examination left that was killed, and local files that a crash cut off.
//
// A store does not tell which jobs live, so what a live job owns must be told from what a dead one left:
//
//   - Whoever knows the live jobs names them (Options.Owners): nothing in their outputs is touched, whatever its age.
//   - Without them, age decides. A part is a pending upload from the beginning of its reduce task to the end of its job, and
//     may not change for most of that time; so an output folder counts as in use as long as anything in it, or in a folder
//     around or below, is younger than Options.OlderThan. A live job is taken for dead only if none of its tasks has begun
//     or written a piece of a part for that long.
//   - What finished stages of a chain wrote is kept for --resume until it has that age. Beside an output that was completed after
//     them they stay: somebody wished so (--keep-stages).
//
// A wrong guess costs work, not a wrong result: a master looks at all uploads before it commits, and runs the tasks of lost
// ones again. So it does with its claim on the output, and if another job has taken that meanwhile, it fails.
//
// Only what bears millrace's own names is touched, so no object of others and nothing that was committed is: a pending upload
// is no object yet, and folders of runs are hidden; of the folder _stages only parts and manifests of stages. The package knows no master and no job but by what Owners says. The
// command gc calls it.
package leftovers

import (
	"context"
	"time"

	"github.com/millrace/millrace/storage"
)

// DefaultOlderThan is a day: longer than the longest task that people run, and much shorter than a bill.
const DefaultOlderThan = 24 * time.Hour

// parallel is how many calls are under way at a time.
const parallel = 16

// Options say what is left alone. Zero values mean the defaults.
type Options struct {
	// OlderThan is how long everything in an output folder must have been untouched (default 24 h; below 0: not at all).
	OlderThan time.Duration
	// Owners tells the live jobs, when the store has been looked through: who begins later leaves young things only.
	Owners func(ctx context.Context) ([]Owner, error)

	Progress func(what string) // is told of what is done, from time to time
	Now      func() time.Time  // default time.Now
}

// Owner is a live job.
type Owner struct {
	ID     string
	Output string // URL of its folder
}

// Kind is a kind of leftover.
type Kind string

// The kinds of leftovers.
const (
	Upload    Kind = "pending upload"
	RunFolder Kind = "run folder" // .millrace-<job id>/, also of work that is not runs
	Temporary Kind = "temporary file"
	Doctor    Kind = "doctor's folder"
	Claim     Kind = "claim"          // of a job on its output, .millrace-claim
	Stages    Kind = "chain's stages" // what finished stages wrote, of a chain that did not end
)

// Item is one leftover.
type Item struct {
	Kind    Kind      `json:"kind"`
	URL     string    `json:"url"`
	ID      string    `json:"upload_id,omitempty"` // of an upload
	Objects int       `json:"objects"`             // in a folder, uploads to it included
	Size    int64     `json:"bytes"`
	Active  time.Time `json:"last_active"`       // when anything of it was written last
	Kept    string    `json:"kept,omitempty"`    // why it is left alone; "": it is not
	Removed bool      `json:"removed"`           // all of it
	Problem string    `json:"problem,omitempty"` // why not, though it was to be

	folder   string // of the output it belongs to
	job      string // its id, of a run folder
	complete bool   // of stages: their chain's output was written after them
	objects  []string
	uploads  []storage.Pending
}

// Report is what was found.
type Report struct {
	URL     string  `json:"url"`
	DryRun  bool    `json:"dry_run"`
	Items   []*Item `json:"leftovers"`       // to be removed, by URL
	Kept    []*Item `json:"kept"`            // left alone, by URL
	Foreign int     `json:"foreign_uploads"` // pending uploads that are none of millrace's, which are left alone
}

// Size is the bytes of items.
func Size(items []*Item) (n int64) {
	for _, i := range items {
		n += i.Size
	}
	return n
}

// Find looks for leftovers in the folder url, and below, and decides which of them may be removed. It removes nothing.
func Find(ctx context.Context, st *storage.Store, url string, o Options) (*Report, error) {
	if o.OlderThan == 0 {
		o.OlderThan = DefaultOlderThan
	}
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	s, err := newScan(st, url, o)
	if err != nil {
		return nil, err
	}
	if err := s.run(ctx); err != nil {
		return nil, err
	}
	var owners []Owner
	if o.Owners != nil {
		if owners, err = o.Owners(ctx); err != nil {
			return nil, err
		}
	}
	r := &Report{URL: s.url, Items: []*Item{}, Kept: []*Item{}, Foreign: s.foreign}
	items := s.sorted()
	decide(items, owners, o)
	for _, i := range items {
		if i.Kept == "" {
			r.Items = append(r.Items, i)
		} else {
			r.Kept = append(r.Kept, i)
		}
	}
	return r, nil
}
