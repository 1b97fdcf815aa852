package state

import (
	"encoding/hex"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/master/etcdha/member"
	"github.com/millrace/millrace/master/journal"
)

// fast are options with which an election takes a fifth of a second.
func fast(t *testing.T, dir string) Options {
	return Options{
		DataDir: dir, Member: member.Options{Tick: 10 * time.Millisecond}, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
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
