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
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/sync/errgroup"

	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/jobs/plan"
	"github.com/millrace/millrace/master"
	"github.com/millrace/millrace/master/console"
	"github.com/millrace/millrace/master/memha"
	"github.com/millrace/millrace/master/sched"
	"github.com/millrace/millrace/master/wire"
	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/backends"
	"github.com/millrace/millrace/storage/output"
	"github.com/millrace/millrace/worker"
	"github.com/millrace/millrace/worker/program"
)

// Version is the version of millrace. Workers and masters of one cluster should be of the same one.
const Version = "0.1.0"

// Options says what a job reads and writes, and how it is run. The zero value of a field means its default.
type Options struct {
	Inputs []string          // paths, globs, folders, file:// and s3:// URLs; at least one
	Output string            // path or URL of the folder for the parts; required
	Params map[string]string // the job's parameters by name

	Overwrite   bool   // replace a finished output
	Reducers    int    // partitions, and so parts; default: what the job says, or one for each 64 MiB of input
	SplitSize   int64  // bytes of input a map task; default 32 MiB
	Shuffle     string // where runs lie: "local" (default), on the worker that made them, or "bucket", beside the output
	Compression string // of the parts: "none" (default), "lz4" or "zstd"
	NoBackup    bool   // run no backup attempts of slow tasks

	Workers int    // in this process; default 1
	Slots   int    // tasks at a time, of each worker; default: the CPUs, shared out
	Memory  int64  // bytes for all workers together; default: half of what the process may use
	TempDir string // for runs and spills; default: the system's

	Store    *storage.Store   // default: local files, and S3 as the environment says
	Log      *slog.Logger     // a line per event; default: none
	Progress func(*JobStatus) // called about five times a second while the job runs
}

// JobStatus is what is known of a job while it runs and after its end.
type JobStatus = wire.JobStatus

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
func Run(ctx context.Context, job *jobs.Job, o Options) (*JobStatus, error) {
	reg, err := program.NewRegistry(Version, job)
	if err != nil {
		return nil, err
	}
	spec, err := o.Spec(reg, job.Name())
	if err != nil {
		return nil, err
	}
	if o.Store == nil {
		o.Store = backends.New(backends.Options{})
	}
	var status *JobStatus
	err = embed(ctx, reg, o, func(ctx context.Context, c *wire.Client) (err error) {
		id := NewJobID()
		if _, err := c.Submit(context.WithoutCancel(ctx), &wire.SubmitArgs{Job: id, Spec: spec}); err != nil {
			return err
		}
		status, err = Follow(ctx, c, id, true, o.Progress)
		return err
	})
	return status, err
}

// embed runs a master and workers in this process for as long as body runs. They outlive ctx, so that body can cancel its
// job and see that it is cleaned up.
func embed(ctx context.Context, reg *program.Registry, o Options, body func(context.Context, *wire.Client) error) error {
	mem := memha.New()
	m, err := master.New(master.Options{Store: o.Store, Backend: mem, Election: mem, Volatile: true, Log: o.Log})
	if err != nil {
		return err
	}
	engine, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	g, gctx := errgroup.WithContext(engine)
	pipe := wire.Pipe()
	g.Go(func() error { return m.Run(gctx, pipe) })

	workers := max(1, o.Workers)
	memory := o.Memory
	if memory == 0 {
		memory = worker.DefaultMemory()
	}
	slots := o.Slots
	if slots == 0 {
		slots = max(1, runtime.GOMAXPROCS(0)/workers)
	}
	for range workers {
		c, err := wire.Dial(gctx, []string{pipe.Addr().String()}, wire.ClientOptions{Role: wire.RoleWorker, Dial: pipe.Dial})
		if err != nil {
			return errors.Join(err, endEngine(stop, g))
		}
		defer c.Close()
		w, err := worker.New(worker.Options{
			Master: c, Programs: reg, Store: o.Store, Slots: slots, Memory: memory / int64(workers), TempDir: o.TempDir, Log: o.Log,
		})
		if err != nil {
			return errors.Join(err, endEngine(stop, g))
		}
		g.Go(func() error { return w.Run(gctx) })
	}
	c, err := wire.Dial(gctx, []string{pipe.Addr().String()}, wire.ClientOptions{Role: wire.RoleClient, Dial: pipe.Dial})
	if err != nil {
		return errors.Join(err, endEngine(stop, g))
	}
	defer c.Close()

	// A worker or master that fails ends the body: its job would wait for ever.
	bctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	failed := context.AfterFunc(gctx, func() { cancel(errEngine) })
	err = body(bctx, c)
	failed()
	if e := endEngine(stop, g); e != nil {
		return e
	}
	return err
}

// errEngine is why the body of embed is cancelled when the engine cannot go on.
var errEngine = errors.New("the engine stopped")

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

// Spec states the job to a master. Mistakes in the job, its parameters or the options are errors that name the remedy.
func (o *Options) Spec(reg *program.Registry, job string) (plan.Spec, error) {
	j, err := reg.Job(job)
	if err != nil {
		return plan.Spec{}, err
	}
	code, err := j.Bind(o.Params)
	if err != nil {
		return plan.Spec{}, err
	}
	if o.Output == "" {
		return plan.Spec{}, errors.New("no output: say where the parts go with -o OUTPUT")
	}
	spec := plan.Spec{
		Job: job, Params: o.Params, Program: reg.Digest(job), Info: code.Info(), Output: o.Output, Overwrite: o.Overwrite,
		Reducers: o.Reducers, SplitSize: o.SplitSize, Shuffle: o.Shuffle, Compression: o.Compression, Backup: !o.NoBackup,
	}
	// The master may run in another folder: what is relative here is made absolute here.
	for _, in := range o.Inputs {
		u, err := storage.ParseURL(in)
		if err != nil {
			return plan.Spec{}, err
		}
		spec.Inputs = append(spec.Inputs, u.String())
	}
	u, err := storage.ParseURL(o.Output)
	if err != nil {
		return plan.Spec{}, err
	}
	spec.Output = u.String()
	return spec, spec.Check()
}

// Follow watches a job until its end and returns its last status; a job that did not commit gives an error as well. If
// cancel is set, the end of ctx cancels the job, and Follow still waits for its end; otherwise it returns at once and the
// job goes on.
func Follow(ctx context.Context, c *wire.Client, id wire.JobID, cancel bool, progress func(*JobStatus)) (*JobStatus, error) {
	args := &wire.WatchArgs{Job: id}
	watch, start := ctx, time.Now()
	for {
		s, err := c.Watch(watch, args)
		if err != nil && ctx.Err() != nil && watch == ctx {
			if !cancel || context.Cause(ctx) == errEngine {
				return nil, context.Cause(ctx)
			}
			watch = context.WithoutCancel(ctx)
			if _, err := c.Cancel(watch, &wire.CancelArgs{Job: id}); err != nil {
				return nil, err
			}
			continue
		}
		if err != nil {
			return nil, err
		}
		if progress != nil {
			progress(s)
		}
		if !s.Ended.IsZero() {
			return s, ending(s)
		}
		args.Version, args.Wait = s.Version, progressEvery
		if watch == ctx { // many changes make one call, and a short job is not held up by that
			sleep(ctx, min(progressEvery/4, time.Since(start)/10))
		}
	}
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
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

// The exit codes of every command.
const (
	exitDone        = 0
	exitFailed      = 1
	exitUsage       = 2
	exitNoMaster    = 3
	exitCancelled   = 4
	exitInterrupted = 130
)

// ErrUsage marks an error in the words of a command line: nothing was started.
var ErrUsage = errors.New("wrong usage")

// usage marks err as one; its text stays as it is.
type usage struct{ error }

func (u usage) Is(target error) bool { return target == ErrUsage }

func (u usage) Unwrap() error { return u.error }

// Usage marks an error as ErrUsage.
func Usage(err error) error {
	if err == nil || errors.Is(err, ErrUsage) {
		return err
	}
	return usage{err}
}

// ErrInterrupted is a command that ended by Ctrl-C or SIGTERM.
var ErrInterrupted = errors.New("interrupted")

// Execute runs a command tree over os.Args and returns the exit code. Every flag also reads the environment variable
// MILLRACE_<FLAG>. The first interrupt or SIGTERM cancels the command's context, a second one ends the process at once.
func Execute(root *cobra.Command) int {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		cancel(ErrInterrupted)
		<-signals
		os.Exit(exitInterrupted)
	}()
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return Usage(fmt.Errorf("%w: see %s --help", err, c.CommandPath()))
	})
	err := root.ExecuteContext(ctx)
	if err != nil && !errors.Is(err, ErrInterrupted) {
		fmt.Fprintln(os.Stderr, "Error:", console.Lines(err.Error()))
	}
	return exitCode(ctx, err)
}

func exitCode(ctx context.Context, err error) int {
	switch {
	case errors.Is(err, ErrInterrupted), err != nil && context.Cause(ctx) == ErrInterrupted:
		return exitInterrupted
	case err == nil:
		return exitDone
	case errors.Is(err, ErrUsage), strings.HasPrefix(err.Error(), "unknown command"):
		return exitUsage
	case errors.Is(err, wire.ErrUnreachable):
		return exitNoMaster
	case errors.Is(err, ErrCancelled):
		return exitCancelled
	}
	return exitFailed
}

// Command is the command tree that Main runs, for programs that add commands of their own.
func Command(name string, list ...*jobs.Job) *cobra.Command {
	root := &cobra.Command{
		Use:           name,
		Short:         "MapReduce over files and S3-compatible buckets, into Arrow files",
		SilenceUsage:  true,
		SilenceErrors: true,
		Version:       Version,
		PersistentPreRunE: func(c *cobra.Command, _ []string) error {
			return Usage(fromEnvironment(c.Flags(), os.LookupEnv))
		},
		SuggestionsMinimumDistance: 2,
	}
	root.SetVersionTemplate("{{.Version}}\n")
	reg, err := program.NewRegistry(Version, list...)
	if err != nil {
		root.RunE = func(*cobra.Command, []string) error { return err }
		return root
	}
	root.AddCommand(runCommand(reg), planCommand(reg), jobsCommand(reg))
	return root
}

// fromEnvironment sets the flags that the command line left alone from MILLRACE_<FLAG>.
func fromEnvironment(fs *pflag.FlagSet, lookup func(string) (string, bool)) error {
	var errs []error
	fs.VisitAll(func(f *pflag.Flag) {
		if f.Changed || f.Name == "help" || f.Name == "version" {
			return
		}
		name := "MILLRACE_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		if v, ok := lookup(name); ok {
			if err := fs.Set(f.Name, v); err != nil {
				errs = append(errs, fmt.Errorf("environment variable %s: %w", name, err))
			}
		}
	})
	return errors.Join(errs...)
}

// paramFlag takes one -p name=value.
func paramFlag(params *map[string]string) func(string) error {
	return func(s string) error {
		name, value, ok := strings.Cut(s, "=")
		if !ok || name == "" {
			return fmt.Errorf("parameter %q: write it as NAME=VALUE", s)
		}
		if *params == nil {
			*params = map[string]string{}
		}
		(*params)[name] = value
		return nil
	}
}

// reducersFlag takes --reducers, and refuses zero: there is no job without a reduce function yet.
func reducersFlag(reducers *int) func(string) error {
	return func(s string) error {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 {
			return fmt.Errorf("%q reducers: give 1 or more, since each writes one part; leave the flag out for the job's own number", s)
		}
		*reducers = n
		return nil
	}
}

// JobFlags defines the flags that say what a job reads, writes and how; run and submit have them.
func JobFlags(fs *pflag.FlagSet, o *Options) {
	fs.StringVarP(&o.Output, "output", "o", "", "folder for the parts: a path, file:// or s3://bucket/prefix (required)")
	fs.FuncP("param", "p", "a parameter of the job, `NAME=VALUE`; may be repeated; the command jobs lists them", paramFlag(&o.Params))
	fs.Func("reducers", "partitions, and so parts, `N` (default: the job's, or one for each 64 MiB of input)", reducersFlag(&o.Reducers))
	fs.Var((*jobs.Size)(&o.SplitSize), "split-size", "input a map task (default 32MiB)")
	fs.StringVar(&o.Shuffle, "shuffle", "", "where runs lie: local, on the worker, or bucket, beside the output (default local)")
	fs.StringVar(&o.Compression, "compression", "", "of the parts: none, lz4 or zstd (default none)")
	fs.BoolVar(&o.NoBackup, "no-backup", false, "run no backup attempts of slow tasks")
	fs.BoolVar(&o.Overwrite, "overwrite", false, "replace a finished output")
}

// Report says how the end of a job is shown; run, submit and wait have it.
type Report struct {
	JSON  bool // a machine-readable summary instead of the one for people
	Quiet bool // errors only
}

// Flags defines the report's flags.
func (r *Report) Flags(fs *pflag.FlagSet) {
	fs.BoolVar(&r.JSON, "json", false, "print the summary as JSON")
	fs.BoolVarP(&r.Quiet, "quiet", "q", false, "print errors only")
}

// Progress returns a function that shows a job's progress on w, and one that ends it.
func (r *Report) Progress(w *os.File) (show func(*JobStatus), end func()) {
	tty, _ := console.Terminal(w)
	width := func() int { _, n := console.Terminal(w); return n }
	p := console.New(w, console.Options{Quiet: r.Quiet, TTY: tty, NoColor: os.Getenv("NO_COLOR") != "", Width: width})
	return func(s *JobStatus) { p.Update(*s) }, p.Close
}

// firstRows is how many rows of an output the summary shows.
const firstRows = 10

// Summary prints a job's end, and the first rows of what it wrote, to stdout.
func (r *Report) Summary(ctx context.Context, st *storage.Store, s *JobStatus) error {
	switch {
	case s == nil || r.Quiet && !r.JSON:
		return nil
	case r.JSON:
		return console.NewReport(*s, s.Ended.Sub(s.Submitted)).Write(os.Stdout)
	case len(s.Parts) == 0: // it failed: the error says so
		return nil
	}
	if err := console.Summary(os.Stdout, *s, s.Ended.Sub(s.Submitted)); err != nil {
		return err
	}
	out, err := output.Open(ctx, st, s.Output)
	if err != nil {
		return err
	}
	fmt.Println()
	_, width := console.Terminal(os.Stdout)
	return console.Cat(ctx, os.Stdout, out, console.RowOptions{Limit: firstRows, Width: width})
}

func runCommand(reg *program.Registry) *cobra.Command {
	var o Options
	var report Report
	c := &cobra.Command{
		Use:   "run JOB INPUT... -o OUTPUT",
		Short: "Run a job here and now",
		Long:  "Run a job in this process and print a summary and the first rows. Inputs are paths, folders, globs and URLs.",
		Example: "  millrace run wordcount books/ -o words\n" +
			"  millrace run grep -p pattern='panic:' 'logs/**/*.log' -o s3://results/panics\n" +
			"  millrace run sort -p format=records s3://data/records.dat -o sorted --memory 1GiB --reducers 8",
		Args: jobAndInputs,
		RunE: func(c *cobra.Command, args []string) error {
			o.Inputs = args[1:]
			j, err := reg.Job(args[0])
			if err != nil {
				return Usage(err)
			}
			if o.Memory == 0 {
				o.Memory = worker.DefaultMemory()
			}
			debug.SetMemoryLimit(o.Memory)
			o.Store = backends.New(backends.Options{})
			show, end := report.Progress(os.Stderr)
			o.Progress = show
			status, err := Run(c.Context(), j, o)
			end()
			return errors.Join(err, report.Summary(context.WithoutCancel(c.Context()), o.Store, status))
		},
	}
	fs := c.Flags()
	fs.SortFlags = false
	JobFlags(fs, &o)
	fs.IntVar(&o.Workers, "workers", 1, "workers in this process")
	fs.IntVar(&o.Slots, "slots", 0, "tasks at a time, of each worker (default: the CPUs, shared out)")
	fs.Var((*jobs.Size)(&o.Memory), "memory", "memory for buffers, of all workers together (default: half of what there is)")
	fs.StringVar(&o.TempDir, "temp-dir", "", "folder for runs and spills (default: the system's)")
	report.Flags(fs)
	return c
}

// jobAndInputs checks the arguments of run, submit and plan.
func jobAndInputs(c *cobra.Command, args []string) error {
	switch len(args) {
	case 0:
		return Usage(fmt.Errorf("which job? write %s: see '%s jobs'", c.UseLine(), c.Root().Name()))
	case 1:
		return Usage(fmt.Errorf("no input: name files, folders, globs or URLs after %s", args[0]))
	}
	return nil
}

func planCommand(reg *program.Registry) *cobra.Command {
	var o Options
	var asJSON bool
	c := &cobra.Command{
		Use:     "plan JOB INPUT...",
		Short:   "Show the splits, partitions and requests that a run would make; run nothing",
		Example: "  millrace plan wordcount 's3://logs/2026/*'",
		Args:    jobAndInputs,
		RunE: func(c *cobra.Command, args []string) error {
			o.Inputs = args[1:]
			if o.Output == "" { // none is written
				o.Output = "mem://plan/output"
			}
			spec, err := o.Spec(reg, args[0])
			if err != nil {
				return err
			}
			start := time.Now()
			p, err := master.Plan(c.Context(), backends.New(backends.Options{}), spec)
			if err != nil {
				return err
			}
			return console.Plan(os.Stdout, p, time.Since(start), asJSON)
		},
	}
	JobFlags(c.Flags(), &o)
	c.Flags().BoolVar(&asJSON, "json", false, "print the plan as JSON")
	return c
}

func jobsCommand(reg *program.Registry) *cobra.Command {
	return &cobra.Command{
		Use:     "jobs [JOB]",
		Short:   "List the jobs that this program carries, or one job's parameters",
		Example: "  millrace jobs\n  millrace jobs wordcount",
		Args:    func(c *cobra.Command, args []string) error { return Usage(cobra.MaximumNArgs(1)(c, args)) },
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				console.Jobs(os.Stdout, reg.Jobs())
				return nil
			}
			j, err := reg.Job(args[0])
			if err != nil {
				return Usage(err)
			}
			console.Job(os.Stdout, j)
			return nil
		},
	}
}

// Main is the main function of a program that carries jobs of its own: the commands run, plan, jobs and cat over them. It
// does not return.
func Main(list ...*jobs.Job) {
	os.Exit(Execute(Command(filepath.Base(os.Args[0]), list...)))
}
