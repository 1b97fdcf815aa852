package master

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/millrace/millrace/jobs/plan"
	"github.com/millrace/millrace/master/sched"
	"github.com/millrace/millrace/master/wire"
)

// entry is one record in the journal: the scheduler's, and what the master must know again beside it.
type entry struct {
	Record  sched.Record  `json:"record"`
	At      time.Time     `json:"at"`
	Spec    *plan.Spec    `json:"spec,omitempty"`    // of RecordSubmit
	Objects []plan.Object `json:"objects,omitempty"` // of RecordSubmit: the inputs as listed
	Outcome *wire.Outcome `json:"outcome,omitempty"` // of RecordSelected
	Chain   *chainEntry   `json:"chain,omitempty"`   // of a chain, which the scheduler does not know: there is no Record then
}

// jobRecords is what one batch appends to one job's log.
type jobRecords struct {
	job     sched.JobID
	records [][]byte
}

// encodeLocked returns the records among the effects, grouped by job in the order of their first record.
func (m *Master) encodeLocked(effects []sched.Effect) ([]jobRecords, error) {
	var out []jobRecords
	for _, e := range effects {
		r, ok := e.(sched.Record)
		if !ok {
			continue
		}
		if m.o.Volatile { // no successor will read it
			m.noteDecisionLocked(r, m.o.Now())
			continue
		}
		id := r.Job
		if r.Kind == sched.RecordSubmit {
			id = r.Submit.Job
		}
		b, err := json.Marshal(m.entryLocked(m.jobs[id], r))
		if err != nil {
			return nil, fmt.Errorf("master: encode record of job %s: %w", id, err)
		}
		i := slices.IndexFunc(out, func(x jobRecords) bool { return x.job == id })
		if i < 0 {
			i = len(out)
			out = append(out, jobRecords{job: id})
		}
		out[i].records = append(out[i].records, b)
	}
	return out, nil
}

func (m *Master) entryLocked(j *job, r sched.Record) entry {
	e := entry{Record: r, At: m.o.Now()}
	switch {
	case r.Kind == sched.RecordSubmit:
		e.At, e.Spec, e.Objects = j.submitted, &j.spec, j.plan.Objects
	case r.Kind == sched.RecordSelected:
		e.Outcome = j.kept(m.results[r.Attempt])
	}
	m.noteDecisionLocked(r, e.At)
	return e
}

// noteDecisionLocked keeps when a job was decided, which its manifest says.
func (m *Master) noteDecisionLocked(r sched.Record, at time.Time) {
	if r.Kind == sched.RecordState && r.State == sched.Committing {
		m.jobs[r.Job].decided = at
	}
}

// recover rebuilds the jobs and the scheduler from the journal, before the first event.
func (m *Master) recover(ctx context.Context) error {
	logs, err := m.journal.Load(ctx)
	if err != nil {
		return fmt.Errorf("%w: %w", errLoad, err)
	}
	var records []sched.Record
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, l := range logs {
		for i, b := range l.Records {
			var e entry
			if err := json.Unmarshal(b, &e); err != nil {
				return fmt.Errorf("journal of job %s: record %d: %w", l.Job, i, err)
			}
			if err := m.replayLocked(l.Job, e); err != nil {
				return fmt.Errorf("journal of job %s: record %d: %w", l.Job, i, err)
			}
			if e.Chain == nil {
				records = append(records, e.Record)
			}
		}
	}
	if m.sched, err = sched.Replay(m.o.Scheduler, records); err != nil {
		return fmt.Errorf("replay the journal: %w", err)
	}
	return nil
}

// replayLocked takes one journal entry into the jobs, as the effects that followed it did.
func (m *Master) replayLocked(id sched.JobID, e entry) error {
	if e.Chain != nil {
		return m.replayChainLocked(id, e)
	}
	j := m.jobs[id]
	if e.Record.Kind == sched.RecordSubmit {
		p, err := plan.Make(*e.Spec, e.Objects)
		if err != nil {
			return err
		}
		m.jobs[id] = newJob(id, p, e.At)
		m.order = append(m.order, id)
		return nil
	}
	if j == nil {
		return fmt.Errorf("it comes before the job's submission")
	}
	switch e.Record.Kind {
	case sched.RecordSelected:
		j.selected(sched.Selected{Worker: e.Record.Worker, Attempt: e.Record.Attempt}, string(e.Record.Worker), e.Outcome)
		j.warn(e.At, j.counters.warning())
	case sched.RecordLost:
		if e.Record.Attempt.Task.Phase == sched.Map {
			j.runLost(sched.RunLost{Attempt: e.Record.Attempt})
		}
	case sched.RecordState:
		if e.Record.State == sched.Committing {
			j.decided = e.At
		}
		if e.Record.State.Ended() {
			j.end(e.At, e.Record.State, e.Record.Reason)
		}
	}
	return nil
}
