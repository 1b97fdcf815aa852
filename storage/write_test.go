package storage_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/storagetest"
)

const put = storagetest.OpPut

// A conditional write whose answer was lost is refused when it is tried again: that is our own success. If the object is
// another's it is a refusal, and so it is without a lost answer even if the bytes are equal.
func TestPutIfAbsentAmbiguous(t *testing.T) {
	t.Parallel()
	lost := storagetest.Fault{Op: put, Kind: storagetest.LoseAnswer}
	for _, c := range []struct {
		name  string
		there string // before
		plan  []storagetest.Fault
		want  error
		holds string
	}{
		{"our own", "", []storagetest.Fault{lost}, nil, "ours"},
		{"our own, answer lost for good", "", []storagetest.Fault{lost, {Op: put, Nth: 2, Times: -1}}, nil, "ours"},
		{"another's after a lost request", "theirs", []storagetest.Fault{{Op: put}}, storage.ErrPrecondition, "theirs"},
		{"another's", "theirs", nil, storage.ErrPrecondition, "theirs"},
		{"another's of equal bytes", "ours", nil, storage.ErrPrecondition, "ours"},
		{"another's of equal bytes, told to slow down", "ours", []storagetest.Fault{{Op: put, Kind: storagetest.SlowDown}}, storage.ErrPrecondition, "ours"},
		{"another's, longer", "ours and more", []storagetest.Fault{{Op: put}}, storage.ErrPrecondition, "ours and more"},
		{"conflict, then ours", "", []storagetest.Fault{{Op: put, Times: 2, Err: storage.ErrConflict}}, nil, "ours"},
		{"conflict, then theirs of equal bytes", "ours", []storagetest.Fault{{Op: put, Err: storage.ErrConflict}}, storage.ErrPrecondition, "ours"},
	} {
		b := newBench(t, c.plan...)
		if c.there != "" {
			b.has("k", c.there)
		}
		if err := b.s.Put(t.Context(), "mem://x/k", []byte("ours"), true); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
		b.holds("k", c.holds)
	}
}

// When a conditional write failed and nobody can tell whether it was done, the error says so.
func TestPutIfAbsentUnknown(t *testing.T) {
	t.Parallel()
	b := newBench(t, storagetest.Fault{Times: -1})
	wantErr(t, "Put", b.s.Put(t.Context(), "mem://x/k", []byte("v"), true), nil, "write mem://x/k", "whether it was written is not known")
}

// A removal whose answer was lost is done again, which is harmless.
func TestRemove(t *testing.T) {
	t.Parallel()
	b := newBench(t, storagetest.Fault{Op: storagetest.OpRemove, Kind: storagetest.LoseAnswer})
	b.has("k", "v")
	if err := b.s.Remove(t.Context(), "mem://x/k"); err != nil {
		t.Error(err)
	}
	_, err := b.s.Stat(t.Context(), "mem://x/k")
	wantErr(t, "Stat", err, storage.ErrNotFound)
}

// listed gathers the URLs of a listing.
func (b *bench) listed(url string) ([]string, error) {
	var urls []string
	err := b.s.List(b.Context(), url, func(i storage.Info) bool { urls = append(urls, i.URL); return true })
	return urls, err
}

// A listing that breaks off begins again and yields each object once, in order, as long as it makes progress.
func TestListResumes(t *testing.T) {
	t.Parallel()
	b := newBench(t,
		storagetest.Fault{Op: storagetest.OpList, Kind: storagetest.Cut, After: 3},
		storagetest.Fault{Op: storagetest.OpList, Nth: 2, Times: 2, Kind: storagetest.SlowDown},
		storagetest.Fault{Op: storagetest.OpList, Nth: 4, Kind: storagetest.Cut, After: 4},
		storagetest.Fault{Op: storagetest.OpList, Nth: 5, Times: 2, Kind: storagetest.Cut, After: 1})
	var want []string
	for i := range 9 {
		b.has(fmt.Sprint("d/", i), "x")
		want = append(want, fmt.Sprint("mem://x/d/", i))
	}
	got, err := b.listed("mem://x/d/")
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("listed %q, %v; want %q", got, err, want)
	}
	b.b.Plan(storagetest.Fault{Op: storagetest.OpList, Times: -1, Kind: storagetest.Cut, After: 2})
	got, err = b.listed("mem://x/d/")
	wantErr(t, "List without progress", err, nil, "list mem://x/d/", "tried 4 times")
	if !slices.Equal(got, want[:2]) {
		t.Errorf("listed %q, want two objects once", got)
	}
}

// A listing goes by prefix, not by folder, and ends when it is told to.
func TestListStopsAndPrefix(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for _, key := range []string{"a", "ab/c", "b"} {
		b.has(key, "x")
	}
	got, err := b.listed("mem://x/a")
	if want := []string{"mem://x/a", "mem://x/ab/c"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("listed %q, %v; want %q", got, err, want)
	}
	seen := 0
	if err := b.s.List(t.Context(), "mem://x/", func(storage.Info) bool { seen++; return false }); err != nil || seen != 1 {
		t.Errorf("a listing stopped at once saw %d, %v", seen, err)
	}
}

// Pending uploads are listed by URL, over failures, each once.
func TestUploads(t *testing.T) {
	t.Parallel()
	b := newBench(t, storagetest.Fault{Op: storagetest.OpUploads, Kind: storagetest.LoseAnswer})
	begun := time.Now().Add(-time.Minute)
	for _, url := range []string{"mem://x/out/a", "mem://x/out/b", "mem://x/other"} {
		u, err := b.s.Create(t.Context(), url, storage.UploadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer u.Abort(context.WithoutCancel(t.Context()))
	}
	var got []string
	err := b.s.Uploads(t.Context(), "mem://x/out/", func(url, id string, at time.Time) bool {
		if id == "" || at.Before(begun) {
			t.Errorf("upload of %s has id %q, begun %v", url, id, at)
		}
		got = append(got, url)
		return true
	})
	if want := []string{"mem://x/out/a", "mem://x/out/b"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("uploads of %q, %v; want %q", got, err, want)
	}
}

// What an upload holds so far is told by its parts, over failures, until it is gone; a store without litter has none.
func TestUploadParts(t *testing.T) {
	t.Parallel()
	b := newBench(t, storagetest.Fault{Op: storagetest.OpUploads})
	p, err := b.pend("mem://x/k", digits(1000))
	if err != nil {
		t.Fatal(err)
	}
	parts, err := b.s.UploadParts(t.Context(), p.URL, p.ID)
	var size int64
	for _, part := range parts {
		size += part.Size
	}
	if err != nil || len(parts) != p.Parts || size != 1000 || parts[0].Begun.IsZero() {
		t.Errorf("parts are %+v, %v", parts, err)
	}
	if err := b.s.Abort(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	_, err = b.s.UploadParts(t.Context(), p.URL, p.ID)
	wantErr(t, "UploadParts of what is gone", err, storage.ErrNotFound, "list parts mem://x/k")
	if err := b.s.Litter(t.Context(), "mem://x/", func(i storage.Info) bool { t.Errorf("litter: %+v", i); return true }); err != nil {
		t.Error(err)
	}
}

// littered is a backend with litter that fails at first.
type littered struct {
	storage.Backend
	fails int
}

func (l *littered) ListLitter(_ context.Context, prefix string, yield func(storage.Object) bool) error {
	for i := range 3 {
		if !yield(storage.Object{Key: prefix + fmt.Sprint(i), Size: 1}) {
			return nil
		}
	}
	if l.fails--; l.fails >= 0 {
		return storage.Transient(errors.New("500"))
	}
	return nil
}

// Litter is listed by URL, each file once also over a failure, until the caller has enough.
func TestLitter(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	s := storage.New(storage.Options{Backoff: 1, MaxBackoff: 1, Schemes: map[string]storage.Opener{
		"mem": func(context.Context, string) (storage.Backend, error) { return &littered{b.b, 1}, nil },
	}})
	var got []string
	err := s.Litter(t.Context(), "mem://x/d/", func(i storage.Info) bool { got = append(got, i.URL); return len(got) < 2 })
	if want := []string{"mem://x/d/0", "mem://x/d/1"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
}

// Transient marks survive wrapping, leave the sentinels visible, and are only where they belong.
func TestTransient(t *testing.T) {
	t.Parallel()
	err := fmt.Errorf("call: %w", storage.Transient(fmt.Errorf("%w: 503", storage.ErrUnreachable)))
	if !storage.IsTransient(err) || !errors.Is(err, storage.ErrUnreachable) || err.Error() != "call: unreachable: 503" {
		t.Errorf("a marked error is %q, transient %v", err, storage.IsTransient(err))
	}
	if storage.Transient(nil) != nil || storage.IsTransient(nil) || storage.IsTransient(storage.ErrDenied) {
		t.Error("nil or a final error is transient")
	}
	if !storage.IsTransient(storage.ErrConflict) || !storage.IsTransient(storage.ErrSlowDown) {
		t.Error("a refusal for now is final")
	}
}

// backwards is a backend whose listings are in no order that anyone relies on.
type backwards struct {
	storage.Backend
	fail bool
}

func (b *backwards) List(_ context.Context, _, _ string, yield func(storage.Object) bool) error {
	for _, key := range []string{"c", "a", "b"} {
		if !yield(storage.Object{Key: key}) {
			return nil
		}
	}
	if b.fail {
		return storage.Transient(errors.New("500"))
	}
	return nil
}

// A server that lists out of order loses no object; when such a listing breaks off it fails instead of being resumed.
func TestListOutOfOrder(t *testing.T) {
	t.Parallel()
	for _, fail := range []bool{false, true} {
		s := storage.New(storage.Options{Schemes: map[string]storage.Opener{
			"mem": func(context.Context, string) (storage.Backend, error) { return &backwards{fail: fail}, nil },
		}})
		var got []string
		err := s.List(t.Context(), "mem://x/", func(i storage.Info) bool { got = append(got, storage.Base(i.URL)); return true })
		if want := []string{"c", "a", "b"}; !slices.Equal(got, want) || (err != nil) != fail {
			t.Errorf("failing %v: listed %q, %v; want %q once", fail, got, err, want)
		}
	}
}
