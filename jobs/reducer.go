package jobs

import (
	"context"
	"fmt"

	"github.com/millrace/millrace/jobs/internal/codec"
)

// reducer is one reduce attempt: it streams the groups of sorted pairs past the reduce function.
type reducer[K, V, Out any] struct {
	failed
	stream[V]
	groups
	keys   coder[K]
	values func(b []byte) (V, error)
	cut    func(b []byte) (key K, order []byte, err error) // of a job with OrderBy
	rows   *rowWriter[Out]
}

func (p *typed[K, V, Out]) reduceGroups(ctx context.Context, t *Task, in PairSource, out RowSink) (err error) {
	r := &reducer[K, V, Out]{keys: newCoder[K](p.keys), values: codec.Decoder[V](p.values)}
	r.fetch = func() ([]byte, error) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		return in.Next()
	}
	here := func() RecordError { return RecordError{Key: r.keys.print(r.key)} }
	r.rows = newRowWriter[Out](p.rows, out, &r.failed, &t.Rows, here)
	if err := t.openSides(&r.failed, here); err != nil {
		return err
	}
	defer t.closeSides()
	defer func() {
		if e := recover(); e != nil {
			err = r.caught(e, here())
		}
	}()
	if r.ordered = p.order != nil; r.ordered {
		r.cut = codec.Cutter[K](p.keys)
	}
	if err := r.run(t, codec.Decoder[K](p.keys), p.reduce); err != nil {
		return err
	}
	r.rows.flush()
	t.flushSides()
	return nil
}

func (r *reducer[K, V, Out]) run(t *Task, decode func([]byte) (K, error), reduce func(K, Values[V], func(Out)) error) error {
	r.value = r.nextValue
	emit := r.rows.emit // a closure for all groups
	if err := r.advance(); err != nil {
		return err
	}
	var hot HotKeys
	defer func() { t.Records, t.Hot = r.pairs, hot.List(r.keys.print) }()
	for !r.ended {
		r.key, r.same = r.at, true
		first := r.pairs
		key, err := r.decodeKey(decode)
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
		if r.ended {
			first-- // there is no pair of another group
		}
		if n := r.pairs - first; n > hot.least {
			hot.Add(r.key, n)
		}
	}
	return nil
}

// decodeKey decodes the key of the group that begins, and leaves the order of its first value out of r.key.
func (r *reducer[K, V, Out]) decodeKey(decode func([]byte) (K, error)) (K, error) {
	if !r.ordered {
		return decode(r.key)
	}
	key, order, err := r.cut(r.key)
	r.key = r.key[:len(r.key)-len(order)]
	return key, err
}

// nextValue gives the next value of the current group.
func (r *reducer[K, V, Out]) nextValue() (v V, ok bool) {
	r.check()
	if !r.more() {
		return v, false
	}
	r.have = false
	v, err := r.values(r.data)
	if err != nil {
		r.fail(&RecordError{Key: r.keys.print(r.key), Err: fmt.Errorf("a value cannot be decoded: %w", err)})
	}
	return v, true
}

// more reports whether the current group has a pair that is not consumed, fetching the next if need be.
// An error of the engine ends the attempt with that error.
func (r *reducer[K, V, Out]) more() bool {
	if !r.have && !r.ended {
		if err := r.advance(); err != nil {
			r.fail(err)
		}
	}
	return r.same
}
