package worker

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/millrace/millrace/master/wire"
)

// answered is a poll that came back.
type answered struct {
	worker wire.WorkerID // that asked: not the one that this worker is now if it was declared lost meanwhile
	seq    uint64
	serial uint64 // outcomes up to this one went with it
	rest   bool   // there were more
	sent   time.Time
	reply  *wire.PollReply
	err    error
}

// maxPolls bounds the polls under way: one that waits for work, and one that overtakes it because there is something to
// report.
const maxPolls = 2

// maxHeartbeat bounds how long a master may have a worker wait between two polls: it may lose its memory meanwhile.
const maxHeartbeat = 30 * time.Second

// retryPoll is the pause after a poll that failed; the client has already tried every address.
const retryPoll = 200 * time.Millisecond

// poll is the conversation with the master: it ends when ctx does or the worker has drained. It waits for the attempts' ends.
func (w *Worker) poll(ctx context.Context) error {
	actx, cancel := context.WithCancel(ctx)
	attempts := newCrew()
	defer func() {
		cancel()
		attempts.Wait()
	}()
	var (
		replies  = make(chan answered, maxPolls)
		flying   int
		start    = true // send a poll
		due      bool   // an answer brought something since the last poll was sent; the answer that it overtook may come after it
		next     <-chan time.Time
		drain    = w.drain
		handback <-chan time.Time
	)
	for {
		w.mu.Lock()
		if start && flying < maxPolls {
			args, serial, rest := w.pollArgs(drain == nil)
			flying++
			start, due, next = false, false, nil
			attempts.Go(func() { replies <- w.ask(ctx, args, serial, rest) })
		}
		wake := w.wake // made anew by pollArgs: what comes later is not in that report
		if start {
			wake = nil // it has been heard, and must wait for an answer
		}
		w.mu.Unlock()
		select {
		case <-ctx.Done():
			return nil
		case <-drain:
			drain, start = nil, true
			handback = time.After(w.o.Drain)
		case <-handback:
			cancel() // the attempts come back as returned
		case <-wake:
			start = true
		case <-next:
			start = true
		case a := <-replies:
			flying--
			if !w.goOn(ctx, a.err, drain == nil) {
				return nil
			}
			free, news := w.take(actx, attempts, a)
			if free && drain == nil {
				w.leave(ctx)
				return nil
			}
			early := w.o.Poll - time.Since(a.sent)
			due = due || news || a.rest || early <= 0
			switch {
			case a.rest, due && flying == 0:
				start = true
			case flying == 0: // say, an order to kill what takes its time to die: asking on at once would change nothing
				next = time.After(early)
			}
		}
	}
}

// ask sends one poll and waits for its answer.
func (w *Worker) ask(ctx context.Context, args *wire.PollArgs, serial uint64, rest bool) answered {
	sent := time.Now()
	reply, err := w.o.Master.Poll(ctx, args)
	return answered{args.Worker, args.Seq, serial, rest, sent, reply, err}
}

// goOn says whether there is a master to talk to. After a poll that got no answer it waits a little first; that the worker
// was declared lost is an answer.
func (w *Worker) goOn(ctx context.Context, err error, draining bool) bool {
	switch {
	case err == nil || errors.Is(err, wire.ErrWorkerLost):
		return true
	case draining && errors.Is(err, wire.ErrUnreachable):
		w.o.Log.Warn("the master is gone: nobody needs this worker's runs", "error", err)
		return false
	}
	w.o.Log.Warn("poll", "error", err)
	return pause(ctx, retryPoll)
}

// persist asks the master until it gets an answer or ctx ends. That no master leads for a while, however long, is no fault of
// the attempt that asks, and no reason to throw its work away.
func persist[R any](ctx context.Context, ask func() (*R, error)) (*R, error) {
	for {
		reply, err := ask()
		if err == nil || ctx.Err() != nil || !wire.Again(err) || !pause(ctx, retryPoll) {
			return reply, err
		}
	}
}

// pause waits, and says whether ctx lives on.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// take applies an answer. It says whether a draining worker may go, and whether the answer brought anything new.
func (w *Worker) take(ctx context.Context, attempts *crew, a answered) (free, news bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if a.worker != w.id {
		return false, true
	}
	if errors.Is(a.err, wire.ErrWorkerLost) {
		w.loseAllLocked()
		return false, true
	}
	if a.err != nil {
		return false, true
	}
	w.heartbeat = min(max(a.reply.Heartbeat, 0), maxHeartbeat)
	w.done = slices.DeleteFunc(w.done, func(r report) bool { return r.serial <= a.serial })
	if selected := a.reply.Selected; len(selected) > 0 {
		attempts.Go(func() { w.release(selected) })
	}
	for _, id := range a.reply.Kill {
		w.had[id] = true          // also if it comes only now, in an answer that this one overtook
		w.keepLocked(id.Task.Job) // whose end drops what was had of it
		if at := w.running[id]; at != nil && !at.killed {
			at.cancel(errKilled)
			at.killed, news = true, true
		}
	}
	for _, id := range a.reply.Ended {
		w.endLocked(ctx, attempts, id)
		news = true
	}
	for _, t := range a.reply.Assign {
		if !w.had[t.Attempt] {
			w.had[t.Attempt] = true
			w.startLocked(ctx, attempts, t)
			news = true
		}
	}
	free = len(w.running) == 0 && len(w.done) == 0 && !a.reply.Needed && a.seq == w.seq
	return free, news
}

// loseAllLocked gives up everything: the master has declared the worker lost, so its attempts and runs count no more.
func (w *Worker) loseAllLocked() {
	w.o.Log.Warn("declared lost by the master: starting anew", "worker", w.id)
	for _, a := range w.running {
		a.cancel(errKilled)
	}
	for _, r := range w.done {
		w.orphanLocked(&r.outcome)
	}
	for id, js := range w.jobs {
		w.dropRuns(id)
		js.side.drop()
	}
	w.reset()
}

// orphanLocked remembers a result of a former incarnation that lies in a bucket. The master may have selected it before it
// lost the worker, so it can go only when its job has ended.
func (w *Worker) orphanLocked(o *wire.Outcome) {
	if w.inBucket(o) {
		w.orphans[o.Attempt.Task.Job] = append(w.orphans[o.Attempt.Task.Job], *o)
	}
}

// inBucket says whether an outcome's result lies outside of the worker, where nothing but an order removes it.
func (w *Worker) inBucket(o *wire.Outcome) bool {
	return len(o.Parts) > 0 || w.runInBucket(o)
}

func (w *Worker) runInBucket(o *wire.Outcome) bool {
	return o.Map != nil && !strings.HasPrefix(o.Map.URL, w.runURL)
}

// discardTimeout bounds the removal of results that nobody needs: a store that hangs must not keep a worker from its end.
const discardTimeout = 30 * time.Second

// discard removes results in a bucket that count no more, also when the worker is being ended. A part that was committed
// has no upload left, and stays.
func (w *Worker) discard(ctx context.Context, outcomes []wire.Outcome) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), discardTimeout)
	defer cancel()
	for _, o := range outcomes {
		err := w.abortParts(ctx, o.Parts)
		if w.runInBucket(&o) { // any other goes with the job's runs
			err = errors.Join(err, w.o.Store.Remove(ctx, o.Map.URL))
		}
		if err != nil {
			w.o.Log.Warn("remove what an attempt made in vain", "attempt", o.Attempt.String(), "error", err)
		}
	}
}

// endLocked gives up what is left of an ended job.
func (w *Worker) endLocked(ctx context.Context, attempts *crew, id wire.JobID) {
	if list := w.orphans[id]; list != nil {
		delete(w.orphans, id)
		attempts.Go(func() { w.discard(ctx, list) })
	}
	js := w.jobs[id]
	if js == nil {
		return
	}
	js.ended = true
	for _, a := range w.running {
		if a.task.Attempt.Task.Job == id {
			a.cancel(errKilled)
		}
	}
	w.dropLocked(id)
}

// dropLocked forgets an ended job, its runs and code, unless an attempt of it has not ended yet.
func (w *Worker) dropLocked(id wire.JobID) {
	for _, a := range w.running {
		if a.task.Attempt.Task.Job == id {
			return
		}
	}
	w.dropRuns(id)
	if js := w.jobs[id]; js != nil {
		js.side.drop()
	}
	delete(w.jobs, id)
	maps.DeleteFunc(w.had, func(a wire.AttemptID, _ bool) bool { return a.Task.Job == id })
}

// dropRuns removes a job's runs. What cannot be removed now goes with the worker's folder.
func (w *Worker) dropRuns(id wire.JobID) {
	if err := w.runs.Drop(string(id)); err != nil {
		w.o.Log.Warn("remove runs", "job", id, "error", err)
	}
}

// release gives back what the runs here held for reduce tasks whose parts the master has selected.
func (w *Worker) release(selected []wire.AttemptID) {
	for _, a := range selected {
		if err := w.runs.Release(string(a.Task.Job), a.Task.Index); err != nil {
			w.o.Log.Warn("release runs", "task", a.Task.String(), "error", err)
		}
	}
}

// leave tells the master that the worker is gone, so that it need not wait for the lease to end.
func (w *Worker) leave(ctx context.Context) {
	w.mu.Lock()
	args, _, _ := w.pollArgs(true)
	w.mu.Unlock()
	args.Leaving = true
	if _, err := w.o.Master.Poll(ctx, args); err != nil {
		w.o.Log.Warn("leave", "error", err)
	}
}
