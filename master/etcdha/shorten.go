package etcdha

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// A reign that began in a bad minute has a long lease, and may last for days: its leader's death would be noticed late, long after etcd
// has become quick again. So a reign becomes shorter when all renewals of calmFor were so quick that a shorter lease would do:
//
//	this leader counts on the shorter length -> the leader key tells it -> candidates wait no longer than that
//
// In this order a candidate never counts on less than the leader does. The lease in etcd stays as long as it was, and is of no matter as
// long as there is a candidate: it removes the key of a leader that is gone. Invariant: the leader key tells of no less than length.

// calmFor is how long all renewals must have been quick.
const calmFor = time.Minute

// pace is what renewals took.
type pace struct {
	since   time.Duration // by Options.now: all since then went well
	slowest time.Duration // of these
	untold  bool          // the leader key may tell of a longer length
}

// shorten takes a renewal in that went well, was begun at that time, and is over now.
func (r *reign) shorten(ctx context.Context, begun time.Duration) {
	r.mu.Lock()
	now, p := r.s.o.now(), &r.pace
	p.slowest = max(p.slowest, now-begun)
	if now-p.since >= calmFor {
		want := max(leaseFor(p.slowest, r.s.o.TTL), r.least)
		if want < r.span() && !r.over {
			r.length.Store(int64(want))
			r.until = min(r.until, begun+r.validity())
			p.untold = true
			select {
			case r.shortened <- struct{}{}:
			default:
			}
			r.s.o.Log.Info("etcd answers faster: the lease becomes shorter", "term", r.n, "lease", want)
		}
		p.since, p.slowest = now, 0
	}
	untold := p.untold && !r.over
	r.mu.Unlock()
	if !untold {
		return
	}
	if err := r.tell(ctx); err != nil { // the next renewal tries again
		r.s.o.Log.Debug("a shorter lease could not be told", "term", r.n, "cause", err)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	p.untold = false
}

// unsettle notes that a renewal failed.
func (r *reign) unsettle() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pace.since, r.pace.slowest = r.s.o.now(), 0
}

// tellOnEtcd writes into the leader key how long the reign lasts without a renewal, if the key is this reign's.
func (r *reign) tellOnEtcd(ctx context.Context) error {
	value, err := r.keyValue()
	if err != nil {
		return err
	}
	resp, err := r.s.c.Txn(ctx).If(r.holds()).Then(clientv3.OpPut(r.s.k.leader(), value, clientv3.WithIgnoreLease())).Commit()
	if err != nil {
		return r.s.explain(err)
	}
	if !resp.Succeeded { // a renewal sees the same, and says so
		return fmt.Errorf("key %s is another's", r.s.k.leader())
	}
	return nil
}

// keyValue is the leader key's value.
func (r *reign) keyValue() (string, error) {
	value, err := json.Marshal(leaderValue{r.candidate.Address, r.nonce, r.span().Milliseconds()})
	return string(value), err
}
