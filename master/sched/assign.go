package sched

import "time"

// choice is a task that may be given to a worker.
type choice struct {
	job   *job
	phase *phase
	index int
	late  *attempt // set: this is a backup for it
}

// assign fills free slots. Workers take turns, one attempt each, so that a few tasks spread over many workers.
func (s *State) assign() {
	for again := s.anyWaiting() || s.anyLate(); again; {
		again = false
		for range len(s.idle) {
			w := s.idle[0]
			s.idle = s.idle[1:]
			if !w.canTake() {
				w.idle = false
				continue
			}
			s.idle = append(s.idle, w)
			if c, ok := s.next(w); ok {
				s.take(w, c)
				again = true
			}
		}
	}
}

func (s *State) anyWaiting() bool {
	for _, j := range s.active {
		if p := j.open(); p != nil && p.count[waiting] > 0 {
			return true
		}
	}
	return false
}

// next picks the task that w gets: of the job that has the smallest share for its weight, among equals the one
// submitted first.
func (s *State) next(w *worker) (best choice, ok bool) {
	for _, j := range s.active {
		if ok && !j.before(best.job) {
			continue
		}
		if c, found := s.pick(j, w); found {
			best, ok = c, true
		}
	}
	return best, ok
}

func (j *job) before(k *job) bool {
	return (len(j.running)+j.ending)*k.spec.Weight < (len(k.running)+k.ending)*j.spec.Weight
}

// pick finds a task of the job that w may have.
func (s *State) pick(j *job, w *worker) (choice, bool) {
	p := j.open()
	if p == nil || p.count[waiting] == 0 && len(j.late) == 0 || s.excluded(j, w) {
		return choice{}, false
	}
	if p.kind == Reduce {
		if a := s.lateFor(j, w); a != nil {
			return choice{job: j, phase: a.phase, index: int(a.index), late: a}, true
		}
	}
	i, ok := p.find(func(t *task) bool { return s.avoids(j, t, w) })
	return choice{job: j, phase: p, index: i}, ok
}

// take gives w what was picked for it.
func (s *State) take(w *worker, c choice) {
	a := s.give(w, c, c.late != nil)
	if c.late != nil {
		s.note(c.job, w, "backup attempt %v: %v would need %v more", a.id(), c.late.id(), s.left(c.late).Round(time.Second))
	}
}

func (s *State) give(w *worker, c choice, backup bool) *attempt {
	a := &attempt{job: c.job, phase: c.phase, worker: w, index: int32(c.index), since: s.now, moved: s.now, backup: backup}
	c.phase.begin(a, s.base())
	s.attach(a)
	s.emit(Assign{Worker: w.id, Attempt: a.id(), Backup: a.backup})
	return a
}

// preempt takes slots from the reduces of a job whose maps must run again: these reduces wait for those maps, and nobody
// else may ever free a slot. It stops when the maps have, or are about to get, half of what the job has. It says whether any gave way.
//
// Why no job can hang: a job whose maps wait either runs maps, which end, or has slots coming, or holds no slot that
// another job could use. So some job always goes on.
func (s *State) preempt() (some bool) {
	if !s.keeps(mapsFirst) {
		return false
	}
	for _, j := range s.active {
		maps, reduces := j.maps(), j.reduces()
		for maps.count[waiting] > s.coming(j) && maps.count[running]+s.coming(j) < reduces.count[running] {
			a, _ := s.victim(j, func(w *worker) bool { _, ok := s.pick(j, w); return ok })
			if a == nil {
				break
			}
			s.giveBack(a)
			s.kill(a, "a map task that it waits for needs the slot")
			some = true
		}
		some = len(j.late) > 0 && s.preemptForLate(j) || some
	}
	return some
}

func (s *State) anyVictim(j *job) bool {
	a, _ := s.victim(j, func(*worker) bool { return true })
	return a != nil
}

// preemptForLate does the same for backups of maps that are late. Only reduces whose slots such a backup can use give way.
func (s *State) preemptForLate(j *job) (some bool) {
	needed := 0
	for _, a := range j.late {
		if a.wantsBackup() {
			needed++
		}
	}
	for needed = min(needed, s.backupLimit()-j.backups); needed > s.coming(j); {
		a, fits := s.victim(j, func(w *worker) bool { return s.lateFor(j, w) != nil && !s.excluded(j, w) })
		if !fits {
			break
		}
		s.giveBack(a)
		s.kill(a, "a backup attempt of a map task that it waits for needs the slot")
		some = true
	}
	return some
}

// coming is how many slots the job's killed attempts are about to free. Code that does not stop when it is told to is not
// waited for.
func (s *State) coming(j *job) int {
	if s.now-j.killed > s.o.Lease {
		return 0
	}
	return j.ending
}

// victim is the reduce attempt with the least progress; those on workers that can use the slot come first. A draining
// worker's slot would be of no use to anyone.
func (s *State) victim(j *job, use func(*worker) bool) (best *attempt, bestFits bool) {
	for _, a := range j.running {
		if a.phase.kind != Reduce || !a.worker.able() {
			continue
		}
		fits := use(a.worker)
		if best == nil || fits && !bestFits || fits == bestFits && a.less(best) {
			best, bestFits = a, fits
		}
	}
	return best, bestFits
}
