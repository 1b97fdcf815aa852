package worker

import (
	"errors"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/master/wire"
	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/storagetest"
)

// A map and then a reduce run as assigned; what they report is what the master needs, and the part stays pending.
func TestTasks(t *testing.T) {
	for _, job := range []string{"count", "count-bucket"} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, Options{})
			m, red := mapTask(job, 0), reduceTask(job, 0)
			r.script.once(assign(m, red)) // the reduce waits for the map's run
			r.start()
			o := r.outcome(m)
			if o.Failure != nil || o.Map == nil || o.Map.Pairs != 3 || o.Records != 2 || o.Bytes != 6 {
				t.Fatalf("the map reports %+v, %+v", o, o.Failure)
			}
			if local := strings.HasPrefix(o.Map.URL, "http://self/runs/"); local != (job == "count") {
				t.Errorf("the run of %s is at %s", job, o.Map.URL)
			}
			r.script.publish(o)
			let(3 * time.Second)
			o = r.outcome(red)
			if o.Failure != nil || o.Reduce == nil || o.Parts[0].Rows != 2 || o.Reduce.Groups != 2 || o.Parts[0].Pending.URL != "mem://b/out/part-00000.arrow" {
				t.Fatalf("the reduce reports %+v, %+v", o, o.Failure)
			}
			if got := r.names(); !slices.Contains(got, "pending part-00000.arrow") {
				t.Errorf("the output holds %q", got)
			}
			if got := r.script.last().Holding; !slices.Equal(got, []wire.JobID{wire.JobID(job)}) {
				t.Errorf("the worker says that it holds %q", got)
			}
			r.stop()
		})
	}
}

// An attempt that is assigned again, since the master does not know whether its answer arrived, runs once. An outcome is
// reported until a poll that carried it was answered.
func TestRepeatedAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Options{})
		m := mapTask("count", 0)
		var failing atomic.Bool
		failing.Store(true)
		r.script.reply(func(args *wire.PollArgs) (*wire.PollReply, error) {
			switch {
			case len(args.Done) > 0 && failing.Load():
				return nil, errors.New("the connection broke")
			case args.Seq < 4:
				return assign(m), nil
			}
			return nil, nil
		})
		r.start()
		let(3 * time.Second)
		if o := r.script.last().Done; len(o) != 1 || o[0].Attempt != m.Attempt {
			t.Fatalf("an outcome that nobody took is reported as %+v", o)
		}
		failing.Store(false)
		let(3 * time.Second)
		if o := r.script.last().Done; len(o) != 0 {
			t.Errorf("it is reported for ever: %+v", o)
		}
		if n := r.bad.Calls(storagetest.OpRead); n > 1 {
			t.Errorf("the input was read %d times", n)
		}
		r.stop()
	})
}

// An outcome does not wait for the poll under way: a second one overtakes it. Polls wait for each other from then on, though
// there is more to report.
func TestOvertaking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Options{Slots: 3})
		hang := make(chan struct{})
		tasks := []wire.Task{mapTask("slow", 0), mapTask("slow", 1), mapTask("slow", 2)}
		r.script.reply(func(args *wire.PollArgs) (*wire.PollReply, error) {
			if args.Seq == 1 {
				return assign(tasks...), nil
			}
			<-hang
			return nil, nil
		})
		r.start()
		for range 6 { // two records a task
			r.gate <- struct{}{}
			synctest.Wait()
		}
		if n := r.script.count(); n != 3 {
			t.Errorf("%d polls: want the one that gave the tasks, one that hangs, and one that overtakes it", n)
		}
		close(hang)
		let(3 * time.Second)
		if n := len(r.script.outcomes()); n != 3 {
			t.Errorf("%d outcomes are reported", n)
		}
		r.stop()
	})
}

// A killed attempt comes back as returned, uncharged. One that takes its time to die is neither forgotten nor asked about
// without a pause.
func TestKill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Options{})
		m := mapTask("slow", 0)
		var killing atomic.Bool
		r.script.reply(func(args *wire.PollArgs) (*wire.PollReply, error) {
			if killing.Load() && len(args.Running) > 0 {
				return &wire.PollReply{Kill: []wire.AttemptID{m.Attempt}}, nil
			}
			if args.Seq == 1 {
				return assign(m), nil
			}
			return nil, nil
		})
		r.start()
		killing.Store(true)
		let(2 * time.Second)
		before := r.script.count()
		let(10 * time.Second)
		if n := r.script.count() - before; n < 9 || n > 11 {
			t.Errorf("%d polls in 10 s over an attempt that does not die", n)
		}
		if n := len(r.script.last().Running); n != 1 {
			t.Errorf("%d attempts are shown as running", n)
		}
		close(r.gate)
		let(2 * time.Second)
		if o := r.outcome(m); o.Failure == nil || o.Failure.Kind != wire.FailReturned {
			t.Errorf("it ends with %+v", o.Failure)
		}
		r.stop()
	})
}

// A reduce that is killed in the middle leaves no pending upload.
func TestKillReduce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Options{})
		red := reduceTask("count", 0)
		r.script.once(assign(red))
		r.start()
		r.want("while it waits for runs", "pending part-00000.arrow")
		r.script.once(&wire.PollReply{Kill: []wire.AttemptID{red.Attempt}})
		let(2 * time.Second)
		r.want("after the kill")
		if o := r.outcome(red); o.Failure == nil || o.Failure.Kind != wire.FailReturned {
			t.Errorf("it ends with %+v", o.Failure)
		}
		r.stop()
	})
}

// A kill that an older answer overtook is not undone by it.
func TestKillBeforeAssign(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Options{})
		m := mapTask("count", 0)
		r.script.once(&wire.PollReply{Kill: []wire.AttemptID{m.Attempt}}, assign(m))
		r.start()
		let(3 * time.Second)
		if n := len(r.script.outcomes()); n != 0 {
			t.Errorf("a killed attempt was run: %d outcomes", n)
		}
		if got := r.script.last().Holding; !slices.Equal(got, []wire.JobID{"count"}) {
			t.Errorf("nobody will tell the worker of the job's end: it holds %q", got)
		}
		r.script.once(&wire.PollReply{Ended: []wire.JobID{"count"}})
		let(3 * time.Second)
		r.mu.Lock()
		if len(r.had)+len(r.jobs) > 0 {
			t.Errorf("after the job's end the worker knows %d attempts, %d jobs", len(r.had), len(r.jobs))
		}
		r.mu.Unlock()
		r.stop()
	})
}

// A worker that was declared lost comes back under another id with nothing, and works. What it had finished in the bucket
// goes when its job has ended, and not before: the master may have taken it.
func TestLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Options{})
		m, red := mapTask("count", 0), reduceTask("count", 0)
		r.script.once(assign(m, red))
		r.start()
		first := r.script.last().Worker
		r.script.reply(func(args *wire.PollArgs) (*wire.PollReply, error) {
			if args.Worker == first {
				return nil, wire.ErrWorkerLost
			}
			return nil, nil
		})
		r.script.publish(r.outcome(m))
		let(3 * time.Second)
		now := r.script.last()
		if now.Worker == first || len(now.Running)+len(now.Done) > 0 || now.Seq > 4 {
			t.Fatalf("it comes back with %+v", now)
		}
		if !slices.Equal(now.Holding, []wire.JobID{"count"}) {
			t.Errorf("it forgets the part that it made: it holds %q", now.Holding)
		}
		r.want("before the job's end", "pending part-00000.arrow")
		if left := r.files(); len(left) != 0 {
			t.Errorf("its runs are still there: %q", left)
		}
		r.script.once(&wire.PollReply{Ended: []wire.JobID{"count"}}, assign(mapTask("count", 7)))
		let(3 * time.Second)
		r.want("after the job's end")
		if o := r.outcome(mapTask("count", 7)); o.Failure != nil {
			t.Errorf("its next task: %+v", o.Failure)
		}
		r.stop()
	})
}

// files are the names in the worker's folder.
func (r *rig) files() (names []string) {
	entries, err := os.ReadDir(r.dir)
	if err != nil {
		r.t.Error(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// An attempt that ends after its worker was lost, and whose work is whole, is no use to anyone: a run's file goes at once.
func TestLostWhileRunning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Options{})
		r.script.once(assign(mapTask("slow", 0)))
		r.start()
		first := r.script.last().Worker
		r.script.reply(func(args *wire.PollArgs) (*wire.PollReply, error) {
			if args.Worker == first {
				return nil, wire.ErrWorkerLost
			}
			return nil, nil
		})
		let(2 * time.Second)
		close(r.gate)
		let(2 * time.Second)
		if left := r.files(); len(left) != 0 || len(r.script.outcomes()) != 0 {
			t.Errorf("left are %q, reported is %v", left, r.script.outcomes())
		}
		r.stop()
	})
}

// An ended job goes from the worker: its attempts, and when these have ended its runs. The master is not asked about it
// again and again meanwhile.
func TestEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Options{})
		r.script.once(assign(mapTask("slow", 0), mapTask("slow", 1)))
		r.start()
		r.gate <- struct{}{}
		r.gate <- struct{}{}
		let(2 * time.Second)
		if left := r.files(); len(r.script.outcomes()) > 1 {
			t.Errorf("left are %q", left)
		}
		r.script.reply(func(args *wire.PollArgs) (*wire.PollReply, error) {
			if slices.Contains(args.Holding, "slow") {
				return &wire.PollReply{Ended: []wire.JobID{"slow"}}, nil
			}
			return nil, nil
		})
		let(2 * time.Second)
		before := r.script.count()
		let(10 * time.Second)
		if n := r.script.count() - before; n > 11 {
			t.Errorf("%d polls in 10 s over a job that does not die", n)
		}
		close(r.gate)
		let(2 * time.Second)
		if left := r.files(); len(left) != 0 {
			t.Errorf("left are %q", left)
		}
		r.mu.Lock()
		if len(r.jobs)+len(r.had)+len(r.running) != 0 {
			t.Errorf("the worker still knows %d jobs, %d attempts", len(r.jobs), len(r.had))
		}
		r.mu.Unlock()
		r.stop()
	})
}

// A draining worker finishes its tasks, serves its runs while they are needed, and then leaves.
func TestDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Options{Drain: time.Hour})
		m := mapTask("slow", 0)
		r.script.once(assign(m))
		r.start()
		r.Drain()
		r.Drain() // twice is once
		let(5 * time.Second)
		if p := r.script.last(); !p.Draining || len(p.Running) != 1 {
			t.Errorf("it reports %+v", p)
		}
		close(r.gate)
		let(5 * time.Second)
		if o := r.outcome(m); o.Failure != nil {
			t.Errorf("its task: %+v", o.Failure)
		}
		select {
		case <-r.ended:
			t.Fatal("it left with runs that are needed")
		default:
		}
		r.script.once(&wire.PollReply{Needed: false})
		if err := <-r.ended; err != nil || !r.script.last().Leaving {
			t.Errorf("it ends with %v, last poll %+v", err, r.script.last())
		}
	})
}

// Tasks that take longer than the drain may are handed back, uncharged.
func TestDrainHandsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Options{Drain: 3 * time.Second})
		red := reduceTask("count", 0)
		r.script.once(assign(red))
		r.start()
		r.Drain()
		r.script.reply(func(args *wire.PollArgs) (*wire.PollReply, error) {
			if len(args.Running) > 0 {
				return nil, nil
			}
			return &wire.PollReply{}, nil
		})
		begun := time.Now()
		if err := <-r.ended; err != nil || time.Since(begun) > 5*time.Second {
			t.Errorf("it ends with %v after %v", err, time.Since(begun))
		}
		if o := r.outcome(red); o.Failure == nil || o.Failure.Kind != wire.FailReturned {
			t.Errorf("its task: %+v", o.Failure)
		}
		r.want("after the drain")
	})
}

// A draining worker that has handed its tasks back still removes what a former incarnation left, when its job ends.
func TestDrainDiscards(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Options{Drain: time.Second})
		up, err := r.o.Store.Create(t.Context(), "mem://b/out/part-00000.arrow", storage.UploadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		part, err := up.Finish(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		r.finished("a former incarnation", &wire.Outcome{Attempt: reduceTask("count", 0).Attempt, Parts: []wire.Part{{Pending: part}}})
		if err := r.o.Store.Put(t.Context(), "mem://b/out/.work/run", []byte("x"), false); err != nil {
			t.Fatal(err)
		}
		r.finished("a former incarnation", &wire.Outcome{Attempt: mapTask("count", 0).Attempt, Map: &wire.MapResult{URL: "mem://b/out/.work/run"}})
		r.start()
		r.Drain()
		let(5 * time.Second)
		r.want("before the job's end", ".work/run", "pending part-00000.arrow")
		r.script.once(&wire.PollReply{Ended: []wire.JobID{"count"}, Needed: true})
		if err := <-r.ended; err != nil {
			t.Error(err)
		}
		r.want("after it")
	})
}

// A store that hangs keeps no worker from its end for ever.
func TestDiscardIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Options{})
		r.bad.Plan(storagetest.Fault{Op: storagetest.OpAbort, Kind: storagetest.Stall, Times: -1})
		part := storage.Pending{URL: "mem://b/out/part-00000.arrow", ID: "1"}
		begun := time.Now()
		r.discard(t.Context(), []wire.Outcome{{Attempt: reduceTask("count", 0).Attempt, Parts: []wire.Part{{Pending: part}}}})
		if d := time.Since(begun); d > discardTimeout {
			t.Errorf("it took %v", d)
		}
	})
}

// A draining worker whose master is gone ends; one that does not drain goes on asking.
func TestMasterGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Options{})
		r.script.reply(func(*wire.PollArgs) (*wire.PollReply, error) { return nil, wire.ErrUnreachable })
		r.start()
		let(10 * time.Second)
		if n := r.script.count(); n < 40 || n > 51 {
			t.Errorf("%d polls in 10 s without a master", n)
		}
		r.Drain()
		if err := <-r.ended; err != nil {
			t.Error(err)
		}
	})
}
