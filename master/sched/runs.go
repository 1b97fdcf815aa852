package sched

import (
	"fmt"
	"slices"
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
