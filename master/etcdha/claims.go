package etcdha

import (
	"context"
	"encoding/json"
	"fmt"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/millrace/millrace/master/journal"
)

// claim is a claim key's value.
type claim struct {
	Output string        `json:"output"`
	Job    journal.JobID `json:"job"`
}

// Claim implements journal.Backend. Claiming twice is no error, so a lost answer does no harm.
func (s *Store) Claim(ctx context.Context, term uint64, output string, job journal.JobID) (journal.JobID, error) {
	key := s.k.claim(output)
	value, err := json.Marshal(claim{output, job})
	if err != nil {
		return "", err
	}
	out, err := s.write(ctx, term, change{
		when: []clientv3.Cmp{absent(key)},
		then: []clientv3.Op{clientv3.OpPut(key, string(value))},
		look: []clientv3.Op{clientv3.OpGet(key)},
	})
	if err != nil {
		return "", fmt.Errorf("claim %s: %w", output, err)
	}
	if out.done {
		return job, nil
	}
	held, _, err := s.readClaim(key, output, out.seen[0])
	return held.Job, err
}

// Release implements journal.Backend.
func (s *Store) Release(ctx context.Context, term uint64, output string, job journal.JobID) error {
	key := s.k.claim(output)
	for range maxTries {
		get := []clientv3.Op{clientv3.OpGet(key)}
		out, err := s.write(ctx, term, change{then: get})
		if err != nil {
			return fmt.Errorf("release %s: %w", output, err)
		}
		held, rev, err := s.readClaim(key, output, out.seen[0])
		if err != nil {
			return err
		}
		if rev == 0 || held.Job != job {
			return nil
		}
		out, err = s.write(ctx, term, change{
			when: []clientv3.Cmp{clientv3.Compare(clientv3.ModRevision(key), "=", rev)},
			then: []clientv3.Op{clientv3.OpDelete(key)},
		})
		if err != nil {
			return fmt.Errorf("release %s: %w", output, err)
		}
		if out.done {
			return nil
		}
	}
	return fmt.Errorf("release %s: its claim changes all the time", output)
}

// readClaim reads what was found at a claim's key, and its last change's revision, which is 0 if nothing was found.
func (s *Store) readClaim(key, output string, found *etcdserverpb.ResponseOp) (claim, int64, error) {
	kvs := found.GetResponseRange().Kvs
	if len(kvs) == 0 {
		return claim{}, 0, nil
	}
	var c claim
	if err := json.Unmarshal(kvs[0].Value, &c); err != nil || c.Output != output {
		return claim{}, 0, fmt.Errorf("key %s holds %.200q, which is no claim on %s: remove it if no job writes there", key, kvs[0].Value, output)
	}
	return c, kvs[0].ModRevision, nil
}
