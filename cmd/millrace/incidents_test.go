package main

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/master/wire"
)

// Peers that come back again and again do not fill the master's log: of each cause there is a line a minute, with how many were
// left out, and whatever peers send there are not more causes than that. Panics are all logged.
func TestIncidents(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	x := newIncidents(slog.New(slog.NewTextHandler(&log, nil)))
	clock := time.Unix(0, 0)
	x.now = func() time.Time { return clock }
	lines := func() int {
		n := strings.Count(log.String(), "\n")
		log.Reset()
		return n
	}
	cut := func(port int) wire.Incident {
		from := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port}
		return wire.Incident{Remote: from.String(), Err: fmt.Errorf("preamble: %w", &net.OpError{Op: "read", Net: "tcp", Addr: from, Err: errors.New("connection reset")})}
	}
	for i := range 1000 {
		x.report(cut(i))
		x.report(wire.Incident{Remote: fmt.Sprint(i), Err: fmt.Errorf("%w: a worker is not answered yet", wire.ErrNotLeader)})
	}
	if n := lines(); n != 2 {
		t.Errorf("2,000 incidents of two kinds made %d lines, want 2", n)
	}
	clock = clock.Add(incidentEvery)
	x.report(cut(1))
	if text := log.String(); !strings.Contains(text, "more_before=999") || !strings.Contains(text, "127.0.0.1:1") || lines() != 1 {
		t.Errorf("a minute later: %q, want a line with the 999 that were left out", text)
	}
	for i := range 10_000 {
		x.report(wire.Incident{Op: "Poll", Err: fmt.Errorf("nonsense %d", i)})
	}
	if n := lines(); n > incidentKinds || len(x.seen) > incidentKinds+1 {
		t.Errorf("10,000 causes made %d lines, and %d are held; want %d at most", n, len(x.seen), incidentKinds)
	}
	for range 3 {
		x.report(wire.Incident{Op: "Poll", Err: errors.New("panic: oh"), Stack: []byte("goroutine 1")})
	}
	if n := lines(); n != 3 {
		t.Errorf("3 panics made %d lines", n)
	}
}
