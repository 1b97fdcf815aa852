package master

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/master/wire"
	"github.com/millrace/millrace/storage/storagetest"
)

// submitAs submits a job of 3 maps and 2 reduces to an output of its own, as a user.
func (l *leader) submitAs(user string, n int) error {
	s := spec()
	s.Output = fmt.Sprintf("mem://b/out-%d", n)
	_, err := l.c.Submit(l.t.Context(), &wire.SubmitArgs{Job: numbered(n), Spec: s, User: user})
	return err
}

func numbered(n int) wire.JobID { return wire.JobID(fmt.Sprintf("aaaaaaaa%02d", n)) }

func (l *leader) mustSubmitAs(user string, n int) {
	l.t.Helper()
	if err := l.submitAs(user, n); err != nil {
		l.t.Fatalf("submit job %d as %q: %v", n, user, err)
	}
}

// A master that has as many open jobs as it takes, in all or of one user, refuses the next one by naming the limit, what is there
// and the flag, lists and claims nothing for it, and takes it when a job has ended. A job that it has is no new one.
func TestFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newWorld(t).leadAs(Options{Volatile: true, Limits: Limits{Jobs: 3, JobsPerUser: 2}})
		l.mustSubmitAs("ann", 1)
		l.mustSubmitAs("ann", 2)
		listed := l.bad.Calls(storagetest.OpList)
		wantError(t, "a third job of ann", l.submitAs("ann", 3), wire.ErrFull, `user "ann" has 2 open jobs`, "takes 2 of one user", "--max-jobs-per-user", "millrace list")
		if n := l.bad.Calls(storagetest.OpList); n != listed {
			t.Errorf("a job that is refused for its user's others lists %d times", n-listed)
		}
		l.mustSubmitAs("ann", 2) // known
		l.mustSubmitAs("", 4)    // of a client that does not tell its user
		wantError(t, "a fourth job", l.submitAs("bob", 5), wire.ErrFull, "has 3 open jobs", "takes 3", "--max-jobs raises", "millrace list")
		l.cancel(numbered(1))
		l.mustSubmitAs("ann", 3)
		l.mustSubmitAs("ann", 1) // ended is known, too
		l.end()
	})
}

// Submissions that come together cannot get past the limit together.
func TestFullAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newWorld(t).leadAs(Options{Volatile: true, Limits: Limits{Jobs: 3}})
		var wg sync.WaitGroup
		var mu sync.Mutex
		taken := 0
		for i := range 10 {
			wg.Go(func() {
				err := l.submitAs("ann", i)
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					taken++
				} else {
					wantError(t, "one too many", err, wire.ErrFull, "takes 3")
				}
			})
		}
		wg.Wait()
		if taken != 3 {
			t.Errorf("%d jobs were taken, want 3", taken)
		}
		l.end()
	})
}

// The tasks of all open jobs are bounded. A job for which there is no room now is refused as one to be submitted later, and leaves
// no claim; one that never fits is refused as it stands.
func TestFullOfTasks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newWorld(t).leadAs(Options{Volatile: true, Limits: Limits{Tasks: 12}})
		l.mustSubmitAs("ann", 1)
		l.mustSubmitAs("bob", 2)
		wantError(t, "a third job", l.submitAs("ann", 3), wire.ErrFull,
			"the job has 5 tasks", "beside the 10 of the open jobs", "takes 2 more", "--split-size, now 110 bytes", "--max-tasks")
		large := spec()
		large.Reducers = 10
		wantError(t, "a job of 13 tasks", l.submit(numbered(4), large), wire.ErrBadSpec, "the job has 13 tasks", "takes 12", "--max-tasks")
		l.cancel(numbered(1))
		l.mustSubmitAs("ann", 3)
		l.end()
	})
}

// The next master counts the jobs that it finds, with their users, and refuses none of them, whatever its limits.
func TestFullSuccessor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		l := w.lead(false)
		for i := range 3 {
			l.mustSubmitAs("ann", i)
		}
		chain := chainSpec()
		if _, err := l.c.Submit(t.Context(), &wire.SubmitArgs{Job: jobB + "cc", Spec: chain, User: "cid"}); err != nil {
			t.Fatal(err)
		}
		l.end()
		next := w.leadAs(Options{Volatile: false, Limits: Limits{JobsPerUser: 1, Tasks: 24}})
		wantError(t, "ann's fourth job", next.submitAs("ann", 7), wire.ErrFull, `user "ann" has 3 open jobs`)
		wantError(t, "cid's second job", next.submitAs("cid", 8), wire.ErrFull, `user "cid" has 1 open jobs`)
		next.mustSubmitAs("bob", 9)
		for i := range 3 {
			next.status(numbered(i), wire.Running)
		}
		next.end()
	})
}

// A chain is one job, whatever its stages are, and these are taken though there is no room for their tasks.
func TestFullChain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newWorld(t).leadAs(Options{Volatile: true, Limits: Limits{Jobs: 2, Tasks: 5}})
		if _, err := l.c.Submit(t.Context(), &wire.SubmitArgs{Job: jobB, Spec: chainSpec(), User: "ann"}); err != nil {
			t.Fatal(err)
		}
		h := l.hire("w", 4)
		h.stage(3)
		h.waitFor(jobB, 1) // its second stage has two tasks
		wantError(t, "a job beside it", l.submitAs("ann", 0), wire.ErrFull, "beside the 2 of the open jobs")
		h.stage(1)
		h.stage(1)
		l.status(jobB, wire.Done)
		l.mustSubmitAs("ann", 0)
		l.end()
	})
}

// Only so many submissions are planned at a time; another waits for its turn, and is refused when that does not come.
func TestPlanningTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newWorld(t).leadAs(Options{Volatile: true, Limits: Limits{Planning: 1}})
		l.bad.Plan(storagetest.Fault{Op: storagetest.OpList, Kind: storagetest.Stall, Times: 1})
		stuck := l.dial(wire.RoleClient)
		defer stuck.Close()
		var wg sync.WaitGroup
		wg.Go(func() { // its listing gets no answer for a minute
			if _, err := stuck.Submit(t.Context(), &wire.SubmitArgs{Job: numbered(1), Spec: spec()}); err == nil {
				t.Error("a submission whose listing is stuck is answered")
			}
		})
		synctest.Wait()
		begun := time.Now()
		wantError(t, "a submission out of turn", l.submitAs("ann", 2), wire.ErrFull, "1 at a time", "submit again later")
		if waited := time.Since(begun); waited != planWait {
			t.Errorf("it was refused after %v, want %v", waited, planWait)
		}
		wg.Wait()
		l.mustSubmitAs("ann", 2)
		l.end()
	})
}
