package localstore

import (
	"testing"

	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/storagetest"
)

// Local files are a Backend like any other.
func TestConformance(t *testing.T) {
	storagetest.Run(t, func(t *testing.T) storage.Backend { return New(Options{Root: t.TempDir(), NoSync: true}) })
}
