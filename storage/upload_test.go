package storage_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/localstore"
	"github.com/millrace/millrace/storage/storagetest"
)

// pend writes a body as a pending upload with parts of 100 bytes.
func (b *bench) pend(url, body string) (storage.Pending, error) {
	b.Helper()
	u, err := b.s.Create(b.Context(), url, storage.UploadOptions{PartBytes: 100, Parallel: 3})
	if err != nil {
		return storage.Pending{}, err
	}
	if _, err := io.WriteString(u, body); err != nil {
		return storage.Pending{}, errors.Join(err, u.Abort(b.Context()))
	}
	p, err := u.Finish(b.Context())
	if err != nil {
		return p, errors.Join(err, u.Abort(b.Context()))
	}
	return p, nil
}

// An upload of any length, written in pieces of any size, is the object after Complete and nothing before; the Pending
// tells size, parts and CRC32C of it.
func TestUploadLengths(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	random := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{0, 1, 99, 100, 101, 200, 1000, 12_345} {
		url, body := fmt.Sprint("mem://x/u", n), digits(n)
		u, err := b.s.Create(t.Context(), url, storage.UploadOptions{PartBytes: 100, Parallel: 3})
		if err != nil {
			t.Fatal(err)
		}
		for rest := body; rest != ""; {
			piece := min(len(rest), random.IntN(350))
			if m, err := io.WriteString(u, rest[:piece]); m != piece || err != nil {
				t.Fatalf("Write = %d, %v; want %d", m, err, piece)
			}
			rest = rest[piece:]
		}
		p, err := u.Finish(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		crc := crc32.Checksum([]byte(body), crc32.MakeTable(crc32.Castagnoli))
		if p.URL != url || p.Size != int64(n) || p.CRC32C != crc || p.Parts != max((n+99)/100, 1) || p.ETag == "" {
			t.Errorf("%d bytes: pending is %+v", n, p)
		}
		if _, err := b.s.Stat(t.Context(), url); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("%d bytes: visible before Complete: %v", n, err)
		}
		if err := errors.Join(b.s.Lookup(t.Context(), p), b.s.Complete(t.Context(), p)); err != nil {
			t.Fatal(err)
		}
		b.holds(fmt.Sprint("u", n), body)
		if info, err := b.s.Stat(t.Context(), url); info.ETag != p.ETag {
			t.Errorf("%d bytes: ETag %q (%v), foretold %q", n, info.ETag, err, p.ETag)
		}
	}
}

// Parts are tried again, a lost answer included, and the object is right.
func TestUploadRetries(t *testing.T) {
	t.Parallel()
	b := newBench(t,
		storagetest.Fault{Op: storagetest.OpCreate},
		storagetest.Fault{Op: storagetest.OpPart, Every: 3, Times: -1, Kind: storagetest.LoseAnswer},
		storagetest.Fault{Op: storagetest.OpPart, Nth: 2, Every: 5, Times: -1, Kind: storagetest.SlowDown})
	p, err := b.pend("mem://x/k", digits(5000))
	if err != nil {
		t.Fatal(err)
	}
	if err := b.s.Complete(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	b.holds("k", digits(5000))
}

// A part that fails for good fails the upload by name, whichever call learns of it; Abort leaves nothing.
func TestUploadFails(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		fault storagetest.Fault
		want  error
	}{
		{storagetest.Fault{Op: storagetest.OpPart, Nth: 3, Times: -1, Err: storage.ErrNoSpace}, storage.ErrNoSpace},
		{storagetest.Fault{Op: storagetest.OpPart, Nth: 50, Times: -1, Err: storage.ErrNoSpace}, storage.ErrNoSpace},
		{storagetest.Fault{Op: storagetest.OpPart, Nth: 2, Err: storage.ErrNotFound}, storage.ErrPendingLost},
		{storagetest.Fault{Op: storagetest.OpCreate, Err: storage.ErrNoBucket}, storage.ErrNoBucket},
	} {
		b := newBench(t, c.fault)
		_, err := b.pend("mem://x/k", digits(5000))
		wantErr(t, "upload", err, c.want, "mem://x/k")
		b.noUploads()
	}
}

// noUploads checks that nothing is pending.
func (b *bench) noUploads() {
	b.Helper()
	err := b.mem.Uploads().List(b.Context(), "", "", func(p storage.Part) bool {
		b.Errorf("upload %s of %q is left", p.ID, p.Key)
		return true
	})
	if err != nil {
		b.Error(err)
	}
}

// The end of Create's context ends the upload, and it can still be aborted.
func TestUploadCancelled(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ctx, cancel := context.WithCancel(t.Context())
	u, err := b.s.Create(ctx, "mem://x/k", storage.UploadOptions{PartBytes: 10})
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	_, err = io.WriteString(u, digits(1000))
	wantErr(t, "Write", err, context.Canceled, "mem://x/k")
	if err := u.Abort(t.Context()); err != nil {
		t.Error(err)
	}
	_, err = u.Write([]byte("x"))
	wantErr(t, "Write after Abort", err, nil, "has ended")
	_, err = u.Finish(t.Context())
	wantErr(t, "Finish after Abort", err, nil, "has ended")
	b.noUploads()
}

// gauge counts parts under way and the buffers they come in.
type gauge struct {
	storage.Backend
	inOrder bool

	now, most atomic.Int32
	mu        sync.Mutex
	buffers   map[*byte]bool
}

func (g *gauge) Uploads() storage.Uploads { return gaugeUploads{g.Backend.Uploads(), g} }

type gaugeUploads struct {
	storage.Uploads
	g *gauge
}

func (u gaugeUploads) PartsInOrder() bool { return u.g.inOrder }

func (u gaugeUploads) Part(ctx context.Context, key, id string, n int, body []byte) (string, error) {
	now := u.g.now.Add(1)
	defer u.g.now.Add(-1)
	for most := u.g.most.Load(); now > most && !u.g.most.CompareAndSwap(most, now); most = u.g.most.Load() {
	}
	u.g.mu.Lock()
	u.g.buffers[&body[0]] = true
	u.g.mu.Unlock()
	runtime.Gosched()
	return u.Uploads.Part(ctx, key, id, n, body)
}

// An upload holds no more than Parallel parts under way and Parallel+1 buffers, which it uses again; where parts are best
// written in order there is one at a time.
func TestUploadBounds(t *testing.T) {
	t.Parallel()
	for _, inOrder := range []bool{false, true} {
		g := &gauge{Backend: newBench(t).mem, buffers: map[*byte]bool{}, inOrder: inOrder}
		s := storage.New(storage.Options{Schemes: map[string]storage.Opener{
			"mem": func(context.Context, string) (storage.Backend, error) { return g, nil },
		}})
		u, err := s.Create(t.Context(), "mem://x/k", storage.UploadOptions{PartBytes: 1000, Parallel: 3})
		if err != nil {
			t.Fatal(err)
		}
		for range 2500 {
			if _, err := u.Write(make([]byte, 200)); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := u.Finish(t.Context()); err != nil {
			t.Fatal(err)
		}
		limit := 3
		if inOrder {
			limit = 1
		}
		if int(g.most.Load()) > limit || len(g.buffers) > limit+2 { // the first buffer, which grew, is not kept
			t.Errorf("in order %v: %d parts at a time in %d buffers, want at most %d and %d", inOrder, g.most.Load(),
				len(g.buffers), limit, limit+2)
		}
	}
}

// Where parts are written in order, a piece of half a part and more is written as it lies in the caller's memory, in its place
// among the others, and is the caller's again after Write.
func TestUploadPassesLargePiecesOn(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	g := &gauge{Backend: b.mem, buffers: map[*byte]bool{}, inOrder: true}
	s := storage.New(storage.Options{Schemes: map[string]storage.Opener{
		"mem": func(context.Context, string) (storage.Backend, error) { return g, nil },
	}})
	u, err := s.Create(t.Context(), "mem://x/k", storage.UploadOptions{PartBytes: 1000})
	if err != nil {
		t.Fatal(err)
	}
	body := digits(10_000)
	at := 0
	for i, n := range []int{10, 499, 500, 1, 2600, 999, 700, 20} {
		piece := []byte(body[at : at+n])
		at += n
		if _, err := u.Write(piece); err != nil {
			t.Fatal(err)
		}
		if whole := n >= 500; g.buffers[&piece[0]] != whole {
			t.Errorf("piece %d of %d bytes was written as it is: %v", i, n, !whole)
		}
		clear(piece)
	}
	p, err := u.Finish(t.Context())
	if err != nil || p.Size != int64(at) {
		t.Fatalf("%+v, %v", p, err)
	}
	if err := s.Complete(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	b.holds("k", body[:at])
}

// Part sizes double every 1,000 parts, so that 10,000 parts of 8 MiB at first hold the 5 TB of the largest S3 object.
func TestUploadGrows(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	u, err := b.s.Create(t.Context(), "mem://x/k", storage.UploadOptions{PartBytes: 2})
	if err != nil {
		t.Fatal(err)
	}
	body := digits(1000*2 + 1000*4 + 17)
	if _, err := io.WriteString(u, body); err != nil {
		t.Fatal(err)
	}
	p, err := u.Finish(t.Context())
	if err != nil || p.Parts != 2003 {
		t.Fatalf("%+v, %v; want 1,000 parts of 2 bytes, 1,000 of 4 and 3 of 8", p, err)
	}
	if err := b.s.Complete(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	b.holds("k", body)
	var most int64
	for n := range 10_000 {
		most += 8 << 20 << (n / 1000)
	}
	if most < 5<<40 {
		t.Errorf("10,000 parts hold %d bytes, under 5 TiB", most)
	}
}

// A local part of 64 MiB as the Store writes it, and as a plain file: the difference is what the Store costs.
func BenchmarkUploadLocal(b *testing.B) {
	s := storage.New(storage.Options{Schemes: map[string]storage.Opener{"file": localstore.Opener(localstore.Options{NoSync: true})}})
	name, block := filepath.Join(b.TempDir(), "part"), bytes.Repeat([]byte("0123456789abcdef"), 64<<10)
	write := func(w io.Writer, err error) {
		for i := 0; i < 64 && err == nil; i++ {
			_, err = w.Write(block)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	b.Run("store", func(b *testing.B) {
		b.SetBytes(64 << 20)
		b.ReportAllocs()
		for b.Loop() {
			u, err := s.Create(b.Context(), name, storage.UploadOptions{})
			write(u, err)
			p, err := u.Finish(b.Context())
			if err = errors.Join(err, s.Complete(b.Context(), p)); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("plain file", func(b *testing.B) {
		b.SetBytes(64 << 20)
		for b.Loop() {
			f, err := os.Create(name + ".plain")
			write(f, err)
			f.Close()
		}
	})
}
