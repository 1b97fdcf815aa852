package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/cmd/internal/procs"
	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/worker"
)

// clusterFlags are the options of a local cluster.
type clusterFlags struct {
	masters, workers, slots int
	memory                  int64
	listen, logDir          string
}

func clusterCommand() *cobra.Command {
	f := clusterFlags{masters: 1, workers: 2, listen: "127.0.0.1:7800"}
	c := &cobra.Command{
		Use:   "cluster",
		Short: "Run a cluster of processes on this machine",
		Long: "Start a master and workers as processes of this machine and keep them up: a worker that dies is started again. " +
			"Ctrl-C ends them all.",
		Example: "  millrace cluster --workers 4",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return f.run(c.Context()) },
	}
	fs := c.Flags()
	fs.SortFlags = false
	fs.IntVar(&f.workers, "workers", f.workers, "worker processes")
	fs.IntVar(&f.masters, "masters", f.masters, "master processes; this version runs one")
	fs.IntVar(&f.slots, "slots", 0, "tasks at a time, of each worker (default: the CPUs, shared out)")
	fs.Var((*jobs.Size)(&f.memory), "memory", "memory for buffers, of all workers together (default: half of what there is)")
	fs.StringVar(&f.listen, "listen", f.listen, "the master's address; port 0 chooses a free one")
	fs.StringVar(&f.logDir, "log-dir", "", "folder for the logs; kept (default: a temporary one, removed at the end)")
	return c
}

func (f *clusterFlags) check() error {
	switch {
	case f.masters != 1:
		return millrace.Usage(fmt.Errorf("--masters %d: this version runs one master", f.masters))
	case f.workers < 1:
		return millrace.Usage(fmt.Errorf("--workers %d: give 1 or more", f.workers))
	case f.slots < 0:
		return millrace.Usage(fmt.Errorf("--slots %d: give 1 or more", f.slots))
	}
	if f.slots == 0 {
		f.slots = max(1, runtime.GOMAXPROCS(0)/f.workers)
	}
	if f.memory == 0 {
		f.memory = worker.DefaultMemory()
	}
	return nil
}

// Times of a local cluster.
const (
	readyWithin  = 20 * time.Second
	stopGrace    = 5 * time.Second // for a process to end by itself
	restartWait  = time.Second     // before a worker that died is started again
	clusterDrain = time.Second
)

// run starts the processes and keeps them up until ctx ends.
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
		return fmt.Errorf("cluster: %w", err)
	}
	m, err := procs.Start(procs.Options{
		Name: "master", Bin: bin, Args: []string{"master", "--with-parent", "--listen", f.listen}, Log: filepath.Join(logs, "master.log"),
	})
	if err != nil {
		return err
	}
	addr, err := ready(ctx, m)
	if err != nil {
		return errors.Join(err, tail(m.Log), m.Stop(stopGrace))
	}
	fmt.Printf("master   %s\nworkers  %d of %d slots, %s in all\nlogs     %s\n\nTry:  millrace submit wordcount INPUT -o OUTPUT --master %s\n\nCtrl-C ends the cluster.\n",
		addr, f.workers, f.slots, jobs.Size(f.memory), logs, addr)

	g, gctx := errgroup.WithContext(ctx)
	for i := range f.workers {
		g.Go(func() error { return f.keepWorker(gctx, bin, addr, dir, logs, i+1) })
	}
	g.Go(func() error {
		select {
		case <-gctx.Done():
			return nil
		case <-m.Done():
			return errors.Join(fmt.Errorf("the master ended: %v", m.Err()), tail(m.Log))
		}
	})
	err = g.Wait()
	if e := m.Stop(stopGrace); err == nil {
		err = e
	}
	return err
}

func ready(ctx context.Context, p *procs.Process) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	return p.FirstLine(ctx)
}

// tail is the end of a log, as an error's text.
func tail(path string) error {
	b, err := os.ReadFile(path)
	if err != nil || len(b) == 0 {
		return nil // the log's own path has been named already
	}
	return errors.New(string(b[max(0, len(b)-1000):]))
}

// keepWorker runs a worker, and another when it dies, until ctx ends.
func (f *clusterFlags) keepWorker(ctx context.Context, bin, addr, dir, logs string, n int) error {
	name := fmt.Sprintf("worker-%d", n)
	for ctx.Err() == nil {
		p, err := procs.Start(procs.Options{
			Name: name, Bin: bin, Log: filepath.Join(logs, name+".log"),
			Args: []string{
				"worker", "--with-parent", "--master", addr, "--slots", fmt.Sprint(f.slots), "--temp-dir", dir,
				"--memory", fmt.Sprint(f.memory / int64(f.workers)), "--drain", clusterDrain.String(),
			},
		})
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return p.Stop(stopGrace)
		case <-p.Done():
			fmt.Fprintf(os.Stderr, "%s ended (%v): starting another\n", name, p.Err())
		}
		select {
		case <-ctx.Done():
		case <-time.After(restartWait):
		}
	}
	return nil
}
