package master

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/millrace/millrace/jobs/plan"
	"github.com/millrace/millrace/master/journal"
	"github.com/millrace/millrace/master/records"
	"github.com/millrace/millrace/master/sched"
	"github.com/millrace/millrace/master/wire"
	"github.com/millrace/millrace/storage"
)

// An ended job's log is replaced by a summary: what its status, log and explanation show. So a journal is as large as what runs, and
// a next master needs neither the plan nor the storage to know the job. Behind a job's end these steps follow, each of which can be
// repeated, by this master or the next one:
//
//	what it left in its output is removed, and its claim there -> its log is replaced -> what only the log pointed to is removed ->
//	its claim in the journal ends -> the log says that nothing is left to do

// Bounds of a summary.
const (
	// maxSummary is the longest block, bytes: a thousand jobs are kept.
	maxSummary = 48 << 10
	// maxKeptLines and fewKeptLines are the last lines of the log that are kept, and those if they are long.
	maxKeptLines = 200
	fewKeptLines = 20
)

// summary is what stays of an ended job.
type summary struct {
	Status    wire.JobStatus    `json:"status"`
	Spec      *plan.Spec        `json:"spec,omitempty"` // none if it is long
	Maps      int               `json:"maps"`
	Reducers  int               `json:"reducers"`
	Chain     bool              `json:"chain,omitempty"`
	Bulky     bool              `json:"bulky,omitempty"` // blocks of its log lay in the storage
	Explained *wire.Explanation `json:"explained,omitempty"`
	Requests  storage.Requests  `json:"requests"` // the master's
	Digest    string            `json:"digest,omitempty"`
	Sums      []uint64          `json:"sums,omitempty"`
	Listed    []plan.Object     `json:"listed,omitempty"`
	Log       []wire.LogLine    `json:"log,omitempty"`
	Dropped   int               `json:"dropped,omitempty"` // lines before these
}

// summaryLocked makes the block that stands for an ended job. What does not fit is left out, the least needed first.
func (m *Master) summaryLocked(j *job) ([]byte, error) {
	s := summary{
		Status: *m.statusLocked(j), Spec: &j.spec, Maps: j.plan.Maps, Reducers: j.plan.Reducers, Chain: j.chain != nil, Bulky: j.bulky,
		Explained: j.explained,
		Requests:  j.requests(), Digest: j.digest, Sums: j.sums, Listed: j.listed,
	}
	s.Status.Ended, s.Status.Workers = j.ended, 0
	if j.noSpec {
		s.Spec = nil
	}
	s.keepLines(j, maxKeptLines)
	for _, shorten := range []func(){
		func() {},
		func() { s.keepLines(j, fewKeptLines) },
		func() { s.Sums, s.Listed = nil, nil },
		func() { s.Spec = nil },
		func() { s.Explained = nil },
		func() { s.cutStatus() },
	} {
		shorten()
		doc, err := json.Marshal(s)
		if err != nil {
			return nil, fmt.Errorf("job %s: encode its summary: %w", j.id, err)
		}
		if block := m.codec.Document(records.Summary, doc); len(block) <= maxSummary {
			return block, nil
		}
	}
	return nil, fmt.Errorf("job %s: its summary has more than %d bytes", j.id, maxSummary)
}

func (s *summary) keepLines(j *job, n int) {
	from := max(0, len(j.log)-n)
	s.Log, s.Dropped = j.log[from:], j.dropped+from
}

// cutStatus shortens what has no bound of its own. The manifest of an output has all of it.
func (s *summary) cutStatus() {
	st := &s.Status
	st.Warnings = append(slices.Clone(st.Warnings[:min(len(st.Warnings), 10)]), "a master that took over since keeps only a part of what was known of the job")
	st.Inputs, st.Side, st.Stages, st.Outputs, st.First, st.Parts = nil, nil, st.Stages[:min(len(st.Stages), 5)], nil, nil, nil
	st.Error = cut(st.Error, maxListed)
	for i := range st.Warnings {
		st.Warnings[i] = cut(st.Warnings[i], maxListed)
	}
	if few := map[string]int64{}; len(st.Counters) > maxDetailCounters {
		for _, name := range slices.Sorted(maps.Keys(st.Counters))[:maxDetailCounters] {
			few[name] = st.Counters[name]
		}
		st.Counters = few
	}
	st.Params = nil
	for i := range s.Log {
		s.Log[i].Text = cut(s.Log[i].Text, maxListed)
	}
}

// restore makes an ended job of its summary.
func restore(id sched.JobID, doc []byte) (*job, error) {
	var s summary
	if err := json.Unmarshal(doc, &s); err != nil {
		return nil, fmt.Errorf("%w: summary: %w", records.ErrDamaged, err)
	}
	st := &s.Status
	if !st.State.Ended() || st.Ended.IsZero() {
		return nil, fmt.Errorf("%w: the summary of a job that is %v", records.ErrDamaged, st.State)
	}
	spec := plan.Spec{Job: st.Job, Output: st.Output}
	if s.Spec != nil {
		spec = *s.Spec
	}
	j := &job{
		id: id, spec: spec, plan: &plan.Plan{Maps: s.Maps, Reducers: s.Reducers, InBytes: st.InBytes}, objects: st.Objects,
		submitted: st.Submitted, ended: st.Ended, state: st.State, reason: st.Error, summed: st, noSpec: s.Spec == nil, bulky: s.Bulky,
		explained: s.Explained, asked: s.Requests, digest: s.Digest, sums: s.Sums, listed: s.Listed, log: s.Log, dropped: s.Dropped,
		version: st.Version, account: newAccount(0), sampled: true,
	}
	if j.explained == nil {
		j.explained = new(wire.Explanation)
	}
	for _, l := range j.log {
		j.logged += len(l.Text)
	}
	if s.Chain {
		j.chain = new(chain)
	}
	return j, nil
}

// requests are those of the masters for the job, as far as this one knows.
func (j *job) requests() storage.Requests {
	sum := j.asked
	sum.Add(j.account.meter.Requests())
	return sum
}

// conclude does what is left behind a job's end when nothing of it lies in its output any more.
func (m *Master) conclude(ctx context.Context, j *job) {
	var err error
	if j.parent == nil { // it is the chain's otherwise
		err = m.letGo(ctx, j.spec.Output, j.id)
	}
	kept := m.replaceLog(ctx, j)
	if kept {
		m.removeBulk(ctx, j)
	}
	if err = errors.Join(err, m.journal.Release(ctx, j.spec.Output, j.id)); err != nil {
		m.o.Log.Warn("release output", "job", j.id, "output", j.spec.Output, "error", err)
	}
	m.sweptNow(j)
	m.cleaned(ctx, j, kept && err == nil)
}

// sweptNow lets those know who wait for a job's end.
func (m *Master) sweptNow(j *job) {
	m.mu.Lock()
	defer m.mu.Unlock()
	j.swept = true
	j.touch()
}

// replaceLog puts a job's summary in place of its log, and says whether it is there.
func (m *Master) replaceLog(ctx context.Context, j *job) bool {
	if m.o.Volatile || j.summed != nil {
		return true
	}
	m.mu.Lock()
	block, err := m.summaryLocked(j)
	m.mu.Unlock()
	if err == nil {
		err = m.journal.Replace(ctx, j.id, [][]byte{block})
	}
	if err != nil {
		m.o.Log.Warn("replace the log of an ended job: the next master does", "job", j.id, "error", err)
	}
	return err == nil
}

// cleaned notes that nothing is left to do for an ended job, unless something is. Then the next master looks again.
func (m *Master) cleaned(ctx context.Context, j *job, all bool) {
	if all && !m.o.Volatile {
		err := m.note(ctx, j.id, m.codec.Document(records.Cleaned, nil))
		if err != nil && !errors.Is(err, journal.ErrFenced) {
			m.o.Log.Warn("note that a job is cleaned up behind", "job", j.id, "error", err)
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	j.clean = true
	m.forgetOldLocked(ctx)
	m.shortenLogsLocked(maxEndedLogs)
}

// specGone refuses what takes more of an ended job than its summary keeps.
func (j *job) specGone() error {
	if !j.noSpec {
		return nil
	}
	return refuse(wire.ErrNoTask, "replay job "+string(j.id), "another master ran it, and how it was planned is not kept, as it is too long or could not be read: name its output, "+j.spec.Output+", in place of its id")
}
