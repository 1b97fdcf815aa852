package leftovers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/localstore"
	"github.com/millrace/millrace/storage/memstore"
	"github.com/millrace/millrace/storage/storagetest"
)

const (
	jobA = "0123456789abcdef0123456789abcdef"
	jobB = "ffffffffffffffffffffffffffffffff"
)

// aged is a bucket in which everything is a day and an hour old, but what young names.
type aged struct {
	storage.Backend
	young []string // parts of keys
	blind bool     // it does not say when an upload was begun
}

func (a *aged) at(key string, t time.Time) time.Time {
	if slices.ContainsFunc(a.young, func(s string) bool { return strings.Contains(key, s) }) {
		return t
	}
	return t.Add(-25 * time.Hour)
}

func (a *aged) List(ctx context.Context, prefix, delim string, yield func(storage.Object) bool) error {
	return a.Backend.List(ctx, prefix, delim, func(o storage.Object) bool {
		o.Modified = a.at(o.Key, o.Modified)
		return yield(o)
	})
}

func (a *aged) Uploads() storage.Uploads { return agedUploads{a.Backend.Uploads(), a} }

type agedUploads struct {
	storage.Uploads
	a *aged
}

func (u agedUploads) List(ctx context.Context, prefix, id string, yield func(storage.Part) bool) error {
	return u.Uploads.List(ctx, prefix, id, func(p storage.Part) bool {
		p.Begun = u.a.at(p.Key, p.Begun)
		if u.a.blind {
			p.Begun = time.Time{}
		}
		return yield(p)
	})
}

// bucket is a Store with things in it.
type bucket struct {
	*testing.T
	store *storage.Store
	aged  *aged
	bad   *storagetest.FaultyBackend
	root  string // URL
}

func newBucket(t *testing.T) *bucket {
	b := &bucket{T: t, aged: &aged{Backend: memstore.New()}, root: "mem://b/"}
	b.bad = storagetest.Faulty(b.aged)
	b.store = storage.New(storage.Options{
		Schemes: map[string]storage.Opener{"mem": b.bad.Opener()}, Attempts: 2, Backoff: 1, MaxBackoff: 1,
	})
	return b
}

func (b *bucket) put(names ...string) {
	b.Helper()
	for _, name := range names {
		if err := b.store.Put(b.Context(), b.root+name, []byte(name), false); err != nil {
			b.Fatal(err)
		}
	}
}

func (b *bucket) pend(names ...string) (last storage.Pending) {
	b.Helper()
	for _, name := range names {
		u, err := b.store.Create(b.Context(), b.root+name, storage.UploadOptions{})
		if err == nil {
			_, err = io.WriteString(u, name)
		}
		if err == nil {
			last, err = u.Finish(b.Context())
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	return last
}

func (b *bucket) find(url string, o Options) *Report {
	b.Helper()
	r, err := Find(b.Context(), b.store, url, o)
	if err != nil {
		b.Fatal(err)
	}
	return r
}

// there lists objects and uploads, these with a "?" behind the name.
func (b *bucket) there() []string {
	b.Helper()
	names := []string{}
	err := errors.Join(
		b.store.List(b.Context(), b.root, func(i storage.Info) bool { names = append(names, strings.TrimPrefix(i.URL, b.root)); return true }),
		b.store.Uploads(b.Context(), b.root, func(url, _ string, _ time.Time) bool {
			names = append(names, strings.TrimPrefix(url, b.root)+"?")
			return true
		}))
	if err != nil {
		b.Fatal(err)
	}
	slices.Sort(names)
	return names
}

// brief describes items: the kind, the name, and why it is kept.
func (b *bucket) brief(items []*Item) []string {
	out := []string{}
	for _, i := range items {
		text := fmt.Sprintf("%s %s %d in %d", i.Kind, strings.TrimPrefix(i.URL, b.root), i.Size, i.Objects)
		if i.Kept != "" {
			text = strings.TrimPrefix(i.URL, b.root) + ": " + i.Kept
		}
		out = append(out, text)
	}
	return out
}

func (b *bucket) same(what string, got, want []string) {
	b.Helper()
	if !slices.Equal(got, want) {
		b.Errorf("%s:\n got %q\nwant %q", what, got, want)
	}
}

// What bears millrace's names is found with its size, run folders as one, and removed; all else stays: outputs that were
// committed, objects and pending uploads of others, names that are nearly ours.
func TestFindAndRemove(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	stay := []string{
		"out/_SUCCESS", "out/part-00000.arrow", "in/books.txt", "out/.millrace-notes/x", "out/.millrace-" + jobA[1:] + "/x", "out/.millrace-" + jobA + "-x/y",
		".millrace-" + jobA, "in/map-00000.0.run", "out/_stages/001-a/notes.txt",
	}
	b.put(stay...)
	b.pend("in/film.mkv", "out/part-0.arrow", "out/part-00000.arrow.gz")
	b.put("out/.millrace-"+jobA+"/map-00000.0.run", "out/.millrace-"+jobA+"/deep/plan", ".millrace-doctor-0af3/clock", "c/.millrace-"+jobB+".2/x")
	b.pend("out/part-00000.arrow", "out/part-00001.arrow", "out/errors/map-00001.arrow", "out/.millrace-"+jobA+"/map-00001.1.run", "part-1234567.arrow")

	r := b.find("mem://b", Options{})
	b.same("found", b.brief(r.Items), []string{
		"doctor's folder .millrace-doctor-0af3/ 27 in 1",
		fmt.Sprintf("run folder c/.millrace-%s.2/ %d in 1", jobB, len("c/.millrace-"+jobB+".2/x")),
		fmt.Sprintf("run folder out/.millrace-%s/ %d in 3", jobA, 3*len("out/.millrace-"+jobA+"/")+2*len("map-00000.0.run")+len("deep/plan")),
		"pending upload out/errors/map-00001.arrow 26 in 1",
		"pending upload out/part-00000.arrow 20 in 1",
		"pending upload out/part-00001.arrow 20 in 1",
		"pending upload part-1234567.arrow 18 in 1",
	})
	if r.Foreign != 3 || len(r.Kept) != 0 || r.URL != "mem://b/" {
		t.Errorf("foreign %d, kept %q, %s", r.Foreign, b.brief(r.Kept), r.URL)
	}
	if n := len(b.there()); n != len(stay)+3+4+5 {
		t.Errorf("looking removed something: %q", b.there())
	}
	var told []int
	if err := Remove(t.Context(), b.store, r, func(done, total int) { told = append(told, done, total) }); err != nil {
		t.Fatal(err)
	}
	want := append(slices.Clone(stay), "in/film.mkv?", "out/part-0.arrow?", "out/part-00000.arrow.gz?")
	slices.Sort(want)
	b.same("left", b.there(), want)
	if len(told) != 14 || told[12] != 7 || told[13] != 7 {
		t.Errorf("told %v", told)
	}
	for _, i := range r.Items {
		if !i.Removed || i.Problem != "" {
			t.Errorf("%+v", i)
		}
	}
	if again := b.find("mem://b/", Options{}); len(again.Items) != 0 {
		t.Errorf("then found %q", b.brief(again.Items))
	}
	if err := Remove(t.Context(), b.store, r, nil); err != nil {
		t.Errorf("removed again: %v", err)
	}
}

// Only the folder that was named and what lies below it is looked through; a name that begins so is another folder.
func TestWithin(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	b.pend("out/part-00000.arrow", "output/part-00000.arrow", "part-00000.arrow")
	b.put("output/.millrace-"+jobA+"/x", "out/a/.millrace-"+jobB+"/x")
	b.same("found", b.brief(b.find("mem://b/out", Options{}).Items), []string{
		fmt.Sprintf("run folder out/a/.millrace-%s/ %d in 1", jobB, len("out/a/.millrace-"+jobB+"/x")), "pending upload out/part-00000.arrow 20 in 1",
	})
}

// An output is left alone as long as anything in it, or in a folder around or below, is younger; outputs beside it are not,
// nor does a committed or foreign object make anything young.
func TestYoung(t *testing.T) {
	t.Parallel()
	const beside = ": something beside it is younger than 24 h: a job may be at work there"
	for name, c := range map[string]struct {
		young []string
		kept  []string
	}{
		"nothing":        {nil, []string{}},
		"objects alone":  {[]string{"_SUCCESS", "books"}, []string{}},
		"a part":         {[]string{"a/part-00000"}, []string{"a/.millrace-" + jobA + "/" + beside, "a/part-00000.arrow: younger than 24 h", "a/part-00001.arrow" + beside, "a/side/part-00000.arrow" + beside}},
		"a run":          {[]string{"a/.millrace-" + jobA}, []string{"a/.millrace-" + jobA + "/: younger than 24 h", "a/part-00000.arrow" + beside, "a/part-00001.arrow" + beside, "a/side/part-00000.arrow" + beside}},
		"a side output":  {[]string{"a/side/"}, []string{"a/.millrace-" + jobA + "/" + beside, "a/part-00000.arrow" + beside, "a/part-00001.arrow" + beside, "a/side/part-00000.arrow: younger than 24 h"}},
		"doctor's":       {[]string{"doctor"}, []string{".millrace-doctor-1/: younger than 24 h"}},
		"another output": {[]string{"b/part"}, []string{"b/part-00000.arrow: younger than 24 h"}},
	} {
		b := newBucket(t)
		b.aged.young = c.young
		b.put("a/_SUCCESS", "a/books.txt", "a/.millrace-"+jobA+"/r", ".millrace-doctor-1/x")
		b.pend("a/part-00000.arrow", "a/part-00001.arrow", "a/side/part-00000.arrow", "b/part-00000.arrow")
		r := b.find("mem://b/", Options{})
		b.same(name, b.brief(r.Kept), c.kept)
		if len(r.Items)+len(r.Kept) != 6 {
			t.Errorf("%s: %d to be removed, %d kept", name, len(r.Items), len(r.Kept))
		}
	}
}

// A claim is left like what it is the claim of: with a live job, and while something beside it is young; it keeps what lies beside it as
// long as it is young itself.
func TestClaims(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	b.put("a/.millrace-claim", "b/.millrace-claim", "c/.millrace-claim", "d/.millrace-claims", "e/.millrace-claim/x", "f/.millrace-claim")
	b.pend("a/part-00000.arrow", "b/part-00000.arrow", "c/part-00000.arrow")
	b.aged.young = []string{"a/part", "b/.millrace-claim"}
	o := Options{Owners: func(context.Context) ([]Owner, error) { return []Owner{{ID: jobA, Output: "mem://b/c"}}, nil }}
	r := b.find("mem://b/", o)
	beside := ": something beside it is younger than 24 h: a job may be at work there"
	b.same("kept", b.brief(r.Kept), []string{
		"a/.millrace-claim" + beside, "a/part-00000.arrow: younger than 24 h", "b/.millrace-claim: younger than 24 h", "b/part-00000.arrow" + beside,
		"c/.millrace-claim: job " + jobA + " is at work there", "c/part-00000.arrow: job " + jobA + " is at work there",
	})
	b.same("found", b.brief(r.Items), []string{"claim f/.millrace-claim 17 in 1"})
	if err := Remove(t.Context(), b.store, r, nil); err != nil {
		t.Fatal(err)
	}
	if slices.Contains(b.there(), "f/.millrace-claim") || !slices.Contains(b.there(), "a/.millrace-claim") {
		t.Errorf("left %q", b.there())
	}
}

// The age is that of the last sign of life: a part that was written to lately is young, however long ago it was begun; and
// how much counts as old is the caller's to say.
func TestAges(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	b.aged.young = []string{""}
	b.pend("out/part-00000.arrow")
	for older, kept := range map[time.Duration]int{0: 1, time.Hour: 1, -1: 0} {
		if r := b.find("mem://b/", Options{OlderThan: older}); len(r.Kept) != kept {
			t.Errorf("older than %v: kept %q", older, b.brief(r.Kept))
		}
	}
	later := func() time.Time { return time.Now().Add(3 * time.Hour) }
	if r := b.find("mem://b/", Options{OlderThan: 2 * time.Hour, Now: later}); len(r.Items) != 1 {
		t.Errorf("three hours later: kept %q", b.brief(r.Kept))
	}
	b.aged.blind = true
	r := b.find("mem://b/", Options{OlderThan: -1})
	b.same("of unknown age", b.brief(r.Kept), []string{"out/part-00000.arrow: the store does not say how old it is"})
}

// What finished stages of a chain wrote is one thing, which keeps its output, and is kept by it, as long as anything there is young; it
// goes with age, its manifests first. It stays if the chain is complete or lives, and so does what others put between.
func TestStages(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	b.put("over/_SUCCESS")
	stages := func(out string) []string {
		return []string{out + "/_stages/001-a/part-00000.arrow", out + "/_stages/001-a/_SUCCESS", out + "/_stages/012-b.c/long/map-00003.arrow", out + "/_stages/012-b.c/_SUCCESS"}
	}
	stay := []string{"over/_SUCCESS", "done/_SUCCESS", "died/_stages/readme", "died/_stages/x/part-00000.arrow", "died/_stages/001-a/part-0.arrow", "stages/001-a/_SUCCESS"}
	b.put(slices.Concat(stages("died"), stages("over"), stages("done"), stay[1:])...)
	b.pend("died/_stages/013-d/part-00000.arrow")
	b.put("died/_stages/013-d/.millrace-" + jobA + ".13/map-00000.0.run")

	live := Options{OlderThan: -1, Owners: func(context.Context) ([]Owner, error) { return []Owner{{jobA, "mem://b/died"}}, nil }}
	if r := b.find("mem://b/", live); len(r.Items) != 1 || r.Items[0].URL != "mem://b/over/_stages/" || len(r.Kept) != 4 {
		t.Errorf("of a live chain: to be removed %q, kept %q", b.brief(r.Items), b.brief(r.Kept))
	}
	b.aged.young = []string{"died/_stages/013-d/part"}
	beside := ": something beside it is younger than 24 h: a job may be at work there"
	r := b.find("mem://b/", Options{})
	b.same("while a stage is at work", b.brief(r.Kept), []string{
		"died/_stages/" + beside, "died/_stages/013-d/.millrace-" + jobA + ".13/" + beside, "died/_stages/013-d/part-00000.arrow: younger than 24 h",
		"done/_stages/: the stages of a chain that is complete, as --keep-stages leaves them: remove the folder if nobody needs it",
	})
	b.aged.young = []string{"died/_stages/012"}
	if r := b.find("mem://b/", Options{}); len(r.Kept) != 4 || len(r.Items) != 1 {
		t.Errorf("just after a stage: to be removed %q, kept %q", b.brief(r.Items), b.brief(r.Kept))
	}
	b.aged.young = nil
	r = b.find("mem://b/", Options{})
	size := len(strings.Join(stages("died"), ""))
	b.same("found", b.brief(r.Items), []string{
		fmt.Sprintf("chain's stages died/_stages/ %d in 4", size), fmt.Sprintf("run folder died/_stages/013-d/.millrace-%s.13/ %d in 1", jobA, len("died/_stages/013-d/.millrace-"+jobA+".13/map-00000.0.run")),
		"pending upload died/_stages/013-d/part-00000.arrow 35 in 1", fmt.Sprintf("chain's stages over/_stages/ %d in 4", size),
	})
	b.bad.Plan(storagetest.Fault{Op: storagetest.OpRemove, Key: "**/012-b.c/_SUCCESS", Times: -1, Err: storage.ErrDenied})
	if err := Remove(t.Context(), b.store, r, nil); err == nil || !slices.Contains(b.there(), "died/_stages/012-b.c/long/map-00003.arrow") {
		t.Errorf("%v: left %q: parts are removed before their manifest", err, b.there())
	}
	b.bad.Plan()
	if err := Remove(t.Context(), b.store, b.find("mem://b/", Options{}), nil); err != nil {
		t.Fatal(err)
	}
	want := append(stages("done"), stay...)
	slices.Sort(want)
	b.same("left", b.there(), want)
}

// What a live job owns is kept whatever its age: its output with all below, its run folder by its id, those of its stages
// too. Live jobs are asked for after the look, and an answer that fails is the end.
func TestOwners(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	b.pend("a/part-00000.arrow", "a/side/part-00000.arrow", "ab/part-00000.arrow", "b/part-00000.arrow")
	b.put("c/.millrace-"+jobA+"/x", "c/.millrace-"+jobA+".12/x", "c/.millrace-"+jobB+"/x")
	looked := false
	o := Options{OlderThan: -1, Owners: func(context.Context) ([]Owner, error) {
		looked = b.bad.Calls(storagetest.OpList) > 0 && b.bad.Calls(storagetest.OpUploads) > 0
		return []Owner{{ID: "x", Output: "mem://b/a"}, {ID: jobA, Output: "mem://other/c"}}, nil
	}}
	r := b.find("mem://b/", o)
	b.same("kept", b.brief(r.Kept), []string{
		"a/part-00000.arrow: job x is at work there", "a/side/part-00000.arrow: job x is at work there",
		"c/.millrace-" + jobA + ".12/: job " + jobA + " is at work there", "c/.millrace-" + jobA + "/: job " + jobA + " is at work there",
	})
	if len(r.Items) != 3 || !looked {
		t.Errorf("to be removed %q; asked after the look: %v", b.brief(r.Items), looked)
	}
	no := errors.New("no master")
	o.Owners = func(context.Context) ([]Owner, error) { return nil, no }
	if _, err := Find(t.Context(), b.store, "mem://b/", o); !errors.Is(err, no) {
		t.Errorf("no answer: %v", err)
	}
}

// What cannot be removed is named, and the rest is removed; an end of the context is an end.
func TestRemoveFails(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	b.pend("a/part-00000.arrow", "a/part-00001.arrow")
	b.put("a/.millrace-"+jobA+"/1", "a/.millrace-"+jobA+"/2")
	r := b.find("mem://b/", Options{})
	b.bad.Plan(
		storagetest.Fault{Op: storagetest.OpAbort, Key: "a/part-00000.arrow", Times: -1, Err: storage.ErrDenied},
		storagetest.Fault{Op: storagetest.OpRemove, Key: "**/1", Times: -1, Err: storage.ErrDenied})
	err := Remove(t.Context(), b.store, r, nil)
	if err == nil || err.Error() != "2 of 3 leftovers could not be removed" {
		t.Errorf("got %v", err)
	}
	b.same("left", b.there(), []string{"a/.millrace-" + jobA + "/1", "a/part-00000.arrow?"})
	for _, i := range r.Items {
		if bad := !strings.Contains(i.URL, "part-00001"); i.Removed == bad || strings.Contains(i.Problem, "access denied") != bad {
			t.Errorf("%+v", i)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Remove(ctx, b.store, r, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	b.bad.Plan(storagetest.Fault{Op: storagetest.OpUploads, Times: -1, Err: storage.ErrDenied})
	if _, err := Find(t.Context(), b.store, "mem://b/", Options{}); !errors.Is(err, storage.ErrDenied) {
		t.Errorf("uploads that may not be listed: %v", err)
	}
}

// On local disks uploads of any name are millrace's own, and so are temporary files and the bytes of uploads without a log;
// other hidden files are somebody's. Those that are being written count as young.
func TestLocal(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	local := localstore.New(localstore.Options{NoSync: true})
	b := &bucket{T: t, root: "file://" + dir + "/"}
	b.store = storage.New(storage.Options{Schemes: map[string]storage.Opener{
		"file": func(context.Context, string) (storage.Backend, error) { return local, nil },
	}})
	b.put("out/_SUCCESS", "out/part-00000.arrow", "out/.millrace-"+jobA+"/map-00000.0.run")
	b.pend("out/part-00000.arrow", "data/film.mkv")
	write := func(name string, age time.Duration) {
		t.Helper()
		path := filepath.Join(dir, name)
		at := time.Now().Add(-age)
		if err := errors.Join(os.WriteFile(path, []byte("abc"), 0o666), os.Chtimes(path, at, at)); err != nil {
			t.Fatal(err)
		}
	}
	id := strings.Repeat("ab", 16)
	write("data/.x."+id+".tmp", 0)
	write("out/.part-00001.arrow."+id+".pending", 0)
	write("out/.bashrc", 0)
	write("out/.x."+id+".tmp.bak", 0)
	write("out/.x.abab.tmp", 0)

	if r := b.find(dir, Options{}); len(r.Items) != 0 || len(r.Kept) != 5 {
		t.Errorf("just written: to be removed %q, kept %q", b.brief(r.Items), b.brief(r.Kept))
	}
	day := func() time.Time { return time.Now().Add(25 * time.Hour) }
	r := b.find(dir, Options{Now: day})
	b.same("a day later", b.brief(r.Items), []string{
		"temporary file data/.x." + id + ".tmp 3 in 1",
		"pending upload data/film.mkv 13 in 1",
		fmt.Sprintf("run folder out/.millrace-%s/ %d in 1", jobA, len("out/.millrace-"+jobA+"/map-00000.0.run")),
		"temporary file out/.part-00001.arrow." + id + ".pending 3 in 1",
		"pending upload out/part-00000.arrow 20 in 1",
	})
	if err := Remove(t.Context(), b.store, r, nil); err != nil {
		t.Fatal(err)
	}
	var left []string
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			left = append(left, strings.TrimPrefix(path, dir+"/"))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	b.same("left", left, []string{"out/.bashrc", "out/.x.abab.tmp", "out/.x." + id + ".tmp.bak", "out/_SUCCESS", "out/part-00000.arrow"})
}

// Ages are said as people do.
func TestAge(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		-time.Second: "0 s", 40 * time.Second: "40 s", 119 * time.Second: "119 s", 5 * time.Minute: "5 min", 3 * time.Hour: "3 h",
		24 * time.Hour: "24 h", 49 * time.Hour: "2 days", 1000 * time.Hour: "41 days",
	} {
		if got := Age(d); got != want {
			t.Errorf("%v: got %q, want %q", d, got, want)
		}
	}
}
