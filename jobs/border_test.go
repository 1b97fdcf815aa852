package jobs_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/jobs"
)

// The engine at the border, as far as these tests need it: it yields one batch and then err, and keeps what it is given.
type edge struct {
	blocks []jobs.Block
	pairs  [][]byte
	err    error
	out    []jobs.Pairs
}

type edgeBlocks struct{ *edge }

func (e edgeBlocks) Next() (b jobs.Block, err error) {
	if len(e.blocks) == 0 {
		return b, e.err
	}
	b, e.blocks = e.blocks[0], e.blocks[1:]
	return b, nil
}

type edgePairs struct{ *edge }

func (e edgePairs) Next() (b []byte, err error) {
	if len(e.pairs) == 0 {
		return nil, e.err
	}
	b, e.pairs = e.pairs[0], e.pairs[1:]
	return b, nil
}

func (e *edge) Put(p jobs.Pairs) (jobs.Pairs, error) {
	if p.Count > 0 {
		e.out = append(e.out, p)
	}
	return jobs.Pairs{}, nil
}

type noRows struct{}

func (noRows) Put(jobs.Columns) error { return nil }

func program(t *testing.T, j *jobs.Job) jobs.Program {
	t.Helper()
	p, err := j.Bind(nil)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func countLines() *jobs.Job {
	return jobs.New("count", func(line string, emit func(string, int64)) error {
		emit(line, 1)
		return nil
	}, func(_ string, ns jobs.Values[int64], emit func(int64)) error {
		emit(jobs.Total(ns))
		return nil
	})
}

// Only io.EOF itself ends the data. An error that wraps it is one: a connection that broke is not the end of a partition.
func TestWrappedEOFIsAnError(t *testing.T) {
	t.Parallel()
	broken := fmt.Errorf("fetch: connection broke: %w", io.EOF)
	p := program(t, countLines())
	if err := p.Map(t.Context(), &jobs.Task{Reducers: 1}, edgeBlocks{&edge{err: broken}}, &edge{}); !errors.Is(err, broken) {
		t.Errorf("Map = %v, want the source's error", err)
	}
	if err := p.Reduce(t.Context(), &jobs.Task{Reducers: 1}, edgePairs{&edge{err: broken}}, noRows{}); !errors.Is(err, broken) {
		t.Errorf("Reduce = %v, want the source's error", err)
	}
}

// stamped inherits the encoding of the time that it embeds, which knows nothing of User.
type stamped struct {
	time.Time
	User string
}

// wrapped embeds a type that encodes itself, but says by methods of its own how the whole is written.
type wrapped struct {
	time.Time
	User string
}

func (w wrapped) MarshalBinary() ([]byte, error) { return []byte(w.User), nil }

func (w *wrapped) UnmarshalBinary(b []byte) error {
	w.User = string(b)
	return nil
}

// A value whose encoding would drop fields is refused when the job is bound; one with methods of its own is not.
func TestInheritedEncodingIsRefused(t *testing.T) {
	t.Parallel()
	refused := jobs.New("e", func(_ string, emit func(string, stamped)) error { return nil },
		func(_ string, _ jobs.Values[stamped], _ func(int64)) error { return nil })
	if _, err := refused.Bind(nil); err == nil || !strings.Contains(err.Error(), "embeds a type that encodes itself") {
		t.Errorf("Bind = %v, want it to name the embedded type", err)
	}
	program(t, jobs.New("e", func(_ string, emit func(string, wrapped)) error { return nil },
		func(_ string, _ jobs.Values[wrapped], _ func(int64)) error { return nil }))
}

// An iterator that is kept beyond its group gives nothing of the next one: it panics, which is the attempt's failure.
func TestKeptIteratorPanics(t *testing.T) {
	t.Parallel()
	var next func() (int64, bool)
	var stop func()
	job := jobs.New("kept", func(string, func(string, int64)) error { return nil },
		func(key string, ns jobs.Values[int64], _ func(int64)) error {
			if key == "a" {
				next, stop = iter.Pull(ns.All())
				next()
				return nil
			}
			n, ok := next()
			return fmt.Errorf("group %s got %d, %v from group a", key, n, ok)
		})
	var batch []byte
	for _, key := range []string{"a", "a", "b"} {
		batch = jobs.AppendPair(batch, []byte(key), []byte{2})
	}
	err := program(t, job).Reduce(t.Context(), &jobs.Task{Reducers: 1}, edgePairs{&edge{pairs: [][]byte{batch}, err: io.EOF}}, noRows{})
	stop()
	record, ok := errors.AsType[*jobs.RecordError](err)
	if !ok || record.Stack == "" {
		t.Errorf("Reduce = %v, want the panic of the kept iterator", err)
	}
}

// picky cannot encode every value.
type picky struct{ s string }

func (p picky) AppendBinary(b []byte) ([]byte, error) {
	if p.s == "b" {
		return b, errors.New("bad value")
	}
	return append(b, p.s...), nil
}

func (p *picky) UnmarshalBinary(b []byte) error {
	p.s = string(b)
	return nil
}

// A value that cannot be encoded leaves its batch whole, also when the map function recovers from that: the pairs after it
// keep their partitions.
func TestRecoveredEncodingKeepsPartitions(t *testing.T) {
	t.Parallel()
	job := jobs.New("picky", func(line string, emit func(string, picky)) error {
		defer func() { _ = recover() }()
		emit(line, picky{line})
		return nil
	}, func(string, jobs.Values[picky], func(int64)) error { return nil },
		jobs.Partition(func(key string, _ int) int { return int(key[0] - 'a') }))
	e := &edge{blocks: []jobs.Block{{Data: []byte("a\nb\nc\nd\n")}}, err: io.EOF}
	err := program(t, job).Map(context.Background(), &jobs.Task{Reducers: 4}, edgeBlocks{e}, e)
	for _, b := range e.out {
		data := b.Data
		for i := range b.Count {
			key, _, rest, cut := jobs.CutPair(data, nil)
			if cut != nil || i >= len(b.Partitions) || b.Partitions[i] != uint32(key[0]-'a') {
				t.Fatalf("pair %d: key %q, partitions %v, %v", i, key, b.Partitions, cut)
			}
			data = rest
		}
	}
	if err == nil && len(e.out) == 0 {
		t.Error("no pairs and no error")
	}
}
