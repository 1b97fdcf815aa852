package sched

import "fmt"

// fail takes an attempt's failure. A charged one counts against the task and the worker; the others have a limit of
// their own, so that no job goes on for ever.
func (s *State) fail(a *attempt, f Failure) {
	j, p, w := a.job, a.phase, a.worker
	s.giveBack(a)
	if f.Kind == FailFetch && !s.keeps(unchargedFetch) {
		f.Kind = FailTask
	}
	switch f.Kind {
	case FailReturned:
		s.report(a, f)
		s.spare(j, p, int(a.index), f.Text)
	case FailFetch:
		s.report(a, f)
		s.fetchFailed(j, f.Run)
		s.spare(j, p, int(a.index), f.Text)
	case FailReach:
		s.report(a, f)
		s.outOfReach(a, f)
		s.spare(j, p, int(a.index), f.Text)
	case FailWorker:
		s.workerFailed(a, f)
	case FailJob:
		s.report(a, f)
		s.end(j, JobFailed, fmt.Sprintf("%s on worker %s: %s", a.id().Task.short(), w.id, f.Text))
	default:
		s.charge(a, f)
	}
}

// charge counts a failure against the task and the worker, and ends the job at the task's limit.
func (s *State) charge(a *attempt, f Failure) {
	j, t, w := a.job, a.task(), a.worker
	t.charged++
	t.failedOn = w
	a.phase.failures++
	s.report(a, f)
	if int(t.charged) >= j.spec.MaxAttempts {
		s.end(j, JobFailed, fmt.Sprintf("%s failed %d times, the last time as attempt %d on worker %s: %s",
			a.id().Task.short(), t.charged, a.n, w.id, f.Text))
		return
	}
	j.retries++
	s.strike(j, w, f.Text)
}

// workerFailed takes a failure of the worker's own machine. The worker rests from the job, and the task goes elsewhere uncharged. If
// there is nobody else, the job must not wait for ever for a disk that nobody may ever mend: then it is a failure as any other.
func (s *State) workerFailed(a *attempt, f Failure) {
	j, w := a.job, a.worker
	if !s.hasOther(j, w, nil) {
		f.Kind = FailTask
		s.charge(a, f)
		return
	}
	a.task().failedOn = w
	s.report(a, f)
	s.leaveOut(j, w, s.o.Rest, true, "cannot work", f.Text)
	s.spare(j, a.phase, int(a.index), f.Text)
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
