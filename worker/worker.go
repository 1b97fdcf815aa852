package worker

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/jobs/plan"
	"github.com/millrace/millrace/master/wire"
	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/columns"
	"github.com/millrace/millrace/worker/shuffle"
)

// Master is what a worker asks of the master. *wire.Client is one.
type Master interface {
	Poll(ctx context.Context, args *wire.PollArgs) (*wire.PollReply, error)
	Job(ctx context.Context, args *wire.JobArgs) (*wire.JobReply, error)
	Runs(ctx context.Context, args *wire.RunsArgs) (*wire.RunsReply, error)
}

// Programs brings a job's code.
type Programs interface {
	Load(spec plan.Spec) (jobs.Program, error)
}

// Options configures a Worker. The zero value of a field means its default.
type Options struct {
	Master   Master         // required
	Programs Programs       // required
	Allow    plan.Allow     // which jobs it runs; default: those that are built in
	Store    *storage.Store // where inputs and outputs lie; required
	Slots    int            // tasks at a time; default: the CPUs that the process may use
	Memory   int64          // bytes for all slots together; default: DefaultMemory(); at least MinSlotMemory a slot
	TempDir  string         // parent of the folder for runs and spills; default os.TempDir()
	Listen   string         // address where runs are served; default 127.0.0.1:0
	Poll     time.Duration  // longest wait of a poll, and so the time between two heartbeats; default DefaultPoll
	Drain    time.Duration  // how long a draining worker lets its tasks run before it hands them back; default 30 s
	Log      *slog.Logger   // default: none
}

// DefaultPoll is the time between two heartbeats of a worker that has nothing else to say.
const DefaultPoll = time.Second

// MinSlotMemory is the least memory a slot, bytes: below, buffers of one block each no longer fit.
const MinSlotMemory = 4 << 20

// Worker is one worker process, or one of several in a process.
type Worker struct {
	o       Options
	dir     string // its own folder under TempDir, made by Run
	runs    *shuffle.Server
	buffers shuffle.Buffers // of map attempts
	counts  columns.Counts  // of the rows of Arrow files

	sideBytes atomic.Int64 // of side inputs that are held or being read

	runURL string
	drain  chan struct{} // closed by Drain
	once   sync.Once

	mu        sync.Mutex // guards everything below
	id        wire.WorkerID
	seq       uint64
	running   map[wire.AttemptID]*attempt
	heartbeat time.Duration           // as the master last told; see wire.PollReply
	had       map[wire.AttemptID]bool // attempts of jobs below that it was ever given: a repeated answer starts nothing twice
	done      []report                // outcomes that no answered poll has carried yet
	serial    uint64                  // of the newest outcome
	jobs      map[wire.JobID]*jobState
	orphans   map[wire.JobID][]wire.Outcome // what former incarnations left in buckets, until the jobs have ended
	wake      chan struct{}                 // closed and made anew when there is something to report
}

// New checks the options and makes a worker that does nothing until Run.
func New(o Options) (*Worker, error) {
	switch {
	case o.Master == nil:
		return nil, errors.New("worker: Options.Master is missing")
	case o.Programs == nil:
		return nil, errors.New("worker: Options.Programs is missing")
	case o.Store == nil:
		return nil, errors.New("worker: Options.Store is missing")
	case o.Slots < 0:
		return nil, fmt.Errorf("worker: %d slots: give 1 or more", o.Slots)
	}
	if err := o.Allow.Validate(); err != nil {
		return nil, fmt.Errorf("worker: allow: %w", err)
	}
	if o.Slots == 0 {
		o.Slots = runtime.GOMAXPROCS(0)
	}
	if o.Memory == 0 {
		o.Memory = DefaultMemory()
	}
	if least := MinSlotMemory * int64(o.Slots); o.Memory < least {
		return nil, fmt.Errorf("worker: memory of %d bytes for %d slots: give at least %d bytes, or fewer slots", o.Memory, o.Slots, least)
	}
	if o.TempDir == "" {
		o.TempDir = os.TempDir()
	}
	if o.Listen == "" {
		o.Listen = "127.0.0.1:0"
	}
	if o.Poll <= 0 {
		o.Poll = DefaultPoll
	}
	if o.Drain <= 0 {
		o.Drain = 30 * time.Second
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	w := &Worker{o: o, drain: make(chan struct{}), wake: make(chan struct{}), orphans: map[wire.JobID][]wire.Outcome{}}
	w.reset()
	return w, nil
}

// reset makes the worker a new one in the master's eyes. mu is held, or the worker not running yet. The id tells people
// where to look: host, process, and what no other worker has.
func (w *Worker) reset() {
	var b [8]byte
	_, _ = rand.Read(b[:])   // never fails
	host, _ := os.Hostname() // for people only
	w.id = wire.WorkerID(fmt.Sprintf("%s/%d-%s", host, os.Getpid(), hex.EncodeToString(b[:])))
	w.seq, w.done = 0, nil
	w.running = map[wire.AttemptID]*attempt{}
	w.had = map[wire.AttemptID]bool{}
	w.jobs = map[wire.JobID]*jobState{}
}

// Drain makes the worker take nothing new, finish its tasks or hand them back, serve its runs until they are needed no
// more, and then end Run.
func (w *Worker) Drain() { w.once.Do(func() { close(w.drain) }) }

// Run works until ctx ends or the worker has drained; both are no error. Its temporary files are gone when it returns.
func (w *Worker) Run(ctx context.Context) (err error) {
	temp, err := makeTempDir(w.o.TempDir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, temp.remove()) }()
	w.dir = temp.path
	l, err := net.Listen("tcp", w.o.Listen)
	if err != nil {
		return fmt.Errorf("worker: listen on %s to serve runs: %w: choose another address with --listen", w.o.Listen, err)
	}
	w.runURL = "http://" + l.Addr().String()
	w.runs = shuffle.NewServer()
	defer func() { err = errors.Join(err, w.runs.Close()) }()
	return w.work(ctx, l)
}

// work serves runs on l and talks with the master, until ctx ends, the worker has drained, or one of the two fails.
func (w *Worker) work(ctx context.Context, l net.Listener) error {
	srv := &http.Server{Handler: w.runs, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute}
	serving, stop := context.WithCancel(ctx)
	defer stop()
	g, gctx := errgroup.WithContext(serving)
	g.Go(func() error {
		if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("worker: serve runs: %w", err)
		}
		return nil
	})
	g.Go(func() error {
		<-gctx.Done()
		return srv.Close()
	})
	g.Go(func() error {
		defer stop() // it has drained
		return w.poll(gctx)
	})
	if err := g.Wait(); err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}
