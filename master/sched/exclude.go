package sched

// strike counts a worker's charged failures of one job.
type strike struct {
	worker *worker
	n      int
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
