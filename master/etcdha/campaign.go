package etcdha

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/millrace/millrace/master/journal"
)

// candidacy is one call of Campaign.
type candidacy struct {
	s *Store
	c journal.Candidate

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
	begun := n.s.o.now()
	limited, cancel := context.WithTimeout(ctx, n.s.o.TTL*3/4)
	defer cancel()
	lease, err := n.s.c.Grant(limited, int64(n.s.o.TTL/time.Second))
	if err != nil {
		return nil, fmt.Errorf("get a lease: %w", n.s.explain(err))
	}
	r := n.s.newReign(n.c, rand.Text(), lease.ID, time.Duration(lease.TTL)*time.Second, begun)
	if err := r.seize(limited); err != nil {
		// Whatever has become of the key, it goes with the lease, and cannot come any more.
		return nil, errors.Join(err, n.s.revoke(lease.ID))
	}
	n.s.mu.Lock()
	n.s.reign, n.s.heard = r, n.c.Address
	n.s.mu.Unlock()
	n.s.o.Log.Info("leads", "term", r.n)
	go r.run(context.WithoutCancel(ctx))
	return r, nil
}

// revoke ends a lease, and with it the leader key that is bound to it. Twice does no harm, so it is tried for a while.
func (s *Store) revoke(lease clientv3.LeaseID) error {
	ctx, cancel := context.WithTimeout(context.Background(), s.o.TTL/4)
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
		limited, cancel := context.WithTimeout(ctx, n.s.o.TTL/2)
		st, err := n.s.look(limited)
		cancel()
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
	limited, cancel := context.WithTimeout(ctx, n.s.o.TTL/2)
	defer cancel()
	resp, err := n.s.c.Txn(limited).
		If(clientv3.Compare(clientv3.ModRevision(n.s.k.leader()), "=", k.change)).
		Then(clientv3.OpDelete(n.s.k.leader())).Commit()
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
	value, err := json.Marshal(leaderValue{r.candidate.Address, r.nonce, r.length.Milliseconds()})
	if err != nil {
		return err
	}
	resp, err := r.s.c.Txn(ctx).If(absent(key)).Then(clientv3.OpPut(key, string(value), clientv3.WithLease(r.lease))).Commit()
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
	if err := r.raise(ctx, st.term); err != nil {
		return fmt.Errorf("begin a term after %d: %w", st.term.n, err)
	}
	if ctx.Err() != nil || !r.Lasts() {
		return errors.New("this took longer than the lease lasts")
	}
	return nil
}

// raise raises the term from what it was, for as long as the leader key is this reign's.
func (r *reign) raise(ctx context.Context, was termValue) error {
	if was.n >= maxTerm {
		return fmt.Errorf("key %s can count no further", r.s.k.term())
	}
	next := termValue{n: was.n + 1}
	for pause := firstPause; ; pause = min(2*pause, maxPause) {
		resp, err := r.s.c.Txn(ctx).If(r.holds(), r.s.termIs(was)).
			Then(clientv3.OpPut(r.s.k.term(), next.String())).
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
