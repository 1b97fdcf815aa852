// Package laps tells where the time of an attempt goes: a watch that is always in one step, so that the steps' times add up
// to the whole. It is switched once a block or batch, never once a record. It knows no tasks; the task bodies and package
// shuffle switch it.
package laps

import "time"

// Step is what an attempt does.
type Step uint8

const (
	Other   Step = iota // asks for the job, loads its code, cleans up
	Wait                // a reduce: waits for maps that have no run yet
	Read                // waits for input
	Map                 // runs the map function, and the program's own combine table
	Combine             // combines sorted pairs
	Sort                // partitions and sorts pairs
	Spill               // writes temporary files
	Fetch               // fetches runs
	Merge               // merges sorted pairs
	Reduce              // runs the reduce function
	Write               // writes the run or the part
	Steps               // how many there are
)

// Watch measures the steps of one goroutine. A nil watch measures nothing.
type Watch struct {
	spent [Steps]time.Duration
	step  Step
	since time.Time
}

// Start returns a watch that is in Other.
func Start() *Watch { return &Watch{since: time.Now()} }

// To begins a step and returns the one that it ends, which its caller goes back to afterwards.
func (w *Watch) To(s Step) (was Step) {
	if w == nil {
		return Other
	}
	now := time.Now()
	was = w.step
	w.spent[was] += now.Sub(w.since)
	w.step, w.since = s, now
	return was
}

// Move counts d of one step's time, as much as there is, as another's.
func (w *Watch) Move(from, to Step, d time.Duration) {
	if w == nil {
		return
	}
	d = max(0, min(d, w.spent[from]))
	w.spent[from] -= d
	w.spent[to] += d
}

// Spent returns the times so far, by step.
func (w *Watch) Spent() [Steps]time.Duration {
	if w == nil {
		return [Steps]time.Duration{}
	}
	w.To(w.step)
	return w.spent
}
