package sched

import "fmt"

// fail takes an attempt's failure. A charged one counts against the task and the worker; the others have a limit of
// their own, so that no job goes on for ever.
func (s *State) fail(a *attempt, f Failure) {
	j, p, t, w := a.job, a.phase, a.task(), a.worker
	s.giveBack(a)
	if f.Kind == FailFetch && !s.keeps(unchargedFetch) {
		f.Kind = FailTask
	}
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
