package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/cmd/internal/procs"
	"github.com/millrace/millrace/jobs/plan"
	"github.com/millrace/millrace/worker"
)

// clusterFlags are the options of a local cluster.
type clusterFlags struct {
	masters, workers, slots int
	memory                  int64
	lease                   time.Duration
	listen, logDir, dataDir string
	allow                   plan.Allow
}

func clusterCommand() *cobra.Command {
	f := clusterFlags{masters: 1, workers: 2, listen: "127.0.0.1:7800"}
	c := &cobra.Command{
		Use:   "cluster",
		Short: "Run a cluster of processes on this machine",
		Long: `Start a master and workers as processes of this machine and keep them up: one that dies is started again, and jobs go on.
Ctrl-C ends them all, and the jobs with them, unless --data-dir keeps what is known of the jobs for the next cluster.

With three masters jobs go on at once when one of them dies, with five when two do. They take the ports PORT, PORT+2, PORT+4 from that of
--listen, and the port after each for each other. When Ctrl-C ends several masters, their unfinished jobs go on only in the next
cluster on the same --data-dir, at the same --listen; without one 'millrace gc' removes what they left in their outputs.`,
		Example: "  millrace cluster --workers 4\n  millrace cluster --masters 3 --data-dir state",
		Args:    millrace.Arguments(0, ""),
		RunE:    func(c *cobra.Command, _ []string) error { return f.run(c.Context()) },
	}
	fs := c.Flags()
	fs.SortFlags = false
	fs.Var(millrace.AtLeast{N: &f.workers, Least: 1}, "workers", "worker processes")
	fs.Var(millrace.AtLeast{N: &f.masters, Least: 1}, "masters", "master processes: 1, or 3, of which one may die, or 5, of which two may")
	fs.Var(millrace.AtLeast{N: &f.slots, Least: 1}, "slots", "tasks at a time, of each worker (default: the CPUs, shared out)")
	millrace.SizeFlag(fs, &f.memory, "memory", "memory for buffers, of all workers together (default: half of what there is)")
	fs.StringVar(&f.listen, "listen", f.listen, "the address of the master, or of the first of several; port 0 chooses free ones")
	leaseFlag(fs, &f.lease, clusterLease)
	fs.StringVar(&f.dataDir, "data-dir", "", "folder for what is known of the jobs, master-N in it for each of several masters; kept (default: a temporary one, removed at the end)")
	allowFlags(fs, &f.allow, "that are submitted", "builtin")
	fs.StringVar(&f.logDir, "log-dir", "", "folder for the logs; kept (default: a temporary one, removed at the end)")
	return c
}

func (f *clusterFlags) check() error {
	if err := loopback(f.listen); err != nil {
		return err
	}
	if err := f.checkMasters(); err != nil {
		return millrace.Usage(err)
	}
	if err := checkLease(f.lease); err != nil {
		return err
	}
	if err := checkAllow(f.allow); err != nil {
		return err
	}
	if f.slots == 0 {
		f.slots = max(1, runtime.GOMAXPROCS(0)/f.workers)
	}
	if f.memory == 0 {
		f.memory = worker.DefaultMemory()
	}
	return millrace.CheckMemory(f.memory, f.workers, f.slots)
}

// Times of a local cluster.
const (
	readyWithin  = 20 * time.Second
	stopGrace    = 5 * time.Second // for a process to end by itself
	restartWait  = time.Second     // before a worker that died is started again
	clusterDrain = time.Second
	clusterLease = 5 * time.Second // on one machine, no network makes a worker silent
)

// allowArgs are the flags of a local cluster's processes for what it runs. Commands must be named here, too: whoever uses this machine
// reaches the cluster.
func (f *clusterFlags) allowArgs() (args []string) {
	kinds := f.allow.Kinds
	if len(kinds) > 0 {
		args = append(args, "--allow", strings.Join(kinds, ","))
	}
	for _, c := range f.allow.Commands {
		args = append(args, "--allow-command", c)
	}
	return args
}

// run starts the processes and keeps them up until ctx ends. All their files but the logs lie in one folder, which goes
// with them.
func (f *clusterFlags) run(ctx context.Context) (err error) {
	if err := f.check(); err != nil {
		return err
	}
	bin, err := os.Executable()
	if err != nil {
		return fmt.Errorf("cluster: find this binary: %w", err)
	}
	dir, err := os.MkdirTemp("", "millrace-cluster-")
	if err != nil {
		return fmt.Errorf("cluster: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	logs := f.logDir
	if logs == "" {
		logs = filepath.Join(dir, "logs")
	}
	if err := os.MkdirAll(logs, 0o700); err != nil {
		return fmt.Errorf("cluster: make the folder for the logs: %w: choose another with --log-dir", err)
	}
	l := &local{clusterFlags: f, bin: bin, dir: dir, logs: logs, env: childEnv(os.Environ())}
	return l.run(ctx)
}

// childEnv is an environment without this command's own flags, which are not meant for its processes.
func childEnv(env []string) []string {
	return slices.DeleteFunc(env, func(e string) bool { return strings.HasPrefix(e, "MILLRACE_") })
}

// local is a running local cluster.
type local struct {
	*clusterFlags
	bin, dir, logs string
	addrs          []string // of the masters
	env            []string
}

func (l *local) start(name string, args ...string) (*procs.Process, error) {
	return procs.Start(procs.Options{Name: name, Bin: l.bin, Args: args, Env: l.env, Log: filepath.Join(l.logs, name+".log")})
}

func (l *local) run(ctx context.Context) error {
	masters, err := l.startMasters(ctx)
	if err != nil {
		return err
	}
	title, addrs := "master ", strings.Join(l.addrs, ",")
	if l.masters > 1 {
		title = "masters"
	}
	fmt.Printf("%s  %s\nworkers  %d, each of %s, %s of memory in all\nlogs     %s\n\nTry:\n  millrace submit wordcount INPUT -o OUTPUT --master %s\n\nCtrl-C ends the cluster.\n",
		title, addrs, l.workers, plural(l.slots, "slot", "slots"), humanize.IBytes(uint64(l.memory)), l.logs, addrs)

	workers, wctx := errgroup.WithContext(ctx) // they drain, for which the masters are needed
	for i := range l.workers {
		workers.Go(func() error { return l.keepWorker(wctx, i+1) })
	}
	mctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	var kept errgroup.Group
	for i, m := range masters {
		kept.Go(func() error { return l.keepMaster(mctx, i, m) })
	}
	err = workers.Wait()
	cancel()
	return errors.Join(err, kept.Wait())
}

// why is the error of a process that ended early: what it said itself, if it did, since its log may go with the cluster.
func why(ctx context.Context, err error, p *procs.Process) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	log, _ := os.ReadFile(p.Log) // without it, err says where to look
	lines := strings.Split(strings.TrimSpace(string(log)), "\n")
	if said, ok := strings.CutPrefix(lines[len(lines)-1], "Error: "); ok {
		return errors.New(said)
	}
	return err
}

// pause returns after d, or when ctx ends.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// keepWorker runs a worker, and another when it dies, until ctx ends.
func (l *local) keepWorker(ctx context.Context, n int) error {
	name := fmt.Sprintf("worker-%d", n)
	for ctx.Err() == nil {
		args := []string{"worker", "--with-parent", "--master", strings.Join(l.addrs, ","), "--slots", fmt.Sprint(l.slots), "--temp-dir", l.dir,
			"--memory", fmt.Sprint(l.memory / int64(l.workers)), "--drain", clusterDrain.String()}
		p, err := l.start(name, append(args, l.allowArgs()...)...)
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return p.Stop(stopGrace)
		case <-p.Done():
			fmt.Fprintf(os.Stderr, "%s ended (%v): starting another\n", name, p.Err())
		}
		pause(ctx, restartWait)
	}
	return nil
}
