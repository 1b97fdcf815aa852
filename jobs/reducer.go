package jobs

import (
	"bytes"
	"context"
	"fmt"
	"io"
)

// reducer is one reduce attempt: it streams the groups of sorted pairs past the reduce function.
type reducer[K, V, Out any] struct {
	failed
	stream[V]
	fetch  func() ([]byte, error) // the next batch
	keys   coder[K]
	values coder[V]
	rows   *rowWriter[Out]

	rest  []byte // of the batch, after the current pair
	key   []byte // of the current group
	data  []byte // of the current pair: its value
	have  bool   // the current pair is not consumed yet
	next  []byte // key of the current pair, when it begins the next group
	ended bool   // no pair is left
}

func (p *typed[R, K, V, Out]) reduceGroups(ctx context.Context, t *Task, in PairSource, out RowSink) (err error) {
	r := &reducer[K, V, Out]{
		keys:   newCoder[K](p.keys),
		values: newCoder[V](p.values),
		fetch: func() ([]byte, error) {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			return in.Next()
		},
	}
	r.rows = newRowWriter[Out](p.rows, out, &r.failed, t, func() string { return r.keys.print(r.key) })
	defer func() {
		if e := recover(); e != nil {
			err = r.caught(e, RecordError{Key: r.keys.print(r.key)})
		}
	}()
	if err := r.run(t, p.reduce); err != nil {
		return err
	}
	r.rows.flush()
	return nil
}

func (r *reducer[K, V, Out]) run(t *Task, reduce func(K, Values[V], func(Out)) error) error {
	r.value = r.nextValue
	emit := r.rows.emit // a closure for all groups
	r.advance()
	for !r.ended {
		r.key = r.next
		key, err := r.keys.decode(r.key)
		if err != nil {
			return fmt.Errorf("reduce: %w", err)
		}
		t.Groups++
		r.open++
		err = reduce(key, Values[V]{&r.stream, r.open}, emit)
		if r.err != nil { // the user's function went on after an error, or recovered it
			return r.err
		}
		if err != nil {
			return &RecordError{Key: printKey(key), Err: err}
		}
		for r.more() { // what the function did not range over
			r.have = false
		}
	}
	return nil
}

// nextValue gives the next value of the current group.
func (r *reducer[K, V, Out]) nextValue() (v V, ok bool) {
	r.check()
	if !r.more() {
		return v, false
	}
	r.have = false
	v, err := r.values.decode(r.data)
	if err != nil {
		r.fail(&RecordError{Key: r.keys.print(r.key), Err: fmt.Errorf("a value cannot be decoded: %w", err)})
	}
	return v, true
}

// more reports whether the current group has a pair that is not consumed, fetching the next if need be.
func (r *reducer[K, V, Out]) more() bool {
	if !r.have && !r.ended {
		r.advance()
	}
	return !r.ended && bytes.Equal(r.next, r.key)
}

// advance goes to the next pair. An error of the engine ends the attempt with that error.
func (r *reducer[K, V, Out]) advance() {
	for len(r.rest) == 0 {
		batch, err := r.fetch()
		if err == io.EOF {
			r.ended = true
			return
		}
		if err != nil {
			r.fail(err)
		}
		r.rest = batch
		r.next = nil // the first pair of a batch spells out its key
	}
	key, value, rest, err := CutPair(r.rest, r.next)
	if err != nil {
		r.fail(fmt.Errorf("reduce: %w", err))
	}
	r.next, r.data, r.rest, r.have = key, value, rest, true
}
