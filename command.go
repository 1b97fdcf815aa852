package millrace

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/jobs/plan"
	"github.com/millrace/millrace/master"
	"github.com/millrace/millrace/master/console"
	"github.com/millrace/millrace/master/wire"
	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/backends"
	"github.com/millrace/millrace/storage/output"
	"github.com/millrace/millrace/worker"
	"github.com/millrace/millrace/worker/program"
	streaming "github.com/millrace/millrace/worker/program/command"
)

// The exit codes of every command. A mistake that the words of a command line show by themselves is a wrong usage; what
// only a look at the files, the bucket or the cluster shows is a failure.
const (
	exitDone        = 0
	exitFailed      = 1
	exitUsage       = 2
	exitNoMaster    = 3
	exitCancelled   = 4
	exitInterrupted = 130
)

// exitCodes is their description for people.
const exitCodes = "Exit codes: 0 done, 1 the job failed, 2 wrong usage, 3 no master reached, 4 cancelled, 130 interrupted."

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

// againAfter is when a second signal may be meant as one: timeout(1) and some service managers send each signal twice, to the
// process and to its group.
const againAfter = 300 * time.Millisecond

// Execute runs a command tree over os.Args and returns the exit code. Every flag also reads the environment variable
// MILLRACE_<FLAG>. The first interrupt, SIGTERM or hang-up cancels the command's context, a second one ends the process
// at once.
func Execute(root *cobra.Command) int {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) { // as nohup leaves it
		signal.Notify(signals, syscall.SIGHUP)
	}
	go func() {
		<-signals
		cancel(ErrInterrupted)
		if term.IsTerminal(int(os.Stderr.Fd())) {
			fmt.Fprintln(os.Stderr, "\nInterrupted: cleaning up. Once more ends it at once.")
		}
		for first := time.Now(); time.Since(first) < againAfter; {
			<-signals
		}
		os.Exit(exitInterrupted)
	}()
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return Usage(fmt.Errorf("%w: see %s --help", err, c.CommandPath()))
	})
	root.DisableSuggestions = true // they would be lines of their own
	err := unknownCommand(root, root.ExecuteContext(ctx))
	if rest := new(Unfinished); errors.As(err, &rest) {
		fmt.Fprintln(os.Stderr, "Error:", console.Problem(rest))
	} else if err != nil && !errors.Is(err, ErrInterrupted) {
		fmt.Fprintln(os.Stderr, "Error:", console.Problem(err))
	}
	return exitCode(ctx, err)
}

// unknownCommand gives cobra's error for one a suggestion.
func unknownCommand(root *cobra.Command, err error) error {
	var name, parent string
	if err == nil {
		return nil
	}
	if n, _ := fmt.Sscanf(err.Error(), "unknown command %q for %q", &name, &parent); n != 2 {
		return err
	}
	return Usage(fmt.Errorf("unknown command %q: %ssee %s --help", name, didYouMean(root, name), root.Name()))
}

// didYouMean suggests one of a command's subcommands.
func didYouMean(c *cobra.Command, name string) string {
	c.SuggestionsMinimumDistance = 2
	if near := c.SuggestionsFor(name); len(near) > 0 {
		return "did you mean " + strings.Join(near, " or ") + "? "
	}
	return ""
}

func exitCode(ctx context.Context, err error) int {
	switch {
	case errors.Is(err, ErrInterrupted), err != nil && context.Cause(ctx) == ErrInterrupted:
		return exitInterrupted
	case err == nil:
		return exitDone
	case errors.Is(err, ErrUsage):
		return exitUsage
	case errors.Is(err, wire.ErrUnreachable), errors.Is(err, wire.ErrNotLeader), errors.Is(err, wire.ErrShuttingDown), errors.Is(err, wire.ErrOldTerm),
		errors.Is(err, wire.ErrNoSuchTerm):
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
		Long:          "MapReduce over files and S3-compatible buckets, into Arrow files.\n\n" + exitCodes,
		SilenceUsage:  true,
		SilenceErrors: true,
		Version:       Version,
		PersistentPreRunE: func(c *cobra.Command, _ []string) error {
			return Usage(fromEnvironment(c.Flags(), os.LookupEnv))
		},
	}
	root.SetVersionTemplate("{{.Version}}\n")
	reg, err := program.NewRegistry(Version, list...)
	if err != nil {
		root.RunE = func(*cobra.Command, []string) error { return err }
		return root
	}
	root.AddCommand(runCommand(name, reg), planCommand(name, reg), jobsCommand(name, reg), catCommand(name), ReplayCommand(name, reg, nil, nil))
	return root
}

// Main is the main function of a program that carries jobs of its own: the commands run, plan, replay, jobs and cat over them. It does
// not return.
func Main(list ...*jobs.Job) {
	os.Exit(Execute(Command(filepath.Base(os.Args[0]), list...)))
}

// fromEnvironment sets the flags that the command line left alone from MILLRACE_<FLAG>. It returns the first error.
func fromEnvironment(fs *pflag.FlagSet, lookup func(string) (string, bool)) (err error) {
	fs.VisitAll(func(f *pflag.Flag) {
		if err != nil || f.Changed || f.Name == "help" || f.Name == "version" {
			return
		}
		name := "MILLRACE_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		if v, ok := lookup(name); ok {
			if e := fs.Set(f.Name, v); e != nil {
				err = fmt.Errorf("environment variable %s: %w", name, e)
			}
		}
	})
	return err
}

// Arguments checks that a command is given n arguments; what names them.
func Arguments(n int, what string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		switch {
		case len(args) == n:
			return nil
		case n == 0:
			return Usage(fmt.Errorf("%s: what is %q? it takes no arguments: see %s --help", c.CommandPath(), args[0], c.CommandPath()))
		case len(args) < n:
			return Usage(fmt.Errorf("%s: no %s: write %s", c.CommandPath(), what, c.UseLine()))
		}
		return Usage(fmt.Errorf("%s: what is %q? one %s is enough: write %s", c.CommandPath(), args[n], what, c.UseLine()))
	}
}

// JobArguments checks the arguments of run, submit and plan: a job of reg, and inputs. o is what their flags go into.
func JobArguments(reg *program.Registry, o *Options) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if err := fromEnvironment(c.Flags(), os.LookupEnv); err != nil { // cobra checks the arguments first, and --mapper may be set there
			return Usage(err)
		}
		if done, err := o.commands.checkArguments(c, reg, o.Params, args); done || err != nil {
			return Usage(err)
		}
		if len(args) == 0 {
			return Usage(fmt.Errorf("%s: no job: write %s; '%s jobs' lists them", c.CommandPath(), c.UseLine(), c.Root().Name()))
		}
		if _, err := findJob(reg, args[0]); err != nil {
			return err
		}
		if len(args) == 1 {
			return Usage(fmt.Errorf("%s %s: no input: name files, folders, globs or URLs after the job", c.CommandPath(), args[0]))
		}
		return nil
	}
}

// findJob returns a job by name, or an error that suggests one.
func findJob(reg *program.Registry, name string) (*jobs.Job, error) {
	j, err := reg.Job(name)
	if err == nil {
		return j, nil
	}
	tree := new(cobra.Command)
	for _, j := range reg.Jobs() {
		tree.AddCommand(&cobra.Command{Use: j.Name(), Run: func(*cobra.Command, []string) {}})
	}
	if near := didYouMean(tree, name); near != "" {
		err = fmt.Errorf("unknown job %q: %ssee '%s jobs'", name, near, filepath.Base(os.Args[0]))
	}
	return nil, Usage(err)
}

// CompleteJob completes the arguments of run, submit and plan for a shell: the job, then files, and before them the names of the
// inputs of a job that has several.
func CompleteJob(reg *program.Registry) cobra.CompletionFunc {
	return func(c *cobra.Command, args []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 {
			reads := c.Flags().Lookup("exclude") != nil // the command jobs takes no inputs
			if names := inputNames(reg, args[0]); reads && len(names) > 0 && !strings.Contains(begun, "=") {
				return names, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
			}
			return nil, cobra.ShellCompDirectiveDefault
		}
		var names []cobra.Completion
		reads := c.Flags().Lookup("exclude") != nil
		for _, j := range reg.Jobs() {
			if reads && j.Name() == streaming.Name { // its flags stand in the place of JOB
				continue
			}
			doc, _, _ := strings.Cut(j.Doc(), "\n")
			names = append(names, cobra.CompletionWithDesc(j.Name(), doc))
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}

// inputNames is "NAME=" for each input of a job that has several, if its parameters' defaults say which these are.
func inputNames(reg *program.Registry, name string) (names []cobra.Completion) {
	j, err := reg.Job(name)
	if err != nil || j.IsChain() {
		return nil
	}
	code, err := j.Bind(nil)
	if err != nil || len(code.Info().Inputs) < 2 {
		return nil
	}
	for _, in := range code.Info().Inputs {
		names = append(names, in.Name+"=")
	}
	return names
}

// completeParam completes -p: the parameters of the job that was named, and the values of those that have a list of them.
func completeParam(reg *program.Registry) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) == 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		j, err := reg.Job(args[0])
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var out []cobra.Completion
		for _, p := range j.Params() {
			values := p.Allowed
			if p.Type == "bool" {
				values = []string{"true", "false"}
			}
			for _, v := range values {
				out = append(out, p.Name+"="+v)
			}
			if len(values) == 0 {
				out = append(out, cobra.CompletionWithDesc(p.Name+"=", p.Help))
			}
		}
		return out, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
	}
}

// JobFlags defines the flags that say what a job of reg reads, writes and how; run, submit and plan have them.
func JobFlags(c *cobra.Command, reg *program.Registry, o *Options) {
	fs := c.Flags()
	fs.StringVarP(&o.Output, "output", "o", "", "folder for the parts: a path, file:// or s3://bucket/prefix (required)")
	fs.StringArrayVar(&o.Exclude, "exclude", nil, "leave out objects that match `GLOB`: *.tmp or old/*.csv in any folder, s3://b/x/** for a whole URL; may be repeated")
	fs.FuncP("param", "p", "a parameter of the job, `NAME=VALUE`; may be repeated; the command jobs lists them", paramFlag(&o.Params))
	fs.Func("reducers", "partitions, and so parts, `N` (default: the job's, or one for each 64 MiB of input, from three on a multiple of four)", reducersFlag(&o.Reducers))
	SizeFlag(fs, &o.SplitSize, "split-size", "input a map task (default: equal shares of up to 64MiB, 32MiB without a combiner, or a quarter of a task's memory)")
	fs.StringVar(&o.Shuffle, "shuffle", "", "where runs lie: local, on the worker, or bucket, beside the output (default local)")
	fs.StringVar(&o.Compression, "compression", "", "of the parts: none, lz4 or zstd (default none)")
	fs.StringVar(&o.Decompress, "decompress", "", "of the input: auto, where its first bytes say gzip, bzip2, zstd, lz4 or snappy, or none (default auto)")
	SizeFlag(fs, &o.MaxDecompressed, "max-decompressed", "what one compressed object may come to (default: 4TiB, and from 4GiB on 10,000 times its size)")
	fs.StringVar(&o.SkipBadRecords, "skip-bad-records", "", "set up to `N` records aside that cannot be read or fail in map, or N% of all, below rejected in the output (default: none)")
	fs.BoolVar(&o.NoBackup, "no-backup", false, "run no backup attempts of slow tasks")
	fs.BoolVar(&o.Overwrite, "overwrite", false, "replace a finished output")
	fs.BoolVar(&o.KeepStages, "keep-stages", false, "of a chain: leave what its stages wrote, below _stages in the output")
	fs.BoolVar(&o.Resume, "resume", false, "of a chain: go on from the stages that one that failed left in the output")
	o.commands.define(c)
	c.ValidArgsFunction = CompleteJob(reg)
	for name, f := range map[string]cobra.CompletionFunc{
		"param":       completeParam(reg),
		"shuffle":     cobra.FixedCompletions([]cobra.Completion{"local", "bucket"}, cobra.ShellCompDirectiveNoFileComp),
		"decompress":  cobra.FixedCompletions([]cobra.Completion{"auto", "none"}, cobra.ShellCompDirectiveNoFileComp),
		"compression": cobra.FixedCompletions([]cobra.Completion{"none", "lz4", "zstd"}, cobra.ShellCompDirectiveNoFileComp),
	} {
		_ = c.RegisterFlagCompletionFunc(name, f) // fails only for an unknown name
	}
}

// paramFlag takes one -p name=value.
func paramFlag(params *map[string]string) func(string) error {
	return func(s string) error {
		name, value, ok := strings.Cut(s, "=")
		if !ok || name == "" {
			return fmt.Errorf("write it as NAME=VALUE")
		}
		if *params == nil {
			*params = map[string]string{}
		}
		(*params)[name] = value
		return nil
	}
}

// reducersFlag takes --reducers, and refuses zero: whether a job has a reduce function is its code's choice.
func reducersFlag(reducers *int) func(string) error {
	return func(s string) error {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 {
			return errors.New("give 1 or more, since each writes one part; leave the flag out for the job's own number")
		}
		*reducers = n
		return nil
	}
}

// SizeFlag defines a flag of bytes, whose default its help states.
func SizeFlag(fs *pflag.FlagSet, n *int64, name, help string) {
	fs.VarPF((*jobs.Size)(n), name, "", help).DefValue = ""
}

// AtLeast takes an integer flag that must not be below least.
type AtLeast struct {
	N     *int
	Least int
}

// Set implements pflag.Value.
func (a AtLeast) Set(s string) error {
	n, err := strconv.Atoi(s)
	if err != nil || n < a.Least {
		return fmt.Errorf("give a whole number, %d or more", a.Least)
	}
	*a.N = n
	return nil
}

// String implements pflag.Value; no default is shown for 0, which means one that depends.
func (a AtLeast) String() string {
	if a.N == nil || *a.N == 0 {
		return ""
	}
	return strconv.Itoa(*a.N)
}

// Type implements pflag.Value.
func (a AtLeast) Type() string { return "N" }

func runCommand(name string, reg *program.Registry) *cobra.Command {
	o := Options{Workers: 1}
	var report Report
	var explain bool
	c := &cobra.Command{
		Use:   "run JOB INPUT... -o OUTPUT",
		Short: "Run a job here and now",
		Long: "Run a job in this process and print a summary and the first rows. " + inputHelp +
			"Ctrl-C cancels the job and leaves nothing of it.\n\n" + exitCodes,
		Example: examples(name,
			"run wordcount books/ -o words",
			"run grep -p pattern='panic:' 'logs/**/*.log' -o s3://results/panics",
			"run --mapper 'python3 map.py' --reducer 'python3 reduce.py' --file map.py --file reduce.py books/ -o words",
			"run --mapper \"cut -f 3\" --reducer 'uniq -c' --columns line:string 'visits/*.tsv' -o pages",
			"run sort -p format=records s3://data/records.dat -o sorted --memory 1GiB --reducers 8"),
		Args: JobArguments(reg, &o),
		RunE: func(c *cobra.Command, args []string) error {
			job, err := o.TakeArguments(args)
			if err != nil {
				return err
			}
			o.Store = backends.New(backends.Options{})
			if err := o.ReadLists(c.Context(), reg, job, os.Stdin); err != nil {
				return err
			}
			if _, err := o.Spec(reg, job); err != nil {
				return Usage(err)
			}
			if o.Memory == 0 {
				o.Memory = worker.DefaultMemory()
			}
			slots := cmp.Or(o.Slots, max(1, runtime.GOMAXPROCS(0)/o.Workers))
			if err := CheckMemory(o.Memory, o.Workers, slots); err != nil {
				return err
			}
			defer runtime.KeepAlive(worker.LimitMemory(o.Memory))
			show, end := report.Progress(os.Stderr)
			o.Progress = show
			if explain {
				o.Explain = func(x *Explanation) { report.explained = x }
			}
			status, err := run(c.Context(), reg, job, o)
			end()
			return errors.Join(o.Explained(err), report.Summary(context.WithoutCancel(c.Context()), o.Store, status))
		},
	}
	fs := c.Flags()
	fs.SortFlags = false
	JobFlags(c, reg, &o)
	fs.Var(AtLeast{&o.Workers, 1}, "workers", "workers in this process")
	fs.Var(AtLeast{&o.Slots, 1}, "slots", "tasks at a time, of each worker (default: the CPUs, shared out)")
	fs.BoolVar(&explain, "explain", false, "show at the end where the time went, as the command explain does on a cluster")
	SizeFlag(fs, &o.Memory, "memory", "memory for buffers, of all workers together (default: half of what there is)")
	fs.StringVar(&o.TempDir, "temp-dir", "", "folder for runs and spills (default: the system's)")
	report.Flags(fs)
	return c
}

// CheckMemory refuses a memory budget that is too small for so many workers of so many slots each.
func CheckMemory(bytes int64, workers, slots int) error {
	if least := worker.MinSlotMemory * int64(workers*slots); bytes < least {
		return Usage(fmt.Errorf("--memory %v is too little for %d tasks at a time: give at least %v, or fewer --workers or --slots",
			jobs.Size(bytes), workers*slots, jobs.Size(least)))
	}
	return nil
}

// examples are command lines of the program of that name.
func examples(name string, lines ...string) string {
	return "  " + name + " " + strings.Join(lines, "\n  "+name+" ")
}

// inputHelp says what can stand for INPUT.
const inputHelp = "Inputs are paths, folders, globs and URLs, and @FILE or @URL for a list of them, one a line (@- reads standard " +
	"input). The output of an earlier job is read as its manifest says. A job with several inputs takes NAME=INPUT, each name as " +
	"often as need be.\n\n"

func planCommand(name string, reg *program.Registry) *cobra.Command {
	var o Options
	var asJSON bool
	c := &cobra.Command{
		Use:     "plan JOB INPUT...",
		Short:   "Show the splits, partitions and requests that a run would make; run nothing",
		Example: examples(name, "plan wordcount 's3://logs/2026/*'", "plan wordcount books/ --split-size 1MiB --json"),
		Args:    JobArguments(reg, &o),
		RunE: func(c *cobra.Command, args []string) error {
			job, err := o.TakeArguments(args)
			if err != nil {
				return err
			}
			o.Store = backends.New(backends.Options{})
			if err := o.ReadLists(c.Context(), reg, job, os.Stdin); err != nil {
				return err
			}
			if o.Output == "" { // none is written, but its requests are estimated: where the inputs are
				o.Output = planOutput(o.Inputs)
			}
			spec, err := o.Spec(reg, job)
			if err != nil {
				return Usage(err)
			}
			if spec, err = firstStage(reg, spec); err != nil {
				return err
			}
			start, listing := time.Now(), new(storage.Meter)
			p, err := master.Plan(storage.WithMeter(c.Context(), listing), o.Store, spec)
			if err != nil {
				return err
			}
			_, width := console.Terminal(os.Stdout)
			return console.Plan(os.Stdout, p, planStages(p, listing.Requests()), console.PlanOptions{Took: time.Since(start), JSON: asJSON, Width: width})
		},
	}
	c.Flags().SortFlags = false
	JobFlags(c, reg, &o)
	c.Flags().BoolVar(&asJSON, "json", false, "print the plan as JSON")
	return c
}

// firstStage is the stage of a chain that can be planned before any has run; another job's spec it returns as it is.
func firstStage(reg *program.Registry, spec plan.Spec) (plan.Spec, error) {
	if !spec.Chain {
		return spec, nil
	}
	next, err := reg.Advance(spec, nil)
	if err != nil {
		return spec, err
	}
	stage, err := reg.Stage(spec, next)
	if err != nil {
		return spec, err
	}
	fmt.Fprintf(os.Stderr, "%s is a chain: this is the plan of its first stage, %s. What follows depends on what that makes.\n", spec.Job, next.Job)
	spec.Chain, spec.Job, spec.Params, spec.Program, spec.Info, spec.Reducers = false, stage.Job, stage.Params, stage.Program, stage.Info, next.Reducers
	return spec, nil
}

func jobsCommand(name string, reg *program.Registry) *cobra.Command {
	return &cobra.Command{
		Use:               "jobs [JOB]",
		Short:             "List the jobs that this program carries, or one job's parameters",
		Example:           examples(name, "jobs", "jobs wordcount"),
		ValidArgsFunction: CompleteJob(reg),
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return console.Jobs(os.Stdout, reg.Jobs())
			}
			if err := Arguments(1, "job")(c, args); err != nil {
				return err
			}
			j, err := findJob(reg, args[0])
			if err != nil {
				return err
			}
			return console.Job(os.Stdout, j)
		},
	}
}

func catCommand(name string) *cobra.Command {
	o := console.RowOptions{Format: console.FormatTable, Limit: 20}
	var side string
	c := &cobra.Command{
		Use:   "cat OUTPUT",
		Short: "Print the rows of an output",
		Long: "Print the rows of a finished output, part by part. raw prints a one-column output's values as they are: text with a newline " +
			"each, bytes with nothing. A job can write rows of several kinds: --side names a side output, and so does its folder, OUTPUT/NAME.",
		Example: fmt.Sprintf("  %[1]s cat words --limit 5\n  %[1]s cat words --format csv --limit 0 > words.csv\n  %[1]s cat events --side errors", name),
		Args:    Arguments(1, "output"),
		RunE: func(c *cobra.Command, args []string) error {
			if !slices.Contains(console.Formats(), o.Format) {
				return Usage(fmt.Errorf("--format %s: choose one of %s", o.Format, strings.Join(console.Formats(), ", ")))
			}
			if o.Limit < 0 {
				return Usage(fmt.Errorf("--limit %d: give 0 for all rows, or how many", o.Limit))
			}
			if _, err := storage.ParseURL(args[0]); err != nil {
				return Usage(fmt.Errorf("output: %w", err))
			}
			out, err := output.Locate(c.Context(), backends.New(backends.Options{}), args[0])
			if err == nil && side != "" {
				out, err = out.Side(side)
			}
			if err != nil {
				return err
			}
			o.Terminal, o.Width = console.Terminal(os.Stdout)
			return console.Cat(c.Context(), os.Stdout, out, o)
		},
	}
	c.Flags().StringVar(&o.Format, "format", o.Format, "table, csv, ndjson or raw")
	c.Flags().StringVar(&side, "side", "", "the side output to print (default: the job's rows)")
	c.Flags().Int64Var(&o.Limit, "limit", o.Limit, "rows at most; 0: all")
	_ = c.RegisterFlagCompletionFunc("format", cobra.FixedCompletions(console.Formats(), cobra.ShellCompDirectiveNoFileComp)) // fails only for an unknown name
	return c
}
