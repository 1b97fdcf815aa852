package command

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/millrace/millrace/jobs"
)

// maxCombined bounds what a combiner writes for one batch, bytes, beside twice what it was given: a batch lies in memory.
const maxCombined = 16 << 20

// Combine implements jobs.Program: the combiner runs once for a batch.
func (p *Program) Combine(ctx context.Context, t *jobs.Task, in, out []byte) ([]byte, error) {
	if len(in) == 0 {
		return out, nil
	}
	place, err := p.open(t)
	if err != nil {
		return out, err
	}
	defer place.close()
	c := combination{command: p.combiner, limit: maxCombined + 2*len(in)}
	pairs := &groups{task: new(jobs.Task), in: &oneBatch{in}} // what it counts is no reducer's
	run := &run{command: p.combiner, at: "combine", place: place, env: place.environment(t, true), task: t, limits: p.limits}
	if err := run.do(ctx, pairs.next, c.take); err != nil {
		return out, err
	}
	return c.merge(in, out)
}

// oneBatch is a jobs.PairSource of one batch.
type oneBatch struct{ batch []byte }

// Next implements jobs.PairSource.
func (o *oneBatch) Next() ([]byte, error) {
	if o.batch == nil {
		return nil, io.EOF
	}
	batch := o.batch
	o.batch = nil
	return batch, nil
}

// combination is what a combiner made of a batch.
type combination struct {
	command command
	limit   int    // of text, bytes
	text    []byte // lines
}

func (c *combination) take(lines []byte) error {
	if len(c.text)+len(lines) > c.limit {
		return wrong("wrote more than %v beyond twice what it was given: it must write fewer lines than it reads", jobs.Size(maxCombined))
	}
	c.text = append(c.text, lines...)
	return nil
}

// line is a line of a combiner.
type line struct{ key, value []byte }

// merge appends to out a pair for each key of in, in their order, with the values that the combiner wrote for it.
func (c *combination) merge(in, out []byte) ([]byte, error) {
	list := c.sorted()
	var key, value []byte
	for prev, rest := []byte(nil), in; len(rest) > 0; {
		k, _, after, err := jobs.CutPair(rest, prev)
		if err != nil {
			return out, err
		}
		same := prev != nil && bytes.Equal(k, prev)
		prev, rest = k, after
		if same {
			continue
		}
		key = k
		n := 0
		for n < len(list) && bytes.Equal(list[n].key, key) {
			n++
		}
		if n < len(list) && bytes.Compare(list[n].key, key) < 0 {
			return out, c.foreign(list[n])
		}
		value = values(value[:0], list[:n])
		out = jobs.AppendPair(out, key, value)
		list = list[n:]
	}
	if len(list) > 0 {
		return out, c.foreign(list[0])
	}
	return out, nil
}

// sorted is the lines by key; those of one key keep their order.
func (c *combination) sorted() (list []line) {
	for rest := c.text; len(rest) > 0; {
		var text []byte
		text, rest, _ = bytes.Cut(rest, []byte{'\n'})
		key, value := cutLine(text)
		list = append(list, line{key, value})
	}
	byKey := func(a, b line) int { return bytes.Compare(a.key, b.key) }
	if !slices.IsSortedFunc(list, byKey) {
		slices.SortStableFunc(list, byKey)
	}
	return list
}

// values is the value of the pair that stands for some lines of one key.
func values(to []byte, list []line) []byte {
	if len(list) == 1 {
		return append(to, list[0].value...)
	}
	to = combined(to)
	for _, l := range list {
		to = append(append(to, l.value...), '\n')
	}
	return to
}

func (c *combination) foreign(l line) error {
	return fmt.Errorf("combine: the %s wrote the key %s, which is none of those that it was given: it must keep the keys, since another one may belong to another partition",
		c.command, clipped(l.key))
}
