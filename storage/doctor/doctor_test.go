package doctor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/localstore"
	"github.com/millrace/millrace/storage/memstore"
	"github.com/millrace/millrace/storage/storagetest"
)

// small is an examination that takes a moment.
var small = Options{Writers: 8, Rounds: 2, Objects: 50, Bytes: 1 << 20, Time: time.Minute, Name: func() string { return "x" }, partBytes: 50_000}

func examine(t *testing.T, b storage.Backend) *Report {
	t.Helper()
	r, err := Run(t.Context(), b, storage.URL{Scheme: "mem", Host: "b", Key: "out"}, small)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// bad lists the checks that did not end well, with how they ended.
func (r *Report) bad() []string {
	bad := []string{}
	for _, c := range r.Results {
		if c.Status != OK {
			bad = append(bad, fmt.Sprintf("%s: %s", c.Check, c.Status))
		}
	}
	return bad
}

// left lists what an examination left in a backend.
func left(t *testing.T, b storage.Backend) []string {
	t.Helper()
	names := []string{}
	err := errors.Join(
		b.List(t.Context(), "", "", func(o storage.Object) bool { names = append(names, o.Key); return true }),
		b.Uploads().List(t.Context(), "", "", func(p storage.Part) bool { names = append(names, p.Key+" upload "+p.ID); return true }))
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// A store that keeps the contract of all backends is suitable, every check is made and told of, the speed is measured, and
// nothing stays; nor is what was there before touched.
func TestSuitable(t *testing.T) {
	t.Parallel()
	for name, b := range map[string]storage.Backend{
		"memory": memstore.New(), "local": localstore.New(localstore.Options{Root: t.TempDir(), NoSync: true}),
	} {
		before := []string{"out/.millrace-doctor-other/x", "out/part-00000.arrow"}
		for _, key := range before {
			if _, err := b.Put(t.Context(), key, []byte("mine"), false); err != nil {
				t.Fatal(err)
			}
		}
		var told []string
		o := small
		o.Progress = func(check string) { told = append(told, check) }
		r, err := Run(t.Context(), b, storage.URL{Scheme: "mem", Host: "b", Key: "out"}, o)
		if err != nil {
			t.Fatal(err)
		}
		if !r.Suitable || len(r.bad()) > 0 || len(r.Left) > 0 || !strings.HasPrefix(r.Verdict, "Suitable: ") {
			t.Errorf("%s: got %q, %+v", name, r.Verdict, r.Results)
		}
		if len(told) != len(checks())+1 || len(r.Results) != len(checks()) || r.Folder != "mem://b/out/.millrace-doctor-x/" || r.Requests < 100 {
			t.Errorf("%s: %d checks of %d in %s, %d requests, told of %q", name, len(r.Results), len(checks()), r.Folder, r.Requests, told)
		}
		if s := r.Speed; s == nil || s.PutRate <= 0 || s.GetRate <= 0 || s.PutP50 > s.PutP99 || s.GetP50 > s.GetP99 || s.PutP99 <= 0 {
			t.Errorf("%s: speed %+v", name, r.Speed)
		}
		if got := left(t, b); !slices.Equal(got, before) {
			t.Errorf("%s: left are %q", name, got)
		}
	}
}

// Failures that pass are no fault of a store: it is asked again, and suitable.
func TestFailuresThatPass(t *testing.T) {
	t.Parallel()
	b := storagetest.Faulty(memstore.New(),
		storagetest.Fault{Op: storagetest.OpPut, Every: 20, Times: 10, Kind: storagetest.LoseAnswer},
		storagetest.Fault{Op: storagetest.OpRead, Every: 15, Times: 10},
		storagetest.Fault{Op: storagetest.OpList, Every: 3, Times: 3, Kind: storagetest.Cut, After: 7},
		storagetest.Fault{Op: storagetest.OpComplete, Kind: storagetest.LoseAnswer},
		storagetest.Fault{Op: storagetest.OpUploads, Every: 2, Times: 3, Kind: storagetest.SlowDown},
		storagetest.Fault{Op: storagetest.OpAbort, Kind: storagetest.LoseAnswer},
	)
	if r := examine(t, b); !r.Suitable || b.Hits() < 20 {
		t.Errorf("%q after %d failures: %+v", r.Verdict, b.Hits(), r.bad())
	}
	if got := left(t, b); len(got) > 0 {
		t.Errorf("left are %q", got)
	}
}

// A store that cannot be used at all ends the examination with its first check, which names the reason, and leaves nothing
// to remove; whether the store misbehaves or is not reached are two things.
func TestNoAccess(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err     error
		bad     string
		verdict string
	}{
		{fmt.Errorf("%w: not yours", storage.ErrDenied), "access: failed", "Not suitable: it cannot be written to"},
		{storage.ErrNoBucket, "access: failed", "Not suitable"},
		{storage.Transient(fmt.Errorf("%w: refused", storage.ErrUnreachable)), "access: unknown", "Not known"},
	} {
		b := storagetest.Faulty(memstore.New(), storagetest.Fault{Times: -1, Err: c.err})
		r := examine(t, b)
		if got := r.bad(); r.Suitable || !slices.Equal(got, []string{c.bad}) || !strings.HasPrefix(r.Verdict, c.verdict) || len(r.Results) != 1 {
			t.Errorf("%v: %q, %q", c.err, got, r.Verdict)
		}
		if !strings.Contains(r.Results[0].Seen, c.err.Error()) || len(r.Left) > 0 {
			t.Errorf("%v: %+v, left %q", c.err, r.Results[0], r.Left)
		}
	}
}

// hanging is a store that answers no read after some.
type hanging struct {
	storage.Backend
	mu   sync.Mutex
	left int
	hung chan struct{} // closed with the first read that hangs
}

func (h *hanging) Read(ctx context.Context, key string, off, n int64, etag string) (io.ReadCloser, storage.Object, error) {
	h.mu.Lock()
	h.left--
	hang := h.left <= 0
	if h.left == 0 {
		close(h.hung)
	}
	h.mu.Unlock()
	if hang {
		<-ctx.Done()
		return nil, storage.Object{}, ctx.Err()
	}
	return h.Backend.Read(ctx, key, off, n, etag)
}

// When the time is up what was not found out is not known, so the store is not called suitable; when the caller gives up the
// examination ends at once. Nothing stays in either case.
func TestTimeIsUp(t *testing.T) {
	t.Parallel()
	b := &hanging{Backend: memstore.New(), left: 30, hung: make(chan struct{})}
	o := small
	o.Time = 300 * time.Millisecond
	r, err := Run(t.Context(), b, storage.URL{Scheme: "mem", Host: "b"}, o)
	if err != nil || r.Suitable || !strings.HasPrefix(r.Verdict, "Not known") || len(r.Results) != len(checks()) {
		t.Errorf("got %+v, %v", r, err)
	}
	for _, c := range r.Results[len(r.Results)-2:] {
		if c.Status != Unknown || !strings.Contains(c.Do, "--time") {
			t.Errorf("after the time: %+v", c)
		}
	}
	if got := left(t, b.Backend); len(got) > 0 {
		t.Errorf("after the time: left are %q", got)
	}

	b = &hanging{Backend: memstore.New(), left: 60, hung: make(chan struct{})}
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("stop")
	go func() {
		<-b.hung
		cancel(stop)
	}()
	r, err = Run(ctx, b, storage.URL{Scheme: "mem", Host: "b"}, small)
	if !errors.Is(err, stop) || r.Suitable || len(r.Results) == len(checks()) || r.Results[len(r.Results)-1].Seen != "interrupted" {
		t.Errorf("interrupted: %+v, %v", r, err)
	}
	if got := left(t, b.Backend); len(got) > 0 {
		t.Errorf("interrupted: left are %q", got)
	}
}

// What cannot be removed is named, uploads with their ids.
func TestLeft(t *testing.T) {
	t.Parallel()
	b := storagetest.Faulty(memstore.New(),
		storagetest.Fault{Op: storagetest.OpRemove, Key: "**/race-*", Times: -1, Err: storage.ErrDenied},
		storagetest.Fault{Op: storagetest.OpAbort, Key: "**/over", Times: -1, Err: storage.ErrDenied})
	r := examine(t, b)
	if len(r.Left) != 3 || r.Left[0] != "mem://b/out/.millrace-doctor-x/conditional/race-0" || !strings.HasPrefix(r.Left[2], "mem://b/out/.millrace-doctor-x/pending/over (upload ") {
		t.Errorf("left are %q", r.Left)
	}
	if got := left(t, b); len(got) != 3 {
		t.Errorf("there are %q", got)
	}
}

// An examination takes no more of a store than its options say.
func TestBounds(t *testing.T) {
	t.Parallel()
	b := storagetest.Faulty(memstore.New())
	o := small
	o.Objects, o.Rounds, o.Writers, o.Bytes = 100, 3, 16, 40<<20
	r, err := Run(t.Context(), b, storage.URL{Scheme: "mem", Host: "b"}, o)
	if err != nil || !r.Suitable {
		t.Fatalf("%+v, %v", r, err)
	}
	if puts := b.Calls(storagetest.OpPut); puts < 100+3*16 || puts > 100+3*16+200 {
		t.Errorf("%d small objects were written", puts)
	}
	// 40 MiB are three objects, of parts of 8 MiB.
	if parts := b.Calls(storagetest.OpPart); parts < 5 || parts > 5+20 {
		t.Errorf("%d parts were written", parts)
	}
}
