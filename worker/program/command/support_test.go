package command

import (
	"bytes"
	"context"
	"io"
	"testing"
	"time"

	"github.com/millrace/millrace/jobs"
)

// keptRows is a program that notes the batches of rows of its reducers.
type keptRows struct {
	jobs.Program
	sizes []int
}

func (k *keptRows) Reduce(ctx context.Context, t *jobs.Task, in jobs.PairSource, out jobs.RowSink) error {
	return k.Program.Reduce(ctx, t, in, notedRows{k, out})
}

type notedRows struct {
	k   *keptRows
	out jobs.RowSink
}

func (n notedRows) Put(c jobs.Columns) error {
	n.k.sizes = append(n.k.sizes, c.Rows)
	return n.out.Put(c)
}

// blocks is a source of blocks; at its end it returns err, or io.EOF.
type blocks struct {
	list []jobs.Block
	err  error
}

func (b *blocks) Next() (jobs.Block, error) {
	if len(b.list) == 0 {
		if b.err != nil {
			return jobs.Block{}, b.err
		}
		return jobs.Block{}, io.EOF
	}
	next := b.list[0]
	b.list = b.list[1:]
	return next, nil
}

func block(url, data string) *blocks {
	return &blocks{list: []jobs.Block{{URL: url, Data: []byte(data)}}}
}

// endless yields a block again and again.
type endless struct{ jobs.Block }

func (e endless) Next() (jobs.Block, error) { return e.Block, nil }

// pairSink keeps pairs; after limit batches, if that is not 0, it fails.
type pairSink struct {
	pairs []line
	err   error
}

func (s *pairSink) Put(b jobs.Pairs) (jobs.Pairs, error) {
	for rest := b.Data; len(rest) > 0; {
		key, value, after, err := jobs.CutPair(rest, nil)
		if err != nil {
			return jobs.Pairs{}, err
		}
		s.pairs, rest = append(s.pairs, line{bytes.Clone(key), bytes.Clone(value)}), after
	}
	if b.Count > 0 && s.err != nil {
		return jobs.Pairs{}, s.err
	}
	return jobs.Pairs{Data: b.Data[:0]}, nil
}

// pairSource is sorted pairs as a source: key, value, key, value ...
type pairSource struct {
	batches [][]byte
	err     error
}

func pairsOf(texts ...string) []byte {
	var batch []byte
	last := ""
	for i := 0; i < len(texts); i += 2 {
		if i > 0 && texts[i] == last {
			batch = jobs.AppendSame(batch, []byte(texts[i+1]))
		} else {
			batch = jobs.AppendPair(batch, []byte(texts[i]), []byte(texts[i+1]))
		}
		last = texts[i]
	}
	return batch
}

func (s *pairSource) Next() ([]byte, error) {
	if len(s.batches) == 0 {
		if s.err != nil {
			return nil, s.err
		}
		return nil, io.EOF
	}
	b := s.batches[0]
	s.batches = s.batches[1:]
	return b, nil
}

// rowSink keeps how many rows it was given, and the first column's text.
type rowSink struct {
	rows int
	text []string
	err  error
}

func (s *rowSink) Put(c jobs.Columns) error {
	s.rows += c.Rows
	if col := c.Columns[0]; col.Offsets != nil {
		for i := range c.Rows {
			s.text = append(s.text, string(col.Data[col.Offsets[i]:col.Offsets[i+1]]))
		}
	}
	return s.err
}

// taskIn is a task whose folder is in the test's own.
func taskIn(dir string) *jobs.Task {
	return &jobs.Task{Reducers: 2, Index: 7, Scratch: func() (string, error) { return dir, nil }}
}

// within fails the test if f takes longer than anything here should.
func within(t *testing.T, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		t.Fatal("it hangs")
	}
}
