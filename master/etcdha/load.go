package etcdha

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/millrace/millrace/master/journal"
)

// What Load reads at once, and how many pages' worth of short logs it holds. A page begins small and grows to as many keys as
// its limit of bytes allows, by the mean length of those before.
const (
	pageKeys  = 512
	pageFirst = 16
	pageBytes = 4 << 20
	heldPages = 4
)

// Load implements journal.Backend. It reads the journal as it was at one revision of etcd, in pages. First it goes through the
// jobs, of each of which it reads one page at the most, to learn their order; logs that were whole in it are held. Then it yields
// job by job, and reads those that were not. When this Store's term lasts it finishes replacements that it found half done.
func (s *Store) Load(ctx context.Context, yield func(journal.Entry) bool) error {
	if err := s.load(ctx, yield); err != nil {
		return fmt.Errorf("load the journal from etcd below %s: %w", s.k.jobs(), err)
	}
	return nil
}

func (s *Store) load(ctx context.Context, yield func(journal.Entry) bool) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		l := &loading{s: s, limit: pageFirst, yield: yield}
		err := l.run(ctx)
		if errors.Is(err, errChanged) && !l.yielded {
			continue // from the beginning
		}
		if err != nil {
			return s.explain(err)
		}
		return s.finishAll(ctx, l.swaps)
	}
}

// finishAll finishes replacements if this Store leads.
func (s *Store) finishAll(ctx context.Context, jobs []journal.JobID) error {
	s.mu.Lock()
	r := s.reign
	s.mu.Unlock()
	if r == nil || !r.Lasts() {
		return nil
	}
	for _, job := range jobs {
		if err := s.finish(ctx, r.n, job); err != nil {
			return fmt.Errorf("finish the replacement of the log of job %s: %w", job, err)
		}
	}
	return nil
}

// errChanged is that the journal was written to after the revision at which it is read, and etcd has forgotten that one.
var errChanged = errors.New("the journal was written to while it was read, and etcd has forgotten how it was: load it again")

// loading is one call of Load.
type loading struct {
	s       *Store
	rev     int64 // what is read; 0 before the first page
	count   int64 // the number of keys there
	limit   int64 // of keys of the next page
	yield   func(journal.Entry) bool
	yielded bool // something was
	stopped bool // the caller wants no more
	swaps   []journal.JobID
}

// joblog is a job that was found.
type joblog struct {
	job   journal.JobID
	first int64 // create revision of the first of its keys
	place uint64
	whole bool
	kvs   []*mvccpb.KeyValue // if whole
}

func (l *loading) run(ctx context.Context) error {
	logs, err := l.survey(ctx)
	if err != nil {
		return err
	}
	slices.SortStableFunc(logs, func(a, b joblog) int {
		return cmp.Or(cmp.Compare(a.first, b.first), cmp.Compare(a.place, b.place))
	})
	for i := range logs {
		if err := l.yieldLog(ctx, logs[i]); err != nil || l.stopped {
			return err
		}
		logs[i].kvs = nil // its memory is the caller's now
	}
	return ctx.Err()
}

// survey finds the jobs.
func (l *loading) survey(ctx context.Context) (logs []joblog, err error) {
	stop := end(l.s.k.jobs())
	held := 0
	for from := l.s.k.jobs(); ; {
		kvs, more, err := l.page(ctx, from, stop)
		if err != nil {
			return nil, err
		}
		for len(kvs) > 0 {
			found, rest, err := l.cut(kvs)
			if err != nil {
				return nil, err
			}
			from = end(l.s.k.job(found.job))
			found.whole = len(rest) > 0 || !more
			size := bytesOf(found.kvs)
			if held+size > heldPages*l.s.o.page {
				found.whole = false
			}
			if found.whole {
				held += size
			} else {
				found.kvs = nil
			}
			logs, kvs = append(logs, found), rest
		}
		if !more {
			return logs, nil
		}
	}
}

// cut takes the keys of the first job off a page.
func (l *loading) cut(kvs []*mvccpb.KeyValue) (found joblog, rest []*mvccpb.KeyValue, err error) {
	found.first = kvs[0].CreateRevision
	for i, kv := range kvs {
		p, err := l.s.k.parse(kv.Key)
		if err != nil {
			return joblog{}, nil, err
		}
		if i == 0 {
			found.job = p.job
		}
		if p.job != found.job {
			return found, kvs[i:], nil
		}
		if p.swap {
			l.swaps = append(l.swaps, p.job)
		}
		found.kvs = kvs[:i+1]
		if kv.CreateRevision <= found.first {
			d, err := decodeEntry(kv.Value)
			if err != nil {
				return joblog{}, nil, fmt.Errorf("key %s: %w", kv.Key, err)
			}
			found.first, found.place = kv.CreateRevision, d.place
		}
	}
	return found, nil, nil
}

func bytesOf(kvs []*mvccpb.KeyValue) (n int) {
	for _, kv := range kvs {
		n += len(kv.Key) + len(kv.Value)
	}
	return n
}

// yieldLog yields a job's entries, or those of the replacement that is under way.
func (l *loading) yieldLog(ctx context.Context, g joblog) error {
	kvs, more := g.kvs, !g.whole
	stop := end(l.s.k.job(g.job))
	for from := l.s.k.job(g.job); ; {
		var err error
		if !g.whole {
			if kvs, more, err = l.page(ctx, from, stop); err != nil {
				return err
			}
		}
		for _, kv := range kvs {
			p, err := l.s.k.parse(kv.Key)
			if err != nil {
				return err
			}
			d, err := decodeEntry(kv.Value)
			if err != nil {
				return fmt.Errorf("key %s: %w", kv.Key, err)
			}
			if d.seq != p.seq {
				return fmt.Errorf("key %s holds entry %d: restore a snapshot of etcd", kv.Key, d.seq)
			}
			if !p.swap || len(d.records) > 0 {
				l.yielded = true
				l.stopped = !l.yield(journal.Entry{Job: g.job, Seq: p.seq, Records: d.records})
			}
			if p.swap || l.stopped {
				return nil
			}
			from = after(string(kv.Key))
		}
		if !more || len(kvs) == 0 {
			return nil
		}
	}
}

// page reads the next keys. When etcd has forgotten the revision, but nothing has changed since, it reads on at a later one.
func (l *loading) page(ctx context.Context, from, stop string) (kvs []*mvccpb.KeyValue, more bool, err error) {
	for {
		resp, err := l.s.c.Get(ctx, from, clientv3.WithRange(stop), clientv3.WithLimit(l.limit), clientv3.WithRev(l.rev))
		if errors.Is(err, rpctypes.ErrCompacted) {
			if err = l.renew(ctx); err != nil {
				return nil, false, err
			}
			continue
		}
		if err != nil {
			return nil, false, err
		}
		if l.rev == 0 {
			l.rev, l.count = resp.Header.Revision, resp.Count
		}
		if n := len(resp.Kvs); n > 0 {
			mean := max(1, bytesOf(resp.Kvs)/n)
			l.limit = min(2*l.limit, pageKeys, max(1, int64(l.s.o.page/mean)))
		}
		return resp.Kvs, resp.More, nil
	}
}

// renew goes on to a later revision at which the journal is the same: no key has changed since, and there are as many, so that
// none was removed either.
func (l *loading) renew(ctx context.Context) error {
	resp, err := l.s.c.Get(ctx, l.s.k.jobs(), clientv3.WithRange(end(l.s.k.jobs())),
		clientv3.WithMinModRev(l.rev+1), clientv3.WithKeysOnly(), clientv3.WithLimit(1))
	if err != nil {
		return err
	}
	if len(resp.Kvs) > 0 || resp.Count != l.count {
		return errChanged
	}
	l.rev = resp.Header.Revision
	return nil
}
