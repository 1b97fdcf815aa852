package sched

// What the simulation, which is outside of this package as the master is, needs of its inside.

// SameAfterReplay is sameAfterReplay.
var SameAfterReplay = sameAfterReplay

// The guards, by the words of what they keep.
var Guards = map[string]guard{
	"a map that repeats itself differently ends its job": sameResult,
	"fetch failures are not charged":                     unchargedFetch,
	"the runs of a lost worker are lost":                 runsGo,
	"a cancel after the decision has no effect":          decisionStands,
	"attempts of different terms have different numbers": ownNumbers,
	"a killed attempt's result does not count":           killedIsOver,
	"the loss of a run is recorded":                      lossRecorded,
	"lost parts are made again":                          partsRemade,
	"reduces give up slots that maps need":               mapsFirst,
}

// Without returns options for a scheduler that lacks the named guard; "" is none.
func Without(o Options, name string) Options {
	o.without = Guards[name]
	return o
}
