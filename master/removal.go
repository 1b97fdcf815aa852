package master

import (
	"context"
	"time"

	"github.com/millrace/millrace/master/journal"
)

// A job with --overwrite removes the manifest that its output has, and in the end writes its own under the same name. Storages
// have no removal on a condition that all of them know. So a removal that is done late, after that manifest was written, would
// take it away: one that this master tried more than once, or one of an earlier master that was stopped, or cut off, in the
// midst of the commit. Nobody can call such a request back. It is waited out: what was sent lateRemoval ago is done, or never
// will be. The simulation of package sched found both ways, and proves that the wait is enough.

const (
	// lateRemoval is how long after it was sent a removal may still be done. The S3 client gives a request up earlier.
	lateRemoval = 20 * time.Second
	// promptRemoval is how long a removal takes that was tried only once.
	promptRemoval = time.Second
)

// leads says whether the term lasts; it is asked before each change of the storage that another master could be hurt by.
func (m *Master) leads() error {
	if !m.term.Lasts() {
		return journal.ErrFenced
	}
	return nil
}

// removeOld removes an object that a job's output replaces, and notes when it may be done once more.
func (m *Master) removeOld(ctx context.Context, j *job, url string) error {
	if err := m.leads(); err != nil {
		return err
	}
	begun := time.Now()
	err := m.o.Store.Remove(ctx, url)
	if err != nil || time.Since(begun) > promptRemoval {
		j.unsure = time.Now()
	}
	return err
}

// outwait waits until no removal can come late any more, and says whether it had to: what the storage held before may be gone.
func (m *Master) outwait(ctx context.Context, j *job) (waited bool, err error) {
	left := time.Until(j.unsure.Add(lateRemoval))
	if !j.spec.Overwrite || j.unsure.IsZero() || left <= 0 {
		return false, nil
	}
	m.o.Log.Info("commit: waiting for removals that may be under way", "job", j.id, "for", left.Round(time.Second))
	wait(ctx, left)
	return true, ctx.Err()
}
