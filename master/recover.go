package master

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/millrace/millrace/jobs/plan"
	"github.com/millrace/millrace/master/journal"
	"github.com/millrace/millrace/master/records"
	"github.com/millrace/millrace/master/sched"
	"github.com/millrace/millrace/master/wire"
	"github.com/millrace/millrace/storage/manifest"
)

// log is a job's log while it is read.
type log struct {
	id     sched.JobID
	blocks [][]byte
	kind   records.Kind // of the first block
	doc    []byte       // that
	far    *bulk        // where it lies, if it does so in the storage
	broken error        // why it can never be read there; kind and doc are missing then
	parked error        // why it cannot be read there now; the same
	at     time.Time    // of the job's submission
}

// recover rebuilds the jobs and the scheduler from the journal, before the first event.
func (m *Master) recover(ctx context.Context) error {
	loaded, err := m.journal.Load(ctx)
	if err != nil {
		return fmt.Errorf("%w: %w", errLoad, err)
	}
	logs, err := m.beginLogs(ctx, loaded)
	if err != nil {
		return err
	}
	parkChains(logs)
	// The journal's order is that of the logs, which are replaced when jobs end.
	sortLogs(logs)
	replay := sched.NewReplay(m.o.Scheduler)
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, l := range logs {
		m.load.move()
		if err := m.replayLocked(ctx, replay, l); err != nil {
			return fmt.Errorf("journal of job %s: %w", l.id, err)
		}
		l.blocks = nil // of a million tasks it is some memory
	}
	m.sched = replay.State()
	m.takeOverLocked()
	return nil
}

// beginLogs looks at the first blocks of all logs.
func (m *Master) beginLogs(ctx context.Context, loaded []journal.Log) ([]*log, error) {
	logs := make([]*log, len(loaded))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(bulkReads)
	for i, l := range loaded {
		g.Go(func() (err error) {
			if logs[i], err = m.beginLog(gctx, l); err != nil {
				return fmt.Errorf("journal of job %s: record 0: %w", l.Job, err)
			}
			return nil
		})
	}
	return logs, g.Wait()
}

// sortLogs brings logs into the order in which their jobs were submitted, a chain's before those of its stages: these may be of
// another master, whose clock was behind.
func sortLogs(logs []*log) {
	chains := make(map[sched.JobID]time.Time)
	for _, l := range logs {
		chains[l.id] = l.at
	}
	for _, l := range logs {
		if at, ok := chains[chainOf(l.id)]; ok && at.After(l.at) {
			l.at = at
		}
	}
	slices.SortStableFunc(logs, func(a, b *log) int { return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.id, b.id)) })
}

// takeOverLocked numbers the lines of logs so that who has read some of an earlier master's gets all of this one's.
func (m *Master) takeOverLocked() {
	if m.term.N <= 1 {
		return
	}
	for _, j := range m.jobs { // the order does not show
		j.dropped = int(m.term.N-1) << 32
		if j.ended.IsZero() && j.parent == nil && chainOf(j.id) == "" {
			j.logf(m.o.Now(), "", "", fmt.Sprintf("another master goes on with the job, in term %d", m.term.N))
		}
	}
}

// beginLog looks at the first block of a log.
func (m *Master) beginLog(ctx context.Context, loaded journal.Log) (*log, error) {
	l := &log{id: loaded.Job, blocks: loaded.Records}
	if len(l.blocks) == 0 {
		return nil, fmt.Errorf("%w: there is none", records.ErrDamaged)
	}
	var err error
	l.kind, l.doc, l.far, err = m.openBlock(ctx, l.blocks[0])
	if l.far != nil && errors.Is(err, errBulk) {
		l.broken, l.at = err, l.far.At
		return l, nil
	}
	switch {
	case ctx.Err() != nil:
		return nil, fmt.Errorf("%w: %w", errLoad, ctx.Err())
	case l.far != nil && mayPass(err):
		l.parked, l.at = err, l.far.At
		return l, nil
	case err != nil:
		return nil, err
	}
	switch l.kind {
	case records.Submission:
		var head submission
		_, err = cutPlan(l.doc, &head)
		l.at = head.At
	case records.Chain:
		var head chainEntry
		_, err = cutPlan(l.doc, &head)
		l.at = head.At
	case records.Summary:
		var head struct {
			Status struct{ Submitted time.Time } `json:"status"`
		}
		if err = json.Unmarshal(l.doc, &head); err != nil {
			err = fmt.Errorf("%w: summary: %w", records.ErrDamaged, err)
		}
		l.at = head.Status.Submitted
	default:
		err = errors.New("it comes before the job's submission")
	}
	return l, err
}

// replayLocked takes a log into the jobs and the scheduler, as the effects that followed its records did.
func (m *Master) replayLocked(ctx context.Context, replay *sched.Replaying, l *log) error {
	switch chain := m.parked[chainOf(l.id)]; {
	case l.broken != nil:
		return m.replayBrokenLocked(replay, l)
	case l.parked != nil:
		return m.parkLocked(replay, l, l.parked, l.far)
	case chain != nil:
		return m.parkLocked(replay, l, chain.why, nil)
	}
	defer func() {
		if j := m.jobs[l.id]; j != nil {
			j.runs.packed()
		}
	}()
	var broken error
	var stuck block // of a stage of a chain, which cannot be read now
	err := m.eachBlock(ctx, l, func(i int, b block) error {
		switch {
		case b.far != nil && errors.Is(b.err, errBulk): // of a stage of a chain; its end may follow
			broken = b.err
			return nil
		case ctx.Err() != nil:
			return fmt.Errorf("%w: %w", errLoad, ctx.Err())
		case b.far != nil && mayPass(b.err):
			stuck = b
			return nil
		case b.err == nil:
			b.err = m.replayBlockLocked(replay, l.id, b)
		}
		if b.err != nil {
			return fmt.Errorf("record %d: %w", i, b.err)
		}
		if b.far != nil {
			m.jobs[l.id].bulky = true
		}
		return nil
	})
	if err != nil {
		return err
	}
	if stuck.err != nil {
		m.forgetLocked(l.id)
		return m.parkLocked(replay, l, stuck.err, stuck.far)
	}
	j := m.jobs[l.id]
	if !j.ended.IsZero() {
		return nil
	}
	if parent := m.jobs[chainOf(l.id)]; broken == nil && parent != nil && !parent.ended.IsZero() {
		broken = errors.New("its chain has ended: " + parent.reason)
	}
	switch {
	case broken != nil && j.chain == nil:
		return m.failLocked(replay, j, broken)
	case broken != nil:
		j.end(m.o.Now(), sched.JobFailed, broken.Error())
	}
	return nil
}

// failLocked ends a job that cannot go on. Its summary tells the next master.
func (m *Master) failLocked(replay *sched.Replaying, j *job, err error) error {
	j.end(m.o.Now(), sched.JobFailed, err.Error())
	m.o.Log.Error("job ended", "job", j.id, "state", j.state.String(), "reason", j.reason)
	return replay.Apply(sched.Record{Kind: sched.RecordState, Job: j.id, State: j.state, Reason: j.reason})
}

// replayBrokenLocked takes a log in of which the beginning is gone that lay in the storage. The job fails, if it has not ended.
func (m *Master) replayBrokenLocked(replay *sched.Replaying, l *log) error {
	j := newJob(l.id, &plan.Plan{Spec: plan.Spec{Job: l.far.Job, Output: l.far.Output}}, l.far.At)
	j.bulky = true
	last, at, err := m.lastState(l)
	if err != nil {
		return err
	}
	if !last.State.Ended() {
		reason := "its plan: " + l.broken.Error() + ": run the job again"
		if last.State == sched.Committing {
			reason += " with --overwrite, since parts of the output may be visible without " + manifest.Name
		}
		last, at = sched.Record{State: sched.JobFailed, Reason: reason}, m.o.Now()
		m.o.Log.Error("job ended", "job", j.id, "state", last.State.String(), "reason", reason)
	}
	j.end(at, last.State, last.Reason)
	m.jobs[l.id] = j
	m.order = append(m.order, l.id)
	return replay.Apply(sched.Record{Kind: sched.RecordEnded, Job: l.id, State: last.State, Reason: last.Reason})
}

// lastState is the last record of a job's state, and when that was, as far as the journal itself says.
func (m *Master) lastState(l *log) (sched.Record, time.Time, error) {
	last, at, tasks := sched.Record{State: sched.Running}, m.o.Now(), records.NewReader(l.id)
	for i, b := range l.blocks[1:] {
		kind, body, err := m.codec.Open(b)
		var c chainEntry
		switch {
		case err == nil && kind == records.Tasks:
			err = tasks.Tasks(body, func(when time.Time, r sched.Record, _ *wire.Outcome) error {
				if r.Kind == sched.RecordState {
					last, at = r, when
				}
				return nil
			})
		case err == nil && kind == records.Chain:
			if _, err = cutPlan(body, &c); err == nil && c.State.Ended() {
				last, at = sched.Record{State: c.State, Reason: c.Reason}, c.At
			}
		}
		if err != nil {
			return last, at, fmt.Errorf("record %d: %w", i+1, err)
		}
	}
	return last, at, nil
}

func (m *Master) replayBlockLocked(replay *sched.Replaying, id sched.JobID, b block) error {
	j := m.jobs[id]
	switch {
	case b.kind == records.Submission:
		return m.replaySubmissionLocked(replay, id, b.body)
	case b.kind == records.Summary && j == nil:
		j, err := restore(id, b.body)
		if err != nil {
			return err
		}
		m.jobs[id] = j
		m.order = append(m.order, id)
		return replay.Apply(sched.Record{Kind: sched.RecordEnded, Job: id, State: j.state, Reason: j.reason})
	case b.kind == records.Chain:
		return m.replayChainLocked(id, b.body)
	case b.kind == records.Tasks && j.summed == nil:
		j.runs.packAhead()
		for i, r := range b.tasks.Records {
			if err := replay.Apply(r); err != nil {
				return err
			}
			j.replay(b.tasks.At, r, b.tasks.Outcomes[i])
		}
		return nil
	case b.kind == records.Cleaned && j.summed != nil:
		j.swept, j.clean = true, true
		return nil
	}
	return fmt.Errorf("%w: a %s does not belong there", records.ErrDamaged, b.kind)
}

func (m *Master) replaySubmissionLocked(replay *sched.Replaying, id sched.JobID, body []byte) error {
	var head submission
	packed, err := cutPlan(body, &head)
	if err != nil {
		return err
	}
	spec, objects, err := records.ReadPlan(packed)
	if err != nil {
		return fmt.Errorf("plan: %w", err)
	}
	p, err := plan.Make(spec, objects)
	if err != nil {
		return err
	}
	if p.Maps != head.Maps || p.Reducers != head.Parts || cutsOf(p) != head.Cuts {
		return errors.New("this version cuts the input otherwise than the one that began the job: " +
			"start masters of that version until the job has ended, or cancel it there")
	}
	j := newJob(id, p, head.At)
	j.user = head.User
	submit := j.submitEvent()
	if err := replay.Apply(sched.Record{Kind: sched.RecordSubmit, Submit: &submit, Job: id}); err != nil {
		return err
	}
	m.jobs[id] = j
	m.order = append(m.order, id)
	return nil
}

// replay takes a record of a job's tasks, which the scheduler has found to be right, as the effects that followed it did.
func (j *job) replay(at time.Time, r sched.Record, o *wire.Outcome) {
	switch r.Kind {
	case sched.RecordSelected:
		j.selected(sched.Selected{Worker: r.Worker, Attempt: r.Attempt}, string(r.Worker), o)
		j.warn(at, j.counters.warning())
	case sched.RecordLost:
		if r.Attempt.Task.Phase == sched.Map {
			j.runLost(sched.RunLost{Attempt: r.Attempt})
		}
	case sched.RecordState:
		if r.State == sched.Committing {
			j.decided, j.unsure = at, time.Now() // its commit may have begun
		}
		if r.State.Ended() {
			j.end(at, r.State, r.Reason)
		}
	}
}
