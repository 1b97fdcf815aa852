package member

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// freePeers gives n members with loopback addresses that are free. Each is another host, so that no connection that anything
// else on this machine makes gets one of the ports before the member does.
func freePeers(t *testing.T, n int) []Peer {
	t.Helper()
	peers := make([]Peer, n)
	for i := range peers {
		l, err := net.Listen("tcp", fmt.Sprintf("127.%d.%d.%d:0", 1+rand.N(250), rand.N(250), 1+rand.N(250)))
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		peers[i] = Peer{Name: fmt.Sprintf("m%d", i+1), Address: l.Addr().String()}
	}
	return peers
}

// startAll starts a cluster of members.
func startAll(t *testing.T, root string, peers []Peer, o Options) []*Member {
	t.Helper()
	members := make([]*Member, len(peers))
	var all sync.WaitGroup
	for i, p := range peers {
		all.Go(func() {
			o := o
			o.Name, o.Peers, o.Token = p.Name, peers, "test"
			d, err := OpenDir(filepath.Join(root, p.Name))
			if err != nil {
				t.Error(err)
				return
			}
			m, err := Start(t.Context(), d, o)
			if err != nil {
				d.Close()
				t.Error(err)
				return
			}
			members[i] = m
			t.Cleanup(func() { stop(t, m) })
		})
	}
	all.Wait()
	if t.Failed() {
		t.FailNow()
	}
	return members
}

func put(t *testing.T, m *Member, key string) {
	t.Helper()
	if _, err := m.Client().Put(t.Context(), key, "1"); err != nil {
		t.Fatal(err)
	}
}

// Options that cannot be are refused with the flag that helps.
func TestRefused(t *testing.T) {
	t.Parallel()
	far := []Peer{{"a", "127.0.0.1:1"}, {"b", "10.0.0.1:1"}}
	for _, c := range []struct {
		name string
		o    Options
		want string
	}{
		{"other machines without TLS", Options{Name: "a", Peers: far}, "--peer-ca"},
		{"half of TLS", Options{Name: "a", Peers: far, TLS: TLS{CA: "ca.pem"}}, "--peer-cert"},
		{"not itself", Options{Name: "c", Peers: far[:1]}, "not among"},
		{"no port", Options{Name: "a", Peers: []Peer{{"a", "127.0.0.1"}}}, "missing port"},
		{"no such files", Options{Name: "a", Peers: far[:1], TLS: TLS{"no-ca.pem", "no-cert.pem", "no-key.pem"}}, "no-"},
	} {
		d := openDir(t, t.TempDir())
		m, err := Start(t.Context(), d, c.o)
		if err == nil {
			m.Close()
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want an error with %q", c.name, err, c.want)
		}
		d.Close()
	}
}

// A member of several that is started as if it were alone is refused; one that waits for a majority ends with its context.
func TestWithoutTheOthers(t *testing.T) {
	t.Parallel()
	root, peers := t.TempDir(), freePeers(t, 3)
	var stopping sync.WaitGroup
	for _, m := range startAll(t, root, peers, fast(t)) {
		stopping.Go(func() { stop(t, m) })
	}
	stopping.Wait()
	d := openDir(t, filepath.Join(root, peers[0].Name))
	defer d.Close()
	o := fast(t)
	o.Name = peers[0].Name
	if _, err := Start(t.Context(), d, o); err == nil || !strings.Contains(err.Error(), "3 masters: name them with --masters") {
		t.Errorf("started as if alone: %v", err)
	}
	o.Peers = peers
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Start(ctx, d, o); !errors.Is(err, context.Canceled) {
		t.Errorf("without the others, with an ended context: %v", err)
	}
}
