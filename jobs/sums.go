package jobs

import (
	"cmp"
)

// Number is any integer or floating-point type.
type Number interface {
	~int | ~int8 | ~int16 | ~int32 | ~int64 | ~uint | ~uint8 | ~uint16 | ~uint32 | ~uint64 | ~float32 | ~float64
}

// Sum is a combiner: it adds two numbers. Integers wrap around at the ends of their range. Sums of floats depend on the
// order of addition in their last bits, so a job that must repeat to the bit sums integers.
func Sum[N Number](a, b N) N { return a + b }

// Min is a combiner: it keeps the lesser value; NaN is the least.
func Min[T cmp.Ordered](a, b T) T {
	if cmp.Less(b, a) {
		return b
	}
	return a
}

// Max is a combiner: it keeps the greater value; NaN is the least.
func Max[T cmp.Ordered](a, b T) T {
	if cmp.Less(a, b) {
		return b
	}
	return a
}

// Total adds up a group's values.
func Total[N Number](values Values[N]) N {
	var sum N
	for v := range values.All() {
		sum += v
	}
	return sum
}

// Fold joins a group's values into one with a combiner, from left to right. Of no values it makes the zero value.
func Fold[V any](values Values[V], combine func(a, b V) V) V {
	var all V
	first := true
	for v := range values.All() {
		if first {
			all, first = v, false
			continue
		}
		all = combine(all, v)
	}
	return all
}

// Count counts a group's values. With a combiner it counts what the combiner left, so it goes with jobs that have none.
func Count[V any](values Values[V]) int64 {
	var n int64
	for range values.All() {
		n++
	}
	return n
}
