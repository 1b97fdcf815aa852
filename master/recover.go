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

// log is a job's log while it is read.
type log struct {
	id     sched.JobID
	blocks [][]byte
	kind   records.Kind // of the first block
	doc    []byte       // that
	at     time.Time    // of the job's submission
}

// recover rebuilds the jobs and the scheduler from the journal, before the first event.
func (m *Master) recover(ctx context.Context) error {
	loaded, err := m.journal.Load(ctx)
	if err != nil {
		return fmt.Errorf("%w: %w", errLoad, err)
	}
	logs := make([]*log, len(loaded))
	for i, l := range loaded {
		if logs[i], err = m.beginLog(l); err != nil {
			return fmt.Errorf("journal of job %s: record 0: %w", l.Job, err)
		}
	}
	// The journal's order is that of the logs, which are replaced when jobs end.
	slices.SortStableFunc(logs, func(a, b *log) int { return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.id, b.id)) })
	replay := sched.NewReplay(m.o.Scheduler)
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, l := range logs {
		m.load.move()
		if err := m.replayLocked(replay, l); err != nil {
			return fmt.Errorf("journal of job %s: %w", l.id, err)
		}
		l.blocks = nil // of a million tasks it is some memory
	}
	m.sched = replay.State()
	return nil
}

// beginLog looks at the first block of a log.
func (m *Master) beginLog(loaded journal.Log) (*log, error) {
	l := &log{id: loaded.Job, blocks: loaded.Records}
	if len(l.blocks) == 0 {
		return nil, fmt.Errorf("%w: there is none", records.ErrDamaged)
	}
	var err error
	if l.kind, l.doc, err = m.codec.Open(l.blocks[0]); err != nil {
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
	default:
		err = errors.New("it comes before the job's submission")
	}
	return l, err
}

// replayLocked takes a log into the jobs and the scheduler, as the effects that followed its records did.
func (m *Master) replayLocked(replay *sched.Replaying, l *log) error {
	tasks := records.NewReader(l.id)
	for i, b := range l.blocks {
		kind, body, err := l.kind, l.doc, error(nil)
		if i > 0 {
			kind, body, err = m.codec.Open(b)
		}
		if err == nil {
			err = m.replayBlockLocked(replay, l.id, tasks, kind, body)
		}
		if err != nil {
			return fmt.Errorf("record %d: %w", i, err)
		}
	}
	return nil
}

func (m *Master) replayBlockLocked(replay *sched.Replaying, id sched.JobID, tasks *records.Reader, kind records.Kind, body []byte) error {
	switch kind {
	case records.Submission:
		return m.replaySubmissionLocked(replay, id, body)
	case records.Chain:
		return m.replayChainLocked(id, body)
	case records.Tasks:
		return tasks.Tasks(body, func(at time.Time, r sched.Record, o *wire.Outcome) error {
			if err := replay.Apply(r); err != nil {
				return err
			}
			m.jobs[id].replay(at, r, o)
			return nil
		})
	}
	return fmt.Errorf("%w: a %s does not belong there", records.ErrDamaged, kind)
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
		return errors.New("this version cuts the input otherwise than the one that began the job")
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
			j.decided = at
		}
		if r.State.Ended() {
			j.end(at, r.State, r.Reason)
		}
	}
}
