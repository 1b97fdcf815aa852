package memstore_test

import (
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
