package s3store_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/storagetest/servers"
)

// partsETag is the optional method of the bucket's uploads.
func partsETag(t *testing.T, b storage.Backend, parts ...storage.Part) string {
	t.Helper()
	u, ok := b.Uploads().(storage.PartsETag)
	if !ok {
		t.Fatal("uploads do not foretell the ETag")
	}
	return u.PartsETag(parts)
}

// The foretold ETag is the MD5 of the parts' MD5s and their number, and nothing when a part's ETag is no MD5.
func TestPartsETag(t *testing.T) {
	t.Parallel()
	b := bucketAt(t, "http://127.0.0.1:1")
	one := storage.Part{Number: 1, ETag: "d41d8cd98f00b204e9800998ecf8427e"}
	sum := storage.Part{Number: 1, ETag: one.ETag + "/AAA/AA=="}
	want := "59adb24ef3cdbe0297f05b395827453f-1" // md5 of the 16 bytes
	for _, p := range []storage.Part{one, sum} {
		if got := partsETag(t, b, p); got != want {
			t.Errorf("ETag %s: got %s, want %s", p.ETag, got, want)
		}
	}
	for _, etag := range []string{"", "abc", "not-hexadecimal", one.ETag + "00"} {
		if got := partsETag(t, b, one, storage.Part{Number: 2, ETag: etag}); got != "" {
			t.Errorf("part with ETag %q: got %s, want none", etag, got)
		}
	}
}

// Long listings of uploads and of parts go on page after page, and one that goes nowhere is an error, no endless loop.
func TestUploadPages(t *testing.T) {
	t.Parallel()
	b := bucketAt(t, serve(t, func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		switch {
		case q.Get("uploadId") == "stuck":
			io.WriteString(w, "<ListPartsResult><IsTruncated>true</IsTruncated></ListPartsResult>")
		case q.Get("uploadId") != "" && q.Get("part-number-marker") == "0":
			io.WriteString(w, `<ListPartsResult><IsTruncated>true</IsTruncated><NextPartNumberMarker>1</NextPartNumberMarker>`+
				`<Part><PartNumber>1</PartNumber><Size>7</Size><ETag>"e1"</ETag><ChecksumCRC32C>c1</ChecksumCRC32C></Part></ListPartsResult>`)
		case q.Get("uploadId") != "":
			io.WriteString(w, `<ListPartsResult><Part><PartNumber>2</PartNumber><Size>8</Size><ETag>e2</ETag></Part></ListPartsResult>`)
		case strings.HasPrefix(q.Get("prefix"), "stuck"):
			io.WriteString(w, "<ListMultipartUploadsResult><IsTruncated>true</IsTruncated></ListMultipartUploadsResult>")
		case q.Get("key-marker") == "":
			io.WriteString(w, `<ListMultipartUploadsResult><IsTruncated>true</IsTruncated><NextKeyMarker>p/a</NextKeyMarker>`+
				`<NextUploadIdMarker>1</NextUploadIdMarker><Upload><Key>p/a</Key><UploadId>1</UploadId></Upload></ListMultipartUploadsResult>`)
		default:
			fmt.Fprintf(w, `<ListMultipartUploadsResult><Upload><Key>p/b</Key><UploadId>2%s</UploadId></Upload></ListMultipartUploadsResult>`, q.Get("upload-id-marker"))
		}
	}))
	list := func(prefix, id string) ([]string, error) {
		var got []string
		err := b.Uploads().List(t.Context(), prefix, id, func(p storage.Part) bool {
			got = append(got, fmt.Sprintf("%s %s %d %d %s", p.Key, p.ID, p.Number, p.Size, p.ETag))
			return true
		})
		return got, err
	}
	for _, c := range []struct {
		prefix, id string
		want       []string
	}{
		{"p/", "", []string{"p/a 1 0 0 ", "p/b 21 0 0 "}},
		{"p/b", "", []string{"p/b 21 0 0 "}},
		{"p/a", "1", []string{"p/a 1 1 7 e1/c1", "p/a 1 2 8 e2"}},
	} {
		got, err := list(c.prefix, c.id)
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("list %q %q: got %q, %v; want %q", c.prefix, c.id, got, err, c.want)
		}
	}
	for _, c := range [][2]string{{"stuck/", ""}, {"key", "stuck"}} {
		if _, err := list(c[0], c[1]); err == nil || !strings.Contains(err.Error(), "without end") {
			t.Errorf("list %q: got %v, want an error", c, err)
		}
	}
}

// An upload that was completed is not listed, also where its client was cut off while the server completed it: MinIO goes on
// naming some of those, and a folder that is cleaned would never look clean.
func TestUploadsCutOff(t *testing.T) {
	t.Parallel()
	s := servers.MinIO(t)
	b := client(t, options(s)).Bucket(s.NewBucket(t))
	ctx, u, body, listed := t.Context(), b.Uploads(), make([]byte, 200_000), 0
	for i := range 200 {
		id, err := u.Create(ctx, "folder/key")
		if err != nil {
			t.Fatal(err)
		}
		etag, err := u.Part(ctx, "folder/key", id, 1, body)
		if err != nil {
			t.Fatal(err)
		}
		short, cancel := context.WithTimeout(ctx, time.Duration(i)*20*time.Microsecond)
		u.Complete(short, "folder/key", id, []storage.Part{{Number: 1, ETag: etag, Size: int64(len(body))}}) // fails or not
		cancel()
	}
	err := u.List(ctx, "folder/", "", func(p storage.Part) bool {
		listed++
		if err := u.Abort(ctx, p.Key, p.ID); err != nil {
			t.Error(err)
		}
		return true
	})
	if err != nil || listed == 0 {
		t.Errorf("listed %d uploads, %v; want those that were cut off before they began to complete", listed, err)
	}
	if err := u.List(ctx, "folder/", "", func(p storage.Part) bool { t.Errorf("%s is left", p.ID); return true }); err != nil {
		t.Error(err)
	}
}

// A server that lists an upload and then fails to tell whether it exists fails the listing.
func TestUploadsUnknown(t *testing.T) {
	t.Parallel()
	b := bucketAt(t, serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("uploadId") != "" {
			refuse(403, "AccessDenied")(w, r)
			return
		}
		io.WriteString(w, `<ListMultipartUploadsResult><Upload><Key>p/b</Key><UploadId>2</UploadId></Upload></ListMultipartUploadsResult>`)
	}))
	err := b.Uploads().List(t.Context(), "p/b", "", func(storage.Part) bool { t.Error("an upload is listed"); return true })
	if !errors.Is(err, storage.ErrDenied) {
		t.Errorf("got %v, want ErrDenied", err)
	}
}

// What is gone is no error to remove or to abort.
func TestGone(t *testing.T) {
	t.Parallel()
	for _, code := range []string{"NoSuchKey", "NoSuchUpload"} {
		b := bucketAt(t, serve(t, refuse(404, code)))
		if err := b.Remove(t.Context(), "key"); err != nil {
			t.Errorf("remove, %s: %v", code, err)
		}
		if err := b.Uploads().Abort(t.Context(), "key", "id"); err != nil {
			t.Errorf("abort, %s: %v", code, err)
		}
	}
	b := bucketAt(t, serve(t, refuse(404, "NoSuchBucket")))
	if err := b.Remove(t.Context(), "key"); !errors.Is(err, storage.ErrNoBucket) {
		t.Errorf("remove in a missing bucket: got %v, want ErrNoBucket", err)
	}
}

// Servers tell the ETag that was foretold, so that a master can tell its own object without reading it.
func TestForetoldETag(t *testing.T) {
	t.Parallel()
	for name, start := range starters() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t)
			b := client(t, options(s)).Bucket(s.NewBucket(t))
			id, err := b.Uploads().Create(t.Context(), "key")
			if err != nil {
				t.Fatal(err)
			}
			var parts []storage.Part
			for n, body := range [][]byte{make([]byte, 5<<20), []byte("end")} {
				etag, err := b.Uploads().Part(t.Context(), "key", id, n+1, body)
				if err != nil {
					t.Fatal(err)
				}
				parts = append(parts, storage.Part{Number: n + 1, Size: int64(len(body)), ETag: etag})
			}
			o, err := b.Uploads().Complete(t.Context(), "key", id, parts)
			if want := partsETag(t, b, parts...); err != nil || o.ETag != want || o.Size != 5<<20+3 {
				t.Errorf("got %+v, %v; want ETag %s", o, err, want)
			}
		})
	}
}
