package wire

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/jobs/plan"
	"github.com/millrace/millrace/master/sched"
)

// master is a Service whose calls do what the test says; the others give ErrNoJob.
type master struct {
	poll   func(context.Context, *PollArgs) (*PollReply, error)
	job    func(context.Context, *JobArgs) (*JobReply, error)
	list   func(context.Context, *ListArgs) (*ListReply, error)
	submit func(context.Context, *SubmitArgs) (*SubmitReply, error)
	watch  func(context.Context, *WatchArgs) (*JobStatus, error)
}

func do[A, R any](ctx context.Context, f func(context.Context, *A) (*R, error), a *A) (*R, error) {
	if f == nil {
		return nil, fmt.Errorf("%w: the test has none", ErrNoJob)
	}
	return f(ctx, a)
}

func (m *master) Poll(ctx context.Context, a *PollArgs) (*PollReply, error) {
	return do(ctx, m.poll, a)
}
func (m *master) Job(ctx context.Context, a *JobArgs) (*JobReply, error) { return do(ctx, m.job, a) }
func (m *master) List(ctx context.Context, a *ListArgs) (*ListReply, error) {
	return do(ctx, m.list, a)
}
func (m *master) Submit(ctx context.Context, a *SubmitArgs) (*SubmitReply, error) {
	return do(ctx, m.submit, a)
}
func (m *master) Watch(ctx context.Context, a *WatchArgs) (*JobStatus, error) {
	return do(ctx, m.watch, a)
}
func (m *master) Runs(ctx context.Context, a *RunsArgs) (*RunsReply, error) {
	return do[RunsArgs, RunsReply](ctx, nil, a)
}
func (m *master) Cancel(ctx context.Context, a *CancelArgs) (*CancelReply, error) {
	return do[CancelArgs, CancelReply](ctx, nil, a)
}
func (m *master) Logs(ctx context.Context, a *LogsArgs) (*LogsReply, error) {
	return do[LogsArgs, LogsReply](ctx, nil, a)
}
func (m *master) Explain(ctx context.Context, a *ExplainArgs) (*Explanation, error) {
	return do[ExplainArgs, Explanation](ctx, nil, a)
}
func (m *master) Task(ctx context.Context, a *TaskArgs) (*TaskReply, error) {
	return do[TaskArgs, TaskReply](ctx, nil, a)
}

var _ Service = (*master)(nil)

// empty answers List at once.
func empty() *master {
	return &master{list: func(context.Context, *ListArgs) (*ListReply, error) { return &ListReply{}, nil }}
}

// hanging answers Watch only when the call's context ends, and says so.
func hanging() (m *master, begun, ended chan struct{}) {
	begun, ended = make(chan struct{}, 1000), make(chan struct{}, 1000)
	return &master{watch: func(ctx context.Context, _ *WatchArgs) (*JobStatus, error) {
		begun <- struct{}{}
		<-ctx.Done()
		ended <- struct{}{}
		return nil, ctx.Err()
	}}, begun, ended
}

// serve serves m over a pipe until the test ends or stop is called, which waits for the server.
func serve(t testing.TB, m Service, o ServerOptions) (l *PipeListener, stop func()) {
	l = Pipe()
	return l, serveOn(t, m, o, l)
}

func serveOn(t testing.TB, m Service, o ServerOptions, l net.Listener) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- NewServer(m, o).Serve(ctx, l) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// dial connects a client over l.
func dial(t testing.TB, l *PipeListener, o ClientOptions) *Client {
	t.Helper()
	if o.Dial == nil {
		o.Dial = l.Dial
	}
	if o.Role == 0 {
		o.Role = RoleClient
	}
	c, err := Dial(t.Context(), []string{"pipe"}, o)
	if err != nil {
		t.Fatalf("Dial: %v", err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func tcp(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// Proves that a worker's largest messages arrive as they were sent, both ways, over TCP.
func TestMessagesArriveWhole(t *testing.T) {
	t.Parallel()
	attempt := AttemptID{Task: TaskID{Job: "j", Phase: sched.Map, Index: 7}, N: 2}
	var got *PollArgs
	m := &master{poll: func(_ context.Context, a *PollArgs) (*PollReply, error) {
		got = a
		r := &PollReply{Term: 3, Kill: []AttemptID{attempt}, Needed: true}
		for range 1000 {
			r.Assign = append(r.Assign, Task{Attempt: attempt, Split: plan.Split{Pieces: []plan.Piece{
				{Object: plan.Object{URL: "s3://b/" + strings.Repeat("k", 100), Size: 1 << 40, ETag: "e"}, Length: 9}}}})
		}
		return r, nil
	}}
	l := tcp(t)
	serveOn(t, m, ServerOptions{}, l)
	c, err := Dial(t.Context(), []string{l.Addr().String()}, ClientOptions{Role: RoleWorker})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()

	bounds := make([][]byte, 10000)
	for i := range bounds {
		bounds[i] = []byte(strings.Repeat("b", 64))
	}
	reply, err := c.Poll(t.Context(), &PollArgs{Worker: "w", Seq: 5, Done: []Outcome{
		{Attempt: attempt, Sample: &SampleResult{Bounds: bounds}, Counters: map[string]int64{"x": -1}},
		{Attempt: attempt, Failure: &Failure{Kind: sched.FailFetch, Run: attempt, Text: "gone"}},
	}})
	if err != nil {
		t.Fatalf("Poll: %v", err)
	}
	if len(reply.Assign) != 1000 || reply.Assign[999].Split.Pieces[0].Size != 1<<40 || !reply.Needed || reply.Kill[0] != attempt {
		t.Errorf("reply differs: %d tasks", len(reply.Assign))
	}
	if len(got.Done) != 2 || len(got.Done[0].Sample.Bounds) != 10000 || got.Done[0].Counters["x"] != -1 || got.Done[1].Failure.Run != attempt {
		t.Errorf("arguments differ: %d outcomes", len(got.Done))
	}
}

// Proves that each sentinel that a service returns is found by errors.Is at the caller, with the service's text.
func TestFaultsComeBackAsSentinels(t *testing.T) {
	t.Parallel()
	var next error
	m := &master{list: func(context.Context, *ListArgs) (*ListReply, error) { return nil, next }}
	l, _ := serve(t, m, ServerOptions{})
	c := dial(t, l, ClientOptions{})
	for code := CodeInternal; code <= lastCode; code++ {
		next = fmt.Errorf("list s3://b/x: %w", code.sentinel())
		_, err := c.List(t.Context(), &ListArgs{})
		if !errors.Is(err, code.sentinel()) || !strings.Contains(err.Error(), "list s3://b/x") {
			t.Errorf("code %d: got %v, want %v", code, err, next)
		}
		if f, ok := errors.AsType[*Fault](err); !ok || f.Op != "List" || f.Code != code {
			t.Errorf("code %d: got %#v, want a *Fault of List", code, err)
		}
		for other := CodeInternal; other <= lastCode; other++ {
			if other != code && errors.Is(err, other.sentinel()) {
				t.Errorf("code %d also matches %v", code, other.sentinel())
			}
		}
	}
	next = errors.New("disk on fire")
	if _, err := c.List(t.Context(), &ListArgs{}); !errors.Is(err, ErrInternal) || !strings.Contains(err.Error(), "disk on fire") {
		t.Errorf("an unknown error: got %v, want ErrInternal with its text", err)
	}
	next = fmt.Errorf("%w: %s", ErrNoJob, strings.Repeat("é", maxFaultText))
	if _, err := c.List(t.Context(), &ListArgs{}); !errors.Is(err, ErrNoJob) || len(err.Error()) > maxFaultText+10 {
		t.Errorf("a long error: got %d bytes", len(err.Error()))
	}
}

// Proves that the numbers of faults, which are on the wire, stay what they are.
func TestFaultCodesAreFrozen(t *testing.T) {
	t.Parallel()
	want := []error{1: ErrInternal, 2: ErrBadMessage, 3: ErrUnknownCall, 4: ErrNoJob, 5: ErrNotLeader, 6: ErrWorkerLost,
		7: ErrOldTerm, 8: ErrOutputTaken, 9: ErrBadSpec, 10: ErrBusy, 11: ErrShuttingDown, 12: ErrAmbiguousID,
		13: ErrJobEnded, 14: ErrJobExists, 15: ErrNoTask, 16: ErrNoSuchTerm, 17: ErrFull}
	for n := 1; n < len(want); n++ {
		if got := Code(n).sentinel(); got != want[n] {
			t.Errorf("code %d: got %v, want %v", n, got, want[n])
		}
	}
	if int(lastCode) != len(want)-1 {
		t.Errorf("last code: got %d, want %d: freeze the new codes here", lastCode, len(want)-1)
	}
	if got := Code(60000).sentinel(); got != ErrInternal {
		t.Errorf("a code of a later version: got %v, want ErrInternal", got)
	}
}

// Proves that a panic in the service is the fault of one call: its caller hears of it, the log gets the stack, and the
// connection and the server go on.
func TestPanicIsOneCallsFault(t *testing.T) {
	t.Parallel()
	m := empty()
	m.submit = func(context.Context, *SubmitArgs) (*SubmitReply, error) { panic("boom") }
	m.watch = func(context.Context, *WatchArgs) (*JobStatus, error) { return nil, nil }
	incidents := make(chan Incident, 10)
	l, _ := serve(t, m, ServerOptions{Report: func(i Incident) { incidents <- i }})
	c := dial(t, l, ClientOptions{})
	_, err := c.Submit(t.Context(), &SubmitArgs{})
	if !errors.Is(err, ErrInternal) || !strings.Contains(err.Error(), "boom") {
		t.Errorf("Submit: got %v, want ErrInternal and the panic's text", err)
	}
	if i := <-incidents; i.Op != "Submit" || !strings.Contains(string(i.Stack), "TestPanicIsOneCallsFault") {
		t.Errorf("incident: got op %q, stack %s", i.Op, i.Stack)
	}
	if _, err := c.Watch(t.Context(), &WatchArgs{}); !errors.Is(err, ErrInternal) {
		t.Errorf("a service that returns nothing: got %v, want ErrInternal", err)
	}
	if _, err := c.List(t.Context(), &ListArgs{}); err != nil {
		t.Errorf("List after the panic: %v", err)
	}
}

// Proves that a role's calls are refused to the other one.
func TestRolesAreApart(t *testing.T) {
	t.Parallel()
	l, _ := serve(t, empty(), ServerOptions{})
	worker := dial(t, l, ClientOptions{Role: RoleWorker})
	if _, err := worker.List(t.Context(), &ListArgs{}); !errors.Is(err, ErrUnknownCall) {
		t.Errorf("a worker's List: got %v, want ErrUnknownCall", err)
	}
	if _, err := worker.Job(t.Context(), &JobArgs{}); !errors.Is(err, ErrNoJob) {
		t.Errorf("a worker's Job: got %v, want the service's ErrNoJob", err)
	}
	client := dial(t, l, ClientOptions{})
	if _, err := client.Poll(t.Context(), &PollArgs{}); !errors.Is(err, ErrUnknownCall) {
		t.Errorf("a client's Poll: got %v, want ErrUnknownCall", err)
	}
}

// Proves that a call that its caller gives up returns at once, frees the server's side, and leaves the connection to the
// others.
func TestGivingUpFreesTheServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, begun, ended := hanging()
		l, stop := serve(t, m, ServerOptions{})
		c := dial(t, l, ClientOptions{})
		other := make(chan error, 1)
		go func() {
			_, err := c.Watch(t.Context(), &WatchArgs{Wait: time.Hour})
			other <- err
		}()
		<-begun
		ctx, cancel := context.WithCancel(t.Context())
		go func() { <-begun; cancel() }()
		if _, err := c.Watch(ctx, &WatchArgs{Wait: time.Hour}); !errors.Is(err, context.Canceled) {
			t.Errorf("the call given up: got %v, want context.Canceled", err)
		}
		<-ended
		select {
		case err := <-other:
			t.Errorf("the other call ended too: %v", err)
		default:
		}
		stop()
		if err := <-other; !errors.Is(err, ErrShuttingDown) {
			t.Errorf("the other call at the server's stop: got %v, want ErrShuttingDown", err)
		}
		c.Close()
	})
}

// Proves that calls end at the server when their connection breaks, and that the client's next call makes a new one.
func TestBrokenConnection(t *testing.T) {
	t.Parallel()
	m, begun, ended := hanging()
	m.list = empty().list
	l, _ := serve(t, m, ServerOptions{})
	var last atomic.Pointer[net.Conn]
	c := dial(t, l, ClientOptions{Dial: func(ctx context.Context, addr string) (net.Conn, error) {
		conn, err := l.Dial(ctx, addr)
		last.Store(&conn)
		return conn, err
	}})
	failed := make(chan error, 1)
	go func() {
		_, err := c.Watch(t.Context(), &WatchArgs{})
		failed <- err
	}()
	<-begun
	(*last.Load()).Close()
	<-ended
	if err := <-failed; !errors.Is(err, ErrUnreachable) {
		t.Errorf("the call in flight: got %v, want ErrUnreachable", err)
	}
	if _, err := c.List(t.Context(), &ListArgs{}); err != nil {
		t.Errorf("List on the other connection: %v", err)
	}
	go c.Watch(t.Context(), &WatchArgs{})
	<-begun // a new connection was made for it
}

// Proves that a master that hangs costs a call its time limit and no more.
func TestHangingMaster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, _, _ := hanging()
		m.watch, m.list = func(context.Context, *WatchArgs) (*JobStatus, error) {
			time.Sleep(time.Hour)
			return &JobStatus{}, nil
		}, empty().list
		l, _ := serve(t, m, ServerOptions{IdleTimeout: 2 * time.Hour})
		c := dial(t, l, ClientOptions{})
		begun := time.Now()
		_, err := c.Watch(t.Context(), &WatchArgs{Wait: time.Minute})
		if got := time.Since(begun); !errors.Is(err, ErrUnreachable) || got != 63*time.Second {
			t.Errorf("got %v after %v, want ErrUnreachable after the wait and 3s", err, got)
		}
		if _, err := c.List(t.Context(), &ListArgs{}); err != nil {
			t.Errorf("List: %v", err)
		}
		c.Close()
	})
}

// Proves that a peer that sends nothing after it connected, nothing for a long time, or half a frame, is put out.
func TestSilentPeers(t *testing.T) {
	frame := requestOf(t, kindCall, 1, "List", &ListArgs{})
	for name, c := range map[string]struct {
		say  []byte
		want time.Duration
	}{
		"no preamble":   {nil, HandshakeTimeout},
		"half preamble": {hello(RoleClient)[:9], HandshakeTimeout},
		"no frame":      {hello(RoleClient), 10 * time.Minute},
		"half a frame":  {append(hello(RoleClient), frame[:20]...), 10 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l, _ := serve(t, empty(), ServerOptions{})
				conn, err := l.Dial(t.Context(), "")
				if err != nil {
					t.Fatal(err)
				}
				go conn.Write(c.say)
				begun := time.Now()
				var b [1024]byte
				for err == nil {
					_, err = conn.Read(b[:])
				}
				if got := time.Since(begun); got != c.want {
					t.Errorf("put out after %v, want %v", got, c.want)
				}
			})
		})
	}
}

// Proves that a client that does not read its replies is put out and holds up nobody else.
func TestSlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, _ := serve(t, empty(), ServerOptions{})
		conn := greeted(t, l, RoleClient)
		begun := time.Now()
		conn.Write(requestOf(t, kindCall, 1, "List", &ListArgs{}))
		if _, err := dial(t, l, ClientOptions{}).List(t.Context(), &ListArgs{}); err != nil {
			t.Errorf("another client meanwhile: %v", err)
		}
		for err := error(nil); err == nil; { // writing goes on until the server closes
			_, err = conn.Write(requestOf(t, kindGiveUp, 1, "", nil))
			time.Sleep(time.Second)
		}
		if got := time.Since(begun); got < 10*time.Second || got > 12*time.Second {
			t.Errorf("put out after %v, want the 10s that a frame may take", got)
		}
	})
}

// Proves that calls beyond a limit are refused with ErrBusy, and taken again when others have ended.
func TestCallLimits(t *testing.T) {
	for name, o := range map[string]ServerOptions{"in all": {MaxCalls: 2}, "per connection": {MaxConnCalls: 2}} {
		synctest.Test(t, func(t *testing.T) {
			m, begun, _ := hanging()
			l, _ := serve(t, m, o)
			c := dial(t, l, ClientOptions{})
			ctx, cancel := context.WithCancel(t.Context())
			var wg sync.WaitGroup
			for range 2 {
				wg.Go(func() { c.Watch(ctx, &WatchArgs{Wait: time.Hour}) })
				<-begun
			}
			if _, err := c.Watch(ctx, &WatchArgs{Wait: time.Hour}); !errors.Is(err, ErrBusy) {
				t.Errorf("%s: a third call: got %v, want ErrBusy", name, err)
			}
			cancel()
			wg.Wait()
			synctest.Wait()
			ctx, cancel = context.WithCancel(t.Context())
			wg.Go(func() { c.Watch(ctx, &WatchArgs{Wait: time.Hour}) })
			<-begun
			cancel()
			wg.Wait()
			c.Close()
		})
	}
}

// Proves that a peer that sends calls and reads no replies is not read for ever: what it makes the server hold is bounded.
func TestFloodOfCalls(t *testing.T) {
	t.Parallel()
	l, _ := serve(t, empty(), ServerOptions{MaxConnCalls: 4, FrameTimeout: 50 * time.Millisecond})
	conn := greeted(t, l, RoleClient)
	sent := 0
	for {
		if _, err := conn.Write(requestOf(t, kindCall, uint64(sent), "List", &ListArgs{})); err != nil {
			break
		}
		sent++
	}
	if sent > 10 {
		t.Errorf("the server read %d calls, want about twice its limit of 4", sent)
	}
}

// Proves that connections beyond the limits are closed unheard, and that room is made again when others leave.
func TestConnectionFlood(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]ServerOptions{"in all": {MaxConns: 5}, "per address": {MaxConnsPerIP: 5}} {
		refused := make(chan error, 100)
		o.Report = func(i Incident) { refused <- i.Err }
		l := tcp(t)
		serveOn(t, empty(), o, l)
		var held []*Client
		for range 5 {
			c, err := Dial(t.Context(), []string{l.Addr().String()}, ClientOptions{Role: RoleClient})
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			held = append(held, c)
		}
		if _, err := Dial(t.Context(), []string{l.Addr().String()}, ClientOptions{Role: RoleClient}); !errors.Is(err, ErrUnreachable) {
			t.Errorf("%s: one too many: got %v, want ErrUnreachable", name, err)
		}
		if err := <-refused; !strings.Contains(err.Error(), "too many connections") {
			t.Errorf("%s: incident: got %v", name, err)
		}
		for _, c := range held {
			c.Close()
		}
		c, err := Dial(t.Context(), []string{l.Addr().String()}, ClientOptions{Role: RoleClient, RetryFor: time.Minute})
		if err != nil {
			t.Fatalf("%s: after the others left: %v", name, err)
		}
		c.Close()
	}
}

// Proves that many clients with many calls each get their own answers, and that nothing is left running in the end.
func TestManyClients(t *testing.T) {
	before := runtime.NumGoroutine()
	m := &master{watch: func(_ context.Context, a *WatchArgs) (*JobStatus, error) { return &JobStatus{ID: a.Job}, nil }}
	l := tcp(t)
	stop := serveOn(t, m, ServerOptions{}, l)
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			c, err := Dial(t.Context(), []string{l.Addr().String()}, ClientOptions{Role: RoleClient})
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			var calls sync.WaitGroup
			for j := range 20 {
				calls.Go(func() {
					id := JobID(fmt.Sprint(i, "/", j))
					if st, err := c.Watch(t.Context(), &WatchArgs{Job: id}); err != nil || st.ID != id {
						t.Errorf("Watch %s: got %v, %v", id, st, err)
					}
				})
			}
			calls.Wait()
		})
	}
	wg.Wait()
	stop()
	for late := time.Now().Add(10 * time.Second); time.Now().Before(late); { // what is ending needs a few turns
		if runtime.NumGoroutine() <= before {
			return
		}
		runtime.Gosched()
	}
	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	if strings.Contains(string(stacks), "wire.(*session)") || strings.Contains(string(stacks), "rpc.(*Client).input") {
		t.Errorf("goroutines are left:\n%s", stacks)
	}
}

// Proves that arguments and results beyond the limits are the fault of one call.
func TestTooLongMessages(t *testing.T) {
	t.Parallel()
	m := &master{list: func(_ context.Context, a *ListArgs) (*ListReply, error) {
		return &ListReply{Jobs: []JobStatus{{Error: strings.Repeat("x", a.Max)}}}, nil
	}}
	l, _ := serve(t, m, ServerOptions{})
	c := dial(t, l, ClientOptions{})
	if _, err := c.Submit(t.Context(), &SubmitArgs{Spec: plan.Spec{Inputs: []string{strings.Repeat("x", MaxRequest)}}}); !errors.Is(err, ErrBadSpec) {
		t.Errorf("a long request: got %v, want ErrBadSpec", err)
	}
	if _, err := c.List(t.Context(), &ListArgs{Max: MaxReply}); !errors.Is(err, ErrInternal) {
		t.Errorf("a long reply: got %v, want ErrInternal", err)
	}
	const types = 2000 // bytes: gob describes the types of a reply in it, and those of a status are a thousand bytes
	if r, err := c.List(t.Context(), &ListArgs{Max: MaxReply - types}); err != nil || len(r.Jobs[0].Error) != MaxReply-types {
		t.Errorf("a reply within the limit: %v", err)
	}
}
