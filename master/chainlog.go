package master

import (
	"context"
	"fmt"
	"time"

	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/jobs/plan"
	"github.com/millrace/millrace/master/records"
	"github.com/millrace/millrace/master/sched"
	"github.com/millrace/millrace/master/wire"
)

// chainEntry is what the journal keeps of a chain, beside the entries of its stages' jobs: one for its submission, one for each
// stage that is done, one for a cancel, one for its end.
type chainEntry struct {
	At      time.Time         `json:"at"`
	User    string            `json:"user,omitempty"` // of the submission, as are the four that follow
	Version string            `json:"version,omitempty"`
	Objects int               `json:"objects,omitempty"`
	Bytes   int64             `json:"bytes,omitempty"`
	Digest  string            `json:"digest,omitempty"`
	Done    *jobs.StageResult `json:"done,omitempty"`
	Status  *wire.StageStatus `json:"status,omitempty"` // of Done
	Stopped bool              `json:"stopped,omitempty"`
	State   sched.JobState    `json:"state,omitempty"` // of the end
	Reason  string            `json:"reason,omitempty"`
}

// noteChain makes an entry of a chain durable.
func (m *Master) noteChain(ctx context.Context, j *job, e chainEntry, spec []byte) error {
	block, err := m.chainBlock(ctx, j, e, spec)
	if err != nil {
		return err
	}
	return m.note(ctx, j.id, block)
}

// chainBlock makes the block of an entry of a chain.
func (m *Master) chainBlock(ctx context.Context, j *job, e chainEntry, spec []byte) ([]byte, error) {
	if m.o.Volatile { // no successor will read it
		return nil, nil
	}
	doc, err := withPlan(e, spec)
	if err != nil {
		return nil, fmt.Errorf("encode record of chain %s: %w", j.id, err)
	}
	return m.document(ctx, j, records.Chain, doc)
}

// replayChainLocked takes a chain's journal entry into the jobs.
func (m *Master) replayChainLocked(id sched.JobID, doc []byte) error {
	var c chainEntry
	packed, err := cutPlan(doc, &c)
	if err != nil {
		return err
	}
	j := m.jobs[id]
	switch {
	case len(packed) > 0:
		spec, _, err := records.ReadPlan(packed)
		if err != nil {
			return fmt.Errorf("spec: %w", err)
		}
		j = newJob(id, &plan.Plan{Spec: spec, InBytes: c.Bytes}, c.At)
		j.user, j.objects, j.chain = c.User, c.Objects, &chain{digest: c.Digest}
		m.jobs[id] = j
		m.order = append(m.order, id)
	case j == nil || j.chain == nil:
		return fmt.Errorf("it comes before the chain's submission")
	case c.Done != nil && c.Status != nil:
		j.stageDone(*c.Done, *c.Status)
	case c.Stopped:
		j.chain.stopped = true
	case c.State.Ended():
		j.end(c.At, c.State, c.Reason)
	}
	return nil
}

// adoptLocked joins the jobs of stages to their chains, and returns the chains that are under way.
func (m *Master) adoptLocked() (open []*job) {
	for _, id := range m.order {
		j := m.jobs[id]
		if parent := m.jobs[chainOf(id)]; parent != nil && parent.chain != nil {
			j.parent = parent
		}
		if j.chain != nil && j.ended.IsZero() {
			open = append(open, j)
		}
	}
	return open
}
