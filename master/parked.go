package master

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/millrace/millrace/jobs/plan"
	"github.com/millrace/millrace/master/journal"
	"github.com/millrace/millrace/master/records"
	"github.com/millrace/millrace/master/sched"
	"github.com/millrace/millrace/master/wire"
)

// A plan that lies in the storage may be out of reach when a master takes over: the storage is down, or a key was withdrawn. That
// job is parked, so that the others go on: people see it and why it waits, it keeps its output, and its workers their attempts and
// runs. The scheduler does not know it. When the plan can be read, the term is given up, and the next one begins with it. A job that
// another version of millrace began, or went on with, waits in the same way, for a master of that version: see versions.go.

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
	why    error
	far    *bulk  // what could not be read; nil for a job that waits for its chain, a chain that waits for its stage, and with other
	other  bool   // it waits for a master of another version
	by     string // the version that began it, if it said so
	output string
	chain  bool
	last   standing
	blind  bool // its records were not understood: nobody knows here how far it is
	over   bool // it is being cancelled
}

// says tells people why a job waits.
func (p *parked) says(version string) string {
	if !p.other {
		return fmt.Sprintf("it waits until its plan can be read, and goes on then: %v", p.why)
	}
	text := fmt.Sprintf("it waits until a master leads that is of the version of millrace that it needs, and goes on then: %v", p.why)
	if p.by != "" && p.by != version {
		text += fmt.Sprintf(" (version %s began it, this master has version %s)", p.by, cmp.Or(version, "unknown"))
	}
	return text
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

// parkChains parks each chain of which a stage is parked: it would begin the stage again. One that has ended begins nothing.
func (m *Master) parkChains(logs []*log) error {
	chains := map[sched.JobID]*log{}
	for _, l := range logs {
		if l.kind == records.Chain {
			chains[l.id] = l
		}
	}
	for _, l := range logs {
		c := chains[chainOf(l.id)]
		if c == nil || l.parked == nil || c.parked != nil {
			continue
		}
		last, err := m.standing(c)
		if err != nil && !isOther(err) {
			return fmt.Errorf("journal of job %s: %w", c.id, err)
		}
		if err != nil || !last.state.Ended() {
			c.parked, c.other = l.parked, l.other
		}
	}
	return nil
}

// parkLocked takes a log in of a job that waits. A job that has ended waits for nothing.
func (m *Master) parkLocked(replay *replaying, l *log, p *parked) (err error) {
	p.by, p.output, p.chain = l.by, l.spec.Output, l.kind == records.Chain
	if p.last, err = m.standing(l); isOther(err) && p.other {
		p.blind = true
	} else if err != nil {
		return err
	}
	p.blind = p.blind || l.other && !errors.Is(p.why, errPlannedElsewhere)
	if !p.blind && p.last.state.Ended() && l.parked != nil {
		return m.replayBrokenLocked(replay, l, p.why)
	}
	m.parked[l.id] = p
	what := "a job waits: what the journal points to cannot be read"
	if p.other {
		what = "a job waits for a master of another version"
	}
	replay.say(what, "job", l.id, "error", p.why)
	if chainOf(l.id) != "" {
		return nil // people see its chain
	}
	spec := l.spec
	spec.Job = cmp.Or(spec.Job, "(unknown)")
	j := newJob(l.id, &plan.Plan{Spec: spec}, l.at)
	j.bulky, j.state = true, p.last.state
	j.warn(m.o.Now(), p.says(m.o.Version))
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
	return refuse(wire.ErrBusy, fmt.Sprintf("job %s", id), p.says(m.o.Version))
}

// cancelParked ends a parked job by its record. The next term begins without it; this one ends when who asked has been answered.
func (m *Master) cancelParked(ctx context.Context, id sched.JobID) (*wire.CancelReply, error) {
	m.mu.Lock()
	j, p := m.jobs[id], m.parked[id]
	again, refused := j.state == sched.Cancelled, m.keepsFromEndLocked(id)
	if refused == "" {
		p.over = true
	}
	m.mu.Unlock()
	switch {
	case again:
		return &wire.CancelReply{State: sched.Cancelled}, nil
	case refused != "":
		return nil, refuse(wire.ErrBusy, fmt.Sprintf("cancel job %s", id), refused+": "+p.says(m.o.Version))
	}
	batches, err := m.endParked(ctx, id)
	if err == nil {
		err = m.journal.AppendAll(ctx, batches)
	}
	if err != nil {
		return nil, refuse(wire.ErrShuttingDown, "cancel job "+string(id), err.Error())
	}
	m.mu.Lock()
	j.state = sched.Cancelled
	m.mu.Unlock()
	time.AfterFunc(lastWords, func() { m.endTerm(fmt.Errorf("%w: job %s was cancelled", errUnparked, id)) })
	return &wire.CancelReply{State: sched.Cancelled}, nil
}

// keepsFromEndLocked says why a parked job cannot be cancelled, or nothing. What has been decided becomes visible, or is so already; and
// what nobody can read here nobody can tell.
func (m *Master) keepsFromEndLocked(id sched.JobID) string {
	const blind, decided = "how far it is cannot be read here, and its commit may have been decided", "its commit was decided, so that a cancel comes too late"
	p := m.parked[id]
	switch {
	case p.over:
		return "it is being cancelled"
	case p.blind || p.chain && p.last.unsure:
		return blind
	case p.last.state != sched.Running:
		return decided
	case !p.chain:
		return ""
	}
	for k, j := range m.jobs { // the order does not show
		if chainOf(k) == id && j.spec.Output == p.output { // what became of it was in its plan
			return blind
		}
	}
	for _, s := range m.stagesOf(id) {
		switch s := m.parked[s]; {
		case s.blind:
			return blind
		case s.last.state == sched.Committing, s.last.state == sched.Done && s.output == p.output:
			return decided
		}
	}
	return ""
}

// stagesOf lists the parked stages of a chain.
func (m *Master) stagesOf(chain sched.JobID) (ids []sched.JobID) {
	for id := range m.parked {
		if chainOf(id) == chain {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// endParked makes the records with which a parked job is cancelled, with the stage under way of a chain.
func (m *Master) endParked(ctx context.Context, id sched.JobID) (batches []journal.Batch, err error) {
	now, jobs := m.o.Now(), []sched.JobID{id}
	if m.parked[id].chain {
		jobs = m.stagesOf(id)
	}
	for _, id := range jobs {
		if m.parked[id].last.state.Ended() {
			continue
		}
		w := records.NewWriter(m.codec)
		w.Add(now, sched.Record{Kind: sched.RecordState, Job: id, State: sched.Cancelled}, nil)
		batches = append(batches, journal.Batch{Job: id, Records: w.Blocks()})
	}
	if !m.parked[id].chain {
		return batches, nil
	}
	block, err := m.chainBlock(ctx, m.jobs[id], chainEntry{At: now, State: sched.Cancelled}, nil)
	return append(batches, journal.Batch{Job: id, Records: [][]byte{block}}), err
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
