package bench

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/memstore"
)

// fake is a binary that takes a run's command line and ends as it is told to.
func fake(t *testing.T, script string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "millrace")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

const good = `echo "map done: 3 tasks" >&2; echo "reduce done: 1 task" >&2; echo '{"state": "committed", "bytes": 5}'`

func options(t *testing.T, script string) (Options, *storage.Store) {
	st := storage.New(storage.Options{Schemes: map[string]storage.Opener{"mem": memstore.Opener()}})
	return Options{
		Binary: fake(t, script), Store: st, Folder: "mem://b/bench/", Repeats: 2, Size: 4_000_000,
		Make: func(ctx context.Context, url, kind string, size int64) error {
			return st.Put(ctx, url, make([]byte, size), false)
		},
	}, st
}

func left(t *testing.T, st *storage.Store) (urls []string) {
	t.Helper()
	if err := st.List(t.Context(), "mem://b/", func(i storage.Info) bool {
		urls = append(urls, i.URL)
		return true
	}); err != nil {
		t.Fatal(err)
	}
	return urls
}

// All jobs are measured on data of their kind, which is made once; nothing of it stays.
func TestRun(t *testing.T) {
	o, st := options(t, good)
	var made []string
	make := o.Make
	o.Make = func(ctx context.Context, url, kind string, size int64) error {
		made = append(made, fmt.Sprint(kind, " ", size))
		return make(ctx, url, kind, size)
	}
	report, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"text 4000000", "measurements 4000000", "records 4000000", "access-log 4000000", "numbers 4000000", "text 1000000"}
	if !slices.Equal(made, want) {
		t.Errorf("made %q, want %q", made, want)
	}
	if len(report.Results) != len(Jobs()) || report.Limits.CopyMBps <= 0 || report.Limits.ReadMBps <= 0 || report.CPUs < 1 {
		t.Errorf("got %+v", report)
	}
	for i, r := range report.Results {
		shares := r.Shares.Map + r.Shares.Reduce + r.Shares.Commit
		if r.Job != Names()[i] || r.Runs != 2 || r.MBps <= 0 || r.PerCPU <= 0 || r.PeakRSS <= 0 || r.OfRead <= 0 || r.OfCopy <= 0 || math.Abs(shares-1) > 1e-9 {
			t.Errorf("got %+v", r)
		}
	}
	if urls := left(t, st); len(urls) > 0 {
		t.Errorf("left are %q", urls)
	}
}

// A given object is used as it is, and stays; the jobs are those named.
func TestGiven(t *testing.T) {
	o, st := options(t, good)
	if err := st.Put(t.Context(), "mem://b/mine", []byte("a b\n"), false); err != nil {
		t.Fatal(err)
	}
	o.Jobs, o.Inputs = []string{"wordcount"}, map[string]string{"text": "mem://b/mine"}
	report, err := Run(t.Context(), o)
	if err != nil || len(report.Results) != 1 || report.Results[0].Bytes != 4 || report.Results[0].Input != "mem://b/mine" {
		t.Fatalf("got %+v, %v", report, err)
	}
	if urls := left(t, st); !slices.Equal(urls, []string{"mem://b/mine"}) {
		t.Errorf("left are %q", urls)
	}
}

// What cannot be measured is an error that says why, and nothing stays.
func TestErrors(t *testing.T) {
	for _, test := range []struct {
		name, script string
		change       func(*Options)
		want         string
	}{
		{"fails", "echo 'Error: no space' >&2; exit 1", nil, "bench wordcount: run wordcount: exit status 1: Error: no space"},
		{"not committed", `echo '{"state": "failed"}'`, nil, `the job ended as "failed"`},
		{"no summary", "true", nil, `the job ended as ""`},
		{"unknown job", good, func(o *Options) { o.Jobs = []string{"sorts"} }, "bench sorts: no such job: use some of wordcount,"},
		{"unknown kind", good, func(o *Options) { o.Inputs = map[string]string{"books": "x"} }, `no job reads "books"`},
		{"too small", good, func(o *Options) { o.Size = 1 }, "give 1000 bytes"},
		{"no data", good, func(o *Options) {
			o.Make = func(context.Context, string, string, int64) error { return errors.New("disk full") }
		}, "bench wordcount: disk full"},
		{"no input", good, func(o *Options) { o.Inputs = map[string]string{"text": "mem://b/none"} }, "mem://b/none"},
		{"no binary", good, func(o *Options) { o.Binary = "/none" }, "no such file"},
	} {
		t.Run(test.name, func(t *testing.T) {
			o, st := options(t, test.script)
			if test.change != nil {
				test.change(&o)
			}
			if _, err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
			if urls := left(t, st); len(urls) > 0 {
				t.Errorf("left are %q", urls)
			}
		})
	}
}

// The end of the context interrupts the child and removes what was made.
func TestInterrupt(t *testing.T) {
	o, st := options(t, "trap 'echo cancelled >&2; exit 130' INT\necho up > \"$0.up\"\nwhile :; do sleep 0.01; done")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		for {
			if _, err := os.Stat(o.Binary + ".up"); err == nil || ctx.Err() != nil {
				break
			}
			<-time.After(time.Millisecond)
		}
		cancel()
	}()
	_, err := Run(ctx, o)
	if err == nil || !strings.Contains(err.Error(), "cancelled") {
		t.Errorf("got %v", err)
	}
	if urls := left(t, st); len(urls) > 0 {
		t.Errorf("left are %q", urls)
	}
}

// The median run counts, and phases that were not seen to end take none of the time.
func TestResult(t *testing.T) {
	t.Parallel()
	s := sample{wall: 2 * time.Second, cpu: 4 * time.Second, mapped: time.Second, reduce: 1500 * time.Millisecond, rss: 7}
	want := Result{"j", "in", 8e6, 3, 2, 4, 7, 4, 2, Shares{0.5, 0.25, 0.25}, 0.5, 0}
	if got := *s.result("j", "in", 8e6, 3, 8); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	s.mapped, s.reduce = 0, 0
	if got := s.result("j", "in", 8e6, 3, 8).Shares; got != (Shares{1, 0, 0}) {
		t.Errorf("got %+v", got)
	}
}

// A child's peak memory does not begin with the peak of the process that started it.
func TestPeakRSS(t *testing.T) {
	const size = 200 << 20
	o, _ := options(t, good)
	large := make([]byte, size)
	for i := range large {
		large[i] = byte(i)
	}
	if large[len(large)/2] != 0 {
		t.Fatal("the array was not written")
	}
	before := resident(t)
	s, err := run(t.Context(), o.Binary, []string{"run", "x"})
	if err != nil || s.rss <= 0 || s.rss > before-size/2 {
		t.Errorf("a shell took %d bytes, the peak of the process that started it was %d or more, %v", s.rss, before, err)
	}
}

// resident is the memory of this process now.
func resident(t *testing.T) int64 {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Skip("LEFT OUT: a system without /proc: " + err.Error())
	}
	_, after, _ := strings.Cut(string(status), "VmRSS:")
	var kib int64
	if _, err := fmt.Sscan(after, &kib); err != nil {
		t.Fatal(err)
	}
	return kib << 10
}
