package master

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/jobs/plan"
	"github.com/millrace/millrace/master/wire"
	"github.com/millrace/millrace/storage/manifest"
	"github.com/millrace/millrace/storage/storagetest"
)

// follow moves a hand to the next master.
func (h *hand) follow(next *leader) {
	h.l, h.c = next, next.dial(wire.RoleWorker)
}

// A cancel of a chain holds over a failover: between two stages; while a stage runs that the cancel did not reach; and while the
// commit of a stage is decided that is not the last one.
func TestChainCancelOverFailover(t *testing.T) {
	for _, when := range []string{"between stages", "in a stage's commit", "a stage runs on"} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			l := w.lead(false)
			l.mustSubmit(jobA, chainSpec())
			h := l.hire("w", 4)
			switch when {
			case "between stages": // what the first one wrote is being read
				w.bad.Plan(storagetest.Fault{Op: storagetest.OpRead, Key: "out/" + firstStage + manifest.Name, Nth: 2, Times: -1, Kind: storagetest.Stall})
				h.stage(3)
				h.beat(func() bool { return l.status(jobA, wire.Running).NumStages == 1 && l.ended(jobA+".1") })
			case "in a stage's commit":
				w.bad.Plan(storagetest.Fault{Op: storagetest.OpComplete, Times: -1})
				h.stage(3)
				l.status(jobA+".1", wire.Committing)
			case "a stage runs on":
				h.work(wire.Map, 3)
				w.cut = func(op string) error {
					if op != "append" {
						return nil
					}
					w.cut = func(string) error { return errors.New("cut off") } // all but the first
					return nil
				}
			}
			_, err := l.c.Cancel(t.Context(), &wire.CancelArgs{Job: jobA})
			if (err == nil) == (when == "a stage runs on") {
				t.Fatalf("%s: cancel: %v", when, err)
			}
			l.depose()
			w.cut = nil
			w.bad.Plan()

			next := w.lead(false)
			next.status(jobA, wire.Cancelled)
			w.want("out/")
			next.mustSubmit(jobB, chainSpec())
			next.depose()
			w.lead(false).status(jobA, wire.Cancelled)
		})
	}
}

// A cancel that comes when the last stage's commit is decided loses, under the next master too.
func TestChainCancelTooLate(t *testing.T) {
	for _, over := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			l := w.lead(false)
			l.mustSubmit(jobA, chainSpec())
			h := l.hire("w", 4)
			h.stage(3)
			h.waitFor(jobA, 1)
			h.stage(1)
			h.waitFor(jobA, 2)
			w.bad.Plan(storagetest.Fault{Op: storagetest.OpComplete, Times: -1})
			h.stage(1)
			l.status(jobA, wire.Committing)
			if state := l.cancel(jobA); state != wire.Committing {
				t.Errorf("cancelled, it is %v", state)
			}
			if over {
				l.depose()
				l = w.lead(false)
			}
			w.bad.Plan()
			l.status(jobA, wire.Done)
			w.want("out/", manifest.Name, "part-00000.arrow")
			l.depose()
		})
	}
}

// A next master goes on with the stage under way as it was planned: whether its input can be listed, and is what it was, matters to
// the tasks that read it, and nobody ends a chain while its stage runs.
func TestStageIsNotPlannedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		l := w.lead(false)
		l.mustSubmit(jobA, chainSpec())
		h := l.hire("w", 4)
		h.work(wire.Map, 3)
		l.depose()

		w.put("in/new", "a line\n")
		next := w.lead(false)
		h.follow(next)
		h.work(wire.Reduce, 1)
		s := h.waitFor(jobA, 1)
		if s.State != wire.Running || s.Stages[0].Objects != 3 {
			t.Errorf("got %+v: %s", s, s.Error)
		}
		next.depose()
	})
}

// The pending uploads of a chain's last stage that failed go, though its master died before it came to that.
func TestFailedLastStageIsSwept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		l := w.lead(false)
		l.mustSubmit(jobA, chainSpec())
		h := l.hire("w", 4)
		h.stage(3)
		h.waitFor(jobA, 1)
		h.stage(1)
		h.waitFor(jobA, 2)
		h.work(wire.Map, 1)
		task := h.get(wire.Reduce)
		h.result(task) // leaves a pending part
		w.bad.Plan(storagetest.Fault{Op: storagetest.OpUploads, Times: -1, Kind: storagetest.Stall})
		h.args.Done = append(h.args.Done, wire.Outcome{Attempt: task.Attempt, Failure: &wire.Failure{Kind: wire.FailJob, Text: "it cannot be"}})
		if err := h.poll(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		l.depose()
		w.bad.Plan()

		next := w.lead(false)
		s := next.status(jobA, wire.JobFailed)
		if !strings.Contains(s.Error, "it cannot be") {
			t.Errorf("error %q", s.Error)
		}
		w.want("out/", secondStage+manifest.Name, secondStage+"part-00000.arrow")
		again := chainSpec()
		again.Resume = true
		next.mustSubmit(jobB, again)
		next.depose()
	})
}

// A chain whose record may be durable, or not, is the next master's to decide on: what that one needs of it stays.
func TestUnclearChain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.manyInputs()
		s := chainSpec()
		s.Inputs = nil
		for _, in := range w.names("in/") {
			s.Inputs = append(s.Inputs, "mem://b/in/"+in)
		}
		s.SplitSize = 1 << 30
		l := w.lead(false)
		w.afterAppend = func() error { return errors.New("no answer") }
		if err := l.submit(jobA, s); err == nil {
			t.Error("it is taken")
		}
		time.Sleep(time.Minute)
		l.depose()
		w.afterAppend = nil
		next := w.lead(false)
		next.mustSubmit(jobA, s)
		h := next.hire("w", 4)
		h.stage(1)
		h.waitFor(jobA, 1)
		next.depose()
	})
}

// The log of a stage comes after its chain's, though the clock of the master that began the stage was behind; others are in the order
// of submission.
func TestSortLogs(t *testing.T) {
	t.Parallel()
	logs := []*log{
		{id: jobA + ".2", at: time.Unix(12, 0)}, {id: jobA + ".1", at: time.Unix(5, 0)}, {id: "bbbbbbbb", at: time.Unix(7, 0)},
		{id: jobA, at: time.Unix(10, 0)}, {id: "cccccccc.1", at: time.Unix(8, 0)}, {id: "aaaaaaaa00", at: time.Unix(10, 0)},
	}
	sortLogs(logs)
	var got []string
	for _, l := range logs {
		got = append(got, string(l.id))
	}
	want := "bbbbbbbb cccccccc.1 aaaaaaaa00 aaaaaaaa01 aaaaaaaa01.1 aaaaaaaa01.2"
	if strings.Join(got, " ") != want {
		t.Errorf("got %q, want %s", got, want)
	}
}

// Of a chain that has ended the rows go that it collected: a thousand ended jobs are kept.
func TestEndedChainIsSmall(t *testing.T) {
	t.Parallel()
	j := newJob(jobA, &plan.Plan{Spec: chainSpec()}, time.Now())
	j.chain = &chain{done: []jobs.StageResult{{Rows: 3, Collected: []jobs.Columns{{Rows: 3}}}}}
	j.end(time.Now(), wire.Done, "")
	if d := j.chain.done; len(d) != 1 || d[0].Rows != 3 || d[0].Collected != nil {
		t.Errorf("kept %+v", d)
	}
}
