package master

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/master/sched"
	"github.com/millrace/millrace/master/wire"
	"github.com/millrace/millrace/storage/manifest"
)

// The records that map attempts set aside lie in parts of the side output manifest.Rejected, a row each. How many a job has set
// aside is therefore the number of rows of the parts that count: exact whichever attempts count, and however often a task ran.

// firsts are the errors of a job's first bad records: of the selected attempts of some map tasks, in the order of the input. They
// are for people; the parts have all.
type firsts []firstsOf

type firstsOf struct {
	task  int
	texts []string
}

// Bounds of what is kept of errors.
const (
	maxFirstTasks = 5
	maxFirstText  = 1 << 10 // bytes, of one
)

// set replaces what a task told.
func (f *firsts) set(task int, texts []string) {
	*f = slices.DeleteFunc(*f, func(x firstsOf) bool { return x.task == task })
	if len(texts) == 0 {
		return
	}
	at, _ := slices.BinarySearchFunc(*f, task, func(x firstsOf, task int) int { return cmp.Compare(x.task, task) })
	*f = slices.Insert(*f, at, firstsOf{task, texts})
	*f = (*f)[:min(len(*f), maxFirstTasks)]
}

// kept is an outcome for the journal, which has no room for the errors of bad records but those of a few tasks.
func (j *job) kept(o *wire.Outcome) *wire.Outcome {
	if len(o.FirstRejected) == 0 || len(j.first) < maxFirstTasks {
		return o
	}
	short := *o
	short.FirstRejected = nil
	return &short
}

// list returns the first ones.
func (f firsts) list() (texts []string) {
	for _, x := range f {
		texts = append(texts, x.texts...)
	}
	return texts[:min(len(texts), wire.MaxFirstRejected)]
}

// rejected is how many records the job has set aside.
func (j *job) rejected() int64 { return j.outputs[manifest.Rejected].Rows }

// overRejects says what is wrong with the number of records that the whole job has set aside, or nothing.
func (j *job) overRejects() string {
	t, n := j.spec.SkipBad, j.rejected()
	if t.Allows(n, j.total.records) {
		return ""
	}
	return tooManyBad(fmt.Sprintf("%d of %d", n, j.total.records), t.String(), j.first.list())
}

// tooManyBad is the failure of a job with more bad records than its submitter allows.
func tooManyBad(bad, allowed string, first []string) string {
	text := fmt.Sprintf("too many bad records: %s, and --skip-bad-records allows %s", bad, allowed)
	if len(first) > 0 {
		text += "; the first:\n" + strings.Join(first, "\n") + "\n" + jobs.RejectsRemedy
	}
	return text
}

// checkRejectsLocked returns the job's failure if with a map attempt's success it sets more records aside than a number of them
// allows. A share is judged when all records are known: see decide.
func (m *Master) checkRejectsLocked(o *wire.Outcome) *sched.Failure {
	t := o.Attempt.Task
	j := m.jobs[t.Job]
	if j == nil || !j.ended.IsZero() || t.Phase != sched.Map || t.Index < 0 || j.spec.SkipBad.PPM > 0 {
		return nil
	}
	n := j.rejected() - rejectedIn(j.leftBy(t)) + rejectedIn(o.Parts)
	if j.spec.SkipBad.Allows(n, 0) {
		return nil
	}
	first := slices.Clone(j.first)
	first.set(t.Index, o.FirstRejected)
	return &sched.Failure{Kind: sched.FailJob, Text: cut(tooManyBad(fmt.Sprintf("%d or more", n), j.spec.SkipBad.String(), first.list()), maxFailure)}
}

// rejectedIn is how many records lie in an attempt's part for them.
func rejectedIn(parts []wire.Part) (rows int64) {
	for _, p := range parts {
		if output, _ := manifest.CutName(p.Name); output == manifest.Rejected {
			rows += p.Rows
		}
	}
	return rows
}

// saneFirsts bounds what an attempt tells of its bad records.
func saneFirsts(texts []string) []string {
	texts = texts[:min(len(texts), wire.MaxFirstRejected)]
	for i := range texts {
		texts[i] = cut(texts[i], maxFirstText)
	}
	return texts
}
