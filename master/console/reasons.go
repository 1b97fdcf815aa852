package console

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/millrace/millrace/master/wire"
)

// From when on something explains that a task was slow.
const (
	muchLarger  = 1.5  // times the bytes of a typical task
	muchSlower  = 0.67 // of the speed of all workers
	muchOfTime  = 0.25 // of its time in a step that waits
	muchOfPairs = 0.25 // of a reduce task's pairs with one key
)

// reasons says why a task took long, the strongest reasons first; of a task like the others, where most of its time went.
func reasons(t wire.TaskDetail, p wire.PhaseDetail) (why []string) {
	if n := float64(t.Bytes) / float64(max(1, p.Bytes.Median)); n >= muchLarger && p.Bytes.Median > 0 {
		why = append(why, fmt.Sprintf("%.1f times the typical input", n))
	}
	if len(t.Hot) > 0 && t.Hot[0].Pairs > 1 && float64(t.Hot[0].Pairs) >= muchOfPairs*float64(t.Records) {
		why = append(why, fmt.Sprintf("key %s has %.0f%% of its pairs", cut(Line(t.Hot[0].Key), 30), 100*float64(t.Hot[0].Pairs)/float64(max(1, t.Records))))
	}
	if t.Spilled > 0 {
		why = append(why, "spilled "+amount(t.Spilled))
	}
	whole := t.Time.Total()
	for _, w := range []struct {
		text string
		time time.Duration
	}{{"waited %s for maps", t.Time.Wait}, {"waited %s for runs", t.Time.Fetch}, {"waited %s for input", t.Time.Read}} {
		if whole > 0 && float64(w.time) >= muchOfTime*float64(whole) {
			why = append(why, fmt.Sprintf(w.text, span(w.time)))
		}
	}
	if t.Speed > 0 && t.Speed < muchSlower {
		why = append(why, fmt.Sprintf("slow worker: %.0f%% of the speed of all", 100*t.Speed))
	}
	if len(why) > 0 || whole == 0 {
		return why
	}
	most := slices.MaxFunc(t.Time.Steps(), func(a, b wire.Step) int { return cmp.Compare(a.Time, b.Time) })
	return []string{fmt.Sprintf("%s in %s", strings.TrimSpace(share(most.Time, whole)), most.Name)}
}
