package jobs

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"
)

// A task keeps the counters whose names come first, whatever the order in which it uses them, and each is exact. What is
// counted under other names is dropped, and said.
func TestCountersAreBounded(t *testing.T) {
	const names = MaxCounters + 500
	want := map[string]int64{}
	for i := range MaxCounters {
		want[fmt.Sprintf("item %04d", i)] = 3 * int64(i+1)
	}
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 0))
		task := new(Task)
		for range 2 {
			for _, i := range r.Perm(names) {
				c := task.Counter(fmt.Sprintf("item %04d", i))
				c.Add(int64(i + 1))
				if i >= MaxCounters {
					c.Add(-5) // also by one who keeps the counter of a name that is dropped
				}
			}
		}
		for _, i := range r.Perm(names) {
			task.Counter(fmt.Sprintf("item %04d", i)).Add(int64(i + 1))
		}
		if got := task.Counters(); !maps.Equal(got, want) || !task.CountersCut() {
			t.Fatalf("seed %d: %d counters, cut %v: want the first %d, exact", seed, len(got), task.CountersCut(), len(want))
		}
		if n := len(task.counters.names); n != MaxCounters || len(task.counters.byName) != n {
			t.Fatalf("seed %d: %d names and %d counters are kept", seed, n, len(task.counters.byName))
		}
	}
}

// As many names as there may be are no reason for a warning.
func TestCountersWithinTheBound(t *testing.T) {
	task := new(Task)
	for range 2 {
		for i := range MaxCounters {
			task.Counter(fmt.Sprint(i)).Add(2)
		}
	}
	got := task.Counters()
	if len(got) != MaxCounters || got["7"] != 4 || task.CountersCut() {
		t.Errorf("%d counters, number 7 is %d, cut %v", len(got), got["7"], task.CountersCut())
	}
}
