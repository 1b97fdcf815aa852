// Package backup keeps snapshots of what masters know in a bucket or a folder, and a record of the terms that there were. It knows
// neither what is in a snapshot nor etcd; master/etcdha/state gives it snapshots and asks it what the bucket says.
//
// # What lies in the bucket
//
// Below one URL lies what belongs to one cluster:
//
//	cluster.json                                 JSON, Claim: the cluster that the URL belongs to; written once
//	<cluster>/term-<N>.json                      JSON, Term: who began to lead in term N; written once
//	<cluster>/snapshot-<term>-<revision>-<time>  a snapshot (package member says of what form)
//
// <cluster> is the cluster's id in hexadecimal digits. Terms and revisions have 12 digits at least, so that listings show
// them in their order; a time is as in 20060102T150405Z.
//
// # Why the highest term never goes down
//
// Nothing is ever overwritten with something else: each term has an object of its own, and the highest term is that of the
// highest object. A master that stood still while another led may write the object of its own term late, which changes nothing.
// Only objects of terms below one that is there are removed. So no condition on a write is needed but that there is no such object
// yet, and that one is for finding out that two masters lead in terms of one number, which copies of one data directory do.
//
// # What it is good for
//
// A master whose data directory is empty, or older than the bucket says, must not begin as if nothing had been: State of package
// state refuses it. The bucket is written to after the journal is, and by one master at a time, so that what it says is never newer
// than the state that it is about, unless that was put back.
package backup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/millrace/millrace/storage"
)

// format is the version of what lies in the bucket.
const format = "millrace-backup-1"

// maxRecord is how long a record may be, bytes; they have some hundred.
const maxRecord = 64 << 10

// What a bucket says against its use.
var (
	// ErrNone is that no cluster has begun there.
	ErrNone = errors.New("no cluster keeps its snapshots there")
	// ErrForeign is a bucket of another cluster.
	ErrForeign = errors.New("another cluster keeps its snapshots there")
)

// NewerError is that the bucket tells of a later time than the state does: the state is an old one, which was put back.
type NewerError struct {
	Bucket string
	Term   uint64 // the highest that the bucket knows
	Why    string // what it tells of
}

// Error implements error.
func (e *NewerError) Error() string {
	return fmt.Sprintf("this state is older than %s says, %s: it is an old copy, or was restored from an old snapshot. If the newer one is not lost, start on that. "+
		"If it is, what was decided since is lost with it: start the master, or all of them, with --bump-term %d once, and submit the jobs that it does not know again",
		e.Bucket, e.Why, e.Term)
}

// isNewer says whether an error is a NewerError.
func isNewer(err error) bool {
	_, ok := errors.AsType[*NewerError](err)
	return ok
}

// Claim says to which cluster a bucket belongs.
type Claim struct {
	Format  string    `json:"format"`
	Cluster string    `json:"cluster"` // its id, 32 hexadecimal digits
	By      string    `json:"by"`      // the master that wrote it
	Made    time.Time `json:"made"`
}

// Term says that a term has begun.
type Term struct {
	Format  string    `json:"format"`
	Cluster string    `json:"cluster"`
	N       uint64    `json:"term"`
	Leader  string    `json:"leader"`            // address
	Masters []string  `json:"masters,omitempty"` // all, if there are several
	Nonce   string    `json:"nonce"`             // tells this beginning from any other
	Begun   time.Time `json:"begun"`
}

// Addresses are those of the masters that had the state then.
func (t Term) Addresses() []string {
	if t.Leader == "" || slices.Contains(t.Masters, t.Leader) {
		return t.Masters
	}
	return append([]string{t.Leader}, t.Masters...)
}

// Bucket is the place of one cluster's snapshots.
type Bucket struct {
	st  *storage.Store
	url string // ends in no slash
}

// New names a bucket or folder, and opens nothing.
func New(st *storage.Store, url string) (*Bucket, error) {
	u, err := storage.ParseURL(url)
	if err != nil {
		return nil, err
	}
	return &Bucket{st, strings.TrimSuffix(u.String(), "/")}, nil
}

// String is its URL.
func (b *Bucket) String() string { return b.url + "/" }

// ClaimURL names the object that says whose it is.
func (b *Bucket) ClaimURL() string { return storage.Join(b.url, "cluster.json") }

// folder is where a cluster's objects lie.
func (b *Bucket) folder(cluster string) string { return storage.Join(b.url, cluster) + "/" }

func (b *Bucket) termURL(cluster string, n uint64) string {
	return b.folder(cluster) + fmt.Sprintf("term-%012d.json", n)
}

// Cluster is the cluster that it belongs to, ErrNone if there is none.
func (b *Bucket) Cluster(ctx context.Context) (Claim, error) {
	var c Claim
	err := b.read(ctx, b.ClaimURL(), &c)
	if errors.Is(err, storage.ErrNotFound) {
		return c, fmt.Errorf("%w: %s is not there", ErrNone, b.ClaimURL())
	}
	if err != nil {
		return Claim{}, err
	}
	if !isID(c.Cluster) {
		return Claim{}, fmt.Errorf("%s: %.40q is no cluster's id", b.ClaimURL(), c.Cluster)
	}
	return c, nil
}

// Claim makes the bucket a cluster's, ErrForeign if it is another's.
func (b *Bucket) Claim(ctx context.Context, c Claim) error {
	c.Format = format
	have, err := b.Cluster(ctx)
	if errors.Is(err, ErrNone) {
		if err = b.write(ctx, b.ClaimURL(), c); err != nil && !errors.Is(err, storage.ErrPrecondition) {
			return err
		}
		have, err = b.Cluster(ctx) // also after a success: some stores let two win
	}
	if err != nil {
		return err
	}
	return b.belongs(have, c.Cluster)
}

// belongs is ErrForeign unless a bucket is a cluster's.
func (b *Bucket) belongs(c Claim, cluster string) error {
	if c.Cluster != cluster {
		return fmt.Errorf("%w: %s is of cluster %s, and this one is %s: give each cluster a URL of its own with --snapshots", ErrForeign, b, c.Cluster, cluster)
	}
	return nil
}

// Of is what the bucket has of a cluster: ErrForeign if it is another's, ErrNone if it is nobody's and has nothing of this one. Somebody
// may have removed the record of whose it is, which makes no state newer.
func (b *Bucket) Of(ctx context.Context, cluster string) (Contents, error) {
	c, none := b.Cluster(ctx)
	if none != nil && !errors.Is(none, ErrNone) {
		return Contents{}, none
	}
	if none == nil {
		if err := b.belongs(c, cluster); err != nil {
			return Contents{}, err
		}
	}
	has, err := b.Look(ctx, cluster)
	if err == nil && has.Highest == 0 {
		err = none
	}
	return has, err
}

// BeginTerm writes that a term has begun. It is a NewerError if a higher term has begun, or this one elsewhere. Again with the same
// Term does no harm.
func (b *Bucket) BeginTerm(ctx context.Context, t Term) error {
	t.Format = format
	have, err := b.Look(ctx, t.Cluster)
	if err == nil {
		err = have.Older(t.N, math.MaxInt64)
	}
	if err != nil {
		return err
	}
	url := b.termURL(t.Cluster, t.N)
	if !slices.Contains(have.terms, t.N) {
		if err := b.write(ctx, url, t); err != nil && !errors.Is(err, storage.ErrPrecondition) {
			return err
		}
	}
	var there Term
	err = b.read(ctx, url, &there) // also after a success: some stores let two win
	if errors.Is(err, storage.ErrNotFound) {
		if have, lookErr := b.Look(ctx, t.Cluster); lookErr == nil && have.Highest > t.N { // as records of old terms are removed
			err = have.Older(t.N, math.MaxInt64)
		}
	}
	if err == nil && there.Nonce != t.Nonce {
		err = &NewerError{b.String(), t.N, fmt.Sprintf("where %s began term %d at %s (does a copy of the data directory run elsewhere?)",
			there.Leader, t.N, there.Begun.Format(time.RFC3339))}
	}
	return err
}

// LastTerm is the record of the highest term that the bucket tells of.
func (b *Bucket) LastTerm(ctx context.Context, c Contents) (t Term, err error) {
	return t, b.read(ctx, b.termURL(c.Cluster, c.Highest), &t)
}

// read reads a record.
func (b *Bucket) read(ctx context.Context, url string, record any) error {
	body, info, err := b.st.Read(ctx, url, 0, -1, "")
	if err != nil {
		return err
	}
	defer body.Close()
	if info.Size > maxRecord {
		return fmt.Errorf("%s: %d bytes are no record of millrace's", url, info.Size)
	}
	data, err := io.ReadAll(io.LimitReader(body, maxRecord))
	if err != nil {
		return err
	}
	if err := parse(data, record); err != nil {
		return fmt.Errorf("%s: %w", url, err)
	}
	return nil
}

// parse reads a record's bytes.
func parse(data []byte, record any) error {
	var v struct {
		Format string `json:"format"`
	}
	if err := json.Unmarshal(data, &v); err != nil {
		return fmt.Errorf("it is no record of millrace's: %w", err)
	}
	if v.Format != format {
		return fmt.Errorf("its format is %.40q, and this millrace knows %q: use the version that wrote it", v.Format, format)
	}
	if err := json.Unmarshal(data, record); err != nil {
		return fmt.Errorf("it is damaged: %w", err)
	}
	return nil
}

// write writes a record where there is none.
func (b *Bucket) write(ctx context.Context, url string, record any) error {
	data, err := json.MarshalIndent(record, "", "  ")
	if err != nil {
		return err
	}
	return b.st.Put(ctx, url, append(data, '\n'), true)
}
