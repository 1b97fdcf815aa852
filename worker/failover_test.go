package worker

import (
	"context"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/jobs/plan"
	"github.com/millrace/millrace/master"
	"github.com/millrace/millrace/master/journal"
	"github.com/millrace/millrace/master/memha"
	"github.com/millrace/millrace/master/sched"
	"github.com/millrace/millrace/master/wire"
)

// succession is two masters over one journal, and a worker that knows both.
type succession struct {
	*rig
	mem   *memha.Store
	pipes map[string]*wire.PipeListener
	ended sync.WaitGroup
	stopA func()

	mu   sync.Mutex
	hang chan struct{} // not nil: the first master's writes wait for it, and then do not happen
}

const vacancy = 2 * time.Minute // between the first master's death and the second one's election

// late elects its candidate when the journal has had no leader for a while.
type late struct{ *memha.Store }

func (l late) Campaign(ctx context.Context, c journal.Candidate) (journal.Term, error) {
	term, err := l.Store.Campaign(ctx, journal.Candidate{}) // it leads, and nobody knows yet
	if err == nil {
		pause(ctx, vacancy)
	}
	return term, err
}

// hanging is a journal whose disk can hang.
type hanging struct {
	*memha.Store
	s *succession
}

func (h hanging) Append(ctx context.Context, term uint64, entries []journal.Entry) error {
	h.s.mu.Lock()
	hang := h.s.hang
	h.s.mu.Unlock()
	if hang != nil {
		<-hang
		return fmt.Errorf("%w: the disk hung", journal.ErrFenced)
	}
	return h.Store.Append(ctx, term, entries)
}

func newSuccession(t *testing.T, r *rig) *succession {
	t.Helper()
	s := &succession{rig: r, mem: memha.New(), pipes: map[string]*wire.PipeListener{}}
	s.stopA = s.master("a", hanging{s.mem, s}, s.mem)
	c, err := wire.Dial(t.Context(), []string{"a", "b"}, s.options(wire.RoleWorker))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	r.o.Master = c
	return s
}

func (s *succession) options(role wire.Role) wire.ClientOptions {
	return wire.ClientOptions{Role: role, RetryFor: time.Minute, Dial: func(ctx context.Context, addr string) (net.Conn, error) {
		s.mu.Lock()
		l := s.pipes[addr]
		s.mu.Unlock()
		if l == nil {
			return nil, fmt.Errorf("%s: connection refused", addr)
		}
		return l.Dial(ctx, addr)
	}}
}

// master starts a master, which stop kills: nobody reaches it any more.
func (s *succession) master(addr string, b journal.Backend, e journal.Election) (stop func()) {
	s.t.Helper()
	p, err := master.New(master.Options{Store: s.o.Store, Backend: b, Election: e, Address: addr, Scheduler: sched.Options{Lease: 15 * time.Second}})
	if err != nil {
		s.t.Fatal(err)
	}
	l := wire.Pipe()
	s.mu.Lock()
	s.pipes[addr] = l
	s.mu.Unlock()
	ctx, cancel := context.WithCancel(s.t.Context())
	s.ended.Go(func() {
		if err := p.Run(ctx, l); err != nil {
			s.t.Errorf("master %s: %v", addr, err)
		}
	})
	synctest.Wait()
	return func() {
		s.mu.Lock()
		delete(s.pipes, addr)
		s.mu.Unlock()
		cancel()
	}
}

// client is one of submitters, for as long as do takes.
func (s *succession) client(do func(*wire.Client)) {
	s.t.Helper()
	c, err := wire.Dial(s.t.Context(), []string{"a", "b"}, s.options(wire.RoleClient))
	if err != nil {
		s.t.Fatal(err)
	}
	defer c.Close()
	do(c)
}

const failoverJob = wire.JobID("0123456789abcdef")

// begin submits a job of two maps and a reduce, and lets all of them run: the first map ends, the second one waits at the
// gate, and the reduce has read the first one's run.
func (s *succession) begin() {
	s.t.Helper()
	for _, name := range []string{"1", "2"} {
		if err := s.o.Store.Put(s.t.Context(), "mem://b/two/"+name, []byte("a b\nb\n"), false); err != nil {
			s.t.Fatal(err)
		}
	}
	spec := plan.Spec{
		Job: "slow", Info: jobs.Info{Inputs: make([]jobs.Input, 1)}, Inputs: []string{"mem://b/two/*"}, Output: "mem://b/out", Reducers: 1,
		SplitSize: 6, Compression: "none",
	}
	reply, err := s.script.job(&wire.JobArgs{Job: "slow"})
	if err != nil {
		s.t.Fatal(err)
	}
	spec.Program = reply.Spec.Program
	s.client(func(c *wire.Client) {
		if _, err := c.Submit(s.t.Context(), &wire.SubmitArgs{Job: failoverJob, Spec: spec}); err != nil {
			s.t.Fatal(err)
		}
	})
	s.start()
	let(time.Second)
	s.gate <- struct{}{} // a record of one of the maps
	synctest.Wait()
	s.gate <- struct{}{} // of the same, or of the other
	let(time.Second)
	s.gate <- struct{}{} // now one of them has ended
	let(3 * time.Second)
}

// attempts are all that the worker was ever given.
func (s *succession) attempts() (list []wire.AttemptID) {
	s.Worker.mu.Lock()
	defer s.Worker.mu.Unlock()
	for a := range s.had {
		list = append(list, a)
	}
	slices.SortFunc(list, compareAttempts)
	return list
}

// wait follows the job to its end.
func (s *succession) wait() (status *wire.JobStatus) {
	s.t.Helper()
	s.client(func(c *wire.Client) {
		args := &wire.WatchArgs{Job: failoverJob, Wait: 10 * time.Second}
		begun := time.Now()
		for status = new(wire.JobStatus); status.Ended.IsZero(); args.Version = status.Version {
			if time.Since(begun) > time.Hour {
				s.t.Fatalf("it does not end: %+v", status)
			}
			var err error
			if status, err = c.Watch(s.t.Context(), args); err != nil {
				s.t.Fatal(err)
			}
		}
	})
	return status
}

// When the leader dies, a worker goes on with the map and the reduce that it runs, for however long nobody leads. The next
// leader takes them over under their numbers, nothing that was done runs again, and what was finished meanwhile counts. A worker
// that drains does the same, and leaves when it is needed no more.
func TestFailover(t *testing.T) {
	for name, meanwhile := range map[string]func(s *succession){
		"all run on":              func(*succession) {},
		"a map ends meanwhile":    func(s *succession) { close(s.gate) },
		"the worker drains":       func(s *succession) { s.Drain() },
		"a map ends, unrecorded":  nil,
		"the worker drains first": nil,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSuccession(t, newRig(t, Options{Slots: 3, Drain: time.Hour}))
				s.begin()
				before := s.attempts()
				if len(before) != 3 {
					t.Fatalf("the worker was given %v", before)
				}
				switch name {
				case "a map ends, unrecorded": // the leader is told, and dies before it has written it down
					s.mu.Lock()
					s.hang = make(chan struct{})
					s.mu.Unlock()
					close(s.gate)
					let(2 * time.Second)
					s.mem.Depose()
					close(s.hang)
				case "the worker drains first":
					s.Drain()
					let(2 * time.Second)
				}
				s.stopA()
				synctest.Wait()
				stopB := s.master("b", s.mem, late{s.mem})
				let(vacancy / 2)
				if meanwhile != nil {
					meanwhile(s)
				}
				let(vacancy)
				if name == "all run on" || name == "the worker drains" || name == "the worker drains first" {
					close(s.gate)
				}
				status := s.wait()
				if status.State != wire.Done || status.Retries != 0 || status.Rows != 2 || status.Records != 4 || status.Pairs != 6 {
					t.Errorf("the job ends as %+v", status)
				}
				if after := s.attempts(); len(after) > 0 && !slices.Equal(after, before) {
					t.Errorf("after the failover the worker was given %v, before %v", after, before)
				}
				let(5 * time.Second)
				if name == "the worker drains" || name == "the worker drains first" {
					if err := <-s.rig.ended; err != nil {
						t.Error(err)
					}
				} else {
					s.stop()
				}
				stopB()
				s.ended.Wait()
			})
		})
	}
}
