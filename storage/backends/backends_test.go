package backends_test

import (
	"context"
	"errors"
	"path/filepath"
	"testing"

	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/backends"
	"github.com/millrace/millrace/storage/memstore"
)

// Plain paths and file URLs work as they are, and a caller's own scheme joins them.
func TestNew(t *testing.T) {
	t.Parallel()
	own := map[string]storage.Opener{"mem": memstore.Opener()}
	s := backends.New(backends.Options{Store: storage.Options{Schemes: own}})
	path := filepath.Join(t.TempDir(), "a b#c?")
	for _, url := range []string{path, "mem://x/k"} {
		if err := s.Put(t.Context(), url, []byte("v"), true); err != nil {
			t.Errorf("Put(%s): %v", url, err)
		}
	}
	if info, err := s.Stat(context.Background(), "file://"+path); err != nil || info.Size != 1 || info.URL != "file://"+path {
		t.Errorf("Stat = %+v, %v", info, err)
	}
	if err := s.Remove(t.Context(), "ftp://x/k"); !errors.Is(err, storage.ErrBadURL) {
		t.Errorf("Remove of an unknown scheme = %v, want a bad URL", err)
	}
	if len(own) != 1 {
		t.Error("the caller's own map was changed")
	}
}
