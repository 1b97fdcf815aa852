package etcdha

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// Each term that is lost for want of renewals soon after another one makes the next lease twice as long, up to the longest there is. One
// loss alone, or one a minute later, does not, and neither does a term that was given up.
func TestLosses(t *testing.T) {
	t.Parallel()
	const longest = longestLease * testTTL
	var l losses
	now, lease := time.Hour, testTTL
	for i, x := range []struct {
		after time.Duration // the loss before
		want  time.Duration
	}{{0, 0}, {calmFor - 1, 2 * testTTL}, {time.Second, 4 * testTTL}, {time.Second, longest}, {time.Second, longest}, {calmFor, 0}, {calmFor / 2, 2 * testTTL}} {
		now += x.after
		l.note(now, lease, longest)
		if got := l.wanted(now + calmFor - 1); got != x.want {
			t.Errorf("loss %d: %v, want %v", i, got, x.want)
		}
		if got := l.wanted(now + calmFor); got != 0 {
			t.Errorf("loss %d: %v after a minute", i, got)
		}
		lease = max(l.wanted(now), testTTL)
	}
}

// Only terms that were not renewed in time count, each once, whoever sees it.
func TestLossesOfReigns(t *testing.T) {
	t.Parallel()
	for name, x := range map[string]struct {
		end  func(*ruler)
		lost bool
	}{
		"not renewed": {func(q *ruler) {
			for range 20 {
				time.Sleep(testTTL / 10)
				q.Lasts()
			}
		}, true},
		"resigned":        {func(q *ruler) { q.reign.end(errResigned) }, false},
		"the key is gone": {func(q *ruler) { q.reign.end(errOver) }, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			q := newRuler(func(ctx context.Context) error {
				if name == "not renewed" {
					<-ctx.Done()
				}
				return ctx.Err()
			}, nil)
			x.end(q)
			<-q.done
			<-q.reign.released
			if q.s.losses.any != x.lost || q.s.losses.length != 0 {
				t.Errorf("%s: %+v", name, q.s.losses)
			}
			time.Sleep(time.Minute) // renewals under way
		})
	}
}

// On etcd: a master that keeps losing its terms, though etcd is quick whenever it is a candidate, gets leases that grow, and candidates
// are told of it; a term that such a lease keeps up lasts.
func TestLongerLeaseAfterLosses(t *testing.T) {
	t.Parallel()
	const ttl = time.Second
	s, _, _ := openFaulty(t, Options{TTL: ttl})
	var passed atomic.Int64
	s.o.now = func() time.Duration { return uptime() + time.Duration(passed.Load()) }
	term := lead(t, s)
	least := term.Reign.(*reign).span()
	for _, want := range []time.Duration{least, 2 * least, min(4*least, longestLease*ttl), longestLease * ttl} {
		passed.Add(int64(term.Reign.(*reign).span())) // it stands still
		if term.Lasts() {
			t.Fatal("it lasts without a renewal")
		}
		term = lead(t, s)
		r := term.Reign.(*reign)
		if r.span() < min(want, longestLease*ttl) || r.span() > max(want, least) {
			t.Errorf("the lease is %v, want %v", r.span(), want)
		}
		st, err := s.look(t.Context())
		if err != nil || st.leader == nil || st.leader.ttl() != r.span() {
			t.Errorf("the key tells %+v, %v, want %v", st.leader, err, r.span())
		}
	}
}
