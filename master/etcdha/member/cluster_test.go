package member

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
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

// told is a log handler that closes a channel at the first line with a text.
type told struct {
	slog.Handler
	text string
	once *sync.Once
	seen chan struct{}
}

func (h told) Enabled(context.Context, slog.Level) bool { return true }

func (h told) Handle(_ context.Context, r slog.Record) error {
	if strings.Contains(r.Message, h.text) {
		h.once.Do(func() { close(h.seen) })
	}
	return nil
}

func (h told) WithAttrs([]slog.Attr) slog.Handler { return h }

func (h told) WithGroup(string) slog.Handler { return h }

// A member that joins waits while those that it asks do not know of it yet; one that is told to end does not wait.
func TestJoinsThoseBehind(t *testing.T) {
	t.Parallel()
	root, peers := t.TempDir(), freePeers(t, 2)
	running := startAll(t, root, peers[:1], fast(t))
	for _, added := range []bool{false, true} {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		h := told{Handler: slog.DiscardHandler, text: "waiting until the other masters know", once: new(sync.Once), seen: make(chan struct{})}
		o := fast(t)
		o.Name, o.Peers, o.Token, o.Join, o.Log = peers[1].Name, peers, "test", true, slog.New(h)
		d := openDir(t, filepath.Join(root, "joins"))
		type result struct {
			m   *Member
			err error
		}
		started := make(chan result, 1)
		go func() {
			m, err := Start(ctx, d, o)
			started <- result{m, err}
		}()
		select {
		case <-h.seen:
		case r := <-started:
			t.Fatalf("it does not wait: %v", r.err)
		}
		if !added {
			cancel()
			if r := <-started; r.err == nil || !strings.Contains(r.err.Error(), "member count is unequal") {
				t.Errorf("cancelled: %v", r.err)
			}
			d.Close()
			continue
		}
		if _, err := running[0].Client().MemberAddAsLearner(t.Context(), []string{"http://" + peers[1].Address}); err != nil {
			t.Fatal(err)
		}
		r := <-started
		if r.err != nil {
			t.Fatal(r.err)
		}
		stop(t, r.m)
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
