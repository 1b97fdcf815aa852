package worker

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/master/wire"
	"github.com/millrace/millrace/storage/manifest"
	"github.com/millrace/millrace/worker/laps"
	"github.com/millrace/millrace/worker/shuffle"
)

// runsWait is how long a reducer's question for new runs waits at the master, and runsPause how long the master gathers them
// while maps still run: at most that, and at most a share of the time that has passed, so that a short job is no longer for it.
const (
	runsWait       = 10 * time.Second
	runsPause      = 50 * time.Millisecond
	runsPauseShare = 10
	// slowPause is the time between two looks for runs that come too slowly.
	slowPause = 3 * time.Second
)

// runReduce is the reduce task:
//
//	runs of all maps, this partition's sections -> merged pairs -> the program's reduce function -> columns -> a pending part
//
// It begins while maps still run, and fetches what there is.
func (w *Worker) runReduce(ctx context.Context, a *attempt, job loaded) (out *wire.Outcome, err error) {
	slot := w.slotMemory()
	pairs := shuffle.NewReader(shuffle.ReaderOptions{
		Partition: a.task.Attempt.Task.Index, Memory: slot / sortShare, Dir: w.dir, Open: w.runs.Opener(w.runURL, w.o.Store), Laps: a.laps,
	})
	// The group ends with the reduce function, also when that needs no more pairs; a failure ends it by itself, so that
	// the first one is what Wait returns, and not that the others were cut off.
	serving, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	g, gctx := errgroup.WithContext(serving)
	g.Go(guard(func() error { return w.followRuns(gctx, a, pairs) }))
	g.Go(guard(func() error { return watchPace(gctx, a, pairs) }))
	g.Go(guard(func() error {
		err := pairs.Run(gctx)
		if context.Cause(serving) == errReduced { // it was cut off, and not missed
			return nil
		}
		return err
	}))
	g.Go(guard(func() (err error) {
		if out, err = w.reduceToPart(gctx, a, job, pairs); err == nil {
			stop(errReduced)
		}
		return err
	}))
	err = g.Wait() // a part whose pairs did not all come is none, whatever the reduce function made of it
	if e := pairs.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = ctx.Err()
	}
	if out != nil && err != nil { // given up over its last steps: nobody will hear of the part
		return nil, errors.Join(err, w.abortParts(context.WithoutCancel(ctx), out.Parts))
	}
	return out, err
}

// errReduced ends what only served the reduce function.
var errReduced = errors.New("reduced")

// followRuns tells the reader which runs there are, as the master's run log grows, until all maps have one.
func (w *Worker) followRuns(ctx context.Context, a *attempt, pairs *shuffle.Reader) error {
	args := &wire.RunsArgs{Job: a.task.Attempt.Task.Job, Wait: runsWait, Packed: true}
	for begun := time.Now(); ; {
		args.Pause = min(runsPause, time.Since(begun)/runsPauseShare)
		reply, err := persist(ctx, func() (*wire.RunsReply, error) { return w.o.Master.Runs(ctx, args) })
		switch {
		case context.Cause(ctx) == errReduced:
			return nil
		case err != nil:
			return fmt.Errorf("ask for runs: %w", err)
		}
		events, err := reply.All(args.Job)
		if err != nil {
			return fmt.Errorf("run log: %w", err)
		}
		pairs.Total(reply.Maps)
		for _, e := range events {
			if e.Lost {
				pairs.Lost(e.Attempt.Task.Index, e.Attempt.N)
			} else {
				pairs.Add(e.Attempt.Task.Index, e.Attempt.N, e.Run.URL, e.Run.Size, e.Run.Checksum)
			}
		}
		args.Cursor, args.Term = reply.Cursor, reply.Term
	}
}

// watchPace keeps an eye on runs that come too slowly, of which the attempt's progress tells.
func watchPace(ctx context.Context, a *attempt, pairs *shuffle.Reader) error {
	tick := time.NewTicker(slowPause)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if s, ok := pairs.Slow(); ok {
			a.slow.Store(&s)
		} else {
			a.slow.Store(nil)
		}
	}
}

// reduceToPart runs the reduce function over the merged pairs and writes its rows as Arrow files into pending uploads.
func (w *Worker) reduceToPart(ctx context.Context, a *attempt, job loaded, pairs *shuffle.Reader) (_ *wire.Outcome, err error) {
	defer a.laps.To(a.laps.To(laps.Write))
	parts := w.newParts(ctx, a, &job.reply.Spec)
	defer func() {
		if err != nil {
			err = parts.abort(err)
		}
	}()
	rows := parts.add(manifest.PartName(a.task.Attempt.Task.Index), job.code.Info().Schema, true)
	if err := rows.begin(); err != nil {
		return nil, err
	}
	own := w.scratch()
	defer own.remove()
	task := &jobs.Task{Reducers: job.reply.Spec.Reducers, Side: job.side, Index: a.task.Attempt.Task.Index, Scratch: own.folder}
	task.Sinks.Sides = parts.sides(job.code.Info(), func(output string) string { return manifest.SideName(output, a.task.Attempt.Task.Index) })
	in := &countedPairs{Reader: pairs, attempt: a}
	a.laps.To(laps.Reduce)
	if err := job.code.Reduce(ctx, task, in, rows); err != nil {
		return nil, err
	}
	a.laps.To(laps.Write)
	done, err := parts.finish()
	if err != nil {
		return nil, err
	}
	return &wire.Outcome{
		Reduce: &wire.ReduceResult{Groups: task.Groups}, Parts: done, Counters: task.Counters(), CountersCut: task.CountersCut(), Bytes: pairs.Fetched(), Spilled: pairs.Spilled(),
		Records: task.Records, Work: &wire.Work{Groups: task.Groups, Hot: hotKeys(task.Hot)},
	}, nil
}

// hotKeys fits a program's hot keys into a report.
func hotKeys(list []jobs.HotKey) (out []wire.HotKey) {
	for _, k := range list[:min(len(list), wire.MaxHotKeys)] {
		out = append(out, wire.HotKey{Key: strings.ToValidUTF8(k.Key[:min(len(k.Key), maxCounterName)], "?"), Pairs: k.Pairs})
	}
	return out
}

// countedPairs counts the attempt's progress: half of it is fetching, half is reducing.
type countedPairs struct {
	*shuffle.Reader
	attempt *attempt
	read    atomic.Int64
}

// Next implements jobs.PairSource.
func (p *countedPairs) Next() ([]byte, error) {
	b, err := p.Reader.Next()
	read := p.read.Add(int64(len(b)))
	p.attempt.bytes.Store(read)
	p.attempt.total.Store(max(read, p.Fetched()))
	return b, err
}
