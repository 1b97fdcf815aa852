package worker

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/master/wire"
	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/columns"
	"github.com/millrace/millrace/storage/input"
	"github.com/millrace/millrace/worker/laps"
	"github.com/millrace/millrace/worker/shuffle"
)

// errKilled is why an attempt's context ended when the master, or this worker's drain, gave it up.
var errKilled = errors.New("attempt given up")

// attempt is one running attempt.
type attempt struct {
	task   wire.Task
	killed bool // the master has said so; Worker.mu guards it
	cancel context.CancelCauseFunc
	bytes  atomic.Int64 // of its input so far
	total  atomic.Int64 // expected, 0 while unknown
	laps   *laps.Watch  // of the goroutine that runs the task's body
	meter  storage.Meter
	slow   atomic.Pointer[shuffle.SlowRun] // of a reduce attempt: what it waits for
	only   *int                            // of a replay: the one partition whose pairs a map attempt keeps
}

func (a *attempt) progress() wire.Progress {
	pr := wire.Progress{Attempt: a.task.Attempt, Bytes: a.bytes.Load(), Total: a.total.Load()}
	if s := a.slow.Load(); s != nil {
		pr.Slow, pr.Left = mapRun(pr.Attempt.Task.Job, s.Map, s.Attempt), s.Left
	}
	return pr
}

func mapRun(job wire.JobID, index, n int) wire.AttemptID {
	return wire.AttemptID{Task: wire.TaskID{Job: job, Phase: wire.Map, Index: index}, N: n}
}

// work completes what an attempt tells of its time and requests.
func (a *attempt) work(o *wire.Outcome) *wire.Work {
	w := o.Work
	if w == nil { // it failed
		w = new(wire.Work)
	}
	t := a.laps.Spent()
	w.Time = wire.Times{
		Wait: t[laps.Wait], Read: t[laps.Read], Map: t[laps.Map], Combine: t[laps.Combine], Sort: t[laps.Sort], Spill: t[laps.Spill],
		Fetch: t[laps.Fetch], Merge: t[laps.Merge], Reduce: t[laps.Reduce], Write: t[laps.Write], Other: t[laps.Other],
	}
	w.Requests, w.In, w.Out = a.meter.Requests(), a.meter.In(), a.meter.Out()
	return w
}

// jobState is what a worker keeps of a job: its description and code, asked for once.
type jobState struct {
	side  *sideInputs
	mu    sync.Mutex // held while asking, so that the attempts of a job ask once
	known loaded
	ended bool // it goes with its last attempt; Worker.mu guards it
}

// loaded is a job as an attempt sees it, from its begin to its end: another one may meanwhile ask anew.
type loaded struct {
	reply *wire.JobReply // never changed
	code  jobs.Program
	side  *jobs.SideData
}

// keepLocked returns a job's state, which is new to the worker the first time. From then on it asks whether the job has ended.
func (w *Worker) keepLocked(id wire.JobID) *jobState {
	js := w.jobs[id]
	if js == nil {
		js = &jobState{side: newSideInputs(&w.sideBytes)}
		w.jobs[id] = js
	}
	return js
}

// startLocked runs an attempt in a slot.
func (w *Worker) startLocked(ctx context.Context, attempts *crew, t wire.Task) {
	ctx, cancel := context.WithCancelCause(ctx)
	a := &attempt{task: t, cancel: cancel}
	w.running[t.Attempt] = a
	id := w.id
	js := w.keepLocked(t.Attempt.Task.Job)
	attempts.Go(func() {
		start := time.Now()
		a.laps = laps.Start()
		out := w.try(storage.WithMeter(ctx, &a.meter), a, js)
		cancel(nil)
		out.Attempt, out.Elapsed, out.Work = t.Attempt, time.Since(start), a.work(out)
		w.finished(id, out)
	})
}

// finished puts an outcome on its way to the master.
func (w *Worker) finished(id wire.WorkerID, out *wire.Outcome) {
	w.mu.Lock()
	defer w.mu.Unlock()
	job := out.Attempt.Task.Job
	if id != w.id { // an attempt of a former incarnation
		w.orphanLocked(out)
		if w.jobs[job] == nil {
			w.dropRuns(job)
		}
		return
	}
	delete(w.running, out.Attempt)
	if js := w.jobs[job]; js != nil && js.ended {
		w.dropLocked(job)
	}
	w.serial++
	w.done = append(w.done, report{w.serial, *out})
	select {
	case <-w.wake:
	default:
		close(w.wake)
	}
}

// try runs the task's body. It never panics: whatever goes wrong is the attempt's failure.
func (w *Worker) try(ctx context.Context, a *attempt, js *jobState) (out *wire.Outcome) {
	err := guard(func() error {
		job, err := js.load(ctx, w, a.task.Attempt.Task)
		if err == nil {
			job.side, err = js.side.load(ctx, w.o, a, job.reply.Spec.SideInputs)
		}
		if err == nil {
			out, err = w.body(ctx, a, job)
		}
		return err
	})()
	if err == nil {
		if err = checkCounters(out.Counters); err != nil {
			w.discard(ctx, []wire.Outcome{*out})
		}
	}
	if err != nil {
		return &wire.Outcome{Failure: failure(ctx, a, w.dir, err)}
	}
	return out
}

// guard makes a panic in f an error that tells where. Every goroutine of an attempt needs it: a panic that no one
// recovers ends the process, and with it the other attempts and all runs.
func guard(f func() error) func() error {
	return func() (err error) {
		defer func() {
			if r := recover(); r != nil {
				err = fmt.Errorf("millrace itself failed: %v: please report this\n%s", r, debug.Stack())
			}
		}()
		return f()
	}
}

func (w *Worker) body(ctx context.Context, a *attempt, job loaded) (*wire.Outcome, error) {
	switch phase := a.task.Attempt.Task.Phase; phase {
	case wire.Sample:
		return w.runSample(ctx, a, job)
	case wire.Map:
		return w.runMap(ctx, a, job)
	case wire.Reduce:
		return w.runReduce(ctx, a, job)
	default:
		return nil, fmt.Errorf("task %s: phase %d is not known to this worker: use the same millrace on both sides", a.task.Attempt, phase)
	}
}

// load asks for the job and loads its code, unless that is known. What is known from before the sample task is asked for
// again, since the boundaries come from it.
func (js *jobState) load(ctx context.Context, w *Worker, id wire.TaskID) (loaded, error) {
	js.mu.Lock()
	defer js.mu.Unlock()
	if k := js.known; k.reply != nil && (k.reply.Sampled || id.Phase == wire.Sample) {
		return k, nil
	}
	reply, err := persist(ctx, func() (*wire.JobReply, error) { return w.o.Master.Job(ctx, &wire.JobArgs{Job: id.Job}) })
	if err != nil {
		return loaded{}, err
	}
	if err := w.o.Allow.Check(reply.Spec, "this worker"); err != nil {
		return loaded{}, codeError{err}
	}
	code, err := w.o.Programs.Load(reply.Spec)
	if err != nil {
		return loaded{}, codeError{err}
	}
	js.known = loaded{reply: reply, code: code}
	return js.known, nil
}

// codeError is a job's code that this worker does not have, or may not run: in the midst of an upgrade another worker may.
type codeError struct{ error }

func (e codeError) Unwrap() error { return e.error }

// failure says whose fault an error is, of an attempt on a worker whose temporary files lie in dir. Its text is fit for a report.
func failure(ctx context.Context, a *attempt, dir string, err error) *wire.Failure {
	f := &wire.Failure{Kind: wire.FailTask, Text: err.Error()}
	var fetch *shuffle.FetchError
	var record *jobs.RecordError
	switch {
	case ctx.Err() != nil:
		f.Kind = wire.FailReturned
		f.Text = "given up"
	case wire.Again(err):
		f.Kind = wire.FailReturned // no master leads: no fault of the task's
	case errors.As(err, &fetch):
		f.Kind = wire.FailFetch
		if fetch.Unreached {
			f.Kind = wire.FailReach
		}
		f.Run = mapRun(a.task.Attempt.Task.Job, fetch.Map, fetch.Attempt)
	case errors.Is(err, storage.ErrChanged):
		f.Kind = wire.FailJob
		f.Text = err.Error() + ": run the job again when nothing writes to its input"
	case errors.Is(err, input.ErrRecord), errors.Is(err, columns.ErrUnreadable), errors.Is(err, jobs.ErrColumns), errors.Is(err, jobs.ErrRejects),
		errors.Is(err, jobs.ErrHeld), errors.Is(err, jobs.ErrSideInput):
		// The same bytes will be as long the next time, and as damaged.
		f.Kind = wire.FailJob
	case errors.As(err, new(codeError)):
		f.Kind = wire.FailWorker
	case inDir(dir, err):
		f.Kind = wire.FailWorker
		f.Text = err.Error() + ": " + mend(err)
	case errors.As(err, &record) && record.Stack != "":
		f.Text += "\n" + record.Stack
	}
	f.Text = cutText(f.Text)
	return f
}

// mend says what to do about an error of a worker's own file.
func mend(err error) string {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return "make room there, or start the worker with another --temp-dir"
	case errors.Is(err, fs.ErrNotExist):
		return "something removed the worker's temporary folder: start the worker again"
	default:
		return "see that the worker may write there, or start it with another --temp-dir"
	}
}

// inDir says whether an error is one of a file in a folder: the worker's own, which no other worker would meet.
func inDir(dir string, err error) bool {
	file, ok := errors.AsType[*fs.PathError](err)
	if !ok {
		return false
	}
	name, err := filepath.Rel(dir, file.Path)
	return err == nil && filepath.IsLocal(name)
}
