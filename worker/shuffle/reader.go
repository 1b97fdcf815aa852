package shuffle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/millrace/millrace/storage/runfile"
	"github.com/millrace/millrace/worker/laps"
)

// ReaderOptions configure a Reader.
type ReaderOptions struct {
	Partition int
	Open      Opener // required
	// Memory is the budget in bytes: half of it for sections, a quarter for fetches in flight, the rest for merging.
	// Less than MinMemory counts as that. Default: 64 MiB.
	Memory int64
	Dir    string        // of temporary files; default: the system's
	Stall  time.Duration // a fetch that brings no byte for that long is tried anew; default: 15 s
	// Sleep waits between two tries, Rand (in [0, 1)) gives their jitter and the order of fetches. Default: real ones.
	Sleep func(ctx context.Context, d time.Duration) error
	Rand  func() float64
	Laps  *laps.Watch // of the goroutine that calls Next; default: none
}

// maxParallel is how many sections are fetched at once at most: enough to hide the latency of small ones.
const maxParallel = 8

// Reader gives a reduce attempt its partition's pairs of all maps. The caller tells it which runs there are (Total, Add,
// Lost, from any goroutine) while Run fetches them; Next waits for Run and then yields the merged pairs.
// It implements jobs.PairSource.
type Reader struct {
	o       ReaderOptions
	fetched atomic.Int64
	spilled atomic.Int64
	done    chan struct{} // closed when Run has returned
	err     error         // what Run returned; valid once done is closed
	idle    time.Duration // of Run, without a run to fetch; valid once done is closed
	merging time.Duration // of Run, until one merge was left; valid once done is closed
	waited  bool          // Next has waited for done
	changed chan struct{} // holds a token when something happened since Run looked

	mu      sync.Mutex
	total   int // number of maps; -1: not known yet
	maps    map[int]*mapRun
	pending []*mapRun        // to fetch, lost ones among them
	paces   map[string]*pace // of the workers that serve runs, by host
	added   time.Time        // when the last run became known
	got     int              // maps whose section is here
	memory  int64            // bytes of the sections in memory
	temp    *os.File         // sections on disk, end to end; nil before the first one
	tempEnd int64

	sources []*source // to merge, in map order; set before done is closed
	merge   merger
	last    error
}

// mapRun is a map's run, of the attempt that counts now. Lost takes it out of Reader.maps unless it is got.
type mapRun struct {
	run  Run
	pace *pace // of the worker that serves it
	arriving
	source *source            // once fetched
	cancel context.CancelFunc // while it is fetched
	lost   bool
}

// NewReader returns a reader that knows of no runs.
func NewReader(o ReaderOptions) *Reader {
	if o.Memory == 0 {
		o.Memory = defaultMemory
	}
	o.Memory = max(o.Memory, MinMemory)
	if o.Stall == 0 {
		o.Stall = defaultStall
	}
	if o.Sleep == nil {
		o.Sleep = sleep
	}
	if o.Rand == nil {
		o.Rand = rand.Float64
	}
	return &Reader{o: o, total: -1, maps: map[int]*mapRun{}, paces: map[string]*pace{}, done: make(chan struct{}), changed: make(chan struct{}, 1)}
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// Total says how many maps there are.
func (r *Reader) Total(maps int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.total = maps
	r.notify()
}

// Add says that a map's run can be read. A map whose section is here, or being fetched, keeps what it has: the master sees
// to it that all runs of a map are equal.
func (r *Reader) Add(index, attempt int, url string, size int64, checksum uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.maps[index] != nil {
		return
	}
	m := &mapRun{run: Run{Map: index, Attempt: attempt, URL: url, Size: size, Checksum: checksum}}
	if m.pace = r.paceOf(m.run); m.pace != nil {
		m.pace.runs++
	}
	r.added = time.Now()
	r.maps[index] = m
	r.pending = append(r.pending, m)
	r.notify()
}

// Lost says that a map attempt's run can be read no more. A section that is here stays good.
func (r *Reader) Lost(index, attempt int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.maps[index]
	if m == nil || m.source != nil || m.run.Attempt != attempt {
		return
	}
	m.lost = true
	if m.cancel != nil {
		m.cancel()
	}
	if m.pace != nil {
		m.pace.runs--
	}
	delete(r.maps, index)
}

func (r *Reader) notify() {
	select {
	case r.changed <- struct{}{}:
	default:
	}
}

// Fetched is the number of bytes fetched and verified so far.
func (r *Reader) Fetched() int64 { return r.fetched.Load() }

// Spilled is the number of bytes written to temporary files so far.
func (r *Reader) Spilled() int64 { return r.spilled.Load() }

// Run fetches the section of every map's run as the runs become known, and merges until one merge is left. A run that
// cannot be read ends it with a *FetchError. It is called once.
func (r *Reader) Run(ctx context.Context) error {
	defer close(r.done)
	r.err = r.fetchAll(ctx)
	if r.err == nil {
		begun := time.Now()
		r.err = r.prepare(ctx)
		r.merging = time.Since(begun)
	}
	return r.err
}

func (r *Reader) fetchAll(ctx context.Context) error {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(r.parallel())
	var busy atomic.Int64
	for !r.complete() {
		m := r.take()
		if m == nil {
			begun, idle := time.Now(), busy.Load() == 0
			select {
			case <-r.changed:
				if idle {
					r.idle += time.Since(begun)
				}
				continue
			case <-gctx.Done():
			}
			break
		}
		busy.Add(1)
		g.Go(func() error {
			defer r.notify() // also when the run is lost: what follows is idle time
			defer busy.Add(-1)
			return r.fetchMap(gctx, m)
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return ctx.Err()
}

// parallel is how many fetches the budget lets run at once: each has a block in its hands.
func (r *Reader) parallel() int {
	return int(min(max(r.o.Memory/4/runfile.BlockSize, 1), maxParallel))
}

func (r *Reader) complete() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.got == r.total
}

// takeChoices is of how many runs drawn by chance the next one is taken.
const takeChoices = 4

// take picks a run to fetch, any one: in the order of the log, all reducers would ask the same worker at once. Of a few it takes that of
// the worker which is asked for the fewest now, so that one that sends slowly does not have all fetches wait for it.
func (r *Reader) take() *mapRun {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.pending) > 0 {
		i, last := r.draw(), len(r.pending)-1
		for range takeChoices - 1 {
			if k := r.draw(); r.pending[k].pace.asked() < r.pending[i].pace.asked() {
				i = k
			}
		}
		m := r.pending[i]
		r.pending[i], r.pending = r.pending[last], r.pending[:last]
		if !m.lost {
			m.pace.begin()
			return m
		}
	}
	return nil
}

func (r *Reader) draw() int { return int(r.o.Rand() * float64(len(r.pending))) }

// fetchMap fetches a run, unless it is lost.
func (r *Reader) fetchMap(ctx context.Context, m *mapRun) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r.mu.Lock()
	lost := m.lost
	m.cancel = cancel
	r.mu.Unlock()
	var s *source
	var err error
	if !lost {
		s, err = r.fetch(ctx, m)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	m.pace.end()
	if m.lost {
		if s != nil {
			r.releaseLocked(s)
		}
		return nil
	}
	if err != nil {
		return err
	}
	m.source, m.cancel = s, nil
	m.pace.came(s)
	r.got++
	r.notify()
	return nil
}

// Next returns the next batch of merged pairs, about 256 KiB in fresh memory, and io.EOF at the end. It waits for Run.
func (r *Reader) Next() ([]byte, error) {
	defer r.o.Laps.To(r.wait())
	if r.err != nil {
		return nil, r.err
	}
	if r.last != nil {
		return nil, r.last
	}
	batch, more, source, err := r.merge.fill(make([]byte, 0, runfile.BlockSize), runfile.BlockSize)
	if err != nil {
		r.last = r.sources[source].fail(err)
		return nil, r.last
	}
	if !more {
		r.last = io.EOF
	}
	if len(batch) == 0 {
		return nil, io.EOF
	}
	return batch, nil
}

// wait waits for Run, and begins to merge. It returns the step of the time before.
func (r *Reader) wait() (was laps.Step) {
	if r.waited {
		return r.o.Laps.To(laps.Merge)
	}
	was = r.o.Laps.To(laps.Fetch)
	<-r.done
	r.waited = true
	r.o.Laps.To(laps.Merge)
	r.o.Laps.Move(laps.Fetch, laps.Wait, r.idle)
	r.o.Laps.Move(laps.Fetch, laps.Merge, r.merging)
	return was
}

// Close removes the temporary files. Run must have returned.
func (r *Reader) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var errs []error
	for _, s := range r.sources {
		if s.kind == inMerged {
			errs = append(errs, os.Remove(s.path))
		}
	}
	if r.temp != nil {
		errs = append(errs, r.temp.Close(), os.Remove(r.temp.Name()))
	}
	r.sources, r.temp, r.maps, r.last = nil, nil, nil, errors.New("shuffle reader: it is closed")
	return errors.Join(errs...)
}

// place finds a section's place: in its own file if it stays on this machine, in memory, or in the temporary file.
func (r *Reader) place(run Run, o *Opened) (*source, error) {
	s := &source{run: run, section: o.Section, path: o.Path, base: o.Base}
	if o.Path != "" {
		s.kind = inRun
		return s, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.memory+o.Section.Length <= r.o.Memory/2 {
		s.kind = inMemory
		r.memory += o.Section.Length
		return s, nil
	}
	if r.temp == nil {
		f, err := os.CreateTemp(r.o.Dir, "fetch-*.tmp")
		if err != nil {
			return nil, &localError{fmt.Errorf("keep fetched run: %w", err)}
		}
		r.temp = f
	}
	s.kind, s.offset, s.file = inTemp, r.tempEnd, r.temp
	r.tempEnd += o.Section.Length
	r.spilled.Add(o.Section.Length)
	return s, nil
}

func (r *Reader) releaseLocked(s *source) {
	if s.kind == inMemory {
		r.memory -= s.section.Length
		s.blocks = nil
	}
}
