package storage_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/localstore"
	"github.com/millrace/millrace/storage/storagetest"
)

// newLocal is a Store over local files with faults, without pauses, and the folder it works in.
func newLocal(t *testing.T, plan ...storagetest.Fault) (*storage.Store, string) {
	b := storagetest.Faulty(localstore.New(localstore.Options{NoSync: true}), plan...)
	return storage.New(storage.Options{
		Schemes: map[string]storage.Opener{"file": b.Opener()},
		Sleep:   func(ctx context.Context, _ time.Duration) error { return ctx.Err() },
	}), t.TempDir()
}

// The whole way of a part in local files with every third call failing, in each way that a call can fail: the parts are
// written, completed by another Store, read back in pieces and listed, and nothing else is left.
func TestLocalPartsUnderFaults(t *testing.T) {
	t.Parallel()
	for _, kind := range []storagetest.Kind{storagetest.Fail, storagetest.SlowDown, storagetest.LoseAnswer, storagetest.Cut} {
		worker, dir := newLocal(t, storagetest.Fault{Every: 3, Times: -1, Kind: kind, After: 50})
		master, _ := newLocal(t, storagetest.Fault{Every: 3, Times: -1, Kind: kind, After: 50})
		var want []string
		for i := range 5 {
			url := "file://" + filepath.Join(dir, "out", fmt.Sprintf("part-%05d.arrow", i))
			want = append(want, url)
			p, err := writePart(t.Context(), worker, url, digits(i*333))
			if err != nil {
				t.Fatalf("kind %d: %v", kind, err)
			}
			if err := errors.Join(master.Lookup(t.Context(), p), master.Complete(t.Context(), p), master.Complete(t.Context(), p)); err != nil {
				t.Fatalf("kind %d: %v", kind, err)
			}
			body, info, err := worker.Read(t.Context(), url, 0, -1, "")
			if err != nil || info.Size != int64(i*333) {
				t.Fatalf("kind %d: Read = %+v, %v", kind, info, err)
			}
			if got := readAll(t, body); got != digits(i*333) {
				t.Errorf("kind %d: part %d differs", kind, i)
			}
		}
		var got []string
		listed, err := worker.Expand(t.Context(), []string{dir})
		for _, l := range listed {
			got = append(got, l.URL)
		}
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("kind %d: listed %q, %v; want %q", kind, got, err, want)
		}
		if entries, _ := os.ReadDir(filepath.Join(dir, "out")); kind != storagetest.LoseAnswer && len(entries) != len(want) {
			t.Errorf("kind %d: %d files are left, want %d", kind, len(entries), len(want))
		}
	}
}

// writePart writes a pending upload.
func writePart(ctx context.Context, s *storage.Store, url, body string) (storage.Pending, error) {
	u, err := s.Create(ctx, url, storage.UploadOptions{PartBytes: 100})
	if err != nil {
		return storage.Pending{}, err
	}
	if _, err := io.WriteString(u, body); err != nil {
		return storage.Pending{}, err
	}
	return u.Finish(ctx)
}

// An upload whose Create lost its answer is an orphan: Uploads finds it, so that it can be aborted by its name alone.
func TestOrphanedUploadIsFound(t *testing.T) {
	t.Parallel()
	s, dir := newLocal(t, storagetest.Fault{Op: storagetest.OpCreate, Kind: storagetest.LoseAnswer})
	url := "file://" + filepath.Join(dir, "part")
	p, err := writePart(t.Context(), s, url, "body")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Complete(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	found := orphans(t, s, dir)
	if len(found) != 1 || found[0].URL != url || found[0].ID == p.ID {
		t.Fatalf("uploads left: %+v, want one of %s", found, url)
	}
	if err := s.Abort(t.Context(), found[0]); err != nil {
		t.Fatal(err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 || len(orphans(t, s, dir)) != 0 {
		t.Errorf("left are %v", entries)
	}
}

// orphans lists what is pending below a folder.
func orphans(t *testing.T, s *storage.Store, dir string) (found []storage.Pending) {
	t.Helper()
	err := s.Uploads(t.Context(), "file://"+dir+"/", func(url, id string, _ time.Time) bool {
		found = append(found, storage.Pending{URL: url, ID: id})
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
