package doctor

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/memstore"
)

// liar is a store that misbehaves in one way: where a function is set, it takes the place of the call.
type liar struct {
	storage.Backend // what it would be if it were honest
	put             func(ctx context.Context, key string, body []byte, ifAbsent bool) (storage.Object, error)
	read            func(ctx context.Context, key string, off, n int64, etag string) (io.ReadCloser, storage.Object, error)
	list            func(ctx context.Context, prefix, delim string, yield func(storage.Object) bool) error
	remove          func(ctx context.Context, key string) error
	uploads         liarUploads
}

type liarUploads struct {
	storage.Uploads
	part     func(ctx context.Context, key, id string, n int, body []byte) (string, error)
	complete func(ctx context.Context, key, id string, parts []storage.Part) (storage.Object, error)
	abort    func(ctx context.Context, key, id string) error
	list     func(ctx context.Context, prefix, id string, yield func(storage.Part) bool) error
}

func (l *liar) Put(ctx context.Context, key string, body []byte, ifAbsent bool) (storage.Object, error) {
	if l.put != nil {
		return l.put(ctx, key, body, ifAbsent)
	}
	return l.Backend.Put(ctx, key, body, ifAbsent)
}

func (l *liar) Read(ctx context.Context, key string, off, n int64, etag string) (io.ReadCloser, storage.Object, error) {
	if l.read != nil {
		return l.read(ctx, key, off, n, etag)
	}
	return l.Backend.Read(ctx, key, off, n, etag)
}

func (l *liar) List(ctx context.Context, prefix, delim string, yield func(storage.Object) bool) error {
	if l.list != nil {
		return l.list(ctx, prefix, delim, yield)
	}
	return l.Backend.List(ctx, prefix, delim, yield)
}

func (l *liar) Remove(ctx context.Context, key string) error {
	if l.remove != nil {
		return l.remove(ctx, key)
	}
	return l.Backend.Remove(ctx, key)
}

func (l *liar) Uploads() storage.Uploads {
	u := l.uploads
	u.Uploads = l.Backend.Uploads()
	return u
}

func (u liarUploads) Part(ctx context.Context, key, id string, n int, body []byte) (string, error) {
	if u.part != nil {
		return u.part(ctx, key, id, n, body)
	}
	return u.Uploads.Part(ctx, key, id, n, body)
}

func (u liarUploads) Complete(ctx context.Context, key, id string, parts []storage.Part) (storage.Object, error) {
	if u.complete != nil {
		return u.complete(ctx, key, id, parts)
	}
	return u.Uploads.Complete(ctx, key, id, parts)
}

func (u liarUploads) Abort(ctx context.Context, key, id string) error {
	if u.abort != nil {
		return u.abort(ctx, key, id)
	}
	return u.Uploads.Abort(ctx, key, id)
}

func (u liarUploads) List(ctx context.Context, prefix, id string, yield func(storage.Part) bool) error {
	if u.list != nil {
		return u.list(ctx, prefix, id, yield)
	}
	return u.Uploads.List(ctx, prefix, id, yield)
}

// memory is the keys of something, for liars that must remember.
type memory struct {
	mu sync.Mutex
	n  map[string]int
}

// add counts a key and returns how often it was counted before.
func (m *memory) add(key string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.n == nil {
		m.n = map[string]int{}
	}
	m.n[key]++
	return m.n[key] - 1
}

// Each misbehaviour is caught by the check that is there for it, with words that say what was seen; the verdict is that the
// store is not suitable, unless jobs survive it; and what was made is removed all the same.
func TestLiars(t *testing.T) {
	t.Parallel()
	for name, c := range liars() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mem := memstore.New()
			l := &liar{Backend: mem}
			c.lie(l, mem)
			r := examine(t, l)
			i := slices.IndexFunc(r.Results, func(r Result) bool { return r.Check == c.check })
			if i < 0 {
				t.Fatalf("no check %q: %+v", c.check, r.Results)
			}
			want, suitable := Failed, false
			if c.warns {
				want, suitable = Warning, true
			}
			got := r.Results[i]
			if got.Status != want || !strings.Contains(got.Seen, c.seen) || got.Lost == "" || got.Do == "" {
				t.Errorf("%s: got %+v, want %s with %q", c.check, got, want, c.seen)
			}
			if r.Suitable != suitable || strings.HasPrefix(r.Verdict, "Suitable") != suitable {
				t.Errorf("the verdict is %q; not well ended %q", r.Verdict, r.bad())
			}
			for _, other := range r.bad() { // nobody is accused of what they did not do
				if name, _, _ := strings.Cut(other, ":"); name != c.check && !slices.Contains(c.also, name) {
					t.Errorf("also %q: %+v", other, r.Results)
				}
			}
			if got := left(t, mem); len(got) > 0 && !c.leaves {
				t.Errorf("left are %q", got)
			}
		})
	}
}

// lie is a misbehaviour and the check that must catch it.
type lie struct {
	check  string
	seen   string
	lie    func(l *liar, mem *memstore.Backend)
	warns  bool     // jobs survive it
	leaves bool     // the store keeps what it was told to remove
	also   []string // other checks that it cannot pass either
}

func liars() map[string]lie {
	all := map[string]lie{}
	for _, some := range []map[string]lie{conditionalLies(), uploadLies(), readLies(), listLies()} {
		for name, l := range some {
			all[name] = l
		}
	}
	return all
}

func conditionalLies() map[string]lie {
	raced, refused, lost := "conditional write, raced", "conditional write", "conditional write, answer lost"
	return map[string]lie{
		"the condition is ignored": {check: refused, seen: "the condition is ignored", also: []string{raced, lost},
			lie: func(l *liar, mem *memstore.Backend) {
				l.put = func(ctx context.Context, key string, body []byte, _ bool) (storage.Object, error) {
					return mem.Put(ctx, key, body, false)
				}
			}},
		"two look before either writes": {check: raced, seen: "2 of 8 writers won in round 1",
			lie: func(l *liar, mem *memstore.Backend) {
				var won memory
				l.put = func(ctx context.Context, key string, body []byte, ifAbsent bool) (storage.Object, error) {
					if ifAbsent && strings.Contains(key, "/race-") && won.add(key) == 1 {
						ifAbsent = false
					}
					return mem.Put(ctx, key, body, ifAbsent)
				}
			}},
		"the refused one is written": {check: raced, seen: "the object is another's", also: []string{refused, lost},
			lie: func(l *liar, mem *memstore.Backend) {
				l.put = func(ctx context.Context, key string, body []byte, ifAbsent bool) (storage.Object, error) {
					o, err := mem.Put(ctx, key, body, ifAbsent)
					if errors.Is(err, storage.ErrPrecondition) {
						mem.Put(ctx, key, body, false)
					}
					return o, err
				}
			}},
		"nobody may win": {check: raced, seen: "none of 8 writers won",
			lie: func(l *liar, mem *memstore.Backend) {
				l.put = func(ctx context.Context, key string, body []byte, ifAbsent bool) (storage.Object, error) {
					if strings.Contains(key, "/race-") {
						return storage.Object{}, storage.ErrPrecondition
					}
					return mem.Put(ctx, key, body, ifAbsent)
				}
			}},
		"a removed object still counts": {check: refused, seen: "had just been removed",
			lie: func(l *liar, mem *memstore.Backend) {
				var put memory
				l.put = func(ctx context.Context, key string, body []byte, ifAbsent bool) (storage.Object, error) {
					if ifAbsent && put.add(key) > 0 && strings.Contains(key, "refused") {
						return storage.Object{}, storage.ErrPrecondition
					}
					return mem.Put(ctx, key, body, ifAbsent)
				}
			}},
		"conditions are not known": {check: refused, seen: "NotImplemented", also: []string{raced, lost},
			lie: func(l *liar, mem *memstore.Backend) {
				l.put = func(ctx context.Context, key string, body []byte, ifAbsent bool) (storage.Object, error) {
					if ifAbsent {
						return storage.Object{}, errors.New("the server refused (NotImplemented)")
					}
					return mem.Put(ctx, key, body, ifAbsent)
				}
			}},
		"what was written is seen late": {check: lost, seen: "cannot be recognised", also: []string{raced},
			lie: func(l *liar, mem *memstore.Backend) {
				var read memory
				l.read = func(ctx context.Context, key string, off, n int64, etag string) (io.ReadCloser, storage.Object, error) {
					if strings.Contains(key, "conditional/lost") && read.add(key) == 0 {
						return nil, storage.Object{}, storage.ErrNotFound
					}
					return mem.Read(ctx, key, off, n, etag)
				}
			}},
	}
}

func uploadLies() map[string]lie {
	return map[string]lie{
		"visible at once": {check: "pending upload", seen: "before its upload is completed", also: []string{"upload aborted"},
			lie: func(l *liar, mem *memstore.Backend) {
				l.uploads.part = func(ctx context.Context, key, id string, n int, body []byte) (string, error) {
					etag, err := mem.Uploads().Part(ctx, key, id, n, body)
					if err == nil && !strings.HasSuffix(key, "/over") {
						mem.Put(ctx, key, body, false)
					}
					return etag, err
				}
			}},
		"replaces too early": {check: "pending upload", seen: "changed the object of its name",
			lie: func(l *liar, mem *memstore.Backend) {
				l.uploads.part = func(ctx context.Context, key, id string, n int, body []byte) (string, error) {
					etag, err := mem.Uploads().Part(ctx, key, id, n, body)
					if err == nil && strings.HasSuffix(key, "/over") {
						mem.Put(ctx, key, body, false)
					}
					return etag, err
				}
			}},
		"listed too early": {check: "pending upload", seen: "the listing shows",
			lie: func(l *liar, mem *memstore.Backend) {
				l.list = func(ctx context.Context, prefix, delim string, yield func(storage.Object) bool) error {
					if strings.HasSuffix(prefix, "/pending/") {
						yield(storage.Object{Key: prefix + "new"})
					}
					return mem.List(ctx, prefix, delim, yield)
				}
			}},
		"loses its last part": {check: "upload completed", seen: "holds other bytes",
			lie: func(l *liar, mem *memstore.Backend) {
				l.uploads.complete = func(ctx context.Context, key, id string, parts []storage.Part) (storage.Object, error) {
					if len(parts) < 3 {
						return mem.Uploads().Complete(ctx, key, id, parts)
					}
					o, err := mem.Uploads().Complete(ctx, key, id, parts[:len(parts)-1])
					o.Size, o.ETag = int64(2*small.partBytes+12345), mem.Uploads().(storage.PartsETag).PartsETag(parts)
					return o, err
				}
			}},
		"cannot be completed": {check: "upload completed", seen: "not allowed",
			also: []string{"upload completed twice", "upload completed by several", "throughput", "upload aborted"},
			lie: func(l *liar, mem *memstore.Backend) {
				l.uploads.complete = func(context.Context, string, string, []storage.Part) (storage.Object, error) {
					return storage.Object{}, errors.New("not allowed")
				}
			}},
		"destroyed when completed again": {check: "upload completed twice", seen: "could not be completed",
			lie: func(l *liar, mem *memstore.Backend) {
				l.uploads.list = func(ctx context.Context, prefix, id string, yield func(storage.Part) bool) error {
					err := mem.Uploads().List(ctx, prefix, id, yield)
					if errors.Is(err, storage.ErrNotFound) && strings.HasSuffix(prefix, "/twice") {
						mem.Remove(ctx, prefix)
					}
					return err
				}
			}},
		"one of several is sent away": {check: "upload completed by several", seen: "found neither", warns: true,
			lie: func(l *liar, mem *memstore.Backend) {
				// The others wait until the first has looked for the object as often as it does.
				const looks = 5
				var asked, read memory
				gone := make(chan struct{})
				l.uploads.list = func(ctx context.Context, prefix, id string, yield func(storage.Part) bool) error {
					if strings.HasSuffix(prefix, "/several") && asked.add("") == 0 {
						return storage.ErrNotFound
					}
					return mem.Uploads().List(ctx, prefix, id, yield)
				}
				l.uploads.complete = func(ctx context.Context, key, id string, parts []storage.Part) (storage.Object, error) {
					if strings.HasSuffix(key, "/several") {
						<-gone
					}
					return mem.Uploads().Complete(ctx, key, id, parts)
				}
				l.read = func(ctx context.Context, key string, off, n int64, etag string) (io.ReadCloser, storage.Object, error) {
					if strings.HasSuffix(key, "/several") {
						look := read.add("")
						if look == looks-1 {
							close(gone)
						}
						if look < looks {
							return nil, storage.Object{}, storage.ErrNotFound
						}
					}
					return mem.Read(ctx, key, off, n, etag)
				}
			}},
		"is not aborted": {check: "upload aborted", seen: "could still write", leaves: true,
			also: []string{"pending uploads listed"},
			lie: func(l *liar, mem *memstore.Backend) {
				l.uploads.abort = func(context.Context, string, string) error { return nil }
			}},
		"is completed after its abort": {check: "upload aborted", seen: "could still be completed", leaves: true,
			also: []string{"pending uploads listed"},
			lie: func(l *liar, mem *memstore.Backend) {
				var gone memory
				l.uploads.abort = func(_ context.Context, _, id string) error { gone.add(id); return nil }
				l.uploads.part = func(ctx context.Context, key, id string, n int, body []byte) (string, error) {
					if gone.add(id) > 0 {
						return "", storage.ErrNotFound
					}
					gone.mu.Lock()
					delete(gone.n, id)
					gone.mu.Unlock()
					return mem.Uploads().Part(ctx, key, id, n, body)
				}
			}},
		"is not listed": {check: "pending uploads listed", seen: "0 of 3 uploads", warns: true,
			lie: func(l *liar, mem *memstore.Backend) {
				l.uploads.list = func(ctx context.Context, prefix, id string, yield func(storage.Part) bool) error {
					if id == "" {
						return nil
					}
					return mem.Uploads().List(ctx, prefix, id, yield)
				}
			}},
		"is listed without its time": {check: "pending uploads listed", seen: "does not say when", warns: true,
			lie: func(l *liar, mem *memstore.Backend) {
				l.uploads.list = func(ctx context.Context, prefix, id string, yield func(storage.Part) bool) error {
					return mem.Uploads().List(ctx, prefix, id, func(p storage.Part) bool {
						p.Begun = time.Time{}
						return yield(p)
					})
				}
			}},
	}
}

func readLies() map[string]lie {
	return map[string]lie{
		"an old version is read": {check: "read after overwrite", seen: `"version 00" was read after "version 01"`,
			lie: func(l *liar, mem *memstore.Backend) {
				l.put = func(ctx context.Context, key string, body []byte, ifAbsent bool) (storage.Object, error) {
					if string(body) == "version 01" {
						return storage.Object{Key: key, Size: int64(len(body)), ETag: "new"}, nil
					}
					return mem.Put(ctx, key, body, ifAbsent)
				}
			}},
		"all versions have one ETag": {check: "read after overwrite", seen: "stands for two contents", also: []string{"one version"},
			lie: func(l *liar, mem *memstore.Backend) {
				l.read = func(ctx context.Context, key string, off, n int64, etag string) (io.ReadCloser, storage.Object, error) {
					body, o, err := mem.Read(ctx, key, off, n, "")
					o.ETag = "same"
					return body, o, err
				}
			}},
		"ranges are ignored": {check: "ranges", seen: "bytes", also: []string{"one version", "throughput"},
			lie: func(l *liar, mem *memstore.Backend) {
				l.read = func(ctx context.Context, key string, off, n int64, etag string) (io.ReadCloser, storage.Object, error) {
					if n != 0 {
						off, n = 0, -1
					}
					return mem.Read(ctx, key, off, n, etag)
				}
			}},
		"a range is one byte off": {check: "ranges", seen: "other bytes came", also: []string{"throughput"},
			lie: func(l *liar, mem *memstore.Backend) {
				l.read = func(ctx context.Context, key string, off, n int64, etag string) (io.ReadCloser, storage.Object, error) {
					if off > 0 && n > 0 {
						off--
					}
					return mem.Read(ctx, key, off, n, etag)
				}
			}},
		"a range behind the end is refused": {check: "ranges", seen: "416",
			lie: func(l *liar, mem *memstore.Backend) {
				l.read = func(ctx context.Context, key string, off, n int64, etag string) (io.ReadCloser, storage.Object, error) {
					body, o, err := mem.Read(ctx, key, off, n, etag)
					if err == nil && off >= o.Size && n != 0 && off > 0 {
						return nil, o, errors.New("the server refused (416)")
					}
					return body, o, err
				}
			}},
		"a proxy changes bytes": {check: "access", seen: "other bytes",
			lie: func(l *liar, mem *memstore.Backend) {
				l.read = func(ctx context.Context, key string, off, n int64, etag string) (io.ReadCloser, storage.Object, error) {
					body, o, err := mem.Read(ctx, key, off, n, etag)
					if err != nil {
						return body, o, err
					}
					b, err := io.ReadAll(body)
					return io.NopCloser(bytes.NewReader(bytes.ToUpper(b))), o, err
				}
			}},
		"versions are mixed": {check: "one version", seen: "though the object had been replaced",
			lie: func(l *liar, mem *memstore.Backend) {
				l.read = func(ctx context.Context, key string, off, n int64, _ string) (io.ReadCloser, storage.Object, error) {
					return mem.Read(ctx, key, off, n, "")
				}
			}},
		"the clock is wrong": {check: "clock", seen: "behind this machine's", warns: true,
			lie: func(l *liar, mem *memstore.Backend) {
				l.read = func(ctx context.Context, key string, off, n int64, etag string) (io.ReadCloser, storage.Object, error) {
					body, o, err := mem.Read(ctx, key, off, n, etag)
					o.Modified = o.Modified.Add(-time.Hour - time.Second).Truncate(time.Second)
					return body, o, err
				}
			}},
		"the clock is wrong the other way": {check: "clock", seen: "before this machine's", warns: true,
			lie: func(l *liar, mem *memstore.Backend) {
				l.read = func(ctx context.Context, key string, off, n int64, etag string) (io.ReadCloser, storage.Object, error) {
					body, o, err := mem.Read(ctx, key, off, n, etag)
					o.Modified = o.Modified.Add(2 * time.Minute)
					return body, o, err
				}
			}},
	}
}

// listingOf replaces the objects of each listing.
func listingOf(l *liar, mem *memstore.Backend, change func(prefix string, all []storage.Object) []storage.Object) {
	l.list = func(ctx context.Context, prefix, delim string, yield func(storage.Object) bool) error {
		var all []storage.Object
		if err := mem.List(ctx, prefix, delim, func(o storage.Object) bool { all = append(all, o); return true }); err != nil {
			return err
		}
		for _, o := range change(prefix, all) {
			if !yield(o) {
				break
			}
		}
		return nil
	}
}

func listLies() map[string]lie {
	after := "listing after writes"
	return map[string]lie{
		"new objects are listed late": {check: after, seen: "is there and is not listed", also: []string{"listing after removals"},
			lie: func(l *liar, mem *memstore.Backend) {
				var seen memory
				listingOf(l, mem, func(prefix string, all []storage.Object) []storage.Object {
					return slices.DeleteFunc(all, func(o storage.Object) bool {
						return o.Size >= 0 && strings.HasSuffix(o.Key, "7") && seen.add(o.Key) < 3
					})
				})
			}},
		"a page is all": {check: after, seen: "40 of 50 are", also: []string{"listing after removals"},
			lie: func(l *liar, mem *memstore.Backend) {
				listingOf(l, mem, func(_ string, all []storage.Object) []storage.Object { return all[:min(len(all), 40)] })
			}},
		"pages overlap": {check: after, seen: "listed twice", also: []string{"listing after removals", "pending upload", "listing in order", "unusual names"},
			lie: func(l *liar, mem *memstore.Backend) {
				listingOf(l, mem, func(_ string, all []storage.Object) []storage.Object {
					return append(all[:min(len(all), 20):min(len(all), 20)], all[max(0, min(len(all), 20)-1):]...)
				})
			}},
		"a prefix is taken for a folder": {check: after, seen: "is there and is not listed",
			lie: func(l *liar, mem *memstore.Backend) {
				listingOf(l, mem, func(prefix string, all []storage.Object) []storage.Object {
					if !strings.HasSuffix(prefix, "/") {
						return nil
					}
					return all
				})
			}},
		"sizes are wrong": {check: after, seen: "other sizes",
			lie: func(l *liar, mem *memstore.Backend) {
				listingOf(l, mem, func(_ string, all []storage.Object) []storage.Object {
					for i := range all {
						all[i].Size *= 2
					}
					return all
				})
			}},
		"removed objects are still listed": {check: "listing after removals", seen: "is listed and is not there",
			lie: func(l *liar, mem *memstore.Backend) {
				var removed memory
				l.remove = func(ctx context.Context, key string) error {
					if strings.Contains(key, "many/") {
						removed.add(key)
					}
					return mem.Remove(ctx, key)
				}
				listingOf(l, mem, func(prefix string, all []storage.Object) []storage.Object {
					removed.mu.Lock()
					defer removed.mu.Unlock()
					for key := range removed.n {
						if strings.HasSuffix(prefix, "many/") {
							all = append(all, storage.Object{Key: key, Size: 1})
						}
					}
					slices.SortFunc(all, func(a, b storage.Object) int { return strings.Compare(a.Key, b.Key) })
					return all
				})
			}, also: []string{"listing in order"}},
		"listed in another order": {check: "listing in order", seen: "is listed before", warns: true,
			lie: func(l *liar, mem *memstore.Backend) {
				listingOf(l, mem, func(_ string, all []storage.Object) []storage.Object {
					slices.Reverse(all)
					return all
				})
			}},
		"plus signs are escaped": {check: "unusual names", seen: "names/a%2Bb is listed and is not there", warns: true,
			lie: func(l *liar, mem *memstore.Backend) {
				listingOf(l, mem, func(_ string, all []storage.Object) []storage.Object {
					for i := range all {
						if strings.HasSuffix(all[i].Key, "a+b") {
							all[i].Key = strings.ReplaceAll(all[i].Key, "+", "%2B")
						}
					}
					return all
				})
			}},
		"a name is refused": {check: "unusual names", seen: `the name "names/🙂"`, warns: true,
			lie: func(l *liar, mem *memstore.Backend) {
				l.put = func(ctx context.Context, key string, body []byte, ifAbsent bool) (storage.Object, error) {
					if strings.Contains(key, "🙂") {
						return storage.Object{}, errors.New("bad name")
					}
					return mem.Put(ctx, key, body, ifAbsent)
				}
			}},
	}
}
