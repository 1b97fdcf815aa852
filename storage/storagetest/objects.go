package storagetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/storage"
)

// listOrder: keys come in the order of their bytes, where '-' and '.' stand before '/' and '0' behind it, whatever the
// folders; a prefix is a prefix of the key and no folder.
func listOrder(s *suite) {
	all := []string{"p/a-1", "p/a.txt", "p/a/1", "p/a/b/2", "p/a/c", "p/a0", "p/ab", "q"}
	for _, i := range []int{3, 0, 7, 5, 1, 6, 4, 2} {
		s.put(all[i], all[i])
	}
	cases := []struct {
		prefix string
		want   []string
	}{
		{"", all},
		{"p", all[:7]},
		{"p/", all[:7]},
		{"p/a", all[:7]},
		{"p/a/", all[2:5]},
		{"p/a/b", all[3:4]},
		{"p/ab", all[6:7]},
		{"p/a.txt", all[1:2]},
		{"p/a.txt/", nil},
		{"nothing/here/", nil},
	}
	for _, c := range cases {
		if got := s.keys(c.prefix, ""); !slices.Equal(got, c.want) {
			s.Errorf("List(%q) = %q, want %q", c.prefix, got, c.want)
		}
	}
}

// listLevels: with a delimiter, what lies deeper is one common prefix with size -1, in its place in the order.
func listLevels(s *suite) {
	for _, key := range []string{"a/b/1", "a/b/2", "a/b.txt", "a/b0", "a/c/d/e", "top"} {
		s.put(key, "x")
	}
	cases := []struct {
		prefix string
		want   []string
	}{
		{"", []string{"a/", "top"}},
		{"a", []string{"a/"}},
		{"a/", []string{"a/b.txt", "a/b/", "a/b0", "a/c/"}},
		{"a/b", []string{"a/b.txt", "a/b/", "a/b0"}},
		{"a/c/", []string{"a/c/d/"}},
		{"a/x", nil},
	}
	for _, c := range cases {
		if got := s.keys(c.prefix, "/"); !slices.Equal(got, c.want) {
			s.Errorf("List(%q, /) = %q, want %q", c.prefix, got, c.want)
		}
	}
	err := s.b.List(s.ctx, "a/", "/", func(o storage.Object) bool {
		folder := strings.HasSuffix(o.Key, "/")
		if folder && o.Size != -1 || !folder && (o.Size != 1 || o.ETag == "" || o.Modified.IsZero()) {
			s.Errorf("List(a/, /) describes %+v; want size -1 for folders, else size 1, an ETag and a time", o)
		}
		return true
	})
	if err != nil {
		s.Fatal(err)
	}
}

// listStops: a listing ends when yield says so, without an error.
func listStops(s *suite) {
	for i := range 5 {
		s.put(fmt.Sprint("d/", i, "/x"), "x")
	}
	seen := 0
	err := s.b.List(s.ctx, "d/", "", func(storage.Object) bool { seen++; return seen < 2 })
	if seen != 2 || err != nil {
		s.Errorf("a listing stopped at the second object saw %d, error %v", seen, err)
	}
}

// listMany: a listing of more than one page of 1,000 keys is complete and in order.
func listMany(s *suite) {
	const n = 1100
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			for i := worker; i < n; i += 8 {
				if _, err := s.b.Put(s.ctx, fmt.Sprintf("m/%02d/%04d", i%10, i), nil, false); err != nil {
					s.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if keys := s.keys("m/", ""); len(keys) != n || !slices.IsSorted(keys) || len(slices.Compact(keys)) != n {
		s.Errorf("a listing of %d objects gave %d keys, sorted: %v", n, len(keys), slices.IsSorted(keys))
	}
}

// readRanges: a range is what was asked for, cut at the object's end, empty beyond it.
func readRanges(s *suite) {
	const text = "0123456789"
	s.put("r", text)
	for _, c := range []struct {
		off, n int64
		want   string
	}{
		{0, -1, text}, {0, 10, text}, {3, 4, "3456"}, {9, 1, "9"}, {9, 100, "9"}, {4, -1, "456789"},
		{10, -1, ""}, {10, 5, ""}, {11, -1, ""}, {1000, 5, ""}, {0, 0, ""}, {5, 0, ""}, {0, 1, "0"},
	} {
		got, o := s.read("r", c.off, c.n, "")
		if string(got) != c.want || o.Size != int64(len(text)) || o.ETag == "" {
			s.Errorf("Read(%d, %d) = %q of an object of %d bytes, ETag %q; want %q of %d", c.off, c.n, got, o.Size,
				o.ETag, c.want, len(text))
		}
	}
	s.put("empty", "")
	for _, n := range []int64{-1, 0, 7} {
		if got, o := s.read("empty", 0, n, ""); len(got) != 0 || o.Size != 0 {
			s.Errorf("Read(0, %d) of an empty object = %q, size %d", n, got, o.Size)
		}
	}
}

// readDescribes: a listing, a read and a write describe an object alike.
func readDescribes(s *suite) {
	before := time.Now().Add(-time.Hour)
	put := s.put("d/x", "hello")
	_, read := s.read("d/x", 0, 0, "")
	var listed storage.Object
	if err := s.b.List(s.ctx, "d/", "", func(o storage.Object) bool { listed = o; return true }); err != nil {
		s.Fatal(err)
	}
	for what, o := range map[string]storage.Object{"Put": put, "Read": read, "List": listed} {
		if o.Key != "d/x" || o.Size != 5 || o.ETag == "" || o.ETag != listed.ETag {
			s.Errorf("%s describes %+v; want key d/x, size 5 and the listed ETag %q", what, o, listed.ETag)
		}
	}
	if read.Modified.Before(before) || !read.Modified.Truncate(time.Second).Equal(listed.Modified.Truncate(time.Second)) {
		s.Errorf("modified at %v by Read, at %v by List; want a time of now, the same", read.Modified, listed.Modified)
	}
}

// readChanged: with the ETag of an older version nothing is read.
func readChanged(s *suite) {
	old := s.put("c", "first")
	if got, _ := s.read("c", 1, 3, old.ETag); string(got) != "irs" {
		s.Errorf("Read with the right ETag = %q, want irs", got)
	}
	s.put("c", "other")
	for _, n := range []int64{-1, 0, 2} {
		body, _, err := s.b.Read(s.ctx, "c", 0, n, old.ETag)
		if err == nil {
			body.Close()
		}
		s.wantErr(fmt.Sprintf("Read(n=%d) with an old ETag", n), err, storage.ErrChanged)
	}
}

// readNothing: what is not there is ErrNotFound, a folder too.
func readNothing(s *suite) {
	s.put("f/x", "x")
	for _, key := range []string{"no", "f/no", "no/x", "f"} {
		s.wantAbsent(key)
	}
	body, _, err := s.b.Read(s.ctx, "no", 5, 10, "")
	if err == nil {
		body.Close()
	}
	s.wantErr("Read of a range of nothing", err, storage.ErrNotFound)
}

// readLarge: 20 MiB come back whole and in ranges, by readers side by side.
func readLarge(s *suite) {
	want := random(1, 20<<20)
	s.put("large", string(want))
	s.wantObject("large", want)
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			off := i * 5 << 20
			if got, _ := s.read("large", int64(off), 5<<20, ""); !bytes.Equal(got, want[off:off+5<<20]) {
				s.Errorf("range at %d differs", off)
			}
		})
	}
	wg.Wait()
}

// putReplaces: a write replaces what is there, and its ETag.
func putReplaces(s *suite) {
	a := s.put("k", "one")
	b := s.put("k", "two!")
	if a.ETag == b.ETag {
		s.Errorf("both versions have the ETag %q", a.ETag)
	}
	s.wantObject("k", []byte("two!"))
	if got := s.keys("", ""); !slices.Equal(got, []string{"k"}) {
		s.Errorf("two writes of one key left %q", got)
	}
}

// putIfAbsent: a conditional write creates, and never replaces.
func putIfAbsent(s *suite) {
	if _, err := s.b.Put(s.ctx, "dir/k", []byte("one"), true); err != nil {
		s.Fatalf("conditional Put of a new key: %v", err)
	}
	_, err := s.b.Put(s.ctx, "dir/k", []byte("two"), true)
	s.wantErr("conditional Put of a key that is there", err, storage.ErrPrecondition)
	s.wantObject("dir/k", []byte("one"))
	if err := s.b.Remove(s.ctx, "dir/k"); err != nil {
		s.Fatal(err)
	}
	if _, err := s.b.Put(s.ctx, "dir/k", nil, true); err != nil {
		s.Errorf("conditional Put of a removed key: %v", err)
	}
	s.wantObject("dir/k", nil)
}

// putRaced: of 32 conditional writes at the same time exactly one wins, and it is its body that stands.
func putRaced(s *suite) {
	for round := range 5 {
		key := fmt.Sprint("race/", round)
		var won atomic.Int32
		var winner atomic.Value
		var wg sync.WaitGroup
		start := make(chan struct{})
		for i := range 32 {
			wg.Go(func() {
				<-start
				body := fmt.Sprint("writer ", i)
				if err := s.putConditional(key, body); err == nil {
					won.Add(1)
					winner.Store(body)
				} else if !errors.Is(err, storage.ErrPrecondition) {
					s.Errorf("conditional Put: %v", err)
				}
			})
		}
		close(start)
		wg.Wait()
		if won.Load() != 1 {
			s.Fatalf("%d of 32 conditional writes won, want exactly 1", won.Load())
		}
		s.wantObject(key, []byte(winner.Load().(string)))
	}
}

// putConditional repeats a conditional write for as long as the server says that it met another one and was not done.
func (s *suite) putConditional(key, body string) error {
	for range 100 {
		_, err := s.b.Put(s.ctx, key, []byte(body), true)
		if !errors.Is(err, storage.ErrConflict) && !errors.Is(err, storage.ErrSlowDown) {
			return err
		}
	}
	return errors.New("conflicts without end")
}

// remove: a removed object is gone, its neighbours stay, and removing nothing is no error.
func remove(s *suite) {
	s.put("d/a", "a")
	s.put("d/b", "b")
	for range 2 {
		if err := s.b.Remove(s.ctx, "d/a"); err != nil {
			s.Fatalf("Remove: %v", err)
		}
	}
	if err := s.b.Remove(s.ctx, "no/such/key"); err != nil {
		s.Errorf("Remove of what was never there: %v", err)
	}
	s.wantAbsent("d/a")
	if got := s.keys("", ""); !slices.Equal(got, []string{"d/b"}) {
		s.Errorf("left are %q, want d/b", got)
	}
}

// strange are keys that break naive path and URL handling.
func strange() []string {
	return []string{
		"with space/and  two", "plus+plus", "per%20cent%", "%2e%2e", "hash#mark", "question?mark=1&b", "ünïcödé/日本語", "quote'\"",
		"semi;colon:equals=", "star*[glob]{a,b}", "dot.", "..dots..", ".hidden", "-dash", "~tilde", "comma,", "at@sign",
		"long/" + strings.Repeat(strings.Repeat("k", 199)+"/", 4) + "end", strings.Repeat("n", 255),
	}
}

// strangeNames: keys are plain text.
func strangeNames(s *suite) {
	keys := strange()
	for _, key := range keys {
		s.put(key, key)
	}
	for _, key := range keys {
		s.wantObject(key, []byte(key))
		if got := s.keys(key, ""); !slices.Contains(got, key) {
			s.Errorf("List(%q) = %q", key, got)
		}
	}
	slices.Sort(keys)
	if got := s.keys("", ""); !slices.Equal(got, keys) {
		s.Errorf("List = %q, want %q", got, keys)
	}
	for _, key := range keys {
		if err := s.b.Remove(s.ctx, key); err != nil {
			s.Errorf("Remove(%q): %v", key, err)
		}
		s.wantAbsent(key)
	}
}

// cancelled: with an ended context nothing is done and the error says so.
func cancelled(s *suite) {
	s.put("k", "v")
	ctx, cancel := context.WithCancel(s.ctx)
	cancel()
	calls := map[string]func() error{
		"List": func() error {
			return s.b.List(ctx, "", "", func(storage.Object) bool { return true })
		},
		"Read":           func() error { _, _, err := s.b.Read(ctx, "k", 0, -1, ""); return err },
		"Put":            func() error { _, err := s.b.Put(ctx, "new", nil, false); return err },
		"Put if absent":  func() error { _, err := s.b.Put(ctx, "new", nil, true); return err },
		"Uploads.Create": func() error { _, err := s.b.Uploads().Create(ctx, "new"); return err },
	}
	for name, call := range calls {
		s.wantErr(name+" with an ended context", call(), context.Canceled)
	}
	s.wantAbsent("new")
}
