package worker

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/jobs/plan"
	"github.com/millrace/millrace/master/wire"
	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/memstore"
	"github.com/millrace/millrace/storage/storagetest"
)

// sided counts words by the label that a side input has for all of them. parsed counts how often that was parsed.
func sided(parsed *atomic.Int64) *jobs.Job {
	type params struct{ Label jobs.SideInput }
	return jobs.Define("sided", func(task *jobs.Task, p params) (jobs.Code, error) {
		label := jobs.Shared(task, p.Label, func(data []byte) (string, error) {
			parsed.Add(1)
			return "label " + string(data), nil
		})
		return jobs.MapReduce(words, func(word string, ns jobs.Values[int64], emit func(row)) error {
			emit(row{label.Get() + word, jobs.Total(ns) + int64(len(p.Label.Bytes()))})
			return nil
		}, jobs.Combine(func(a, b int64) int64 { return a + b + int64(len(label.Get())-len(p.Label.Bytes())-len("label ")) })), nil
	})
}

// everyRead is a fault that hits each read of the side input and spoils nothing: it counts them.
func everyRead() storagetest.Fault {
	return storagetest.Fault{Op: storagetest.OpRead, Key: "side", Times: -1, Kind: storagetest.Flip, After: 1 << 40}
}

// sides are a store with the object mem://b/side, and its description.
type sides struct {
	bad   *storagetest.FaultyBackend
	o     Options
	files []plan.SideInput
	held  atomic.Int64
}

func newSides(t *testing.T, content string) *sides {
	t.Helper()
	s := &sides{bad: storagetest.Faulty(memstore.New())}
	s.o.Memory = 1 << 20
	s.o.Store = storage.New(storage.Options{
		Schemes: map[string]storage.Opener{"mem": s.bad.Opener()}, Sleep: func(context.Context, time.Duration) error { return nil },
	})
	s.put(t, content)
	o, err := s.o.Store.Stat(t.Context(), "mem://b/side")
	if err != nil {
		t.Fatal(err)
	}
	s.files = []plan.SideInput{{Name: "label", URL: o.URL, Size: o.Size, ETag: o.ETag}}
	return s
}

func (s *sides) put(t *testing.T, content string) {
	t.Helper()
	if err := s.o.Store.Put(t.Context(), "mem://b/side", []byte(content), false); err != nil {
		t.Fatal(err)
	}
}

func (s *sides) load(ctx context.Context, in *sideInputs) error {
	_, err := in.load(ctx, s.o, &attempt{}, s.files)
	return err
}

// Side inputs are read once, however many attempts ask at once; what was held is given back when the job is dropped, and what is
// read after that is not held.
func TestSideInputsOnce(t *testing.T) {
	t.Parallel()
	s := newSides(t, "hello")
	s.bad.Plan(everyRead())
	in := newSideInputs(&s.held)
	var wg sync.WaitGroup
	for range 30 {
		wg.Go(func() {
			if err := s.load(t.Context(), in); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := s.bad.Hits(); n != 1 || s.held.Load() != 5 {
		t.Errorf("%d reads and %d bytes held, want 1 and 5", n, s.held.Load())
	}
	in.drop()
	in.drop()
	if err := s.load(t.Context(), in); err != nil || s.held.Load() != 0 || s.bad.Hits() != 2 {
		t.Errorf("after the job: %v, %d bytes held, %d reads", err, s.held.Load(), s.bad.Hits())
	}
	if data, err := in.load(t.Context(), s.o, &attempt{}, nil); data != nil || err != nil || s.bad.Hits() != 2 {
		t.Errorf("a job without side inputs: %v, %v", data, err)
	}
}

// A body that breaks off goes on where it broke; one that fails for good fails the attempt alone, and the next one reads anew. An
// empty file is one.
func TestSideInputsFaults(t *testing.T) {
	t.Parallel()
	for content, faults := range map[string][]storagetest.Fault{
		"hello": {{Op: storagetest.OpRead, Key: "side", Kind: storagetest.Cut, After: 3}},
		"short": {{Op: storagetest.OpRead, Key: "side", Kind: storagetest.Cut, After: 2, Err: errors.New("EOF")}},
		"slow":  {{Op: storagetest.OpRead, Key: "side", Kind: storagetest.SlowDown, Times: 3}},
		"":      nil,
	} {
		s := newSides(t, content)
		s.bad.Plan(faults...)
		got, err := readSideInput(t.Context(), s.o.Store, s.files[0])
		if content == "short" { // an error that nothing says will pass
			if err == nil {
				t.Error("a body that failed for good gave no error")
			}
			continue
		}
		if err != nil || string(got) != content || len(faults) > 0 && s.bad.Hits() == 0 {
			t.Errorf("%q: got %q, %v after %d faults", content, got, err, s.bad.Hits())
		}
	}
	s := newSides(t, "hello")
	s.bad.Plan(storagetest.Fault{Op: storagetest.OpRead, Key: "side", Err: fmt.Errorf("%w: not yours", storage.ErrDenied)})
	in := newSideInputs(&s.held)
	if err := s.load(t.Context(), in); !errors.Is(err, storage.ErrDenied) || !strings.HasPrefix(err.Error(), "side input label: read mem://b/side: access denied") {
		t.Errorf("got %v", err)
	}
	if n := s.held.Load(); n != 0 {
		t.Errorf("%d bytes are held after a read that failed", n)
	}
	if err := s.load(t.Context(), in); err != nil || s.held.Load() != 5 {
		t.Errorf("the next attempt: %v", err)
	}
}

// A file that changed since the submission fails the job, with the words of a changed input.
func TestSideInputsChanged(t *testing.T) {
	t.Parallel()
	for _, content := range []string{"hullo", "longer than it was", ""} {
		s := newSides(t, "hello")
		s.put(t, content)
		err := s.load(t.Context(), newSideInputs(&s.held))
		if !errors.Is(err, storage.ErrChanged) {
			t.Fatalf("%q: got %v", content, err)
		}
		f := failure(t.Context(), &attempt{}, "", err)
		const want = "side input label: input changed during the job: read mem://b/side: changed since it was listed"
		if f.Kind != wire.FailJob || !strings.HasPrefix(f.Text, want) || !strings.HasSuffix(f.Text, ": run the job again when nothing writes to its input") {
			t.Errorf("%q: got %+v", content, f)
		}
	}
}

// An attempt that waits for another one to read can be given up, and so can the one that reads.
func TestSideInputsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSides(t, "hello")
		s.bad.Plan(storagetest.Fault{Op: storagetest.OpRead, Key: "side", Kind: storagetest.Stall, After: 2})
		in := newSideInputs(&s.held)
		ctx, cancel := context.WithCancel(t.Context())
		waits, stop := context.WithCancel(t.Context())
		reader, waiter := make(chan error, 1), make(chan error, 1)
		go func() { reader <- s.load(ctx, in) }()
		synctest.Wait()
		go func() { waiter <- s.load(waits, in) }()
		synctest.Wait()
		stop()
		if err := <-waiter; !errors.Is(err, context.Canceled) {
			t.Errorf("the one that waited: %v", err)
		}
		cancel()
		if err := <-reader; !errors.Is(err, context.Canceled) {
			t.Errorf("the one that read: %v", err)
		}
		if err := s.load(t.Context(), in); err != nil {
			t.Errorf("the next one: %v", err)
		}
	})
}

// Side inputs come out of the worker's memory: the slots share what is left, and too much is refused with the remedy.
func TestSideInputsMemory(t *testing.T) {
	t.Parallel()
	w := &Worker{o: Options{Memory: 64 << 20, Slots: 2}}
	for held, want := range map[int64]int64{0: 32 << 20, 16 << 20: 24 << 20, 200 << 20: MinSlotMemory} {
		w.sideBytes.Store(held)
		if got := w.slotMemory(); got != want {
			t.Errorf("with %d bytes held a slot has %d, want %d", held, got, want)
		}
	}
	s := newSides(t, "hello")
	s.o.Memory = 9
	err := s.load(t.Context(), newSideInputs(&s.held))
	if err == nil || !strings.Contains(err.Error(), "side inputs (mem://b/side the first): they have 5B, more than half of the 9B of memory") || !strings.Contains(err.Error(), "--memory") {
		t.Errorf("got %v", err)
	}
}

// The side inputs of all jobs under way are bounded together: a second job is refused, with what it can do, until the first one
// is over.
func TestSideInputsOfTwoJobs(t *testing.T) {
	t.Parallel()
	s := newSides(t, "hello")
	s.o.Memory = 19
	first, second := newSideInputs(&s.held), newSideInputs(&s.held)
	if err := s.load(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	const want = "side inputs (mem://b/side the first): they have 5B, and with the 5B of other jobs under way that is more than half of the 19B of memory that this worker has: " +
		"run the jobs one after the other, give workers more with --memory, or name smaller files"
	if err := s.load(t.Context(), second); err == nil || err.Error() != want || s.held.Load() != 5 {
		t.Errorf("got %v, %d bytes held, want %s", err, s.held.Load(), want)
	}
	if err := s.load(t.Context(), first); err != nil { // what is there is not counted again
		t.Error(err)
	}
	first.drop()
	if err := s.load(t.Context(), second); err != nil || s.held.Load() != 5 {
		t.Errorf("after the first job: %v, %d bytes held", err, s.held.Load())
	}
}

// Jobs that read at the same time count each other: as many as there is room for are let in, no more and no fewer, and when they are
// over nothing is held.
func TestSideInputsOfManyJobs(t *testing.T) {
	t.Parallel()
	s := newSides(t, "hello")
	s.o.Memory = 44
	all := make([]*sideInputs, 30)
	var let atomic.Int64
	var wg sync.WaitGroup
	for i := range all {
		all[i] = newSideInputs(&s.held)
		wg.Go(func() {
			if s.load(t.Context(), all[i]) == nil {
				let.Add(1)
			}
		})
	}
	wg.Wait()
	if let.Load() != 4 || s.held.Load() != 20 {
		t.Errorf("%d jobs are let in with %d bytes, want 4 with 20", let.Load(), s.held.Load())
	}
	for _, in := range all {
		in.drop()
	}
	if n := s.held.Load(); n != 0 {
		t.Errorf("%d bytes are held after the jobs", n)
	}
}

// All tasks of a worker share one read of a side input and one parse of it, in maps, combiners and reduces; a worker that was lost
// and starts anew reads it once more, and one whose job has ended holds nothing.
func TestSideInputOfTasks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var parsed atomic.Int64
		r := newRig(t, Options{Slots: 3}, sided(&parsed))
		ctx := t.Context()
		if err := r.o.Store.Put(ctx, "mem://b/side", []byte("x"), false); err != nil {
			t.Fatal(err)
		}
		side, err := r.o.Store.Stat(ctx, "mem://b/side")
		if err != nil {
			t.Fatal(err)
		}
		job := r.script.job
		r.script.job = func(args *wire.JobArgs) (*wire.JobReply, error) {
			reply, err := job(args)
			reply.Spec.Params = map[string]string{"label": side.URL}
			reply.Spec.SideInputs = []plan.SideInput{{Name: "label", URL: side.URL, Size: side.Size, ETag: side.ETag}}
			return reply, err
		}
		r.bad.Plan(everyRead())
		m, red := mapTask("sided", 0), reduceTask("sided", 0)
		tasks := []wire.Task{m, red}
		for n := range 4 {
			tasks = append(tasks, mapTask("sided", n+1))
		}
		r.script.once(assign(tasks...))
		r.start()
		let(2 * DefaultPoll)
		r.script.publish(r.outcome(m))
		let(3 * runsWait)
		for _, task := range tasks {
			if o := r.outcome(task); o.Failure != nil {
				t.Errorf("%v: %+v", task.Attempt, o.Failure)
			}
		}
		if r.bad.Hits() != 1 || parsed.Load() != 1 || r.sideBytes.Load() != 1 {
			t.Errorf("%d reads, %d parses, %d bytes held; want 1 each", r.bad.Hits(), parsed.Load(), r.sideBytes.Load())
		}
		var lost atomic.Bool
		r.script.reply(func(*wire.PollArgs) (*wire.PollReply, error) {
			if lost.Swap(true) {
				return nil, nil
			}
			return nil, wire.ErrWorkerLost
		})
		let(2 * DefaultPoll)
		r.script.once(assign(mapTask("sided", 9)))
		let(2 * DefaultPoll)
		if r.bad.Hits() != 2 || parsed.Load() != 2 || r.sideBytes.Load() != 1 {
			t.Errorf("anew: %d reads, %d parses, %d bytes held", r.bad.Hits(), parsed.Load(), r.sideBytes.Load())
		}
		r.script.once(&wire.PollReply{Ended: []wire.JobID{"sided"}})
		let(2 * DefaultPoll)
		if n := r.sideBytes.Load(); n != 0 {
			t.Errorf("%d bytes are held after the job", n)
		}
		r.stop()
	})
}
