package e2e

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/jobs/builtin"
	"github.com/millrace/millrace/storage/manifest"
	"github.com/millrace/millrace/storage/storagetest/servers"
	"github.com/millrace/millrace/worker"
)

// The metamorphic test: how a job is run must not show in what it makes. Each job has one baseline per place, run by one
// worker in one slot with all input in one split, which must equal the oracle's rows. Every other setting must then give
// the same parts to the byte, the same counters, and the same manifest but for its id and times. Since these and the
// workers' names do differ, equal bytes also say that no part holds them.

// setting is one way to run a job.
type setting struct {
	workers, slots int
	split          int64 // bytes
	memory         int64 // bytes a slot
	noBackup       bool
	shuffle        string
	compression    string
}

func (s setting) String() string {
	return fmt.Sprintf("workers=%d slots=%d split=%d memory=%d backup=%v shuffle=%s compression=%s", s.workers, s.slots, s.split, s.memory, !s.noBackup, s.shuffle, s.compression)
}

const (
	whole = 64 << 20 // a split size that no test input reaches

	tinyMemory  = worker.MinSlotMemory
	largeMemory = 64 << 20
)

// baseline is what the others are compared with.
var baseline = setting{workers: 1, slots: 1, split: whole, memory: largeMemory, noBackup: true, shuffle: "local", compression: "none"}

// dimensions are the values that a setting's fields take.
type dimensions struct {
	workers, slots  []int
	splits, memory  []int64
	noBackup        []bool
	shuffle, packed []string
}

// sizes is how many values each dimension has.
func (d dimensions) sizes() []int {
	return []int{len(d.workers), len(d.slots), len(d.splits), len(d.memory), len(d.noBackup), len(d.shuffle), len(d.packed)}
}

// at is the setting with the given choice in each dimension.
func (d dimensions) at(c []int) setting {
	return setting{d.workers[c[0]], d.slots[c[1]], d.splits[c[2]], d.memory[c[3]], d.noBackup[c[4]], d.shuffle[c[5]], d.packed[c[6]]}
}

// product yields every combination.
func (d dimensions) product() iter.Seq[setting] {
	return func(yield func(setting) bool) {
		sizes := d.sizes()
		for c := make([]int, len(sizes)); ; {
			if !yield(d.at(c)) {
				return
			}
			i := 0
			for ; i < len(c); i++ {
				if c[i]++; c[i] < sizes[i] {
					break
				}
				c[i] = 0
			}
			if i == len(c) {
				return
			}
		}
	}
}

// pairwise yields a few settings in which every two values of two dimensions meet: most faults that a combination brings out
// need no more than two. It takes the best of random candidates until all pairs are met.
func (d dimensions) pairwise(seed uint64) (out []setting) {
	type pair struct{ i, a, j, b int }
	sizes := d.sizes()
	left := map[pair]bool{}
	each := func(c []int, f func(pair)) {
		for i := range c {
			for j := range i {
				f(pair{i, c[i], j, c[j]})
			}
		}
	}
	for i := range sizes {
		for j := range i {
			for a := range sizes[i] {
				for b := range sizes[j] {
					left[pair{i, a, j, b}] = true
				}
			}
		}
	}
	rnd := rand.New(rand.NewPCG(seed, 0))
	for len(left) > 0 {
		var best []int
		most := 0
		for range 50 {
			c := make([]int, len(sizes))
			for i, n := range sizes {
				c[i] = rnd.IntN(n)
			}
			met := 0
			each(c, func(p pair) {
				if left[p] {
					met++
				}
			})
			if met > most {
				best, most = c, met
			}
		}
		if best != nil {
			each(best, func(p pair) { delete(left, p) })
			out = append(out, d.at(best))
		}
	}
	return out
}

// bench runs one workload in one place.
type bench struct {
	workload
	place  place
	input  string
	schema jobs.Schema
	temp   string // for the workers; empty between runs
	runs   atomic.Int64

	base   *product
	status *millrace.JobStatus // of the baseline
}

// newBench writes the input, runs the baseline and compares it with the oracle.
func newBench(t *testing.T, w workload, p place) *bench {
	t.Helper()
	w = w.in(p)
	b := &bench{workload: w, place: p, temp: t.TempDir()}
	ctx := t.Context()
	prog, err := w.job.Bind(w.params)
	if err != nil {
		t.Fatal(err)
	}
	b.schema = prog.Info().Schema
	if b.input, err = w.write(ctx, p); err != nil {
		t.Fatal(err)
	}
	if b.base, b.status, err = b.run(ctx, baseline); err != nil {
		t.Fatalf("%s in %s, baseline: %v", w.name, p.name, err)
	}
	want, err := w.oracle(p)
	if err != nil {
		t.Fatal(err)
	}
	if d := w.sameRows(b.base.rows, want.Rows()); d != "" {
		t.Fatalf("%s in %s: the baseline is not what the oracle says: %s", w.name, p.name, d)
	}
	if b.status.Records != want.Records || !maps.Equal(b.status.Counters, want.Counters) {
		t.Fatalf("%s in %s: the baseline counts %d records, %v; the oracle %d, %v", w.name, p.name, b.status.Records, b.status.Counters, want.Records, want.Counters)
	}
	t.Cleanup(func() {
		if left, err := os.ReadDir(b.temp); err != nil || len(left) > 0 {
			t.Errorf("%s in %s: the workers left %v in their temporary folder: %v", w.name, p.name, left, err)
		}
	})
	return b
}

// options are those of a run under a setting into a folder.
func (b *bench) options(s setting, folder string) millrace.Options {
	return millrace.Options{
		Inputs: b.stated(b.input), Output: folder, Params: b.params, Reducers: b.reducers, Store: b.place.store, TempDir: b.temp,
		Workers: s.workers, Slots: s.slots, Memory: s.memory * int64(s.slots*s.workers), SplitSize: s.split,
		NoBackup: s.noBackup, Shuffle: s.shuffle, Compression: s.compression,
	}
}

// run runs the job under a setting, and reads and removes its output.
func (b *bench) run(ctx context.Context, s setting) (*product, *millrace.JobStatus, error) {
	folder := fmt.Sprintf("%s/out-%s-%d", b.place.root, b.name, b.runs.Add(1))
	ctx, cancel := context.WithTimeout(ctx, runTimeout)
	defer cancel()
	status, err := millrace.Run(ctx, b.job, b.options(s, folder))
	if err != nil {
		return nil, nil, err
	}
	got, err := readProduct(ctx, b.place, folder, b.schema)
	if err != nil {
		return nil, nil, err
	}
	return got, status, b.remove(ctx, folder, got)
}

// runTimeout is far beyond what any run takes: one that reaches it hangs.
const runTimeout = 2 * time.Minute

// remove removes an output.
func (b *bench) remove(ctx context.Context, folder string, p *product) error {
	err := b.place.store.Remove(ctx, folder+"/"+manifest.Name)
	for _, part := range p.parts {
		err = errors.Join(err, b.place.store.Remove(ctx, folder+"/"+part.name))
	}
	return err
}

// check runs a setting and compares it with the baseline.
func (b *bench) check(t *testing.T, s setting) (*millrace.JobStatus, error) {
	got, status, err := b.run(t.Context(), s)
	if err == nil {
		err = b.same(s, got, status)
	}
	if err != nil {
		return nil, fmt.Errorf("%s in %s, %v: %w", b.name, b.place.name, s, err)
	}
	return status, nil
}

// same compares what a setting made with the baseline.
func (b *bench) same(s setting, got *product, status *millrace.JobStatus) error {
	m, base := *got.manifest, *b.base.manifest
	// The spec is how the job was run, which is what differs.
	for _, p := range []*manifest.Manifest{&m, &base} {
		p.ID, p.Spec, p.Submitted, p.Decided = "", nil, time.Time{}, time.Time{}
	}
	if s.compression == "none" {
		if d := got.diff(b.base); d != "" {
			return errors.New(d)
		}
	} else {
		if d := diffRows(got.rows, b.base.rows); d != "" && d != rowsEqual {
			return errors.New(d)
		}
		m.Parts, base.Parts, m.Bytes, base.Bytes = nil, nil, 0, 0
	}
	if !reflect.DeepEqual(m, base) {
		return fmt.Errorf("the manifest is %+v, the baseline's %+v", m, base)
	}
	if status.Records != b.status.Records || status.Rows != b.status.Rows || status.InBytes != b.status.InBytes || !maps.Equal(status.Counters, b.status.Counters) {
		return fmt.Errorf("%d bytes, %d records, %d rows, counters %v; the baseline has %d, %d, %d, %v", status.InBytes, status.Records, status.Rows, status.Counters,
			b.status.InBytes, b.status.Records, b.status.Rows, b.status.Counters)
	}
	return nil
}

// maxFailures is how many settings of a workload may differ before the others are left out: one fault often shows in all.
const maxFailures = 3

// checkAll checks settings side by side.
func (b *bench) checkAll(t *testing.T, settings iter.Seq[setting]) (spilled int64) {
	t.Helper()
	var g errgroup.Group
	g.SetLimit(sideBySide)
	var failed, spills, n atomic.Int64
	for s := range settings {
		g.Go(func() error {
			if failed.Load() >= maxFailures {
				return nil
			}
			status, err := b.check(t, s)
			if err != nil {
				failed.Add(1)
				t.Error(err)
				return nil
			}
			spills.Add(status.Spilled)
			n.Add(1)
			return nil
		})
	}
	_ = g.Wait()
	t.Logf("%s in %s: %d settings equal the baseline", b.name, b.place.name, n.Load())
	return spills.Load()
}

// sideBySide is how many jobs of a bench run at a time: they wait more than they compute.
const sideBySide = 4

// The values of settings. Few seeds and many values: what is left out by a pairwise choice, the product has.
var (
	allWorkers = []int{1, 2, 4}
	allSlots   = []int{1, 3}
	allMemory  = []int64{tinyMemory, largeMemory}
	allPacked  = []string{"none", "lz4", "zstd"}
	both       = []bool{false, true}
	shuffles   = []string{"local", "bucket"}
)

// seed chooses the settings of the pairwise tests.
const seed = 1

// Every combination of settings gives the baseline's bytes, over an input so small that it is cut at every byte.
func TestEverySetting(t *testing.T) {
	t.Parallel()
	d := dimensions{allWorkers, allSlots, []int64{1, 2, 7, 64, whole}, []int64{tinyMemory}, both, shuffles, []string{"none"}}
	pairs := d.pairwise(seed)
	eachJob(t, tiny(), func(t *testing.T, i int, w workload) {
		settings := d.product()
		if testing.Short() {
			settings = third(pairs, i)
		}
		newBench(t, w, inMemory()).checkAll(t, settings)
	})
}

// eachJob runs a test of each workload, one after the other: what runs side by side are the settings.
func eachJob(t *testing.T, list []workload, f func(*testing.T, int, workload)) {
	for i, w := range list {
		t.Run(w.name, func(t *testing.T) { f(t, i, w) })
	}
}

// third yields every third setting, from the i-th on: three workloads in a row meet all of them. It is for what the workload has no part in.
func third(settings []setting, i int) iter.Seq[setting] {
	return func(yield func(setting) bool) {
		for k := i % 3; k < len(settings); k += 3 {
			if !yield(settings[k]) {
				return
			}
		}
	}
}

// Over an input with all that breaks naive readers, any two settings together give the baseline's bytes; one run cuts
// at every byte.
func TestNastyInput(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("LEFT OUT: the nasty input: -short")
	}
	d := dimensions{allWorkers, allSlots, []int64{7, 64, 500, whole}, allMemory, both, shuffles, allPacked}
	settings := d.pairwise(seed)
	s := baseline
	s.split, s.workers, s.slots = 1, 2, 3
	settings = append(settings, s)
	eachJob(t, small(), func(t *testing.T, _ int, w workload) {
		newBench(t, w, inMemory()).checkAll(t, slices.Values(settings))
	})
}

// Megabytes, with memory so small that it spills, give the bytes that they give with plenty.
func TestLargeInput(t *testing.T) {
	t.Parallel()
	d := dimensions{allWorkers, allSlots, []int64{64 << 10, 1 << 20, whole}, allMemory, both, shuffles, allPacked}
	settings := d.pairwise(seed)
	list := large(t)
	if testing.Short() {
		s := baseline
		s.split, s.memory, s.slots = 1<<20, tinyMemory, 2
		settings, list = []setting{s}, list[3:4]
	}
	eachJob(t, list, func(t *testing.T, _ int, w workload) {
		spilled := newBench(t, w, inFiles(t)).checkAll(t, slices.Values(settings))
		if w.name == "sort-lines" && spilled == 0 {
			t.Error("nothing was spilled: the least memory is too much for this test")
		}
	})
}

// On real S3 servers the parts are those that other settings give there, and but for grep, whose rows name the files,
// those of the memory and of local files. A server sees the same calls whatever the job, so that each job is run in some settings.
func TestServers(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("LEFT OUT: jobs on S3 servers: -short")
	}
	for name, start := range map[string]func(testing.TB) *servers.Server{"minio": servers.MinIO, "versitygw": servers.VersityGW} {
		t.Run(name, func(t *testing.T) {
			p := inBucket(t, name, start(t))
			d := dimensions{[]int{1, 4}, allSlots, []int64{100, whole}, allMemory, both, shuffles, []string{"none"}}
			pairs := d.pairwise(seed)
			eachJob(t, small(), func(t *testing.T, i int, w workload) {
				b := newBench(t, w, p)
				b.checkAll(t, third(pairs, i))
				b.sameElsewhere(t, inMemory())
			})
			d.splits = []int64{1 << 20, whole}
			p.root += "/large"
			list := slices.DeleteFunc(large(t), func(w workload) bool { return w.name != "wordcount" && w.name != "sort-records" })
			eachJob(t, list, func(t *testing.T, _ int, w workload) {
				b := newBench(t, w, p)
				b.checkAll(t, slices.Values(d.pairwise(seed)[:2]))
				b.sameElsewhere(t, inFiles(t))
			})
		})
	}
}

// sameElsewhere compares the baseline with that of another place.
func (b *bench) sameElsewhere(t *testing.T, p place) {
	t.Helper()
	if b.job.Name() == "grep" {
		return
	}
	if d := newBench(t, b.workload, p).base.diff(b.base); d != "" {
		t.Errorf("%s in %s and %s: %s", b.name, p.name, b.place.name, d)
	}
}

// A cluster of processes gives the bytes that one worker in this process gives.
func TestProcesses(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("LEFT OUT: jobs on a cluster of processes: -short")
	}
	server := servers.MinIO(t)
	p := inBucket(t, "minio", server)
	ctx, cancel := context.WithTimeout(t.Context(), runTimeout)
	defer cancel()
	settings := []setting{
		{split: 1 << 20, shuffle: "local", compression: "none"},
		{split: 300 << 10, shuffle: "bucket", compression: "none", noBackup: true},
	}
	const workers = 3
	c := startCluster(ctx, t, server, workers)
	for _, w := range large(t) {
		if !slices.ContainsFunc(builtin.All(), func(j *jobs.Job) bool { return j.Name() == w.job.Name() }) { // the binary does not carry it
			continue
		}
		b := newBench(t, w, p)
		for i, s := range settings {
			s.workers, s.slots, s.memory = workers, 1, clusterMemory
			folder := fmt.Sprintf("%s/out-%s-processes-%d", p.root, w.name, i)
			status := c.finish(ctx, c.submit(ctx, b.workload, b.options(s, folder)))
			got, err := readProduct(ctx, p, folder, b.schema)
			if err == nil {
				err = b.same(s, got, status)
			}
			if err != nil {
				t.Errorf("%s in %d processes, %v: %v", w.name, workers, s, err)
			}
		}
	}
	c.wantNoTemp()
}

// A job that runs again with overwrite makes the same output again; with fewer partitions the parts of before are gone.
func TestOverwrite(t *testing.T) {
	t.Parallel()
	for _, p := range []place{inMemory(), inFiles(t)} {
		w := tiny()[0]
		b := newBench(t, w, p)
		folder := p.root + "/again"
		for i, reducers := range []int{w.reducers, w.reducers, 1} {
			o := b.options(baseline, folder)
			o.Reducers, o.Overwrite = reducers, i > 0
			if _, err := millrace.Run(t.Context(), w.job, o); err != nil {
				t.Fatalf("run %d in %s: %v", i, p.name, err)
			}
			got, err := readProduct(t.Context(), p, folder, b.schema)
			if err != nil {
				t.Fatalf("run %d in %s: %v", i, p.name, err)
			}
			if d := got.diff(b.base); reducers == w.reducers && d != "" {
				t.Errorf("run %d in %s: %s", i, p.name, d)
			}
			if d := w.sameRows(got.rows, b.base.rows); d != "" {
				t.Errorf("run %d in %s: %s", i, p.name, d)
			}
		}
	}
}
