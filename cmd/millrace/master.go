package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/master"
	"github.com/millrace/millrace/master/etcdha/state"
	"github.com/millrace/millrace/master/sched"
	"github.com/millrace/millrace/master/wire"
	"github.com/millrace/millrace/storage/backends"
	"github.com/millrace/millrace/worker/program"
)

// masterFlags are the options of a master process.
type masterFlags struct {
	serverFlags
	lease   time.Duration
	limits  master.Limits
	dataDir string
	last    bool
}

func masterCommand(reg *program.Registry) *cobra.Command {
	var f masterFlags
	c := &cobra.Command{
		Use:   "master",
		Short: "Run a cluster's master",
		Long: `Run a cluster's master until it is told to end. It prints the address that it listens on.

What it knows of its jobs lies in its data directory, in an etcd of its own. However the master ends, one that is started on the
same directory goes on with the jobs: nothing that was done is done again, and workers and waiting clients come back by themselves.`,
		Example: "  millrace master\n  millrace master --listen 127.0.0.1:7800 --data-dir /var/lib/millrace",
		Args:    millrace.Arguments(0, ""),
		RunE:    func(c *cobra.Command, _ []string) error { return f.run(c.Context(), reg) },
	}
	fs := c.Flags()
	fs.SortFlags = false
	f.define(fs, "127.0.0.1:7800", "address for workers and clients; port 0 chooses a free one")
	fs.StringVar(&f.dataDir, "data-dir", "", "folder for what must survive, for this master alone (default: ~/.local/state/millrace/master-HOST-PORT)")
	leaseFlag(fs, &f.lease, 15*time.Second)
	limitFlags(fs, &f.limits)
	fs.BoolVar(&f.last, "last", false, "when told to end, remove what unfinished jobs left in their outputs: nobody goes on with them")
	_ = fs.MarkHidden("last") // for command cluster, whose data directory goes with it; fails only for an unknown name
	return c
}

func (f *masterFlags) run(ctx context.Context, reg *program.Registry) error {
	log, err := f.logger()
	if err != nil {
		return err
	}
	if err := loopback(f.listen); err != nil {
		return err
	}
	if err := checkLease(f.lease); err != nil {
		return err
	}
	if f.dataDir == "" {
		if f.dataDir, err = defaultDataDir(f.listen, os.Getenv); err != nil {
			return millrace.Usage(err)
		}
	}
	ctx, cancel := f.bind(ctx)
	defer cancel()
	l, err := net.Listen("tcp", f.listen)
	if err != nil {
		return fmt.Errorf("master: listen on %s: %w: choose another address with --listen", f.listen, err)
	}
	defer l.Close()
	st, err := state.Open(ctx, state.Options{DataDir: f.dataDir, Log: log})
	if err != nil {
		if ctx.Err() != nil {
			return nil // a wanted end
		}
		return fmt.Errorf("master: %w", err)
	}
	return errors.Join(f.serve(ctx, reg, l, st, log), st.Close())
}

// serve runs the master on its open state until ctx ends.
func (f *masterFlags) serve(ctx context.Context, reg *program.Registry, l net.Listener, st *state.State, log *slog.Logger) error {
	m, err := master.New(master.Options{
		Store: backends.New(backends.Options{}), Backend: st, Election: st, Programs: reg, Last: f.last, Log: log,
		Scheduler: sched.Options{Lease: f.lease}, Limits: f.limits,
		Server: wire.ServerOptions{Cluster: st.Cluster(), Report: func(i wire.Incident) {
			log.Warn("connection", "remote", i.Remote, "op", i.Op, "error", i.Err, "stack", string(i.Stack))
		}},
	})
	if err != nil {
		return err
	}
	fmt.Println(l.Addr())
	log.Info("master ready", "address", l.Addr().String(), "data", f.dataDir, "version", millrace.Version)
	g, gctx := errgroup.WithContext(ctx)
	gctx, stop := context.WithCancel(gctx)
	g.Go(func() error { return st.Run(gctx) })
	g.Go(func() error {
		defer stop()
		return m.Run(gctx, l)
	})
	return g.Wait()
}

// defaultDataDir is the folder for a master that listens on an address: in the user's folder for state (XDG Base Directory
// Specification), and named after the address, so that two masters of one machine have two.
func defaultDataDir(listen string, getenv func(string) string) (string, error) {
	host, port, err := net.SplitHostPort(listen)
	if err != nil || port == "0" {
		return "", fmt.Errorf("--listen %s: give a folder with --data-dir: the default one is named after the port, and found again by it", listen)
	}
	home := getenv("XDG_STATE_HOME")
	if !filepath.IsAbs(home) { // such values are to be ignored
		user := getenv("HOME")
		if user == "" {
			return "", errors.New("no folder for what must survive: give one with --data-dir, since HOME is not set")
		}
		home = filepath.Join(user, ".local", "state")
	}
	return filepath.Join(home, "millrace", "master-"+strings.ReplaceAll(host, ":", ".")+"-"+port), nil
}
