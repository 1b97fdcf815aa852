package etcdha

import (
	"context"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/millrace/millrace/master/journal"
)

// replaceKeys is how many keys one transaction of a replacement removes. etcd does nothing else meanwhile.
const replaceKeys = 500

// Replace implements journal.Backend.
//
// A short log is replaced in one transaction. A long one in several, so that none takes long:
//
//  1. the key "!" is put, with what entry 0 will be. From here on the log is what "!" says, and Append refuses to add to it
//  2. the entries but the first are removed, some at a time
//  3. entry 0 is put anew, or removed, and "!" is removed
//
// Entry 0 is put over the old one, so the job stays where it was in Load's order. When the master ends between, Load of the
// next one finishes what it finds.
func (s *Store) Replace(ctx context.Context, term uint64, job journal.JobID, records [][]byte) error {
	if err := s.replace(ctx, term, job, records); err != nil {
		return fmt.Errorf("replace the log of job %s: %w", job, err)
	}
	return nil
}

func (s *Store) replace(ctx context.Context, term uint64, job journal.JobID, records [][]byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	place, err := s.placeOf(ctx, job)
	if err != nil {
		return err
	}
	value := string(encodeEntry(0, nonce(), place, records))
	kvs, more, err := s.keysFrom(ctx, s.k.job(job), job)
	if err != nil {
		return err
	}
	if !more {
		last := s.k.swap(job)
		if len(kvs) > 0 {
			last = kvs[len(kvs)-1]
		}
		out, err := s.write(ctx, term, change{
			when: []clientv3.Cmp{absent(s.k.swap(job)), absent(after(last)).WithRange(end(s.k.job(job)))},
			then: s.putLog(job, value, len(records) > 0),
		})
		if err != nil || out.done {
			return err
		}
	}
	if _, err := s.write(ctx, term, change{then: []clientv3.Op{clientv3.OpPut(s.k.swap(job), value)}}); err != nil {
		return err
	}
	return s.finish(ctx, term, job)
}

// placeOf is the place of a job's first entry in its write, which the one that replaces it keeps.
func (s *Store) placeOf(ctx context.Context, job journal.JobID) (int, error) {
	got, err := s.c.Get(ctx, s.k.entry(job, 0))
	if err != nil {
		return 0, s.explain(err)
	}
	if len(got.Kvs) == 0 {
		return 0, nil
	}
	d, err := decodeEntry(got.Kvs[0].Value)
	if err != nil {
		return 0, fmt.Errorf("key %s: %w", got.Kvs[0].Key, err)
	}
	return int(d.place), nil
}

// putLog are the operations that make a value the job's whole log, or nothing.
func (s *Store) putLog(job journal.JobID, value string, some bool) []clientv3.Op {
	stop := clientv3.WithRange(end(s.k.job(job)))
	if !some {
		return []clientv3.Op{clientv3.OpDelete(s.k.job(job), stop)}
	}
	return []clientv3.Op{
		clientv3.OpDelete(s.k.swap(job)),
		clientv3.OpPut(s.k.entry(job, 0), value),
		clientv3.OpDelete(s.k.entry(job, 1), stop),
	}
}

// keysFrom lists the first of a job's keys from one on, and whether there are more.
func (s *Store) keysFrom(ctx context.Context, from string, job journal.JobID) (found []string, more bool, err error) {
	resp, err := s.c.Get(ctx, from, clientv3.WithRange(end(s.k.job(job))), clientv3.WithLimit(s.o.batch), clientv3.WithKeysOnly())
	if err != nil {
		return nil, false, s.explain(err)
	}
	for _, kv := range resp.Kvs {
		found = append(found, string(kv.Key))
	}
	return found, resp.More, nil
}

// finish does steps 2 and 3 of a job's replacement, if one is under way. That it is still the same one is a condition of each
// write, so two at once do no harm.
func (s *Store) finish(ctx context.Context, term uint64, job journal.JobID) error {
	swap := s.k.swap(job)
	got, err := s.c.Get(ctx, swap)
	if err != nil {
		return s.explain(err)
	}
	if len(got.Kvs) == 0 {
		return nil
	}
	d, err := decodeEntry(got.Kvs[0].Value)
	if err != nil {
		return fmt.Errorf("key %s: %w", swap, err)
	}
	same := clientv3.Compare(clientv3.ModRevision(swap), "=", got.Kvs[0].ModRevision)
	first := s.k.entry(job, 1)
	for {
		found, more, err := s.keysFrom(ctx, first, job)
		if err != nil {
			return err
		}
		c := change{when: []clientv3.Cmp{same}, then: s.putLog(job, string(got.Kvs[0].Value), len(d.records) > 0)}
		if more {
			c.then = []clientv3.Op{clientv3.OpDelete(first, clientv3.WithRange(after(found[len(found)-1])))}
		}
		out, err := s.write(ctx, term, c)
		if err != nil || !out.done || !more { // not done: somebody else finished it, or began another, which is theirs to finish
			return err
		}
	}
}
