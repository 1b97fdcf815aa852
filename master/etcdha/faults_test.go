package etcdha

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// fault is what becomes of a request.
type fault int

const (
	pass   fault = iota
	unsent       // it fails before etcd has it
	lost         // etcd does it, and the answer is lost
	late         // it fails, and etcd does it when the test says so
)

// errFault is what a client sees of a broken connection: nothing of what has become of its request.
var errFault = status.Error(codes.Unavailable, "fault: the connection broke")

// faults stands between a Store and etcd.
type faults struct {
	clientv3.KV
	clientv3.Lease
	clientv3.Watcher
	prefix string

	asking sync.Mutex // held while before or after runs: one at a time

	mu     sync.Mutex
	before func(request string) fault // asked about each request; nil: all pass
	after  func(request string)       // called when a request was done
	late   []func()
	seen   []string
	asked  *sync.Cond // signals that seen has grown
}

// withFaults puts faults before a client's services. A request is told as "get KEY", "txn put KEY, delete KEY", "grant",
// "revoke", "keepalive" or "watch KEY", keys without the prefix.
func withFaults(c *clientv3.Client, prefix string) *faults {
	f := &faults{KV: c.KV, Lease: c.Lease, Watcher: c.Watcher, prefix: prefix}
	f.asked = sync.NewCond(&f.mu)
	c.KV, c.Lease, c.Watcher = faultyKV{f.KV, f}, faultyLease{f.Lease, f}, faultyWatcher{f.Watcher, f}
	return f
}

// openFaulty returns a Store with faults before it, and another client without.
func openFaulty(t *testing.T, o Options) (*Store, *faults, *clientv3.Client) {
	t.Helper()
	c, prefix := client(t)
	o.Prefix = prefix
	f := withFaults(c, prefix)
	return openOn(t, c, o), f, clientOf(t, shared)
}

// set sets what happens to the requests from here on.
func (f *faults) set(before func(string) fault, after func(string)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.before, f.after, f.seen = before, after, nil
}

// requests lists what was asked since set.
func (f *faults) requests() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.seen...)
}

// wait waits until something was asked n times.
func (f *faults) wait(told string, n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for count(f.seen, told) < n {
		f.asked.Wait()
	}
}

// arrive does the late requests.
func (f *faults) arrive() int {
	f.mu.Lock()
	late := f.late
	f.late = nil
	f.mu.Unlock()
	for _, do := range late {
		do()
	}
	return len(late)
}

// do lets a request meet its fault.
func (f *faults) do(request string, send func(late bool) error) error {
	f.mu.Lock()
	before, after := f.before, f.after
	f.seen = append(f.seen, request)
	f.asked.Broadcast()
	f.mu.Unlock()
	what := pass
	if before != nil {
		f.asking.Lock()
		what = before(request)
		f.asking.Unlock()
	}
	switch what {
	case unsent:
		return errFault
	case late:
		f.mu.Lock()
		defer f.mu.Unlock()
		f.late = append(f.late, func() { _ = send(true) })
		return errFault
	}
	err := send(false)
	if after != nil {
		f.asking.Lock()
		after(request)
		f.asking.Unlock()
	}
	if what == lost && err == nil {
		err = errFault
	}
	return err
}

func (f *faults) short(key string) string { return strings.TrimPrefix(key, f.prefix) }

type faultyKV struct {
	clientv3.KV
	f *faults
}

func (k faultyKV) Get(ctx context.Context, key string, opts ...clientv3.OpOption) (resp *clientv3.GetResponse, err error) {
	err = k.f.do("get "+k.f.short(key), func(bool) error {
		resp, err = k.KV.Get(ctx, key, opts...)
		return err
	})
	if err != nil {
		return nil, err
	}
	return resp, nil
}

func (k faultyKV) Txn(ctx context.Context) clientv3.Txn {
	return &faultyTxn{ctx: ctx, k: k}
}

// faultyTxn gathers a transaction, which can be sent under a context other than its own when it is late.
type faultyTxn struct {
	ctx   context.Context
	k     faultyKV
	when  []clientv3.Cmp
	then  []clientv3.Op
	other []clientv3.Op
}

func (x *faultyTxn) If(c ...clientv3.Cmp) clientv3.Txn  { x.when = c; return x }
func (x *faultyTxn) Then(o ...clientv3.Op) clientv3.Txn { x.then = o; return x }
func (x *faultyTxn) Else(o ...clientv3.Op) clientv3.Txn { x.other = o; return x }

func (x *faultyTxn) Commit() (resp *clientv3.TxnResponse, err error) {
	var ops []string
	for _, op := range x.then {
		kind := "get"
		if op.IsPut() {
			kind = "put"
		} else if op.IsDelete() {
			kind = "delete"
		}
		ops = append(ops, kind+" "+x.k.f.short(string(op.KeyBytes())))
	}
	err = x.k.f.do("txn "+strings.Join(ops, ", "), func(late bool) error {
		ctx := x.ctx
		if late {
			ctx = context.Background()
		}
		resp, err = x.k.KV.Txn(ctx).If(x.when...).Then(x.then...).Else(x.other...).Commit()
		return err
	})
	if err != nil {
		return nil, err
	}
	return resp, nil
}

type faultyLease struct {
	clientv3.Lease
	f *faults
}

func (l faultyLease) Grant(ctx context.Context, ttl int64) (resp *clientv3.LeaseGrantResponse, err error) {
	err = l.f.do("grant", func(bool) error {
		resp, err = l.Lease.Grant(ctx, ttl)
		return err
	})
	if err != nil {
		return nil, err
	}
	return resp, nil
}

func (l faultyLease) Revoke(ctx context.Context, id clientv3.LeaseID) (resp *clientv3.LeaseRevokeResponse, err error) {
	err = l.f.do("revoke", func(bool) error {
		resp, err = l.Lease.Revoke(ctx, id)
		return err
	})
	if err != nil {
		return nil, err
	}
	return resp, nil
}

func (l faultyLease) KeepAliveOnce(ctx context.Context, id clientv3.LeaseID) (resp *clientv3.LeaseKeepAliveResponse, err error) {
	err = l.f.do("keepalive", func(bool) error {
		resp, err = l.Lease.KeepAliveOnce(ctx, id)
		return err
	})
	if err != nil {
		return nil, err
	}
	return resp, nil
}

type faultyWatcher struct {
	clientv3.Watcher
	f *faults
}

func (w faultyWatcher) Watch(ctx context.Context, key string, opts ...clientv3.OpOption) (c clientv3.WatchChan) {
	err := w.f.do("watch "+w.f.short(key), func(bool) error {
		c = w.Watcher.Watch(ctx, key, opts...)
		return nil
	})
	if err != nil {
		broken := make(chan clientv3.WatchResponse)
		close(broken)
		return broken
	}
	return c
}

// nth returns what hits the requests from the nth on that are meant, with one fault each.
func nth(n int, meant func(string) bool, what ...fault) (before func(string) fault, hits func() int) {
	var mu sync.Mutex
	seen := 0
	return func(request string) fault {
			mu.Lock()
			defer mu.Unlock()
			if !meant(request) {
				return pass
			}
			seen++
			if i := seen - 1 - n; i >= 0 && i < len(what) {
				return what[i]
			}
			return pass
		}, func() int {
			mu.Lock()
			defer mu.Unlock()
			return min(max(0, seen-n), len(what))
		}
}

// isWrite says whether a request is one of the journal's writes or moves the term on: not a renewal.
func isWrite(request string) bool {
	return strings.HasPrefix(request, "txn ") && request != "txn put leader" && request != "txn get leader, get term"
}

// is returns the requests that are told so.
func is(told string) func(string) bool { return func(r string) bool { return r == told } }

// count counts what is told so.
func count(requests []string, told string) (n int) {
	for _, r := range requests {
		if r == told {
			n++
		}
	}
	return n
}

// Proves that the faults are what they say, since the tests below stand on them.
func TestFaults(t *testing.T) {
	t.Parallel()
	c, prefix := client(t)
	f := withFaults(c, prefix)
	for what, there := range map[fault]bool{pass: true, unsent: false, lost: true, late: false} {
		key := fmt.Sprint(prefix, "key", what)
		before, hits := nth(0, isWrite, what)
		f.set(before, nil)
		_, err := c.Txn(t.Context()).Then(clientv3.OpPut(key, "x")).Commit()
		if (what == pass) != (err == nil) || what != pass && !errors.Is(err, errFault) || hits() != 1 {
			t.Errorf("fault %d: %v, %d hits", what, err, hits())
		}
		check := func(want bool) {
			got, err := c.Get(t.Context(), key)
			if err != nil || (len(got.Kvs) == 1) != want {
				t.Errorf("fault %d: %v, %v, want it there: %v", what, got, err, want)
			}
		}
		check(there)
		f.arrive()
		check(there || what == late)
	}
}
