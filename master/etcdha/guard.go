package etcdha

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/millrace/millrace/master/journal"
)

// What is waited for between tries of what etcd did not answer: twice as long each time.
const (
	firstPause = 10 * time.Millisecond
	maxPause   = 250 * time.Millisecond
)

// state is the leader key and the term, read at once.
type state struct {
	leader *leaderKey // nil: nobody leads
	term   termValue
	rev    int64 // etcd's revision that was read
}

// leaderKey is the leader key.
type leaderKey struct {
	leaderValue
	lease           clientv3.LeaseID
	created, change int64 // its create revision, its last change's
}

// leaderValue is the leader key's value.
type leaderValue struct {
	Address string `json:"address"`
	Nonce   string `json:"nonce"`  // tells who put it there
	TTL     int64  `json:"ttl_ms"` // its lease's length
}

// ttl is the lease's length, 0 if that is not known.
func (v leaderValue) ttl() time.Duration { return time.Duration(v.TTL) * time.Millisecond }

// readLeader reads the leader key. Somebody leads whatever its value is.
func readLeader(kv *mvccpb.KeyValue) *leaderKey {
	k := &leaderKey{lease: clientv3.LeaseID(kv.Lease), created: kv.CreateRevision, change: kv.ModRevision}
	if json.Unmarshal(kv.Value, &k.leaderValue) != nil {
		k.leaderValue = leaderValue{}
	}
	return k
}

// termValue is the term key's value: the term, and how often in it the answer to a write was lost.
type termValue struct{ n, lost uint64 }

func (v termValue) String() string {
	if v.lost == 0 {
		return strconv.FormatUint(v.n, 10)
	}
	return fmt.Sprintf("%d.%d", v.n, v.lost)
}

// maxTerm is the highest term that is believed: a counter that begins at 1 is never there.
const maxTerm = math.MaxInt64

func parseTerm(text string) (v termValue, err error) {
	n, lost, dotted := strings.Cut(text, ".")
	v.n, err = strconv.ParseUint(n, 10, 64)
	if err == nil && dotted {
		v.lost, err = strconv.ParseUint(lost, 10, 64)
	}
	if err == nil && (v.n > maxTerm || v.String() != text) {
		err = strconv.ErrRange
	}
	return v, err
}

// is is the condition that the term has this value.
func (s *Store) termIs(v termValue) clientv3.Cmp {
	if v == (termValue{}) {
		return absent(s.k.term())
	}
	return clientv3.Compare(clientv3.Value(s.k.term()), "=", v.String())
}

// look reads the state, as it is at some moment between call and return.
func (s *Store) look(ctx context.Context) (state, error) {
	resp, err := s.c.Txn(ctx).Then(s.looks()...).Commit()
	if err != nil {
		return state{}, s.explain(err)
	}
	return s.readState(resp)
}

// looks are the operations whose results readState reads. They stand at the beginning.
func (s *Store) looks() []clientv3.Op {
	return []clientv3.Op{clientv3.OpGet(s.k.leader()), clientv3.OpGet(s.k.term())}
}

func (s *Store) readState(resp *clientv3.TxnResponse) (state, error) {
	st := state{rev: resp.Header.Revision}
	if kvs := resp.Responses[0].GetResponseRange().Kvs; len(kvs) > 0 {
		st.leader = readLeader(kvs[0])
	}
	kvs := resp.Responses[1].GetResponseRange().Kvs
	if len(kvs) == 0 {
		return st, nil
	}
	var err error
	if st.term, err = parseTerm(string(kvs[0].Value)); err != nil {
		return state{}, fmt.Errorf("key %s holds %.40q, which is no term: restore a snapshot of etcd", s.k.term(), kvs[0].Value)
	}
	return st, nil
}

// change is a write: what is done if some conditions hold beside those of the term, and what is read if they do not.
type change struct {
	when []clientv3.Cmp
	then []clientv3.Op
	look []clientv3.Op
}

// outcome is what has become of a change: done, with the results of then, or a condition did not hold, with those of look.
type outcome struct {
	done bool
	seen []*etcdserverpb.ResponseOp
}

// write makes a change in a term. It goes on when an answer is lost: it makes sure that the lost try cannot happen any more,
// and tries again. So a change that is reported as not done may have been done by a try before: who calls knows its own write
// by the nonce, or does what may be done twice.
func (s *Store) write(ctx context.Context, term uint64, c change) (outcome, error) {
	if err := ctx.Err(); err != nil {
		return outcome{}, err
	}
	r, err := s.holder(term)
	if err != nil {
		return outcome{}, err
	}
	var lost error // why the answer to the last try is not known
	for {
		v, err := r.settle(ctx)
		if err != nil {
			return outcome{}, unsure(lost, err)
		}
		resp, err := s.c.Txn(ctx).
			If(append([]clientv3.Cmp{r.holds(), s.termIs(v)}, c.when...)...).
			Then(c.then...).
			Else(append(s.looks(), c.look...)...).Commit()
		if refused(err) {
			return outcome{}, unsure(lost, s.explain(err))
		}
		if err != nil {
			lost = s.explain(err)
			r.lose(v)
			continue
		}
		if resp.Succeeded {
			return outcome{true, resp.Responses}, nil
		}
		st, err := s.readState(resp)
		if err == nil {
			err = r.judge(st)
		}
		if err != nil {
			return outcome{}, unsure(lost, err)
		}
		if st.term == v {
			return outcome{false, resp.Responses[len(s.looks()):]}, nil
		}
		// Another write of this term lost its answer meanwhile and moved the conditions on. This one was not done.
	}
}

// unsure is err, unless an answer was lost before: then it is not known whether the write happened, and no error that says
// that nothing was written may be found in it.
func unsure(lost, err error) error {
	if lost == nil {
		return err
	}
	return fmt.Errorf("it is not known whether it was written: %w (and then: %v)", lost, err)
}

// holds is the condition that the leader key is the one that this reign put there.
func (r *reign) holds() clientv3.Cmp {
	return clientv3.Compare(clientv3.CreateRevision(r.s.k.leader()), "=", r.created)
}

// judge ends the reign if a state is not of it, and says so.
func (r *reign) judge(st state) error {
	switch {
	case st.leader == nil:
		r.end(errors.New("the leader key is gone"))
	case st.leader.created != r.created:
		r.end(fmt.Errorf("the leader is %s now", st.leader.Address))
	case st.term.n != r.n:
		r.end(fmt.Errorf("the term is %d now", st.term.n))
	default:
		return nil
	}
	return r.fenced()
}

// fenced is the error of a write of a reign that is over.
func (r *reign) fenced() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return fmt.Errorf("%w: term %d: %v", journal.ErrFenced, r.n, r.cause)
}

// lose notes that a write under a value of the term may happen later.
func (r *reign) lose(v termValue) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lost = r.lost || v == r.value
}

// settle returns the term's value for the next write, under which no write can be outstanding whose answer was lost. It tries
// until ctx ends or the term does.
func (r *reign) settle(ctx context.Context) (termValue, error) {
	for pause := firstPause; ; pause = min(2*pause, maxPause) {
		r.mu.Lock()
		v, lost := r.value, r.lost
		r.mu.Unlock()
		if !lost {
			return v, nil
		}
		if !r.Lasts() {
			return v, r.fenced()
		}
		select {
		case r.settling <- struct{}{}:
		case <-ctx.Done():
			return v, ctx.Err()
		}
		err := r.moveOn(ctx, v)
		<-r.settling
		if errors.Is(err, journal.ErrFenced) || refused(err) {
			return v, err
		}
		if err != nil && !sleep(ctx.Done(), pause) {
			return v, err
		}
	}
}

// moveOn raises the count in the term's value from v, so that no write under v can happen any more. Only one does it at a time.
func (r *reign) moveOn(ctx context.Context, v termValue) error {
	r.mu.Lock()
	done := r.value != v
	r.mu.Unlock()
	if done {
		return nil
	}
	next := termValue{v.n, v.lost + 1}
	resp, err := r.s.c.Txn(ctx).
		If(r.holds(), r.s.termIs(v)).
		Then(clientv3.OpPut(r.s.k.term(), next.String())).
		Else(r.s.looks()...).Commit()
	if err != nil {
		return r.s.explain(err)
	}
	if !resp.Succeeded {
		st, err := r.s.readState(resp)
		if err == nil {
			err = r.judge(st)
		}
		if err != nil {
			return err
		}
		if st.term != next { // not what a try before has put there, whose answer was lost
			return fmt.Errorf("key %s holds %s, %s or %s was expected: who writes it besides this master?", r.s.k.term(), st.term, v, next)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.value, r.lost = next, false
	return nil
}
