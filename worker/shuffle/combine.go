package shuffle

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/millrace/millrace/jobs"
)

// combiner stands before an output and leaves each key with one value. Keys that have one value already pass by; the
// others go through the job's combine function in batches of bounded size, and so does a group larger than a batch: its
// partial result takes part in the next one.
//
// Invariant: pairs held are, in key order: singles and the groups of multi, interleaved as before says; then the open group.
type combiner struct {
	out     *output
	combine func(in, out []byte) ([]byte, error)
	limit   int // bytes of multi and singles, beside an open group's partial result, at which they are combined

	partition int
	key       []byte // of the open group
	value     []byte // its only value while count is 1; more of them are in multi
	count     int    // values of the open group, 0: none open

	multi   []byte // sorted pairs of the groups with several values
	before  []int  // for each group in multi: how many of singles precede it
	singles []byte // pairs that are alone in their group, and come after the first group in multi
	alone   int    // pairs in singles
	result  []byte // what combine returned, kept for its capacity
}

// add takes the next pair, as output.add does.
func (c *combiner) add(partition int, key, value []byte, same bool) error {
	if !same || partition != c.partition || c.count == 0 {
		if err := c.endGroup(); err != nil {
			return err
		}
		if partition != c.partition || len(c.multi)+len(c.singles) >= c.limit {
			if err := c.flush(); err != nil {
				return err
			}
			c.partition = partition
		}
		c.key, c.value, c.count = append(c.key[:0], key...), append(c.value[:0], value...), 1
		return nil
	}
	if c.count == 1 {
		c.before = append(c.before, c.alone)
		c.multi = jobs.AppendPair(c.multi, c.key, c.value)
	}
	c.multi = jobs.AppendSame(c.multi, value)
	c.count++
	// With as much again beside a long partial result: each further value would take the whole of it through combine.
	if len(c.multi)+len(c.singles) >= c.limit+2*len(c.value) {
		return c.partial()
	}
	return nil
}

// single takes the only pair of its key, given its encoding. It goes to the output at once unless others are held.
func (c *combiner) single(partition int, pair []byte) error {
	if c.count > 0 {
		if err := c.endGroup(); err != nil {
			return err
		}
	}
	if len(c.multi) > 0 && (partition != c.partition || len(c.multi)+len(c.singles) >= c.limit) {
		if err := c.flush(); err != nil {
			return err
		}
	}
	c.partition = partition
	if len(c.multi) == 0 {
		return c.out.addEncoded(partition, pair)
	}
	c.singles = append(c.singles, pair...)
	c.alone++
	return nil
}

// endGroup closes the open group. One with several values is in multi already.
func (c *combiner) endGroup() error {
	if c.count != 1 {
		c.count = 0
		return nil
	}
	c.count = 0
	if len(c.multi) == 0 {
		return c.out.add(c.partition, c.key, c.value, false)
	}
	c.singles = jobs.AppendPair(c.singles, c.key, c.value)
	c.alone++
	return nil
}

// partial combines what is held, and keeps the open group's result as its first value.
func (c *combiner) partial() error {
	c.count = 0
	if err := c.run(); err != nil {
		return err
	}
	err := c.emit(func(key, value []byte) error {
		c.key, c.value, c.count = append(c.key[:0], key...), append(c.value[:0], value...), 1
		return nil
	})
	return err
}

// flush combines and puts out what is held. No group is open.
func (c *combiner) flush() error {
	if len(c.multi) == 0 {
		return nil
	}
	if err := c.run(); err != nil {
		return err
	}
	return c.emit(func(key, value []byte) error { return c.out.add(c.partition, key, value, false) })
}

func (c *combiner) run() error {
	var err error
	if c.result, err = c.combine(c.multi, c.result[:0]); err != nil {
		return fmt.Errorf("combine: %w", err)
	}
	return nil
}

var errCombine = errors.New("combine: the program did not return each key of the batch once and in order")

// emit puts the combined pairs and the singles out in key order; last takes the last combined pair instead.
func (c *combiner) emit(last func(key, value []byte) error) error {
	groups, combined, singles := c.multi, c.result, c.singles
	var group, key, value []byte
	var err error
	done := 0
	for i, n := range c.before {
		if singles, err = c.emitSingles(singles, n-done); err != nil {
			return err
		}
		done = n
		if group, groups, err = nextGroup(groups); err != nil {
			return err
		}
		var size int
		var ok bool
		if key, value, size, ok = parsePair(combined); !ok || !bytes.Equal(key, group) {
			return errCombine
		}
		combined = combined[size:]
		if i == len(c.before)-1 {
			break
		}
		if err := c.out.add(c.partition, key, value, false); err != nil {
			return err
		}
	}
	if len(combined) > 0 {
		return errCombine
	}
	if err := last(key, value); err != nil {
		return err
	}
	if _, err := c.emitSingles(singles, c.alone-done); err != nil {
		return err
	}
	c.multi, c.singles, c.before, c.alone = c.multi[:0], c.singles[:0], c.before[:0], 0
	return nil
}

func (c *combiner) emitSingles(singles []byte, n int) ([]byte, error) {
	for range n {
		key, value, size, ok := parsePair(singles)
		if !ok {
			return nil, jobs.ErrPairs
		}
		if err := c.out.add(c.partition, key, value, false); err != nil {
			return nil, err
		}
		singles = singles[size:]
	}
	return singles, nil
}

// nextGroup is the key of the first group of a batch and what follows the group.
func nextGroup(batch []byte) (key, rest []byte, err error) {
	key, _, rest, err = jobs.CutPair(batch, nil)
	for err == nil && len(rest) > 0 && rest[0] == 0 {
		_, _, rest, err = jobs.CutPair(rest, key)
	}
	return key, rest, err
}

// close puts out what is held.
func (c *combiner) close() error {
	if err := c.endGroup(); err != nil {
		return err
	}
	return c.flush()
}
