package etcdha

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/millrace/millrace/master/journal"
)

// keys names what lies below a prefix, which ends in a slash.
type keys struct{ prefix string }

func (k keys) cluster() string { return k.prefix + "cluster" }
func (k keys) leader() string  { return k.prefix + "leader" }
func (k keys) term() string    { return k.prefix + "term" }

// jobs is what the keys of all entries begin with.
func (k keys) jobs() string { return k.prefix + "jobs/" }

// job is what the keys of a job's entries begin with. The id is escaped, so that no id's keys lie among another's.
func (k keys) job(id journal.JobID) string { return k.jobs() + url.PathEscape(string(id)) + "/" }

// entry is the key of an entry. The digits are so many that the order of keys is that of numbers.
func (k keys) entry(id journal.JobID, seq uint64) string {
	return fmt.Sprintf("%s%016x", k.job(id), seq)
}

// swap is the key of a replacement under way; it comes before those of entries.
func (k keys) swap(id journal.JobID) string { return k.job(id) + swapName }

const swapName = "!"

// claim is the key of a claim on an output. A hash, since an output's URL may be longer than is good for a key.
func (k keys) claim(output string) string {
	sum := sha256.Sum256([]byte(output))
	return k.prefix + "claims/" + hex.EncodeToString(sum[:])
}

// place is what an entry's key says.
type place struct {
	job  journal.JobID
	seq  uint64
	swap bool // it is a replacement
}

// parse reads a key below jobs.
func (k keys) parse(key []byte) (place, error) {
	id, name, found := strings.Cut(strings.TrimPrefix(string(key), k.jobs()), "/")
	job, err := url.PathUnescape(id)
	p := place{job: journal.JobID(job), swap: name == swapName}
	if found && err == nil && !p.swap {
		p.seq, err = strconv.ParseUint(name, 16, 64)
	}
	if !found || err != nil || (!p.swap && k.entry(p.job, p.seq) != string(key)) {
		return place{}, fmt.Errorf("key %q is none of millrace's: remove it, or choose a prefix that millrace has for itself", key)
	}
	return p, nil
}

// end is the end of the range of keys that begin with prefix.
func end(prefix string) string { return clientv3.GetPrefixRangeEnd(prefix) }

// after is the first key that comes after key.
func after(key string) string { return key + "\x00" }
