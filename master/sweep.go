package master

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/millrace/millrace/storage"
)

// patience ends a context when what is done under it does not get on: a job may have left ten thousand uploads, or a million runs, which
// takes minutes, and a storage that does not answer must not keep anybody waiting as long as that.
type patience struct {
	mu    sync.Mutex
	timer *time.Timer
	life  context.Context // when it has ended nothing is waited for longer; nil: it has
}

// patient begins one; the caller must call cancel.
func (m *Master) patient(ctx context.Context) (_ context.Context, p *patience, cancel func()) {
	ctx, cancel = context.WithTimeout(ctx, sweepLimit)
	p = &patience{timer: time.AfterFunc(sweepTimeout, cancel), life: m.life}
	return ctx, p, cancel
}

// move says that it gets on.
func (p *patience) move() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.life != nil && p.life.Err() == nil {
		p.timer.Reset(sweepTimeout)
	}
}

// sweep aborts the pending uploads of parts in the job's output, as long as this job has claimed it, or else those that are known to be
// its own, and removes its work folder. What it cannot remove it logs: an orphan is invisible, and costs only its space.
func (m *Master) sweep(ctx context.Context, j *job) {
	ctx, p, cancel := m.patient(ctx)
	defer cancel()
	if err := m.trySweep(ctx, j, m.mayClean(ctx, j), p.move); err != nil {
		m.o.Log.Warn("sweep output", "job", j.id, "output", j.spec.Output, "error", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	j.left = nil
}

// trySweep sweeps; all is that the whole output is the job's. It calls moved whenever it gets on.
func (m *Master) trySweep(ctx context.Context, j *job, all bool, moved func()) error {
	folder := j.spec.Output + "/"
	var uploads []storage.Pending
	if !all {
		m.mu.Lock()
		for _, p := range append(j.left, j.placed()...) {
			uploads = append(uploads, p.Pending)
		}
		m.mu.Unlock()
		folder = j.work() + "/"
	}
	err := m.o.Store.Uploads(ctx, folder, func(url, id string, _ time.Time) bool {
		if j.owns(strings.TrimPrefix(url, folder)) || strings.HasPrefix(url, j.work()+"/") {
			uploads = append(uploads, storage.Pending{URL: url, ID: id})
		}
		moved()
		return true
	})
	if err != nil {
		return err
	}
	abort := func(ctx context.Context, p storage.Pending) error { return m.o.Store.Abort(ctx, p) }
	if err := sweepEach(ctx, m, uploads, abort, moved); err != nil || j.spec.Shuffle != "bucket" {
		return err
	}
	var work []string
	err = m.o.Store.List(ctx, j.work()+"/", func(o storage.Info) bool {
		if !isBulk(o.URL) { // the journal points to those still
			work = append(work, o.URL)
		}
		moved()
		return true
	})
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return err
	}
	return sweepEach(ctx, m, work, m.o.Store.Remove, moved)
}

// sweepEach removes things, commitLimit at a time, while the term lasts. It returns the first error.
func sweepEach[T any](ctx context.Context, m *Master, list []T, remove func(context.Context, T) error, moved func()) error {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(commitLimit)
	for _, x := range list {
		if gctx.Err() != nil {
			break
		}
		g.Go(func() error {
			err := m.leads()
			if err == nil {
				err = remove(gctx, x)
			}
			if err == nil {
				moved()
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return ctx.Err()
}
