package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"runtime"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/sync/errgroup"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/jobs/plan"
	"github.com/millrace/millrace/master/wire"
	"github.com/millrace/millrace/storage/backends"
	"github.com/millrace/millrace/worker"
	"github.com/millrace/millrace/worker/program"
)

// serverFlags are what master and worker have in common.
type serverFlags struct {
	listen     string
	logFormat  string
	withParent bool
}

func (f *serverFlags) define(fs *pflag.FlagSet, listen, what string) {
	fs.StringVar(&f.listen, "listen", listen, what)
	fs.StringVar(&f.logFormat, "log-format", "text", "of the log on stderr: text or json")
	fs.BoolVar(&f.withParent, "with-parent", false, "end when standard input does")
	_ = fs.MarkHidden("with-parent") // fails only for an unknown name
}

// logger makes the process's log.
func (f *serverFlags) logger() (*slog.Logger, error) {
	switch f.logFormat {
	case "text":
		return slog.New(slog.NewTextHandler(os.Stderr, nil)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(os.Stderr, nil)), nil
	}
	return nil, millrace.Usage(fmt.Errorf("log format %q: choose text or json", f.logFormat))
}

// loopback refuses addresses that other machines reach: there is no TLS and no token yet.
func loopback(listen string) error {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return millrace.Usage(fmt.Errorf("--listen %s: write HOST:PORT, as in 127.0.0.1:7800", listen))
	}
	if host == "localhost" {
		return nil
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return millrace.Usage(fmt.Errorf("--listen %s: this version serves loopback addresses only, since it has no TLS and no tokens yet: use 127.0.0.1:PORT", listen))
	}
	return nil
}

// bind returns a context that ends with ctx, and with the parent process if that was asked for.
func (f *serverFlags) bind(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	if f.withParent {
		go func() { // ends with the process
			_, _ = io.Copy(io.Discard, os.Stdin)
			cancel()
		}()
	}
	return ctx, cancel
}

// minLease is the shortest --lease: one lost heartbeat must not cost a worker its work.
const minLease = 2 * worker.DefaultPoll

// leaseFlag defines --lease.
func leaseFlag(fs *pflag.FlagSet, lease *time.Duration, def time.Duration) {
	fs.DurationVar(lease, "lease", def, "how long a worker may be silent before its tasks run elsewhere")
}

func checkLease(lease time.Duration) error {
	if lease < minLease {
		return millrace.Usage(fmt.Errorf("--lease %v: give %v or more, since a worker is heard of every %v", lease, minLease, worker.DefaultPoll))
	}
	return nil
}

// workerFlags are the options of a worker process.
type workerFlags struct {
	serverFlags
	masters []string
	slots   int
	memory  int64
	tempDir string
	drain   time.Duration
	allow   plan.Allow
}

func workerCommand(reg *program.Registry) *cobra.Command {
	var f workerFlags
	c := &cobra.Command{
		Use:   "worker --master HOST:PORT",
		Short: "Run a cluster's worker",
		Long: "Run a worker until it is told to end. On SIGTERM or Ctrl-C it drains: it takes nothing new, finishes its tasks or hands them back, " +
			"and serves what it has made until that is needed no more. A second signal ends it at once.",
		Example: "  millrace worker --master 127.0.0.1:7800 --slots 4 --memory 2GiB",
		Args:    millrace.Arguments(0, ""),
		RunE:    func(c *cobra.Command, _ []string) error { return runWorker(c.Context(), reg, &f) },
	}
	fs := c.Flags()
	fs.SortFlags = false
	masterFlag(fs, &f.masters)
	fs.Var(millrace.AtLeast{N: &f.slots, Least: 1}, "slots", "tasks at a time (default: the CPUs)")
	millrace.SizeFlag(fs, &f.memory, "memory", "memory for buffers (default: half of what there is)")
	fs.StringVar(&f.tempDir, "temp-dir", "", "folder for runs and spills (default: the system's)")
	fs.DurationVar(&f.drain, "drain", 30*time.Second, "how long tasks may go on after the first signal")
	allowFlags(fs, &f.allow, "whose tasks it runs", "builtin")
	f.define(fs, "127.0.0.1:0", "address where runs are served to other workers; port 0 chooses a free one")
	return c
}

// masterFlag defines --master.
func masterFlag(fs *pflag.FlagSet, addrs *[]string) {
	fs.StringSliceVar(addrs, "master", nil, "address of the master, HOST:PORT; several with commas (or MILLRACE_MASTER)")
}

// connectFor is how long a worker and a client look for a master before they give up a call.
const (
	workerConnectFor = time.Minute
	clientConnectFor = 5 * time.Second
)

func runWorker(ctx context.Context, reg *program.Registry, f *workerFlags) error {
	log, err := f.logger()
	if err != nil {
		return err
	}
	if err := loopback(f.listen); err != nil {
		return err
	}
	if err := checkAllow(f.allow); err != nil {
		return err
	}
	if f.memory == 0 {
		f.memory = worker.DefaultMemory()
	}
	defer runtime.KeepAlive(worker.LimitMemory(f.memory))
	parent, cancel := f.bind(context.WithoutCancel(ctx))
	defer cancel()
	dialing, stop := context.WithCancel(ctx)
	defer stop()
	defer context.AfterFunc(parent, stop)()
	c, err := dial(dialing, f.masters, wire.RoleWorker, workerConnectFor)
	if err != nil {
		return err
	}
	defer c.Close()
	w, err := worker.New(worker.Options{
		Master: c, Programs: reg, Allow: f.allow, Store: backends.New(backends.Options{}), Slots: f.slots, Memory: f.memory, TempDir: f.tempDir,
		Listen: f.listen, Drain: f.drain, Log: log,
	})
	if err != nil {
		return millrace.Usage(err)
	}
	// The first signal drains; the worker ends by itself then. The parent's end is no reason to wait, also for
	// one that drains.
	g, gctx := errgroup.WithContext(context.WithoutCancel(ctx))
	gctx, end := context.WithCancel(gctx)
	g.Go(func() error {
		defer end()
		return w.Run(gctx)
	})
	g.Go(func() error {
		defer end()
		select {
		case <-gctx.Done():
			return nil
		case <-parent.Done():
			return nil
		case <-ctx.Done():
			log.Info("draining", "at most", f.drain)
			w.Drain()
		}
		select {
		case <-gctx.Done():
		case <-parent.Done():
		}
		return nil
	})
	fmt.Println("worker of", c.Master())
	log.Info("worker ready", "master", c.Master(), "version", millrace.Version)
	return g.Wait()
}

// dial connects to a master.
func dial(ctx context.Context, masters []string, role wire.Role, retry time.Duration) (*wire.Client, error) {
	if len(masters) == 0 {
		return nil, millrace.Usage(errors.New("no master: name one with --master HOST:PORT or in MILLRACE_MASTER; 'millrace cluster' starts one here"))
	}
	for _, a := range masters {
		if _, _, err := net.SplitHostPort(a); err != nil {
			return nil, millrace.Usage(fmt.Errorf("--master %s: write HOST:PORT, as in 127.0.0.1:7800", a))
		}
	}
	o := wire.ClientOptions{Role: role, RetryFor: retry}
	if role == wire.RoleClient {
		o.DialFor, o.RetryFor, o.Waiting = retry, noLeaderFor, (&patience{out: os.Stderr}).tell
	}
	c, err := wire.Dial(ctx, masters, o)
	if errors.Is(err, wire.ErrUnreachable) {
		return nil, fmt.Errorf("%w: is it running? 'millrace cluster' starts one here", err)
	}
	return c, err
}

// allowFlags defines which jobs a process lets run; which says which these are, def what it does without the flags.
func allowFlags(fs *pflag.FlagSet, a *plan.Allow, which, def string) {
	fs.StringSliceVar(&a.Kinds, "allow", nil, "code of the jobs "+which+": builtin, what this binary carries, and command, whatever a submitter writes (default "+def+")")
	fs.StringArrayVar(&a.Commands, "allow-command", nil, "of commands, only those that match `PATTERN`, as in 'python3 *': a '*' stands for any text of one command; may be repeated")
}

func checkAllow(a plan.Allow) error {
	if err := a.Validate(); err != nil {
		return millrace.Usage(fmt.Errorf("--allow: %w", err))
	}
	return nil
}
