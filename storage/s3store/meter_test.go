package s3store_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/millrace/millrace/storage"
)

// Every call counts as the kind of request that the price list has for it, whether it succeeds or not, and nothing else is
// counted.
func TestRequestsAreCounted(t *testing.T) {
	t.Parallel()
	sent := 0
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		sent++
		io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusNotFound)
		if r.Method != http.MethodHead {
			fmt.Fprint(w, "<Error><Code>NoSuchKey</Code><Message>none.</Message></Error>")
		}
	})
	for name, want := range map[string]storage.Requests{
		"list": {List: 1}, "read": {Get: 1, List: 1}, "stat": {Head: 1, List: 1}, "put": {Put: 1}, "remove": {Delete: 1},
		"create": {Create: 1}, "part": {Part: 1}, "abort": {Abort: 1}, "list uploads": {List: 1}, "list parts": {List: 1},
	} {
		b := bucketAt(t, url)
		up := b.Uploads()
		call := map[string]func(context.Context){
			"list":         func(ctx context.Context) { _ = b.List(ctx, "", "", func(storage.Object) bool { return true }) },
			"read":         func(ctx context.Context) { _ = read(ctx, b, -1, "") }, // and asks whether the bucket is there
			"stat":         func(ctx context.Context) { _ = read(ctx, b, 0, "") },
			"put":          func(ctx context.Context) { _, _ = b.Put(ctx, "key", nil, true) },
			"remove":       func(ctx context.Context) { _ = b.Remove(ctx, "key") },
			"create":       func(ctx context.Context) { _, _ = up.Create(ctx, "key") },
			"part":         func(ctx context.Context) { _, _ = up.Part(ctx, "key", "id", 1, []byte("x")) },
			"abort":        func(ctx context.Context) { _ = up.Abort(ctx, "key", "id") },
			"list uploads": func(ctx context.Context) { _ = up.List(ctx, "key", "", func(storage.Part) bool { return true }) },
			"list parts":   func(ctx context.Context) { _ = up.List(ctx, "key", "id", func(storage.Part) bool { return true }) },
		}[name]
		m, before := new(storage.Meter), sent
		call(storage.WithMeter(t.Context(), m))
		if got := m.Requests(); got != want || got.Total() != int64(sent-before) {
			t.Errorf("%s: %d requests were sent, counted %+v, want %+v", name, sent-before, got, want)
		}
	}
}
