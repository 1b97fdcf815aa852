package input_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/input"
	"github.com/millrace/millrace/storage/localstore"
	"github.com/millrace/millrace/storage/memstore"
	"github.com/millrace/millrace/storage/storagetest"
)

// storeOf is a Store over a backend, mem://t, that does not wait between its attempts.
func storeOf(b storage.Backend) *storage.Store {
	return storage.New(storage.Options{
		Schemes: map[string]storage.Opener{"mem": func(context.Context, string) (storage.Backend, error) { return b, nil }},
		Sleep:   func(ctx context.Context, _ time.Duration) error { return ctx.Err() },
	})
}

// listed is an object's pieces of n bytes, as its listing gives them.
func listed(t testing.TB, st *storage.Store, url string, n int64) []input.Piece {
	t.Helper()
	o, err := st.Stat(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	var out []input.Piece
	for off := int64(0); off < o.Size; off += n {
		out = append(out, input.Piece{URL: o.URL, ETag: o.ETag, Size: o.Size, Offset: off, Length: min(n, o.Size-off)})
	}
	return out
}

// Through a Store, over a backend that cuts every other body and answers SlowDown, the lines are still those of the text.
func TestStoreWithFaults(t *testing.T) {
	t.Parallel()
	text := strings.Repeat("one\r\ntwo words\n\n", 2000) + "last"
	b := memstore.New()
	if _, err := b.Put(t.Context(), "a", []byte(text), false); err != nil {
		t.Fatal(err)
	}
	faulty := storagetest.Faulty(b,
		storagetest.Fault{Op: storagetest.OpRead, Nth: 3, Times: -1, Every: 2, Kind: storagetest.Cut, After: 100},
		storagetest.Fault{Op: storagetest.OpRead, Nth: 4, Times: -1, Every: 4, Kind: storagetest.SlowDown})
	for _, split := range []int64{1000, 10_000, 1 << 20} {
		st := storeOf(faulty)
		r := input.Open(t.Context(), st, listed(t, st, url, split), input.Options{BlockSize: 777})
		if got := linesOf(collect(t, r)); !reflect.DeepEqual(got, reference(text)) {
			t.Errorf("split %d: got %d lines, want %d", split, len(got), len(reference(text)))
		}
	}
}

func collect(t testing.TB, r *input.Reader) []input.Block {
	t.Helper()
	var out []input.Block
	for b, err := r.Next(); ; b, err = r.Next() {
		if err != nil {
			if !errors.Is(err, io.EOF) {
				t.Error(err)
			}
			break
		}
		out = append(out, b)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	return out
}

// An object that is replaced after it was listed, or is gone, is not read; the error says so and names it once.
func TestStoreChanged(t *testing.T) {
	t.Parallel()
	b := memstore.New()
	if _, err := b.Put(t.Context(), "a", []byte("one\ntwo\n"), false); err != nil {
		t.Fatal(err)
	}
	st := storeOf(b)
	pieces := listed(t, st, url, 4)
	if _, err := b.Put(t.Context(), "a", []byte("one\nTWO\n"), false); err != nil {
		t.Fatal(err)
	}
	err := firstError(t, st, pieces)
	if !errors.Is(err, storage.ErrChanged) || strings.Count(fmt.Sprint(err), url) != 1 || !strings.HasPrefix(err.Error(), "input changed") {
		t.Errorf("replaced: got %v", err)
	}
	if err := b.Remove(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	err = firstError(t, st, pieces)
	if !errors.Is(err, storage.ErrNotFound) || strings.Count(fmt.Sprint(err), url) != 1 {
		t.Errorf("removed: got %v", err)
	}
}

func firstError(t *testing.T, st *storage.Store, pieces []input.Piece) error {
	t.Helper()
	r := input.Open(t.Context(), st, pieces, input.Options{})
	_, err := r.Next()
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	return err
}

// BenchmarkSmallFiles reads small files from the disk, as the engine does: through a Store.
func BenchmarkSmallFiles(b *testing.B) {
	st := storage.New(storage.Options{Schemes: map[string]storage.Opener{"file": localstore.Opener(localstore.Options{})}})
	dir := b.TempDir()
	var pieces []input.Piece
	for i := range 2000 {
		name := filepath.Join(dir, fmt.Sprint(i))
		if err := os.WriteFile(name, bytes.Repeat([]byte("0123456789abcde\n"), 128), 0o600); err != nil {
			b.Fatal(err)
		}
		pieces = append(pieces, listed(b, st, "file://"+name, 2048)...)
	}
	b.ReportAllocs()
	files := 0
	for b.Loop() {
		drain(b, input.Open(b.Context(), st, pieces, input.Options{}))
		files += len(pieces)
	}
	b.ReportMetric(float64(files)/b.Elapsed().Seconds(), "files/s")
}

func BenchmarkLargeFile(b *testing.B) {
	st := storage.New(storage.Options{Schemes: map[string]storage.Opener{"file": localstore.Opener(localstore.Options{})}})
	name := filepath.Join(b.TempDir(), "large")
	data := bytes.Repeat([]byte(strings.Repeat("x", 76)+"\n"), 64<<20/77)
	if err := os.WriteFile(name, data, 0o600); err != nil {
		b.Fatal(err)
	}
	pieces := listed(b, st, "file://"+name, 32<<20)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		drain(b, input.Open(b.Context(), st, pieces, input.Options{}))
	}
}

func drain(b *testing.B, r *input.Reader) {
	var err error
	for err == nil {
		_, err = r.Next()
	}
	if !errors.Is(err, io.EOF) {
		b.Fatal(err)
	}
	if err := r.Close(); err != nil {
		b.Fatal(err)
	}
}
