package jobs

import (
	"maps"
	"slices"
)

// MaxCounters is the most names of counters that a job has: they travel in reports, and a master keeps them.
const MaxCounters = 1000

// Counter counts something of the user's choice. The job's total is exact: an attempt that fails or loses against
// another one adds nothing.
type Counter struct {
	n int64

	// Of an attempt that sets records aside, so that what one of these counted can be taken back; else nil.
	of      *counters
	name    string
	listed  bool  // of is not nil, and the name is one of those that the task counts
	touched bool  // by the record under way
	before  int64 // its value until then
}

// Add adds n.
func (c *Counter) Add(n int64) {
	if c.of != nil {
		c.of.note(c)
	}
	c.n += n
}

// Counter returns the counter of that name, a new one at zero the first time.
//
// A job has MaxCounters names. Of more, those that come first in the order of their bytes are kept, which are the same
// whatever the order in which tasks use them; what the others count is dropped, and the job's summary warns of it.
func (t *Task) Counter(name string) *Counter { return t.counters.get(name) }

// Counters returns the values counted so far by name.
func (t *Task) Counters() map[string]int64 {
	out := make(map[string]int64, len(t.counters.byName))
	for name, c := range maps.All(t.counters.byName) {
		out[name] = c.n
	}
	return out
}

// CountersCut says whether the task used more than MaxCounters names.
func (t *Task) CountersCut() bool { return t.counters.cut }

// counters are the counters of one attempt.
//
// Invariant: names are the keys of byName, sorted, and of all names that were asked for the first MaxCounters. A name that
// was dropped has that many before it, so it never comes back, and a counter that is kept has missed nothing.
type counters struct {
	byName map[string]*Counter
	names  []string
	cut    bool
	aside  Counter // for names that are dropped

	trial    *trial              // nil unless records are set aside
	touched  []*Counter          // by the record under way
	unlisted map[string]*Counter // asked for by records that were set aside only, or dropped; code may have kept them
}

// maxUnlisted bounds the counters of records that were set aside: a job that counts under so many names has lost most of them anyway.
const maxUnlisted = 10 * MaxCounters

func (c *counters) get(name string) *Counter {
	if n := c.byName[name]; n != nil {
		return n
	}
	if c.trial == nil {
		if n := new(Counter); c.list(name, n) {
			return n
		}
		return &c.aside
	}
	n := c.unlisted[name]
	if n == nil {
		if len(c.unlisted) >= maxUnlisted {
			clear(c.unlisted)
		}
		n = &Counter{of: c, name: name}
		c.unlisted[name] = n
	}
	c.note(n)
	return n
}

// list makes a counter one of those that count, unless there are enough whose names come first.
func (c *counters) list(name string, n *Counter) bool {
	if len(c.names) == MaxCounters {
		c.cut = true
		last := c.names[MaxCounters-1]
		if name > last {
			return false
		}
		c.byName[last].listed = false
		delete(c.byName, last)
		c.names = c.names[:MaxCounters-1]
	}
	if c.byName == nil {
		c.byName = map[string]*Counter{}
	}
	at, _ := slices.BinarySearch(c.names, name)
	c.names = slices.Insert(c.names, at, name)
	c.byName[name], n.listed = n, true
	return true
}
