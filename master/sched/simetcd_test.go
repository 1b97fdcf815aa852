package sched_test

import (
	"context"
	"fmt"
	"time"

	"github.com/millrace/millrace/master/journal"
)

// etcd is the replicated store as one linearizable machine: each request is done whole, at one moment. It keeps the leader's
// key under a lease, the term's counter, the jobs' entries and the claims on outputs.
type etcd struct {
	server
	revision uint64
	term     uint64
	leader   leaderKey
	leases   map[uint64]time.Duration // true time of their ends
	entries  map[jobID][]journal.Entry
	order    []jobID // by first entry
	claims   map[string]jobID
	watches  []func() // of the leader's key, called once
}

// leaderKey is the one key that says who leads; zero: nobody.
type leaderKey struct {
	created uint64 // revision: what a write is guarded by
	nonce   uint64 // of the candidate that put it
	lease   uint64
	host    int
}

const (
	leaseTTL    = 2 * time.Second
	leaseMargin = leaseTTL / 4 // how much earlier a leader gives up than its lease ends
	renewEvery  = leaseTTL / 4
)

func newEtcd(w *world) *etcd {
	return &etcd{server: server{w: w, at: atEtcd, timeout: 5 * time.Second}, leases: map[uint64]time.Duration{},
		entries: map[jobID][]journal.Entry{}, claims: map[string]jobID{}}
}

// grant makes a lease. It ends some time after its TTL: etcd promises no sooner.
func (e *etcd) grant() uint64 {
	e.revision++
	id := e.revision
	e.extend(id)
	return id
}

func (e *etcd) extend(id uint64) {
	e.leases[id] = e.w.now + leaseTTL
	e.w.after(leaseTTL+e.w.between(0, 500*time.Millisecond), func() {
		if until, ok := e.leases[id]; ok && until <= e.w.now {
			e.revoke(id)
		}
	})
}

func (e *etcd) revoke(id uint64) {
	delete(e.leases, id)
	if e.leader.lease == id && e.leader != (leaderKey{}) {
		e.w.log("etcd: the lease of master %d's key has ended", e.leader.host)
		e.leader = leaderKey{}
		watches := e.watches
		e.watches = nil
		for _, told := range watches {
			told()
		}
	}
}

// promote is a change of etcd's own leader: leases begin anew.
func (e *etcd) promote() {
	ids := make([]uint64, 0, len(e.leases))
	for id := uint64(1); id <= e.revision && len(ids) < len(e.leases); id++ {
		if _, ok := e.leases[id]; ok {
			ids = append(ids, id)
		}
	}
	for _, id := range ids {
		e.extend(id)
	}
}

// guard says whether a write of a term may be done: the leader's key is the one that the term was begun under.
func (e *etcd) guard(term, created uint64) error {
	if e.w.broken(unfencedWrites) {
		return nil
	}
	if e.leader.created != created || created == 0 || e.term != term {
		return fmt.Errorf("%w: term %d, now %d", journal.ErrFenced, term, e.term)
	}
	return nil
}

// client is a master's connection to etcd: its journal's Backend and its Election. Calls stop the thread that makes them.
type client struct {
	m       *master
	e       *etcd
	created uint64 // of the leader key of the reign
}

var (
	_ journal.Backend  = (*client)(nil)
	_ journal.Election = (*client)(nil)
)

// do sends a request; err of apply is the server's answer.
func (c *client) do(apply func() error) error {
	var answer error
	if err := c.m.w.running.call(&c.e.server, func() { answer = apply() }); err != nil {
		return err
	}
	return answer
}

// write sends a guarded write.
func (c *client) write(term uint64, apply func() error) error {
	created := c.created
	return c.do(func() error {
		if err := c.e.guard(term, created); err != nil {
			c.m.w.stats.count(statFenced)
			return err
		}
		c.m.w.check.written(term)
		return apply()
	})
}

func (c *client) Append(_ context.Context, term uint64, entries []journal.Entry) error {
	w := c.m.w
	torn := w.fault(w.chances.torn)
	return c.write(term, func() error {
		if torn { // a transaction that a member lost before it was whole
			w.stats.count(statTorn)
			return errRefused
		}
		for _, n := range entries {
			if want := uint64(len(c.e.entries[n.Job])); n.Seq != want {
				return fmt.Errorf("job %s: entry %d, expected %d", n.Job, n.Seq, want)
			}
		}
		for _, n := range entries {
			if len(c.e.entries[n.Job]) == 0 {
				c.e.order = append(c.e.order, n.Job)
			}
			c.e.entries[n.Job] = append(c.e.entries[n.Job], n)
			for _, r := range n.Records {
				w.check.recorded(term, decode(w, r))
			}
		}
		return nil
	})
}

func (c *client) Load(_ context.Context, yield func(journal.Entry) bool) error {
	var all []journal.Entry
	err := c.do(func() error {
		for _, id := range c.e.order {
			all = append(all, c.e.entries[id]...)
		}
		return nil
	})
	for _, n := range all {
		if err != nil || !yield(n) {
			break
		}
	}
	return err
}

func (c *client) Claim(_ context.Context, term uint64, output string, job jobID) (holder jobID, err error) {
	err = c.write(term, func() error {
		if h, ok := c.e.claims[output]; ok && !c.m.w.broken(unclaimed) {
			holder = h
			return nil
		}
		c.m.w.log("etcd: job %s claims %s in term %d", job, output, term)
		c.e.claims[output] = job
		holder = job
		return nil
	})
	return holder, err
}

func (c *client) Release(_ context.Context, term uint64, output string, job jobID) error {
	return c.write(term, func() error {
		if c.e.claims[output] == job {
			c.m.w.log("etcd: the claim of job %s on %s is released in term %d", job, output, term)
			delete(c.e.claims, output)
		}
		return nil
	})
}

func (c *client) Replace(_ context.Context, term uint64, job jobID, records [][]byte) error {
	return c.write(term, func() error {
		if len(c.e.entries[job]) == 0 {
			c.e.order = append(c.e.order, job)
		}
		c.e.entries[job] = []journal.Entry{{Job: job, Records: records}}
		return nil
	})
}

// Campaign puts the leader's key under a lease when there is none, reads back that it is there, and begins the next term
// under its guard.
func (c *client) Campaign(context.Context, journal.Candidate) (journal.Term, error) {
	t := c.m.w.running
	for {
		if term, ok := c.try(t); ok {
			return term, nil
		}
		c.stand(t)
	}
}

// stand waits until the leader's key is seen to go, by a watch, or for a while: watches may break, and nobody tells.
func (c *client) stand(t *thread) {
	w := c.m.w
	t.sleep(w.between(50*time.Millisecond, 300*time.Millisecond))
	if c.e.leader.created == 0 {
		return
	}
	t.wait(func(wake func()) {
		c.e.watches = append(c.e.watches, func() { w.send(atEtcd, c.m.at, 0, wake) })
		t.s.after(w.between(time.Second, 3*time.Second), wake)
	})
}

func (c *client) try(t *thread) (journal.Term, bool) {
	w, e := c.m.w, c.e
	var seen leaderKey
	if c.do(func() error { seen = e.leader; return nil }) != nil || seen.created != 0 {
		c.m.hint = seen.host
		return journal.Term{}, false
	}
	nonce := w.rng.Uint64()
	start := c.m.clock()
	var lease uint64
	if c.do(func() error { lease = e.grant(); return nil }) != nil {
		return journal.Term{}, false
	}
	err := c.do(func() error {
		if _, alive := e.leases[lease]; alive && e.leader.created == 0 {
			e.revision++
			e.leader = leaderKey{created: e.revision, nonce: nonce, lease: lease, host: c.m.host}
			w.log("etcd: master %d's key is put", c.m.host)
		}
		return nil
	})
	if w.broken(believedCampaign) && err == nil {
		var n uint64
		if c.do(func() error { e.term++; n = e.term; w.check.began(c.m, n); return nil }) != nil {
			return journal.Term{}, false
		}
		return c.begin(n, e.leader.created, lease, start), true
	}
	var mine leaderKey // whatever was answered, the key says who leads
	if c.do(func() error { mine = e.leader; return nil }) != nil || mine.nonce != nonce {
		return journal.Term{}, false
	}
	var n uint64
	err = c.do(func() error {
		if e.leader.created != mine.created && !w.broken(unguardedTerm) {
			return journal.ErrFenced
		}
		e.term++
		n = e.term
		w.check.began(c.m, n)
		return nil
	})
	if err != nil { // perhaps it has begun: nobody can know, so the key goes with its lease
		_ = c.do(func() error { e.revoke(lease); return nil })
		return journal.Term{}, false
	}
	return c.begin(n, mine.created, lease, start), true
}

func (c *client) begin(n, created, lease uint64, start time.Duration) journal.Term {
	c.created = created
	done := make(chan struct{})
	return journal.Term{N: n, Done: done, Reign: &hold{c: c, n: n, created: created, lease: lease, until: start + leaseTTL - leaseMargin}}
}

func (c *client) Leader() string { return fmt.Sprint(c.m.hint) }

// hold is a leader's hold on its term.
type hold struct {
	c              *client
	n              uint64
	created, lease uint64
	until          time.Duration // by the process's clock: from the start of the last renewal that succeeded
}

func (h *hold) Lasts() bool {
	return h.c.m.clock() < h.until || h.c.m.w.broken(leadsAfterLease)
}

func (h *hold) Confirm(context.Context) error {
	return h.c.do(func() error { return h.c.e.guard(h.n, h.created) })
}

func (h *hold) Resign(context.Context) error {
	return h.c.do(func() error { h.c.e.revoke(h.lease); return nil })
}

// renew extends the lease while the master is alive: its loop must answer first. It returns when the term is over.
func (h *hold) renew(t *thread, alive func(t *thread) bool) {
	c := h.c
	for h.Lasts() {
		t.sleep(renewEvery)
		if !alive(t) {
			continue
		}
		start := c.m.clock()
		err := c.do(func() error {
			if _, ok := c.e.leases[h.lease]; !ok {
				return journal.ErrFenced
			}
			c.e.extend(h.lease)
			return c.e.guard(h.n, h.created)
		})
		if err == nil && h.Lasts() { // a term that was over once is never taken up again: parts of the master have stopped
			h.until = max(h.until, start+leaseTTL-leaseMargin)
		}
	}
}
