package sched

import (
	"fmt"
	"slices"
	"time"
)

// A worker with a slow disk or network sends its runs slowly, and every reduce of the job waits for them: a backup attempt would wait
// for the same runs. What helps is to run those maps again on others, if that is sooner. Reduces say what they wait for with their
// progress and go on, so that nothing is lost when nothing comes of it.

// giveUpSlowRuns gives up all runs that a worker holds of a job when most others that run reduces of it, and know, would wait for them
// more than BackupSlowness times as long as it takes to make them again. A job that wants no backup attempts wants this no more.
func (s *State) giveUpSlowRuns() {
	for _, j := range s.active {
		if j.state != Running || !j.spec.Backup || !slices.ContainsFunc(j.running, func(a *attempt) bool { return a.left > 0 }) {
			continue
		}
		for _, w := range s.roster {
			if k := j.strikeOf(w); k != nil && k.again {
				continue
			}
			by, of, left := j.waitsFor(w)
			again, ok := s.againTime(j, w)
			if by == 0 || by < min(witnesses, of/2+1) || !ok || float64(left) < s.o.BackupSlowness*float64(again) {
				continue
			}
			s.makeAgain(j, w, fmt.Sprintf("%d workers would wait for them for %v more, and to make them again takes %v", by, left.Round(time.Second), again.Round(time.Second)))
		}
	}
}

// waitsFor is how many workers wait for runs of w that come slowly, of how many others that run reduces, and for how long at least.
func (j *job) waitsFor(w *worker) (by, of int, left time.Duration) {
	waits := map[*worker]bool{}
	for _, a := range j.running {
		if a.phase.kind != Reduce || a.worker == w {
			continue
		}
		t := j.selectedRun(a.slow)
		slow := a.left > 0 && t != nil && t.by == w
		if slow && (left == 0 || a.left < left) {
			left = a.left
		}
		waits[a.worker] = waits[a.worker] || slow
	}
	for _, slow := range waits {
		if slow {
			by++
		}
	}
	return by, len(waits), left
}

// againTime is how long it takes the others to make a worker's runs again, if there are any, and others, and it is known.
func (s *State) againTime(j *job, w *worker) (time.Duration, bool) {
	h := w.holding(j)
	slots := 0
	for _, o := range s.roster {
		if o != w && o.able() && !s.excluded(j, o) {
			slots += o.slots
		}
	}
	if h == nil || h.live == 0 || slots == 0 {
		return 0, false
	}
	typical, ok := s.typical(j, j.maps())
	return time.Duration((h.live+slots-1)/slots) * typical, ok
}

// makeAgain gives a worker's runs up and sees that it does not make them again.
func (s *State) makeAgain(j *job, w *worker, cause string) {
	for _, i := range w.holding(j).maps {
		if t := &j.maps().tasks[i]; t.state == selected && t.by == w {
			t.failedOn = w
		}
	}
	j.strikeFor(w).again = true
	s.note(j, w, "its runs come slowly, and are given up: %s", cause)
	s.leaveOut(j, w, s.o.Rest, false, "sends its runs slowly", cause)
	s.loseRunsOf(w, j)
}
