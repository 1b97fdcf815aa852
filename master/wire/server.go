package wire

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/rpc"
	"sync"
	"time"
)

// ServerOptions are a Server's settings; the zero value is a good one for a master within one process.
type ServerOptions struct {
	Cluster ClusterID   // of the master; a peer that names another one is refused
	TLS     *tls.Config // nil: no TLS

	Masters MasterService // for other masters; nil: they are refused

	// Protocol is the highest version of the protocol to speak, for tests of an upgrade; 0: the newest.
	Protocol uint16

	MaxConns      int // connections in all; 0: 32768, one or two for each of ten thousand workers
	MaxConnsPerIP int // connections from one address; 0: 512, two for each of many workers on one machine
	MaxCalls      int // calls in flight in all, long polls included; more are refused with ErrBusy; 0: 32768
	MaxConnCalls  int // calls in flight on one connection; more are refused with ErrBusy; 0: 512

	IdleTimeout  time.Duration // of a connection on which nothing arrives, longer than any long poll; 0: 10 min
	FrameTimeout time.Duration // to read the rest of a frame that has begun, or to write one; 0: 10 s

	// Report is told of what nobody else hears: a panic of the service, a peer that was refused or broke the protocol.
	// It is called from many goroutines. nil: nobody is told.
	Report func(Incident)
}

// Incident is something for the master's log.
type Incident struct {
	Remote string // the peer's address
	Op     string // the call, "" outside of calls
	Err    error
	Stack  []byte // of a panic
}

func (o ServerOptions) withDefaults() ServerOptions {
	o.Protocol = orDefault(o.Protocol, maxVersion)
	o.MaxConns = orDefault(o.MaxConns, 32768)
	o.MaxConnsPerIP = orDefault(o.MaxConnsPerIP, 512)
	o.MaxCalls = orDefault(o.MaxCalls, 32768)
	o.MaxConnCalls = orDefault(o.MaxConnCalls, 512)
	o.IdleTimeout = orDefault(o.IdleTimeout, 10*time.Minute)
	o.FrameTimeout = orDefault(o.FrameTimeout, 10*time.Second)
	if o.Report == nil {
		o.Report = func(Incident) {}
	}
	return o
}

// orDefault returns v, or def if v is zero.
func orDefault[T int | uint16 | time.Duration](v, def T) T {
	if v == 0 {
		return def
	}
	return v
}

// Server serves a Service to workers and clients.
type Server struct {
	svc   Service
	o     ServerOptions
	calls chan struct{} // holds one token per call in flight

	mu    sync.Mutex
	conns int
	perIP map[string]int // Invariant: sums up to conns; no entry is zero
}

// NewServer returns a server that is ready to Serve. Without a service it answers other masters only.
func NewServer(svc Service, o ServerOptions) *Server {
	o = o.withDefaults()
	return &Server{svc: svc, o: o, calls: make(chan struct{}, o.MaxCalls), perIP: map[string]int{}}
}

// What a peer is refused for before it may speak.
var (
	errTooManyConns = errors.New("too many connections")
	errTooManyPerIP = errors.New("too many connections from this address")
)

// Bounds of the pause after a failed Accept (no file descriptors left, say).
const (
	minAcceptPause = 5 * time.Millisecond
	maxAcceptPause = time.Second
)

// Serve accepts connections on l and serves them until ctx ends, then closes l and the connections, ends the contexts of
// the calls in flight and waits for them to return. It returns nil then, or why it cannot accept any more.
// One Server may serve several listeners at once.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	var conns sync.WaitGroup
	defer conns.Wait()
	defer cancel()
	defer context.AfterFunc(ctx, func() { l.Close() })()

	pause := minAcceptPause
	for {
		conn, err := l.Accept()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				conn.Close()
			}
			l.Close()
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("serve %s: %w", l.Addr(), err)
		case err != nil:
			s.o.Report(Incident{Err: fmt.Errorf("accept on %s: %w", l.Addr(), err)})
			wait(ctx, pause)
			pause = min(2*pause, maxAcceptPause)
			continue
		}
		pause = minAcceptPause
		ip := addressOf(conn)
		if err := s.admit(ip); err != nil {
			conn.Close()
			s.o.Report(Incident{Remote: ip, Err: err})
			continue
		}
		conns.Go(func() {
			defer s.leave(ip)
			s.serveConn(ctx, conn)
		})
	}
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

// addressOf is the peer's address without its port.
func addressOf(conn net.Conn) string {
	addr := conn.RemoteAddr().String()
	if host, _, err := net.SplitHostPort(addr); err == nil {
		return host
	}
	return addr
}

// admit counts a connection in, or says why it may not come in.
func (s *Server) admit(ip string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conns >= s.o.MaxConns {
		return fmt.Errorf("%w: %d", errTooManyConns, s.conns)
	}
	if s.perIP[ip] >= s.o.MaxConnsPerIP {
		return fmt.Errorf("%w: %d", errTooManyPerIP, s.perIP[ip])
	}
	s.conns++
	s.perIP[ip]++
	return nil
}

func (s *Server) leave(ip string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns--
	if s.perIP[ip]--; s.perIP[ip] == 0 {
		delete(s.perIP, ip)
	}
}

// Keep-alive probes find a peer whose machine is gone within about a minute.
const (
	keepAliveIdle  = 15 * time.Second
	keepAliveCount = 3
)

func keepAlive(conn net.Conn) {
	if c, ok := conn.(*net.TCPConn); ok {
		c.SetKeepAliveConfig(net.KeepAliveConfig{
			Enable: true, Idle: keepAliveIdle, Interval: keepAliveIdle, Count: keepAliveCount,
		})
	}
}

// serves says whether peers in a role are served, now and ever.
func (s *Server) serves(role Role) (now, ever bool) {
	switch role {
	case RoleWorker, RoleClient:
		return s.svc != nil, true
	case RoleMaster:
		return s.o.Masters != nil, s.o.Masters != nil
	}
	return false, false
}

// serveConn serves one connection until it breaks or ctx ends, and closes it.
func (s *Server) serveConn(ctx context.Context, conn net.Conn) {
	remote := conn.RemoteAddr().String()
	keepAlive(conn)
	if s.o.TLS != nil {
		conn = tls.Server(conn, s.o.TLS)
	}
	defer conn.Close()

	stopped := context.AfterFunc(ctx, func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(HandshakeTimeout))
	role, version, err := welcomePeer(conn, s.o.Cluster, s.o.Protocol, s.serves)
	if !stopped() {
		return // ctx ended
	}
	if err != nil {
		s.o.Report(Incident{Remote: remote, Err: err})
		return
	}
	conn.SetDeadline(time.Time{})

	ss := newSession(ctx, s, conn, remote, version)
	defer ss.end()
	r := rpc.NewServer()
	if err := r.RegisterName(serviceName, ss.door(role)); err != nil {
		panic(err) // the door's methods do not fit net/rpc
	}
	// When ctx ends, reading ends; the calls in flight return, since their contexts ended too, and are still answered.
	defer context.AfterFunc(ss.ctx, func() { conn.SetReadDeadline(time.Unix(1, 0)) })()
	r.ServeCodec(ss)
}
