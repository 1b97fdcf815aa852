// Package etcdha is the journal's backend and the leader election on etcd, embedded or external. It is the client's side
// only: master/etcdha/member runs a member. It knows neither what a record says nor what a master does with its term. The
// commands make a Store and give it to the master.
//
// # What lies in etcd
//
// All of it is below one prefix, "/millrace/" unless another is given; a user that may read and write that prefix is enough.
//
//	cluster                 JSON: the format's version and the cluster's id, 128 bits, made once
//	leader                  JSON: the leader's address, a nonce, its lease's length; bound to its lease. Nobody leads without it
//	term                    "N" or "N.K": the term, and how often in it the answer to a write was lost
//	jobs/<id>/<seq>         one entry of a job's log (entry.go); id as in a URL's path, seq in 16 hexadecimal digits
//	jobs/<id>/!             a replacement of the job's log that is under way (replace.go)
//	claims/<SHA-256>        JSON: an output, of which the key is the hash, and the job that holds it
//
// # Why a write is of its term only
//
// Every write is a transaction with two conditions: the leader key has the create revision that it got when this leader put
// it there, and term holds this leader's number. etcd gives a create revision once, so after a leader's key is gone none of
// its writes happens, also those that were sent before and arrive late. The number is a counter of our own, since revisions go
// back when a snapshot is restored.
//
// A write whose answer is lost may happen later, or not at all. So before anything else is written in the term, K of the term
// is raised: the conditions of the lost write hold no more, and a look tells what has become of it. See guard.go.
//
// # Why two never lead at once
//
// A leader serves until the beginning of its last successful renewal plus three quarters of the lease's length, by its own
// clock. Another can lead when the leader key is gone, and only two things remove it against the leader's will: etcd, when
// the lease has run out, that is at the earliest one length after a renewal was begun; and a candidate that saw the key
// unchanged for one length by its own clock, which it may, since each renewal changes the key and the removal is conditional
// on its being unchanged. The second makes way when etcd has lost its own leader too, and has prolonged all leases. A
// quarter of the length is left for clocks that do not run at the same speed. See campaign.go and reign.go.
package etcdha

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/millrace/millrace/master/journal"
)

// format is the version of what lies in etcd. A Store refuses others.
const format = 1

// Options are a Store's settings.
type Options struct {
	// Prefix is what all keys begin with. "": "/millrace/". A slash is added at the end where it lacks.
	Prefix string
	// TTL is the lease's length, whole seconds: the longer, the later a dead leader is replaced; the shorter, the sooner a slow
	// disk costs a term. 0: 2 s. etcd may give a longer one, at the least one and a half times its election timeout. Where etcd takes
	// more than a twelfth of it to answer a candidate, the lease of that candidate's term is longer, up to five times this,
	// and becomes shorter when etcd has been quick for a minute.
	TTL time.Duration
	// Sole says that no other process can reach this etcd, as with a single embedded member whose folder is locked. A leader key
	// that is found is then that of a process which has died, and is not waited for.
	Sole bool
	// Existing says that there must be a cluster already: none is made.
	Existing bool
	// Log hears of terms that begin and end, and of what hinders a candidate. nil: nobody.
	Log *slog.Logger

	now   func() time.Duration // the time since some moment, also while the machine sleeps; nil: since it was started
	batch int64                // how many keys a transaction of a replacement removes; 0: replaceKeys
	page  int                  // how much Load reads at once, bytes; 0: pageBytes
}

// Store is a journal.Backend and a journal.Election. The Stores with one prefix on one etcd are one cluster.
type Store struct {
	c       *clientv3.Client
	k       keys
	o       Options
	cluster [16]byte

	mu     sync.Mutex
	reign  *reign // the last that began here; nil before the first
	heard  string // address of the leader
	losses losses
}

var (
	_ journal.Backend  = (*Store)(nil)
	_ journal.Election = (*Store)(nil)
)

// New returns a Store over etcd, in which it makes the cluster's id unless there is one. ctx bounds it. The client stays the
// caller's, who closes it when the last term is over.
func New(ctx context.Context, c *clientv3.Client, o Options) (*Store, error) {
	if o.Prefix == "" {
		o.Prefix = "/millrace/"
	}
	if !strings.HasSuffix(o.Prefix, "/") {
		o.Prefix += "/"
	}
	if o.TTL == 0 {
		o.TTL = 2 * time.Second
	}
	if o.TTL < time.Second || o.TTL%time.Second != 0 {
		return nil, fmt.Errorf("etcdha: a lease of %v: its length must be whole seconds, at least one", o.TTL)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.now == nil {
		o.now = uptime
	}
	if o.batch == 0 {
		o.batch = replaceKeys
	}
	if o.page == 0 {
		o.page = pageBytes
	}
	s := &Store{c: c, k: keys{o.Prefix}, o: o}
	if err := s.identify(ctx); err != nil {
		return nil, fmt.Errorf("open the journal on etcd below %s: %w", o.Prefix, err)
	}
	return s, nil
}

// Cluster is the cluster's id, the same for all Stores with this prefix on this etcd.
func (s *Store) Cluster() [16]byte { return s.cluster }

// identity is the value of the cluster key.
type identity struct {
	Format int    `json:"format"`
	ID     string `json:"id"` // 32 hexadecimal digits
}

// identify reads the cluster key, and makes it if there is none. When many do so at once, one's id is everyone's. An answer
// that was lost does no harm: the key is put only where none is, and it is read back.
func (s *Store) identify(ctx context.Context) error {
	var id [16]byte
	rand.Read(id[:])
	value, err := json.Marshal(identity{format, hex.EncodeToString(id[:])})
	if err != nil {
		return err
	}
	key := s.k.cluster()
	var lost error
	for range 3 {
		got, err := s.c.Get(ctx, key)
		if err != nil {
			return s.explain(err)
		}
		if len(got.Kvs) > 0 {
			return s.adopt(got.Kvs[0].Value)
		}
		if s.o.Existing {
			return fmt.Errorf("there is no key %s: this is no state of a millrace master", key)
		}
		_, err = s.c.Txn(ctx).If(absent(key)).Then(clientv3.OpPut(key, string(value))).Commit()
		if permanent(err) || ctx.Err() != nil {
			return s.explain(err)
		}
		lost = err
	}
	return fmt.Errorf("key %s cannot be made: %w", key, s.explain(errors.Join(errors.New("it is not there after it was put"), lost)))
}

// adopt takes the cluster's id from the value of its key.
func (s *Store) adopt(value []byte) error {
	var v identity
	err := json.Unmarshal(value, &v)
	id, hexErr := hex.DecodeString(v.ID)
	switch {
	case err == nil && v.Format > format:
		return fmt.Errorf("its format is %d and this millrace knows %d: it was written by a newer one, run that", v.Format, format)
	case err != nil || hexErr != nil || v.Format != format || len(id) != len(s.cluster):
		return fmt.Errorf("key %s holds %.100q, which is no cluster's id: choose a prefix that millrace has for itself", s.k.cluster(), value)
	}
	copy(s.cluster[:], id)
	return nil
}

// absent is the condition that a key does not exist.
func absent(key string) clientv3.Cmp { return clientv3.Compare(clientv3.CreateRevision(key), "=", 0) }
