package worker

import (
	"context"
	"io"

	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/jobs/plan"
	"github.com/millrace/millrace/master/wire"
	"github.com/millrace/millrace/storage/columns"
	"github.com/millrace/millrace/storage/encoding"
	"github.com/millrace/millrace/storage/input"
	"github.com/millrace/millrace/worker/laps"
)

// blockReader reads some pieces of a split.
type blockReader interface {
	jobs.BlockSource
	Bytes() int64 // how much of the pieces' length the program is done with
	Close() error
}

// splitBlocks is a split's blocks on their way to the program; it counts the attempt's progress. Pieces of bytes and pieces of
// columns, which a split holds both of only where it is a sample, have readers of their own, one after the other.
type splitBlocks struct {
	attempt *attempt
	open    []func() blockReader // of the readers to come
	now     blockReader          // or nil
	before  int64                // bytes of the readers before it
}

// openSplit starts reading the attempt's split.
func (w *Worker) openSplit(ctx context.Context, a *attempt, job loaded) *splitBlocks {
	info := job.code.Info()
	b := &splitBlocks{attempt: a}
	pieces := a.task.Split.Pieces
	var total int64
	for i := 0; i < len(pieces); {
		begin, kind := i, inColumns(pieces[i], info)
		for ; i < len(pieces) && inColumns(pieces[i], info) == kind; i++ {
			total += pieces[i].Length
		}
		alike := pieces[begin:i]
		b.open = append(b.open, func() blockReader {
			if kind {
				return w.openColumns(ctx, a, alike, info)
			}
			return w.openBytes(ctx, alike, info, job.reply.Spec)
		})
	}
	a.total.Store(total)
	b.next() // it reads ahead at once
	return b
}

func inColumns(p plan.Piece, info jobs.Info) bool {
	return info.Inputs[p.Input].Format.Kind == jobs.FormatColumns
}

// next goes on to the next reader; it reports whether there is one.
func (b *splitBlocks) next() bool {
	if len(b.open) == 0 {
		return false
	}
	b.now, b.open = b.open[0](), b.open[1:]
	return true
}

// Next implements jobs.BlockSource.
func (b *splitBlocks) Next() (jobs.Block, error) {
	for b.now != nil {
		was := b.attempt.laps.To(laps.Read)
		block, err := b.now.Next()
		b.attempt.laps.To(was)
		b.attempt.bytes.Store(b.Bytes())
		if err != io.EOF {
			return block, err
		}
		done := b.Bytes()
		if len(b.open) == 0 {
			return jobs.Block{}, io.EOF
		}
		if err := b.now.Close(); err != nil {
			return jobs.Block{}, err
		}
		b.before = done
		b.next()
	}
	return jobs.Block{}, io.EOF
}

// Bytes returns how much of the split the program is done with.
func (b *splitBlocks) Bytes() int64 {
	if b.now == nil {
		return b.before
	}
	return b.before + b.now.Bytes()
}

// Close ends the reading.
func (b *splitBlocks) Close() error {
	b.open = nil
	if b.now == nil {
		return nil
	}
	return b.now.Close()
}

// cut is where the records of the split begin and end, if the master must know.
func (b *splitBlocks) cut() *wire.Cut {
	if r, ok := b.now.(byteBlocks); ok {
		if c := r.Cut(); c != nil {
			return &wire.Cut{First: c.First, Next: c.Next}
		}
	}
	return nil
}

// byteBlocks are blocks of records of bytes.
type byteBlocks struct{ *input.Reader }

func (w *Worker) openBytes(ctx context.Context, pieces []plan.Piece, info jobs.Info, spec plan.Spec) blockReader {
	in := make([]input.Piece, len(pieces))
	for i, p := range pieces {
		in[i] = inputPiece(p, info.Inputs[p.Input].Format)
		in[i].Raw = !spec.Decompresses(info.Inputs[p.Input].Format)
	}
	o := w.inputOptions()
	o.Unpacked.Plain = spec.MaxDecompressed
	return byteBlocks{input.Open(ctx, w.o.Store, in, o)}
}

// readAheadShare is the part of a slot's memory for blocks that are read ahead of the computation, and readBlock the size of
// one, bytes. More than maxReadAhead of them hide no more latency.
const (
	readAheadShare = 16
	readBlock      = 1 << 20
	maxReadAhead   = 16
)

// What compressed data may refer back to lies in memory: a share of a slot's, at least what any zstd decoder must have, and at
// most what its command line program takes without being asked to.
const (
	windowShare = 8
	leastWindow = 8 << 20
	mostWindow  = 128 << 20
)

// inputOptions fits the reading ahead to a slot's memory.
func (w *Worker) inputOptions() input.Options {
	slot := w.slotMemory()
	return input.Options{
		BlockSize: readBlock, ReadAhead: int(min(max(slot/readAheadShare/readBlock, 1), maxReadAhead)),
		Unpacked: encoding.Limits{Window: min(max(slot/windowShare, leastWindow), mostWindow)},
	}
}

func inputPiece(p plan.Piece, f jobs.Format) input.Piece {
	return input.Piece{
		URL: p.URL, ETag: p.ETag, Size: p.Size, Offset: p.Offset, Length: p.Length, Input: p.Input,
		Format:   input.Format{Kind: input.Kind(f.Kind), Length: f.Length, Comma: f.Comma, Quotes: !f.NoQuotes, Header: !f.NoHeader},
		Encoding: encoding.Kind(p.Encoding), Most: p.Most, Every: p.Every,
	}
}

func (b byteBlocks) Next() (jobs.Block, error) {
	block, err := b.Reader.Next()
	if err != nil {
		return jobs.Block{}, err
	}
	return jobs.Block{URL: block.URL, Input: block.Input, Offset: block.Offset, From: block.From, Data: block.Data, Header: block.Header}, nil
}

// columnBlocks are blocks of rows.
type columnBlocks struct{ *columns.Reader }

// columnShare is the part of a slot's memory for reading a file of columns: what is decompressed of it, and the batch of rows that
// the program works on.
const columnShare = 4

func (w *Worker) openColumns(ctx context.Context, a *attempt, pieces []plan.Piece, info jobs.Info) blockReader {
	in := make([]columns.Piece, len(pieces))
	for i, p := range pieces {
		in[i] = columns.Piece{
			URL: p.URL, ETag: p.ETag, Size: p.Size, Offset: p.Offset, Length: p.Length, Input: p.Input,
			Columns: info.Inputs[p.Input].Format.Columns,
		}
	}
	return columnBlocks{columns.Open(ctx, w.o.Store, in, columns.Options{
		Memory: w.slotMemory() / columnShare,
		Sample: a.task.Attempt.Task.Phase == wire.Sample,
		Counts: &w.counts,
	})}
}

func (b columnBlocks) Next() (jobs.Block, error) {
	block, err := b.Reader.Next()
	if err != nil {
		return jobs.Block{}, err
	}
	return jobs.Block{
		URL: block.URL, Input: block.Input, Offset: block.Row, Schema: jobsSchema(block.Schema),
		Columns: jobs.Columns{Rows: block.Batch.Rows, Columns: jobsColumns(block.Batch.Columns)},
	}, nil
}
