package sched

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// The tests in this file run whole jobs on workers that are in trouble, in simulated time, and look at how long they take and what
// is done in vain: what the transcripts and the simulation with random faults do not show.

const (
	scenePulse = 100 * time.Millisecond
	sceneMap   = 4 * time.Second       // of work, on a healthy worker
	sceneRead  = 10 * time.Millisecond // of a partition of a run, from a healthy worker
	sceneReach = 15 * time.Second
	sceneLimit = time.Hour
)

// player is a worker of a scene.
type player struct {
	id    WorkerID
	slots int
	slow  float64       // how many times slower than the others; 0: 1
	sends float64       // how many times slower it sends its runs; 0: as slow as it is
	from  time.Duration // when that begins
	dies  time.Duration
	// fails says how an attempt fails that begins now, if it does.
	fails func(now time.Duration) *Failure
	blind []WorkerID // whose runs it cannot read

	running []*playing
	told    time.Duration // when it polled last
	failed  int           // attempts
	begun   []time.Duration
}

type playing struct {
	id      AttemptID
	since   time.Duration
	work    float64 // seconds done
	read    time.Duration
	failure *Failure

	has    map[int]bool              // partitions of runs that a reduce has
	credit map[*player]time.Duration // in which a worker has sent what it has not
	came   time.Duration             // when something came last of one that is well
	slow   AttemptID                 // see Progress
	left   time.Duration
}

// scene is a job, the workers that run it, and what came of it.
type scene struct {
	t        *testing.T
	s        *State
	now      time.Duration
	players  []*player
	job      Submit
	reduce   time.Duration // of work
	maps     []time.Duration
	runs     map[int]AttemptID
	by       map[AttemptID]*player
	ended    *Ended
	attempts int // begun
	warnings []string
}

func newScene(t *testing.T, maps, reduces int, players ...*player) *scene {
	sc := &scene{t: t, s: New(Options{}), players: players, reduce: sceneMap, runs: map[int]AttemptID{}, by: map[AttemptID]*player{}}
	sc.job = Submit{Job: "a", Reducers: reduces, Backup: true}
	for i := range maps {
		sc.job.Maps = append(sc.job.Maps, 1000)
		sc.maps = append(sc.maps, sceneMap+time.Duration(i*7919%1000)*time.Millisecond)
	}
	return sc
}

// crew is n healthy workers.
func crew(n, slots int) (list []*player) {
	for i := range n {
		list = append(list, &player{id: WorkerID(fmt.Sprint("w", i)), slots: slots})
	}
	return list
}

// play runs the job to its end.
func (sc *scene) play() *scene {
	sc.t.Helper()
	sc.step(sc.job)
	for ; sc.ended == nil; sc.now += scenePulse {
		if sc.now > sceneLimit {
			v, _ := sc.s.Job("a")
			sc.t.Fatalf("the job hangs: %+v\n%s", v, strings.Join(sc.warnings, "\n"))
		}
		for _, p := range sc.players {
			if p.dies == 0 || sc.now < p.dies {
				sc.act(p)
			}
		}
		if sc.now%(2*scenePulse) == 0 {
			sc.step(Tick{})
		}
	}
	return sc
}

// act is a pulse of a worker's life.
func (sc *scene) act(p *player) {
	poll := Poll{Worker: p.id, Slots: p.slots}
	for _, a := range slices.Clone(p.running) {
		f, done := sc.work(p, a)
		if !done {
			poll.Running = append(poll.Running, Progress{Attempt: a.id, Bytes: int64(a.work / sc.need(a) * 1000), Total: 1000, Slow: a.slow, Left: a.left})
			continue
		}
		p.running = remove(p.running, a)
		poll.Done = append(poll.Done, Outcome{Attempt: a.id, Failure: f, Checksum: 7})
		if f != nil {
			p.failed++
		}
		sc.by[a.id] = p
	}
	if len(poll.Done) > 0 || sc.now == 0 || sc.now-p.told >= time.Second || len(p.running) < p.slots && sc.now-p.told >= 3*scenePulse {
		p.told = sc.now
		sc.step(poll)
	}
}

func (sc *scene) need(a *playing) float64 {
	if a.id.Task.Phase == Map {
		return sc.maps[a.id.Task.Index].Seconds()
	}
	return sc.reduce.Seconds()
}

// work is a pulse of an attempt.
func (sc *scene) work(p *player, a *playing) (f *Failure, done bool) {
	if a.failure != nil {
		return a.failure, true
	}
	if a.id.Task.Phase == Reduce {
		if len(sc.runs) < len(sc.maps) {
			return nil, false
		}
		for i := range sc.maps {
			if run := sc.runs[i]; slices.Contains(p.blind, sc.by[run].id) {
				a.read += scenePulse
				return &Failure{Kind: FailReach, Run: run, Text: "no route"}, a.read >= sceneReach
			}
		}
		if !sc.fetch(a) {
			return nil, false
		}
	}
	work := scenePulse.Seconds()
	if p.slow > 0 && sc.now >= p.from {
		work /= p.slow
	}
	a.work += work
	return nil, a.work >= sc.need(a)
}

// fetch is a pulse of a reduce's reading, from all workers at once, and says whether it has all. It says which it waits for as a worker
// does (package shuffle): when nothing is missing but what one worker sends far more slowly than the others.
func (sc *scene) fetch(a *playing) bool {
	missing := map[*player]int{}
	last := AttemptID{}
	for i := range sc.maps {
		if a.has[i] {
			continue
		}
		owner := sc.by[sc.runs[i]]
		if missing[owner] == 0 {
			a.credit[owner] += scenePulse
		}
		if cost := sc.sending(owner); missing[owner] == 0 && a.credit[owner] >= cost {
			a.credit[owner] -= cost
			a.has[i] = true
			if cost < 10*sceneRead {
				a.came = sc.now
			}
			continue
		}
		missing[owner]++
		last = sc.runs[i]
	}
	a.slow, a.left = AttemptID{}, 0
	owner := sc.by[last]
	if left := time.Duration(missing[owner]) * sc.sending(owner); len(missing) == 1 && sc.sending(owner) >= 10*sceneRead && left > sceneReach && sc.now-a.came >= sceneReach {
		a.slow, a.left = last, left
	}
	return len(missing) == 0
}

// sending is how long a worker takes to send a partition of a run.
func (sc *scene) sending(p *player) time.Duration {
	if p == nil || sc.now < p.from {
		return sceneRead
	}
	return time.Duration(float64(sceneRead) * max(p.sends, p.slow, 1))
}

func (sc *scene) step(ev Event) {
	sc.t.Helper()
	for _, e := range sc.s.Step(sc.now, ev) {
		switch e := e.(type) {
		case Assign:
			sc.begin(e)
		case Kill:
			p := sc.player(e.Worker)
			p.running = slices.DeleteFunc(p.running, func(a *playing) bool { return a.id == e.Attempt })
		case Selected:
			if e.Attempt.Task.Phase == Map {
				sc.runs[e.Attempt.Task.Index] = e.Attempt
			}
		case RunLost:
			delete(sc.runs, e.Attempt.Task.Index)
		case Noted:
			if e.Warn {
				sc.warnings = append(sc.warnings, fmt.Sprintf("%v %s %s", sc.now, e.Worker, e.Text))
			}
		case Commit:
			sc.ended = &Ended{Job: "a", State: Done}
		case Ended:
			sc.ended = &e
		}
	}
	if _, tick := ev.(Tick); tick && sc.now%time.Second == 0 {
		if err := sc.s.Check(); err != nil {
			sc.t.Fatalf("at %v: %v", sc.now, err)
		}
	}
}

func (sc *scene) player(id WorkerID) *player {
	return sc.players[slices.IndexFunc(sc.players, func(p *player) bool { return p.id == id })]
}

func (sc *scene) begin(e Assign) {
	p := sc.player(e.Worker)
	if slices.ContainsFunc(p.running, func(a *playing) bool { return a.id == e.Attempt }) {
		return
	}
	sc.attempts++
	p.begun = append(p.begun, sc.now)
	a := &playing{id: e.Attempt, since: sc.now, came: sc.now, has: map[int]bool{}, credit: map[*player]time.Duration{}}
	if p.fails != nil {
		a.failure = p.fails(sc.now)
	}
	p.running = append(p.running, a)
}

// done checks that the job ended well.
func (sc *scene) done() *scene {
	sc.t.Helper()
	if sc.ended.State != Done {
		sc.t.Errorf("the job is %v: %s", sc.ended.State, sc.ended.Reason)
	}
	return sc
}

// TestSlowWorker proves that one worker that is 20 times slower than the others, in its work and in sending its runs, from the beginning
// or from later on, makes a job take at most 1.3 times as long as without it, and of sixteen workers, as with it in health. So it is
// whatever the number of the reduces: they neither wait for a map of it with all slots in their hands, nor are they given to it again.
func TestSlowWorker(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		workers, slots, maps, reduces int
		from                          time.Duration
	}{
		{16, 1, 160, 16, 0}, {16, 1, 160, 48, 0}, {16, 1, 160, 4, 0}, {16, 2, 320, 32, 0}, {4, 2, 80, 8, 0}, {4, 2, 80, 24, 0}, {3, 1, 60, 9, 0},
		{16, 1, 320, 64, 0}, {16, 1, 320, 64, 40 * time.Second}, {16, 1, 320, 64, 80 * time.Second}, {16, 1, 320, 64, 95 * time.Second}, {16, 2, 640, 128, 40 * time.Second},
	} {
		t.Run(fmt.Sprintf("%d of %d slots, %d maps, %d reduces, from %v on", c.workers, c.slots, c.maps, c.reduces, c.from), func(t *testing.T) {
			t.Parallel()
			base := newScene(t, c.maps, c.reduces, crew(c.workers, c.slots)...).play().done()
			players := crew(c.workers, c.slots)
			players[1].slow, players[1].from = 20, c.from
			got := newScene(t, c.maps, c.reduces, players...).play().done()
			// What is left without it is less by its share.
			fair := time.Duration(float64(base.now) * float64(c.workers) / float64(c.workers-1))
			t.Logf("%v with all healthy, %v by one less, %v with one slow: %.2f and %.2f times", base.now, fair, got.now, got.now.Seconds()/base.now.Seconds(), got.now.Seconds()/fair.Seconds())
			if got.now.Seconds() > 1.3*fair.Seconds() || c.workers >= 16 && got.now.Seconds() > 1.3*base.now.Seconds() {
				t.Errorf("it took %v, %v with it in health, and %v without it", got.now, base.now, fair)
			}
			if extra := got.attempts - c.maps - c.reduces; extra > c.slots*6 {
				t.Errorf("%d attempts too many", extra)
			}
			if extra := base.attempts - c.maps - c.reduces; extra != 0 {
				t.Errorf("all healthy: %d attempts too many", extra)
			}
		})
	}
}

// TestSlowRuns proves that the maps of a worker that sends its runs very slowly run again elsewhere, once, if that is sooner than to wait
// for them, and not if they are dear. What one reduce alone meets does not count while others know better.
func TestSlowRuns(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name            string
		workers, maps   int
		sends           float64
		dear            int           // times longer that the maps take
		again           int           // maps
		within, without time.Duration // longer than in health
	}{
		{"sixteen workers", 16, 160, 400, 1, 10, 45 * time.Second, 0},
		{"four workers", 4, 80, 400, 1, 20, 90 * time.Second, 0},
		{"not so slow", 16, 160, 50, 1, 0, 30 * time.Second, 0},
		{"dear maps", 16, 160, 400, 15, 0, 3 * time.Minute, 90 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			play := func(players []*player) *scene {
				sc := newScene(t, c.maps, 3*c.workers, players...)
				for i := range sc.maps {
					sc.maps[i] *= time.Duration(c.dear)
				}
				return sc.play().done()
			}
			base := play(crew(c.workers, 1))
			players := crew(c.workers, 1)
			players[1].sends = c.sends
			got := play(players)
			again := 0
			for i := range got.maps {
				again += int(got.s.jobs["a"].maps().tasks[i].next) - 1
			}
			t.Logf("it took %v, %v in health; %d maps ran again; %q", got.now, base.now, again, got.warnings)
			if longer := got.now - base.now; longer > c.within || longer < c.without {
				t.Errorf("it took %v longer, want %v to %v", longer, c.without, c.within)
			}
			if again != c.again {
				t.Errorf("%d maps ran again, want %d", again, c.again)
			}
			if told := slices.ContainsFunc(got.warnings, func(w string) bool {
				return strings.Contains(w, " w1 sends its runs slowly, and is left out of the job for 1m0s")
			}); told != (c.again > 0) {
				t.Errorf("warnings: %q", got.warnings)
			}
		})
	}
}

// TestFullDisk proves that a worker whose disk is full, and which therefore fails at once, neither fails a job of many tasks nor is
// asked again and again, with two healthy workers, with one, and with as many in trouble; and that it works again when there is
// room.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	full := func(until time.Duration) func(time.Duration) *Failure {
		return func(now time.Duration) *Failure {
			if now < until {
				return &Failure{Kind: FailWorker, Text: "write /tmp/x: no space left on device"}
			}
			return nil
		}
	}
	for _, c := range []struct{ workers, full int }{{3, 1}, {2, 1}, {6, 3}} {
		players := crew(c.workers, 1)
		for _, p := range players[:c.full] {
			p.fails = full(sceneLimit)
		}
		sc := newScene(t, 30*(c.workers-c.full), 4, players...).play().done()
		for _, p := range players[:c.full] {
			if most := 2 + int(sc.now/time.Minute); p.failed > most || p.failed == 0 {
				t.Errorf("%d of %d full: %s failed %d attempts in %v, want at most %d", c.full, c.workers, p.id, p.failed, sc.now, most)
			}
		}
		if v, _ := sc.s.Job("a"); v.Map.Failed+v.Reduce.Failed > 0 {
			t.Errorf("%d failures were charged to tasks: %+v", v.Map.Failed+v.Reduce.Failed, v)
		}
		if len(sc.warnings) == 0 || !strings.Contains(sc.warnings[0], "cannot work, and is left out of the job for 1m0s: write /tmp/x: no space left on device") {
			t.Errorf("warnings: %q", sc.warnings)
		}
	}
	players := crew(3, 1)
	players[0].fails = full(30 * time.Second)
	newScene(t, 90, 4, players...).play().done()
	if n := len(players[0].begun); players[0].failed != 1 || n < 10 {
		t.Errorf("it has room again after 30 s of some two minutes: %d attempts were given to it, %d failed", n, players[0].failed)
	}
	players = crew(3, 2)
	for _, p := range players {
		p.fails = full(sceneLimit)
	}
	sc := newScene(t, 100, 4, players...).play()
	if sc.ended.State != JobFailed || !strings.Contains(sc.ended.Reason, "failed 4 times") || !strings.Contains(sc.ended.Reason, "no space left") || sc.now > time.Minute {
		t.Errorf("all disks are full: the job is %v after %v: %s", sc.ended.State, sc.now, sc.ended.Reason)
	}
}

// TestBrokenWorkers proves the same of workers on which whatever they try fails, without a word that it is their own fault: after
// three failures one is left out, and tasks that failed on one are kept away from the others. When all are broken the job fails.
func TestBrokenWorkers(t *testing.T) {
	t.Parallel()
	broken := func(time.Duration) *Failure { return &Failure{Text: "read s3://b/x: access denied"} }
	for _, c := range []struct{ workers, broken int }{{3, 1}, {2, 1}, {6, 2}, {16, 5}, {3, 2}} {
		players := crew(c.workers, 1)
		for _, p := range players[:c.broken] {
			p.fails = broken
		}
		sc := newScene(t, 20*c.workers, 4, players...).play().done()
		most := 3 + int(sc.now/time.Minute)
		for _, p := range players[:c.broken] {
			if c.broken <= max(1, c.workers/3) && p.failed > most {
				t.Errorf("%d of %d broken: %s failed %d attempts in %v, want at most %d", c.broken, c.workers, p.id, p.failed, sc.now, most)
			}
		}
		if len(sc.warnings) == 0 || !strings.Contains(sc.warnings[0], "failed 3 times, and is left out of the job for 1m0s: read s3://b/x: access denied") {
			t.Errorf("warnings: %q", sc.warnings)
		}
	}
	players := crew(5, 1)
	for _, p := range players {
		p.fails = broken
	}
	sc := newScene(t, 100, 4, players...).play()
	if sc.ended.State != JobFailed || !strings.Contains(sc.ended.Reason, "failed 4 times") || !strings.Contains(sc.ended.Reason, "access denied") || sc.now > time.Minute {
		t.Errorf("all are broken: the job is %v after %v: %s", sc.ended.State, sc.now, sc.ended.Reason)
	}
}

// TestOutOfReach proves that workers that cannot read each other's runs do not keep a job from its end, and how much is done twice:
// nothing as long as somebody can read all runs.
func TestOutOfReach(t *testing.T) {
	t.Parallel()
	all := func(n int, but ...int) (list []WorkerID) {
		for i := range n {
			if !slices.Contains(but, i) {
				list = append(list, WorkerID(fmt.Sprint("w", i)))
			}
		}
		return list
	}
	for _, c := range []struct {
		name    string
		workers int
		blind   map[int][]WorkerID
		remade  int // maps that run again, at most
		within  time.Duration
	}{
		{"two from each other", 4, map[int][]WorkerID{0: {"w1"}, 1: {"w0"}}, 0, time.Minute},
		{"one cannot read any other's", 4, map[int][]WorkerID{0: all(4, 0)}, 0, time.Minute},
		{"some cannot read one's", 8, map[int][]WorkerID{0: {"w7"}, 1: {"w7"}, 2: {"w7"}}, 0, time.Minute},
		{"nobody can read one's", 4, map[int][]WorkerID{0: {"w3"}, 1: {"w3"}, 2: {"w3"}}, 10, 2 * time.Minute},
		{"each half from the other", 4, map[int][]WorkerID{0: {"w2", "w3"}, 1: {"w2", "w3"}, 2: {"w0", "w1"}, 3: {"w0", "w1"}}, 80, 5 * time.Minute},
		{"two alone", 2, map[int][]WorkerID{0: {"w1"}, 1: {"w0"}}, 40, 5 * time.Minute},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			base := newScene(t, 10*c.workers, 2*c.workers, crew(c.workers, 1)...).play().done()
			players := crew(c.workers, 1)
			for i, blind := range c.blind {
				players[i].blind = blind
			}
			sc := newScene(t, 10*c.workers, 2*c.workers, players...)
			sc.job.Backup = false
			sc.play().done()
			again := 0
			for i := range sc.maps {
				again += int(sc.s.jobs["a"].maps().tasks[i].next) - 1
			}
			t.Logf("it took %v, %v on a whole network; %d maps ran again, %d attempts in all", sc.now, base.now, again, sc.attempts)
			if again > c.remade || sc.now > base.now+c.within {
				t.Errorf("%d maps ran again, want at most %d; it took %v, want at most %v", again, c.remade, sc.now, base.now+c.within)
			}
		})
	}
}

// TestWorkersDie proves that two of sixteen workers that die cost their share of the capacity, what they had done, and at most 5 % more.
func TestWorkersDie(t *testing.T) {
	t.Parallel()
	base := newScene(t, 480, 64, crew(16, 1)...).play().done()
	players := crew(16, 1)
	at := base.now / 2
	players[3].dies, players[7].dies = at, at
	sc := newScene(t, 480, 64, players...).play().done()
	share := at + time.Duration(float64(base.now-at)*16/14)
	lost := time.Duration(float64(sc.attempts-base.attempts) / 14 * float64(sceneMap+time.Second/2)) // attempts that ran again
	t.Logf("%v undisturbed, %v by the lost share, %v with two dead; %d attempts ran again, %v of work", base.now, share, sc.now, sc.attempts-base.attempts, lost)
	if most := time.Duration(1.05*float64(share)) + lost; sc.now > most {
		t.Errorf("it took %v, want at most %v", sc.now, most)
	}
}
