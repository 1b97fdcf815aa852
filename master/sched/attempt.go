package sched

import (
	"fmt"
	"slices"
	"time"
)

// attempt is one try at a task, from its assignment until its worker shows it no more.
type attempt struct {
	job    *job
	phase  *phase
	worker *worker
	twin   *attempt // the task's other running attempt
	index  int32    // of the task
	n      int32
	place  int // in job.running; -1 when ending
	since  time.Duration
	moved  time.Duration // when its progress last changed
	told   time.Duration // when it was last heard of
	marks  [2]mark       // Invariant: each after at least twice the time that it had run at the one before
	bytes  int64
	total  int64         // 0: unknown
	slow   AttemptID     // see Progress
	left   time.Duration // the same
	backup bool
	unseen int  // reports of its worker in a row that did not show it
	ending bool // killed: it holds its slot, and its result counts no more
}

func (a *attempt) id() AttemptID {
	return AttemptID{Task: TaskID{Job: a.job.id, Phase: a.phase.kind, Index: int(a.index)}, N: int(a.n)}
}

func (a *attempt) task() *task { return &a.phase.tasks[a.index] }

// mark is how far an attempt was at a time.
type mark struct {
	at    time.Duration
	bytes int64
}

func (a *attempt) progress(now time.Duration, pr Progress) {
	if pr.Bytes > a.bytes {
		a.bytes, a.moved = pr.Bytes, now
	}
	a.told = now
	if now-a.since >= 2*(a.marks[1].at-a.since) {
		a.marks = [2]mark{a.marks[1], {now, a.bytes}}
	}
	a.total = max(pr.Total, 0)
	a.slow, a.left = pr.Slow, pr.Left
	a.unseen = 0
}

// less orders attempts of a phase by progress, equals by age and number, so that the order of job.running does not show.
func (a *attempt) less(b *attempt) bool {
	switch {
	case a.bytes != b.bytes:
		return a.bytes < b.bytes
	case a.since != b.since:
		return a.since > b.since
	case a.index != b.index:
		return a.index > b.index
	}
	return a.n > b.n
}

// adopt takes over an attempt that an earlier term gave the worker, if its task still waits: running attempts go on when
// masters change. An attempt that this term has known, and that is not the worker's, has ended: it is never taken back, or a
// late report would bring a dead attempt to life.
func (s *State) adopt(w *worker, id AttemptID) *attempt {
	j := s.jobs[id.Task.Job]
	if j == nil || j.state != Running || id.N < 0 || id.N >= s.base() {
		return nil
	}
	p, t := j.task(id.Task)
	if t == nil || t.state != waiting || id.N < int(t.next) {
		return nil
	}
	a := &attempt{job: j, phase: p, worker: w, index: int32(id.Task.Index), n: int32(id.N), since: s.now, moved: s.now, told: s.now}
	p.adopt(a)
	s.attach(a)
	s.note(j, w, "%v goes on from an earlier term", id)
	return a
}

func (s *State) base() int {
	if !s.keeps(ownNumbers) {
		return 0
	}
	return s.o.Term * attemptsPerTerm
}

// attach puts an attempt that was begun on its worker and job.
func (s *State) attach(a *attempt) {
	j := a.job
	a.place = len(j.running)
	j.running = append(j.running, a)
	a.worker.running = append(a.worker.running, a)
	if a.backup {
		j.backups++
	}
}

// detach takes an attempt off its job; its worker's list is the caller's.
func (s *State) detach(a *attempt) {
	j := a.job
	if a.place < 0 {
		return
	}
	last := len(j.running) - 1
	j.running[a.place] = j.running[last]
	j.running[a.place].place = a.place
	j.running[last] = nil
	j.running = j.running[:last]
	a.place = -1
	if a.backup {
		j.backups--
	}
}

// giveBack takes an attempt without a result off its task and job.
func (s *State) giveBack(a *attempt) {
	if err := a.phase.end(a); err != nil {
		panic(fmt.Sprintf("sched: give back %v: %v", a.id(), err))
	}
	s.detach(a)
}

// kill gives an attempt up that is its task's no more. It holds its slot until its worker shows it no more.
func (s *State) kill(a *attempt, reason string) {
	s.detach(a)
	if a.worker.lost || !slices.Contains(a.worker.running, a) {
		return
	}
	a.ending = true
	a.job.ending++
	a.job.killed = s.now
	s.emit(Kill{Worker: a.worker.id, Attempt: a.id(), Reason: reason})
}
