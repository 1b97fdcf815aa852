package member

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// fast are options with which an election takes a fifth of a second.
func fast(t *testing.T) Options {
	return Options{Tick: 10 * time.Millisecond, Log: slog.New(slog.NewTextHandler(t.Output(), nil))}
}

func openDir(t *testing.T, path string) *Dir {
	t.Helper()
	d, err := OpenDir(path)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// start starts a member that ends with the test.
func start(t *testing.T, path string, o Options) *Member {
	t.Helper()
	d := openDir(t, path)
	m, err := Start(t.Context(), d, o)
	if err != nil {
		d.Close()
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, m) })
	return m
}

// stop closes a member and its folder; once more does no harm.
func stop(t *testing.T, m *Member) {
	t.Helper()
	if m.dir == nil {
		return
	}
	if err := errors.Join(m.Close(), m.dir.Close()); err != nil {
		t.Error(err)
	}
	m.dir = nil
}

// A member that is alone keeps what was written over a restart, says nothing at a normal start and end, and listens nowhere.
func TestAlone(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "data")
	var log strings.Builder
	o := fast(t)
	o.Log = slog.New(slog.NewTextHandler(&log, nil))
	m := start(t, path, o)
	if len(m.etcd.Peers)+len(m.etcd.Clients) > 0 {
		t.Errorf("it listens: peers %v, clients %v", m.etcd.Peers, m.etcd.Clients)
	}
	if _, err := m.Client().Put(t.Context(), "/a", "1"); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("mode of the folder: %v %v, want 0700", info.Mode(), err)
	}
	stop(t, m)
	if log.Len() > 0 {
		t.Errorf("a normal start and end logs:\n%s", log.String())
	}
	m = start(t, path, o)
	got, err := m.Client().Get(t.Context(), "/a")
	if err != nil || len(got.Kvs) != 1 || string(got.Kvs[0].Value) != "1" {
		t.Errorf("after a restart: %v %v, want the value written before", got, err)
	}
}

// Run ends without an error with its context, and with one when etcd stops by itself.
func TestRun(t *testing.T) {
	t.Parallel()
	m := start(t, t.TempDir(), fast(t))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := m.Run(ctx); err != nil {
		t.Errorf("Run with an ended context: %v", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- m.Run(t.Context()) }()
	m.etcd.Server.HardStop()
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "stopped by itself") {
		t.Errorf("Run of a member that stopped by itself: %v", err)
	}
}
