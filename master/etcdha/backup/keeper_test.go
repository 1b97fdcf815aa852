package backup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/master/journal"
	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/memstore"
	"github.com/millrace/millrace/storage/storagetest"
)

// state is a Source, and the reign of its only leader.
type state struct {
	mu       sync.Mutex
	term     uint64
	revision int64
	taken    int
}

func (s *state) Position(context.Context) (term uint64, revision int64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.revision++
	return s.term, s.revision, nil
}

func (s *state) Snapshot(context.Context) (io.ReadCloser, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken++
	return io.NopCloser(strings.NewReader(fmt.Sprintf("snapshot %d", s.taken))), nil
}

// reign is a term of a state.
type reign struct {
	journal.Reign
	s *state
	n uint64
}

func (r reign) Lasts() bool {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	return r.s.term == r.n
}

// begin begins the next term of a state; over ends it, as when another leads.
func (s *state) begin() (t journal.Term, over func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.term++
	done := make(chan struct{})
	return journal.Term{N: s.term, Done: done, Reign: reign{s: s, n: s.term}}, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.term++
		close(done)
	}
}

func (s *state) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.taken
}

// diary is a log.
type diary struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (d *diary) Write(p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.text.Write(p)
}

func (d *diary) String() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.text.String()
}

// kept is a Keeper that runs, in a bubble of synctest.
type kept struct {
	*Keeper
	*state
	faults *storagetest.FaultyBackend
	bucket *Bucket
	log    *diary
	ended  chan error

	refused []uint64 // terms
}

// keep runs a keeper until the test ends.
func keep(t *testing.T, s *state) *kept {
	t.Helper()
	k := &kept{state: s, faults: storagetest.Faulty(memstore.New()), log: &diary{}, ended: make(chan error, 1)}
	k.bucket = at(t, k.faults)
	k.run(t)
	return k
}

func (k *kept) run(t *testing.T) {
	k.Keeper = NewKeeper(Options{
		Bucket: k.bucket, Source: k.state, Cluster: one, Every: time.Minute, Kept: 3, Log: slog.New(slog.NewTextHandler(k.log, nil)),
		Refused: func(term uint64) { k.refused = append(k.refused, term) },
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { k.ended <- k.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		synctest.Wait()
	})
}

// says counts the lines of the log that hold a text.
func (k *kept) says(text string) int {
	synctest.Wait()
	return strings.Count(k.log.String(), text)
}

func (k *kept) look(t *testing.T) Contents {
	t.Helper()
	synctest.Wait()
	c, err := k.bucket.Look(t.Context(), one)
	must(t, err)
	return c
}

// The bucket knows of a term before its leader does anything. Then comes a snapshot at once, then one each minute, of which the
// newest are kept; the next leader goes on with that, and nothing comes after a term's end.
func TestKeeper(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := keep(t, &state{})
		first, over := k.begin()
		begun := time.Now()
		must(t, k.Begin(t.Context(), first, "a:1"))
		if waited := time.Since(begun); waited > 0 {
			t.Errorf("it waited %v for a bucket that answers at once", waited)
		}
		c := k.look(t)
		last, err := k.bucket.LastTerm(t.Context(), c)
		if err != nil || c.Highest != 1 || last.Leader != "a:1" || len(c.Snapshots) != 1 {
			t.Errorf("when the term begins: %+v, record %+v, %v", c, last, err)
		}
		time.Sleep(4*time.Minute + time.Second)
		if c = k.look(t); k.count() != 5 || len(c.Snapshots) != 3 || c.Newest().Taken.Sub(begun).Round(time.Minute) != 4*time.Minute {
			t.Errorf("after four minutes %d were taken, and there are %+v", k.count(), c.Snapshots)
		}
		over()
		time.Sleep(10 * time.Minute)
		if k.count() != 5 {
			t.Errorf("%d snapshots after the end of the term", k.count()-5)
		}
		for range 2 { // the first is due at once; for the second leader it is too early
			next, over := k.begin()
			must(t, k.Begin(t.Context(), next, "b:1"))
			synctest.Wait()
			if k.count() != 6 {
				t.Errorf("%d snapshots after a term began, want 6", k.count())
			}
			time.Sleep(29 * time.Second)
			over()
			synctest.Wait()
		}
		next, _ := k.begin()
		must(t, k.Begin(t.Context(), next, "b:1"))
		time.Sleep(3 * time.Second)
		if synctest.Wait(); k.count() != 7 {
			t.Errorf("%d snapshots a minute after the last, want 7", k.count())
		}
	})
}

// A bucket that hangs does not keep a term from beginning for longer than a second, or anything else from going on. It is said
// once for each reason, and that it is well again; the record and the snapshot follow.
func TestBucketHangs(t *testing.T) {
	t.Parallel()
	for _, fault := range []storagetest.Fault{
		{Times: -1, Kind: storagetest.Stall},
		{Times: -1, Err: errors.New("no such luck")},
	} {
		synctest.Test(t, func(t *testing.T) {
			k := keep(t, &state{})
			k.faults.Plan(fault)
			term, over := k.begin()
			begun := time.Now()
			must(t, k.Begin(t.Context(), term, "a:1"))
			if waited := time.Since(begun); waited != time.Second {
				t.Errorf("the term began after %v", waited)
			}
			if n := k.says("leads before the bucket knows of its term"); n != 1 {
				t.Errorf("said %d times that it leads all the same", n)
			}
			time.Sleep(9 * time.Minute)
			if n := k.says("the bucket does not know of this term yet"); n != 1 {
				t.Errorf("said %d times that the bucket fails:\n%s", n, k.log)
			}
			k.faults.Plan()
			time.Sleep(lookWithin + retryLast)
			if c := k.look(t); c.Highest != 1 || len(c.Snapshots) == 0 {
				t.Errorf("when the bucket works again: %+v", c)
			}
			if n := k.says("the bucket knows of this term"); n != 1 {
				t.Errorf("said %d times that it works again", n)
			}
			over()
		})
	}
}

// A bucket in which snapshots cannot be written is said once, and again when the reason is another or ten minutes have passed;
// one is taken soon after it can be again.
func TestSnapshotsFail(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := keep(t, &state{})
		term, over := k.begin()
		must(t, k.Begin(t.Context(), term, "a:1"))
		synctest.Wait()
		for _, reason := range []string{"full", "denied"} {
			k.faults.Plan(storagetest.Fault{Op: storagetest.OpPart, Times: -1, Err: errors.New(reason)})
			time.Sleep(9 * time.Minute)
			if n := k.says(reason); n != 1 {
				t.Errorf("said %d times within nine minutes that it is %s:\n%s", n, reason, k.log)
			}
		}
		time.Sleep(9 * time.Minute)
		if n := k.says("denied"); n != 2 {
			t.Errorf("said %d times within eighteen minutes", n)
		}
		if c := k.look(t); len(c.Snapshots) != 1 {
			t.Errorf("while it fails: %+v", c.Snapshots)
		}
		k.faults.Plan()
		time.Sleep(time.Minute)
		if c := k.look(t); len(c.Snapshots) != 2 || k.says("snapshots are taken again") != 1 {
			t.Errorf("when it works again: %+v\n%s", c.Snapshots, k.log)
		}
		over()
	})
}

// A bucket from which nothing may be removed gets snapshots all the same, and what is left there is said once; a pending upload that
// somebody left goes when it may.
func TestNothingRemoved(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := keep(t, &state{})
		_, err := k.bucket.st.Create(t.Context(), k.bucket.folder(one)+snap(1, 1).name(), storage.UploadOptions{})
		must(t, err)
		denied := errors.New("denied")
		k.faults.Plan(storagetest.Fault{Op: storagetest.OpRemove, Times: -1, Err: denied}, storagetest.Fault{Op: storagetest.OpAbort, Times: -1, Err: denied})
		term, over := k.begin()
		must(t, k.Begin(t.Context(), term, "a:1"))
		time.Sleep(8*time.Minute + time.Second)
		if c := k.look(t); len(c.Snapshots) != 9 || k.says("old snapshots cannot be removed") != 1 {
			t.Errorf("%d snapshots:\n%s", len(c.Snapshots), k.log)
		}
		k.faults.Plan()
		time.Sleep(time.Minute)
		if c := k.look(t); len(c.Snapshots) != 3 || k.says("old snapshots are removed again") != 1 {
			t.Errorf("when it may be: %d snapshots:\n%s", len(c.Snapshots), k.log)
		}
		must(t, k.bucket.st.Uploads(t.Context(), k.bucket.String(), func(url, _ string, _ time.Time) bool {
			t.Errorf("a pending upload of %s is left", url)
			return true
		}))
		over()
	})
}

// A state that turns out to be old when its term begins does not lead; if the bucket is reached only later, it stops then.
func TestOldState(t *testing.T) {
	t.Parallel()
	for _, late := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			k := keep(t, &state{term: 4})
			must(t, k.bucket.BeginTerm(t.Context(), Term{Cluster: one, N: 42}))
			if late {
				k.faults.Plan(storagetest.Fault{Times: -1, Err: errors.New("away")})
			}
			term, _ := k.begin()
			err := k.Begin(t.Context(), term, "a:1")
			if late != (err == nil) {
				t.Errorf("the bucket answers: %v; the term begins with %v", !late, err)
			}
			k.faults.Plan()
			time.Sleep(time.Minute)
			ended := <-k.ended
			for _, err := range []error{err, ended} {
				if err != nil && (!isNewer(err) || !strings.Contains(err.Error(), "--bump-term 42")) {
					t.Error(err)
				}
			}
			if ended == nil || k.count() > 0 || !slices.Equal(k.refused, []uint64{term.N}) {
				t.Errorf("it goes on with an old state: %v, %d snapshots, refused %v", ended, k.count(), k.refused)
			}
		})
	}
}

// A copy of the state elsewhere that begins a later term is noticed before the next snapshot.
func TestCopyElsewhere(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := keep(t, &state{})
		term, _ := k.begin()
		must(t, k.Begin(t.Context(), term, "a:1"))
		synctest.Wait()
		must(t, k.bucket.BeginTerm(t.Context(), Term{Cluster: one, N: 2}))
		time.Sleep(time.Minute)
		if err := <-k.ended; !isNewer(err) || k.count() != 1 {
			t.Errorf("%v, %d snapshots", err, k.count())
		}
	})
}

// A leader that has been followed by another, and learns of that from the bucket first, is no old state: it just does no more.
func TestFollowed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := keep(t, &state{})
		term, _ := k.begin()
		k.state.term = 2 // another leads, of which this process has not heard
		must(t, k.bucket.BeginTerm(t.Context(), Term{Cluster: one, N: 2}))
		must(t, k.Begin(t.Context(), term, "a:1"))
		time.Sleep(time.Hour)
		select {
		case err := <-k.ended:
			t.Errorf("it ended: %v", err)
		default:
		}
		if k.count() > 0 || k.log.String() != "" {
			t.Errorf("%d snapshots, log %q", k.count(), k.log)
		}
	})
}

// A leader whose term is over takes no snapshot, also before it has heard of that: it would be one of a later term.
func TestNoLongerLeads(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := keep(t, &state{})
		term, _ := k.begin()
		must(t, k.Begin(t.Context(), term, "a:1"))
		synctest.Wait()
		k.state.mu.Lock()
		k.state.term++
		k.state.mu.Unlock()
		time.Sleep(time.Hour)
		if n := k.count(); n != 1 || k.says("WARN") > 0 {
			t.Errorf("%d snapshots, log:\n%s", n, k.log)
		}
	})
}

// The record of whose the bucket is is written again when it was removed; and where another cluster has put its own, no more snapshots
// are taken, and that is said.
func TestClaimRemoved(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := keep(t, &state{})
		term, over := k.begin()
		must(t, k.Begin(t.Context(), term, "a:1"))
		synctest.Wait()
		must(t, k.bucket.st.Remove(t.Context(), k.bucket.ClaimURL()))
		time.Sleep(time.Minute + time.Second)
		if c, err := k.bucket.Cluster(t.Context()); err != nil || c.Cluster != one || c.By != "a:1" {
			t.Errorf("a minute after it was removed: %+v, %v", c, err)
		}
		must(t, k.bucket.st.Remove(t.Context(), k.bucket.ClaimURL()))
		must(t, k.bucket.Claim(t.Context(), Claim{Cluster: two}))
		taken := k.count()
		time.Sleep(2 * time.Minute)
		if n := k.says(two); n != 1 || k.count() != taken {
			t.Errorf("said %d times whose it is, and took %d more", n, k.count()-taken)
		}
		over()
	})
}

// The bucket that got another owner meanwhile is a complaint, no end.
func TestOtherOwner(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := keep(t, &state{})
		must(t, k.bucket.Claim(t.Context(), Claim{Cluster: two}))
		term, over := k.begin()
		must(t, k.Begin(t.Context(), term, "a:1"))
		time.Sleep(time.Minute)
		if n := k.says(two); n != 1 || k.count() > 0 {
			t.Errorf("said %d times, %d snapshots", n, k.count())
		}
		over()
	})
}
