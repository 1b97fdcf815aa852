package sched

import (
	"container/heap"
	"errors"
	"flag"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

var (
	simSeeds = flag.Int("sim.seeds", 500, "how many seeds the simulation runs")
	simFrom  = flag.Uint64("sim.from", 1, "the first seed of the simulation")
	simTrace = flag.Bool("sim.trace", false, "print every step of the simulation")
)

// TestSimulation proves that under any mix of faults every job ends, for a reason that exists; that each task of a
// committed job is selected once, with parts that read every map once and all the same runs; and that the invariants
// hold after each step. Faults: workers die, pause past their lease and come back, drain, leave; reports and answers are
// slow, lost, doubled and overtake each other; attempts fail, runs cannot be read, parts are lost, jobs are cancelled, map
// functions are not deterministic; the master crashes between any two effects and goes on from its records.
func TestSimulation(t *testing.T) {
	t.Parallel()
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	var total simStats
	for seed := *simFrom; seed < *simFrom+uint64(*simSeeds); seed++ {
		group.Go(func() error {
			m := newSim(seed)
			if err := m.run(); err != nil {
				return fmt.Errorf("seed %d at %v: %w\nrepeat it with: go test -run TestSimulation -sim.from %d -sim.seeds 1 -sim.trace",
					seed, m.now, err, seed)
			}
			total.add(&m.stats)
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	t.Log(total.String())
	if *simSeeds >= 500 {
		total.demandAll(t)
	}
}

// TestSimulationRepeats proves that a seed gives the same trace each time, so that a failure can be looked at again, and
// that other seeds give others.
func TestSimulationRepeats(t *testing.T) {
	t.Parallel()
	seen := map[uint64]uint64{}
	for seed := uint64(1); seed <= 20; seed++ {
		var traces [2]uint64
		for i := range traces {
			m := newSim(seed)
			if err := m.run(); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			traces[i] = m.trace.Sum64()
		}
		if traces[0] != traces[1] {
			t.Errorf("seed %d: traces %x and %x differ", seed, traces[0], traces[1])
		}
		if other, ok := seen[traces[0]]; ok {
			t.Errorf("seeds %d and %d have the same trace", seed, other)
		}
		seen[traces[0]] = seed
	}
}

const (
	simFaultsEnd = 250 * time.Second  // no new faults afterwards, and a healthy worker is there
	simDeadline  = 3000 * time.Second // every job has ended by then
)

// simStats counts what happened, to show that the faults do happen.
type simStats struct{ counts [statKinds]atomic.Int64 }

const (
	statSteps = iota
	statSeconds
	statCommitted
	statFailed
	statCancelled
	statDeaths
	statPauses
	statDrains
	statRefused
	statCrashes
	statAdopted
	statRunLost
	statPreempted
	statBackups
	statBackupWins
	statPartsLost
	statMapPartsLost
	statMapOnly
	statExcluded
	statNonDeterministic
	statFetchFailed
	statAllRunsGivenUp
	statDropped
	statKinds
)

var statNames = [statKinds]string{"steps", "simulated seconds", "committed", "failed", "cancelled", "deaths", "pauses", "drains",
	"refused", "master crashes", "adopted", "runs lost", "preempted", "backups", "backup wins", "parts-lost", "map parts lost", "maps only", "excluded",
	"non-deterministic", "fetch failures", "workers given up", "messages dropped"}

func (s *simStats) add(o *simStats) {
	for i := range s.counts {
		s.counts[i].Add(o.counts[i].Load())
	}
}

func (s *simStats) count(kind int) { s.counts[kind].Add(1) }

func (s *simStats) String() string {
	var out []string
	for i := range s.counts {
		out = append(out, fmt.Sprintf("%s %d", statNames[i], s.counts[i].Load()))
	}
	return strings.Join(out, ", ")
}

func (s *simStats) demandAll(t *testing.T) {
	for i := range s.counts {
		if s.counts[i].Load() == 0 {
			t.Errorf("simulation: no %s in all seeds: it does not test what it should", statNames[i])
		}
	}
}

// happening is something that the simulation does at a time.
type happening struct {
	at  time.Duration
	seq int
	do  func() error
}

type happenings []happening

func (h happenings) Len() int { return len(h) }
func (h happenings) Less(i, j int) bool {
	return h[i].at < h[j].at || h[i].at == h[j].at && h[i].seq < h[j].seq
}
func (h happenings) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *happenings) Push(x any)   { *h = append(*h, x.(happening)) }
func (h *happenings) Pop() any {
	old := *h
	x := old[len(old)-1]
	*h = old[:len(old)-1]
	return x
}

// chances are the faults' probabilities, drawn for each seed; some are zero, so that each fault is also seen alone.
type chances struct {
	dropPoll, dropAnswer, doublePoll float64
	failTask, failFetch, slow        float64
	partsLost, crash                 float64
	ordered                          bool // the loop ignores polls that were overtaken
}

// sim is a master's loop, a network and workers around a scheduler.
type sim struct {
	rng     *rand.Rand
	chances chances
	s       *State
	term    int
	now     time.Duration
	queue   happenings
	seq     int

	workers []*simWorker
	names   int
	mail    map[WorkerID][]Effect // answers that wait for a poll
	polled  map[WorkerID]int      // the newest poll, if ordered

	jobs    []*simJob
	records []Record
	runs    map[AttemptID]*simRun    // every run ever made
	begun   map[AttemptID]*simWorker // who began each attempt
	visible map[TaskID]AttemptID     // the runs that reducers are told to read
	before  map[TaskID]AttemptID     // what they were told last before that

	trace interface {
		io.Writer
		Sum64() uint64
	}
	stats simStats
}

// simJob is what the simulation knows of a job.
type simJob struct {
	submit    Submit
	cancelled bool // somebody asked for it
	chaotic   bool // its map function is not deterministic
	poisoned  int  // this map always fails; -1: none
	failsJob  bool // an attempt reported that none can succeed
	failures  map[TaskID]int
	selected  map[TaskID]AttemptID // as the records say
	chosen    map[TaskID]AttemptID // the same, and who was selected last where the run is gone
	parts     map[AttemptID]*simPart
	sides     bool // its maps leave parts
	commit    int  // counts Commits, so that an overtaken one is noticed
	ended     *Ended
}

// simPart is a pending upload and the runs that went into it.
type simPart struct {
	read map[int]AttemptID
	gone bool
}

type simRun struct {
	worker *simWorker
	sum    uint64
}

func newSim(seed uint64) *sim {
	m := &sim{
		rng: rand.New(rand.NewPCG(seed, 0)), s: New(Options{}), mail: map[WorkerID][]Effect{}, polled: map[WorkerID]int{},
		runs: map[AttemptID]*simRun{}, begun: map[AttemptID]*simWorker{}, visible: map[TaskID]AttemptID{}, before: map[TaskID]AttemptID{}, trace: fnv.New64a(),
	}
	sometimes := func(p float64) float64 {
		if m.rng.IntN(2) == 0 {
			return 0
		}
		return p * m.rng.Float64()
	}
	m.chances = chances{
		dropPoll: sometimes(0.2), dropAnswer: sometimes(0.2), doublePoll: sometimes(0.2), failTask: sometimes(0.1),
		failFetch: sometimes(0.05), slow: sometimes(0.3), partsLost: sometimes(0.5), crash: sometimes(0.01), ordered: m.rng.IntN(2) == 0,
	}
	for range 1 + m.rng.IntN(5) {
		m.spawn(false)
	}
	for i := range 1 + m.rng.IntN(3) {
		m.addJob(JobID(string(rune('a' + i))))
	}
	m.after(time.Second, m.tick)
	m.after(time.Second, m.fault)
	m.after(simFaultsEnd, func() error { m.spawn(true); return nil })
	return m
}

func (m *sim) chance(p float64) bool { return m.rng.Float64() < p }

// between returns a time in [low, high).
func (m *sim) between(low, high time.Duration) time.Duration {
	return low + time.Duration(m.rng.Int64N(int64(high-low)))
}

func (m *sim) after(d time.Duration, do func() error) {
	m.seq++
	heap.Push(&m.queue, happening{at: m.now + d, seq: m.seq, do: do})
}

func (m *sim) calm() bool { return m.now >= simFaultsEnd }

func (m *sim) addJob(id JobID) {
	j := &simJob{poisoned: -1, failures: map[TaskID]int{}, selected: map[TaskID]AttemptID{}, chosen: map[TaskID]AttemptID{}, parts: map[AttemptID]*simPart{}}
	j.submit = Submit{Job: id, Weight: 1 + m.rng.IntN(3), Sample: m.rng.IntN(4) == 0, Reducers: 1 + m.rng.IntN(6),
		Backup: m.rng.IntN(2) == 0, Durable: m.rng.IntN(5) == 0, MaxAttempts: 4}
	for range m.rng.IntN(16) {
		j.submit.Maps = append(j.submit.Maps, m.rng.Int64N(1000))
	}
	j.sides = m.rng.IntN(3) == 0
	if len(j.submit.Maps) > 0 && m.rng.IntN(5) == 0 {
		j.submit.Reducers, j.sides = 0, true
	}
	j.chaotic = m.rng.IntN(10) == 0
	if len(j.submit.Maps) > 0 && m.rng.IntN(12) == 0 {
		j.poisoned = m.rng.IntN(len(j.submit.Maps))
	}
	m.jobs = append(m.jobs, j)
	var submit func() error
	submit = func() error { // the client repeats it, whether or not it was taken
		if _, known := m.s.Job(id); known && m.chance(0.9) {
			m.after(5*time.Second, submit)
			return nil
		}
		m.after(5*time.Second, submit)
		return m.step(j.submit)
	}
	m.after(m.between(0, 60*time.Second), submit)
	if m.rng.IntN(8) == 0 {
		m.after(m.between(0, 200*time.Second), func() error {
			j.cancelled = true
			return m.step(Cancel{Job: id})
		})
	}
}

func (m *sim) run() error {
	for len(m.queue) > 0 && m.now < simDeadline {
		h := heap.Pop(&m.queue).(happening)
		m.now = h.at
		if err := h.do(); err != nil {
			return err
		}
		if !slices.ContainsFunc(m.jobs, func(j *simJob) bool { return j.ended == nil }) {
			m.stats.counts[statSeconds].Store(int64(m.now / time.Second))
			return m.verify()
		}
	}
	for _, j := range m.jobs {
		if v, _ := m.s.Job(j.submit.Job); j.ended == nil {
			return fmt.Errorf("job %s has not ended: %+v; workers %+v", j.submit.Job, v, m.s.Workers())
		}
	}
	return nil
}

func (m *sim) tick() error {
	m.after(time.Second, m.tick)
	return m.step(Tick{})
}

// step gives the scheduler an event and carries out its effects, or only the first of them: then the master crashes.
func (m *sim) step(ev Event) error {
	m.stats.count(statSteps)
	m.log("%v %s", m.now, showEvent(ev))
	effects := m.s.Step(m.now, ev)
	if err := m.s.Check(); err != nil {
		return fmt.Errorf("after %T: %w", ev, err)
	}
	crash := !m.calm() && m.chance(m.chances.crash)
	if crash {
		effects = effects[:m.rng.IntN(len(effects)+1)]
	}
	for _, e := range effects {
		m.log("  %s", showEffect(e))
		if err := errors.Join(m.carryOut(e), m.because(e, ev, effects)); err != nil {
			return fmt.Errorf("effect %s of %T: %w", showEffect(e), ev, err)
		}
	}
	if crash {
		return m.crash()
	}
	if m.rng.IntN(40) == 0 {
		return sameAfterReplay(m.s, m.records)
	}
	return nil
}

// showEvent is an event without addresses, which would differ from run to run.
func showEvent(ev Event) string {
	p, ok := ev.(Poll)
	if !ok {
		return fmt.Sprintf("%T%+v", ev, ev)
	}
	text := fmt.Sprintf("poll %s slots=%d draining=%v", p.Worker, p.Slots, p.Draining)
	for _, pr := range p.Running {
		text += fmt.Sprintf(" run=%s:%d/%d", showAttempt(pr.Attempt), pr.Bytes, pr.Total)
	}
	for _, o := range p.Done {
		text += fmt.Sprintf(" done=%s:%d", showAttempt(o.Attempt), o.Checksum)
		if o.Failure != nil {
			text += fmt.Sprintf("%+v", *o.Failure)
		}
	}
	return text
}

func (m *sim) log(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	io.WriteString(m.trace, line)
	if *simTrace {
		fmt.Println(line)
	}
}

// crash starts a new master from the records. Mail, and what the loop was about, are gone; what reducers are told comes
// from the new state. A job's end may have become durable without having been told.
func (m *sim) crash() error {
	m.stats.count(statCrashes)
	m.term++
	m.log("crash: term %d", m.term)
	records := m.records
	if m.rng.IntN(2) == 0 { // a compacted journal says the same
		s, err := Replay(Options{Term: m.term}, records)
		if err != nil {
			return err
		}
		records = s.Durable()
	}
	s, err := Replay(Options{Term: m.term}, records)
	if err != nil {
		return err
	}
	m.s = s
	clear(m.mail)
	clear(m.polled)
	for _, j := range m.jobs {
		j.commit++
		v, ok := s.Job(j.submit.Job)
		if ok && v.State.Ended() && j.ended == nil {
			j.ended = &Ended{Job: v.ID, State: v.State, Reason: v.Reason}
		}
		for i := range j.submit.Maps {
			id := TaskID{Job: j.submit.Job, Phase: Map, Index: i}
			if a, _, ok := s.Selected(id); ok {
				m.visible[id] = a
			} else {
				delete(m.visible, id)
			}
		}
	}
	return s.Check()
}

func (m *sim) job(id JobID) *simJob { return m.jobs[id[0]-'a'] }

func (m *sim) carryOut(e Effect) error {
	switch e := e.(type) {
	case Assign:
		m.mail[e.Worker] = append(m.mail[e.Worker], e)
	case Kill:
		if strings.HasPrefix(e.Reason, "a map task") {
			m.stats.count(statPreempted)
		}
		m.mail[e.Worker] = append(m.mail[e.Worker], e)
	case Refused:
		m.stats.count(statRefused)
		m.mail[e.Worker] = append(m.mail[e.Worker], e)
	case Record:
		m.records = append(m.records, e)
		return m.recorded(e)
	case Selected:
		if m.job(e.Attempt.Task.Job).selected[e.Attempt.Task] != e.Attempt {
			return errors.New("shown before its record")
		}
		if e.Attempt.Task.Phase == Map {
			m.visible[e.Attempt.Task] = e.Attempt
		}
	case RunLost:
		m.stats.count(statRunLost)
		m.before[e.Attempt.Task] = e.Attempt
		delete(m.visible, e.Attempt.Task)
	case Commit:
		return m.commit(e)
	case Ended:
		return m.end(e)
	case Noted:
		m.countNote(e.Text)
	}
	return nil
}

func (m *sim) countNote(text string) {
	for part, kind := range map[string]int{"goes on from": statAdopted, "would need": statBackups, "won": statBackupWins,
		"left out": statExcluded, "given up": statAllRunsGivenUp} {
		if strings.Contains(text, part) {
			m.stats.count(kind)
		}
	}
}

// recorded checks that the records tell a sane story: one selected attempt for each task at a time.
func (m *sim) recorded(r Record) error {
	if r.Kind == RecordSubmit {
		return nil
	}
	j := m.job(r.Job)
	was, is := j.selected[r.Attempt.Task]
	switch r.Kind {
	case RecordSelected:
		if is {
			return fmt.Errorf("%v is selected already", was)
		}
		if r.Attempt.Task.Phase == Map && m.runs[r.Attempt] == nil || r.Attempt.Task.Phase == Reduce && j.parts[r.Attempt] == nil {
			return errors.New("there is no such result")
		}
		j.selected[r.Attempt.Task], j.chosen[r.Attempt.Task] = r.Attempt, r.Attempt
	case RecordLost:
		if !is || was != r.Attempt {
			return fmt.Errorf("selected is %v (%v)", was, is)
		}
		delete(j.selected, r.Attempt.Task)
	case RecordRemake:
		if is || j.chosen[r.Attempt.Task] != r.Attempt || !j.parts[r.Attempt].gone {
			return fmt.Errorf("its parts are there, or it is not who made them: %v", j.chosen[r.Attempt.Task])
		}
	}
	return nil
}

// because says whether a run was taken back for a reason: its worker is gone, a reduce attempt could not read just this
// run, several of its worker's runs could not be read, or parts that came with it are gone.
func (m *sim) because(e Effect, ev Event, effects []Effect) error {
	lost, ok := e.(RunLost)
	if !ok || !m.s.Known(lost.Worker) {
		return nil
	}
	if p, ok := ev.(Poll); ok {
		for _, o := range p.Done {
			if o.Failure != nil && o.Failure.Kind == FailFetch && o.Failure.Run == lost.Attempt {
				return nil
			}
		}
	}
	if p, ok := ev.(PartsLost); ok && slices.Contains(p.Attempts, lost.Attempt) {
		return nil
	}
	for _, e := range effects {
		if n, ok := e.(Noted); ok && n.Worker == lost.Worker && strings.Contains(n.Text, "given up") {
			return nil
		}
	}
	return errors.New("its worker is there, and nobody missed it")
}

// commit does what the loop does: it looks at the parts, sometimes finds some gone, decides, completes.
func (m *sim) commit(e Commit) error {
	j := m.job(e.Job)
	j.commit++
	serial := j.commit
	want := j.submit.Reducers
	if want == 0 {
		want = len(j.submit.Maps)
	}
	if len(e.Parts) != want {
		return fmt.Errorf("%d parts of %d", len(e.Parts), want)
	}
	complete := func() error {
		if j.commit != serial {
			return nil
		}
		return m.step(Committed{Job: e.Job})
	}
	if v, _ := m.s.Job(e.Job); v.State == Committing {
		m.after(m.between(0, 5*time.Second), complete)
		return nil
	}
	m.after(m.between(0, 5*time.Second), func() error {
		if j.commit != serial || j.ended != nil {
			return nil
		}
		if lost := m.loseParts(j); len(lost) > 0 {
			m.stats.count(statPartsLost)
			return m.step(PartsLost{Job: e.Job, Attempts: lost})
		}
		if err := m.sound(j, e); err != nil {
			return err
		}
		m.after(m.between(0, 5*time.Second), complete)
		return m.step(Decided{Job: e.Job})
	})
	return nil
}

// leftBy are the attempts whose parts make up the output: those that were selected last, whether or not their runs are there.
func (j *simJob) leftBy() (list []AttemptID) {
	if j.sides {
		for i := range j.submit.Maps {
			list = append(list, j.chosen[TaskID{Job: j.submit.Job, Phase: Map, Index: i}])
		}
	}
	for i := range j.submit.Reducers {
		list = append(list, j.chosen[TaskID{Job: j.submit.Job, Phase: Reduce, Index: i}])
	}
	return list
}

func (m *sim) loseParts(j *simJob) (lost []AttemptID) {
	for _, id := range j.leftBy() {
		if !m.calm() && m.chance(m.chances.partsLost/2) {
			j.parts[id].gone = true
		}
		if j.parts[id].gone {
			lost = append(lost, id)
			if id.Task.Phase == Map {
				m.stats.count(statMapPartsLost)
			}
		}
	}
	m.rng.Shuffle(len(lost), func(a, b int) { lost[a], lost[b] = lost[b], lost[a] })
	return lost
}

// sound says whether the output is right: each part once, as selected, made of every map's run once, and all parts of the
// same runs, and each that a map left beside its run is there.
func (m *sim) sound(j *simJob, e Commit) error {
	sums := map[int]uint64{}
	for _, id := range j.leftBy() {
		if part := j.parts[id]; part == nil || part.gone {
			return fmt.Errorf("part of %v is gone", id)
		}
		if run := m.runs[id]; run != nil && j.submit.Reducers > 0 {
			sums[id.Task.Index] = run.sum
		}
	}
	for i, id := range e.Parts {
		task := TaskID{Job: e.Job, Phase: Reduce, Index: i}
		if j.submit.Reducers == 0 {
			task.Phase = Map
		}
		part := j.parts[id]
		if id.Task != task || j.selected[task] != id || part == nil || part.gone {
			return fmt.Errorf("part %d is %v, selected %v", i, id, j.selected[task])
		}
		if task.Phase == Reduce && len(part.read) != len(j.submit.Maps) {
			return fmt.Errorf("part %v read %d of %d maps", id, len(part.read), len(j.submit.Maps))
		}
		for at, run := range part.read {
			if sum, ok := sums[at]; ok && sum != m.runs[run].sum {
				return fmt.Errorf("part %v read %v, which differs from what other parts read", id, run)
			}
			sums[at] = m.runs[run].sum
		}
	}
	return nil
}

func (m *sim) end(e Ended) error {
	j := m.job(e.Job)
	if j.ended != nil {
		return fmt.Errorf("it ended before: %+v", *j.ended)
	}
	j.ended = &e
	return nil
}

// verify looks at the ends of all jobs: each must have a reason that did happen.
func (m *sim) verify() error {
	for _, j := range m.jobs {
		v, ok := m.s.Job(j.submit.Job)
		if !ok || v.State != j.ended.State || v.Map.Running+v.Reduce.Running > 0 {
			return fmt.Errorf("job %s ended %v, the view says %+v", j.submit.Job, j.ended.State, v)
		}
		switch {
		case v.State == Done:
			m.stats.count(statCommitted)
			if j.submit.Reducers == 0 {
				m.stats.count(statMapOnly)
			}
			if len(j.selected) < j.submit.Reducers || j.submit.Reducers == 0 && len(j.selected) < len(j.submit.Maps) {
				return fmt.Errorf("job %s is committed with %d selected tasks", v.ID, len(j.selected))
			}
		case v.State == Cancelled && j.cancelled:
			m.stats.count(statCancelled)
		case v.State == JobFailed && m.explained(j, v.Reason):
			m.stats.count(statFailed)
		default:
			return fmt.Errorf("job %s ended %v for no reason: %s", v.ID, v.State, v.Reason)
		}
	}
	return nil
}

func (m *sim) explained(j *simJob, reason string) bool {
	if strings.Contains(reason, "not deterministic") {
		m.stats.count(statNonDeterministic)
		return j.chaotic
	}
	if strings.Contains(reason, "none can succeed") {
		return j.failsJob
	}
	for task, n := range j.failures {
		if n >= j.submit.MaxAttempts && strings.HasPrefix(reason, task.short()+" failed ") {
			return true
		}
	}
	return false
}
