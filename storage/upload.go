package storage

import (
	"context"
	"errors"
	"hash/crc32"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	// defaultPartBytes is the size of an upload's first parts. S3 takes parts from 5 MiB on; larger ones cost memory.
	defaultPartBytes = 8 << 20
	// localPartBytes is that size where parts are written in order, to local files: a buffer that stays in a core's cache.
	// With 8 MiB, filling and emptying it went through memory that each task took anew.
	localPartBytes = 2 << 20
	// growEvery is after how many parts their size doubles: S3 takes 10,000 parts and 5 TB, and 1,000 parts each of
	// 8 MiB ... 4 GiB hold 8 TB. Up to 8 GB all parts but the last are equal, which some servers ask for.
	growEvery = 1000
	// defaultParallel is how many parts are written at a time. With the one being filled that makes three buffers.
	defaultParallel = 2
)

// castagnoli is the polynomial of every CRC32C here, a table that is never changed.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// UploadOptions are the limits of one upload. Zero values mean the defaults.
type UploadOptions struct {
	PartBytes int64 // size of the first parts (default 8 MiB, 2 MiB for local files; S3 refuses less than 5 MiB)
	Parallel  int   // parts written at a time (default 2, 1 where the backend wants its parts in order)
}

// Upload is an object being written that nobody sees yet. It is an io.Writer for one goroutine. It holds at most
// Parallel+1 parts in memory. It ends with Finish or Abort.
type Upload struct {
	s    *Store
	t    target
	id   string
	size int64
	crc  uint32
	o    UploadOptions

	// ctx is kept because io.Writer has none: it is Create's and bounds all parts.
	ctx    context.Context
	cancel context.CancelFunc
	group  *errgroup.Group
	direct bool        // large pieces go out as they are, see passOn
	buf    []byte      // being filled
	free   chan []byte // Invariant: buf, parts under way and free are together at most Parallel+1 buffers
	begun  int         // parts handed over
	done   bool

	mu    sync.Mutex
	parts []Part
}

// Create begins an upload. ctx must live until it ends.
func (s *Store) Create(ctx context.Context, url string, o UploadOptions) (*Upload, error) {
	t, err := s.object(ctx, "create", url)
	if err != nil {
		return nil, err
	}
	partBytes, direct := int64(defaultPartBytes), false
	o.Parallel = orDefault(o.Parallel, defaultParallel)
	if b, ok := t.b.Uploads().(InOrder); ok && b.PartsInOrder() {
		o.Parallel, partBytes, direct = 1, localPartBytes, true
	}
	if o.PartBytes <= 0 {
		o.PartBytes = partBytes
	}
	u := &Upload{s: s, t: t, o: o, direct: direct, free: make(chan []byte, o.Parallel+1)}
	err = s.do(ctx, "create", t.String(), func(ctx context.Context) (err error) {
		ctx, stop := outlive(ctx, createGrace)
		defer stop()
		u.id, err = t.b.Uploads().Create(ctx, t.Key)
		return err
	})
	if err == nil && ctx.Err() != nil {
		err = errors.Join(context.Cause(ctx), s.abort(context.WithoutCancel(ctx), t, u.id))
	}
	if err != nil {
		return nil, err
	}
	ctx, u.cancel = context.WithCancel(ctx)
	u.group, u.ctx = errgroup.WithContext(ctx)
	u.group.SetLimit(o.Parallel)
	return u, nil
}

// createGrace is how long the request that begins an upload goes on after its context's end. The server may have begun the
// upload already: cut off, nobody would learn its id, and it would stay for ever.
const createGrace = 5 * time.Second

// outlive is a context that ends a while after ctx.
func outlive(ctx context.Context, grace time.Duration) (context.Context, context.CancelFunc) {
	late, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		t := time.NewTimer(grace)
		defer t.Stop()
		select {
		case <-t.C:
			cancel()
		case <-late.Done():
		}
	})
	return late, func() {
		stop()
		cancel()
	}
}

// partBytes is the size of part number n (from 1).
func (u *Upload) partBytes(n int) int64 { return u.o.PartBytes << ((n - 1) / growEvery) }

// Write adds bytes. An error of an earlier part comes out here or in Finish.
func (u *Upload) Write(p []byte) (int, error) {
	if u.done {
		return 0, fail("write", u.t.String(), 1, errors.New("the upload has ended"))
	}
	written := len(p)
	for len(p) > 0 {
		n := u.add(p)
		u.crc = crc32.Update(u.crc, castagnoli, p[:n])
		u.size += int64(n)
		p = p[n:]
		if u.ctx.Err() != nil {
			return written - len(p), u.wait()
		}
	}
	return written, nil
}

// add takes the first bytes of p and tells how many.
func (u *Upload) add(p []byte) int {
	size := u.partBytes(u.begun + 1)
	if u.direct && int64(len(p)) >= size/2 {
		u.passOn(p)
		return len(p)
	}
	if u.buf == nil {
		u.buf = u.buffer(size)
	}
	n := int(min(int64(len(p)), size-int64(len(u.buf))))
	u.grow(n, size)
	u.buf = append(u.buf, p[:n]...)
	if int64(len(u.buf)) == size {
		u.handOver(u.buf)
		u.buf = nil
	}
	return n
}

// passOn writes p as a part of its own, after what was filled before, and waits until that is done: p is the caller's. Where
// a part is written by copying it, to local files, filling a buffer first would copy every byte twice.
func (u *Upload) passOn(p []byte) {
	if len(u.buf) > 0 {
		u.handOver(u.buf)
		u.buf = nil
	}
	u.begun++
	n, done := u.begun, make(chan struct{})
	u.group.Go(func() error {
		defer close(done)
		return u.write(n, p)
	})
	<-done
}

// buffer is an empty buffer for a part of size bytes.
func (u *Upload) buffer(size int64) []byte {
	select {
	case b := <-u.free:
		if int64(cap(b)) >= size {
			return b[:0]
		}
	default:
	}
	if u.begun == 0 {
		return []byte{} // most uploads are smaller than a part: it grows with what is written
	}
	return make([]byte, 0, size)
}

// grow makes room for n more bytes in a buffer for size bytes: four times as much at a time, since append's own steps
// would allocate five times the part in all.
func (u *Upload) grow(n int, size int64) {
	if need := int64(len(u.buf) + n); need > int64(cap(u.buf)) {
		room := min(size, max(need, 4*int64(cap(u.buf)), 64<<10))
		u.buf = append(make([]byte, 0, room), u.buf...)
	}
}

// handOver lets a filled buffer be written as the next part. It waits while Parallel parts are under way, which bounds
// the memory.
func (u *Upload) handOver(buf []byte) {
	u.begun++
	n := u.begun
	u.group.Go(func() error {
		err := u.write(n, buf)
		u.free <- buf // never blocks: it has room for all buffers
		return err
	})
}

// write writes one part.
func (u *Upload) write(n int, buf []byte) error {
	var etag string
	err := u.s.do(u.ctx, "write", u.t.String(), func(ctx context.Context) (err error) {
		etag, err = u.t.b.Uploads().Part(ctx, u.t.Key, u.id, n, buf)
		return err
	})
	if errors.Is(err, ErrNotFound) {
		err = fail("write", u.t.String(), 1, ErrPendingLost)
	}
	if err != nil {
		return err
	}
	meterOf(u.ctx).out.Add(int64(len(buf)))
	u.mu.Lock()
	defer u.mu.Unlock()
	u.parts = append(u.parts, Part{Key: u.t.Key, ID: u.id, Number: n, Size: int64(len(buf)), ETag: etag})
	return nil
}

// wait ends the parts under way and tells why the upload failed.
func (u *Upload) wait() error {
	err := u.group.Wait()
	if err == nil && u.ctx.Err() != nil {
		err = fail("write", u.t.String(), 1, context.Cause(u.ctx))
	}
	return err
}

// Finish writes what is left and makes all of it durable. The object stays invisible until Complete. An upload that does
// not finish must be aborted.
func (u *Upload) Finish(ctx context.Context) (Pending, error) {
	if u.done {
		return Pending{}, fail("finish", u.t.String(), 1, errors.New("the upload has ended"))
	}
	if len(u.buf) > 0 || u.begun == 0 {
		u.handOver(u.buf) // an empty object is one part of no bytes: S3 completes no upload without parts
	}
	// The group's own context ends with Wait, so its end says nothing from here on.
	err := u.group.Wait()
	u.done = true
	defer u.cancel()
	u.buf, u.free = nil, nil
	if err != nil {
		return Pending{}, err
	}
	uploads := u.t.b.Uploads()
	if sealer, ok := uploads.(Sealer); ok {
		err = u.s.do(ctx, "finish", u.t.String(), func(ctx context.Context) error { return sealer.Seal(ctx, u.t.Key, u.id) })
		if err != nil {
			return Pending{}, err
		}
	}
	slices.SortFunc(u.parts, func(a, b Part) int { return a.Number - b.Number })
	p := Pending{URL: u.t.String(), ID: u.id, Parts: len(u.parts), Size: u.size, CRC32C: u.crc}
	if b, ok := uploads.(PartsETag); ok {
		p.ETag = b.PartsETag(u.parts)
	}
	return p, nil
}

// Abort gives the upload up. It may be called at any time and more than once; after Finish it forgets what Pending names.
func (u *Upload) Abort(ctx context.Context) error {
	u.done = true
	u.cancel()
	u.group.Wait() // a part still under way could outlive the upload; its error no longer matters
	return u.s.abort(ctx, u.t, u.id)
}
