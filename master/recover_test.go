package master

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/jobs/plan"
	"github.com/millrace/millrace/master/journal"
	"github.com/millrace/millrace/master/records"
	"github.com/millrace/millrace/master/sched"
	"github.com/millrace/millrace/master/wire"
	"github.com/millrace/millrace/storage/manifest"
	"github.com/millrace/millrace/storage/storagetest"
)

// depose ends a leader's term as an election does, waits until all of it has stopped, and ends its process.
func (l *leader) depose() {
	l.t.Helper()
	l.mem.Depose()
	synctest.Wait()
	if l.m() != nil {
		l.t.Error("a deposed master goes on")
	}
	l.end()
}

// A job that one master began the next one finishes: its finished maps do not run again, and its figures are exact.
func TestSuccessor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		l := w.lead(false)
		l.mustSubmit(jobA, spec())
		h := l.hire("w", 4)
		h.work(wire.Map, 2)
		l.depose()

		next := w.lead(false)
		s := next.status(jobA, wire.Running)
		if s.Map.Done != 2 || s.Records != 20 || s.Counters["n"] != 2 {
			t.Errorf("the next master knows %d maps, %d records, counter %d", s.Map.Done, s.Records, s.Counters["n"])
		}
		if err := next.submit(jobB, spec()); !errors.Is(err, wire.ErrOutputTaken) {
			t.Errorf("the job's output is free: %v", err)
		}
		h.l, h.c = next, next.dial(wire.RoleWorker)
		task := h.get(wire.Map) // the one that it had already, or that one anew
		if task.Attempt.Task.Index != 2 {
			t.Errorf("map %d runs again", task.Attempt.Task.Index)
		}
		h.args.Done = append(h.args.Done, h.result(task))
		r, err := h.c.Runs(t.Context(), &wire.RunsArgs{Job: jobA})
		if err != nil || len(r.Events) != 2 || r.Cursor != 2 || r.Term != 2 {
			t.Errorf("the run log is %+v, %v", r, err)
		}
		for term, want := range map[uint64]int{1: 2, 2: 0, 0: 0} { // of which the reader has the cursor; 0 from an older version
			r, err := h.c.Runs(t.Context(), &wire.RunsArgs{Job: jobA, Cursor: 2, Term: term})
			if err != nil || len(r.Events) != want || r.Cursor != 2 {
				t.Errorf("from the place of term %d on: %+v, %v", term, r, err)
			}
		}
		h.work(wire.Reduce, 2)
		s = next.status(jobA, wire.Done)
		if s.Records != 30 || s.Counters["n"] != 5 || s.Rows != 20 {
			t.Errorf("status %+v", s)
		}
		w.want("out/", manifest.Name, "part-00000.arrow", "part-00001.arrow")
		next.end()
	})
}

// A commit that one master decided the next one completes, wherever the first one stopped.
func TestSuccessorCommits(t *testing.T) {
	for _, fault := range []storagetest.Fault{
		{Op: storagetest.OpComplete, Times: -1},
		{Op: storagetest.OpComplete, Nth: 2, Times: -1},
		{Op: storagetest.OpUploads, Key: "out/", Times: -1},
		{Op: storagetest.OpPut, Times: -1},
		{Op: storagetest.OpPut, Kind: storagetest.LoseAnswer, Times: -1},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			l := w.lead(false)
			l.mustSubmit(jobA, spec())
			h := l.hire("w", 4)
			h.work(wire.Map, 3)
			h.do(wire.Reduce)
			h.do(wire.Reduce)
			w.bad.Plan(fault)
			if err := h.poll(); err != nil {
				t.Fatal(err)
			}
			if fault.Kind != storagetest.LoseAnswer {
				l.status(jobA, wire.Committing)
				time.Sleep(10 * time.Second)
			}
			l.depose()
			w.bad.Plan()
			next := w.lead(false)
			if s := next.status(jobA, wire.Done); s.Rows != 20 || len(s.Parts) != 2 {
				t.Errorf("%+v: status %+v", fault, s)
			}
			w.want("out/", manifest.Name, "part-00000.arrow", "part-00001.arrow")
			next.end()
		})
	}
}

// Jobs that ended stay listed, as ended, and their outputs are free; what the first master did not come to clean up the
// next one does. An output that another job has claimed since is left alone.
func TestSuccessorOfEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		l := w.lead(false)
		l.mustSubmit(jobA, spec())
		h := l.hire("w", 4)
		h.work(wire.Map, 3)
		h.work(wire.Reduce, 2)
		l.status(jobA, wire.Done)
		s := spec()
		s.Output = "mem://b/out2"
		l.mustSubmit(jobB, s)
		w.pending("out2/part-00000.arrow", "x")
		w.bad.Plan(storagetest.Fault{Op: storagetest.OpUploads, Kind: storagetest.Stall, Times: -1})
		l.cancel(jobB)
		l.mem.Depose()
		_ = l.stop() // fenced
		w.bad.Plan()
		w.want("out2/", manifest.ClaimName, "pending part-00000.arrow")

		next := w.lead(false)
		if s := next.status(jobA, wire.Done); s.Rows != 20 || s.Ended.IsZero() {
			t.Errorf("status %+v", s)
		}
		next.status(jobB, wire.Cancelled)
		w.want("out2/")
		s.Overwrite = true
		next.mustSubmit("cccccccc", s)
		w.pending("out2/part-00000.arrow", "of the third job")
		next.depose()

		third := w.lead(false)
		third.status(jobB, wire.Cancelled)
		third.status(jobA, wire.Done)
		w.want("out2/", manifest.ClaimName, "pending part-00000.arrow")
		if r, err := third.c.List(t.Context(), &wire.ListArgs{}); err != nil || len(r.Jobs) != 3 {
			t.Errorf("%d jobs are listed, %v", len(r.Jobs), err)
		}
		third.end()
	})
}

// writeLog puts a log into the journal.
func (w *world) writeLog(id journal.JobID, blocks ...[]byte) {
	w.t.Helper()
	term, err := w.mem.Campaign(w.t.Context(), journal.Candidate{})
	if err == nil {
		err = w.mem.Append(w.t.Context(), term.N, []journal.Entry{{Job: id, Records: blocks}})
	}
	if err != nil {
		w.t.Fatal(err)
	}
	w.mem.Depose()
}

// planned is the first block of a job's log, by another version.
func planned(t *testing.T, s plan.Spec, cuts uint64, objects ...plan.Object) []byte {
	t.Helper()
	packed, err := records.AppendPlan(nil, &s, objects)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := withPlan(submission{Job: s.Job, Output: s.Output, Maps: 1, Parts: 2, Cuts: cuts, Version: "0.0.9"}, packed)
	if err != nil {
		t.Fatal(err)
	}
	return records.NewCodec().Document(records.Submission, doc)
}

// states is a block that says how far a job is.
func states(list ...sched.JobState) []byte {
	w := records.NewWriter(records.NewCodec())
	for _, s := range list {
		w.Add(time.Now(), sched.Record{Kind: sched.RecordState, State: s}, nil)
	}
	return w.Blocks()[0]
}

var oneObject = plan.Object{URL: "mem://b/in/0", Size: 110}

// A journal that makes no sense keeps a master from leading, by name.
func TestBadJournal(t *testing.T) {
	codec := records.NewCodec()
	p, err := plan.Make(spec(), []plan.Object{oneObject})
	if err != nil {
		t.Fatal(err)
	}
	good, tasks := planned(t, spec(), cutsOf(p), oneObject), states(sched.Committing)
	for want, blocks := range map[string][][]byte{
		"record 0: it comes before the job's submission":           {tasks},
		"record 0: it is damaged: its head is cut off":             {codec.Document(records.Submission, []byte{9})},
		"record 1: job x: committing after running":                {good, tasks},
		"record 1: it is damaged: a cleaned does not belong there": {good, codec.Document(records.Cleaned, nil)},
		"record 1: it comes before the chain's submission":         {good, codec.Document(records.Chain, []byte{2, '{', '}'})},
		"record 1: submit job x: no job in it, or submitted twice": {good, good},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.writeLog("x", blocks...)
			m, err := New(Options{Store: w.st, Backend: w.mem, Election: w.mem})
			if err != nil {
				t.Fatal(err)
			}
			wantError(t, want, m.Run(t.Context(), wire.Pipe()), nil, want)
		})
	}
}
