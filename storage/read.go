package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// Info describes an object.
type Info struct {
	URL      string
	Size     int64
	ETag     string // changes whenever the content does
	Modified time.Time
}

func (t target) info(o Object) Info {
	return Info{URL: t.at(o.Key), Size: o.Size, ETag: o.ETag, Modified: o.Modified}
}

// Stat describes an object. The error wraps ErrNotFound if there is none.
func (s *Store) Stat(ctx context.Context, url string) (Info, error) {
	t, err := s.object(ctx, "stat", url)
	if err != nil {
		return Info{}, err
	}
	return s.stat(ctx, "stat", t)
}

func (s *Store) stat(ctx context.Context, op string, t target) (Info, error) {
	var o Object
	err := s.do(ctx, op, t.String(), func(ctx context.Context) error {
		body, obj, err := t.b.Read(ctx, t.Key, 0, 0, "")
		if err != nil {
			return err
		}
		o = obj
		return body.Close()
	})
	o.Key = t.Key
	return t.info(o), err
}

// Read opens n bytes of an object from off (n < 0: to the end) and describes the whole object. A range is cut at the
// object's end. With an etag the object must still be the one that was listed, else the error wraps ErrChanged.
//
// The body resumes by itself after resets and short bodies, always in the object it began with; its errors name the URL.
// ctx must live as long as the body is read.
func (s *Store) Read(ctx context.Context, url string, off, n int64, etag string) (io.ReadCloser, Info, error) {
	t, err := s.object(ctx, "read", url)
	if err != nil {
		return nil, Info{}, err
	}
	if off < 0 {
		return nil, Info{}, fail("read", t.String(), 1, fmt.Errorf("negative offset %d", off))
	}
	b := &body{s: s, t: t, ctx: ctx, off: off, left: n, etag: etag, meter: meterOf(ctx)}
	info, err := b.open()
	if err != nil {
		return nil, Info{}, err
	}
	return b, info, nil
}

// A body that breaks off again and again is resumed as long as it gets on. A server that gives a few bytes at a time would
// cost a request for each few bytes, so breaks that come before progressBytes count, up to maxBreaks of them in a row.
const (
	progressBytes = 64 << 10
	maxBreaks     = 1024
)

// body is an object's bytes from off on. It is used by one goroutine at a time, as readers are.
//
// Invariant: inner, when not nil, stands at off, and left more bytes are due.
type body struct {
	s *Store
	t target
	// ctx is kept because a body outlives the call that opened it and reopens itself.
	ctx context.Context

	off, left int64 // left < 0 until the object's size is known
	etag      string
	meter     *Meter
	tries     int   // failed without a byte of progress between them
	breaks    int   // in a row, each less than progressBytes after the one before
	since     int64 // bytes since the last break
	err       error

	inner io.ReadCloser
	watch *watch
}

// Prompt says whether reads of an object are answered by this machine itself: see the interface of that name.
func (s *Store) Prompt(ctx context.Context, url string) bool {
	t, err := s.open(ctx, "read", url)
	if err != nil {
		return false // which reading it will tell
	}
	p, ok := t.b.(Prompt)
	return ok && p.Prompt()
}

// open opens the body for the first time and pins what it reads to one version of the object.
func (b *body) open() (Info, error) {
	var o Object
	for {
		obj, err := b.connect()
		if err == nil {
			o = obj
			break
		}
		if err := b.retry(err); err != nil {
			return Info{}, err
		}
	}
	b.etag = o.ETag
	rest := max(o.Size-b.off, 0)
	if b.left < 0 || b.left > rest {
		b.left = rest
	}
	o.Key = b.t.Key
	return b.t.info(o), nil
}

// connect makes one try at opening the backend's body from off.
func (b *body) connect() (Object, error) {
	b.watch = newWatch(b.ctx, b.s.o.IdleTimeout)
	inner, o, err := b.t.b.Read(b.watch.ctx, b.t.Key, b.off, b.left, b.etag)
	b.watch.pause()
	if err != nil {
		err = stalled(b.ctx, b.watch.ctx, b.s.o.IdleTimeout, err)
		b.disconnect()
		return Object{}, err
	}
	b.inner = inner
	return o, nil
}

func (b *body) disconnect() {
	if b.inner != nil {
		b.inner.Close() // the bytes are what counts, and they were checked
		b.inner = nil
	}
	if b.watch != nil {
		b.watch.close()
		b.watch = nil
	}
}

// retry counts a failure and pauses. nil means: connect again.
func (b *body) retry(err error) error {
	b.tries++
	if b.breaks > maxBreaks {
		return fail("read", b.t.String(), b.breaks, err)
	}
	return fail("read", b.t.String(), b.tries, b.s.next(b.ctx, b.tries, err))
}

// Read reads on, over broken connections. It ends with io.EOF when exactly the announced bytes have come.
func (b *body) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	if b.left == 0 {
		b.err = b.end()
		return 0, b.err
	}
	if len(p) == 0 {
		return 0, nil
	}
	n, err := b.read(p)
	if err == nil && b.left == 0 {
		// Now rather than with the next Read: who knows the length may not come back for the end.
		err = b.end()
	}
	b.err = err
	if err != nil {
		b.disconnect()
	}
	if err == io.EOF {
		err = nil
	}
	return n, err
}

// read gets at least one byte or an error that is final.
func (b *body) read(p []byte) (int, error) {
	for {
		n, err := b.once(p[:min(int64(len(p)), b.left)])
		if n > 0 {
			b.off += int64(n)
			b.left -= int64(n)
			b.meter.in.Add(int64(n))
			b.tries = 0
			b.since += int64(n)
		}
		if err == io.EOF && b.left > 0 {
			err = Transient(fmt.Errorf("%w: the body ended %d bytes early", io.ErrUnexpectedEOF, b.left))
		}
		if err != nil && err != io.EOF && b.left > 0 {
			b.disconnect()
			b.broken()
			if n > 0 && IsTransient(err) && b.breaks <= maxBreaks {
				return n, nil // the next Read connects again
			}
			if err = b.retry(err); err != nil {
				return n, err
			}
			continue
		}
		if n > 0 || err != nil {
			return n, nil // the end, and an error behind the last byte, are end's to judge
		}
	}
}

// broken counts a break.
func (b *body) broken() {
	if b.breaks++; b.since >= progressBytes {
		b.breaks = 1
	}
	b.since = 0
}

// once reads from the connection, making one if there is none.
func (b *body) once(p []byte) (int, error) {
	if b.inner == nil {
		if _, err := b.connect(); err != nil {
			return 0, err
		}
	}
	b.watch.active()
	n, err := b.inner.Read(p)
	b.watch.pause()
	if err != nil && err != io.EOF {
		err = stalled(b.ctx, b.watch.ctx, b.s.o.IdleTimeout, err)
	}
	return n, err
}

// end looks for bytes behind the last one announced, which would mean that the range was not the one asked for, and for
// a change of the object that the backend noticed while it was read.
func (b *body) end() error {
	defer b.disconnect()
	if b.inner == nil {
		return io.EOF
	}
	var one [1]byte
	n, err := b.once(one[:])
	if n > 0 {
		return fail("read", b.t.String(), 1, fmt.Errorf("%w: it is longer than announced, at byte %d", ErrCorrupt, b.off))
	}
	if errors.Is(err, ErrChanged) {
		return fail("read", b.t.String(), 1, err)
	}
	return io.EOF
}

// Close ends the body. It may be closed before its end and more than once.
func (b *body) Close() error {
	b.disconnect()
	if b.err == nil {
		b.err = fail("read", b.t.String(), 1, errors.New("read after close"))
	}
	return nil
}

// readAll reads a whole object of at most limit bytes.
func (s *Store) readAll(ctx context.Context, t target, limit int64) ([]byte, error) {
	body, info, err := s.Read(ctx, t.String(), 0, -1, "")
	if err != nil {
		return nil, err
	}
	defer body.Close()
	if info.Size > limit {
		return nil, fail("read", t.String(), 1, fmt.Errorf("%d bytes, over the limit of %d", info.Size, limit))
	}
	return io.ReadAll(body)
}
