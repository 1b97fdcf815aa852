package sched

// guard names a check whose absence the simulation must notice. Its tests leave one out at a time (Options.without, which only
// they can set), to show that it is not there in vain.
type guard uint8

const (
	sameResult     guard = 1 + iota // a map that repeats itself differently ends its job
	unchargedFetch                  // a reduce task is not charged for a run that it cannot read
	runsGo                          // the runs of a lost worker are lost
	decisionStands                  // a cancel after the decision has no effect
	ownNumbers                      // attempts of different terms have different numbers
	killedIsOver                    // the result of a killed attempt does not count
	lossRecorded                    // that a run is lost becomes durable
	partsRemade                     // parts that are gone are made again
	mapsFirst                       // reduces give up slots that maps need
)

// keeps says whether a guard is there.
func (s *State) keeps(g guard) bool { return s.o.without != g }
