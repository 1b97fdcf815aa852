package wire

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/gob"
	"hash/crc32"
	"io"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/millrace/millrace/jobs"
)

// hello is a client's preamble.
func hello(r Role) []byte {
	return preamble{min: minVersion, max: maxVersion, note: uint8(r)}.encode()
}

// greeted is a connection that has exchanged preambles.
func greeted(t testing.TB, l *PipeListener, r Role) net.Conn {
	t.Helper()
	return greetedAt(t, l, r, maxVersion)
}

// greetedAt is one that speaks versions up to newest.
func greetedAt(t testing.TB, l *PipeListener, r Role, newest uint16) net.Conn {
	t.Helper()
	conn, err := l.Dial(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if _, _, err := greet(conn, r, ClusterID{}, newest); err != nil {
		t.Fatal(err)
	}
	return conn
}

// frameOf is a frame around any payload.
func frameOf(payload []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(payload)))
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(payload, castagnoli))
	return append(b, payload...)
}

// requestPayload is a request with args in gob, or as they are if they are bytes.
func requestPayload(t testing.TB, kind byte, seq uint64, method string, args any) []byte {
	t.Helper()
	var b bytes.Buffer
	b.WriteByte(kind)
	b.Write(binary.BigEndian.AppendUint64(nil, seq))
	b.Write(binary.BigEndian.AppendUint64(nil, 3)) // the term
	b.WriteByte(byte(len(method)))
	b.WriteString(method)
	switch args := args.(type) {
	case nil:
	case []byte:
		b.Write(args)
	default:
		if err := gob.NewEncoder(&b).Encode(args); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

func requestOf(t testing.TB, kind byte, seq uint64, method string, args any) []byte {
	return frameOf(requestPayload(t, kind, seq, method, args))
}

// allocated runs f and returns the bytes it allocated.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// Proves that a length costs no memory until its bytes arrive, and none beyond the limit.
func TestLyingLengths(t *testing.T) {
	for name, head := range map[string][]byte{
		"beyond the limit": {0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0},
		"just beyond":      binary.BigEndian.AppendUint64(nil, (MaxRequest+1)<<32),
		"at the limit":     binary.BigEndian.AppendUint64(nil, MaxRequest<<32),
	} {
		got := allocated(func() {
			if _, err := newFrameReader(bytes.NewReader(append(head, 1, 2, 3)), MaxRequest).next(); err == nil {
				t.Errorf("%s: no error", name)
			}
		})
		if got > 128<<10 {
			t.Errorf("%s: allocated %d bytes", name, got)
		}
	}
}

// Proves that a flipped bit anywhere in a frame is found, and that a frame cut short is no frame.
func TestDamagedFrames(t *testing.T) {
	t.Parallel()
	frame := requestOf(t, kindCall, 1, "List", &ListArgs{Max: 3})
	for i := range len(frame) * 8 {
		bad := bytes.Clone(frame)
		bad[i/8] ^= 1 << (i % 8)
		if _, err := newFrameReader(bytes.NewReader(bad), MaxRequest).next(); err == nil {
			t.Errorf("bit %d flipped: no error", i)
		}
	}
	for n := range frame {
		if _, err := newFrameReader(bytes.NewReader(frame[:n]), MaxRequest).next(); err == nil {
			t.Errorf("cut at %d: no error", n)
		}
	}
}

// Proves that each thing a peer can say wrong ends its connection or its call, and that the server goes on with others.
func TestHostilePeers(t *testing.T) {
	t.Parallel()
	good := requestOf(t, kindCall, 1, "List", &ListArgs{})
	for name, say := range map[string][]byte{
		"http":            []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
		"bad crc":         append(hello(RoleClient), append(good[:len(good):len(good)][:8], make([]byte, len(good)-8)...)...),
		"empty frame":     append(hello(RoleClient), frameOf(nil)...),
		"unknown kind":    append(hello(RoleClient), frameOf(requestPayload(t, 9, 1, "List", &ListArgs{}))...),
		"name too long":   append(hello(RoleClient), frameOf(append(append([]byte{kindCall}, make([]byte, 16)...), 255, 'x'))...),
		"unknown method":  append(hello(RoleClient), requestOf(t, kindCall, 1, "Format", &ListArgs{})...),
		"dotted method":   append(hello(RoleClient), requestOf(t, kindCall, 1, "a.b.c", &ListArgs{})...),
		"no gob":          append(hello(RoleClient), requestOf(t, kindCall, 1, "List", []byte("\xfe\xff\xff junk"))...),
		"other arguments": append(hello(RoleClient), requestOf(t, kindCall, 1, "List", &struct{ Max string }{"x"})...),
		"half a term":     append(hello(RoleClient), frameOf(requestPayload(t, kindCall, 1, "", nil)[:12])...),
		"same number":     append(hello(RoleClient), append(requestOf(t, kindCall, 1, "Watch", &WatchArgs{}), requestOf(t, kindCall, 1, "Watch", &WatchArgs{})...)...),
		"give up nothing": append(hello(RoleClient), requestOf(t, kindGiveUp, 77, "", nil)...),
		"unknown role":    hello(9),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, _, _ := hanging()
			m.list = empty().list
			l, _ := serve(t, m, ServerOptions{})
			conn, err := l.Dial(t.Context(), "")
			if err != nil {
				t.Fatal(err)
			}
			go io.Copy(io.Discard, conn)
			conn.Write(say) // the server may close in the middle of it
			if _, err := dial(t, l, ClientOptions{}).List(t.Context(), &ListArgs{}); err != nil {
				t.Errorf("another client's List: %v", err)
			}
			conn.Close()
		})
	}
}

// Proves that arguments which do not fit are answered, and the connection goes on.
func TestBadArgumentsAreAnswered(t *testing.T) {
	t.Parallel()
	l, _ := serve(t, empty(), ServerOptions{})
	conn := greeted(t, l, RoleClient)
	in := newFrameReader(conn, MaxReply)
	for i, c := range []struct {
		method string
		args   any
		want   Code
	}{
		{"List", []byte("\x05junk"), CodeBadMessage},
		{"List", []byte{}, CodeBadMessage},
		{"Nothing", &ListArgs{}, CodeUnknownCall},
		{"Poll", &PollArgs{}, CodeUnknownCall}, // a worker's call
		{"List", &ListArgs{}, 0},
	} {
		go conn.Write(requestOf(t, kindCall, uint64(i), c.method, c.args))
		reply, err := in.next()
		if err != nil {
			t.Fatalf("%s %d: %v", c.method, i, err)
		}
		if seq, got := binary.BigEndian.Uint64(reply), Code(binary.BigEndian.Uint16(reply[8:])); seq != uint64(i) || got != c.want {
			t.Errorf("%s %d: got code %d of call %d, want %d: %q", c.method, i, got, seq, c.want, reply[18:])
		}
	}
}

// mapBomb is gob for SubmitArgs whose Params claims to hold n elements and holds none.
func mapBomb(t testing.TB, n uint32) []byte {
	t.Helper()
	type spec struct{ Params map[string]string }
	type submit struct{ Spec spec }
	const mark = "a rather long key that the test finds again"
	var b bytes.Buffer
	if err := gob.NewEncoder(&b).Encode(submit{spec{map[string]string{mark: ""}}}); err != nil {
		t.Fatal(err)
	}
	// The last message is [length][type id][1: field Spec][1: field Params][1: elements][key ...]. Its count of elements
	// becomes four bytes long, so its length grows by four.
	raw := b.Bytes()
	key := bytes.Index(raw, []byte(mark)) - 1
	count := key - 1
	if raw[count] != 1 {
		t.Fatalf("gob looks different: % x", raw)
	}
	out := append([]byte{}, raw[:count]...)
	out = append(out, 0xfc)
	out = binary.BigEndian.AppendUint32(out, n)
	out = append(out, raw[key:]...)
	// Walk to the last message and correct its length.
	at := 0
	for {
		size, used := readUint(raw[at:])
		if at+used+int(size) == len(raw) {
			if used != 1 {
				t.Fatalf("gob looks different: % x", raw)
			}
			out[at] += 4
			return out
		}
		at += used + int(size)
	}
}

// Proves that a map which claims a hundred million elements in a message of a hundred bytes makes gob allocate nothing.
func TestMapBomb(t *testing.T) {
	if err := decode(mapBomb(t, 1), new(SubmitArgs), 100); err != nil {
		t.Fatalf("a map of one: %v", err)
	}
	bomb := mapBomb(t, 100_000_000)
	got := allocated(func() {
		if err := decode(bomb, new(SubmitArgs), 100); err == nil {
			t.Error("no error")
		}
	})
	if got > 1<<20 {
		t.Errorf("allocated %d bytes", got)
	}
}

// Proves that a message within a stream that claims more than the stream holds makes gob allocate nothing.
func TestInnerLengthBomb(t *testing.T) {
	got := allocated(func() {
		if err := decode([]byte{0xfd, 0x98, 0x96, 0x7f, 1, 2, 3}, new(ListArgs), 100); err == nil {
			t.Error("no error")
		}
	})
	if got > 128<<10 {
		t.Errorf("allocated %d bytes", got)
	}
}

// nest is gob for a jobs.Field that is nested to the given depth, which gob's own encoder could not make.
func nest(t testing.TB, levels int) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := gob.NewEncoder(&b).Encode(&jobs.Field{}); err != nil {
		t.Fatal(err)
	}
	last := b.Len() - 4 // the value's message: its length, the type's id in two bytes, the end of the struct
	head, id := b.Bytes()[:last], b.Bytes()[last+1:last+3]
	value := bytes.Clone(id)
	for range levels {
		value = append(value, 4, 1) // the fourth field, Fields, has one element
	}
	value = append(value, make([]byte, levels+1)...) // the end of each struct
	out := append(bytes.Clone(head), 0xfc)
	out = binary.BigEndian.AppendUint32(out, uint32(len(value)))
	return append(out, value...)
}

// Proves that a value nested without end is refused, before gob recurses into it: the end of a stack is not a panic that can
// be recovered from.
func TestDeepValue(t *testing.T) {
	t.Parallel()
	for levels, want := range map[int]bool{0: true, 3: true, maxValueDepth/2 - 1: true, maxValueDepth: false, MaxRequest / 4: false} {
		var got jobs.Field
		err := decode(nest(t, levels), &got, maxRequestValues)
		if (err == nil) != want {
			t.Errorf("%d levels: got %v", levels, err)
		}
		n := 0
		for f := &got; len(f.Fields) > 0; f = &f.Fields[0] {
			n++
		}
		if want && n != levels {
			t.Errorf("got %d levels, want %d", n, levels)
		}
	}
}

// Proves that a slice of a hundred thousand empty structs, a byte each on the wire, is refused before gob makes them.
func TestStructBomb(t *testing.T) {
	var b bytes.Buffer
	if err := gob.NewEncoder(&b).Encode(&PollArgs{Done: make([]Outcome, 1<<17)}); err != nil {
		t.Fatal(err)
	}
	got := allocated(func() {
		if err := decode(b.Bytes(), new(PollArgs), maxRequestValues); err == nil {
			t.Error("no error")
		}
	})
	if got > 128<<10 {
		t.Errorf("allocated %d bytes", got)
	}
}

// Proves that the guard lets pass what gob itself writes of each message, and that what it lets pass never makes gob
// allocate out of proportion.
func FuzzGuard(f *testing.F) {
	for _, v := range []any{
		&PollArgs{Worker: "w", Running: make([]Progress, 2), Done: []Outcome{{Map: &MapResult{Size: -1}, Counters: map[string]int64{"a": 1}}}},
		&PollReply{Assign: []Task{{}}}, &JobReply{Bounds: [][]byte{{1}, nil}}, &RunsReply{Events: make([]RunEvent, 3)},
		&SubmitArgs{}, &JobStatus{Submitted: time.Unix(1, 2), Params: map[string]string{"a": "b"}}, &LogsReply{Lines: make([]LogLine, 1)},
		&ListReply{Jobs: make([]JobStatus, 2)}, &CancelReply{State: 3}, 7, "x", []string{"a"}, map[string]bool{"a": true}, [3]int{1},
	} {
		var b bytes.Buffer
		if err := gob.NewEncoder(&b).Encode(v); err != nil {
			f.Fatal(err)
		}
		if err := checkGob(b.Bytes(), 1000); err != nil {
			f.Errorf("%T: %v", v, err)
		}
		for n := range b.Len() {
			if checkGob(b.Bytes()[:n], 1000) == nil {
				f.Errorf("%T cut at %d of %d bytes: no error", v, n, b.Len())
			}
		}
		f.Add(b.Bytes())
	}
	f.Add(mapBomb(f, 1<<30))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, v := range []any{new(PollArgs), new(SubmitArgs), new(JobStatus)} {
			got := allocated(func() { decode(b, v, maxRequestValues) })
			if limit := uint64(1<<20 + 500*len(b)); got > limit {
				t.Errorf("%T: allocated %d bytes for %d", v, got, len(b))
			}
		}
	})
}

// Proves that no bytes after the preamble make the server panic, hang or allocate beyond what was sent.
func FuzzSession(f *testing.F) {
	f.Add(requestOf(f, kindCall, 1, "List", &ListArgs{Max: 1}), false, false)
	f.Add(requestPayload(f, kindCall, 1, "Submit", &SubmitArgs{Job: "x"}), true, false)
	f.Add(requestPayload(f, kindCall, 1, "Submit", mapBomb(f, 1<<30)), true, false)
	f.Add(requestPayload(f, kindGiveUp, 1, "", nil), true, false)
	f.Add([]byte{0xff, 0xff, 0xff, 0xff}, false, false)
	f.Add([]byte("\x01\x00\x00\x00\x00\x00\x00\x00\x05\x04Listargs"), true, true)
	m := empty()
	m.submit = func(context.Context, *SubmitArgs) (*SubmitReply, error) { return &SubmitReply{}, nil }
	f.Fuzz(func(t *testing.T, say []byte, framed, old bool) {
		if framed {
			say = frameOf(say) // get past the checksum
		}
		report := func(i Incident) {
			if i.Stack != nil {
				t.Errorf("panic: %v\n%s", i.Err, i.Stack)
			}
		}
		l, stop := serve(t, m, ServerOptions{Report: report})
		newest := uint16(maxVersion)
		if old {
			newest = minVersion
		}
		conn := greetedAt(t, l, RoleClient, newest)
		done := make(chan struct{})
		go func() { io.Copy(io.Discard, conn); close(done) }()
		conn.Write(say)
		conn.Close()
		<-done
		stop()
	})
}

// Proves that no preamble makes the server panic, welcome what is no role, or answer a stranger.
func FuzzPreamble(f *testing.F) {
	f.Add(hello(RoleWorker))
	f.Add([]byte("SSH-2.0-x\r\n"))
	f.Fuzz(func(t *testing.T, say []byte) {
		conn := &script{in: bytes.NewReader(say)}
		role, version, err := welcomePeer(conn, ClusterID{1}, maxVersion, workersAndClients)
		if err == nil && role != RoleWorker && role != RoleClient {
			t.Errorf("role %d welcomed", role)
		}
		if err == nil && (version < minVersion || version > maxVersion) {
			t.Errorf("version %d agreed on", version)
		}
		if !bytes.HasPrefix(say, []byte(magic)) && conn.out.Len() > 0 {
			t.Errorf("a stranger was answered %q", conn.out.Bytes())
		}
	})
}

// script is a connection on which everything was said before.
type script struct {
	net.Conn
	in  *bytes.Reader
	out bytes.Buffer
}

func (s *script) Read(b []byte) (int, error)  { return s.in.Read(b) }
func (s *script) Write(b []byte) (int, error) { return s.out.Write(b) }
