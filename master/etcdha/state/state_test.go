package state

import (
	"context"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.etcd.io/etcd/server/v3/embed"

	"github.com/millrace/millrace/master/etcdha"
	"github.com/millrace/millrace/master/etcdha/member"
	"github.com/millrace/millrace/master/journal"
)

// testLog logs to a test's output until the test ends: a term that nobody gave up ends later.
func testLog(t *testing.T) *slog.Logger {
	l := &output{w: t.Output()}
	t.Cleanup(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.w = io.Discard
	})
	return slog.New(slog.NewTextHandler(l, nil))
}

// output writes to what can be exchanged meanwhile.
type output struct {
	mu sync.Mutex
	w  io.Writer
}

// Write implements io.Writer.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.w.Write(p)
}

// fast are options with which an election takes a fifth of a second.
func fast(t *testing.T, dir string) Options {
	return Options{
		DataDir: dir, Member: member.Options{Tick: 10 * time.Millisecond}, Log: testLog(t),
	}
}

// A state that is closed, or whose process dies in the middle of a term, is the same cluster when it is opened again; terms rise,
// and nobody waits for the lease of the one that is gone.
func TestReopen(t *testing.T) {
	t.Parallel()
	o := fast(t, filepath.Join(t.TempDir(), "data"))
	var cluster [16]byte
	for n := uint64(1); n <= 3; n++ {
		s, err := Open(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		if n > 1 && s.Cluster() != cluster {
			t.Errorf("opened again it is cluster %x, was %x", s.Cluster(), cluster)
		}
		cluster = s.Cluster()
		if u := s.Usage(); u.Writes == 0 || u.InUse == 0 || u.File < u.InUse {
			t.Errorf("its database takes %+v", u)
		}
		begun := time.Now()
		term, err := s.Campaign(t.Context(), journal.Candidate{Address: "a"})
		if err != nil || term.N != n {
			t.Errorf("term %d, %v, want %d", term.N, err, n)
		}
		if waited := time.Since(begun); waited > time.Second {
			t.Errorf("term %d began after %v: a lease has been waited for", n, waited)
		}
		if err := s.Close(); err != nil { // without Resign
			t.Error(err)
		}
	}
}

// A folder whose parts are of two clusters is refused.
func TestMixedFolder(t *testing.T) {
	t.Parallel()
	o := fast(t, t.TempDir())
	s, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(o.DataDir, "millrace.json")
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	id := s.Cluster()
	other := strings.Replace(string(data), hex.EncodeToString(id[:]), "0123", 1)
	if err := os.WriteFile(file, []byte(other), 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err := Open(t.Context(), o); err == nil || !strings.Contains(err.Error(), "0123") {
		if err == nil {
			s.Close()
		}
		t.Errorf("a folder of two clusters: %v", err)
	}
}

// An outside etcd keeps the state of several clusters apart by their prefixes, and a master without it says where it looked.
func TestExternal(t *testing.T) {
	t.Parallel()
	client := url.URL{Scheme: "http", Host: freeAddress(t)}
	c := embed.NewConfig()
	c.Dir, c.LogLevel, c.TickMs, c.ElectionMs = t.TempDir(), "panic", 10, 100
	c.ListenClientUrls, c.AdvertiseClientUrls = []url.URL{client}, []url.URL{client}
	c.ListenPeerUrls = nil
	e, err := embed.StartEtcd(c)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	clusters := map[[16]byte]bool{}
	for _, prefix := range []string{"", "", "/other/"} {
		s, err := Open(t.Context(), Options{External: &etcdha.External{Endpoints: []string{client.Host}}, Prefix: prefix})
		if err != nil {
			t.Fatal(err)
		}
		clusters[s.Cluster()] = true
		term, err := s.Campaign(t.Context(), journal.Candidate{Address: "a"})
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(term.Resign(t.Context()), s.Close()); err != nil {
			t.Error(err)
		}
	}
	if len(clusters) != 2 {
		t.Errorf("%d clusters under two prefixes", len(clusters))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	nobody := freeAddress(t)
	if s, err := Open(ctx, Options{External: &etcdha.External{Endpoints: []string{nobody}}}); err == nil || !strings.Contains(err.Error(), nobody) {
		if err == nil {
			s.Close()
		}
		t.Errorf("without an etcd: %v, want an error with the address", err)
	}
}

// freeAddress is one where nobody listens.
func freeAddress(t *testing.T) string {
	t.Helper()
	all, _ := houses(t, 1)
	return all[0].peer.Name
}
