package master

import (
	"context"
	"time"

	"github.com/millrace/millrace/master/sched"
	"github.com/millrace/millrace/master/wire"
)

// Watch returns a job's status, once it is newer than the one that the client has, or after args.Wait.
func (m *Master) Watch(ctx context.Context, args *wire.WatchArgs) (*wire.JobStatus, error) {
	timer := time.NewTimer(min(args.Wait, maxPollWait))
	defer timer.Stop()
	for expired := false; ; {
		m.mu.Lock()
		j, err := m.findLocked(args.Job)
		if err != nil {
			m.mu.Unlock()
			return nil, err
		}
		if j.version > args.Version || expired || j.swept {
			s := m.statusLocked(j)
			m.mu.Unlock()
			return s, nil
		}
		changed := j.changed
		m.mu.Unlock()
		select {
		case <-changed:
		case <-timer.C:
			expired = true
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// List returns the jobs that the master knows, the newest first.
func (m *Master) List(_ context.Context, args *wire.ListArgs) (*wire.ListReply, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	reply := new(wire.ListReply)
	limit := clampPage(args.Max)
	for i := len(m.order) - 1; i >= 0; i-- {
		if len(reply.Jobs) == limit {
			reply.More = true
			break
		}
		s := m.statusLocked(m.jobs[m.order[i]])
		s.Counters, s.Inputs, s.Parts = nil, nil, nil
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
	if err := m.step(ctx, sched.Cancel{Job: j.id}, nil); err != nil {
		return nil, refuse(wire.ErrShuttingDown, "cancel", "the master is stopping")
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return &wire.CancelReply{State: m.statusLocked(j).State}, nil
}

// Logs returns what is new in a job's log, and waits for something new if there is nothing.
func (m *Master) Logs(ctx context.Context, args *wire.LogsArgs) (*wire.LogsReply, error) {
	timer := time.NewTimer(min(args.Wait, maxPollWait))
	defer timer.Stop()
	for expired := false; ; {
		m.mu.Lock()
		j, err := m.findLocked(args.Job)
		if err != nil {
			m.mu.Unlock()
			return nil, err
		}
		from := min(max(args.Cursor-j.dropped, 0), len(j.log))
		to := min(len(j.log), from+maxPage)
		end := !j.ended.IsZero() && to == len(j.log)
		if to > from || end || expired {
			reply := &wire.LogsReply{Lines: append([]wire.LogLine(nil), j.log[from:to]...), Cursor: to + j.dropped, End: end}
			m.mu.Unlock()
			return reply, nil
		}
		changed := j.changed
		m.mu.Unlock()
		select {
		case <-changed:
		case <-timer.C:
			expired = true
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
