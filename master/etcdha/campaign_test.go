package etcdha

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/millrace/millrace/master/journal"
)

// Proves that a candidate does not believe the answer to its own write: whatever happens to its key or its lease before it
// has read the key back and raised the term, it begins again, and the term counts only reigns that were.
func TestCampaignIsNotBelieved(t *testing.T) {
	t.Parallel()
	remove := func(t *testing.T, s *Store, c *clientv3.Client) {
		if _, err := c.Delete(t.Context(), s.k.leader()); err != nil {
			t.Error(err)
		}
	}
	expire := func(t *testing.T, s *Store, c *clientv3.Client) {
		got, err := c.Get(t.Context(), s.k.leader())
		if err == nil {
			_, err = c.Revoke(t.Context(), clientv3.LeaseID(got.Kvs[0].Lease))
		}
		if err != nil {
			t.Error(err)
		}
	}
	usurp := func(t *testing.T, s *Store, c *clientv3.Client) {
		remove(t, s, c)
		if _, err := c.Put(t.Context(), s.k.leader(), `{"address":"usurper","nonce":"other","ttl_ms":20}`); err != nil {
			t.Error(err)
		}
	}
	const put, raise, readBack = "txn put leader", "txn put term, put leader", "txn get leader, get term"
	for name, c := range map[string]struct {
		after   string // the request after which it happens
		nth     int
		happens func(*testing.T, *Store, *clientv3.Client)
	}{
		"key removed before it is read back":  {put, 1, remove},
		"lease ended before it is read back":  {put, 1, expire},
		"another leads before it is read":     {put, 1, usurp},
		"key removed after it is read back":   {readBack, 2, remove},
		"lease ended after it is read back":   {readBack, 2, expire},
		"another leads after it is read back": {readBack, 2, usurp},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, f, other := openFaulty(t, Options{})
			seen := 0
			f.set(nil, func(request string) {
				if request == c.after {
					if seen++; seen == c.nth {
						c.happens(t, s, other)
					}
				}
			})
			term := lead(t, s)
			if asked := f.requests(); count(asked, put) != 2 {
				t.Errorf("asked %q, want two tries", asked)
			}
			if term.N != 1 || !term.Lasts() || term.Confirm(t.Context()) != nil || s.Leader() != t.Name() {
				t.Errorf("term %d lasts: %v, confirmed: %v, the leader is %q", term.N, term.Lasts(), term.Confirm(t.Context()), s.Leader())
			}
			resign(t, term)
		})
	}
	t.Run("key removed after the term is raised", func(t *testing.T) {
		t.Parallel()
		const ttl = time.Minute
		s, f, other := openFaulty(t, Options{TTL: ttl})
		f.set(nil, func(request string) {
			if request == raise {
				remove(t, s, other)
			}
		})
		begun := time.Now()
		term := lead(t, s)
		<-term.Done
		if took := time.Since(begun); took > ttl/4 {
			t.Errorf("over after %v, by a renewal: the watch has missed what was before it", took)
		}
		if err := s.Append(t.Context(), term.N, []journal.Entry{{Job: "a"}}); !errors.Is(err, journal.ErrFenced) {
			t.Errorf("a write: %v", err)
		}
	})
}

// Proves that a candidate whose answers are lost leads once, with a term that is one higher, and that what arrives late changes
// neither the leader nor the term.
func TestCampaignLostAnswers(t *testing.T) {
	t.Parallel()
	for _, request := range []string{"grant", "txn put leader", "txn put term, put leader", "txn get leader, get term", "revoke", "watch leader"} {
		for _, what := range []fault{unsent, lost, late} {
			t.Run(fmt.Sprintf("%s %d", request, what), func(t *testing.T) {
				t.Parallel()
				s, f, other := openFaulty(t, Options{})
				before, hits := nth(0, is(request), what)
				f.set(before, nil)
				term := lead(t, s)
				key := func() int64 {
					got, err := other.Get(t.Context(), s.k.leader())
					if err != nil || len(got.Kvs) == 0 {
						t.Errorf("the leader key: %v, %v", got, err)
						return 0
					}
					return got.Kvs[0].CreateRevision
				}
				created := key()
				f.arrive()
				n, err := s.Terms(t.Context())
				if term.N != 1 || n != 1 || err != nil || key() != created || term.Confirm(t.Context()) != nil || !term.Lasts() {
					t.Errorf("term %d, the key says %d, %v; it was created at %d and %d", term.N, n, err, created, key())
				}
				if asked := f.requests(); request == "txn put leader" && count(asked, request) != map[fault]int{unsent: 2, lost: 1, late: 2}[what] {
					t.Errorf("asked %q", asked)
				}
				write(t, s, term, journal.Entry{Job: "a", Records: records("x")})
				resign(t, term)
				if request == "txn get leader, get term" || strings.HasPrefix(request, "txn put") {
					if hits() != 1 {
						t.Error("the fault did not happen")
					}
				}
			})
		}
	}
}

// Proves that Campaign returns soon after its context has ended, at whichever of its requests that is, and that it leaves no
// leader key behind, also not one that arrives later.
func TestCampaignGivesUp(t *testing.T) {
	t.Parallel()
	for n := 0; ; n++ {
		s, f, other := openFaulty(t, Options{})
		ctx, cancel := context.WithCancel(t.Context())
		asked := 0
		f.set(func(request string) fault {
			if asked++; asked == n+1 {
				cancel()
				if strings.HasPrefix(request, "txn put") {
					return late
				}
			}
			return pass
		}, nil)
		begun := time.Now()
		term, err := s.Campaign(ctx, journal.Candidate{})
		if err == nil {
			cancel()
			resign(t, term)
			if n < 4 {
				t.Errorf("led after %d requests", n)
			}
			return
		}
		if !errors.Is(err, context.Canceled) || time.Since(begun) > 3*time.Second {
			t.Errorf("given up at request %d after %v: %v", n, time.Since(begun), err)
		}
		f.set(nil, nil)
		f.arrive()
		got, err := other.Get(t.Context(), s.k.leader())
		if err != nil || len(got.Kvs) > 0 {
			t.Errorf("given up at request %d: it left %v, %v", n, got, err)
		}
	}
}

// putLeader makes somebody else the leader, who holds a lease that lasts longer than any test.
func putLeader(t *testing.T, c *clientv3.Client, key string, ttl time.Duration) {
	t.Helper()
	lease, err := c.Grant(t.Context(), 600)
	if err == nil {
		value := fmt.Sprintf(`{"address":"gone:1","nonce":"n","ttl_ms":%d}`, ttl.Milliseconds())
		_, err = c.Put(t.Context(), key, value, clientv3.WithLease(lease.ID))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Proves that a candidate removes the key of a leader that did not renew it for its lease's length, though etcd has prolonged
// the lease, and that it does not remove one which was renewed at the last moment.
func TestCandidateReplacesSilentLeader(t *testing.T) {
	t.Parallel()
	s, f, other := openFaulty(t, Options{})
	const ttl = 60 * time.Millisecond
	putLeader(t, other, s.k.leader(), ttl)
	var renewed time.Time
	f.set(func(request string) fault {
		if request == "txn delete leader" && renewed.IsZero() {
			if s.Leader() != "gone:1" {
				t.Errorf("%q leads", s.Leader())
			}
			if _, err := other.Put(t.Context(), s.k.leader(), "", clientv3.WithIgnoreValue(), clientv3.WithIgnoreLease()); err != nil {
				t.Error(err)
			}
			renewed = time.Now()
		}
		return pass
	}, nil)
	term := lead(t, s)
	if after := time.Since(renewed); after < ttl {
		t.Errorf("leads %v after the last renewal, which is good for %v", after, ttl)
	}
	if asked := f.requests(); count(asked, "txn delete leader") != 2 {
		t.Errorf("asked %q, want two removals", asked)
	}
	resign(t, term)
}

// Proves that a master which has etcd for itself does not wait for a leader that has died, neither to lead nor to raise the term,
// and does for itself.
func TestSole(t *testing.T) {
	t.Parallel()
	s, f, other := openFaulty(t, Options{Sole: true})
	putLeader(t, other, s.k.leader(), time.Hour)
	if err := s.BumpTerm(t.Context(), 41); err != nil {
		t.Error(err)
	}
	putLeader(t, other, s.k.leader(), time.Hour)
	first := lead(t, s)
	if p, err := s.Position(t.Context()); err != nil || first.N != 42 || p.Term != 42 || p.Revision == 0 {
		t.Errorf("term %d, position %+v, %v", first.N, p, err)
	}
	if err := s.BumpTerm(t.Context(), 99); err == nil {
		t.Error("the term was raised while this master leads")
	}
	next := campaign(t, s)
	f.wait("watch leader", 2) // the leader's own, and the candidate's
	if !first.Lasts() {
		t.Error("a candidate removed the leader of its own process")
	}
	resign(t, first)
	resign(t, <-next)
}

// Proves that a leader which etcd does not let write, for example since a candidate has removed its key, ends by its watch, and
// that a watch from a revision which etcd has forgotten is begun anew, by leaders and by candidates.
func TestCompactionPastWatch(t *testing.T) {
	t.Parallel()
	s, f, other := openFaulty(t, Options{TTL: 60 * time.Second}) // no renewal in the time of the test
	compacted := 0
	f.set(func(request string) fault {
		if request == "watch leader" && compacted < 2 {
			compacted++
			var rev int64
			for range 3 {
				put, err := other.Put(t.Context(), "/filler", "x")
				if err != nil {
					t.Error(err)
					return pass
				}
				rev = put.Header.Revision
			}
			if _, err := other.Compact(t.Context(), rev); err != nil && !errors.Is(err, rpctypes.ErrCompacted) {
				t.Error(err)
			}
		}
		return pass
	}, nil)
	first := lead(t, s)
	f.wait("watch leader", 1)
	next := campaign(t, s)
	f.wait("watch leader", 3) // the leader's first; the candidate's first and second, or the leader's second
	depose(t, s)
	second := <-next
	if second.N != 2 || compacted != 2 {
		t.Errorf("term %d after %d compactions", second.N, compacted)
	}
	<-first.Done
	resign(t, second)
}

// Proves that a lease is longer where etcd is slow to answer, up to a limit, and that the leader key tells its length to those who
// wait for its end; that one slow answer, as while etcd elects a leader, makes none longer; and that a lease too short is given up.
func TestLeaseFitsTheNetwork(t *testing.T) {
	t.Parallel()
	const ttl = 5 * time.Second
	for name, c := range map[string]struct {
		takes  func(request string) time.Duration
		want   time.Duration
		grants int
	}{
		"near":            {func(string) time.Duration { return ttl / leaseRounds }, ttl, 1},
		"far":             {func(string) time.Duration { return ttl/leaseRounds + time.Millisecond }, ttl + time.Second, 2},
		"farther":         {func(string) time.Duration { return time.Second }, leaseRounds * time.Second, 2},
		"beyond the moon": {func(string) time.Duration { return 3 * time.Second }, longestLease * ttl, 2},
		"one slow answer": {func(request string) time.Duration {
			if request == "grant" {
				return time.Second
			}
			return 0
		}, ttl, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, f, other := openFaulty(t, Options{TTL: ttl})
			var passed atomic.Int64
			s.o.now = func() time.Duration { return time.Duration(passed.Load()) } // nothing else takes any time
			f.set(func(request string) fault {
				passed.Add(int64(c.takes(request)))
				return pass
			}, nil)
			term := lead(t, s)
			if asked := f.requests(); count(asked, "grant") != c.grants || count(asked, "revoke") != c.grants-1 {
				t.Errorf("asked %q, want %d grants of which the last is kept", asked, c.grants)
			}
			f.set(nil, nil)
			got, err := other.Get(t.Context(), s.k.leader())
			if err != nil || len(got.Kvs) != 1 {
				t.Fatalf("the leader key: %v, %v", got, err)
			}
			key := readLeader(got.Kvs[0])
			lease, err := other.TimeToLive(t.Context(), key.lease)
			if err != nil {
				t.Fatal(err)
			}
			r := term.Reign.(*reign)
			if granted := time.Duration(lease.GrantedTTL) * time.Second; r.span() != c.want || key.ttl() != c.want || granted != c.want {
				t.Errorf("the reign counts on %v, the key tells %v, etcd granted %v: want %v", r.span(), key.ttl(), granted, c.want)
			}
			resign(t, term)
		})
	}
}

// Proves that a candidate whom etcd does not answer in time waits longer for the next answer, up to a limit, and no longer than
// usual again once answers come soon.
func TestPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		n := &candidacy{s: &Store{o: Options{TTL: 2 * time.Second, now: func() time.Duration { return time.Since(begun) }}}}
		waits := func() time.Duration {
			asked := time.Now()
			err := n.patiently(t.Context(), func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v", err)
			}
			return time.Since(asked)
		}
		answers := func(after time.Duration) {
			if err := n.patiently(t.Context(), func(context.Context) error { time.Sleep(after); return nil }); err != nil {
				t.Errorf("an answer after %v: %v", after, err)
			}
		}
		for i, want := range []time.Duration{1, 2, 4, 5, 5} {
			if got := waits(); got != want*time.Second {
				t.Errorf("try %d waits %v, want %v s", i, got, want)
			}
		}
		answers(700 * time.Millisecond)
		if got := waits(); got != 5*time.Second {
			t.Errorf("after an answer that was slow: waits %v, want 5 s", got)
		}
		answers(100 * time.Millisecond)
		if got := waits(); got != time.Second {
			t.Errorf("after one that was not: waits %v, want 1 s", got)
		}
	})
}
