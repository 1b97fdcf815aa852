package master

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/jobs/plan"
	"github.com/millrace/millrace/master/wire"
	"github.com/millrace/millrace/storage/manifest"
	"github.com/millrace/millrace/worker/program"
)

// lines is a job that a chain's stage runs; the hands of these tests run none of its code.
func lines(name string) *jobs.Job {
	return jobs.New(name, func(line string, emit func(string, int)) error { return nil },
		func(string, jobs.Values[int], func(string)) error { return nil }, jobs.Reducers(1))
}

// files is one that can read what a stage before it wrote: each part as a whole.
func files(name string) *jobs.Job {
	return jobs.New(name, func(file jobs.File, emit func(string, int)) error { return nil },
		func(string, jobs.Values[int], func(string)) error { return nil }, jobs.Reducers(1))
}

// chains carries the chain "twice": a stage over the input, one over what that wrote, and the last one over what that wrote.
// The counter n, of which each of a hand's tasks adds 1, decides whether the second stage runs.
var chains = func() *program.Registry {
	a, b, c := lines("a"), files("b"), files("c")
	twice := jobs.DefineChain("twice", []*jobs.Job{a, b, c}, func(ch *jobs.Chain, p struct {
		Bad   bool `default:"false"`
		Again bool `default:"false"` // the last stage reads the input
	}) error {
		if p.Bad {
			return fmt.Errorf("bad indeed")
		}
		done := ch.Run(a, jobs.Stage{})
		if done.Counter("n") > 0 {
			next := ch.Run(b, jobs.Stage{From: []*jobs.Done{done}})
			done.Drop()
			done = next
		}
		if p.Again {
			ch.Finish(c, jobs.Stage{})
			return nil
		}
		ch.Finish(c, jobs.Stage{From: []*jobs.Done{done}})
		return nil
	})
	r, err := program.NewRegistry("test", twice)
	if err != nil {
		panic(err)
	}
	return r
}()

func chainSpec() plan.Spec {
	return plan.Spec{Job: "twice", Program: chains.Digest("twice"), Inputs: []string{"mem://b/in/*"}, Output: "mem://b/out", SplitSize: 110, Chain: true}
}

// stage does all tasks of a stage.
func (h *hand) stage(maps int) {
	h.l.t.Helper()
	h.work(wire.Map, maps)
	h.work(wire.Reduce, 1)
}

// waitFor polls until a chain has as many stages done.
func (h *hand) waitFor(id wire.JobID, done int) *wire.JobStatus {
	h.l.t.Helper()
	var s *wire.JobStatus
	h.beat(func() bool {
		var err error
		if s, err = h.l.c.Watch(h.l.t.Context(), &wire.WatchArgs{Job: id}); err != nil {
			h.l.t.Fatal(err)
		}
		return s.NumStages > done || s.State.Ended()
	})
	return s
}

const firstStage, secondStage = "_stages/001-a/", "_stages/002-b/"

// A chain runs its stages one after the other under one id: each in a folder of its own until its end, what is dropped going
// before that; the last one writes the output. Its status is made of theirs, and only it is listed.
func TestChain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		l := w.lead(true)
		l.mustSubmit(jobA, chainSpec())
		h := l.hire("w", 4)
		h.stage(3)
		s := h.waitFor(jobA, 1)
		w.want("out/", manifest.ClaimName, firstStage+manifest.Name, firstStage+"part-00000.arrow")
		if s.State != wire.Running || s.NumStages != 2 || s.Stages[0].Job != "a" || s.Stages[0].State != wire.Done || s.Stages[0].Records != 30 ||
			s.Stages[1].Job != "b" || s.Stages[1].State != wire.Running || s.Map.Tasks != 1 || s.Objects != 3 || s.Records != 30 {
			t.Errorf("after a stage: %+v", s)
		}
		h.stage(1)
		h.waitFor(jobA, 2)
		w.want("out/", manifest.ClaimName, secondStage+manifest.Name, secondStage+"part-00000.arrow")
		list, err := l.c.List(t.Context(), &wire.ListArgs{})
		if err != nil || len(list.Jobs) != 1 || list.Jobs[0].ID != jobA {
			t.Errorf("list %+v, %v", list, err)
		}
		h.stage(1)
		s = l.status(jobA, wire.Done)
		w.want("out/", manifest.Name, "part-00000.arrow")
		if len(s.Parts) != 1 || s.Parts[0] != "mem://b/out/part-00000.arrow" || s.Rows != 10 || s.NumStages != 3 || s.Counters["n"] != 2 || s.Pairs != 25 {
			t.Errorf("at the end: %+v", s)
		}
		if _, err := l.c.Watch(t.Context(), &wire.WatchArgs{Job: jobA + ".2"}); err != nil {
			t.Errorf("a stage by its own id: %v", err)
		}
		if got := l.allLogs(jobA); !strings.Contains(got, "stage 2 (b) begins as job "+string(jobA)+".2") || !strings.Contains(got, "stage b: committed") {
			t.Errorf("log:\n%s", got)
		}
		l.mustSubmit(jobA, chainSpec()) // the same chain: nothing happens
		l.end()
	})
}

// allLogs is a job's log.
func (l *leader) allLogs(id wire.JobID) string {
	l.t.Helper()
	r, err := l.c.Logs(l.t.Context(), &wire.LogsArgs{Job: id})
	if err != nil {
		l.t.Fatal(err)
	}
	var b strings.Builder
	for _, line := range r.Lines {
		fmt.Fprintln(&b, line.Text)
	}
	return b.String()
}

// Another master goes on with a chain: in a stage, where it left off; and no finished stage runs again.
func TestChainSuccessor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		l := w.lead(false)
		l.mustSubmit(jobA, chainSpec())
		h := l.hire("w", 4)
		h.stage(3)
		h.waitFor(jobA, 1)
		h.work(wire.Map, 1)
		l.depose()

		next := w.lead(false)
		h.l, h.c = next, next.dial(wire.RoleWorker)
		h.work(wire.Reduce, 1)
		s := h.waitFor(jobA, 2)
		if s.Stages[0].Job != "a" || s.Stages[0].Rows != 10 || s.Stages[1].Job != "b" || s.Stages[1].State != wire.Done || s.Objects != 3 {
			t.Errorf("the next master knows %+v", s)
		}
		next.depose()

		third := w.lead(false)
		h.l, h.c = third, third.dial(wire.RoleWorker)
		h.stage(1)
		third.status(jobA, wire.Done)
		w.want("out/", manifest.Name, "part-00000.arrow")
		third.depose()

		fourth := w.lead(false)
		if s := fourth.status(jobA, wire.Done); s.NumStages != 3 || s.Rows != 10 {
			t.Errorf("an ended chain: %+v", s)
		}
		if len(h.tasks) > 0 {
			t.Errorf("tasks are given for nothing: %v", h.tasks)
		}
		fourth.end()
	})
}

// Cancelling a chain, or one of its stages, ends it and leaves nothing in its output.
func TestChainCancel(t *testing.T) {
	for _, id := range []wire.JobID{jobA, jobA + ".2"} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			l := w.lead(true)
			l.mustSubmit(jobA, chainSpec())
			h := l.hire("w", 4)
			h.stage(3)
			h.waitFor(jobA, 1)
			h.work(wire.Map, 1)
			h.do(wire.Reduce)
			wait := l.cancelAfter(0, id)
			h.beat(func() bool {
				s, err := l.c.Watch(t.Context(), &wire.WatchArgs{Job: jobA})
				return err != nil || !s.Ended.IsZero()
			})
			wait()
			l.status(jobA, wire.Cancelled)
			w.want("out/")
			l.mustSubmit(jobB, chainSpec())
			l.end()
			w.want("out/")
		})
	}
}

// A chain that fails keeps what its finished stages wrote; another one goes on from there if it is told to, begins anew if
// that is wished, and is refused otherwise.
func TestChainResume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		l := w.lead(true)
		l.mustSubmit(jobA, chainSpec())
		h := l.hire("w", 4)
		h.stage(3)
		h.waitFor(jobA, 1)
		task := h.get(wire.Map)
		h.args.Done = append(h.args.Done, wire.Outcome{Attempt: task.Attempt, Failure: &wire.Failure{Kind: wire.FailJob, Text: "it cannot be"}})
		h.waitFor(jobA, 5)
		s := l.status(jobA, wire.JobFailed)
		for _, want := range []string{"stage 2 (b): ", "it cannot be", "mem://b/out/_stages", "--resume"} {
			if !strings.Contains(s.Error, want) {
				t.Errorf("got %q, want %q in it", s.Error, want)
			}
		}
		w.want("out/", firstStage+manifest.Name, firstStage+"part-00000.arrow")
		wantError(t, "without a word", l.submit(jobB, chainSpec()), wire.ErrOutputTaken, "stages of a chain", "--resume", "--overwrite")

		again := chainSpec()
		again.Resume, again.KeepStages = true, true
		l.mustSubmit(jobB, again)
		s = h.waitFor(jobB, 1)
		if !s.Stages[0].Reused || s.Stages[0].Rows != 10 || s.Stages[0].Records != 30 {
			t.Errorf("stages %+v", s.Stages)
		}
		h.stage(1)
		h.waitFor(jobB, 2)
		h.stage(1)
		l.status(jobB, wire.Done)
		kept := []string{manifest.Name, firstStage + manifest.Name, firstStage + "part-00000.arrow", secondStage + manifest.Name, secondStage + "part-00000.arrow", "part-00000.arrow"}
		w.want("out/", kept...)

		anew := chainSpec()
		anew.Overwrite = true
		l.mustSubmit("cccccccc", anew)
		h.stage(3)
		s = h.waitFor("cccccccc", 1)
		if s.Stages[0].Reused {
			t.Error("a stage is used again without being asked")
		}
		l.cancel("cccccccc")
		h.waitFor("cccccccc", 5)
		l.status("cccccccc", wire.Cancelled)
		w.want("out/", manifest.Name, "part-00000.arrow")
		l.end()
	})
}

// An input that changes between two stages that read it fails the chain, as does code that goes wrong; and what is wrong from
// the beginning is refused.
func TestChainRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		l := w.lead(true)
		bad := chainSpec()
		bad.Params = map[string]string{"bad": "true"}
		wantError(t, "code that fails", l.submit(jobA, bad), wire.ErrBadSpec, "bad indeed")
		bad = chainSpec()
		bad.Program = "another"
		wantError(t, "another version", l.submit(jobA, bad), wire.ErrBadSpec, "another version")
		bad = chainSpec()
		bad.Inputs = []string{"mem://b/nothing/*"}
		wantError(t, "no input", l.submit(jobA, bad), wire.ErrBadSpec, "nothing")
		wantError(t, "an id with a dot", l.submit("aaaaaaaa.1", chainSpec()), wire.ErrBadSpec, "dot")

		l.mustSubmit(jobA, chainSpec())
		wantError(t, "an output in use", l.submit(jobB, chainSpec()), wire.ErrOutputTaken, string(jobA))
		inside := spec()
		inside.Output = "mem://b/out/_stages/001-a"
		wantError(t, "an output inside", l.submit(jobB, inside), wire.ErrOutputTaken, string(jobA))
		l.cancel(jobA)
		l.status(jobA, wire.Cancelled)
		l.end()
	})
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		l := w.lead(true)
		s := chainSpec()
		s.Params = map[string]string{"again": "true"}
		l.mustSubmit(jobA, s)
		h := l.hire("w", 4)
		h.stage(3)
		h.waitFor(jobA, 1)
		w.put("in/more", "words\n")
		h.stage(1)
		h.waitFor(jobA, 5)
		if got := l.status(jobA, wire.JobFailed); !strings.Contains(got.Error, "stage 3 (c): input changed") {
			t.Errorf("got %q", got.Error)
		}

		s = chainSpec()
		s.Output = "mem://b/other"
		l.mustSubmit(jobB, s)
		h.stage(4)
		h.waitFor(jobB, 1)
		l.end() // a master that nobody follows leaves nothing of a chain
		w.want("other/")
	})
}
