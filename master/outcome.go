package master

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/master/sched"
	"github.com/millrace/millrace/master/wire"
)

// maxFailure bounds the text of a failure that is kept, bytes: it is shown in logs, lists and the job's error, of which
// many must fit one answer.
const maxFailure = 16 << 10

// vet makes a failure of every success whose result does not belong to its task, and cuts what is too long to be kept: what
// a worker sends must end no more than its own attempt.
func (m *Master) vet(args *wire.PollArgs) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range args.Done {
		o := &args.Done[i]
		o.Work, o.FirstRejected = sane(o), saneFirsts(o.FirstRejected)
		if f := o.Failure; f != nil {
			f.Text = cut(f.Text, maxFailure)
			continue
		}
		j := m.jobs[o.Attempt.Task.Job]
		if j == nil || !j.ended.IsZero() {
			continue // the scheduler drops it
		}
		wrong := j.unfit(o)
		if n := len(args.Worker) + textBytes(o); n > maxOutcome {
			wrong = fmt.Sprintf("%d bytes of names and texts, of which the journal takes %d", n, maxOutcome)
		}
		if wrong != "" {
			*o = wire.Outcome{Attempt: o.Attempt, Elapsed: o.Elapsed, Work: o.Work, Failure: &wire.Failure{
				Kind: sched.FailTask, Text: "the worker reported a success that cannot be one: " + wrong + ": run workers of the master's version",
			}}
		}
	}
}

// sane is what an outcome tells of its work, within bounds, or nothing: it is for people, and no reason to lose a result.
func sane(o *wire.Outcome) *wire.Work {
	w := o.Work
	if w == nil || o.Elapsed < 0 || w.In < 0 || w.Out < 0 {
		o.Elapsed = max(0, o.Elapsed)
		return nil
	}
	for _, s := range w.Time.Steps() {
		if s.Time < 0 {
			return nil
		}
	}
	w.Hot = w.Hot[:min(len(w.Hot), wire.MaxHotKeys)]
	for i := range w.Hot {
		w.Hot[i].Key = cut(w.Hot[i].Key, maxHotKey)
	}
	return w
}

// maxHotKey bounds a key that is told of, bytes.
const maxHotKey = 256

// unfit says what is wrong with the result of a success, or nothing. Tasks that the job does not have are the scheduler's to
// drop.
func (j *job) unfit(o *wire.Outcome) string {
	if len(o.Counters) > jobs.MaxCounters {
		return fmt.Sprintf("%d counters, of which a job has %d", len(o.Counters), jobs.MaxCounters)
	}
	t := o.Attempt.Task
	switch t.Phase {
	case sched.Sample:
		switch {
		case o.Sample == nil:
			return "there is no sample in it"
		case len(o.Sample.Bounds) >= j.plan.Reducers:
			return fmt.Sprintf("%d boundaries for %d partitions", len(o.Sample.Bounds), j.plan.Reducers)
		}
	case sched.Map:
		switch {
		case o.Map == nil && j.plan.Reducers > 0:
			return "there is no run in it"
		case o.Map != nil && (j.plan.Reducers == 0 || o.Map.Size < 0 || o.Map.Pairs < 0):
			return fmt.Sprintf("a run of %d bytes and %d pairs for %d reducers", o.Map.Size, o.Map.Pairs, j.plan.Reducers)
		case o.Cut == nil && t.Index >= 0 && t.Index < j.plan.Maps && cutObject(j.plan, t.Index):
			return "it does not tell where the records of its split begin"
		}
		return j.unfitParts(t, o.Parts)
	case sched.Reduce:
		if o.Reduce == nil {
			return "there is no result of a reduce task in it"
		}
		return j.unfitParts(t, o.Parts)
	}
	return ""
}

// maxOutcome bounds what has no size of its own in a result, bytes: the journal takes no record of more than 1 MiB. The longest honest
// one is a sample for ten thousand partitions.
const maxOutcome = 768 << 10

// textBytes is how many bytes of a result have no size of their own.
func textBytes(o *wire.Outcome) (n int) {
	for name := range o.Counters {
		n += len(name) + perText
	}
	for _, p := range o.Parts {
		n += len(p.Name) + len(p.Pending.URL) + len(p.Pending.ID) + len(p.Pending.ETag) + 4*perText
	}
	if o.Sample != nil {
		for _, b := range o.Sample.Bounds {
			n += len(b) + perText
		}
	}
	if o.Map != nil {
		n += len(o.Map.URL)
	}
	return n
}

// perText is what a record takes for a text beside its bytes, or for a number with it.
const perText = 12

// cut shortens a text to about n bytes and says so.
func cut(text string, n int) string {
	if len(text) <= n {
		return text
	}
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return strings.Clone(text[:n]) + fmt.Sprintf(" ... (%d bytes more)", len(text)-n)
}
