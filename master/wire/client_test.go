package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// standing is a master that stands by: it names the leader, and counts who asks.
type standing struct {
	*master
	leader atomic.Pointer[string]
	asked  atomic.Int64
}

func standBy(leader string) *standing {
	s := &standing{master: new(master)}
	s.leader.Store(&leader)
	refuse := func() error { s.asked.Add(1); return NotLeader(*s.leader.Load()) }
	s.list = func(context.Context, *ListArgs) (*ListReply, error) { return nil, refuse() }
	s.poll = func(context.Context, *PollArgs) (*PollReply, error) { return nil, refuse() }
	s.watch = func(context.Context, *WatchArgs) (*JobStatus, error) { return nil, refuse() }
	return s
}

// silent is a master that accepts connections and never says a word, as one does whose process was stopped.
func silent(t *testing.T) *PipeListener {
	l := Pipe()
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go io.Copy(io.Discard, conn) // its kernel still takes what is sent
		}
	}()
	return l
}

// waiting answers List and Poll in term 2.
func waiting() *master {
	m := empty()
	m.poll = func(context.Context, *PollArgs) (*PollReply, error) { return &PollReply{Term: 2}, nil }
	return m
}

// Proves that a client goes where a master that stands by says that the leader is, without a pause, also to an address that it
// was not given.
func TestHintIsFollowed(t *testing.T) {
	for _, addrs := range [][]string{{"a", "b", "c"}, {"a"}} {
		synctest.Test(t, func(t *testing.T) {
			a, _ := serve(t, standBy("c"), ServerOptions{})
			other := standBy("c")
			b, _ := serve(t, other, ServerOptions{})
			leader, _ := serve(t, empty(), ServerOptions{})
			c, err := Dial(t.Context(), addrs, ClientOptions{Role: RoleClient, RetryFor: time.Minute, Dial: among(map[string]*PipeListener{"a": a, "b": b, "c": leader})})
			if err != nil {
				t.Fatal(err)
			}
			begun := time.Now()
			if _, err := c.List(t.Context(), &ListArgs{}); err != nil || c.Master() != "c" {
				t.Errorf("given %v: got %v at %s", addrs, err, c.Master())
			}
			if took := time.Since(begun); took > 0 || other.asked.Load() > 0 {
				t.Errorf("given %v: it took %v, and %d calls to another master", addrs, took, other.asked.Load())
			}
			c.Close()
		})
	}
}

// Proves that a hint to an address that cannot be reached does not keep a client from the leader, and that two masters which
// name each other are not asked without a pause.
func TestBadHints(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, _ := serve(t, standBy("inside"), ServerOptions{})
		leader, _ := serve(t, empty(), ServerOptions{})
		gone := Pipe()
		gone.Close()
		c, err := Dial(t.Context(), []string{"a", "b"}, ClientOptions{Role: RoleClient, RetryFor: time.Minute,
			Dial: among(map[string]*PipeListener{"a": a, "b": leader, "inside": gone})})
		if err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		if _, err := c.List(t.Context(), &ListArgs{}); err != nil || time.Since(begun) > time.Minute/2 {
			t.Errorf("past an address that is none from here: %v after %v", err, time.Since(begun))
		}
		c.Close()

		first, second := standBy("d"), standBy("c")
		x, _ := serve(t, first, ServerOptions{})
		y, _ := serve(t, second, ServerOptions{})
		c, err = Dial(t.Context(), []string{"c", "d"}, ClientOptions{Role: RoleClient, RetryFor: 10 * time.Second, Dial: among(map[string]*PipeListener{"c": x, "d": y})})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.List(t.Context(), &ListArgs{}); !errors.Is(err, ErrNotLeader) {
			t.Errorf("without a leader: got %v", err)
		}
		if n := first.asked.Load() + second.asked.Load(); n < 30 || n > 80 {
			t.Errorf("two masters that name each other were asked %d times in 10 s", n)
		}
		c.Close()
	})
}

// Proves that the addresses that a client hears of are bounded, those given always staying.
func TestHeardOfIsBounded(t *testing.T) {
	t.Parallel()
	c := &Client{addrs: []string{"a", "b"}, given: 2}
	for i := range 100 {
		c.moveOn(c.Master(), fmt.Sprint("x", i))
		if want := fmt.Sprint("x", i); c.Master() != want {
			t.Fatalf("the client is at %s, want %s", c.Master(), want)
		}
	}
	if len(c.addrs) != 2+maxHeardOf || !slices.Equal(c.addrs[:2], []string{"a", "b"}) {
		t.Errorf("it knows %q", c.addrs)
	}
}

// Proves that all connections move together: a long poll that waits at a master that no longer leads does not wait there until
// its end.
func TestConnectionsMoveTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old := standBy("b")
		old.poll = func(ctx context.Context, _ *PollArgs) (*PollReply, error) { <-ctx.Done(); return nil, ctx.Err() }
		old.job = func(context.Context, *JobArgs) (*JobReply, error) { return nil, NotLeader("b") }
		a, _ := serve(t, old, ServerOptions{})
		m := waiting()
		m.job = func(context.Context, *JobArgs) (*JobReply, error) { return &JobReply{}, nil }
		b, _ := serve(t, m, ServerOptions{})
		c, err := Dial(t.Context(), []string{"a", "b"}, ClientOptions{Role: RoleWorker, RetryFor: time.Minute, Dial: among(map[string]*PipeListener{"a": a, "b": b})})
		if err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		done := make(chan error)
		go func() {
			r, err := c.Poll(t.Context(), &PollArgs{Wait: time.Minute})
			if err == nil && r.Term != 2 {
				err = errors.New("answered by the old master")
			}
			done <- err
		}()
		time.Sleep(time.Second)
		if _, err := c.Job(t.Context(), &JobArgs{}); err != nil {
			t.Errorf("Job: %v", err)
		}
		if err := <-done; err != nil || time.Since(begun) > 1100*time.Millisecond {
			t.Errorf("Poll: %v after %v", err, time.Since(begun))
		}
		c.Close()
	})
}

// Proves that a master that accepts and is silent costs a client a third of a second, one that falls silent in a poll as long as
// an answer may be overdue, and that a network of 200 ms each way costs no call its answer.
func TestSilentMasters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		leader, _ := serve(t, waiting(), ServerOptions{})
		begun := time.Now()
		c, err := Dial(t.Context(), []string{"a", "b"}, ClientOptions{Role: RoleWorker, Dial: among(map[string]*PipeListener{"a": silent(t), "b": leader})})
		if err != nil || time.Since(begun) != dialEvery {
			t.Fatalf("past a silent address: %v after %v", err, time.Since(begun))
		}
		c.Close()

		hangs := waiting()
		hangs.poll = func(context.Context, *PollArgs) (*PollReply, error) { time.Sleep(time.Hour); return nil, ErrBusy }
		a, _ := serve(t, hangs, ServerOptions{IdleTimeout: 2 * time.Hour})
		c, err = Dial(t.Context(), []string{"a", "b"}, ClientOptions{Role: RoleWorker, RetryFor: time.Minute, Dial: among(map[string]*PipeListener{"a": a, "b": leader})})
		if err != nil {
			t.Fatal(err)
		}
		begun = time.Now()
		if r, err := c.Poll(t.Context(), &PollArgs{Wait: time.Second}); err != nil || r.Term != 2 || time.Since(begun) > 4100*time.Millisecond {
			t.Errorf("past a master that hangs in a poll: %v after %v", err, time.Since(begun))
		}
		c.Close()

		far := func(ctx context.Context, addr string) (net.Conn, error) {
			conn, err := leader.Dial(ctx, addr)
			return &farConn{conn, func() { time.Sleep(200 * time.Millisecond) }}, err
		}
		c, err = Dial(t.Context(), []string{"a", "b"}, ClientOptions{Role: RoleWorker, Dial: far})
		if err != nil {
			t.Fatal(err)
		}
		for range 5 {
			if _, err := c.Poll(t.Context(), &PollArgs{}); err != nil {
				t.Errorf("a poll over a slow network: %v", err)
			}
		}
		c.Close()
		time.Sleep(2 * time.Hour)
	})
}

// farConn is a connection whose bytes take their time each way.
type farConn struct {
	net.Conn
	travel func()
}

func (c *farConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.travel()
	return n, err
}

func (c *farConn) Write(b []byte) (int, error) {
	c.travel()
	return c.Conn.Write(b)
}

// Proves that after the leader's death all workers are at the next one soon after it serves, though the other masters go on
// naming the dead one until its lease is over, and that they ask these in moderation.
func TestWorkersFindTheNextLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const workers, lease, elected = 50, 2 * time.Second, 2500 * time.Millisecond
		b, next := standBy("a"), standBy("a")
		first, stop := serve(t, waiting(), ServerOptions{MaxConns: workers, MaxConnsPerIP: workers})
		second, _ := serve(t, b, ServerOptions{})
		third, _ := serve(t, next, ServerOptions{})
		dial := among(map[string]*PipeListener{"a": first, "b": second, "c": third})
		clients := make([]*Client, workers)
		for i := range clients {
			c, err := Dial(t.Context(), []string{"a", "b", "c"}, ClientOptions{Role: RoleWorker, RetryFor: time.Minute, Dial: dial})
			if err != nil {
				t.Fatal(err)
			}
			clients[i] = c
		}
		dead := time.Now()
		stop()
		time.AfterFunc(lease, func() { none := ""; b.leader.Store(&none); next.leader.Store(&none) })
		c := "c"
		for _, m := range []*standing{b, next} { // which hold calls for a second while nobody leads, as masters do
			m.poll = func(context.Context, *PollArgs) (*PollReply, error) {
				m.asked.Add(1)
				for held := 0; held < 10 && *m.leader.Load() == ""; held++ {
					time.Sleep(100 * time.Millisecond)
				}
				if m == next && *m.leader.Load() == c {
					return &PollReply{Term: 2}, nil
				}
				return nil, NotLeader(*m.leader.Load())
			}
		}
		time.AfterFunc(elected, func() { next.leader.Store(&c); b.leader.Store(&c) })
		var all sync.WaitGroup
		var latest atomic.Int64
		for _, c := range clients {
			all.Go(func() {
				if r, err := c.Poll(t.Context(), &PollArgs{Wait: time.Second}); err != nil || r.Term != 2 {
					t.Errorf("got %+v, %v", r, err)
				}
				for took := int64(time.Since(dead)); ; {
					if old := latest.Load(); took <= old || latest.CompareAndSwap(old, took) {
						return
					}
				}
			})
		}
		all.Wait()
		t.Logf("the last worker is there %v after the leader serves; a worker asks %d times", time.Duration(latest.Load())-elected, (b.asked.Load()+next.asked.Load())/workers)
		if late := time.Duration(latest.Load()) - elected; late > 500*time.Millisecond {
			t.Errorf("the last worker is there %v after the leader serves", late)
		}
		if n := (b.asked.Load() + next.asked.Load()) / workers; n > 10 {
			t.Errorf("a worker asks %d times in %v", n, elected)
		}
		for _, c := range clients {
			c.Close()
		}
	})
}
