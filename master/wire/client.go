package wire

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"time"
)

// ErrUnreachable is no master that answers, at any of the addresses.
var ErrUnreachable = errors.New("no master reached")

// ErrClosed is a call on a Client that was closed.
var ErrClosed = errors.New("the client is closed")

// ClientOptions are a Client's settings.
type ClientOptions struct {
	Role    Role        // must be given
	Cluster ClusterID   // the only one to talk to; zero: the one found first, and from then on no other
	TLS     *tls.Config // nil: no TLS; ServerName defaults to the address' host

	// Protocol is the highest version of the protocol to speak, for tests of an upgrade; 0: the newest.
	Protocol uint16

	// Dial connects to one address; nil: TCP. A PipeListener's Dial keeps everything in this process.
	Dial func(ctx context.Context, addr string) (net.Conn, error)

	DialTimeout  time.Duration // for one address, preamble included; 0: 3 s
	CallTimeout  time.Duration // for an answer, to calls that are no long polls; 0: 30 s
	Overdue      time.Duration // for an answer to a long poll, beyond what it asks to wait; 0: 3 s
	FrameTimeout time.Duration // to write one frame; 0: 10 s

	// RetryFor is how long a call is tried again when no master can be reached, none leads, or it is busy. All calls can
	// be repeated without harm: Poll by its Seq, Submit by the id that the client made. 0: each call is tried once.
	RetryFor time.Duration
	// DialFor is how long Dial itself looks for a master; 0: RetryFor.
	DialFor time.Duration
	// Waiting is told while a call, not Dial, is tried again, before each pause: since when, and why. It is called by who makes
	// the call. nil: nobody is told.
	Waiting func(waited time.Duration, why error)
}

func (o ClientOptions) withDefaults() (ClientOptions, error) {
	if o.Role != RoleWorker && o.Role != RoleClient && o.Role != RoleMaster {
		return o, fmt.Errorf("wire.ClientOptions.Role: %s: want RoleWorker, RoleClient or RoleMaster", o.Role)
	}
	o.Protocol = orDefault(o.Protocol, maxVersion)
	o.DialTimeout = orDefault(o.DialTimeout, 3*time.Second)
	o.CallTimeout = orDefault(o.CallTimeout, 30*time.Second)
	o.Overdue = orDefault(o.Overdue, 3*time.Second)
	o.FrameTimeout = orDefault(o.FrameTimeout, 10*time.Second)
	o.DialFor = orDefault(o.DialFor, o.RetryFor)
	if o.Waiting == nil {
		o.Waiting = func(time.Duration, error) {}
	}
	if o.Dial == nil {
		o.Dial = func(ctx context.Context, addr string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", addr)
		}
	}
	return o, nil
}

// lane is one of a client's connections. Short calls do not share one with long polls, so that a connection full of these,
// or a slow reply among them, delays no heartbeat's answer.
type lane int

const (
	short lane = iota
	long
	lanes
)

// firstLane is the one that a peer of the role connects at once: the one that it always needs. Of many workers without work that
// is half of the connections.
func (r Role) firstLane() lane {
	if r == RoleWorker {
		return long
	}
	return short
}

// Client calls the masters of one cluster. Its methods may be called from many goroutines. It connects when a call needs
// it, to the first address that answers, and goes where it is told that the leader is. All its connections are to the same
// master: when that breaks, hangs, or does not lead, all move on together.
type Client struct {
	o     ClientOptions
	heard heard

	dialing chan struct{} // holds a token while somebody dials: the others wait for the result

	mu      sync.Mutex
	addrs   []string // as given, and then those that were heard of
	given   int      // how many were given
	conns   [lanes]*conn
	retired []*conn   // on which calls may still be in flight
	at      int       // index of the address to try first
	failed  string    // the address that was tried first and did not answer, the last such one
	tried   time.Time // when that was
	cluster ClusterID
	closed  bool
}

// Dial returns a client once a master at one of addrs ("host:port") has answered. The error wraps ErrUnreachable and names
// the addresses, or says what does not fit (ErrNotMillrace, ErrVersion, ErrOtherCluster).
func Dial(ctx context.Context, addrs []string, o ClientOptions) (*Client, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	if len(addrs) == 0 {
		return nil, fmt.Errorf("%w: no address given", ErrUnreachable)
	}
	c := &Client{o: o, addrs: slices.Clone(addrs), given: len(addrs), cluster: o.Cluster, dialing: make(chan struct{}, 1)}
	err = c.retry(ctx, o.DialFor, func(time.Duration, error) {}, func() error {
		_, err := c.conn(ctx, o.Role.firstLane())
		return err
	})
	if err != nil {
		return nil, err
	}
	return c, nil
}

// Close closes the connections. Calls in flight fail.
func (c *Client) Close() error {
	c.mu.Lock()
	c.closed = true
	conns := slices.Concat(c.conns[:], c.retired)
	c.mu.Unlock()
	for _, conn := range conns {
		if conn != nil {
			conn.close()
			<-conn.done
		}
	}
	return nil
}

// Cluster is the id of the cluster that the client talks to.
func (c *Client) Cluster() ClusterID {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cluster
}

// Master is the address of the master that answered last.
func (c *Client) Master() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.addrs[c.at]
}

// Poll is a worker's heartbeat; see PollArgs.
func (c *Client) Poll(ctx context.Context, args *PollArgs) (*PollReply, error) {
	return invoke[PollArgs, PollReply](ctx, c, "Poll", args, long, args.Wait)
}

// Job asks for what a worker must know of a job.
func (c *Client) Job(ctx context.Context, args *JobArgs) (*JobReply, error) {
	return invoke[JobArgs, JobReply](ctx, c, "Job", args, short, 0)
}

// Runs asks for a page of a job's run log.
func (c *Client) Runs(ctx context.Context, args *RunsArgs) (*RunsReply, error) {
	return invoke[RunsArgs, RunsReply](ctx, c, "Runs", args, long, args.Pause+args.Wait)
}

// Submit submits a job.
func (c *Client) Submit(ctx context.Context, args *SubmitArgs) (*SubmitReply, error) {
	return invoke[SubmitArgs, SubmitReply](ctx, c, "Submit", args, short, 0)
}

// Watch asks for a job's status.
func (c *Client) Watch(ctx context.Context, args *WatchArgs) (*JobStatus, error) {
	return invoke[WatchArgs, JobStatus](ctx, c, "Watch", args, long, args.Wait)
}

// List asks for the jobs that the master knows.
func (c *Client) List(ctx context.Context, args *ListArgs) (*ListReply, error) {
	return invoke[ListArgs, ListReply](ctx, c, "List", args, short, 0)
}

// Cancel cancels a job.
func (c *Client) Cancel(ctx context.Context, args *CancelArgs) (*CancelReply, error) {
	return invoke[CancelArgs, CancelReply](ctx, c, "Cancel", args, short, 0)
}

// Logs asks for a page of a job's log.
func (c *Client) Logs(ctx context.Context, args *LogsArgs) (*LogsReply, error) {
	return invoke[LogsArgs, LogsReply](ctx, c, "Logs", args, long, args.Wait)
}

// Explain asks where a job's time went.
func (c *Client) Explain(ctx context.Context, args *ExplainArgs) (*Explanation, error) {
	return invoke[ExplainArgs, Explanation](ctx, c, "Explain", args, short, 0)
}

// Task asks for what running a task again takes.
func (c *Client) Task(ctx context.Context, args *TaskArgs) (*TaskReply, error) {
	return invoke[TaskArgs, TaskReply](ctx, c, "Task", args, short, 0)
}

// invoke makes a call, again if it may. Each try has a result of its own. pause is what the call asks the master to wait.
func invoke[A, R any](ctx context.Context, c *Client, op string, args *A, l lane, pause time.Duration) (result *R, err error) {
	timeout := c.o.CallTimeout
	if l == long {
		timeout = pause + c.o.Overdue
	}
	err = c.retry(ctx, c.o.RetryFor, c.o.Waiting, func() error {
		result = new(R)
		return c.try(ctx, l, op, args, result, timeout)
	})
	if err != nil {
		return nil, err
	}
	return result, nil
}

// try makes one try of a call.
func (c *Client) try(ctx context.Context, l lane, op string, args, result any, timeout time.Duration) error {
	conn, err := c.conn(ctx, l)
	if err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	err = conn.call(limited, op, args, result)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, context.DeadlineExceeded):
		conn.close() // a master that hangs
		c.leave(conn.addr)
		return fmt.Errorf("%w: %s at %s: no answer within %v", ErrUnreachable, op, conn.addr, timeout)
	case errors.Is(err, errBroken):
		c.leave(conn.addr)
		return fmt.Errorf("%w: %s at %s: %w", ErrUnreachable, op, conn.addr, err)
	case errors.Is(err, ErrOldTerm):
		c.leave(conn.addr)
		return fmt.Errorf("%s at %s: %w", op, conn.addr, err)
	case errors.Is(err, ErrNotLeader), errors.Is(err, ErrShuttingDown), errors.Is(err, ErrNoSuchTerm):
		c.moveOn(conn.addr, leaderOf(err))
	}
	return err
}

// maxHeardOf bounds the addresses that masters tell of beyond those given: a cluster has seven masters at most, and some are
// replaced in a client's life.
const maxHeardOf = 16

// failedFor is how long a leader that did not answer is not tried again, though others name it: longer than they take to
// notice that it is dead.
const failedFor = 3 * time.Second

// leave gives up a master that hangs, broke off, or speaks of an old term: who waits there for an answer would wait in vain.
func (c *Client) leave(addr string) {
	c.moveOn(addr, "")
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closeLocked(addr)
}

func (c *Client) closeLocked(addr string) {
	for _, conn := range c.conns {
		if conn != nil && conn.addr == addr && len(c.addrs) > 1 {
			conn.close()
		}
	}
}

// moveOn makes the next connection start at the leader's address, if that is known, or else at any one but addr, unless
// somebody moved on already. If the leader has just been found dead, the client stays: ten thousand that change places all
// the time would cost the masters far more than as many that ask again.
func (c *Client) moveOn(addr, leader string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.addrs[c.at] != addr || len(c.addrs) == 1 && leader == "" {
		return
	}
	switch {
	case leader == "" || leader == addr:
		c.at = (c.at + 1 + rand.N(max(len(c.addrs)-1, 1))) % len(c.addrs)
	case leader == c.failed && time.Since(c.tried) < failedFor:
		return
	default:
		c.at = c.indexLocked(leader)
		c.closeLocked(addr) // what waits there goes along
	}
}

// orderLocked is the addresses in the order in which to try them: the others in any, so that clients that lost a master
// spread over the rest.
func (c *Client) orderLocked() []string {
	addrs := slices.Clone(c.addrs)
	addrs[0], addrs[c.at] = addrs[c.at], addrs[0]
	rand.Shuffle(len(addrs)-1, func(i, j int) { addrs[1+i], addrs[1+j] = addrs[1+j], addrs[1+i] })
	return addrs
}

// indexLocked is where an address stands. One that is new takes the place of the one that was heard of first if there are many.
func (c *Client) indexLocked(addr string) int {
	if i := slices.Index(c.addrs, addr); i >= 0 {
		return i
	}
	if len(c.addrs) == c.given+maxHeardOf {
		c.addrs = slices.Delete(c.addrs, c.given, c.given+1)
	}
	c.addrs = append(c.addrs, addr)
	return len(c.addrs) - 1
}

// conn returns the connection of a lane, made anew when there is none, it broke, or the client moved on.
func (c *Client) conn(ctx context.Context, l lane) (*conn, error) {
	select {
	case c.dialing <- struct{}{}:
		defer func() { <-c.dialing }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	c.mu.Lock()
	old, cluster, closed := c.conns[l], c.cluster, c.closed
	addrs := c.orderLocked()
	c.mu.Unlock()
	if closed {
		return nil, ErrClosed
	}
	if old != nil && !old.ended.Load() && old.addr == addrs[0] {
		return old, nil
	}
	if old != nil {
		old.retire()
	}
	made, err := c.dial(ctx, addrs, cluster)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil || made.addr != addrs[0] {
		c.failed, c.tried = addrs[0], time.Now()
	}
	if err != nil {
		return nil, err
	}
	if c.closed {
		made.close()
		return nil, ErrClosed
	}
	if old != nil {
		c.retired = append(slices.DeleteFunc(c.retired, (*conn).over), old)
	}
	c.conns[l], c.at, c.cluster = made, c.indexLocked(made.addr), made.cluster
	return made, nil
}

// Bounds of the pauses before a call is tried again.
const (
	minRetryPause  = 50 * time.Millisecond
	maxSearchPause = 500 * time.Millisecond // while the leader is looked for: so much later than it serves it is found
	maxBusyPause   = 2 * time.Second        // while the leader has too much to do
)

// retry calls try until it succeeds, fails for good, or that much time has passed. The pauses double, and a random part of each
// keeps clients that lost the same master from coming back together. Where a master says who leads, that one is tried at
// once; if it does not lead either, there is a pause, since two masters may name each other for a while.
func (c *Client) retry(ctx context.Context, limit time.Duration, waiting func(time.Duration, error), try func() error) error {
	begun := time.Now()
	led := false
	for pause := minRetryPause; ; {
		err := try()
		if err == nil || !Again(err) || time.Since(begun)+pause > limit {
			return err
		}
		if led = !led && leaderOf(err) == c.Master(); led {
			continue
		}
		waiting(time.Since(begun), err)
		wait(ctx, pause/2+rand.N(pause/2))
		if ctx.Err() != nil {
			return ctx.Err()
		}
		longest := maxSearchPause
		if errors.Is(err, ErrBusy) {
			longest = maxBusyPause
		}
		pause = min(2*pause, longest)
	}
}

// Again says whether the same call may fare better later or elsewhere.
func Again(err error) bool {
	for _, never := range []error{ErrVersion, ErrOtherCluster, ErrUnknownCall} {
		if errors.Is(err, never) {
			return false
		}
	}
	for _, later := range []error{ErrUnreachable, ErrNotLeader, ErrBusy, ErrShuttingDown, ErrOldTerm, ErrNoSuchTerm} {
		if errors.Is(err, later) {
			return true
		}
	}
	return false
}
