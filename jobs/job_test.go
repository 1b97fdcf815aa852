package jobs_test

import (
	"context"
	"io"
	"strings"
	"testing"

	"github.com/millrace/millrace/jobs"
)

type count struct {
	Word string
	N    int64
}

func countMap(line string, emit func(word string, n int64)) error {
	for word := range strings.FieldsSeq(line) {
		emit(word, 1)
	}
	return nil
}

func countReduce(word string, ns jobs.Values[int64], emit func(count)) error {
	emit(count{word, jobs.Total(ns)})
	return nil
}

// blocks is a BlockSource over some blocks.
type blocks []jobs.Block

func (b *blocks) Next() (jobs.Block, error) {
	if len(*b) == 0 {
		return jobs.Block{}, io.EOF
	}
	first := (*b)[0]
	*b = (*b)[1:]
	return first, nil
}

// pairs is a PairSink that keeps every batch, and fails with err at the put numbered at (from 1; 0: never).
type pairs struct {
	batches []jobs.Pairs
	puts    int
	at      int
	err     error
}

func (p *pairs) Put(b jobs.Pairs) (jobs.Pairs, error) {
	p.puts++
	if p.puts == p.at {
		return jobs.Pairs{}, p.err
	}
	if b.Count > 0 {
		p.batches = append(p.batches, b)
	}
	return jobs.Pairs{}, nil
}

func TestSmoke(t *testing.T) {
	job := jobs.New("wordcount", countMap, countReduce, jobs.Combine(jobs.Sum[int64]))
	prog, err := job.Bind(nil)
	if err != nil {
		t.Fatal(err)
	}
	out := &pairs{}
	if err := prog.Map(context.Background(), &jobs.Task{Reducers: 1}, &blocks{{Data: []byte("a b a\r\nb a\n")}}, out); err != nil {
		t.Fatal(err)
	}
	if len(out.batches) != 1 || out.batches[0].Count != 2 {
		t.Errorf("%+v", out.batches)
	}
}
