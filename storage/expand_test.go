package storage_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/localstore"
	"github.com/millrace/millrace/storage/storagetest"
)

// tree are the objects of the tests of Expand.
var tree = []string{
	"data/.git/config", "data/.hidden", "data/2025/jan.log", "data/2025/jan.log.gz", "data/2026/feb.log", "data/2026/jan.log",
	"data/2026/raw/.tmp/x.log", "data/2026/raw/deep/x.log", "data/_SUCCESS", "data/a [1].txt", "data/b.txt", "data/c{d}.txt",
	"database.txt", "only/.x", "only/_SUCCESS", "twins/name", "twins-2/name",
}

// places are the same tree in a bucket and in local files; each gives a Store and the URL that the tree stands under.
func places(t *testing.T) map[string]func() (*storage.Store, string) {
	return map[string]func() (*storage.Store, string){
		"bucket": func() (*storage.Store, string) {
			b := newBench(t)
			for _, key := range tree {
				b.has(key, key)
			}
			return b.s, "mem://x/"
		},
		"files": func() (*storage.Store, string) {
			root := t.TempDir()
			for _, key := range tree {
				path := filepath.Join(root, key)
				os.MkdirAll(filepath.Dir(path), 0o777)
				if err := os.WriteFile(path, []byte(key), 0o666); err != nil {
					t.Fatal(err)
				}
			}
			return localStore(), "file://" + root + "/"
		},
	}
}

func localStore() *storage.Store {
	return storage.New(storage.Options{Schemes: map[string]storage.Opener{"file": localstore.Opener(localstore.Options{})}})
}

// Objects, folders and globs give the objects they mean, sorted and once each, in a bucket as in local files.
func TestExpand(t *testing.T) {
	t.Parallel()
	folder := []string{"data/2025/jan.log", "data/2025/jan.log.gz", "data/2026/feb.log", "data/2026/jan.log", "data/2026/raw/deep/x.log",
		"data/a [1].txt", "data/b.txt", "data/c{d}.txt"}
	cases := []struct {
		inputs string // separated by commas behind a space
		want   []string
	}{
		{"data/b.txt", []string{"data/b.txt"}},
		{"data/", folder},
		{"data", folder},
		{"data/2026 , data/2025/ , data/b.txt , data/2025", slices.Concat(folder[:5], []string{"data/b.txt"})},
		{"data/.hidden", []string{"data/.hidden"}},
		{"data/_SUCCESS", []string{"data/_SUCCESS"}},
		{"data/.git/", []string{"data/.git/config"}},
		{"data/*.txt", []string{"data/a [1].txt", "data/b.txt", "data/c{d}.txt"}},
		{"data/a [1].txt", []string{"data/a [1].txt"}}, // an object's exact name before all globs
		{"data/c{d}.txt", []string{"data/c{d}.txt"}},
		{`data/a \[1\].t?t`, []string{"data/a [1].txt"}},
		{"data/[bc]*.txt", []string{"data/b.txt", "data/c{d}.txt"}},
		{"data/{b,x}.txt", []string{"data/b.txt"}},
		{"data/*/jan.log", []string{"data/2025/jan.log", "data/2026/jan.log"}},
		{"data/202[56]/*.log", []string{"data/2025/jan.log", "data/2026/feb.log", "data/2026/jan.log"}},
		{"data/**/*.log", []string{"data/2025/jan.log", "data/2026/feb.log", "data/2026/jan.log", "data/2026/raw/deep/x.log"}},
		{"**/x.log", []string{"data/2026/raw/deep/x.log"}},
		{"data/**/.tmp/*.log", []string{"data/2026/raw/.tmp/x.log"}},
		{"{data/2025,twins}/*", []string{"data/2025/jan.log", "data/2025/jan.log.gz", "twins/name"}},
		{"data/20*", folder[:5]}, // a glob that matches folders means them
		{"data/20*/", folder[:5]},
		{"*/2026", folder[2:5]},
		{"twins*", []string{"twins-2/name", "twins/name"}},
		{"twins", []string{"twins/name"}},
		{"data/.g*/*", []string{"data/.git/config"}},
		{"data/_S*", []string{"data/_SUCCESS"}},
		{"d*.txt", []string{"database.txt"}},
		{"", slices.Concat(folder, []string{"database.txt", "twins-2/name", "twins/name"})},
	}
	for place, open := range places(t) {
		s, base := open()
		for _, c := range cases {
			var inputs, got []string
			for input := range strings.SplitSeq(c.inputs, " , ") {
				inputs = append(inputs, base+input)
			}
			listed, err := s.Expand(t.Context(), inputs)
			if err != nil {
				t.Errorf("%s: Expand(%q): %v", place, c.inputs, err)
				continue
			}
			for _, l := range listed {
				key, ok := strings.CutPrefix(l.URL, base)
				if !ok || l.Size != int64(len(key)) || l.ETag == "" {
					t.Errorf("%s: Expand(%q) lists %+v", place, c.inputs, l)
				}
				got = append(got, key)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("%s: Expand(%q) = %q, want %q", place, c.inputs, got, c.want)
			}
		}
	}
}

// What names nothing is refused with its URL, the reason, and what may be meant.
func TestExpandMissing(t *testing.T) {
	t.Parallel()
	for place, open := range places(t) {
		s, base := open()
		for input, text := range map[string]string{
			"dat":             "did you mean " + base + "data/?",
			"database.tx":     "did you mean " + base + "database.txt?",
			"data/2027":       "did you mean " + base + "data/202",
			"data/zzz":        "no such object, nor a folder with objects in it",
			"nowhere/at/all":  "no such object, nor a folder",
			"data/*.csv":      "the glob matches nothing",
			"nowhere/**":      "the glob matches nothing",
			"only":            "left out",
			"only/":           "left out",
			"database.txt/":   "no such object",
			"data/b.txt/more": "no such object",
		} {
			_, err := s.Expand(t.Context(), []string{base + "data", base + input})
			wantErr(t, place+": "+input, err, storage.ErrNotFound, "input "+base+input+": not found", text)
		}
		_, err := s.Expand(t.Context(), []string{base + "data/[a"})
		wantErr(t, place, err, storage.ErrBadURL, base+"data/[a", "brackets")
		_, err = s.Expand(t.Context(), []string{base + "no1", base + "data", base + "no2", base + "no3"})
		wantErr(t, place, err, storage.ErrNotFound, "input "+base+"no1", "2 more inputs are missing")
	}
	_, err := localStore().Expand(t.Context(), nil)
	wantErr(t, "no inputs", err, storage.ErrNotFound, "no input is named")
}

// An empty local folder is there and empty, which is said.
func TestExpandEmptyFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	os.Mkdir(filepath.Join(dir, "empty"), 0o777)
	for _, input := range []string{"empty", "empty/"} {
		_, err := localStore().Expand(t.Context(), []string{filepath.Join(dir, "empty") + strings.TrimPrefix(input, "empty")})
		wantErr(t, input, err, storage.ErrNotFound, "the folder is empty")
	}
}

// What stands in the way is the error, whichever call meets it, and a failure that passes does no harm.
func TestExpandFails(t *testing.T) {
	t.Parallel()
	for _, want := range []error{storage.ErrDenied, storage.ErrNoBucket, storage.ErrUnreachable} {
		for _, op := range []storagetest.Op{storagetest.OpRead, storagetest.OpList} {
			b := newBench(t, storagetest.Fault{Op: op, Times: -1, Err: want})
			for _, input := range []string{"mem://x/dir", "mem://x/*.txt", "mem://x/**"} {
				_, err := b.s.Expand(t.Context(), []string{input})
				wantErr(t, string(op)+" of "+input, err, want, "mem://x/")
			}
		}
	}
	b := newBench(t, storagetest.Fault{Every: 2, Times: -1})
	for i := range 50 {
		b.has(fmt.Sprintf("d/%d/x", i), "x")
	}
	got, err := b.s.Expand(t.Context(), []string{"mem://x/d"})
	if err != nil || len(got) != 50 {
		t.Errorf("with every second call failing: %d objects, %v; want 50", len(got), err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = b.s.Expand(ctx, []string{"mem://x/d"})
	wantErr(t, "cancelled", err, context.Canceled)
}

// A glob lists only the levels it needs: the first wildcard's prefix narrows the listing, other folders are not looked at.
func TestGlobListsLittle(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for i := range 100 {
		b.has(fmt.Sprintf("logs/2026-%02d/x.log", i), "x")
		b.has(fmt.Sprintf("other/%d/x.log", i), "x")
	}
	got, err := b.s.Expand(t.Context(), []string{"mem://x/logs/2026-0*/*.log"})
	if err != nil || len(got) != 10 {
		t.Fatalf("%d objects, %v; want 10", len(got), err)
	}
	if calls := b.b.Calls(storagetest.OpList); calls != 11 {
		t.Errorf("%d listings, want 1 of logs/2026-0 and 10 of the folders that match", calls)
	}
}

// busy counts the listings and reads under way.
type busy struct {
	storage.Backend
	now, most atomic.Int32
}

func (b *busy) enter() (leave func()) {
	now := b.now.Add(1)
	for most := b.most.Load(); now > most && !b.most.CompareAndSwap(most, now); most = b.most.Load() {
	}
	runtime.Gosched()
	return func() { b.now.Add(-1) }
}

func (b *busy) List(ctx context.Context, prefix, delim string, yield func(storage.Object) bool) error {
	defer b.enter()()
	return b.Backend.List(ctx, prefix, delim, yield)
}

func (b *busy) Read(ctx context.Context, key string, off, n int64, etag string) (io.ReadCloser, storage.Object, error) {
	defer b.enter()()
	return b.Backend.Read(ctx, key, off, n, etag)
}

// However many inputs, folders and levels of globs there are, no more than Parallel calls are under way.
func TestExpandBound(t *testing.T) {
	t.Parallel()
	mem := newBench(t).mem
	var inputs []string
	for i := range 10 {
		for j := range 10 {
			for k := range 3 {
				mem.Put(t.Context(), fmt.Sprintf("%d/%d/%d/x", i, j, k), nil, false)
			}
		}
		inputs = append(inputs, fmt.Sprintf("mem://x/%d", i), fmt.Sprintf("mem://x/%d/*/*/x", i), "mem://x/*/*/")
	}
	b := &busy{Backend: mem}
	s := storage.New(storage.Options{Parallel: 3, Schemes: map[string]storage.Opener{
		"mem": func(context.Context, string) (storage.Backend, error) { return b, nil },
	}})
	got, err := s.Expand(t.Context(), inputs)
	if err != nil || len(got) != 300 || b.most.Load() > 3 {
		t.Errorf("%d objects, %v, with %d calls at a time; want 300 with at most 3", len(got), err, b.most.Load())
	}
}

// 10,000 files in as many folders are to be listed in well under a second, by folder and by glob.
func BenchmarkExpandManyFolders(b *testing.B) {
	root := b.TempDir()
	for i := range 10_000 {
		dir := filepath.Join(root, fmt.Sprintf("%02d", i%100), fmt.Sprintf("%04d", i))
		os.MkdirAll(dir, 0o777)
		if err := os.WriteFile(filepath.Join(dir, "f.txt"), nil, 0o666); err != nil {
			b.Fatal(err)
		}
	}
	for _, glob := range []string{"", "/**/*.txt", "/*/*/*.txt"} {
		b.Run("folder"+glob, func(b *testing.B) {
			for b.Loop() {
				if got, err := localStore().Expand(b.Context(), []string{root + glob}); err != nil || len(got) != 10_000 {
					b.Fatalf("%d files, %v", len(got), err)
				}
			}
		})
	}
}

// What Folder says of a folder that is named, or that a glob matches, takes the place of its listing; of others it says nothing. An
// error of it is the listing's.
func TestExpandWith(t *testing.T) {
	t.Parallel()
	for name, place := range places(t) {
		s, root := place()
		var asked []string
		var mu sync.Mutex
		folder := func(_ context.Context, url string) ([]storage.Listed, bool, error) {
			mu.Lock()
			defer mu.Unlock()
			asked = append(asked, strings.TrimPrefix(url, root))
			return []storage.Listed{{URL: url + "instead"}}, strings.HasSuffix(url, "2026/"), nil
		}
		got, err := s.ExpandWith(t.Context(), []string{root + "data/20*", root + "only/.x", root + "twins/"}, storage.ExpandOptions{Folder: folder})
		if err != nil {
			t.Fatal(err)
		}
		var keys []string
		for _, l := range got {
			keys = append(keys, strings.TrimPrefix(l.URL, root))
		}
		if want := []string{"data/2025/jan.log", "data/2025/jan.log.gz", "data/2026/instead", "only/.x", "twins/name"}; !slices.Equal(keys, want) {
			t.Errorf("%s: got %q, want %q", name, keys, want)
		}
		slices.Sort(asked)
		if want := []string{"data/2025/", "data/2026/", "twins/"}; !slices.Equal(asked, want) {
			t.Errorf("%s: asked about %q, want %q", name, asked, want)
		}
		broken := func(context.Context, string) ([]storage.Listed, bool, error) { return nil, false, io.ErrUnexpectedEOF }
		if _, err := s.ExpandWith(t.Context(), []string{root + "data"}, storage.ExpandOptions{Folder: broken}); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
