package wire

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/rpc"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// maxClientCalls is the calls that a client has in flight on one connection; more wait. A server takes twice as many by
// default, since a call that was given up counts there until it has returned.
const maxClientCalls = 256

// errBroken is a connection's end with a call in flight: the call may have been carried out or not.
var errBroken = errors.New("the connection broke")

// conn is one connection on the client's side: net/rpc's client, and its codec.
type conn struct {
	nc      net.Conn
	addr    string // as given to Dial
	cluster ClusterID
	rpc     *rpc.Client
	slots   chan struct{} // holds one token per call in flight
	timeout time.Duration // to write a frame
	heard   *heard        // the client's
	terms   bool          // the version of the protocol has terms in its frames
	in      *frameReader
	reply   []byte // of the reply whose header was read last
	fault   Code   // likewise; 0 is success
	old     error  // likewise; not nil if its term is over
	decode  gobReader

	ended atomic.Bool   // no call may begin: the connection broke or was closed
	done  chan struct{} // closed when reading has ended

	mu     sync.Mutex // held while a frame is written
	out    bytes.Buffer
	encode gobWriter
}

// dialConn connects to addr and exchanges preambles.
func dialConn(ctx context.Context, addr string, o *ClientOptions, cluster ClusterID, h *heard) (*conn, error) {
	ctx, cancel := context.WithTimeout(ctx, o.DialTimeout)
	defer cancel()
	nc, err := o.Dial(ctx, addr)
	if err != nil {
		return nil, err
	}
	keepAlive(nc)
	if o.TLS != nil {
		nc = tls.Client(nc, tlsFor(o.TLS, addr))
	}
	stopped := context.AfterFunc(ctx, func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(HandshakeTimeout))
	cluster, version, err := greet(nc, o.Role, cluster, o.Protocol)
	if !stopped() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		nc.Close()
		if ctx.Err() != nil || errors.Is(err, os.ErrDeadlineExceeded) {
			err = fmt.Errorf("no answer within %v: %w", o.DialTimeout, err)
		}
		return nil, err
	}
	nc.SetDeadline(time.Time{})
	c := &conn{
		nc: nc, addr: addr, cluster: cluster, timeout: o.FrameTimeout, heard: h, terms: version >= termVersion,
		in:    newFrameReader(nc, MaxReply),
		slots: make(chan struct{}, maxClientCalls),
		done:  make(chan struct{}),
	}
	c.rpc = rpc.NewClientWithCodec(c)
	return c, nil
}

// tlsFor returns cfg with the name to verify, which is addr's host unless it states one.
func tlsFor(cfg *tls.Config, addr string) *tls.Config {
	if cfg.ServerName != "" || cfg.InsecureSkipVerify {
		return cfg
	}
	cfg = cfg.Clone()
	cfg.ServerName = addr
	if host, _, err := net.SplitHostPort(addr); err == nil {
		cfg.ServerName = host
	}
	return cfg
}

// outgoing is a call's arguments on their way out; the codec notes the number that net/rpc gave the call.
type outgoing struct {
	args any
	seq  uint64
}

// arriving is where a call's result or fault arrives. It belongs to one try of one call: a call that was given up may still
// be answered, into a value that nobody reads.
type arriving struct {
	op     string
	result any
	fault  *Fault
	old    error // the answer is of a term that is over: it does not count
}

// call makes one try of a call and waits until it is answered, ctx ends, or the connection breaks. When ctx ends, the
// server is told to give the call up, and the connection goes on for the others.
func (c *conn) call(ctx context.Context, op string, args, result any) error {
	select {
	case c.slots <- struct{}{}:
		defer c.release()
	case <-ctx.Done():
		return ctx.Err()
	}
	out, in := &outgoing{args: args}, &arriving{op: op, result: result}
	call := c.rpc.Go(op, out, in, make(chan *rpc.Call, 1))
	select {
	case <-call.Done:
	case <-ctx.Done():
		if err := c.giveUp(out.seq); err != nil {
			c.close()
		}
		return ctx.Err()
	}
	switch {
	case call.Error == nil && in.old != nil:
		return in.old
	case call.Error == nil && in.fault != nil:
		return in.fault
	case call.Error == nil:
		return nil
	case errors.Is(call.Error, errTooLong):
		return newFault(CodeBadSpec, op, call.Error.Error())
	}
	c.close()
	return fmt.Errorf("%w: %w", errBroken, call.Error)
}

// release ends a call; the last one of a retired connection closes it.
func (c *conn) release() {
	<-c.slots
	if c.ended.Load() && len(c.slots) == 0 {
		c.close()
	}
}

// retire makes no call begin any more, and closes the connection when those in flight have been answered.
func (c *conn) retire() {
	c.ended.Store(true)
	if len(c.slots) == 0 {
		c.close()
	}
}

// over says whether nothing is left of the connection.
func (c *conn) over() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// close closes the connection; calls in flight fail.
func (c *conn) close() {
	c.ended.Store(true)
	c.nc.Close()
}

// errTooLong is arguments beyond MaxRequest.
var errTooLong = errors.New("the request is too long")

// WriteRequest sends a call.
func (c *conn) WriteRequest(r *rpc.Request, body any) error {
	o := body.(*outgoing)
	o.seq = r.Seq
	c.mu.Lock()
	defer c.mu.Unlock()
	c.beginRequestLocked(kindCall, r.Seq, r.ServiceMethod)
	if err := c.encode.write(&c.out, o.args); err != nil {
		return err
	}
	return c.sendLocked()
}

// giveUp tells the server that nobody waits for a call any more.
func (c *conn) giveUp(seq uint64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.beginRequestLocked(kindGiveUp, seq, "")
	return c.sendLocked()
}

func (c *conn) beginRequestLocked(kind byte, seq uint64, method string) {
	beginFrame(&c.out)
	c.out.WriteByte(kind)
	c.out.Write(binary.BigEndian.AppendUint64(c.out.AvailableBuffer(), seq))
	if c.terms {
		c.out.Write(binary.BigEndian.AppendUint64(c.out.AvailableBuffer(), c.heard.term.Load()))
	}
	c.out.WriteByte(byte(len(method)))
	c.out.WriteString(method)
}

func (c *conn) sendLocked() error {
	frame, err := endFrame(&c.out, MaxRequest)
	if err != nil {
		return fmt.Errorf("%w: %w", errTooLong, err)
	}
	c.nc.SetWriteDeadline(time.Now().Add(c.timeout))
	if _, err := c.nc.Write(frame); err != nil {
		c.close() // half a frame may be out
		return err
	}
	return nil
}

// ReadResponseHeader reads the next reply. Faults do not go into r.Error, which would make them text.
func (c *conn) ReadResponseHeader(r *rpc.Response) error {
	payload, err := c.in.next()
	fixed := 8 + 2
	if c.terms {
		fixed += 8
	}
	if err == nil && len(payload) < fixed {
		err = fmt.Errorf("%w: not a reply", errFrame)
	}
	if err != nil {
		c.close()
		close(c.done)
		return err
	}
	r.Seq, c.fault, c.reply, c.old = binary.BigEndian.Uint64(payload), Code(binary.BigEndian.Uint16(payload[8:])), payload[fixed:], nil
	if c.terms && c.fault != CodeNoSuchTerm { // which says itself what is wrong
		c.old = c.heard.hear(binary.BigEndian.Uint64(payload[10:]))
	}
	return nil
}

// ReadResponseBody decodes the reply that was read last. A result that cannot be decoded is the fault of that call alone.
func (c *conn) ReadResponseBody(body any) error {
	in, ok := body.(*arriving)
	switch {
	case !ok:
		return nil // nobody waits for it
	case c.old != nil:
		in.old = c.old
	case c.fault != 0:
		in.fault = newFault(c.fault, in.op, string(c.reply))
	default:
		if err := c.decode.read(c.reply, in.result, maxReplyValues); err != nil {
			in.fault = newFault(CodeBadMessage, in.op, fmt.Sprintf("the master's reply to %s: %v", in.op, err))
		}
	}
	return nil
}

// Close closes the connection; a codec must have it.
func (c *conn) Close() error {
	c.close()
	return nil
}
