package records

import (
	"time"

	"github.com/millrace/millrace/master/sched"
	"github.com/millrace/millrace/master/wire"
)

// Batch is what a block of tasks says, in memory that is used again for another block: a journal of a million tasks would make
// half a gigabyte of garbage.
//
// What outcomes point to is valid until the Batch is read into again; strings, and what Parts, Sample and FirstRejected hold, stay
// valid.
type Batch struct {
	At       time.Time // of all records
	Records  []sched.Record
	Outcomes []*wire.Outcome // beside Records; nil where a record has none

	slots []*slot
	used  int // of slots
}

// slot is the memory of one outcome.
type slot struct {
	outcome  wire.Outcome
	run      wire.MapResult
	counters map[string]int64
	names    []string // the keys of counters, as the Reader had them
}

// Read decodes a block as Tasks does, into b in place of what that held. After an error b holds the records before it.
func (r *Reader) Read(body []byte, b *Batch) error {
	b.Records, b.Outcomes, b.used = b.Records[:0], b.Outcomes[:0], 0
	r.into = b
	defer func() { r.into, r.slot = nil, nil }()
	return r.Tasks(body, func(at time.Time, rec sched.Record, o *wire.Outcome) error {
		b.At = at
		b.Records, b.Outcomes = append(b.Records, rec), append(b.Outcomes, o)
		return nil
	})
}

// newOutcome returns an empty outcome: a new one, or one of the Batch that is read into.
func (r *Reader) newOutcome() *wire.Outcome {
	if r.into == nil {
		return new(wire.Outcome)
	}
	if r.into.used == len(r.into.slots) {
		r.into.slots = append(r.into.slots, new(slot))
	}
	r.slot = r.into.slots[r.into.used]
	r.into.used++
	r.slot.outcome = wire.Outcome{}
	return &r.slot.outcome
}

// newRun returns the run of the last outcome.
func (r *Reader) newRun() *wire.MapResult {
	if r.slot == nil {
		return new(wire.MapResult)
	}
	r.slot.run = wire.MapResult{}
	return &r.slot.run
}

// newCounters returns the counters of the last outcome, whose names are those of r. All of them must be set.
func (r *Reader) newCounters() map[string]int64 {
	switch s := r.slot; {
	case s == nil:
		return make(map[string]int64, len(r.names))
	case s.counters == nil:
		s.counters = make(map[string]int64, len(r.names))
	case !sameList(s.names, r.names):
		clear(s.counters)
	}
	r.slot.names = r.names
	return r.slot.counters
}

// sameList says whether two lists are one.
func sameList(a, b []string) bool { return len(a) == len(b) && len(a) > 0 && &a[0] == &b[0] }
