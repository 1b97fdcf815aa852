// Package memstore keeps objects in memory, for tests: with the semantics of a strict S3 server (ETags by content and
// write, atomic conditional writes, uploads that are invisible until they are complete) and none of its delays.
//
// It is a storage.Backend and knows nothing of URLs, retries or faults; storagetest.Faulty adds faults to it.
package memstore

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/millrace/millrace/storage"
)

// Backend is one bucket in memory. It is safe for concurrent use.
type Backend struct {
	mu      sync.Mutex
	objects map[string]object // bodies are never changed, only replaced
	uploads map[string]*upload
	ids     int
}

type object struct {
	storage.Object
	body []byte
}

type upload struct {
	key   string
	begun time.Time
	parts map[int]object
}

// New makes an empty bucket.
func New() *Backend {
	return &Backend{objects: map[string]object{}, uploads: map[string]*upload{}}
}

// Opener opens one bucket per host and keeps it, so that all Stores with the same Opener see the same objects.
func Opener() storage.Opener {
	var mu sync.Mutex
	buckets := map[string]*Backend{}
	return func(ctx context.Context, host string) (storage.Backend, error) {
		mu.Lock()
		defer mu.Unlock()
		if buckets[host] == nil {
			buckets[host] = New()
		}
		return buckets[host], ctx.Err()
	}
}

// etag is the MD5 of a body, as S3 has it for objects written at once.
func etag(body []byte) string {
	sum := md5.Sum(body)
	return hex.EncodeToString(sum[:])
}

// List implements storage.Backend over a snapshot of the keys, so that yield may call the backend.
func (b *Backend) List(ctx context.Context, prefix, delim string, yield func(storage.Object) bool) error {
	last, entries := "", 0
	storage.CountRequests(ctx, storage.RequestList, 1)
	for _, o := range b.snapshot(prefix) {
		if err := ctx.Err(); err != nil {
			return err
		}
		if delim != "" {
			if head, _, ok := strings.Cut(o.Key[len(prefix):], delim); ok {
				o = storage.Object{Key: prefix + head + delim, Size: -1}
			}
		}
		if o.Key == last {
			continue
		}
		last = o.Key
		if entries > 0 && entries%storage.PageSize == 0 {
			storage.CountRequests(ctx, storage.RequestList, 1)
		}
		entries++
		if !yield(o) {
			return nil
		}
	}
	return ctx.Err()
}

func (b *Backend) snapshot(prefix string) []storage.Object {
	b.mu.Lock()
	defer b.mu.Unlock()
	var found []storage.Object
	for key, o := range b.objects {
		if strings.HasPrefix(key, prefix) {
			found = append(found, o.Object)
		}
	}
	slices.SortFunc(found, func(x, y storage.Object) int { return strings.Compare(x.Key, y.Key) })
	return found
}

// Read implements storage.Backend. The body is a view of the object as it was when it was opened.
func (b *Backend) Read(ctx context.Context, key string, off, n int64, etag string) (io.ReadCloser, storage.Object, error) {
	if err := ctx.Err(); err != nil {
		return nil, storage.Object{}, err
	}
	kind := storage.RequestGet
	if n == 0 {
		kind = storage.RequestHead
	}
	storage.CountRequests(ctx, kind, 1)
	b.mu.Lock()
	o, ok := b.objects[key]
	b.mu.Unlock()
	if !ok {
		return nil, storage.Object{}, storage.ErrNotFound
	}
	if etag != "" && etag != o.ETag {
		return nil, storage.Object{}, storage.ErrChanged
	}
	off = min(off, o.Size)
	if n < 0 || n > o.Size-off {
		n = o.Size - off
	}
	return &body{ctx, bytes.NewReader(o.body[off : off+n])}, o.Object, nil
}

// body ends with its context, as a connection does.
type body struct {
	ctx context.Context
	r   *bytes.Reader
}

func (b *body) Read(p []byte) (int, error) {
	if err := b.ctx.Err(); err != nil {
		return 0, err
	}
	return b.r.Read(p)
}

func (b *body) Close() error { return nil }

// Put implements storage.Backend.
func (b *Backend) Put(ctx context.Context, key string, body []byte, ifAbsent bool) (storage.Object, error) {
	if err := ctx.Err(); err != nil {
		return storage.Object{}, err
	}
	storage.CountRequests(ctx, storage.RequestPut, 1)
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, ok := b.objects[key]; ok && ifAbsent {
		return storage.Object{}, storage.ErrPrecondition
	}
	return b.putLocked(key, bytes.Clone(body), etag(body)), nil
}

func (b *Backend) putLocked(key string, body []byte, etag string) storage.Object {
	o := storage.Object{Key: key, Size: int64(len(body)), ETag: etag, Modified: time.Now()}
	b.objects[key] = object{o, body}
	return o
}

// Remove implements storage.Backend.
func (b *Backend) Remove(ctx context.Context, key string) error {
	storage.CountRequests(ctx, storage.RequestDelete, 1)
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.objects, key)
	return ctx.Err()
}

// Uploads implements storage.Backend.
func (b *Backend) Uploads() storage.Uploads { return uploads{b} }

// uploads is the same bucket, seen as its pending uploads.
type uploads struct{ b *Backend }

func (u uploads) Create(ctx context.Context, key string) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	storage.CountRequests(ctx, storage.RequestCreate, 1)
	u.b.mu.Lock()
	defer u.b.mu.Unlock()
	u.b.ids++
	id := strconv.Itoa(u.b.ids)
	u.b.uploads[id] = &upload{key: key, begun: time.Now(), parts: map[int]object{}}
	return id, nil
}

func (u uploads) findLocked(key, id string) (*upload, error) {
	up := u.b.uploads[id]
	if up == nil || up.key != key {
		return nil, fmt.Errorf("%w: no upload %s", storage.ErrNotFound, id)
	}
	return up, nil
}

func (u uploads) Part(ctx context.Context, key, id string, n int, body []byte) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	storage.CountRequests(ctx, storage.RequestPart, 1)
	u.b.mu.Lock()
	defer u.b.mu.Unlock()
	up, err := u.findLocked(key, id)
	if err != nil {
		return "", err
	}
	tag := etag(body)
	up.parts[n] = object{storage.Object{Size: int64(len(body)), ETag: tag}, bytes.Clone(body)}
	return tag, nil
}

func (u uploads) Complete(ctx context.Context, key, id string, parts []storage.Part) (storage.Object, error) {
	if err := ctx.Err(); err != nil {
		return storage.Object{}, err
	}
	storage.CountRequests(ctx, storage.RequestComplete, 1)
	u.b.mu.Lock()
	defer u.b.mu.Unlock()
	up, err := u.findLocked(key, id)
	if err != nil {
		return storage.Object{}, err
	}
	var whole []byte
	for _, p := range parts {
		part, ok := up.parts[p.Number]
		if !ok || part.ETag != p.ETag {
			return storage.Object{}, fmt.Errorf("upload %s has no part %d with ETag %s", id, p.Number, p.ETag)
		}
		whole = append(whole, part.body...)
	}
	delete(u.b.uploads, id)
	return u.b.putLocked(key, whole, u.PartsETag(parts)), nil
}

// PartsETag implements storage.PartsETag: the MD5 of the parts' MD5s and their number, as S3 has it.
func (u uploads) PartsETag(parts []storage.Part) string {
	sum := md5.New()
	for _, p := range parts {
		raw, err := hex.DecodeString(p.ETag)
		if err != nil {
			return ""
		}
		sum.Write(raw)
	}
	return fmt.Sprintf("%x-%d", sum.Sum(nil), len(parts))
}

func (u uploads) Abort(ctx context.Context, key, id string) error {
	storage.CountRequests(ctx, storage.RequestAbort, 1)
	u.b.mu.Lock()
	defer u.b.mu.Unlock()
	if _, err := u.findLocked(key, id); err == nil {
		delete(u.b.uploads, id)
	}
	return ctx.Err()
}

func (u uploads) List(ctx context.Context, prefix, id string, yield func(storage.Part) bool) error {
	storage.CountRequests(ctx, storage.RequestList, 1)
	parts, err := u.snapshot(prefix, id)
	if err != nil {
		return err
	}
	for _, p := range parts {
		if ctx.Err() != nil || !yield(p) {
			break
		}
	}
	return ctx.Err()
}

// snapshot gives the uploads below prefix by key and id, or the parts of the one named.
func (u uploads) snapshot(prefix, id string) ([]storage.Part, error) {
	u.b.mu.Lock()
	defer u.b.mu.Unlock()
	var found []storage.Part
	if id != "" {
		up, err := u.findLocked(prefix, id)
		if err != nil {
			return nil, err
		}
		for _, n := range slices.Sorted(maps.Keys(up.parts)) {
			p := up.parts[n]
			found = append(found, storage.Part{Key: prefix, ID: id, Number: n, Size: p.Size, ETag: p.ETag, Begun: up.begun})
		}
		return found, nil
	}
	for id, up := range u.b.uploads {
		if strings.HasPrefix(up.key, prefix) {
			found = append(found, storage.Part{Key: up.key, ID: id, Begun: up.begun})
		}
	}
	slices.SortFunc(found, func(x, y storage.Part) int {
		if c := strings.Compare(x.Key, y.Key); c != 0 {
			return c
		}
		return strings.Compare(x.ID, y.ID)
	})
	return found, nil
}
