package master

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/master/wire"
	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/manifest"
	"github.com/millrace/millrace/storage/output"
	"github.com/millrace/millrace/storage/storagetest"
)

// A master without a successor that is told to stop after the decision finishes the commit, for a while: the old output is
// gone already. One with a successor leaves it the commit.
func TestStopAfterDecision(t *testing.T) {
	both := []string{manifest.Name, "part-00000.arrow", "part-00001.arrow"}
	for _, test := range []struct {
		o    Options
		back time.Duration // when the storage works again
		want []string
	}{
		{Options{Volatile: true}, commitGrace / 2, both},
		{Options{Volatile: true}, 2 * commitGrace, []string{"part-00000.arrow"}},
		{Options{Last: true}, commitGrace / 2, both},
		{Options{}, commitGrace / 2, []string{manifest.ClaimName, "part-00000.arrow", "pending part-00001.arrow"}},
	} {
		synctest.Test(t, func(t *testing.T) {
			l := newWorld(t).leadAs(test.o)
			l.put("out/"+manifest.Name, "{}")
			l.put("out/part-00000.arrow", "old")
			s := spec()
			s.Overwrite = true
			l.mustSubmit(jobA, s)
			h := l.hire("w", 4)
			h.work(wire.Map, 3)
			l.bad.Plan(storagetest.Fault{Op: storagetest.OpComplete, Key: "**/part-00001.arrow", Times: -1})
			h.work(wire.Reduce, 2)
			l.status(jobA, wire.Committing)
			time.Sleep(time.Minute)
			time.AfterFunc(test.back, func() { l.bad.Plan() })
			begun := time.Now()
			l.end()
			if took := time.Since(begun); took > commitGrace+sweepTimeout || !test.o.alone() && took > time.Second {
				t.Errorf("volatile %v, last %v: the stop takes %v", test.o.Volatile, test.o.Last, took)
			}
			l.want("out/", test.want...)
			time.Sleep(2 * commitGrace)
		})
	}
}

// A master that is the last removes what its unfinished jobs left when it is told to end, not when its term is over: then it goes
// on with them in the next.
func TestLast(t *testing.T) {
	for _, told := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			l := w.leadAs(Options{Last: true})
			chain := chainSpec()
			chain.Output = "mem://b/chain"
			l.mustSubmit(jobA, spec())
			l.mustSubmit("cccccccc", chain)
			h := l.hire("w", 4)
			h.work(wire.Map, 3)
			h.do(wire.Reduce)
			want := []string{manifest.ClaimName, "pending part-00000.arrow"}
			if told {
				l.end()
				want = nil
			} else {
				l.depose()
			}
			l.want("out/", want...)
			l = w.lead(false) // on the same journal, all the same
			l.status(jobA, wire.Running)
			l.status("cccccccc", wire.Running)
			l.end()
		})
	}
}

// A pending upload that is gone after the decision ends the job by name: there is nothing to wait for.
func TestPartLostAfterDecision(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		l := w.lead(false)
		l.mustSubmit(jobA, spec())
		h := l.hire("w", 4)
		h.work(wire.Map, 3)
		part := h.do(wire.Reduce).Parts[0].Pending
		h.do(wire.Reduce)
		l.bad.Plan(storagetest.Fault{Op: storagetest.OpComplete, Times: -1})
		if err := h.poll(); err != nil {
			t.Fatal(err)
		}
		l.status(jobA, wire.Committing)
		if err := l.st.Abort(t.Context(), part); err != nil {
			t.Fatal(err)
		}
		l.bad.Plan()
		if s := l.status(jobA, wire.JobFailed); !strings.Contains(s.Error, storage.ErrPendingLost.Error()) || !strings.Contains(s.Error, "--overwrite") {
			t.Errorf("error %q", s.Error)
		}
		l.depose()
		next := w.lead(false)
		next.status(jobA, wire.JobFailed)
		s := spec()
		s.Overwrite = true
		next.mustSubmit(jobB, s)
		next.end()
	})
}

// A manifest that cannot be read at the moment may be the job's own: nothing is removed before it has been.
func TestUnreadableManifest(t *testing.T) {
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
		l.bad.Plan(storagetest.Fault{Op: storagetest.OpPut, Key: "**/" + manifest.Name, Kind: storagetest.LoseAnswer, Times: -1},
			storagetest.Fault{Op: storagetest.OpRead, Key: "**/" + manifest.Name, Nth: 2, Err: fmt.Errorf("%w: no", storage.ErrDenied), Times: -1})
		if err := h.poll(); err != nil {
			t.Fatal(err)
		}
		l.status(jobA, wire.Committing)
		time.Sleep(10 * time.Minute)
		l.want("out/", manifest.ClaimName, manifest.Name, "part-00000.arrow", "part-00001.arrow")
		if n := l.bad.Calls(storagetest.OpRemove); n != 1 {
			t.Errorf("%d objects were removed", n)
		}
		l.bad.Plan()
		l.status(jobA, wire.Done)
		if out, err := output.Open(context.WithoutCancel(t.Context()), l.st, "mem://b/out"); err != nil || out.Manifest.ID != string(jobA) {
			t.Errorf("the output: %v", err)
		}
		l.end()
	})
}

// A storage that fails for a while before the decision costs time, not the job; a cancel meanwhile wins. One that fails for
// longer, or for good, ends the job.
func TestDecideWaits(t *testing.T) {
	for _, test := range []struct {
		kind storagetest.Kind
		err  error
		back time.Duration
		stop bool
		want wire.JobState
	}{
		{storagetest.SlowDown, nil, decideLimit / 2, false, wire.Done},
		{storagetest.SlowDown, nil, decideLimit / 2, true, wire.Cancelled},
		{storagetest.SlowDown, nil, 3 * decideLimit, false, wire.JobFailed},
		{storagetest.Fail, fmt.Errorf("%w: no", storage.ErrDenied), decideLimit / 2, false, wire.JobFailed},
	} {
		synctest.Test(t, func(t *testing.T) {
			l := newWorld(t).lead(true)
			l.mustSubmit(jobA, spec())
			h := l.hire("w", 4)
			h.work(wire.Map, 3)
			h.do(wire.Reduce)
			h.do(wire.Reduce)
			l.bad.Plan(storagetest.Fault{Op: storagetest.OpList, Key: "out/", Kind: test.kind, Err: test.err, Times: -1})
			if err := h.poll(); err != nil {
				t.Fatal(err)
			}
			time.AfterFunc(test.back, func() { l.bad.Plan() })
			if test.stop {
				time.Sleep(test.back / 2)
				l.cancel(jobA)
			}
			if s := l.status(jobA, test.want); test.want == wire.JobFailed && !strings.Contains(s.Error, "mem://b/out") {
				t.Errorf("error %q", s.Error)
			}
			l.end()
			time.Sleep(3 * decideLimit)
		})
	}
}
