package sched_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/millrace/millrace/master/sched"
)

// checker sees everything, and says at once what must never be. The numbers are those of the invariants in
// docs/reliability.md.
type checker struct {
	w      *world
	logged []logged // every record that any master ever made; the journal's bytes are numbers of these
	jobs   []*jobLog
	makers map[attemptID]*simWorker // who succeeded with an attempt
	begins map[attemptID]*simWorker // who began an attempt
	parts  map[attemptID][]pending
	shown  map[attemptID]bool // runs whose record is durable
	term   uint64             // the newest
	outs   map[string]*outputLog
}

// jobLog is what the durable records say of a job.
type jobLog struct {
	*simJob
	submitted bool
	state     sched.JobState
	reason    string
	selected  map[taskID]attemptID
	chosen    map[taskID]attemptID // the same, and who was selected last where the result is gone
	parts     map[taskID][]pending // of chosen
	decidedAt time.Duration
	failures  map[taskID]int
	failsJob  bool
	looks     map[uint64]time.Duration // when the master of a term began to look the uploads up for the last time
	lookedAt  time.Duration            // the same of the term that decided
	expired   map[int]time.Duration    // when its uploads expired, by their ids
}

// outputLog is what an output holds that is complete.
type outputLog struct {
	manifest *simManifest
	holds    map[objectKey]uint64
}

func newChecker(w *world) *checker {
	return &checker{w: w, makers: map[attemptID]*simWorker{}, begins: map[attemptID]*simWorker{}, parts: map[attemptID][]pending{},
		shown: map[attemptID]bool{}, outs: map[string]*outputLog{}}
}

func (c *checker) job(id jobID) *jobLog { return c.jobs[id[0]-'a'] }

// recorded sees a record in the moment in which it becomes durable. I1, I3: the records tell a sane story.
func (c *checker) recorded(term uint64, l *logged) {
	w, r := c.w, l.Record
	w.mix(uint64(r.Kind)<<32 | uint64(r.Attempt.Task.Index)<<16 | uint64(r.Attempt.N))
	if r.Kind == sched.RecordSubmit {
		j := c.job(r.Submit.Job)
		if j.submitted {
			w.fail("job %s is submitted twice", j.id())
		}
		j.submitted, j.state = true, sched.Running
		return
	}
	j := c.job(r.Job)
	if !j.submitted || j.state.Ended() {
		w.fail("a record of kind %d of job %s, which is %v", r.Kind, r.Job, j.state)
		return
	}
	was, is := j.selected[r.Attempt.Task]
	switch r.Kind {
	case sched.RecordSelected:
		switch {
		case is:
			w.fail("I3: %v is selected, and %v is already", r.Attempt, was)
		case j.state != sched.Running:
			w.fail("I1: %v is selected after the decision", r.Attempt)
		case c.makers[r.Attempt] == nil && r.Attempt.Task.Phase != sched.Sample:
			w.fail("%v is selected, and has no result", r.Attempt)
		}
		j.selected[r.Attempt.Task], j.chosen[r.Attempt.Task] = r.Attempt, r.Attempt
		j.parts[r.Attempt.Task] = c.parts[r.Attempt]
		c.shown[r.Attempt] = true
	case sched.RecordLost:
		if !is || was != r.Attempt {
			w.fail("%v is lost, and selected is %v", r.Attempt, was)
		}
		delete(j.selected, r.Attempt.Task)
	case sched.RecordRemake:
		if is || j.chosen[r.Attempt.Task] != r.Attempt {
			w.fail("%v is made anew, and selected is %v, %v", r.Attempt, was, j.chosen[r.Attempt.Task])
		}
	case sched.RecordState:
		c.recordedState(term, j, r)
	}
}

func (c *checker) recordedState(term uint64, j *jobLog, r sched.Record) {
	if c.w.out != nil {
		c.w.log("durable: job %s is %v %s", j.id(), r.State, r.Reason)
	}
	switch {
	case r.State == sched.Committing && j.state == sched.Running:
		j.lookedAt = j.looks[term]
		c.decided(j)
	case r.State == sched.Done && j.state == sched.Committing:
		c.committed(j)
	case r.State == sched.JobFailed, r.State == sched.Cancelled && j.state == sched.Running:
	default:
		c.w.fail("I1: job %s is %v after %v", j.id(), r.State, j.state)
	}
	j.state, j.reason = r.State, r.Reason
}

// decided sees the decision: each task has one result, and the parts are those of the sequential run.
func (c *checker) decided(j *jobLog) {
	j.decidedAt = c.w.now
	got := map[objectKey]uint64{}
	for _, t := range j.leavers() {
		if _, ok := j.chosen[t]; !ok {
			c.w.fail("I9: job %s is decided without %v", j.id(), t)
		}
		if _, ok := j.selected[t]; !ok && (t.Phase == sched.Reduce || j.submit.Reducers == 0) {
			c.w.fail("I3: job %s is decided, and %v is not selected", j.id(), t)
		}
		for _, p := range j.parts[t] {
			got[p.key] = p.sum
		}
	}
	c.compare(j, "decided", got)
}

// compare compares an output with the oracle's.
func (c *checker) compare(j *jobLog, when string, got map[objectKey]uint64) {
	want := j.oracle()
	if j.chaotic { // any run of each map, but the same one for all parts
		want = c.oneChoice(j)
	}
	if !maps.Equal(got, want) {
		c.w.fail("the result of job %s, %s, is not the sequential run's:\n got %v\nwant %v", j.id(), when, got, want)
	}
}

// oneChoice is the output of a job that is not deterministic, made of the runs that were selected last.
func (c *checker) oneChoice(j *jobLog) map[objectKey]uint64 {
	want := j.oracle()
	runs := map[int]uint64{}
	for i := range j.submit.Maps {
		runs[i] = j.runSum(j.chosen[taskID{Job: j.id(), Phase: sched.Map, Index: i}])
	}
	for p := range j.submit.Reducers {
		want[j.partKey(taskID{Job: j.id(), Phase: sched.Reduce, Index: p})] = j.partSum(p, runs)
	}
	return want
}

// committed sees the record that ends a job well. I2, I8: its output is there, whole.
func (c *checker) committed(j *jobLog) {
	m := c.w.bucket.objects[objectKey{output: j.output, phase: manifestObject}].manifest
	if m == nil || m.job != j.id() {
		c.w.fail("I2: job %s is committed, and its manifest is not there", j.id())
		return
	}
	got := map[objectKey]uint64{}
	for _, p := range m.parts {
		if o, ok := c.w.bucket.objects[p.key]; ok {
			got[p.key] = o.sum
		}
	}
	c.compare(j, "committed", got)
}

// changed sees every change of an object that can be seen.
func (c *checker) changed(key objectKey, by jobID) {
	w, j := c.w, c.job(by)
	o, there := w.bucket.objects[key]
	w.mix(o.sum)
	out := c.outs[key.output]
	if key.phase == claimObject {
		return
	}
	// A part may still appear when the commit has failed, until the output is released: none is complete without a manifest.
	if j.state != sched.Committing && !(j.state == sched.JobFailed && key.phase != manifestObject) && !c.same(key, out) {
		w.fail("I2: %v changes for job %s, which is %v", key, by, j.state)
	}
	if holder := w.etcd.claims[key.output]; holder != by && !c.same(key, out) {
		w.fail("I11: %v changes for job %s, and job %q holds the output", key, by, holder)
	}
	// Before that record a manifest may come late from an earlier leader, and be removed and written again by this one.
	if out != nil && out.manifest.job == by && j.state == sched.Done && !c.same(key, out) {
		w.fail("I10: %v changes after job %s was committed", key, by)
	}
	if key.phase != manifestObject {
		return
	}
	if !there {
		delete(c.outs, key.output)
		return
	}
	out = &outputLog{manifest: o.manifest, holds: map[objectKey]uint64{key: o.sum}}
	for _, p := range o.manifest.parts {
		got, ok := w.bucket.objects[p.key]
		if !ok || got.sum != p.sum {
			w.fail("I8: the manifest of job %s names %v, which is not there as it says", by, p.key)
		}
		out.holds[p.key] = got.sum
	}
	c.outs[key.output] = out
	if want := c.records(j); o.manifest.records != want {
		w.fail("I9: the manifest of job %s counts %d records, the input has %d", by, o.manifest.records, want)
	}
	for _, u := range w.bucket.uploads {
		if u.key.output == key.output && u.at < j.decidedAt {
			w.fail("job %s is committed, and an upload of %v by %v is left that was begun before", by, u.key, u.by)
		}
	}
}

func (c *checker) records(j *jobLog) (n int64) {
	for _, b := range j.submit.Maps {
		n += b
	}
	return n
}

// same says whether an object is what the complete output holds.
func (c *checker) same(key objectKey, out *outputLog) bool {
	if out == nil {
		return false
	}
	o, there := c.w.bucket.objects[key]
	sum, held := out.holds[key]
	return there == held && o.sum == sum
}

// aborted sees an upload go. I11: nobody takes what another job, or the job's own result, needs.
func (c *checker) aborted(u *upload, by jobID) {
	j := c.job(u.by.Task.Job)
	if j.state.Ended() || !j.submitted {
		return
	}
	if by != j.id() {
		c.w.fail("I11: job %s aborts the upload of %v by %v, of a job that is %v", by, u.key, u.by, j.state)
	}
	for _, p := range j.parts[u.by.Task] {
		if p.id == u.id {
			c.w.fail("I10: the upload of %v by %v counts, and is aborted", u.key, u.by)
		}
	}
}

// expired sees the bucket end an upload. It may be missed only from the look of the master that decided on.
func (c *checker) expired(u *upload) {
	j := c.job(u.by.Task.Job)
	j.expired[u.id] = c.w.now
}

// began sees a term begin. I5: terms increase.
func (c *checker) began(m *master, n uint64) {
	c.w.mix(n)
	if n <= c.term {
		c.w.fail("I5: term %d begins after term %d", n, c.term)
	}
	c.term = n
	if c.w.etcd.leader.host != m.host || c.w.etcd.leader.created == 0 {
		c.w.fail("I7: term %d begins for master %d, and the leader's key is that of master %d", n, m.host, c.w.etcd.leader.host)
	}
}

// written sees a write being done. I7: it is of the term that lasts.
func (c *checker) written(term uint64) {
	if term != c.term {
		c.w.fail("I7: a write of term %d is done in term %d", term, c.term)
	}
}

// answered sees an answer leave a leader. I12: nobody leads after it. A clock that stood still fools the leader: then only
// writes are safe.
func (c *checker) answered(r *reign) {
	if r.term.N < c.term && !c.w.chances.clocksStop {
		c.w.fail("I12: %s answers in term %d, and term %d has begun", r.m.name, r.term.N, c.term)
	}
}

// heard sees a worker act on an answer.
func (c *checker) heard(k *simWorker, term uint64) {
	if term < k.term {
		c.w.fail("I12: %s acts on an answer of term %d, and knows of term %d", k.id, term, k.term)
	}
}

func (c *checker) made(k *simWorker, o *outcome) {
	c.makers[o.attempt] = k
	c.parts[o.attempt] = o.parts
}

func (c *checker) failed(id attemptID, f *sched.Failure) {
	j := c.job(id.Task.Job)
	switch f.Kind {
	case sched.FailTask, sched.FailWorker: // that one only where no other worker could try the task
		j.failures[id.Task]++
	case sched.FailJob:
		j.failsJob = true
	case sched.FailFetch:
		c.w.stats.count(statFetchFailed)
	case sched.FailReach:
		c.w.stats.count(statOutOfReach)
	}
}

// begun sees an attempt begin: it is one worker's.
func (c *checker) begun(k *simWorker, id attemptID) {
	if other := c.begins[id]; other != nil && other != k {
		c.w.fail("%v was given to %s and to %s", id, other.id, k.id)
	}
	c.begins[id] = k
}

// fetched sees a reduce attempt read a run. I4: its record is durable.
func (c *checker) fetched(run attemptID) {
	if !c.shown[run] {
		c.w.fail("I4: the run of %v is read before its record is durable", run)
	}
}

// dropped sees a worker forget a job: it has ended, or was never taken.
func (c *checker) dropped(k *simWorker, id jobID) {
	if j := c.job(id); j.submitted && !j.state.Ended() {
		c.w.fail("%s drops what it has of job %s, which is %v", k.id, id, j.state)
	}
}

// accepted sees a client being told that its job is taken: it is durable.
func (c *checker) accepted(j *simJob) {
	if !c.job(j.id()).submitted {
		c.w.fail("the client of job %s is told that it is taken, and it is not durable", j.id())
	}
}

// told sees a client being told how its job stands.
func (c *checker) told(j *simJob, a answer) {
	l := c.job(j.id())
	switch {
	case !a.known:
		c.w.fail("job %s was taken, and its client is told that it is not known", j.id())
	case a.state.Ended() && a.state != l.state:
		c.w.fail("the client of job %s is told that it is %v, and it is %v", j.id(), a.state, l.state)
	}
}

// effect sees what a scheduler wants done, and counts.
func (c *checker) effect(r *reign, e sched.Effect, ev sched.Event, all []sched.Effect) {
	switch e := e.(type) {
	case sched.Kill:
		if strings.HasPrefix(e.Reason, "a map task") {
			c.w.stats.count(statPreempted)
		}
	case sched.Noted:
		for _, n := range notes {
			if strings.Contains(e.Text, n.part) {
				c.w.stats.count(n.stat)
			}
		}
	case sched.Commit:
		want := r.jobs[e.Job].submit.Reducers
		if want == 0 {
			want = len(r.jobs[e.Job].submit.Maps)
		}
		if len(e.Parts) != want {
			c.w.fail("the commit of job %s has %d parts of %d", e.Job, len(e.Parts), want)
		}
	case sched.RunLost:
		c.w.stats.count(statRunLost)
		if !because(r, e, ev, all) {
			c.w.fail("%v is lost: its worker %s is there, and nobody missed it", e.Attempt, e.Worker)
		}
	}
}

var notes = []struct {
	part string
	stat int
}{{"goes on from", statAdopted}, {"would need", statBackups}, {"won", statBackupWins}, {"left out", statExcluded},
	{"its runs are given up", statAllRunsGivenUp}, {"come slowly", statSlowRunsGivenUp}}

// because says whether a run was taken back for a reason: its worker is gone, a reduce attempt could not read just this
// run, several of its worker's runs could not be read, or parts that came with it are gone.
func because(r *reign, lost sched.RunLost, ev sched.Event, all []sched.Effect) bool {
	if !r.sched.Known(lost.Worker) {
		return true
	}
	switch ev := ev.(type) {
	case sched.Poll:
		for _, o := range ev.Done {
			if o.Failure != nil && (o.Failure.Kind == sched.FailFetch || o.Failure.Kind == sched.FailReach) && o.Failure.Run == lost.Attempt {
				return true
			}
		}
	case sched.PartsLost:
		if slices.Contains(ev.Attempts, lost.Attempt) {
			return true
		}
	}
	return slices.ContainsFunc(all, func(e sched.Effect) bool {
		n, ok := e.(sched.Noted)
		return ok && n.Worker == lost.Worker && strings.Contains(n.Text, "given up")
	})
}

// over says whether nothing is left to be waited for.
func (c *checker) over() bool {
	for _, j := range c.jobs {
		switch {
		case j.submitted && !j.state.Ended():
			return false
		case j.submitted && c.w.etcd.claims[j.output] == j.id():
			return false
		case !j.gone && !j.refused && !j.told.Ended():
			return false
		case !j.submitted && !j.gone && !j.refused:
			return false
		}
	}
	return true
}

// verify looks at the ends of all jobs: each must have a reason that did happen.
func (c *checker) verify() {
	stats := c.w.stats
	for _, j := range c.jobs {
		switch {
		case !j.submitted:
			stats.count(statNeverTaken)
		case j.state == sched.Done:
			stats.count(statCommitted)
			if j.submit.Reducers == 0 {
				stats.count(statMapOnly)
			}
		case j.state == sched.Cancelled && j.cancelled:
			stats.count(statCancelled)
		case j.state == sched.JobFailed && c.explained(j):
			stats.count(statFailed)
		case !j.state.Ended():
			c.w.fail("job %s has not ended: it is %v; told %v, accepted %v", j.id(), j.state, j.told, j.accepted)
		default:
			c.w.fail("job %s ended %v for no reason: %s", j.id(), j.state, j.reason)
		}
	}
	for name, holder := range c.w.etcd.claims {
		if c.job(holder).submitted {
			c.w.fail("job %s has ended, and its claim on %s is left", holder, name)
		}
	}
	for name, out := range c.outs {
		for key, sum := range out.holds {
			if o, ok := c.w.bucket.objects[key]; !ok || o.sum != sum {
				c.w.fail("I10: output %s is complete, and %v is not as it was", name, key)
			}
		}
	}
}

// missed says whether an upload that counts expired after it was looked up for the decision.
func (j *jobLog) missed() bool {
	for _, parts := range j.parts {
		for _, p := range parts {
			if at, ok := j.expired[p.id]; ok && j.decidedAt > 0 && at >= j.lookedAt {
				return true
			}
		}
	}
	return false
}

func (c *checker) explained(j *jobLog) bool {
	switch {
	case strings.Contains(j.reason, "not deterministic"):
		c.w.stats.count(statNonDeterministic)
		return j.chaotic
	case strings.Contains(j.reason, "none can succeed"):
		return j.failsJob
	case strings.Contains(j.reason, errPendingLost.Error()):
		return j.missed()
	}
	for task, n := range j.failures {
		if n >= j.submit.MaxAttempts && strings.HasPrefix(j.reason, fmt.Sprintf("%s-%05d failed ", task.Phase, task.Index)) {
			return true
		}
	}
	return false
}
