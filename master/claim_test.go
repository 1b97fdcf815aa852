package master

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/master/wire"
	"github.com/millrace/millrace/storage/storagetest"
)

// A submission whose submitter goes away, wherever that catches it, leaves its output to others, or is a job.
func TestSubmitterGone(t *testing.T) {
	for _, wait := range []time.Duration{0, time.Second} {
		synctest.Test(t, func(t *testing.T) {
			l := newWorld(t).lead(true)
			ctx, cancel := context.WithCancel(t.Context())
			if wait == 0 {
				cancel()
			}
			time.AfterFunc(wait, cancel)
			l.bad.Plan(storagetest.Fault{Op: storagetest.OpList, Key: "out/", Kind: storagetest.Stall, Times: -1})
			if _, err := l.m().Submit(ctx, &wire.SubmitArgs{Job: jobA, Spec: spec()}); err == nil {
				t.Error("it is submitted")
			}
			l.bad.Plan()
			l.mustSubmit(jobB, spec())
			l.end()
		})
	}
}

// An output inside or around that of a running job is refused; one beside it, with the same beginning, is not.
func TestNestedOutputs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newWorld(t).lead(true)
		s := spec()
		s.Output = "mem://b/a/b"
		l.mustSubmit(jobA, s)
		for _, out := range []string{"mem://b/a/b/c", "mem://b/a", "mem://b/a/b/c/d"} {
			s.Output = out
			wantError(t, out, l.submit(jobB, s), wire.ErrOutputTaken, out, string(jobA), "mem://b/a/b")
		}
		s.Output = "mem://b/a/bc"
		l.mustSubmit(jobB, s)
		l.cancel(jobA)
		l.status(jobA, wire.Cancelled)
		s.Output = "mem://b/a/b/c"
		l.mustSubmit("cccccccc", s)
		l.end()
	})
}

// The jobs that ended first are forgotten first, whenever they were submitted. One that is submitted again after that is
// refused, and leaves no claim.
func TestForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newWorld(t).lead(true)
		l.mustSubmit(jobA, spec())
		s := spec()
		s.Output = "mem://b/long"
		l.mustSubmit(jobB, s)
		l.cancel(jobA)
		l.status(jobA, wire.Cancelled)
		for i := range maxEndedJobs {
			time.Sleep(time.Second)
			id := wire.JobID(fmt.Sprintf("%08d", i))
			s.Output = fmt.Sprint("mem://b/out", i)
			l.mustSubmit(id, s)
			l.cancel(id)
		}
		l.cancel(jobB)
		l.status(jobB, wire.Cancelled)
		_, err := l.c.Watch(t.Context(), &wire.WatchArgs{Job: jobA})
		wantError(t, "the job that ended first", err, wire.ErrNoJob)
		wantError(t, "a forgotten job", l.submit(jobA, spec()), wire.ErrJobEnded, string(jobA), "new id")
		l.mustSubmit("cccccccc", spec())
		l.end()
	})
}

// A storage that fails for the moment makes a submission fail, but not its job a bad one.
func TestSubmitDuringOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newWorld(t).lead(true)
		l.bad.Plan(storagetest.Fault{Op: storagetest.OpList, Kind: storagetest.SlowDown, Times: -1})
		wantError(t, "during an outage", l.submit(jobA, spec()), wire.ErrInternal, "mem://b/in")
		l.end()
	})
}

// A poll whose connection broke leaves nothing of a worker that was lost.
func TestPollOfLostWorkerGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newWorld(t).lead(true)
		h := l.hire("w", 1)
		if err := h.poll(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		h.args.Seq++
		_, err := l.m().Poll(ctx, &h.args)
		wantError(t, "the poll of a lost worker", err, wire.ErrWorkerLost)
		l.m().mu.Lock()
		if w := l.m().workers["w"]; w != nil && w.refused {
			t.Error("it is kept")
		}
		l.m().mu.Unlock()
		l.end()
	})
}

// An output that is claimed for a job which nobody knows is free: the master that claimed it was lost before it recorded the
// job. It is not while that job is being submitted.
func TestOrphanedClaim(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newWorld(t).lead(false)
		if err := l.m().journal.Claim(t.Context(), spec().Output, jobB); err != nil {
			t.Fatal(err)
		}
		_, done, err := l.m().beginSubmit(t.Context(), jobB, "")
		if err != nil {
			t.Fatal(err)
		}
		wantError(t, "while its job is being submitted", l.submit(jobA, spec()), wire.ErrOutputTaken, string(jobB))
		done()
		l.mustSubmit(jobA, spec())
		wantError(t, "of a job that is known", l.submit(jobB, spec()), wire.ErrOutputTaken, string(jobA))
		l.end()
	})
}

// A submission that is repeated before the first one is durable is answered after that: else a master that was lost in
// between would have promised a job that nobody knows. For the same reason nobody else is told of it.
func TestSubmitTwiceBeforeDurable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		l := w.lead(false)
		begun := time.Now()
		w.cut = func(op string) error {
			if op == "append" {
				time.Sleep(time.Second)
			}
			return nil
		}
		go func() { _ = l.submit(jobA, spec()) }()
		time.Sleep(time.Second / 2)
		if list, err := l.c.List(t.Context(), &wire.ListArgs{}); err != nil || len(list.Jobs) > 0 {
			t.Errorf("jobs that are not durable are told of: %+v, %v", list.Jobs, err)
		}
		_, err := l.c.Watch(t.Context(), &wire.WatchArgs{Job: jobA})
		wantError(t, "the status of a job that is not durable", err, wire.ErrNoJob)
		l.mustSubmit(jobA, spec())
		if after := time.Since(begun); after < time.Second {
			t.Errorf("answered after %v, before the record was durable", after)
		}
		w.cut = nil
		l.end()
	})
}

// A claim or release that may have been done ends the term: done late, in the same term, it would hold the output of a job that
// has ended, or free that of one that runs.
func TestUnclearRelease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		l := w.lead(false)
		l.mustSubmit(jobA, spec())
		w.cut = func(op string) error {
			if op != "release" {
				return nil
			}
			w.cut = nil
			return errors.New("no answer")
		}
		_, _ = l.c.Cancel(t.Context(), &wire.CancelArgs{Job: jobA}) // its answer may come too late for the term
		time.Sleep(time.Minute)
		if l.m() != nil {
			t.Error("the master goes on")
		}
		l.end()
		next := w.lead(false)
		next.status(jobA, wire.Cancelled)
		next.mustSubmit(jobB, spec())
		next.end()
	})
}
