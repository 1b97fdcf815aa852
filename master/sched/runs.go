package sched

import (
	"fmt"
	"slices"
	"time"
)

// holding is the runs of one job that lie on a worker. Invariant: of every job that runs and is not Durable, each
// selected map is in its worker's holding.
type holding struct {
	job  *job
	maps []int32 // some may be selected no more, or twice in here
	live int     // Invariant: how many are selected and this worker's
}

func (w *worker) hold(j *job, index int) {
	h := w.holding(j)
	if h == nil {
		h = &holding{job: j}
		w.held = append(w.held, h)
	}
	h.maps = append(h.maps, int32(index))
	h.live++
}

func (w *worker) holding(j *job) *holding {
	for _, h := range w.held {
		if h.job == j {
			return h
		}
	}
	return nil
}

func (w *worker) release(j *job) {
	w.held = slices.DeleteFunc(w.held, func(h *holding) bool { return h.job == j })
}

// needed says whether runs on the worker may still be read.
func (w *worker) needed() bool {
	return slices.ContainsFunc(w.held, func(h *holding) bool { return h.live > 0 && h.job.state == Running })
}

// selectedRun returns the task whose selected run a report is about, or nil: the run may have been given up meanwhile.
func (j *job) selectedRun(run AttemptID) *task {
	if run.Task.Job != j.id || run.Task.Phase != Map {
		return nil
	}
	_, t := j.task(run.Task)
	if t == nil || t.state != selected || int(t.chosen) != run.N {
		return nil
	}
	return t
}

// sighting is one worker's word that it cannot reach another, whose runs it wants to read.
type sighting struct {
	by, owner *worker
	at        time.Duration
}

// sightingsKept bounds what a job remembers of them, and witnesses how many workers must say the same of one: most of the others, but
// in a large cluster no more than five, which takes five reducers a moment and one reducer a minute.
const (
	sightingsKept = 256
	witnesses     = 5
)

// outOfReach takes the word of a worker that it cannot reach the one that holds a run, or with Durable runs, the bucket. To move its
// task to a worker that can costs far less than to make runs again, and it may be the reporter that is cut off. So runs are given
// up, all that the worker made for the job, only when most others cannot reach it or none is left that has not missed any; and
// then they are not made there again.
func (s *State) outOfReach(a *attempt, f Failure) {
	j, w := a.job, a.worker
	t := j.selectedRun(f.Run)
	switch {
	case t == nil:
		return
	case t.by == w: // its own file
		s.fetchFailed(j, f.Run)
		return
	}
	a.task().failedOn = w
	k := j.strikeFor(w)
	switch {
	case s.excluded(j, w):
		return // the end of what it still ran: its word counts no more
	case j.spec.Durable:
		s.strike(j, w, f.Text)
		return
	case k.sure && k.rests > 0 && s.hasOther(j, w, nil): // it is back from a rest, and still cut off
		s.leaveOut(j, w, s.o.Rest, true, "cannot reach other workers", f.Text)
		return
	}
	j.saw(sighting{w, t.by, s.now}, s.now-s.o.FetchWindow)
	others := func(o *worker) bool {
		return !slices.ContainsFunc(j.missed, func(m sighting) bool { return m.by == o })
	}
	if j.missedBy(t.by) < min(witnesses, (s.ableCount()-1)/2+1) && s.hasOther(j, w, others) {
		s.strike(j, w, f.Text)
		return
	}
	s.note(j, t.by, "others cannot reach it: its runs are given up")
	s.leaveOut(j, t.by, s.o.Rest, true, "cannot be reached by other workers", f.Text)
	s.loseRunsOf(t.by, j)
}

// saw remembers a sighting and forgets those from before a time.
func (j *job) saw(m sighting, since time.Duration) {
	extra := max(len(j.missed)+1-sightingsKept, 0)
	j.missed = append(slices.DeleteFunc(j.missed[extra:], func(m sighting) bool { return m.at < since }), m)
}

// missedBy is how many workers cannot reach one.
func (j *job) missedBy(owner *worker) int {
	by := map[*worker]bool{}
	for _, m := range j.missed {
		if m.owner == owner {
			by[m.by] = true
		}
	}
	return len(by)
}

// fetchFailed gives a run up that could not be read. A report about a run that is selected no more does nothing; several
// about different runs of one worker take all its runs back, though the worker itself goes on.
func (s *State) fetchFailed(j *job, run AttemptID) {
	t := j.selectedRun(run)
	if t == nil {
		return
	}
	w := t.by
	s.loseRun(j, run.Task.Index)
	if j.spec.Durable {
		return
	}
	w.unread = append(w.unread, s.now)
	if extra := len(w.unread) - s.o.MaxFetchFailures; extra > 0 {
		w.unread = w.unread[extra:]
	}
	if len(w.unread) == s.o.MaxFetchFailures && s.now-w.unread[0] <= s.o.FetchWindow {
		w.unread = nil
		s.note(nil, w, "%d of its runs could not be read: all its runs are given up", s.o.MaxFetchFailures)
		s.loseRuns(w)
	}
}

// loseRuns takes back all selected runs that lie on a worker.
func (s *State) loseRuns(w *worker) {
	held := w.held
	w.held = nil
	for _, h := range held {
		s.loseHeld(w, h)
	}
}

// loseRunsOf takes back those of one job.
func (s *State) loseRunsOf(w *worker, j *job) {
	if h := w.holding(j); h != nil {
		w.held = remove(w.held, h)
		s.loseHeld(w, h)
	}
}

func (s *State) loseHeld(w *worker, h *holding) {
	if h.job.state != Running {
		return
	}
	for _, i := range h.maps {
		if t := &h.job.maps().tasks[i]; t.state == selected && t.by == w {
			s.loseRun(h.job, int(i))
		}
	}
}

// loseRun takes a selected map attempt's result back; its task runs again only if that is still needed.
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
	j.asked = j.asked && !j.mapOnly()
	if s.keeps(lossRecorded) {
		s.emit(Record{Kind: RecordLost, Job: j.id, Attempt: id})
	}
	s.emit(RunLost{Attempt: id, Worker: by.id})
}
