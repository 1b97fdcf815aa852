package worker

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/master/wire"
	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/input"
	"github.com/millrace/millrace/storage/memstore"
	"github.com/millrace/millrace/storage/storagetest"
	"github.com/millrace/millrace/worker/program"
	"github.com/millrace/millrace/worker/shuffle"
)

// Whose fault a failure is decides whether the task is charged, the run is made again, or the job ends.
func TestFailure(t *testing.T) {
	a := &attempt{task: reduceTask("count", 3)}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	fetch := &shuffle.FetchError{Map: 7, Attempt: 2, URL: "http://x", Err: errors.New("reset")}
	away := &shuffle.FetchError{Map: 7, Attempt: 2, URL: "http://x", Unreached: true, Err: errors.New("no answer")}
	onDisk := func(name string) error { return &fs.PathError{Op: "write", Path: name, Err: syscall.ENOSPC} }
	for _, test := range []struct {
		name string
		ctx  context.Context
		err  error
		kind wire.FailureKind
		text string
	}{
		{"the code", t.Context(), errors.New("bad luck"), wire.FailTask, "bad luck"},
		{"a panic", t.Context(), &jobs.RecordError{Err: errors.New("panic"), Stack: "main.go:7"}, wire.FailTask, "main.go:7"},
		{"a run", t.Context(), fmt.Errorf("reduce: %w", fetch), wire.FailFetch, "reset"},
		{"the input", t.Context(), fmt.Errorf("read: %w", storage.ErrChanged), wire.FailJob, "run the job again"},
		{"a record", t.Context(), fmt.Errorf("read: %w", input.ErrRecord), wire.FailJob, "read"},
		{"columns", t.Context(), &jobs.RecordError{Err: fmt.Errorf("read: %w", jobs.ErrColumns)}, wire.FailJob, "columns do not fit the job"},
		{"a side input", t.Context(), fmt.Errorf("%w x: parse: no", jobs.ErrSideInput), wire.FailJob, "bad side input x: parse: no"},
		{"too many bad records", t.Context(), fmt.Errorf("map: %w", jobs.ErrRejects), wire.FailJob, "too many bad records"},
		{"too large a record", t.Context(), &jobs.RecordError{Err: jobs.ErrHeld}, wire.FailJob, "64 MiB"},
		{"the master", t.Context(), fmt.Errorf("ask: %w", wire.ErrUnreachable), wire.FailReturned, "ask"},
		{"a master that stands by", t.Context(), fmt.Errorf("ask: %w", wire.NotLeader("")), wire.FailReturned, "ask"},
		{"a kill", ended, fetch, wire.FailReturned, "given up"},
		{"a run out of reach", t.Context(), fmt.Errorf("reduce: %w", away), wire.FailReach, "no answer"},
		{"its code", t.Context(), codeError{errors.New("another version")}, wire.FailWorker, "another version"},
		{"its disk", t.Context(), fmt.Errorf("spill: %w", onDisk("/tmp/mine/spill-1")), wire.FailWorker, "no space left on device: make room there"},
		{"its folder", t.Context(), &fs.PathError{Path: "/tmp/mine", Err: fs.ErrPermission}, wire.FailWorker, "may write there"},
		{"its lost folder", t.Context(), &fs.PathError{Path: "/tmp/mine/x", Err: syscall.ENOENT}, wire.FailWorker, "start the worker again"},
		{"another disk", t.Context(), onDisk("/tmp/mine.txt"), wire.FailTask, "no space left on device"},
		{"the output's disk", t.Context(), errors.Join(onDisk("/out/part"), onDisk("/tmp/mine/x")), wire.FailTask, "/out/part"},
		{"the run on its disk", t.Context(), &shuffle.FetchError{Err: onDisk("/tmp/mine/runs-1")}, wire.FailFetch, "/tmp/mine/runs-1"},
	} {
		f := failure(test.ctx, a, "/tmp/mine", test.err)
		if f.Kind != test.kind || !strings.Contains(f.Text, test.text) {
			t.Errorf("%s: got %+v, want kind %d and %q", test.name, f, test.kind, test.text)
		}
		if want := (wire.AttemptID{Task: wire.TaskID{Job: "count", Phase: wire.Map, Index: 7}, N: 2}); (test.name == "a run" || f.Kind == wire.FailReach) && f.Run != want {
			t.Errorf("%s: the run is %v, want %v", test.name, f.Run, want)
		}
	}
}

// A panic becomes an error that tells where it was; what returns is passed on.
func TestGuard(t *testing.T) {
	var none []int
	err := guard(func() error { return fmt.Errorf("%d", none[3]) })()
	if err == nil || !strings.Contains(err.Error(), "index out of range [3]") || !strings.Contains(err.Error(), "attempt_test.go") {
		t.Errorf("of a panic: %v", err)
	}
	if err := guard(func() error { return errKilled })(); err != errKilled {
		t.Errorf("of an error: %v", err)
	}
	if err := guard(func() error { return nil })(); err != nil {
		t.Errorf("of success: %v", err)
	}
}

// What fails is reported by its own name, not by what it made of the others, and leaves nothing.
func TestTaskFailures(t *testing.T) {
	denied := fmt.Errorf("%w: not yours", storage.ErrDenied)
	for _, test := range []struct {
		name, want string
		task       wire.Task
		fault      storagetest.Fault
		over       error // of the run log
		kind       wire.FailureKind
	}{
		{name: "an input that is gone", task: mapTask("count", 0), fault: storagetest.Fault{Op: storagetest.OpRead, Err: denied, Times: -1}, want: "not yours"},
		{name: "code that panics", task: mapTask("broken", 0), want: "what now"},
		{name: "a job of another program, which other workers may carry", task: mapTask("nobody", 0), want: "nobody", kind: wire.FailWorker},
		{name: "a job that it may not run", task: mapTask("command", 0), want: "this worker does not run jobs of commands (--mapper): it is started with --allow builtin", kind: wire.FailWorker},
		{name: "an unknown phase", task: wire.Task{Attempt: wire.AttemptID{Task: wire.TaskID{Job: "count", Phase: 2 + 1}}}, want: "millrace"},
		{name: "an output that may not be written", task: reduceTask("count", 0), fault: storagetest.Fault{Op: storagetest.OpCreate, Err: denied, Times: -1}, want: "write part"},
		{name: "a bucket for runs that may not be written", task: mapTask("count-bucket", 0), fault: storagetest.Fault{Op: storagetest.OpCreate, Err: denied, Times: -1}, want: "write run"},
		{name: "a run that cannot be written", task: mapTask("count-bucket", 0), fault: storagetest.Fault{Op: storagetest.OpPart, Err: denied, Times: -1}, want: "write run"},
		{name: "a run that cannot be completed", task: mapTask("count-bucket", 0), fault: storagetest.Fault{Op: storagetest.OpComplete, Err: denied, Times: -1}, want: "write run"},
		{name: "a job that ended", task: reduceTask("count", 0), over: wire.ErrJobEnded, want: "ask for runs"},
	} {
		for range 5 { // whoever is first
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, Options{})
				r.bad.Plan(test.fault)
				if test.fault.Op == "" {
					r.bad.Plan()
				}
				r.script.over = test.over
				r.script.once(assign(test.task))
				r.start()
				let(10 * time.Second)
				o := r.outcome(test.task)
				if o.Failure == nil || o.Failure.Kind != test.kind || !strings.Contains(o.Failure.Text, test.want) {
					t.Errorf("%s: got %+v, want %q in it", test.name, o.Failure, test.want)
				}
				r.bad.Plan()
				if got := r.names(); len(got) > 0 && test.fault.Op != storagetest.OpComplete {
					t.Errorf("%s: left are %q", test.name, got)
				}
				if left := r.files(); len(left) > 0 {
					t.Errorf("%s: left are the files %q", test.name, left)
				}
				r.stop()
			})
		}
	}
}

// A reduce whose run cannot be fetched names the map attempt that made it.
func TestReduceFetchFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Options{})
		red := reduceTask("count", 0)
		r.script.once(assign(red))
		r.start()
		r.script.publish(wire.Outcome{Attempt: mapTask("count", 4).Attempt, Map: &wire.MapResult{URL: "http://self/runs/none", Size: 10}})
		let(time.Minute)
		if f := r.outcome(red).Failure; f == nil || f.Kind != wire.FailFetch || f.Run.N != 4 {
			t.Errorf("got %+v", f)
		}
		r.want("after it failed")
		r.stop()
	})
}

// A reduce outlasts a master that cannot be reached, or does not lead, for a while.
func TestReduceWithoutMaster(t *testing.T) {
	for _, why := range []error{wire.ErrUnreachable, wire.NotLeader(""), wire.ErrShuttingDown, wire.ErrOldTerm} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, Options{})
			red, m := reduceTask("count", 0), mapTask("count", 0)
			r.script.over = why
			r.script.once(assign(red, m))
			r.start()
			let(time.Minute)
			r.script.publish(r.outcome(m))
			let(3 * time.Second)
			if o := r.outcome(red); o.Failure != nil || o.Parts[0].Rows != 2 {
				t.Errorf("%v: got %+v, %+v", why, o, o.Failure)
			}
			r.stop()
		})
	}
}

// The next leader's log of runs may have another order, and tells again of what a reduce knows from the last one: it reads each
// map's run once.
func TestRunLogOfNextTerm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Options{Slots: 3})
		maps := []wire.Task{mapTask("count", 0), mapTask("count", 0), mapTask("count", 0)}
		for i := range maps {
			maps[i].Attempt.Task.Index = i
		}
		red := reduceTask("count", 0)
		r.script.maps, r.script.term = 3, 1
		r.script.once(assign(maps...))
		r.start()
		let(3 * time.Second)
		outs := []wire.Outcome{r.outcome(maps[0]), r.outcome(maps[1]), r.outcome(maps[2])}
		r.script.publish(outs[0])
		r.script.publish(outs[1])
		r.script.once(assign(red))
		let(3 * time.Second) // it has read two runs
		r.script.mu.Lock()
		r.script.term, r.script.runs = 2, []wire.RunEvent{
			{Attempt: outs[2].Attempt, Run: *outs[2].Map},
			{Attempt: outs[1].Attempt, Run: wire.MapResult{URL: "http://self/runs/none"}}, {Attempt: outs[1].Attempt, Lost: true},
			{Attempt: outs[0].Attempt, Run: *outs[0].Map},
		}
		r.script.mu.Unlock()
		r.script.publish(outs[1])
		let(3 * time.Second)
		if o := r.outcome(red); o.Failure != nil || o.Records != 9 || o.Reduce.Groups != 2 {
			t.Errorf("it read %d pairs, %+v", o.Records, o.Failure)
		}
		r.stop()
	})
}

// The sample task answers boundaries of the keys that its split has.
func TestSampleTask(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Options{})
		job := r.script.job
		r.script.job = func(args *wire.JobArgs) (*wire.JobReply, error) {
			reply, err := job(args)
			reply.Spec.Reducers, reply.Sampled = 2, false
			return reply, err
		}
		s := mapTask("count", 0)
		s.Attempt.Task.Phase = wire.Sample
		r.script.once(assign(s))
		r.start()
		o := r.outcome(s)
		if o.Failure != nil || o.Sample == nil || len(o.Sample.Bounds) != 1 {
			t.Errorf("got %+v, %+v", o, o.Failure)
		}
		r.stop()
	})
}

// An attempt sees its job as it was when it began, though a later one asks for it anew.
func TestLoadedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Options{})
		job := r.script.job
		r.script.job = func(args *wire.JobArgs) (*wire.JobReply, error) {
			reply, err := job(args)
			reply.Spec.Reducers, reply.Sampled = 2, false
			return reply, err
		}
		s, m := mapTask("slow", 0), mapTask("slow", 1)
		s.Attempt.Task.Phase = wire.Sample
		r.script.once(assign(s))
		r.start()
		r.script.job = func(args *wire.JobArgs) (*wire.JobReply, error) {
			reply, err := job(args)
			reply.Spec.Reducers = 5
			return reply, err
		}
		r.script.once(assign(m))
		let(2 * time.Second)
		close(r.gate)
		let(2 * time.Second)
		if o := r.outcome(s); o.Sample == nil || len(o.Sample.Bounds) != 1 {
			t.Errorf("the sample gives %+v, want one boundary of two partitions", o.Sample)
		}
		if o := r.outcome(m); o.Failure != nil {
			t.Errorf("the map: %+v", o.Failure)
		}
		r.stop()
	})
}

// Boundaries cut sorted keys into equal shares, strictly ascending, whatever keys there are.
func TestBoundaries(t *testing.T) {
	long := strings.Repeat("x", 100)
	for _, test := range []struct {
		keys string
		n    int
		want string
	}{
		{"", 3, ""},
		{"a", 1, ""},
		{"a b c d", 2, "c"},
		{"a b c d", 4, "b c d"},
		{"a b c d e f g", 3, "c e"},
		{"a a a a a b", 3, "a"},
		{"a a b b", 4, "a b"},
		{"a", 5, "a"},
		{"a " + long + "1 " + long + "2", 3, long[:maxBound]},
	} {
		var keys [][]byte
		for _, k := range strings.Fields(test.keys) {
			keys = append(keys, []byte(k))
		}
		var got []string
		for _, b := range boundaries(keys, test.n) {
			got = append(got, string(b))
		}
		if want := strings.Fields(test.want); !slices.Equal(got, want) {
			t.Errorf("%d shares of %s: got %q, want %q", test.n, test.keys, got, want)
		}
	}
}

// A sample takes keys only, cut, and refuses more than its memory holds, and what is no pair.
func TestKeySink(t *testing.T) {
	s := new(keySink)
	data := jobs.AppendPair(nil, []byte("k1"), []byte("v"))
	data = jobs.AppendSame(data, []byte("w"))
	data = jobs.AppendPair(data, []byte(strings.Repeat("k", 100)), nil)
	back, err := s.Put(jobs.Pairs{Data: data})
	if err != nil || len(back.Data) != 0 || len(s.keys) != 3 || string(s.keys[1]) != "k1" || len(s.keys[2]) != maxBound {
		t.Errorf("got %q, %v", s.keys, err)
	}
	if want := len("k1") + len("k1") + maxBound + 3*keyOverhead; s.bytes != want {
		t.Errorf("3 keys count %d bytes, want %d", s.bytes, want)
	}
	if _, err := s.Put(jobs.Pairs{Data: []byte{0xff}}); err == nil {
		t.Error("what is no pair is taken")
	}
	s.bytes = maxSampleBytes
	if _, err := s.Put(jobs.Pairs{Data: jobs.AppendPair(nil, []byte("k"), nil)}); err == nil || !strings.Contains(err.Error(), "sample") {
		t.Errorf("beyond the bound: %v", err)
	}
}

// A schema and its columns cross from jobs to storage with every field, at every depth, and no buffer copied.
func TestColumns(t *testing.T) {
	schema := arrowSchema(jobs.Schema{Fields: []jobs.Field{
		{Name: "s", Type: jobs.TypeString},
		{Name: "l", Type: jobs.TypeList, Nullable: true, Fields: []jobs.Field{{Name: "item", Type: jobs.TypeInt64}}},
	}})
	if len(schema.Fields) != 2 || schema.Fields[0].Name != "s" || !schema.Fields[1].Nullable || len(schema.Fields[1].Fields) != 1 ||
		string(schema.Fields[1].Fields[0].Type) != string(jobs.TypeInt64) {
		t.Errorf("got %+v", schema)
	}
	data := []byte("abc")
	in := []jobs.Column{{Data: data, Nulls: 2, Valid: []byte{1}, Children: []jobs.Column{{Data: data[1:]}}}}
	got := arrowColumns(in)
	if len(got) != 1 || got[0].Nulls != 2 || &got[0].Data[0] != &data[0] || &got[0].Valid[0] != &in[0].Valid[0] || &got[0].Children[0].Data[0] != &data[1] {
		t.Errorf("got %+v", got)
	}
}

// Options that cannot work are named, and the others filled in.
func TestNew(t *testing.T) {
	reg, err := program.NewRegistry("test")
	if err != nil {
		t.Fatal(err)
	}
	whole := Options{Master: &script{}, Programs: reg, Store: storage.New(storage.Options{})}
	for want, spoil := range map[string]func(*Options){
		"Options.Master":   func(o *Options) { o.Master = nil },
		"Options.Programs": func(o *Options) { o.Programs = nil },
		"Options.Store":    func(o *Options) { o.Store = nil },
		"-1 slots":         func(o *Options) { o.Slots = -1 },
		"fewer slots":      func(o *Options) { o.Slots, o.Memory = 2, 2*MinSlotMemory-1 },
	} {
		o := whole
		spoil(&o)
		if _, err := New(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q in it", err, want)
		}
	}
	w, err := New(whole)
	if err != nil {
		t.Fatal(err)
	}
	if o := w.o; o.Slots < 1 || o.Memory < MinSlotMemory || o.Poll != DefaultPoll || o.Drain <= 0 || o.Log == nil {
		t.Errorf("got %+v", o)
	}
	if m := DefaultMemory(); m < 64<<20 {
		t.Errorf("the default memory is %d", m)
	}
}

// keepRun makes an empty run of a job.
func keepRun(t *testing.T, w *Worker, job string) {
	t.Helper()
	pairs, err := shuffle.NewWriter(shuffle.WriterOptions{Partitions: 1, Dir: w.dir})
	if err != nil {
		t.Fatal(err)
	}
	f, err := w.runs.Create(job, w.dir)
	if err != nil {
		t.Fatal(err)
	}
	sum, err := pairs.Finish(t.Context(), f)
	if err = errors.Join(err, pairs.Close()); err == nil {
		err = f.Keep("run", sum.Largest)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// openBelow are the files of this process below a folder, removed ones among them.
func openBelow(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		name, err := os.Readlink("/proc/self/fd/" + e.Name())
		if err == nil && strings.HasPrefix(name, dir+"/") { // one that is gone was the folder's own, or another test's
			names = append(names, name)
		}
	}
	return names
}

// A worker that runs has a folder and an address of its own, and leaves neither. Here the network is real, so is the time.
func TestRun(t *testing.T) {
	t.Parallel()
	reg, err := program.NewRegistry("test", countJob())
	if err != nil {
		t.Fatal(err)
	}
	temp := t.TempDir()
	polled := make(chan wire.PollArgs, 100)
	s := &script{answer: func(args *wire.PollArgs) (*wire.PollReply, error) {
		polled <- *args
		return nil, nil
	}}
	o := Options{
		Master: s, Programs: reg, Store: storage.New(storage.Options{Schemes: map[string]storage.Opener{"mem": memstore.Opener()}}),
		TempDir: temp, Poll: time.Millisecond,
	}
	w, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- w.Run(ctx) }()
	first := <-polled
	if !strings.HasPrefix(first.RunsURL, "http://127.0.0.1:") || first.Slots < 1 || first.Worker == "" || first.Host == "" {
		t.Errorf("it reports %+v", first)
	}
	taken := Options{Master: s, Programs: reg, Store: o.Store, TempDir: temp, Listen: strings.TrimPrefix(w.runURL, "http://")}
	second, err := New(taken)
	if err != nil {
		t.Fatal(err)
	}
	if err := second.Run(ctx); err == nil || !strings.Contains(err.Error(), "--listen") {
		t.Errorf("on an address that is taken: %v", err)
	}
	keepRun(t, w, "of a job whose end it does not hear of")
	if len(openBelow(t, temp)) == 0 {
		t.Error("the run's file is not open: this proves nothing")
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if open := openBelow(t, temp); len(open) > 0 {
		t.Errorf("open are still %q", open)
	}
	taken.TempDir = temp + "/none"
	if third, err := New(taken); err != nil {
		t.Error(err)
	} else if err := third.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "--temp-dir") {
		t.Errorf("without a temporary folder: %v", err)
	}
	w.dir = temp
	if left := (&rig{Worker: w, t: t}).files(); len(left) > 0 {
		t.Errorf("left are %q", left)
	}
}

// A worker that can serve its runs no more ends with that error, and does not go on as one whose runs nobody can fetch.
func TestServeFails(t *testing.T) {
	t.Parallel()
	w, err := New(Options{Master: &script{}, Programs: new(program.Registry), Store: storage.New(storage.Options{})})
	if err != nil {
		t.Fatal(err)
	}
	w.runs = shuffle.NewServer()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if err := w.work(t.Context(), l); err == nil || !strings.Contains(err.Error(), "serve runs") {
		t.Errorf("got %v", err)
	}
}

// Reading ahead takes a 16th of a slot's memory, one block at least, and never very many.
func TestInputOptions(t *testing.T) {
	for memory, want := range map[int64]int{2 * MinSlotMemory: 1, 128 << 20: 4, 1 << 40: maxReadAhead} {
		w := &Worker{o: Options{Slots: 2, Memory: memory}}
		if o := w.inputOptions(); o.ReadAhead != want || o.BlockSize != readBlock || o.MaxRecord != 0 {
			t.Errorf("of %d bytes: got %+v, want %d blocks", memory, o, want)
		}
	}
}
