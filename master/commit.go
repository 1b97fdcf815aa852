package master

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/millrace/millrace/master/journal"
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

// Bounds of the tries of a commit.
const (
	// commitBackoff bounds the wait between two tries. A decided commit is tried until the master's own end: its parts may be
	// visible in part.
	commitBackoff = 30 * time.Second
	// decideLimit is how long a storage that fails is waited for before the decision. All tasks are done by then: a restart
	// of the storage should not throw their work away.
	decideLimit = 10 * time.Minute
	// commitGrace is how long a master without a successor goes on with a decided commit when it is to stop: its output is
	// neither the old one nor the new one meanwhile.
	commitGrace = 30 * time.Second
)

// errForeign is a manifest in the output that another program wrote after this job's output was found free.
var errForeign = errors.New("another program wrote it while this job ran")

// commit carries a job whose tasks are all selected through the steps above. It returns nil when ctx ends: a journal
// that survives brings the job back.
func (m *Master) commit(ctx context.Context, j *job) error {
	if !m.decided(j) {
		if err := m.decideAgain(ctx, j); err != nil {
			return m.failJob(ctx, j, err)
		}
		if !m.decided(j) { // parts were lost, or a cancel was faster
			return nil
		}
	} else if err := m.holdsAgain(ctx, j); isHeld(err) { // an earlier master decided, some time ago
		return m.failCommit(ctx, j, err, "")
	}
	err := m.finishAgain(ctx, j)
	switch {
	case err == nil:
		m.mu.Lock()
		j.finished = true
		m.mu.Unlock()
		_ = m.step(ctx, sched.Committed{Job: j.id}, nil) // fails only when the master stops
	case isHeld(err):
		return m.failCommit(ctx, j, err, "")
	case errors.Is(err, storage.ErrPendingLost):
		return m.failCommit(ctx, j, err, ": run the job again with --overwrite")
	}
	return nil
}

// failCommit ends a job whose commit was decided and has become impossible.
func (m *Master) failCommit(ctx context.Context, j *job, err error, remedy string) error {
	reason := fmt.Sprintf("commit: %v: parts of the output of this job may be visible without %s%s", err, manifest.Name, remedy)
	_ = m.step(ctx, sched.CommitFailed{Job: j.id, Reason: reason}, nil) // fails only when the master stops
	return nil
}

// holdsAgain asks whether the output is held until there is an answer.
func (m *Master) holdsAgain(ctx context.Context, j *job) error {
	for try := 0; ; try++ {
		_, err := m.holds(ctx, j)
		if err == nil || isHeld(err) {
			return err
		}
		m.commitTry(j, try, err)
		if !pause(ctx, try) {
			return nil
		}
	}
}

// decideAgain decides, and waits up to decideLimit for a storage that fails in a way that may pass. A cancel meanwhile wins.
func (m *Master) decideAgain(ctx context.Context, j *job) error {
	begun := time.Now()
	for try := 0; ; try++ {
		err := m.decide(ctx, j)
		if err == nil || ctx.Err() != nil || !storage.IsTransient(err) || time.Since(begun) > decideLimit || m.over(j) {
			return err
		}
		m.commitTry(j, try, err)
		if !pause(ctx, try) || m.over(j) {
			return nil
		}
	}
}

// finishAgain does what follows the decision until it is done; it gives up when that has become impossible, the output is another's, or ctx ended
// and, if no other master will go on, commitGrace is over.
func (m *Master) finishAgain(ctx context.Context, j *job) error {
	stopping := ctx
	if m.o.alone() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithCancel(context.WithoutCancel(stopping))
		defer cancel()
		defer context.AfterFunc(stopping, func() { time.AfterFunc(commitGrace, cancel) })()
	}
	for try := 0; ; try++ {
		var err error
		if try > 0 { // some time has passed since it was asked
			_, err = m.holds(ctx, j)
		}
		if err == nil {
			err = m.finish(ctx, j)
		}
		if err == nil || ctx.Err() != nil || isHeld(err) || errors.Is(err, storage.ErrPendingLost) || errors.Is(err, journal.ErrFenced) {
			return err
		}
		m.commitTry(j, try, err)
		switch {
		case stopping.Err() == nil:
			pause(stopping, try) // a stop hastens the next try
		case errors.Is(err, errForeign): // nobody removes it in the grace
			return err
		default:
			pause(ctx, min(try, 3))
		}
	}
}

// commitWarns is the try, from 0, of which people are told: what passes by itself has passed then.
const commitWarns = 3

// commitTry tells of a try that failed and is followed by another.
func (m *Master) commitTry(j *job, try int, err error) {
	m.mu.Lock()
	j.logf(m.o.Now(), "", "", fmt.Sprintf("commit, try %d: %v", try+1, err))
	if try == commitWarns {
		j.warn(m.o.Now(), fmt.Sprintf("the commit fails, and is tried until it succeeds: %v", err))
	}
	m.mu.Unlock()
	m.o.Log.Error("commit", "job", j.id, "try", try+1, "error", err)
}

// pause waits before the next try, longer each time, and says whether ctx goes on.
func pause(ctx context.Context, try int) bool {
	limit := min(commitBackoff, 100*time.Millisecond<<min(try, 10))
	select {
	case <-time.After(limit/2 + rand.N(limit/2)):
		return true
	case <-ctx.Done():
		return false
	}
}

// over says whether the job has ended.
func (m *Master) over(j *job) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return !j.ended.IsZero()
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
	m.mu.Lock()
	over := j.overRejects()
	m.mu.Unlock()
	if over != "" {
		return errors.New(cut(over, maxFailure))
	}
	for range maxHolds {
		lost, err := m.lookup(ctx, j)
		if err != nil {
			return fmt.Errorf("commit: %w", err)
		}
		if len(lost) > 0 {
			return m.step(ctx, sched.PartsLost{Job: j.id, Attempts: lost}, nil)
		}
		if err := m.checkOutput(ctx, j.spec); err != nil {
			return fmt.Errorf("commit: %w", err)
		}
		again, err := m.holds(ctx, j) // the last look: see hold.go
		if err != nil {
			return fmt.Errorf("commit: %w", err)
		}
		if !again {
			return m.step(ctx, sched.Decided{Job: j.id}, nil)
		}
	}
	return fmt.Errorf("commit: the claim on the output is removed again and again: see what else writes to %s", j.spec.Output)
}

// lookup returns the attempts of which pending uploads are gone.
func (m *Master) lookup(ctx context.Context, j *job) (lost []sched.AttemptID, err error) {
	var mu sync.Mutex
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(commitLimit)
	for _, p := range m.placed(j) {
		g.Go(func() error {
			err := m.o.Store.Lookup(ctx, p.Pending)
			if errors.Is(err, storage.ErrPendingLost) || errors.Is(err, storage.ErrNotFound) {
				mu.Lock()
				defer mu.Unlock()
				if !slices.Contains(lost, p.attempt) {
					lost = append(lost, p.attempt)
				}
				return nil
			}
			return err
		})
	}
	return lost, g.Wait()
}

func (m *Master) placed(j *job) []placed {
	m.mu.Lock()
	defer m.mu.Unlock()
	return j.placed()
}

// finish does steps 3 to 6. Each can be repeated.
func (m *Master) finish(ctx context.Context, j *job) error {
	done, err := m.manifestThere(ctx, j)
	if err != nil {
		return err
	}
	if done {
		if waited, err := m.outwait(ctx, j); err != nil || !waited {
			return err
		}
		if _, err := m.holds(ctx, j); err != nil {
			return err
		}
		return m.finish(ctx, j) // it may have been removed
	}
	if j.spec.Overwrite {
		if err := m.clearOld(ctx, j); err != nil {
			return err
		}
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(commitLimit)
	for _, p := range m.placed(j) {
		g.Go(func() error {
			if err := m.leads(); err != nil {
				return err
			}
			return m.o.Store.Complete(gctx, p.Pending)
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if err := m.trySweep(ctx, j, true, func() {}); err != nil {
		return err
	}
	if _, err := m.outwait(ctx, j); err != nil {
		return err
	}
	body, err := m.manifestBytes(j)
	if err == nil {
		err = m.leads()
	}
	if err != nil {
		return err
	}
	err = m.o.Store.Put(ctx, j.spec.Output+"/"+manifest.Name, body, true)
	if errors.Is(err, storage.ErrPrecondition) {
		return m.foreign(j, err)
	}
	return err
}

// foreign is the error of an output in which another program's manifest appeared.
func (m *Master) foreign(j *job, detail error) error {
	return fmt.Errorf("%s/%s: %w (%w): remove it, and the commit goes on", j.spec.Output, manifest.Name, errForeign, detail)
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

// manifestThere says whether this job's manifest is written already: then a repeated finish must touch nothing. Another one
// is about to be replaced, or an error; what could not be read might be ours.
func (m *Master) manifestThere(ctx context.Context, j *job) (bool, error) {
	out, err := output.Open(ctx, m.o.Store, j.spec.Output)
	switch {
	case errors.Is(err, output.ErrNone):
		return false, nil
	case err != nil && !errors.Is(err, output.ErrForeign):
		return false, err
	case err == nil && out.Manifest.ID == string(j.id):
		return true, nil
	case j.spec.Overwrite:
		return false, nil
	case err == nil:
		err = fmt.Errorf("that of job %s", out.Manifest.ID)
	}
	return false, m.foreign(j, err)
}

// clearOld removes the output that is to be overwritten, the manifest first, so that it is never complete and wrong.
func (m *Master) clearOld(ctx context.Context, j *job) error {
	if err := m.removeOld(ctx, j, j.spec.Output+"/"+manifest.Name); err != nil {
		return err
	}
	keep := map[string]bool{}
	for _, p := range m.placed(j) {
		keep[p.Name] = true // replaced as it is completed, perhaps already
	}
	var old []string
	folder := j.spec.Output + "/"
	err := m.o.Store.List(ctx, folder, func(o storage.Info) bool {
		name := strings.TrimPrefix(o.URL, folder)
		if isPart(name) && !keep[name] || j.parent == nil && strings.HasPrefix(name, StagesFolder+"/") {
			old = append(old, o.URL)
		}
		return true
	})
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return err
	}
	for _, url := range old {
		if err := m.removeOld(ctx, j, url); err != nil {
			return err
		}
	}
	return nil
}
