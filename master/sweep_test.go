package master

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/master/wire"
	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/manifest"
	"github.com/millrace/millrace/storage/memstore"
	"github.com/millrace/millrace/storage/storagetest"
)

// slow is a bucket that takes its time for each removal.
type slow struct {
	storage.Backend
	takes time.Duration
}

func (s slow) Remove(ctx context.Context, key string) error {
	<-time.After(s.takes) // in a bubble
	return s.Backend.Remove(ctx, key)
}

func (s slow) Uploads() storage.Uploads { return slowUploads{s.Backend.Uploads(), s.takes} }

type slowUploads struct {
	storage.Uploads
	takes time.Duration
}

func (s slowUploads) Abort(ctx context.Context, key, id string) error {
	<-time.After(s.takes) // in a bubble
	return s.Uploads.Abort(ctx, key, id)
}

// All that a large job left goes, however long that takes, when it was cancelled and before it is committed; and sixteen things go at a
// time.
func TestSweepOfLargeJobs(t *testing.T) {
	const runs, takes = 1200, time.Second
	for _, done := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.bad = storagetest.Faulty(slow{memstore.New(), takes})
			w.st = storage.New(storage.Options{Schemes: map[string]storage.Opener{"mem": w.bad.Opener()}})
			w.put("in/0", "some words\n")
			l := w.lead(false)
			s := spec()
			s.Shuffle, s.SplitSize = "bucket", 1<<20
			l.mustSubmit(jobA, s)
			h := l.hire("w", 4)
			h.work(wire.Map, 1)
			for i := range runs {
				w.put(fmt.Sprintf("out/.millrace-%s/map-%05d.0.run", jobA, i), "run")
				if i < runs/2 {
					w.pending("out/"+manifest.PartName(i), "of an attempt that lost")
				}
			}
			begun := time.Now()
			if done {
				h.work(wire.Reduce, 2)
				l.status(jobA, wire.Done)
				w.want("out/", manifest.Name, "part-00000.arrow", "part-00001.arrow")
			} else {
				l.cancel(jobA)
				l.status(jobA, wire.Cancelled)
				w.want("out/")
			}
			if took, most := time.Since(begun), (runs+runs/2)*takes/commitLimit+20*time.Second; took > most {
				t.Errorf("it took %v, more than %v", took, most)
			}
			l.end()
		})
	}
}
