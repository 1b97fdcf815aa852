package master

import (
	"context"
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
