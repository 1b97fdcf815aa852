package etcdha

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/master/journal"
)

// ruler is a reign whose renewals are this test's, in a bubble whose clock is the Store's, too.
type ruler struct {
	*reign
	skip     atomic.Int64 // what the Store's clock is ahead of the timers', as after a stop of the process
	released atomic.Int64
}

const testTTL = 2 * time.Second

// newRuler returns a reign that begins now and runs, after set has changed it.
func newRuler(renew func(context.Context) error, set func(*ruler)) *ruler {
	begun := time.Now()
	q := &ruler{}
	s := &Store{k: keys{"/m/"}, o: Options{TTL: testTTL, Log: discard}}
	s.o.now = func() time.Duration { return time.Since(begun) + time.Duration(q.skip.Load()) }
	q.reign = s.newReign(journal.Candidate{}, "", 0, testTTL, 0)
	s.reign = q.reign
	q.renew = renew
	q.tell = func(context.Context) error { return nil }
	q.follow = func(ctx context.Context) { <-ctx.Done() }
	q.release = func() error { q.released.Add(1); return nil }
	if set != nil {
		set(q)
	}
	go q.run(context.Background())
	return q
}

// over says whether Done is closed.
func (q *ruler) isOver() bool {
	select {
	case <-q.done:
		return true
	default:
		return false
	}
}

// Proves that a term lasts while it is renewed, each quarter of the lease's length, and ends three quarters of the length
// after the beginning of the last renewal that succeeded, whatever kept the later ones from it.
func TestReignLastsWhileRenewed(t *testing.T) {
	for name, hinder := range map[string]func(context.Context) error{
		"an error":           func(context.Context) error { return errors.New("disk broken") },
		"hangs":              func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
		"hangs for good":     func(context.Context) error { time.Sleep(time.Minute); return nil },
		"succeeds too late":  func(context.Context) error { time.Sleep(testTTL); return nil },
		"the end of the key": func(context.Context) error { return errOver },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begun := time.Now()
				hindered := begun.Add(10 * time.Second)
				var last time.Time
				renewals := 0
				q := newRuler(func(ctx context.Context) error {
					if !time.Now().Before(hindered) {
						return hinder(ctx)
					}
					last = time.Now()
					renewals++
					time.Sleep(100 * time.Millisecond) // an answer takes its time, which the reign does not gain
					return nil
				}, nil)
				time.Sleep(9 * time.Second)
				if !q.Lasts() || q.isOver() {
					t.Fatal("over while it was renewed")
				}
				<-q.done
				want := last.Add(testTTL * 3 / 4)
				if name == "the end of the key" {
					want = last.Add(testTTL / 4)
				}
				if got := time.Now(); !got.Equal(want) {
					t.Errorf("over %v after the last renewal began, want %v", got.Sub(last), want.Sub(last))
				}
				if renewals != 19 {
					t.Errorf("%d renewals in 10 s, want 19", renewals)
				}
				if q.Lasts() {
					t.Error("lasts after Done")
				}
				<-q.reign.released
				if q.released.Load() != 1 {
					t.Errorf("released %d times", q.released.Load())
				}
				time.Sleep(2 * time.Minute) // what hung comes back, and changes nothing
				if q.Lasts() {
					t.Error("lasts again")
				}
			})
		})
	}
}

// Proves that renewals over a slow network overlap: each takes longer than the time between two and the term lasts, for as long
// as they come in time; those that hang are not begun without bound.
func TestReignSlowRenewals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var under, most, begun atomic.Int64
		hang := time.Now().Add(time.Minute)
		q := newRuler(func(ctx context.Context) error {
			begun.Add(1)
			most.Store(max(most.Load(), under.Add(1)))
			defer under.Add(-1)
			if time.Now().After(hang) {
				<-ctx.Done()
				return ctx.Err()
			}
			time.Sleep(testTTL * 7 / 16) // 0.875 s: the one before, half a second older, is good for 1.5 s
			return nil
		}, nil)
		time.Sleep(time.Minute - time.Second)
		if !q.Lasts() || begun.Load() < 100 || most.Load() != 2 {
			t.Errorf("lasts %v, after %d renewals, %d at a time: want true, after one every half second, 2", q.Lasts(), begun.Load(), most.Load())
		}
		<-q.done
		if most.Load() > maxRenewals {
			t.Errorf("%d renewals under way at a time, the limit is %d", most.Load(), maxRenewals)
		}
	})
}

// Proves that a process which stood still beyond its time is not the leader from the first moment on, before any of its
// goroutines ran, and that a renewal which was under way does not bring the term back.
func TestReignStoppedProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		underWay := make(chan struct{})
		answer := make(chan struct{})
		q := newRuler(func(context.Context) error { close(underWay); <-answer; return nil }, nil)
		<-underWay
		q.skip.Store(int64(testTTL)) // stopped, and continued
		if q.Lasts() {
			t.Error("lasts after a stop")
		}
		if !q.isOver() {
			t.Error("Done was not closed by who asked")
		}
		close(answer)
		synctest.Wait()
		if q.Lasts() {
			t.Error("lasts again")
		}
		err := q.Confirm(t.Context())
		if !errors.Is(err, journal.ErrFenced) || !strings.Contains(err.Error(), "stood still") {
			t.Errorf("Confirm: %v", err)
		}
		if err := q.Resign(t.Context()); !errors.Is(err, journal.ErrFenced) {
			t.Errorf("Resign: %v", err)
		}
		if _, err := q.s.holder(q.n); !errors.Is(err, journal.ErrFenced) {
			t.Errorf("a write: %v", err)
		}
	})
}

// Proves that a candidate which does not answer, or says that it is stuck, is not renewed, and that one which answers is.
func TestReignAsksTheCandidate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		stuck := errors.New("the loop is stuck")
		q := newRuler(nil, func(q *ruler) {
			q.candidate.Alive = func(context.Context) error {
				if asked++; asked > 4 {
					return stuck
				}
				return nil
			}
			q.renew = q.askAlive
		})
		<-q.done
		if since := q.s.o.now(); since != 4*testTTL/4+testTTL*3/4 {
			t.Errorf("over after %v", since)
		}
		if err := q.fenced(); !strings.Contains(err.Error(), stuck.Error()) {
			t.Errorf("the cause: %v", err)
		}
		<-q.reign.released
	})
}

// Proves that Resign ends the term at once, waits until the key is given up, says so when that failed, and heeds its context.
func TestResign(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fine := func(context.Context) error { return nil }
		failed := errors.New("no answer")
		for _, c := range []struct {
			release func() error
			want    error
		}{
			{func() error { time.Sleep(time.Second); return nil }, nil},
			{func() error { return failed }, failed},
			{func() error { time.Sleep(time.Minute); return nil }, context.DeadlineExceeded},
		} {
			q := newRuler(fine, func(q *ruler) { q.release = c.release })
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			if err := q.Resign(ctx); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
			cancel()
			if q.Lasts() || !q.isOver() {
				t.Error("the term goes on")
			}
			<-q.reign.released
		}
	})
}

// Proves that the clock goes on and is not the wall's.
func TestUptime(t *testing.T) {
	t.Parallel()
	a := uptime()
	b := uptime()
	if a <= 0 || b < a {
		t.Errorf("%v, then %v", a, b)
	}
}
