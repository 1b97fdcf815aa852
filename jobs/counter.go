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
	touched bool  // by the record under way
	before  int64 // its value until then
	hidden  bool  // only records that were set aside have asked for it
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
		if !c.hidden {
			out[name] = c.n
		}
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

	trial   *trial     // nil unless records are set aside
	touched []*Counter // by the record under way
}

func (c *counters) get(name string) *Counter {
	if n := c.byName[name]; n != nil {
		if n.hidden {
			c.note(n)
		}
		return n
	}
	if len(c.names) == MaxCounters {
		c.cut = true
		last := c.names[MaxCounters-1]
		if name > last {
			return &c.aside
		}
		delete(c.byName, last)
		c.names = c.names[:MaxCounters-1]
	}
	if c.byName == nil {
		c.byName = map[string]*Counter{}
	}
	at, _ := slices.BinarySearch(c.names, name)
	c.names = slices.Insert(c.names, at, name)
	n := new(Counter)
	if c.trial != nil {
		n.of, n.hidden = c, true
		c.note(n)
	}
	c.byName[name] = n
	return n
}
