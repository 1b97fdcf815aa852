package s3store

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"net/http/httptrace"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/millrace/millrace/storage"
	"github.com/minio/minio-go/v7"
)

// crcHeader carries the CRC32C of a body, base64 of its four bytes, which the server checks.
const crcHeader = "x-amz-checksum-crc32c"

// castagnoli is the polynomial of CRC32C, a table that is never changed.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(body []byte) string {
	var sum [4]byte
	binary.BigEndian.PutUint32(sum[:], crc32.Checksum(body, castagnoli))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// bucket is the Backend of one bucket.
type bucket struct {
	client *Client
	name   string
	seen   atomic.Bool // an answer has shown that the bucket is there
}

// List calls yield for objects and common prefixes in key order.
func (b *bucket) List(ctx context.Context, prefix, delim string, yield func(storage.Object) bool) error {
	switch delim {
	case "":
		return b.list(ctx, prefix, delim, yield)
	case "/":
		return b.listLevel(ctx, prefix, yield)
	default:
		return fmt.Errorf("delimiter %q: listings of S3 know only \"/\" here", delim)
	}
}

// listLevel lists with common prefixes. S3 gives each page's objects first and its prefixes after them, so a page at a time is
// held and sorted. The library hides where a page begins; the request for it does not.
func (b *bucket) listLevel(ctx context.Context, prefix string, yield func(storage.Object) bool) error {
	var requests atomic.Int64
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		WroteRequest: func(httptrace.WroteRequestInfo) { requests.Add(1) },
	})
	var page []storage.Object
	more := true
	flush := func() bool {
		slices.SortFunc(page, func(x, y storage.Object) int { return strings.Compare(x.Key, y.Key) })
		for _, o := range page {
			if more = yield(o); !more {
				break
			}
		}
		page = page[:0]
		return more
	}
	seen := int64(0)
	err := b.list(ctx, prefix, "/", func(o storage.Object) bool {
		if now := requests.Load(); now != seen {
			if seen = now; !flush() {
				return false
			}
		}
		page = append(page, o)
		return true
	})
	if err == nil && more {
		flush()
	}
	return err
}

// list is a listing in the server's order.
func (b *bucket) list(ctx context.Context, prefix, delim string, yield func(storage.Object) bool) error {
	noOwner := false
	options := minio.ListObjectsOptions{Prefix: prefix, Recursive: delim == "", FetchOwner: &noOwner}
	for info := range b.client.core.ListObjectsIter(ctx, b.name, options) {
		if info.Err != nil {
			return b.client.fail(ctx, info.Err, storage.ErrPrecondition)
		}
		b.seen.Store(true)
		if !yield(listed(info, delim)) {
			return nil
		}
	}
	if err := context.Cause(ctx); err != nil {
		return err // the library ends a cancelled listing as if it were complete
	}
	b.seen.Store(true)
	return nil
}

// listed is an entry of a listing. A common prefix is told by its end and by having neither ETag nor time.
func listed(info minio.ObjectInfo, delim string) storage.Object {
	o := object(info)
	if delim != "" && strings.HasSuffix(o.Key, delim) && o.ETag == "" && o.Modified.IsZero() {
		o.Size = -1
	}
	return o
}

func object(info minio.ObjectInfo) storage.Object {
	return storage.Object{Key: info.Key, Size: info.Size, ETag: info.ETag, Modified: info.LastModified}
}

// Put writes an object by one request.
func (b *bucket) Put(ctx context.Context, key string, body []byte, ifAbsent bool) (storage.Object, error) {
	o := minio.PutObjectOptions{
		DisableContentSha256: true,
		UserMetadata:         map[string]string{crcHeader: checksum(body)},
	}
	if ifAbsent {
		o.SetMatchETagExcept("*")
	}
	info, err := b.client.core.PutObject(ctx, b.name, key, bytes.NewReader(body), int64(len(body)), "", "", o)
	if err != nil {
		return storage.Object{}, b.client.fail(ctx, err, storage.ErrPrecondition)
	}
	b.seen.Store(true)
	return storage.Object{Key: key, Size: int64(len(body)), ETag: info.ETag, Modified: info.LastModified}, nil
}

// Remove deletes an object.
func (b *bucket) Remove(ctx context.Context, key string) error {
	err := b.client.fail(ctx, b.client.core.RemoveObject(ctx, b.name, key, minio.RemoveObjectOptions{}), storage.ErrPrecondition)
	if errors.Is(err, storage.ErrNotFound) {
		return nil
	}
	return err
}

// Uploads is the bucket's pending uploads.
func (b *bucket) Uploads() storage.Uploads { return uploads{b} }

// Read opens a range. One that begins at or behind the object's end is empty.
func (b *bucket) Read(ctx context.Context, key string, off, n int64, etag string) (io.ReadCloser, storage.Object, error) {
	if n == 0 {
		o, err := b.stat(ctx, key, etag)
		return http.NoBody, o, err
	}
	whole := off == 0 && n < 0
	var opts minio.GetObjectOptions
	if etag != "" {
		opts.Set("If-Match", `"`+etag+`"`)
	}
	if !whole {
		opts.Set("Range", rangeOf(off, n))
	}
	body, info, header, err := b.client.core.GetObject(ctx, b.name, key, opts)
	if err != nil {
		if answer, ok := errors.AsType[minio.ErrorResponse](err); ok && answer.StatusCode == http.StatusRequestedRangeNotSatisfiable {
			return b.behind(ctx, key, off, etag)
		}
		return nil, storage.Object{}, b.missing(ctx, key, b.client.fail(ctx, err, storage.ErrChanged))
	}
	b.seen.Store(true)
	o := object(info)
	o.Key = key
	length := info.Size
	if !whole {
		if o.Size, err = sizeOf(header.Get("Content-Range"), off, length); err != nil {
			body.Close()
			return nil, o, err
		}
	}
	if etag != "" && o.ETag != etag {
		body.Close() // a server that does not know If-Match
		return nil, o, fmt.Errorf("%w: its ETag is %s, not %s", storage.ErrChanged, o.ETag, etag)
	}
	return &reader{body: body, left: length, bucket: b, ctx: ctx}, o, nil
}

// stat describes an object.
func (b *bucket) stat(ctx context.Context, key, etag string) (storage.Object, error) {
	var opts minio.StatObjectOptions
	if etag != "" {
		opts.Set("If-Match", `"`+etag+`"`)
	}
	info, err := b.client.core.StatObject(ctx, b.name, key, opts)
	if err != nil {
		return storage.Object{}, b.missing(ctx, key, b.client.fail(ctx, err, storage.ErrChanged))
	}
	b.seen.Store(true)
	o := object(info)
	o.Key = key
	if etag != "" && o.ETag != etag {
		return o, fmt.Errorf("%w: its ETag is %s, not %s", storage.ErrChanged, o.ETag, etag)
	}
	return o, nil
}

// behind answers a range that the server cannot satisfy.
func (b *bucket) behind(ctx context.Context, key string, off int64, etag string) (io.ReadCloser, storage.Object, error) {
	o, err := b.stat(ctx, key, etag)
	if err == nil && o.Size > off { // it has grown between the two requests
		err = storage.Transient(fmt.Errorf("range from byte %d refused for %d bytes", off, o.Size))
	}
	return http.NoBody, o, err
}

// missing finds out whether a missing object's bucket is there, and the access key known: a HEAD cannot say so, and some servers
// do not. A listing can. It is asked for until something of the bucket has been seen.
func (b *bucket) missing(ctx context.Context, key string, err error) error {
	if !errors.Is(err, storage.ErrNotFound) || b.seen.Load() {
		return err
	}
	// By the key's prefix, since a policy may allow no other.
	probe := b.List(ctx, key, "", func(storage.Object) bool { return false })
	if errors.Is(probe, storage.ErrNoBucket) || errors.Is(probe, errUnknownKey) {
		return probe
	}
	return err // whatever else is wrong with a listing, it was not what the caller asked for
}

// rangeOf is the Range header for n bytes from off (n < 0: to the end).
func rangeOf(off, n int64) string {
	if n < 0 {
		return fmt.Sprintf("bytes=%d-", off)
	}
	return fmt.Sprintf("bytes=%d-%d", off, off+n-1)
}

// sizeOf is the whole object's size in a Content-Range, whose range must be the one asked for.
func sizeOf(header string, off, length int64) (int64, error) {
	span, total, ok := strings.Cut(strings.TrimPrefix(header, "bytes "), "/")
	first, last, ok2 := strings.Cut(span, "-")
	from, err1 := strconv.ParseInt(first, 10, 64)
	to, err2 := strconv.ParseInt(last, 10, 64)
	size, err3 := strconv.ParseInt(total, 10, 64)
	if !ok || !ok2 || errors.Join(err1, err2, err3) != nil || from != off || to-from+1 != length || to >= size {
		return 0, fmt.Errorf("%w: %d bytes with Content-Range %q for the range from byte %d", storage.ErrCorrupt, length, header, off)
	}
	return size, nil
}

// reader is a body that must bring as many bytes as announced. left < 0 means that the server did not announce any.
type reader struct {
	body   io.ReadCloser
	left   int64
	bucket *bucket
	ctx    context.Context // of the call that opened it, to tell its end from a broken connection
}

// Read reads on. An early end and a broken or silent connection are transient errors.
func (r *reader) Read(p []byte) (int, error) {
	n, err := r.body.Read(p)
	short := r.left > int64(n)
	r.left -= int64(n)
	switch {
	case err == nil:
	case err == io.EOF && !short:
	case err == io.EOF:
		err = storage.Transient(fmt.Errorf("%w: the body ended %d bytes early", io.ErrUnexpectedEOF, r.left))
	default:
		err = r.bucket.client.fail(r.ctx, err, storage.ErrChanged)
	}
	return n, err
}

// Close gives the connection back or, before the body's end, up.
func (r *reader) Close() error { return r.body.Close() }
