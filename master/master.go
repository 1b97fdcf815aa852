package master

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/millrace/millrace/master/journal"
	"github.com/millrace/millrace/master/records"
	"github.com/millrace/millrace/master/sched"
	"github.com/millrace/millrace/master/wire"
)

// Master is the work of one term: what a leader knows of jobs and workers, from the journal on, and how it goes on. A Process
// makes one when it is elected and drops it when the term ends.
type Master struct {
	o        Options
	term     journal.Term
	requests chan request
	begun    time.Time        // of the loop; set before ready is closed
	beat     atomic.Int64     // when the loop last began anew, nanoseconds after begun
	journal  *journal.Journal // of the term
	life     context.Context  // ends with the reign; set before ready is closed
	ready    chan struct{}    // closed when the journal has been loaded
	load     progress         // of that
	turns    chan struct{}    // holds a token for each submission that is being planned
	doubt    doubt            // about the term
	codec    *records.Codec
	yields   bool // it makes way for a master of another version, if a job needs one; set before reign

	mu       sync.Mutex // guards everything below
	sched    *sched.State
	jobs     map[sched.JobID]*job
	order    []sched.JobID // of submission
	workers  map[sched.WorkerID]*workerState
	planning map[sched.JobID]*newcomer         // submissions under way
	parked   map[sched.JobID]*parked           // jobs that wait for what cannot be read; fixed once the journal is loaded
	results  map[sched.AttemptID]*wire.Outcome // successes of the events being stepped
	pending  []sched.Record                    // what the scheduler knows and the journal does not yet

	chains     chan *job       // chains to start
	stopped    chan struct{}   // closed when the loop takes no more events
	deposed    chan error      // holds why the reign ends, found out by a call
	background *errgroup.Group // commits and sweeps, owned by reign
}

// newMaster makes the master of a term, which does nothing until reign.
func newMaster(o Options, term journal.Term) *Master {
	o.Scheduler.Term = int(term.N) - 1 // terms are counted from 1, reigns from 0: the first attempts are numbered from 0
	m := &Master{
		o:          o,
		term:       term,
		codec:      records.NewCodec(),
		requests:   make(chan request),
		ready:      make(chan struct{}),
		jobs:       map[sched.JobID]*job{},
		workers:    map[sched.WorkerID]*workerState{},
		planning:   map[sched.JobID]*newcomer{},
		parked:     map[sched.JobID]*parked{},
		turns:      make(chan struct{}, o.Limits.Planning),
		results:    map[sched.AttemptID]*wire.Outcome{},
		chains:     make(chan *job),
		stopped:    make(chan struct{}),
		deposed:    make(chan error, 1),
		background: new(errgroup.Group),
	}
	var jo journal.Options
	if !o.Volatile {
		jo.Interval, jo.Burst = writeInterval, writeBurst
	}
	m.journal = journal.New(watched{o.Backend, &m.load}, term, jo)
	return m
}

// reign leads until ctx or the term ends, or the master can lead no more, and returns when nothing of it is under way. A
// master without a successor then removes what its unfinished jobs left in their outputs.
func (m *Master) reign(ctx context.Context) error {
	g, gctx := errgroup.WithContext(ctx)
	m.life = gctx
	g.Go(func() error {
		select {
		case <-m.term.Done:
			return journal.ErrFenced
		case err := <-m.deposed:
			return err
		case <-m.journal.Failed():
			return m.journal.Err()
		case <-gctx.Done():
			return nil
		}
	})
	g.Go(func() error {
		defer close(m.stopped)
		m.load.begin()
		if err := m.recover(gctx); errors.Is(err, errLoad) {
			return err
		} else if err != nil {
			return &unreadableError{err}
		}
		if m.yields && m.needsOther() {
			return errAside
		}
		open := m.openChains() // first: what a stage has left is cleaned up behind under its chain's claim
		if ended := m.endedJobs(); len(ended) > 0 {
			m.background.Go(func() error { return m.afterEnds(gctx, ended) })
		}
		for _, j := range open {
			m.startChain(gctx, j)
		}
		g.Go(func() error { return m.runChains(gctx) })
		if m.waitsForStorage() {
			g.Go(func() error { return m.awaitParked(gctx) })
		}
		m.begun = time.Now()
		close(m.ready)
		return m.loop(gctx)
	})
	err := g.Wait()
	if e := m.background.Wait(); err == nil {
		err = e
	}
	if m.o.Volatile || m.o.Last && ctx.Err() != nil {
		m.sweepUnfinished(context.WithoutCancel(ctx))
	}
	return err
}

// errStuck is a loop that does not get on.
var errStuck = errors.New("the loop stands still")

// alive says whether the master gets on: its loop began anew not long ago, or the journal that it loads brings something new.
func (m *Master) alive() error {
	select {
	case <-m.stopped:
		return errStopped
	default:
	}
	select {
	case <-m.ready:
		if still := time.Since(m.begun) - time.Duration(m.beat.Load()); still >= loopPatience {
			return fmt.Errorf("%w for %v", errStuck, still.Round(time.Millisecond))
		}
		return nil
	case <-m.stopped:
		return errStopped
	default:
		return m.load.check()
	}
}

// outliving is the context for what is done behind a job's end: a master without a successor does it before its own end, any
// other leaves it to its successor, whose jobs it must not touch.
func (m *Master) outliving(ctx context.Context) context.Context {
	if m.o.alone() {
		return context.WithoutCancel(ctx)
	}
	return ctx
}

// endedJobs lists the jobs that have ended and may not have been cleaned up behind.
func (m *Master) endedJobs() (ended []*job) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, id := range m.order {
		if j := m.jobs[id]; !j.ended.IsZero() && !j.clean {
			ended = append(ended, j)
		}
	}
	stage := func(j *job) int { return strings.Count(string(j.id), ".") }
	slices.SortStableFunc(ended, func(a, b *job) int { return cmp.Compare(stage(b), stage(a)) }) // the claim is the chain's
	return ended
}

func (m *Master) openChains() []*job {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.adoptLocked()
}

// sweepUnfinished removes the pending uploads of jobs that nobody will finish. Where the journal survives this process, and is
// for a successor, that one finishes them.
func (m *Master) sweepUnfinished(ctx context.Context) {
	m.mu.Lock()
	var open []*job
	for _, id := range slices.Backward(m.order) { // stages before their chain, which holds their outputs
		if j, p := m.jobs[id], m.parked[id]; j.ended.IsZero() && (p == nil || !p.other) {
			open = append(open, j)
		}
	}
	m.mu.Unlock()
	for _, j := range open {
		if j.chain != nil {
			m.dropStages(ctx, j, j.spec.KeepStages)
		} else if !j.finished {
			m.sweep(ctx, j)
		}
		if err := m.release(ctx, j.spec.Output, j.id); err != nil {
			m.o.Log.Warn("release output", "job", j.id, "output", j.spec.Output, "error", err)
		}
	}
}

// refusal is an error for a caller of the master: what to decide on, and a text that names the thing and the remedy.
type refusal struct {
	decision error // a sentinel of wire
	text     string
}

func (r *refusal) Error() string { return r.text }

func (r *refusal) Unwrap() error { return r.decision }

func refuse(decision error, thing, text string) error { return &refusal{decision, thing + ": " + text} }

// find returns the job whose id is, or uniquely begins with, id.
func (m *Master) findLocked(id sched.JobID) (*job, error) {
	if j := m.jobs[id]; j != nil && !j.unborn {
		return j, nil
	}
	var found *job
	for _, k := range m.order {
		if len(id) > 0 && len(k) >= len(id) && k[:len(id)] == id && m.jobs[k].parent == nil && !m.jobs[k].unborn {
			if found != nil {
				return nil, refuse(wire.ErrAmbiguousID, fmt.Sprintf("find job %s", id), "several jobs begin so: give more of the id")
			}
			found = m.jobs[k]
		}
	}
	if found == nil {
		return nil, refuse(wire.ErrNoJob, fmt.Sprintf("find job %s", id), "this master knows no such job: see millrace list")
	}
	return found, nil
}
