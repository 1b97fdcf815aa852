package leftovers

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/manifest"
)

// within is how many calls for one item are under way at a time, of parallel items.
const within = 4

// Remove removes what Find found and did not keep. What cannot be removed is noted in its item and does not end the rest; the
// error tells how much that is, or that ctx has ended. Removing again is harmless.
func Remove(ctx context.Context, st *storage.Store, r *Report, progress func(done, total int)) error {
	if progress == nil {
		progress = func(int, int) {}
	}
	var mu sync.Mutex // guards what follows, and is held while progress is told
	done, failed := 0, 0
	var g errgroup.Group
	g.SetLimit(parallel)
	for _, i := range r.Items {
		if ctx.Err() != nil {
			break
		}
		g.Go(func() error {
			err := i.remove(ctx, st)
			mu.Lock()
			defer mu.Unlock()
			if i.Removed = err == nil; err != nil {
				i.Problem = err.Error()
				failed++
			}
			done++
			progress(done, len(r.Items))
			return nil
		})
	}
	_ = g.Wait() // errors are noted
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d leftovers could not be removed", failed, len(r.Items))
	}
	return nil
}

// remove removes all that belongs to an item, and returns the first error.
func (i *Item) remove(ctx context.Context, st *storage.Store) error {
	var uploads, objects errgroup.Group
	uploads.SetLimit(within)
	objects.SetLimit(within)
	// Uploads go first: none of them becomes an object when the objects are gone.
	for _, p := range i.uploads {
		uploads.Go(func() error { return st.Abort(ctx, p) })
	}
	err := uploads.Wait()
	// Manifests go next: a stage of which parts are gone must not look like one to go on from.
	for _, url := range i.objects {
		if storage.Base(url) != manifest.Name {
			continue
		}
		if e := st.Remove(ctx, url); e != nil {
			return errors.Join(err, e)
		}
	}
	for _, url := range i.objects {
		objects.Go(func() error { return st.Remove(ctx, url) })
	}
	return errors.Join(err, objects.Wait())
}
