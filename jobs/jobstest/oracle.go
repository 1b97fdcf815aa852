// Package jobstest runs a job in the plainest way there is: one goroutine, everything in memory, no combiner, a stable sort.
// It is what a job's author tests with, and the oracle that the engine's own tests compare the engine with. It shares
// nothing with the engine, and of package jobs neither the combine table nor Combine.
package jobstest

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/millrace/millrace/jobs"
)

// Object is one input object: bytes, or for a job with the option Table the columns of a file (see TableOf).
type Object struct {
	URL     string
	Data    []byte
	Schema  jobs.Schema
	Columns jobs.Columns
	Input   int // which of the job's inputs it belongs to

	// Side says that it is a side input: URL is what a parameter names it by, Data its bytes. It belongs to no input.
	Side bool
}

// Result is what a job makes of its input.
type Result struct {
	Schema     jobs.Schema
	Partitions [][]Row          // the rows of each partition in order
	Outputs    map[string][]Row // the rows of each side output: those of the maps, then those of the reduces
	Counters   map[string]int64 // of all tasks together
	Records    int64            // mapped
	Pairs      int64            // emitted

	batches []jobs.Columns // the rows again, as they were put
}

// Rows returns the rows of all partitions, one partition after the other.
func (r *Result) Rows() []Row { return slices.Concat(r.Partitions...) }

// pair is one emitted pair.
type pair struct {
	key, value []byte
	order      any // of a job with OrderBy: what the value is ordered by
}

// Oracle runs prog over the objects, input after input. Every object is one map task of one block; pairs go to the partition
// that the program states, or that partition gives for the key's bytes; with neither, to partition 0. A job of maps only has its rows in
// partition 0, whatever reducers says. The error is the program's own.
func Oracle(prog jobs.Program, objects []Object, reducers int, partition func(key []byte, n int) int) (*Result, error) {
	if reducers < 1 {
		return nil, fmt.Errorf("oracle: %d reducers: there must be 1 at least", reducers)
	}
	result := &Result{Schema: prog.Info().Schema, Partitions: make([][]Row, reducers), Outputs: map[string][]Row{}, Counters: map[string]int64{}}
	for _, o := range prog.Info().Outputs {
		result.Outputs[o.Name] = nil
	}
	side, objects, err := sideData(prog.Info().SideInputs, objects)
	if err != nil {
		return nil, err
	}
	groups := make([][]pair, reducers)
	inputs := prog.Info().Inputs
	for _, o := range objects {
		if o.Input < 0 || o.Input >= len(inputs) {
			return nil, fmt.Errorf("oracle: %s belongs to input %d of a job that has %d", o.URL, o.Input, len(inputs))
		}
	}
	slices.SortStableFunc(objects, func(a, b Object) int { return a.Input - b.Input })
	for _, o := range objects {
		if err := mapObject(prog, o, side, partition, groups, result); err != nil {
			return nil, err
		}
	}
	if prog.Info().MapOnly {
		return result, nil
	}
	for i, pairs := range groups {
		t := newTask(reducers, side)
		sides := sinkSides(prog, t)
		if err := sortPairs(prog, t, pairs); err != nil {
			return nil, err
		}
		out := &rowSink{schema: result.Schema}
		if err := prog.Reduce(context.Background(), t, &pairSource{pairs}, out); err != nil {
			return nil, err
		}
		result.Partitions[i] = out.rows
		result.batches = append(result.batches, out.batches...)
		result.count(t, sides)
	}
	return result, nil
}

// sinkSides gives a task sinks for its side outputs.
func sinkSides(prog jobs.Program, t *jobs.Task) (sinks []*rowSink) {
	for _, o := range prog.Info().Outputs {
		s := &rowSink{schema: o.Schema, name: o.Name}
		sinks, t.Sinks.Sides = append(sinks, s), append(t.Sinks.Sides, s)
	}
	return sinks
}

// newTask forbids tables, and orders in keys: every pair shows as the map function emitted it.
func newTask(reducers int, side *jobs.SideData) *jobs.Task {
	return &jobs.Task{Reducers: reducers, Memory: -1, Unordered: true, Side: side}
}

func (r *Result) count(t *jobs.Task, sides []*rowSink) {
	for _, s := range sides {
		r.Outputs[s.name] = append(r.Outputs[s.name], s.rows...)
	}
	for name, n := range t.Counters() {
		r.Counters[name] += n
	}
	r.Pairs += t.Pairs
}

// mapObject maps one object and deals its pairs out to the partitions.
func mapObject(prog jobs.Program, o Object, side *jobs.SideData, partition func([]byte, int) int, groups [][]pair, result *Result) error {
	reducers := len(groups)
	t := newTask(reducers, side)
	sides := sinkSides(prog, t)
	rows := &rowSink{schema: result.Schema}
	out := &pairSink{}
	if prog.Info().MapOnly {
		t.Sinks.Rows = rows
	}
	block, ok, err := blockOf(o, prog.Info().Inputs[o.Input].Format)
	if err != nil {
		return err
	}
	source := &blockSource{block: block, done: !ok}
	if err := prog.Map(context.Background(), t, source, out); err != nil {
		return err
	}
	result.count(t, sides)
	result.Records += t.Records // of a reduce task these are pairs
	result.Partitions[0] = append(result.Partitions[0], rows.rows...)
	result.batches = append(result.batches, rows.batches...)
	for _, batch := range out.batches {
		if err := deal(batch, prog.Info().Partitions, reducers, partition, groups); err != nil {
			return fmt.Errorf("oracle: map %s: %w", o.URL, err)
		}
	}
	return nil
}

// deal appends the pairs of a batch to their partitions.
func deal(batch jobs.Pairs, stated bool, reducers int, partition func([]byte, int) int, groups [][]pair) error {
	rest := batch.Data
	for i := range batch.Count {
		key, value, after, err := jobs.CutPair(rest, nil)
		if err != nil {
			return err
		}
		rest = after
		p := 0
		switch {
		case stated:
			p = int(batch.Partitions[i])
		case partition != nil:
			p = partition(key, reducers)
		}
		if p < 0 || p >= reducers {
			return fmt.Errorf("key %q goes to partition %d of %d", key, p, reducers)
		}
		groups[p] = append(groups[p], pair{key: key, value: value})
	}
	if len(rest) > 0 {
		return fmt.Errorf("%d bytes after the last of %d pairs", len(rest), batch.Count)
	}
	return nil
}

// blockSource yields one block.
type blockSource struct {
	block jobs.Block
	done  bool
}

func (s *blockSource) Next() (jobs.Block, error) {
	if s.done {
		return jobs.Block{}, io.EOF
	}
	s.done = true
	return s.block, nil
}

// pairSink keeps all batches.
type pairSink struct{ batches []jobs.Pairs }

func (s *pairSink) Put(b jobs.Pairs) (jobs.Pairs, error) {
	if b.Count > 0 {
		s.batches = append(s.batches, b)
	}
	return jobs.Pairs{}, nil
}

// pairSource yields each pair as a batch of its own.
type pairSource struct{ pairs []pair }

func (s *pairSource) Next() ([]byte, error) {
	if len(s.pairs) == 0 {
		return nil, io.EOF
	}
	p := s.pairs[0]
	s.pairs = s.pairs[1:]
	return jobs.AppendPair(nil, p.key, p.value), nil
}
