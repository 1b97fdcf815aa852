package master

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"slices"
	"time"

	"github.com/millrace/millrace/jobs/plan"
	"github.com/millrace/millrace/master/journal"
	"github.com/millrace/millrace/master/records"
	"github.com/millrace/millrace/master/sched"
)

// What the journal holds of a job are blocks of package records: its submission, with the plan; then what became of its tasks, of
// the scheduler's records; of a chain the documents of chain.go. recover.go reads them.

// submission is the head of the document with which a job's log begins. The plan follows it.
type submission struct {
	At     time.Time `json:"at"`
	User   string    `json:"user,omitempty"`
	Job    string    `json:"job"`
	Output string    `json:"output"`
	// Version is of millrace, of the master that planned the job.
	Version string `json:"version,omitempty"`
	Maps    int    `json:"maps"`
	Parts   int    `json:"reducers"`
	// Cuts is a digest of where the input is cut. Another version of this program may cut it otherwise: then its tasks are not those
	// of which the log tells.
	Cuts uint64 `json:"cuts"`
}

// cutsOf is the digest of a plan's splits.
func cutsOf(p *plan.Plan) uint64 {
	h := fnv.New64a()
	var b [8]byte
	for _, size := range p.SplitSizes() {
		binary.LittleEndian.PutUint64(b[:], uint64(size))
		_, _ = h.Write(b[:]) // never fails
	}
	return h.Sum64()
}

// withPlan writes a document: the length of the head, the head in JSON, and the plan.
func withPlan(head any, p []byte) ([]byte, error) {
	text, err := json.Marshal(head)
	if err != nil {
		return nil, err
	}
	b := append(binary.AppendUvarint(make([]byte, 0, len(text)+len(p)+8), uint64(len(text))), text...)
	return append(b, p...), nil
}

// cutPlan takes what withPlan wrote apart. With ErrNewer comes what is known here.
func cutPlan(b []byte, head any) (p []byte, err error) {
	n, used := binary.Uvarint(b)
	if used <= 0 || n > uint64(len(b)-used) {
		return nil, fmt.Errorf("%w: its head is cut off", records.ErrDamaged)
	}
	b = b[used:]
	if err := records.Unmarshal(b[:n], head); err != nil {
		return b[n:], fmt.Errorf("its head: %w", err)
	}
	return b[n:], nil
}

// openLog makes the first block of a job's log.
func (m *Master) openLog(ctx context.Context, j *job) error {
	if m.o.Volatile { // no successor will read it
		return nil
	}
	head := submission{At: j.submitted, User: j.user, Job: j.spec.Job, Output: j.spec.Output, Version: m.o.Version, Maps: j.plan.Maps, Parts: j.plan.Reducers, Cuts: cutsOf(j.plan)}
	p, err := records.AppendPlan(nil, &j.spec, j.plan.Objects)
	if err != nil {
		return fmt.Errorf("job %s: %w", j.id, err)
	}
	doc, err := withPlan(head, p)
	if err != nil {
		return fmt.Errorf("job %s: encode its submission: %w", j.id, err)
	}
	j.opening, err = m.document(ctx, j, records.Submission, doc)
	return err
}

// encodeLocked returns the records among the effects as blocks, job by job in the order of their first record.
func (m *Master) encodeLocked(effects []sched.Effect) ([]journal.Batch, error) {
	var out []journal.Batch
	// As the block has it: the manifest tells when a job was decided, and its next master must write the same one.
	at := m.o.Now().UTC().Truncate(time.Millisecond)
	for _, e := range effects {
		r, ok := e.(sched.Record)
		if !ok {
			continue
		}
		j := m.jobs[r.Job]
		if r.Kind == sched.RecordState && r.State == sched.Committing {
			j.decided = at
		}
		if m.o.Volatile { // no successor will read it
			continue
		}
		i := slices.IndexFunc(out, func(b journal.Batch) bool { return b.Job == r.Job })
		if i < 0 {
			i = len(out)
			out = append(out, journal.Batch{Job: r.Job})
		}
		switch r.Kind {
		case sched.RecordSubmit:
			out[i].Records = append(out[i].Records, j.opening)
			j.opening = nil
		case sched.RecordSelected:
			m.writer(j).Add(at, r, j.kept(m.results[r.Attempt]))
		default:
			m.writer(j).Add(at, r, nil)
		}
	}
	for i := range out {
		if w := m.jobs[out[i].Job].writer; w != nil {
			out[i].Records = append(out[i].Records, w.Blocks()...)
		}
	}
	return out, nil
}

// writer is what encodes a job's records in this term.
func (m *Master) writer(j *job) *records.Writer {
	if j.writer == nil {
		j.writer = records.NewWriter(m.codec)
	}
	return j.writer
}

// note makes a block of a job durable.
func (m *Master) note(ctx context.Context, id sched.JobID, block []byte) error {
	if m.o.Volatile { // no successor will read it
		return nil
	}
	return m.journal.Append(ctx, id, [][]byte{block})
}
