package master

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/millrace/millrace/master/sched"
	"github.com/millrace/millrace/master/wire"
)

// workerState is what the master keeps of a worker beyond the scheduler's view: its address, and the answer that waits
// for its next poll.
type workerState struct {
	name    string // host and process, for people
	seq     uint64 // of the newest poll
	wake    chan struct{}
	assign  []wire.Task
	kill    []sched.AttemptID
	refused bool
	running []sched.Progress         // as the newest poll has it
	done    map[sched.AttemptID]bool // outcomes in the newest poll: until that is answered they come again
	given   map[sched.JobID]bool     // the jobs of which it was ever given an attempt, until they end
}

// runs says whether the worker has attempts of a job under way, as far as it has told.
func (w *workerState) runs(id sched.JobID) bool {
	return slices.ContainsFunc(w.running, func(p sched.Progress) bool { return p.Attempt.Task.Job == id })
}

// wakeLocked releases the worker's waiting poll.
func (w *workerState) wakeLocked() {
	close(w.wake)
	w.wake = make(chan struct{})
}

// Poll takes a worker's report and answers with work. It waits for some when there is none.
func (m *Master) Poll(ctx context.Context, args *wire.PollArgs) (*wire.PollReply, error) {
	if args.Leaving {
		return m.leave(ctx, args)
	}
	args = m.withoutParked(args)
	m.vet(args)
	ev := sched.Poll{Worker: args.Worker, Slots: args.Slots, Draining: args.Draining, Running: args.Running}
	for _, o := range args.Done {
		out := sched.Outcome{Attempt: o.Attempt, Failure: o.Failure}
		if o.Map != nil {
			out.Checksum = o.Map.Checksum ^ sumOf(o.Parts)
		}
		ev.Done = append(ev.Done, out)
	}
	// A step is short: it is not left, so that answer sees what came of it.
	if err := m.step(context.WithoutCancel(ctx), ev, func() bool { return m.preparePoll(args, ev.Done) }); err != nil {
		return nil, refuse(wire.ErrShuttingDown, "poll", "the master is stopping")
	}
	return m.answer(ctx, args)
}

// preparePoll runs in the loop, under the lock: it drops a poll that a newer one overtook and puts the results where the
// effects of this batch find them. outcomes are what the scheduler will see of them.
func (m *Master) preparePoll(args *wire.PollArgs, outcomes []sched.Outcome) bool {
	w := m.workers[args.Worker]
	if w == nil {
		w = &workerState{wake: make(chan struct{}), given: map[sched.JobID]bool{}}
		m.workers[args.Worker] = w
	}
	if args.Seq <= w.seq {
		return false
	}
	w.seq = args.Seq
	w.name, w.running = args.Host, args.Running
	// What an older answer did not deliver the scheduler will find missing in this report, and give again.
	w.assign, w.kill = nil, nil
	w.wakeLocked()
	done := make(map[sched.AttemptID]bool, len(args.Done))
	for i := range args.Done {
		o := &args.Done[i]
		if o.Failure == nil {
			m.results[o.Attempt] = o
			if outcomes[i].Failure = m.checkCutLocked(o); outcomes[i].Failure == nil {
				outcomes[i].Failure = m.checkRejectsLocked(o)
			}
		}
		done[o.Attempt] = true
		if j := m.jobs[o.Attempt.Task.Job]; j != nil && j.ended.IsZero() && !w.done[o.Attempt] {
			j.account.ended(o)
		}
	}
	w.done = done
	return true
}

// answer waits until there is something for the worker, a newer poll overtook this one, or its time is over.
func (m *Master) answer(ctx context.Context, args *wire.PollArgs) (*wire.PollReply, error) {
	timer := time.NewTimer(min(args.Wait, maxPollWait))
	defer timer.Stop()
	for expired := false; ; {
		m.mu.Lock()
		w := m.workers[args.Worker]
		if w == nil || w.seq != args.Seq {
			m.mu.Unlock()
			return &wire.PollReply{Term: m.journal.Term().N}, nil
		}
		if w.refused {
			delete(m.workers, args.Worker)
			m.mu.Unlock()
			return nil, refuse(wire.ErrWorkerLost, "poll", "this worker was declared lost: it comes back under a new id")
		}
		reply := &wire.PollReply{Term: m.journal.Term().N, Assign: firstTasks(w.assign), Kill: w.kill}
		reply.Ended, reply.Needed = m.overLocked(args.Holding), m.sched.Needed(args.Worker)
		reply.Selected, reply.Heartbeat = m.selectedLocked(args.Done), m.sched.Heartbeat()
		if expired || len(reply.Assign)+len(reply.Kill)+len(reply.Ended) > 0 {
			w.assign, w.kill = nil, nil // the scheduler gives the tasks beyond this answer again with the worker's next poll
			m.mu.Unlock()
			return reply, nil
		}
		wake := w.wake
		m.mu.Unlock()
		select {
		case <-wake:
		case <-timer.C:
			expired = true
		case <-ctx.Done():
			m.forgetRefused(args.Worker)
			return nil, ctx.Err()
		}
	}
}

// selectedLocked returns the reduce attempts of a report whose parts count.
func (m *Master) selectedLocked(done []wire.Outcome) (list []wire.AttemptID) {
	for _, o := range done {
		if o.Reduce == nil {
			continue
		}
		j, p := m.jobs[o.Attempt.Task.Job], o.Attempt.Task.Index
		if j != nil && p < len(j.parts[sched.Reduce]) && j.parts[sched.Reduce][p].is(o.Attempt.N) {
			list = append(list, o.Attempt)
		}
	}
	return list
}

// firstTasks returns as many of the tasks as fit one answer, at least one.
func firstTasks(list []wire.Task) []wire.Task {
	bytes := 0
	for i, t := range list {
		for _, p := range t.Split.Pieces {
			bytes += len(p.URL) + len(p.ETag) + pieceBytes
		}
		if i > 0 && bytes > maxReply {
			return list[:i]
		}
	}
	return list
}

// forgetRefused drops what is kept of a lost worker whose connection broke before it heard of its loss.
func (m *Master) forgetRefused(id sched.WorkerID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if w := m.workers[id]; w != nil && w.refused {
		delete(m.workers, id)
	}
}

// overLocked says which of the jobs that a worker keeps files of have ended.
func (m *Master) overLocked(holding []sched.JobID) (ended []sched.JobID) {
	for _, id := range holding {
		if j := m.jobs[id]; m.parked[id] == nil && (j == nil || !j.ended.IsZero()) {
			ended = append(ended, id)
		}
	}
	return ended
}

// forgetLostLocked drops what is kept of workers that the scheduler has lost. One that is to hear of it stays until it has.
func (m *Master) forgetLostLocked(effects []sched.Effect) {
	for _, e := range effects {
		if n, ok := e.(sched.Noted); ok && m.workers[n.Worker] != nil && !m.workers[n.Worker].refused && !m.sched.Known(n.Worker) {
			delete(m.workers, n.Worker)
		}
	}
}

func (m *Master) leave(ctx context.Context, args *wire.PollArgs) (*wire.PollReply, error) {
	err := m.step(ctx, sched.Leave{Worker: args.Worker}, func() bool {
		if w := m.workers[args.Worker]; w != nil {
			w.wakeLocked()
			delete(m.workers, args.Worker)
		}
		return true
	})
	if err != nil {
		return nil, refuse(wire.ErrShuttingDown, "poll", "the master is stopping")
	}
	return &wire.PollReply{Term: m.journal.Term().N}, nil
}

// workerName is a worker's name for people.
func (m *Master) workerName(id sched.WorkerID) string {
	if w := m.workers[id]; w != nil && w.name != "" {
		return w.name
	}
	return string(id)
}

// Job tells a worker what it must know of a job.
func (m *Master) Job(_ context.Context, args *wire.JobArgs) (*wire.JobReply, error) {
	if err := m.goesOn(args.Job); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	j, err := m.findLocked(args.Job)
	if err != nil {
		return nil, err
	}
	if !j.ended.IsZero() {
		return nil, refuse(wire.ErrJobEnded, fmt.Sprintf("job %s", j.id), "it has ended: "+j.state.String())
	}
	return &wire.JobReply{Spec: j.spec, Maps: j.plan.Maps, Sampled: j.sampled, Bounds: j.bounds, Work: j.work()}, nil
}

// Runs returns what is new in a job's run log, and waits for something new if there is nothing.
func (m *Master) Runs(ctx context.Context, args *wire.RunsArgs) (reply *wire.RunsReply, err error) {
	if err := m.goesOn(args.Job); err != nil {
		return nil, err
	}
	cursor := max(args.Cursor, 0)
	if args.Term != 0 && args.Term != m.term.N { // a worker of an older version does not say: its logs had one order
		cursor = 0
	}
	if args.Pause > 0 {
		err = m.await(ctx, args.Job, args.Pause, func(j *job, expired bool) (bool, error) {
			return expired || j.live >= j.plan.Maps || j.runs.len() >= cursor+clampPage(args.Max) || !j.ended.IsZero(), nil
		})
		if err != nil {
			return nil, err
		}
	}
	err = m.await(ctx, args.Job, args.Wait, func(j *job, expired bool) (bool, error) {
		from := min(cursor, j.runs.len())
		if from == j.runs.len() && !j.ended.IsZero() {
			return false, refuse(wire.ErrJobEnded, fmt.Sprintf("runs of job %s", j.id), "it has ended: "+j.state.String())
		}
		if from == j.runs.len() && !expired {
			return false, nil
		}
		reply = &wire.RunsReply{Term: m.term.N, Maps: j.plan.Maps}
		return true, j.runs.read(reply, from, clampPage(args.Max), args.Packed)
	})
	return reply, err
}

// Bounds of one answer, which must stay well under a frame of 4 MiB.
const (
	maxPage    = 2000    // items; run events have about 300 bytes, and a few more with a long URL
	maxReply   = 1 << 20 // bytes of texts, beyond which nothing is added; one more item may be as long as that
	pieceBytes = 48      // of a piece of a split, beside its texts: five numbers at most, and their marks
)

func clampPage(n int) int {
	if n <= 0 || n > maxPage {
		return maxPage
	}
	return n
}
