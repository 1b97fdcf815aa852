package master

import (
	"context"
	"errors"
	"fmt"
	"io"

	"golang.org/x/sync/errgroup"

	"github.com/millrace/millrace/jobs/plan"
	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/encoding"
)

// looksAtOnce is how many objects are looked at in parallel: what a look takes is a bucket's time to answer.
const looksAtOnce = 32

// makePlan plans a job over its listed inputs, after a look at the first bytes of the objects of which the plan depends on whether
// they are compressed, and how.
func makePlan(ctx context.Context, st *storage.Store, listed *plan.Plan) (*plan.Plan, error) {
	unseen, err := plan.Unseen(listed.Spec, listed.Objects)
	if err != nil {
		return nil, err
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(looksAtOnce)
	for _, i := range unseen {
		g.Go(func() error {
			o := &listed.Objects[i]
			kind, err := look(gctx, st, *o)
			o.Encoding = string(kind)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	p, err := plan.Make(listed.Spec, listed.Objects)
	if err != nil {
		return nil, err
	}
	p.Excluded = listed.Excluded
	return p, nil
}

// look tells how an object is compressed.
func look(ctx context.Context, st *storage.Store, o plan.Object) (encoding.Kind, error) {
	head, err := readRange(ctx, st, o, 0, min(o.Size, encoding.HeadBytes))
	if err != nil {
		return encoding.Unknown, err
	}
	kind := encoding.Detect(head)
	if kind != encoding.Zstd {
		return kind, nil
	}
	table, err := encoding.LoadTable(o.Size, func(off, n int64) ([]byte, error) { return readRange(ctx, st, o, off, n) })
	if table != nil {
		kind = encoding.Seekable
	}
	return kind, err
}

// readRange reads a few bytes of an input object as it was listed.
func readRange(ctx context.Context, st *storage.Store, o plan.Object, off, n int64) ([]byte, error) {
	body, _, err := st.Read(ctx, o.URL, off, n, o.ETag)
	if err == nil {
		defer body.Close()
		b := make([]byte, n)
		if _, err = io.ReadFull(body, b); err == nil {
			return b, nil
		}
	}
	if errors.Is(err, storage.ErrChanged) {
		return nil, fmt.Errorf("input changed while the job was planned: %w: run it again when nothing writes to its input", err)
	}
	return nil, err
}
