package master

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/jobs/plan"
	"github.com/millrace/millrace/master/records"
	"github.com/millrace/millrace/master/sched"
	"github.com/millrace/millrace/master/wire"
	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/manifest"
)

// job is what the master keeps of a job beyond the scheduler's view. Master.mu guards it.
type job struct {
	id        sched.JobID
	user      string // who submitted it, as they say
	spec      plan.Spec
	plan      *plan.Plan // without its objects once the job has ended
	objects   int        // in the plan
	submitted time.Time
	decided   time.Time // when the decision to commit was made durable
	unsure    time.Time // since when no removal from the output is under way whose outcome is not known
	ended     time.Time // zero while it runs
	finished  bool      // the output is whole and visible, though the scheduler may not have heard of it
	swept     bool      // what it left in its output has been removed
	state     sched.JobState
	reason    string

	sampled   bool // bounds are known, or not needed
	bounds    [][]byte
	runs      runLog
	live      int     // maps whose run can be read
	maps      []share // what each map task's newest selected attempt added to the totals
	reduces   []share
	parts     [3][]leftParts               // by phase and task; nil where no task has left any
	left      []placed                     // of an ended job: what it knows of its uploads, until they are swept
	outputs   map[string]wire.OutputStatus // totals of the parts by output; "" is the job's rows
	cuts      cuts
	first     firsts // errors of records that were set aside
	total     share
	counters  counters
	retries   int
	warnings  []string
	account   *account
	explained *wire.Explanation // of an ended job
	digest    string            // of the input objects, once it is asked for or the job has ended
	sums      []uint64          // checksums of an ended job's first runs
	listed    []plan.Object     // the first input objects of a job that ended without a manifest

	chain  *chain // of a chain: see chain.go
	parent *job   // of a stage of a chain: the chain

	summed *wire.JobStatus  // of an ended job that is known by its summary: all that its status says
	noSpec bool             // that does not have the spec
	asked  storage.Requests // of the masters before, of such a job
	bulky  bool             // blocks of its log lie in the storage
	clean  bool             // nothing is left to do behind its end; some time after swept

	opening []byte          // the first block of its log, until that is written
	unborn  bool            // its submission is not durable yet: nobody is told of it, as the next master may not know it
	writer  *records.Writer // of its records in this term; nil before the first

	log     []wire.LogLine
	logged  int // bytes of the texts in it
	dropped int // lines that no longer are in log
	version uint64
	changed chan struct{} // closed when something above changes; nil while nobody waits for that: see changes
}

// maxWarnings bounds what a status carries of them, as each worker of a large cluster could add one. The log has them all.
const maxWarnings = 20

// warn tells people once of something that does not stop the job.
func (j *job) warn(now time.Time, text string) {
	if text == "" || slices.Contains(j.warnings, text) {
		return
	}
	j.keepWarning(text)
	if j.parent != nil {
		j.parent.keepWarning(fmt.Sprintf("stage %s: %s", stageName(j), text))
	}
	j.logf(now, "", "", "warning: "+text)
}

func (j *job) keepWarning(text string) {
	if len(j.warnings) < maxWarnings {
		j.warnings = append(j.warnings, text)
	}
}

// counted is the user's counters by name.
func (j *job) counted() map[string]int64 { return j.counters.totals() }

// share is what one task's selected attempt contributes to the job's totals. A task that is selected again replaces its
// share, so that counters are exact under retries.
type share struct {
	records, pairs, shuffled, spilled int64
	counters                          []counted // not nil once the task has been selected
}

func (s share) known() bool { return s.counters != nil }

func newJob(id sched.JobID, p *plan.Plan, now time.Time) *job {
	return &job{
		id: id, spec: p.Spec, plan: p, objects: len(p.Objects), submitted: now, state: sched.Running,
		maps: make([]share, p.Maps), reduces: make([]share, p.Reducers), outputs: map[string]wire.OutputStatus{},
		sampled: !needsSample(p),
		runs:    runLog{job: id},
		account: newAccount(p.Reducers),
	}
}

// touch tells those who wait that the job changed.
func (j *job) touch() {
	j.version++
	if j.changed != nil {
		close(j.changed)
		j.changed = nil
	}
	if j.parent != nil {
		j.parent.touch()
	}
}

// changes is closed at the job's next change.
func (j *job) changes() <-chan struct{} {
	if j.changed == nil {
		j.changed = make(chan struct{})
	}
	return j.changed
}

// work is the folder for what lies in the bucket only while the job runs.
func (j *job) work() string {
	return j.spec.Output + "/.millrace-" + string(j.id)
}

// selected takes the result of a selected attempt, by the worker of that name, into the job.
func (j *job) selected(e sched.Selected, worker string, o *wire.Outcome) {
	t := e.Attempt.Task
	j.account.selected(e, worker, o)
	switch t.Phase {
	case sched.Sample:
		j.bounds, j.sampled = o.Sample.Bounds, true
	case sched.Map:
		if o.Cut != nil { // of a replayed record; in others checkCutLocked has looked at it
			_ = j.cuts.add(j.plan, t.Index, *o.Cut)
		}
		add := share{records: o.Records, spilled: o.Spilled}
		if o.Map != nil { // not in a job of maps only
			j.runs.add(wire.RunEvent{Attempt: e.Attempt, Run: *o.Map})
			j.live++
			add.pairs, add.shuffled = o.Map.Pairs, o.Map.Size
		}
		j.first.set(t.Index, o.FirstRejected)
		j.count(&j.maps[t.Index], o, add)
	case sched.Reduce:
		j.count(&j.reduces[t.Index], o, share{spilled: o.Spilled})
	}
	j.leave(e.Attempt, o.Parts)
	j.touch()
}

// count replaces a task's share of the totals.
func (j *job) count(slot *share, o *wire.Outcome, s share) {
	j.total.add(*slot, -1)
	j.counters.takeBack(slot.counters)
	j.total.add(s, 1)
	s.counters = j.counters.add(o.Counters, o.CountersCut)
	*slot = s
}

func (t *share) add(s share, sign int64) {
	t.records += sign * s.records
	t.pairs += sign * s.pairs
	t.shuffled += sign * s.shuffled
	t.spilled += sign * s.spilled
}

func (j *job) runLost(e sched.RunLost) {
	if j.rowsPhase() == sched.Map { // there are no runs: what was lost is a part
		return
	}
	j.runs.add(wire.RunEvent{Attempt: e.Attempt, Lost: true})
	j.live--
	j.touch()
}

func (j *job) end(now time.Time, state sched.JobState, reason string) {
	j.ended, j.state, j.reason = now, state, reason
	j.runs.packed() // when it is replayed
	j.explained = j.explain()
	j.remember()
	if j.chain != nil { // of what its stages wrote its code asks no more
		for i := range j.chain.done {
			j.chain.done[i].Collected = nil
		}
	}
	j.account = &account{meter: j.account.meter, in: j.account.in, pairs: j.account.pairs}
	// What only its tasks and its commit needed goes: a thousand ended jobs are kept, of up to a million tasks each.
	j.plan = &plan.Plan{Maps: j.plan.Maps, Reducers: j.plan.Reducers, InBytes: j.plan.InBytes}
	if state != sched.Done {
		j.left = j.placed()
	}
	j.bounds, j.runs, j.maps, j.reduces, j.parts, j.cuts = nil, runLog{}, nil, nil, [3][]leftParts{}, cuts{}
	text := state.String()
	if reason != "" {
		text += ": " + reason
	}
	j.logf(now, "", "", text)
}

// logf adds a line to the job's log.
func (j *job) logf(now time.Time, attempt, worker, text string) {
	if len(j.log) >= maxLogLines || j.logged+len(text) > maxLogBytes {
		j.keepLines(maxLogLines-maxLogLines/10, maxLogBytes-maxLogBytes/10)
	}
	j.logged += len(text)
	j.log = append(j.log, wire.LogLine{Time: now, Attempt: attempt, Worker: worker, Text: text})
	if j.parent != nil {
		j.parent.logf(now, attempt, worker, fmt.Sprintf("stage %s: %s", stageName(j), text))
	}
	j.touch()
}

// keepLines drops the oldest lines of the log, so that it has no more than so many lines and bytes.
func (j *job) keepLines(lines, bytes int) {
	n := max(0, len(j.log)-lines)
	for _, l := range j.log[:n] {
		j.logged -= len(l.Text)
	}
	for ; n < len(j.log) && j.logged > bytes; n++ {
		j.logged -= len(j.log[n].Text)
	}
	if n > 0 {
		j.log = append(make([]wire.LogLine, 0, len(j.log)-n), j.log[n:]...)
		j.dropped += n
	}
}

// statusLocked describes a job for people.
func (m *Master) statusLocked(j *job) *wire.JobStatus {
	if j.summed != nil {
		s := *j.summed
		s.Version, s.Workers, s.Ended = j.version, len(m.workers), time.Time{}
		if j.swept {
			s.Ended = j.ended
		}
		return &s
	}
	s := &wire.JobStatus{
		Version: j.version, ID: j.id, Job: j.spec.Job, Params: j.spec.Params, Inputs: shownInputs(j.spec), NumInputs: len(j.spec.Inputs), Side: j.spec.SideInputs,
		Output: j.spec.Output, State: j.state, Error: j.reason, Submitted: j.submitted, Retries: j.retries,
		Objects: j.objects, InBytes: j.plan.InBytes, Records: j.total.records, Pairs: j.total.pairs, Shuffled: j.total.shuffled,
		Spilled: j.total.spilled, Rows: j.outputs[""].Rows, OutBytes: j.outputs[""].Bytes, NumParts: j.rowsParts(), Outputs: j.sideTotals(),
		Counters: j.counted(), Workers: len(m.workers), Warnings: slices.Clip(j.warnings),
	}
	if j.swept { // not earlier: a client that sees the end may look into the output at once
		s.Ended = j.ended
	}
	if v, ok := m.durableLocked(j); ok {
		s.Map, s.Reduce = phaseStatus(v.Map), phaseStatus(v.Reduce)
		if s.Reduce.Tasks > 0 && s.Reduce.Done == s.Reduce.Tasks { // workers tell of bytes now and then: short attempts tell of few
			s.Reduce.Bytes, s.Reduce.BytesDone = j.total.shuffled, j.total.shuffled
		}
		if j.ended.IsZero() {
			s.State = v.State
		}
	}
	if j.spec.SkipBad.Any() {
		s.Rejected, s.SkipBad, s.First = j.rejected(), j.spec.SkipBad.String(), j.first.list()
	}
	if j.chain != nil {
		m.chainStatusLocked(j, s)
	}
	if s.State == sched.Done {
		for p := range min(s.NumParts, wire.MaxPartsShown) {
			s.Parts = append(s.Parts, j.spec.Output+"/"+manifest.PartName(p))
		}
	}
	return s
}

// durableLocked is the scheduler's view of a job without what the journal does not hold yet: the next master may not know it, and
// what people were told stays true.
func (m *Master) durableLocked(j *job) (sched.JobView, bool) {
	v, ok := m.sched.Job(j.id)
	for _, r := range m.pending {
		if r.Job != j.id {
			continue
		}
		phase := []*sched.PhaseView{sched.Sample: &v.Sample, sched.Map: &v.Map, sched.Reduce: &v.Reduce}[r.Attempt.Task.Phase]
		switch r.Kind {
		case sched.RecordSelected:
			phase.Done--
		case sched.RecordLost:
			phase.Done++
		case sched.RecordState:
			v.State = sched.Running
			if r.State.Ended() && !j.decided.IsZero() {
				v.State = sched.Committing
			}
		}
	}
	return v, ok
}

func phaseStatus(v sched.PhaseView) wire.PhaseStatus {
	return wire.PhaseStatus{Tasks: v.Tasks, Done: v.Done, Running: v.Running, Failed: v.Failed, Bytes: v.Bytes, BytesDone: v.BytesDone}
}

// manifest is what the committed output says of itself.
func (j *job) manifest() (*manifest.Manifest, error) {
	schema, err := json.Marshal(j.spec.Info.Schema)
	if err != nil {
		return nil, fmt.Errorf("manifest of job %s: schema: %w", j.id, err)
	}
	bare := j.spec
	bare.Info = jobs.Info{} // the code tells it
	spec, err := json.Marshal(bare)
	if err != nil {
		return nil, fmt.Errorf("manifest of job %s: spec: %w", j.id, err)
	}
	m := &manifest.Manifest{
		Version: manifest.Version, ID: string(j.id), Job: j.spec.Job, Params: j.spec.Params, Program: j.spec.Program, Spec: spec,
		Inputs: manifest.Inputs{
			URLs: j.spec.Inputs, Exclude: j.spec.Exclude, Objects: j.objects, Bytes: j.plan.InBytes, Records: j.total.records, Digest: digest(j.plan.Objects),
			Side: manifestSideInputs(j.spec.SideInputs),
		},
		Schema: schema, Rows: j.outputs[""].Rows, Bytes: j.outputs[""].Bytes, Counters: j.counted(), Rejected: j.rejected(),
		Submitted: j.submitted.UTC(), Decided: j.decided.UTC(),
	}
	names := j.spec.Info.Inputs
	if len(names) > 1 {
		m.Inputs.Named = make([]manifest.NamedInput, len(names))
		for i := range names {
			m.Inputs.Named[i] = manifest.NamedInput{Name: names[i].Name, URLs: j.spec.InputURLs(i)}
		}
	}
	for i, o := range j.plan.Objects {
		if m.Inputs.Named != nil {
			in := &m.Inputs.Named[o.Input]
			in.Objects++
			in.Bytes += o.Size
		}
		if i < manifest.MaxListed {
			m.Inputs.Listed = append(m.Inputs.Listed, manifest.Input{URL: o.URL, Size: o.Size, ETag: o.ETag, Input: o.Input})
		}
	}
	m.Parts, m.Outputs, err = j.manifestParts()
	return m, err
}

// shownInputs are the first of a job's inputs: its status is sent several times a second.
func shownInputs(spec plan.Spec) []string {
	named := spec.NamedInputs()
	return named[:min(len(named), wire.MaxInputsShown)]
}

// digest identifies what a job read.
func digest(objects []plan.Object) string {
	h := sha256.New()
	for _, o := range objects {
		fmt.Fprintf(h, "%q %d %q", o.URL, o.Size, o.ETag)
		if o.Input > 0 { // the same objects on another side of a join are another input
			fmt.Fprintf(h, " %d", o.Input)
		}
		fmt.Fprintln(h)
	}
	return hex.EncodeToString(h.Sum(nil))
}
