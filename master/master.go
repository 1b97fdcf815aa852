package master

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/millrace/millrace/master/journal"
	"github.com/millrace/millrace/master/sched"
	"github.com/millrace/millrace/master/wire"
	"github.com/millrace/millrace/storage"
)

// Options configures a Master. The zero value of a field means its default.
type Options struct {
	Store     *storage.Store   // where inputs and outputs lie; required
	Backend   journal.Backend  // keeps what must survive; required
	Election  journal.Election // makes this master the leader; required
	Programs  Programs         // the code of chains; nil: this master takes none
	Volatile  bool             // Backend ends with this process: what only a successor needs is not written
	Scheduler sched.Options
	Server    wire.ServerOptions
	Log       *slog.Logger     // of events, a line each; default: none
	Now       func() time.Time // for people and manifests only; default time.Now
	Tick      time.Duration    // how often the scheduler sees time pass; default 200 ms
}

// Bounds of what a master keeps and does at a time.
const (
	maxBatch     = 1000             // events the loop takes at a time: bounds the latency of the first of them
	maxEndedJobs = 1000             // ended jobs whose status stays readable
	maxLogLines  = 10_000           // of one job; the oldest go first
	maxPollWait  = time.Minute      // of any long poll
	commitLimit  = 16               // parts looked up or completed at the same time
	maxRecord    = 1 << 30          // bytes of a journal record: that of a submission names all input objects
	sweepTimeout = 30 * time.Second // for removing what an ended job left, also while the master stops
	claimTimeout = 15 * time.Second // for a claim or its release, also when the one who asked for it is gone
	quietTimeout = 2 * time.Second  // for the workers to give up an ended job's attempts, before what they left is removed
)

// Master is one master process.
type Master struct {
	o        Options
	requests chan request
	journal  *journal.Journal // of this master's term; set before anyone is served

	mu       sync.Mutex // guards everything below
	sched    *sched.State
	jobs     map[sched.JobID]*job
	order    []sched.JobID // of submission
	workers  map[sched.WorkerID]*workerState
	planning map[sched.JobID]chan struct{}     // submissions under way: closed at their end
	results  map[sched.AttemptID]*wire.Outcome // successes of the events being stepped

	chains     chan *job       // chains to start
	stopped    chan struct{}   // closed when the loop takes no more events
	background *errgroup.Group // commits and sweeps, owned by Run
}

// New checks the options and makes a master that does nothing until Run.
func New(o Options) (*Master, error) {
	if o.Store == nil {
		return nil, errors.New("master: Options.Store is missing")
	}
	if o.Backend == nil || o.Election == nil {
		return nil, errors.New("master: Options.Backend or Options.Election is missing")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Tick <= 0 {
		o.Tick = 200 * time.Millisecond
	}
	return &Master{
		o:        o,
		requests: make(chan request),
		jobs:     map[sched.JobID]*job{},
		workers:  map[sched.WorkerID]*workerState{},
		planning: map[sched.JobID]chan struct{}{},
		results:  map[sched.AttemptID]*wire.Outcome{},
		chains:   make(chan *job),
		stopped:  make(chan struct{}),
	}, nil
}

// Run serves workers and clients on l until ctx ends, and then removes what its unfinished jobs left in their outputs.
// It returns nil after a wanted end.
func (m *Master) Run(ctx context.Context, l net.Listener) error {
	term, err := m.o.Election.Campaign(ctx, journal.Candidate{})
	if err != nil {
		return fmt.Errorf("master: become the leader: %w", err)
	}
	m.journal = journal.New(m.o.Backend, term, journal.Options{MaxRecord: maxRecord})
	m.o.Scheduler.Term = int(term.N) - 1 // terms are counted from 1, reigns from 0: the first attempts are numbered from 0
	if err := m.recover(ctx); err != nil {
		return err
	}
	g, gctx := errgroup.WithContext(ctx)
	m.background = new(errgroup.Group)
	g.Go(func() error {
		select {
		case <-term.Done:
			return fmt.Errorf("master: %w", journal.ErrFenced)
		case <-gctx.Done():
			return nil
		}
	})
	if ended := m.endedJobs(); len(ended) > 0 {
		m.background.Go(func() error { return m.afterEnds(gctx, ended) })
	}
	for _, j := range m.openChains() {
		m.startChain(gctx, j)
	}
	g.Go(func() error { return m.runChains(gctx) })
	g.Go(func() error {
		defer close(m.stopped)
		return m.loop(gctx)
	})
	g.Go(func() error { return wire.NewServer(m, m.o.Server).Serve(gctx, l) })
	err = g.Wait()
	if e := m.background.Wait(); err == nil {
		err = e
	}
	m.sweepUnfinished(context.WithoutCancel(ctx))
	if ctx.Err() != nil && (err == nil || errors.Is(err, ctx.Err())) {
		return nil
	}
	return err
}

func (m *Master) endedJobs() (ended []*job) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, id := range m.order {
		if j := m.jobs[id]; !j.ended.IsZero() {
			ended = append(ended, j)
		}
	}
	return ended
}

func (m *Master) openChains() []*job {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.adoptLocked()
}

// sweepUnfinished removes the pending uploads of jobs that nobody will finish. Where the journal survives this process, its
// successor finishes them.
func (m *Master) sweepUnfinished(ctx context.Context) {
	if !m.o.Volatile {
		return
	}
	m.mu.Lock()
	var open []*job
	for _, id := range m.order {
		if j := m.jobs[id]; j.ended.IsZero() && !j.finished {
			open = append(open, j)
		}
	}
	m.mu.Unlock()
	for _, j := range open {
		if j.chain != nil {
			m.afterChain(ctx, j, j.spec.KeepStages)
			continue
		}
		m.sweep(ctx, j)
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
	if j := m.jobs[id]; j != nil {
		return j, nil
	}
	var found *job
	for _, k := range m.order {
		if len(id) > 0 && len(k) >= len(id) && k[:len(id)] == id && m.jobs[k].parent == nil {
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
