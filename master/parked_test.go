package master

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/master/wire"
	"github.com/millrace/millrace/storage/manifest"
	"github.com/millrace/millrace/storage/storagetest"
)

// meet makes the worker report to another master what it has under way.
func (h *hand) meet(l *leader) *hand {
	l.t.Helper()
	n := l.hire(h.args.Worker, h.args.Slots)
	n.args.Seq, n.tasks, n.had = h.args.Seq, h.tasks, h.had
	return n
}

// outages are ways in which a plan cannot be read.
var outages = map[string]storagetest.Fault{
	"refused": {Op: storagetest.OpRead, Key: "**/submission-*", Err: errors.New("access denied"), Times: -1},
	"failing": {Op: storagetest.OpRead, Key: "**/submission-*", Kind: storagetest.SlowDown, Times: -1},
	"hanging": {Op: storagetest.OpRead, Key: "**/submission-*", Kind: storagetest.Stall, Times: -1},
}

// A plan that cannot be read when a master takes over stops that job alone, and ends nothing of it: the others go on and end, its
// workers keep what they have, its output stays claimed, people are told why it waits. When the plan can be read, it goes on with
// what was done and under way.
func TestParked(t *testing.T) {
	for name, fault := range outages {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			other := spec()
			other.Output = "mem://b/other"
			l := w.lead(false)
			l.mustSubmit(jobB, other)
			w.manyInputs()
			large := spec()
			large.SplitSize = 1300 // three maps of 303 objects
			l.mustSubmit(jobA, large)
			h := l.hire("w", 9)
			begin := time.Now()
			for len(h.tasks) < 6 {
				if err := h.poll(); err != nil || time.Since(begin) > time.Minute {
					t.Fatal(err, h.tasks)
				}
			}
			first := slices.IndexFunc(h.tasks, func(t wire.Task) bool { return t.Attempt.Task.Job == jobA })
			done := h.tasks[first]
			h.tasks = slices.Delete(h.tasks, first, first+1)
			h.args.Done = append(h.args.Done, h.result(done))
			if err := h.poll(); err != nil {
				t.Fatal(err)
			}
			l.depose()

			w.bad.Plan(fault)
			next := w.lead(false)
			for range 4 { // it may wait for the storage
				time.Sleep(bulkPatience / 4)
				if err := next.p.alive(t.Context()); err != nil {
					t.Errorf("%s: it makes way for another while it waits for the storage: %v", name, err)
				}
			}
			st, err := next.c.Watch(t.Context(), &wire.WatchArgs{Job: jobA})
			if err != nil || st.State != wire.Running || len(st.Warnings) != 1 || !strings.Contains(st.Warnings[0], "/submission-") || st.Output != "mem://b/out" {
				t.Fatalf("%s: the status is %+v, %v", name, st, err)
			}
			h = h.meet(next)
			h.args.Holding = []wire.JobID{jobA, jobB}
			h.args.Done = append(h.args.Done, wire.Outcome{Attempt: done.Attempt, Failure: &wire.Failure{Text: "late"}}) // what it says of it now is for nobody
			parkedTasks := func() (n int) {
				for _, t := range h.tasks {
					if t.Attempt.Task.Job == jobA {
						n++
					}
				}
				return n
			}
			for range 20 {
				if err := h.poll(); err != nil {
					t.Fatal(err)
				}
				if len(h.reply.Ended) > 0 || parkedTasks() < 2 {
					t.Fatalf("%s: told %+v, has %v", name, h.reply, h.tasks)
				}
			}
			_, runs := h.c.Runs(t.Context(), &wire.RunsArgs{Job: jobA})
			_, job := h.c.Job(t.Context(), &wire.JobArgs{Job: jobA})
			_, explain := next.c.Explain(t.Context(), &wire.ExplainArgs{Job: jobA})
			for _, err := range []error{runs, job, explain} {
				wantError(t, name+": what needs the plan", err, wire.ErrBusy, string(jobA), "/submission-")
			}
			wantError(t, name+": another job there", next.submit("cccccccc01", spec()), wire.ErrOutputTaken)
			if err := next.submit(jobA, large); err != nil {
				t.Errorf("%s: the same submission again: %v", name, err)
			}
			h.finish(jobB)
			next.status(jobB, wire.Done)

			w.bad.Plan()
			time.Sleep(2 * maxParkedPause)
			if next.m() != nil {
				t.Errorf("%s: it still leads, and the plan can be read", name)
			}
			last := w.lead(false)
			h = h.meet(last)
			if err := h.poll(); err != nil {
				t.Fatal(err)
			}
			if st := last.status(jobA, wire.Running); st.Map.Done != 1 || st.Map.Running != 2 || len(st.Warnings) > 0 {
				t.Errorf("%s: the job goes on as %+v", name, st)
			}
			h.finish(jobA)
			if st := last.status(jobA, wire.Done); st.Retries != 0 {
				t.Errorf("%s: %d retries", name, st.Retries)
			}
			last.want("out/", "_SUCCESS", "part-00000.arrow", "part-00001.arrow")
			last.end()
		})
	}
}

// A parked job can be cancelled, so that one whose plan is out of reach for good is got rid of; not when its commit was decided,
// since parts of its output may be visible. A master that can read the plan again knows of it.
func TestParkedIsCancelled(t *testing.T) {
	for _, mended := range []bool{false, true} {
		for _, decided := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.manyInputs()
				l := w.lead(false)
				s := spec()
				s.SplitSize = 1300
				l.mustSubmit(jobA, s)
				h := l.hire("w", 9)
				if decided {
					w.bad.Plan(storagetest.Fault{Op: storagetest.OpComplete, Times: -1})
					h.work(wire.Map, 3)
					h.work(wire.Reduce, 2)
					l.status(jobA, wire.Committing)
				}
				l.depose()
				w.bad.Plan(outages["refused"])
				next := w.lead(false)
				r, err := next.c.Cancel(t.Context(), &wire.CancelArgs{Job: jobA})
				if decided {
					wantError(t, "cancel of a decided job", err, wire.ErrBusy, string(jobA))
					next.depose()
				} else if err != nil || r.State != wire.Cancelled {
					t.Fatalf("cancel: %+v, %v", r, err)
				} else if r, err := next.c.Cancel(t.Context(), &wire.CancelArgs{Job: jobA}); err != nil || r.State != wire.Cancelled {
					t.Fatalf("cancel once more: %+v, %v", r, err)
				}
				time.Sleep(time.Second)
				if mended {
					w.bad.Plan()
				}
				last := w.lead(false)
				switch {
				case !decided && mended:
					last.status(jobA, wire.Cancelled)
					last.want("out/")
				case !decided: // what it left can be listed, and not read
					last.status(jobA, wire.Cancelled)
				case mended:
					last.status(jobA, wire.Done)
					last.want("out/", "_SUCCESS", "part-00000.arrow", "part-00001.arrow")
				default:
					last.status(jobA, wire.Committing)
				}
				last.end()
			})
		}
	}
}

// A chain waits as a whole when what a master must know of it cannot be read: its spec, the plan of the stage under way, or what a
// stage before has left. The stage's attempts go on meanwhile, and no stage begins again.
func TestParkedChain(t *testing.T) {
	for name, object := range map[string]string{"the spec": "**/chain-*", "the stage's plan": "**/submission-*", "a result": "**/chain-*"} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			l := w.lead(false)
			s := chainSpec()
			s.SplitSize = 1 << 30
			if name != "a result" {
				w.manyInputs()
				s.Inputs = nil
				for _, in := range w.names("in/") {
					s.Inputs = append(s.Inputs, "mem://b/in/"+in)
				}
			}
			l.mustSubmit(jobA, s)
			h := l.hire("w", 4)
			stage := 0
			if name == "a result" {
				h.stage(1)
				h.waitFor(jobA, 1)
				stage = 1
				m := l.m()
				m.mu.Lock()
				j := m.jobs[jobA]
				m.mu.Unlock()
				if err := m.noteChain(t.Context(), j, chainEntry{Reason: noise(1 << 20)}, nil); err != nil { // as long as a large result
					t.Fatal(err)
				}
			}
			for len(h.tasks) == 0 {
				if err := h.poll(); err != nil {
					t.Fatal(err)
				}
			}
			under := stageID(jobA, stage)
			l.depose()

			w.bad.Plan(storagetest.Fault{Op: storagetest.OpRead, Key: object, Err: errors.New("access denied"), Times: -1})
			next := w.lead(false)
			list, err := next.c.List(t.Context(), &wire.ListArgs{})
			if err != nil || len(list.Jobs) != 1 || list.Jobs[0].ID != jobA || list.Jobs[0].State != wire.Running || list.Jobs[0].Job != s.Job {
				t.Fatalf("%s: the list is %+v, %v", name, list, err)
			}
			if st := next.status(jobA, wire.Running); len(st.Warnings) != 1 || !strings.Contains(st.Warnings[0], "access denied") {
				t.Errorf("%s: warnings %q", name, st.Warnings)
			}
			h = h.meet(next)
			h.args.Holding = []wire.JobID{under}
			had := len(h.tasks)
			for range 20 {
				if err := h.poll(); err != nil {
					t.Fatal(err)
				}
				if len(h.reply.Ended) > 0 || len(h.tasks) != had {
					t.Fatalf("%s: told %+v, has %v", name, h.reply, h.tasks)
				}
			}
			_, err = h.c.Runs(t.Context(), &wire.RunsArgs{Job: under})
			wantError(t, name+": runs of the stage", err, wire.ErrBusy, string(under))
			if name == "a result" { // of the last stage, for all that this master can know
				_, err = next.c.Cancel(t.Context(), &wire.CancelArgs{Job: jobA})
				wantError(t, name+": cancel", err, wire.ErrBusy, string(jobA), "cannot be read here")
			}

			w.bad.Plan()
			time.Sleep(2 * maxParkedPause)
			last := w.lead(false)
			h = h.meet(last)
			if err := h.poll(); err != nil {
				t.Fatal(err)
			}
			if st := last.status(jobA, wire.Running); len(st.Stages) != stage+1 || len(h.tasks) != had || len(st.Warnings) > 0 {
				t.Errorf("%s: %d stages, %d tasks of %d, warnings %q", name, len(st.Stages), len(h.tasks), had, st.Warnings)
			}
			last.cancel(jobA)
			last.status(jobA, wire.Cancelled)
			last.end()
		})
	}
}

// finish does all that is left of a job.
func (h *hand) finish(id wire.JobID) {
	h.l.t.Helper()
	for range 1000 {
		for i := 0; i < len(h.tasks); {
			if h.tasks[i].Attempt.Task.Job != id {
				i++
				continue
			}
			task := h.tasks[i]
			h.tasks = slices.Delete(h.tasks, i, i+1)
			h.args.Done = append(h.args.Done, h.result(task))
		}
		if err := h.poll(); err != nil {
			h.l.t.Fatal(err)
		}
		st, err := h.l.c.Watch(h.l.t.Context(), &wire.WatchArgs{Job: id})
		if err != nil {
			h.l.t.Fatal(err)
		}
		if st.State == wire.Done {
			return
		}
	}
	h.l.t.Fatalf("job %s does not end", id)
}

// A chain can be cancelled while its spec or its stage's plan cannot be read, as long as no commit is decided; its output is free then,
// for the next master too, which may be able to read them again or not. What its stages have left stays if nobody can tell whether it is
// to be kept.
func TestParkedChainIsCancelled(t *testing.T) {
	const spec, stage = "**/chain-*", "**/submission-*"
	for name, x := range map[string]struct {
		object  string
		done    int  // stages
		decided bool // the commit of the next one
		over    bool // that one has committed, and what it left is being read
		refused string
	}{
		"the spec, in the first stage":        {object: spec},
		"the spec, in the second stage":       {object: spec, done: 1},
		"the stage's plan":                    {object: stage},
		"the spec, in a stage's commit":       {object: spec, decided: true, refused: "was decided"},
		"the spec, in the last commit":        {object: spec, done: 2, decided: true, refused: "was decided"},
		"the spec, when the last stage ended": {object: spec, done: 2, over: true, refused: "was decided"},
	} {
		for _, mended := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				l := w.lead(false)
				s := chainSpec()
				s.SplitSize = 1 << 30
				w.manyInputs()
				s.Inputs = nil
				for _, in := range w.names("in/") {
					s.Inputs = append(s.Inputs, "mem://b/in/"+in)
				}
				l.mustSubmit(jobA, s)
				h := l.hire("w", 4)
				for i := range x.done {
					h.stage(1)
					h.waitFor(jobA, i+1)
				}
				under := stageID(jobA, x.done)
				switch {
				case x.decided:
					w.bad.Plan(storagetest.Fault{Op: storagetest.OpComplete, Times: -1})
					h.stage(1)
					h.beat(func() bool { return l.status(under, wire.Committing) != nil })
				case x.over:
					w.bad.Plan(storagetest.Fault{Op: storagetest.OpRead, Key: "out/" + manifest.Name, Nth: 2, Times: -1, Kind: storagetest.Stall})
					h.stage(1)
					h.beat(func() bool { return l.ended(under) })
				default:
					h.beat(func() bool { return len(h.tasks) > 0 })
				}
				l.depose()

				w.bad.Plan(storagetest.Fault{Op: storagetest.OpRead, Key: x.object, Err: errors.New("access denied"), Times: -1})
				next := w.lead(false)
				r, err := next.c.Cancel(t.Context(), &wire.CancelArgs{Job: jobA})
				if x.refused != "" {
					wantError(t, name, err, wire.ErrBusy, string(jobA), x.refused, "access denied")
					next.depose()
				} else if err != nil || r.State != wire.Cancelled {
					t.Fatalf("%s: cancel: %+v, %v", name, r, err)
				}
				time.Sleep(time.Second)
				if mended || x.refused != "" {
					w.bad.Plan()
				}
				last := w.lead(false)
				switch {
				case x.refused == "":
					st := last.status(jobA, wire.Cancelled)
					if list, err := last.c.List(t.Context(), &wire.ListArgs{}); err != nil || len(list.Jobs) != 1 {
						t.Errorf("%s: the list is %+v, %v", name, list, err)
					}
					var want []string
					if x.done > 0 && !mended {
						want = []string{firstStage + manifest.Name, firstStage + "part-00000.arrow"}
					}
					last.want("out/", want...)
					s.Overwrite = true
					last.mustSubmit(jobB, s)
					if again := last.status(jobA, wire.Cancelled); !again.Ended.Equal(st.Ended) {
						t.Errorf("%s: it ended at %v, and at %v", name, st.Ended, again.Ended)
					}
				case x.done == 2:
					last.status(jobA, wire.Done)
					last.want("out/", manifest.Name, "part-00000.arrow")
				default:
					h = h.meet(last)
					h.waitFor(jobA, 1)
				}
				last.depose()
			})
		}
	}
}

// A worker with attempts of a parked job has as many slots less for others: the scheduler does not know of those attempts.
func TestParkedTakesSlots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		l := w.lead(false)
		other := spec()
		other.Output = "mem://b/other"
		l.mustSubmit(jobB, other)
		l.cancel(jobB)
		w.manyInputs()
		large := spec()
		large.SplitSize = 1300
		l.mustSubmit(jobA, large)
		h := l.hire("w", 3)
		h.beat(func() bool { return len(h.tasks) == 3 })
		h.tasks = h.tasks[:2] // the third has been given up by the worker
		l.depose()

		w.bad.Plan(outages["refused"])
		next := w.lead(false)
		h = h.meet(next)
		h.args.Holding = []wire.JobID{jobA}
		next.mustSubmit("cccccccc01", other)
		for range 50 {
			if err := h.poll(); err != nil {
				t.Fatal(err)
			}
			if len(h.tasks) > 3 {
				t.Fatalf("with 3 slots it has %d tasks", len(h.tasks))
			}
		}
		if len(h.tasks) != 3 {
			t.Errorf("with a free slot it has %d tasks, not 3", len(h.tasks))
		}
		next.end()
	})
}
