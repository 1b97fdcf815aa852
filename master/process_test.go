package master

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/master/journal"
	"github.com/millrace/millrace/master/memha"
	"github.com/millrace/millrace/master/sched"
	"github.com/millrace/millrace/master/wire"
	"github.com/millrace/millrace/storage/manifest"
)

// town is a cluster of several masters over one journal, which can be told to fail.
type town struct {
	*world
	mu    sync.Mutex
	pipes map[string]*wire.PipeListener // by address
	write func(ctx context.Context, write func() error) error
	stall chan struct{} // loading waits until it is closed
	ended sync.WaitGroup

	protocol uint16   // of who is started or dials next; 0: the newest
	newer    bool     // who is started next is of a newer version, which writes another format
	programs Programs // of who is started next
}

func newTown(t *testing.T) *town {
	return &town{world: newWorld(t), pipes: map[string]*wire.PipeListener{}}
}

// journalOf is the town's journal.
type journalOf struct {
	*memha.Store
	town *town
}

func (j journalOf) Append(ctx context.Context, term uint64, entries []journal.Entry) error {
	j.town.mu.Lock()
	how := j.town.write
	j.town.mu.Unlock()
	write := func() error { return j.Store.Append(ctx, term, entries) }
	if how == nil {
		return write()
	}
	return how(ctx, write)
}

func (j journalOf) Load(ctx context.Context, yield func(journal.Entry) bool) error {
	j.town.mu.Lock()
	stall := j.town.stall
	j.town.mu.Unlock()
	if stall != nil {
		select {
		case <-stall:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return j.Store.Load(ctx, yield)
}

func (w *town) set(change func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change()
}

// start runs a master process; stop tells it to end, and the test waits for the end.
func (w *town) start(addr string, e journal.Election) (p *Process, stop func()) {
	w.t.Helper()
	if e == nil {
		e = w.mem
	}
	version, backend := "1.0.0", journal.Backend(journalOf{w.mem, w})
	if w.newer {
		version, backend = "2.0.0", nextFormat{backend}
	}
	p, err := New(Options{Store: w.st, Backend: backend, Election: e, Programs: w.programs, Version: version, Address: addr, Scheduler: sched.Options{Lease: 5 * time.Second}, Server: wire.ServerOptions{Protocol: w.protocol}})
	if err != nil {
		w.t.Fatal(err)
	}
	pipe := wire.Pipe()
	w.set(func() { w.pipes[addr] = pipe })
	ctx, cancel := context.WithCancel(w.t.Context())
	w.ended.Go(func() {
		if err := p.Run(ctx, pipe); err != nil {
			w.t.Errorf("master %s: %v", addr, err)
		}
	})
	synctest.Wait()
	return p, cancel
}

func (w *town) dial(role wire.Role, retry time.Duration, addrs ...string) *wire.Client {
	w.t.Helper()
	c, err := wire.Dial(w.t.Context(), addrs, wire.ClientOptions{Role: role, RetryFor: retry, Protocol: w.protocol, Dial: func(ctx context.Context, addr string) (net.Conn, error) {
		w.mu.Lock()
		pipe := w.pipes[addr]
		w.mu.Unlock()
		if pipe == nil {
			return nil, fmt.Errorf("dial %s: connection refused", addr)
		}
		return pipe.Dial(ctx, addr)
	}})
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// hire makes a worker that talks to whoever leads of those addresses.
func (w *town) hire(id wire.WorkerID, slots int, addrs ...string) *hand {
	w.t.Helper()
	return &hand{
		l: &leader{world: w.world}, c: w.dial(wire.RoleWorker, time.Minute, addrs...), had: map[wire.AttemptID]bool{},
		args: wire.PollArgs{Worker: id, Slots: slots, Wait: 100 * time.Millisecond},
	}
}

// A master that stands by serves: it tells who leads. When the leader's term ends, one of the two leads, with the jobs as they are
// now, and the other stands by, whichever has led before.
func TestStandby(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		_, stopA := w.start("a:1", nil)
		_, stopB := w.start("b:1", nil)
		for i := range 6 {
			addr := w.mem.Leader()
			other := map[string]string{"a:1": "b:1", "b:1": "a:1"}[addr]
			standby := w.dial(wire.RoleClient, 0, other)
			_, err := standby.List(t.Context(), &wire.ListArgs{})
			wantError(t, "a call to the one that stands by", err, wire.ErrNotLeader, addr)
			standby.Close()
			leader := w.dial(wire.RoleClient, 0, addr)
			s := spec()
			s.Output = fmt.Sprint("mem://b/out", i)
			if _, err := leader.Submit(t.Context(), &wire.SubmitArgs{Job: wire.JobID(fmt.Sprint("job-0000", i)), Spec: s}); err != nil {
				t.Fatalf("term %d: %v", i+1, err)
			}
			r, err := leader.List(t.Context(), &wire.ListArgs{})
			if err != nil || len(r.Jobs) != i+1 {
				t.Errorf("term %d: the leader knows %d jobs, %v", i+1, len(r.Jobs), err)
			}
			w.mem.Depose()
			synctest.Wait()
			leader.Close()
		}
		stopA()
		stopB()
		w.ended.Wait()
	})
}

// The calls in flight when a term ends are told so at once, whether they wait for work, for news or for the loop.
func TestCallsEndWithTheirTerm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		_, stop := w.start("a:1", nil)
		c, h := w.dial(wire.RoleClient, 0, "a:1"), w.dial(wire.RoleWorker, 0, "a:1")
		if _, err := c.Submit(t.Context(), &wire.SubmitArgs{Job: jobA, Spec: spec()}); err != nil {
			t.Fatal(err)
		}
		if _, err := h.Poll(t.Context(), &wire.PollArgs{Worker: "w", Seq: 1}); err != nil {
			t.Fatal(err)
		}
		calls := map[string]func() error{
			"Poll": func() error {
				_, err := h.Poll(t.Context(), &wire.PollArgs{Worker: "w", Seq: 2, Wait: time.Minute})
				return err
			},
			"Runs": func() error { _, err := h.Runs(t.Context(), &wire.RunsArgs{Job: jobA, Wait: time.Minute}); return err },
			"Logs": func() error {
				_, err := c.Logs(t.Context(), &wire.LogsArgs{Job: jobA, Cursor: 99, Wait: time.Minute})
				return err
			},
			"Watch": func() error {
				_, err := c.Watch(t.Context(), &wire.WatchArgs{Job: jobA, Version: 99, Wait: time.Minute})
				return err
			},
		}
		var ends sync.WaitGroup
		for name, call := range calls {
			ends.Go(func() {
				begun := time.Now()
				err := call()
				wantError(t, name, err, wire.ErrNotLeader)
				if took := time.Since(begun); took != time.Second {
					t.Errorf("%s: it is told after %v", name, took)
				}
			})
		}
		time.Sleep(time.Second)
		w.mem.Depose()
		ends.Wait()
		stop()
		w.ended.Wait()
		c.Close()
		h.Close()
	})
}

// sleeper is an election whose leader does not notice that its term is over, as a process that was stopped meanwhile does not.
type sleeper struct {
	*memha.Store
	over atomic.Bool
}

type sleepingReign struct {
	journal.Reign
	over *atomic.Bool
}

func (r sleepingReign) Lasts() bool { return !r.over.Load() }

func (s *sleeper) Campaign(ctx context.Context, c journal.Candidate) (journal.Term, error) {
	term, err := s.Store.Campaign(ctx, c)
	s.over.Store(false)
	term.Reign, term.Done = sleepingReign{term.Reign, &s.over}, nil
	return term, err
}

// A leader whose lease is over answers nothing more, though nobody has told it, and though the answer was ready before; soon
// it stands by.
func TestOverdueLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		e := &sleeper{Store: w.mem}
		p, stop := w.start("a:1", e)
		c := w.dial(wire.RoleClient, 0, "a:1")
		if _, err := c.List(t.Context(), &wire.ListArgs{}); err != nil {
			t.Fatal(err)
		}
		before, _, _ := p.state()
		e.over.Store(true)
		_, err := c.List(t.Context(), &wire.ListArgs{})
		wantError(t, "a call to an overdue leader", err, wire.ErrNotLeader)
		w.mem.Depose()
		time.Sleep(time.Second)
		synctest.Wait()
		if after, _, _ := p.state(); after == before || after.term.N != 2 {
			t.Error("it goes on with a term that is over")
		}
		stop()
		w.ended.Wait()
		c.Close()
	})
}

// A master that is told to end resigns: the next one leads at once, and not when a lease is over.
func TestResigns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		_, stopA := w.start("a:1", nil)
		b, stopB := w.start("b:1", nil)
		stopA()
		synctest.Wait()
		if m, _, _ := b.state(); m == nil {
			t.Error("nobody leads after the leader's end")
		}
		stopB()
		w.ended.Wait()
	})
}

// A write whose answer is lost leaves open what is durable: the leader gives its term up, and whoever leads next goes by what the
// journal says. No result counts twice.
func TestUnclearWrite(t *testing.T) {
	for _, happened := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			w := newTown(t)
			_, stop := w.start("a:1", nil)
			l := &leader{world: w.world, c: w.dial(wire.RoleClient, time.Minute, "a:1")}
			l.mustSubmit(jobA, spec())
			h := w.hire("w", 4, "a:1")
			h.l = l
			h.do(wire.Map)
			w.set(func() {
				w.write = func(_ context.Context, write func() error) error {
					w.set(func() { w.write = nil })
					if happened {
						_ = write()
					}
					return errors.New("the answer was lost")
				}
			})
			h.work(wire.Map, 2)
			h.work(wire.Reduce, 2)
			if s := l.status(jobA, wire.Done); s.Records != 30 || s.Rows != 20 || s.Counters["n"] != 5 {
				t.Errorf("write happened %v: %d records, %d rows, counter %d", happened, s.Records, s.Rows, s.Counters["n"])
			}
			w.want("out/", manifest.Name, "part-00000.arrow", "part-00001.arrow")
			if term := h.reply.Term; term != 2 {
				t.Errorf("write happened %v: the job ends in term %d", happened, term)
			}
			stop()
			w.ended.Wait()
			l.c.Close()
			h.c.Close()
		})
	}
}

// While a write to the journal is under way, a job's status tells what the next leader would know: tasks that the write is
// about are not done, and a decision that is in it has not been made.
func TestStatusIsDurable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		_, stop := w.start("a:1", nil)
		l := &leader{world: w.world, c: w.dial(wire.RoleClient, time.Minute, "a:1")}
		l.mustSubmit(jobA, spec())
		h := w.hire("w", 4, "a:1")
		h.l = l
		h.work(wire.Map, 1)
		var told []string
		w.set(func() {
			w.write = func(_ context.Context, write func() error) error {
				s, err := l.c.Watch(t.Context(), &wire.WatchArgs{Job: jobA})
				if err != nil {
					t.Error(err)
				}
				if err := write(); err != nil {
					return err
				}
				told = append(told, fmt.Sprintf("%v %d+%d", s.State, s.Map.Done, s.Reduce.Done))
				return nil
			}
		})
		h.work(wire.Map, 2)
		h.work(wire.Reduce, 2)
		l.status(jobA, wire.Done)
		want := []string{"running 1+0", "running 3+0", "running 3+2", "committing 3+2", "committed 3+2"}
		if got := slices.Compact(told); !slices.Equal(got, want) {
			t.Errorf("during the writes the status was %q, want %q", got, want)
		}
		stop()
		w.ended.Wait()
		l.c.Close()
		h.c.Close()
	})
}

// A leader is alive while its loop gets on and while the journal that it loads brings something new, and not when either is stuck.
func TestAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		alive := func(p *Process) error {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			return p.alive(ctx)
		}
		w.stall = make(chan struct{})
		p, stop := w.start("a:1", nil)
		if err := alive(p); err != nil {
			t.Errorf("at the beginning of the load: %v", err)
		}
		time.Sleep(loadPatience + time.Second)
		wantError(t, "a load that brings nothing", alive(p), errLoad)
		close(w.stall)
		synctest.Wait()
		if err := alive(p); err != nil {
			t.Errorf("with nothing to do: %v", err)
		}
		release := make(chan struct{})
		w.set(func() {
			w.write = func(_ context.Context, write func() error) error {
				<-release
				return write()
			}
		})
		c := w.dial(wire.RoleClient, 0, "a:1")
		w.ended.Go(func() {
			if _, err := c.Submit(t.Context(), &wire.SubmitArgs{Job: jobA, Spec: spec()}); err != nil {
				t.Errorf("submit: %v", err)
			}
		})
		synctest.Wait()
		if err := alive(p); err != nil {
			t.Errorf("while it waits for the journal: %v", err)
		}
		time.Sleep(loopPatience)
		wantError(t, "a loop that waits for the journal for long", alive(p), errStuck)
		close(release)
		synctest.Wait()
		if err := alive(p); err != nil {
			t.Errorf("after the write: %v", err)
		}
		stop()
		w.ended.Wait()
		wantError(t, "a load that takes for ever", (&progress{begun: time.Now().Add(-loadLimit - 1), moved: time.Now()}).check(), errLoad)
		if err := p.alive(t.Context()); err != nil {
			t.Errorf("without a term: %v", err)
		}
		c.Close()
	})
}

// Calls that come while nobody leads, or while the leader loads the journal, are held for a moment, and carried out when it is
// over in time.
func TestHeldCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		w.stall = make(chan struct{})
		_, stop := w.start("a:1", nil)
		c := w.dial(wire.RoleClient, 0, "a:1")
		begun := time.Now()
		_, err := c.List(t.Context(), &wire.ListArgs{})
		wantError(t, "a call during a long load", err, wire.ErrNotLeader, "no other does")
		if took := time.Since(begun); took != heldFor {
			t.Errorf("it was held for %v", took)
		}
		stall := w.stall
		time.AfterFunc(heldFor/2, func() { close(stall) })
		if _, err := c.List(t.Context(), &wire.ListArgs{}); err != nil {
			t.Errorf("a call during a short load: %v", err)
		}

		_, stopB := w.start("b:1", &oneTerm{Store: w.mem, led: true}) // which is never elected
		b := w.dial(wire.RoleClient, 0, "b:1")
		stop()
		time.Sleep(time.Second)
		time.AfterFunc(heldFor/2, func() { _, _ = w.mem.Campaign(t.Context(), journal.Candidate{Address: "c:1"}) })
		begun = time.Now()
		_, err = b.List(t.Context(), &wire.ListArgs{})
		wantError(t, "a call while another one is elected", err, wire.ErrNotLeader, "c:1")
		if took := time.Since(begun); took < heldFor/2 || took > heldFor/2+leaderEvery {
			t.Errorf("it is told after %v", took)
		}
		stopB()
		w.ended.Wait()
		c.Close()
		b.Close()
	})
}

// A master that goes from term to term keeps no goroutine of those before, and nothing of what they knew.
func TestTermsLeaveNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		p, stop := w.start("a:1", nil)
		c, h := w.dial(wire.RoleClient, time.Minute, "a:1"), w.dial(wire.RoleWorker, time.Minute, "a:1")
		if _, err := c.Submit(t.Context(), &wire.SubmitArgs{Job: jobA, Spec: spec()}); err != nil {
			t.Fatal(err)
		}
		var dropped atomic.Int32
		count := 0
		for i := range 20 {
			if _, err := h.Poll(t.Context(), &wire.PollArgs{Worker: "w", Seq: uint64(i) + 1}); err != nil {
				t.Fatal(err)
			}
			m, _, _ := p.state()
			runtime.AddCleanup(m, func(int) { dropped.Add(1) }, 0)
			synctest.Wait()
			if i == 0 {
				count = len(goroutines(t))
			}
			w.mem.Depose()
			time.Sleep(time.Second)
		}
		synctest.Wait()
		if left := goroutines(t); len(left) > count {
			t.Errorf("%d goroutines after 20 terms, %d in the first:\n%s", len(left), count, strings.Join(left, "\n"))
		}
		for range 10 {
			runtime.GC()
		}
		if n := dropped.Load(); n < 18 {
			t.Errorf("of 20 masters only %d have been dropped", n)
		}
		stop()
		w.ended.Wait()
		c.Close()
		h.Close()
	})
}

// For a master without a successor a lost term is an error.
func TestVolatileTerm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newWorld(t).lead(true)
		l.mem.Depose()
		synctest.Wait()
		if err := l.stop(); !errors.Is(err, journal.ErrFenced) || !strings.Contains(err.Error(), "term 1") {
			t.Errorf("it ends with %v", err)
		}
	})
}

// A leader that is told of a higher term asks the journal. It stops if its reign is over and it has only not noticed; it goes on,
// and says so, if the term is of another cluster.
func TestToldOfHigherTerm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		far := newTown(t)
		for range 8 {
			if _, err := far.mem.Campaign(t.Context(), journal.Candidate{}); err != nil {
				t.Fatal(err)
			}
			far.mem.Depose()
		}
		_, stopFar := far.start("far", nil)
		w := newTown(t)
		p, stop := w.start("a:1", &sleeper{Store: w.mem})
		w.pipes["far"] = far.pipes["far"]
		c := w.dial(wire.RoleClient, 0, "far", "a:1")
		if _, err := c.List(t.Context(), &wire.ListArgs{}); err != nil {
			t.Fatal(err)
		}
		stopFar()
		far.ended.Wait()
		_, _ = c.List(t.Context(), &wire.ListArgs{}) // finds the connection broken
		for range 3 {
			_, err := c.List(t.Context(), &wire.ListArgs{})
			wantError(t, "a call that tells of another cluster's term", err, wire.ErrNoSuchTerm, "term 9", "in term 1", "--bump-term 9")
			if m, _, _ := p.state(); m == nil || m.term.N != 1 {
				t.Error("a stranger's word ended a term")
			}
		}
		time.Sleep(doubtEvery + 1)
		w.mem.Depose() // the master does not notice by itself
		_, err := c.List(t.Context(), &wire.ListArgs{})
		wantError(t, "a call that tells of a higher term", err, wire.ErrNotLeader)
		synctest.Wait()
		if m, _, _ := p.state(); m == nil || m.term.N != 2 {
			t.Error("the master goes on with a term that is over")
		}
		stop()
		w.ended.Wait()
		c.Close()
	})
}

// Masters, workers and clients of two versions of the protocol are one cluster, whoever is upgraded first: a job that began under
// the one ends under the other.
func TestRollingUpgrade(t *testing.T) {
	for _, v := range []struct{ first, second, client uint16 }{{1, 2, 1}, {1, 2, 2}, {2, 1, 1}, {2, 1, 2}} {
		synctest.Test(t, func(t *testing.T) {
			w := newTown(t)
			w.protocol = v.first
			_, stopA := w.start("a:1", nil)
			w.protocol = v.second
			_, stopB := w.start("b:1", nil)
			w.protocol = v.client
			l := &leader{world: w.world, c: w.dial(wire.RoleClient, time.Minute, "a:1", "b:1")}
			l.mustSubmit(jobA, spec())
			h := w.hire("w", 4, "a:1", "b:1")
			h.l = l
			h.work(wire.Map, 2)
			stopA()
			h.work(wire.Map, 1)
			h.work(wire.Reduce, 2)
			if s := l.status(jobA, wire.Done); s.Records != 30 || s.Rows != 20 {
				t.Errorf("%+v: %d records, %d rows", v, s.Records, s.Rows)
			}
			stopB()
			w.ended.Wait()
			l.c.Close()
			h.c.Close()
		})
	}
}

// A submission whose answer is lost, since the leader dies when it has written it down, is repeated at the next leader and is
// the same job.
func TestSubmitOverFailover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		_, stopA := w.start("a:1", nil)
		_, stopB := w.start("b:1", nil)
		w.set(func() {
			w.write = func(_ context.Context, write func() error) error {
				w.set(func() { w.write = nil })
				err := write()
				w.mem.Depose()
				return err
			}
		})
		c := w.dial(wire.RoleClient, time.Minute, "a:1", "b:1")
		r, err := c.Submit(t.Context(), &wire.SubmitArgs{Job: jobA, Spec: spec()})
		if err != nil || r.Job != jobA {
			t.Fatalf("got %+v, %v", r, err)
		}
		list, err := c.List(t.Context(), &wire.ListArgs{})
		if err != nil || len(list.Jobs) != 1 || list.Jobs[0].Map.Tasks != 3 {
			t.Errorf("the next leader knows %+v, %v", list, err)
		}
		stopA()
		stopB()
		w.ended.Wait()
		c.Close()
	})
}

// lateElection elects its candidate some time after the journal has lost its leader, as a lease that must run out does.
type lateElection struct {
	*memha.Store
	after func() // returns when the lease is over
}

func (e lateElection) Campaign(ctx context.Context, c journal.Candidate) (journal.Term, error) {
	term, err := e.Store.Campaign(ctx, journal.Candidate{}) // nobody knows yet
	if err == nil {
		e.after()
	}
	return term, err
}

// From the leader's death to the first new task at a worker it takes the lease and a second; while a worker that holds runs is
// missing, a second and a half more. Both are under five seconds.
func TestTimeToAssign(t *testing.T) {
	const lease = 2500 * time.Millisecond // and what the election takes
	for _, both := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			w := newTown(t)
			_, stopA := w.start("a:1", nil)
			_, stopB := w.start("b:1", lateElection{w.mem, func() { time.Sleep(lease) }})
			l := &leader{world: w.world, c: w.dial(wire.RoleClient, time.Minute, "a:1", "b:1")}
			s := spec()
			s.SplitSize = 10 // of 110 bytes an object
			l.mustSubmit(jobA, s)
			hands := []*hand{w.hire("w", 1, "a:1", "b:1"), w.hire("x", 1, "a:1", "b:1")}
			for _, h := range hands {
				h.l = l
				h.work(wire.Map, 1) // it holds a run, and has the next task
			}
			w.set(func() { delete(w.pipes, "a:1") })
			dead := time.Now()
			stopA()
			var back sync.WaitGroup
			if both {
				back.Go(func() {
					for range 10 {
						if err := hands[1].poll(); err != nil {
							t.Errorf("the other worker: %v", err)
						}
					}
				})
			}
			h := hands[0]
			h.args.Done = append(h.args.Done, h.result(h.tasks[0]))
			h.tasks = nil
			h.get(wire.Map)
			took, most := time.Since(dead), lease+time.Second
			if !both {
				most = lease + 2500*time.Millisecond
			}
			if took < lease || took > most {
				t.Errorf("both workers back %v: the first new task comes after %v, want %v at most", both, took, most)
			}
			back.Wait()
			stopB()
			w.ended.Wait()
			l.c.Close()
			hands[0].c.Close()
			hands[1].c.Close()
		})
	}
}
