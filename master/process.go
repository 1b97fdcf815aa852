package master

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/millrace/millrace/jobs/plan"
	"github.com/millrace/millrace/master/journal"
	"github.com/millrace/millrace/master/sched"
	"github.com/millrace/millrace/master/wire"
	"github.com/millrace/millrace/storage"
)

// Options configures a Process. The zero value of a field means its default.
type Options struct {
	Store     *storage.Store   // where inputs and outputs lie; required
	Backend   journal.Backend  // keeps what must survive; required
	Election  journal.Election // makes one of the masters the leader; required
	Address   string           // where workers and clients find this master; default: that of the listener
	Programs  Programs         // the code of chains; nil: this master takes none
	Version   string           // of millrace, for people: each job's record tells which one began it
	Allow     plan.Allow       // which jobs it takes; default: those that are built in
	Volatile  bool             // Backend ends with this process: what only a successor needs is not written, and a lost term is an error
	Last      bool             // no other leads, also after Run's wanted end: what unfinished jobs left in their outputs is removed then
	Limits    Limits
	Scheduler sched.Options
	Server    wire.ServerOptions
	Log       *slog.Logger     // of events, a line each; default: none
	Now       func() time.Time // for people and manifests only; default time.Now
	Tick      time.Duration    // how often the scheduler sees time pass; default 200 ms
}

// alone says whether nobody else will do what this master leaves undone.
func (o *Options) alone() bool { return o.Volatile || o.Last }

// Bounds of what a master keeps and does at a time.
const (
	maxBatch     = 10_000 // events the loop takes at a time: what a thousand workers report in several writes' time
	maxEndedJobs = 1000   // ended jobs whose status stays readable; a chain is one
	// maxEndedStages is how many stages of chains do beside them: a chain of thousands must not take the journal's space.
	maxEndedStages = 1000
	maxLogLines    = 10_000      // of one job; the oldest go first
	maxLogBytes    = 8 << 20     // of their texts: that of a failure may have maxFailure
	maxEndedLogs   = 256 << 20   // of the texts of all ended jobs together; the logs of those that ended first become shorter
	endedLogSize   = 64 << 10    // to this
	maxPollWait    = time.Minute // of any long poll
	commitLimit    = 16          // parts looked up or completed at the same time
	// A replicated journal carries ten writes a second without effort: these are fewer, with the bursts and two renewals of the term.
	// What a small job writes one after the other begins at once.
	writeInterval = 140 * time.Millisecond
	writeBurst    = 20

	sweepTimeout = 30 * time.Second       // for the next step in removing what an ended job left, and for all of it while the master stops
	sweepLimit   = 10 * time.Minute       // for all of it
	claimTimeout = 15 * time.Second       // for a claim or its release, also when the one who asked for it is gone
	resignLimit  = 2 * time.Second        // for telling the other masters that a term is over: else they see it when the lease ends
	leaderEvery  = 100 * time.Millisecond // between two looks at who leads, while calls wait to hear it
	heldFor      = time.Second            // of a call while nobody leads: less than what a worker waits for an overdue answer
	quietTimeout = 2 * time.Second        // for the workers to give up an ended job's attempts, before what they left is removed
)

// Process is one master process. It serves from the beginning of Run to its end: while it leads, a Master of that term answers,
// and while it stands by, every call gets ErrNotLeader with the leader's address.
//
//	stand by -> elected -> a new Master loads the journal -> leads -> the term ends, all of it stops -> stand by ...
type Process struct {
	o Options

	master atomic.Pointer[Master] // of the term under way; nil while the process stands by. Set under mu; read for each call

	mu      sync.Mutex
	leader  string        // as last heard
	changed chan struct{} // closed and made anew when master or leader is another
}

// New checks the options and makes a process that does nothing until Run.
func New(o Options) (*Process, error) {
	if o.Store == nil {
		return nil, errors.New("master: Options.Store is missing")
	}
	if o.Backend == nil || o.Election == nil {
		return nil, errors.New("master: Options.Backend or Options.Election is missing")
	}
	if err := o.Allow.Validate(); err != nil {
		return nil, fmt.Errorf("master: allow: %w", err)
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
	o.Limits = o.Limits.filled()
	return &Process{o: o, changed: make(chan struct{})}, nil
}

// Run serves workers and clients on l, and leads whenever it is elected, until ctx ends. It returns nil then; before that, it
// returns when it cannot listen or be elected any more, or does not understand the journal.
func (p *Process) Run(ctx context.Context, l net.Listener) error {
	if p.o.Address == "" {
		p.o.Address = l.Addr().String()
	}
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return wire.NewServer(p, p.o.Server).Serve(gctx, l) })
	g.Go(func() error { return p.campaign(gctx) })
	if !p.o.Volatile { // otherwise there is no other
		g.Go(func() error { return p.listen(gctx) })
	}
	err := g.Wait()
	if ctx.Err() != nil && (err == nil || errors.Is(err, ctx.Err())) {
		return nil
	}
	return err
}

// Bounds of the pause after a term that ended though nobody else leads: the store of the journal fails, and masters that come
// back at once would only take turns at it.
const (
	minStandPause = 100 * time.Millisecond
	maxStandPause = 5 * time.Second
)

// campaign leads term after term.
func (p *Process) campaign(ctx context.Context) error {
	pause := minStandPause
	var aside time.Time // since it last stood aside
	for {
		term, err := p.o.Election.Campaign(ctx, journal.Candidate{Address: p.o.Address, Alive: p.alive})
		if err != nil {
			return fmt.Errorf("master: become the leader: %w", err)
		}
		begun := time.Now()
		p.o.Log.Info("elected", "term", term.N)
		err = p.lead(ctx, term, !p.o.alone() && (aside.IsZero() || time.Since(aside) > asideEvery))
		if unreadable := new(unreadableError); p.o.Volatile || ctx.Err() != nil || errors.As(err, &unreadable) {
			return err
		}
		p.o.Log.Warn("the term is over: standing by", "term", term.N, "lasted", time.Since(begun).Round(time.Millisecond), "reason", err)
		if errors.Is(err, errAside) {
			wait(ctx, standAside+2*time.Since(begun))
			aside = time.Now()
			continue
		}
		if errors.Is(err, journal.ErrFenced) || time.Since(begun) > maxStandPause {
			pause = minStandPause
			continue
		}
		wait(ctx, pause)
		pause = min(2*pause, maxStandPause)
	}
}

// lead does the work of one term and resigns: whatever ended it, nothing goes on. yields says whether it may make way for another
// version.
func (p *Process) lead(ctx context.Context, term journal.Term, yields bool) error {
	m := newMaster(p.o, term)
	m.yields = yields
	p.set(m)
	err := m.reign(ctx)
	if term.Lasts() {
		rctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), resignLimit)
		defer cancel()
		if e := term.Resign(rctx); e != nil && !errors.Is(e, journal.ErrFenced) {
			p.o.Log.Warn("resign", "term", term.N, "error", e) // its lease ends all the same
		}
	}
	p.set(nil) // only now: until it has resigned, alive tells that it does nothing
	if err != nil && !errors.Is(err, ctx.Err()) {
		err = fmt.Errorf("master: term %d: %w", term.N, err)
	}
	return err
}

// alive is asked before the term is renewed. Nothing is wrong with a master that has no term.
func (p *Process) alive(context.Context) error {
	if m, _, _ := p.state(); m != nil {
		return m.alive()
	}
	return nil
}

// listen follows who leads, for the calls that wait to hear it.
func (p *Process) listen(ctx context.Context) error {
	tick := time.NewTicker(leaderEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
			p.mu.Lock()
			if leader := p.o.Election.Leader(); leader != p.leader {
				p.leader = leader
				p.wakeLocked()
			}
			p.mu.Unlock()
		}
	}
}

func (p *Process) set(m *Master) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.master.Store(m)
	p.wakeLocked()
}

func (p *Process) wakeLocked() {
	close(p.changed)
	p.changed = make(chan struct{})
}

// state is the master of this process, if it leads, or else who does, if that is known; and what is closed when this changes.
func (p *Process) state() (m *Master, leader string, changed <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if leader = p.o.Election.Leader(); leader == p.o.Address { // no longer, or not yet
		leader = ""
	}
	return p.master.Load(), leader, p.changed
}

// wait returns after d or when ctx ends.
func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// leading returns the master of this term. While nobody leads, or the one that does still loads the journal, a call is held for
// a moment: workers by the thousand would ask again and again, and all of them are to know at once.
func (p *Process) leading(ctx context.Context) (*Master, error) {
	if m := p.master.Load(); m != nil { // as almost always
		select {
		case <-m.ready:
			return m, nil
		default:
		}
	}
	var timer *time.Timer // nil until there is something to wait for
	for {
		m, leader, changed := p.state()
		var ready chan struct{}
		switch {
		case m == nil && leader != "":
			return nil, wire.NotLeader(leader)
		case m != nil:
			select {
			case <-m.ready:
				return m, nil
			case <-m.stopped:
				return nil, wire.NotLeader(leader)
			default:
				ready = m.ready
			}
		}
		if timer == nil {
			timer = time.NewTimer(heldFor)
			defer timer.Stop()
		}
		select {
		case <-ready:
		case <-changed:
		case <-timer.C:
			return nil, wire.NotLeader(leader)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// answer carries out a call with the master of this term. It ends with the term, and what it says counts only while that lasts:
// another master may have been elected, and have said something else.
func answer[A, R any](ctx context.Context, p *Process, args *A, do func(*Master, context.Context, *A) (*R, error)) (*R, error) {
	m, err := p.leading(ctx)
	if err != nil {
		return nil, err
	}
	if err := m.face(ctx, wire.PeerTerm(ctx)); err != nil {
		return nil, err
	}
	wire.InTerm(ctx, m.term.N, m.term.Lasts)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(m.life, cancel)()
	reply, err := do(m, ctx, args)
	if !m.term.Lasts() || err != nil && m.life.Err() != nil && !p.o.Volatile {
		_, leader, _ := p.state()
		return nil, wire.NotLeader(leader)
	}
	return reply, err
}

// Poll implements wire.WorkerService.
func (p *Process) Poll(ctx context.Context, args *wire.PollArgs) (*wire.PollReply, error) {
	return answer(ctx, p, args, (*Master).Poll)
}

// Job implements wire.WorkerService.
func (p *Process) Job(ctx context.Context, args *wire.JobArgs) (*wire.JobReply, error) {
	return answer(ctx, p, args, (*Master).Job)
}

// Runs implements wire.WorkerService.
func (p *Process) Runs(ctx context.Context, args *wire.RunsArgs) (*wire.RunsReply, error) {
	return answer(ctx, p, args, (*Master).Runs)
}

// Submit implements wire.ClientService.
func (p *Process) Submit(ctx context.Context, args *wire.SubmitArgs) (*wire.SubmitReply, error) {
	return answer(ctx, p, args, (*Master).Submit)
}

// Watch implements wire.ClientService.
func (p *Process) Watch(ctx context.Context, args *wire.WatchArgs) (*wire.JobStatus, error) {
	return answer(ctx, p, args, (*Master).Watch)
}

// List implements wire.ClientService.
func (p *Process) List(ctx context.Context, args *wire.ListArgs) (*wire.ListReply, error) {
	return answer(ctx, p, args, (*Master).List)
}

// Cancel implements wire.ClientService.
func (p *Process) Cancel(ctx context.Context, args *wire.CancelArgs) (*wire.CancelReply, error) {
	return answer(ctx, p, args, (*Master).Cancel)
}

// Logs implements wire.ClientService.
func (p *Process) Logs(ctx context.Context, args *wire.LogsArgs) (*wire.LogsReply, error) {
	return answer(ctx, p, args, (*Master).Logs)
}

// Explain implements wire.Inspector.
func (p *Process) Explain(ctx context.Context, args *wire.ExplainArgs) (*wire.Explanation, error) {
	return answer(ctx, p, args, (*Master).Explain)
}

// Task implements wire.Inspector.
func (p *Process) Task(ctx context.Context, args *wire.TaskArgs) (*wire.TaskReply, error) {
	return answer(ctx, p, args, (*Master).Task)
}
