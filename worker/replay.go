package worker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/jobs/plan"
	"github.com/millrace/millrace/master/wire"
	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/worker/laps"
	"github.com/millrace/millrace/worker/shuffle"
)

// Replay runs one task of a planned job again, in this process and without a master, by the same task bodies: a map task's
// run, or a reduce task's part, is an object of the folder afterwards. A reduce task's pairs come from all map tasks, which
// run again first and keep only that partition's; a totally ordered job is sampled again. Options.Master is not asked.
//
// The outcome is that of the task; its counters and figures are exact. An error of the user's function is that of the first
// attempt, with its stack. It must not be called with a task that the plan does not have.
func Replay(ctx context.Context, o Options, p *plan.Plan, task wire.TaskID, folder string) (_ *wire.Outcome, err error) {
	r := &replay{plan: p, task: task, folder: folder}
	o.Master = r
	w, err := New(o)
	if err != nil {
		return nil, err
	}
	temp, err := makeTempDir(w.o.TempDir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, temp.remove()) }()
	w.dir, w.runs, w.runURL = temp.path, shuffle.NewServer(), "replay:"
	defer func() { err = errors.Join(err, w.runs.Close()) }()
	r.w = w
	err = guard(func() (err error) {
		if err := o.Allow.Check(p.Spec, "this replay"); err != nil {
			return err
		}
		if r.job.code, err = o.Programs.Load(p.Spec); err != nil {
			return err
		}
		spec := p.Spec
		spec.Output = folder
		r.job.reply = &wire.JobReply{Spec: spec, Maps: p.Maps, Sampled: true, Work: folder}
		side := newSideInputs(&w.sideBytes)
		if r.job.side, err = side.load(ctx, w.o, r.attempt(task, plan.Split{}), spec.SideInputs); err != nil {
			return explained(task, err)
		}
		return r.run(ctx)
	})()
	return r.out, err
}

// replay is one task being run again. To the task bodies it is the master.
type replay struct {
	w      *Worker
	plan   *plan.Plan
	task   wire.TaskID
	folder string
	job    loaded
	events []wire.RunEvent
	out    *wire.Outcome
}

func (r *replay) run(ctx context.Context) error {
	if info := r.job.code.Info(); info.TotalOrder && r.plan.Reducers > 1 && r.plan.InBytes > 0 {
		id := wire.TaskID{Job: r.task.Job, Phase: wire.Sample}
		out, err := r.w.runSample(ctx, r.attempt(id, r.plan.Sample()), r.job)
		if err != nil {
			return explained(id, err)
		}
		r.job.reply.Bounds = out.Sample.Bounds
	}
	if r.task.Phase == wire.Map {
		r.job.reply.Spec.Shuffle = "bucket" // the run is to lie in the folder
		return r.finish(ctx)(r.w.runMap(ctx, r.attempt(r.task, r.plan.Split(r.task.Index)), r.job))
	}
	r.job.reply.Spec.Shuffle = "local"
	if err := r.runMaps(ctx); err != nil {
		return err
	}
	return r.finish(ctx)(r.w.runReduce(ctx, r.attempt(r.task, plan.Split{}), r.job))
}

// runMaps makes the runs of all maps, with the pairs of the task's partition alone.
func (r *replay) runMaps(ctx context.Context) error {
	events := make([]wire.RunEvent, r.plan.Maps)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(r.w.o.Slots)
	for i := range r.plan.Maps {
		g.Go(guard(func() error {
			id := wire.TaskID{Job: r.task.Job, Phase: wire.Map, Index: i}
			a := r.attempt(id, r.plan.Split(i))
			a.only = &r.task.Index
			out, err := r.w.runMap(ctx, a, r.job)
			if err != nil {
				return explained(id, err)
			}
			events[i] = wire.RunEvent{Attempt: a.task.Attempt, Run: *out.Map}
			return r.w.abortParts(ctx, out.Parts) // what the map leaves in the output itself was not asked for
		}))
		if ctx.Err() != nil {
			break
		}
	}
	err := g.Wait()
	r.events = events
	return err
}

func (r *replay) attempt(id wire.TaskID, split plan.Split) *attempt {
	return &attempt{task: wire.Task{Attempt: wire.AttemptID{Task: id}, Split: split}, cancel: func(error) {}, laps: laps.Start()}
}

// finish keeps an outcome, and makes its parts visible.
func (r *replay) finish(ctx context.Context) func(*wire.Outcome, error) error {
	return func(out *wire.Outcome, err error) error {
		if err == nil {
			if err = checkCounters(out.Counters); err != nil {
				err = errors.Join(err, r.w.abortParts(ctx, out.Parts))
			}
		}
		if err != nil {
			return explained(r.task, err)
		}
		r.out = out
		for _, p := range out.Parts {
			if err := r.w.o.Store.Complete(ctx, p.Pending); err != nil {
				return err
			}
		}
		return nil
	}
}

// explained names the task that an error ended, and adds the stack of a panic of the user's function.
func explained(id wire.TaskID, err error) error {
	if errors.Is(err, storage.ErrChanged) || errors.Is(err, storage.ErrNotFound) {
		err = fmt.Errorf("an input is no longer what the job read: %w", err)
	}
	if record, ok := errors.AsType[*jobs.RecordError](err); ok && record.Stack != "" {
		err = fmt.Errorf("%w\n%s", err, record.Stack)
	}
	return fmt.Errorf("%s-%05d: %w", id.Phase, id.Index, err)
}

// Poll implements Master; nobody asks.
func (r *replay) Poll(context.Context, *wire.PollArgs) (*wire.PollReply, error) {
	return nil, errors.New("replay: there is no master")
}

// Job implements Master.
func (r *replay) Job(context.Context, *wire.JobArgs) (*wire.JobReply, error) {
	return r.job.reply, nil
}

// Runs implements Master: all runs are there before the reduce begins.
func (r *replay) Runs(ctx context.Context, args *wire.RunsArgs) (*wire.RunsReply, error) {
	if args.Cursor >= len(r.events) {
		<-ctx.Done()
		return nil, context.Cause(ctx)
	}
	return &wire.RunsReply{Events: slices.Clone(r.events[args.Cursor:]), Cursor: len(r.events), Maps: r.plan.Maps}, nil
}

// onlyPartition drops the pairs of all partitions but one on their way to a writer. It looks at every pair, which only a
// replay can afford.
type onlyPartition struct {
	pairs     *shuffle.Writer
	partition uint32
	of        func(key []byte) uint32 // nil: the batch says it
}

// Put implements jobs.PairSink.
func (s onlyPartition) Put(b jobs.Pairs) (jobs.Pairs, error) {
	kept := jobs.Pairs{Data: b.Data[:0], Partitions: b.Partitions[:0]}
	for i, rest := 0, b.Data; len(rest) > 0; i++ {
		key, _, after, err := jobs.CutPair(rest, nil)
		if err != nil {
			return jobs.Pairs{}, err
		}
		partition := uint32(0)
		switch {
		case s.of != nil:
			partition = s.of(key)
		case i < len(b.Partitions):
			partition = b.Partitions[i]
		default:
			return jobs.Pairs{}, fmt.Errorf("a batch of %d pairs states %d partitions", b.Count, len(b.Partitions))
		}
		if partition == s.partition {
			kept.Data = append(kept.Data, rest[:len(rest)-len(after)]...) // never beyond what was read
			kept.Count++
			if s.of == nil {
				kept.Partitions = append(kept.Partitions, partition)
			}
		}
		rest = after
	}
	return s.pairs.Put(kept)
}

// keep is where the pairs of an attempt go: all of them, or those of one partition.
func (a *attempt) keep(pairs *shuffle.Writer, o shuffle.WriterOptions) jobs.PairSink {
	if a.only == nil {
		return pairs
	}
	s := onlyPartition{pairs: pairs, partition: uint32(*a.only)}
	switch o.By {
	case shuffle.ByHash:
		s.of = func(key []byte) uint32 { return shuffle.HashPartition(key, o.Partitions) }
	case shuffle.ByBounds:
		s.of = func(key []byte) uint32 {
			at, found := slices.BinarySearchFunc(o.Bounds, key, func(bound, key []byte) int { return cmp.Compare(string(bound), string(key)) })
			if found {
				at++ // a bound is the first key of the partition behind it
			}
			return uint32(at)
		}
	}
	return s
}
