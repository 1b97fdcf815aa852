package sched

import (
	"fmt"
	"time"
)

// unread is a run that a reducer could not fetch.
type unread struct{ at time.Duration }

// fail takes an attempt's failure. A charged one counts against the task and the worker; the others have a limit of
// their own, so that no job goes on for ever.
func (s *State) fail(a *attempt, f Failure) {
	j, p, t, w := a.job, a.phase, a.task(), a.worker
	s.giveBack(a)
	switch f.Kind {
	case FailFetch, FailReturned:
		s.report(a, f)
		if f.Kind == FailFetch {
			s.fetchFailed(j, f.Run)
		}
		s.spare(j, p, int(a.index), f.Text)
	case FailJob:
		s.report(a, f)
		s.end(j, JobFailed, fmt.Sprintf("%s on worker %s: %s", a.id().Task.short(), w.id, f.Text))
	default:
		t.charged++
		t.failedOn = w
		p.failures++
		s.report(a, f)
		if int(t.charged) >= j.spec.MaxAttempts {
			s.end(j, JobFailed, fmt.Sprintf("%s failed %d times, the last time as attempt %d on worker %s: %s",
				a.id().Task.short(), t.charged, a.n, w.id, f.Text))
			return
		}
		j.retries++
		s.strike(j, w)
	}
}

func (s *State) report(a *attempt, f Failure) {
	s.emit(Failed{Worker: a.worker.id, Attempt: a.id(), Failure: f, Charged: int(a.task().charged), Max: a.job.spec.MaxAttempts})
}

// giveBack takes an attempt without a result off its task and job.
func (s *State) giveBack(a *attempt) {
	if err := a.phase.end(a); err != nil {
		panic(fmt.Sprintf("sched: give back %v: %v", a.id(), err))
	}
	s.detach(a)
}

// spare counts an uncharged loss of a task, and ends the job at the limit.
func (s *State) spare(j *job, p *phase, index int, text string) {
	if j.state != Running {
		return
	}
	t := &p.tasks[index]
	t.spared++
	j.retries++
	if int(t.spared) > s.o.MaxUncharged {
		id := TaskID{Job: j.id, Phase: p.kind, Index: index}
		s.end(j, JobFailed, fmt.Sprintf("%s was lost %d times without its own fault, the last time because: %s; "+
			"are workers dying, or cut off from each other?", id.short(), t.spared, text))
	}
}

// strike counts a charged failure against the worker; excluded reads the count.
func (s *State) strike(j *job, w *worker) {
	for i := range j.strikes {
		if k := &j.strikes[i]; k.worker == w {
			k.n++
			if k.n == s.o.MaxWorkerFailures && s.excluded(j, w) {
				s.note(j, w, "failed %d tasks of the job and is left out of it", k.n)
			}
			return
		}
	}
	j.strikes = append(j.strikes, strike{worker: w, n: 1})
}

// excluded says whether the job leaves the worker out: the workers that failed it often, in the order of their first
// failure, but never more than a third of those that there are now.
func (s *State) excluded(j *job, w *worker) bool {
	before, found := 0, false
	for _, k := range j.strikes {
		if k.n >= s.o.MaxWorkerFailures && k.worker.able() {
			if k.worker == w {
				found = true
				break
			}
			before++
		}
	}
	return found && before < s.ableCount()/3
}

func (s *State) ableCount() int {
	n := 0
	for _, w := range s.roster {
		if w.able() {
			n++
		}
	}
	return n
}

// avoids says whether the task must not go to w, because it failed there last and another worker could try it.
func (s *State) avoids(j *job, t *task, w *worker) bool {
	if t.failedOn != w {
		return false
	}
	for _, other := range s.roster {
		if other != w && other.able() && !s.excluded(j, other) {
			return true
		}
	}
	return false
}

// fetchFailed gives a run up that could not be read. A report about a run that is selected no more does nothing; several
// about different runs of one worker take all its runs back, though the worker itself goes on.
func (s *State) fetchFailed(j *job, run AttemptID) {
	if run.Task.Job != j.id || run.Task.Phase != Map {
		return
	}
	_, t := j.task(run.Task)
	if t == nil || t.state != selected || int(t.chosen) != run.N {
		return
	}
	w := t.by
	s.loseRun(j, run.Task.Index)
	if j.spec.Durable {
		return
	}
	if len(w.unread) >= s.o.MaxFetchFailures-1 && s.now-w.unread[len(w.unread)-s.o.MaxFetchFailures+1].at <= s.o.FetchWindow {
		w.unread = nil
		s.note(nil, w, "%d of its runs could not be read: all its runs are given up", s.o.MaxFetchFailures)
		s.loseRuns(w)
		return
	}
	w.unread = append(w.unread, unread{at: s.now})
	if len(w.unread) >= s.o.MaxFetchFailures {
		w.unread = w.unread[1:]
	}
}

// loseRuns takes back all selected runs that lie on a worker.
func (s *State) loseRuns(w *worker) {
	held := w.held
	w.held = nil
	for _, h := range held {
		if h.job.state != Running {
			continue
		}
		for _, i := range h.maps {
			if t := &h.job.maps().tasks[i]; t.state == selected && t.by == w {
				s.loseRun(h.job, int(i))
			}
		}
	}
}

// loseRun takes a selected run back; its task runs again only if a reduce task is still to finish.
func (s *State) loseRun(j *job, index int) {
	p := j.maps()
	t := &p.tasks[index]
	id := AttemptID{Task: TaskID{Job: j.id, Phase: Map, Index: index}, N: int(t.chosen)}
	by := t.by
	if err := p.takeBack(index, id.N, j.needsMaps()); err != nil {
		panic(fmt.Sprintf("sched: lose %v: %v", id, err))
	}
	if h := by.holding(j); h != nil {
		h.live--
	}
	if !j.needsMaps() {
		j.gone = append(j.gone, int32(index))
	}
	s.emit(Record{Kind: RecordLost, Job: j.id, Attempt: id})
	s.emit(RunLost{Attempt: id, Worker: by.id})
}
