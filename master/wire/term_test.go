package wire

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// reigning is a master that leads in a term, for as long as it is said to.
type reigning struct {
	*master
	term atomic.Uint64
	over atomic.Bool
	told atomic.Uint64 // the term that the last caller had heard of
}

// reignAt is a reigning master that answers List, and Watch with an error.
func reignAt(term uint64) *reigning {
	r := &reigning{master: new(master)}
	r.term.Store(term)
	in := func(ctx context.Context) {
		r.told.Store(PeerTerm(ctx))
		InTerm(ctx, r.term.Load(), func() bool { return !r.over.Load() })
	}
	r.list = func(ctx context.Context, _ *ListArgs) (*ListReply, error) {
		in(ctx)
		return &ListReply{More: true}, nil
	}
	r.watch = func(ctx context.Context, a *WatchArgs) (*JobStatus, error) {
		in(ctx)
		if a.Version > 0 {
			return nil, fmt.Errorf("%w: the caller's", ErrNoSuchTerm)
		}
		return nil, ErrNoJob
	}
	return r
}

// among dials listeners by name.
func among(ls map[string]*PipeListener) func(context.Context, string) (net.Conn, error) {
	return func(ctx context.Context, addr string) (net.Conn, error) { return ls[addr].Dial(ctx, addr) }
}

// Proves that a client tells the highest term that it has heard of on each of its connections, and believes no answer of a lower
// one, be it a result or a fault: it goes to another master, and says which terms differ when there is none.
func TestTermsRise(t *testing.T) {
	t.Parallel()
	old, new := reignAt(5), reignAt(6)
	a, _ := serve(t, old, ServerOptions{})
	b, _ := serve(t, new, ServerOptions{})
	c, err := Dial(t.Context(), []string{"a", "b"}, ClientOptions{Role: RoleClient, Dial: among(map[string]*PipeListener{"a": a, "b": b})})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	list := func() error { _, err := c.List(t.Context(), &ListArgs{}); return err }
	watch := func() error { _, err := c.Watch(t.Context(), &WatchArgs{}); return err }
	if err := list(); err != nil || old.told.Load() != 0 {
		t.Fatalf("the first call: %v, it tells of term %d", err, old.told.Load())
	}
	if err := watch(); !errors.Is(err, ErrNoJob) || old.told.Load() != 5 {
		t.Errorf("a call on the other connection: %v, it tells of term %d", err, old.told.Load())
	}
	c.moveOn("a", "")
	if err := list(); err != nil || c.Master() != "b" {
		t.Fatalf("at the next leader: %v", err)
	}
	for name, call := range map[string]func() error{"a result": list, "a fault": watch} {
		c.moveOn("b", "")
		err := call()
		if !errors.Is(err, ErrOldTerm) || errors.Is(err, ErrNoJob) || c.Master() != "b" {
			t.Errorf("%s of an old term: got %v, and the client is at %s", name, err, c.Master())
		}
		for _, want := range []string{" at a: ", "term 5", "term 6"} {
			if !strings.Contains(fmt.Sprint(err), want) {
				t.Errorf("%s of an old term: %v does not say %q", name, err, want)
			}
		}
		if old.told.Load() != 6 {
			t.Errorf("%s: the old leader is told of term %d", name, old.told.Load())
		}
	}
	c.moveOn("b", "")
	if _, err := c.Watch(t.Context(), &WatchArgs{Version: 1}); !errors.Is(err, ErrNoSuchTerm) || errors.Is(err, ErrOldTerm) {
		t.Errorf("a master that knows that it leads says so: got %v", err)
	}
	c.o.RetryFor = time.Minute
	if err := list(); err != nil {
		t.Errorf("a call that may be tried again: %v", err)
	}
}

// Proves that no answer leaves a master whose term is over by the time it is sent, and that masters that do not lead, and calls
// of which the service says no term, are answered all the same.
func TestWithheldAnswers(t *testing.T) {
	t.Parallel()
	m := reignAt(2)
	l, _ := serve(t, m, ServerOptions{})
	c := dial(t, l, ClientOptions{})
	m.over.Store(true)
	if _, err := c.List(t.Context(), &ListArgs{}); !errors.Is(err, ErrNotLeader) {
		t.Errorf("a result: got %v, want ErrNotLeader", err)
	}
	if _, err := c.Watch(t.Context(), &WatchArgs{}); !errors.Is(err, ErrNotLeader) || errors.Is(err, ErrNoJob) {
		t.Errorf("a fault: got %v, want ErrNotLeader", err)
	}
	if n := c.heard.term.Load(); n != 0 {
		t.Errorf("the client has heard of term %d", n)
	}
	if _, err := c.Explain(t.Context(), &ExplainArgs{}); !errors.Is(err, ErrNoJob) {
		t.Errorf("a call in no term: got %v", err)
	}
	InTerm(t.Context(), 1, nil) // of no call: nothing happens
	if n := PeerTerm(t.Context()); n != 0 {
		t.Errorf("outside of calls the peer's term is %d", n)
	}
}

// Proves that versions 1 and 2 understand each other, whichever side has which, with terms where both know of them.
func TestVersionsMix(t *testing.T) {
	t.Parallel()
	for client := uint16(minVersion); client <= maxVersion; client++ {
		for server := uint16(minVersion); server <= maxVersion; server++ {
			m := reignAt(7)
			m.poll = func(ctx context.Context, a *PollArgs) (*PollReply, error) {
				return &PollReply{Term: a.Seq, Needed: true}, nil
			}
			l, _ := serve(t, m, ServerOptions{Protocol: server})
			c := dial(t, l, ClientOptions{Protocol: client})
			for range 2 {
				if r, err := c.List(t.Context(), &ListArgs{}); err != nil || !r.More {
					t.Errorf("client %d, server %d: got %+v, %v", client, server, r, err)
				}
			}
			if _, err := c.Watch(t.Context(), &WatchArgs{}); !errors.Is(err, ErrNoJob) {
				t.Errorf("client %d, server %d: a fault comes as %v", client, server, err)
			}
			want := uint64(0)
			if client >= termVersion && server >= termVersion {
				want = 7
			}
			if c.heard.term.Load() != want || m.told.Load() != want {
				t.Errorf("client %d, server %d: the client has heard of term %d, the server of %d, want %d", client, server, c.heard.term.Load(), m.told.Load(), want)
			}
			w := dial(t, l, ClientOptions{Protocol: client, Role: RoleWorker})
			if r, err := w.Poll(t.Context(), &PollArgs{Seq: 9}); err != nil || r.Term != 9 {
				t.Errorf("client %d, server %d: Poll: %+v, %v", client, server, r, err)
			}
		}
	}
}

// Proves that the bytes of requests and replies stay what they are, in each version.
func TestFramesGolden(t *testing.T) {
	t.Parallel()
	for version, want := range map[uint16]struct{ call, giveUp, reply string }{
		1: {"\x01" + "\x00\x00\x00\x00\x00\x00\x00\x05" + "\x04List", "\x02" + "\x00\x00\x00\x00\x00\x00\x00\x05" + "\x00",
			"\x00\x00\x00\x00\x00\x00\x00\x05" + "\x00\x04" + "no job"},
		2: {"\x01" + "\x00\x00\x00\x00\x00\x00\x00\x05" + "\x00\x00\x00\x00\x00\x00\x01\x02" + "\x04List",
			"\x02" + "\x00\x00\x00\x00\x00\x00\x00\x05" + "\x00\x00\x00\x00\x00\x00\x01\x02" + "\x00",
			"\x00\x00\x00\x00\x00\x00\x00\x05" + "\x00\x04" + "\x00\x00\x00\x00\x00\x00\x01\x02" + "no job"},
	} {
		c := &conn{heard: new(heard), terms: version >= termVersion}
		c.heard.term.Store(0x102)
		for kind, want := range map[byte]string{kindCall: want.call, kindGiveUp: want.giveUp} {
			method := map[byte]string{kindCall: "List"}[kind]
			c.beginRequestLocked(kind, 5, method)
			if got := string(c.out.Bytes()[frameHeader:]); got != want {
				t.Errorf("version %d: a request is % x, want % x", version, got, want)
			}
			q, err := splitRequest([]byte(want), c.terms)
			if err != nil || q.kind != kind || q.seq != 5 || q.method != method || len(q.args) > 0 || c.terms && q.term != 0x102 {
				t.Errorf("version %d: a request is taken for %+v, %v", version, q, err)
			}
		}
		call := new(inflight)
		call.reign.Store(&reign{0x102, func() bool { return true }})
		got, err := (&session{terms: c.terms}).encodeReply(5, call, newFault(CodeNoJob, "", "no job"), nil)
		if err != nil || string(got[frameHeader:]) != want.reply {
			t.Errorf("version %d: a reply is % x, %v, want % x", version, got[frameHeader:], err, want.reply)
		}
	}
}

// Proves that no payload makes the taking apart of a request fail but by name, and that its parts are what was sent.
func FuzzSplitRequest(f *testing.F) {
	f.Add([]byte("\x01\x00\x00\x00\x00\x00\x00\x00\x05\x04Listargs"), false)
	f.Add(requestPayload(f, kindCall, 1, "Submit", &SubmitArgs{Job: "x"}), true)
	f.Add([]byte{kindGiveUp}, true)
	f.Fuzz(func(t *testing.T, b []byte, terms bool) {
		q, err := splitRequest(b, terms)
		if err != nil {
			if !errors.Is(err, errFrame) {
				t.Errorf("got %v", err)
			}
			return
		}
		again := binary.BigEndian.AppendUint64([]byte{q.kind}, q.seq)
		if terms {
			again = binary.BigEndian.AppendUint64(again, q.term)
		}
		again = append(append(append(again, byte(len(q.method))), q.method...), q.args...)
		if !bytes.Equal(again, b) {
			t.Errorf("% x is taken for %+v", b, q)
		}
	})
}
