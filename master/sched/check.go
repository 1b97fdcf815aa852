package sched

import (
	"fmt"
	"slices"
)

// Check executes the invariants. It costs a walk over everything; tests call it after every step.
func (s *State) Check() error {
	if err := s.checkWorkers(); err != nil {
		return err
	}
	var active []*job
	for _, j := range s.order {
		if s.jobs[j.id] != j {
			return fmt.Errorf("job %s: in the order of submission but not under its id", j.id)
		}
		if !j.state.Ended() {
			active = append(active, j)
		}
		if err := s.checkJob(j); err != nil {
			return fmt.Errorf("job %s: %w", j.id, err)
		}
	}
	if !slices.Equal(active, s.active) {
		return fmt.Errorf("%d jobs are active, %d are listed so, or in another order", len(active), len(s.active))
	}
	return s.checkProgress()
}

func (s *State) checkWorkers() error {
	if len(s.workers) != len(s.roster) {
		return fmt.Errorf("%d workers by id, %d in the roster", len(s.workers), len(s.roster))
	}
	ending, absent := map[*job]int{}, 0
	for _, w := range s.roster {
		if !w.joined {
			absent++
		}
		if s.workers[w.id] != w || w.lost || s.refused[w.id] {
			return fmt.Errorf("worker %s: in the roster, but lost, refused or not under its id", w.id)
		}
		if len(w.running) > max(w.slots, w.kept) {
			return fmt.Errorf("worker %s: %d attempts on %d slots", w.id, len(w.running), w.slots)
		}
		if w.canTake() && !slices.Contains(s.idle, w) {
			return fmt.Errorf("worker %s: has free slots but is not idle", w.id)
		}
		for _, a := range w.running {
			if a.worker != w || a.ending == slices.Contains(a.job.running, a) {
				return fmt.Errorf("worker %s: attempt %v is another worker's, or is and is not ending", w.id, a.id())
			}
			if a.ending {
				ending[a.job]++
			}
		}
	}
	if absent != s.absent {
		return fmt.Errorf("%d workers have not joined, %d are counted", absent, s.absent)
	}
	for _, j := range s.order {
		if j.ending != ending[j] {
			return fmt.Errorf("job %s: counts %d ending attempts, workers have %d", j.id, j.ending, ending[j])
		}
	}
	return nil
}

func (s *State) checkJob(j *job) error {
	if j.state.Ended() {
		if len(j.running) > 0 || j.backups > 0 || j.maps().tasks != nil || j.reduces().tasks != nil {
			return fmt.Errorf("has ended and still runs %d attempts or keeps tasks", len(j.running))
		}
		return nil
	}
	if err := s.checkRunning(j); err != nil {
		return err
	}
	for k := range j.phases {
		if err := s.checkPhase(j, &j.phases[k]); err != nil {
			return fmt.Errorf("%s: %w", Phase(k), err)
		}
	}
	if j.asked != j.complete() || j.state == Committing && !j.asked {
		return fmt.Errorf("commit asked %v in state %v, %d of %d reduces and %d of %d maps are selected, %d to make anew", j.asked, j.state,
			j.reduces().count[selected], j.reduces().total, j.maps().count[selected], j.maps().total, j.maps().remakes)
	}
	if m := j.maps(); !j.needsMaps() && m.count[waiting]+m.count[running] != m.remakes || j.needsMaps() && m.count[lost] > 0 {
		return fmt.Errorf("maps needed %v: %d wait, %d run, %d of them to make anew, %d are lost", j.needsMaps(),
			m.count[waiting], m.count[running], m.remakes, m.count[lost])
	}
	if len(j.gone) != j.maps().count[lost] {
		return fmt.Errorf("%d maps are lost, %d noted", j.maps().count[lost], len(j.gone))
	}
	return s.checkRuns(j)
}

func (s *State) checkRunning(j *job) error {
	backups := 0
	for i, a := range j.running {
		if a.backup {
			backups++
		}
		t := a.task()
		if a.place != i || a.worker.lost || !slices.Contains(a.worker.running, a) || t.first != a && (t.first == nil || t.first.twin != a) {
			return fmt.Errorf("attempt %v runs, but not for its task or on its worker", a.id())
		}
		if a.twin != nil && (a.twin.worker == a.worker || a.twin.twin != a || a.twin.task() != t) {
			return fmt.Errorf("attempts %v and %v are no pair on two workers", a.id(), a.twin.id())
		}
		if a.n >= t.next {
			return fmt.Errorf("attempt %v has a number that is given again", a.id())
		}
	}
	if backups != j.backups {
		return fmt.Errorf("%d backup attempts run, %d counted", backups, j.backups)
	}
	return nil
}

func (s *State) checkPhase(j *job, p *phase) error {
	var count [states]int
	var done int64
	made, remakes := 0, 0
	queued := make(map[int32]bool, len(p.again))
	for _, i := range p.again {
		queued[i] = true
	}
	for i := range p.tasks {
		t := &p.tasks[i]
		count[t.state]++
		if t.summed {
			made++
		}
		if t.state == selected && p.bytes != nil {
			done += p.bytes[i]
		}
		if t.remake {
			remakes++
		}
		switch {
		case t.remake && (p.kind != Map || t.state != waiting && t.state != running):
			return fmt.Errorf("task %d is to make anew in state %d", i, t.state)
		case (t.state == running) != (t.first != nil):
			return fmt.Errorf("task %d in state %d has attempt %v", i, t.state, t.first != nil)
		case t.first != nil && !slices.Contains(j.running, t.first):
			return fmt.Errorf("task %d runs an attempt that the job does not", i)
		case t.state == waiting && !queued[int32(i)] && i < p.fresh:
			return fmt.Errorf("task %d waits where nobody looks", i)
		case t.queued != queued[int32(i)]:
			return fmt.Errorf("task %d: queued is %v", i, t.queued)
		case int(t.charged) >= j.spec.MaxAttempts || int(t.spared) > s.o.MaxUncharged:
			return fmt.Errorf("task %d goes on after %d charged and %d other failures", i, t.charged, t.spared)
		}
	}
	if count != p.count || len(p.tasks) != p.total || done != p.doneBytes || made != p.made || remakes != p.remakes || len(queued) != len(p.again) {
		return fmt.Errorf("tasks by state %v, counted %v; %d bytes done, counted %d", count, p.count, done, p.doneBytes)
	}
	return nil
}

// checkRuns looks that no selected run lies on a lost worker, or where its loss would not be noticed.
func (s *State) checkRuns(j *job) error {
	if j.state != Running || j.spec.Durable {
		return nil
	}
	live := map[*worker]int{}
	for i := range j.maps().tasks {
		t := &j.maps().tasks[i]
		if t.state != selected {
			continue
		}
		h := t.by.holding(j)
		if t.by.lost || h == nil || !slices.Contains(h.maps, int32(i)) {
			return fmt.Errorf("run of map %d is selected, but lost or not held by worker %s", i, t.by.id)
		}
		live[t.by]++
	}
	for _, w := range s.roster {
		if h := w.holding(j); h != nil && h.live != live[w] {
			return fmt.Errorf("worker %s holds %d selected runs, counted %d", w.id, live[w], h.live)
		}
	}
	return nil
}

// checkProgress looks that nothing waits that could go on: no free slot beside a task for it, and no job whose reduces
// hold the slots that its maps wait for.
func (s *State) checkProgress() error {
	if s.replayed || s.holding() {
		return nil
	}
	for _, w := range s.roster {
		if c, ok := s.next(w); ok && w.canTake() {
			return fmt.Errorf("worker %s has a free slot while %s %d of job %s waits", w.id, c.phase.kind, c.index, c.job.id)
		}
	}
	for _, j := range s.active {
		if j.maps().count[waiting] > 0 && j.maps().count[running] == 0 && s.coming(j) == 0 && s.anyVictim(j) {
			return fmt.Errorf("job %s: its maps wait, none runs, and its reduces keep their slots", j.id)
		}
	}
	return nil
}
