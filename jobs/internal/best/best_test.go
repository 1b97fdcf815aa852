package best

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// What is kept is the beginning of all values in order, for every number kept and every order in which they come, again and
// again.
func TestAgainstSort(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(31, 32))
	for range 300 {
		k := 1 + rnd.IntN(12)
		o := New(k)
		for range 2 {
			var all []Counted
			for i := range rnd.IntN(40) {
				all = append(all, Counted{fmt.Sprint(i), int64(rnd.IntN(6))})
			}
			rnd.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
			for _, c := range all {
				o.See(c.Value, c.Count)
			}
			slices.SortFunc(all, func(a, b Counted) int {
				switch {
				case a.Count != b.Count && a.Count > b.Count, a.Count == b.Count && a.Value < b.Value:
					return -1
				}
				return 1
			})
			if got, want := o.Take(), all[:min(k, len(all))]; !slices.Equal(got, want) {
				t.Fatalf("got %v, want %v", got, want)
			}
		}
	}
}

// A value that is kept does not change with the memory that it came in.
func TestCopies(t *testing.T) {
	t.Parallel()
	o := New(2)
	b := []byte("one")
	o.See(string(b[:3]), 1)
	copy(b, "two")
	o.See("two", 2)
	if got := fmt.Sprint(o.Take()); got != "[{two 2} {one 1}]" {
		t.Errorf("got %v", got)
	}
	if got := o.Take(); len(got) != 0 {
		t.Errorf("left are %v", got)
	}
}
