package main

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/millrace/millrace/master/wire"
	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/manifest"
)

// heartbeat is how long a poll of a worker waits when there is nothing to say, unless the master wants it to wait longer.
const heartbeat = time.Second

// workersGC is the collector's percentage in the workers' process: memory is cheaper there than processor time.
const workersGC = 400

// fleet is the simulated workers of this process.
type fleet struct {
	o     options
	store *storage.Store
	addr  atomic.Pointer[string] // of the master

	hold   atomic.Bool  // reduce tasks are not ended
	pace   atomic.Int64 // how long a map takes, nanoseconds; 0: no time
	polls  atomic.Int64
	events atomic.Int64 // of run logs that were read
	lost   atomic.Int64 // workers that were declared lost

	mu    sync.Mutex
	waits []time.Duration // from a poll with free slots to its tasks
}

// workersSample is what the workers have seen since the last one.
type workersSample struct {
	CPU    time.Duration
	Polls  int64
	Events int64
	Lost   int64
	Tasks  int
	P50    time.Duration
	P99    time.Duration
	Most   time.Duration
}

// serveWorkers is the child that is the workers.
func serveWorkers(ctx context.Context, o options, addr string, in io.Reader, out io.Writer) error {
	if _, err := manyFiles(); err != nil {
		return err
	}
	profile, err := startProfile(o, workersChild)
	if err != nil {
		return err
	}
	debug.SetGCPercent(workersGC)
	f := &fleet{o: o, store: newStore(o.Splits)}
	f.addr.Store(&addr)
	f.hold.Store(true)
	ctx, cancel := context.WithCancel(ctx)
	g, gctx := errgroup.WithContext(ctx)
	if err := f.hire(gctx, g); err != nil {
		cancel()
		return errors.Join(err, g.Wait())
	}
	g.Go(func() error {
		defer cancel()
		if err := say(out, true); err != nil {
			return err
		}
		yes := func(do func(string)) func(string) (any, error) {
			return func(rest string) (any, error) { do(rest); return true, nil }
		}
		return obey(gctx, in, out, map[string]func(string) (any, error){
			"sample":  func(string) (any, error) { return f.sample() },
			"profile": func(string) (any, error) { return true, profile() },
			"release": yes(func(string) { f.hold.Store(false) }),
			"full":    yes(func(string) { f.pace.Store(0) }),
			"paced": yes(func(string) {
				f.pace.Store(int64(time.Duration(o.Workers*o.Slots) * time.Second / time.Duration(max(1, o.Rate))))
			}),
			"to": yes(func(addr string) { f.addr.Store(&addr) }),
		})
	})
	if err := g.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// hireAtOnce bounds the connections that are made at the same time.
const hireAtOnce = 64

// hire connects all workers; they go on polling in g.
func (f *fleet) hire(ctx context.Context, g *errgroup.Group) error {
	var dials errgroup.Group
	dials.SetLimit(hireAtOnce)
	for i := range f.o.Workers {
		dials.Go(func() error {
			c, err := wire.Dial(ctx, []string{"master"}, wire.ClientOptions{Role: wire.RoleWorker, RetryFor: time.Minute, Dial: f.dial})
			if err != nil {
				return fmt.Errorf("worker %d: %w", i, err)
			}
			host := fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255)
			w := &worker{
				f: f, c: c, rand: rand.New(rand.NewPCG(uint64(i), 1)), had: map[wire.AttemptID]bool{},
				args: wire.PollArgs{
					Worker: wire.WorkerID(fmt.Sprintf("%032x", i+1)), Host: "worker-" + host + "/4711", RunsURL: "http://" + host + ":40123",
					Slots: f.o.Slots, Wait: heartbeat,
				},
			}
			g.Go(func() error {
				defer c.Close()
				return w.run(ctx)
			})
			return nil
		})
	}
	return dials.Wait()
}

// dial connects to the master wherever it is now.
func (f *fleet) dial(ctx context.Context, _ string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, "tcp", *f.addr.Load())
}

func (f *fleet) sample() (workersSample, error) {
	f.mu.Lock()
	waits := f.waits
	f.waits = nil
	f.mu.Unlock()
	cpu, err := used()
	s := workersSample{CPU: cpu, Polls: f.polls.Swap(0), Events: f.events.Swap(0), Lost: f.lost.Swap(0), Tasks: len(waits)}
	s.P50, s.P99, s.Most = quantile(waits, 0.5), quantile(waits, 0.99), quantile(waits, 1)
	return s, err
}

// worker is one simulated worker: it has real connections and makes real reports, but its tasks take no time, or just time.
type worker struct {
	f    *fleet
	c    *wire.Client
	rand *rand.Rand
	args wire.PollArgs

	pause   time.Duration // between heartbeats, as the master wants it
	endings []*ending
	told    int // of endings, in the poll that is under way
	running []running
	had     map[wire.AttemptID]bool
}

type running struct {
	task  wire.Task
	until time.Time
	ended chan ended // of a reduce task that has begun: it goes on while the worker polls
}

// ended is how a reduce task ended.
type ended struct {
	outcome *wire.Outcome
	err     error
}

// run polls until ctx ends.
func (w *worker) run(ctx context.Context) error {
	for ctx.Err() == nil {
		if err := w.finish(ctx); err != nil {
			return err
		}
		w.args.Seq++
		free := w.args.Slots - len(w.running)
		sent := time.Now()
		reply, err := w.c.Poll(ctx, &w.args)
		switch {
		case ctx.Err() != nil:
			return nil
		case wire.Again(err):
			continue
		case errors.Is(err, wire.ErrWorkerLost):
			w.f.lost.Add(1)
			w.args.Worker, w.args.Seq, w.args.Done, w.running = w.args.Worker+"x", 0, nil, nil
			w.told = 0
			clear(w.had)
			continue
		case err != nil:
			return fmt.Errorf("poll: %w", err)
		}
		w.f.polls.Add(1)
		w.take(reply, free, time.Since(sent))
	}
	return nil
}

// take applies an answer.
func (w *worker) take(reply *wire.PollReply, free int, waited time.Duration) {
	w.args.Done, w.pause, w.told = w.args.Done[:0], reply.Heartbeat, 0
	for _, id := range reply.Kill {
		w.had[id] = true
		for i, r := range w.running {
			if r.task.Attempt == id {
				w.running = append(w.running[:i], w.running[i+1:]...)
				break
			}
		}
	}
	if len(reply.Ended) > 0 {
		w.args.Holding = nil
		clear(w.had)
	}
	now := time.Now()
	given := 0
	for _, t := range reply.Assign {
		if w.had[t.Attempt] {
			continue
		}
		w.had[t.Attempt] = true
		given++
		w.args.Holding = []wire.JobID{t.Attempt.Task.Job}
		r := running{task: t, until: now}
		if pace := w.f.pace.Load(); pace > 0 && t.Attempt.Task.Phase == wire.Map { // half to one and a half times, so that no wave forms
			r.until = now.Add(time.Duration(pace/2 + w.rand.Int64N(pace)))
		}
		w.running = append(w.running, r)
	}
	if given > 0 && free > 0 {
		w.f.mu.Lock()
		for range given {
			w.f.waits = append(w.f.waits, waited)
		}
		w.f.mu.Unlock()
	}
}

// finish makes the next report: of the tasks that are over by now, and of those that go on.
func (w *worker) finish(ctx context.Context) error {
	now := time.Now()
	wait := max(heartbeat, w.pause)
	w.args.Running = w.args.Running[:0]
	left := w.running[:0]
	for _, r := range w.running {
		o, err := w.end(ctx, &r)
		if err != nil {
			return err
		}
		if o != nil {
			delete(w.had, r.task.Attempt)
			w.args.Done = append(w.args.Done, *o)
			continue
		}
		switch {
		case r.ended != nil:
			wait = min(wait, reduceEvery)
		case r.until.After(now):
			wait = min(wait, r.until.Sub(now))
		}
		left = append(left, r)
		w.args.Running = append(w.args.Running, wire.Progress{Attempt: r.task.Attempt, Bytes: splitBytes / 2, Total: splitBytes})
	}
	w.running, w.args.Wait = left, wait
	return nil
}

// reduceEvery is how often a worker looks whether a reduce task has ended.
const reduceEvery = 100 * time.Millisecond

// end says how a task ended, if it has. A reduce task begins when it may.
func (w *worker) end(ctx context.Context, r *running) (*wire.Outcome, error) {
	switch {
	case r.task.Attempt.Task.Phase != wire.Reduce:
		if time.Now().Before(r.until) {
			return nil, nil
		}
		return w.outcome(w.spare(), r.task), nil
	case r.ended != nil:
		select {
		case e := <-r.ended:
			return e.outcome, e.err
		default:
		}
	case !w.f.hold.Load():
		r.ended = make(chan ended, 1)
		o := w.outcome(new(ending), r.task)
		go func() { // ends with its calls, and these with ctx
			err := w.reduce(ctx, r.task.Attempt.Task, o)
			r.ended <- ended{o, err}
		}()
	}
	return nil, nil
}

// ending is the memory of an outcome. That of maps is used again when the poll that told it has been answered: what is measured is
// the master, with which the workers share processors.
type ending struct {
	wire.Outcome
	work wire.Work
	run  wire.MapResult
}

// spare is the memory for one more outcome in the next poll.
func (w *worker) spare() *ending {
	if w.told == len(w.endings) {
		w.endings = append(w.endings, new(ending))
	}
	w.told++
	return w.endings[w.told-1]
}

// outcome ends a task as a real one ends. A task that is run again has the same checksum.
func (w *worker) outcome(o *ending, t wire.Task) *wire.Outcome {
	if o.Counters == nil {
		o.Counters = map[string]int64{}
	}
	o.Attempt, o.Records, o.Bytes = t.Attempt, 400_000+w.rand.Int64N(1000), splitBytes
	o.Elapsed = time.Second + time.Duration(w.rand.Int64N(1e9))
	o.Counters["lines"], o.Counters["empty lines"], o.Counters["errors"] = 400_000+w.rand.Int64N(1000), w.rand.Int64N(1000), w.rand.Int64N(100)
	o.work = wire.Work{
		Time: wire.Times{
			Read: time.Duration(w.rand.Int64N(1e9)), Map: time.Duration(w.rand.Int64N(1e9)), Sort: time.Duration(w.rand.Int64N(1e9)),
			Write: time.Duration(w.rand.Int64N(1e9)),
		},
		Emitted: 4_000_000 + w.rand.Int64N(10_000), In: splitBytes, Groups: w.rand.Int64N(10_000),
	}
	o.Work, o.Map, o.Reduce, o.Parts = &o.work, nil, nil, nil
	if t.Attempt.Task.Phase == wire.Map {
		name := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, w.rand.Uint64()), w.rand.Uint64())
		o.run = wire.MapResult{
			URL:  w.args.RunsURL + "/runs/" + hex.EncodeToString(name),
			Size: 1<<20 + w.rand.Int64N(1<<16), Checksum: uint64(t.Attempt.Task.Index+1) * 0x9e3779b97f4a7c15, Pairs: 50_000 + w.rand.Int64N(1000),
		}
		o.Map = &o.run
	}
	return &o.Outcome
}

// reduce reads the run log and makes a part.
func (w *worker) reduce(ctx context.Context, t wire.TaskID, o *wire.Outcome) error {
	err := w.readRuns(ctx, t)
	if err == nil {
		var part wire.Part
		part, err = w.part(ctx, t)
		o.Reduce, o.Parts = &wire.ReduceResult{Groups: 1000}, []wire.Part{part}
	}
	if errors.Is(err, wire.ErrJobEnded) { // nobody asks for it any more
		return nil
	}
	return err
}

// readRuns reads a job's run log to its end, as a reduce task does.
func (w *worker) readRuns(ctx context.Context, t wire.TaskID) error {
	if readers := w.f.o.Readers; readers >= 0 && t.Index >= readers {
		return nil
	}
	args := &wire.RunsArgs{Job: t.Job, Wait: 10 * time.Second, Packed: true}
	for {
		reply, err := persist(ctx, func() (*wire.RunsReply, error) { return w.c.Runs(ctx, args) })
		if err != nil {
			return fmt.Errorf("run log: %w", err)
		}
		w.f.events.Add(int64(reply.Cursor - args.Cursor))
		args.Cursor, args.Term = reply.Cursor, reply.Term
		if args.Cursor >= reply.Maps {
			return nil
		}
	}
}

// persist asks again as long as no master answers, as a real worker does.
func persist[R any](ctx context.Context, ask func() (*R, error)) (*R, error) {
	for {
		reply, err := ask()
		if err == nil || ctx.Err() != nil || !wire.Again(err) {
			return reply, err
		}
	}
}

// part makes a small pending part in the job's real output.
func (w *worker) part(ctx context.Context, t wire.TaskID) (wire.Part, error) {
	job, err := persist(ctx, func() (*wire.JobReply, error) { return w.c.Job(ctx, &wire.JobArgs{Job: t.Job}) })
	if err != nil {
		return wire.Part{}, fmt.Errorf("job: %w", err)
	}
	name := manifest.PartName(t.Index)
	up, err := w.f.store.Create(ctx, job.Spec.Output+"/"+name, storage.UploadOptions{})
	if err != nil {
		return wire.Part{}, err
	}
	if _, err := io.Copy(up, strings.NewReader(name)); err != nil {
		return wire.Part{}, err
	}
	p, err := up.Finish(ctx)
	return wire.Part{Name: name, Pending: p, Rows: 1000}, err
}
