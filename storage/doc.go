// Package storage is bytes at rest: objects named by URLs, in a bucket, in local files or in memory.
//
// A Store adds to a small Backend, once for all of them, what callers rely on: URLs, globs and folders, retries with
// limits, reads that resume, pending uploads that anyone who holds their name can complete, and errors that name the URL.
// It knows no jobs, masters or workers, and nothing of what the bytes mean. The master lists inputs and completes
// uploads with it, workers read splits and write parts with it.
//
// # URLs
//
//	s3://bucket/key      an object of an S3-compatible store
//	file:///abs/path     a local file; a plain path means the same and is made absolute
//	mem://name/key       memory, for tests
//
// A URL is the plain string scheme://host/key. Nothing is percent-encoded: a space, '#', '?' or '%' in a file's name
// stands in its URL as it is. A key that ends in '/' names a folder, that is, the objects whose keys begin with it.
//
// # Pending uploads
//
//	Create -> Write... -> Finish = Pending   the object is whole, durable and invisible
//	Complete(Pending)                        it becomes visible; repeating it is harmless
//	Abort(Pending)                           it is forgotten
//
// Whoever writes an upload cannot make it visible by accident: only Complete does, and it needs nothing but the Pending.
package storage
