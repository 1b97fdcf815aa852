package sched

import (
	"fmt"
	"time"
)

// strike is what a job holds against a worker.
type strike struct {
	worker *worker
	failed int           // how many of its attempts failed by what may be its fault
	n      int           // those that count towards MaxWorkerFailures
	doubt  bool          // it failed, and none of its attempts has succeeded since
	sure   bool          // it is left out because of what cannot be the job's fault
	again  bool          // its runs were given up because they came slowly: once is enough
	rests  int           // how often it was left out
	until  time.Duration // it is left out until then
}

// maxRestDoublings bounds how long a worker is left out at a time: 16 times Options.Rest.
const maxRestDoublings = 4

func (j *job) strikeOf(w *worker) *strike {
	for i := range j.strikes {
		if k := &j.strikes[i]; k.worker == w {
			return k
		}
	}
	return nil
}

func (j *job) strikeFor(w *worker) *strike {
	if k := j.strikeOf(w); k != nil {
		return k
	}
	j.strikes = append(j.strikes, strike{worker: w})
	return &j.strikes[len(j.strikes)-1]
}

// doubts says whether all that the worker has done for the job lately failed.
func (j *job) doubts(w *worker) bool {
	k := j.strikeOf(w)
	return k != nil && k.doubt
}

// strike counts a failure against the worker, which is left out of the job when there are too many.
func (s *State) strike(j *job, w *worker, cause string) {
	k := j.strikeFor(w)
	k.doubt = true
	k.failed++
	if k.n++; k.n >= s.o.MaxWorkerFailures {
		s.leaveOut(j, w, s.o.Rest, false, fmt.Sprintf("failed %d times", k.failed), cause)
	}
}

// leaveOut lets the worker rest from the job, twice as long each time. Afterwards it is on trial: one failure more and it is left
// out again. sure says that the cause lies with the worker and no other would be left out for it.
func (s *State) leaveOut(j *job, w *worker, rest time.Duration, sure bool, what, cause string) {
	k := j.strikeFor(w)
	k.doubt = true
	if s.now < k.until {
		return // the end of an attempt that it still ran
	}
	warn := k.rests > 0 || rest >= s.o.Rest // a short rest for the first time may be a hiccup
	rest <<= min(k.rests, maxRestDoublings)
	k.until, k.sure, k.n = s.now+rest, sure, s.o.MaxWorkerFailures-1
	if !s.excluded(j, w) {
		return
	}
	k.rests++
	s.emit(Noted{Job: j.id, Worker: w.id, Warn: warn, Text: fmt.Sprintf("%s, and is left out of the job for %v: %s", what, rest, cause)})
}

// worked notes a success: the worker is in doubt no more, and its trial is over.
func (s *State) worked(j *job, w *worker) {
	if k := j.strikeOf(w); k != nil {
		k.doubt = false
		if k.rests > 0 && s.now >= k.until {
			k.n = 0
		}
	}
}

// excluded says whether the job leaves the worker out now. Of those that failed it often, in the order of their first failure, a
// third of the workers that there are at most, or one of two or three: it may be the job. And never all.
func (s *State) excluded(j *job, w *worker) bool {
	if k := j.strikeOf(w); k == nil || k.until <= s.now {
		return false
	}
	able := s.ableCount()
	out, failed := 0, 0
	for i := range j.strikes {
		k := &j.strikes[i]
		if k.until <= s.now || !k.worker.able() || out >= able-1 {
			continue
		}
		if !k.sure {
			if failed >= max(1, able/3) {
				continue
			}
			failed++
		}
		out++
		if k.worker == w {
			return true
		}
	}
	return false
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

// avoids says whether the task must not go to w while another worker could try it: because it failed there last or, if it failed
// at all, because w is in doubt. So a task that fails on one bad worker is not given to the next one.
func (s *State) avoids(j *job, t *task, w *worker) bool {
	doubted := t.charged+t.spared > 0 && j.doubts(w)
	if t.failedOn != w && !doubted {
		return false
	}
	if s.hasOther(j, w, func(o *worker) bool { return o != t.failedOn && !j.doubts(o) }) {
		return true
	}
	return t.failedOn == w && s.hasOther(j, w, nil)
}

// hasOther says whether a worker other than w takes tasks of the job, of those that fit if that is given.
func (s *State) hasOther(j *job, w *worker, fits func(*worker) bool) bool {
	for _, o := range s.roster {
		if o != w && o.able() && (fits == nil || fits(o)) && !s.excluded(j, o) {
			return true
		}
	}
	return false
}
