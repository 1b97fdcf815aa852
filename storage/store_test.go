package storage_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/memstore"
	"github.com/millrace/millrace/storage/storagetest"
)

// bench is a Store over a memory bucket with faults; its pauses take no time and are written down.
type bench struct {
	*testing.T
	s   *storage.Store
	b   *storagetest.FaultyBackend
	mem *memstore.Backend

	mu     sync.Mutex
	pauses []time.Duration
}

// newBench makes a Store with 4 attempts whose jitter always takes the whole bound.
func newBench(t *testing.T, plan ...storagetest.Fault) *bench {
	b := &bench{T: t, mem: memstore.New()}
	b.b = storagetest.Faulty(b.mem, plan...)
	b.s = storage.New(storage.Options{
		Schemes:  map[string]storage.Opener{"mem": b.b.Opener()},
		Attempts: 4,
		Rand:     func() float64 { return 1 },
		Sleep: func(ctx context.Context, d time.Duration) error {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.pauses = append(b.pauses, d)
			return ctx.Err()
		},
	})
	return b
}

// has puts an object past the faults.
func (b *bench) has(key, body string) storage.Object {
	b.Helper()
	o, err := b.mem.Put(b.Context(), key, []byte(body), false)
	if err != nil {
		b.Fatal(err)
	}
	return o
}

// holds checks an object past the faults; "" with want absent.
func (b *bench) holds(key, want string) {
	b.Helper()
	body, _, err := b.mem.Read(b.Context(), key, 0, -1, "")
	if err != nil {
		b.Fatalf("object %q: %v", key, err)
	}
	if got := readAll(b.T, body); got != want {
		b.Errorf("object %q holds %.60q, want %.60q", key, got, want)
	}
}

// wantErr checks a sentinel and that the message holds all texts.
func wantErr(t *testing.T, what string, err, want error, texts ...string) {
	t.Helper()
	if err == nil || want != nil && !errors.Is(err, want) {
		t.Errorf("%s: got error %v, want one that is %v", what, err, want)
		return
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("%s: error %q does not say %q", what, err, text)
		}
	}
}

// A transient failure is tried again after pauses that double up to their bound; success ends it.
func TestRetryUntilDone(t *testing.T) {
	t.Parallel()
	b := newBench(t, storagetest.Fault{Op: storagetest.OpPut, Times: 3})
	if err := b.s.Put(t.Context(), "mem://x/k", []byte("v"), false); err != nil {
		t.Fatal(err)
	}
	b.holds("k", "v")
	if want := []time.Duration{100e6, 200e6, 400e6}; !slices.Equal(b.pauses, want) {
		t.Errorf("pauses were %v, want %v", b.pauses, want)
	}
}

// The limit of attempts holds, and the error names operation, URL, cause and how often it was tried. What is final is
// tried once.
func TestRetryLimit(t *testing.T) {
	t.Parallel()
	gone := fmt.Errorf("%w: key AKIA... is unknown", storage.ErrDenied)
	for _, c := range []struct {
		name  string
		fault storagetest.Fault
		calls int
		want  error
		text  string
	}{
		{"500", storagetest.Fault{Times: -1}, 4, nil, "write mem://x/a b: injected: 500 internal error (tried 4 times)"},
		{"slow down", storagetest.Fault{Times: -1, Kind: storagetest.SlowDown}, 4, storage.ErrSlowDown, "(tried 4 times)"},
		{"denied", storagetest.Fault{Times: -1, Err: gone}, 1, storage.ErrDenied, "write mem://x/a b: access denied: key AKIA... is unknown"},
		{"no bucket", storagetest.Fault{Times: -1, Err: storage.ErrNoBucket}, 1, storage.ErrNoBucket, "write mem://x/a b: no such bucket"},
		{"disk full", storagetest.Fault{Times: -1, Err: storage.ErrNoSpace}, 1, storage.ErrNoSpace, "no space left"},
	} {
		b := newBench(t, c.fault)
		err := b.s.Put(t.Context(), "mem://x/a b", nil, false)
		wantErr(t, c.name, err, c.want, c.text)
		if got := b.b.Calls(storagetest.OpPut); got != c.calls {
			t.Errorf("%s: %d calls, want %d", c.name, got, c.calls)
		}
		if storage.IsTransient(err) != (c.calls > 1) {
			t.Errorf("%s: transient is %v", c.name, storage.IsTransient(err))
		}
	}
}

// Pauses have full jitter: uniform between nothing and the bound, so a random number of 0 is no pause.
func TestRetryJitter(t *testing.T) {
	t.Parallel()
	var pauses []time.Duration
	rolls := []float64{0, 0.5, 0.25, 1, 1, 1, 1}
	s := storage.New(storage.Options{
		Schemes:    map[string]storage.Opener{"mem": storagetest.Faulty(memstore.New(), storagetest.Fault{Times: -1}).Opener()},
		Backoff:    time.Second,
		MaxBackoff: 10 * time.Second,
		Rand:       func() float64 { return rolls[len(pauses)] },
		Sleep:      func(_ context.Context, d time.Duration) error { pauses = append(pauses, d); return nil },
	})
	wantErr(t, "Remove", s.Remove(t.Context(), "mem://x/k"), nil, "tried 8 times")
	if want := []time.Duration{0, 1e9, 1e9, 8e9, 10e9, 10e9, 10e9}; !slices.Equal(pauses, want) {
		t.Errorf("pauses were %v, want %v", pauses, want)
	}
}

// The end of the caller's context ends a pause at once and is what the error says.
func TestRetryCancelled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := storagetest.Faulty(memstore.New(), storagetest.Fault{Times: -1})
		s := storage.New(storage.Options{
			Schemes: map[string]storage.Opener{"mem": b.Opener()},
			Backoff: time.Hour, MaxBackoff: time.Hour, Rand: func() float64 { return 1 },
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		begun := time.Now()
		_, err := s.Stat(ctx, "mem://x/k")
		wantErr(t, "Stat", err, context.DeadlineExceeded, "stat mem://x/k")
		if took := time.Since(begun); took != time.Minute {
			t.Errorf("it took %v, want a minute", took)
		}
	})
}

// A call that never answers is ended by CallTimeout and tried again; if it never does, the error says so.
func TestCallTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		mem := memstore.New()
		b := storagetest.Faulty(mem, storagetest.Fault{Kind: storagetest.Stall})
		s := storage.New(storage.Options{Schemes: map[string]storage.Opener{"mem": b.Opener()}, CallTimeout: time.Second, Attempts: 3})
		if err := s.Put(t.Context(), "mem://x/k", []byte("v"), false); err != nil {
			t.Errorf("one stalled call: %v", err)
		}
		b.Plan(storagetest.Fault{Kind: storagetest.Stall, Times: -1})
		err := s.Put(t.Context(), "mem://x/k", []byte("v"), false)
		wantErr(t, "stalled calls", err, storage.ErrUnreachable, "no answer for 1s", "tried 3 times")
	})
}

// A backend is opened once per host, again after a failure; a scheme that nobody knows is refused with those known.
func TestOpenHosts(t *testing.T) {
	t.Parallel()
	opened := map[string]int{}
	s := storage.New(storage.Options{Schemes: map[string]storage.Opener{
		"file": nil,
		"mem": func(_ context.Context, host string) (storage.Backend, error) {
			if opened[host]++; host == "bad" && opened[host] == 1 {
				return nil, storage.ErrNoBucket
			}
			return memstore.New(), nil
		},
	}})
	ctx := t.Context()
	wantErr(t, "first open of a bad host", s.Remove(ctx, "mem://bad/k"), storage.ErrNoBucket, "remove mem://bad/k: no such bucket")
	for _, url := range []string{"mem://bad/k", "mem://a/k", "mem://a/l", "mem://b/k"} {
		if err := s.Remove(ctx, url); err != nil {
			t.Error(err)
		}
	}
	if opened["bad"] != 2 || opened["a"] != 1 || opened["b"] != 1 {
		t.Errorf("opened %v, want bad twice, a and b once", opened)
	}
	_, err := s.Expand(ctx, []string{"gs://b/k"})
	wantErr(t, "unknown scheme", err, storage.ErrBadURL, `"gs://"`, "file://, mem://", "plain path")
}

// A folder is no object: reading and writing it is refused before anything is asked.
func TestFolderIsNoObject(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for _, url := range []string{"mem://x/", "mem://x/dir/"} {
		wantErr(t, url, b.s.Put(t.Context(), url, nil, false), storage.ErrBadURL, url, "folder")
		_, err := b.s.Create(t.Context(), url, storage.UploadOptions{})
		wantErr(t, url, err, storage.ErrBadURL, url, "folder")
	}
}
