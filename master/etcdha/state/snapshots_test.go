package state

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/millrace/millrace/master/etcdha"
	"github.com/millrace/millrace/master/etcdha/backup"
	"github.com/millrace/millrace/master/journal"
	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/memstore"
	"github.com/millrace/millrace/storage/storagetest"
)

// vault is a bucket of snapshots.
type vault struct {
	*storagetest.FaultyBackend
	st *storage.Store
	*backup.Bucket
}

func newVault(t *testing.T) vault {
	t.Helper()
	v := vault{FaultyBackend: storagetest.Faulty(memstore.New())}
	v.st = storage.New(storage.Options{Schemes: map[string]storage.Opener{"mem": v.Opener()}, Attempts: 1})
	var err error
	if v.Bucket, err = backup.New(v.st, "mem://vault/snapshots"); err != nil {
		t.Fatal(err)
	}
	return v
}

// keeps are the options of a master whose snapshots go to a vault, twenty a second.
func (v vault) keeps(o Options) Options {
	o.Snapshots = backup.Options{Bucket: v.Bucket, Every: 50 * time.Millisecond, Kept: 1000, RecordWithin: 100 * time.Millisecond}
	return o
}

// lives is a master's state that is open and runs.
type lives struct {
	*State
	t     *testing.T
	ended chan error
	end   context.CancelFunc
}

// live opens a state as the command does, or returns why not.
func live(t *testing.T, o Options, bump uint64) (*lives, error) {
	t.Helper()
	s, err := Open(t.Context(), o)
	if err != nil {
		return nil, err
	}
	if bump > 0 {
		until(t, func() bool { return s.BumpTerm(t.Context(), bump) == nil })
	}
	if err := s.Vet(t.Context(), bump); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	l := &lives{State: s, t: t, ended: make(chan error, 1)}
	ctx, cancel := context.WithCancel(context.Background())
	l.end = cancel
	go func() { l.ended <- s.Run(ctx) }()
	t.Cleanup(l.stop)
	return l, nil
}

// start is live of what must start.
func startState(t *testing.T, o Options, bump uint64) *lives {
	t.Helper()
	l, err := live(t, o, bump)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// stop ends it, in the middle of its term; twice does no harm.
func (l *lives) stop() {
	if l.State == nil {
		return
	}
	l.end()
	if err := errors.Join(<-l.ended, l.Close()); err != nil {
		l.t.Error(err)
	}
	l.State = nil
}

// lead begins a term, which must have this number.
func (l *lives) lead(n uint64) journal.Term {
	l.t.Helper()
	term, err := l.Campaign(l.t.Context(), journal.Candidate{Address: "master:1"})
	if err != nil || term.N != n {
		l.t.Fatalf("term %d, %v, want %d", term.N, err, n)
	}
	return term
}

// note writes a job to the journal.
func (l *lives) note(term journal.Term, job journal.JobID) {
	l.t.Helper()
	if err := l.Append(l.t.Context(), term.N, []journal.Entry{{Job: job, Records: [][]byte{[]byte("x")}}}); err != nil {
		l.t.Fatal(err)
	}
}

// jobs are those that the journal knows.
func (l *lives) jobs() string {
	l.t.Helper()
	var all []string
	if err := l.Load(l.t.Context(), func(e journal.Entry) bool { all = append(all, string(e.Job)); return true }); err != nil {
		l.t.Fatal(err)
	}
	return strings.Join(all, " ")
}

// snapshot waits for one that was begun after the call, and returns it.
func (v vault) snapshot(t *testing.T, l *lives) backup.Snapshot {
	t.Helper()
	p, err := l.Store.Position(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var s *backup.Snapshot
	until(t, func() bool {
		c, err := v.Look(t.Context(), l.cluster())
		if err != nil {
			t.Fatal(err)
		}
		s = c.Newest()
		return s != nil && s.Revision >= p.Revision
	})
	return *s
}

func until(t *testing.T, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-t.Context().Done():
			t.Fatal("it did not come to be before the test's end")
		}
	}
}

func restore(t *testing.T, v vault, url, dir string) (Restored, error) {
	t.Helper()
	return Restore(t.Context(), RestoreOptions{Store: v.st, URL: url, DataDir: dir, Log: testLog(t)})
}

// wants checks that an error says all of these things.
func wants(t *testing.T, err error, texts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one with %q", texts)
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("%v\nlacks %q", err, text)
		}
	}
}

// A master whose data directory was emptied is refused and told the remedy; a state that is restored from an old snapshot is refused
// until the term is bumped to what the bucket says, and then goes on, knowing what the snapshot does. The newest snapshot needs no
// such confirmation.
func TestRestoreOld(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	o := v.keeps(fast(t, filepath.Join(t.TempDir(), "data")))
	s := startState(t, o, 0)
	s.note(s.lead(1), "early")
	cluster := s.cluster()
	old := v.snapshot(t, s)
	s.stop()
	s = startState(t, o, 0)
	s.note(s.lead(2), "late")
	newest := v.snapshot(t, s)
	s.stop()

	if err := os.RemoveAll(o.DataDir); err != nil {
		t.Fatal(err)
	}
	_, err := live(t, o, 0)
	wants(t, err, cluster, "term was 2", "master:1", "millrace master restore "+v.String()+" --data-dir "+o.DataDir, v.ClaimURL(), "--snapshots")
	if !errors.Is(err, ErrWouldForget) {
		t.Errorf("%v, want ErrWouldForget", err)
	}
	r, err := restore(t, v, old.URL, o.DataDir)
	if err != nil || r.Cluster != cluster || r.Term != 1 || r.Jobs != 1 || r.Revision != old.Revision || r.Older == nil {
		t.Fatalf("restored %+v, %v", r, err)
	}
	for _, bump := range []uint64{0, 1} {
		_, err = live(t, o, bump)
		wants(t, err, "term 2", "--bump-term 2")
	}
	s = startState(t, o, 2)
	s.lead(3)
	if jobs := s.jobs(); jobs != "early" || s.cluster() != cluster {
		t.Errorf("it knows %q, cluster %s", jobs, s.cluster())
	}
	s.stop()
	s = startState(t, o, 0) // once was enough
	s.lead(4)
	v.snapshot(t, s)
	s.stop()

	o.DataDir = filepath.Join(t.TempDir(), "other")
	r, err = restore(t, v, newest.URL, o.DataDir)
	if err != nil || r.Jobs != 2 || r.Older == nil {
		t.Fatalf("what was the newest before: %+v, %v", r, err)
	}
	o.DataDir = filepath.Join(t.TempDir(), "newest")
	r, err = restore(t, v, v.String(), o.DataDir)
	if err != nil || r.Term != 4 || r.Older != nil {
		t.Fatalf("the newest: %+v, %v", r, err)
	}
	s = startState(t, o, 0)
	s.lead(5)
}

// A snapshot that is not the newest is an old one also within a term, and so is a copy of the data directory that is put back.
func TestOldCopy(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	o := v.keeps(fast(t, filepath.Join(t.TempDir(), "data")))
	s := startState(t, o, 0)
	s.lead(1)
	old := v.snapshot(t, s)
	s.stop()
	copied := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(copied, os.DirFS(o.DataDir)); err != nil {
		t.Fatal(err)
	}
	s = startState(t, o, 0)
	term := s.lead(2)
	s.note(term, "job")
	first := v.snapshot(t, s)
	s.note(term, "another")
	v.snapshot(t, s)
	s.stop()
	unnamed := "mem://elsewhere/copy" // whose name says nothing of its age
	body, _, err := v.st.Read(t.Context(), first.URL, 0, -1, "")
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	data, err := io.ReadAll(body)
	if err := errors.Join(err, v.st.Put(t.Context(), unnamed, data, false)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		url  string
		what string
	}{{unnamed, "later snapshot of the same term 2"}, {first.URL, "later snapshot of the same term 2"}, {old.URL, "knows term 2"}, {"", "knows term 2"}} {
		p := o
		p.DataDir = filepath.Join(t.TempDir(), "data")
		if c.url == "" {
			p.DataDir = copied
		} else if _, err := restore(t, v, c.url, p.DataDir); err != nil {
			t.Fatal(err)
		}
		_, err := live(t, p, 0)
		wants(t, err, c.what, "--bump-term 2")
		l := startState(t, p, 2)
		l.stop()
	}
}

// A state that is older than the bucket says, within one term, is refused also when the bucket did not answer at the start: before the
// next term is noted there. What was said to be meant is not, and neither is the newest.
func TestOldWithoutAnswer(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	o := v.keeps(fast(t, filepath.Join(t.TempDir(), "data")))
	s := startState(t, o, 0)
	term := s.lead(1)
	old := v.snapshot(t, s)
	s.note(term, "job")
	newest := v.snapshot(t, s)
	s.stop()
	for _, c := range []struct {
		url  string
		bump uint64
		old  bool
	}{{old.URL, 0, true}, {newest.URL, 0, false}, {old.URL, 2, false}} {
		o.DataDir = filepath.Join(t.TempDir(), "data")
		if _, err := restore(t, v, c.url, o.DataDir); err != nil {
			t.Fatal(err)
		}
		v.Plan(storagetest.Fault{Times: -1, Err: errors.New("away")})
		s := startState(t, o, c.bump)
		v.Plan()
		_, err := s.Campaign(t.Context(), journal.Candidate{Address: "master:1"})
		if !c.old {
			if err != nil {
				t.Errorf("%+v: %v", c, err)
			}
			s.stop()
			continue
		}
		wants(t, err, o.DataDir, "later snapshot of the same term 1", "--bump-term 1")
		s.abandon()
		for _, away := range []bool{false, true} { // the term that it began makes it no newer, however often it is started
			if away {
				v.Plan(storagetest.Fault{Times: -1, Err: errors.New("away")})
			}
			s, err := live(t, o, 0)
			v.Plan()
			if away && err == nil {
				_, err = s.Campaign(t.Context(), journal.Candidate{Address: "master:1"})
				s.abandon()
			}
			wants(t, err, "later snapshot of the same term 1", "--bump-term 1")
		}
	}
}

// A bucket of another cluster is refused by name. One that cannot be asked keeps nobody from going on with the state that there is,
// but from founding a cluster: there may have been one.
func TestOtherBuckets(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	o := v.keeps(fast(t, filepath.Join(t.TempDir(), "data")))
	v.Plan(storagetest.Fault{Times: -1, Err: errors.New("away")})
	_, err := live(t, o, 0)
	wants(t, err, "empty", "away", "without --snapshots")
	v.Plan()
	s := startState(t, o, 0)
	s.lead(1)
	mine := s.cluster()
	s.stop()

	v.Plan(storagetest.Fault{Times: -1, Err: errors.New("away")})
	s = startState(t, o, 0)
	s.lead(2)
	s.stop()
	v.Plan()

	other := v.keeps(fast(t, filepath.Join(t.TempDir(), "other")))
	other.Snapshots.Bucket = nil
	s = startState(t, other, 0)
	theirs := s.cluster()
	s.lead(1)
	s.stop()
	other.Snapshots.Bucket = v.Bucket
	_, err = live(t, other, 0)
	wants(t, err, mine, theirs, "--snapshots")
	if !errors.Is(err, backup.ErrForeign) {
		t.Errorf("%v, want ErrForeign", err)
	}
	if _, err := Open(t.Context(), Options{External: &etcdha.External{}, Snapshots: o.Snapshots}); err == nil {
		t.Error("snapshots of an outside etcd were promised")
	}
}

// A term lasts while the bucket hangs, and begins no later than it may: its renewals wait for no bucket.
func TestBucketHangs(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	o := v.keeps(fast(t, filepath.Join(t.TempDir(), "data")))
	s := startState(t, o, 0)
	v.Plan(storagetest.Fault{Times: -1, Kind: storagetest.Stall})
	begun := time.Now()
	term := s.lead(1)
	if waited := time.Since(begun); waited > 1500*time.Millisecond {
		t.Errorf("the term began after %v", waited)
	}
	select { // longer than the lease
	case <-time.After(2500 * time.Millisecond):
	case <-term.Done:
	}
	if err := term.Confirm(t.Context()); err != nil || !term.Lasts() {
		t.Errorf("the term lasts %v, %v", term.Lasts(), err)
	}
	s.note(term, "job")
	if v.Hits() == 0 {
		t.Error("nobody asked the bucket")
	}
}

// Of a snapshot that is damaged is said which one to restore in its place, if there is one.
func TestRestoreDamaged(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	o := v.keeps(fast(t, filepath.Join(t.TempDir(), "data")))
	s := startState(t, o, 0)
	term := s.lead(1)
	first := v.snapshot(t, s)
	s.note(term, "job")
	v.snapshot(t, s)
	s.stop()
	has, err := v.Look(t.Context(), first.Cluster)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range has.Snapshots {
		if err := v.st.Put(t.Context(), x.URL, []byte("x"), false); err != nil {
			t.Fatal(err)
		}
	}
	n := len(has.Snapshots)
	if err := v.st.Put(t.Context(), "mem://elsewhere/copy", []byte("x"), false); err != nil {
		t.Fatal(err)
	}
	for url, want := range map[string]string{
		v.String(): "the one before it is " + has.Snapshots[n-2].URL, has.Snapshots[0].URL: "millrace master snapshots " + v.String(), "mem://elsewhere/copy": "restore another",
	} {
		dir := filepath.Join(t.TempDir(), "data")
		_, err := restore(t, v, url, dir)
		wants(t, err, "damaged", want)
		if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: the data directory is there: %v", url, err)
		}
	}
}

// Of three masters whose data directories are all lost none founds a cluster; restored on one, the others join it with empty ones,
// though the bucket tells of a cluster.
func TestRestoreThree(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	all, masters := houses(t, 3)
	move := func(h house) *tenant { return h.moveWith(t, masters, v.keeps) }
	var tenants []*tenant
	for _, h := range all {
		tenants = append(tenants, move(h))
	}
	for _, x := range tenants {
		x.wait(t)
	}
	cluster := tenants[0].cluster()
	term, err := tenants[0].Campaign(t.Context(), journal.Candidate{Address: "a"})
	if err != nil {
		t.Fatal(err)
	}
	l := &lives{State: tenants[0].State, t: t}
	l.note(term, "job")
	v.snapshot(t, l)
	if err := term.Resign(t.Context()); err != nil {
		t.Error(err)
	}

	lose := func() {
		var stops sync.WaitGroup
		for _, x := range tenants {
			stops.Go(x.stop)
		}
		stops.Wait()
		for _, h := range all {
			empty(t, h)
		}
	}
	lose()
	for i, h := range all {
		tenants[i] = move(h)
	}
	var refused error // the first that hears that all are new; the others wait for it then
	select {
	case refused = <-tenants[0].open:
	case refused = <-tenants[1].open:
	case refused = <-tenants[2].open:
	}
	wants(t, refused, cluster, "millrace master restore")
	lose()
	if _, err := restore(t, v, v.String(), all[2].dir); err != nil {
		t.Fatal(err)
	}
	for i, h := range all {
		tenants[i] = move(h)
	}
	tenants[2].wait(t)
	first := &lives{State: tenants[2].State, t: t}
	until(t, func() bool { // one is enough: the next waits for some seconds, as any that joins after another
		members, err := first.member.Status(t.Context())
		return err == nil && len(members) > 1 && !members[0].Learner && !members[1].Learner
	})
	if first.cluster() != cluster {
		t.Errorf("restored, it is cluster %s, was %s", first.cluster(), cluster)
	}
	if term, err = first.Campaign(t.Context(), journal.Candidate{Address: "c"}); err != nil || term.N < 2 {
		t.Fatalf("restored: term %d, %v", term.N, err)
	}
	if jobs := first.jobs(); jobs != "job" {
		t.Errorf("restored, it knows %q", jobs)
	}
	if err := term.Resign(t.Context()); err != nil {
		t.Error(err)
	}
}

// What was restored does not start beside a master that still has the state that was lost: they would be two clusters of one name.
func TestStrangers(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	all, masters := houses(t, 3)
	o := v.keeps(fast(t, all[0].dir))
	s := startState(t, o, 0)
	s.lead(1)
	v.snapshot(t, s)
	cluster := s.cluster()
	s.stop()
	if _, err := restore(t, v, v.String(), all[1].dir); err != nil {
		t.Fatal(err)
	}
	old := all[0].move(t, masters)
	old.wait(t)
	err := <-all[1].move(t, masters).open
	wants(t, err, all[0].peer.Name, all[1].dir)
	if !errors.Is(err, ErrStrangers) {
		t.Errorf("%v, want ErrStrangers", err)
	}
	old.stop()
	again := all[1].move(t, masters)
	if again.wait(t); again.cluster() != cluster {
		t.Errorf("alone, it is cluster %s, was %s", again.cluster(), cluster)
	}
}

func empty(t *testing.T, h house) {
	t.Helper()
	if err := os.RemoveAll(h.dir); err != nil {
		t.Fatal(err)
	}
}
