package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sync/errgroup"

	"github.com/millrace/millrace/cmd/internal/procs"
)

// The ports that a cluster of several masters chooses from. They lie below those that the system gives to outgoing connections
// (Linux, ip_local_port_range: from 32768), so that none of these takes the port of a master while that is started again.
const (
	firstPort, endPort = 20_000, 32_000
	choosePorts        = 20 // times, before nothing free is found
	startTimes         = 3  // with other ports, if another process was faster
)

// checkMasters checks what depends on the number of masters; the error is about the flags.
func (f *clusterFlags) checkMasters() error {
	switch n := f.masters; {
	case n == 1:
		return nil
	case n%2 == 0:
		return fmt.Errorf("--masters %d: give 1, 3 or 5: a cluster goes on while more than half of its masters do, so of %d no more may die than of %d", n, n, n-1)
	case n > 5:
		return fmt.Errorf("--masters %d: give 1, 3 or 5: more would only wait for each other longer", n)
	}
	_, port, err := net.SplitHostPort(f.listen)
	if n, nerr := strconv.Atoi(port); err != nil || nerr != nil || n < 0 || n+2*f.masters-1 > 65535 {
		return fmt.Errorf("--listen %s: with %d masters give a port of at most %d, since they take %d ports from it", f.listen, f.masters, 65536-2*f.masters, 2*f.masters)
	}
	if f.dataDir == "" {
		return nil
	}
	if port == "0" {
		return fmt.Errorf("--listen %s: give a port: the data directories of several masters hold their addresses, and the next cluster on %s needs the same", f.listen, f.dataDir)
	}
	if _, err := os.Stat(filepath.Join(f.dataDir, "millrace.json")); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("--data-dir %s: it is the data directory of a single master: leave --masters out, or choose another folder", f.dataDir)
	}
	return nil
}

// masterAddresses are n addresses for masters, whose ports and the ones after them are free; listen is the first.
func masterAddresses(listen string, n int) (addrs []string, err error) {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return nil, err
	}
	if port != "0" {
		first, err := strconv.Atoi(port)
		if err != nil {
			return nil, err
		}
		return tryPorts(host, first, n)
	}
	for range choosePorts {
		if addrs, err = tryPorts(host, firstPort+rand.N(endPort-firstPort-2*n), n); err == nil {
			break
		}
	}
	return addrs, err
}

// tryPorts says whether a port, and all that n masters take from it, are free.
func tryPorts(host string, first, n int) (addrs []string, err error) {
	for p := first; p < first+2*n; p++ {
		at := net.JoinHostPort(host, strconv.Itoa(p))
		l, err := net.Listen("tcp", at)
		if err != nil {
			return nil, fmt.Errorf("listen on %s: %w: %d masters take the ports %d to %d: choose others with --listen", at, err, n, first, first+2*n-1)
		}
		defer l.Close()
		if (p-first)%2 == 0 {
			addrs = append(addrs, at)
		}
	}
	return addrs, nil
}

// startMasters starts the masters and returns when all are ready. One finds its address itself; several must know them all before.
func (l *local) startMasters(ctx context.Context) (masters []*procs.Process, err error) {
	if l.masters == 1 {
		l.addrs = []string{l.listen}
		m, addr, err := l.startMaster(ctx, 0)
		l.addrs[0] = addr
		return []*procs.Process{m}, err
	}
	chooses := strings.HasSuffix(l.listen, ":0") // then what was begun lies in the temporary folder
	for range startTimes {
		if l.addrs, err = masterAddresses(l.listen, l.masters); err != nil {
			return nil, fmt.Errorf("cluster: %w", err)
		}
		masters, err = l.startAll(ctx)
		if err == nil || !chooses || !strings.Contains(err.Error(), syscall.EADDRINUSE.Error()) {
			break
		}
		for i := range l.masters {
			if err := os.RemoveAll(l.masterDir(i)); err != nil {
				return nil, fmt.Errorf("cluster: %w", err)
			}
		}
	}
	return masters, err
}

// startAll starts several masters at once, since none is ready before the others run.
func (l *local) startAll(ctx context.Context) ([]*procs.Process, error) {
	masters := make([]*procs.Process, l.masters)
	g, gctx := errgroup.WithContext(ctx)
	for i := range masters {
		g.Go(func() (err error) {
			masters[i], _, err = l.startMaster(gctx, i)
			return err
		})
	}
	err := g.Wait()
	if err == nil {
		return masters, nil
	}
	var stop errgroup.Group
	for _, m := range masters {
		if m != nil {
			stop.Go(func() error { return m.Stop(stopGrace) })
		}
	}
	return nil, errors.Join(err, stop.Wait())
}

// masterName is the name of the i-th master's log, and of its folder.
func (l *local) masterName(i int) string {
	if l.masters == 1 {
		return "master"
	}
	return fmt.Sprintf("master-%d", i+1)
}

// masterDir is the i-th master's data directory.
func (l *local) masterDir(i int) string {
	switch {
	case l.dataDir == "":
		return filepath.Join(l.dir, l.masterName(i))
	case l.masters == 1:
		return l.dataDir
	}
	return filepath.Join(l.dataDir, l.masterName(i))
}

// startMaster starts the i-th master, or another in the place of one that died: on the same folder, and at its address.
func (l *local) startMaster(ctx context.Context, i int) (m *procs.Process, addr string, err error) {
	args := []string{"master", "--with-parent", "--listen", l.addrs[i], "--lease", l.lease.String(), "--data-dir", l.masterDir(i)}
	args = append(args, l.allowArgs()...)
	switch {
	case l.masters > 1: // never with --last: a leader that is told to end before the others would clean up under its successor
		args = append(args, "--masters", strings.Join(l.addrs, ","))
	case l.dataDir == "":
		args = append(args, "--last")
	}
	if m, err = l.start(l.masterName(i), args...); err != nil {
		return nil, "", err
	}
	ready, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	if addr, err = m.FirstLine(ready); err != nil {
		return nil, "", errors.Join(why(ctx, err, m), m.Stop(stopGrace))
	}
	return m, addr, nil
}

// keepMaster keeps the i-th master, which runs, up until ctx ends.
func (l *local) keepMaster(ctx context.Context, i int, m *procs.Process) error {
	name := l.masterName(i)
	if l.masters == 1 {
		name = "the master"
	}
	for {
		select {
		case <-ctx.Done():
			return m.Stop(stopGrace)
		case <-m.Done():
			fmt.Fprintf(os.Stderr, "%s ended (%v): starting another\n", name, why(ctx, m.Err(), m))
		}
		for m = nil; m == nil; {
			pause(ctx, restartWait)
			next, _, err := l.startMaster(ctx, i)
			switch {
			case ctx.Err() != nil:
				return stopped(next)
			case err != nil:
				fmt.Fprintf(os.Stderr, "%s does not start (%v): trying again\n", name, err)
			}
			m = next
		}
	}
}

// stopped stops a master that became ready when the cluster ended already.
func stopped(m *procs.Process) error {
	if m == nil {
		return nil
	}
	return m.Stop(stopGrace)
}
