package storage_test

import (
	"errors"
	"testing"

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
