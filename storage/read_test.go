package storage_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/memstore"
	"github.com/millrace/millrace/storage/storagetest"
)

func readAll(t *testing.T, r io.ReadCloser) string {
	t.Helper()
	got, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("after %d bytes: %v", len(got), err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	return string(got)
}

// read reads a range through the Store.
func (b *bench) read(url string, off, n int64) (string, error) {
	body, _, err := b.s.Read(b.Context(), url, off, n, "")
	if err != nil {
		return "", err
	}
	defer body.Close()
	got, err := io.ReadAll(body)
	return string(got), err
}

// digits is text whose every place can be told.
func digits(n int) string {
	var s strings.Builder
	for i := 0; s.Len() < n; i++ {
		fmt.Fprintf(&s, "%d,", i)
	}
	return s.String()[:n]
}

// A body that breaks off anywhere, with a reset or without a word, comes whole all the same: each resumption goes on at
// the right byte, for whole objects and ranges.
func TestReadResumes(t *testing.T) {
	t.Parallel()
	text := digits(1000)
	for _, cause := range []error{nil, io.EOF, io.ErrUnexpectedEOF} {
		for _, after := range []int64{1, 7, 333, 999} {
			for _, r := range [][2]int64{{0, -1}, {0, 1000}, {10, 900}, {990, 100}, {1000, 5}, {0, 0}} {
				b := newBench(t, storagetest.Fault{Op: storagetest.OpRead, Kind: storagetest.Cut, After: after, Times: -1, Err: cause})
				b.has("k", text)
				got, err := b.read("mem://x/k", r[0], r[1])
				want := text[r[0]:]
				if r[1] >= 0 {
					want = want[:min(int(r[1]), len(want))]
				}
				if err != nil || got != want {
					t.Errorf("cut every %d bytes with %v: Read(%d, %d) = %d bytes, %v; want %d", after, cause, r[0], r[1],
						len(got), err, len(want))
				}
			}
		}
	}
}

// Resumptions without a byte of progress have the limit of attempts; progress begins the count anew.
func TestReadResumeLimit(t *testing.T) {
	t.Parallel()
	b := newBench(t,
		storagetest.Fault{Op: storagetest.OpRead, Kind: storagetest.Cut, After: 5},
		storagetest.Fault{Op: storagetest.OpRead, Nth: 2, Times: 2, Kind: storagetest.Cut},
		storagetest.Fault{Op: storagetest.OpRead, Nth: 4, Kind: storagetest.Cut, After: 5},
		storagetest.Fault{Op: storagetest.OpRead, Nth: 5, Times: -1, Kind: storagetest.Cut, Err: io.EOF})
	b.has("k", digits(100))
	got, err := b.read("mem://x/k", 0, -1)
	if got != digits(100)[:10] {
		t.Errorf("read %q, want the first 10 bytes", got)
	}
	wantErr(t, "Read", err, io.ErrUnexpectedEOF, "read mem://x/k", "ended 90 bytes early", "tried 4 times")
}

// A body that breaks off after a few bytes each time is given up after 1,024 breaks, with what has come; breaks far apart
// never are.
func TestReadBreakLimit(t *testing.T) {
	t.Parallel()
	every := func(n int64) storagetest.Fault {
		return storagetest.Fault{Op: storagetest.OpRead, Kind: storagetest.Cut, After: n, Times: -1}
	}
	b := newBench(t, every(2))
	b.has("k", digits(10_000))
	got, err := b.read("mem://x/k", 0, -1)
	if got != digits(10_000)[:2*1025] {
		t.Errorf("read %d bytes, want 2 of each of 1025 connections", len(got))
	}
	wantErr(t, "Read", err, nil, "read mem://x/k", "tried 1025 times")
	b = newBench(t, every(64<<10))
	b.has("k", strings.Repeat("x", 1_100*64<<10))
	if got, err := b.read("mem://x/k", 0, -1); err != nil || len(got) != 1_100*64<<10 {
		t.Errorf("read %d bytes, %v", len(got), err)
	}
}

// What is resumed is the object that was begun: if it is replaced meanwhile, the read fails and mixes nothing, with and
// without an ETag of the caller's.
func TestReadChangedMeanwhile(t *testing.T) {
	t.Parallel()
	b := newBench(t, storagetest.Fault{Op: storagetest.OpRead, Kind: storagetest.Cut, After: 5})
	old := b.has("k", "aaaaaaaaaa")
	body, info, err := b.s.Read(t.Context(), "mem://x/k", 0, -1, "")
	if err != nil || info.ETag != old.ETag || info.Size != 10 || info.URL != "mem://x/k" {
		t.Fatalf("Read = %+v, %v", info, err)
	}
	b.has("k", "bbbbbbbbbb")
	got, err := io.ReadAll(body)
	wantErr(t, "resumed read", err, storage.ErrChanged, "read mem://x/k")
	if string(got) != "aaaaa" {
		t.Errorf("read %q, want aaaaa", got)
	}
	_, _, err = b.s.Read(t.Context(), "mem://x/k", 0, -1, old.ETag)
	wantErr(t, "read with an old ETag", err, storage.ErrChanged, "changed since it was listed")
}

// A stalled body is resumed after IdleTimeout; the time that a reader takes between two reads does not count.
func TestReadStalls(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		mem := memstore.New()
		mem.Put(t.Context(), "k", []byte(digits(100)), false)
		b := storagetest.Faulty(mem, storagetest.Fault{Op: storagetest.OpRead, Kind: storagetest.Stall, After: 40})
		s := storage.New(storage.Options{
			Schemes: map[string]storage.Opener{"mem": b.Opener()}, IdleTimeout: 3 * time.Second, Rand: func() float64 { return 0 },
		})
		begun := time.Now()
		body, _, err := s.Read(t.Context(), "mem://x/k", 0, -1, "")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(body, make([]byte, 10)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if rest := readAll(t, body); rest != digits(100)[10:] {
			t.Errorf("read on %q", rest)
		}
		if took := time.Since(begun); took != time.Hour+3*time.Second {
			t.Errorf("it took %v, want the reader's hour and one idle timeout", took)
		}
	})
}

// The end of the context ends a body, and is not tried again.
func TestReadCancelled(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.has("k", digits(100))
	ctx, cancel := context.WithCancel(t.Context())
	body, _, err := b.s.Read(ctx, "mem://x/k", 0, -1, "")
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	cancel()
	_, err = io.ReadAll(body)
	wantErr(t, "cancelled read", err, context.Canceled, "read mem://x/k")
	if calls := b.b.Calls(storagetest.OpRead); calls != 1 {
		t.Errorf("%d reads, want 1", calls)
	}
}

// longer is a backend whose bodies hold more than was asked for.
type longer struct{ storage.Backend }

func (l longer) Read(ctx context.Context, key string, off, n int64, etag string) (io.ReadCloser, storage.Object, error) {
	body, o, err := l.Backend.Read(ctx, key, off, -1, etag)
	return body, o, err
}

// A body that is longer than the range is noticed, also by a reader that stops at the length it knows.
func TestReadTooLong(t *testing.T) {
	t.Parallel()
	mem := memstore.New()
	mem.Put(t.Context(), "k", []byte("0123456789"), false)
	s := storage.New(storage.Options{Schemes: map[string]storage.Opener{
		"mem": func(context.Context, string) (storage.Backend, error) { return longer{mem}, nil },
	}})
	body, _, err := s.Read(t.Context(), "mem://x/k", 2, 3, "")
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	n, err := body.Read(make([]byte, 3))
	wantErr(t, "Read", err, storage.ErrCorrupt, "longer than announced, at byte 5")
	if n != 3 {
		t.Errorf("read %d bytes, want 3", n)
	}
}

// A closed body gives nothing more, and closing it twice is harmless; a body that is at its end stays there.
func TestReadAfterEnd(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.has("k", "abc")
	body, _, _ := b.s.Read(t.Context(), "mem://x/k", 0, -1, "")
	if got := readAll(t, body); got != "abc" {
		t.Fatal(got)
	}
	if n, err := body.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("Read at the end = %d, %v", n, err)
	}
	body, _, _ = b.s.Read(t.Context(), "mem://x/k", 0, -1, "")
	body.Close()
	body.Close()
	if _, err := body.Read(make([]byte, 1)); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("Read after Close = %v, want an error", err)
	}
	_, _, err := b.s.Read(t.Context(), "mem://x/k", -1, 5, "")
	wantErr(t, "Read(-1)", err, nil, "negative offset")
}

// Stat describes and needs no body; what is missing is named.
func TestStat(t *testing.T) {
	t.Parallel()
	b := newBench(t, storagetest.Fault{Op: storagetest.OpRead, Times: 2})
	o := b.has("d/k", "abc")
	got, err := b.s.Stat(t.Context(), "mem://x/d/k")
	want := storage.Info{URL: "mem://x/d/k", Size: 3, ETag: o.ETag, Modified: o.Modified}
	if err != nil || got != want {
		t.Errorf("Stat = %+v, %v; want %+v", got, err, want)
	}
	_, err = b.s.Stat(t.Context(), "mem://x/no")
	wantErr(t, "Stat of nothing", err, storage.ErrNotFound, "stat mem://x/no: not found")
}
