package sched

import (
	"fmt"
	"slices"
	"time"
)

// State is a scheduler: all jobs, tasks, attempts and workers of one master. It is not safe for use from several
// goroutines at once.
type State struct {
	o   Options
	now time.Duration

	jobs   map[JobID]*job
	order  []*job // all jobs, as submitted
	active []*job // those that have not ended, as submitted

	workers map[WorkerID]*worker // Invariant: exactly those in roster, none of them lost
	roster  []*worker            // as they appeared
	idle    []*worker            // Invariant: every worker that can take an attempt is here; others may be

	refused    map[WorkerID]bool // lost incarnations
	refusedOld []WorkerID        // the same, oldest first

	replayed    bool          // by Replay, and no Step yet
	holdUntil   time.Duration // nothing is assigned before; see Options.Settle
	musterUntil time.Duration // nor before, unless all workers are back; see Options.Muster
	absent      int           // Invariant: the workers in roster that have not joined

	out []Effect // of this Step
}

// New returns a scheduler without jobs and workers.
func New(o Options) *State {
	return &State{
		o:       o.filled(),
		jobs:    map[JobID]*job{},
		workers: map[WorkerID]*worker{},
		refused: map[WorkerID]bool{},
	}
}

// Step takes one event, which happened at the given time since some start, and returns what must be done. Time that goes
// back counts as standing still.
func (s *State) Step(at time.Duration, ev Event) []Effect {
	s.now = max(s.now, at)
	s.out = nil
	if s.replayed {
		s.resume()
	}
	s.dispatch(ev)
	if !s.holding() {
		_, tick := ev.(Tick)
		if tick {
			s.giveUpSlowRuns()
			s.findLate()
		}
		s.assign()
		if s.preempt() {
			s.assign() // a reduce that gave way may go to a slot that was of no use to the map
		}
		if tick {
			s.backUp()
		}
	}
	out := s.out
	s.out = nil
	return out
}

// holding says whether workers may still come back from an earlier term with what they run.
func (s *State) holding() bool {
	return s.now < s.holdUntil || s.absent > 0 && s.now < s.musterUntil
}

func (s *State) dispatch(ev Event) {
	switch e := ev.(type) {
	case Submit:
		s.submit(e)
	case Poll:
		s.poll(e)
	case Leave:
		if w := s.workers[e.Worker]; w != nil {
			s.lose(w, "left")
		}
	case Tick:
		s.expire()
	case Cancel:
		if j := s.jobs[e.Job]; j != nil && (j.state == Running || j.state == Committing && !s.keeps(decisionStands)) {
			s.end(j, Cancelled, "")
		}
	case Fail:
		if j := s.jobs[e.Job]; j != nil && j.state == Running {
			s.end(j, JobFailed, e.Reason)
		}
	case PartsLost:
		if j := s.jobs[e.Job]; j != nil && j.state == Running {
			s.partsLost(j, e.Attempts)
		}
	case Decided:
		if j := s.jobs[e.Job]; j != nil && j.state == Running {
			s.decided(j)
		}
	case Committed:
		if j := s.jobs[e.Job]; j != nil && !j.state.Ended() {
			s.committed(j)
		}
	case CommitFailed:
		if j := s.jobs[e.Job]; j != nil && j.state == Committing {
			s.end(j, JobFailed, e.Reason)
		}
	default:
		panic(fmt.Sprintf("sched: event %T", ev))
	}
}

func (s *State) emit(e Effect) { s.out = append(s.out, e) }

func (s *State) note(j *job, w *worker, format string, args ...any) {
	n := Noted{Text: fmt.Sprintf(format, args...)}
	if j != nil {
		n.Job = j.id
	}
	if w != nil {
		n.Worker = w.id
	}
	s.emit(n)
}

// remove takes v out of list, keeping the order.
func remove[T comparable](list []T, v T) []T {
	if i := slices.Index(list, v); i >= 0 {
		return slices.Delete(list, i, i+1)
	}
	return list
}
