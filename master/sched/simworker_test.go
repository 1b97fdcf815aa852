package sched_test

import (
	"fmt"
	"slices"
	"time"

	"github.com/millrace/millrace/master/sched"
)

// simWorker is one incarnation of a worker process.
type simWorker struct {
	*proc
	id       workerID
	slots    int
	speed    float64 // bytes a second
	bad      bool    // most of its attempts fail
	dead     bool
	full     time.Duration // its disk is, until then by its clock
	draining bool

	attempts []*simAttempt
	had      map[attemptID]bool
	done     []*outcome // not answered yet
	runs     map[attemptID]uint64
	released map[taskID]bool // partitions of its runs that were given back, by their reduce tasks
	lists    map[jobID]*runList

	target   int    // the master that it asks
	term     uint64 // the highest that it has heard of
	seq      int
	flying   int
	lastPoll time.Duration
	urgent   bool
}

// runList is what a worker has read of a job's run log.
type runList struct {
	term    uint64
	cursor  int
	asking  bool
	visible map[int]attemptID
	before  map[int]attemptID // what was visible, and is lost: an old page is still about
}

// simAttempt is a running attempt.
type simAttempt struct {
	id      attemptID
	total   float64
	bytes   float64
	speed   float64
	fate    *sched.Failure // at its end
	read    map[int]attemptID
	sums    map[int]uint64
	stalls  int
	started bool // it has a slot; it keeps it when the slots become fewer
	storing bool // its work is done, and its result is being stored
}

// outcome is an attempt's end, as its worker tells it.
type outcome struct {
	attempt attemptID
	failure *sched.Failure
	sum     uint64 // of a map's result
	records int64
	parts   []pending
}

// pollArgs is a worker's report.
type pollArgs struct {
	worker   workerID
	seq      int
	slots    int
	draining bool
	leaving  bool
	running  []sched.Progress
	done     []*outcome
	holding  []jobID
}

// answer is what a master answers, to whomever.
type answer struct {
	term      uint64
	notLeader bool
	hint      int

	seq     int // of a poll
	assign  []attemptID
	kill    []attemptID
	ended   []jobID
	needed  bool
	refused bool

	accepted, taken bool // of a submission
	known           bool // of a status
	state           sched.JobState
	runs            []runEvent // of a run log
	cursor          int
}

// ask sends a request to a master and calls done with its answer, or with false when none has come in time.
func (s *scope) ask(host int, term uint64, wait time.Duration, serve func(r *reign, send func(answer)), done func(answer, bool)) {
	w, from, to := s.p.w, s.p.at, atMasters+endpoint(host)
	finished := false
	finish := func(a answer, ok bool) {
		if !finished {
			finished = true
			done(a, ok)
		}
	}
	copies := 1
	if w.fault(w.chances.double) {
		w.stats.count(statDoubled)
		copies++
	}
	for range copies {
		w.send(from, to, 0, func() {
			m := w.masters[host]
			m.root.do(func() {
				reply := func(a answer) {
					w.send(to, from, 0, func() { s.do(func() { finish(a, true) }) })
				}
				m.served(term, reply, func(r *reign) { serve(r, reply) })
			})
		})
	}
	s.after(wait, func() { finish(answer{}, false) })
}

func (w *world) spawn(healthy bool) {
	w.names++
	k := &simWorker{id: workerID(fmt.Sprintf("w%d", w.names)), slots: 1 + w.rng.IntN(3), speed: 20 + 200*w.rng.Float64(),
		had: map[attemptID]bool{}, runs: map[attemptID]uint64{}, released: map[taskID]bool{}, lists: map[jobID]*runList{},
		lastPoll: -time.Hour, target: w.rng.IntN(len(w.masters))}
	k.proc = w.newProc(string(k.id), atWorkers+endpoint(w.names))
	k.bad = !healthy && w.rng.IntN(12) == 0
	w.workers = append(w.workers, k)
	k.root.after(w.between(0, 3*time.Second), k.wake)
}

// die ends the process; another takes its place after a while.
func (k *simWorker) die(soon bool) {
	if k.dead {
		return
	}
	k.w.log("%s dies", k.id)
	k.dead = true
	k.root.end()
	k.attempts, k.runs = nil, nil
	pause := k.w.between(0, 20*time.Second)
	if soon {
		pause = 0
	}
	k.w.after(pause, func() { k.w.spawn(false) })
}

// wake is a worker's life, about once a second.
func (k *simWorker) wake() {
	w := k.w
	k.root.after(w.between(900*time.Millisecond, 1100*time.Millisecond), k.wake)
	k.begin()
	for _, a := range slices.Clone(k.attempts) {
		if a.started && !a.storing {
			k.work(a)
		}
	}
	if k.draining {
		for _, a := range slices.Clone(k.attempts) {
			if !a.storing && w.rng.IntN(20) == 0 {
				k.finish(a, &sched.Failure{Kind: sched.FailReturned, Text: "draining"})
			}
		}
	}
	if w.fault(w.chances.restless) {
		k.next(k.target, -1) // its connection broke
	}
	if k.urgent || len(k.done) > 0 || k.clock()-k.lastPoll > 3*time.Second {
		k.poll()
	}
}

// begin gives free slots to attempts; there may be more of them, as a killed one's end and another's start can cross.
func (k *simWorker) begin() {
	n := 0
	for _, a := range k.attempts {
		if a.started {
			n++
		}
	}
	for _, a := range k.attempts {
		if !a.started && n < k.slots {
			a.started = true
			n++
		}
	}
}

// work is a second of an attempt.
func (k *simWorker) work(a *simAttempt) {
	if a.id.Task.Phase == sched.Reduce && !k.fetch(a) {
		return
	}
	a.bytes += a.speed
	if a.bytes < a.total {
		return
	}
	a.bytes = a.total
	if a.fate != nil {
		k.finish(a, a.fate)
		return
	}
	a.storing = true
	k.store(a, k.result(a), 0)
}

// result is what a successful attempt tells, but for its parts' uploads.
func (k *simWorker) result(a *simAttempt) *outcome {
	o := &outcome{attempt: a.id}
	j := k.w.job(a.id.Task.Job)
	i := a.id.Task.Index
	switch a.id.Task.Phase {
	case sched.Map:
		o.records = j.submit.Maps[i]
		if j.submit.Reducers > 0 {
			o.sum = j.runSum(a.id)
		}
		if j.sides {
			o.parts = []pending{{key: j.partKey(a.id.Task), sum: j.sideSum(i)}}
			o.sum ^= o.parts[0].sum
		}
	case sched.Reduce:
		o.parts = []pending{{key: j.partKey(a.id.Task), sum: j.partSum(i, a.sums)}}
	}
	return o
}

// store writes a result: the run to the worker's disk or the bucket, parts as pending uploads.
func (k *simWorker) store(a *simAttempt, o *outcome, try int) {
	w, b := k.w, k.w.bucket
	j := w.job(a.id.Task.Job)
	isMap := a.id.Task.Phase == sched.Map && j.submit.Reducers > 0
	var parts []pending
	write := func() {
		for _, p := range o.parts {
			parts = append(parts, b.create(p.key, p.sum, a.id))
		}
		if isMap && j.submit.Durable {
			b.runs[a.id] = j.runSum(a.id)
		}
	}
	finish := func(err error) {
		if k.w.over || !slices.Contains(k.attempts, a) { // it was killed meanwhile: what it wrote goes
			for _, p := range parts {
				k.root.rpc(&b.server, func() { b.abort(p.id, j.id()) }, func(error) {})
			}
			return
		}
		if err != nil {
			if try < 4 {
				k.root.after(w.between(0, time.Second), func() { k.store(a, o, try+1) })
			} else {
				k.finish(a, &sched.Failure{Kind: sched.FailTask, Text: "cannot write"})
			}
			return
		}
		if isMap && !j.submit.Durable {
			k.runs[a.id] = j.runSum(a.id)
		}
		o.parts = parts
		w.check.made(k, o)
		k.succeed(a, o)
	}
	if len(o.parts) == 0 && !(isMap && j.submit.Durable) {
		finish(nil)
		return
	}
	k.root.rpc(&b.server, write, finish)
}

func (k *simWorker) succeed(a *simAttempt, o *outcome) {
	k.attempts = slices.DeleteFunc(k.attempts, func(o *simAttempt) bool { return o == a })
	k.done = append(k.done, o)
}

func (k *simWorker) finish(a *simAttempt, f *sched.Failure) {
	k.attempts = slices.DeleteFunc(k.attempts, func(o *simAttempt) bool { return o == a })
	k.w.check.failed(a.id, f)
	k.done = append(k.done, &outcome{attempt: a.id, failure: f})
}

// fetch reads the runs that a reduce attempt has not yet, and says whether it has all. What it is told may be old.
func (k *simWorker) fetch(a *simAttempt) bool {
	w := k.w
	j := w.job(a.id.Task.Job)
	maps := len(j.submit.Maps)
	if len(a.read) < maps {
		k.readLog(j.id())
	}
	list := k.list(j.id())
	for i := range maps {
		if _, ok := a.read[i]; ok {
			continue
		}
		run, ok := list.visible[i]
		if old, was := list.before[i]; was && w.chance(0.1) {
			run, ok = old, true
		}
		if !ok || w.chance(0.2) {
			continue
		}
		sum, kind, ok := k.readRun(j, run, a.id.Task)
		if !ok {
			if a.stalls++; a.stalls > w.rng.IntN(8) {
				k.finish(a, &sched.Failure{Kind: kind, Run: run, Text: "cannot read"})
				return false
			}
			continue
		}
		w.check.fetched(run)
		a.read[i], a.sums[i] = run, sum
	}
	return len(a.read) == maps
}

// readRun reads a partition of a run from the worker that has it, or from the bucket, or says what is wrong: that it is not
// there, or damaged; or that nothing answers, which may be this worker's own matter.
func (k *simWorker) readRun(j *simJob, run attemptID, reduce taskID) (sum uint64, kind sched.FailureKind, ok bool) {
	w := k.w
	if w.fault(w.chances.failFetch) {
		return 0, sched.FailFetch, false
	}
	if j.submit.Durable {
		if w.cut(k.at, atBucket) || w.cut(atBucket, k.at) {
			return 0, sched.FailReach, false
		}
		sum, ok = w.bucket.runs[run]
		return sum, sched.FailFetch, ok
	}
	owner := w.check.makers[run]
	if owner.dead || owner.paused() || w.cut(k.at, owner.at) || w.cut(owner.at, k.at) {
		return 0, sched.FailReach, false
	}
	sum, ok = owner.runs[run]
	return sum, sched.FailFetch, ok && !owner.released[reduce]
}

func (k *simWorker) list(id jobID) *runList {
	l := k.lists[id]
	if l == nil {
		l = &runList{visible: map[int]attemptID{}, before: map[int]attemptID{}}
		k.lists[id] = l
	}
	return l
}

// readLog asks for what is new in a job's run log. Another leader's log begins anew: its order is its own.
func (k *simWorker) readLog(id jobID) {
	l := k.list(id)
	if l.asking {
		return
	}
	l.asking = true
	from, host := l.cursor, k.target
	serve := func(r *reign, send func(answer)) {
		j := r.jobs[id]
		if j == nil || j.ended {
			r.reply(send, answer{})
			return
		}
		at := min(from, len(j.runs))
		r.reply(send, answer{known: true, runs: j.runs[at:len(j.runs):len(j.runs)], cursor: len(j.runs)})
	}
	k.root.ask(host, k.term, 5*time.Second, serve, func(a answer, ok bool) {
		l.asking = false
		if !ok || !k.hear(a, host) || !a.known {
			return
		}
		if a.term != l.term {
			l.term = a.term
			if from > 0 {
				l.cursor = 0
				clear(l.visible)
				return
			}
			clear(l.visible)
		}
		if from != l.cursor {
			return
		}
		l.cursor = a.cursor
		for _, e := range a.runs {
			i := e.attempt.Task.Index
			switch {
			case !e.lost:
				l.visible[i] = e.attempt
			case l.visible[i] == e.attempt:
				l.before[i] = e.attempt
				delete(l.visible, i)
			}
		}
	})
}

// hear takes what every answer brings: who leads, in which term. It says whether the answer counts.
func (k *simWorker) hear(a answer, from int) bool {
	switch {
	case a.notLeader:
		k.next(from, a.hint)
		return false
	case a.term < k.term && !k.w.broken(acceptedOldTerms):
		k.w.stats.count(statOldTerms)
		k.next(from, -1)
		return false
	}
	k.w.check.heard(k, a.term)
	k.term = max(k.term, a.term)
	return true
}

// next turns from a master to another, unless that has been done already.
func (k *simWorker) next(from, hint int) {
	switch {
	case k.target != from:
	case hint >= 0 && hint != from:
		k.target = hint
	default:
		k.target = (from + 1) % len(k.w.masters)
	}
}

// poll sends a report and takes the answer.
func (k *simWorker) poll() {
	if k.flying >= 2 {
		return
	}
	k.seq++
	k.flying++
	k.urgent = false
	k.lastPoll = k.clock()
	args := &pollArgs{worker: k.id, seq: k.seq, slots: k.slots, draining: k.draining, done: slices.Clone(k.done)}
	for _, a := range k.attempts {
		args.running = append(args.running, k.progress(a))
	}
	for _, j := range k.w.jobs {
		if k.lists[j.id()] != nil || len(k.had) > 0 && k.hadOf(j.id()) {
			args.holding = append(args.holding, j.id())
		}
	}
	host := k.target
	k.root.ask(host, k.term, maxPollWait+5*time.Second, func(r *reign, send func(answer)) { r.poll(args, send) },
		func(a answer, ok bool) {
			k.flying--
			if !ok {
				k.next(host, -1)
				k.urgent = true
				return
			}
			k.take(args, a, host)
		})
}

// progress is what a poll says of an attempt. Of a run that a reduce waits for it may say that it comes slowly.
func (k *simWorker) progress(a *simAttempt) sched.Progress {
	w, pr := k.w, sched.Progress{Attempt: a.id, Bytes: int64(a.bytes), Total: int64(a.total)}
	list := k.lists[a.id.Task.Job]
	if list == nil || a.id.Task.Phase != sched.Reduce || !w.fault(w.chances.slowRuns) {
		return pr
	}
	for i := range w.job(a.id.Task.Job).submit.Maps {
		if run, ok := list.visible[i]; ok && a.read[i] == (attemptID{}) {
			pr.Slow, pr.Left = run, w.between(time.Second, 5*time.Minute)
			return pr
		}
	}
	return pr
}

func (k *simWorker) hadOf(id jobID) bool {
	for a := range k.had {
		if a.Task.Job == id {
			return true
		}
	}
	return false
}

// take applies an answer.
func (k *simWorker) take(args *pollArgs, a answer, from int) {
	if !k.hear(a, from) {
		k.urgent = true
		return
	}
	if a.refused {
		k.w.stats.count(statRefused)
		k.die(true)
		return
	}
	k.done = slices.DeleteFunc(k.done, func(o *outcome) bool { return slices.Contains(args.done, o) })
	for _, id := range a.kill {
		k.had[id] = true
		k.attempts = slices.DeleteFunc(k.attempts, func(at *simAttempt) bool { return at.id == id })
		k.urgent = true
	}
	for _, id := range a.ended {
		k.forget(id)
	}
	for _, id := range a.assign {
		if !k.had[id] {
			k.had[id] = true
			k.w.check.begun(k, id)
			k.attempts = append(k.attempts, k.newAttempt(id))
			k.urgent = true
		}
	}
	if k.draining && len(k.attempts)+len(k.done) == 0 && !a.needed && args.seq == k.seq {
		k.leave()
	}
}

// forget gives up all of an ended job.
func (k *simWorker) forget(id jobID) {
	k.w.check.dropped(k, id)
	k.attempts = slices.DeleteFunc(k.attempts, func(at *simAttempt) bool { return at.id.Task.Job == id })
	delete(k.lists, id)
	for a := range k.had {
		if a.Task.Job == id {
			delete(k.had, a)
			delete(k.runs, a)
		}
	}
}

// leave tells the master that the worker goes, and goes.
func (k *simWorker) leave() {
	args := &pollArgs{worker: k.id, leaving: true}
	k.root.ask(k.target, k.term, 2*time.Second, func(r *reign, send func(answer)) { r.poll(args, send) }, func(answer, bool) { k.die(false) })
}

// newAttempt draws an attempt's fate.
func (k *simWorker) newAttempt(id attemptID) *simAttempt {
	w := k.w
	j := w.job(id.Task.Job)
	a := &simAttempt{id: id, total: 1 + 500*w.rng.Float64(), speed: k.speed, read: map[int]attemptID{}, sums: map[int]uint64{}}
	if id.Task.Phase == sched.Map {
		a.total = float64(j.submit.Maps[id.Task.Index])
		if j.poisoned == id.Task.Index {
			a.fate = &sched.Failure{Kind: sched.FailTask, Text: "poison"}
		}
	}
	if w.fault(w.chances.slow) {
		a.speed /= 30
	}
	switch {
	case k.full > k.clock():
		a.fate = &sched.Failure{Kind: sched.FailWorker, Text: "the disk is full"}
	case k.bad && w.chance(0.7), w.fault(w.chances.failTask):
		a.fate = &sched.Failure{Kind: sched.FailTask, Text: "bad luck"}
	case w.chances.failTask > 0 && w.fault(0.001):
		a.fate = &sched.Failure{Kind: sched.FailJob, Text: "none can succeed"}
	}
	return a
}
