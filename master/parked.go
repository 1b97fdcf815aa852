package master

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/millrace/millrace/jobs/plan"
	"github.com/millrace/millrace/master/records"
	"github.com/millrace/millrace/master/sched"
	"github.com/millrace/millrace/master/wire"
	"github.com/millrace/millrace/storage"
)

// A plan that lies in the storage may be out of reach when a master takes over: the storage is down, or a key was withdrawn. That
// job is parked, so that the others go on: people see it and why it waits, it keeps its output, and its workers their attempts and
// runs. The scheduler does not know it. When the plan can be read, the term is given up, and the next one begins with it.

const (
	// bulkPatience is how long a load waits for what lies in the storage, in all: nobody has work meanwhile.
	bulkPatience = 20 * time.Second
	// bulkReads is how many blocks of the storage a load reads at a time.
	bulkReads = 8
	// minParkedPause and maxParkedPause bound the pause between two looks at what could not be read.
	minParkedPause, maxParkedPause = 5 * time.Second, time.Minute
	// parkedLimit is how long such a look may take.
	parkedLimit = time.Minute
	// lastWords is how long an answer may take to leave before the term ends that gave it: afterwards it would not be sent.
	lastWords = 100 * time.Millisecond
)

// errUnparked ends a term in which a job was parked that can go on.
var errUnparked = errors.New("a job need not wait any more")

// parked is why a job waits.
type parked struct {
	why error
	far *bulk // what could not be read; nil for a job that waits for its chain, and a chain that waits for its stage
	// ends says whether it can be cancelled: what a chain has decided nobody knows without its spec.
	ends bool
}

// fetchBulk is readBulk while the journal is loaded. The load counts as getting on while the storage is waited for.
func (m *Master) fetchBulk(ctx context.Context, b *bulk) ([]byte, error) {
	rctx, cancel := context.WithDeadline(ctx, m.load.start().Add(bulkPatience))
	defer cancel()
	stop := m.load.wait(rctx)
	defer stop()
	block, err := m.readBulk(rctx, b)
	if err != nil && rctx.Err() != nil && ctx.Err() == nil {
		err = fmt.Errorf("%s: the storage did not answer within %v", b.URL, bulkPatience)
	}
	return block, err
}

// mayPass says whether a block could not be read for a reason that may pass.
func mayPass(err error) bool {
	return err != nil && !errors.Is(err, errBulk) && !errors.Is(err, records.ErrDamaged) && !errors.Is(err, records.ErrNewer)
}

// parkChains parks each chain of which a stage is parked: it would begin the stage again.
func parkChains(logs []*log) {
	chains := map[sched.JobID]*log{}
	for _, l := range logs {
		if l.kind == records.Chain {
			chains[l.id] = l
		}
	}
	for _, l := range logs {
		if c := chains[chainOf(l.id)]; c != nil && l.parked != nil && c.parked == nil {
			c.parked = l.parked
		}
	}
}

// parkLocked takes a log in of a job that waits for why. far is what could not be read. A job that has ended waits for nothing.
func (m *Master) parkLocked(replay *sched.Replaying, l *log, why error, far *bulk) error {
	last := sched.Record{State: sched.Running}
	if l.far != nil {
		var err error
		if last, _, err = m.lastState(l); err != nil {
			return err
		} else if last.State.Ended() {
			return m.replayBrokenLocked(replay, l)
		}
	}
	alone := l.far != nil && strings.HasPrefix(storage.Base(l.far.URL), records.Submission.String()+"-")
	m.parked[l.id] = &parked{why: why, far: far, ends: alone && last.State == sched.Running}
	m.o.Log.Error("a job waits: what the journal points to cannot be read", "job", l.id, "error", why)
	if chainOf(l.id) != "" {
		return nil // people see its chain
	}
	var spec plan.Spec
	if l.far != nil {
		spec.Job, spec.Output = l.far.Job, l.far.Output
	} else { // a chain
		packed, err := cutPlan(l.doc, new(chainEntry))
		if err == nil {
			spec, _, err = records.ReadPlan(packed)
		}
		if err != nil {
			return fmt.Errorf("record 0: %w", err)
		}
	}
	j := newJob(l.id, &plan.Plan{Spec: spec}, l.at)
	j.bulky, j.state = true, last.State
	j.warn(m.o.Now(), fmt.Sprintf("it waits until its plan can be read, and goes on then: %v", why))
	m.jobs[l.id] = j
	m.order = append(m.order, l.id)
	return nil
}

// forgetLocked forgets what was replayed of a chain, before it is parked.
func (m *Master) forgetLocked(id sched.JobID) {
	delete(m.jobs, id)
	m.order = slices.DeleteFunc(m.order, func(k sched.JobID) bool { return k == id })
}

// goesOn refuses what cannot be done with a parked job.
func (m *Master) goesOn(id sched.JobID) error {
	p := m.parked[id]
	if p == nil {
		return nil
	}
	return refuse(wire.ErrBusy, fmt.Sprintf("job %s", id), fmt.Sprintf("it waits until its plan can be read, and goes on then: %v", p.why))
}

// cancelParked ends a parked job by its record. The next term begins without it; this one ends when who asked has been answered.
func (m *Master) cancelParked(ctx context.Context, id sched.JobID) (*wire.CancelReply, error) {
	m.mu.Lock()
	p, j := m.parked[id], m.jobs[id]
	again, ends := j.state == sched.Cancelled, p.ends
	p.ends = false // once
	m.mu.Unlock()
	switch {
	case again:
		return &wire.CancelReply{State: sched.Cancelled}, nil
	case !ends:
		return nil, m.goesOn(id)
	}
	w := records.NewWriter(m.codec)
	w.Add(m.o.Now(), sched.Record{Kind: sched.RecordState, Job: id, State: sched.Cancelled}, nil)
	if err := m.journal.Append(ctx, id, w.Blocks()); err != nil {
		return nil, refuse(wire.ErrShuttingDown, "cancel job "+string(id), err.Error())
	}
	m.mu.Lock()
	j.state = sched.Cancelled
	m.mu.Unlock()
	time.AfterFunc(lastWords, func() { m.endTerm(fmt.Errorf("%w: job %s was cancelled", errUnparked, id)) })
	return &wire.CancelReply{State: sched.Cancelled}, nil
}

// endTerm ends the term.
func (m *Master) endTerm(why error) {
	select {
	case m.deposed <- why:
	default: // somebody has said so
	}
}

// withoutParked returns a report without what it says of parked jobs: the scheduler, which does not know them, would end what goes
// on there.
func (m *Master) withoutParked(args *wire.PollArgs) *wire.PollArgs {
	if len(m.parked) == 0 {
		return args
	}
	a := *args
	a.Running = slices.DeleteFunc(slices.Clone(args.Running), func(p sched.Progress) bool { return m.parked[p.Attempt.Task.Job] != nil })
	a.Done = slices.DeleteFunc(slices.Clone(args.Done), func(o wire.Outcome) bool { return m.parked[o.Attempt.Task.Job] != nil })
	a.Slots = max(0, args.Slots-(len(args.Running)-len(a.Running)))
	return &a
}

// awaitParked gives the term up when what could not be read can be, or is seen to be gone.
func (m *Master) awaitParked(ctx context.Context) error {
	for pause := minParkedPause; ; pause = min(2*pause, maxParkedPause) {
		wait(ctx, pause)
		for id, p := range m.parked {
			if ctx.Err() != nil {
				return nil
			}
			if p.far != nil && m.readable(ctx, p.far) {
				return fmt.Errorf("%w: the plan of job %s can be read", errUnparked, id)
			}
		}
	}
}

func (m *Master) readable(ctx context.Context, b *bulk) bool {
	ctx, cancel := context.WithTimeout(ctx, parkedLimit)
	defer cancel()
	_, err := m.readBulk(ctx, b)
	return err == nil || errors.Is(err, errBulk)
}
