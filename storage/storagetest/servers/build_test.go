//go:build unix

package servers

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// module writes the pin of a server that cannot be built, and returns the folder that holds it.
func module(t *testing.T, goMod string) (root, folder string) {
	t.Helper()
	root = t.TempDir()
	folder = filepath.Join(root, "testdata", "servers", string(KindVersityGW))
	if err := os.MkdirAll(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"go.mod": goMod, "go.sum": ""} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root, folder
}

// A build that fails is an error with the output of the go command, and leaves no binary that would pass for a good one.
func TestBuildFails(t *testing.T) {
	root, folder := module(t, "module empty\n\ngo 1.26\n")
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	t.Setenv("HOME", t.TempDir())
	t.Setenv("GOPROXY", "off")
	below := filepath.Join(root, "a", "b")
	if err := os.MkdirAll(below, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Chdir(below)
	for range 2 {
		_, err := build(t.Context(), KindVersityGW)
		if err == nil || !strings.Contains(err.Error(), "cannot find module providing package") || !strings.Contains(err.Error(), folder) {
			t.Errorf("got %v, want the output of the go command and the module's folder", err)
		}
	}
}

// Outside of the repository the error says where to run it.
func TestBuildElsewhere(t *testing.T) {
	t.Chdir(t.TempDir())
	if _, err := build(t.Context(), KindMinIO); err == nil || !strings.Contains(err.Error(), "run it in millrace's repository") {
		t.Errorf("got %v, want a remedy", err)
	}
}

// Another pin is another folder: a binary of an old version is never used for a new one.
func TestCacheFolder(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	t.Setenv("HOME", t.TempDir())
	var folders []string
	for _, text := range []string{"module a\n", "module b\n", "module a\n"} {
		_, folder := module(t, text)
		got, err := cacheFolder(KindVersityGW, folder)
		if err != nil {
			t.Fatal(err)
		}
		folders = append(folders, got)
	}
	if folders[0] == folders[1] || folders[0] != folders[2] {
		t.Errorf("got %q, want the first and last alike and the other not", folders)
	}
}

// One holder at a time has a lock; another waits for it, or until its context ends.
func TestLock(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lock")
	unlock, err := lock(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := lock(ctx, path); !errors.Is(err, context.Canceled) {
		t.Errorf("while it is held: got %v, want to wait until the context ends", err)
	}
	got := make(chan error)
	go func() {
		unlock, err := lock(t.Context(), path)
		if err == nil {
			unlock()
		}
		got <- err
	}()
	unlock()
	if err := <-got; err != nil {
		t.Errorf("after it is given back: %v", err)
	}
}

// A server gets nothing of the environment that concerns other servers or a person's credentials.
func TestCleanEnv(t *testing.T) {
	t.Parallel()
	got := cleanEnv([]string{"PATH=/bin", "MINIO_ROOT_USER=x", "AWS_PROFILE=p", "VGW_PORT=:1", "HOME=/me", "ROOT_SECRET_KEY=s", "TMPDIR=/t"})
	if want := []string{"PATH=/bin", "TMPDIR=/t"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
