package state

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/millrace/millrace/master/etcdha/member"
	"github.com/millrace/millrace/master/journal"
	"github.com/millrace/millrace/master/wire"
)

// house is a place where a master runs: its addresses and its data directory.
type house struct {
	peer member.Peer
	dir  string
}

// houses are n of them, on hosts of their own, so that nothing else on this machine gets their ports meanwhile.
func houses(t *testing.T, n int) (all []house, masters []member.Peer) {
	t.Helper()
	for i := range n {
		var addresses []string
		host := fmt.Sprintf("127.%d.%d.%d:0", 1+rand.N(250), rand.N(250), 1+rand.N(250))
		for range 2 {
			l, err := net.Listen("tcp", host)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			addresses = append(addresses, l.Addr().String())
		}
		h := house{member.Peer{Name: addresses[0], Address: addresses[1]}, filepath.Join(t.TempDir(), fmt.Sprint(i))}
		all, masters = append(all, h), append(masters, h.peer)
	}
	return all, masters
}

// tenant is a master's state that is open, or is being opened.
type tenant struct {
	*State
	stop func() // ends it
	open chan error
}

// move starts to open a state; it serves other masters until it is stopped.
func (h house) move(t *testing.T, masters []member.Peer) *tenant {
	t.Helper()
	return h.moveWith(t, masters, func(o Options) Options { return o })
}

// moveWith is move with other options.
func (h house) moveWith(t *testing.T, masters []member.Peer, with func(Options) Options) *tenant {
	t.Helper()
	listener, err := net.Listen("tcp", h.peer.Name)
	if err != nil {
		t.Fatal(err)
	}
	o := with(fast(t, h.dir))
	o.Masters, o.Member.Name, o.Listener = masters, h.peer.Name, listener.(*net.TCPListener)
	ctx, cancel := context.WithCancel(context.Background())
	x := &tenant{open: make(chan error, 1)}
	ended := make(chan error, 1)
	go func() {
		s, err := Open(ctx, o)
		x.State = s
		x.open <- err
		if err != nil {
			ended <- listener.Close()
			return
		}
		g, ctx := errgroup.WithContext(ctx)
		g.Go(func() error { return s.Run(ctx) })
		g.Go(func() error { return wire.NewServer(nil, wire.ServerOptions{Masters: s}).Serve(ctx, listener) })
		ended <- errors.Join(g.Wait(), s.Close())
	}()
	stopped := false
	x.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(x.stop)
	return x
}

func (x *tenant) wait(t *testing.T) {
	t.Helper()
	if err := <-x.open; err != nil {
		t.Fatal(err)
	}
}

// Three masters with empty folders become one cluster when the last of them is there. Two go on without the third; one that comes back
// with an emptied folder joins them and founds nothing; and started again, all of them are the cluster that they were.
func TestThreeMasters(t *testing.T) {
	t.Parallel()
	all, masters := houses(t, 3)
	a, b := all[0].move(t, masters), all[1].move(t, masters)
	select {
	case err := <-a.open:
		t.Fatalf("a cluster was founded by two of three: %v", err)
	case err := <-b.open:
		t.Fatalf("a cluster was founded by two of three: %v", err)
	case <-t.Context().Done():
	default:
	}
	c := all[2].move(t, masters)
	for _, x := range []*tenant{a, b, c} {
		x.wait(t)
	}
	cluster := a.Cluster()
	term, err := a.Campaign(t.Context(), journal.Candidate{Address: "a"})
	if err != nil || term.N != 1 {
		t.Fatalf("term %d, %v", term.N, err)
	}
	a.stop()
	if term, err = b.Campaign(t.Context(), journal.Candidate{Address: "b"}); err != nil || term.N != 2 {
		t.Fatalf("after the first leader: term %d, %v", term.N, err)
	}
	if err := os.RemoveAll(all[0].dir); err != nil {
		t.Fatal(err)
	}
	a = all[0].move(t, masters)
	a.wait(t)
	if a.Cluster() != cluster {
		t.Errorf("an emptied folder is of cluster %x, the others of %x", a.Cluster(), cluster)
	}
	if n, err := a.Terms(t.Context()); err != nil || n != 2 {
		t.Errorf("the one that joined again knows term %d, %v, want 2", n, err)
	}
	for _, x := range []*tenant{a, b, c} {
		x.stop()
	}
	var again []*tenant
	for _, h := range all {
		again = append(again, h.move(t, masters))
	}
	for _, x := range again {
		x.wait(t)
		if x.Cluster() != cluster {
			t.Errorf("started again it is cluster %x, was %x", x.Cluster(), cluster)
		}
	}
}
