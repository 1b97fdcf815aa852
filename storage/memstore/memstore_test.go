package memstore_test

import (
	"context"
	"errors"
	"io"
	"testing"

	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/memstore"
	"github.com/millrace/millrace/storage/storagetest"
)

// The memory backend is a Backend like any other.
func TestConformance(t *testing.T) {
	storagetest.Run(t, func(t *testing.T) storage.Backend { return memstore.New() })
}

// Stores with the same Opener see the same objects of a host, and only of that host.
func TestOpenerKeepsBuckets(t *testing.T) {
	t.Parallel()
	open, ctx := memstore.Opener(), t.Context()
	a, _ := open(ctx, "a")
	again, _ := open(ctx, "a")
	b, _ := open(ctx, "b")
	if a != again || a == b {
		t.Errorf("hosts a, a, b opened as %p, %p, %p; want one bucket per host", a, again, b)
	}
}

// What was given to the backend and what it gave stay as they are, whatever callers do to their bytes later.
func TestBodiesAreCopies(t *testing.T) {
	t.Parallel()
	b, ctx := memstore.New(), t.Context()
	mine := []byte("abc")
	if _, err := b.Put(ctx, "k", mine, false); err != nil {
		t.Fatal(err)
	}
	mine[0] = 'X'
	id, _ := b.Uploads().Create(ctx, "u")
	part := []byte("part")
	etag, err := b.Uploads().Part(ctx, "u", id, 1, part)
	if err != nil {
		t.Fatal(err)
	}
	part[0] = 'X'
	if _, err := b.Uploads().Complete(ctx, "u", id, []storage.Part{{Number: 1, ETag: etag}}); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{"k": "abc", "u": "part"} {
		body, _, err := b.Read(ctx, key, 0, -1, "")
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(body); string(got) != want || err != nil {
			t.Errorf("object %s holds %q, %v; want %q", key, got, err, want)
		}
	}
}

// A body ends with the context of the call that opened it, and an upload is not completed of parts it does not have.
func TestStrictness(t *testing.T) {
	t.Parallel()
	b := memstore.New()
	b.Put(t.Context(), "k", []byte("abc"), false)
	ctx, cancel := context.WithCancel(t.Context())
	body, _, err := b.Read(ctx, "k", 0, -1, "")
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := io.ReadAll(body); !errors.Is(err, context.Canceled) {
		t.Errorf("read on after the context's end: %v", err)
	}
	id, _ := b.Uploads().Create(t.Context(), "u")
	b.Uploads().Part(t.Context(), "u", id, 1, []byte("part"))
	for _, p := range []storage.Part{{Number: 1, ETag: "other"}, {Number: 2}} {
		if _, err := b.Uploads().Complete(t.Context(), "u", id, []storage.Part{p}); err == nil {
			t.Errorf("completed of %+v", p)
		}
	}
}
