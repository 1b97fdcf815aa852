package sched_test

import (
	"fmt"
	"time"

	"github.com/millrace/millrace/master/sched"
)

type (
	jobID     = sched.JobID
	taskID    = sched.TaskID
	attemptID = sched.AttemptID
	workerID  = sched.WorkerID
)

// simJob is a job: what is submitted, and what its functions do. They are a toy that tells all apart which a result can be made
// of: a run's content is a hash of its split, and a part's is a hash of the runs that its reduce task read, in their order.
type simJob struct {
	submit    sched.Submit
	output    string
	overwrite bool
	seed      uint64
	sides     bool // its maps leave parts
	chaotic   bool // its map function is not deterministic
	poisoned  int  // this map always fails; -1: none

	client   *proc // who submitted it
	target   int   // the master that it asks
	term     uint64
	patience time.Duration // how long it waits for an answer

	cancelled bool // somebody asked for it
	accepted  bool // and was told so
	gone      bool // its client died before it was told anything
	refused   bool // the output was taken
	told      sched.JobState
}

func (j *simJob) id() jobID { return j.submit.Job }

// mixed hashes words (splitmix64 over each).
func mixed(words ...uint64) (h uint64) {
	for _, v := range words {
		h += v + 0x9e3779b97f4a7c15
		h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
		h = (h ^ h>>27) * 0x94d049bb133111eb
		h ^= h >> 31
	}
	return h
}

// runSum is the content of a map attempt's run.
func (j *simJob) runSum(id attemptID) uint64 {
	if j.chaotic {
		return mixed(j.seed, uint64(id.Task.Index), uint64(id.N))
	}
	return mixed(j.seed, uint64(id.Task.Index))
}

// sideSum is the content of the part that a map leaves.
func (j *simJob) sideSum(i int) uint64 { return mixed(j.seed, uint64(i), 1<<32) }

// partSum is the content of a reduce task's part, made of the runs that it read.
func (j *simJob) partSum(partition int, runs map[int]uint64) uint64 {
	h := mixed(j.seed, uint64(partition), 2<<32)
	for i := range j.submit.Maps {
		h = mixed(h, runs[i])
	}
	return h
}

func (j *simJob) partKey(t taskID) objectKey {
	return objectKey{output: j.output, phase: uint8(t.Phase), index: t.Index}
}

// leavers are the tasks whose parts make up the output.
func (j *simJob) leavers() (list []taskID) {
	if j.sides {
		for i := range j.submit.Maps {
			list = append(list, taskID{Job: j.id(), Phase: sched.Map, Index: i})
		}
	}
	for i := range j.submit.Reducers {
		list = append(list, taskID{Job: j.id(), Phase: sched.Reduce, Index: i})
	}
	return list
}

// oracle runs the job sequentially: the content of every part of its output. A job whose function is not deterministic has many
// right results: those of any one choice of runs, which the checker compares by other means.
func (j *simJob) oracle() map[objectKey]uint64 {
	want := map[objectKey]uint64{}
	runs := map[int]uint64{}
	for i := range j.submit.Maps {
		t := taskID{Job: j.id(), Phase: sched.Map, Index: i}
		runs[i] = j.runSum(attemptID{Task: t})
		if j.sides {
			want[j.partKey(t)] = j.sideSum(i)
		}
	}
	for p := range j.submit.Reducers {
		want[j.partKey(taskID{Job: j.id(), Phase: sched.Reduce, Index: p})] = j.partSum(p, runs)
	}
	return want
}

func (w *world) job(id jobID) *simJob { return w.jobs[id[0]-'a'] }

// addJob draws a job and the client that submits it.
func (w *world) addJob(id jobID) {
	j := &simJob{poisoned: -1, seed: w.rng.Uint64(), target: w.rng.IntN(len(w.masters))}
	small := w.rng.IntN(3)
	j.submit = sched.Submit{Job: id, Weight: 1 + w.rng.IntN(3), Sample: w.rng.IntN(4) == 0, Reducers: 1 + w.rng.IntN(2+2*small),
		Backup: w.rng.IntN(2) == 0, Durable: w.rng.IntN(5) == 0, MaxAttempts: 4}
	for range w.rng.IntN(4 + 6*small) {
		j.submit.Maps = append(j.submit.Maps, w.rng.Int64N(1000))
	}
	j.sides = w.rng.IntN(3) == 0
	if len(j.submit.Maps) > 0 && w.rng.IntN(5) == 0 {
		j.submit.Reducers, j.sides = 0, true
	}
	j.chaotic = j.submit.Reducers > 0 && w.rng.IntN(10) == 0
	if len(j.submit.Maps) > 0 && w.rng.IntN(12) == 0 {
		j.poisoned = w.rng.IntN(len(j.submit.Maps))
	}
	j.output = fmt.Sprintf("out%d", w.rng.IntN(3))
	j.overwrite = w.rng.IntN(2) == 0 && !w.chances.clocksStop // see docs/reliability.md
	j.patience = w.between(100*time.Millisecond, 8*time.Second)
	j.client = w.newProc("client of "+string(id), atClients)
	w.jobs = append(w.jobs, j)
	w.check.jobs = append(w.check.jobs, &jobLog{simJob: j, selected: map[taskID]attemptID{}, chosen: map[taskID]attemptID{},
		parts: map[taskID][]pending{}, failures: map[taskID]int{}, looks: map[uint64]time.Duration{}, expired: map[int]time.Duration{}})
	j.client.root.after(w.between(0, w.chances.faultsEnd/3), func() { j.client.root.start(func(t *thread) { j.live(t) }) })
	if w.rng.IntN(8) == 0 {
		j.client.root.after(w.between(0, w.chances.faultsEnd), func() { j.client.root.start(func(t *thread) { j.cancel(t) }) })
	}
}

// ask asks whoever leads, and waits for the answer; false: none that counts.
func (j *simJob) ask(t *thread, serve func(r *reign, send func(answer))) (a answer, ok bool) {
	t.wait(func(wake func()) {
		t.s.ask(j.target, j.term, j.patience, serve, func(got answer, in bool) {
			a, ok = got, in
			wake()
		})
	})
	switch {
	case ok && a.notLeader:
		if a.hint >= 0 && a.hint != j.target {
			j.target = a.hint
			return a, false
		}
		fallthrough
	case !ok || a.term < j.term:
		j.target = (j.target + 1) % len(j.client.w.masters)
		return a, false
	}
	j.term = a.term
	return a, true
}

// live is the client's life: it submits until it is told that the job is taken, and watches it to its end.
func (j *simJob) live(t *thread) {
	w := j.client.w
	submit := func(r *reign, send func(answer)) {
		r.scope.start(func(t *thread) { r.submit(t, j, send) })
	}
	mortal := w.rng.IntN(10) == 0
	for !j.accepted {
		a, ok := j.ask(t, submit)
		switch {
		case ok && a.accepted:
			j.accepted = true
			w.check.accepted(j)
		case ok && a.taken && (w.calm() && !j.overwrite || w.rng.IntN(8) == 0):
			j.refused = true
			return
		case mortal && w.rng.IntN(2) == 0:
			w.log("client of %s dies", j.id())
			j.gone = true
			return
		default:
			t.sleep(w.between(200*time.Millisecond, 5*time.Second))
		}
	}
	status := func(r *reign, send func(answer)) {
		a := answer{}
		if k := r.jobs[j.id()]; k != nil {
			a.known, a.state = true, sched.Running
			if k.ended {
				a.state = k.state
			} else if v, ok := r.sched.Job(j.id()); ok && !v.State.Ended() {
				a.state = v.State
			}
		}
		r.reply(send, a)
	}
	for !j.told.Ended() {
		if a, ok := j.ask(t, status); ok {
			w.check.told(j, a)
			j.told = a.state
		}
		t.sleep(w.between(time.Second, 5*time.Second))
	}
}

// cancel asks for the job's end until it is heard.
func (j *simJob) cancel(t *thread) {
	for range 10 {
		if _, ok := j.ask(t, func(r *reign, send func(answer)) {
			j.cancelled = true
			r.request(&request{event: sched.Cancel{Job: j.id()}, done: func() { r.reply(send, answer{}) }})
		}); ok {
			return
		}
		t.sleep(time.Second)
	}
}
