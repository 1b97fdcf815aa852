package member

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// built is a restoration that waits for its Commit, in a folder on which a master was refused before.
func built(t *testing.T, data []byte) *Restoration {
	t.Helper()
	path := filepath.Join(t.TempDir(), "data")
	openDir(t, path).Close()
	r, err := Restore(path)
	if err == nil {
		err = r.Build(func(w io.Writer) error { return second(w.Write(data)) })
	}
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// decide is the first half of Commit: the restoration is in the stage, and says what it is.
func (r *Restoration) decide(t *testing.T, from Restored) {
	t.Helper()
	id := r.stage.Identity()
	id.Cluster, id.Restored = "cafe", &from
	if err := r.stage.write(id); err != nil {
		t.Fatal(err)
	}
}

// die is what becomes of a restoration whose process is killed.
func (r *Restoration) die(t *testing.T) {
	t.Helper()
	if err := errors.Join(r.stage.Close(), r.lock.Close()); err != nil {
		t.Fatal(err)
	}
}

// A restoration that dies between any two steps of its Commit leaves a folder that the next master finishes and goes on with, and to
// which another snapshot can be restored all the same, as long as the folder is no data directory yet; from then on that is refused
// with what was restored. One that dies before leaves what no master starts on. What each is told agrees with what the other is.
func TestRestoreDies(t *testing.T) {
	t.Parallel()
	m := start(t, t.TempDir(), fast(t))
	if _, err := m.Client().Put(t.Context(), "/n", "1"); err != nil {
		t.Fatal(err)
	}
	first := take(t, m)
	if _, err := m.Client().Put(t.Context(), "/n", "2"); err != nil {
		t.Fatal(err)
	}
	next := take(t, m)
	const undecided, isData = -1, 2 // after so many steps
	for steps := undecided; steps <= len(settling("")); steps++ {
		dead := func() string {
			r := built(t, first)
			if steps > undecided {
				r.decide(t, Restored{Snapshot: "s3://b/first"})
			}
			for _, step := range settling(r.path)[:max(steps, 0)] {
				if err := step(); err != nil {
					t.Fatal(err)
				}
			}
			r.die(t)
			return r.path
		}
		t.Run(fmt.Sprintf("master after %d steps", steps), func(t *testing.T) {
			path := dead()
			if steps == undecided {
				if _, err := OpenDir(path); !errors.Is(err, ErrForeign) || !strings.Contains(err.Error(), "run millrace master restore again, or empty the folder") {
					t.Fatalf("on half a restoration: %v", err)
				}
				return
			}
			got := start(t, path, fast(t))
			if id := got.dir.Identity(); id.Cluster != "cafe" || id.Restored == nil || id.Restored.Snapshot != "s3://b/first" {
				t.Errorf("it is %+v", id)
			}
			if n := get(t, got, "/n"); n != "1" {
				t.Errorf("it knows %s, want 1", n)
			}
			wantNoStage(t, path)
		})
		t.Run(fmt.Sprintf("restore after %d steps", steps), func(t *testing.T) {
			path := dead()
			err := build(path, next, Restored{Snapshot: "s3://b/next"})
			want := "2"
			if steps >= isData {
				if !errors.Is(err, ErrNotEmpty) || !strings.Contains(err.Error(), "s3://b/first: start the master on it") {
					t.Fatalf("to a folder that was restored: %v", err)
				}
				want = "1"
			} else if err != nil {
				t.Fatal(err)
			}
			if n := get(t, start(t, path, fast(t)), "/n"); n != want {
				t.Errorf("it knows %s, want %s", n, want)
			}
			wantNoStage(t, path)
		})
	}
}

func wantNoStage(t *testing.T, path string) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(path, stageName)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("of the restoration something is left: %v", err)
	}
}

// A Commit that fails, and is aborted, leaves the folder as it was, wherever it failed; or as a data directory if it had come so far.
func TestRestoreFails(t *testing.T) {
	t.Parallel()
	data := take(t, start(t, t.TempDir(), fast(t)))
	for steps := range len(settling("")) + 1 {
		r := built(t, data)
		before, _, err := peek(r.path)
		if err != nil {
			t.Fatal(err)
		}
		r.decide(t, Restored{Snapshot: "s3://b/s"})
		for _, step := range settling(r.path)[:steps] {
			err = errors.Join(err, step())
		}
		if err := errors.Join(err, r.Abort()); err != nil {
			t.Errorf("after %d steps: %v", steps, err)
		}
		d := openDir(t, r.path)
		if id := d.Identity(); steps < 2 && (id.Master != before.Master || d.Initialized()) || steps >= 2 && (id.Restored == nil || !d.Initialized()) {
			t.Errorf("after %d steps it is %+v, with a state: %v", steps, id, d.Initialized())
		}
		wantNoStage(t, r.path)
		d.Close()
	}
}

// While a restoration is under way a master is told so, and not that it was cut off.
func TestRestoreUnderWay(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "data")
	r, err := Restore(path)
	if err != nil {
		t.Fatal(err)
	}
	for what, try := range map[string]func(string) error{
		"a master": func(path string) error { return second(OpenDir(path)) }, "a restore": func(path string) error { return second(Restore(path)) },
	} {
		if err := try(path); !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), "restore, is running on it") {
			t.Errorf("%s meanwhile: %v, want ErrInUse", what, err)
		}
	}
	if err := r.Abort(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder that was not there before: %v", err)
	}
}

// A folder of a cluster whose etcd's files are not there, as when a disk is not mounted, is not restored to: its identity stays.
func TestRestoreLost(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	d := openDir(t, path)
	if err := errors.Join(d.SetCluster("c1"), d.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := Restore(path); !errors.Is(err, ErrLost) || !strings.Contains(err.Error(), "c1") || !strings.Contains(err.Error(), "empty the folder") {
		t.Errorf("to the folder of a cluster: %v, want ErrLost", err)
	}
	if id, there, err := peek(path); err != nil || !there || id.Cluster != "c1" {
		t.Errorf("its identity has become %+v, %v, %v", id, there, err)
	}
}

// A lock whose file was removed and made anew, before the one who opened it locked it, is none: another holds the new one.
func TestRemovedLock(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lock")
	f, err := lock(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := current(f); !errors.Is(err, ErrInUse) {
		t.Errorf("of a file that was removed: %v, want ErrInUse", err)
	}
	g, err := lock(path)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	if err := current(f); !errors.Is(err, ErrInUse) {
		t.Errorf("of a file in whose place another is: %v, want ErrInUse", err)
	}
}
