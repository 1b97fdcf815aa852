package etcdha

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/millrace/millrace/master/journal"
)

// maxEntries is how many entries one Append takes: two conditions for each and two of the term are under the 128 that etcd
// takes in a transaction.
const maxEntries = 60

// maxTries is how often a write is tried whose conditions do not hold for what an earlier one has left behind.
const maxTries = 3

// Append implements journal.Backend.
//
// That an entry is its job's next is made a condition of the write. For the first: the job has no key. For another: there is
// no replacement under way, and all keys from the one before on have values that are lower than the entry's own number, of
// which there is at least one; since a value begins with its entry's number, that is the one before and nothing more.
func (s *Store) Append(ctx context.Context, term uint64, entries []journal.Entry) error {
	if err := s.append(ctx, term, entries); err != nil {
		return fmt.Errorf("append to the journal of %s: %w", jobsOf(entries), err)
	}
	return nil
}

// jobsOf names the jobs of entries.
func jobsOf(entries []journal.Entry) string {
	switch len(entries) {
	case 0:
		return "no job"
	case 1:
		return fmt.Sprintf("job %s", entries[0].Job)
	}
	return fmt.Sprintf("job %s and %d more", entries[0].Job, len(entries)-1)
}

func (s *Store) append(ctx context.Context, term uint64, entries []journal.Entry) error {
	if len(entries) > maxEntries {
		return fmt.Errorf("%d entries in one write, the limit is %d", len(entries), maxEntries)
	}
	var c change
	values := make([][]byte, len(entries))
	seen := map[journal.JobID]bool{}
	for i, e := range entries {
		if seen[e.Job] {
			return fmt.Errorf("job %s: two entries in one write", e.Job)
		}
		seen[e.Job] = true
		values[i] = encodeEntry(e.Seq, nonce(), i, e.Records)
		key := s.k.entry(e.Job, e.Seq)
		c.when = append(c.when, s.isNext(e)...)
		c.then = append(c.then, clientv3.OpPut(key, string(values[i])))
		c.look = append(c.look, clientv3.OpGet(key), clientv3.OpGet(s.k.swap(e.Job), clientv3.WithKeysOnly()))
	}
	for range maxTries {
		out, err := s.write(ctx, term, c)
		if err != nil || out.done {
			return err
		}
		again, err := s.whyNot(ctx, term, entries, values, out)
		if !again {
			return err
		}
	}
	return fmt.Errorf("a replacement of a log is begun again and again while entries are appended to it")
}

// isNext is the condition that an entry is its job's next.
func (s *Store) isNext(e journal.Entry) []clientv3.Cmp {
	stop := end(s.k.job(e.Job))
	if e.Seq == 0 {
		return []clientv3.Cmp{absent(s.k.swap(e.Job)).WithRange(stop)}
	}
	seq := string(binary.BigEndian.AppendUint64(nil, e.Seq))
	return []clientv3.Cmp{
		absent(s.k.swap(e.Job)),
		clientv3.Compare(clientv3.Value(s.k.entry(e.Job, e.Seq-1)), "<", seq).WithRange(stop),
	}
}

// whyNot says why an Append's conditions did not hold: it was done before and the answer was lost; a replacement stands in its
// way, which is finished, and then it is to be tried again; or an entry is not its job's next.
func (s *Store) whyNot(ctx context.Context, term uint64, entries []journal.Entry, values [][]byte, out outcome) (again bool, err error) {
	done := true
	for i, e := range entries {
		if len(out.seen[2*i+1].GetResponseRange().Kvs) > 0 {
			if err := s.finish(ctx, term, e.Job); err != nil {
				return false, err
			}
			again = true
		}
		kvs := out.seen[2*i].GetResponseRange().Kvs
		switch {
		case len(kvs) > 0 && bytes.Equal(kvs[0].Value, values[i]):
		case len(kvs) > 0 && err == nil:
			done, err = false, fmt.Errorf("job %s: there is an entry %d already", e.Job, e.Seq)
		default:
			done = false
		}
	}
	switch {
	case again:
		return true, nil
	case done:
		return false, nil
	case err == nil:
		err = fmt.Errorf("%s: an entry is not its job's next", numbersOf(entries))
	}
	return false, err
}

// numbersOf lists jobs with their entries' numbers.
func numbersOf(entries []journal.Entry) string {
	var b bytes.Buffer
	for i, e := range entries {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "job %s entry %d", e.Job, e.Seq)
	}
	return b.String()
}

func nonce() (n [8]byte) {
	rand.Read(n[:])
	return n
}
