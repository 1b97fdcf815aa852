package localstore

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/millrace/millrace/storage"
)

// A file that is overwritten or cut short while it is read ends in ErrChanged, never in a mixture without a word.
func TestReadChangedUnderway(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(path string) error{
		"overwritten": func(path string) error { return os.WriteFile(path, []byte("BBBBBBBBBB"), 0o666) },
		"cut short":   func(path string) error { return os.Truncate(path, 3) },
		"grown":       func(path string) error { return os.WriteFile(path, []byte("aaaaaaaaaaaa"), 0o666) },
	} {
		root := t.TempDir()
		path := filepath.Join(root, "k")
		if err := os.WriteFile(path, []byte("aaaaaaaaaa"), 0o666); err != nil {
			t.Fatal(err)
		}
		old := time.Now().Add(-time.Hour) // writes within one tick of the file system's clock cannot be told apart
		if err := os.Chtimes(path, old, old); err != nil {
			t.Fatal(err)
		}
		body, _, err := New(Options{Root: root}).Read(t.Context(), "k", 0, -1, "")
		if err != nil {
			t.Fatal(err)
		}
		defer body.Close()
		if _, err := io.ReadFull(body, make([]byte, 3)); err != nil {
			t.Fatal(err)
		}
		if err := change(path); err != nil {
			t.Fatal(err)
		}
		if rest, err := io.ReadAll(body); !errors.Is(err, storage.ErrChanged) {
			t.Errorf("%s: read on %q, %v; want: changed", name, rest, err)
		}
	}
}

// A file that is replaced while it is read gives the old one whole: it is still there for who has it open.
func TestReadReplacedUnderway(t *testing.T) {
	t.Parallel()
	b := New(Options{Root: t.TempDir(), NoSync: true})
	b.Put(t.Context(), "k", []byte("old"), false)
	body, _, err := b.Read(t.Context(), "k", 0, -1, "")
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	b.Put(t.Context(), "k", []byte("new"), false)
	if got, err := io.ReadAll(body); string(got) != "old" || err != nil {
		t.Errorf("read %q, %v; want old", got, err)
	}
}

// A write leaves no other file behind, done or refused, and folders come when a file needs them.
func TestPutLeavesNothing(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	b := New(Options{Root: root})
	for range 2 {
		b.Put(t.Context(), "d/e/k", []byte("v"), true)
	}
	if _, err := b.Put(t.Context(), "d/e", nil, false); err == nil {
		t.Error("a file replaced a folder")
	}
	if _, err := b.Put(t.Context(), "d/e/k/below", nil, false); err == nil {
		t.Error("a file became a folder")
	}
	if err := b.Remove(t.Context(), "d/e"); err != nil {
		t.Errorf("Remove of a folder, which is no object: %v", err)
	}
	for dir, want := range map[string]int{"": 1, "d": 1, "d/e": 1} {
		if got := names(t, filepath.Join(root, dir)); len(got) != want {
			t.Errorf("%q holds %q, want one name", dir, got)
		}
	}
}

// Private files and folders are readable by nobody else, small ones and uploads alike; others are as any program's.
func TestPrivate(t *testing.T) {
	t.Parallel()
	for _, private := range []bool{true, false} {
		root := t.TempDir()
		b := New(Options{Root: root, Private: private})
		if _, err := b.Put(t.Context(), "d/e/small", nil, true); err != nil {
			t.Fatal(err)
		}
		id, err := b.Uploads().Create(t.Context(), "u/large")
		if err == nil {
			_, err = b.Uploads().Complete(t.Context(), "u/large", id, nil)
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"d", "d/e", "d/e/small", "u", "u/large"} {
			fi, err := os.Stat(filepath.Join(root, name))
			if err != nil {
				t.Fatal(err)
			}
			if got := fi.Mode().Perm(); private && got&0o077 != 0 || !private && got&0o400 == 0 {
				t.Errorf("private %v: %s has mode %v", private, name, got)
			}
		}
	}
}

// Keys that are no clean paths are refused, so that none leads out of the root.
func TestKeysStayBelowRoot(t *testing.T) {
	t.Parallel()
	b := New(Options{Root: t.TempDir()})
	for _, key := range []string{"", "..", "../x", "a/../../x", "/etc/passwd", "a//b", "a/", "./a", "a\x00b"} {
		_, _, readErr := b.Read(t.Context(), key, 0, -1, "")
		_, putErr := b.Put(t.Context(), key, nil, false)
		_, createErr := b.Uploads().Create(t.Context(), key)
		for _, err := range []error{readErr, putErr, createErr, b.Remove(t.Context(), key)} {
			if !errors.Is(err, storage.ErrBadURL) {
				t.Errorf("key %q: %v, want a bad URL", key, err)
			}
		}
	}
}

// The errors of the operating system become the ones that callers decide by, without repeating the object's path.
func TestExplain(t *testing.T) {
	t.Parallel()
	at := func(errno syscall.Errno) error { return &fs.PathError{Op: "write", Path: "/disk/out/x", Err: errno} }
	for _, c := range []struct {
		err       error
		want      error
		text      string
		transient bool
	}{
		{at(syscall.ENOENT), storage.ErrNotFound, "not found", false},
		{at(syscall.ENOTDIR), storage.ErrNotFound, "not found", false},
		{at(syscall.EACCES), storage.ErrDenied, "access denied (permission denied)", false},
		{at(syscall.EROFS), storage.ErrDenied, "access denied (read-only file system)", false},
		{at(syscall.ENOSPC), storage.ErrNoSpace, "no space left on the file system of /disk/out", false},
		{fmt.Errorf("copy: %w", at(syscall.EDQUOT)), storage.ErrNoSpace, "/disk/out", false},
		{&os.LinkError{Op: "link", Old: "a", New: "b", Err: syscall.ENOSPC}, storage.ErrNoSpace, "no space left", false},
		{at(syscall.EMFILE), syscall.EMFILE, "too many open files", true},
		{at(syscall.ESTALE), syscall.ESTALE, "stale", true},
		{at(syscall.EIO), syscall.EIO, "input/output error", false},
	} {
		got := explain(c.err)
		if !errors.Is(got, c.want) || !strings.Contains(got.Error(), c.text) || storage.IsTransient(got) != c.transient {
			t.Errorf("explain(%v) = %v, transient %v; want %v, %q, %v", c.err, got, storage.IsTransient(got), c.want, c.text, c.transient)
		}
	}
	if explain(nil) != nil || explainAt("/x", nil) != nil {
		t.Error("no error became one")
	}
	if got := link("/no/such", t.TempDir()); !errors.Is(got, fs.ErrNotExist) && !errors.Is(got, storage.ErrPrecondition) {
		t.Errorf("link = %v", got)
	}
}

// A full disk is named, and the write that met it leaves no file: /dev/full stands in for the disk.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip("LEFT OUT: a full disk, there is no /dev/full:", err)
	}
	full.Close()
	root := t.TempDir()
	b := New(Options{Root: root, NoSync: true})
	id := begin(t, b, "k", nil)
	data := filepath.Join(root, ".k."+id+".pending")
	if err := errors.Join(os.Remove(data), os.Symlink("/dev/full", data)); err != nil {
		t.Fatal(err)
	}
	_, err = b.Uploads().Part(t.Context(), "k", id, 1, []byte("bytes"))
	if !errors.Is(err, storage.ErrNoSpace) || !strings.Contains(err.Error(), root) {
		t.Errorf("Part on a full disk = %v, want no space, naming %s", err, root)
	}
}
