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
// Invariant: names are the keys of total, sorted, and of all names that tasks reported the first jobs.MaxCounters. A name that
// was dropped has that many before it, so it never comes back: the total of a name that is kept has missed no task, whatever
// the order in which tasks end.
type counters struct {
	total map[string]int64
	names []string
	cut   bool // names were dropped, here or by a task
}

// add takes a task's report in, and returns what of it counts.
func (c *counters) add(reported map[string]int64, cut bool) []counted {
	list := make([]counted, 0, len(reported))
	for name, n := range reported { // what is kept in the end does not depend on the order
		if kept, ok := c.keep(name); ok {
			list = append(list, counted{kept, n})
			c.total[kept] += n
		}
	}
	slices.SortFunc(list, func(a, b counted) int { return strings.Compare(a.name, b.name) })
	c.cut = c.cut || cut
	return list
}

// takeBack undoes add.
func (c *counters) takeBack(list []counted) {
	for _, k := range list {
		if _, ok := c.total[k.name]; ok { // or it was dropped for a name that came later
			c.total[k.name] -= k.n
		}
	}
}

// keep makes room for a name if it is among the first ones, and returns the one string that stands for it.
func (c *counters) keep(name string) (string, bool) {
	at, found := slices.BinarySearch(c.names, name)
	if found {
		return c.names[at], true
	}
	if len(c.names) == jobs.MaxCounters {
		c.cut = true
		if at == len(c.names) {
			return "", false
		}
		last := len(c.names) - 1
		delete(c.total, c.names[last])
		c.names = c.names[:last]
	}
	if c.total == nil {
		c.total = map[string]int64{}
	}
	c.names = slices.Insert(c.names, at, name)
	c.total[name] = 0
	return name, true
}

// warning says what a person should know of the counters, or nothing.
func (c *counters) warning() string {
	if !c.cut {
		return ""
	}
	return fmt.Sprintf("its tasks count under more than %d names: only the %[1]d that come first by name are kept: "+
		"count few kinds of things, and emit as pairs what is counted by data", jobs.MaxCounters)
}
