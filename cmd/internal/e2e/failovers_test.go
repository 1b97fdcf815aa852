package e2e

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/millrace/millrace/master/wire"
)

// failovers measures from the kill of a leader to the first new assignment by the next one, as a client sees it. No status says that an
// assignment is new. But workers of one slot hold one attempt each at most, so when more tasks are done or run than were done when
// the next leader was first heard, by more than there are workers, one of them was surely given out since the kill. The measure is
// at most too long: by the time in which all workers come back, and by the status's age.
type failovers struct {
	kills   int
	took    []time.Duration
	since   time.Time // of a kill whose time is measured now, or zero
	workers int
	held    int // how many tasks may be done or run without a new assignment; -1: the next leader was not heard yet
}

// killed says that a leader was killed. One whose time is being measured is left out.
func (f *failovers) killed(at time.Time, workers int) {
	f.kills++
	f.since, f.workers, f.held = at, workers, -1
}

// saw takes the next status of the job, of which the first after a kill was answered after it.
func (f *failovers) saw(s *wire.JobStatus) {
	if f.since.IsZero() {
		return
	}
	done := s.Map.Done + s.Reduce.Done
	switch {
	case s.State != wire.Running: // nothing is given out any more
		f.since = time.Time{}
	case f.held < 0:
		f.held = done + f.workers
	case done+s.Map.Running+s.Reduce.Running > f.held:
		f.took = append(f.took, time.Since(f.since))
		f.since = time.Time{}
	}
}

// String tells of how many kills the time is known: not of those after which the job had no more tasks than workers to give out.
func (f *failovers) String() string {
	if len(f.took) == 0 {
		return fmt.Sprintf("known of none of %d kills", f.kills)
	}
	slices.Sort(f.took)
	at := func(share float64) float64 { return f.took[int(math.Ceil(share*float64(len(f.took))))-1].Seconds() }
	return fmt.Sprintf("p50 %.1f s, p95 %.1f s, max %.1f s (known of %d of %d kills)", at(0.5), at(0.95), at(1), len(f.took), f.kills)
}

// Proves that what is measured is a new assignment: not those that workers held when the leader was killed, not of a job that has
// nothing to give out, and not of a kill that another one followed.
func TestFailovers(t *testing.T) {
	t.Parallel()
	status := func(state wire.JobState, done, running int) *wire.JobStatus {
		return &wire.JobStatus{State: state, Map: wire.PhaseStatus{Done: done}, Reduce: wire.PhaseStatus{Running: running}}
	}
	f := &failovers{}
	f.saw(status(wire.Running, 9, 9))
	f.killed(time.Now().Add(-3*time.Second), 2)
	for _, s := range []*wire.JobStatus{status(wire.Running, 10, 0), status(wire.Running, 10, 2), status(wire.Running, 12, 0), status(wire.Running, 11, 1)} {
		if f.saw(s); len(f.took) > 0 {
			t.Fatalf("measured at %+v, where two workers may still be at what they had", s)
		}
	}
	f.saw(status(wire.Running, 12, 1))
	f.saw(status(wire.Running, 14, 2))
	if len(f.took) != 1 || f.took[0] < 3*time.Second || f.took[0] > time.Minute {
		t.Fatalf("measured %v, want some 3 s", f.took)
	}
	f.killed(time.Now(), 2)
	f.saw(status(wire.Running, 14, 0))
	f.killed(time.Now().Add(-time.Second), 2)
	f.saw(status(wire.Running, 14, 3))
	f.saw(status(wire.Running, 17, 0))
	f.killed(time.Now(), 2)
	f.saw(status(wire.Committing, 30, 0))
	f.saw(status(wire.Running, 30, 3))
	if got, want := f.String(), "p50 1.0 s, p95 3.0 s, max 3.0 s (known of 2 of 4 kills)"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
