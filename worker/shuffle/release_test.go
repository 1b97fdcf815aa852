package shuffle

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"testing/quick"
)

// blocks is what a file takes of the disk, bytes.
func blocks(t *testing.T, path string) int64 {
	t.Helper()
	fi, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return fi.Sys().(*syscall.Stat_t).Blocks * 512
}

// A released partition of a job is found no more, whoever asks, and its space is free; the other partitions of its runs,
// other runs in the same file, and other jobs' runs stay as they are, as does a run that comes later.
func TestRelease(t *testing.T) {
	t.Parallel()
	const partitions = 4
	dir, s := t.TempDir(), NewServer()
	made := makeRuns(t, partitions, [][]pair{randomPairs(1, 40_000), randomPairs(2, 40_000), randomPairs(3, 10)})
	for i, job := range []string{"job", "other job", "job"} { // the third one is too small to be worth it
		keep(t, s, job, dir, string(rune('a'+i)), made[i].data)
	}
	keep(t, s, "job", dir, "later", made[1].data)
	h := httptest.NewServer(s)
	t.Cleanup(h.Close)
	var before int64
	for _, f := range files(t, dir) {
		before += blocks(t, f)
	}
	for range 2 { // twice is once
		if err := errors.Join(s.Release("job", 1), s.Release("never seen", 1), s.Release("job", partitions)); err != nil {
			t.Fatal(err)
		}
	}
	keep(t, s, "job", dir, "newest", made[0].data)
	var after int64
	for _, f := range files(t, dir) {
		after += blocks(t, f)
	}
	if freed, want := before+int64(len(made[0].data))-after, int64(len(made[0].data)+len(made[1].data))/partitions; freed < want*3/4 || freed > want*5/4 {
		t.Errorf("%d bytes are free, want about %d", freed, want)
	}
	own := s.Opener("http://self", memStore{})
	for id, m := range map[string]madeRun{"a": made[0], "b": made[1], "c": made[2], "later": made[1], "newest": made[0]} {
		for p := range partitions {
			gone := p == 1 && (id == "a" || id == "later")
			for base, open := range map[string]Opener{"http://self": own, h.URL: HTTPOpener{http.DefaultClient}} {
				run := m.Run
				run.URL = base + "/runs/" + id
				o, err := open.Open(t.Context(), run, p, 0)
				if gone {
					if !errors.Is(err, ErrNoRun) {
						t.Errorf("%s, partition %d: error %v, want ErrNoRun", run.URL, p, err)
					}
					continue
				}
				if err != nil {
					t.Errorf("%s, partition %d: %v", run.URL, p, err)
					continue
				}
				got, err := io.ReadAll(o.Body)
				want := string(m.data[o.Section.Offset : o.Section.Offset+o.Section.Length])
				if err = errors.Join(err, o.Body.Close()); err != nil || string(got) != want {
					t.Errorf("%s, partition %d: %d bytes of %d, %v", run.URL, p, len(got), len(want), err)
				}
			}
		}
	}
	if err := s.Drop("job"); err != nil {
		t.Error(err)
	}
	if err := s.Release("job", 0); err != nil {
		t.Error(err)
	}
}

// A reduce attempt that reads a section while it is released fails with an error that names the run, and gives no pairs that
// are not the run's.
func TestReleaseWhileRead(t *testing.T) {
	t.Parallel()
	dir, s := t.TempDir(), NewServer()
	pairs := [][]pair{randomPairs(1, 40_000)}
	m := makeRuns(t, 1, pairs)[0]
	keep(t, s, "job", dir, "run", m.data)
	m.URL = "http://self/runs/run"
	want := section(pairs, 0, 1)
	opener := s.Opener("http://self", memStore{})
	released := releasing{opener, func() {
		if err := s.Release("job", 0); err != nil {
			t.Error(err)
		}
	}}
	got, _, err := readMerged(t, ReaderOptions{Open: released}, []Run{m.Run})
	var fetch *FetchError
	if !errors.As(err, &fetch) {
		t.Fatalf("error %v, want a FetchError", err)
	}
	if len(got) > len(want) {
		t.Errorf("%d pairs of %d", len(got), len(want))
	}
	for i, p := range got {
		if p != want[i] {
			t.Fatalf("pair %d is %v, want %v", i, p, want[i])
		}
	}
	if names, err := filepath.Glob(filepath.Join(dir, "runs-*")); err != nil || len(names) != 1 {
		t.Errorf("files %v, %v", names, err)
	}
}

// releasing releases what it has opened, before it is read.
type releasing struct {
	Opener
	release func()
}

func (r releasing) Open(ctx context.Context, run Run, partition int, from int64) (*Opened, error) {
	o, err := r.Opener.Open(ctx, run, partition, from)
	r.release()
	return o, err
}

// A set holds what was added to it and nothing else.
func TestPartitionSet(t *testing.T) {
	t.Parallel()
	same := func(add []uint16, ask uint16) bool {
		var s partitionSet
		want := map[int]bool{}
		for _, p := range add {
			s.add(int(p))
			want[int(p)] = true
		}
		for p := range want {
			if !s.has(p) {
				return false
			}
		}
		return s.has(int(ask)) == want[int(ask)]
	}
	if err := quick.Check(same, nil); err != nil {
		t.Error(err)
	}
}
