package sched

import (
	"fmt"
	"slices"
	"time"
)

// simWorker is one incarnation of a worker process in the simulation.
type simWorker struct {
	id       WorkerID
	slots    int
	speed    float64 // bytes a second
	bad      bool    // most of its attempts fail
	dead     bool
	draining bool
	resumes  time.Duration // paused until then
	attempts []*simAttempt
	had      map[AttemptID]bool
	done     []Outcome // not answered yet
	polls    int
	lastPoll time.Duration
}

// simAttempt is a running attempt.
type simAttempt struct {
	id     AttemptID
	total  float64
	bytes  float64
	speed  float64
	fate   *Failure // at its end
	read   map[int]AttemptID
	stalls int

	started bool // it has a slot; it keeps it when the slots become fewer
}

func (m *sim) spawn(healthy bool) {
	m.names++
	w := &simWorker{id: WorkerID(fmt.Sprintf("w%d", m.names)), slots: 1 + m.rng.IntN(3), speed: 20 + 200*m.rng.Float64(),
		had: map[AttemptID]bool{}, lastPoll: -time.Hour}
	w.bad = !healthy && m.rng.IntN(12) == 0
	m.workers = append(m.workers, w)
	m.after(m.between(0, 3*time.Second), func() error { return m.wake(w) })
}

// fault does something bad to a random worker now and then.
func (m *sim) fault() error {
	if m.calm() {
		return nil
	}
	m.after(m.between(time.Second, 40*time.Second), m.fault)
	w := m.workers[m.rng.IntN(len(m.workers))]
	if w.dead {
		return nil
	}
	switch m.rng.IntN(8) {
	case 0, 1:
		m.stats.count(statDeaths)
		m.die(w)
		if m.rng.IntN(2) == 0 { // its supervisor saw it
			return m.step(Leave{Worker: w.id})
		}
	case 2, 3:
		m.stats.count(statPauses)
		w.resumes = m.now + m.between(time.Second, 40*time.Second)
	case 4:
		if !w.draining {
			m.stats.count(statDrains)
			w.draining = true
		}
	case 5:
		w.slots = 1 + m.rng.IntN(3)
	case 6:
		m.spawn(false)
	}
	return nil
}

// die ends the process; another takes its place after a while.
func (m *sim) die(w *simWorker) {
	w.dead = true
	w.attempts = nil
	m.after(m.between(0, 20*time.Second), func() error { m.spawn(false); return nil })
}

// wake is a worker's life, once a second.
func (m *sim) wake(w *simWorker) error {
	if w.dead {
		return nil
	}
	if w.resumes > m.now {
		m.after(w.resumes-m.now, func() error { return m.wake(w) })
		return nil
	}
	m.after(m.between(900*time.Millisecond, 1100*time.Millisecond), func() error { return m.wake(w) })
	w.start()
	for _, a := range slices.Clone(w.attempts) {
		if a.started {
			m.work(w, a)
		}
	}
	if w.draining {
		for _, a := range slices.Clone(w.attempts) {
			if m.rng.IntN(20) == 0 {
				m.finish(w, a, &Failure{Kind: FailReturned, Text: "draining"})
			}
		}
		if len(w.attempts) == 0 && len(w.done) == 0 && m.s.Known(w.id) && !m.s.Needed(w.id) {
			m.die(w)
			return m.step(Leave{Worker: w.id})
		}
	}
	if len(w.done) > 0 || m.now-w.lastPoll > 3*time.Second {
		m.poll(w)
	}
	return nil
}

// start gives free slots to attempts; there may be more of them, as a killed one's end and another's start can cross.
func (w *simWorker) start() {
	n := 0
	for _, a := range w.attempts {
		if a.started {
			n++
		}
	}
	for _, a := range w.attempts {
		if !a.started && n < w.slots {
			a.started = true
			n++
		}
	}
}

// work is a second of an attempt.
func (m *sim) work(w *simWorker, a *simAttempt) {
	if a.id.Task.Phase == Reduce && !m.fetch(w, a) {
		return
	}
	a.bytes += a.speed
	if a.bytes < a.total {
		return
	}
	a.bytes = a.total
	j := m.job(a.id.Task.Job)
	if a.fate == nil {
		switch a.id.Task.Phase {
		case Map:
			m.runs[a.id] = &simRun{worker: w, sum: m.sumOf(j, a.id)}
			j.parts[a.id] = &simPart{}
		case Reduce:
			j.parts[a.id] = &simPart{read: a.read}
		}
	}
	m.finish(w, a, a.fate)
}

func (m *sim) sumOf(j *simJob, id AttemptID) uint64 {
	sum := uint64(id.Task.Index)
	if j.chaotic && j.submit.Reducers > 0 { // without reduces nobody mixes two results: the master tells of none
		sum += uint64(id.N) << 32
	}
	return sum
}

func (m *sim) finish(w *simWorker, a *simAttempt, f *Failure) {
	w.attempts = remove(w.attempts, a)
	o := Outcome{Attempt: a.id, Failure: f}
	if f == nil && a.id.Task.Phase == Map {
		o.Checksum = m.runs[a.id].sum
	}
	j := m.job(a.id.Task.Job)
	if f != nil {
		switch f.Kind {
		case FailTask:
			j.failures[a.id.Task]++
		case FailJob:
			j.failsJob = true
		case FailFetch:
			m.stats.count(statFetchFailed)
		}
	}
	w.done = append(w.done, o)
}

// fetch reads the runs that a reduce attempt has not yet, and says whether it has all. What it is told may be old.
func (m *sim) fetch(w *simWorker, a *simAttempt) bool {
	maps := len(m.job(a.id.Task.Job).submit.Maps)
	for i := range maps {
		if _, ok := a.read[i]; ok {
			continue
		}
		task := TaskID{Job: a.id.Task.Job, Phase: Map, Index: i}
		run, ok := m.visible[task]
		if old, was := m.before[task]; was && m.chance(0.1) {
			run, ok = old, true
		}
		if !ok || m.chance(0.2) {
			continue
		}
		owner := m.runs[run].worker
		stored := m.job(task.Job).submit.Durable
		if !stored && (owner.dead || owner.resumes > m.now) || !m.calm() && m.chance(m.chances.failFetch) {
			if a.stalls++; a.stalls > m.rng.IntN(8) {
				m.finish(w, a, &Failure{Kind: FailFetch, Run: run, Text: "cannot read"})
				return false
			}
			continue
		}
		a.read[i] = run
	}
	return len(a.read) == maps
}

// poll sends a report, which may be lost, doubled and slow.
func (m *sim) poll(w *simWorker) {
	w.polls++
	w.lastPoll = m.now
	seq := w.polls
	p := Poll{Worker: w.id, Slots: w.slots, Draining: w.draining, Done: slices.Clone(w.done)}
	for _, a := range w.attempts {
		p.Running = append(p.Running, Progress{Attempt: a.id, Bytes: int64(a.bytes), Total: int64(a.total)})
	}
	copies := 1
	if !m.calm() && m.chance(m.chances.doublePoll) {
		copies++
	}
	if !m.calm() && m.chance(m.chances.dropPoll) {
		m.stats.count(statDropped)
		copies--
	}
	for range copies {
		slowest := 500 * time.Millisecond
		if m.rng.IntN(10) == 0 {
			slowest = 10 * time.Second
		}
		m.after(m.between(0, slowest), func() error { return m.arrive(w, p, seq) })
	}
}

// arrive is a report reaching the master; the answer carries all mail for the worker, and may be lost.
func (m *sim) arrive(w *simWorker, p Poll, seq int) error {
	if m.chances.ordered && seq < m.polled[w.id] {
		return nil
	}
	m.polled[w.id] = seq
	if err := m.step(p); err != nil {
		return err
	}
	mail := m.mail[w.id]
	delete(m.mail, w.id)
	if !m.calm() && m.chance(m.chances.dropAnswer) {
		m.stats.count(statDropped)
		return nil
	}
	m.after(m.between(0, 500*time.Millisecond), func() error { return m.answer(w, p, mail) })
	return nil
}

// answer is the master's answer reaching the worker.
func (m *sim) answer(w *simWorker, p Poll, mail []Effect) error {
	if w.dead {
		return nil
	}
	if w.resumes > m.now {
		m.after(w.resumes-m.now, func() error { return m.answer(w, p, mail) })
		return nil
	}
	w.done = slices.DeleteFunc(w.done, func(o Outcome) bool {
		return slices.ContainsFunc(p.Done, func(d Outcome) bool { return d.Attempt == o.Attempt })
	})
	for _, e := range mail {
		switch e := e.(type) {
		case Kill:
			w.had[e.Attempt] = true
			w.attempts = slices.DeleteFunc(w.attempts, func(a *simAttempt) bool { return a.id == e.Attempt })
		case Refused:
			m.die(w)
			return nil
		}
	}
	for _, e := range mail {
		if e, ok := e.(Assign); ok && !w.had[e.Attempt] {
			if other, ok := m.begun[e.Attempt]; ok && other != w {
				return fmt.Errorf("%v was given to %s and to %s", e.Attempt, other.id, w.id)
			}
			m.begun[e.Attempt] = w
			w.had[e.Attempt] = true
			w.attempts = append(w.attempts, m.begin(w, e.Attempt))
		}
	}
	return nil
}

// begin draws an attempt's fate.
func (m *sim) begin(w *simWorker, id AttemptID) *simAttempt {
	j := m.job(id.Task.Job)
	a := &simAttempt{id: id, total: 1 + 500*m.rng.Float64(), speed: w.speed, read: map[int]AttemptID{}}
	if id.Task.Phase == Map {
		a.total = float64(j.submit.Maps[id.Task.Index])
		if j.poisoned == id.Task.Index {
			a.fate = &Failure{Kind: FailTask, Text: "poison"}
		}
	}
	if !m.calm() && m.chance(m.chances.slow) {
		a.speed /= 30
	}
	switch {
	case w.bad && m.chance(0.7), !m.calm() && m.chance(m.chances.failTask):
		a.fate = &Failure{Kind: FailTask, Text: "bad luck"}
	case !m.calm() && m.chances.failTask > 0 && m.chance(0.001):
		a.fate = &Failure{Kind: FailJob, Text: "none can succeed"}
	}
	return a
}
