package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/memstore"
	"github.com/millrace/millrace/storage/storagetest"
)

const (
	one = "0123456789abcdef0123456789abcdef"
	two = "fedcba9876543210fedcba9876543210"
)

// at makes a bucket over a backend, without pauses between tries.
func at(t *testing.T, b storage.Backend) *Bucket {
	t.Helper()
	open := func(context.Context, string) (storage.Backend, error) { return b, nil }
	st := storage.New(storage.Options{
		Schemes: map[string]storage.Opener{"mem": open}, Attempts: 2, Sleep: func(context.Context, time.Duration) error { return nil },
	})
	bucket, err := New(st, "mem://b/snapshots/")
	if err != nil {
		t.Fatal(err)
	}
	return bucket
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// overwriting is a store that knows no conditions on writes.
type overwriting struct{ storage.Backend }

func (o overwriting) Put(ctx context.Context, key string, body []byte, _ bool) (storage.Object, error) {
	return o.Backend.Put(ctx, key, body, false)
}

// overtaken is a store without such conditions, where another cluster claims the bucket right after each write.
type overtaken struct{ storage.Backend }

func (o overtaken) Put(ctx context.Context, key string, body []byte, _ bool) (storage.Object, error) {
	if _, err := o.Backend.Put(ctx, key, body, false); err != nil {
		return storage.Object{}, err
	}
	return o.Backend.Put(ctx, key, []byte(strings.ReplaceAll(string(body), one, two)), false)
}

// Of many clusters that take a bucket at once one has it, also again, and the others are told whose it is.
func TestClaim(t *testing.T) {
	t.Parallel()
	b := at(t, memstore.New())
	if _, err := b.Cluster(t.Context()); !errors.Is(err, ErrNone) {
		t.Errorf("of an empty bucket: %v, want ErrNone", err)
	}
	var mu sync.Mutex
	var owners []string
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			id := fmt.Sprintf("%032x", i)
			err := b.Claim(t.Context(), Claim{Cluster: id})
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				owners = append(owners, id)
			} else if !errors.Is(err, ErrForeign) || !strings.Contains(err.Error(), "--snapshots") {
				t.Error(err)
			}
		})
	}
	all.Wait()
	c, err := b.Cluster(t.Context())
	if err != nil || len(owners) != 1 || c.Cluster != owners[0] {
		t.Fatalf("%v have it, and it says %+v, %v", owners, c, err)
	}
	must(t, b.Claim(t.Context(), Claim{Cluster: owners[0], By: "another master"}))
	if _, err := b.Of(t.Context(), one); !errors.Is(err, ErrForeign) || !strings.Contains(err.Error(), owners[0]) || !strings.Contains(err.Error(), one) {
		t.Errorf("asked for another cluster: %v", err)
	}
	if err := at(t, overtaken{memstore.New()}).Claim(t.Context(), Claim{Cluster: one}); !errors.Is(err, ErrForeign) {
		t.Errorf("overtaken by another, without conditional writes: %v, want ErrForeign", err)
	}
	plain := at(t, overwriting{memstore.New()})
	must(t, plain.Claim(t.Context(), Claim{Cluster: one}))
	if err := plain.Claim(t.Context(), Claim{Cluster: two}); !errors.Is(err, ErrForeign) {
		t.Errorf("without conditional writes: %v, want ErrForeign", err)
	}
}

// However leaders of many terms write them, in which order and how often, the highest term that the bucket tells of never goes
// down, also where writes know no conditions; and one whose term is behind is told so.
func TestTermNeverGoesDown(t *testing.T) {
	t.Parallel()
	for _, plain := range []bool{false, true} {
		var store storage.Backend = memstore.New()
		if plain {
			store = overwriting{store}
		}
		b := at(t, store)
		rnd := rand.New(rand.NewPCG(7, 7))
		const terms = 40
		var all sync.WaitGroup
		for range 4 { // each writes all terms in an order of its own
			order := rnd.Perm(terms)
			all.Go(func() {
				for _, n := range order {
					before, err := b.Look(t.Context(), one)
					if err != nil {
						t.Error(err)
					}
					n := uint64(n + 1)
					err = b.BeginTerm(t.Context(), Term{Cluster: one, N: n, Nonce: fmt.Sprint(n)})
					after, lookErr := b.Look(t.Context(), one)
					if lookErr != nil {
						t.Error(lookErr)
					}
					if after.Highest < before.Highest || err == nil && after.Highest < n {
						t.Errorf("term %d, %v: the highest was %d and is %d", n, err, before.Highest, after.Highest)
					}
					if n%5 == 0 {
						if err := b.Thin(t.Context(), one, 1); err != nil {
							t.Error(err)
						}
					}
					if err != nil && !isNewer(err) || err == nil && n < before.Highest {
						t.Errorf("term %d after %d: %v", n, before.Highest, err)
					}
				}
			})
		}
		all.Wait()
		c, err := b.Look(t.Context(), one)
		if err != nil || c.Highest != terms {
			t.Errorf("after all terms: %+v, %v", c, err)
		}
		must(t, b.BeginTerm(t.Context(), Term{Cluster: one, N: terms + 1, Leader: "h:1"}))
		must(t, b.Thin(t.Context(), one, 1))
		if c, err = b.Look(t.Context(), one); err != nil || !slices.Equal(c.terms, []uint64{terms + 1}) {
			t.Errorf("records of terms that are left: %v, %v", c.terms, err)
		}
		if last, err := b.LastTerm(t.Context(), c); err != nil || last.Leader != "h:1" {
			t.Errorf("the last term's record: %+v, %v", last, err)
		}
	}
}

// A term that begins twice, as on two copies of one data directory, is found out; the same beginning may be written twice.
func TestTwins(t *testing.T) {
	t.Parallel()
	b := at(t, memstore.New())
	must(t, b.BeginTerm(t.Context(), Term{Cluster: one, N: 5, Leader: "a:1", Nonce: "x"}))
	must(t, b.BeginTerm(t.Context(), Term{Cluster: one, N: 5, Leader: "a:1", Nonce: "x"}))
	err := b.BeginTerm(t.Context(), Term{Cluster: one, N: 5, Leader: "b:1", Nonce: "y"})
	if !isNewer(err) || !strings.Contains(err.Error(), "a:1") || !strings.Contains(err.Error(), "--bump-term 5") {
		t.Errorf("the same term elsewhere: %v", err)
	}
	must(t, b.BeginTerm(t.Context(), Term{Cluster: two, N: 1, Nonce: "z"})) // other clusters' terms are none of its business

	plain := at(t, overwriting{memstore.New()})
	must(t, plain.BeginTerm(t.Context(), Term{Cluster: one, N: 5, Leader: "a:1", Nonce: "x"}))
	if err := plain.BeginTerm(t.Context(), Term{Cluster: one, N: 5, Nonce: "y"}); !isNewer(err) || !strings.Contains(err.Error(), "a:1") {
		t.Errorf("where writes know no conditions: %v", err)
	}
	if err := at(t, renamed{memstore.New()}).BeginTerm(t.Context(), Term{Cluster: one, N: 5, Leader: "a:1", Nonce: "x"}); !isNewer(err) {
		t.Errorf("overwritten by another right after the write: %v", err)
	}
}

// renamed is a store without conditions on writes, where another begins each term right after it was begun.
type renamed struct{ storage.Backend }

func (r renamed) Put(ctx context.Context, key string, body []byte, _ bool) (storage.Object, error) {
	return r.Backend.Put(ctx, key, []byte(strings.ReplaceAll(string(body), `"nonce": "x"`, `"nonce": "y"`)), false)
}

// What makes a state an old one: a term below the highest, or a revision below that of the newest snapshot of its term.
func TestOlder(t *testing.T) {
	t.Parallel()
	c := Contents{Bucket: "b", Highest: 7, Snapshots: []Snapshot{{Term: 5, Revision: 900}, {Term: 7, Revision: 100}}}
	for _, x := range []struct {
		term     uint64
		revision int64
		old      bool
	}{{6, math.MaxInt64, true}, {5, 900, true}, {7, 99, true}, {7, 100, false}, {7, 1000, false}, {8, 1, false}} {
		err := c.Older(x.term, x.revision)
		if isNewer(err) != x.old || x.old && !strings.Contains(err.Error(), "--bump-term 7") {
			t.Errorf("%+v: %v", x, err)
		}
	}
	if err := (Contents{}).Older(0, 0); err != nil {
		t.Errorf("nothing is older than nothing: %v", err)
	}
	if err := (Contents{Highest: 3, Snapshots: []Snapshot{{Term: 2, Revision: 9}}}).Older(3, 5); err != nil {
		t.Errorf("in a term without a snapshot: %v", err)
	}
}

// snap is a snapshot's description.
func snap(term uint64, revision int64) Snapshot {
	return Snapshot{Cluster: one, Term: term, Revision: revision, Taken: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
}

// A snapshot that was not written to its end is never seen, whatever failed, and what it left is swept.
func TestHalfSnapshot(t *testing.T) {
	t.Parallel()
	for _, op := range []storagetest.Op{storagetest.OpCreate, storagetest.OpPart, storagetest.OpComplete} {
		f := storagetest.Faulty(memstore.New())
		b := at(t, f)
		_, err := b.Save(t.Context(), snap(1, 1), strings.NewReader("first"))
		must(t, err)
		f.Plan(storagetest.Fault{Op: op, Times: -1, Err: errors.New("broken")}, storagetest.Fault{Op: storagetest.OpAbort, Times: -1, Err: errors.New("broken")})
		if _, err := b.Save(t.Context(), snap(1, 2), strings.NewReader("second")); err == nil || !strings.Contains(err.Error(), "broken") {
			t.Errorf("%s fails: %v", op, err)
		}
		c, err := b.Look(t.Context(), one)
		if err != nil || len(c.Snapshots) != 1 || c.Newest().Revision != 1 {
			t.Errorf("after %s failed: %+v, %v", op, c, err)
		}
		f.Plan()
		if _, err := b.Save(t.Context(), snap(1, 3), io.MultiReader(strings.NewReader("half"), iotest.ErrReader(io.ErrUnexpectedEOF))); err == nil {
			t.Error("a snapshot that breaks off was saved")
		}
		if c, err := b.Look(t.Context(), one); err != nil || len(c.Snapshots) != 1 {
			t.Errorf("after one that broke off: %+v, %v", c, err)
		}
		must(t, b.Sweep(t.Context(), one))
		_, err = b.Save(t.Context(), snap(1, 3), strings.NewReader("third"))
		must(t, err)
		must(t, b.st.Uploads(t.Context(), b.String(), func(url, _ string, _ time.Time) bool {
			t.Errorf("after %s failed, a pending upload of %s is left", op, url)
			return true
		}))
	}
}

// The newest are kept, by term and then revision, whatever the order in which they came; the newest always.
func TestThin(t *testing.T) {
	t.Parallel()
	b := at(t, memstore.New())
	for _, s := range []Snapshot{snap(2, 5), snap(1, 1_000_000_000_123), snap(10, 1), snap(2, 30), snap(1, 7)} {
		_, err := b.Save(t.Context(), s, strings.NewReader("x"))
		must(t, err)
	}
	for _, x := range []struct {
		keep int
		want string
	}{{9, "1-7 1-1000000000123 2-5 2-30 10-1"}, {3, "2-5 2-30 10-1"}, {0, "10-1"}, {1, "10-1"}} {
		must(t, b.Thin(t.Context(), one, x.keep))
		c, err := b.Look(t.Context(), one)
		must(t, err)
		var have []string
		for _, s := range c.Snapshots {
			have = append(have, fmt.Sprintf("%d-%d", s.Term, s.Revision))
		}
		if got := strings.Join(have, " "); got != x.want || c.Highest != 10 {
			t.Errorf("kept %d: %s, highest %d, want %s", x.keep, got, c.Highest, x.want)
		}
	}
}

// A URL means the newest snapshot of a bucket or of a cluster's folder, or the one that it names, also a copy elsewhere; and where
// nothing is, it says so.
func TestFind(t *testing.T) {
	t.Parallel()
	b := at(t, memstore.New())
	ctx := t.Context()
	if _, err := Find(ctx, b.st, b.String()); !errors.Is(err, ErrNone) {
		t.Errorf("in an empty bucket: %v", err)
	}
	must(t, b.Claim(ctx, Claim{Cluster: one}))
	must(t, b.BeginTerm(ctx, Term{Cluster: one, N: 9}))
	var urls []string
	for i := range int64(2) {
		url, err := b.Save(ctx, snap(8, i+1), strings.NewReader("bytes"))
		must(t, err)
		urls = append(urls, url)
	}
	other := snap(3, 1)
	other.Cluster = two
	_, err := b.Save(ctx, other, strings.NewReader("bytes"))
	must(t, err)
	must(t, b.st.Put(ctx, "mem://b/copy", []byte("bytes"), false))
	must(t, b.st.Put(ctx, "mem://b/elsewhere/"+storage.Base(urls[0]), []byte("bytes"), false))
	for _, x := range []struct {
		url, cluster string
		highest      uint64
		revision     int64
	}{
		{"mem://b/snapshots", one, 9, 2},
		{"mem://b/snapshots/", one, 9, 2},
		{"mem://b/snapshots/" + one, one, 9, 2},
		{"mem://b/snapshots/" + two + "/", two, 3, 1},
		{urls[0], one, 9, 1},
		{"mem://b/copy", "", 0, 0},
		{"mem://b/elsewhere/" + storage.Base(urls[0]), "", 0, 1},
	} {
		f, err := Find(ctx, b.st, x.url)
		if err != nil {
			t.Errorf("%s: %v", x.url, err)
			continue
		}
		if f.Contents.Cluster != x.cluster || f.Contents.Highest != x.highest || f.Snapshot.Revision != x.revision || (f.Bucket != nil) != (x.cluster != "") {
			t.Errorf("%s: %+v, snapshot %+v", x.url, f, f.Snapshot)
		}
		var text strings.Builder
		if err := f.Fetch(ctx, b.st, &text); err != nil || text.String() != "bytes" || f.Snapshot.Size != 5 {
			t.Errorf("%s: read %q of %d, %v", x.url, text.String(), f.Snapshot.Size, err)
		}
	}
	for _, url := range []string{"mem://b/nothing", "mem://b/snapshots/" + strings.Repeat("0", 32), "mem://b/copy/"} {
		if _, err := Find(ctx, b.st, url); !errors.Is(err, ErrNone) {
			t.Errorf("%s: %v, want ErrNone", url, err)
		}
	}
	if _, err := Find(ctx, b.st, urls[0]+"Z"); err == nil {
		t.Error("a snapshot that is not there was found")
	}
	must(t, b.st.Remove(ctx, b.ClaimURL()))
	if c, err := b.Of(ctx, one); err != nil || c.Highest != 9 {
		t.Errorf("what there is of a cluster, without the record of whose it is: %+v, %v", c, err)
	}
	if _, err := b.Of(ctx, strings.Repeat("0", 32)); !errors.Is(err, ErrNone) {
		t.Errorf("of one of which there is nothing: %v, want ErrNone", err)
	}
	if _, err := Find(ctx, b.st, b.String()); !errors.Is(err, ErrNone) || !strings.Contains(err.Error(), one+", "+two) || !strings.Contains(err.Error(), b.folder(one)) {
		t.Errorf("without the record of whose it is: %v", err)
	}
	gone := strings.Replace(urls[0], "T0", "T1", 1)
	if _, err := Find(ctx, b.st, gone); !errors.Is(err, storage.ErrNotFound) || !strings.Contains(err.Error(), "millrace master snapshots mem://b/snapshots/"+one) {
		t.Errorf("a snapshot that is there no more: %v", err)
	}
}

// Records of something else, of a later format, and damaged ones are refused with what they are.
func TestBadRecords(t *testing.T) {
	t.Parallel()
	for _, x := range []struct{ body, want string }{
		{"", "no record of millrace's"},
		{"hello", "no record of millrace's"},
		{"{}", `its format is ""`},
		{`{"format":"millrace-backup-2","cluster":7}`, `its format is "millrace-backup-2"`},
		{`{"format":"millrace-backup-1","cluster":7}`, "damaged"},
		{`{"format":"millrace-backup-1","cluster":"me"}`, "no cluster's id"},
		{strings.Repeat("x", maxRecord+1), "65537 bytes"},
	} {
		b := at(t, memstore.New())
		must(t, b.st.Put(t.Context(), b.ClaimURL(), []byte(x.body), false))
		for _, err := range []error{second(b.Cluster(t.Context())), b.Claim(t.Context(), Claim{Cluster: one})} {
			if err == nil || errors.Is(err, ErrNone) || !strings.Contains(err.Error(), x.want) || !strings.Contains(err.Error(), b.ClaimURL()) {
				t.Errorf("%.50q: %v, want %q", x.body, err, x.want)
			}
		}
	}
}

func second[A any](_ A, err error) error { return err }

// Names of objects are read as they are written, and no other name is taken for one of them.
func FuzzNames(f *testing.F) {
	f.Add(snap(1, 2).name())
	f.Add(snap(math.MaxInt64, math.MaxInt64).name())
	f.Add("snapshot-000000000001-000000000002-20260102T030405")
	f.Add("snapshot-1-2-20260102T030405Z")
	f.Add("snapshot--00000000001-000000000002-20260102T030405Z")
	f.Add("term-000000000012.json")
	f.Add("term-12.json")
	f.Fuzz(func(t *testing.T, name string) {
		s, isSnap := parseName(name)
		if isSnap && s.name() != name {
			t.Errorf("%q is read as %+v", name, s)
		}
		n, isTerm := parseTerm(name)
		if isTerm && fmt.Sprintf("term-%012d.json", n) != name {
			t.Errorf("%q is read as term %d", name, n)
		}
		if isSnap && isTerm {
			t.Errorf("%q is both", name)
		}
		if u, ok := IsSnapshot("mem://b/" + name); ok && (u.Cluster != "b" || u.Term != s.Term) && !strings.Contains(name, "/") {
			t.Errorf("%q as a URL is %+v", name, u)
		}
	})
}

// A record is read as it was written, and no bytes make reading it do worse than fail.
func FuzzRecord(f *testing.F) {
	f.Add([]byte(`{"format":"millrace-backup-1","cluster":"0123456789abcdef0123456789abcdef","term":3,"masters":["a:1"],"begun":"2026-01-02T03:04:05Z"}`))
	f.Add([]byte(`{"format":"millrace-backup-1","term":-1}`))
	f.Add([]byte(`{"format":"millrace-backup-1"} x`))
	f.Add([]byte(`[`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var term, again Term
		if parse(data, &term) != nil {
			return
		}
		b := at(t, memstore.New())
		if b.write(t.Context(), "mem://b/x", term) != nil {
			return // a time that JSON cannot say
		}
		must(t, b.read(t.Context(), "mem://b/x", &again))
		if fmt.Sprint(again) != fmt.Sprint(term) {
			t.Errorf("%+v is read as %+v", term, again)
		}
	})
}
