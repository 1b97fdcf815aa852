package master

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/jobs/plan"
	"github.com/millrace/millrace/master/journal"
	"github.com/millrace/millrace/master/memha"
	"github.com/millrace/millrace/master/sched"
	"github.com/millrace/millrace/master/wire"
)

// A job is found by its id or by what no other id begins with.
func TestPrefixes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newWorld(t).lead(true)
		for i, id := range []wire.JobID{jobA, jobB, "bbbbbbbb01", "bbbbbbbb"} {
			s := spec()
			s.Output = fmt.Sprint("mem://b/out", i)
			l.mustSubmit(id, s)
		}
		for id, want := range map[wire.JobID]wire.JobID{jobA: jobA, "bbbbbbbb0": "bbbbbbbb01", "bbbbbbbb": "bbbbbbbb"} {
			if s, err := l.c.Watch(t.Context(), &wire.WatchArgs{Job: id}); err != nil || s.ID != want {
				t.Errorf("%s: got %v, %v", id, s, err)
			}
		}
		for id, want := range map[wire.JobID]error{"a": wire.ErrAmbiguousID, "": wire.ErrNoJob, "c": wire.ErrNoJob} {
			_, err := l.c.Watch(t.Context(), &wire.WatchArgs{Job: id})
			wantError(t, "Watch "+string(id), err, want)
			_, err = l.c.Logs(t.Context(), &wire.LogsArgs{Job: id})
			wantError(t, "Logs "+string(id), err, want)
			_, err = l.c.Cancel(t.Context(), &wire.CancelArgs{Job: id})
			wantError(t, "Cancel "+string(id), err, want)
		}
		l.end()
	})
}

// Watch answers at once when there is something newer, else after its time, and at once when the job has ended.
func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newWorld(t).lead(true)
		l.mustSubmit(jobA, spec())
		s, err := l.c.Watch(t.Context(), &wire.WatchArgs{Job: jobA})
		if err != nil || s.State != wire.Running || s.Objects != 3 || s.Output != "mem://b/out" {
			t.Fatalf("got %+v, %v", s, err)
		}
		begun := time.Now()
		if _, err := l.c.Watch(t.Context(), &wire.WatchArgs{Job: jobA, Version: s.Version, Wait: 7 * time.Second}); err != nil || time.Since(begun) != 7*time.Second {
			t.Errorf("without news Watch answers after %v, %v", time.Since(begun), err)
		}
		begun = time.Now()
		if _, err := l.c.Watch(t.Context(), &wire.WatchArgs{Job: jobA, Wait: 7 * time.Second, Pause: time.Second}); err != nil || time.Since(begun) != 7*time.Second {
			t.Errorf("with news before its pause Watch answers after %v, %v", time.Since(begun), err)
		}
		cancelled := l.cancelAfter(time.Second, jobA)
		begun = time.Now()
		if now, err := l.c.Watch(t.Context(), &wire.WatchArgs{Job: jobA, Version: s.Version, Wait: time.Hour}); err != nil || now.Version <= s.Version || time.Since(begun) != time.Second {
			t.Errorf("got version %v after %v, %v", now, time.Since(begun), err)
		}
		end := l.status(jobA, wire.Cancelled)
		begun = time.Now()
		if _, err := l.c.Watch(t.Context(), &wire.WatchArgs{Job: jobA, Version: end.Version, Wait: time.Hour, Pause: time.Hour}); err != nil || time.Since(begun) > 0 {
			t.Errorf("of an ended job Watch answers after %v, %v", time.Since(begun), err)
		}
		cancelled()
		l.end()
	})
}

// List shows the newest jobs first, a page of them.
func TestList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newWorld(t).lead(true)
		for i := range 5 {
			s := spec()
			s.Output = fmt.Sprint("mem://b/out", i)
			l.mustSubmit(wire.JobID(fmt.Sprint("job-0000", i)), s)
		}
		r, err := l.c.List(t.Context(), &wire.ListArgs{Max: 2})
		if err != nil || len(r.Jobs) != 2 || !r.More || r.Jobs[0].ID != "job-00004" || r.Jobs[1].ID != "job-00003" || r.Jobs[0].Inputs != nil {
			t.Errorf("got %+v, %v", r, err)
		}
		if r, err = l.c.List(t.Context(), &wire.ListArgs{Max: 5}); err != nil || len(r.Jobs) != 5 || r.More {
			t.Errorf("got %+v, %v", r, err)
		}
		l.end()
	})
}

// A job's log tells of its workers and failures, in pages; a reader that waits hears of the next line, and of the end.
func TestLogs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newWorld(t).lead(true)
		l.mustSubmit(jobA, spec())
		h := l.hire("w", 1)
		task := h.get(wire.Map)
		h.args.Done = []wire.Outcome{{Attempt: task.Attempt, Failure: &wire.Failure{Text: "no luck"}}}
		if err := h.poll(); err != nil {
			t.Fatal(err)
		}
		var text []string
		logs := &wire.LogsArgs{Job: jobA, Wait: time.Minute}
		cancelled := l.cancelAfter(10*time.Second, jobA)
		for {
			r, err := l.c.Logs(t.Context(), logs)
			if err != nil {
				t.Fatal(err)
			}
			for _, x := range r.Lines {
				text = append(text, fmt.Sprintf("%s %s %s", x.Attempt, x.Worker, x.Text))
			}
			logs.Cursor = r.Cursor
			if r.End {
				break
			}
		}
		all := strings.Join(text, "\n")
		for _, want := range []string{"host-w joined with 1 slots", task.Attempt.String() + " host-w attempt failed (1 of 4): no luck", "cancelled"} {
			if !strings.Contains(all, want) {
				t.Errorf("the log lacks %q:\n%s", want, all)
			}
		}
		if s := l.status(jobA, wire.Cancelled); s.Retries != 1 {
			t.Errorf("%d retries", s.Retries)
		}
		cancelled()
		l.end()
	})
}

// The log of a job is bounded: the oldest lines go, and readers' places stay right.
func TestLogBound(t *testing.T) {
	m := &Master{jobs: map[sched.JobID]*job{}}
	j := &job{id: jobA, changed: make(chan struct{})}
	m.jobs[jobA] = j
	m.order = []sched.JobID{jobA}
	for i := range maxLogLines + 5 {
		j.logf(time.Time{}, "", "", fmt.Sprint(i))
	}
	if len(j.log) > maxLogLines {
		t.Errorf("%d lines are kept", len(j.log))
	}
	next := maxLogLines / 10 // what a reader who comes late begins with
	for args := (&wire.LogsArgs{Job: jobA}); next < maxLogLines+5; {
		r, err := m.Logs(context.Background(), args)
		if err != nil || len(r.Lines) == 0 || len(r.Lines) > maxPage {
			t.Fatalf("got %d lines, %v", len(r.Lines), err)
		}
		for _, x := range r.Lines {
			if x.Text != fmt.Sprint(next) {
				t.Fatalf("got line %s, want %d", x.Text, next)
			}
			next++
		}
		args.Cursor = r.Cursor
	}
}

// The log of a job is bounded in bytes too, as failures may have long texts. Those of ended jobs are bounded together: a thousand are
// kept, and the logs of those that ended first become shorter, from the front.
func TestLogBytes(t *testing.T) {
	m := &Master{jobs: map[sched.JobID]*job{}}
	text := strings.Repeat("x", maxFailure)
	for i := range 4 {
		j := &job{id: wire.JobID(fmt.Sprint(i)), ended: time.Unix(int64(10-i), 0)}
		m.jobs[j.id], m.order = j, append(m.order, j.id)
		for range 2 * maxLogBytes / maxFailure {
			j.logf(time.Time{}, "", "", text)
		}
		j.logf(time.Time{}, "", "", "the last")
	}
	size := func(i int) (n int) {
		j := m.jobs[m.order[i]]
		for _, line := range j.log {
			n += len(line.Text)
		}
		if n != j.logged || j.log[len(j.log)-1].Text != "the last" || j.dropped+len(j.log) != 2*maxLogBytes/maxFailure+1 {
			t.Errorf("job %d: %d bytes, counted as %d; %d lines and %d dropped", i, n, j.logged, len(j.log), j.dropped)
		}
		return n
	}
	sum := 0
	for i := range 4 {
		n := size(i)
		if n > maxLogBytes || n < maxLogBytes/2 {
			t.Errorf("job %d: %d bytes are kept", i, n)
		}
		sum += n
	}
	whole := size(0)
	m.shortenLogsLocked(sum)
	if size(3) != whole {
		t.Error("a log is shortened for nothing")
	}
	m.shortenLogsLocked(sum * 3 / 4)
	for i, short := range []bool{false, false, true, true} {
		if n := size(i); short != (n <= endedLogSize) || n < endedLogSize/2 {
			t.Errorf("job %d, %d bytes are kept", i, n)
		}
	}
}

// Ended jobs are bounded: the oldest are forgotten, running ones never. Their records go from the journal.
func TestForgetOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newWorld(t).lead(false)
		l.mustSubmit(jobA, spec()) // runs all the time
		for i := range maxEndedJobs + 3 {
			id := wire.JobID(fmt.Sprintf("job-%07d", i))
			s := spec()
			s.Output = "mem://b/other"
			l.mustSubmit(id, s)
			l.cancel(id)
			l.status(id, wire.Cancelled)
		}
		time.Sleep(time.Second) // the records of a forgotten job go behind its end, and the journal writes ten times a second
		l.m().mu.Lock()
		n, first := len(l.m().jobs), l.m().order[1]
		l.m().mu.Unlock()
		if n != maxEndedJobs+1 || first != "job-0000003" {
			t.Errorf("%d jobs are known, the oldest ended one is %s", n, first)
		}
		logs, err := l.m().journal.Load(t.Context())
		if err != nil || len(logs) != maxEndedJobs+1 {
			t.Errorf("the journal has %d jobs, %v", len(logs), err)
		}
		l.end()
	})
}

// Who asks for the open jobs is told of those that run and not of those that have ended.
func TestListOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newWorld(t).lead(true)
		l.mustSubmit(jobA, spec())
		other := spec()
		other.Output = "mem://b/other"
		l.mustSubmit(jobB, other)
		l.cancel(jobB)
		l.status(jobB, wire.Cancelled)
		synctest.Wait() // until it is cleaned up behind
		for open, want := range map[bool]int{false: 2, true: 1} {
			reply, err := l.c.List(t.Context(), &wire.ListArgs{Open: open})
			if err != nil || len(reply.Jobs) != want || reply.Jobs[want-1].ID != jobA || reply.More {
				t.Errorf("open %v: got %+v, %v", open, reply, err)
			}
		}
		l.end()
	})
}

// A master whose journal ends with it keeps no records of ended jobs.
func TestForgetVolatile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newWorld(t).lead(true)
		l.mustSubmit(jobA, spec())
		l.cancel(jobA)
		l.status(jobA, wire.Cancelled)
		synctest.Wait()
		if logs, err := l.m().journal.Load(t.Context()); err != nil || len(logs) != 0 {
			t.Errorf("the journal holds %v, %v", logs, err)
		}
		l.end()
	})
}

// Pages are bounded, whatever is asked for.
func TestClampPage(t *testing.T) {
	got := []int{clampPage(-1), clampPage(0), clampPage(1), clampPage(maxPage), clampPage(maxPage + 1)}
	if want := []int{maxPage, maxPage, 1, maxPage, maxPage}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// A chain is one of the ended jobs that are kept, whatever stages it has: these push out nobody's job. They are bounded themselves, go with
// their chain, and stay while it has still to look how they ended.
func TestForgetOldChains(t *testing.T) {
	t.Parallel()
	mem := memha.New()
	term, err := mem.Campaign(t.Context(), journal.Candidate{})
	if err != nil {
		t.Fatal(err)
	}
	m := newMaster(Options{Backend: mem, Log: slog.New(slog.DiscardHandler)}, term)
	if _, err := m.journal.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	at := time.Now()
	add := func(id wire.JobID, stages int, open bool) {
		for i := range stages + 1 {
			j := newJob(id, &plan.Plan{}, at)
			if i > 0 {
				j = newJob(stageID(id, i-1), &plan.Plan{}, at)
			}
			if stages > 0 && i == 0 {
				j.chain = &chain{done: make([]jobs.StageResult, stages-1)}
			}
			if !open || i > 0 {
				at = at.Add(time.Second)
				j.ended, j.clean = at, true
			}
			m.jobs[j.id] = j
			m.order = append(m.order, j.id)
		}
	}
	kept := func(id wire.JobID, stage int) bool { return m.jobs[stageID(id, stage)] != nil }
	forget := func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.forgetOldLocked(t.Context())
	}
	add("running1", 3, true)
	add("oldest01", 200, false)
	add("chain002", 200, false)
	for i := range maxEndedJobs - 5 {
		add(wire.JobID(fmt.Sprintf("job-%05d", i)), 0, false)
	}
	forget()
	if n := len(m.jobs); n != 1+maxEndedJobs-3+403 || len(m.order) != n {
		t.Errorf("%d jobs are known with two chains of 200 stages and one that runs, %d in order", n, len(m.order))
	}
	add("chain003", maxEndedStages-100, false)
	add("chain004", 50, false)
	forget()
	if kept("running1", 0) || kept("running1", 1) || !kept("running1", 2) || kept("oldest01", 199) || kept("chain002", 149) || !kept("chain002", 150) || !kept("chain003", 0) {
		t.Error("not the stages go that ended first")
	}
	if n := len(m.jobs); n != 1+maxEndedJobs-1+maxEndedStages+1 || m.jobs["oldest01"] == nil {
		t.Errorf("%d jobs are known", n)
	}
	for i := range 3 {
		add(wire.JobID(fmt.Sprintf("late-%03d", i)), 0, false)
	}
	forget()
	if m.jobs["oldest01"] != nil || m.jobs["chain002"] != nil || kept("chain002", 150) || kept("chain002", 199) || m.jobs["job-00000"] == nil || !kept("chain003", 0) {
		t.Error("not the oldest chains go, with their stages")
	}
	if m.jobs["running1"] == nil || len(m.jobs) != 1+maxEndedJobs+1+maxEndedStages-50 {
		t.Errorf("%d jobs are known", len(m.jobs))
	}
	if err := m.background.Wait(); err != nil {
		t.Error(err)
	}
}
