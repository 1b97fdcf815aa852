package s3store_test

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/s3store"
)

// listen runs handle for each connection to a fresh address, which it returns as an endpoint.
func listen(t testing.TB, handle func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				handle(c)
			}()
		}
	}()
	return "http://" + l.Addr().String()
}

// impatient is for servers that never answer.
func impatient(o *s3store.Options) { o.Stall, o.Completion = 20*time.Millisecond, 30*time.Millisecond }

const headers = "HTTP/1.1 200 OK\r\nETag: \"e\"\r\nLast-Modified: Mon, 02 Jan 2006 15:04:05 GMT\r\nContent-Length: 10\r\n\r\nabc"

// A server that accepts and is silent, or stops in the midst of a body, or takes no more of ours, ends the call with a
// transient error.
func TestStalls(t *testing.T) {
	t.Parallel()
	silent := listen(t, func(c net.Conn) { io.Copy(io.Discard, c) })
	for name, call := range calls {
		if err := call(t.Context(), bucketAt(t, silent, impatient)); !errors.Is(err, storage.ErrUnreachable) || !storage.IsTransient(err) {
			t.Errorf("%s, silent server: got %v, want ErrUnreachable, transient", name, err)
		}
	}
	midway := listen(t, func(c net.Conn) {
		c.Read(make([]byte, 4096)) // an answer before the request would be another fault
		io.WriteString(c, headers)
		io.Copy(io.Discard, c)
	})
	if err := read(t.Context(), bucketAt(t, midway, impatient), -1, ""); !errors.Is(err, storage.ErrUnreachable) || !storage.IsTransient(err) {
		t.Errorf("stalled body: got %v, want ErrUnreachable, transient", err)
	}
	gone := make(chan struct{})
	defer close(gone)
	full := listen(t, func(net.Conn) { <-gone })
	_, err := bucketAt(t, full, impatient).Put(t.Context(), "key", make([]byte, 32<<20), false)
	if !errors.Is(err, storage.ErrUnreachable) || !storage.IsTransient(err) {
		t.Errorf("server that reads nothing: got %v, want ErrUnreachable, transient", err)
	}
}

// A body that comes slowly but comes, and a caller that takes its time between reads, are no stall.
func TestSlowIsNoStall(t *testing.T) {
	t.Parallel()
	const stall = 200 * time.Millisecond
	reads := make(chan struct{})
	slow := listen(t, func(c net.Conn) {
		c.Read(make([]byte, 4096))
		io.WriteString(c, headers)
		for _, b := range "defghij" {
			<-reads
			io.WriteString(c, string(b))
		}
		io.Copy(io.Discard, c)
	})
	b := bucketAt(t, slow, func(o *s3store.Options) { o.Stall = stall })
	body, _, err := b.Read(t.Context(), "key", 0, -1, "")
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	got := make([]byte, 3)
	if _, err := io.ReadFull(body, got); err != nil {
		t.Fatal(err)
	}
	timer := time.NewTimer(2 * stall) // the caller's own time, which must not count
	<-timer.C
	close(reads)
	rest, err := io.ReadAll(body)
	if err != nil || string(rest) != "defghij" {
		t.Errorf("got %q, %v; want the rest of the body", rest, err)
	}
}

// A connection that is refused, reset or closed without an answer is a transient error; one that is refused is ErrUnreachable
// and names the endpoint.
func TestBrokenConnections(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	down := "http://" + l.Addr().String()
	l.Close()
	closing := listen(t, func(c net.Conn) {})
	resetting := listen(t, func(c net.Conn) {
		c.Read(make([]byte, 1))
		c.(*net.TCPConn).SetLinger(0)
	})
	short := listen(t, func(c net.Conn) {
		c.Read(make([]byte, 4<<10))
		io.WriteString(c, headers)
	})
	for name, call := range calls {
		err := call(t.Context(), bucketAt(t, down))
		if !errors.Is(err, storage.ErrUnreachable) || !storage.IsTransient(err) || !strings.Contains(err.Error(), down) {
			t.Errorf("%s, endpoint down: got %v, want ErrUnreachable, transient, with the endpoint", name, err)
		}
		for what, endpoint := range map[string]string{"closed": closing, "reset": resetting} {
			if err := call(t.Context(), bucketAt(t, endpoint)); !storage.IsTransient(err) {
				t.Errorf("%s, connection %s: got %v, want a transient error", name, what, err)
			}
		}
	}
	if err := read(t.Context(), bucketAt(t, short), -1, ""); !storage.IsTransient(err) || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("short body: got %v, want a transient io.ErrUnexpectedEOF", err)
	}
	unknown := bucketAt(t, "http://no-such-host.invalid")
	if err := read(t.Context(), unknown, -1, ""); !errors.Is(err, storage.ErrUnreachable) {
		t.Errorf("unknown host: got %v, want ErrUnreachable", err)
	}
}

// TLS to a server that speaks none, and one whose certificate nobody vouches for, are final: trying again does not help.
func TestTrust(t *testing.T) {
	t.Parallel()
	plain := serve(t, func(http.ResponseWriter, *http.Request) {})
	err := read(t.Context(), bucketAt(t, strings.Replace(plain, "http:", "https:", 1)), -1, "")
	if !errors.Is(err, storage.ErrUnreachable) || storage.IsTransient(err) {
		t.Errorf("plain server: got %v, want a final ErrUnreachable", err)
	}
}

// A cancelled call ends at once, whatever the server does, and says so.
func TestCancel(t *testing.T) {
	t.Parallel()
	for name, call := range calls {
		arrived := make(chan struct{}, 1)
		endpoint := listen(t, func(c net.Conn) {
			c.Read(make([]byte, 1))
			arrived <- struct{}{}
			io.Copy(io.Discard, c)
		})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- call(ctx, bucketAt(t, endpoint)) }()
		<-arrived
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) || storage.IsTransient(err) {
			t.Errorf("%s: got %v, want context.Canceled", name, err)
		}
	}
}

// flip passes requests on to a server with one bit of each body changed.
func flip(t testing.TB, endpoint string) string {
	t.Helper()
	u, err := url.Parse(endpoint)
	if err != nil {
		t.Fatal(err)
	}
	return serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		if r.Method == http.MethodPut {
			body[len(body)/2] ^= 1
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		proxy := &httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) {
			p.Out.URL.Scheme, p.Out.URL.Host = u.Scheme, u.Host
			p.Out.Host = p.In.Host // it is signed
		}}
		proxy.ServeHTTP(w, r)
	})
}

// A bit that flips on the way to the server makes it refuse the object or part, and the refusal is transient. Nothing of it is
// stored.
func TestFlippedBit(t *testing.T) {
	t.Parallel()
	for name, start := range starters() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t)
			bucket := s.NewBucket(t)
			good := client(t, options(s)).Bucket(bucket)
			o := options(s)
			o.Endpoint = flip(t, s.Endpoint)
			bad := client(t, o).Bucket(bucket)
			body := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
			if _, err := bad.Put(t.Context(), "key", body, false); !storage.IsTransient(err) {
				t.Errorf("object: got %v, want a transient error", err)
			}
			if err := read(t.Context(), good, 0, ""); !errors.Is(err, storage.ErrNotFound) {
				t.Errorf("the damaged object: got %v, want ErrNotFound", err)
			}
			id, err := good.Uploads().Create(t.Context(), "key")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := bad.Uploads().Part(t.Context(), "key", id, 1, body); !storage.IsTransient(err) {
				t.Errorf("part: got %v, want a transient error", err)
			}
			err = good.Uploads().List(t.Context(), "key", id, func(p storage.Part) bool {
				t.Errorf("the damaged part is there: %+v", p)
				return true
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
}

// A server whose certificate a private authority has signed is trusted when the authority is named, and refused for good
// when it is not.
func TestPrivateAuthority(t *testing.T) {
	t.Parallel()
	s := httptest.NewUnstartedServer(object(3, nil, 200, "abc"))
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // the refused handshake
	s.StartTLS()
	t.Cleanup(s.Close)
	file := filepath.Join(t.TempDir(), "ca.pem")
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	if err := os.WriteFile(file, cert, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := read(t.Context(), bucketAt(t, s.URL, func(o *s3store.Options) { o.CAFile = file }), -1, ""); err != nil {
		t.Errorf("with the authority: %v", err)
	}
	err := read(t.Context(), bucketAt(t, s.URL), -1, "")
	if !errors.Is(err, storage.ErrUnreachable) || storage.IsTransient(err) || !strings.Contains(err.Error(), "AWS_CA_BUNDLE") {
		t.Errorf("without: got %v, want a final ErrUnreachable with a remedy", err)
	}
}
