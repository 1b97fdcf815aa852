package sched_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/millrace/millrace/master/journal"
	"github.com/millrace/millrace/master/sched"
)

// What a master does with a job before its first task and after its last: the claim on its output, the commit, the sweep.
// The steps and their order are those of package master; every call is a step of its own.

var (
	errForeign = errors.New("another program's manifest is there")
	errTaken   = errors.New("the output is taken")
	errLate    = errors.New("the term is over")
	errAgain   = errors.New("the manifest is there, but may yet be removed")
)

// submit takes a job: claim, look at the output, record.
func (r *reign) submit(t *thread, def *simJob, send func(answer)) {
	switch {
	case r.planning[def.id()] && !(r.m.w.broken(hastyAccept) && r.jobs[def.id()] != nil):
		return // the client asks again
	case r.jobs[def.id()] != nil:
		r.reply(send, answer{accepted: true})
		return
	}
	r.planning[def.id()] = true
	defer delete(r.planning, def.id())
	if err := r.claim(t, def); err != nil {
		if errors.Is(err, errTaken) {
			r.reply(send, answer{taken: true})
		}
		return
	}
	ev := def.submit
	ev.Maps = slices.Clone(ev.Maps)
	r.step(t, ev, func() bool { r.add(def); return true })
	r.reply(send, answer{accepted: true})
}

func (r *reign) claim(t *thread, def *simJob) error {
	err := r.journal.Claim(context.Background(), def.output, def.id())
	if holder := (*journal.ClaimedError)(nil); errors.As(err, &holder) {
		if r.jobs[holder.Job] != nil || r.planning[holder.Job] {
			return errTaken
		}
		// Its submission was never recorded: an earlier leader was lost in between. It may be repeated just now.
		r.m.w.stats.count(statOrphanClaims)
		r.planning[holder.Job] = true
		defer delete(r.planning, holder.Job)
		if err := r.journal.Release(context.Background(), def.output, holder.Job); err != nil {
			return err
		}
		return r.claim(t, def)
	}
	if err != nil {
		return err
	}
	if err := r.checkOutput(t, def); err != nil {
		return errors.Join(err, r.journal.Release(context.Background(), def.output, def.id()))
	}
	return nil
}

// checkOutput refuses an output that holds something, unless it is to be overwritten.
func (r *reign) checkOutput(t *thread, def *simJob) error {
	var keys []objectKey
	if err := t.call(&r.m.w.bucket.server, func() { keys = r.m.w.bucket.list(def.output) }); err != nil {
		return err
	}
	if len(keys) > 0 && !def.overwrite {
		return fmt.Errorf("%w: it holds %v", errTaken, keys[0])
	}
	return nil
}

// change is a call that changes the bucket. None is begun in a term that may be over.
func (r *reign) change(t *thread, apply func() error) error {
	if !r.term.Lasts() && !r.m.w.broken(lateChanges) {
		r.m.w.stats.count(statHeldBack)
		return errLate
	}
	r.m.w.commitFault(r.m)
	var answer error
	if err := t.call(&r.m.w.bucket.server, func() { answer = apply() }); err != nil {
		return err
	}
	return answer
}

// commit carries a job whose tasks are all selected through the steps that commit.go lists.
func (r *reign) commit(t *thread, j *mjob) {
	b := r.m.w.bucket
	if r.m.w.broken(completeBeforeDecision) {
		for _, p := range j.placed() {
			_ = r.change(t, func() error { return b.complete(p) })
		}
	}
	if !r.decided(j) && !r.decide(t, j) {
		return
	}
	for try := 0; ; try++ {
		err := r.finish(t, j)
		r.m.w.log("%s: commit of job %s, try %d: %v", r.m.name, j.id(), try, err)
		switch {
		case err == nil:
			j.finished = true
			r.step(t, sched.Committed{Job: j.id()}, nil)
			return
		case errors.Is(err, errPendingLost):
			r.step(t, sched.CommitFailed{Job: j.id(), Reason: "commit: " + err.Error()}, nil)
			return
		case errors.Is(err, errLate):
			return
		}
		t.sleep(100 * time.Millisecond << min(try, 6))
	}
}

func (r *reign) decided(j *mjob) bool {
	v, ok := r.sched.Job(j.id())
	return ok && v.State == sched.Committing
}

// decide looks the uploads up and decides. It says whether the job is decided: parts may be lost, and a cancel may be faster.
func (r *reign) decide(t *thread, j *mjob) bool {
	for try := 0; !j.ended; try++ {
		lost, err := r.lookup(t, j)
		if err == nil && len(lost) > 0 && !r.m.w.broken(uncheckedUploads) {
			r.m.w.stats.count(statPartsLost)
			r.step(t, sched.PartsLost{Job: j.id(), Attempts: lost}, nil)
			return false
		}
		if err == nil {
			err = r.checkOutput(t, j.simJob)
		}
		if errors.Is(err, errTaken) {
			r.step(t, sched.Fail{Job: j.id(), Reason: "commit: " + err.Error()}, nil)
			return false
		}
		if err == nil {
			r.step(t, sched.Decided{Job: j.id()}, nil)
			return r.decided(j)
		}
		t.sleep(100 * time.Millisecond << min(try, 6))
	}
	return false
}

// placed are the parts that make up the output, those of maps first.
func (j *mjob) placed() (list []pending) {
	for _, id := range j.leavers() {
		list = append(list, j.left[id].parts...)
	}
	return list
}

func (r *reign) lookup(t *thread, j *mjob) (lost []attemptID, err error) {
	b := r.m.w.bucket
	c := r.m.w.check.job(j.id())
	c.looks[r.term.N] = r.m.w.now
	for _, id := range j.leavers() {
		l := j.left[id]
		for _, p := range l.parts {
			var there error
			if err := t.call(&b.server, func() { there = b.lookup(p) }); err != nil {
				return nil, err
			}
			if there != nil {
				if id.Phase == sched.Map {
					r.m.w.stats.count(statMapPartsLost)
				}
				lost = append(lost, attemptID{Task: id, N: l.n})
				break
			}
		}
	}
	return lost, nil
}

// finish makes the output visible. Each step can be repeated.
func (r *reign) finish(t *thread, j *mjob) error {
	b := r.m.w.bucket
	key := objectKey{output: j.output, phase: manifestObject}
	var there object
	var found bool
	r.m.w.commitFault(r.m)
	if err := t.call(&b.server, func() { there, found = b.objects[key] }); err != nil {
		return err
	}
	switch {
	case found && there.manifest.job == j.id():
		if j.overwrite && r.outwait(t, j) {
			return errAgain
		}
		return nil
	case found && !j.overwrite:
		return errForeign
	}
	if j.overwrite {
		if err := r.clearOld(t, j); err != nil {
			return err
		}
	}
	list := j.placed()
	r.m.w.rng.Shuffle(len(list), func(a, b int) { list[a], list[b] = list[b], list[a] }) // they are completed side by side
	for _, p := range list {
		if err := r.change(t, func() error { return b.complete(p) }); err != nil {
			return err
		}
	}
	if err := r.trySweep(t, j); err != nil {
		return err
	}
	if j.overwrite {
		r.outwait(t, j)
	}
	m := j.manifest()
	return r.change(t, func() error { return b.putIfAbsent(key, object{sum: m.sum(), manifest: m}, j.id()) })
}

func (j *mjob) manifest() *simManifest {
	m := &simManifest{job: j.id(), parts: j.placed(), decided: j.decided}
	for _, n := range j.records {
		m.records += n
	}
	return m
}

// outwait waits until no removal can be done any more that was sent before and not answered: by this master, or by an earlier
// leader, which sent none after its term. It would take away what is about to be written under the same name.
func (r *reign) outwait(t *thread, j *mjob) (waited bool) {
	if r.m.w.broken(hastyManifest) {
		return false
	}
	since := j.unsure
	if j.inherited {
		since = max(since, r.start)
	}
	wait := since + maxLate - r.m.clock()
	if since == 0 || wait <= 0 {
		return false
	}
	r.m.w.log("%s: job %s waits %v for removals that may be under way", r.m.name, j.id(), wait)
	r.m.w.stats.count(statOutwaited)
	t.sleep(wait)
	return true
}

// remove is a change that removes an object, and notes when it is not known whether it was done, or will be.
func (r *reign) remove(t *thread, j *mjob, key objectKey) error {
	r.m.w.removing = true
	err := r.change(t, func() error { r.m.w.bucket.remove(key, j.id()); return nil })
	r.m.w.removing = false
	if errors.Is(err, errUnknown) {
		j.unsure = r.m.clock()
	}
	return err
}

// clearOld removes what is to be overwritten, the manifest first.
func (r *reign) clearOld(t *thread, j *mjob) error {
	b := r.m.w.bucket
	if err := r.remove(t, j, objectKey{output: j.output, phase: manifestObject}); err != nil {
		return err
	}
	keep := map[objectKey]bool{}
	for _, p := range j.placed() {
		keep[p.key] = true
	}
	var keys []objectKey
	if err := t.call(&b.server, func() { keys = b.list(j.output) }); err != nil {
		return err
	}
	for _, k := range keys {
		if k.phase == manifestObject || k.phase == claimObject || keep[k] {
			continue
		}
		if err := r.remove(t, j, k); err != nil {
			return err
		}
	}
	return nil
}

// trySweep aborts what other attempts left in the output, and removes the job's runs in the bucket.
func (r *reign) trySweep(t *thread, j *mjob) error {
	if r.m.w.broken(unswept) {
		return nil
	}
	b := r.m.w.bucket
	var ids []int
	err := t.call(&b.server, func() {
		for _, u := range b.uploads {
			if u.key.output == j.output {
				ids = append(ids, u.id)
			}
		}
	})
	if err != nil {
		return err
	}
	for _, id := range ids {
		if err := r.change(t, func() error { b.abort(id, j.id()); return nil }); err != nil {
			return err
		}
	}
	if !j.submit.Durable {
		return nil
	}
	return r.change(t, func() error { b.removeRuns(j.id()); return nil })
}

// quietTimeout is how long an ended job's workers may take to give its attempts up before what they left is removed.
const quietTimeout = 2 * time.Second

// afterEnd cleans up behind a job, brings its log to a line, and releases its output.
func (r *reign) afterEnd(t *thread, j *mjob, helpers []*mworker) {
	if j.state != sched.Done {
		r.quiet(t, j, helpers)
		begun := r.m.clock()
		for try := 0; r.trySweep(t, j) != nil && r.m.clock()-begun < 30*time.Second; try++ {
			t.sleep(100 * time.Millisecond << min(try, 6))
		}
	}
	summary := encode(r.m.w, logged{Record: sched.Record{Kind: sched.RecordEnded, Job: j.id(), State: j.state, Reason: j.reason}})
	_ = r.journal.Replace(context.Background(), j.id(), [][]byte{summary}) // that the whole log stays is harmless
	if err := r.journal.Release(context.Background(), j.output, j.id()); err != nil {
		return
	}
	j.swept = true
}

// quiet waits until the workers that worked for the job have told that they do so no more.
func (r *reign) quiet(t *thread, j *mjob, helpers []*mworker) {
	until := r.m.clock() + quietTimeout
	for _, w := range helpers {
		seq := w.seq
		for r.m.clock() < until && r.workers[w.id] == w && !w.refused && (w.seq == seq || w.runs(j.id())) {
			t.sleep(200 * time.Millisecond)
		}
	}
}

func (w *mworker) runs(id jobID) bool {
	return slices.ContainsFunc(w.running, func(p sched.Progress) bool { return p.Attempt.Task.Job == id })
}

// afterEnds cleans up behind the jobs that ended under an earlier leader.
func (r *reign) afterEnds() {
	for _, j := range r.order {
		if !j.ended {
			continue
		}
		r.scope.start(func(t *thread) {
			err := r.journal.Claim(context.Background(), j.output, j.id())
			switch {
			case err == nil:
				r.afterEnd(t, j, nil)
			case errors.Is(err, journal.ErrClaimed):
				j.swept = true
			}
		})
	}
}
