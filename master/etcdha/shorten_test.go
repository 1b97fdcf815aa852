package etcdha

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A reign that began in a bad minute, with a lease of five times the usual length, has one that fits the answers as soon as they have
// been quick for a minute, and lasts meanwhile. A renewal that fails, or is slow, begins the minute anew. What candidates count on is
// never less than what the leader does.
func TestLeaseBecomesShorter(t *testing.T) {
	for name, x := range map[string]struct {
		takes  func(at time.Duration) (time.Duration, error)
		length time.Duration
		after  time.Duration // when it has that length, no earlier
	}{
		"quick":   {func(time.Duration) (time.Duration, error) { return time.Millisecond, nil }, testTTL, calmFor},
		"patient": {func(time.Duration) (time.Duration, error) { return time.Millisecond, nil }, 7 * time.Second, calmFor}, // etcd gives no shorter one
		"slow":    {func(time.Duration) (time.Duration, error) { return time.Second, nil }, longestLease * testTTL, 0},
		"so so":   {func(time.Duration) (time.Duration, error) { return 400 * time.Millisecond, nil }, 5 * time.Second, calmFor},
		"in turn": {func(at time.Duration) (time.Duration, error) { return max(0, time.Second-at/90), nil }, testTTL, 2 * calmFor},
		"an error at times": {func(at time.Duration) (time.Duration, error) {
			if at < 100*time.Second && at%(50*time.Second) < 3*time.Second {
				return 0, errors.New("no")
			}
			return 0, nil
		}, testTTL, 110 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			begun := time.Now()
			told := atomic.Int64{}
			told.Store(int64(longestLease * testTTL))
			tries := 0
			q := newRuler(func(context.Context) error {
				took, err := x.takes(time.Since(begun))
				time.Sleep(took)
				return err
			}, func(q *ruler) {
				if name == "patient" {
					q.least = x.length
				}
				q.length.Store(told.Load())
				q.until = q.validity()
				q.tell = func(context.Context) error {
					if tries++; tries == 1 {
						return errors.New("the answer is lost")
					}
					told.Store(q.length.Load())
					return nil
				}
			})
			reached := time.Duration(0)
			for time.Since(begun) < 4*calmFor {
				time.Sleep(100 * time.Millisecond)
				if !q.Lasts() {
					t.Fatalf("%s: over after %v: %v", name, time.Since(begun), q.cause)
				}
				if told.Load() < q.length.Load() {
					t.Fatalf("%s: the key tells %v, the leader counts on %v", name, time.Duration(told.Load()), q.span())
				}
				q.mu.Lock()
				if left := q.until - q.s.o.now(); left > q.validity() {
					t.Errorf("%s: it lasts for %v, with a lease of %v", name, left, q.span())
				}
				q.mu.Unlock()
				if reached == 0 && q.span() == x.length {
					reached = time.Since(begun)
				}
			}
			if q.span() != x.length || time.Duration(told.Load()) != x.length || reached < x.after {
				t.Errorf("%s: the lease is %v, and told to be %v, since %v; want %v, not before %v", name, q.span(), time.Duration(told.Load()), reached, x.length, x.after)
			}
			q.end(errResigned)
			<-q.reign.released
			time.Sleep(time.Second) // renewals under way
		})
	}
}

// On etcd: the key tells the shorter length, the reign goes on under it, and when its leader is gone the next one leads after that and
// not after the lease that etcd has.
func TestShorterLeaseOnEtcd(t *testing.T) {
	t.Parallel()
	const ttl = time.Second
	s, f, other := openFaulty(t, Options{TTL: ttl})
	var passed atomic.Int64
	s.o.now = func() time.Duration { return uptime() + time.Duration(passed.Load()) }
	f.set(func(request string) fault {
		passed.Add(int64(300 * time.Millisecond)) // each answer seems to take that
		return pass
	}, nil)
	term := lead(t, s)
	f.set(nil, nil)
	r := term.Reign.(*reign)
	if r.span() <= 3*ttl {
		t.Fatalf("the lease is %v", r.span())
	}
	r.mu.Lock()
	r.pace = pace{since: s.o.now() - calmFor}
	r.mu.Unlock()
	told := func() time.Duration {
		got, err := other.Get(t.Context(), s.k.leader())
		if err != nil || len(got.Kvs) != 1 {
			t.Fatalf("the leader key: %v, %v", got, err)
		}
		if k := readLeader(got.Kvs[0]); k.Nonce != r.nonce || k.created != r.created || k.lease != r.lease {
			t.Fatalf("the key is %+v", k)
		}
		return readLeader(got.Kvs[0]).ttl()
	}
	for begun := time.Now(); told() > 2*ttl; sleep(term.Done, ttl/20) {
		if time.Since(begun) > 20*time.Second || !term.Lasts() {
			t.Fatalf("the key tells %v, the term lasts: %v", told(), term.Lasts())
		}
	}
	if err := term.Confirm(t.Context()); err != nil {
		t.Error(err)
	}
	if got := told(); got != r.span() {
		t.Errorf("the key tells %v, the leader counts on %v", got, r.span())
	}
}
