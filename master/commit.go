package master

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/millrace/millrace/master/sched"
	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/manifest"
	"github.com/millrace/millrace/storage/output"
)

// The commit makes all of a job's output visible, or none, whatever stops in between:
//
//  1. Every selected part's upload is looked up; the lost ones run again (PartsLost), and the commit starts anew.
//  2. The decision becomes durable in the journal (Decided). Until here a cancel wins, from here on it loses.
//  3. Old output is removed, if it is to be overwritten, its manifest first.
//  4. The uploads are completed. Each step from 3 on can be repeated, by this master or the next one.
//  5. Other pending uploads in the folder, of attempts that lost, are aborted.
//  6. The manifest is written, only if there is none; our own from an earlier try is the same bytes.
//  7. The job is committed.
//
// Only this code completes uploads, so an attempt that lost, or a worker that was thought dead, can make nothing visible.

// commitBackoff bounds the wait between two tries to finish a decided commit. There is no limit to the tries but the
// master's own end: a decided job has no other way out, and its parts may be visible in part.
const commitBackoff = 30 * time.Second

// commit carries a job whose tasks are all selected through the steps above. It returns nil when ctx ends: a journal
// that survives brings the job back.
func (m *Master) commit(ctx context.Context, j *job) error {
	if !m.decided(j) {
		if err := m.decide(ctx, j); err != nil {
			return m.failJob(ctx, j, err)
		}
		if !m.decided(j) { // parts were lost, or a cancel was faster
			return nil
		}
	}
	for try := 0; ; try++ {
		err := m.finish(ctx, j)
		if err == nil || ctx.Err() != nil {
			break
		}
		if errors.Is(err, storage.ErrPrecondition) {
			err = fmt.Errorf("another program wrote %s/%s after this job was decided: remove it, and the commit goes on", j.spec.Output, manifest.Name)
		}
		m.mu.Lock()
		j.logf(m.o.Now(), "", "", fmt.Sprintf("commit, try %d: %v", try+1, err))
		m.mu.Unlock()
		m.o.Log.Error("commit", "job", j.id, "try", try+1, "error", err)
		limit := min(commitBackoff, 100*time.Millisecond<<min(try, 10))
		select {
		case <-time.After(limit/2 + rand.N(limit/2)):
		case <-ctx.Done():
			return nil
		}
	}
	if ctx.Err() == nil {
		_ = m.step(ctx, sched.Committed{Job: j.id}, nil) // fails only when ctx ends
	}
	return nil
}

func (m *Master) decided(j *job) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	v, ok := m.sched.Job(j.id)
	return ok && v.State == sched.Committing
}

func (m *Master) failJob(ctx context.Context, j *job, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	_ = m.step(ctx, sched.Fail{Job: j.id, Reason: err.Error()}, nil) // fails only when ctx ends
	return nil
}

// decide does steps 1 and 2.
func (m *Master) decide(ctx context.Context, j *job) error {
	lost, err := m.lookup(ctx, j)
	if err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	if len(lost) > 0 {
		return m.step(ctx, sched.PartsLost{Job: j.id, Parts: lost}, nil)
	}
	if err := m.checkOutput(ctx, j.spec); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return m.step(ctx, sched.Decided{Job: j.id}, nil)
}

// lookup returns the partitions whose pending uploads are gone.
func (m *Master) lookup(ctx context.Context, j *job) (lost []int, err error) {
	var mu sync.Mutex
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(commitLimit)
	for p, r := range m.pending(j) {
		g.Go(func() error {
			err := m.o.Store.Lookup(ctx, r)
			if errors.Is(err, storage.ErrPendingLost) || errors.Is(err, storage.ErrNotFound) {
				mu.Lock()
				lost = append(lost, p)
				mu.Unlock()
				return nil
			}
			return err
		})
	}
	return lost, g.Wait()
}

func (m *Master) pending(j *job) []storage.Pending {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make([]storage.Pending, len(j.parts))
	for p, r := range j.parts {
		out[p] = r.Part
	}
	return out
}

// finish does steps 3 to 6. Each can be repeated.
func (m *Master) finish(ctx context.Context, j *job) error {
	done, err := m.manifestThere(ctx, j)
	if done || err != nil {
		return err
	}
	if j.spec.Overwrite {
		if err := m.clearOld(ctx, j); err != nil {
			return err
		}
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(commitLimit)
	for _, p := range m.pending(j) {
		g.Go(func() error { return m.o.Store.Complete(gctx, p) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if err := m.trySweep(ctx, j); err != nil {
		return err
	}
	body, err := m.manifestBytes(j)
	if err != nil {
		return err
	}
	return m.o.Store.Put(ctx, j.spec.Output+"/"+manifest.Name, body, true)
}

func (m *Master) manifestBytes(j *job) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	mf, err := j.manifest()
	if err != nil {
		return nil, err
	}
	return mf.Encode()
}

// manifestThere says whether this job's manifest is written already: then a repeated finish must touch nothing.
func (m *Master) manifestThere(ctx context.Context, j *job) (bool, error) {
	out, err := output.Open(ctx, m.o.Store, j.spec.Output)
	if errors.Is(err, output.ErrNone) || err != nil && j.spec.Overwrite { // an unreadable one is about to be replaced
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return out.Manifest.ID == string(j.id), nil
}

// clearOld removes the output that is to be overwritten, the manifest first, so that it is never complete and wrong.
func (m *Master) clearOld(ctx context.Context, j *job) error {
	if err := m.o.Store.Remove(ctx, j.spec.Output+"/"+manifest.Name); err != nil {
		return err
	}
	keep := map[string]bool{}
	for p := range j.parts {
		keep[manifest.PartName(p)] = true // replaced as it is completed, perhaps already
	}
	var old []string
	folder := j.spec.Output + "/"
	err := m.o.Store.List(ctx, folder, func(o storage.Info) bool {
		if name := path.Base(o.URL); folder+name == o.URL && isPart(name) && !keep[name] {
			old = append(old, o.URL)
		}
		return true
	})
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return err
	}
	for _, url := range old {
		if err := m.o.Store.Remove(ctx, url); err != nil {
			return err
		}
	}
	return nil
}
