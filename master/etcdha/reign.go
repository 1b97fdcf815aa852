package etcdha

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/sync/errgroup"

	"github.com/millrace/millrace/master/journal"
)

// reign is a leader's hold on its term. A renewal asks the candidate whether it lives, writes the leader key anew if it is
// still this reign's, and prolongs the lease: the write goes through the member that the client talks to, so one whose disk
// hangs renews nothing. It is begun every quarter of the lease's length, also while those before are under way.
//
// Three goroutines run for it, until it ends: one renews, one watches the leader key, and one counts the time, so that a
// candidate that never answers does not keep the others from seeing the end.
type reign struct {
	s         *Store
	candidate journal.Candidate
	lease     clientv3.LeaseID
	length    atomic.Int64  // nanoseconds that the key and its lease outlast a renewal, at least; set under mu once the reign runs
	least     time.Duration // the shortest that etcd gives: its elections take as long
	nonce     string
	created   int64 // the leader key's create revision
	n         uint64

	renew   func(context.Context) error // one renewal; errOver if the reign is over
	tell    func(context.Context) error // puts length into the leader key
	follow  func(context.Context)       // ends the reign when it sees that it is over, until the context ends
	release func() error                // gives the leader key up

	shortened  chan struct{} // signalled when length has become less
	settling   chan struct{} // held by the one that moves value on
	done       chan struct{} // closed when the reign is over
	released   chan struct{} // closed when release has returned, with unreleased set
	unreleased error

	mu     sync.Mutex
	until  time.Duration // by Options.now: the reign lasts until then
	over   bool
	lapsed bool      // it was not renewed in time
	cause  error     // why it is over, or what hindered the last renewal
	stage  error     // what a renewal that does not come back has waited for
	slow   error     // the same of one that has taken longer than the time between two; nil once one has succeeded
	value  termValue // of the term key, when this master writes
	lost   bool      // a write under value may happen later
	pace   pace
}

// errOver is the error of a renewal that found the reign to be over.
var errOver = errors.New("the term is over")

// newReign returns a reign that was begun, at the time start, with a lease. It does not run yet.
func (s *Store) newReign(c journal.Candidate, nonce string, lease clientv3.LeaseID, length, start time.Duration) *reign {
	r := &reign{s: s, candidate: c, nonce: nonce, lease: lease,
		shortened: make(chan struct{}, 1), settling: make(chan struct{}, 1), done: make(chan struct{}), released: make(chan struct{})}
	r.length.Store(int64(length))
	r.until, r.pace.since = start+r.validity(), start
	r.renew, r.tell, r.follow = r.renewOnEtcd, r.tellOnEtcd, r.watchEtcd
	r.release = func() error { return s.revoke(lease, length) }
	return r
}

// validity is how long a renewal is good for. The rest of the lease is for clocks that do not run at the same speed.
func (r *reign) validity() time.Duration { return r.span() - r.span()/4 }

// span is length.
func (r *reign) span() time.Duration { return time.Duration(r.length.Load()) }

// Lasts implements journal.Reign. The first that sees the time run out ends the reign: it does not come back.
func (r *reign) Lasts() bool {
	now := r.s.o.now()
	r.mu.Lock()
	over, late := r.over, now >= r.until
	why := cmp.Or(r.cause, r.slow)
	r.mu.Unlock()
	if late && !over {
		if why == nil {
			why = errors.New("this process stood still")
		}
		r.lapse(now)
		r.end(fmt.Errorf("not renewed for %v: %w", r.validity(), why))
	}
	return !over && !late
}

// lapse notes that the reign was not renewed in time, once.
func (r *reign) lapse(now time.Duration) {
	r.mu.Lock()
	first := !r.lapsed
	r.lapsed = true
	r.mu.Unlock()
	if first {
		r.s.mu.Lock()
		defer r.s.mu.Unlock()
		r.s.losses.note(now, r.span(), longestLease*r.s.o.TTL)
	}
}

// Confirm implements journal.Reign.
func (r *reign) Confirm(ctx context.Context) error {
	if !r.Lasts() {
		return r.fenced()
	}
	st, err := r.s.look(ctx)
	if err == nil {
		err = r.judge(st)
	}
	if err != nil {
		return fmt.Errorf("confirm term %d: %w", r.n, err)
	}
	return nil
}

// Resign implements journal.Reign.
func (r *reign) Resign(ctx context.Context) error {
	if !r.Lasts() {
		return r.fenced()
	}
	r.end(errResigned)
	select {
	case <-r.released:
	case <-ctx.Done():
		return fmt.Errorf("resign term %d: %w", r.n, ctx.Err())
	}
	if r.unreleased != nil {
		return fmt.Errorf("resign term %d: the next leader waits until the lease has run out: %w", r.n, r.unreleased)
	}
	return nil
}

var errResigned = errors.New("resigned")

// end ends the reign, for the first cause that is given.
func (r *reign) end(cause error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over {
		return
	}
	r.over, r.cause = true, cause
	close(r.done)
	r.s.unhear(r)
	if cause == errResigned {
		r.s.o.Log.Info("the term is over", "term", r.n, "cause", cause)
	} else {
		r.s.o.Log.Warn("the term is over", "term", r.n, "cause", cause)
	}
}

// run does what keeps the reign up until it is over, and then gives the leader key up: others need not wait for the lease.
func (r *reign) run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { r.keepUp(ctx) })
	wg.Go(func() { r.follow(ctx) })
	wg.Go(r.keepTime)
	<-r.done
	cancel()
	r.unreleased = r.release()
	close(r.released)
	wg.Wait()
}

// keepTime ends the reign when it was not renewed in time.
func (r *reign) keepTime() {
	for r.Lasts() {
		r.mu.Lock()
		left := r.until - r.s.o.now()
		r.mu.Unlock()
		sleep(r.done, left)
	}
}

// maxRenewals is how many renewals are under way at most: over a slow network one takes longer than the time between two.
const maxRenewals = 4

// keepUp renews the reign, every quarter of the lease's length, and soon again after a failure. It returns when no renewal is
// under way.
func (r *reign) keepUp(ctx context.Context) {
	r.mu.Lock()
	next := r.until - r.validity() + r.span()/4
	r.mu.Unlock()
	var tries sync.WaitGroup
	defer tries.Wait()
	slots, failed := make(chan struct{}, maxRenewals), make(chan struct{}, 1)
	for sleep(ctx.Done(), next-r.s.o.now()) && r.Lasts() {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		begun := r.s.o.now()
		tries.Go(func() {
			defer func() { <-slots }()
			if !r.renewOnce(ctx, begun) {
				select {
				case failed <- struct{}{}:
				default:
				}
			}
		})
		due := time.NewTimer(r.span() / 4)
		select {
		case <-failed:
			next = r.s.o.now() + r.span()/32
		case <-r.shortened:
			next = r.s.o.now() // the last renewal is good for less
		case <-due.C:
			next = begun + r.span()/4
			if len(slots) > 0 {
				r.mu.Lock()
				r.slow = r.stage
				r.mu.Unlock()
			}
		case <-ctx.Done():
		}
		due.Stop()
	}
}

// renewOnce is one renewal, which was begun at that time. It says whether it went well.
func (r *reign) renewOnce(ctx context.Context, begun time.Duration) bool {
	limited, cancel := context.WithTimeout(ctx, r.validity())
	defer cancel()
	err := r.renew(limited)
	switch {
	case err == nil:
		r.prolong(begun)
		r.shorten(limited, begun)
	case ctx.Err() != nil:
	case errors.Is(err, errOver):
		r.end(err)
	default:
		r.hinder(err)
		r.unsettle()
	}
	return err == nil
}

// prolong notes a renewal that was begun at that time. One that comes too late changes nothing.
func (r *reign) prolong(begun time.Duration) {
	if !r.Lasts() {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.until = max(r.until, begun+r.validity())
	r.slow = nil
	if !r.over {
		r.cause = nil
	}
}

// hinder notes why a renewal failed.
func (r *reign) hinder(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.over {
		r.cause = err
	}
}

// renewOnEtcd is one renewal.
func (r *reign) renewOnEtcd(ctx context.Context) error {
	r.wait(errors.New("this master does not answer"))
	if err := r.askAlive(ctx); err != nil {
		return err
	}
	r.wait(r.s.explain(context.DeadlineExceeded))
	// One after the other when the last renewal failed: while etcd is not reached, the library would try the second again and
	// again without a pause.
	r.mu.Lock()
	hindered := r.cause != nil
	r.mu.Unlock()
	if hindered {
		if err := r.writeAnew(ctx); err != nil {
			return err
		}
		return r.keepLease(ctx)
	}
	var g errgroup.Group
	g.Go(func() error { return r.writeAnew(ctx) })
	g.Go(func() error { return r.keepLease(ctx) })
	return g.Wait()
}

// wait notes what a renewal waits for.
func (r *reign) wait(what error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stage = what
}

// keepLease prolongs the lease.
func (r *reign) keepLease(ctx context.Context) error {
	_, err := r.s.c.KeepAliveOnce(ctx, r.lease)
	if errors.Is(err, rpctypes.ErrLeaseNotFound) {
		return fmt.Errorf("%w: the lease has run out", errOver)
	}
	if err != nil {
		return fmt.Errorf("prolong the lease: %w", r.s.explain(err))
	}
	return nil
}

// askAlive asks the candidate whether it lives.
func (r *reign) askAlive(ctx context.Context) error {
	if r.candidate.Alive == nil {
		return nil
	}
	if err := r.candidate.Alive(ctx); err != nil {
		return fmt.Errorf("this master does not answer: %w", err)
	}
	return nil
}

// writeAnew writes the leader key as it is, if it is this reign's.
func (r *reign) writeAnew(ctx context.Context) error {
	key := r.s.k.leader()
	resp, err := r.s.c.Txn(ctx).If(r.holds()).
		Then(clientv3.OpPut(key, "", clientv3.WithIgnoreValue(), clientv3.WithIgnoreLease())).
		Else(r.s.looks()...).Commit()
	if err != nil {
		return fmt.Errorf("write %s anew: %w", key, r.s.explain(err))
	}
	if resp.Succeeded {
		return nil
	}
	st, err := r.s.readState(resp)
	if err == nil {
		err = r.judge(st)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errOver, err)
	}
	return fmt.Errorf("etcd says that key %s is another's, and shows this master's", key)
}

// watchEtcd ends the reign as soon as etcd tells that the leader key is gone. It only makes haste: a renewal sees the same, only later.
func (r *reign) watchEtcd(ctx context.Context) {
	from := r.created + 1
	for {
		watched, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
		for w := range r.s.c.Watch(watched, r.s.k.leader(), clientv3.WithRev(from)) {
			for _, e := range w.Events {
				from = e.Kv.ModRevision + 1
				if e.Type == clientv3.EventTypeDelete {
					r.end(errors.New("the leader key is gone"))
				}
			}
		}
		cancel()
		if !sleep(ctx.Done(), min(r.span()/16, maxPause)) {
			return
		}
		// The watch has broken off, maybe since etcd has forgotten what it asked for: on from what is now.
		st, err := r.s.look(ctx)
		if err == nil && r.judge(st) == nil {
			from = st.rev + 1
		}
	}
}
