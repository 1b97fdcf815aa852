package jobs

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// walk is a map attempt on its way over the records.
type walk struct {
	failed
	task  *Task
	block string // URL of the block
	at    int64  // offset of the record
	from  int64  // what it counts from: the block's
	rows  bool   // it is the number of a row
	sieve *sieve // nil unless records are set aside
	trial *trial // the sieve's, or nil
}

// here is where the walk is, for an error.
func (w *walk) here() RecordError {
	at := RecordError{URL: w.block, Offset: w.at, From: w.from, Row: w.rows}
	if w.trial != nil && w.trial.settling { // the record before it
		at.Offset = w.trial.mark
	}
	return at
}

// over runs the map function over all blocks of in, by each, which sets w.at, and ends with last. Both may leave by fail or a
// panic. after is called after each block.
func (w *walk) over(ctx context.Context, in BlockSource, inputs []Input, each func(Block) (records int64, err error), after, last func()) error {
	if err := w.task.openSides(&w.failed, w.here); err != nil {
		return err
	}
	defer w.task.closeSides()
	if w.trial != nil {
		w.task.trySides(w.trial)
	}
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		b, err := in.Next()
		if err == io.EOF {
			return w.guard(func() error {
				w.trial.end()
				last()
				w.task.flushSides()
				w.sieve.flush()
				return nil
			})
		}
		if err != nil {
			return err
		}
		if b.Input < 0 || b.Input >= len(inputs) {
			return fmt.Errorf("map %s: a block of input %d of a job that has %d", b.URL, b.Input, len(inputs))
		}
		if length := inputs[b.Input].Format.Length; length > 0 && len(b.Data)%length != 0 {
			return fmt.Errorf("map %s at byte %d: a block of %d bytes is no whole number of %d-byte records", b.URL, b.Offset, len(b.Data), length)
		}
		w.block, w.at, w.from, w.rows = b.URL, b.Offset, b.From, len(b.Schema.Fields) > 0
		if w.sieve != nil {
			err = w.sift(b, inputs[b.Input].Format, each)
		} else {
			err = w.guard(func() error { return w.mapBlock(b, each) })
		}
		after()
		if err != nil {
			return err
		}
	}
}

// guard makes a panic of f the attempt's error. It is set up once a block, not once a record.
func (w *walk) guard(f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = w.caught(r, w.here())
		}
	}()
	return f()
}

// mapBlock runs the map function over a block.
func (w *walk) mapBlock(b Block, each func(Block) (int64, error)) error {
	records, err := each(b)
	w.task.Records += records
	if w.err != nil { // the user's function went on after an error, or recovered it
		return w.err
	}
	if err != nil {
		at := w.here()
		at.Err = err
		return &at
	}
	return nil
}

// errNoSink is an engine that has no place for rows.
var errNoSink = errors.New("the engine gives its rows no sink")
