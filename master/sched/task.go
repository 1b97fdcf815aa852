package sched

import (
	"errors"
	"fmt"
	"time"
)

// errOld is returned by a move that concerns an attempt which no longer counts: the caller ignores the report.
var errOld = errors.New("old attempt")

// state is where a task stands. A task that is not open yet (a map before the sample) is waiting too.
type state uint8

const (
	waiting  state = iota // to be assigned, reachable through its phase's queue; then running, selected (a result of an earlier term) or lost
	running               // has one attempt or two; then selected, waiting or lost
	selected              // one attempt's result counts; then waiting or lost, when that result is gone
	lost                  // maps only: has no run, and no reduce task needs one; then waiting, when parts are lost
	states
)

// task is one task of a phase; its index is its place there. There are a million of them: 48 bytes.
type task struct {
	sum      uint64   // checksum of the run selected last; valid if summed
	by       *worker  // who made the result selected last
	failedOn *worker  // who was to blame for its last failure; it gets the task no more while there are others
	first    *attempt // Invariant: set exactly while running; a second attempt is first.twin
	chosen   int32    // number of the selected attempt
	next     int32    // Invariant: above the number of every attempt of this term
	charged  uint16   // Invariant: below the job's MaxAttempts while the job runs
	spared   uint16   // failures not charged. Invariant: at most MaxUncharged while the job runs
	state    state
	queued   bool // has an entry in the phase's queue, which may be stale
	summed   bool // one of its attempts was selected once
	remake   bool // a map whose parts are gone. Invariant: it waits or runs
}

// phase is the tasks of one phase of a job. Every move of a task's state is a method below; each keeps count.
type phase struct {
	kind  Phase
	tasks []task
	bytes []int64       // of each task's input; of reduces as far as they are known
	count [states]int   // Invariant: tasks by state
	again []int32       // tasks to run again, first in first out. Invariant: a waiting task is here or at fresh or after
	fresh int           // tasks before it have left waiting at least once
	ready time.Duration // when the inputs of its tasks were complete

	made      int   // tasks that had a result once
	remakes   int   // Invariant: tasks with remake set
	total     int   // number of tasks; kept when the job has ended and tasks are dropped
	allBytes  int64 // sum of bytes
	doneBytes int64 // sum of bytes of selected tasks
	failures  int   // charged
	took      durations
}

func (p *phase) init(kind Phase, n int, bytes []int64) {
	*p = phase{kind: kind, tasks: make([]task, n), bytes: bytes, total: n}
	p.count[waiting] = n
	for _, b := range bytes {
		p.allBytes += b
	}
}

func (p *phase) done() bool { return p.count[selected] == p.total }

// begin makes a the task's running attempt, or its second one, and numbers it. A task that has a result or two attempts
// takes no other.
func (p *phase) begin(a *attempt, base int) {
	t := &p.tasks[a.index]
	switch {
	case t.state == waiting:
		p.move(t, running)
		t.first = a
	case t.state == running && t.first.twin == nil && t.first.worker != a.worker:
		t.first.twin, a.twin = a, t.first
	default:
		panic(fmt.Sprintf("sched: begin %v in state %d", a.id(), t.state))
	}
	a.n = max(t.next, int32(base))
	t.next = a.n + 1
}

// adopt makes a, which has its number from an earlier term, the attempt of a task that waits.
func (p *phase) adopt(a *attempt) {
	t := &p.tasks[a.index]
	if t.state != waiting {
		panic(fmt.Sprintf("sched: adopt %v in state %d", a.id(), t.state))
	}
	p.move(t, running)
	t.first = a
	t.next = max(t.next, a.n+1)
}

// end takes away an attempt that has no result. The task waits again unless its other attempt goes on.
func (p *phase) end(a *attempt) error {
	t := &p.tasks[a.index]
	if t.state != running {
		return errOld
	}
	switch a {
	case t.first:
		t.first = a.twin
	case t.first.twin:
	default:
		return errOld
	}
	a.twin = nil
	if t.first != nil {
		t.first.twin = nil
		return nil
	}
	p.move(t, waiting)
	p.push(int(a.index))
	return nil
}

// choose selects an attempt's result. It returns the attempts that ran, which are the task's no more.
func (p *phase) choose(index, n int, by *worker, sum uint64) (was [2]*attempt) {
	t := &p.tasks[index]
	if t.state == selected || t.state == lost && p.kind != Map {
		panic(fmt.Sprintf("sched: select attempt %d of %s-%05d in state %d", n, p.kind, index, t.state))
	}
	was = t.stop()
	p.move(t, selected)
	if !t.summed {
		p.made++
	}
	if t.remake {
		t.remake = false
		p.remakes--
	}
	t.by, t.chosen, t.sum, t.summed = by, int32(n), sum, true
	t.next = max(t.next, int32(n)+1)
	if p.bytes != nil {
		p.doneBytes += p.bytes[index]
	}
	return was
}

// takeBack undoes the selection of attempt n: the task waits again if needed, else it is lost.
func (p *phase) takeBack(index, n int, needed bool) error {
	t := &p.tasks[index]
	if t.state != selected || int(t.chosen) != n {
		return errOld
	}
	if p.bytes != nil {
		p.doneBytes -= p.bytes[index]
	}
	if !needed {
		p.move(t, lost)
		return nil
	}
	p.move(t, waiting)
	p.push(index)
	return nil
}

// giveUp makes a waiting or running map lost, as nobody needs its run. It returns the attempts that ran.
func (p *phase) giveUp(index int) (was [2]*attempt) {
	t := &p.tasks[index]
	if p.kind != Map || t.state != waiting && t.state != running {
		panic(fmt.Sprintf("sched: give up %s-%05d in state %d", p.kind, index, t.state))
	}
	was = t.stop()
	p.move(t, lost)
	return was
}

// mark notes that a map's parts are gone.
func (p *phase) mark(index int) {
	t := &p.tasks[index]
	if p.kind != Map || t.state == selected || t.remake {
		panic(fmt.Sprintf("sched: make %s-%05d anew in state %d", p.kind, index, t.state))
	}
	t.remake = true
	p.remakes++
}

// need makes a lost map wait again.
func (p *phase) need(index int) {
	t := &p.tasks[index]
	if t.state != lost {
		panic(fmt.Sprintf("sched: need %s-%05d in state %d", p.kind, index, t.state))
	}
	p.move(t, waiting)
	p.push(index)
}

func (p *phase) move(t *task, to state) {
	p.count[t.state]--
	p.count[to]++
	t.state = to
}

func (t *task) stop() (was [2]*attempt) {
	if t.first != nil {
		was = [2]*attempt{t.first, t.first.twin}
		t.first.twin = nil
		if was[1] != nil {
			was[1].twin = nil
		}
		t.first = nil
	}
	return was
}

// push queues a task that waits again. An entry left from before will do.
func (p *phase) push(index int) {
	if t := &p.tasks[index]; !t.queued {
		t.queued = true
		p.again = append(p.again, int32(index))
	}
}

// lookAhead is how many queued tasks are looked at for one that the worker may have: enough to get past the few tasks
// that failed on it, and a constant cost.
const lookAhead = 8

// find returns a waiting task that is not to be skipped, without taking it: the one that waits to run again first.
func (p *phase) find(skip func(*task) bool) (index int, ok bool) {
	if p.count[waiting] == 0 {
		return 0, false
	}
	for len(p.again) > 0 && p.tasks[p.again[0]].state != waiting {
		p.tasks[p.again[0]].queued = false
		p.again = p.again[1:]
	}
	for _, i := range p.again[:min(lookAhead, len(p.again))] {
		if t := &p.tasks[i]; t.state == waiting && !skip(t) {
			return int(i), true
		}
	}
	for p.fresh < len(p.tasks) {
		if t := &p.tasks[p.fresh]; t.state == waiting && !t.queued {
			return p.fresh, true
		}
		p.fresh++
	}
	return 0, false
}
