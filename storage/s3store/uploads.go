package s3store

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/millrace/millrace/storage"
	"github.com/minio/minio-go/v7"
)

const (
	checksumAlgorithm = "x-amz-checksum-algorithm"
	checksumType      = "x-amz-checksum-type"
	pageSize          = 1000 // of a listing of uploads or parts: S3 gives no more
)

// uploads is a bucket's multipart uploads.
//
// A part's ETag here is the server's and, behind a slash where the server keeps it, the part's CRC32C. Servers want both of
// each part when an upload is completed, by someone who knows no more than what List tells.
type uploads struct{ b *bucket }

func partETag(etag, crc32c string) string {
	etag = strings.Trim(etag, `"`)
	if crc32c == "" {
		return etag
	}
	return etag + "/" + crc32c
}

// Create begins a multipart upload whose parts carry CRC32Cs. The server combines them into the whole object's.
func (u uploads) Create(ctx context.Context, key string) (string, error) {
	// Header names that begin so are passed on as they are, not as metadata.
	id, err := u.b.client.core.NewMultipartUpload(ctx, u.b.name, key, minio.PutObjectOptions{
		UserMetadata: map[string]string{checksumAlgorithm: "CRC32C", checksumType: "FULL_OBJECT"},
	})
	if err != nil {
		return "", u.b.client.fail(ctx, err, storage.ErrPrecondition)
	}
	u.b.seen.Store(true)
	return id, nil
}

// Part writes a part.
func (u uploads) Part(ctx context.Context, key, id string, n int, body []byte) (string, error) {
	part, err := u.b.client.core.PutObjectPart(ctx, u.b.name, key, id, n, bytes.NewReader(body), int64(len(body)),
		minio.PutObjectPartOptions{
			DisableContentSha256: true,
			CustomHeader:         http.Header{http.CanonicalHeaderKey(crcHeader): {checksum(body)}},
		})
	if err != nil {
		return "", u.b.client.fail(ctx, err, storage.ErrPrecondition)
	}
	return partETag(part.ETag, part.ChecksumCRC32C), nil
}

// Complete makes the object. The size that it returns is that of the parts it was told of: S3 does not say.
func (u uploads) Complete(ctx context.Context, key, id string, parts []storage.Part) (storage.Object, error) {
	o := storage.Object{Key: key}
	var list []minio.CompletePart
	for _, p := range parts {
		etag, crc32c, _ := strings.Cut(p.ETag, "/") // base64 may hold slashes, hexadecimal does not
		list = append(list, minio.CompletePart{PartNumber: p.Number, ETag: etag, ChecksumCRC32C: crc32c})
		o.Size += p.Size
	}
	info, err := u.b.client.core.CompleteMultipartUpload(ctx, u.b.name, key, id, list, minio.PutObjectOptions{})
	if err != nil {
		return storage.Object{}, u.b.client.fail(ctx, err, storage.ErrPrecondition)
	}
	o.ETag = info.ETag
	return o, nil
}

// Abort forgets an upload.
func (u uploads) Abort(ctx context.Context, key, id string) error {
	err := u.b.client.fail(ctx, u.b.client.core.AbortMultipartUpload(ctx, u.b.name, key, id), storage.ErrPrecondition)
	if errors.Is(err, storage.ErrNotFound) {
		return nil
	}
	return err
}

// List calls yield for uploads, or for the parts of one.
func (u uploads) List(ctx context.Context, prefix, id string, yield func(storage.Part) bool) error {
	if id != "" {
		return u.parts(ctx, prefix, id, yield)
	}
	if strings.HasSuffix(prefix, "/") {
		found := 0
		err := u.pending(ctx, prefix, func(p storage.Part) bool {
			found++
			return yield(p)
		})
		if err != nil || found > 0 {
			return err
		}
	}
	// MinIO finds nothing by a prefix that is not a whole key, and finds one key only by one that is.
	var failed error
	err := u.pending(ctx, "", func(p storage.Part) bool {
		if !strings.HasPrefix(p.Key, prefix) {
			return true
		}
		alive, err := u.alive(ctx, p)
		failed = err
		return err == nil && (!alive || yield(p))
	})
	return errors.Join(err, failed)
}

// alive tells whether a listed upload exists. MinIO lists a bucket's uploads from its memory, and there stay, for a day, those
// whose completing client was cut off after the object was made.
func (u uploads) alive(ctx context.Context, p storage.Part) (bool, error) {
	_, err := u.b.client.core.ListObjectParts(ctx, u.b.name, p.Key, p.ID, 0, 1)
	err = u.b.client.fail(ctx, err, storage.ErrPrecondition)
	if errors.Is(err, storage.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// pending lists uploads as the server does.
func (u uploads) pending(ctx context.Context, prefix string, yield func(storage.Part) bool) error {
	key, id := "", ""
	for {
		page, err := u.b.client.core.ListMultipartUploads(ctx, u.b.name, prefix, key, id, "", pageSize)
		if err != nil {
			return u.b.client.fail(ctx, err, storage.ErrPrecondition)
		}
		for _, p := range page.Uploads {
			if !yield(storage.Part{Key: p.Key, ID: p.UploadID, Begun: p.Initiated}) {
				return nil
			}
		}
		if !page.IsTruncated {
			return nil
		}
		if page.NextKeyMarker == key && page.NextUploadIDMarker == id {
			return fmt.Errorf("the server lists the uploads behind %s without end", key)
		}
		key, id = page.NextKeyMarker, page.NextUploadIDMarker
	}
}

// parts lists the parts of an upload.
func (u uploads) parts(ctx context.Context, key, id string, yield func(storage.Part) bool) error {
	after := 0
	for {
		page, err := u.b.client.core.ListObjectParts(ctx, u.b.name, key, id, after, pageSize)
		if err != nil {
			return u.b.client.fail(ctx, err, storage.ErrPrecondition)
		}
		for _, p := range page.ObjectParts {
			part := storage.Part{Key: key, ID: id, Number: p.PartNumber, Size: p.Size, Begun: p.LastModified}
			part.ETag = partETag(p.ETag, p.ChecksumCRC32C)
			if !yield(part) {
				return nil
			}
		}
		if !page.IsTruncated {
			return nil
		}
		if page.NextPartNumberMarker <= after {
			return fmt.Errorf("the server lists the parts behind number %d without end", after)
		}
		after = page.NextPartNumberMarker
	}
}

// PartsETag is the ETag that AWS and most others give an object made of parts: the MD5 of the parts' MD5s, and their number. It
// is empty when an ETag of a part is no MD5.
func (u uploads) PartsETag(parts []storage.Part) string {
	sum := md5.New()
	for _, p := range parts {
		etag, _, _ := strings.Cut(p.ETag, "/")
		raw, err := hex.DecodeString(etag)
		if err != nil || len(raw) != md5.Size {
			return ""
		}
		sum.Write(raw)
	}
	return fmt.Sprintf("%x-%d", sum.Sum(nil), len(parts))
}
