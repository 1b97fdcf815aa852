package sched

import (
	"errors"
	"fmt"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unsafe"
)

// TestPure proves by its imports that the package has no clock, I/O, lock, goroutine or randomness: nothing outside a
// short list, no time.Now and no go statement.
func TestPure(t *testing.T) {
	t.Parallel()
	allowed := []string{"cmp", "errors", "fmt", "math", "slices", "time"}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range file.Imports {
			if path, _ := strconv.Unquote(i.Path.Value); !slices.Contains(allowed, path) {
				t.Errorf("%s imports %s", name, path)
			}
		}
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, banned := range []string{"time.Now", "time.Since", "time.After", "\tgo "} {
			if strings.Contains(string(text), banned) {
				t.Errorf("%s has %q", name, banned)
			}
		}
	}
}

// TestMillionTasks proves that the cost of a job is in proportion to its tasks: a million maps and a thousand reduces on
// a thousand slots take seconds, and less than 100 bytes a task.
func TestMillionTasks(t *testing.T) {
	const maps, reducers, workers, slots = 1_000_000, 1_000, 100, 10
	before := heapBytes()
	s := New(Options{})
	s.Step(0, Submit{Job: "a", Maps: make([]int64, maps), Reducers: reducers, Backup: true})
	idle := float64(heapBytes()-before) / maps
	begin := time.Now()
	steps, peak := drive(t, s, workers, slots)
	took := time.Since(begin)
	busy := float64(peak-before) / maps
	t.Logf("%d tasks: %v, %d steps, task %d bytes, %.0f bytes a task at the start, %.0f at the most",
		maps+reducers, took, steps, unsafe.Sizeof(task{}), idle, busy)
	if unsafe.Sizeof(task{}) > 48 || idle > 100 || busy > 100 {
		t.Errorf("memory: got %d, %.0f and %.0f bytes a task, want at most 48, 100 and 100", unsafe.Sizeof(task{}), idle, busy)
	}
	if took > time.Minute {
		t.Errorf("time: got %v, want seconds", took)
	}
	if v, _ := s.Job("a"); v.State != Committing || v.Map.Done != maps || v.Reduce.Done != reducers {
		t.Errorf("job: got %+v, want all done", v)
	}
}

func heapBytes() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// drive lets workers report everything they run as done in each poll, until the job's commit; it returns the number of
// steps and the heap just before it.
func drive(tb testing.TB, s *State, workers, slots int) (steps int, peak uint64) {
	has := make(map[WorkerID][]AttemptID, workers)
	var now time.Duration
	for {
		for i := range workers {
			id := WorkerID(strconv.Itoa(i))
			p := Poll{Worker: id, Slots: slots}
			for _, a := range has[id] {
				p.Done = append(p.Done, Outcome{Attempt: a, Checksum: uint64(a.Task.Index)})
			}
			has[id] = has[id][:0]
			steps++
			now += time.Millisecond
			for _, e := range s.Step(now, p) {
				switch e := e.(type) {
				case Assign:
					has[e.Worker] = append(has[e.Worker], e.Attempt)
				case Failed, Ended:
					tb.Fatalf("effect %+v", e)
				case Commit:
					peak = heapBytes()
					s.Step(now, Decided{Job: e.Job})
					return steps, peak
				}
			}
		}
	}
}

// BenchmarkTask measures one map task from its assignment to its selection.
func BenchmarkTask(b *testing.B) {
	const maps = 100_000
	for b.Loop() {
		s := New(Options{})
		s.Step(0, Submit{Job: "a", Maps: make([]int64, maps), Reducers: 1})
		drive(b, s, 100, 10)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/maps, "ns/task")
}

// TestManyWorkersLost proves that losing a worker costs its own runs, not a walk over all tasks, and that its runs come
// back: every second worker of a hundred leaves after a hundred thousand maps.
func TestManyWorkersLost(t *testing.T) {
	t.Parallel()
	const maps, workers, slots = 100_000, 100, 10
	s := New(Options{})
	s.Step(0, Submit{Job: "a", Maps: make([]int64, maps), Reducers: 1})
	has := map[WorkerID][]AttemptID{}
	turn := func(id WorkerID) {
		p := Poll{Worker: id, Slots: slots}
		for _, a := range has[id] {
			if a.Task.Phase == Map {
				p.Done = append(p.Done, Outcome{Attempt: a})
			} else {
				p.Running = append(p.Running, Progress{Attempt: a})
			}
		}
		has[id] = nil
		for _, e := range s.Step(0, p) {
			if e, ok := e.(Assign); ok {
				has[e.Worker] = append(has[e.Worker], e.Attempt)
			}
		}
	}
	for round := 0; ; round++ {
		for i := range workers {
			turn(WorkerID(strconv.Itoa(i)))
		}
		if v, _ := s.Job("a"); v.Map.Done == maps {
			break
		}
	}
	lost := 0
	for i := 0; i < workers; i += 2 {
		for _, e := range s.Step(0, Leave{Worker: WorkerID(strconv.Itoa(i))}) {
			if _, ok := e.(RunLost); ok {
				lost++
			}
		}
	}
	if v, _ := s.Job("a"); lost != maps/2 || v.Map.Done != maps-lost {
		t.Errorf("lost runs: got %d, %+v, want half of %d", lost, v, maps)
	}
	if err := s.Check(); err != nil {
		t.Error(err)
	}
}

// TestMoves proves that impossible moves of a task panic, and moves for an attempt that no longer counts say so.
func TestMoves(t *testing.T) {
	t.Parallel()
	at := func(w string) *attempt { return &attempt{worker: &worker{id: WorkerID(w)}, job: &job{id: "a"}} }
	fresh := func(kind Phase) (*phase, *attempt) {
		p := &phase{}
		p.init(kind, 1, []int64{5})
		a := at("w1")
		a.phase = p
		p.begin(a, 0)
		return p, a
	}
	old := map[string]func() error{
		"end twice":              func() error { p, a := fresh(Map); return errors.Join(p.end(a), p.end(a)) },
		"end a stranger":         func() error { p, _ := fresh(Map); return p.end(at("w2")) },
		"take back unselected":   func() error { p, _ := fresh(Map); return p.takeBack(0, 0, true) },
		"take back another":      func() error { p, a := fresh(Map); p.choose(0, 0, a.worker, 1); return p.takeBack(0, 1, true) },
		"end after the decision": func() error { p, a := fresh(Map); p.choose(0, 0, a.worker, 1); return p.end(a) },
	}
	for name, move := range old {
		if err := move(); !errors.Is(err, errOld) {
			t.Errorf("%s: got %v, want errOld", name, err)
		}
	}
	impossible := map[string]func(){
		"a third attempt": func() {
			p, _ := fresh(Map)
			p.begin(&attempt{phase: p, worker: at("w2").worker, job: &job{}}, 0)
			p.begin(&attempt{phase: p, worker: at("w3").worker, job: &job{}}, 0)
		},
		"a backup on the same worker": func() {
			p, a := fresh(Map)
			p.begin(&attempt{phase: p, worker: a.worker, job: &job{}}, 0)
		},
		"begin what is selected": func() {
			p, a := fresh(Map)
			p.choose(0, 0, a.worker, 1)
			p.begin(&attempt{phase: p, worker: at("w2").worker, job: &job{}}, 0)
		},
		"select twice": func() {
			p, a := fresh(Map)
			p.choose(0, 0, a.worker, 1)
			p.choose(0, 0, a.worker, 1)
		},
		"adopt what runs": func() { p, _ := fresh(Map); p.adopt(&attempt{phase: p, job: &job{}}) },
		"need what runs":  func() { p, _ := fresh(Map); p.need(0) },
		"give up a reduce": func() {
			p, _ := fresh(Reduce)
			p.giveUp(0)
		},
	}
	for name, move := range impossible {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			move()
		}()
	}
}

// TestImpossibleEvents proves that the loop's own mistakes about a commit panic instead of committing half a job.
func TestImpossibleEvents(t *testing.T) {
	t.Parallel()
	for _, ev := range []Event{Decided{Job: "a"}, Committed{Job: "a"}, nil} {
		func() {
			s := New(Options{})
			s.Step(0, Submit{Job: "a", Reducers: 1})
			defer func() {
				if recover() == nil {
					t.Errorf("%#v: no panic", ev)
				}
			}()
			s.Step(0, ev)
		}()
	}
}

// TestReplayRejects proves that records which contradict each other are an error that says which and why.
func TestReplayRejects(t *testing.T) {
	t.Parallel()
	submit := Record{Kind: RecordSubmit, Job: "a", Submit: &Submit{Job: "a", Maps: []int64{1}, Reducers: 1, Sample: true}}
	id := func(p Phase, i, n int) AttemptID { return AttemptID{Task: TaskID{Job: "a", Phase: p, Index: i}, N: n} }
	selected := func(p Phase, i int) Record {
		return Record{Kind: RecordSelected, Job: "a", Attempt: id(p, i, 0), Worker: "w"}
	}
	lost := func(p Phase, n int) Record { return Record{Kind: RecordLost, Job: "a", Attempt: id(p, 0, n)} }
	state := func(s JobState) Record { return Record{Kind: RecordState, Job: "a", State: s} }
	for want, records := range map[string][]Record{
		"record 0 of 1: submit job : no job":       {{Kind: RecordSubmit}},
		"submitted twice":                          {submit, submit},
		"job a: unknown":                           {selected(Map, 0)},
		"select a/map-00001.0: no such task":       {submit, selected(Map, 1)},
		"or it has a result":                       {submit, selected(Map, 0), selected(Map, 0)},
		"1 maps never had a run":                   {submit, selected(Reduce, 0)},
		"lose a/map-00000.1: it is not selected":   {submit, selected(Map, 0), lost(Map, 1)},
		"a sample is never lost":                   {submit, selected(Sample, 0), lost(Sample, 0)},
		"job a: has ended":                         {submit, state(Cancelled), selected(Map, 0)},
		"committing after running":                 {submit, state(Committing)},
		"cancelled after committing":               {submit, selected(Map, 0), selected(Reduce, 0), state(Committing), state(Cancelled)},
		"record of kind 9: unknown":                {submit, {Kind: 9, Job: "a"}},
		"job a ended as failed: it is known":       {submit, {Kind: RecordEnded, Job: "a", State: JobFailed}},
		"job a ended as running":                   {{Kind: RecordEnded, Job: "a", State: Running}},
		"lose a/reduce-00000.0: it is not selecte": {submit, selected(Map, 0), selected(Reduce, 0), state(Committing), lost(Reduce, 0)},
	} {
		_, err := Replay(Options{}, records)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("replay: got %v, want %q", err, want)
		}
	}
	if _, err := Replay(Options{}, []Record{submit, selected(Map, 0), selected(Reduce, 0), state(Committing), state(Committing), state(Done)}); err != nil {
		t.Errorf("a decision recorded twice, by the loop and by the scheduler: %v", err)
	}
}

// TestReplayEnded proves that an ended job is known by its end alone: it is not run again, holds nothing, and its id is taken.
func TestReplayEnded(t *testing.T) {
	t.Parallel()
	records := []Record{{Kind: RecordEnded, Job: "a", State: JobFailed, Reason: "no"}, {Kind: RecordSubmit, Job: "b", Submit: &Submit{Job: "b", Maps: []int64{1}}}}
	s, err := Replay(Options{Term: 1}, records)
	if err != nil {
		t.Fatal(err)
	}
	if v, ok := s.Job("a"); !ok || v.State != JobFailed || v.Reason != "no" || s.HasJob("a") || !s.HasJob("b") {
		t.Errorf("the job is %+v", v)
	}
	for _, e := range s.Step(0, Submit{Job: "a", Maps: []int64{1}}) {
		t.Errorf("submitted again it gives %+v", e)
	}
	if err := sameAfterReplay(s, s.Durable()); err != nil {
		t.Error(err)
	}
	if err := s.Check(); err != nil {
		t.Error(err)
	}
}

// TestCheckSees proves that Check is not blind: a State that was bent by hand fails it.
func TestCheckSees(t *testing.T) {
	t.Parallel()
	for name, bend := range map[string]func(s *State, j *job, w *worker){
		"a count":           func(_ *State, j *job, _ *worker) { j.maps().count[waiting]++ },
		"a lost worker":     func(_ *State, _ *job, w *worker) { w.lost = true },
		"too many attempts": func(_ *State, _ *job, w *worker) { w.slots, w.kept = 1, 1 },
		"a forgotten task": func(_ *State, j *job, _ *worker) {
			j.maps().tasks[3].state, j.maps().fresh = waiting, 4
			j.maps().count[waiting]++
			j.maps().count[selected]--
			j.maps().doneBytes = 2
		},
		"an unheld run":      func(_ *State, _ *job, w *worker) { w.held = nil },
		"a holding's count":  func(_ *State, j *job, w *worker) { w.holding(j).live++ },
		"a commit too early": func(_ *State, j *job, _ *worker) { j.asked = true },
		"an ending count":    func(_ *State, j *job, _ *worker) { j.ending++ },
		"a backup count":     func(_ *State, j *job, _ *worker) { j.backups++ },
		"an attempt number":  func(_ *State, j *job, _ *worker) { j.running[0].task().next = 0 },
		"an idle slot":       func(s *State, j *job, _ *worker) { s.roster[1].slots = 9; s.idle = nil },
		"an active job":      func(s *State, _ *job, _ *worker) { s.active = nil },
		"charged failures":   func(_ *State, j *job, _ *worker) { j.maps().tasks[0].charged = 4 },
		"a dropped attempt":  func(_ *State, j *job, w *worker) { w.running = w.running[1:] },
	} {
		s := New(Options{})
		s.Step(0, Submit{Job: "a", Maps: []int64{1, 1, 1, 1, 1}, Reducers: 2})
		s.Step(0, Poll{Worker: "w1", Slots: 4})
		s.Step(0, Poll{Worker: "w2", Slots: 1})
		done := AttemptID{Task: TaskID{Job: "a", Phase: Map, Index: 3}}
		var running []Progress
		for i := range 3 {
			running = append(running, Progress{Attempt: AttemptID{Task: TaskID{Job: "a", Phase: Map, Index: i}}})
		}
		s.Step(0, Poll{Worker: "w1", Slots: 4, Running: running, Done: []Outcome{{Attempt: done}}})
		if err := s.Check(); err != nil {
			t.Fatalf("before: %v", err)
		}
		bend(s, s.jobs["a"], s.workers["w1"])
		if s.Check() == nil {
			t.Errorf("%s bent: Check saw nothing", name)
		}
	}
}

// TestViews proves that the views show what is there, and nothing of what is not.
func TestViews(t *testing.T) {
	t.Parallel()
	s := New(Options{})
	s.Step(0, Submit{Job: "b", Maps: []int64{10}, Reducers: 1})
	s.Step(0, Submit{Job: "a", Maps: []int64{10}, Reducers: 1})
	s.Step(0, Poll{Worker: "w", Slots: 1})
	run := AttemptID{Task: TaskID{Job: "b", Phase: Map}}
	if _, _, ok := s.Selected(run.Task); ok {
		t.Error("selected before it is done")
	}
	s.Step(0, Poll{Worker: "w", Slots: 1, Done: []Outcome{{Attempt: run}}})
	if id, w, ok := s.Selected(run.Task); !ok || id != run || w != "w" {
		t.Errorf("selected: got %v %v %v, want %v on w", id, w, ok, run)
	}
	if !s.Known("w") || s.Known("x") || !s.Needed("w") || s.Needed("x") || !s.HasJob("a") || s.HasJob("x") {
		t.Error("known, needed or job: wrong")
	}
	if got := s.Jobs(); !slices.Equal(got, []JobID{"b", "a"}) {
		t.Errorf("jobs: got %v, want b, a", got)
	}
	if ws := s.Workers(); len(ws) != 1 || len(ws[0].Running) != 1 || ws[0].Running[0].Task.Phase != Reduce {
		t.Errorf("workers: got %+v, want w running the reduce of b", ws)
	}
	s.Step(0, Cancel{Job: "b"})
	if _, _, ok := s.Selected(run.Task); ok || s.Needed("w") || s.HasJob("b") {
		t.Error("an ended job keeps nothing")
	}
	for _, id := range []TaskID{{Job: "x"}, {Job: "a", Index: 7}, {Job: "a", Phase: Map, Index: -1}, {Job: "a", Phase: 9}} {
		if _, _, ok := s.Selected(id); ok {
			t.Errorf("selected %v: there is no such task", id)
		}
	}
	if _, ok := s.Job("x"); ok {
		t.Error("a job that nobody submitted")
	}
}

// TestForgets proves that what is kept of ended jobs and lost workers is bounded.
func TestForgets(t *testing.T) {
	t.Parallel()
	s := New(Options{})
	for i := range endedKept + 10 {
		id := JobID(fmt.Sprint("j", i))
		s.Step(0, Submit{Job: id, Reducers: 1})
		s.Step(0, Cancel{Job: id})
	}
	if _, ok := s.Job("j0"); ok || len(s.jobs) != endedKept || len(s.order) != endedKept {
		t.Errorf("ended jobs: got %d, want %d", len(s.jobs), endedKept)
	}
	for i := range refusedKept + 10 {
		id := WorkerID(fmt.Sprint("w", i))
		s.Step(0, Poll{Worker: id, Slots: 1})
		s.Step(0, Leave{Worker: id})
	}
	if len(s.refused) != refusedKept || len(s.refusedOld) != refusedKept {
		t.Errorf("refused workers: got %d, want %d", len(s.refused), refusedKept)
	}
	if err := s.Check(); err != nil {
		t.Error(err)
	}
}

// TestHostileReports proves that a report with nonsense in it changes nothing: unknown jobs, phases and tasks, negative
// numbers, failures of nothing.
func TestHostileReports(t *testing.T) {
	t.Parallel()
	s := New(Options{Term: 3, MaxFetchFailures: 1})
	s.Step(0, Submit{Job: "a", Maps: []int64{1}, Reducers: 1})
	ids := []AttemptID{
		{}, {Task: TaskID{Job: "a", Phase: 9}}, {Task: TaskID{Job: "a", Phase: Map, Index: -1}}, {Task: TaskID{Job: "a", Phase: Map}, N: -1},
		{Task: TaskID{Job: "a", Phase: Map, Index: 1 << 40}}, {Task: TaskID{Job: "a", Phase: Map}, N: 1 << 40},
	}
	for _, id := range ids {
		for _, f := range []*Failure{nil, {}, {Kind: FailFetch, Run: id}, {Kind: FailJob}, {Kind: 99}} {
			s.Step(0, Poll{Worker: "w", Slots: -4, Running: []Progress{{Attempt: id, Bytes: -5, Total: -9}}, Done: []Outcome{{Attempt: id, Failure: f}}})
			if err := s.Check(); err != nil {
				t.Fatalf("%v %+v: %v", id, f, err)
			}
		}
	}
	s.Step(0, PartsLost{Job: "a", Attempts: append(ids, AttemptID{Task: TaskID{Job: "a", Phase: Reduce}}, AttemptID{Task: TaskID{Job: "a", Phase: Sample}})})
	s.Step(-5, Leave{Worker: "nobody"})
	if v, _ := s.Job("a"); v.State != Running || v.Map.Done+v.Map.Running+v.Reduce.Done != 0 {
		t.Errorf("job: got %+v, want it untouched", v)
	}
}

// TestFetchWindow proves that failed fetches far apart do not add up, and that the limit may be one.
func TestFetchWindow(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		max  int
		gap  time.Duration
		lost int // of four runs, after two reports
	}{{1, time.Second, 4}, {2, time.Second, 4}, {2, 4 * time.Minute, 2}, {3, time.Second, 2}} {
		s := New(Options{MaxFetchFailures: c.max, Lease: time.Hour})
		s.Step(0, Submit{Job: "a", Maps: make([]int64, 4), Reducers: 2})
		s.Step(0, Poll{Worker: "r", Slots: 0})
		s.Step(0, Poll{Worker: "m", Slots: 4})
		var done []Outcome
		for i := range 4 {
			done = append(done, Outcome{Attempt: AttemptID{Task: TaskID{Job: "a", Phase: Map, Index: i}}})
		}
		s.Step(0, Poll{Worker: "m", Slots: 4, Draining: true, Done: done})
		s.Step(0, Poll{Worker: "r", Slots: 2})
		lost := 0
		for i := range 2 {
			reduce := AttemptID{Task: TaskID{Job: "a", Phase: Reduce, Index: i}}
			p := Poll{Worker: "r", Slots: 2, Draining: true,
				Done: []Outcome{{Attempt: reduce, Failure: &Failure{Kind: FailFetch, Run: done[i].Attempt}}}}
			if i == 0 {
				p.Running = []Progress{{Attempt: AttemptID{Task: TaskID{Job: "a", Phase: Reduce, Index: 1}}}}
			}
			for _, e := range s.Step(time.Duration(i)*c.gap, p) {
				if _, ok := e.(RunLost); ok {
					lost++
				}
			}
		}
		if lost != c.lost {
			t.Errorf("max %d, gap %v: got %d runs lost, want %d", c.max, c.gap, lost, c.lost)
		}
	}
}

// TestFillsOptions proves that zero and negative options become the documented defaults.
func TestFillsOptions(t *testing.T) {
	t.Parallel()
	got := Options{Lease: -1, Term: -1}.filled()
	want := Options{Lease: 15 * time.Second, MaxHeartbeats: 2500, Grace: time.Minute, Settle: 500 * time.Millisecond, Muster: 2 * time.Second, MaxAttempts: 4, MaxUncharged: 100,
		MaxWorkerFailures: 3, Rest: time.Minute, MaxFetchFailures: 3, FetchWindow: 3 * time.Minute, BackupMinRuntime: 2 * time.Second,
		BackupFraction: 0.1, BackupSlowness: 2}
	if got != want {
		t.Errorf("options: got %+v, want %+v", got, want)
	}
}

// TestDurations proves that the ring keeps the latest ones.
func TestDurations(t *testing.T) {
	t.Parallel()
	var d durations
	for i := range durationsKept * 2 {
		d.add(time.Duration(i))
	}
	if len(d.list) != durationsKept || slices.Min(d.list) != durationsKept {
		t.Errorf("durations: got %d from %d on, want %d from %d on", len(d.list), slices.Min(d.list), durationsKept, durationsKept)
	}
}
