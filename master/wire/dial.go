package wire

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// dialEvery is the head start of an address before the next one is dialled beside it: one that accepts and is silent, as a
// stopped process does, must not hold up those after it.
const dialEvery = 300 * time.Millisecond

// dialled is what came of an address.
type dialled struct {
	at   int
	conn *conn
	err  error
}

// dial connects to the first of the addresses that answers; those that come first have a head start.
func (c *Client) dial(ctx context.Context, addrs []string, cluster ClusterID) (won *conn, err error) {
	dctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ends, errs := make(chan dialled), make([]error, len(addrs))
	next := time.NewTimer(0)
	defer next.Stop()
	begun, under := 0, 0
	for under > 0 || won == nil && begun < len(addrs) {
		select {
		case <-next.C:
			if won != nil || begun == len(addrs) {
				continue
			}
			at := begun
			go func() {
				conn, err := dialConn(dctx, addrs[at], &c.o, cluster, &c.heard)
				ends <- dialled{at, conn, err}
			}()
			begun++
			under++
			next.Reset(dialEvery)
		case e := <-ends:
			under--
			switch {
			case e.err != nil:
				errs[e.at] = fmt.Errorf("%s: %w", addrs[e.at], e.err)
				next.Reset(0)
			case won != nil:
				e.conn.close()
			default:
				won = e.conn
				cancel() // the others
			}
		}
	}
	switch {
	case won != nil:
		return won, nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	}
	return nil, &unreachable{errs}
}

// unreachable is why each address failed.
type unreachable struct{ errs []error }

func (u *unreachable) Error() string {
	var b strings.Builder
	b.WriteString(ErrUnreachable.Error())
	for i, err := range u.errs {
		b.WriteString([]string{": ", "; "}[min(i, 1)] + err.Error())
	}
	return b.String()
}

func (u *unreachable) Unwrap() []error { return append(u.errs, ErrUnreachable) }
