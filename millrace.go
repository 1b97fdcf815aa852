// Package millrace is the front door of the engine: Run runs a job in this process, Main makes a command of your jobs.
//
//	func main() {
//		millrace.Main(jobs.New("wordcount", Map, Reduce, jobs.Combine(jobs.Sum[int64])))
//	}
//
// A job is written against package jobs, which is all that its author needs to know. This package puts a master and
// workers together in one process; a cluster of processes is the same parts in the command millrace (cmd/millrace).
package millrace

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/user"
	"runtime"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/jobs/plan"
	"github.com/millrace/millrace/master"
	"github.com/millrace/millrace/master/memha"
	"github.com/millrace/millrace/master/sched"
	"github.com/millrace/millrace/master/wire"
	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/backends"
	"github.com/millrace/millrace/storage/manifest"
	"github.com/millrace/millrace/worker"
	"github.com/millrace/millrace/worker/program"
	streaming "github.com/millrace/millrace/worker/program/command"
)

// Version is the version of millrace. Workers and masters of one cluster should be of the same one.
const Version = "0.1.0"

// Options says what a job reads and writes, and how it is run. The zero value of a field means its default.
type Options struct {
	// Inputs are paths, globs, folders, file:// and s3:// URLs, and @LIST for a list of them (see ReadLists). Of a job with several
	// inputs each is NAME=INPUT, or stands in Named. At least one.
	Inputs  []string
	Named   map[string][]string // inputs by the name that the job has for them
	Exclude []string            // patterns of objects to leave out of what the inputs name, as storage.Exclusion has them
	Output  string              // path or URL of the folder for the parts; required
	Params  map[string]string   // the job's parameters by name

	Overwrite   bool   // replace a finished output
	Reducers    int    // partitions, and so parts; default: what the job says, or one for each 64 MiB of input, from three on a multiple of four
	SplitSize   int64  // bytes of input a map task; default: equal shares of up to 64 MiB, 32 without a combiner, or a quarter of a slot's memory
	Shuffle     string // where runs lie: "local" (default), on the worker that made them, or "bucket", beside the output
	Compression string // of the parts: "none" (default), "lz4" or "zstd"
	Decompress  string // "auto" (default): compressed input, as its first bytes tell; "none": input as it is
	NoBackup    bool   // run no backup attempts of slow tasks
	KeepStages  bool   // of a chain: leave what its stages wrote below _stages in the output
	Resume      bool   // of a chain: do not run again what one that failed left there

	// MaxDecompressed is how many bytes one compressed object, or a piece of it, may come to; default: 4 TiB, and from 4 GiB on
	// 10,000 times its size.
	MaxDecompressed int64

	// SkipBadRecords is how many bad records are set aside before the job fails: a number of them, or a percentage of all, "0.1%";
	// default: none. They lie below rejected in the output.
	SkipBadRecords string

	commands commandFlags // of a command line that names no job

	Workers int    // in this process; default 1
	Slots   int    // tasks at a time, of each worker; default: the CPUs, shared out
	Memory  int64  // bytes for all workers together; default: half of what the process may use
	TempDir string // for runs and spills; default: the system's

	Store    *storage.Store   // default: local files, and S3 as the environment says
	Log      *slog.Logger     // a line per event; default: none
	Progress func(*JobStatus) // called about five times a second while the job runs

	Explain func(*Explanation) // called once at the job's end, however it ended, with where its time went; of a chain, that of its longest stage
}

// JobStatus is what is known of a job while it runs and after its end.
type JobStatus = wire.JobStatus

// Explanation is where a job's time went: its steps, slowest tasks, hot keys, skew, requests and their price.
type Explanation = wire.Explanation

var (
	// ErrJobFailed is the end of a job that could not be completed. The error's text says why.
	ErrJobFailed = errors.New("job failed")
	// ErrCancelled is the end of a job that was cancelled.
	ErrCancelled = errors.New("job cancelled")
)

// progressEvery is the time between two calls of Options.Progress.
const progressEvery = 200 * time.Millisecond

// Run runs one job with a master and workers in this process, and returns when its output is committed. When ctx ends, the
// job is cancelled: nothing of it stays in the output. The status is valid whenever it is not nil, also beside an error.
//
// Options.Memory bounds the job's buffers. What else the process holds Run does not know, so it leaves the runtime's memory
// limit (GOMEMLIMIT) as it is; the command run that Main makes sets it.
func Run(ctx context.Context, job *jobs.Job, o Options) (*JobStatus, error) {
	defer runtime.KeepAlive(worker.GCRoom(cmp.Or(o.Memory, worker.DefaultMemory())))
	reg, err := program.NewRegistry(Version, job)
	if err != nil {
		return nil, err
	}
	return run(ctx, reg, job.Name(), o)
}

// run is Run for a caller that has set the runtime up.
func run(ctx context.Context, reg *program.Registry, job string, o Options) (*JobStatus, error) {
	if err := o.ReadLists(ctx, reg, job, os.Stdin); err != nil {
		return nil, err
	}
	spec, err := o.Spec(reg, job)
	if err != nil {
		return nil, err
	}
	o.fill()
	spec.SplitSize = cmp.Or(spec.SplitSize, o.splitSize())
	var status *JobStatus
	err = embed(ctx, reg, o, func(ctx context.Context, c *wire.Client) (err error) {
		id := NewJobID()
		if _, err := c.Submit(context.WithoutCancel(ctx), &wire.SubmitArgs{Job: id, Spec: spec, User: UserName()}); err != nil {
			return err
		}
		status, err = Follow(ctx, c, id, true, o.Progress)
		if o.Explain != nil && status != nil {
			x, e := explainLongest(context.WithoutCancel(ctx), c, id)
			if e != nil {
				return errors.Join(err, e)
			}
			o.Explain(x)
		}
		return err
	})
	return status, err
}

// explainLongest tells where a job's time went; of a chain, which has no tasks of its own, that of its longest stage.
func explainLongest(ctx context.Context, c *wire.Client, id wire.JobID) (*Explanation, error) {
	x, err := c.Explain(ctx, &wire.ExplainArgs{Job: id})
	if err != nil {
		return nil, err
	}
	longest := wire.StageStatus{N: -1}
	for _, s := range x.Status.Stages {
		if !s.Reused && (longest.N < 0 || s.Elapsed > longest.Elapsed) {
			longest = s
		}
	}
	if longest.N < 0 {
		return x, nil
	}
	return c.Explain(ctx, &wire.ExplainArgs{Job: wire.JobID(fmt.Sprintf("%s.%d", id, longest.N+1))})
}

// fill sets the defaults of what runs in this process.
func (o *Options) fill() {
	if o.Store == nil {
		o.Store = backends.New(backends.Options{})
	}
	if o.Memory == 0 {
		o.Memory = worker.DefaultMemory()
	}
	o.Workers = max(1, o.Workers)
	if o.Slots == 0 {
		o.Slots = max(1, runtime.GOMAXPROCS(0)/o.Workers)
	}
}

// A split of a quarter of a slot's memory fits its sort buffer with what comes to each pair, and need not be spilled. Below
// leastSplit that saves less than more tasks cost.
const (
	splitShare = 4
	leastSplit = 4 << 20
)

// splitSize is the size of the splits where memory is short, and 0, which leaves it to the plan, where it is not.
func (o *Options) splitSize() int64 {
	n := max(leastSplit, o.Memory/int64(o.Workers*o.Slots)/splitShare)
	if n >= plan.DefaultSplitSize {
		return 0
	}
	return n
}

// embed runs a master and workers in this process for as long as body runs. They outlive ctx, so that body can cancel its
// job and see that it is cleaned up.
func embed(ctx context.Context, reg *program.Registry, o Options, body func(context.Context, *wire.Client) error) error {
	o.fill()
	mem := memha.New()
	m, err := master.New(master.Options{Store: o.Store, Backend: mem, Election: mem, Programs: reg, Allow: plan.AllowAll(), Volatile: true, Log: o.Log})
	if err != nil {
		return err
	}
	engine, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	g, gctx := errgroup.WithContext(engine)
	pipe := wire.Pipe()
	g.Go(lasting(gctx, "the master", func(ctx context.Context) error { return m.Run(ctx, pipe) }))

	c, err := wire.Dial(engine, []string{pipe.Addr().String()}, wire.ClientOptions{Role: wire.RoleClient, Dial: pipe.Dial})
	if err != nil {
		return errors.Join(err, endEngine(stop, g))
	}
	defer c.Close()

	for range o.Workers {
		c, err := wire.Dial(engine, []string{pipe.Addr().String()}, wire.ClientOptions{Role: wire.RoleWorker, Dial: pipe.Dial})
		if err != nil {
			return errors.Join(err, endEngine(stop, g))
		}
		defer c.Close()
		w, err := worker.New(worker.Options{
			Master: c, Programs: reg, Allow: plan.AllowAll(), Store: o.Store, Slots: o.Slots, Memory: o.Memory / int64(o.Workers), TempDir: o.TempDir, Log: o.Log,
		})
		if err != nil {
			return errors.Join(err, endEngine(stop, g))
		}
		g.Go(lasting(gctx, "a worker", w.Run))
	}
	// A worker or master that fails ends the body: its job would wait for ever.
	bctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	failed := context.AfterFunc(gctx, func() { cancel(errEngine) })
	err = body(bctx, c)
	fell := !failed()
	e := endEngine(stop, g)
	if fell && !errors.Is(err, ErrCancelled) && !errors.Is(err, ErrJobFailed) {
		return e // which is why the body ended, whatever it says
	}
	return errors.Join(err, e) // what became of the job is said also when the engine's own end went wrong
}

// errEngine is why the body of embed is cancelled when the engine cannot go on.
var errEngine = errors.New("the engine stopped")

// lasting makes it an error that a part of the engine ends while ctx lives on: a job would wait for it for ever.
func lasting(ctx context.Context, part string, run func(context.Context) error) func() error {
	return func() error {
		err := run(ctx)
		if err == nil && ctx.Err() == nil {
			err = fmt.Errorf("%s ended by itself", part)
		}
		return err
	}
}

func endEngine(stop context.CancelFunc, g *errgroup.Group) error {
	stop()
	return g.Wait()
}

// NewJobID makes the id of a new job: 128 random bits.
func NewJobID() wire.JobID {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return wire.JobID(hex.EncodeToString(b[:]))
}

// UserName is the name of the user of this process, as the system knows it: a master counts a user's jobs by it. "" if there is none.
func UserName() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return cmp.Or(os.Getenv("USER"), os.Getenv("USERNAME"))
}

// Spec states the job to a master. Mistakes in the job, its parameters or the options are errors that name the remedy.
func (o *Options) Spec(reg *program.Registry, job string) (plan.Spec, error) {
	j, err := reg.Job(job)
	if err != nil {
		return plan.Spec{}, err
	}
	params, err := stateSideInputs(j, o.Params)
	if err != nil {
		return plan.Spec{}, err
	}
	info, err := bind(j, params)
	if err != nil {
		return plan.Spec{}, err
	}
	if o.Output == "" {
		return plan.Spec{}, errors.New("no output: say where the parts go with -o OUTPUT")
	}
	spec := plan.Spec{
		Job: job, Params: params, Program: reg.Digest(job), Info: info, Output: o.Output, Overwrite: o.Overwrite,
		Reducers: o.Reducers, SplitSize: o.SplitSize, Shuffle: o.Shuffle, Compression: o.Compression,
		Decompress: o.Decompress, MaxDecompressed: o.MaxDecompressed, Backup: !o.NoBackup,
	}
	if spec.SkipBad, err = plan.ParseTolerance(o.SkipBadRecords); err != nil {
		return plan.Spec{}, fmt.Errorf("skip bad records %q: %w", o.SkipBadRecords, err)
	}
	if spec.SkipBad.Any() && job == streaming.Name {
		return plan.Spec{}, errNoSkipping
	}
	spec.Chain, spec.KeepStages, spec.Resume = j.IsChain(), o.KeepStages, o.Resume
	if !spec.Chain && (o.KeepStages || o.Resume) {
		return plan.Spec{}, fmt.Errorf("job %s is no chain of stages: leave --keep-stages and --resume out", job)
	}
	if spec.Chain && o.Reducers > 0 {
		return plan.Spec{}, fmt.Errorf("job %s is a chain: its stages say how many reducers they have; leave --reducers out", job)
	}
	if err := o.stateInputs(&spec); err != nil {
		return plan.Spec{}, err
	}
	u, err := storage.ParseURL(o.Output)
	if err != nil {
		return plan.Spec{}, err
	}
	spec.Output = u.String()
	return spec, spec.Check()
}

// bind checks a job's parameters, and returns what the engine knows of its code; of a chain these are its side inputs alone.
func bind(j *jobs.Job, params map[string]string) (jobs.Info, error) {
	if j.IsChain() {
		if _, err := j.Advance(params, nil); err != nil {
			return jobs.Info{}, err
		}
		files, err := j.SideFiles(params)
		return jobs.Info{SideInputs: files}, err
	}
	code, err := j.Bind(params)
	if err != nil {
		return jobs.Info{}, err
	}
	return code.Info(), nil
}

// Follow watches a job until its end and returns its last status; a job that did not commit gives an error as well. If
// cancel is set, the end of ctx cancels the job, and Follow still waits for its end, 30 s at most: a commit that was decided goes on;
// otherwise it returns at once and the job goes on.
func Follow(ctx context.Context, c *wire.Client, id wire.JobID, cancel bool, progress func(*JobStatus)) (*JobStatus, error) {
	args := &wire.WatchArgs{Job: id}
	watch, start := ctx, time.Now()
	after, stop := context.WithCancel(context.WithoutCancel(ctx)) // what is watched when ctx has ended
	defer stop()
	var last *JobStatus
	for {
		s, err := c.Watch(watch, args)
		switch {
		case err != nil && watch != ctx && watch.Err() != nil:
			return last, errors.Join(context.Cause(ctx), &Unfinished{outlasts(last, id)})
		case err != nil && ctx.Err() != nil && watch == ctx:
			if !cancel || context.Cause(ctx) == errEngine {
				return nil, context.Cause(ctx)
			}
			watch = after
			if err := cancelSoon(watch, c, id); err != nil {
				return nil, errors.Join(context.Cause(ctx), &Unfinished{err})
			}
			defer time.AfterFunc(endWithin, stop).Stop()
			continue
		case err != nil:
			return nil, err
		}
		last = s
		if progress != nil {
			progress(s)
		}
		if !s.Ended.IsZero() {
			return s, ending(s)
		}
		args.Version, args.Wait, args.Pause = s.Version, progressEvery, min(progressEvery/4, time.Since(start)/10)
	}
}

// Unfinished is beside the error of an interrupt what has not come to its end, and people must know.
type Unfinished struct{ Err error }

func (u *Unfinished) Error() string { return u.Err.Error() }

func (u *Unfinished) Unwrap() error { return u.Err }

// endWithin is how long somebody who interrupts a command waits for a job that does not end: its commit was decided before, and fails
// again and again.
const endWithin = 30 * time.Second

// outlasts says what a job does that was cancelled too late.
func outlasts(s *JobStatus, id wire.JobID) error {
	if s == nil {
		return fmt.Errorf("job %s: nothing was heard of it since it was cancelled: see 'millrace status %s'", id, id)
	}
	text := fmt.Sprintf("job %s was cancelled when its commit had been decided, and that does not end", id)
	if n := len(s.Warnings); n > 0 {
		text += ": " + s.Warnings[n-1]
	}
	return fmt.Errorf("%s: what is visible in %s is not whole before %s is there; once nothing of the job runs any more, run it again with --overwrite", text, s.Output, manifest.Name)
}

// cancelWithin is how long somebody who interrupts a command waits for a master that takes the cancel.
const cancelWithin = 10 * time.Second

func cancelSoon(ctx context.Context, c *wire.Client, id wire.JobID) error {
	ctx, stop := context.WithTimeout(ctx, cancelWithin)
	defer stop()
	_, err := c.Cancel(ctx, &wire.CancelArgs{Job: id})
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("cancel job %s: no master has taken it within %v: the job may go on: see 'millrace status %s', and cancel it with 'millrace cancel %s'", id, cancelWithin, id, id)
	}
	return err
}

// ending is the error that a job's last state amounts to.
func ending(s *JobStatus) error {
	switch s.State {
	case sched.Done:
		return nil
	case sched.Cancelled:
		return fmt.Errorf("%w: %s %s", ErrCancelled, s.Job, s.ID)
	}
	return fmt.Errorf("%w: %s %s: %s", ErrJobFailed, s.Job, s.ID, s.Error)
}
