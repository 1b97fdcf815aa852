package s3store_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/s3store"
)

const testSecret = "wJalrXUtnFEMIbPxRfiCYEXAMPLEKEY"

// bucketAt is a bucket of a server that speaks just enough.
func bucketAt(t testing.TB, endpoint string, change ...func(*s3store.Options)) storage.Backend {
	t.Helper()
	o := s3store.Options{Endpoint: endpoint, Region: "us-east-1", AccessKey: "AKIATEST", SecretKey: testSecret}
	for _, c := range change {
		c(&o)
	}
	return client(t, o).Bucket("bucket")
}

func serve(t testing.TB, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

func refuse(status int, code string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.WriteHeader(status)
		if r.Method != http.MethodHead {
			fmt.Fprintf(w, "<Error><Code>%s</Code><Message>text of %s.</Message></Error>", code, code)
		}
	}
}

func read(ctx context.Context, b storage.Backend, n int64, etag string) error {
	body, _, err := b.Read(ctx, "key", 0, n, etag)
	if err != nil {
		return err
	}
	defer body.Close()
	_, err = io.Copy(io.Discard, body)
	return err
}

var calls = map[string]func(context.Context, storage.Backend) error{
	"list": func(ctx context.Context, b storage.Backend) error {
		return b.List(ctx, "", "", func(storage.Object) bool { return true })
	},
	"read": func(ctx context.Context, b storage.Backend) error { return read(ctx, b, -1, "") },
	"put": func(ctx context.Context, b storage.Backend) error {
		_, err := b.Put(ctx, "key", []byte("body"), true)
		return err
	},
	"create": func(ctx context.Context, b storage.Backend) error {
		_, err := b.Uploads().Create(ctx, "key")
		return err
	},
	"part": func(ctx context.Context, b storage.Backend) error {
		_, err := b.Uploads().Part(ctx, "key", "id", 1, []byte("body"))
		return err
	},
	"complete": func(ctx context.Context, b storage.Backend) error {
		_, err := b.Uploads().Complete(ctx, "key", "id", []storage.Part{{Number: 1, ETag: "e"}})
		return err
	},
}

// Every refusal that calls for a decision becomes the sentinel and the mark that the Store decides by, whatever the call.
func TestRefusals(t *testing.T) {
	t.Parallel()
	none := errors.New("none")
	for _, c := range []struct {
		status    int
		code      string
		want      error
		transient bool
	}{
		{403, "AccessDenied", storage.ErrDenied, false},
		{403, "InvalidAccessKeyId", storage.ErrDenied, false},
		{403, "SignatureDoesNotMatch", storage.ErrDenied, false},
		{403, "RequestTimeTooSkewed", storage.ErrDenied, false},
		{401, "Unauthorized", storage.ErrDenied, false},
		{404, "NoSuchBucket", storage.ErrNoBucket, false},
		{404, "NoSuchKey", storage.ErrNotFound, false},
		{404, "NoSuchUpload", storage.ErrNotFound, false},
		{400, "InvalidPart", storage.ErrPendingLost, false},
		{400, "KeyTooLongError", storage.ErrBadURL, false},
		{409, "ConditionalRequestConflict", storage.ErrConflict, true},
		{409, "OperationAborted", storage.ErrConflict, true},
		{503, "SlowDown", storage.ErrSlowDown, true},
		{503, "SlowDownWrite", storage.ErrSlowDown, true},
		{429, "TooManyRequests", storage.ErrSlowDown, true},
		{400, "RequestTimeout", none, true},
		{408, "Timeout", none, true},
		{400, "BadDigest", none, true},
		{500, "InternalError", none, true},
		{502, "Bad", none, true},
		{503, "ServiceUnavailable", none, true},
		{504, "Gateway", none, true},
		{501, "NotImplemented", none, false},
		{507, "XMinioStorageFull", storage.ErrNoSpace, false},
		{400, "MalformedXML", none, false},
		{405, "MethodNotAllowed", none, false},
	} {
		t.Run(fmt.Sprint(c.status, " ", c.code), func(t *testing.T) {
			t.Parallel()
			b := bucketAt(t, serve(t, refuse(c.status, c.code)))
			for name, call := range calls {
				err := call(t.Context(), b)
				if err == nil || c.want != none && !errors.Is(err, c.want) || storage.IsTransient(err) != c.transient {
					t.Errorf("%s: got %v, transient %t; want %v, transient %t", name, err, storage.IsTransient(err), c.want, c.transient)
				}
				if err != nil && !strings.Contains(err.Error(), c.code) {
					t.Errorf("%s: error %q does not name the code", name, err)
				}
			}
		})
	}
}

// A failed precondition means "already there" to a write and "changed" to a read.
func TestPrecondition(t *testing.T) {
	t.Parallel()
	b := bucketAt(t, serve(t, refuse(412, "PreconditionFailed")))
	if _, err := b.Put(t.Context(), "key", nil, true); !errors.Is(err, storage.ErrPrecondition) || storage.IsTransient(err) {
		t.Errorf("write: got %v, want ErrPrecondition", err)
	}
	for _, n := range []int64{0, 1, -1} {
		if err := read(t.Context(), b, n, "etag"); !errors.Is(err, storage.ErrChanged) || storage.IsTransient(err) {
			t.Errorf("read of %d bytes: got %v, want ErrChanged", n, err)
		}
	}
}

// A completion that fails after the answer has begun with 200 is a failure.
func TestCompleteFailsLate(t *testing.T) {
	t.Parallel()
	b := bucketAt(t, serve(t, refuse(200, "InternalError")))
	if err := calls["complete"](t.Context(), b); !storage.IsTransient(err) {
		t.Errorf("got %v, want a transient error", err)
	}
}

// Of a missing object a HEAD does not say whether its bucket is there: the error does, and the bucket is asked for only until
// something of it was seen.
func TestMissingBucket(t *testing.T) {
	t.Parallel()
	probes, there := 0, false
	b := bucketAt(t, serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/bucket/" {
			if probes++; there {
				io.WriteString(w, "<ListBucketResult></ListBucketResult>")
				return
			}
		}
		w.WriteHeader(http.StatusNotFound)
	}))
	if err := read(t.Context(), b, 0, ""); !errors.Is(err, storage.ErrNoBucket) {
		t.Errorf("got %v, want ErrNoBucket", err)
	}
	there = true
	for range 3 {
		if err := read(t.Context(), b, 0, ""); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("got %v, want ErrNotFound", err)
		}
	}
	if probes != 2 {
		t.Errorf("the bucket was asked for %d times, want 2", probes)
	}
}

// A bucket in another region than the one set gives an error that says what to set.
func TestWrongRegion(t *testing.T) {
	t.Parallel()
	b := bucketAt(t, serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("x-amz-bucket-region", "eu-west-1")
		w.WriteHeader(http.StatusMovedPermanently)
	}))
	err := read(t.Context(), b, -1, "")
	if err == nil || storage.IsTransient(err) || !strings.Contains(err.Error(), "AWS_REGION=eu-west-1") {
		t.Errorf("got %v, want an error that names the region", err)
	}
}

// object answers a GET as a store would, with what a case makes wrong.
func object(length int, header map[string]string, status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("ETag", `"etag"`)
		w.Header().Set("Last-Modified", time.Unix(1e9, 0).UTC().Format(http.TimeFormat))
		w.Header().Set("Content-Length", fmt.Sprint(length))
		for k, v := range header {
			w.Header().Set(k, v)
		}
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
}

// An answer that is not the range asked for, or not all of it, never passes for it.
func TestWrongBodies(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		etag   string
		want   error
	}{
		"short":          {object(5, map[string]string{"Content-Range": "bytes 2-6/9"}, 206, "abc"), "", io.ErrUnexpectedEOF},
		"another range":  {object(5, map[string]string{"Content-Range": "bytes 0-4/9"}, 206, "abcde"), "", storage.ErrCorrupt},
		"longer":         {object(6, map[string]string{"Content-Range": "bytes 2-6/9"}, 206, "abcdef"), "", storage.ErrCorrupt},
		"not a range":    {object(9, nil, 200, "abcdefghi"), "", storage.ErrCorrupt},
		"odd range":      {object(5, map[string]string{"Content-Range": "lines 2-6"}, 206, "abcde"), "", storage.ErrCorrupt},
		"another object": {object(5, map[string]string{"Content-Range": "bytes 2-6/9"}, 206, "abcde"), "other", storage.ErrChanged},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := bucketAt(t, serve(t, c.answer))
			body, _, err := b.Read(t.Context(), "key", 2, 5, c.etag)
			if err == nil {
				_, err = io.Copy(io.Discard, body)
				body.Close()
			}
			if !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
			if storage.IsTransient(err) != (c.want == io.ErrUnexpectedEOF) {
				t.Errorf("transient is %t for %v", storage.IsTransient(err), err)
			}
		})
	}
}

// A listing page that breaks off, and one that is cancelled, are errors: neither passes for the end of the listing.
func TestBrokenListing(t *testing.T) {
	t.Parallel()
	b := bucketAt(t, serve(t, func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "<ListBucketResult><Contents><Key>a</Key>")
	}))
	if err := calls["list"](t.Context(), b); !storage.IsTransient(err) {
		t.Errorf("page cut off: got %v, want a transient error", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := calls["list"](ctx, b); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: got %v, want context.Canceled", err)
	}
}

// Pages of a listing by level come out merged in key order, page after page.
func TestListPages(t *testing.T) {
	t.Parallel()
	const time = "<LastModified>2026-01-02T03:04:05Z</LastModified><ETag>e</ETag>"
	pages := []string{
		"<IsTruncated>true</IsTruncated><NextContinuationToken>2</NextContinuationToken>" +
			"<Contents><Key>a</Key>" + time + "</Contents><Contents><Key>c</Key>" + time + "</Contents>" +
			"<CommonPrefixes><Prefix>b/</Prefix></CommonPrefixes>",
		"<IsTruncated>true</IsTruncated><NextContinuationToken>3</NextContinuationToken>" +
			"<CommonPrefixes><Prefix>d/</Prefix></CommonPrefixes>",
		"<IsTruncated>false</IsTruncated><Contents><Key>f</Key>" + time + "</Contents>" +
			"<Contents><Key>g/</Key>" + time + "</Contents><CommonPrefixes><Prefix>e/</Prefix></CommonPrefixes>",
	}
	b := bucketAt(t, serve(t, func(w http.ResponseWriter, r *http.Request) {
		page := 0
		fmt.Sscan(r.URL.Query().Get("continuation-token"), &page)
		fmt.Fprintf(w, "<ListBucketResult>%s</ListBucketResult>", pages[max(page-1, 0)])
	}))
	var got strings.Builder
	err := b.List(t.Context(), "", "/", func(o storage.Object) bool {
		fmt.Fprintf(&got, "%s %d, ", o.Key, o.Size)
		return true
	})
	want := "a 0, b/ -1, c 0, d/ -1, e/ -1, f 0, g/ 0, "
	if err != nil || got.String() != want {
		t.Errorf("got %s (%v), want %s", got.String(), err, want)
	}
}
