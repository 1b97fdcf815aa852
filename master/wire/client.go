package wire

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
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

	DialTimeout  time.Duration // for one address, preamble included; 0: 5 s
	CallTimeout  time.Duration // for an answer, beyond what a long poll asks to wait; 0: 30 s
	FrameTimeout time.Duration // to write one frame; 0: 10 s

	// RetryFor is how long a call is tried again when no master can be reached, none leads, or it is busy. All calls can
	// be repeated without harm: Poll by its Seq, Submit by the id that the client made. 0: each call is tried once.
	RetryFor time.Duration
}

func (o ClientOptions) withDefaults() (ClientOptions, error) {
	if o.Role != RoleWorker && o.Role != RoleClient {
		return o, fmt.Errorf("wire.ClientOptions.Role: %s: want RoleWorker or RoleClient", o.Role)
	}
	o.Protocol = orDefault(o.Protocol, maxVersion)
	o.DialTimeout = orDefault(o.DialTimeout, HandshakeTimeout)
	o.CallTimeout = orDefault(o.CallTimeout, 30*time.Second)
	o.FrameTimeout = orDefault(o.FrameTimeout, 10*time.Second)
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

// Client calls the masters of one cluster. Its methods may be called from many goroutines. It connects when a call needs
// it, to the addresses in turn until one answers, and stays with that one until it breaks or does not lead.
type Client struct {
	o     ClientOptions
	addrs []string
	heard heard

	dialing chan struct{} // holds a token while somebody dials: the others wait for the result

	mu      sync.Mutex
	conns   [lanes]*conn
	at      int // index of the address to try first
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
	c := &Client{o: o, addrs: addrs, cluster: o.Cluster, dialing: make(chan struct{}, 1)}
	err = c.retry(ctx, func() error {
		_, err := c.conn(ctx, short)
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
	conns := c.conns
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
	err = c.retry(ctx, func() error {
		result = new(R)
		return c.try(ctx, l, op, args, result, pause+c.o.CallTimeout)
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
		c.moveOn(conn.addr)
		return fmt.Errorf("%w: %s at %s: no answer within %v", ErrUnreachable, op, conn.addr, timeout)
	case errors.Is(err, errBroken):
		c.moveOn(conn.addr)
		return fmt.Errorf("%w: %s at %s: %w", ErrUnreachable, op, conn.addr, err)
	case errors.Is(err, ErrNotLeader), errors.Is(err, ErrShuttingDown), errors.Is(err, ErrNoSuchTerm):
		c.moveOn(conn.addr)
	case errors.Is(err, ErrOldTerm):
		c.moveOn(conn.addr)
		return fmt.Errorf("%s at %s: %w", op, conn.addr, err)
	}
	return err
}

// moveOn makes the next connection start at the address after addr, unless somebody moved on already.
func (c *Client) moveOn(addr string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.addrs[c.at] == addr {
		c.at = (c.at + 1) % len(c.addrs)
	}
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
	old, at, cluster, closed := c.conns[l], c.at, c.cluster, c.closed
	c.mu.Unlock()
	if closed {
		return nil, ErrClosed
	}
	if old != nil && !old.ended.Load() && old.addr == c.addrs[at] {
		return old, nil
	}
	if old != nil {
		old.close()
	}
	conn, at, err := c.dial(ctx, at, cluster)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		conn.close()
		return nil, ErrClosed
	}
	c.conns[l], c.at, c.cluster = conn, at, conn.cluster
	return conn, nil
}

// dial tries each address once, from the one at index at on.
func (c *Client) dial(ctx context.Context, at int, cluster ClusterID) (*conn, int, error) {
	var errs []error
	for i := range c.addrs {
		n := (at + i) % len(c.addrs)
		conn, err := dialConn(ctx, c.addrs[n], &c.o, cluster, &c.heard)
		if err == nil {
			return conn, n, nil
		}
		if ctx.Err() != nil {
			return nil, 0, ctx.Err()
		}
		errs = append(errs, fmt.Errorf("%s: %w", c.addrs[n], err))
	}
	return nil, 0, &unreachable{errs}
}

// unreachable is why each address failed.
type unreachable struct{ errs []error }

func (u *unreachable) Error() string {
	var b strings.Builder
	b.WriteString(ErrUnreachable.Error())
	for i, err := range u.errs {
		b.WriteString([]string{": ", "; "}[min(i, 1)] + err.Error())
	}
	return b.String()
}

func (u *unreachable) Unwrap() []error { return append(u.errs, ErrUnreachable) }

// Bounds of the pause before a call is tried again.
const (
	minRetryPause = 50 * time.Millisecond
	maxRetryPause = 2 * time.Second
)

// retry calls try until it succeeds, fails for good, or RetryFor has passed. The pauses double, and a random part of each
// keeps clients that lost the same master from coming back together.
func (c *Client) retry(ctx context.Context, try func() error) error {
	begun := time.Now()
	for pause := minRetryPause; ; pause = min(2*pause, maxRetryPause) {
		err := try()
		if err == nil || !again(err) || time.Since(begun)+pause > c.o.RetryFor {
			return err
		}
		wait(ctx, pause/2+rand.N(pause/2))
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// again says whether the same call may fare better later or elsewhere.
func again(err error) bool {
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
