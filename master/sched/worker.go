package sched

import (
	"slices"
	"time"
)

// worker is one incarnation of a worker process.
type worker struct {
	id       WorkerID
	slots    int
	kept     int           // attempts that it had after its last report, which may be more than its slots when those shrank
	lease    time.Duration // when it is lost unless it polls
	joined   bool          // false: known from records only, and waited for
	draining bool
	lost     bool
	idle     bool // Invariant: it is in State.idle

	running []*attempt // as assigned, ending ones too. Invariant: at most slots, but for kept
	held    []*holding
	unread  []time.Duration // when runs of it could not be read, the latest MaxFetchFailures of them
}

func (w *worker) canTake() bool {
	return w.joined && !w.lost && !w.draining && len(w.running) < w.slots
}

// able says whether the worker takes attempts at all, now or when a slot is free.
func (w *worker) able() bool { return w.joined && !w.lost && !w.draining && w.slots > 0 }

func (w *worker) find(id AttemptID) *attempt {
	for _, a := range w.running {
		if int(a.n) == id.N && int(a.index) == id.Task.Index && a.phase.kind == id.Task.Phase && a.job.id == id.Task.Job {
			return a
		}
	}
	return nil
}

func (s *State) poll(p Poll) {
	if s.refused[p.Worker] {
		s.emit(Refused{Worker: p.Worker})
		return
	}
	w := s.join(p)
	s.reconcile(w, p)
	for _, o := range p.Done {
		s.finish(w, o)
	}
	s.trim(w)
	w.kept = len(w.running)
	if !w.idle && w.canTake() {
		w.idle = true
		s.idle = append(s.idle, w)
	}
}

func (s *State) join(p Poll) *worker {
	w := s.workers[p.Worker]
	if w == nil {
		w = s.enlist(p.Worker)
	}
	if !w.joined {
		w.joined = true
		s.absent--
		s.note(nil, w, "joined with %d slots", p.Slots)
	}
	if p.Draining && !w.draining {
		s.note(nil, w, "drains")
	}
	w.slots, w.draining = max(p.Slots, 0), p.Draining
	w.lease = s.now + max(s.o.Lease, leaseHeartbeats*s.Heartbeat())
	return w
}

// leaseHeartbeats is how many heartbeats make the shortest lease: that many in a row are not lost by chance.
const leaseHeartbeats = 5

// Heartbeat is how long a worker should wait before it polls with nothing to say; 0: as it likes, since there are few workers.
func (s *State) Heartbeat() time.Duration {
	if len(s.roster) <= s.o.MaxHeartbeats {
		return 0
	}
	return time.Duration(len(s.roster)) * time.Second / time.Duration(s.o.MaxHeartbeats)
}

func (s *State) enlist(id WorkerID) *worker {
	w := &worker{id: id}
	s.workers[id] = w
	s.roster = append(s.roster, w)
	s.absent++
	return w
}

// finish takes an attempt's end. The report of one that is not the worker's does nothing, unless it is a result from an
// earlier term for a task that still waits.
func (s *State) finish(w *worker, o Outcome) {
	a := w.find(o.Attempt)
	if a == nil && o.Failure == nil {
		a = s.adopt(w, o.Attempt)
	}
	if a == nil {
		return
	}
	w.running = remove(w.running, a)
	switch {
	case a.ending && s.keeps(killedIsOver):
		a.job.ending--
		s.compare(a, o)
	case o.Failure != nil:
		s.fail(a, *o.Failure)
	default:
		s.succeed(a, o.Checksum)
	}
}

// compare looks at the result of a killed attempt, which is dropped, only to see whether the map function repeats itself.
func (s *State) compare(a *attempt, o Outcome) {
	if o.Failure != nil || a.phase.kind != Map || a.job.state != Running {
		return
	}
	if t := a.task(); t.summed && t.sum != o.Checksum {
		s.end(a.job, JobFailed, nonDeterministic(a))
	}
}

// maxUnseen is how many reports in a row may not show an assigned attempt. One or two are answers under way or lost; a
// worker that never begins it would keep the job for ever.
const maxUnseen = 20

// reconcile makes the worker's view and ours the same: what it runs and should not is killed, what it should run and does
// not is assigned again, and a killed attempt that it shows no more has left its slot.
func (s *State) reconcile(w *worker, p Poll) {
	var ignored []*attempt
	seen := make(map[AttemptID]bool, len(p.Running)+len(p.Done))
	for _, o := range p.Done {
		seen[o.Attempt] = true
	}
	for _, pr := range p.Running {
		seen[pr.Attempt] = true
		a := w.find(pr.Attempt)
		if a == nil {
			a = s.adopt(w, pr.Attempt)
		}
		switch {
		case a == nil:
			if !s.selectedOn(w, pr.Attempt) {
				s.emit(Kill{Worker: w.id, Attempt: pr.Attempt, Reason: "not assigned to this worker"})
			}
		case a.ending:
			s.emit(Kill{Worker: w.id, Attempt: pr.Attempt, Reason: "killed before"})
		default:
			a.progress(s.now, pr)
		}
	}
	w.running = slices.DeleteFunc(w.running, func(a *attempt) bool {
		if seen[a.id()] {
			return false
		}
		if a.ending {
			a.job.ending--
			return true
		}
		if a.unseen++; a.unseen > maxUnseen {
			s.giveBack(a)
			a.task().failedOn = w
			ignored = append(ignored, a)
			return true
		}
		s.emit(Assign{Worker: w.id, Attempt: a.id(), Backup: a.backup})
		return false
	})
	for _, a := range ignored {
		s.emit(Kill{Worker: w.id, Attempt: a.id(), Reason: "the worker does not begin it"})
		s.spare(a.job, a.phase, int(a.index), "worker "+string(w.id)+" did not begin it")
	}
}

// trim takes attempts back from a worker that has fewer slots than it had: the worker may have queued a map behind a reduce
// that waits for it. A draining worker keeps what it runs, whatever slots it reports.
func (s *State) trim(w *worker) {
	for !w.draining {
		n := 0
		var last *attempt
		for _, a := range w.running {
			if a.ending {
				continue
			}
			n++
			if last == nil || a.phase.kind > last.phase.kind || a.phase.kind == last.phase.kind && a.less(last) {
				last = a
			}
		}
		if n <= w.slots {
			return
		}
		s.giveBack(last)
		s.kill(last, "the worker has fewer slots now")
	}
}

// selectedOn says whether the attempt is w's and selected: a late poll shows it running, and it must keep its result.
func (s *State) selectedOn(w *worker, id AttemptID) bool {
	n, by, ok := s.Selected(id.Task)
	return ok && n == id && by == w.id
}

// expire loses the workers whose lease is over.
func (s *State) expire() {
	for _, w := range slices.Clone(s.roster) {
		switch {
		case s.now < w.lease:
		case w.joined:
			s.lose(w, "lost: it was silent for its whole lease")
		default:
			s.lose(w, "lost: it did not come back to the new master")
		}
	}
}

// lose takes a worker out: its attempts run again elsewhere, and its runs are gone.
func (s *State) lose(w *worker, text string) {
	w.lost = true
	if !w.joined {
		s.absent--
	}
	delete(s.workers, w.id)
	s.roster = remove(s.roster, w)
	s.refuse(w.id)
	s.note(nil, w, "%s", text)
	attempts := w.running
	w.running = nil
	for _, a := range attempts {
		if a.ending {
			a.job.ending--
			continue
		}
		if a.place < 0 {
			continue // its job ended over an attempt before it
		}
		s.giveBack(a)
		s.spare(a.job, a.phase, int(a.index), "its worker was lost")
	}
	if s.keeps(runsGo) {
		s.loseRuns(w)
	}
}

func (s *State) refuse(id WorkerID) {
	s.refused[id] = true
	s.refusedOld = append(s.refusedOld, id)
	if len(s.refusedOld) > refusedKept {
		delete(s.refused, s.refusedOld[0])
		s.refusedOld = s.refusedOld[1:]
	}
}
