package e2e

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/millrace/millrace/jobs/sortrecords"
	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/memstore"
)

// forgetful is a backend that loses pending uploads: the next ones whose parts somebody asks for, as the master does before it
// commits.
type forgetful struct {
	storage.Backend
	lose *atomic.Int64
}

func (f forgetful) Uploads() storage.Uploads { return forgetfulUploads{f.Backend.Uploads(), f.lose} }

type forgetfulUploads struct {
	storage.Uploads
	lose *atomic.Int64
}

func (u forgetfulUploads) List(ctx context.Context, prefix, id string, yield func(storage.Part) bool) error {
	if id != "" && u.lose.Add(-1) >= 0 {
		return errors.Join(storage.ErrNotFound, u.Abort(ctx, prefix, id))
	}
	return u.Uploads.List(ctx, prefix, id, yield)
}

// Parts that are lost before the commit are made again, though the workers have given back what their runs held for them: then
// the maps run again, too.
func TestPartsLost(t *testing.T) {
	t.Parallel()
	w := workload{
		name: "sort", job: sortrecords.Job(), params: map[string]string{"format": "records", "record-length": "10", "key-length": "8"},
		reducers: 3, files: fixed(80_000), sorted: true,
	}
	var lose atomic.Int64
	open := memstore.Opener()
	opener := func(ctx context.Context, host string) (storage.Backend, error) {
		b, err := open(ctx, host)
		return forgetful{b, &lose}, err
	}
	p := place{"a forgetful memory", storage.New(storage.Options{Schemes: map[string]storage.Opener{"mem": opener}}), "mem://e2e"}
	b := newBench(t, w, p)
	for _, lost := range []int64{1, 2, 3} {
		lose.Store(lost)
		status, err := b.check(t, setting{workers: 2, slots: 2, split: 1 << 20, memory: largeMemory, noBackup: true, shuffle: "local", compression: "none"})
		if err != nil {
			t.Errorf("%d parts are lost: %v", lost, err)
			continue
		}
		if lose.Load() > 0 {
			t.Errorf("nobody looked for the last %d of %d parts to lose", lose.Load(), lost)
		}
		t.Logf("%d parts are lost: %d attempts failed", lost, status.Retries)
	}
}
