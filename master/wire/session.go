package wire

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/rpc"
	"os"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// serviceName is the name that a connection's calls are registered under; it is not on the wire.
const serviceName = "Master"

// Kinds of request frames.
const (
	kindCall   = 1
	kindGiveUp = 2
)

// session is one connection on the server's side: it is net/rpc's codec, and knows the calls in flight and the contexts
// they run in, which net/rpc does not.
type session struct {
	ctx    context.Context // of the connection
	cancel context.CancelFunc
	server *Server
	conn   net.Conn
	remote string
	terms  bool // the version of the protocol has terms in its frames
	in     *frameReader
	slots  chan struct{} // holds one token per call in flight on this connection, refused ones included

	// The call that was read last, between ReadRequestHeader and ReadRequestBody, which net/rpc calls in turn.
	current *inflight
	args    []byte
	decode  gobReader

	out    bytes.Buffer // WriteResponse is never called twice at a time
	encode gobWriter

	mu    sync.Mutex
	calls map[uint64]*inflight
}

// inflight is one call between its request and its reply.
type inflight struct {
	ctx    context.Context
	cancel context.CancelFunc
	busy   bool                  // it is beyond a limit: it is refused, and holds no token of Server.calls
	peer   uint64                // the highest term that the caller has heard of
	reign  atomic.Pointer[reign] // in which it is answered; see InTerm
}

func newSession(ctx context.Context, s *Server, conn net.Conn, remote string, version uint16) *session {
	ctx, cancel := context.WithCancel(ctx)
	return &session{
		ctx: ctx, cancel: cancel, server: s, conn: conn, remote: remote, terms: version >= termVersion,
		in:    newFrameReader(conn, MaxRequest),
		slots: make(chan struct{}, 2*s.o.MaxConnCalls),
		calls: map[uint64]*inflight{},
	}
}

// end is called when net/rpc is done with the session.
func (s *session) end() { s.cancel() }

// ReadRequestHeader reads up to the next call. When it returns an error, nothing more is read, and the calls in flight are
// told to return: nobody waits for them.
func (s *session) ReadRequestHeader(r *rpc.Request) error {
	err := s.nextCall(r)
	if err != nil {
		s.cancel()
		if !quiet(err) {
			s.server.o.Report(Incident{Remote: s.remote, Err: err})
		}
		return io.EOF // net/rpc's word for: read no more
	}
	return nil
}

// quiet says whether err is a connection's ordinary end.
func quiet(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrDeadlineExceeded) ||
		errors.Is(err, context.Canceled) || errors.Is(err, io.ErrClosedPipe) || errors.Is(err, syscall.ECONNRESET)
}

func (s *session) nextCall(r *rpc.Request) error {
	for {
		payload, err := s.readFrame()
		if err != nil {
			return err
		}
		q, err := splitRequest(payload, s.terms)
		if err != nil {
			return err
		}
		if q.kind == kindGiveUp {
			s.giveUp(q.seq)
			continue
		}
		r.Seq, r.ServiceMethod, s.args = q.seq, serviceName+"."+q.method, q.args
		return s.begin(q.seq, q.term)
	}
}

// readFrame waits for a frame for as long as a connection may be idle, then reads it in the time of a frame.
func (s *session) readFrame() ([]byte, error) {
	if err := s.readUntil(s.server.o.IdleTimeout); err != nil {
		return nil, err
	}
	if err := s.in.wait(); err != nil {
		return nil, err
	}
	if err := s.readUntil(s.server.o.FrameTimeout); err != nil {
		return nil, err
	}
	return s.in.next()
}

// readUntil sets the read deadline. The deadline by which the end of ctx stops the reading must not be lost: it is set
// after the end of ctx, so that either it comes later than ours, or we see the end.
func (s *session) readUntil(d time.Duration) error {
	if err := s.conn.SetReadDeadline(time.Now().Add(d)); err != nil {
		return err
	}
	return s.ctx.Err()
}

// requestFrame is a request's payload, taken apart.
type requestFrame struct {
	kind   byte
	seq    uint64
	term   uint64 // 0 from a peer that knows of none, or does not speak of terms
	method string
	args   []byte // a view into the payload
}

// splitRequest takes a request's payload apart, with or without a term.
func splitRequest(b []byte, terms bool) (q requestFrame, err error) {
	fixed := 1 + 8 + 1 // up to the method's name
	if terms {
		fixed += 8
	}
	if len(b) < fixed || len(b) < fixed+int(b[fixed-1]) || (b[0] != kindCall && b[0] != kindGiveUp) {
		return q, fmt.Errorf("%w: not a request", errFrame)
	}
	q.kind, q.seq = b[0], binary.BigEndian.Uint64(b[1:])
	if terms {
		q.term = binary.BigEndian.Uint64(b[9:])
	}
	n := fixed + int(b[fixed-1])
	q.method, q.args = string(b[fixed:n]), b[n:]
	return q, nil
}

// begin makes the call that was read one in flight. A call beyond a limit goes on to be refused: reading must not stop for
// it, or a call that is given up, or the peer's end, would go unnoticed behind it. Only a peer that does not read its
// refusals is not read either, until the reply that it holds up runs out of time.
func (s *session) begin(seq, term uint64) error {
	select {
	case s.slots <- struct{}{}:
	case <-s.ctx.Done():
		return s.ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.calls[seq] != nil {
		<-s.slots
		return fmt.Errorf("%w: call %d is in flight already", errFrame, seq)
	}
	call := &inflight{busy: len(s.calls) >= s.server.o.MaxConnCalls, peer: term}
	if !call.busy {
		select {
		case s.server.calls <- struct{}{}:
		default:
			call.busy = true
		}
	}
	call.ctx, call.cancel = context.WithCancel(context.WithValue(s.ctx, callKey{}, call))
	s.calls[seq] = call
	s.current = call
	return nil
}

// release gives back what begin took.
func (s *session) release(call *inflight) {
	if !call.busy {
		<-s.server.calls
	}
	<-s.slots
}

// giveUp ends the context of a call; one that was answered meanwhile is not known any more.
func (s *session) giveUp(seq uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if call := s.calls[seq]; call != nil {
		call.cancel()
	}
}

// ReadRequestBody decodes the arguments of the call that was read last. An error is answered, and the connection goes on:
// the frame was whole, only its contents do not fit.
func (s *session) ReadRequestBody(body any) error {
	if body == nil {
		return nil // an unknown method
	}
	in := body.(incoming)
	args := in.bind(s.current)
	if s.current.busy {
		return nil
	}
	return s.decode.read(s.args, args, maxRequestValues)
}

// WriteResponse answers a call. net/rpc calls it exactly once for each header read, never twice at a time.
func (s *session) WriteResponse(r *rpc.Response, body any) error {
	s.mu.Lock()
	call := s.calls[r.Seq]
	delete(s.calls, r.Seq)
	s.mu.Unlock()
	call.cancel()
	defer s.release(call)

	fault, result := rpcFault(r.Error), any(nil)
	if fault == nil {
		fault, result = body.(outcome).get()
	}
	frame, err := s.encodeReply(r.Seq, call, fault, result)
	if err != nil {
		fault := newFault(CodeInternal, "", fmt.Sprintf("cannot send the result: %v", err))
		if frame, err = s.encodeReply(r.Seq, call, fault, nil); err != nil {
			return err
		}
	}
	if _, over := call.reign.Load().of(); over != nil { // asked after what takes time, last of all
		if frame, err = s.encodeReply(r.Seq, call, over, nil); err != nil {
			return err
		}
	}
	s.conn.SetWriteDeadline(time.Now().Add(s.server.o.FrameTimeout))
	if _, err := s.conn.Write(frame); err != nil {
		s.conn.Close() // half a frame may be out
		return err
	}
	return nil
}

// rpcFault gives the fault for an error of net/rpc's own. Errors of the service do not come this way.
func rpcFault(text string) *Fault {
	switch {
	case text == "":
		return nil
	case strings.HasPrefix(text, "rpc: can't find"):
		return newFault(CodeUnknownCall, "", ErrUnknownCall.Error())
	}
	return newFault(CodeBadMessage, "", ErrBadMessage.Error()+": "+text)
}

func (s *session) encodeReply(seq uint64, call *inflight, fault *Fault, result any) ([]byte, error) {
	term, over := call.reign.Load().of()
	if over != nil {
		fault = over
	}
	code := Code(0)
	if fault != nil {
		code = fault.Code
	}
	beginFrame(&s.out)
	s.out.Write(binary.BigEndian.AppendUint64(s.out.AvailableBuffer(), seq))
	s.out.Write(binary.BigEndian.AppendUint16(s.out.AvailableBuffer(), uint16(code)))
	if s.terms {
		s.out.Write(binary.BigEndian.AppendUint64(s.out.AvailableBuffer(), term))
	}
	if fault != nil {
		s.out.WriteString(fault.Text)
		return endFrame(&s.out, MaxReply)
	}
	if err := s.encode.write(&s.out, result); err != nil {
		return nil, err
	}
	return endFrame(&s.out, MaxReply)
}

// Close closes the connection; net/rpc calls it when every call was answered.
func (s *session) Close() error {
	s.cancel()
	return s.conn.Close()
}

// Incoming is a call's arguments on the server's side, with the call they belong to. It is exported because net/rpc asks
// for it, and of no use elsewhere.
type Incoming[A any] struct {
	call *inflight
	args A
}

func (in *Incoming[A]) bind(call *inflight) any {
	in.call = call
	return &in.args
}

// incoming is an *Incoming of any type.
type incoming interface{ bind(*inflight) any }

// Answer is a call's result or fault on the server's side. Exported for net/rpc only, as Incoming is.
type Answer[R any] struct {
	fault  *Fault
	result *R
}

func (a *Answer[R]) get() (*Fault, any) { return a.fault, a.result }

// outcome is an *Answer of any type.
type outcome interface{ get() (*Fault, any) }

// perform runs one call of the service. A panic becomes a fault: it must not take the master down.
func perform[A, R any](s *session, op string, in *Incoming[A], out *Answer[R], do func(context.Context, *A) (*R, error)) error {
	defer func() {
		if p := recover(); p != nil {
			s.server.o.Report(Incident{Remote: s.remote, Op: op, Err: fmt.Errorf("panic: %v", p), Stack: debug.Stack()})
			out.fault, out.result = newFault(CodeInternal, op, fmt.Sprintf("panic: %v", p)), nil
		}
	}()
	if in.call.busy {
		out.fault = newFault(CodeBusy, op, fmt.Sprintf("%v: more than %d calls in flight, or %d on this connection",
			ErrBusy, s.server.o.MaxCalls, s.server.o.MaxConnCalls))
		return nil
	}
	result, err := do(in.call.ctx, &in.args)
	if err == nil && result == nil {
		err = errors.New("the service gave neither a result nor an error")
	}
	if err != nil {
		out.fault = faultOf(op, err)
		return nil
	}
	out.result = result
	return nil
}

// door returns what a peer of that role may call, for net/rpc to register: one method per call.
func (s *session) door(role Role) any {
	switch role {
	case RoleWorker:
		return &workerDoor{s, s.server.svc}
	case RoleMaster:
		return &masterDoor{s, s.server.o.Masters}
	}
	return &clientDoor{s, s.server.svc, s.server.svc}
}

type workerDoor struct {
	s   *session
	svc WorkerService
}

func (d *workerDoor) Poll(in *Incoming[PollArgs], out *Answer[PollReply]) error {
	return perform(d.s, "Poll", in, out, d.svc.Poll)
}

func (d *workerDoor) Job(in *Incoming[JobArgs], out *Answer[JobReply]) error {
	return perform(d.s, "Job", in, out, d.svc.Job)
}

func (d *workerDoor) Runs(in *Incoming[RunsArgs], out *Answer[RunsReply]) error {
	return perform(d.s, "Runs", in, out, d.svc.Runs)
}

type clientDoor struct {
	s    *session
	svc  ClientService
	look Inspector
}

func (d *clientDoor) Submit(in *Incoming[SubmitArgs], out *Answer[SubmitReply]) error {
	return perform(d.s, "Submit", in, out, d.svc.Submit)
}

func (d *clientDoor) Watch(in *Incoming[WatchArgs], out *Answer[JobStatus]) error {
	return perform(d.s, "Watch", in, out, d.svc.Watch)
}

func (d *clientDoor) List(in *Incoming[ListArgs], out *Answer[ListReply]) error {
	return perform(d.s, "List", in, out, d.svc.List)
}

func (d *clientDoor) Cancel(in *Incoming[CancelArgs], out *Answer[CancelReply]) error {
	return perform(d.s, "Cancel", in, out, d.svc.Cancel)
}

func (d *clientDoor) Logs(in *Incoming[LogsArgs], out *Answer[LogsReply]) error {
	return perform(d.s, "Logs", in, out, d.svc.Logs)
}

func (d *clientDoor) Explain(in *Incoming[ExplainArgs], out *Answer[Explanation]) error {
	return perform(d.s, "Explain", in, out, d.look.Explain)
}

func (d *clientDoor) Task(in *Incoming[TaskArgs], out *Answer[TaskReply]) error {
	return perform(d.s, "Task", in, out, d.look.Task)
}
