package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/jobs/sortrecords"
	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/localstore"
	"github.com/millrace/millrace/storage/manifest"
	"github.com/millrace/millrace/storage/memstore"
	"github.com/millrace/millrace/storage/storagetest"
)

// Faults from the storage: one call of a small job goes wrong, and then the next one in another run, until every call of
// every operation has. Each time the job must end with the baseline's bytes, or fail and say what failed, and then its output
// must be empty. It must never be wrong and never hang.
//
// A flipped bit is tested where a checksum could notice it, in the runs that lie in the bucket. In an input nothing can:
// plain text has no checksum, and a bucket that returns other bytes than were stored gives another job.

// trouble is a way in which calls of some operations go wrong.
type trouble struct {
	name  string
	ops   []storagetest.Op
	fault storagetest.Fault // without Op and Nth
	// mends says that the Store overcomes it by itself, so that the job must not fail.
	mends bool
}

var (
	allOps   = []storagetest.Op{storagetest.OpList, storagetest.OpRead, storagetest.OpPut, storagetest.OpRemove, storagetest.OpCreate, storagetest.OpPart, storagetest.OpComplete, storagetest.OpAbort, storagetest.OpUploads}
	writeOps = []storagetest.Op{storagetest.OpPut, storagetest.OpRemove, storagetest.OpCreate, storagetest.OpPart, storagetest.OpComplete, storagetest.OpAbort}
	bodyOps  = []storagetest.Op{storagetest.OpList, storagetest.OpRead}
)

// errFinal is an error that no retry overcomes, and which no backend really gives.
var errFinal = errors.New("injected: the disk is on fire")

func troubles() []trouble {
	return []trouble{
		{"fails", allOps, storagetest.Fault{}, true},
		{"is slowed down", allOps, storagetest.Fault{Kind: storagetest.SlowDown, Times: faultAttempts - 1}, true},
		{"fails as often as it is tried", allOps, storagetest.Fault{Times: faultAttempts}, false},
		{"fails for good", allOps, storagetest.Fault{Err: errFinal}, false},
		{"loses its answer", writeOps, storagetest.Fault{Kind: storagetest.LoseAnswer}, true},
		{"stalls", allOps, storagetest.Fault{Kind: storagetest.Stall}, true},
		{"stalls inside", bodyOps, storagetest.Fault{Kind: storagetest.Stall, After: 2}, true},
		{"is cut", bodyOps, storagetest.Fault{Kind: storagetest.Cut, After: 1}, true},
		{"is short", []storagetest.Op{storagetest.OpRead}, storagetest.Fault{Kind: storagetest.Cut, After: 3, Err: io.EOF}, true},
		{"breaks off", bodyOps, storagetest.Fault{Kind: storagetest.Cut, After: 2, Err: errFinal}, false},
	}
}

// worst are those of them that differ most in what they leave behind.
func worst() []trouble {
	return slices.DeleteFunc(troubles(), func(tr trouble) bool {
		return !slices.Contains([]string{"fails as often as it is tried", "fails for good", "loses its answer", "breaks off"}, tr.name)
	})
}

const (
	faultAttempts = 3                      // tries of a call
	faultStall    = 200 * time.Millisecond // until a stalled call is given up
	faultComputes = 2 * time.Second        // within which a run that does not wait has ended
	faultTimeout  = time.Minute            // for a run that takes some 20 ms, or a few stalls: one that reaches it hangs
)

// faultSetting has all kinds of tasks more than once, and two workers.
var faultSetting = setting{workers: 2, slots: 1, split: 20, memory: tinyMemory, noBackup: true, shuffle: "local", compression: "none"}

// faultBench is a workload in a place of which every run has a faulty view.
type faultBench struct {
	*bench
	backend storage.Backend
	scheme  string
	setting setting
	before  []string // what the output holds before a run that is to replace it
	runs    atomic.Int64
	places  chan struct{}
}

// newFaultBench prepares the workload on a backend.
func newFaultBench(t *testing.T, scheme, shuffle string) *faultBench {
	t.Helper()
	w := workload{name: "sort", job: sortrecords.Job(), params: map[string]string{"format": "bytes"}, reducers: 2, files: tiny()[0].files, sorted: true}
	fb := &faultBench{scheme: scheme, setting: faultSetting, places: make(chan struct{}, 2*sideBySide)}
	fb.setting.shuffle = shuffle
	p := inFiles(t)
	open, host := localstore.Opener(localstore.Options{}), ""
	if scheme == "mem" {
		open = memstore.Opener()
		host = "e2e"
		p = place{"memory", storage.New(storage.Options{Schemes: map[string]storage.Opener{"mem": open}}), "mem://e2e"}
	}
	b, err := open(t.Context(), host)
	if err != nil {
		t.Fatal(err)
	}
	fb.backend, fb.bench = b, newBench(t, w, p)
	return fb
}

// faulty is the outcome of a run under faults.
type faulty struct {
	folder string // of its output
	f      *storagetest.FaultyBackend
	err    error
}

// enter waits for one of the places in which runs compute, and returns what leaves it. A run that takes longer waits for something, as
// for a removal that may come late, and others compute meanwhile.
func (b *faultBench) enter() (leave func()) {
	b.places <- struct{}{}
	leave = sync.OnceFunc(func() { <-b.places })
	time.AfterFunc(faultComputes, leave)
	return leave
}

// run runs the job while the planned faults happen. If there was an output before, it is to be overwritten.
func (b *faultBench) run(ctx context.Context, plan ...storagetest.Fault) faulty {
	f := storagetest.Faulty(b.backend)
	folder := fmt.Sprintf("%s/faulty-%d", b.place.root, b.runs.Add(1))
	o := b.options(b.setting, folder)
	ctx, cancel := context.WithTimeout(ctx, faultTimeout)
	defer cancel()
	if b.before != nil {
		o.Overwrite, o.Reducers = true, b.reducers+1
		if _, err := millrace.Run(ctx, b.job, o); err != nil {
			return faulty{folder, f, fmt.Errorf("the run before: %w", err)}
		}
		o.Reducers = b.reducers
	}
	o.Store = storage.New(storage.Options{
		Schemes:  map[string]storage.Opener{b.scheme: f.Opener()},
		Attempts: faultAttempts, CallTimeout: faultStall, IdleTimeout: faultStall,
		Sleep: func(ctx context.Context, _ time.Duration) error { return ctx.Err() },
	})
	f.Plan(plan...)
	_, err := millrace.Run(ctx, b.job, o)
	if ctx.Err() != nil {
		err = fmt.Errorf("%w: %v", errHangs, err)
	}
	return faulty{folder, f, err}
}

var errHangs = errors.New("the job hangs")

// judge says what is wrong with the end of a run. mends says that the job must not fail, orphans that the faults may have kept
// the master from removing pending uploads, which nobody sees, and its claim, which readers do not see.
func (b *faultBench) judge(ctx context.Context, r faulty, mends, orphans bool) error {
	switch {
	case errors.Is(r.err, errHangs):
		return r.err
	case r.err == nil:
		if orphans { // nor the claim, after the commit: whoever sees it is told how to remove it
			if err := b.place.store.Remove(ctx, r.folder+"/"+manifest.ClaimName); err != nil {
				return err
			}
		}
		got, err := readProduct(ctx, b.place, r.folder, b.schema)
		if err != nil {
			return fmt.Errorf("the job was committed, but %w", err)
		}
		if d := got.diff(b.base); d != "" {
			return fmt.Errorf("the job was committed wrong: %s", d)
		}
		return b.remove(ctx, r.folder, got)
	case mends:
		return fmt.Errorf("the job failed, and need not have: %w", r.err)
	case !strings.Contains(r.err.Error(), b.scheme+"://"):
		return fmt.Errorf("the job failed and does not say with what: %w", r.err)
	}
	left, err := leftovers(ctx, b.place, r.folder)
	if orphans {
		left = slices.DeleteFunc(left, func(name string) bool { return strings.HasPrefix(name, "pending ") || strings.HasPrefix(name, ".") })
	}
	if err != nil || !slices.Equal(left, b.before) {
		return fmt.Errorf("the job failed (%v), its output holds %q, not %q: %v", r.err, left, b.before, err)
	}
	return nil
}

// sweep makes each call of an operation go wrong, one in each run, beside the faults in also, which may fail the job by
// themselves.
func (b *faultBench) sweep(t *testing.T, tr trouble, also ...storagetest.Fault) {
	t.Helper()
	count := b.run(t.Context(), also...)
	if err := b.judge(t.Context(), count, len(also) == 0, false); err != nil {
		t.Errorf("without the fault: %v", err) // not Fatal: sweeps run side by side
		return
	}
	var g sync.WaitGroup
	var right, failed, hits atomic.Int64
	for _, op := range tr.ops {
		// A few more than were counted: retries, and attempts that come in another order, make calls of their own.
		for n := 1; n <= count.f.Calls(op)+2; n++ {
			g.Go(func() {
				fault := tr.fault
				fault.Op, fault.Nth = op, n
				leave := b.enter()
				r := b.run(t.Context(), append(slices.Clone(also), fault)...)
				leave()
				if err := b.judge(t.Context(), r, tr.mends && count.err == nil, !tr.mends); err != nil {
					t.Errorf("%s, call %d %s: %v", op, n, tr.name, err)
				}
				hits.Add(int64(r.f.Hits()))
				if r.err == nil {
					right.Add(1)
				} else {
					failed.Add(1)
				}
			})
		}
	}
	g.Wait()
	t.Logf("a call %s: %d jobs ended right, %d failed by name", tr.name, right.Load(), failed.Load())
	if hits.Load() == 0 {
		t.Error("no call was hit: this proves nothing")
	}
}

// Whatever one call of the storage does, the job ends right or fails by name.
func TestFaults(t *testing.T) {
	t.Parallel()
	for _, scheme := range []string{"mem", "file"} {
		for _, shuffle := range shuffles {
			t.Run(scheme+" "+shuffle, func(t *testing.T) {
				if testing.Short() && (scheme == "file" || shuffle == "local") {
					t.Skip("LEFT OUT: faults of local files, and with runs at the workers: -short")
				}
				b := newFaultBench(t, scheme, shuffle)
				list := troubles()
				if testing.Short() || scheme == "file" && shuffle == "bucket" {
					list = worst()
				}
				for _, tr := range list {
					t.Run(tr.name, func(t *testing.T) { b.sweep(t, tr) })
				}
			})
		}
	}
}

// The same holds while the job cleans up after an attempt that failed, and after itself.
func TestFaultsWhileCleaningUp(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("LEFT OUT: faults while cleaning up: -short")
	}
	for name, also := range map[string]storagetest.Fault{
		"an attempt failed": {Op: storagetest.OpPart, Key: "**/part-00001.*", Err: errFinal},
		"the job failed":    {Op: storagetest.OpPart, Key: "**/part-00001.*", Err: errFinal, Times: -1},
		"a map fails":       {Op: storagetest.OpPart, Key: "**/map-00001.*", Err: errFinal, Times: -1},
	} {
		t.Run(name, func(t *testing.T) {
			b := newFaultBench(t, "mem", "bucket")
			for _, tr := range worst() {
				b.sweep(t, tr, also)
			}
		})
	}
}

// A job that fails before its commit leaves the output alone that it was to replace.
func TestFaultsOverOldOutput(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("LEFT OUT: faults over an output that is replaced: -short")
	}
	var sweeps sync.WaitGroup
	places := make(chan struct{}, 2*sideBySide)
	for _, scheme := range []string{"mem", "file"} {
		b := newFaultBench(t, scheme, "local")
		b.places = places
		b.before = []string{"_SUCCESS", "part-00000.arrow", "part-00001.arrow", "part-00002.arrow"}
		for _, tr := range worst() { // side by side: the master waits 20 s for a removal that failed
			sweeps.Go(func() { b.sweep(t, tr) })
		}
	}
	sweeps.Wait()
}

// A bit that flips in a run on its way to a reducer is noticed, wherever it is.
func TestFlippedBits(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("LEFT OUT: flipped bits: -short")
	}
	b := newFaultBench(t, "mem", "bucket")
	for _, at := range []int64{0, 1, 7, 16, 31, 48, 64, 97, 130} {
		name := fmt.Sprintf("flips bit 0 of byte %d", at)
		b.sweep(t, trouble{name, []storagetest.Op{storagetest.OpRead}, storagetest.Fault{Kind: storagetest.Flip, Key: "**/*.run", After: at}, false})
	}
}

// A storage of which every second or third call goes wrong is slow, and the job right.
func TestFaultsAllTheTime(t *testing.T) {
	t.Parallel()
	for _, shuffle := range shuffles {
		b := newFaultBench(t, "mem", shuffle)
		for _, kind := range []storagetest.Kind{storagetest.Fail, storagetest.SlowDown, storagetest.LoseAnswer, storagetest.Cut} {
			for every := 2; every <= 5; every++ {
				r := b.run(t.Context(), storagetest.Fault{Kind: kind, Times: -1, Every: every, After: 5})
				if err := b.judge(t.Context(), r, false, true); err != nil {
					t.Errorf("kind %d, every call in %d, shuffle %s: %v", kind, every, shuffle, err)
				}
			}
		}
	}
}
