package master

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/millrace/millrace/master/journal"
	"github.com/millrace/millrace/master/sched"
	"github.com/millrace/millrace/master/wire"
	"github.com/millrace/millrace/storage"
)

// request is one event on its way into the scheduler.
type request struct {
	event sched.Event
	// prepare runs under the lock just before the step; if it returns false the event is dropped.
	prepare func() bool
	done    chan struct{} // closed when the effects have been carried out
}

// errStopped is an event that came when the loop had ended.
var errStopped = errors.New("the master has stopped")

// step hands an event to the loop and waits until its effects are durable and carried out.
func (m *Master) step(ctx context.Context, ev sched.Event, prepare func() bool) error {
	r := request{event: ev, prepare: prepare, done: make(chan struct{})}
	select {
	case m.requests <- r:
	case <-m.stopped:
		return errStopped
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-r.done:
		return nil
	case <-m.stopped:
		return errStopped
	case <-ctx.Done():
		return ctx.Err()
	}
}

// loop is the one goroutine that steps the scheduler. It decides nothing:
//
//	events -> Step -> records durable in the journal -> effects carried out -> askers released
//
// Events that arrive while a batch is being made durable form the next batch. A batch whose records may not be written yet, since
// the journal bounds the writes a second, takes in what arrives until then: otherwise each event would wait for two writes, that
// of the batch before its own too, and each write would carry half as much.
func (m *Master) loop(ctx context.Context) error {
	start := m.begun
	tick := time.NewTicker(m.o.Tick)
	defer tick.Stop()
	var batch []request
	var effects []sched.Effect
	for {
		m.beat.Store(int64(time.Since(start)))
		batch, effects = again(batch), again(effects)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
			batch = append(batch, request{event: sched.Tick{}, done: make(chan struct{})})
		case r := <-m.requests:
			batch = append(batch, r)
		}
		if !m.term.Lasts() { // Done may be late, after a stop of the whole process
			return journal.ErrFenced
		}
		batch = m.gather(batch)
		effects = m.stepAll(effects, time.Since(start), batch)
		if pause := m.journal.Pause(); pause > 0 && slices.ContainsFunc(effects, isRecord) {
			wait(ctx, pause)
			first := len(batch)
			batch = m.gather(batch)
			effects = m.stepAll(effects, time.Since(start), batch[first:])
		}
		records, err := m.encode(effects)
		if err != nil {
			return err
		}
		if err := m.journal.AppendAll(ctx, records); err != nil {
			return err
		}
		m.carryOut(ctx, effects)
		for _, r := range batch {
			close(r.done)
		}
	}
}

// maxKept bounds the memory that the loop uses again, events or effects: the loss of a large job's runs may be a million effects.
const maxKept = 1 << 15

// again returns an empty list in the memory of one that is needed no more, and holds on to nothing in it.
func again[T any](list []T) []T {
	if cap(list) > maxKept {
		return nil
	}
	clear(list)
	return list[:0]
}

// loopPatience is for how long the loop counts as alive since it began anew: it waits for the journal, which over a slow network that
// loses packets takes a second or two, and for its turn on a busy machine. Whether the journal can be written the renewal asks itself.
const loopPatience = 5 * time.Second

// gather takes what else is waiting, up to maxBatch events.
func (m *Master) gather(batch []request) []request {
	for len(batch) < maxBatch {
		select {
		case r := <-m.requests:
			batch = append(batch, r)
		default:
			return batch
		}
	}
	return batch
}

// stepAll steps the scheduler through a batch and appends the effects.
func (m *Master) stepAll(effects []sched.Effect, at time.Duration, batch []request) []sched.Effect {
	m.mu.Lock()
	defer m.mu.Unlock()
	before := len(effects)
	for _, r := range batch {
		if r.prepare == nil || r.prepare() {
			effects = append(effects, m.sched.Step(at, r.event)...)
		}
	}
	n := 0
	for _, e := range effects[before:] {
		if isRecord(e) {
			n++
		}
	}
	m.pending = slices.Grow(m.pending, n)
	for _, e := range effects[before:] {
		if r, is := e.(sched.Record); is {
			m.pending = append(m.pending, r)
		}
	}
	return effects
}

func isRecord(e sched.Effect) bool {
	_, is := e.(sched.Record)
	return is
}

// encode returns the records among the effects.
func (m *Master) encode(effects []sched.Effect) ([]journal.Batch, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.encodeLocked(effects)
}

// carryOut performs effects whose records are durable.
func (m *Master) carryOut(ctx context.Context, effects []sched.Effect) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range effects {
		m.carryOutLocked(ctx, e)
	}
	m.forgetLostLocked(effects)
	m.pending = nil
	clear(m.results)
}

func (m *Master) carryOutLocked(ctx context.Context, e sched.Effect) {
	switch e := e.(type) {
	case sched.Assign:
		m.assignLocked(e)
	case sched.Kill:
		m.mailLocked(e.Worker, func(w *workerState) { w.kill = append(w.kill, e.Attempt) })
	case sched.Refused:
		m.mailLocked(e.Worker, func(w *workerState) { w.refused = true })
	case sched.Selected:
		j := m.jobs[e.Attempt.Task.Job]
		j.selected(e, m.workerName(e.Worker), m.results[e.Attempt])
		j.warn(m.o.Now(), j.counters.warning())
	case sched.RunLost:
		m.jobs[e.Attempt.Task.Job].runLost(e)
	case sched.Commit:
		j := m.jobs[e.Job]
		ctx := storage.WithMeter(ctx, j.account.meter)
		m.background.Go(func() error { return m.commit(ctx, j) })
	case sched.Ended:
		m.endedLocked(ctx, e)
	case sched.Failed:
		m.failedLocked(e)
	case sched.Noted:
		m.notedLocked(e)
	case sched.Record: // durable already
		if e.Kind == sched.RecordSubmit {
			m.jobs[e.Job].unborn = false
		}
	default:
		panic(fmt.Sprintf("master: effect %T is not known", e))
	}
}

func (m *Master) assignLocked(e sched.Assign) {
	j := m.jobs[e.Attempt.Task.Job]
	t := wire.Task{Attempt: e.Attempt}
	switch e.Attempt.Task.Phase {
	case sched.Sample:
		t.Split = j.plan.Sample()
	case sched.Map:
		t.Split = j.plan.Split(e.Attempt.Task.Index)
	}
	j.account.assigned(e, m.workerName(e.Worker), m.o.Now())
	m.mailLocked(e.Worker, func(w *workerState) {
		w.assign = append(w.assign, t)
		w.given[j.id] = true
	})
}

// mailLocked leaves something for a worker's next answer and releases its waiting poll.
func (m *Master) mailLocked(id sched.WorkerID, put func(*workerState)) {
	w := m.workers[id]
	if w == nil { // it left within this batch
		return
	}
	put(w)
	w.wakeLocked()
}

func (m *Master) failedLocked(e sched.Failed) {
	j := m.jobs[e.Attempt.Task.Job]
	j.retries++
	text := e.Failure.Text
	if e.Failure.Kind == sched.FailTask {
		text = fmt.Sprintf("attempt failed (%d of %d): %s", e.Charged, e.Max, text)
	}
	j.logf(m.o.Now(), e.Attempt.String(), m.workerName(e.Worker), text)
	m.o.Log.Warn("attempt failed", "job", j.id, "attempt", e.Attempt.String(), "worker", e.Worker, "charged", e.Charged, "error", e.Failure.Text)
}

func (m *Master) notedLocked(e sched.Noted) {
	level := slog.LevelInfo
	if e.Warn {
		level = slog.LevelWarn
	}
	e.Text, _, _ = strings.Cut(e.Text, "\n") // a stack follows
	m.o.Log.Log(context.Background(), level, e.Text, "job", e.Job, "worker", e.Worker)
	if j := m.jobs[e.Job]; e.Warn && j != nil {
		j.warn(m.o.Now(), fmt.Sprintf("worker %s %s", m.workerName(e.Worker), e.Text))
		return
	}
	for _, id := range m.order {
		j := m.jobs[id]
		if e.Job == id || e.Job == "" && j.ended.IsZero() {
			j.logf(m.o.Now(), "", m.workerName(e.Worker), e.Text)
		}
	}
}

func (m *Master) endedLocked(ctx context.Context, e sched.Ended) {
	j := m.jobs[e.Job]
	j.end(m.o.Now(), e.State, e.Reason)
	level := slog.LevelInfo
	if e.State == sched.JobFailed {
		level = slog.LevelError
	}
	m.o.Log.Log(ctx, level, "job ended", "job", j.id, "state", e.State.String(), "reason", e.Reason)
	for _, w := range m.workers { // wakes all: the order does not show
		w.wakeLocked()
	}
	helpers := m.helpersLocked(j.id) // now: a poll that comes from here on is of one who may have heard of the end
	after := storage.WithMeter(m.outliving(ctx), j.account.meter)
	m.background.Go(func() error {
		m.afterEnd(after, j, e.State, helpers)
		return nil
	})
}

// forget removes a job's records. That they stay is harmless: the next master knows the job, too.
func (m *Master) forget(ctx context.Context, id sched.JobID) {
	if err := m.journal.Replace(ctx, id, nil); err != nil {
		m.o.Log.Warn("forget job", "job", id, "error", err)
	}
}

// forgetOldLocked drops what ended first of the ended jobs beyond maxEndedJobs, of which a chain is one, and of the stages of chains
// beyond maxEndedStages. A chain takes its stages along. What is being cleaned up behind stays, and what a chain has still to ask for.
func (m *Master) forgetOldLocked(ctx context.Context) {
	var jobs, stages []*job
	for _, j := range m.byEndLocked() {
		if chainOf(j.id) == "" {
			jobs = append(jobs, j)
		} else {
			stages = append(stages, j)
		}
	}
	if len(jobs) <= maxEndedJobs && len(stages) <= maxEndedStages {
		return
	}
	gone := map[sched.JobID]bool{}
	for _, j := range jobs[:max(0, len(jobs)-maxEndedJobs)] {
		if j.clean {
			gone[j.id] = true
		}
	}
	for i, j := range stages {
		if j.clean && (gone[chainOf(j.id)] || i < len(stages)-maxEndedStages && !m.askedForLocked(j)) {
			gone[j.id] = true
		}
	}
	for id := range gone { // the order does not show
		delete(m.jobs, id)
		m.background.Go(func() error {
			m.forget(ctx, id)
			return nil
		})
	}
	m.order = slices.DeleteFunc(m.order, func(id sched.JobID) bool { return gone[id] })
}

// askedForLocked says whether a stage's chain has still to look how it ended.
func (m *Master) askedForLocked(stage *job) bool {
	id := chainOf(stage.id)
	c := m.jobs[id]
	switch {
	case m.parked[id] != nil:
		return true
	case c == nil || c.chain == nil || !c.ended.IsZero():
		return false
	}
	return stage.id == stageID(id, len(c.chain.done))
}

// byEndLocked lists the ended jobs, what ended first first.
func (m *Master) byEndLocked() (ended []*job) {
	for _, id := range m.order {
		if j := m.jobs[id]; !j.ended.IsZero() {
			ended = append(ended, j)
		}
	}
	slices.SortStableFunc(ended, func(a, b *job) int { return a.ended.Compare(b.ended) })
	return ended
}

// shortenLogsLocked bounds what the logs of ended jobs take together: what failures say may be long.
func (m *Master) shortenLogsLocked(most int) {
	ended, sum := m.byEndLocked(), 0
	for _, j := range ended {
		sum += j.logged
	}
	for _, j := range ended {
		if sum <= most {
			return
		}
		sum -= j.logged
		j.keepLines(maxLogLines, endedLogSize)
		sum += j.logged
	}
}
