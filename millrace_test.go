package millrace

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/master/wire"
	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/memstore"
	"github.com/millrace/millrace/worker/program"
)

func countJob() *jobs.Job {
	type row struct {
		Line string
		N    int64
	}
	return jobs.New("count",
		func(line string, emit func(string, int64)) error { emit(line, 1); return nil },
		func(line string, ns jobs.Values[int64], emit func(row)) error {
			emit(row{line, jobs.Total(ns)})
			return nil
		})
}

func memStore(t *testing.T) *storage.Store {
	t.Helper()
	st := storage.New(storage.Options{Schemes: map[string]storage.Opener{"mem": memstore.Opener()}})
	if err := st.Put(t.Context(), "mem://b/in", []byte("a\nb\n"), false); err != nil {
		t.Fatal(err)
	}
	return st
}

// A run whose worker cannot begin ends with the worker's reason, and does not wait for a job that nobody works on.
func TestRunWithoutWorker(t *testing.T) {
	t.Parallel()
	_, err := Run(t.Context(), countJob(), Options{
		Inputs: []string{"mem://b/in"}, Output: "mem://b/out", Store: memStore(t), TempDir: filepath.Join(t.TempDir(), "none"),
	})
	if err == nil || !strings.Contains(err.Error(), "--temp-dir") || strings.Contains(err.Error(), "\n") || errors.Is(err, wire.ErrUnreachable) {
		t.Errorf("got %v", err)
	}
}

// A memory that is none is refused by its size.
func TestRunWithoutMemory(t *testing.T) {
	t.Parallel()
	_, err := Run(t.Context(), countJob(), Options{Inputs: []string{"mem://b/in"}, Output: "mem://b/out", Store: memStore(t), Memory: -8 << 20})
	if err == nil || !strings.Contains(err.Error(), "memory of -8388608 bytes") {
		t.Errorf("got %v", err)
	}
}

// Run leaves the runtime's memory limit as it is: what else a program holds it does not know.
func TestRunLeavesMemoryLimit(t *testing.T) {
	before := debug.SetMemoryLimit(-1)
	status, err := Run(t.Context(), countJob(), Options{Inputs: []string{"mem://b/in"}, Output: "mem://b/out", Store: memStore(t), Memory: 1 << 30, Progress: func(*JobStatus) {
		if limit := debug.SetMemoryLimit(-1); limit != before {
			t.Errorf("the limit is %d in a run, and was %d", limit, before)
		}
	}})
	if err != nil || status == nil || debug.SetMemoryLimit(-1) != before {
		t.Errorf("got %+v, %v, and a limit of %d, want %d", status, err, debug.SetMemoryLimit(-1), before)
	}
}

// An engine that fails ends its body. What the body says of its job's end is not lost over the engine's failure.
func TestEmbedFails(t *testing.T) {
	t.Parallel()
	reg, err := program.NewRegistry(Version, countJob())
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Store: memStore(t), TempDir: filepath.Join(t.TempDir(), "none")}
	for _, said := range []error{nil, errEngine, fmt.Errorf("%w: count 1", ErrCancelled), fmt.Errorf("%w: count 1", ErrJobFailed)} {
		err := embed(t.Context(), reg, o, func(ctx context.Context, _ *wire.Client) error {
			<-ctx.Done()
			if cause := context.Cause(ctx); cause != errEngine {
				t.Errorf("the body ends because of %v", cause)
			}
			return said
		})
		if err == nil || !strings.Contains(err.Error(), "--temp-dir") {
			t.Errorf("beside %v: the engine's failure is %v", said, err)
		}
		for _, end := range []error{ErrCancelled, ErrJobFailed} {
			if errors.Is(err, end) != errors.Is(said, end) {
				t.Errorf("of %v: %v", said, err)
			}
		}
		if errors.Is(said, ErrCancelled) && exitCode(t.Context(), err) != exitCancelled {
			t.Errorf("%v has exit code %d", err, exitCode(t.Context(), err))
		}
	}
}

// A part of the engine that ends before the engine does has failed, whatever it returns.
func TestLasting(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	broken := errors.New("broken")
	if err := lasting(ctx, "a worker", func(context.Context) error { return nil })(); err == nil || !strings.Contains(err.Error(), "a worker") {
		t.Errorf("of an early end: %v", err)
	}
	if err := lasting(ctx, "a worker", func(context.Context) error { return broken })(); err != broken {
		t.Errorf("of a failure: %v", err)
	}
	cancel()
	if err := lasting(ctx, "a worker", func(context.Context) error { return nil })(); err != nil {
		t.Errorf("of the end: %v", err)
	}
}

// A job's time goes on until its end, and is never negative.
func TestElapsed(t *testing.T) {
	begun := time.Unix(1000, 0)
	for _, test := range []struct{ ended, now, want time.Duration }{
		{3 * time.Second, 9 * time.Second, 3 * time.Second},
		{0, 9 * time.Second, 9 * time.Second},
		{0, -time.Second, 0},
	} {
		s := &JobStatus{Submitted: begun}
		if test.ended > 0 {
			s.Ended = begun.Add(test.ended)
		}
		if got := elapsed(s, begun.Add(test.now)); got != test.want {
			t.Errorf("ended after %v, seen after %v: got %v, want %v", test.ended, test.now, got, test.want)
		}
	}
}
