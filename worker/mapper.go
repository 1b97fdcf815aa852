package worker

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/master/wire"
	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/input"
	"github.com/millrace/millrace/storage/manifest"
	"github.com/millrace/millrace/worker/laps"
	"github.com/millrace/millrace/worker/shuffle"
)

// How a slot's memory is shared out. The rest is blocks in flight, the runtime's own and room for garbage.
const (
	tableShare = 4 // the program's combine table gets a 4th
	sortShare  = 2 // the sort buffer, or a reducer's fetched runs, half
	// maxTable bounds the combine table, bytes: one much larger than the caches costs more than it saves, and only a full
	// one can find out that it saves nothing.
	maxTable = 32 << 20
)

// tableMemory is what the combine table of an attempt may take.
func (w *Worker) tableMemory() int64 { return min(w.slotMemory()/tableShare, maxTable) }

// runMap is the map task:
//
//	split -> blocks of whole records -> the program's map function -> pairs, partitioned, combined and sorted -> one run
//	                                                               -> rows of side outputs -> pending parts
//
// In a job of maps only there are no pairs and no run, and the job's rows go into a part.
func (w *Worker) runMap(ctx context.Context, a *attempt, job loaded) (out *wire.Outcome, err error) {
	info := job.code.Info()
	blocks := w.openSplit(ctx, a, job)
	defer blocks.Close()
	parts := w.newParts(ctx, a, &job.reply.Spec)
	defer func() {
		if err == nil && len(out.Parts) > 0 {
			err = ctx.Err() // given up over its last steps: nobody will hear of the parts
		}
		if err != nil {
			out, err = nil, parts.abort(err)
		}
	}()
	index, own := a.task.Attempt.Task.Index, w.scratch()
	defer own.remove()
	task := &jobs.Task{Reducers: job.reply.Spec.Reducers, Memory: w.tableMemory(), Side: job.side, Index: index, Scratch: own.folder}
	if info.MapOnly {
		rows := parts.add(manifest.PartName(index), info.Schema, true)
		if err := rows.begin(); err != nil {
			return nil, err
		}
		task.Sinks.Rows = rows
	}
	task.Sinks.Sides = parts.sides(info, func(output string) string { return manifest.MapSideName(output, index) })
	if skip := job.reply.Spec.SkipBad; skip.Any() {
		task.MaxRejected = skip.Most()
		task.Sinks.Rejected = parts.add(manifest.MapSideName(manifest.Rejected, index), jobs.RejectedSchema(), false)
	}
	out = &wire.Outcome{}
	if info.MapOnly {
		a.laps.To(laps.Map)
		if err := job.code.Map(ctx, task, blocks, nil); err != nil {
			return nil, a.guessed(info, err)
		}
		a.laps.To(laps.Write)
		out.Parts, err = parts.finish()
	} else {
		err = w.mapToRun(ctx, a, job, task, blocks, parts, out)
	}
	a.laps.To(laps.Other)
	if err != nil {
		return nil, err
	}
	out.Counters, out.CountersCut, out.Records, out.Bytes = task.Counters(), task.CountersCut(), task.Records, blocks.Bytes()
	out.FirstRejected = task.FirstRejected
	out.Cut, out.Work = blocks.cut(), &wire.Work{Emitted: task.Pairs}
	return out, nil
}

// mapToRun maps the blocks to pairs and writes these as a run.
func (w *Worker) mapToRun(ctx context.Context, a *attempt, job loaded, task *jobs.Task, blocks *splitBlocks, parts *parts, out *wire.Outcome) error {
	opts := shuffle.WriterOptions{
		Partitions: job.reply.Spec.Reducers, Memory: w.slotMemory() / sortShare, Dir: w.dir, Buffers: &w.buffers, Laps: a.laps,
	}
	info := job.code.Info()
	switch {
	case info.Partitions:
		opts.By = shuffle.ByBatch
	case info.TotalOrder:
		opts.By, opts.Bounds = shuffle.ByBounds, job.reply.Bounds
	}
	if info.Combines {
		opts.CombineBatch = info.CombineBatch
		opts.Combine = func(in, out []byte) ([]byte, error) {
			defer a.laps.To(a.laps.To(laps.Combine))
			return job.code.Combine(ctx, task, in, out)
		}
	}
	pairs, err := shuffle.NewWriter(opts)
	if err != nil {
		return err
	}
	defer pairs.Close()

	a.laps.To(laps.Map)
	if err := job.code.Map(ctx, task, blocks, a.keep(pairs, opts)); err != nil {
		return a.guessed(info, err)
	}
	a.laps.To(laps.Write)
	if out.Parts, err = parts.finish(); err != nil {
		return err
	}
	if out.Map, err = w.writeRun(ctx, a, job, pairs); err != nil {
		return err
	}
	out.Spilled = pairs.Spilled()
	return nil
}

// guessed adds to the error of a record of CSV, read from amid an object, that the reader guessed where records begin there: a wrong
// guess makes records that are none. Whether it was, the master knows only when the split before has been read.
func (a *attempt) guessed(info jobs.Info, err error) error {
	p := a.task.Split.Pieces[0]
	f := info.Inputs[p.Input].Format
	if p.Offset == 0 || f.Kind != jobs.FormatCSV || f.NoQuotes || !errors.Is(err, input.ErrRecord) && !errors.Is(err, jobs.ErrRejects) && !errors.As(err, new(*jobs.RecordError)) {
		return err
	}
	return fmt.Errorf("%w (its split begins at byte %d, amid the object, and whether that is in quotes was guessed: if there is no such record, "+
		"a split size of at least %d bytes (--split-size) reads the object in one piece, and so does CSVOptions.WholeFiles in the job's code)", err, p.Offset, p.Size)
}

// writeRun merges the pairs to one run: in a file that this worker serves from, or an object in the job's work folder.
func (w *Worker) writeRun(ctx context.Context, a *attempt, job loaded, pairs *shuffle.Writer) (*wire.MapResult, error) {
	if job.reply.Spec.Shuffle == "bucket" {
		return w.writeBucketRun(ctx, a, job, pairs)
	}
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	id := hex.EncodeToString(b[:])
	f, err := w.runs.Create(string(a.task.Attempt.Task.Job), w.dir)
	if err != nil {
		return nil, fmt.Errorf("write run: %w", err)
	}
	sum, err := pairs.Finish(ctx, f)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("write run: %w", err), f.Abandon())
	}
	if err := f.Keep(id, sum.Largest); err != nil {
		return nil, err
	}
	return &wire.MapResult{URL: w.runURL + "/runs/" + id, Size: sum.Size, Checksum: sum.Checksum, Pairs: sum.Pairs}, nil
}

// writeBucketRun puts the run into the bucket, where it outlives the worker. Nothing else ever writes this attempt's key.
func (w *Worker) writeBucketRun(ctx context.Context, a *attempt, job loaded, pairs *shuffle.Writer) (*wire.MapResult, error) {
	t := a.task.Attempt
	url := fmt.Sprintf("%s/map-%05d.%d.run", job.reply.Work, t.Task.Index, t.N)
	up, err := w.o.Store.Create(ctx, url, storage.UploadOptions{})
	if err != nil {
		return nil, fmt.Errorf("write run: %w", err)
	}
	sum, err := pairs.Finish(ctx, up)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("write run: %w", err), up.Abort(context.WithoutCancel(ctx)))
	}
	pending, err := up.Finish(ctx)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("write run: %w", err), up.Abort(context.WithoutCancel(ctx)))
	}
	err = w.o.Store.Complete(ctx, pending)
	if cause := ctx.Err(); cause != nil { // nobody will hear of the run, and the job's own sweep may be over
		ctx := context.WithoutCancel(ctx)
		return nil, errors.Join(cause, w.o.Store.Abort(ctx, pending), w.o.Store.Remove(ctx, url))
	}
	if err != nil {
		return nil, fmt.Errorf("write run: %w", err)
	}
	return &wire.MapResult{URL: url, Size: sum.Size, Checksum: sum.Checksum, Pairs: sum.Pairs}, nil
}
