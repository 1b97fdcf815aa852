package sched_test

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/millrace/millrace/master/sched"
)

// mutation is a guard that is broken on purpose, to show that the simulation would miss it: one of the model below, or one of
// the scheduler's, by its name.
type mutation struct {
	model guard
	sched string
}

var none mutation

// guard is a rule that a master, etcd or a worker keeps, and that the model can break.
type guard int

const (
	unfencedWrites guard = 1 + iota
	believedCampaign
	unguardedTerm
	leadsAfterLease
	effectsBeforeRecords
	lateChanges
	completeBeforeDecision
	uncheckedUploads
	unswept
	acceptedOldTerms
	blindToChecksums
	hastyManifest
	unclaimed
	hastyAccept
	guards
)

var guardNames = [guards]string{
	unfencedWrites:         "a write of an old term is refused",
	believedCampaign:       "the leader key is read back after a campaign",
	unguardedTerm:          "a term begins only under the leader key",
	leadsAfterLease:        "a leader stops before its lease is over",
	effectsBeforeRecords:   "a run is shown when its record is durable",
	lateChanges:            "a leader changes nothing in the storage when its term may be over",
	completeBeforeDecision: "uploads are completed after the decision",
	uncheckedUploads:       "uploads are looked up before the decision",
	unswept:                "uploads that lost are aborted before the manifest is written",
	acceptedOldTerms:       "workers refuse answers of old terms",
	blindToChecksums:       "the checksums of runs are compared",
	hastyManifest:          "the manifest is written when no removal can come late",
	unclaimed:              "an output is one job's",
	hastyAccept:            "a submission is answered when it is durable",
}

func (w *world) broken(g guard) bool { return w.mutation.model == g }

// shownSum is the checksum that the scheduler is told.
func (w *world) shownSum(sum uint64) uint64 {
	if w.broken(blindToChecksums) {
		return 0
	}
	return sum
}

// wall is the wall clock of a process, which nobody may rely on.
func (w *world) wall(p *proc) time.Duration {
	return p.clock() + time.Duration(w.rng.Int64N(int64(time.Hour)))
}

// mutationSeeds is how many seeds may be needed to notice that a guard is missing.
const mutationSeeds = 1500

// hints are seeds that notice soon what few do: they are tried first, so that the test is short. Others do as well.
var hints = map[string]uint64{
	guardNames[lateChanges]:                              615,
	guardNames[hastyAccept]:                              4879,
	guardNames[acceptedOldTerms]:                         50,
	guardNames[blindToChecksums]:                         8,
	guardNames[hastyManifest]:                            318,
	"fetch failures are not charged":                     579,
	"a cancel after the decision has no effect":          333,
	"a killed attempt's result does not count":           8,
	"a map that repeats itself differently ends its job": 8,
	"the runs of a lost worker are lost":                 6,
}

// TestSimulationMisses proves that the simulation notices when any one guard is missing: without each, some seed fails.
func TestSimulationMisses(t *testing.T) {
	t.Parallel()
	list := map[string]mutation{}
	for g := range guards {
		if g > 0 {
			list[guardNames[g]] = mutation{model: g}
		}
	}
	for name := range sched.Guards {
		list[name] = mutation{sched: name}
	}
	for _, name := range slices.Sorted(maps.Keys(list)) {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(mutationSeeds) {
				if seed == 0 {
					seed = hints[name]
				}
				if err := simulate(seed, list[name], nil); err != nil {
					t.Logf("noticed: %.200s", err.Error())
					return
				}
			}
			t.Errorf("in %d seeds nobody missed it", mutationSeeds)
		})
	}
}
