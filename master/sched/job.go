package sched

import (
	"fmt"
	"time"
)

// job is one job. When it has ended, only what the views show is left of it.
type job struct {
	id     JobID
	spec   Submit // Weight and MaxAttempts filled in
	state  JobState
	reason string
	phases [3]phase // by Phase; Sample and Map may have no tasks

	running []*attempt    // neither ended nor ending, in no order that matters. Invariant: running[i].place == i
	ending  int           // its killed attempts that still hold a slot
	killed  time.Duration // when the last of its attempts was killed
	backups int           // its running backup attempts

	gone    []int32    // Invariant: holds all maps that are lost
	strikes []strike   // what it holds against workers, in the order of each worker's first failure
	missed  []sighting // who could not read whose runs, oldest first
	late    []*attempt // maps that deserve a backup, as of the last Tick; some may have ended or got one since
	asked   bool       // Commit was given. Invariant: true exactly when the job is complete
	retries int
}

func (j *job) sample() *phase  { return &j.phases[Sample] }
func (j *job) maps() *phase    { return &j.phases[Map] }
func (j *job) reduces() *phase { return &j.phases[Reduce] }
func (j *job) mapOnly() bool   { return j.spec.Reducers == 0 }

// needsMaps says whether a map whose result is lost runs again for that alone.
func (j *job) needsMaps() bool { return j.mapOnly() || !j.reduces().done() }

// complete says whether all that makes up the output is there.
func (j *job) complete() bool {
	return j.reduces().done() && j.maps().remakes == 0 && (!j.mapOnly() || j.maps().done())
}

func (j *job) task(t TaskID) (*phase, *task) {
	if t.Phase > Reduce || t.Index < 0 || t.Index >= len(j.phases[t.Phase].tasks) {
		return nil, nil
	}
	p := &j.phases[t.Phase]
	return p, &p.tasks[t.Index]
}

// unmapped is how many maps never had a selected run: no reduce task can be finished before there are none.
func (j *job) unmapped() int { return j.maps().total - j.maps().made }

// open returns the phase whose waiting tasks may be assigned now: a reduce task only when no map waits, as it could do
// nothing but hold a slot that the map needs.
func (j *job) open() *phase {
	switch {
	case j.state != Running:
		return nil
	case !j.sample().done():
		return j.sample()
	case j.maps().count[waiting] > 0:
		return j.maps()
	}
	return j.reduces()
}

func (s *State) submit(e Submit) {
	if s.jobs[e.Job] != nil {
		return
	}
	j := s.add(e)
	spec := j.spec // a copy: the record outlives the job's
	s.emit(Record{Kind: RecordSubmit, Submit: &spec, Job: j.id})
	if e.Reducers < 0 || e.Reducers == 0 && len(e.Maps) == 0 {
		s.end(j, JobFailed, fmt.Sprintf("submit %s: no task can be made of %d maps and %d reducers", e.Job, len(e.Maps), e.Reducers))
	}
}

// add makes the job of a Submit; the caller must not change Maps afterwards.
func (s *State) add(e Submit) *job {
	e.Weight = max(e.Weight, 1)
	fill(&e.MaxAttempts, s.o.MaxAttempts)
	// Charged failures must fit their count and the attempt numbers of a term.
	e.MaxAttempts = min(e.MaxAttempts, attemptsPerTerm/2)
	e.Durable = e.Durable || e.Reducers == 0 // there are no runs to lose
	j := &job{id: e.Job, spec: e, state: Running}
	samples := 0
	if e.Sample && len(e.Maps) > 0 {
		samples = 1
	}
	reducers := max(e.Reducers, 0)
	j.sample().init(Sample, samples, nil)
	j.maps().init(Map, len(e.Maps), e.Maps)
	j.reduces().init(Reduce, reducers, make([]int64, reducers))
	s.jobs[j.id] = j
	s.order = append(s.order, j)
	s.active = append(s.active, j)
	return j
}

// succeed takes an attempt's success: its result is selected, and its rival killed.
func (s *State) succeed(a *attempt, sum uint64) {
	j, p, t := a.job, a.phase, a.task()
	if n := j.unmapped(); p.kind == Reduce && n > 0 {
		s.fail(a, Failure{Kind: FailTask, Text: fmt.Sprintf("says it is done, but %d maps never had a run", n)})
		return
	}
	if p.kind == Map && t.summed && t.sum != sum && s.keeps(sameResult) {
		// Even if no reduce has begun: one that begins later may read the old run from an old page of the run log.
		s.end(j, JobFailed, nonDeterministic(a))
		return
	}
	var saved time.Duration
	if a.backup {
		if a.twin != nil {
			saved = s.left(a.twin)
		}
		s.note(j, a.worker, "backup attempt %v won", a.id())
		s.overtaken(a)
	}
	s.worked(j, a.worker)
	if p.kind == Reduce {
		p.setBytes(int(a.index), max(a.bytes, a.total))
	}
	p.took.add(s.now - max(a.since, p.ready))
	s.emit(Record{Kind: RecordSelected, Job: j.id, Attempt: a.id(), Worker: a.worker.id, Checksum: sum})
	s.emit(Selected{Worker: a.worker.id, Attempt: a.id(), Backup: a.backup, Saved: saved})
	for _, was := range s.choose(j, p, int(a.index), int(a.n), a.worker, sum) {
		if was != nil && was != a {
			s.kill(was, "another attempt was first")
		}
	}
	s.detach(a)
	if p.kind == Map && p.done() {
		j.reduces().ready = s.now
	}
	s.advance(j)
}

// choose selects a result and remembers which worker holds the run.
func (s *State) choose(j *job, p *phase, index, n int, by *worker, sum uint64) [2]*attempt {
	was := p.choose(index, n, by, sum)
	if p.kind == Map && !j.spec.Durable {
		by.hold(j, index)
	}
	return was
}

// advance asks for the commit once the job is complete.
func (s *State) advance(j *job) {
	if !j.needsMaps() {
		s.dropMaps(j)
	}
	if !j.asked && j.complete() {
		j.asked = true
		s.emit(j.commit())
	}
}

// dropMaps gives up the maps that run again for reduces that have since finished. Those whose parts are gone go on.
func (s *State) dropMaps(j *job) {
	p := j.maps()
	again := p.again
	p.again = nil
	for _, i := range again {
		t := &p.tasks[i]
		if t.remake && t.state == waiting {
			p.again = append(p.again, i)
			continue
		}
		t.queued = false
		if t.state == waiting {
			p.giveUp(int(i))
			j.gone = append(j.gone, i)
		}
	}
	for k := len(j.running) - 1; k >= 0; k-- {
		if k >= len(j.running) || j.running[k].phase != p || j.running[k].task().remake {
			continue
		}
		i := j.running[k].index
		for _, was := range p.giveUp(int(i)) {
			if was != nil {
				s.kill(was, "no reduce task needs it any more")
			}
		}
		j.gone = append(j.gone, i)
	}
}

func (j *job) commit() Commit {
	p := j.reduces()
	if j.mapOnly() {
		p = j.maps()
	}
	parts := make([]AttemptID, len(p.tasks))
	for i := range parts {
		parts[i] = AttemptID{Task: TaskID{Job: j.id, Phase: p.kind, Index: i}, N: int(p.tasks[i].chosen)}
	}
	return Commit{Job: j.id, Parts: parts}
}

func (s *State) partsLost(j *job, attempts []AttemptID) {
	for _, id := range attempts {
		if !s.keeps(partsRemade) || j.state != Running || id.Task.Job != j.id {
			continue
		}
		p, t := j.task(id.Task)
		if t == nil || !t.summed || int(t.chosen) != id.N {
			continue
		}
		switch {
		case p.kind == Reduce && t.state == selected:
			s.takePartBack(j, id.Task.Index)
		case p.kind == Map && !t.remake:
			s.remake(j, id.Task.Index)
		default:
			continue
		}
		s.spare(j, p, id.Task.Index, "its finished part was lost")
	}
}

// remake makes a map task run again whose parts are gone, though no reduce task may need its run. Its own run, if it is there
// still, counts no more: the new attempt makes another one, which must be the same.
func (s *State) remake(j *job, index int) {
	p := j.maps()
	t := &p.tasks[index]
	if t.state == selected {
		s.loseRun(j, index)
	}
	if j.mapOnly() {
		return // it waits already
	}
	j.asked = false
	p.mark(index)
	if t.state == lost {
		p.need(index)
		j.gone = remove(j.gone, int32(index))
	}
	s.emit(Record{Kind: RecordRemake, Job: j.id, Attempt: AttemptID{Task: TaskID{Job: j.id, Phase: Map, Index: index}, N: int(t.chosen)}})
}

// takePartBack makes a selected reduce task run again, and with it the maps whose runs went while nobody needed them.
func (s *State) takePartBack(j *job, index int) {
	p := j.reduces()
	t := &p.tasks[index]
	id := AttemptID{Task: TaskID{Job: j.id, Phase: Reduce, Index: index}, N: int(t.chosen)}
	if err := p.takeBack(index, id.N, true); err != nil {
		panic(fmt.Sprintf("sched: take back %v: %v", id, err))
	}
	s.emit(Record{Kind: RecordLost, Job: j.id, Attempt: id})
	j.asked = false
	for _, i := range j.gone {
		j.maps().need(int(i))
	}
	j.gone = nil
}

func (s *State) decided(j *job) {
	if !j.asked {
		panic(fmt.Sprintf("sched: job %s is decided, but not all its parts are selected", j.id))
	}
	j.state = Committing
	s.emit(Record{Kind: RecordState, Job: j.id, State: Committing})
}

func (s *State) committed(j *job) {
	if j.state != Committing {
		panic(fmt.Sprintf("sched: job %s is committed, but was not decided", j.id))
	}
	s.end(j, Done, "")
}

// end brings a job to its last state and frees what it holds.
func (s *State) end(j *job, to JobState, reason string) {
	j.state, j.reason = to, reason
	s.emit(Record{Kind: RecordState, Job: j.id, State: to, Reason: reason})
	s.emit(Ended{Job: j.id, State: to, Reason: reason})
	for len(j.running) > 0 {
		s.kill(j.running[0], "the job has ended")
	}
	for k := range j.phases {
		j.phases[k].drop()
	}
	j.spec.Maps, j.gone, j.strikes, j.missed, j.late = nil, nil, nil, nil, nil
	s.active = remove(s.active, j)
	for _, w := range s.roster {
		w.release(j)
	}
	if len(s.order)-len(s.active) > endedKept {
		s.forget()
	}
}

// drop frees the tasks, keeping the figures.
func (p *phase) drop() {
	p.count[waiting] += p.count[running]
	p.count[running] = 0
	p.tasks, p.bytes, p.again = nil, nil, nil
}

// forget drops the job that ended and was submitted first.
func (s *State) forget() {
	for _, j := range s.order {
		if j.state.Ended() {
			delete(s.jobs, j.id)
			s.order = remove(s.order, j)
			return
		}
	}
}

func (p *phase) setBytes(index int, bytes int64) {
	p.allBytes += bytes - p.bytes[index]
	p.bytes[index] = bytes
}

func nonDeterministic(a *attempt) string {
	return fmt.Sprintf("%s gave another result when run again: the map function is not deterministic; "+
		"what it emits may depend only on its records and parameters, not on time, chance or the order of a Go map",
		a.id().Task.short())
}

func (t TaskID) short() string { return fmt.Sprintf("%s-%05d", t.Phase, t.Index) }
