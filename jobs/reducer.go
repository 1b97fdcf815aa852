package jobs

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
)

// reducer is one reduce attempt: it streams the groups of sorted pairs past the reduce function.
type reducer[K, V, Out any] struct {
	failed
	fetch  func() ([]byte, error) // the next batch
	keys   coder[K]
	values coder[V]
	rows   *rowWriter[Out]

	rest   []byte // of the batch, after the current pair
	key    []byte // of the current group
	open   int64  // number of the current group
	ranged int64  // number of the group whose values were last ranged over
	value  []byte // of the current pair
	have   bool   // the current pair is not consumed yet
	next   []byte // key of the current pair, when it begins the next group
	ended  bool   // no pair is left
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

func (r *reducer[K, V, Out]) run(t *Task, reduce func(K, iter.Seq[V], func(Out)) error) error {
	r.advance()
	for !r.ended {
		r.key = r.next
		key, err := r.keys.decode(r.key)
		if err != nil {
			return fmt.Errorf("reduce: %w", err)
		}
		t.Groups++
		r.open = t.Groups
		err = reduce(key, r.group(), r.rows.emit)
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

// group yields the values of the current group, once.
func (r *reducer[K, V, Out]) group() iter.Seq[V] {
	open := r.open
	return func(yield func(V) bool) {
		r.check()
		if open != r.open || open == r.ranged {
			panic(errRangedTwice)
		}
		r.ranged = open
		for r.more() {
			r.have = false
			v, err := r.values.decode(r.value)
			if err != nil {
				r.fail(&RecordError{Key: r.keys.print(r.key), Err: fmt.Errorf("a value cannot be decoded: %w", err)})
			}
			if !yield(v) {
				return
			}
			if open != r.open {
				panic(errRangedTwice)
			}
		}
	}
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
	r.next, r.value, r.rest, r.have = key, value, rest, true
}
