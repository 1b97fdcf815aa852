package master

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/master/sched"
	"github.com/millrace/millrace/master/wire"
)

// The run log grows as maps are selected and lost; it is read in pages, and a reader waits for what comes next.
func TestRunLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newWorld(t).lead(true)
		l.mustSubmit(jobA, spec())
		a := l.hire("a", 2)
		a.work(wire.Map, 2)
		args := &wire.RunsArgs{Job: jobA, Max: 1, Wait: time.Minute}
		var events []wire.RunEvent
		read := func() {
			t.Helper()
			r, err := a.c.Runs(t.Context(), args)
			if err != nil || r.Maps != 3 || len(r.Events) > 1 {
				t.Fatalf("got %+v, %v", r, err)
			}
			events = append(events, r.Events...)
			args.Cursor = r.Cursor
		}
		read()
		read()
		if events[0].Attempt == events[1].Attempt || events[0].Run.Size != 100 || events[0].Lost {
			t.Errorf("got %+v", events)
		}
		begun := time.Now()
		args.Wait = 3 * time.Second
		read()
		if len(events) != 2 || time.Since(begun) != args.Wait {
			t.Errorf("without news Runs answers %d events after %v", len(events), time.Since(begun))
		}
		// The worker falls silent: its runs are taken back.
		args.Wait = time.Minute
		read()
		read()
		if !events[2].Lost || !events[3].Lost {
			t.Errorf("after its worker was lost: %+v", events[2:])
		}
		cancelled := l.cancelAfter(time.Second, jobA)
		if _, err := a.c.Runs(t.Context(), args); err == nil {
			t.Error("the end of the job is not told")
		}
		cancelled()
		_, err := a.c.Runs(t.Context(), &wire.RunsArgs{Job: "none"})
		wantError(t, "Runs of no job", err, wire.ErrNoJob)
		l.end()
	})
}

// News of the run log are gathered for a while if the reader asks for it, but a whole page, the last maps' runs and the job's end
// are told at once. When runs are lost, the maps that are made again are waited for like the others.
func TestRunLogPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newWorld(t).lead(true)
		l.mustSubmit(jobA, spec())
		a := l.hire("a", 3)
		read := func(page, want int, wait time.Duration) {
			t.Helper()
			begun := time.Now()
			r, err := a.c.Runs(t.Context(), &wire.RunsArgs{Job: jobA, Max: page, Pause: time.Second, Wait: time.Minute})
			if err != nil || len(r.Events) != want || time.Since(begun) != wait {
				t.Errorf("got %+v, %v after %v; want %d events after %v", r, err, time.Since(begun), want, wait)
			}
		}
		a.work(wire.Map, 1)
		read(0, 1, time.Second)
		read(1, 1, 0)
		a.work(wire.Map, 2)
		read(0, 3, 0)
		b := l.hire("b", 4)
		b.beat(func() bool { l.m().mu.Lock(); defer l.m().mu.Unlock(); return !l.m().sched.Known("a") })
		synctest.Wait() // what follows from that is done after it is known
		read(0, 6, time.Second)
		b.work(wire.Map, 3)
		read(0, 9, 0)
		cancelled := l.cancelAfter(time.Millisecond, jobA)
		begun := time.Now()
		_, err := a.c.Runs(t.Context(), &wire.RunsArgs{Job: jobA, Cursor: 9, Pause: time.Second, Wait: time.Minute})
		wantError(t, "Runs of a cancelled job", err, wire.ErrJobEnded)
		if time.Since(begun) > time.Second {
			t.Errorf("the job's end is told after %v", time.Since(begun))
		}
		cancelled()
		l.end()
	})
}

// A worker that falls silent is lost: it is told so when it comes back, nothing is kept of it, it does not count, and what it
// did is done again by another.
func TestLostWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newWorld(t).lead(true)
		l.mustSubmit(jobA, spec())
		a, b := l.hire("a", 4), l.hire("b", 4)
		a.work(wire.Map, 3)
		b.beat(func() bool { l.m().mu.Lock(); defer l.m().mu.Unlock(); return !l.m().sched.Known("a") })
		if s := l.status(jobA, wire.Running); s.Workers != 1 {
			t.Errorf("%d workers are counted", s.Workers)
		}
		l.m().mu.Lock()
		if _, ok := l.m().workers["a"]; ok {
			t.Error("the lost worker is kept")
		}
		l.m().mu.Unlock()
		wantError(t, "a lost worker's poll", a.poll(), wire.ErrWorkerLost, "new id")
		b.work(wire.Map, 3)
		b.work(wire.Reduce, 2)
		if s := l.status(jobA, wire.Done); s.Records != 30 {
			t.Errorf("%d records: those of a lost run count, too", s.Records)
		}
		l.m().mu.Lock()
		if len(l.m().workers) != 1 {
			t.Errorf("%d workers are kept", len(l.m().workers))
		}
		l.m().mu.Unlock()
		l.end()
	})
}

// A poll that a newer one overtook changes nothing and is answered empty, at once; one that is repeated is answered, but
// not taken twice.
func TestOvertakenPolls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newWorld(t).lead(true)
		h := l.hire("w", 1)
		if err := h.poll(); err != nil {
			t.Fatal(err)
		}
		older := h.args
		older.Seq, older.Wait = 2, time.Hour
		waiting := make(chan *wire.PollReply)
		go func() {
			r, err := h.c.Poll(t.Context(), &older)
			if err != nil {
				t.Error(err)
			}
			waiting <- r
		}()
		synctest.Wait()
		h.args.Seq = 2
		if err := h.poll(); err != nil { // number 3
			t.Fatal(err)
		}
		if r := <-waiting; len(r.Assign)+len(r.Kill)+len(r.Ended) > 0 {
			t.Errorf("the overtaken poll brings %+v", r)
		}
		begun := time.Now()
		if _, err := h.c.Poll(t.Context(), &older); err != nil || time.Since(begun) > 0 {
			t.Errorf("a poll from before is answered after %v, %v", time.Since(begun), err)
		}
		l.mustSubmit(jobA, spec())
		task := h.get(wire.Map)
		h.args.Done = []wire.Outcome{h.result(task)}
		again := h.args
		again.Seq++
		if err := h.poll(); err != nil {
			t.Fatal(err)
		}
		if _, err := h.c.Poll(t.Context(), &again); err != nil { // as a client does whose connection broke
			t.Fatal(err)
		}
		if s := l.status(jobA, wire.Running); s.Map.Done != 1 || s.Records != 10 {
			t.Errorf("%d maps are done, with %d records", s.Map.Done, s.Records)
		}
		l.end()
	})
}

// An answer that is lost on its way is made good by the next: the worker did not show what it was given.
func TestLostAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newWorld(t).lead(true)
		l.mustSubmit(jobA, spec())
		h := l.hire("w", 1)
		h.args.Seq = 1
		first, err := h.c.Poll(t.Context(), &h.args) // not taken into h: lost
		if err != nil || len(first.Assign) != 1 {
			t.Fatalf("got %+v, %v", first, err)
		}
		if task := h.get(wire.Map); task.Attempt != first.Assign[0].Attempt || len(task.Split.Pieces) != 1 {
			t.Errorf("got %+v, want %v again", task, first.Assign[0].Attempt)
		}
		l.end()
	})
}

// A draining worker gets nothing new, is needed as long as its runs are, and its leaving is noticed at once.
func TestDrainingWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newWorld(t).lead(true)
		l.mustSubmit(jobA, spec())
		a, b := l.hire("a", 4), l.hire("b", 4)
		a.work(wire.Map, 3)
		a.args.Draining, a.args.Slots = true, 4
		if err := a.poll(); err != nil || !a.reply.Needed {
			t.Errorf("a worker with runs hears %+v, %v", a.reply, err)
		}
		b.args.Holding = []wire.JobID{jobA}
		if err := b.poll(); err != nil || b.reply.Needed {
			t.Errorf("a worker without runs hears %+v, %v", b.reply, err)
		}
		held := len(a.tasks)
		b.work(wire.Reduce, 2-held)
		if held > 0 {
			a.work(wire.Reduce, held)
		}
		l.status(jobA, wire.Done)
		if err := a.poll(); err != nil || a.reply.Needed {
			t.Errorf("after the job it hears %+v, %v", a.reply, err)
		}
		a.args.Leaving = true
		if err := a.poll(); err != nil {
			t.Error(err)
		}
		l.m().mu.Lock()
		if len(l.m().workers) != 1 || l.m().sched.Known("a") {
			t.Errorf("%d workers are known after one left", len(l.m().workers))
		}
		l.m().mu.Unlock()
		l.end()
	})
}

// A run that cannot be fetched makes its map run again, not the reduce fail; it is in the log.
func TestFetchFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newWorld(t).lead(true)
		l.mustSubmit(jobA, spec())
		h := l.hire("w", 4)
		var maps []wire.Task
		for range 3 {
			task := h.get(wire.Map)
			maps = append(maps, task)
			h.args.Done = append(h.args.Done, h.result(task))
		}
		if err := h.poll(); err != nil {
			t.Fatal(err)
		}
		reduce := h.get(wire.Reduce)
		h.args.Done = []wire.Outcome{{Attempt: reduce.Attempt, Failure: &wire.Failure{Kind: wire.FailFetch, Run: maps[1].Attempt, Text: "gone"}}}
		again := h.get(wire.Map)
		if again.Attempt.Task != maps[1].Attempt.Task || again.Attempt.N == maps[1].Attempt.N {
			t.Errorf("%v runs again, %v was lost", again.Attempt, maps[1].Attempt)
		}
		h.args.Done = append(h.args.Done, h.result(again))
		h.work(wire.Reduce, 2)
		if s := l.status(jobA, wire.Done); s.Reduce.Failed != 0 || s.Records != 30 {
			t.Errorf("status %+v", s)
		}
		l.end()
	})
}

// A task that fails for good fails its job with the failure's whole text; what it had made goes.
func TestFailedJob(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newWorld(t).lead(true)
		s := spec()
		s.MaxAttempts = 2
		l.mustSubmit(jobA, s)
		hands := []*hand{l.hire("a", 1), l.hire("b", 1)}
		l.pending("out/part-00001.arrow", "x")
		for n := range 2 {
			h := hands[n]
			var task wire.Task
			for task = h.get(wire.Map); task.Attempt.Task.Index != 0; task = h.get(wire.Map) {
				h.args.Done = append(h.args.Done, h.result(task))
			}
			h.args.Done = append(h.args.Done, wire.Outcome{Attempt: task.Attempt, Failure: &wire.Failure{Text: fmt.Sprint("bad luck ", n)}})
			if err := h.poll(); err != nil {
				t.Fatal(err)
			}
		}
		state := l.status(jobA, sched.JobFailed)
		if want := "bad luck 1"; !strings.Contains(state.Error, want) {
			t.Errorf("the job failed with %q, want %q in it", state.Error, want)
		}
		l.want("out/")
		l.end()
	})
}

// When the master stops, those who wait hear of it.
func TestStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newWorld(t).lead(true)
		h := l.hire("w", 1)
		h.args.Wait = time.Hour
		ended := make(chan error)
		go func() { ended <- h.poll() }()
		synctest.Wait()
		l.end()
		if err := <-ended; err == nil {
			t.Error("a poll that waits for work hears nothing of the master's end")
		}
	})
}

// A worker is told, once, which parts of its report count, and of none that another attempt has made.
func TestSelectedParts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newWorld(t).lead(true)
		l.mustSubmit(jobA, spec())
		h := l.hire("w", 4)
		h.work(wire.Map, 3)
		o := h.do(wire.Reduce)
		vain := h.result(wire.Task{Attempt: wire.AttemptID{Task: o.Attempt.Task, N: o.Attempt.N + 1}})
		h.args.Done = append(h.args.Done, vain)
		if err := h.poll(); err != nil {
			t.Fatal(err)
		}
		if got := h.reply.Selected; !slices.Equal(got, []wire.AttemptID{o.Attempt}) {
			t.Errorf("selected are %v, want %v", got, o.Attempt)
		}
		if err := h.poll(); err != nil || len(h.reply.Selected) > 0 {
			t.Errorf("selected are %v again, %v", h.reply.Selected, err)
		}
		l.end()
	})
}
