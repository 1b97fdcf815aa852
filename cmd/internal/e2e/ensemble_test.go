package e2e

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/millrace/millrace/cmd/internal/netns"
	"github.com/millrace/millrace/cmd/internal/procs"
	"github.com/millrace/millrace/master/wire"
	"github.com/millrace/millrace/storage/storagetest/servers"
)

// ensemble is a cluster whose masters are several processes of the real binary, each with an etcd member.
type ensemble struct {
	*cluster
	masters []*seat
}

// seat is a master's place in an ensemble, whichever process has it.
type seat struct {
	name, addr, dir string
	*procs.Process
}

// masterPort is the port of every master of an ensemble, whose hosts are its own.
const masterPort = 7800

// stageEnsemble is stageCluster with three masters.
func stageEnsemble(ctx context.Context, t testing.TB, w workload, workers int) (killed, *ensemble) {
	t.Helper()
	k := stage(ctx, t, w)
	return k, startEnsemble(ctx, t, k.s, 3, workers, nil)
}

// startEnsemble starts masters and workers of the real binary, on nodes if they are given. They end with the test.
func startEnsemble(ctx context.Context, t testing.TB, s *servers.Server, masters, workers int, nodes func(string) *netns.Node) *ensemble {
	t.Helper()
	e := &ensemble{cluster: &cluster{t: t, bin: buildBinary(t), env: envOf(s), temp: t.TempDir(), logs: t.TempDir(), nodes: nodes}}
	var addrs []string
	// Ports cannot be chosen by the system, since each master must know those of the others. All of 127.0.0.0/8 is this machine:
	// nobody else uses these hosts.
	a, b := 1+rand.IntN(250), rand.IntN(256)
	for i := range masters {
		m := &seat{name: fmt.Sprintf("master-%d", i+1), dir: t.TempDir()}
		host := fmt.Sprintf("127.%d.%d.%d", a, b, i+1)
		if nodes != nil {
			host = nodes(m.name).Address
		}
		m.addr = fmt.Sprintf("%s:%d", host, masterPort)
		addrs = append(addrs, m.addr)
		e.masters = append(e.masters, m)
	}
	e.addr = strings.Join(addrs, ",")
	t.Cleanup(e.stop)
	ready, cancel := context.WithTimeout(ctx, 2*clusterReady)
	defer cancel()
	for _, m := range e.masters {
		e.seatMaster(m)
	}
	e.seated(ready)
	var err error
	if e.client, err = wire.Dial(ready, addrs, wire.ClientOptions{Role: wire.RoleClient, RetryFor: killBudget}); err != nil {
		t.Fatal(err)
	}
	for range workers {
		e.addWorker()
	}
	return e
}

// seatMaster starts a master in its seat.
func (e *ensemble) seatMaster(m *seat) {
	e.t.Helper()
	p, err := e.start(m.name, "master", "--listen", m.addr, "--masters", e.addr, "--data-dir", m.dir, "--lease", clusterLease.String())
	if err != nil {
		e.t.Error(err) // not Fatal: a killer calls this from a goroutine of its own
		return
	}
	m.Process = p
}

// seated waits until all masters are members of the cluster.
func (e *ensemble) seated(ctx context.Context) {
	e.t.Helper()
	for _, m := range e.masters {
		if _, err := m.FirstLine(ctx); err != nil {
			e.t.Fatal(err)
		}
	}
}

// replaceMaster kills a master as kill -9 does and starts it again. It returns when it killed it.
func (e *ensemble) replaceMaster(m *seat) (killed time.Time) {
	e.t.Helper()
	killed = time.Now()
	if err := m.Kill(); err != nil {
		e.t.Error(err)
	}
	e.seatMaster(m)
	return killed
}

// leader waits until a master leads and returns its seat.
func (e *ensemble) leader(ctx context.Context) *seat {
	e.t.Helper()
	if _, err := e.client.List(ctx, &wire.ListArgs{Max: 1}); err != nil {
		e.t.Fatalf("wait for a leader: %v", err)
	}
	for _, m := range e.masters {
		if m.addr == e.client.Master() {
			return m
		}
	}
	e.t.Fatalf("%s leads, which is none of %s", e.client.Master(), e.addr)
	return nil
}

// besides are the seats but for one.
func (e *ensemble) besides(m *seat) (list []*seat) {
	for _, other := range e.masters {
		if other != m {
			list = append(list, other)
		}
	}
	return list
}

// alone returns a client that asks one master only, and does not try again.
func (e *ensemble) alone(ctx context.Context, m *seat) *wire.Client {
	e.t.Helper()
	c, err := wire.Dial(ctx, []string{m.addr}, wire.ClientOptions{Role: wire.RoleClient})
	if err != nil {
		e.t.Fatalf("%s: %v", m.name, err)
	}
	return c
}

// refuses waits until a master, asked at its own address, says that it does not lead.
func (e *ensemble) refuses(ctx context.Context, m *seat) {
	e.t.Helper()
	c := e.alone(ctx, m)
	defer c.Close()
	until(ctx, e.t, m.name+" says that it does not lead", func() bool {
		_, err := c.List(ctx, &wire.ListArgs{Max: 1})
		if err != nil && !errors.Is(err, wire.ErrNotLeader) {
			e.t.Fatalf("%s: %v", m.name, err)
		}
		return err != nil
	})
}

// stop ends all processes, also those that were paused.
func (e *ensemble) stop() {
	var wg sync.WaitGroup
	for _, m := range e.masters {
		if m.Process == nil {
			continue
		}
		if err := m.Signal(syscall.SIGCONT); err != nil {
			e.t.Error(err)
		}
	}
	e.cluster.stop()
	for _, m := range e.masters {
		if m.Process != nil {
			wg.Go(func() {
				if err := m.Stop(clusterGrace); err != nil {
					e.t.Error(err)
				}
			})
		}
	}
	wg.Wait()
}

// until waits for a condition.
func until(ctx context.Context, t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("wait until %s: %v", what, ctx.Err())
		}
	}
}
