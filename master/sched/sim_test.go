package sched_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

var (
	simSeeds = flag.Int("sim.seeds", 1000, "how many seeds the simulation runs")
	simFrom  = flag.Uint64("sim.from", 1, "the first seed of the simulation")
	simFor   = flag.Duration("sim.for", 0, "how long the simulation begins further seeds, instead of -sim.seeds; 0: see there")
	simAll   = flag.Bool("sim.all", false, "go on after a seed that fails, and tell of all")
	simTrace = flag.Bool("sim.trace", false, "print every step of the simulation")
)

// simulate runs a seed, with a guard broken or none, and returns its violation.
func simulate(seed uint64, m mutation, stats *simStats) error {
	w := newWorld(seed, m)
	if *simTrace {
		w.out = os.Stdout
	}
	w.live()
	if stats != nil {
		stats.count(statSeeds)
		stats.add(w.stats)
	}
	if w.err != nil {
		return fmt.Errorf("seed %d %w\nrepeat it step by step with: go test ./master/sched -run 'TestSimulation$' -sim.from %d -sim.seeds 1 -sim.trace", seed, w.err, seed)
	}
	return nil
}

// simulateAll runs seeds on all cores while next gives any. It stops when one has failed, unless -sim.all says otherwise.
func simulateAll(next func() (uint64, bool), total *simStats) error {
	var group errgroup.Group
	var failed atomic.Bool
	for range runtime.GOMAXPROCS(0) {
		group.Go(func() (errs error) {
			for {
				seed, ok := next()
				if !ok || failed.Load() && !*simAll {
					return errs
				}
				if err := simulate(seed, none, total); err != nil {
					failed.Store(true)
					errs = errors.Join(errs, err)
				}
			}
		})
	}
	return group.Wait()
}

// TestSimulation proves what docs/reliability.md promises, for any mix of faults: see there.
func TestSimulation(t *testing.T) {
	t.Parallel()
	var total simStats
	var begun atomic.Int64
	start := time.Now()
	told := atomic.Int64{}
	seeds := *simSeeds
	if testing.Short() {
		seeds = min(seeds, 25)
	}
	next := func() (uint64, bool) {
		n := begun.Add(1) - 1
		if minutes := int64(time.Since(start) / time.Minute); told.Swap(minutes) < minutes && (*simFor > 0 || seeds > 1000) {
			fmt.Printf("%v: %v\n", time.Since(start).Round(time.Second), &total)
		}
		return *simFrom + uint64(n), *simFor > 0 && time.Since(start) < *simFor || *simFor == 0 && n < int64(seeds)
	}
	if err := simulateAll(next, &total); err != nil {
		t.Fatal(err)
	}
	t.Log(total.String())
	if total.counts[statSeeds].Load() >= 1000 {
		total.demandAll(t)
	}
}

// TestSimulationRepeats proves that a seed gives the same trace each time, so that a failure can be looked at again, and
// that other seeds give others.
func TestSimulationRepeats(t *testing.T) {
	t.Parallel()
	seen := map[uint64]uint64{}
	seeds := uint64(20)
	if testing.Short() {
		seeds = 5
	}
	for seed := uint64(1); seed <= seeds; seed++ {
		var traces [2]uint64
		for i := range traces {
			w := newWorld(seed, none)
			w.live()
			if w.err != nil {
				t.Fatalf("seed %d: %v", seed, w.err)
			}
			traces[i] = w.trace
		}
		if traces[0] != traces[1] {
			t.Errorf("seed %d: traces %x and %x differ", seed, traces[0], traces[1])
		}
		if other, ok := seen[traces[0]]; ok {
			t.Errorf("seeds %d and %d have the same trace", seed, other)
		}
		seen[traces[0]] = seed
	}
}
