package master

import (
	"context"
	"fmt"
	"time"

	"github.com/millrace/millrace/master/sched"
	"github.com/millrace/millrace/master/wire"
)

// Limits bound what a master takes on, and so its memory: some 400 bytes for a task, and the listed inputs. A field that is zero
// or negative gets its default. What is refused is refused at once, before anything of it is kept, with ErrFull: a master that
// made submitters wait would need a bound on these, too, and their order. Jobs that an earlier master took are never refused,
// nor are the stages of a chain that was taken.
type Limits struct {
	Jobs        int // that have not ended; a chain is one: 1000
	JobsPerUser int // the same, of one user, as the submitter names it: 200
	Tasks       int // of all jobs that have not ended: 4,000,000
	Planning    int // submissions whose inputs are listed at the same time; others wait for planWait: 8
}

// planWait is how long a submission waits for its turn to be planned: less than the submitter's patience for one call.
const planWait = 20 * time.Second

// maxUser bounds a user's name, bytes.
const maxUser = 128

func (l Limits) filled() Limits {
	for field, value := range map[*int]int{&l.Jobs: 1000, &l.JobsPerUser: 200, &l.Tasks: 4_000_000, &l.Planning: 8} {
		if *field <= 0 {
			*field = value
		}
	}
	return l
}

// newcomer is a submission that is being planned.
type newcomer struct {
	user   string
	output string        // of a chain whose record is on its way
	over   chan struct{} // closed at its end
}

// roomLocked refuses a user's next job when there are as many as the master takes. Those that are being planned count.
func (m *Master) roomLocked(user string) error {
	all, own := len(m.planning), 0
	for _, s := range m.planning { // counts only: the order does not show
		if s.user == user {
			own++
		}
	}
	for _, id := range m.order {
		if j := m.jobs[id]; j.ended.IsZero() && j.parent == nil {
			all++
			if j.user == user {
				own++
			}
		}
	}
	const remedy = "wait until one ends, or cancel one (millrace list shows them); millrace master %s raises the limit"
	switch limit := m.o.Limits; {
	case all >= limit.Jobs:
		return refuse(wire.ErrFull, "submit", fmt.Sprintf("the master has %d open jobs, and takes %d: "+remedy, all, limit.Jobs, "--max-jobs"))
	case own >= limit.JobsPerUser:
		return refuse(wire.ErrFull, "submit", fmt.Sprintf("user %q has %d open jobs, and the master takes %d of one user: "+remedy,
			user, own, limit.JobsPerUser, "--max-jobs-per-user"))
	}
	return nil
}

// tasks is how many tasks a job has.
func (j *job) tasks() int { return j.plan.Maps + j.plan.Reducers }

// roomForTasksLocked refuses a planned job whose tasks are more than there is room for beside those of the open jobs.
func (m *Master) roomForTasksLocked(j *job) error {
	open := 0
	for _, id := range m.order {
		if other := m.jobs[id]; other.ended.IsZero() {
			open += other.tasks()
		}
	}
	limit, own, size := m.o.Limits.Tasks, j.tasks(), j.spec.SplitSize
	switch {
	case own > limit:
		return refuse(wire.ErrBadSpec, "submit", fmt.Sprintf("the job has %d tasks, and the master takes %d: "+
			"choose a larger split size (--split-size, now %d bytes); millrace master --max-tasks raises the limit", own, limit, size))
	case own > limit-open:
		return refuse(wire.ErrFull, "submit", fmt.Sprintf("the job has %d tasks, and beside the %d of the open jobs the master takes %d more: "+
			"wait until one ends, or choose a larger split size (--split-size, now %d bytes); millrace master --max-tasks raises the limit",
			own, open, max(0, limit-open), size))
	}
	return nil
}

// turn waits until one of the places for planning is free.
func (m *Master) turn(ctx context.Context) (done func(), err error) {
	timer := time.NewTimer(planWait)
	defer timer.Stop()
	select {
	case m.turns <- struct{}{}:
		return func() { <-m.turns }, nil
	case <-timer.C:
		return nil, refuse(wire.ErrFull, "submit", fmt.Sprintf("the master has been listing the inputs of other submissions, %d at a time, for %v: submit again later", m.o.Limits.Planning, planWait))
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// beginSubmit says whether the id is known already; if it is being planned by another call, it waits for that one. Of a new id
// it takes one of the places among the open jobs, until done.
func (m *Master) beginSubmit(ctx context.Context, id sched.JobID, user string) (known bool, done func(), err error) {
	for {
		m.mu.Lock()
		other := m.planning[id]
		if other == nil {
			defer m.mu.Unlock()
			return m.enterLocked(id, user)
		}
		m.mu.Unlock()
		select { // the job may be here already, but not yet durable
		case <-other.over:
		case <-ctx.Done():
			return false, nil, ctx.Err()
		}
	}
}

// enterLocked begins a submission of a job that is not being submitted, unless it is known.
func (m *Master) enterLocked(id sched.JobID, user string) (known bool, done func(), err error) {
	if m.jobs[id] != nil {
		return true, nil, nil
	}
	if v, ok := m.sched.Job(id); ok {
		text := "it ended long ago (" + v.State.String() + "), and its status is kept no more: submit under a new id"
		return false, nil, refuse(wire.ErrJobEnded, "submit job "+string(id), text)
	}
	if err := m.roomLocked(user); err != nil {
		return false, nil, err
	}
	mine := &newcomer{user: user, over: make(chan struct{})}
	m.planning[id] = mine
	return false, func() { m.endSubmit(id, mine) }, nil
}

func (m *Master) endSubmit(id sched.JobID, s *newcomer) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.planning, id)
	close(s.over)
}
