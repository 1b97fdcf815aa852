package jobs

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
)

// NewMapOnly returns the job that runs m over every record and has no reduce function: what m emits are the job's rows. It
// filters, converts or takes apart records, at the speed of reading and writing: nothing is sorted and nothing travels.
//
// The rows come in the order of the input. Each split of the input makes one part, so where a part ends is a matter of
// --split-size; the rows of all parts, one after the other, are the same for every split size, number of workers and slots.
//
// The record type R and the row type Out are as for New. Of the options, FixedLength, CSV, Table, Raw and Doc
// apply.
func NewMapOnly[R, Out any](name string, m func(R, func(Out)) error, opts ...Option) *Job {
	return newJob(name, MapOnly(m, opts...))
}

// MapOnly is a job's code without a reduce function, for Define: see NewMapOnly.
func MapOnly[R, Out any](m func(R, func(Out)) error, opts ...Option) Code {
	s := collect(opts)
	p, err := newMapOnly(m, s)
	if err != nil {
		return Code{doc: s.doc, err: err}
	}
	return Code{program: p, doc: s.doc}
}

// mapOnly is the program of a typed map function alone. It never changes.
type mapOnly[R, Out any] struct {
	m        func(R, func(Out)) error
	settings *settings
	rows     *rowPlan
	known    Info
}

// none stands for the key and the value of pairs that there are not.
type none struct{}

func newMapOnly[R, Out any](m func(R, func(Out)) error, s *settings) (*mapOnly[R, Out], error) {
	switch {
	case s.err != nil:
		return nil, s.err
	case m == nil:
		return nil, errors.New("the map function is nil")
	}
	for _, option := range slices.Sorted(maps.Keys(s.given)) {
		if !slices.Contains([]string{"CSV", "Doc", "FixedLength", "Raw", "Table"}, option) { // the others are about pairs
			return nil, fmt.Errorf("option %s is given to a job of maps only: it has no pairs and no reduce function: leave it out, or use MapReduce", option)
		}
	}
	p := &mapOnly[R, Out]{m: m, settings: s}
	format, _, err := recordsOf(func(R, func(none, none)) error { return nil }, s)
	if err != nil {
		return nil, err
	}
	format.Raw = s.raw
	if p.rows, err = newRowPlan(reflect.TypeFor[Out]()); err != nil {
		return nil, fmt.Errorf("row type %s: %w", typeName[Out](), err)
	}
	p.known = Info{Inputs: []Input{{Format: format}}, MapOnly: true, Schema: p.rows.schema}
	return p, nil
}

func (p *mapOnly[R, Out]) info() Info { return p.known }

func (p *mapOnly[R, Out]) mapBlocks(ctx context.Context, t *Task, in BlockSource, _ PairSink) error {
	if t.Sinks.Rows == nil {
		return errNoSink
	}
	w := &walk{task: t}
	rows := newRowWriter[Out](p.rows, t.Sinks.Rows, &w.failed, &t.Rows, w.here)
	if err := w.setAside([]bool{isGrouped[R]()}); err != nil {
		return err
	}
	if w.trial != nil {
		rows.try(w.trial)
	}
	emit := rows.emit // a closure for all records
	// The loops over records are those of any job; they hand this function's emit through.
	_, each, err := recordsOf(func(r R, _ func(none, none)) error { return p.m(r, emit) }, p.settings)
	if err != nil {
		return err
	}
	return w.over(ctx, in, p.known.Inputs, func(b Block) (int64, error) { return each(b, &w.at, nil) }, func() {}, rows.flush)
}

func (p *mapOnly[R, Out]) combinePairs(_, out []byte) ([]byte, error) { return out, errMapOnly }

func (p *mapOnly[R, Out]) reduceGroups(context.Context, *Task, PairSource, RowSink) error {
	return errMapOnly
}

func (p *mapOnly[R, Out]) orderOf([]byte) (any, bool, error) { return nil, false, errMapOnly }

var errMapOnly = errors.New("it is a job of maps only: it has no pairs")
