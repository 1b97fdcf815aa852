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
	"github.com/millrace/millrace/worker"
)

// clusterFlags are the options of a local cluster.
type clusterFlags struct {
	masters, workers, slots int
	memory                  int64
	lease                   time.Duration
	listen, logDir, dataDir string
}

func clusterCommand() *cobra.Command {
	f := clusterFlags{masters: 1, workers: 2, listen: "127.0.0.1:7800"}
	c := &cobra.Command{
		Use:   "cluster",
		Short: "Run a cluster of processes on this machine",
		Long: "Start a master and workers as processes of this machine and keep them up: one that dies is started again, and jobs go on. " +
			"Ctrl-C ends them all, and the jobs with them, unless --data-dir keeps what is known of the jobs for the next cluster.",
		Example: "  millrace cluster --workers 4",
		Args:    millrace.Arguments(0, ""),
		RunE:    func(c *cobra.Command, _ []string) error { return f.run(c.Context()) },
	}
	fs := c.Flags()
	fs.SortFlags = false
	fs.Var(millrace.AtLeast{N: &f.workers, Least: 1}, "workers", "worker processes")
	fs.Var(millrace.AtLeast{N: &f.masters, Least: 1}, "masters", "master processes; this version runs one")
	fs.Var(millrace.AtLeast{N: &f.slots, Least: 1}, "slots", "tasks at a time, of each worker (default: the CPUs, shared out)")
	millrace.SizeFlag(fs, &f.memory, "memory", "memory for buffers, of all workers together (default: half of what there is)")
	fs.StringVar(&f.listen, "listen", f.listen, "the master's address; port 0 chooses a free one")
	leaseFlag(fs, &f.lease, clusterLease)
	fs.StringVar(&f.dataDir, "data-dir", "", "folder for what is known of the jobs; kept (default: a temporary one, removed at the end)")
	fs.StringVar(&f.logDir, "log-dir", "", "folder for the logs; kept (default: a temporary one, removed at the end)")
	return c
}

func (f *clusterFlags) check() error {
	if f.masters != 1 {
		return millrace.Usage(fmt.Errorf("--masters %d: this version runs one master", f.masters))
	}
	if err := loopback(f.listen); err != nil {
		return err
	}
	if err := checkLease(f.lease); err != nil {
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
	addr           string // of the master
	env            []string
}

func (l *local) start(name string, args ...string) (*procs.Process, error) {
	return procs.Start(procs.Options{Name: name, Bin: l.bin, Args: args, Env: l.env, Log: filepath.Join(l.logs, name+".log")})
}

func (l *local) run(ctx context.Context) error {
	m, addr, err := l.startMaster(ctx, l.listen)
	if err != nil {
		return err
	}
	l.addr = addr
	fmt.Printf("master   %s\nworkers  %d, each of %d slots, %s of memory in all\nlogs     %s\n\nTry:\n  millrace submit wordcount INPUT -o OUTPUT --master %s\n\nCtrl-C ends the cluster.\n",
		l.addr, l.workers, l.slots, humanize.IBytes(uint64(l.memory)), l.logs, l.addr)

	workers, wctx := errgroup.WithContext(ctx) // they drain, for which the master is needed
	for i := range l.workers {
		workers.Go(func() error { return l.keepWorker(wctx, i+1) })
	}
	mctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	var master errgroup.Group
	master.Go(func() error { return l.keepMaster(mctx, m) })
	err = workers.Wait()
	cancel()
	return errors.Join(err, master.Wait())
}

// startMaster starts the master, or another in the place of one that died: on the same folder, and at its address.
func (l *local) startMaster(ctx context.Context, listen string) (m *procs.Process, addr string, err error) {
	args := []string{"master", "--with-parent", "--listen", listen, "--lease", l.lease.String()}
	if l.dataDir == "" {
		args = append(args, "--data-dir", filepath.Join(l.dir, "master"), "--last")
	} else {
		args = append(args, "--data-dir", l.dataDir)
	}
	if m, err = l.start("master", args...); err != nil {
		return nil, "", err
	}
	ready, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	if addr, err = m.FirstLine(ready); err != nil {
		return nil, "", errors.Join(why(ctx, err, m), m.Stop(stopGrace))
	}
	return m, addr, nil
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

// keepMaster keeps a master that runs up, until ctx ends.
func (l *local) keepMaster(ctx context.Context, m *procs.Process) error {
	for {
		select {
		case <-ctx.Done():
			return m.Stop(stopGrace)
		case <-m.Done():
			fmt.Fprintf(os.Stderr, "the master ended (%v): starting another\n", why(ctx, m.Err(), m))
		}
		for m = nil; m == nil; {
			pause(ctx, restartWait)
			next, _, err := l.startMaster(ctx, l.addr)
			switch {
			case ctx.Err() != nil:
				return nil
			case err != nil:
				fmt.Fprintf(os.Stderr, "the master does not start (%v): trying again\n", err)
			}
			m = next
		}
	}
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
		p, err := l.start(name, "worker", "--with-parent", "--master", l.addr, "--slots", fmt.Sprint(l.slots), "--temp-dir", l.dir,
			"--memory", fmt.Sprint(l.memory/int64(l.workers)), "--drain", clusterDrain.String())
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
