package wire

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"
)

// A worker that only polls, and a client that makes short calls only, have one connection each; the other is made when it is needed.
func TestLanesWhenNeeded(t *testing.T) {
	t.Parallel()
	l := tcp(t)
	serveOn(t, empty(), ServerOptions{}, l)
	for role, calls := range map[Role][2]func(c *Client) error{
		RoleWorker: {
			func(c *Client) error { _, err := c.Poll(t.Context(), &PollArgs{Worker: "w"}); return err },
			func(c *Client) error { _, err := c.Job(t.Context(), &JobArgs{}); return err },
		},
		RoleClient: {
			func(c *Client) error { _, err := c.List(t.Context(), &ListArgs{}); return err },
			func(c *Client) error { _, err := c.Watch(t.Context(), &WatchArgs{}); return err },
		},
	} {
		var dials atomic.Int64
		c, err := Dial(t.Context(), []string{l.Addr().String()}, ClientOptions{Role: role, Dial: func(ctx context.Context, addr string) (net.Conn, error) {
			dials.Add(1)
			return new(net.Dialer).DialContext(ctx, "tcp", addr)
		}})
		if err != nil {
			t.Fatal(err)
		}
		for i, call := range calls {
			for range 2 {
				if err := call(c); err != nil && !errors.Is(err, ErrNoJob) { // that is an answer, too
					t.Fatal(err)
				}
			}
			if n := dials.Load(); n != int64(i+1) {
				t.Errorf("%v: %d connections after calls of %d kinds", role, n, i+1)
			}
		}
		c.Close()
	}
}
