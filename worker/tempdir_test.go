package worker

import (
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// Workers that start and end at the same time under one parent keep their own folders, and leave nothing.
func TestTempDirsSideBySide(t *testing.T) {
	t.Parallel()
	parent := t.TempDir()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				dir, err := makeTempDir(parent)
				if err != nil {
					t.Error(err)
					return
				}
				if !inPlace(dir.lock) {
					t.Error("the folder was removed while its worker lived")
				}
				if err := dir.remove(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if left, err := os.ReadDir(parent); err != nil || len(left) > 0 {
		t.Errorf("left are %v, %v", left, err)
	}
}

// A folder without a lock was left by a worker that was killed: the next one removes it. That of a living one stays, and so
// does what is not a worker's.
func TestTempDirsOfDeadWorkers(t *testing.T) {
	t.Parallel()
	parent := t.TempDir()
	alive, err := makeTempDir(parent)
	if err != nil {
		t.Fatal(err)
	}
	dead := filepath.Join(parent, tempPrefix+"dead")
	other := filepath.Join(parent, "other")
	for _, dir := range []string{dead, other} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{lockName, "a.run"} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte("left"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	next, err := makeTempDir(parent)
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]bool{alive.path: true, next.path: true, other: true, dead: false} {
		if _, err := os.Stat(path); (err == nil) != want {
			t.Errorf("%s: there is %v, want %v", filepath.Base(path), err == nil, want)
		}
	}
}
