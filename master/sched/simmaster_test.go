package sched_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/millrace/millrace/master/journal"
	"github.com/millrace/millrace/master/sched"
)

// master is a process that leads when it can. What it does as the leader is a reign, modelled on package master: the loop of
// loop.go and the commit of commit.go, step by step; the scheduler and the journal are the real ones.
type master struct {
	*proc
	host   int
	client *client
	reign  *reign
	hint   int // who leads, as far as it has heard
}

// reign is what a master is while it leads.
type reign struct {
	scope
	m       *master
	term    journal.Term
	hold    *hold
	journal *journal.Journal
	sched   *sched.State
	start   time.Duration
	ready   bool // the journal is loaded, and it serves
	failed  bool // it can lead no more

	jobs     map[jobID]*mjob
	order    []*mjob
	planning map[jobID]bool
	workers  map[workerID]*mworker
	roster   []*mworker // in the order of their joining, so that nothing depends on a map's
	results  map[attemptID]*outcome

	requests []*request
	wakeLoop func()
}

// request is an event on its way into the scheduler.
type request struct {
	event   sched.Event // nil: only to see that the loop lives
	prepare func() bool // nil: always
	done    func()
}

// mjob is what the master keeps of a job beside the scheduler.
type mjob struct {
	*simJob
	state    sched.JobState // once it has ended
	ended    bool
	finished bool
	swept    bool
	reason   string
	decided  time.Duration

	inherited bool          // an earlier leader may have begun its commit
	unsure    time.Duration // when this master last gave up waiting for the answer to a removal
	runs      []runEvent
	left      map[taskID]left // parts of the attempt that was selected last
	records   map[taskID]int64
}

type left struct {
	n     int
	parts []pending
}

// runEvent is a line of a job's run log.
type runEvent struct {
	attempt attemptID
	lost    bool
}

// mworker is what the master keeps of a worker.
type mworker struct {
	id      workerID
	seq     int
	refused bool
	assign  []attemptID
	kill    []attemptID
	running []sched.Progress
	given   map[jobID]bool
	answer  func(expired bool) // the poll that is held
	wakes   int
}

func (w *world) newMaster(host int) *master {
	m := &master{proc: w.newProc(fmt.Sprintf("m%d", host), atMasters+endpoint(host)), host: host, hint: -1}
	m.client = &client{m: m, e: w.etcd}
	m.root.start(m.main)
	return m
}

// main campaigns, reigns, and campaigns again.
func (m *master) main(t *thread) {
	for {
		term, err := m.client.Campaign(context.Background(), journal.Candidate{})
		if err != nil {
			m.w.fail("campaign: %v", err)
			return
		}
		m.w.log("%s leads in term %d", m.name, term.N)
		m.w.stats.count(statTerms)
		r := &reign{m: m, term: term, hold: term.Reign.(*hold), start: m.clock(), jobs: map[jobID]*mjob{}, planning: map[jobID]bool{},
			workers: map[workerID]*mworker{}, results: map[attemptID]*outcome{}}
		r.p = m.proc
		m.reign = r
		t.wait(func(wake func()) {
			r.onEnd(wake)
			r.start_()
		})
		if m.w.chance(0.5) { // a wanted end tells the next one at once
			_ = r.hold.Resign(context.Background())
		}
		m.reign = nil
		t.sleep(m.w.between(0, time.Second))
	}
}

// onEnd watches the term: it ends when it lasts no more by this process's clock, or the journal writes no more.
func (r *reign) onEnd(then func()) {
	w := r.m.w
	due := r.m.clock()
	var watch func()
	watch = func() {
		if r.over {
			return
		}
		if late := r.m.clock() - due; late > renewEvery && late%2 == 0 { // after a stop other things come first
			due += late
			r.m.root.after(w.between(0, 200*time.Millisecond), watch)
			return
		}
		due = r.m.clock() + renewEvery/2
		if r.journal != nil && !r.failed {
			select {
			case <-r.journal.Failed():
				r.giveUp(r.journal.Err())
			default:
			}
		}
		if r.hold.Lasts() && r.hold.c.created == r.hold.created && !r.failed {
			r.m.root.after(renewEvery/2, watch)
			return
		}
		r.m.w.log("%s: term %d is over", r.m.name, r.term.N)
		r.m.w.stats.count(statReignsEnded)
		r.end()
		then()
	}
	r.m.root.after(renewEvery/2, watch)
}

// giveUp ends the reign soon: it may be called from one of its threads.
func (r *reign) giveUp(why error) {
	r.m.w.log("%s: gives term %d up: %v", r.m.name, r.term.N, why)
	r.failed = true
}

func (r *reign) start_() {
	r.start = r.m.clock()
	r.scope.start(func(t *thread) { r.hold.renew(t, r.alive) })
	r.scope.start(func(t *thread) {
		if err := r.recover(); err != nil {
			r.giveUp(err)
			return
		}
		r.ready = true
		r.tick()
		r.afterEnds()
		r.loop(t)
	})
}

// alive asks the loop; while the journal is being loaded the answer is that it is. The real one says so for a while when the loop
// does not answer: here more terms end.
func (r *reign) alive(t *thread) bool {
	if !r.ready {
		return true
	}
	ok := false
	t.wait(func(wake func()) {
		r.request(&request{done: func() { ok = true; wake() }})
		r.after(renewEvery, wake)
	})
	return ok
}

// logged is a record as the journal has it. The journal gets only its number: what records look like in bytes is package
// master's matter.
type logged struct {
	sched.Record
	at  time.Duration // by the wall clock
	out *outcome      // of a selected attempt
}

func encode(w *world, r logged) []byte {
	w.check.logged = append(w.check.logged, r)
	return binary.LittleEndian.AppendUint32(nil, uint32(len(w.check.logged)-1))
}

func decode(w *world, b []byte) *logged { return &w.check.logged[binary.LittleEndian.Uint32(b)] }

// recover rebuilds the jobs and the scheduler from the journal.
func (r *reign) recover() error {
	r.journal = journal.New(r.m.client, r.term, journal.Options{})
	logs, err := r.journal.Load(context.Background())
	if err != nil {
		return err
	}
	w := r.m.w
	var records []sched.Record
	for _, l := range logs {
		for _, b := range l.Records {
			e := decode(w, b)
			r.replay(e)
			records = append(records, e.Record)
		}
	}
	o := w.chances.options
	o.Term = int(r.term.N) - 1
	if r.sched, err = sched.Replay(o, records); err != nil {
		w.fail("%s replays %d records: %v", r.m.name, len(records), err)
		return err
	}
	if w.rng.IntN(2) == 0 { // the fewest records say the same
		if err := sched.SameAfterReplay(r.sched, records); err != nil {
			w.fail("%s: %v", r.m.name, err)
		}
	}
	return nil
}

func (r *reign) replay(e *logged) {
	switch e.Kind {
	case sched.RecordSubmit:
		r.add(r.m.w.job(e.Submit.Job))
		return
	case sched.RecordEnded:
		r.add(r.m.w.job(e.Job)).end(e.State, e.Reason)
		return
	}
	j := r.jobs[e.Job]
	switch e.Kind {
	case sched.RecordSelected:
		j.selected(e.Attempt, e.out)
	case sched.RecordLost:
		if e.Attempt.Task.Phase == sched.Map {
			j.runLost(e.Attempt)
		}
	case sched.RecordState:
		if e.State == sched.Committing {
			j.decided, j.inherited = e.at, true
		}
		if e.State.Ended() {
			j.end(e.State, e.Reason)
		}
	}
}

func (r *reign) add(def *simJob) *mjob {
	j := &mjob{simJob: def, state: sched.Running, left: map[taskID]left{}, records: map[taskID]int64{}}
	r.jobs[def.id()] = j
	r.order = append(r.order, j)
	return j
}

func (j *mjob) selected(id attemptID, o *outcome) {
	if id.Task.Phase == sched.Map {
		j.runs = append(j.runs, runEvent{attempt: id})
		j.records[id.Task] = o.records
	}
	j.left[id.Task] = left{id.N, o.parts}
}

func (j *mjob) runLost(id attemptID) { j.runs = append(j.runs, runEvent{attempt: id, lost: true}) }

func (j *mjob) end(state sched.JobState, reason string) {
	j.ended, j.state, j.reason = true, state, reason
	j.runs = nil
}

// tick lets the scheduler see time pass.
func (r *reign) tick() {
	r.after(time.Second, func() {
		r.request(&request{event: sched.Tick{}})
		r.tick()
	})
}

func (r *reign) request(q *request) {
	r.requests = append(r.requests, q)
	if wake := r.wakeLoop; wake != nil {
		r.wakeLoop = nil
		wake()
	}
}

// step hands an event to the loop and waits until its effects are durable and carried out.
func (r *reign) step(t *thread, ev sched.Event, prepare func() bool) {
	t.wait(func(wake func()) { r.request(&request{event: ev, prepare: prepare, done: wake}) })
}

// loop is the one thread that steps the scheduler.
//
//	events -> Step -> records durable in the journal -> effects carried out -> askers released
func (r *reign) loop(t *thread) {
	for {
		if len(r.requests) == 0 {
			t.wait(func(wake func()) { r.wakeLoop = wake })
			continue
		}
		if !r.term.Lasts() { // the watch may be late, after a stop of the whole process
			r.giveUp(journal.ErrFenced)
			return
		}
		batch := r.requests
		r.requests = nil
		effects := r.stepAll(batch)
		if r.m.w.broken(effectsBeforeRecords) {
			r.carryOut(effects)
		}
		if err := r.write(effects); err != nil {
			r.giveUp(err)
			return
		}
		if !r.m.w.broken(effectsBeforeRecords) {
			r.carryOut(effects)
		}
		for _, q := range batch {
			if q.done != nil {
				q.done()
			}
		}
	}
}

func (r *reign) stepAll(batch []*request) (effects []sched.Effect) {
	w := r.m.w
	for _, q := range batch {
		if q.event == nil || q.prepare != nil && !q.prepare() {
			continue
		}
		w.stats.count(statSteps)
		if w.out != nil {
			w.log("%s term %d: %s", r.m.name, r.term.N, showEvent(q.event))
		}
		out := r.sched.Step(r.m.clock()-r.start, q.event)
		if err := r.sched.Check(); err != nil {
			w.fail("%s after %s: %v", r.m.name, showEvent(q.event), err)
		}
		for _, e := range out {
			if w.out != nil {
				w.log("    %s", showEffect(e))
			}
			w.check.effect(r, e, q.event, out)
		}
		effects = append(effects, out...)
	}
	return effects
}

// write makes the records among the effects durable: one entry for each job, in the order of its first record.
func (r *reign) write(effects []sched.Effect) error {
	var batches []journal.Batch
	for _, e := range effects {
		rec, ok := e.(sched.Record)
		if !ok {
			continue
		}
		l := logged{Record: rec, at: r.m.w.wall(r.m.proc)}
		switch rec.Kind {
		case sched.RecordSelected:
			l.out = r.results[rec.Attempt]
		case sched.RecordState:
			if rec.State == sched.Committing {
				r.jobs[rec.Job].decided = l.at
			}
		}
		i := slices.IndexFunc(batches, func(b journal.Batch) bool { return b.Job == rec.Job })
		if i < 0 {
			i = len(batches)
			batches = append(batches, journal.Batch{Job: rec.Job})
		}
		batches[i].Records = append(batches[i].Records, encode(r.m.w, l))
	}
	return r.journal.AppendAll(context.Background(), batches)
}

// carryOut performs effects whose records are durable.
func (r *reign) carryOut(effects []sched.Effect) {
	for _, e := range effects {
		switch e := e.(type) {
		case sched.Assign:
			r.mail(e.Worker, func(w *mworker) {
				w.assign = append(w.assign, e.Attempt)
				w.given[e.Attempt.Task.Job] = true
			})
		case sched.Kill:
			r.mail(e.Worker, func(w *mworker) { w.kill = append(w.kill, e.Attempt) })
		case sched.Refused:
			r.mail(e.Worker, func(w *mworker) { w.refused = true })
		case sched.Selected:
			r.jobs[e.Attempt.Task.Job].selected(e.Attempt, r.results[e.Attempt])
		case sched.RunLost:
			r.jobs[e.Attempt.Task.Job].runLost(e.Attempt)
		case sched.Commit:
			j := r.jobs[e.Job]
			r.scope.start(func(t *thread) { r.commit(t, j) })
		case sched.Ended:
			r.endJob(e)
		}
	}
	for _, e := range effects {
		if n, ok := e.(sched.Noted); ok && r.workers[n.Worker] != nil && !r.workers[n.Worker].refused && !r.sched.Known(n.Worker) {
			r.forgetWorker(n.Worker)
		}
	}
	clear(r.results)
}

func (r *reign) endJob(e sched.Ended) {
	j := r.jobs[e.Job]
	j.end(e.State, e.Reason)
	var helpers []*mworker
	for _, w := range r.roster {
		if w.given[e.Job] {
			delete(w.given, e.Job)
			helpers = append(helpers, w)
		}
		r.wake(w)
	}
	r.scope.start(func(t *thread) { r.afterEnd(t, j, helpers) })
}

func (r *reign) mail(id workerID, put func(*mworker)) {
	if w := r.workers[id]; w != nil {
		put(w)
		r.wake(w)
	}
}

func (r *reign) forgetWorker(id workerID) {
	w := r.workers[id]
	delete(r.workers, id)
	r.roster = slices.DeleteFunc(r.roster, func(o *mworker) bool { return o == w })
}

// wake lets the worker's held poll look again.
func (r *reign) wake(w *mworker) {
	w.wakes++
	if w.answer != nil {
		r.after(0, func() {
			if w.answer != nil {
				w.answer(false)
			}
		})
	}
}

// served are requests that came over the network: a master that does not lead says so.
func (m *master) served(term uint64, reply func(answer), serve func(r *reign)) {
	r := m.reign
	if r == nil || r.over || !r.ready || r.failed {
		reply(answer{notLeader: true, hint: m.hint})
		return
	}
	if term > r.term.N {
		m.w.stats.count(statHigherTerms)
		r.scope.start(func(t *thread) {
			if err := r.term.Confirm(context.Background()); errors.Is(err, journal.ErrFenced) {
				r.giveUp(err)
			}
		})
		return
	}
	serve(r)
}

// reply sends an answer, if the term lasts.
func (r *reign) reply(send func(answer), a answer) {
	if !r.term.Lasts() {
		r.m.w.stats.count(statHeldBack)
		return
	}
	r.m.w.check.answered(r)
	a.term = r.term.N
	send(a)
}

// maxPollWait is how long a poll is held that there is nothing to answer to.
const maxPollWait = 3 * time.Second

// poll takes a worker's report.
func (r *reign) poll(args *pollArgs, send func(answer)) {
	if args.leaving {
		r.request(&request{event: sched.Leave{Worker: args.worker}, prepare: func() bool {
			if r.workers[args.worker] != nil {
				r.forgetWorker(args.worker)
			}
			return true
		}, done: func() { r.reply(send, answer{}) }})
		return
	}
	ev := sched.Poll{Worker: args.worker, Slots: args.slots, Draining: args.draining, Running: args.running}
	for _, o := range args.done {
		ev.Done = append(ev.Done, sched.Outcome{Attempt: o.attempt, Failure: o.failure, Checksum: r.m.w.shownSum(o.sum)})
	}
	r.request(&request{event: ev, prepare: func() bool { return r.preparePoll(args) }, done: func() { r.hold_(args, send) }})
}

// preparePoll drops a poll that a newer one overtook.
func (r *reign) preparePoll(args *pollArgs) bool {
	w := r.workers[args.worker]
	if w == nil {
		w = &mworker{id: args.worker, given: map[jobID]bool{}}
		r.workers[args.worker] = w
		r.roster = append(r.roster, w)
	}
	if args.seq <= w.seq && !r.m.w.chances.unordered {
		return false
	}
	w.seq, w.running = max(w.seq, args.seq), args.running
	w.assign, w.kill = nil, nil
	r.wake(w)
	for _, o := range args.done {
		if o.failure == nil {
			r.results[o.attempt] = o
		}
	}
	return true
}

// hold_ answers when there is something for the worker, a newer poll overtook this one, or its time is over.
func (r *reign) hold_(args *pollArgs, send func(answer)) {
	w := r.workers[args.worker]
	if w == nil || w.seq != args.seq {
		r.reply(send, answer{})
		return
	}
	var try func(expired bool)
	try = func(expired bool) {
		switch {
		case r.workers[args.worker] != w || w.seq != args.seq:
			r.reply(send, answer{})
			return
		case w.refused:
			r.forgetWorker(w.id)
			r.reply(send, answer{refused: true})
			return
		}
		a := answer{seq: args.seq, assign: w.assign, kill: w.kill, needed: r.sched.Needed(w.id)}
		for _, id := range args.holding {
			if j := r.jobs[id]; j == nil || j.ended {
				a.ended = append(a.ended, id)
			}
		}
		if !expired && len(a.assign)+len(a.kill)+len(a.ended) == 0 {
			w.answer = try
			return
		}
		w.answer = nil
		w.assign, w.kill = nil, nil
		r.reply(send, a)
	}
	seq := w.seq
	try(false)
	if w.answer != nil {
		r.after(maxPollWait, func() {
			if w.answer != nil && w.seq == seq {
				w.answer(true)
			}
		})
	}
}

// showEvent is an event without addresses, which would differ from run to run.
func showEvent(ev sched.Event) string {
	p, ok := ev.(sched.Poll)
	if !ok {
		return fmt.Sprintf("%s%+v", strings.TrimPrefix(fmt.Sprintf("%T", ev), "sched."), ev)
	}
	text := fmt.Sprintf("poll %s slots=%d draining=%v", p.Worker, p.Slots, p.Draining)
	for _, pr := range p.Running {
		text += fmt.Sprintf(" run=%s:%d/%d", pr.Attempt, pr.Bytes, pr.Total)
	}
	for _, o := range p.Done {
		text += fmt.Sprintf(" done=%s:%x", o.Attempt, o.Checksum)
		if o.Failure != nil {
			text += fmt.Sprintf("%+v", *o.Failure)
		}
	}
	return text
}

func showEffect(e sched.Effect) string {
	if r, ok := e.(sched.Record); ok {
		if r.Submit != nil {
			return fmt.Sprintf("record submit %+v", *r.Submit)
		}
		return fmt.Sprintf("record %d %s %s %v %s", r.Kind, r.Attempt, r.Worker, r.State, r.Reason)
	}
	return fmt.Sprintf("%s%+v", strings.TrimPrefix(fmt.Sprintf("%T", e), "sched."), e)
}
