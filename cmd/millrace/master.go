package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/jobs/plan"
	"github.com/millrace/millrace/master"
	"github.com/millrace/millrace/master/etcdha"
	"github.com/millrace/millrace/master/etcdha/member"
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
	allow   plan.Allow
	dataDir string
	last    bool
	quota   int64
	term    uint64 // that the next must be above

	masters   []string
	advertise string
	peerTLS   member.TLS

	etcd   etcdha.External
	prefix string

	snapshots snapshotFlags
}

func masterCommand(reg *program.Registry) *cobra.Command {
	var f masterFlags
	c := &cobra.Command{
		Use:   "master",
		Short: "Run a cluster's master",
		Long: `Run a cluster's master until it is told to end. It prints the address that it listens on.

What it knows of its jobs lies in its data directory, in an etcd of its own. However the master ends, one that is started on the
same directory goes on with the jobs: nothing that was done is done again, and workers and waiting clients come back by themselves.

Three masters, each with a data directory and all with the same --masters, are one cluster that goes on when one of them is lost;
of five, two may be. With --etcd masters use an etcd that runs already, and need no data directory.

With --snapshots the master that leads copies what it knows to a bucket or another folder from time to time, and a master whose
data directory is lost, or older than the bucket says, refuses to begin as if nothing had been: see millrace master restore.
docs/operations.md is about running masters, replacing them, and what their messages mean.`,
		Example: `  millrace master
  millrace master --listen 127.0.0.1:7800 --data-dir /var/lib/millrace --snapshots s3://bucket/millrace-snapshots
  millrace master --listen 127.0.0.1:7800 --masters 127.0.0.1:7800,127.0.0.1:7802,127.0.0.1:7804
  millrace master --etcd https://etcd-1:2379,https://etcd-2:2379 --etcd-ca ca.pem --etcd-cert millrace.pem --etcd-key millrace-key.pem`,
		Args: millrace.Arguments(0, ""),
		RunE: func(c *cobra.Command, _ []string) error { return f.run(c, reg) },
	}
	c.AddCommand(restoreCommand(), snapshotsCommand())
	fs := c.Flags()
	fs.SortFlags = false
	f.define(fs, "127.0.0.1:7800", "address for workers and clients; port 0 chooses a free one")
	fs.StringVar(&f.dataDir, "data-dir", "", "folder for what must survive, for this master alone (default: ~/.local/state/millrace/master-HOST-PORT)")
	millrace.SizeFlag(fs, &f.quota, "data-quota", "size up to which its database may grow; at the limit nothing is taken on (default: 1GiB)")
	f.snapshots.define(c)
	fs.StringSliceVar(&f.masters, "masters", nil, "all masters of the cluster, three or five of HOST:PORT, the same list for each; they talk to each other on PORT+1, or on PEERPORT if it is HOST:PORT/PEERPORT")
	fs.StringVar(&f.advertise, "advertise", "", "this master in --masters (default: --listen)")
	fs.StringVar(&f.peerTLS.CA, "peer-ca", "", "file with the authority's certificates for mutual TLS between masters, PEM; needed beyond this machine")
	fs.StringVar(&f.peerTLS.Cert, "peer-cert", "", "file with this master's certificate, for server and client, PEM")
	fs.StringVar(&f.peerTLS.Key, "peer-key", "", "file with its key, PEM")
	fs.StringSliceVar(&f.etcd.Endpoints, "etcd", nil, "use this etcd in place of one of its own: HOST:PORT or URL; several with commas")
	fs.StringVar(&f.etcd.CA, "etcd-ca", "", "file with the certificates that etcd's must be signed by, PEM (default: the system's)")
	fs.StringVar(&f.etcd.Cert, "etcd-cert", "", "file with the client certificate, PEM")
	fs.StringVar(&f.etcd.Key, "etcd-key", "", "file with its key, PEM")
	fs.StringVar(&f.prefix, "etcd-prefix", "", "what all keys begin with; one for each cluster (default /millrace/)")
	fs.Uint64Var(&f.term, "bump-term", 0, "begin above term N, the highest that workers have heard of: after an older copy of what must survive was put in place")
	leaseFlag(fs, &f.lease, 15*time.Second)
	limitFlags(fs, &f.limits)
	allowFlags(fs, &f.allow, "that are submitted", "builtin")
	fs.BoolVar(&f.last, "last", false, "when told to end, remove what unfinished jobs left in their outputs: nobody goes on with them")
	_ = fs.MarkHidden("last") // for command cluster, whose data directory goes with it; fails only for an unknown name
	return c
}

func (f *masterFlags) run(c *cobra.Command, reg *program.Registry) error {
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
	if f.term > etcdha.MaxBump {
		return millrace.Usage(fmt.Errorf("--bump-term %d: give the number that a message named, %d at most", f.term, uint64(etcdha.MaxBump)))
	}
	if err := checkAllow(f.allow); err != nil {
		return err
	}
	o, err := f.state()
	if err == nil {
		o.Snapshots, err = f.snapshots.options(c, o.DataDir)
	}
	if err != nil {
		return millrace.Usage(err)
	}
	ctx, cancel := f.bind(c.Context())
	defer cancel()
	l, err := net.Listen("tcp", f.listen)
	if err != nil {
		return fmt.Errorf("master: listen on %s: %w: choose another address with --listen", f.listen, err)
	}
	defer l.Close()
	o.Listener, o.Log = l.(*net.TCPListener), log
	o.Server.Report = newIncidents(log).report
	st, err := state.Open(ctx, o)
	if err != nil {
		if ctx.Err() != nil {
			return nil // a wanted end
		}
		return fmt.Errorf("master: %w", err)
	}
	if err = raiseTerm(ctx, st, f.term); err == nil {
		err = st.Vet(ctx, f.term)
	}
	if err == nil {
		err = f.serve(ctx, reg, l, st, o.Server, log)
	}
	return errors.Join(err, st.Close())
}

// raiseWithin is how long a master that was killed may seem to lead: its key goes with its lease, of 10 s at most, which begins anew
// when etcd elects a leader.
const raiseWithin = 20 * time.Second

// raiseTerm makes the next term higher than one.
func raiseTerm(ctx context.Context, st *state.State, above uint64) error {
	ctx, cancel := context.WithTimeout(ctx, raiseWithin)
	defer cancel()
	for above > 0 {
		err := st.BumpTerm(ctx, above)
		if err == nil {
			break
		}
		select {
		case <-time.After(raiseWithin / 40):
		case <-ctx.Done():
			return fmt.Errorf("--bump-term: %w", err)
		}
	}
	return nil
}

// state says where the master's state is, by the flags.
func (f *masterFlags) state() (o state.Options, err error) {
	if len(f.etcd.Endpoints) > 0 {
		if f.dataDir != "" || f.masters != nil {
			return o, errors.New("--etcd: what must survive lies there: leave --data-dir and --masters out")
		}
		if f.snapshots.url != "" {
			return o, errors.New("--snapshots are of a master's own etcd: with --etcd, back that etcd up (etcdctl snapshot save)")
		}
		o.External, o.Prefix = &f.etcd, f.prefix
		return o, nil
	}
	if f.etcd.CA != "" || f.etcd.Cert != "" || f.etcd.Key != "" || f.prefix != "" {
		return o, errors.New("--etcd-ca, --etcd-cert, --etcd-key and --etcd-prefix are about an etcd that runs already: name it with --etcd")
	}
	if f.masters != nil {
		if o.Masters, err = state.ParseMasters(f.masters); err != nil {
			return o, fmt.Errorf("--masters: %w", err)
		}
		o.Member.TLS, o.Member.Name = f.peerTLS, f.listen
		if f.advertise != "" {
			o.Member.Name = f.advertise
		}
		if !slices.ContainsFunc(o.Masters, func(p member.Peer) bool { return p.Name == o.Member.Name }) {
			return o, fmt.Errorf("--masters %s: %s, this master, is not among them: say which it is with --advertise, or with --listen", strings.Join(f.masters, ","), o.Member.Name)
		}
	} else if f.peerTLS != (member.TLS{}) || f.advertise != "" {
		return o, errors.New("--advertise, --peer-ca, --peer-cert and --peer-key are about several masters: name them with --masters")
	}
	if f.dataDir == "" {
		f.dataDir, err = defaultDataDir(f.listen, os.Getenv)
	}
	o.DataDir, o.Member.Quota = f.dataDir, f.quota
	return o, err
}

// serve runs the master on its open state until ctx ends.
func (f *masterFlags) serve(ctx context.Context, reg *program.Registry, l net.Listener, st *state.State, so wire.ServerOptions, log *slog.Logger) error {
	so.Cluster, so.Masters = st.Cluster(), st.Others()
	m, err := master.New(master.Options{
		Store: backends.New(backends.Options{}), Backend: st, Election: st, Programs: reg, Allow: f.allow, Version: millrace.Version, Last: f.last, Log: log,
		Scheduler: sched.Options{Lease: f.lease}, Limits: f.limits,
		Server: so, Address: f.advertise,
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
