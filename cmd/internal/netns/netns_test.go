//go:build linux

package netns

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"testing"
	"time"
)

// page serves the caller's address on a node and returns the URL.
func page(t *testing.T, n *Node) string {
	t.Helper()
	var l net.Listener
	err := n.Do(func() (err error) {
		l, err = net.Listen("tcp4", n.Address+":0")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, _ := net.SplitHostPort(r.RemoteAddr)
		fmt.Fprint(w, host)
	})}
	go srv.Serve(l)
	t.Cleanup(func() { srv.Close() })
	return "http://" + l.Addr().String()
}

// get asks for a page from the test's own node, on a connection of its own.
func get(url string, timeout time.Duration) (string, error) {
	c := http.Client{Timeout: timeout, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := c.Get(url)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return string(body), err
}

// Proves that nodes reach each other under their own addresses and not the machine's network, that a cut in either direction
// is silence, that delay and loss are what was asked for, and that healing heals.
func TestNetwork(t *testing.T) {
	t.Parallel()
	if !Inside(t) {
		return
	}
	n := New(t, 1)
	a, b := n.Add("a"), n.Add("b")
	urlA, urlB := page(t, a), page(t, b)
	reach := func(url string) {
		t.Helper()
		if got, err := get(url, 10*time.Second); err != nil || got != n.Host.Address {
			t.Errorf("%s: got %q, %v, want %s", url, got, err, n.Host.Address)
		}
	}
	reach(urlA)
	reach(urlB)
	err := a.Do(func() error {
		c, err := net.Dial("tcp4", urlB[len("http://"):]) // synchronous: the dialer starts no goroutine for an address
		if err != nil {
			return err
		}
		defer c.Close()
		if host, _, _ := net.SplitHostPort(c.LocalAddr().String()); host != a.Address {
			return fmt.Errorf("node a dials from %s", host)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if _, err := net.DialTimeout("tcp4", "192.0.2.1:80", time.Second); err == nil {
		t.Error("a node reaches another network")
	}

	host, as := []*Node{n.Host}, []*Node{a}
	for _, cut := range []func(){
		func() { n.SetOneWay(Quality{Cut: true}, host, as) },
		func() { n.SetOneWay(Quality{Cut: true}, as, host) },
		func() { n.Set(Quality{Cut: true}, host, as) },
	} {
		cut()
		if got, err := get(urlA, 300*time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) && !isTimeout(err) {
			t.Errorf("a cut cable: got %q, %v, want silence", got, err)
		}
		reach(urlB)
		n.Heal()
		reach(urlA)
	}

	const delay = 50 * time.Millisecond
	n.Set(Quality{Delay: delay}, host, as)
	begun := time.Now()
	reach(urlA)
	if d := time.Since(begun); d < 4*delay { // there and back, for the connection and for the page
		t.Errorf("a page came after %v over a cable with %v each way", d, delay)
	}
	n.Heal()
	n.Set(Quality{Loss: 1}, host, as)
	before := n.Sent(n.Host, a)
	if got, err := get(urlA, 300*time.Millisecond); !isTimeout(err) {
		t.Errorf("a cable that loses all: got %q, %v", got, err)
	}
	if n.Sent(n.Host, a) == before {
		t.Error("nothing was sent: it proves nothing")
	}
	n.Heal()
	reach(urlA)
}

func isTimeout(err error) bool {
	e, ok := errors.AsType[net.Error](err)
	return ok && e.Timeout()
}
