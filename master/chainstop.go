package master

import (
	"context"
	"errors"

	"github.com/millrace/millrace/master/sched"
)

// A cancel of a chain is a record of the chain's log, and then a cancel of the stage under way, if there is one:
//
//	its user wants it to end, durably -> its stage is cancelled -> the chain has ended, durably
//
// So a next master goes on with the cancel, wherever between these steps the last one stopped. Who comes when the commit of the
// last stage is decided is late: the chain is complete.

// errCancelled ends a chain at its user's wish.
var errCancelled = errors.New("cancelled")

// cancelChain ends a chain, unless the commit of its last stage is decided.
func (m *Master) cancelChain(ctx context.Context, j *job) error {
	current, err := m.noteStop(ctx, j)
	if err != nil || current == nil {
		return err
	}
	return m.step(ctx, sched.Cancel{Job: current.id}, nil)
}

// noteStop makes it durable that a chain is to end, and returns its stage under way.
func (m *Master) noteStop(ctx context.Context, j *job) (current *job, err error) {
	j.chain.ending.Lock() // after the chain's end, or that of its log, nothing may be noted
	defer j.chain.ending.Unlock()
	m.mu.Lock()
	late := !j.ended.IsZero() || j.chain.stopped || m.lastDecidedLocked(j)
	current = j.chain.current
	m.mu.Unlock()
	if late {
		return current, nil
	}
	ctx = context.WithoutCancel(ctx) // whether it is noted does not hang on who asks for it
	if err := m.noteChain(ctx, j, chainEntry{At: m.o.Now(), Stopped: true}, nil); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	j.chain.stopped = true
	return j.chain.current, nil
}

// lastDecidedLocked says whether the commit of a chain's last stage is decided.
func (m *Master) lastDecidedLocked(j *job) bool {
	if n := len(j.chain.done); n > 0 && j.chain.done[n-1].Spec.Last {
		return true
	}
	c := j.chain.current
	if c == nil || c.spec.Output != j.spec.Output {
		return false
	}
	return c.state == sched.Done || m.statusLocked(c).State == sched.Committing
}

// noteEnd makes a chain's end durable.
func (m *Master) noteEnd(ctx context.Context, j *job, state sched.JobState, reason string) bool {
	j.chain.ending.Lock()
	defer j.chain.ending.Unlock()
	if err := m.noteChain(ctx, j, chainEntry{At: m.o.Now(), State: state, Reason: reason}, nil); err != nil {
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	j.end(m.o.Now(), state, reason)
	j.chain.current = nil
	return true
}

// stopStage ends a chain that is to end before its next stage begins. The stage that an earlier master began is cancelled; how that one
// ends decides.
func (m *Master) stopStage(ctx context.Context, j *job) error {
	m.mu.Lock()
	stopped, n := j.chain.stopped, len(j.chain.done)
	child := m.jobs[stageID(j.id, n)]
	complete := n > 0 && j.chain.done[n-1].Spec.Last
	m.mu.Unlock()
	switch {
	case !stopped || complete:
		return nil
	case child == nil:
		return errCancelled
	}
	return m.step(ctx, sched.Cancel{Job: child.id}, nil)
}
