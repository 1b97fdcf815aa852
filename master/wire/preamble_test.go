package wire

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// Proves that a master of another protocol, of another cluster, or no master at all, is told apart and named.
func TestClientRefuses(t *testing.T) {
	t.Parallel()
	mine := ClusterID{1}
	for name, c := range map[string]struct {
		answer []byte
		want   error
		text   string
	}{
		"newer":    {preamble{min: 3, max: 4, note: uint8(badVersion)}.encode(), ErrVersion, "speaks protocol 3..4, this program 1..2: upgrade this program"},
		"older":    {preamble{min: 0, max: 0, note: uint8(badVersion)}.encode(), ErrVersion, "upgrade the master"},
		"cluster":  {preamble{min: 1, max: 1, note: uint8(badCluster), cluster: ClusterID{2}}.encode(), ErrOtherCluster, "0200"},
		"liar":     {preamble{min: 1, max: 1, note: uint8(welcome), cluster: ClusterID{2}}.encode(), ErrOtherCluster, "0200"},
		"role":     {preamble{min: 1, max: 1, note: uint8(badRole), cluster: mine}.encode(), ErrUnknownCall, "client refused"},
		"http":     {[]byte("HTTP/1.1 400 Bad Request\r\n\r\n"), ErrNotMillrace, "not a millrace master"},
		"silent":   {nil, ErrNotMillrace, "too many connections"},
		"cut":      {[]byte("mlrc\r\n\r\n\x00\x01"), ErrNotMillrace, "without an answer"},
		"welcomed": {preamble{min: 1, max: 9, note: uint8(welcome), cluster: mine}.encode(), nil, ""},
	} {
		conn := &script{in: bytes.NewReader(c.answer)}
		_, version, err := greet(conn, RoleClient, mine, maxVersion)
		if !errors.Is(err, c.want) || c.want == nil && version != maxVersion {
			t.Errorf("%s: got version %d, %v, want %v", name, version, err, c.want)
		}
		if c.want != nil && !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: got %q, want it to say %q", name, err, c.text)
		}
	}
}

// Proves that a master refuses what does not fit, says why, and learns a peer's role.
func TestServerRefuses(t *testing.T) {
	t.Parallel()
	mine := ClusterID{1}
	for name, c := range map[string]struct {
		say    preamble
		answer verdict
		want   error
	}{
		"first contact": {preamble{1, 1, 2, ClusterID{}}, welcome, nil},
		"knows us":      {preamble{1, 1, 1, mine}, welcome, nil},
		"wider range":   {preamble{0, 7, 1, mine}, welcome, nil},
		"only the new":  {preamble{2, 7, 1, mine}, welcome, nil},
		"too new":       {preamble{3, 7, 1, mine}, badVersion, ErrVersion},
		"too old":       {preamble{0, 0, 1, mine}, badVersion, ErrVersion},
		"no range":      {preamble{1, 0, 1, mine}, badVersion, ErrVersion},
		"other cluster": {preamble{1, 1, 1, ClusterID{9}}, badCluster, ErrOtherCluster},
		"no role":       {preamble{1, 1, 0, mine}, badRole, ErrUnknownCall},
	} {
		conn := &script{in: bytes.NewReader(c.say.encode())}
		role, version, err := welcomePeer(conn, mine, maxVersion, workersAndClients)
		if !errors.Is(err, c.want) || (err == nil && (role != Role(c.say.note) || version != min(c.say.max, maxVersion))) {
			t.Errorf("%s: got role %s, version %d, %v, want %v", name, role, version, err, c.want)
		}
		answer, err := readPreamble(&conn.out)
		if err != nil || verdict(answer.note) != c.answer || answer.cluster != mine {
			t.Errorf("%s: answered %+v, %v, want verdict %d", name, answer, err, c.answer)
		}
	}
}

// Proves that the preamble's bytes stay what they are.
func TestPreambleGolden(t *testing.T) {
	t.Parallel()
	p := preamble{min: 1, max: 2, note: uint8(RoleClient), cluster: ClusterID{0xaa, 15: 0xbb}}
	want := "mlrc\r\n\r\n\x00\x01\x00\x02\x02\x00\x00\x00\xaa\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xbb"
	want = want[:17] + strings.Repeat("\x00", 14) + "\xbb"
	if got := string(p.encode()); got != want {
		t.Errorf("got % x, want % x", got, want)
	}
	back, err := readPreamble(strings.NewReader(want))
	if err != nil || back != p {
		t.Errorf("read back: got %+v, %v", back, err)
	}
}

// Proves that a client learns its cluster on first contact and then talks to no other, even at the same address.
func TestClientStaysWithItsCluster(t *testing.T) {
	t.Parallel()
	first, stop := serve(t, empty(), ServerOptions{Cluster: ClusterID{1}})
	second, _ := serve(t, empty(), ServerOptions{Cluster: ClusterID{2}})
	current := first
	c := dial(t, first, ClientOptions{Dial: func(ctx context.Context, addr string) (net.Conn, error) {
		return current.Dial(ctx, addr)
	}})
	if c.Cluster() != (ClusterID{1}) {
		t.Errorf("learned %s", c.Cluster())
	}
	stop()
	current = second
	for range 2 { // the first call may find the broken connection
		if _, err := c.List(t.Context(), &ListArgs{}); errors.Is(err, ErrOtherCluster) {
			return
		}
	}
	t.Error("the client talks to another cluster")
}

// Proves that the addresses are tried in turn, that all of them are named when none answers, and that a web server is
// told from a master.
func TestDialTriesAllAddresses(t *testing.T) {
	t.Parallel()
	closed := tcp(t)
	closed.Close()
	web := httptest.NewServer(http.NotFoundHandler())
	defer web.Close()
	l := tcp(t)
	serveOn(t, empty(), ServerOptions{}, l)
	bad := []string{closed.Addr().String(), web.Listener.Addr().String()}

	c, err := Dial(t.Context(), append(bad, l.Addr().String()), ClientOptions{Role: RoleClient})
	if err != nil {
		t.Fatalf("with one good address: %v", err)
	}
	defer c.Close()
	if c.Master() != l.Addr().String() {
		t.Errorf("Master: got %s, want %s", c.Master(), l.Addr())
	}
	_, err = Dial(t.Context(), bad, ClientOptions{Role: RoleClient})
	for _, want := range []error{ErrUnreachable, ErrNotMillrace} {
		if !errors.Is(err, want) {
			t.Errorf("with none: got %v, want %v", err, want)
		}
	}
	for _, addr := range bad {
		if err == nil || !strings.Contains(err.Error(), addr) {
			t.Errorf("with none: %v does not name %s", err, addr)
		}
	}
	if _, err := Dial(t.Context(), nil, ClientOptions{Role: RoleClient}); !errors.Is(err, ErrUnreachable) {
		t.Errorf("without addresses: got %v", err)
	}
	if _, err := Dial(t.Context(), bad, ClientOptions{}); err == nil || !strings.Contains(err.Error(), "Role") {
		t.Errorf("without a role: got %v", err)
	}
}

// Proves that a client goes from a master that does not lead to the one that does, when it may try again.
func TestFollowsTheLeader(t *testing.T) {
	t.Parallel()
	follower, _ := serve(t, &master{list: func(context.Context, *ListArgs) (*ListReply, error) {
		return nil, ErrNotLeader
	}}, ServerOptions{})
	leader, _ := serve(t, empty(), ServerOptions{})
	for _, c := range []struct {
		o    ClientOptions
		want error
	}{{ClientOptions{Role: RoleClient}, ErrNotLeader}, {ClientOptions{Role: RoleClient, RetryFor: 1 << 40}, nil}} {
		c.o.Dial = func(ctx context.Context, addr string) (net.Conn, error) {
			if addr == "follower" {
				return follower.Dial(ctx, addr)
			}
			return leader.Dial(ctx, addr)
		}
		client, err := Dial(t.Context(), []string{"follower", "leader"}, c.o)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.List(t.Context(), &ListArgs{}); !errors.Is(err, c.want) {
			t.Errorf("RetryFor %v: got %v, want %v", c.o.RetryFor, err, c.want)
		}
		if client.Master() != "leader" {
			t.Errorf("RetryFor %v: the client stays at %s", c.o.RetryFor, client.Master())
		}
		client.Close()
		if _, err := client.List(t.Context(), &ListArgs{}); !errors.Is(err, ErrClosed) {
			t.Errorf("after Close: got %v, want ErrClosed", err)
		}
	}
}

// Proves that calls go through TLS, with the server's name verified, and that a client without TLS is told what to check.
func TestTLS(t *testing.T) {
	t.Parallel()
	pki := httptest.NewUnstartedServer(nil) // its certificate, for example.com and 127.0.0.1
	pki.StartTLS()
	defer pki.Close()
	l := tcp(t)
	serveOn(t, empty(), ServerOptions{TLS: &tls.Config{Certificates: pki.TLS.Certificates}}, l)
	addrs := []string{l.Addr().String()}

	trust := pki.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	c, err := Dial(t.Context(), addrs, ClientOptions{Role: RoleClient, TLS: &tls.Config{RootCAs: trust}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.List(t.Context(), &ListArgs{}); err != nil {
		t.Errorf("List: %v", err)
	}
	if _, err := Dial(t.Context(), addrs, ClientOptions{Role: RoleClient, TLS: &tls.Config{RootCAs: trust, ServerName: "other"}}); err == nil {
		t.Error("a server of another name was trusted")
	}
	if _, err := Dial(t.Context(), addrs, ClientOptions{Role: RoleClient}); !errors.Is(err, ErrNotMillrace) {
		t.Errorf("without TLS: got %v, want ErrNotMillrace", err)
	}
}

// Proves that dialling ends with its context, and that a closed pipe refuses.
func TestDialEnds(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	silent := func(context.Context, string) (net.Conn, error) {
		near, far := net.Pipe()
		go io.Copy(io.Discard, far)
		cancel()
		return near, nil
	}
	if _, err := Dial(ctx, []string{"x"}, ClientOptions{Role: RoleClient, Dial: silent}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	l := Pipe()
	l.Close()
	if _, err := Dial(t.Context(), []string{"x"}, ClientOptions{Role: RoleClient, Dial: l.Dial}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a closed pipe: got %v, want net.ErrClosed", err)
	}
}
