package storage_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/localstore"
	"github.com/millrace/millrace/storage/memstore"
)

// removals notes which objects are removed, in which order.
type removals struct {
	storage.Backend
	mu   sync.Mutex
	keys []string
}

func (r *removals) Remove(ctx context.Context, key string) error {
	r.mu.Lock()
	r.keys = append(r.keys, key)
	r.mu.Unlock()
	return r.Backend.Remove(ctx, key)
}

// A folder is removed with all below it, manifests first, and nothing beside it; one that is not there is no error.
func TestRemoveFolder(t *testing.T) {
	t.Parallel()
	b := &removals{Backend: memstore.New()}
	s := storage.New(storage.Options{Schemes: map[string]storage.Opener{
		"mem": func(context.Context, string) (storage.Backend, error) { return b, nil },
	}})
	ctx := t.Context()
	for _, key := range []string{"a", "f", "f/part", "f/sub/_SUCCESS", "f/sub/part", "f/_SUCCESS", "fg"} {
		if err := s.Put(ctx, "mem://x/"+key, []byte("x"), false); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.RemoveFolder(ctx, "mem://x/f"); err != nil {
		t.Fatal(err)
	}
	if len(b.keys) == 4 { // in no certain order, but manifests before the rest
		slices.Sort(b.keys[:2])
		slices.Sort(b.keys[2:])
	}
	if want := []string{"f/_SUCCESS", "f/sub/_SUCCESS", "f/part", "f/sub/part"}; !slices.Equal(b.keys, want) {
		t.Errorf("removed %q, want %q", b.keys, want)
	}
	if err := s.RemoveFolder(ctx, "mem://x/none/"); err != nil {
		t.Errorf("a folder that is not there: %v", err)
	}
	if err := s.RemoveFolder(ctx, "nope://x/f"); !errors.Is(err, storage.ErrBadURL) {
		t.Errorf("got %v", err)
	}
}

// Of local folders nothing is left, unless something lies there that is no object.
func TestRemoveLocalFolder(t *testing.T) {
	t.Parallel()
	s := storage.New(storage.Options{Schemes: map[string]storage.Opener{"file": localstore.Opener(localstore.Options{NoSync: true})}})
	root := t.TempDir()
	for _, name := range []string{"f/a", "f/b/c/d", "g/.hidden", "g/e"} {
		if err := s.Put(t.Context(), "file://"+root+"/"+name, []byte("x"), false); err != nil {
			t.Fatal(err)
		}
	}
	pipe := filepath.Join(root, "g", "link")
	if err := os.Symlink("nowhere", pipe); err != nil {
		t.Fatal(err)
	}
	for _, folder := range []string{"f", "g", "h"} {
		if err := s.RemoveFolder(t.Context(), "file://"+root+"/"+folder); err != nil {
			t.Errorf("%s: %v", folder, err)
		}
	}
	left, err := os.ReadDir(root)
	if err != nil || len(left) != 1 || left[0].Name() != "g" {
		t.Errorf("left are %v, %v", left, err)
	}
	if _, err := os.Lstat(pipe); err != nil {
		t.Errorf("what is no object is gone: %v", err)
	}
}
