package worker

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// The folder of an attempt is made at the first call, is its own, stays the same, and goes with all that lies in it. Without a call there
// is none; where none can be made, the error is one of the worker's own disk.
func TestScratch(t *testing.T) {
	t.Parallel()
	w := &Worker{dir: t.TempDir()}
	one, other, none := w.scratch(), w.scratch(), w.scratch()
	none.remove()
	path, err := one.folder()
	if err != nil {
		t.Fatal(err)
	}
	if again, err := one.folder(); again != path || err != nil {
		t.Errorf("the second call gave %s, %v: want %s", again, err, path)
	}
	if second, err := other.folder(); second == path || err != nil {
		t.Errorf("two attempts have one folder: %s, %v", second, err)
	}
	if err := os.WriteFile(filepath.Join(path, "left"), nil, 0o400); err != nil {
		t.Fatal(err)
	}
	one.remove()
	other.remove()
	if left, err := os.ReadDir(w.dir); len(left) > 0 || err != nil {
		t.Errorf("left: %v, %v", left, err)
	}
	w.dir = filepath.Join(w.dir, "gone")
	if _, err := w.scratch().folder(); !errors.Is(err, fs.ErrNotExist) || !inDir(w.dir, err) {
		t.Errorf("in a folder that is gone: %v", err)
	}
}
