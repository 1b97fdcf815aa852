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
	kind   records.Kind // of the first block; 0 if that is not known
	doc    []byte       // that
	far    *bulk        // where it lies, if it does so in the storage
	broken error        // why it can never be read there; doc is missing then
	parked error        // why it cannot be read there now, or what another version has written in the log; then too
	other  bool         // it is another version's
	spec   plan.Spec    // as much as is known of it before the log is replayed
	by     string       // the version that began the job, if it said so
	at     time.Time    // of the job's submission
}

// replaying is the scheduler that is rebuilt, and what is to be logged when all of it is.
type replaying struct {
	*sched.Replaying
	said []saying
}

type saying struct {
	text string
	args []any
}

func (r *replaying) say(text string, args ...any) { r.said = append(r.said, saying{text, args}) }

// recover rebuilds the jobs and the scheduler from the journal, before the first event. What another version has written may show in the
// midst of a log, when the scheduler knows its job already and cannot forget it: then all is begun again, without those jobs.
func (m *Master) recover(ctx context.Context) error {
	others := map[sched.JobID]error{}
	for {
		known := len(others)
		replay, err := m.replayAll(ctx, others)
		if err != nil {
			return err
		}
		if len(others) > known {
			m.load.begin()
			continue
		}
		for _, s := range replay.said {
			m.o.Log.Error(s.text, s.args...)
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		m.sched = replay.State()
		m.takeOverLocked()
		return nil
	}
}

// replayAll replays all logs, those of others as ones that wait. It adds what it finds to others; the outcome is of no use then.
func (m *Master) replayAll(ctx context.Context, others map[sched.JobID]error) (*replaying, error) {
	loaded, err := m.journal.Load(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errLoad, err)
	}
	logs, err := m.beginLogs(ctx, loaded, others)
	if err != nil {
		return nil, err
	}
	if err := m.parkChains(logs); err != nil {
		return nil, err
	}
	// The journal's order is that of the logs, which are replaced when jobs end.
	sortLogs(logs)
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.jobs)
	clear(m.parked)
	m.order = nil
	replay := &replaying{Replaying: sched.NewReplay(m.o.Scheduler)}
	for _, l := range logs {
		m.load.move()
		err := m.replayLocked(ctx, replay, l)
		if isOther(err) && others[l.id] == nil {
			others[l.id] = err
		} else if err != nil {
			return nil, fmt.Errorf("journal of job %s: %w", l.id, err)
		}
		l.blocks = nil // of a million tasks it is some memory
	}
	return replay, nil
}

// beginLogs looks at the first blocks of all logs.
func (m *Master) beginLogs(ctx context.Context, loaded []journal.Log, others map[sched.JobID]error) ([]*log, error) {
	logs := make([]*log, len(loaded))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(bulkReads)
	for i, l := range loaded {
		g.Go(func() (err error) {
			if logs[i], err = m.beginLog(gctx, l, others[l.Job]); err != nil {
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
		if j.ended.IsZero() && j.parent == nil && chainOf(j.id) == "" && m.parked[j.id] == nil { // of a parked one a warning tells
			j.logf(m.o.Now(), "", "", fmt.Sprintf("another master goes on with the job, in term %d", m.term.N))
		}
	}
}

// beginLog looks at the first block of a log; other is what is known already of another version in it.
func (m *Master) beginLog(ctx context.Context, loaded journal.Log, other error) (*log, error) {
	l := &log{id: loaded.Job, blocks: loaded.Records}
	if len(l.blocks) == 0 {
		return nil, fmt.Errorf("%w: there is none", records.ErrDamaged)
	}
	var err error
	l.kind, l.doc, l.far, err = m.openBlock(ctx, l.blocks[0])
	if l.far != nil {
		l.kind, l.at, l.by = l.far.kind(), l.far.At, l.far.Version
		l.spec.Job, l.spec.Output = l.far.Job, l.far.Output
	}
	switch {
	case err == nil:
		if err = l.readHead(); err == nil && l.kind == records.Chain {
			err = m.carries(l.spec)
		}
	case l.far != nil && errors.Is(err, errBulk):
		l.broken, err = err, nil
	case ctx.Err() != nil:
		return nil, fmt.Errorf("%w: %w", errLoad, ctx.Err())
	case l.far != nil && mayPass(err):
		l.parked, err = err, nil
	}
	if other != nil {
		err = other
	} else if isOther(err) {
		err = fmt.Errorf("record 0: %w", err)
	}
	if isOther(err) {
		l.parked, l.other, l.broken, err = err, true, nil, nil
	}
	if l.at.IsZero() { // nobody can tell
		l.at = m.o.Now()
	}
	return l, err
}

// readHead reads what must be known of a job before its log is replayed.
func (l *log) readHead() (err error) {
	switch l.kind {
	case records.Submission:
		var head submission
		_, err = cutPlan(l.doc, &head)
		l.at, l.by, l.spec.Job, l.spec.Output = head.At, head.Version, head.Job, head.Output
	case records.Chain:
		var head chainEntry
		var packed []byte
		packed, err = cutPlan(l.doc, &head)
		if len(packed) > 0 {
			var e error
			if l.spec, _, e = records.ReadPlan(packed); err == nil {
				err = e
			}
		}
		l.at, l.by = head.At, head.Version
	case records.Summary:
		var head struct {
			Status struct {
				Submitted   time.Time
				Job, Output string
				State       sched.JobState
			} `json:"status"`
		}
		if err = json.Unmarshal(l.doc, &head); err != nil {
			err = fmt.Errorf("%w: summary: %w", records.ErrDamaged, err)
		}
		l.at, l.spec.Job, l.spec.Output = head.Status.Submitted, head.Status.Job, head.Status.Output
	default:
		err = errors.New("it comes before the job's submission")
	}
	return err
}

// replayLocked takes a log into the jobs and the scheduler, as the effects that followed its records did.
func (m *Master) replayLocked(ctx context.Context, replay *replaying, l *log) error {
	switch chain := m.parked[chainOf(l.id)]; {
	case l.broken != nil:
		return m.replayBrokenLocked(replay, l, l.broken)
	case l.other:
		return m.parkLocked(replay, l, &parked{why: l.parked, other: true})
	case l.parked != nil:
		return m.parkLocked(replay, l, &parked{why: l.parked, far: l.far})
	case chain != nil:
		return m.parkLocked(replay, l, &parked{why: chain.why, other: chain.other})
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
		return m.parkLocked(replay, l, &parked{why: stuck.err, far: stuck.far})
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
func (m *Master) failLocked(replay *replaying, j *job, err error) error {
	j.end(m.o.Now(), sched.JobFailed, err.Error())
	replay.say("job ended", "job", j.id, "state", j.state.String(), "reason", j.reason)
	return replay.Apply(sched.Record{Kind: sched.RecordState, Job: j.id, State: j.state, Reason: j.reason})
}

// replayBrokenLocked takes a log in that cannot be replayed, and never will be. Its job fails for why, if it has not ended.
func (m *Master) replayBrokenLocked(replay *replaying, l *log, why error) error {
	last, err := m.standing(l)
	if err != nil {
		return err
	}
	j := newJob(l.id, &plan.Plan{Spec: l.spec}, l.at)
	j.bulky, j.noSpec = true, true
	if l.kind == records.Chain {
		j.chain = new(chain)
	}
	if !last.state.Ended() {
		reason := "its plan: " + why.Error() + ": run the job again"
		if last.state == sched.Committing {
			reason += " with --overwrite, since parts of the output may be visible without " + manifest.Name
		}
		last = standing{state: sched.JobFailed, reason: reason, at: m.o.Now()}
		replay.say("job ended", "job", j.id, "state", last.state.String(), "reason", reason)
	}
	j.end(last.at, last.state, last.reason)
	m.jobs[l.id] = j
	m.order = append(m.order, l.id)
	return replay.Apply(sched.Record{Kind: sched.RecordEnded, Job: l.id, State: last.state, Reason: last.reason})
}

// standing is how far a job is.
type standing struct {
	state  sched.JobState
	reason string
	at     time.Time // of the end
	unsure bool      // what cannot be read may say more
}

// standing is how far a job is, as far as the journal itself says.
func (m *Master) standing(l *log) (standing, error) {
	last, tasks := standing{state: sched.Running, at: m.o.Now()}, records.NewReader(l.id)
	if l.kind == records.Summary {
		j, err := restore(l.id, l.doc)
		if err != nil {
			return last, fmt.Errorf("record 0: %w", err)
		}
		last = standing{state: j.state, reason: j.reason, at: j.ended}
	}
	for i, b := range l.blocks[1:] {
		kind, body, err := m.codec.Open(b)
		var c chainEntry
		switch {
		case err == nil && kind == records.Bulk:
			last.unsure = true
		case err == nil && kind == records.Tasks:
			err = tasks.Tasks(body, func(when time.Time, r sched.Record, _ *wire.Outcome) error {
				if r.Kind == sched.RecordState {
					last.state, last.reason, last.at = r.State, r.Reason, when
				}
				return nil
			})
		case err == nil && kind == records.Chain:
			if _, err = cutPlan(body, &c); err != nil {
				break
			}
			if c.State.Ended() {
				last.state, last.reason, last.at = c.State, c.Reason, c.At
			} else if c.Done != nil && c.Done.Spec.Last {
				last.state = sched.Committing
			}
		}
		if err != nil {
			return last, fmt.Errorf("record %d: %w", i+1, err)
		}
	}
	return last, nil
}

func (m *Master) replayBlockLocked(replay *replaying, id sched.JobID, b block) error {
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

func (m *Master) replaySubmissionLocked(replay *replaying, id sched.JobID, body []byte) error {
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
		return fmt.Errorf("%w: %w", errPlannedElsewhere, err)
	}
	if p.Maps != head.Maps || p.Reducers != head.Parts || cutsOf(p) != head.Cuts {
		return fmt.Errorf("%w, which cuts the input otherwise than this one", errPlannedElsewhere)
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
