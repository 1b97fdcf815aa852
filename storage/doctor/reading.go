package doctor

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/millrace/millrace/storage"
)

const (
	lostReads = "A job reads other bytes than its input holds, and its result is wrong."
	doReads   = "Use another server, or a newer release of this one. Take proxies and caches between millrace and the server away."
)

var readChecks = []check{
	{name: "read after overwrite", lost: lostReads, do: doReads, run: (*exam).overwritten},
	{name: "ranges", lost: lostReads, do: doReads, run: (*exam).ranges},
	{
		name: "one version", run: (*exam).version, do: doReads,
		lost: "A job whose input changes while it runs mixes both versions without a word.",
	},
}

// read reads a range whole.
func (e *exam) read(ctx context.Context, url string, off, n int64, etag string) ([]byte, storage.Info, error) {
	body, info, err := e.store.Read(ctx, url, off, n, etag)
	if err != nil {
		return nil, info, err
	}
	defer body.Close()
	got, err := io.ReadAll(body)
	if errors.Is(err, storage.ErrCorrupt) {
		err = faultf("bytes from %d on were asked for: %v", off, err)
	}
	return got, info, err
}

// overwritten: what was written last is what is read, and another content has another ETag.
func (e *exam) overwritten(ctx context.Context) (string, error) {
	const times = 20
	url, seen := e.url("overwritten"), map[string]bool{}
	for i := range times {
		body := fmt.Appendf(nil, "version %02d", i)
		if err := e.store.Put(ctx, url, body, false); err != nil {
			return "", err
		}
		got, info, err := e.read(ctx, url, 0, -1, "")
		if err != nil {
			return "", err
		}
		if string(got) != string(body) {
			return "", faultf("%q was read after %q had been written", got, body)
		}
		if info.ETag == "" || seen[info.ETag] {
			return "", faultf("the ETag %q stands for two contents of an object, so a change of it is not seen", info.ETag)
		}
		seen[info.ETag] = true
	}
	return fmt.Sprintf("of %d versions the last was read each time, and each had an ETag of its own", times), nil
}

// ranges: exactly the bytes that were asked for come, cut at the object's end.
func (e *exam) ranges(ctx context.Context) (string, error) {
	const size = 300_000
	url, body := e.url("ranges"), content(5, size)
	if err := e.store.Put(ctx, url, body, false); err != nil {
		return "", err
	}
	all := []struct{ off, n int64 }{
		{0, 1}, {0, 1000}, {1, 1}, {12_345, 67_890}, {size / 2, -1}, {size - 1, 1}, {size - 1000, -1},
		{size - 10, 1000}, {size, 10}, {size + 1000, 10}, {size + 1000, -1}, {0, size}, {0, -1}, {0, size + 1},
	}
	for _, r := range all {
		got, info, err := e.read(ctx, url, r.off, r.n, "")
		if errors.Is(err, storage.ErrCorrupt) {
			return "", faultf("%v", err)
		}
		if err != nil {
			return "", err
		}
		if !equal(got, body, r.off, r.n) {
			return "", faultf("of %d bytes from %d on, %d other bytes came", r.n, r.off, len(got))
		}
		if info.Size != size {
			return "", faultf("with a range, the object is said to have %d bytes, not %d", info.Size, size)
		}
	}
	return fmt.Sprintf("%d ranges, at the beginning, in the middle, at the end and behind it, brought their bytes and no others", len(all)), nil
}

// version: a reader that goes on with an object that was replaced meanwhile is refused.
func (e *exam) version(ctx context.Context) (string, error) {
	const half = 100_000
	url := e.url("version")
	if err := e.store.Put(ctx, url, content(6, 2*half), false); err != nil {
		return "", err
	}
	_, info, err := e.read(ctx, url, 0, half, "")
	if err != nil {
		return "", err
	}
	if _, again, err := e.read(ctx, url, half, half, info.ETag); err != nil {
		if errors.Is(err, storage.ErrChanged) {
			return "", faultf("an object that nobody changed is said to have changed: its ETag was %s, then %s", info.ETag, again.ETag)
		}
		return "", err
	}
	if err := e.store.Put(ctx, url, content(7, 2*half), false); err != nil {
		return "", err
	}
	for _, n := range []int64{half, 0} {
		if n == 0 {
			_, _, err = e.read(ctx, url, 0, 0, info.ETag)
		} else {
			_, _, err = e.read(ctx, url, half, n, info.ETag)
		}
		if err == nil {
			return "", faultf("the rest of an object was given out though the object had been replaced")
		}
		if !errors.Is(err, storage.ErrChanged) {
			return "", err
		}
	}
	return "the rest of an object that was replaced is refused", nil
}
