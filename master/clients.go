package master

import (
	"context"
	"slices"
	"time"

	"github.com/millrace/millrace/master/sched"
	"github.com/millrace/millrace/master/wire"
)

// await calls try, with the lock held, until it is done: at once, after each change of the job, and a last time, with expired
// set, when wait is over.
func (m *Master) await(ctx context.Context, id wire.JobID, wait time.Duration, try func(j *job, expired bool) (done bool, err error)) error {
	timer := time.NewTimer(min(wait, maxPollWait))
	defer timer.Stop()
	for expired := false; ; {
		m.mu.Lock()
		j, err := m.findLocked(id)
		if err != nil {
			m.mu.Unlock()
			return err
		}
		done, err := try(j, expired)
		changed := j.changes()
		m.mu.Unlock()
		if done || err != nil {
			return err
		}
		select {
		case <-changed:
		case <-timer.C:
			expired = true
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Watch returns a job's status, once it is newer than the one that the client has, or after args.Wait.
func (m *Master) Watch(ctx context.Context, args *wire.WatchArgs) (reply *wire.JobStatus, err error) {
	begun := time.Now()
	err = m.await(ctx, args.Job, args.Wait, func(j *job, expired bool) (bool, error) {
		if !expired && !j.swept && (j.version <= args.Version || time.Since(begun) < args.Pause) {
			return false, nil
		}
		reply = m.statusLocked(j)
		return true, nil
	})
	return reply, err
}

// maxListed bounds a job's error in a list, bytes; its status has the whole.
const maxListed = 1 << 10

// List returns the jobs that the master knows, the newest first.
func (m *Master) List(_ context.Context, args *wire.ListArgs) (*wire.ListReply, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	reply := new(wire.ListReply)
	limit := clampPage(args.Max)
	bytes := 0
	for i := len(m.order) - 1; i >= 0; i-- {
		if len(reply.Jobs) == limit || bytes > maxReply {
			reply.More = true
			break
		}
		j := m.jobs[m.order[i]]
		if j.parent != nil || j.unborn || args.Open && j.swept {
			continue
		}
		s := m.statusLocked(j)
		s.Counters, s.Inputs, s.Parts, s.Stages = nil, nil, nil, nil
		s.Error = cut(s.Error, maxListed)
		bytes += len(s.Output) + len(s.Error)
		for name, value := range s.Params {
			bytes += len(name) + len(value)
		}
		reply.Jobs = append(reply.Jobs, *s)
	}
	return reply, nil
}

// Cancel ends a job, unless the decision to commit it has been made.
func (m *Master) Cancel(ctx context.Context, args *wire.CancelArgs) (*wire.CancelReply, error) {
	m.mu.Lock()
	j, err := m.findLocked(args.Job)
	m.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if m.parked[j.id] != nil {
		return m.cancelParked(ctx, j.id)
	}
	if j.parent != nil { // a chain without one of its stages is none
		j = j.parent
	}
	cancel := func() error { return m.step(ctx, sched.Cancel{Job: j.id}, nil) }
	if j.chain != nil {
		cancel = func() error { return m.cancelChain(ctx, j) }
	}
	if err := cancel(); err != nil {
		return nil, refuse(wire.ErrShuttingDown, "cancel", "the master is stopping")
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return &wire.CancelReply{State: m.statusLocked(j).State}, nil
}

// Logs returns what is new in a job's log, and waits for something new if there is nothing.
func (m *Master) Logs(ctx context.Context, args *wire.LogsArgs) (reply *wire.LogsReply, err error) {
	cursor := args.Cursor
	if args.Term != 0 && args.Term != m.term.N {
		cursor = 0
	}
	err = m.await(ctx, args.Job, args.Wait, func(j *job, expired bool) (bool, error) {
		from := min(max(cursor-j.dropped, 0), len(j.log))
		to, bytes := from, 0
		for to < min(len(j.log), from+maxPage) && bytes <= maxReply {
			bytes += len(j.log[to].Text)
			to++
		}
		end := !j.ended.IsZero() && to == len(j.log)
		if to == from && !end && !expired {
			return false, nil
		}
		reply = &wire.LogsReply{Lines: slices.Clone(j.log[from:to]), Cursor: to + j.dropped, Term: m.term.N, End: end}
		return true, nil
	})
	return reply, err
}
