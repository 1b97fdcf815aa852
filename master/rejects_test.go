package master

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/millrace/millrace/jobs/plan"
	"github.com/millrace/millrace/master/wire"
	"github.com/millrace/millrace/storage/manifest"
	"github.com/millrace/millrace/storage/output"
)

// skipSpec is spec for a job that may set records aside.
func skipSpec(t plan.Tolerance) plan.Spec {
	s := spec()
	s.SkipBad = t
	return s
}

// setAside makes an outcome that of a map that set so many records aside.
func (h *hand) setAside(o wire.Outcome, n int64) wire.Outcome {
	h.l.t.Helper()
	index := o.Attempt.Task.Index
	if n > 0 {
		j, err := h.c.Job(h.l.t.Context(), &wire.JobArgs{Job: o.Attempt.Task.Job})
		if err != nil {
			h.l.t.Fatal(err)
		}
		o.Parts = append(o.Parts, h.part(strings.TrimPrefix(j.Spec.Output, "mem://b/"), manifest.MapSideName(manifest.Rejected, index), n))
	}
	for i := range n {
		o.FirstRejected = append(o.FirstRejected, fmt.Sprintf("map %d, record %d", index, i))
	}
	return o
}

// mapAll does the maps of a job, each of which sets so many records aside.
func (h *hand) mapAll(bad ...int64) {
	h.l.t.Helper()
	for range bad {
		o := h.result(h.get(wire.Map))
		h.args.Done = append(h.args.Done, h.setAside(o, bad[o.Attempt.Task.Index]))
	}
}

// Records that were set aside commit beside the rows, and their number stands in the status and the manifest.
func TestRejects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newWorld(t).lead(true)
		l.mustSubmit(jobA, skipSpec(plan.Tolerance{Records: 5}))
		h := l.hire("w", 4)
		h.mapAll(2, 0, 3)
		h.work(wire.Reduce, 2)
		s := l.status(jobA, wire.Done)
		want := []string{"map 0, record 0", "map 0, record 1", "map 2, record 0", "map 2, record 1", "map 2, record 2"}
		if s.Rejected != 5 || s.SkipBad != "5" || !slices.Equal(s.First, want) || s.Rows != 20 {
			t.Errorf("status %+v", s)
		}
		l.want("out/", manifest.Name, "part-00000.arrow", "part-00001.arrow", "rejected/map-00000.arrow", "rejected/map-00002.arrow")
		out, err := output.Open(t.Context(), l.st, "mem://b/out")
		if err != nil {
			t.Fatal(err)
		}
		side, ok := out.Manifest.Output(manifest.Rejected)
		if out.Manifest.Rejected != 5 || !ok || side.Rows != 5 || len(side.Parts) != 2 || !strings.Contains(string(side.Schema), `"offset"`) {
			t.Errorf("manifest %+v", out.Manifest)
		}
		l.end()
	})
}

// Over a number, the job fails as soon as maps together set more aside, and names the first ones; nothing stays.
func TestTooManyRejects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newWorld(t).lead(true)
		l.mustSubmit(jobA, skipSpec(plan.Tolerance{Records: 4}))
		h := l.hire("w", 1)
		for _, n := range []int64{2, 3} {
			o := h.result(h.get(wire.Map))
			h.args.Done = append(h.args.Done, h.setAside(o, n))
		}
		if err := h.poll(); err != nil {
			t.Fatal(err)
		}
		s := l.status(jobA, wire.JobFailed)
		for _, text := range []string{"too many bad records: 5 or more, and --skip-bad-records allows 4; the first:\nmap 0, record 0\nmap 0, record 1\nmap 1, record 0"} {
			if !strings.Contains(s.Error, text) {
				t.Errorf("the error is %q, want %q in it", s.Error, text)
			}
		}
		l.want("out/")
		l.end()
	})
}

// A stage that a chain which failed has left counts for the next one as far as that one allows as many bad records; else it runs
// again.
func TestResumeWithRejects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newWorld(t).lead(true)
		h := l.hire("w", 4)
		fail := func(id wire.JobID) {
			task := h.get(wire.Map)
			h.args.Done = append(h.args.Done, wire.Outcome{Attempt: task.Attempt, Failure: &wire.Failure{Kind: wire.FailJob, Text: "it cannot be"}})
			h.waitFor(id, 5)
			l.status(id, wire.JobFailed)
		}
		s := chainSpec()
		s.SkipBad = plan.Tolerance{Records: 2}
		l.mustSubmit(jobA, s)
		h.mapAll(2, 0, 0)
		h.work(wire.Reduce, 1)
		h.waitFor(jobA, 1)
		fail(jobA)

		s.Resume = true
		l.mustSubmit(jobB, s)
		if got := h.waitFor(jobB, 1); !got.Stages[0].Reused || got.Rejected != 2 {
			t.Errorf("with the same limit the stages are %+v, and %d records are set aside", got.Stages, got.Rejected)
		}
		fail(jobB)

		s.SkipBad = plan.Tolerance{Records: 1}
		l.mustSubmit("cccccccc", s)
		h.mapAll(0, 0, 0)
		h.work(wire.Reduce, 1)
		if got := h.waitFor("cccccccc", 1); got.Stages[0].Reused || got.Rejected != 0 {
			t.Errorf("with a lower limit the stages are %+v, and %d records are set aside", got.Stages, got.Rejected)
		}
		l.end()
	})
}

// A share is judged when all records are known, before anything becomes visible: of 30 records 4 are 133,333.3 in a million.
func TestTooLargeShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newWorld(t).lead(true)
		l.mustSubmit(jobA, skipSpec(plan.Tolerance{PPM: 133_333}))
		h := l.hire("w", 4)
		h.mapAll(1, 1, 2)
		h.work(wire.Reduce, 2)
		s := l.status(jobA, wire.JobFailed)
		if want := "too many bad records: 4 of 30, and --skip-bad-records allows 13.3333%; the first:\nmap 0, record 0\nmap 1, record 0\nmap 2, record 0"; !strings.Contains(s.Error, want) {
			t.Errorf("the error is %q, want %q in it", s.Error, want)
		}
		l.want("out/")
		l.mustSubmit(jobB, skipSpec(plan.Tolerance{PPM: 133_334}))
		h.mapAll(1, 1, 2)
		h.work(wire.Reduce, 2)
		if s := l.status(jobB, wire.Done); s.Rejected != 4 {
			t.Errorf("status %+v", s)
		}
		l.end()
	})
}

// A map whose worker is lost runs again: what it sets aside is counted once, though the lost attempt had set aside another number.
func TestRejectsCountOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newWorld(t).lead(true)
		l.mustSubmit(jobA, skipSpec(plan.Tolerance{Records: 4}))
		lost, h := l.hire("lost", 1), l.hire("w", 4)
		o := lost.result(lost.get(wire.Map))
		index := o.Attempt.Task.Index
		lost.args.Done = append(lost.args.Done, lost.setAside(o, 3))
		if err := lost.poll(); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			o := h.result(h.get(wire.Map))
			h.args.Done = append(h.args.Done, h.setAside(o, 0))
		}
		again := h.result(h.get(wire.Map)) // when the lost one's lease is over
		if again.Attempt.Task.Index != index {
			t.Fatalf("map %d runs again, not %d", again.Attempt.Task.Index, index)
		}
		h.args.Done = append(h.args.Done, h.setAside(again, 4))
		h.work(wire.Reduce, 2)
		s := l.status(jobA, wire.Done)
		if s.Rejected != 4 || len(s.First) != 4 {
			t.Errorf("%d are set aside, of which %q are first: want 4", s.Rejected, s.First)
		}
		l.end()
	})
}

// Without the flag a worker's part for bad records is none that its task can have; a reduce task never has one.
func TestUnfitRejects(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		skip  int64
		phase wire.Phase
		name  string
		fit   bool
	}{
		{1, wire.Map, "rejected/map-00001.arrow", true},
		{0, wire.Map, "rejected/map-00001.arrow", false},
		{1, wire.Map, "rejected/map-00002.arrow", false},
		{1, wire.Reduce, "rejected/part-00001.arrow", false},
	} {
		j := &job{spec: skipSpec(plan.Tolerance{Records: tt.skip}), plan: &plan.Plan{Maps: 3, Reducers: 2}}
		p := wire.Part{Name: tt.name, Rows: 1}
		p.Pending.URL = j.spec.Output + "/" + tt.name
		parts := []wire.Part{p}
		if tt.phase == wire.Reduce {
			rows := wire.Part{Name: manifest.PartName(1)}
			rows.Pending.URL = j.spec.Output + "/" + rows.Name
			parts = []wire.Part{rows, p}
		}
		if wrong := j.unfitParts(wire.TaskID{Phase: tt.phase, Index: 1}, parts); (wrong == "") != tt.fit {
			t.Errorf("%+v: %q", tt, wrong)
		}
	}
}

// The errors that are kept are those of the first tasks, whatever the order in which they end, and one that runs again replaces its own.
func TestFirsts(t *testing.T) {
	t.Parallel()
	var f firsts
	for _, task := range []int{9, 3, 7, 1, 5, 8, 2} {
		f.set(task, []string{fmt.Sprint(task)})
	}
	f.set(3, []string{"3a", "3b"})
	f.set(2, nil)
	if got := f.list(); !slices.Equal(got, []string{"1", "3a", "3b", "5", "7"}) {
		t.Errorf("got %q", got)
	}
	long := saneFirsts([]string{strings.Repeat("x", 5000), "", "", "", "", "", ""})
	if len(long) != wire.MaxFirstRejected || len(long[0]) > maxFirstText+30 {
		t.Errorf("%d texts, the first of %d bytes", len(long), len(long[0]))
	}
}

// A journal keeps the errors of some tasks only, and the outcome itself is not changed.
func TestKeptFirsts(t *testing.T) {
	t.Parallel()
	j := &job{}
	for task := range 2 * maxFirstTasks {
		o := &wire.Outcome{Records: 7, FirstRejected: []string{"bad"}}
		kept := j.kept(o)
		if has := len(kept.FirstRejected) > 0; has != (task < maxFirstTasks) || kept.Records != 7 || len(o.FirstRejected) != 1 {
			t.Errorf("of task %d is kept %+v", task, kept)
		}
		j.first.set(task, o.FirstRejected)
	}
}

// A part of records that were set aside is no reason to call a map's result another one: a stack's text may differ.
func TestSumOfRejects(t *testing.T) {
	t.Parallel()
	a := []wire.Part{{Name: "errors/map-00001.arrow", Rows: 1}}
	b := append(slices.Clone(a), wire.Part{Name: "rejected/map-00001.arrow", Rows: 1})
	if sumOf(a) != sumOf(b) || sumOf(a) == 0 {
		t.Errorf("%x and %x", sumOf(a), sumOf(b))
	}
}
