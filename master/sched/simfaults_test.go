package sched_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millrace/millrace/master/sched"
)

// simDeadline is when every job has ended.
const simDeadline = 3000 * time.Second

// chances are the faults' probabilities, drawn for each seed; some are zero, so that each fault is also seen alone.
type chances struct {
	loss, double, slowNet      float64 // of messages
	restless                   float64 // of workers' connections
	refuse, late, lostAnswer   float64 // of calls to etcd and the bucket
	torn                       float64 // of journal writes
	failTask, failFetch, slow  float64 // of attempts
	slowRuns                   float64 // of runs that a reduce waits for
	stopInCommit, killInCommit float64 // of leaders, at each change of the storage
	expire                     float64 // of uploads
	drift                      float64 // of clocks, at most so much faster or slower
	clocksStop                 bool    // clocks may stand still while a machine is suspended
	unordered                  bool    // masters take polls that were overtaken, too
	masterFaults, workerFaults int     // out of ten faults
	faultsEnd                  time.Duration
	options                    sched.Options
}

func (w *world) draw() {
	sometimes := func(p float64) float64 {
		if w.rng.IntN(2) == 0 {
			return 0
		}
		return p * w.rng.Float64()
	}
	w.chances = chances{
		loss: sometimes(0.1), double: sometimes(0.2), slowNet: sometimes(0.05), restless: sometimes(0.1),
		refuse: sometimes(0.05), late: sometimes(0.05), lostAnswer: sometimes(0.05), torn: sometimes(0.03),
		stopInCommit: sometimes(0.3), killInCommit: sometimes(0.1),
		failTask: sometimes(0.1), failFetch: sometimes(0.15), slow: sometimes(0.3), expire: sometimes(0.5), drift: sometimes(0.05),
		slowRuns: sometimes(0.8), clocksStop: w.rng.IntN(8) == 0, unordered: w.rng.IntN(4) == 0, masterFaults: w.rng.IntN(5), workerFaults: w.rng.IntN(5),
		faultsEnd: w.between(40*time.Second, 200*time.Second),
	}
	if w.rng.IntN(2) == 0 { // impatient masters
		w.chances.options = sched.Options{Lease: w.between(5*time.Second, 15*time.Second), Grace: w.between(8*time.Second, 40*time.Second),
			Settle: w.between(time.Second, 5*time.Second)}
	}
	w.chances.options = sched.Without(w.chances.options, w.mutation.sched)
}

func newWorld(seed uint64, m mutation) *world {
	w := &world{rng: rand.New(rand.NewPCG(seed, 0)), trace: 14695981039346656037, cuts: map[[2]endpoint]time.Duration{}, mutation: m, stats: new(simStats)}
	w.check = newChecker(w)
	w.draw()
	w.etcd, w.bucket = newEtcd(w), newBucket(w)
	return w
}

// live runs the whole history.
func (w *world) live() {
	for host := range 1 + w.rng.IntN(4) {
		w.masters = append(w.masters, nil)
		w.masters[host] = w.newMaster(host)
	}
	for range 1 + w.rng.IntN(5) {
		w.spawn(false)
	}
	for i := range 1 + w.rng.IntN(3) {
		w.addJob(jobID(string(rune('a' + i))))
	}
	w.after(time.Second, w.nextFault)
	w.after(w.chances.faultsEnd, func() { w.spawn(true) })
	w.run(simDeadline, w.check.over)
	w.stats.counts[statSeconds].Store(int64(w.now / time.Second))
	if w.err == nil {
		w.check.verify()
	}
}

// nextFault does something bad now and then.
func (w *world) nextFault() {
	if w.calm() {
		return
	}
	w.after(w.between(500*time.Millisecond, 20*time.Second), w.nextFault)
	if w.chance(w.chances.expire) {
		w.bucket.expire()
	}
	switch n := w.rng.IntN(10); {
	case n < w.chances.masterFaults:
		w.masterFault(w.masters[w.rng.IntN(len(w.masters))])
	case n < w.chances.masterFaults+w.chances.workerFaults:
		w.workerFault(w.workers[w.rng.IntN(len(w.workers))])
	default:
		w.netFault()
	}
}

func (w *world) masterFault(m *master) {
	if r := w.leading(); r != nil && w.rng.IntN(3) > 0 {
		m = r.m
	}
	switch w.rng.IntN(5) {
	case 0, 1:
		w.crash(m)
	case 2, 3:
		w.stats.count(statMasterPauses)
		d := w.between(100*time.Millisecond, 12*time.Second)
		w.log("%s is stopped for %v", m.name, d)
		m.pause(d)
		if w.chances.clocksStop && w.rng.IntN(2) == 0 {
			w.stats.count(statClockStops)
			m.jump(-time.Duration(float64(d) * m.rate))
		}
	case 4:
		w.stats.count(statClockJumps)
		m.jump(w.between(0, 5*time.Second))
	}
}

// commitFault stops or kills a leader just when it changes the storage.
func (w *world) commitFault(m *master) {
	switch {
	case w.fault(w.chances.stopInCommit):
		w.stats.count(statCommitStops)
		w.log("%s is stopped in a commit", m.name)
		longest := 6 * leaseTTL
		if w.rng.IntN(2) == 0 {
			longest *= 8
		}
		m.pause(w.between(leaseTTL, longest))
	case w.fault(w.chances.killInCommit):
		w.stats.count(statCommitKills)
		w.after(w.between(0, 20*time.Millisecond), func() { w.crash(m) })
	}
}

// leading is a reign that believes in itself, if there is one.
func (w *world) leading() *reign {
	for _, m := range w.masters {
		if m.reign != nil && !m.reign.over && !m.root.over {
			return m.reign
		}
	}
	return nil
}

// crash ends a master's process between two of its steps; another takes its place.
func (w *world) crash(m *master) {
	if m.root.over {
		return
	}
	w.stats.count(statCrashes)
	w.log("%s is killed", m.name)
	m.root.end()
	if m.reign != nil {
		m.reign.end()
	}
	w.after(w.between(0, 15*time.Second), func() { w.masters[m.host] = w.newMaster(m.host) })
}

func (w *world) workerFault(k *simWorker) {
	if k.dead {
		return
	}
	switch w.rng.IntN(9) {
	case 0, 1:
		w.stats.count(statDeaths)
		id := k.id
		k.die(false)
		if r := w.leading(); r != nil && r.ready && w.rng.IntN(2) == 0 { // its supervisor saw it
			r.do(func() { r.request(&request{event: sched.Leave{Worker: id}}) })
		}
	case 2, 3:
		w.stats.count(statPauses)
		k.pause(w.between(time.Second, 40*time.Second))
	case 4:
		if !k.draining {
			w.stats.count(statDrains)
			k.draining = true
		}
	case 5:
		k.slots = 1 + w.rng.IntN(3)
	case 6:
		w.spawn(false)
	case 7:
		k.jump(w.between(0, 30*time.Second))
	case 8:
		w.stats.count(statFullDisks)
		k.full = k.clock() + w.between(0, time.Minute)
	}
}

// netFault cuts a way, or makes a store slow.
func (w *world) netFault() {
	d := w.between(time.Second, 30*time.Second)
	both := w.rng.IntN(2) == 0
	master := atMasters + endpoint(w.rng.IntN(len(w.masters)))
	if r := w.leading(); r != nil && w.rng.IntN(2) == 0 {
		master = r.m.at
	}
	k := w.workers[w.rng.IntN(len(w.workers))]
	switch w.rng.IntN(8) {
	case 0:
		w.cutOff(master, atEtcd, d, both)
	case 1:
		w.cutOff(atEtcd, master, d, both)
	case 2:
		for _, other := range w.workers {
			if !other.dead && w.rng.IntN(2) == 0 {
				w.cutOff(master, other.at, d, both)
			}
		}
	case 3:
		w.cutOff(k.at, w.workers[w.rng.IntN(len(w.workers))].at, d, both)
	case 4:
		w.cutOff(master, atBucket, d, both)
	case 5:
		w.cutOff(k.at, atBucket, d, both)
	case 6:
		w.stats.count(statSlowDisks)
		store := &w.etcd.server
		if both {
			store = &w.bucket.server
		}
		store.slow = w.now + d
	case 7:
		w.stats.count(statPromoted)
		w.etcd.promote()
	}
}

// simStats counts what happened, to show that the faults do happen.
type simStats struct{ counts [statKinds]atomic.Int64 }

const (
	statSeeds = iota
	statSteps
	statSeconds
	statCommitted
	statFailed
	statCancelled
	statNeverTaken
	statDeaths
	statPauses
	statDrains
	statFullDisks
	statOutOfReach
	statRefused
	statTerms
	statReignsEnded
	statCrashes
	statMasterPauses
	statCommitStops
	statCommitKills
	statClockJumps
	statClockStops
	statHeldBack
	statHigherTerms
	statOldTerms
	statFenced
	statTorn
	statLateWrites
	statLostAnswers
	statRefusedCalls
	statLostMessages
	statSlowMessages
	statDoubled
	statCuts
	statSlowDisks
	statPromoted
	statExpired
	statOrphanClaims
	statOutwaited
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
	statSlowRunsGivenUp
	statKinds
)

var statNames = [statKinds]string{"seeds", "steps", "simulated seconds", "committed", "failed", "cancelled", "never taken", "worker deaths", "worker pauses", "drains", "full disks", "runs out of reach",
	"refused workers", "terms", "reigns given up", "master crashes", "master pauses", "stops in a commit", "kills in a commit", "clock jumps", "clocks that stood still", "answers and changes held back", "higher terms heard by leaders",
	"old terms heard by workers", "fenced writes", "torn writes", "late calls", "lost answers", "refused calls", "lost messages", "slow messages", "doubled messages",
	"cuts", "slow disks", "etcd elections", "expired uploads", "orphan claims", "removals waited out", "adopted", "runs lost", "preempted", "backups", "backup wins",
	"parts-lost", "map parts lost", "maps only", "excluded", "non-deterministic", "fetch failures", "workers given up", "slow runs given up"}

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
