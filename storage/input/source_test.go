package input_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/input"
)

// source is objects in memory that counts what is asked of it, and fails on demand.
type source struct {
	objects map[string][]byte
	etag    string // of all objects
	slow    bool   // bodies yield a byte at a time
	fail    func(url string, off int64) error
	late    error // at the end of each body
	short   int64 // bodies end before this offset, if it is not 0

	mu       sync.Mutex
	open     int
	mostOpen int
	requests []string
	bytes    int // read of bodies
}

func (s *source) Read(ctx context.Context, url string, off, n int64, etag string) (io.ReadCloser, storage.Info, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, fmt.Sprintf("%s %d+%d", url, off, n))
	data, ok := s.objects[url]
	switch {
	case ctx.Err() != nil:
		return nil, storage.Info{}, context.Cause(ctx)
	case s.fail != nil && s.fail(url, off) != nil:
		return nil, storage.Info{}, s.fail(url, off)
	case !ok:
		return nil, storage.Info{}, fmt.Errorf("source %s: no such object", url)
	case etag != s.etag:
		return nil, storage.Info{}, fmt.Errorf("%s: %w", url, storage.ErrChanged)
	case off < 0 || n <= 0 || off >= int64(len(data)):
		return nil, storage.Info{}, fmt.Errorf("range %d+%d of %d bytes", off, n, len(data))
	}
	n = min(n, int64(len(data))-off)
	part := data[off : off+n]
	if s.short > 0 {
		part = data[off:max(off, min(off+n, s.short))]
	}
	s.open++
	s.mostOpen = max(s.mostOpen, s.open)
	var r io.Reader = bytes.NewReader(part)
	if s.late != nil {
		r = io.MultiReader(r, iotest.ErrReader(s.late))
	}
	if s.slow {
		r = iotest.OneByteReader(r)
	}
	return &body{r, s}, storage.Info{URL: url, Size: int64(len(data)), ETag: s.etag}, nil
}

// body is an open range.
type body struct {
	io.Reader
	s *source
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	b.s.mu.Lock()
	defer b.s.mu.Unlock()
	b.s.bytes += n
	return n, err
}

func (b *body) Close() error {
	b.s.mu.Lock()
	defer b.s.mu.Unlock()
	b.s.open--
	return nil
}

const url = "mem://t/a"

// of is a source of one object at url.
func of(text string) *source {
	return &source{objects: map[string][]byte{url: []byte(text)}, etag: "v1"}
}

// pieces cuts the object at url every n bytes.
func (s *source) pieces(n int) []input.Piece {
	size := int64(len(s.objects[url]))
	var out []input.Piece
	for off := int64(0); off < size; off += int64(n) {
		out = append(out, input.Piece{URL: url, ETag: s.etag, Size: size, Offset: off, Length: min(int64(n), size-off)})
	}
	return out
}

// prompt is a source whose pieces are not read ahead.
type prompt struct{ input.Source }

func (prompt) Prompt(context.Context, string) bool { return true }

// readAll returns the blocks of pieces, read ahead, and checks that those read in place are the same.
func readAll(t testing.TB, s *source, pieces []input.Piece, f input.Format, o input.Options) ([]input.Block, error) {
	t.Helper()
	inPlace, errInPlace := readOnce(t, s, prompt{s}, pieces, f, o)
	s.requests = nil
	blocks, err := readOnce(t, s, s, pieces, f, o)
	if err.Error() != errInPlace.Error() || !reflect.DeepEqual(blocks, inPlace) {
		t.Errorf("read ahead: %d blocks and %v; read in place: %d blocks and %v", len(blocks), err, len(inPlace), errInPlace)
	}
	return blocks, err
}

// readOnce returns the blocks of pieces, and checks what every reading must keep to: all bodies closed, all bytes counted.
func readOnce(t testing.TB, s *source, src input.Source, pieces []input.Piece, f input.Format, o input.Options) ([]input.Block, error) {
	t.Helper()
	pieces = slices.Clone(pieces)
	for i := range pieces {
		pieces[i].Format = f
	}
	r := input.Open(t.Context(), src, pieces, o)
	var blocks []input.Block
	var total, last int64
	for {
		b, err := r.Next()
		if n := r.Bytes(); n < last {
			t.Errorf("progress went back from %d to %d", last, n)
		} else {
			last = n
		}
		if err != nil {
			if _, again := r.Next(); again != err {
				t.Errorf("after %v came %v", err, again)
			}
			if closed := r.Close(); closed != nil {
				t.Errorf("close: %v", closed)
			}
			if s.open != 0 {
				t.Errorf("%d bodies are left open", s.open)
			}
			for _, p := range pieces {
				total += p.Length
			}
			if errors.Is(err, io.EOF) && r.Bytes() != total {
				t.Errorf("progress ends at %d of %d bytes", r.Bytes(), total)
			}
			return blocks, err
		}
		blocks = append(blocks, b)
	}
}

// mustRead is readAll of input that has no fault.
func mustRead(t testing.TB, s *source, pieces []input.Piece, f input.Format, o input.Options) []input.Block {
	t.Helper()
	blocks, err := readAll(t, s, pieces, f, o)
	if !errors.Is(err, io.EOF) {
		t.Fatalf("got %v", err)
	}
	return blocks
}
