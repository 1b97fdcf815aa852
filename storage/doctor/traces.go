package doctor

import (
	"context"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/millrace/millrace/storage"
)

const (
	cleanTime       = 30 * time.Second // for the removal, on top of the time for the checks
	cleanTimeInVain = 5 * time.Second  // where nothing could be written
	maxLeft         = 100
)

// traces is the backend that is examined, and remembers what was made in it: a store whose listings cannot be relied on
// must be left clean too.
type traces struct {
	storage.Backend
	requests atomic.Int64
	answered atomic.Bool  // a write succeeded
	parts    atomic.Int64 // bytes of parts written

	mu      sync.Mutex
	objects map[string]bool   // by key
	pending map[string]string // uploads: id -> key
}

func newTraces(b storage.Backend) *traces {
	return &traces{Backend: b, objects: map[string]bool{}, pending: map[string]string{}}
}

func (t *traces) note(key string, there bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if there {
		t.objects[key] = true
	} else {
		delete(t.objects, key)
	}
}

func (t *traces) noteUpload(id, key string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if key != "" {
		t.pending[id] = key
	} else {
		delete(t.pending, id)
	}
}

// made lists what is not known to be gone.
func (t *traces) made() (keys []string, uploads []storage.Part) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for key := range t.objects {
		keys = append(keys, key)
	}
	for id, key := range t.pending {
		uploads = append(uploads, storage.Part{Key: key, ID: id})
	}
	return keys, uploads
}

func (t *traces) List(ctx context.Context, prefix, delim string, yield func(storage.Object) bool) error {
	t.requests.Add(1)
	return t.Backend.List(ctx, prefix, delim, yield)
}

func (t *traces) Read(ctx context.Context, key string, off, n int64, etag string) (io.ReadCloser, storage.Object, error) {
	t.requests.Add(1)
	return t.Backend.Read(ctx, key, off, n, etag)
}

func (t *traces) Put(ctx context.Context, key string, body []byte, ifAbsent bool) (storage.Object, error) {
	t.requests.Add(1)
	t.note(key, true) // whatever the answer: it may be lost
	o, err := t.Backend.Put(ctx, key, body, ifAbsent)
	if err == nil {
		t.answered.Store(true)
	}
	return o, err
}

func (t *traces) Remove(ctx context.Context, key string) error {
	t.requests.Add(1)
	err := t.Backend.Remove(ctx, key)
	if err == nil {
		t.note(key, false)
	}
	return err
}

func (t *traces) Uploads() storage.Uploads { return uploadTraces{t.Backend.Uploads(), t} }

// uploadTraces is the same for uploads. It is what the backend's uploads may be beside storage.Uploads, too.
type uploadTraces struct {
	storage.Uploads
	t *traces
}

func (u uploadTraces) Create(ctx context.Context, key string) (string, error) {
	u.t.requests.Add(1)
	id, err := u.Uploads.Create(ctx, key)
	if err == nil {
		u.t.noteUpload(id, key)
	}
	return id, err
}

func (u uploadTraces) Part(ctx context.Context, key, id string, n int, body []byte) (string, error) {
	u.t.requests.Add(1)
	etag, err := u.Uploads.Part(ctx, key, id, n, body)
	if err == nil {
		u.t.parts.Add(int64(len(body)))
	}
	return etag, err
}

func (u uploadTraces) Complete(ctx context.Context, key, id string, parts []storage.Part) (storage.Object, error) {
	u.t.requests.Add(1)
	u.t.note(key, true)
	o, err := u.Uploads.Complete(ctx, key, id, parts)
	if err == nil {
		u.t.noteUpload(id, "")
	}
	return o, err
}

func (u uploadTraces) Abort(ctx context.Context, key, id string) error {
	u.t.requests.Add(1)
	err := u.Uploads.Abort(ctx, key, id)
	if err == nil {
		u.t.noteUpload(id, "")
	}
	return err
}

func (u uploadTraces) List(ctx context.Context, prefix, id string, yield func(storage.Part) bool) error {
	u.t.requests.Add(1)
	return u.Uploads.List(ctx, prefix, id, yield)
}

// PartsETag implements storage.PartsETag if the backend does.
func (u uploadTraces) PartsETag(parts []storage.Part) string {
	if b, ok := u.Uploads.(storage.PartsETag); ok {
		return b.PartsETag(parts)
	}
	return ""
}

// PartsInOrder implements storage.InOrder if the backend does.
func (u uploadTraces) PartsInOrder() bool {
	b, ok := u.Uploads.(storage.InOrder)
	return ok && b.PartsInOrder()
}

// Seal implements storage.Sealer if the backend does.
func (u uploadTraces) Seal(ctx context.Context, key, id string) error {
	if b, ok := u.Uploads.(storage.Sealer); ok {
		return b.Seal(ctx, key, id)
	}
	return nil
}

// clean removes what was made: first what is remembered, then what is listed. It returns what is left.
func (e *exam) clean(ctx context.Context) []string {
	limit := cleanTime
	if !e.traces.answered.Load() {
		limit = cleanTimeInVain
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	keys, uploads := e.traces.made()
	e.remove(ctx, keys, uploads)
	keys, uploads = e.listed(ctx)
	e.remove(ctx, keys, uploads)

	if keys, uploads = e.traces.made(); !e.traces.answered.Load() {
		keys = nil // every write was refused, or met nobody
	}
	stillThere, stillPending := e.listed(ctx)
	left := []string{}
	for _, key := range append(keys, stillThere...) {
		left = append(left, e.url(key[len(e.key):]))
	}
	for _, u := range append(uploads, stillPending...) {
		left = append(left, e.url(u.Key[len(e.key):])+" (upload "+u.ID+")")
	}
	slices.Sort(left)
	left = slices.Compact(left)
	return left[:min(len(left), maxLeft)]
}

// remove removes objects and aborts uploads. What fails stays in traces, or in the next listing.
func (e *exam) remove(ctx context.Context, keys []string, uploads []storage.Part) {
	var g errgroup.Group
	g.SetLimit(parallel)
	for _, u := range uploads {
		g.Go(func() error { return e.store.Abort(ctx, storage.Pending{URL: e.url(u.Key[len(e.key):]), ID: u.ID}) })
	}
	for _, key := range keys {
		g.Go(func() error { return e.store.Remove(ctx, e.url(key[len(e.key):])) })
	}
	_ = g.Wait() // what is left is looked for afterwards
}

// listed is what the store says there is. A listing that fails shows nothing.
func (e *exam) listed(ctx context.Context) (keys []string, uploads []storage.Part) {
	_ = e.store.List(ctx, e.folder, func(i storage.Info) bool {
		keys = append(keys, e.key+i.URL[len(e.folder):])
		return true
	})
	_ = e.store.Uploads(ctx, e.folder, func(url, id string, _ time.Time) bool {
		uploads = append(uploads, storage.Part{Key: e.key + url[len(e.folder):], ID: id})
		return true
	})
	return keys, uploads
}
