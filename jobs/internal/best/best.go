// Package best keeps the most frequent of values that stream past, in memory for these alone. It knows no job; jobs that rank
// what they count call it.
package best

import (
	"cmp"
	"container/heap"
	"slices"
	"strings"
)

// Counted is a value and how often it occurs.
type Counted struct {
	Value string
	Count int64
}

// Of keeps the k most frequent of the values that it sees. Of values equally frequent, the lesser one is the better.
type Of struct {
	k    int
	kept worstFirst
}

// New returns an Of for k values, 1 or more.
func New(k int) *Of { return &Of{k: k} }

// See takes a value with its count. Each value may come once, in any order. A value that is kept is copied: it may be a view
// into memory that the caller does not keep.
func (o *Of) See(value string, count int64) {
	c := Counted{value, count}
	switch {
	case len(o.kept) < o.k:
		c.Value = strings.Clone(value)
		heap.Push(&o.kept, c)
	case compare(c, o.kept[0]) < 0:
		c.Value = strings.Clone(value)
		o.kept[0] = c
		heap.Fix(&o.kept, 0)
	}
}

// Take returns the values that are kept, the best one first, and forgets them. They are good until the next See.
func (o *Of) Take() []Counted {
	out := o.kept
	o.kept = o.kept[:0]
	slices.SortFunc(out, compare)
	return out
}

// compare is negative if a is better than b.
func compare(a, b Counted) int {
	return cmp.Or(cmp.Compare(b.Count, a.Count), strings.Compare(a.Value, b.Value))
}

// worstFirst is a heap.Interface with the worst value at the root.
type worstFirst []Counted

func (h worstFirst) Len() int           { return len(h) }
func (h worstFirst) Less(i, j int) bool { return compare(h[i], h[j]) > 0 }
func (h worstFirst) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *worstFirst) Push(c any)        { *h = append(*h, c.(Counted)) }

// Pop is never called: the worst is replaced in its place.
func (h *worstFirst) Pop() any { panic("best: the heap shrinks") }
