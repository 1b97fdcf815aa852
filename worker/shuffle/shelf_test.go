package shuffle

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
)

// keep writes a run and serves it.
func keep(t *testing.T, s *Server, job, dir, id string, run []byte) {
	t.Helper()
	f, err := s.Create(job, dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(run); err != nil {
		t.Fatal(err)
	}
	if err := f.Keep(id, 0); err != nil {
		t.Fatal(err)
	}
}

// files are the runs' files in a folder.
func files(t *testing.T, dir string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "runs-*.run"))
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// Small runs of a job lie in one file and each is read as it was written, also behind one that was given up; two that are
// written at the same time and those of another job lie in other files, and each job's go with it.
func TestShelf(t *testing.T) {
	t.Parallel()
	dir, s := t.TempDir(), NewServer()
	made := makeRuns(t, 2, someMaps(6, 500))
	for i, m := range made[:3] {
		keep(t, s, "job", dir, fmt.Sprint(i), m.data)
		f, err := s.Create("job", dir)
		if err != nil {
			t.Fatal(err)
		}
		if _, err = f.Write(bytes.Repeat([]byte("junk"), 100_000)); i == 1 {
			if err = f.Keep("junk", 0); err == nil {
				t.Error("what is no run was taken")
			}
			err = nil
		} else {
			err = errors.Join(err, f.Abandon())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if n := len(files(t, dir)); n != 1 {
		t.Errorf("%d files for three runs one after the other", n)
	}
	if info, err := os.Stat(files(t, dir)[0]); err != nil || info.Size() != made[0].Size+made[1].Size+made[2].Size {
		t.Errorf("%d bytes, %v", info.Size(), err)
	}
	busy, err := s.Create("job", dir)
	if err != nil {
		t.Fatal(err)
	}
	keep(t, s, "job", dir, "3", made[3].data)
	keep(t, s, "other", dir, "4", made[4].data)
	if n := len(files(t, dir)); n != 3 {
		t.Errorf("%d files, want three", n)
	}
	open := s.Opener("http://self", memStore{})
	for i, m := range made[:5] {
		run := Run{Map: i, URL: "http://self/runs/" + fmt.Sprint(i), Size: m.Size, Checksum: m.Checksum}
		o, err := open.Open(t.Context(), run, 1, 0)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(o.Body)
		if err = errors.Join(err, o.Body.Close()); err != nil || !bytes.Equal(got, m.data[o.Section.Offset:][:o.Section.Length]) {
			t.Errorf("run %d: %d bytes, %v", i, len(got), err)
		}
	}
	if err := s.Drop("job"); err != nil {
		t.Fatal(err)
	}
	if n := len(files(t, dir)); n != 1 {
		t.Errorf("%d files are left of the other job's one", n)
	}
	if _, err := busy.Write(made[5].data); err != nil {
		t.Fatal(err)
	}
	if err := busy.Keep("5", 0); err != nil {
		t.Fatal(err)
	}
	keep(t, s, "job", dir, "6", made[5].data)
	if n := len(files(t, dir)); n != 2 {
		t.Errorf("%d files: a dropped file was taken again", n)
	}
	if err := errors.Join(s.Drop("job"), s.Drop("other"), s.Drop("job")); err != nil || len(files(t, dir)) > 0 {
		t.Errorf("%v, %q are left", err, files(t, dir))
	}
}

// A server that is closed has no files left, neither in their folder nor open.
func TestServerClose(t *testing.T) {
	t.Parallel()
	dir, s := t.TempDir(), NewServer()
	run := makeRuns(t, 1, someMaps(1, 10))[0]
	keep(t, s, "job", dir, "a", run.data)
	keep(t, s, "other job", dir, "b", run.data)
	file := s.idle["job"][0].file
	if err := errors.Join(s.Close(), s.Close()); err != nil {
		t.Error(err)
	}
	if err := file.Close(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("a file is still open: %v", err)
	}
	if left := files(t, dir); len(left) > 0 {
		t.Errorf("%q are left", left)
	}
}

// A file that has grown large takes no more runs, and its runs stay.
func TestShelfFull(t *testing.T) {
	t.Parallel()
	dir, s := t.TempDir(), NewServer()
	run := makeRuns(t, 1, someMaps(1, 10))[0]
	keep(t, s, "job", dir, "a", run.data)
	s.idle["job"][0].size = shelfBytes - 1
	keep(t, s, "job", dir, "b", run.data)
	keep(t, s, "job", dir, "c", run.data)
	if n := len(files(t, dir)); n != 2 || len(s.idle["job"]) != 1 {
		t.Errorf("%d files, %d to be filled", n, len(s.idle["job"]))
	}
	if err := s.Drop("job"); err != nil {
		t.Error(err)
	}
}
