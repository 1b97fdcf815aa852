package sched

import "slices"

// JobView is what can be seen of a job. It is a copy.
type JobView struct {
	ID      JobID
	State   JobState
	Reason  string // of a failed or cancelled job
	Sample  PhaseView
	Map     PhaseView
	Reduce  PhaseView
	Retries int // attempts that failed or were lost, and were tried again
	Workers int // that run attempts of it
}

// PhaseView is what can be seen of a phase.
type PhaseView struct {
	Tasks, Done, Running int
	Failed               int   // charged failures
	Bytes                int64 // input of all tasks; of reduces, of those begun, as far as their attempts reported it
	BytesDone            int64 // of it processed: finished tasks and the progress of running ones
}

// WorkerView is what can be seen of a worker.
type WorkerView struct {
	ID       WorkerID
	Slots    int
	Running  []AttemptID
	Draining bool
	Needed   bool // selected runs that may still be read lie on it
}

// Job returns a job that is known. Its cost is that of the job's running attempts.
func (s *State) Job(id JobID) (JobView, bool) {
	j := s.jobs[id]
	if j == nil {
		return JobView{}, false
	}
	v := JobView{ID: id, State: j.state, Reason: j.reason, Retries: j.retries}
	for k, to := range []*PhaseView{&v.Sample, &v.Map, &v.Reduce} {
		p := &j.phases[k]
		*to = PhaseView{Tasks: p.total, Done: p.count[selected], Running: p.count[running], Failed: p.failures,
			Bytes: p.allBytes, BytesDone: p.doneBytes}
	}
	on := map[*worker]bool{}
	for _, a := range j.running {
		on[a.worker] = true
		a.addTo(&v)
	}
	v.Workers = len(on)
	return v, true
}

// addTo counts the progress of a running attempt; of two attempts of a task, the farther one's.
func (a *attempt) addTo(v *JobView) {
	if a.twin != nil && a.less(a.twin) {
		return
	}
	switch a.phase.kind {
	case Map:
		v.Map.BytesDone += min(a.bytes, a.phase.bytes[a.index])
	case Reduce:
		v.Reduce.Bytes += max(a.total, a.bytes) - a.phase.bytes[a.index]
		v.Reduce.BytesDone += a.bytes
	}
}

// Jobs returns the ids of all known jobs as submitted.
func (s *State) Jobs() []JobID {
	ids := make([]JobID, len(s.order))
	for i, j := range s.order {
		ids[i] = j.id
	}
	return ids
}

// Workers returns the workers that have joined, as they appeared.
func (s *State) Workers() []WorkerView {
	var list []WorkerView
	for _, w := range s.roster {
		if !w.joined {
			continue
		}
		v := WorkerView{ID: w.id, Slots: w.slots, Draining: w.draining, Needed: w.needed()}
		for _, a := range w.running {
			v.Running = append(v.Running, a.id())
		}
		list = append(list, v)
	}
	return list
}

// Known says whether the worker has joined and is not lost.
func (s *State) Known(id WorkerID) bool {
	w := s.workers[id]
	return w != nil && w.joined
}

// Needed says whether selected runs that may still be read lie on the worker: while draining it must stay.
func (s *State) Needed(id WorkerID) bool {
	w := s.workers[id]
	return w != nil && w.needed()
}

// Selected returns the attempt whose result counts and the worker that made it. A job that has ended has none.
func (s *State) Selected(id TaskID) (AttemptID, WorkerID, bool) {
	j := s.jobs[id.Job]
	if j == nil {
		return AttemptID{}, "", false
	}
	_, t := j.task(id)
	if t == nil || t.state != selected {
		return AttemptID{}, "", false
	}
	return AttemptID{Task: id, N: int(t.chosen)}, t.by.id, true
}

// HasJob says whether the job has not ended; a worker may drop what it keeps of one that has, or that is unknown.
func (s *State) HasJob(id JobID) bool {
	return slices.ContainsFunc(s.active, func(j *job) bool { return j.id == id })
}
