package jobs

import (
	"bytes"
	"fmt"
)

// combinePairs combines the values of each key of a sorted batch. The pair of a key with one value is copied as it is.
func (p *typed[K, V, Out]) combinePairs(in, out []byte) (_ []byte, err error) {
	c := combiner[K, V]{
		keys:    newCoder[K](p.keys),
		values:  newCoder[V](p.values),
		combine: p.combine,
	}
	if c.combine == nil {
		return out, fmt.Errorf("combine: the job has no combiner")
	}
	defer func() {
		if r := recover(); r != nil {
			err = c.caught(r, RecordError{Key: c.keys.print(c.key)})
		}
	}()
	return c.run(in, out)
}

// combiner is one call of combinePairs. It has coders of its own: the engine may call it while the map function of the
// same attempt is in the middle of an emit.
type combiner[K, V any] struct {
	failed
	keys    coder[K]
	values  coder[V]
	combine func(a, b V) V
	key     []byte // of the group
}

func (c *combiner[K, V]) run(in, out []byte) ([]byte, error) {
	if len(in) == 0 {
		return out, nil
	}
	key, first, rest, err := CutPair(in, nil)
	if err != nil {
		return out, err
	}
	for {
		c.key = key
		var value V // combined, if many
		many, last := false, false
		for {
			if last = len(rest) == 0; last {
				break
			}
			k, v, r, err := CutPair(rest, c.key)
			if err != nil {
				return out, err
			}
			rest = r
			if !bytes.Equal(k, c.key) {
				if out, err = c.write(out, first, value, many); err != nil {
					return out, err
				}
				key, first = k, v
				break
			}
			if value, err = c.join(first, value, many, v); err != nil {
				return out, err
			}
			many = true
		}
		if last {
			return c.write(out, first, value, many)
		}
	}
}

// join combines one more encoded value of the group.
func (c *combiner[K, V]) join(first []byte, value V, many bool, next []byte) (V, error) {
	var err error
	if !many {
		if value, err = c.values.decode(first); err != nil {
			return value, fmt.Errorf("combine key %s: %w", c.keys.print(c.key), err)
		}
	}
	b, err := c.values.decode(next)
	if err != nil {
		return value, fmt.Errorf("combine key %s: %w", c.keys.print(c.key), err)
	}
	return c.combine(value, b), nil
}

// write appends the group's pair: its value as it came if it was the only one.
func (c *combiner[K, V]) write(out, first []byte, value V, many bool) ([]byte, error) {
	if !many {
		return AppendPair(out, c.key, first), nil
	}
	start := len(out)
	out = append(append(out, 0, 0), c.key...)
	middle := len(out)
	return closePair(c.values.append(out, value), start, middle), nil
}
