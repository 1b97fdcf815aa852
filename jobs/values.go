package jobs

import (
	"errors"
	"iter"
)

// Values are the values of one key, in the order of the map tasks and, within one, of emission, or as OrderBy says. They stream past once, while
// the reduce function runs for that key: keep what you need of them.
//
// It is a type of its own for the sake of small groups. Around a loop over an iter.Seq that comes as an argument, everything
// that the loop touches goes to the heap: three allocations a group, 100 ns; a loop over All allocates nothing (BenchmarkValues).
type Values[V any] struct {
	from  *stream[V]
	group int64 // its number in from
}

// ValuesOf returns values that come from no engine, to test a reduce function with.
func ValuesOf[V any](values ...V) Values[V] {
	next := 0
	from := &stream[V]{open: 1}
	from.value = func() (v V, ok bool) {
		if next == len(values) {
			return v, false
		}
		next++
		return values[next-1], true
	}
	return Values[V]{from, 1}
}

// All ranges over the values, once. A second loop panics, as does a loop after the reduce function returned.
func (v Values[V]) All() iter.Seq[V] {
	return func(yield func(V) bool) {
		v.from.begin(v.group)
		for {
			value, ok := v.from.next(v.group)
			if !ok || !yield(value) {
				return
			}
		}
	}
}

// stream is where the values of a reduce attempt come from, group after group.
type stream[V any] struct {
	value  func() (V, bool) // the next one of the open group
	open   int64            // number of the current group
	ranged int64            // number of the group whose values were last ranged over
}

func (s *stream[V]) begin(group int64) {
	if group != s.open || group == s.ranged {
		panic(errRangedTwice)
	}
	s.ranged = group
}

func (s *stream[V]) next(group int64) (V, bool) {
	if group != s.open {
		panic(errRangedTwice)
	}
	return s.value()
}

// errRangedTwice is what a second loop over a group's values panics with.
var errRangedTwice = errors.New("the values of a key are ranged over a second time, or after the reduce function returned: they stream past once; keep what you need in the first loop")
