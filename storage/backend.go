package storage

import (
	"context"
	"io"
	"time"
)

// Object is one object at rest.
type Object struct {
	Key      string // within the backend: bucket-relative for S3, slash-separated path for files
	Size     int64
	ETag     string // changes whenever the content does; compared, never interpreted
	Modified time.Time
}

// Backend is what a kind of storage must do; Store adds URLs, globs, retries, limits and read-ahead, once for all of them.
// Errors wrap the sentinels of this package (ErrNotFound, ErrPrecondition, ...); anything else is Transient or final
// as the backend marks it. All methods may be called concurrently.
type Backend interface {
	// List calls yield for the objects whose key begins with prefix, in key order, and for each common prefix when
	// delim is not empty (Object.Key ends in delim, Size -1). It stops when yield returns false. Key order is the order
	// of bytes; a prefix under which nothing lies gives no objects and no error; local folders count as common
	// prefixes even when they are empty.
	List(ctx context.Context, prefix, delim string, yield func(Object) bool) error
	// Read opens n bytes of an object from off (n < 0: to the end) and describes the whole object. A non-empty etag
	// must still be the object's: otherwise the error is ErrChanged. n == 0 only describes it. The body is never nil
	// without an error; a range is cut at the object's end and empty beyond it. A body that breaks off ends in a
	// Transient error or in io.ErrUnexpectedEOF.
	Read(ctx context.Context, key string, off, n int64, etag string) (io.ReadCloser, Object, error)
	// Put writes a small object at once. With ifAbsent an object that is there already gives ErrPrecondition.
	Put(ctx context.Context, key string, body []byte, ifAbsent bool) (Object, error)
	// Remove deletes an object; one that is not there is no error.
	Remove(ctx context.Context, key string) error
	// Uploads is the backend's pending uploads.
	Uploads() Uploads
}

// Uploads writes large objects that become visible only when they are completed, by anyone who knows key and id.
type Uploads interface {
	// Create starts an upload and returns its id.
	Create(ctx context.Context, key string) (id string, err error)
	// Part writes part number n (from 1) of an upload; writing it again replaces it. An upload that is not there is
	// ErrNotFound. body is the caller's again when Part returns.
	Part(ctx context.Context, key, id string, n int, body []byte) (etag string, err error)
	// Complete makes the object visible, made of the parts in order; it replaces an object that is there. A second call
	// with no upload left is ErrNotFound.
	Complete(ctx context.Context, key, id string, parts []Part) (Object, error)
	// Abort forgets an upload and its parts; one that is not there is no error.
	Abort(ctx context.Context, key, id string) error
	// List calls yield for the uploads whose key begins with prefix (id empty), or for the parts of the upload id of the
	// key that prefix is then, in order of their numbers; ErrNotFound if there is no such upload.
	List(ctx context.Context, prefix, id string, yield func(Part) bool) error
}

// Part is one part of a pending upload or, with Number 0, an upload itself.
type Part struct {
	Key    string
	ID     string // of the upload
	Number int
	Size   int64
	ETag   string
	Begun  time.Time // of an upload; of a part, when it was written or, if that is not known, a time between
}

// PartsETag is what Uploads also implement when the ETag of an object can be told from its parts before Complete.
type PartsETag interface {
	PartsETag(parts []Part) string
}

// Sealer is what Uploads also implement when parts are not durable as soon as they are written. Seal makes them so; the
// Store calls it when an upload is whole, before anyone is told of it.
type Sealer interface {
	Seal(ctx context.Context, key, id string) error
}

// InOrder is what Uploads also implement when parts are best written one after the other (local files: the parts are
// then one file already when they are completed).
type InOrder interface {
	PartsInOrder() bool
}

// InputLister is what a Backend also implements when it can list a job's inputs better than List does: names for which
// skip tells so (folders: with the trailing slash) are left out and not descended into, and an object that may not be
// read is ErrDenied. It is as parallel as it pays; objects come in key order all the same.
type InputLister interface {
	ListInputs(ctx context.Context, prefix, delim string, skip func(name string) bool, yield func(Object) bool) error
}

// Folders is what a Backend also implements when folders are things of their own, which stay when the last object in them is
// removed. RemoveFolders removes those below prefix, which ends in a slash, and that one, as far as nothing lies in them.
type Folders interface {
	RemoveFolders(ctx context.Context, prefix string) error
}

// Prompt is what a Backend also implements when a read is answered by this machine itself, as a local file's is: waiting
// for it hides next to nothing, and what was just read is best used by the processor that read it.
type Prompt interface {
	Prompt() bool
}

// Littered is what a Backend also implements when a crash can leave files of its own that neither List nor Uploads.List shows.
// ListLitter calls yield for those whose key begins with prefix, those that are being written right now too; Remove removes
// them.
type Littered interface {
	ListLitter(ctx context.Context, prefix string, yield func(Object) bool) error
}
