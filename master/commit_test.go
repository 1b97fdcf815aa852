package master

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/master/journal"
	"github.com/millrace/millrace/master/wire"
	"github.com/millrace/millrace/storage/manifest"
	"github.com/millrace/millrace/storage/output"
	"github.com/millrace/millrace/storage/storagetest"
)

// A job ends with its parts and manifest, whose figures count each task once, and with nothing else in its output.
func TestCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newWorld(t).lead(true)
		l.mustSubmit(jobA, spec())
		h := l.hire("w", 4)
		l.pending("out/"+manifest.PartName(1), "of an attempt that lost")
		l.put("elsewhere", "")
		below := l.pending("out/other/"+manifest.PartName(1), "of a job that writes below")
		h.work(wire.Map, 3)
		h.work(wire.Reduce, 2)
		s := l.status(jobA, wire.Done)
		if s.Records != 30 || s.Pairs != 15 || s.Rows != 20 || s.Counters["n"] != 5 || s.NumParts != 2 || len(s.Parts) != 2 || s.Error != "" {
			t.Errorf("status %+v", s)
		}
		l.want("out/", manifest.Name, "part-00000.arrow", "part-00001.arrow", "pending other/part-00001.arrow")
		if err := l.st.Abort(t.Context(), below); err != nil {
			t.Error(err)
		}
		out, err := output.Open(t.Context(), l.st, "mem://b/out")
		if err != nil {
			t.Fatal(err)
		}
		mf := out.Manifest
		if mf.ID != string(jobA) || mf.Rows != 20 || mf.Inputs.Records != 30 || mf.Inputs.Objects != 3 || len(mf.Parts) != 2 || mf.Decided.IsZero() {
			t.Errorf("manifest %+v", mf)
		}
		h.args.Holding = []wire.JobID{jobA, "unknown0"}
		if err := h.poll(); err != nil || !slices.Equal(h.reply.Ended, h.args.Holding) || h.reply.Needed {
			t.Errorf("the worker hears %+v, %v", h.reply, err)
		}
		l.end()
	})
}

// Whatever request of the commit fails, and however often before the decision or after it, the job commits in the end, and
// its output is whole.
func TestCommitAfterFailures(t *testing.T) {
	final := errors.New("injected: no")
	for _, fault := range []storagetest.Fault{
		{Op: storagetest.OpComplete, Err: final, Times: 3},
		{Op: storagetest.OpComplete, Err: final, Nth: 2, Times: 1},
		{Op: storagetest.OpComplete, Kind: storagetest.LoseAnswer, Times: 5},
		{Op: storagetest.OpPut, Key: "**/" + manifest.Name, Err: final, Times: 2},
		{Op: storagetest.OpPut, Key: "**/" + manifest.Name, Kind: storagetest.LoseAnswer, Times: 1},
		{Op: storagetest.OpPut, Key: "**/" + manifest.Name, Kind: storagetest.SlowDown, Times: 20},
		{Op: storagetest.OpRead, Key: "**/" + manifest.Name, Err: final, Times: 2},
		{Op: storagetest.OpAbort, Err: final, Times: 2},
		{Op: storagetest.OpUploads, Key: "out/", Err: final, Times: 2},
		{Op: storagetest.OpRemove, Err: final, Nth: 1, Times: 1},
		{Op: storagetest.OpRemove, Err: final, Nth: 2, Times: 1},
		{Op: storagetest.OpList, Kind: storagetest.Fail, Times: 3},
	} {
		synctest.Test(t, func(t *testing.T) {
			l := newWorld(t).lead(true)
			l.put("out/"+manifest.Name, "{}")
			l.put("out/part-00000.arrow", "old")
			l.put("out/part-00007.arrow", "old")
			s := spec()
			s.Overwrite = true
			l.mustSubmit(jobA, s)
			h := l.hire("w", 4)
			l.pending("out/"+manifest.PartName(1), "of an attempt that lost")
			h.work(wire.Map, 3)
			h.do(wire.Reduce)
			h.do(wire.Reduce)
			l.bad.Plan(fault)
			if err := h.poll(); err != nil {
				t.Fatal(err)
			}
			l.status(jobA, wire.Done)
			if l.bad.Hits() == 0 {
				t.Errorf("%+v: nothing failed", fault)
			}
			l.bad.Plan()
			l.want("out/", manifest.Name, "part-00000.arrow", "part-00001.arrow")
			if _, err := output.Open(t.Context(), l.st, "mem://b/out"); err != nil {
				t.Errorf("%+v: %v", fault, err)
			}
			l.end()
		})
	}
}

// An output that is overwritten loses its manifest first: it is at no moment complete and wrong.
func TestOverwriteManifestFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newWorld(t).lead(true)
		l.put("out/"+manifest.Name, "{}")
		l.put("out/part-00007.arrow", "old")
		s := spec()
		s.Overwrite = true
		l.mustSubmit(jobA, s)
		l.want("out/", manifest.ClaimName, manifest.Name, "part-00007.arrow") // a job that may yet fail has changed nothing
		h := l.hire("w", 4)
		h.work(wire.Map, 3)
		l.bad.Plan(storagetest.Fault{Op: storagetest.OpRemove, Key: "**/part-*", Times: -1})
		h.work(wire.Reduce, 2)
		l.status(jobA, wire.Committing)
		time.Sleep(time.Minute)
		if ws := l.status(jobA, wire.Committing).Warnings; len(ws) != 1 || !strings.Contains(ws[0], "the commit fails") || !strings.Contains(ws[0], "injected") {
			t.Errorf("warnings %q, want one that says why the commit takes so long", ws)
		}
		l.want("out/", manifest.ClaimName, "part-00007.arrow", "pending part-00000.arrow", "pending part-00001.arrow")
		l.bad.Plan()
		l.status(jobA, wire.Done)
		l.want("out/", manifest.Name, "part-00000.arrow", "part-00001.arrow")
		l.end()
	})
}

// A part whose pending upload is gone when the commit looks is made again, by another attempt.
func TestPartsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newWorld(t).lead(true)
		l.mustSubmit(jobA, spec())
		h := l.hire("w", 4)
		h.work(wire.Map, 3)
		lost := h.do(wire.Reduce).Parts[0].Pending
		if err := l.st.Abort(t.Context(), lost); err != nil {
			t.Fatal(err)
		}
		h.work(wire.Reduce, 1)
		again := h.get(wire.Reduce)
		if lost.URL != "mem://b/out/"+manifest.PartName(again.Attempt.Task.Index) {
			t.Errorf("%v runs again, lost was %s", again.Attempt, lost.URL)
		}
		h.args.Done = append(h.args.Done, h.result(again))
		if err := h.poll(); err != nil {
			t.Fatal(err)
		}
		if s := l.status(jobA, wire.Done); s.Rows != 20 || s.Counters["n"] != 5 {
			t.Errorf("a part that was made twice counts twice: %d rows, counter %d", s.Rows, s.Counters["n"])
		}
		l.want("out/", manifest.Name, "part-00000.arrow", "part-00001.arrow")
		l.end()
	})
}

// A cancel before the decision wins, and the uploads go; after the decision it loses, even while the commit cannot go on.
func TestCancelOrCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newWorld(t).lead(true)
		l.mustSubmit(jobA, spec())
		h := l.hire("w", 4)
		h.work(wire.Map, 3)
		h.work(wire.Reduce, 1)
		l.want("out/", manifest.ClaimName, "pending part-00000.arrow")
		if s := l.cancel(jobA); s != wire.Cancelled {
			t.Errorf("a cancel gives %v", s)
		}
		l.status(jobA, wire.Cancelled)
		l.want("out/")

		l.mustSubmit(jobB, spec())
		h.work(wire.Map, 3)
		l.bad.Plan(storagetest.Fault{Op: storagetest.OpComplete, Times: -1})
		h.work(wire.Reduce, 2)
		l.status(jobB, wire.Committing)
		if s := l.cancel(jobB); s != wire.Committing {
			t.Errorf("a cancel after the decision gives %v", s)
		}
		l.bad.Plan()
		l.status(jobB, wire.Done)
		l.end()
	})
}

// What another program put into the output while the job ran fails the job before its decision. A manifest that comes after
// the decision stops the commit, which says so and goes on when it is removed.
func TestForeignFiles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newWorld(t).lead(true)
		l.mustSubmit(jobA, spec())
		h := l.hire("w", 4)
		h.work(wire.Map, 3)
		l.put("out/strange", "")
		h.work(wire.Reduce, 2)
		if s := l.status(jobA, wire.JobFailed); !strings.Contains(s.Error, "strange") {
			t.Errorf("error %q", s.Error)
		}
		l.want("out/", "strange")
		if err := l.st.Remove(t.Context(), "mem://b/out/strange"); err != nil {
			t.Fatal(err)
		}

		l.mustSubmit(jobB, spec())
		h.work(wire.Map, 3)
		l.bad.Plan(storagetest.Fault{Op: storagetest.OpComplete, Err: errors.New("wait"), Times: -1})
		h.work(wire.Reduce, 2)
		l.status(jobB, wire.Committing)
		foreign := (&manifest.Manifest{Version: manifest.Version, ID: "somebody's"})
		body, err := foreign.Encode()
		if err != nil {
			t.Fatal(err)
		}
		l.put("out/"+manifest.Name, string(body))
		l.bad.Plan()
		logs := &wire.LogsArgs{Job: jobB, Wait: time.Minute}
		for said := false; !said; {
			r, err := l.c.Logs(t.Context(), logs)
			if err != nil || r.End {
				t.Fatalf("nothing is said of the foreign manifest: %v", err)
			}
			said = slices.ContainsFunc(r.Lines, func(x wire.LogLine) bool { return strings.Contains(x.Text, "another program wrote") })
			logs.Cursor = r.Cursor
		}
		if err := l.st.Remove(t.Context(), "mem://b/out/"+manifest.Name); err != nil {
			t.Fatal(err)
		}
		l.status(jobB, wire.Done)
		l.end()
	})
}

// A master that stops for good sweeps what its running jobs left; one whose journal survives leaves it to the next.
func TestSweepAtTheEnd(t *testing.T) {
	for volatile, want := range map[bool][]string{true: nil, false: {manifest.ClaimName, "pending part-00000.arrow"}} {
		synctest.Test(t, func(t *testing.T) {
			l := newWorld(t).lead(volatile)
			s := spec()
			s.Shuffle = "bucket"
			l.mustSubmit(jobA, s)
			l.hire("w", 4).work(wire.Map, 3)
			l.pending("out/part-00000.arrow", "x")
			l.end()
			l.want("out/", want...)
		})
	}
}

// The work folder of a job with its runs in the bucket goes with the job.
func TestSweepWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newWorld(t).lead(true)
		s := spec()
		s.Shuffle = "bucket"
		l.mustSubmit(jobA, s)
		c := l.dial(wire.RoleWorker)
		r, err := c.Job(t.Context(), &wire.JobArgs{Job: jobA})
		if err != nil {
			t.Fatal(err)
		}
		key := strings.TrimPrefix(r.Work, "mem://b/")
		l.put(key+"/map-00000.0.run", "run")
		l.pending(key+"/map-00001.0.run", "half a run")
		l.cancel(jobA)
		l.status(jobA, wire.Cancelled)
		l.want("out/")
		_, err = c.Job(t.Context(), &wire.JobArgs{Job: jobA})
		wantError(t, "Job of an ended job", err, wire.ErrJobEnded, string(jobA))
		l.end()
	})
}

// The sweep waits for the workers: what an attempt still writes before it hears of the job's end goes, too. One that is
// never heard of again does not hold it up for long.
func TestSweepAfterLateAttempts(t *testing.T) {
	for silent, want := range map[bool][]string{false: nil, true: {".millrace-" + string(jobA) + "/map-00000.0.run"}} {
		synctest.Test(t, func(t *testing.T) {
			l := newWorld(t).lead(true)
			s := spec()
			s.Shuffle = "bucket"
			l.mustSubmit(jobA, s)
			h := l.hire("w", 1)
			if err := h.poll(); err != nil || len(h.tasks) != 1 {
				t.Fatalf("got %d tasks, %v", len(h.tasks), err)
			}
			l.cancel(jobA)
			start := time.Now()
			time.Sleep(time.Second) // in the bubble: nothing else happens meanwhile
			if !silent {
				if err := h.poll(); err != nil || len(h.tasks) != 0 { // it still runs it, and is told to give it up
					t.Fatalf("it keeps %d tasks, %v", len(h.tasks), err)
				}
			}
			if silent {
				time.Sleep(quietTimeout)
			}
			l.put("out/.millrace-"+string(jobA)+"/map-00000.0.run", "run")
			if !silent {
				if err := h.poll(); err != nil {
					t.Fatal(err)
				}
			}
			l.status(jobA, wire.Cancelled)
			if waited := time.Since(start); waited > quietTimeout+2*time.Second {
				t.Errorf("the job's end took %v", waited)
			}
			l.want("out/", want...)
			l.end()
		})
	}
}

// A manifest that replaces another is written when no removal of that one can be under way any more: neither one of an earlier
// master, nor this master's own, of which an answer was lost. A removal that comes until then does no harm.
func TestLateRemoval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		l := w.lead(false)
		s := spec()
		s.Overwrite = true
		l.mustSubmit(jobA, s)
		h := l.hire("w", 4)
		h.work(wire.Map, 3)
		h.do(wire.Reduce)
		h.do(wire.Reduce)
		ctx := t.Context()
		w.cut = func(op string) error { // the manifest is written, that the job is committed is not
			if _, err := w.st.Stat(ctx, "mem://b/out/"+manifest.Name); op == "append" && err == nil {
				return errors.New("cut off")
			}
			return nil
		}
		_ = h.poll() // the term may be over before its answer
		time.Sleep(time.Second)
		l.depose()
		w.cut = nil
		w.want("out/", ".millrace-claim", manifest.Name, "part-00000.arrow", "part-00001.arrow")
		begun := time.Now()
		next := w.lead(false)
		time.Sleep(lateRemoval / 2)
		next.status(jobA, wire.Committing)
		if err := w.st.Remove(t.Context(), "mem://b/out/"+manifest.Name); err != nil { // the late one
			t.Fatal(err)
		}
		next.status(jobA, wire.Done)
		if took := time.Since(begun); took < lateRemoval || took > lateRemoval+10*time.Second {
			t.Errorf("it was committed after %v", took)
		}
		w.want("out/", manifest.Name, "part-00000.arrow", "part-00001.arrow")
		next.end()
	})
}

// A master whose term is over changes nothing in the storage, though its commit has not heard of it.
func TestLateCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		l := w.lead(false)
		l.mustSubmit(jobA, spec())
		m := newMaster(l.p.o, journal.Term{N: 1, Reign: over{}})
		j := l.m().jobs[jobA]
		for what, err := range map[string]error{
			"remove": m.removeOld(t.Context(), j, "mem://b/in/0"), "finish": m.finish(t.Context(), j), "finish again": m.finishAgain(t.Context(), j),
		} {
			if !errors.Is(err, journal.ErrFenced) {
				t.Errorf("%s: got %v", what, err)
			}
		}
		w.want("in/", "0", "1", "2")
		l.depose()
	})
}

// over is a reign that lasts no more.
type over struct{ journal.Reign }

func (over) Lasts() bool { return false }
