package storage_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/storagetest"
)

// Complete may be repeated, by anyone; the object stays what it is.
func TestCompleteTwice(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	p, err := b.pend("mem://x/k", digits(1000))
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := errors.Join(b.s.Complete(t.Context(), p), b.s.Lookup(t.Context(), p)); err != nil {
			t.Fatal(err)
		}
	}
	p.ETag = "" // so that the bytes must be compared
	if err := b.s.Complete(t.Context(), p); err != nil {
		t.Error(err)
	}
	b.holds("k", digits(1000))
	b.noUploads()
}

// When the answer of Complete is lost, or the server fails for a while, it looks again and finds the object or the upload.
func TestCompleteAmbiguous(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]storagetest.Fault{
		"answer lost":       {Op: storagetest.OpComplete, Kind: storagetest.LoseAnswer},
		"request lost":      {Op: storagetest.OpComplete, Times: 3},
		"slow down":         {Op: storagetest.OpComplete, Kind: storagetest.SlowDown},
		"upload not listed": {Op: storagetest.OpUploads, Times: 2},
	} {
		for _, etag := range []bool{false, true} {
			b := newBench(t, fault)
			p, err := b.pend("mem://x/k", digits(1000))
			if err != nil {
				t.Fatal(err)
			}
			if !etag {
				p.ETag = ""
			}
			if err := b.s.Complete(t.Context(), p); err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			b.holds("k", digits(1000))
		}
	}
}

// A pending upload that is gone while the object is missing or another one is ErrPendingLost, and so is one that is not
// what its writer reported; nothing is completed then.
func TestPendingLost(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		change func(b *bench, p *storage.Pending)
		text   string
	}{
		{"aborted", func(b *bench, p *storage.Pending) { b.s.Abort(b.Context(), *p) }, "neither the upload nor the object"},
		{"aborted, another object of another size", func(b *bench, p *storage.Pending) {
			b.has("k", "other")
			b.s.Abort(b.Context(), *p)
		}, "another object of 5 bytes"},
		{"aborted, another object of the same size", func(b *bench, p *storage.Pending) {
			b.has("k", digits(999)+"x")
			b.s.Abort(b.Context(), *p)
		}, "its CRC32C is"},
		{"a part is missing", func(b *bench, p *storage.Pending) { p.Parts++ }, "it holds 1000 bytes in 10 parts, not 1000 in 11"},
		{"of another size", func(b *bench, p *storage.Pending) { p.Size-- }, "not 999 in 10"},
		{"of a gap", func(b *bench, p *storage.Pending) {
			b.mem.Uploads().Part(b.Context(), "k", p.ID, 12, nil)
			p.Parts++
		}, "part 11 of 11 is missing"},
	} {
		b := newBench(t)
		p, err := b.pend("mem://x/k", digits(1000))
		if err != nil {
			t.Fatal(err)
		}
		p.ETag = ""
		c.change(b, &p)
		wantErr(t, c.name+": Lookup", b.s.Lookup(t.Context(), p), storage.ErrPendingLost, "look up mem://x/k", c.text)
		wantErr(t, c.name+": Complete", b.s.Complete(t.Context(), p), storage.ErrPendingLost, "complete mem://x/k", c.text)
	}
}

// moment is a server that shows neither an upload nor its object while somebody else completes it.
type moment struct {
	storage.Backend
	key   string
	looks int // at the object, before it is there
}

func (m *moment) Read(ctx context.Context, key string, off, n int64, etag string) (io.ReadCloser, storage.Object, error) {
	if m.looks--; key == m.key && m.looks >= 0 {
		return nil, storage.Object{}, storage.ErrNotFound
	}
	return m.Backend.Read(ctx, key, off, n, etag)
}

// An upload that somebody else completes right now is not taken for lost; one that is nowhere to be seen after some looks is,
// and the end of the context ends the looking.
func TestCompleteBesideAnother(t *testing.T) {
	t.Parallel()
	for looks, want := range map[int]error{0: nil, 1: nil, 4: nil, 5: storage.ErrPendingLost} {
		b := newBench(t)
		p, err := b.pend("mem://x/k", digits(1000))
		if err != nil {
			t.Fatal(err)
		}
		if err := b.s.Complete(t.Context(), p); err != nil { // somebody else
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		ends := false
		s := storage.New(storage.Options{
			Schemes: map[string]storage.Opener{"mem": func(context.Context, string) (storage.Backend, error) {
				return &moment{b.mem, "k", looks}, nil
			}},
			Sleep: func(ctx context.Context, _ time.Duration) error {
				if ends {
					cancel()
				}
				return ctx.Err()
			},
		})
		if err := s.Complete(ctx, p); !errors.Is(err, want) || (err == nil) != (want == nil) {
			t.Errorf("after %d looks: %v, want %v", looks, err, want)
		}
		if ends = true; looks == 5 {
			b.s.Remove(t.Context(), p.URL)
			if err := s.Complete(ctx, p); !errors.Is(err, context.Canceled) {
				t.Errorf("cancelled over the looks: %v", err)
			}
		}
	}
}

// What may not be completed for another reason is that reason, not a loss: the upload is still there.
func TestCompleteDenied(t *testing.T) {
	t.Parallel()
	b := newBench(t, storagetest.Fault{Op: storagetest.OpComplete, Err: storage.ErrDenied})
	p, err := b.pend("mem://x/k", "body")
	if err != nil {
		t.Fatal(err)
	}
	wantErr(t, "Complete", b.s.Complete(t.Context(), p), storage.ErrDenied, "complete mem://x/k: access denied")
	if err := b.s.Complete(t.Context(), p); err != nil {
		t.Errorf("Complete once it is allowed: %v", err)
	}
}

// Abort forgets an upload, over failures, and is no error when it is gone; a completed object it leaves alone.
func TestAbort(t *testing.T) {
	t.Parallel()
	b := newBench(t, storagetest.Fault{Op: storagetest.OpAbort, Kind: storagetest.LoseAnswer}, storagetest.Fault{Op: storagetest.OpAbort, Nth: 2, Err: storage.ErrNotFound})
	p, err := b.pend("mem://x/k", "body")
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := b.s.Abort(t.Context(), p); err != nil {
			t.Error(err)
		}
	}
	b.noUploads()
	if p, err = b.pend("mem://x/k", "body"); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(b.s.Complete(t.Context(), p), b.s.Abort(t.Context(), p)); err != nil {
		t.Error(err)
	}
	b.holds("k", "body")
}
