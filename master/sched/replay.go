package sched

import (
	"fmt"
	"slices"
)

// Replay rebuilds a scheduler from all records of earlier terms, in order. What was not recorded is forgotten: failure
// counts start again, and running attempts are adopted when their workers poll. The workers that hold selected runs are
// waited for; the time given with the first Step counts for that. An error means that the records contradict each other.
func Replay(o Options, records []Record) (*State, error) {
	p := NewReplay(o)
	for i, r := range records {
		if err := p.Apply(r); err != nil {
			return nil, fmt.Errorf("replay record %d of %d: %w", i, len(records), err)
		}
	}
	return p.State(), nil
}

// Replaying is a Replay record by record, for who reads a million of them.
type Replaying struct{ s *State }

// NewReplay begins a Replay.
func NewReplay(o Options) *Replaying { return &Replaying{New(o)} }

// Apply takes a record in. After an error the scheduler is of no use.
func (p *Replaying) Apply(r Record) error {
	err := p.s.apply(r)
	p.s.out = nil
	return err
}

// State ends the Replay.
func (p *Replaying) State() *State {
	s := p.s
	for _, w := range slices.Clone(s.roster) {
		if !w.needed() {
			delete(s.workers, w.id)
			s.roster = remove(s.roster, w)
			s.absent--
		}
	}
	s.replayed = true
	return s
}

func (s *State) apply(r Record) error {
	if r.Kind == RecordSubmit {
		if r.Submit == nil || s.jobs[r.Submit.Job] != nil {
			return fmt.Errorf("submit job %s: no job in it, or submitted twice", r.Job)
		}
		s.add(*r.Submit)
		return nil
	}
	j := s.jobs[r.Job]
	if r.Kind == RecordEnded {
		return s.applyEnded(j, r)
	}
	if j == nil {
		return fmt.Errorf("job %s: unknown", r.Job)
	}
	if j.state.Ended() {
		return fmt.Errorf("job %s: has ended", r.Job)
	}
	switch r.Kind {
	case RecordSelected:
		return s.applySelected(j, r)
	case RecordLost:
		return s.applyLost(j, r)
	case RecordState:
		return s.applyState(j, r)
	case RecordRemake:
		return s.applyRemake(j, r)
	}
	return fmt.Errorf("record of kind %d: unknown; was it written by a newer version?", r.Kind)
}

// applyEnded adds a job of which nothing more is known than how it ended.
func (s *State) applyEnded(j *job, r Record) error {
	if j != nil || !r.State.Ended() {
		return fmt.Errorf("job %s ended as %v: it is known already, or that is no end", r.Job, r.State)
	}
	j = s.add(Submit{Job: r.Job})
	s.end(j, r.State, r.Reason)
	return nil
}

func (s *State) applySelected(j *job, r Record) error {
	p, t := j.task(r.Attempt.Task)
	if t == nil || r.Attempt.Task.Job != j.id || t.state == selected || j.state != Running {
		return fmt.Errorf("select %v: no such task, or it has a result", r.Attempt)
	}
	if n := j.unmapped(); p.kind == Reduce && n > 0 {
		return fmt.Errorf("select %v: %d maps never had a run", r.Attempt, n)
	}
	w := s.workers[r.Worker]
	if w == nil {
		w = s.enlist(r.Worker)
	}
	s.choose(j, p, r.Attempt.Task.Index, r.Attempt.N, w, r.Checksum)
	s.advance(j)
	return nil
}

func (s *State) applyLost(j *job, r Record) error {
	p, t := j.task(r.Attempt.Task)
	if t == nil || r.Attempt.Task.Job != j.id || t.state != selected || int(t.chosen) != r.Attempt.N || j.state != Running {
		return fmt.Errorf("lose %v: it is not selected", r.Attempt)
	}
	switch p.kind {
	case Map:
		s.loseRun(j, r.Attempt.Task.Index)
	case Reduce:
		s.takePartBack(j, r.Attempt.Task.Index)
	default:
		return fmt.Errorf("lose %v: a sample is never lost", r.Attempt)
	}
	return nil
}

func (s *State) applyRemake(j *job, r Record) error {
	p, t := j.task(r.Attempt.Task)
	if t == nil || r.Attempt.Task.Job != j.id || p.kind != Map || !t.summed || t.remake || int(t.chosen) != r.Attempt.N || j.state != Running {
		return fmt.Errorf("make %v anew: its parts do not count", r.Attempt)
	}
	s.remake(j, r.Attempt.Task.Index)
	return nil
}

func (s *State) applyState(j *job, r Record) error {
	switch {
	case r.State == Committing && j.state == Committing:
	case r.State == Committing && j.asked:
		j.state = Committing
	case r.State.Ended() && j.state == Running, (r.State == Done || r.State == JobFailed) && j.state == Committing:
		// Done may follow Running at once: of an ended job Durable keeps no more.
		s.end(j, r.State, r.Reason)
	default:
		return fmt.Errorf("job %s: %v after %v", j.id, r.State, j.state)
	}
	return nil
}

// resume begins a term: it gives workers time to come back, and asks again for the commits that are due.
func (s *State) resume() {
	s.replayed = false
	if len(s.active) > 0 {
		s.holdUntil = s.now + s.o.Settle
		s.musterUntil = s.now + s.o.Muster
	}
	for _, w := range s.roster {
		w.lease = s.now + s.o.Grace
	}
	for _, j := range s.active {
		if j.asked {
			s.emit(j.commit())
		}
	}
}

// Durable returns the fewest records whose Replay gives the same durable state: two schedulers are equal in what must
// survive exactly when their Durables are. A journal may be replaced by it.
func (s *State) Durable() []Record {
	var list []Record
	for _, j := range s.order {
		spec := j.spec
		list = append(list, Record{Kind: RecordSubmit, Submit: &spec, Job: j.id})
		for k := range j.phases {
			list = j.phases[k].durable(list, j.id)
		}
		list = j.remade(list)
		if j.state != Running {
			list = append(list, Record{Kind: RecordState, Job: j.id, State: j.state, Reason: j.reason})
		}
	}
	return list
}

// remade appends the records of maps that are to run again for their parts. They come after those of the reduces: without
// them the reduces that are done would need no map.
func (j *job) remade(list []Record) []Record {
	for i := range j.maps().tasks {
		if t := &j.maps().tasks[i]; t.remake {
			a := AttemptID{Task: TaskID{Job: j.id, Phase: Map, Index: i}, N: int(t.chosen)}
			list = append(list, Record{Kind: RecordRemake, Job: j.id, Attempt: a})
		}
	}
	return list
}

func (p *phase) durable(list []Record, id JobID) []Record {
	for i := range p.tasks {
		t := &p.tasks[i]
		if t.state != selected && (p.kind != Map || !t.summed) {
			continue // of a lost part nothing matters; of a lost run its checksum does
		}
		a := AttemptID{Task: TaskID{Job: id, Phase: p.kind, Index: i}, N: int(t.chosen)}
		list = append(list, Record{Kind: RecordSelected, Job: id, Attempt: a, Worker: t.by.id, Checksum: t.sum})
		if t.state != selected {
			list = append(list, Record{Kind: RecordLost, Job: id, Attempt: a})
		}
	}
	return list
}
