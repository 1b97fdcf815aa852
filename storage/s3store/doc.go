// Package s3store is the Backend over S3: one bucket of AWS S3 or of any server that speaks its protocol. It is the only
// importer of minio-go.
//
// It knows requests, answers and credentials. It does not know URLs, globs or retries: storage.Store has those, so every call
// here makes one try and its error says, by sentinel and Transient mark, whether another one may help. Called by
// storage/backends, through Opener.
//
// # Requests
//
//	Read       GET with Range and If-Match; a HEAD for no bytes
//	Put        PUT with x-amz-checksum-crc32c, and If-None-Match: * for ifAbsent
//	Remove     DELETE
//	List       ListObjectsV2, page by page
//	Uploads    CreateMultipartUpload (CRC32C, FULL_OBJECT), UploadPart with x-amz-checksum-crc32c,
//	           CompleteMultipartUpload, AbortMultipartUpload, ListParts, ListMultipartUploads
//
// Bodies are sent unsigned, since SHA-256 over them costs more than all the rest of a PUT; a bit that flips on the way is
// caught by the CRC32C, which the server checks before it stores anything. Over http nothing keeps others on the
// network from reading and changing what passes: use https beyond a trusted network.
//
// # Servers
//
// What deviates from AWS, and what is done about it here:
//
//	MinIO        lists pending uploads by a prefix only when it is a whole key: uploads are listed without one as well,
//	             and compared here (uploads.List). It forgets in that listing, not otherwise, those of before its last
//	             start
//	versitygw    answers an unknown access key with 404: that is ErrDenied here. It keeps keys as paths: a/b cannot be
//	             there while a is an object. Its conditional writes are atomic since 1.8.0, on file systems with locks.
//	             While one caller completes an upload, others see neither it nor the object for a moment: Store.Complete
//	             looks again
//	both         want each part's CRC32C again when an upload is completed: a part's ETag carries it (uploads)
//	AWS          names a region in the error when another is asked for: the error says what to set
//	any          cannot say in the answer to a HEAD why an object is missing: a listing is asked once (bucket.missing)
//	any          may fail a completion after it has answered 200: the body is looked at (minio-go does)
package s3store
