package master

import (
	"fmt"
	"slices"
	"strings"

	"github.com/millrace/millrace/jobs"
)

// counted is what one task counted under one name.
type counted struct {
	name string // shared with counters.names
	n    int64
}

// counters are a job's user counters.
//
// Invariant: names are sorted, and of all names that tasks reported the first jobs.MaxCounters. A name that
// was dropped has that many before it, so it never comes back: the sum of a name that is kept has missed no task, whatever
// the order in which tasks end.
type counters struct {
	names []string
	sums  []int64 // by name
	cut   bool    // names were dropped, here or by a task
}

// add takes a task's report in, and returns what of it counts, by name.
func (c *counters) add(reported map[string]int64, cut bool) []counted {
	c.cut = c.cut || cut
	list := make([]counted, 0, len(reported))
	if len(reported) == len(c.names) {
		if list = c.same(reported, list); len(list) == len(c.names) {
			return list
		}
	}
	for name, n := range reported { // what is kept in the end does not depend on the order
		if at, ok := c.keep(name); ok {
			list = append(list, counted{c.names[at], n})
			c.sums[at] += n
		}
	}
	slices.SortFunc(list, func(a, b counted) int { return strings.Compare(a.name, b.name) })
	return list
}

// same is add of a report of the names that are known, as almost all are: it needs neither search nor sort. Of any other it does
// nothing and returns an empty list.
func (c *counters) same(reported map[string]int64, list []counted) []counted {
	for _, name := range c.names {
		n, ok := reported[name]
		if !ok {
			return list[:0]
		}
		list = append(list, counted{name, n})
	}
	for i, k := range list {
		c.sums[i] += k.n
	}
	return list
}

// takeBack undoes add.
func (c *counters) takeBack(list []counted) {
	for _, k := range list {
		if at, ok := slices.BinarySearch(c.names, k.name); ok { // or it was dropped for a name that came later
			c.sums[at] -= k.n
		}
	}
}

// keep makes room for a name if it is among the first ones, and says where it is.
func (c *counters) keep(name string) (at int, kept bool) {
	at, found := slices.BinarySearch(c.names, name)
	if found {
		return at, true
	}
	if len(c.names) == jobs.MaxCounters {
		c.cut = true
		if at == len(c.names) {
			return 0, false
		}
		last := len(c.names) - 1
		c.names, c.sums = c.names[:last], c.sums[:last]
	}
	c.names, c.sums = slices.Insert(c.names, at, name), slices.Insert(c.sums, at, 0)
	return at, true
}

// totals are the sums by name.
func (c *counters) totals() map[string]int64 {
	m := make(map[string]int64, len(c.names))
	for i, name := range c.names {
		m[name] = c.sums[i]
	}
	return m
}

// warning says what a person should know of the counters, or nothing.
func (c *counters) warning() string {
	if !c.cut {
		return ""
	}
	return fmt.Sprintf("its tasks count under more than %d names: only the %[1]d that come first by name are kept: "+
		"count few kinds of things, and emit as pairs what is counted by data", jobs.MaxCounters)
}
