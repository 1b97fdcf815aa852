package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/master/console"
	"github.com/millrace/millrace/master/wire"
	"github.com/millrace/millrace/storage/backends"
	"github.com/millrace/millrace/worker/program"
)

// jobID is what an id of a job looks like.
var jobID = regexp.MustCompile("^[0-9a-f]{32}$")

func submitCommand(reg *program.Registry) *cobra.Command {
	var o millrace.Options
	var report millrace.Report
	var masters []string
	var id string
	var detach, wait bool
	c := &cobra.Command{
		Use:   "submit JOB INPUT... -o OUTPUT",
		Short: "Run a job on a cluster",
		Long: "Submit a job to a cluster and wait for its end with a progress bar; --detach prints the job's id and returns at once. " +
			"Ctrl-C while waiting cancels the job.",
		Example: "  millrace submit wordcount 's3://logs/2026/*' -o s3://out/words --master 10.0.0.1:7800\n" +
			"  millrace submit sort -p format=records s3://data/in.dat -o s3://out/sorted --detach",
		Args: millrace.JobArguments(reg, &o),
		RunE: func(c *cobra.Command, args []string) error {
			job := wire.JobID(id)
			switch {
			case id == "":
				job = millrace.NewJobID()
			case !jobID.MatchString(id):
				return millrace.Usage(fmt.Errorf("--id %s: an id has 32 hexadecimal digits; leave it out for a new one", id))
			}
			name, err := o.TakeArguments(args)
			if err != nil {
				return err
			}
			if err := o.ReadLists(c.Context(), reg, name, os.Stdin); err != nil {
				return err
			}
			spec, err := o.Spec(reg, name)
			if err != nil {
				return millrace.Usage(err)
			}
			cl, err := dial(c.Context(), masters, wire.RoleClient, clientConnectFor)
			if err != nil {
				return err
			}
			defer cl.Close()
			if err := submit(c.Context(), cl, &wire.SubmitArgs{Job: job, Spec: spec, User: millrace.UserName()}, submitGrace); err != nil {
				return err
			}
			if detach && !wait {
				fmt.Println(job)
				return nil
			}
			return o.Explained(follow(c.Context(), cl, job, true, &report))
		},
	}
	fs := c.Flags()
	fs.SortFlags = false
	masterFlag(fs, &masters)
	millrace.JobFlags(c, reg, &o)
	fs.BoolVar(&wait, "wait", false, "wait for the end (the default)")
	fs.BoolVar(&detach, "detach", false, "print the job's id and return")
	fs.StringVar(&id, "id", "", "the job's id, 32 hexadecimal digits: submitting it again is the same job (default: a new one)")
	report.Flags(fs)
	c.MarkFlagsMutuallyExclusive("wait", "detach")
	return c
}

// submitGrace is how long Ctrl-C waits for the answer to a submission: whether there is a job is not known before.
const submitGrace = 10 * time.Second

// submit submits a job. Ctrl-C cancels the job once it is known whether there is one, for which it waits that long.
func submit(ctx context.Context, cl *wire.Client, args *wire.SubmitArgs, grace time.Duration) error {
	asking, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(grace, cancel) })()
	_, err := cl.Submit(asking, args)
	if err != nil && ctx.Err() != nil && asking.Err() != nil {
		err := fmt.Errorf("no master has answered whether it has taken job %s: see 'millrace status %s'", args.Job, args.Job)
		return errors.Join(context.Cause(ctx), &millrace.Unfinished{Err: err})
	}
	return err
}

// noLeaderFor is how long a command that has reached a master waits while none leads: an election takes seconds, and a restart
// of the machines that the masters run on a minute.
const noLeaderFor = 2 * time.Minute

// Bounds of what is said while a command waits.
const (
	firstWord  = time.Second // an election that is over by then is not worth a word
	otherWords = 10 * time.Second
)

// patience tells on out, stderr, that a command waits for a master.
type patience struct {
	out *os.File

	mu   sync.Mutex
	last time.Duration // of the waiting when it was told last
}

// tell is called before each pause of a call.
func (p *patience) tell(waited time.Duration, why error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if waited < p.last { // another wait
		p.last = 0
	}
	if waited < firstWord || p.last > 0 && waited < p.last+otherWords {
		return
	}
	p.last = waited
	fmt.Fprint(p.out, waitingLine(p.out, waited, why))
}

// waitingLine says for how long a command has been waiting. On a terminal it takes the place of a progress bar, which is drawn
// anew below it.
func waitingLine(w *os.File, waited time.Duration, why error) string {
	text := fmt.Sprintf("no master leads: waiting (%.0f s)", waited.Seconds())
	if errors.Is(why, wire.ErrBusy) {
		text = fmt.Sprintf("the master is busy: waiting (%.0f s)", waited.Seconds())
	}
	if tty, width := console.Terminal(w); tty {
		return fmt.Sprintf("\r%-*s\n", max(width-1, 0), text)
	}
	return text + "\n"
}

// follow watches a job to its end and prints its summary.
func follow(ctx context.Context, cl *wire.Client, id wire.JobID, cancel bool, report *millrace.Report) error {
	show, end := report.Progress(os.Stderr)
	status, err := millrace.Follow(ctx, cl, id, cancel, show)
	end()
	return errors.Join(err, report.Summary(context.WithoutCancel(ctx), backends.New(backends.Options{}), status))
}

// withMaster makes c a command that asks a master one thing.
func withMaster(c *cobra.Command, example string, run func(ctx context.Context, cl *wire.Client, args []string) error) *cobra.Command {
	var masters []string
	masterFlag(c.Flags(), &masters)
	c.Example = "  millrace " + example
	c.ValidArgsFunction = cobra.NoFileCompletions
	c.RunE = func(c *cobra.Command, args []string) error {
		cl, err := dial(c.Context(), masters, wire.RoleClient, clientConnectFor)
		if err != nil {
			return err
		}
		defer cl.Close()
		return run(c.Context(), cl, args)
	}
	return c
}

func listCommand() *cobra.Command {
	limit := 50
	c := &cobra.Command{Use: "list", Short: "List a cluster's jobs, the newest first", Args: millrace.Arguments(0, "")}
	c.Flags().Var(millrace.AtLeast{N: &limit, Least: 1}, "limit", "jobs at most")
	return withMaster(c, "list --master 127.0.0.1:7800", func(ctx context.Context, cl *wire.Client, _ []string) error {
		reply, err := cl.List(ctx, &wire.ListArgs{Max: limit})
		if err != nil {
			return err
		}
		_, width := console.Terminal(os.Stdout)
		if err := console.JobsTable(os.Stdout, reply.Jobs, time.Now(), width); err != nil {
			return err
		}
		if reply.More {
			fmt.Fprintf(os.Stderr, "There are more: see --limit.\n")
		}
		return nil
	})
}

func statusCommand() *cobra.Command {
	var report millrace.Report
	c := &cobra.Command{Use: "status ID", Short: "Show where a job stands; a unique beginning of the id will do", Args: millrace.Arguments(1, "job id")}
	c.Flags().BoolVar(&report.JSON, "json", false, "print it as JSON")
	return withMaster(c, "status 0f843ea0 --master 127.0.0.1:7800", func(ctx context.Context, cl *wire.Client, args []string) error {
		s, err := cl.Watch(ctx, &wire.WatchArgs{Job: wire.JobID(args[0])})
		if err != nil {
			return err
		}
		if report.JSON {
			return report.Summary(ctx, nil, s)
		}
		return console.StatusText(os.Stdout, *s, time.Now())
	})
}

func waitCommand() *cobra.Command {
	var report millrace.Report
	c := &cobra.Command{Use: "wait ID", Short: "Wait for a job's end with a progress bar; Ctrl-C leaves the job alone", Args: millrace.Arguments(1, "job id")}
	report.Flags(c.Flags())
	return withMaster(c, "wait 0f843ea0 --json", func(ctx context.Context, cl *wire.Client, args []string) error {
		err := follow(ctx, cl, wire.JobID(args[0]), false, &report)
		if errors.Is(err, millrace.ErrInterrupted) && !report.Quiet {
			fmt.Fprintf(os.Stderr, "The job goes on: see millrace status %s\n", args[0])
		}
		return err
	})
}

func cancelCommand() *cobra.Command {
	c := &cobra.Command{Use: "cancel ID", Short: "Cancel a job: nothing of it stays in its output", Args: millrace.Arguments(1, "job id")}
	return withMaster(c, "cancel 0f843ea0", func(ctx context.Context, cl *wire.Client, args []string) error {
		reply, err := cl.Cancel(ctx, &wire.CancelArgs{Job: wire.JobID(args[0])})
		if err != nil {
			return err
		}
		fmt.Println(reply.State)
		return nil
	})
}

func logsCommand() *cobra.Command {
	var followLog bool
	c := &cobra.Command{Use: "logs ID", Short: "Print what happened to a job: failed attempts, lost workers, its end", Args: millrace.Arguments(1, "job id")}
	c.Flags().BoolVarP(&followLog, "follow", "f", false, "go on until the job ends")
	return withMaster(c, "logs 0f843ea0 --follow", func(ctx context.Context, cl *wire.Client, args []string) error {
		logs := &wire.LogsArgs{Job: wire.JobID(args[0])}
		shown := map[string]bool{}
		for {
			reply, err := cl.Logs(ctx, logs)
			if err != nil {
				return err
			}
			for _, l := range reply.Lines { // the next leader's log has some lines of the last one's
				if line := console.LogLine(l); !shown[line] || logs.Term == 0 || logs.Term == reply.Term {
					shown[line] = true
					fmt.Println(line)
				}
			}
			if reply.End || len(reply.Lines) == 0 && !followLog {
				return nil
			}
			logs.Cursor, logs.Term = reply.Cursor, reply.Term
			if followLog {
				logs.Wait = 20 * time.Second
			}
		}
	})
}
