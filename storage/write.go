package storage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sync/errgroup"
)

// Put writes a small object at once. With ifAbsent an object that is there already gives an error that wraps
// ErrPrecondition, and of several callers exactly one succeeds.
//
// When the answer of a conditional write was lost, a later refusal may be our own success: the object is read back and
// compared, and equal bytes are success. Callers that must tell themselves from others put something of their own into
// the body.
func (s *Store) Put(ctx context.Context, url string, body []byte, ifAbsent bool) error {
	t, err := s.object(ctx, "write", url)
	if err != nil {
		return err
	}
	unsure := false // an earlier try may have been done
	err = s.do(ctx, "write", t.String(), func(ctx context.Context) error {
		_, err := t.b.Put(ctx, t.Key, body, ifAbsent)
		unsure = unsure || isAmbiguous(err) || isCancelled(err)
		return err
	})
	if err == nil {
		meterOf(ctx).out.Add(int64(len(body)))
	}
	if err == nil || !ifAbsent || !unsure {
		return err
	}
	if !errors.Is(err, ErrPrecondition) && !IsTransient(err) {
		return err
	}
	return s.settlePut(ctx, t, body, err)
}

// settlePut finds out what became of a conditional write that ended in err after an answer was lost.
func (s *Store) settlePut(ctx context.Context, t target, body []byte, err error) error {
	if ctx.Err() != nil {
		return err
	}
	got, readErr := s.readAll(ctx, t, int64(len(body)))
	switch {
	case readErr == nil && bytes.Equal(got, body):
		return nil
	case errors.Is(err, ErrPrecondition):
		return err
	default:
		return fmt.Errorf("%w; whether it was written is not known", err)
	}
}

// Remove deletes an object. One that is not there is no error.
func (s *Store) Remove(ctx context.Context, url string) error {
	t, err := s.object(ctx, "remove", url)
	if err != nil {
		return err
	}
	return s.do(ctx, "remove", t.String(), func(ctx context.Context) error {
		return t.b.Remove(ctx, t.Key)
	})
}

// removesAtOnce is how many objects are removed in parallel: what a removal takes is a bucket's time to answer.
const removesAtOnce = 16

// RemoveAll deletes objects in no certain order, and returns the first error. Those that are not there are no error.
func (s *Store) RemoveAll(ctx context.Context, urls []string) error {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(removesAtOnce)
	for _, url := range urls {
		if gctx.Err() != nil {
			break
		}
		g.Go(func() error { return s.Remove(gctx, url) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return ctx.Err()
}

// RemoveFolder deletes all objects below a folder, and the folder where such a thing exists. Manifests go first, so that no
// output is ever complete and wrong. A folder that is not there is no error; pending uploads stay.
func (s *Store) RemoveFolder(ctx context.Context, url string) error {
	url = strings.TrimSuffix(url, "/") + "/"
	t, err := s.open(ctx, "remove", url)
	if err != nil {
		return err
	}
	var manifests, others []string
	err = s.List(ctx, url, func(o Info) bool {
		if strings.HasSuffix(o.URL, "/"+Success) {
			manifests = append(manifests, o.URL)
		} else {
			others = append(others, o.URL)
		}
		return true
	})
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, objects := range [][]string{manifests, others} {
		if err := s.RemoveAll(ctx, objects); err != nil {
			return err
		}
	}
	f, ok := t.b.(Folders)
	if !ok {
		return nil
	}
	return s.do(ctx, "remove", t.String(), func(ctx context.Context) error { return f.RemoveFolders(ctx, t.Key) })
}
