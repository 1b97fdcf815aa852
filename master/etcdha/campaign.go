package etcdha

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/sync/errgroup"

	"github.com/millrace/millrace/master/journal"
)

// A lease is leaseRounds times as long as etcd takes to answer, if that is more than Options.TTL, but at most longestLease TTLs:
// so that a term outlasts a lost packet or two and an election of etcd's also where members are far from each other. Whoever
// stands by waits for that length, which the leader key tells, when the leader dies.
const (
	leaseRounds  = 12
	longestLease = 5
)

// candidacy is one call of Campaign.
type candidacy struct {
	s *Store
	c journal.Candidate

	patience time.Duration // for the answer to a request, until it is tried anew; 0 before the first

	// The leader key's last change that was seen, and when. It outlives a time in which etcd does not answer.
	change int64
	at     time.Duration
	said   string // the last hindrance that was logged
}

// Campaign implements journal.Election. It waits for as long as etcd is in trouble, and returns an error only when ctx ends or
// when waiting is of no use, as when the user of etcd may not write.
func (s *Store) Campaign(ctx context.Context, c journal.Candidate) (journal.Term, error) {
	n := &candidacy{s: s, c: c}
	for pause := firstPause; ; pause = min(2*pause, maxPause) {
		r, err := n.stand(ctx)
		switch {
		case r != nil:
			return journal.Term{N: r.n, Done: r.done, Reign: r}, nil
		case ctx.Err() != nil:
			return journal.Term{}, fmt.Errorf("campaign: %w", ctx.Err())
		case permanent(err):
			return journal.Term{}, fmt.Errorf("campaign for %s: %w", s.k.leader(), err)
		case errors.Is(err, errBeaten):
			pause = firstPause / 2
			continue
		}
		if err.Error() != n.said {
			n.said = err.Error()
			s.o.Log.Warn("cannot become the leader yet", "cause", err)
		}
		sleep(ctx.Done(), pause)
	}
}

// Leader implements journal.Election: what candidates and leaders of this Store have heard.
func (s *Store) Leader() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.heard
}

// hear notes who leads.
func (s *Store) hear(k *leaderKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.heard = ""
	if k != nil {
		s.heard = k.Address
	}
}

// unhear notes that a reign is over.
func (s *Store) unhear(r *reign) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.reign == r {
		s.heard = ""
	}
}

// holder returns the reign of a term, ErrFenced unless it is this Store's and lasts.
func (s *Store) holder(term uint64) (*reign, error) {
	s.mu.Lock()
	r := s.reign
	s.mu.Unlock()
	if r == nil || r.n != term {
		return nil, fmt.Errorf("%w: term %d is not this master's", journal.ErrFenced, term)
	}
	if !r.Lasts() {
		return nil, r.fenced()
	}
	return r, nil
}

// errBeaten is that another candidate was first.
var errBeaten = errors.New("another candidate was first")

// stand waits until nobody leads and tries to.
func (n *candidacy) stand(ctx context.Context) (*reign, error) {
	if err := n.vacancy(ctx); err != nil {
		return nil, err
	}
	r, err := n.prepare(ctx)
	if err != nil {
		return nil, err
	}
	limited, cancel := context.WithTimeout(ctx, r.until-n.s.o.now())
	defer cancel()
	if err := r.seize(limited); err != nil {
		// Whatever has become of the key, it goes with the lease, and cannot come any more.
		return nil, errors.Join(err, r.release())
	}
	n.s.mu.Lock()
	n.s.reign, n.s.heard = r, n.c.Address
	n.s.mu.Unlock()
	n.s.o.Log.Info("leads", "term", r.n, "lease", r.span())
	go r.run(context.WithoutCancel(ctx))
	return r, nil
}

// prepare makes a reign with a lease that fits the time that etcd takes to answer.
func (n *candidacy) prepare(ctx context.Context) (*reign, error) {
	r, took, err := n.grant(ctx, n.s.o.TTL)
	if err != nil {
		return nil, err
	}
	least, length := r.span(), n.s.wanted()
	r.least = least
	if leaseFor(took, n.s.o.TTL) > least {
		// It may have been this answer only that was slow, as while etcd elects a leader.
		begun := n.s.o.now()
		if _, err := n.look(ctx); err != nil {
			return nil, errors.Join(err, r.release())
		}
		length = max(length, leaseFor(min(took, n.s.o.now()-begun), n.s.o.TTL))
	}
	if length <= least {
		return r, nil
	}
	if err := r.release(); err != nil { // nothing is bound to it: it only takes some memory until it has run out
		n.s.o.Log.Debug("a lease that was not used", "cause", err)
	}
	if r, _, err = n.grant(ctx, length); err == nil {
		r.least = least
	}
	return r, err
}

// leaseFor is how long a lease should be when a request takes so long: whole seconds.
func leaseFor(took, ttl time.Duration) time.Duration {
	length := (leaseRounds*took + time.Second - 1).Truncate(time.Second)
	return min(max(length, ttl), longestLease*ttl)
}

// grant makes a reign with a lease that is so long, or longer if etcd wants it, and says how long that took.
func (n *candidacy) grant(ctx context.Context, length time.Duration) (r *reign, took time.Duration, err error) {
	begun := n.s.o.now()
	err = n.patiently(ctx, func(ctx context.Context) error {
		lease, err := n.s.c.Grant(ctx, int64(length/time.Second))
		if err != nil {
			return fmt.Errorf("get a lease: %w", n.s.explain(err))
		}
		r = n.s.newReign(n.c, rand.Text(), lease.ID, time.Duration(lease.TTL)*time.Second, begun)
		return nil
	})
	return r, n.s.o.now() - begun, err
}

// look reads the leader key and the term.
func (n *candidacy) look(ctx context.Context) (st state, err error) {
	err = n.patiently(ctx, func(ctx context.Context) error {
		st, err = n.s.look(ctx)
		return err
	})
	return st, err
}

// patiently makes a request. The next one has twice the time for its answer if this one has too little, up to half of the longest
// lease, and the usual time again once one needs no more.
func (n *candidacy) patiently(ctx context.Context, ask func(context.Context) error) error {
	usual := n.s.o.TTL / 2
	n.patience = max(n.patience, usual)
	begun := n.s.o.now()
	limited, cancel := context.WithTimeout(ctx, n.patience)
	defer cancel()
	err := ask(limited)
	switch {
	case limited.Err() != nil:
		n.patience = min(2*n.patience, longestLease*n.s.o.TTL/2)
	case err == nil && n.s.o.now()-begun < usual/2:
		n.patience = usual
	}
	return err
}

// revoke ends a lease of some length, and with it the leader key that is bound to it. Twice does no harm, so it is tried for a while.
func (s *Store) revoke(lease clientv3.LeaseID, length time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), length/4)
	defer cancel()
	for pause := firstPause; ; pause *= 2 {
		_, err := s.c.Revoke(ctx, lease)
		if err == nil || errors.Is(err, rpctypes.ErrLeaseNotFound) {
			return nil
		}
		if refused(err) || !sleep(ctx.Done(), pause) {
			return fmt.Errorf("give the lease up: %w", s.explain(err))
		}
	}
}

// vacancy waits until nobody leads.
func (n *candidacy) vacancy(ctx context.Context) error {
	for {
		st, err := n.look(ctx)
		if err != nil {
			return err
		}
		n.s.hear(st.leader)
		switch {
		case st.leader == nil:
			return nil
		case n.s.o.Sole && !n.s.reigns(st.leader):
			err = n.depose(ctx, st.leader)
		default:
			n.see(st.leader)
			err = n.await(ctx, st.leader, st.rev+1)
		}
		if err != nil {
			return err
		}
	}
}

// reigns says whether the leader key is of a reign of this Store that lasts.
func (s *Store) reigns(k *leaderKey) bool {
	s.mu.Lock()
	r := s.reign
	s.mu.Unlock()
	return r != nil && r.created == k.created && r.Lasts()
}

// see notes the leader key as it is now.
func (n *candidacy) see(k *leaderKey) {
	if k.change != n.change {
		n.change, n.at = k.change, n.s.o.now()
	}
}

// await waits until the leader key is gone, or removes it when it was not renewed. It returns also when there is reason to look
// anew; a silent watch is none: the removal fails then, since the key has changed.
func (n *candidacy) await(ctx context.Context, k *leaderKey, from int64) error {
	watched, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer cancel()
	events := n.s.c.Watch(watched, n.s.k.leader(), clientv3.WithRev(from))
	for {
		due := n.at + k.ttl() - n.s.o.now()
		if k.ttl() == 0 { // written by somebody else: etcd alone knows its lease
			due = n.s.o.TTL
		}
		t := time.NewTimer(due)
		select {
		case <-ctx.Done():
			t.Stop()
			return ctx.Err()
		case <-t.C:
			if k.ttl() == 0 {
				return nil
			}
			return n.depose(ctx, k)
		case w, ok := <-events:
			t.Stop()
			if err := w.Err(); !ok || err != nil {
				return n.brokenOff(ctx, err)
			}
			for _, e := range w.Events {
				if e.Type == clientv3.EventTypeDelete {
					return nil
				}
				k = readLeader(e.Kv)
				n.see(k)
				n.s.hear(k)
			}
		}
	}
}

// brokenOff says what to do about a watch that has ended: look anew if etcd has forgotten where it was to begin.
func (n *candidacy) brokenOff(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, rpctypes.ErrCompacted):
		return nil
	case err == nil:
		err = errors.New("it was closed")
	}
	return fmt.Errorf("watch %s: %w", n.s.k.leader(), n.s.explain(err))
}

// depose removes the leader key, unless it has changed.
func (n *candidacy) depose(ctx context.Context, k *leaderKey) error {
	var resp *clientv3.TxnResponse
	err := n.patiently(ctx, func(ctx context.Context) (err error) {
		resp, err = n.s.c.Txn(ctx).
			If(clientv3.Compare(clientv3.ModRevision(n.s.k.leader()), "=", k.change)).
			Then(clientv3.OpDelete(n.s.k.leader())).Commit()
		return err
	})
	if err != nil {
		return fmt.Errorf("remove the leader that is gone: %w", n.s.explain(err))
	}
	if resp.Succeeded {
		n.s.o.Log.Info("the leader is gone", "address", k.Address)
	}
	return nil
}

// seize makes this reign's key the leader key and raises the term. What it believes it has read back.
func (r *reign) seize(ctx context.Context) error {
	key := r.s.k.leader()
	value, err := r.keyValue()
	if err != nil {
		return err
	}
	resp, err := r.s.c.Txn(ctx).If(absent(key)).Then(clientv3.OpPut(key, value, clientv3.WithLease(r.lease))).Commit()
	if err == nil && !resp.Succeeded {
		return errBeaten
	}
	if refused(err) {
		return fmt.Errorf("put %s: %w", key, r.s.explain(err))
	}
	st, lookErr := r.s.look(ctx) // also when the answer was lost: the key may be there
	switch {
	case lookErr != nil:
		return errors.Join(r.s.explain(err), lookErr)
	case st.leader == nil && err == nil:
		return fmt.Errorf("key %s was put and is gone", key)
	case st.leader == nil:
		return fmt.Errorf("put %s: %w", key, r.s.explain(err))
	case st.leader.Nonce != r.nonce || st.leader.lease != r.lease:
		return errBeaten
	}
	r.created = st.leader.created
	if err := r.begin(ctx, st.term); err != nil {
		return fmt.Errorf("begin a term after %d: %w", st.term.n, err)
	}
	if ctx.Err() != nil || !r.Lasts() {
		return errors.New("this took longer than the lease lasts")
	}
	return nil
}

// begin raises the term from what it was, and renews the reign by the way: over a slow network half of its first lease is over.
func (r *reign) begin(ctx context.Context, was termValue) error {
	begun := r.s.o.now()
	var kept error
	var g errgroup.Group
	g.Go(func() error {
		kept = r.keepLease(ctx)
		return nil
	})
	g.Go(func() error { return r.raise(ctx, was) })
	err := g.Wait()
	if err == nil && kept == nil {
		r.prolong(begun)
	}
	return err
}

// raise raises the term from what it was, and writes the leader key anew, for as long as that is this reign's.
func (r *reign) raise(ctx context.Context, was termValue) error {
	if was.n >= maxTerm {
		return fmt.Errorf("key %s can count no further", r.s.k.term())
	}
	next := termValue{n: was.n + 1}
	for pause := firstPause; ; pause = min(2*pause, maxPause) {
		resp, err := r.s.c.Txn(ctx).If(r.holds(), r.s.termIs(was)).
			Then(clientv3.OpPut(r.s.k.term(), next.String()), clientv3.OpPut(r.s.k.leader(), "", clientv3.WithIgnoreValue(), clientv3.WithIgnoreLease())).
			Else(r.s.looks()...).Commit()
		if refused(err) {
			return r.s.explain(err)
		}
		if err == nil && !resp.Succeeded {
			// Nobody but the holder of the leader key raises the term: it is a try of this loop whose answer was lost.
			st, err := r.s.readState(resp)
			if err != nil {
				return err
			}
			if st.leader == nil || st.leader.created != r.created || st.term != next {
				return fmt.Errorf("key %s is gone", r.s.k.leader())
			}
		}
		if err == nil {
			r.n, r.value = next.n, next
			return nil
		}
		if !sleep(ctx.Done(), pause) {
			return r.s.explain(err)
		}
	}
}
