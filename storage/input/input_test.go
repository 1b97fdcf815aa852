package input_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/input"
)

// Fixed records come in blocks of whole ones, whatever the pieces and the block size.
func TestFixed(t *testing.T) {
	t.Parallel()
	text := "aaabbbcccdddeeefff"
	for records := 1; records <= 7; records++ {
		for block := 1; block <= 20; block++ {
			s := of(text)
			var got string
			for _, b := range mustRead(t, s, s.pieces(3*records), input.Format{Kind: input.Fixed, Length: 3}, input.Options{BlockSize: block}) {
				if len(b.Data)%3 != 0 || len(b.Data) > max(3, block) || int(b.Offset) != len(got) {
					t.Errorf("records %d block %d: got %q at %d", records, block, b.Data, b.Offset)
				}
				got += string(b.Data)
			}
			if got != text {
				t.Errorf("records %d block %d: got %q", records, block, got)
			}
		}
	}
}

// A whole file is one block, an empty one too; lines and fixed records of empty objects are none.
func TestWholeFiles(t *testing.T) {
	t.Parallel()
	s := of(strings.Repeat("data", 1000))
	s.objects["mem://t/empty"] = nil
	pieces := append(s.pieces(4000), input.Piece{URL: "mem://t/empty", ETag: "v1"})
	blocks := mustRead(t, s, pieces, input.Format{Kind: input.File}, input.Options{BlockSize: 10})
	if len(blocks) != 2 || len(blocks[0].Data) != 4000 || len(blocks[1].Data) != 0 || blocks[1].URL != "mem://t/empty" {
		t.Errorf("got %d blocks", len(blocks))
	}
	for _, f := range []input.Format{{Kind: input.Lines}, {Kind: input.Fixed, Length: 2}} {
		if blocks := mustRead(t, s, pieces[1:], f, input.Options{}); len(blocks) != 0 {
			t.Errorf("%v: got %d blocks of an empty object", f, len(blocks))
		}
	}
	if blocks := mustRead(t, s, nil, input.Format{}, input.Options{}); len(blocks) != 0 {
		t.Errorf("no pieces: got %d blocks", len(blocks))
	}
}

// Every fault of an object ends the reading with an error that names it, never with fewer records.
func TestFaults(t *testing.T) {
	t.Parallel()
	boom := fmt.Errorf("source %s: boom", url)
	fixed := func(n int) input.Format { return input.Format{Kind: input.Fixed, Length: n} }
	for _, test := range []struct {
		name   string
		change func(*source, []input.Piece)
		format input.Format
		is     error
		want   string
	}{
		{"another ETag", func(s *source, _ []input.Piece) { s.etag = "v2" }, input.Format{}, storage.ErrChanged, "input changed"},
		{"another size", func(_ *source, p []input.Piece) { p[0].Size++ }, input.Format{}, storage.ErrChanged, "has 12 bytes now, had 13"},
		{"a short body", func(s *source, _ []input.Piece) { s.short = 8 }, input.Format{}, storage.ErrChanged, "ends at byte 8, not 12"},
		{"short fixed records", func(s *source, _ []input.Piece) { s.short = 8 }, fixed(4), storage.ErrChanged, "ends at byte 8, not 12"},
		{"a short file", func(s *source, _ []input.Piece) { s.short = 8 }, input.Format{Kind: input.File}, storage.ErrChanged, "ends at byte 8"},
		{"a failing source", func(s *source, _ []input.Piece) { s.fail = func(string, int64) error { return boom } }, input.Format{}, boom, "input at byte 0: source"},
		{"no such object", func(s *source, _ []input.Piece) { delete(s.objects, url) }, input.Format{}, nil, "no such object"},
		{"a change noticed late", func(s *source, _ []input.Piece) { s.late = fmt.Errorf("%s: %w", url, storage.ErrChanged) }, input.Format{}, storage.ErrChanged, "input changed"},
		{"noticed beyond the piece", func(s *source, p []input.Piece) {
			s.late = fmt.Errorf("%s: %w", url, storage.ErrChanged)
			p[0].Length = 2
		}, input.Format{}, storage.ErrChanged, "input changed"},
		{"half a record", func(*source, []input.Piece) {}, fixed(5), input.ErrRecord, "12 bytes are not a whole number of 5-byte records"},
		{"no record length", func(*source, []input.Piece) {}, fixed(0), input.ErrRecord, "record length 0"},
		{"huge records", func(*source, []input.Piece) {}, fixed(1 << 30), input.ErrRecord, "between 1 and 67108864"},
		{"a cut record", func(_ *source, p []input.Piece) { p[0].Offset, p[0].Length = 2, 4 }, fixed(4), nil, "not whole records of 4"},
		{"a cut file", func(_ *source, p []input.Piece) { p[0].Length = 4 }, input.Format{Kind: input.File}, nil, "is not cut"},
		{"a piece outside", func(_ *source, p []input.Piece) { p[0].Offset = 4 }, input.Format{}, nil, "not a piece of it"},
		{"another format", func(*source, []input.Piece) {}, input.Format{Kind: 7}, nil, "record format 7"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := of("abc\ndef\nghi\n")
			pieces := s.pieces(100)
			test.change(s, pieces)
			_, err := readAll(t, s, pieces, test.format, input.Options{})
			if errors.Is(err, io.EOF) || test.is != nil && !errors.Is(err, test.is) {
				t.Errorf("got %v, want %v", err, test.is)
			}
			for _, want := range []string{url, test.want} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got %q, want %q in it", err, want)
				}
			}
		})
	}
}

// A whole file over the limit is refused before it is read.
func TestFileLimit(t *testing.T) {
	t.Parallel()
	s := of("12345")
	_, err := readAll(t, s, s.pieces(5), input.Format{Kind: input.File}, input.Options{MaxFile: 4})
	if !errors.Is(err, input.ErrRecord) || !strings.Contains(err.Error(), "5 bytes are more than the 4") || len(s.requests) > 0 {
		t.Errorf("got %v after %q", err, s.requests)
	}
}

// What comes before a fault is still delivered, in order: an error is not sooner than its place.
func TestErrorKeepsItsPlace(t *testing.T) {
	t.Parallel()
	s := of(strings.Repeat("abc\n", 100))
	s.fail = func(_ string, off int64) error {
		if off > 200 {
			return errors.New("boom")
		}
		return nil
	}
	blocks, err := readAll(t, s, s.pieces(100), input.Format{}, input.Options{})
	if len(linesOf(blocks)) < 50 || err == nil || !strings.Contains(err.Error(), "boom") {
		t.Errorf("got %d lines, then %v", len(linesOf(blocks)), err)
	}
}

// Cancelling while Next waits makes it fail, and Close waits for every goroutine (or synctest would complain).
func TestCancel(t *testing.T) {
	t.Parallel()
	for _, src := range []input.Source{stalled{}, prompt{stalled{}}} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(t.Context())
			r := input.Open(ctx, src, make([]input.Piece, 0), input.Options{})
			if _, err := r.Next(); !errors.Is(err, io.EOF) {
				t.Errorf("no pieces: got %v", err)
			}
			r.Close()
			r = input.Open(ctx, src, []input.Piece{{URL: "a", Size: 5, Length: 5}, {URL: "b", Size: 5, Length: 5}}, input.Options{})
			go func() {
				synctest.Wait()
				cancel(errors.New("enough"))
			}()
			if _, err := r.Next(); err == nil || !strings.Contains(err.Error(), "enough") {
				t.Errorf("got %v", err)
			}
			r.Close()
			if _, err := r.Next(); err == nil || errors.Is(err, io.EOF) {
				t.Errorf("after Close: got %v", err)
			}
		})
	}
}

// stalled is a source whose reads wait for their context.
type stalled struct{}

func (stalled) Read(ctx context.Context, _ string, _, _ int64, _ string) (io.ReadCloser, storage.Info, error) {
	<-ctx.Done()
	return nil, storage.Info{}, context.Cause(ctx)
}

// A reader that was cancelled between pieces never looks as if it had come to the end; one that is closed early waits.
func TestNeverShort(t *testing.T) {
	t.Parallel()
	s := of("abc\n")
	var pieces []input.Piece
	for range 50 {
		pieces = append(pieces, s.pieces(4)...)
	}
	for stop := range 60 {
		for _, src := range []input.Source{s, prompt{s}} {
			ctx, cancel := context.WithCancel(t.Context())
			r := input.Open(ctx, src, pieces, input.Options{})
			got := 0
			for {
				if got == stop {
					cancel()
				}
				_, err := r.Next()
				if errors.Is(err, io.EOF) && got != len(pieces) {
					t.Fatalf("end after %d of %d blocks", got, len(pieces))
				}
				if err != nil {
					break
				}
				got++
			}
			r.Close()
			cancel()
			if s.open != 0 {
				t.Fatalf("%d bodies are open after Close", s.open)
			}
		}
	}
}

// A block that is read in place is read when it is asked for and not before, and Close in the midst closes its body.
func TestReadInPlace(t *testing.T) {
	t.Parallel()
	s := of(strings.Repeat("abcdefg\n", 128))
	r := input.Open(t.Context(), prompt{s}, s.pieces(512), input.Options{BlockSize: 64})
	if len(s.requests) != 0 {
		t.Errorf("before Next: %q", s.requests)
	}
	for range 3 {
		if _, err := r.Next(); err != nil || len(s.requests) != 1 || s.open != 1 {
			t.Errorf("got %v with %d bodies open after %q", err, s.open, s.requests)
		}
	}
	if err := r.Close(); err != nil || s.open != 0 {
		t.Errorf("Close: %v, %d bodies are open", err, s.open)
	}
	if _, err := r.Next(); err == nil || errors.Is(err, io.EOF) || len(s.requests) != 1 {
		t.Errorf("after Close: got %v after %q", err, s.requests)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

// Memory ahead of Next is bounded, and small pieces are opened in parallel up to a limit.
func TestReadAheadIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := of(strings.Repeat("abcdefg\n", 128))
		r := input.Open(t.Context(), s, s.pieces(1024), input.Options{BlockSize: 64})
		synctest.Wait()
		if _, err := r.Next(); err != nil || len(s.requests) != 1 {
			t.Errorf("got %v after %q", err, s.requests)
		}
		r.Close()

		s = of(strings.Repeat("a", 100))
		pieces := s.pieces(1)
		for i := range pieces {
			pieces[i].Format = input.Format{Kind: input.Fixed, Length: 1}
		}
		r = input.Open(t.Context(), s, pieces, input.Options{})
		synctest.Wait()
		if n := len(s.requests); n != 16 {
			t.Errorf("%d small pieces are read ahead, want 16", n)
		}
		for range 3 {
			if _, err := r.Next(); err != nil {
				t.Error(err)
			}
		}
		synctest.Wait()
		if n := len(s.requests); n != 18 {
			t.Errorf("after 2 were used up %d are read, want 18", n)
		}
		r.Close()
	})
}

// Of a piece that is read alone several blocks wait for Next, but no more than one that a long record made large.
func TestBlocksAheadOfOnePiece(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, test := range []struct {
			line, ahead int
			want        int // bytes read before Next: what may wait, and the block behind it
		}{{8, 4, 4 * 64}, {8, 1, 2 * 64}, {8, 100, 5 * 64}, {120, 4, 2 * 120}, {1024, 100, 2 * 1024}} {
			s := of(strings.Repeat(strings.Repeat("a", test.line-1)+"\n", 8192/test.line))
			r := input.Open(t.Context(), s, s.pieces(8192), input.Options{BlockSize: 64, MaxRecord: 4096, ReadAhead: test.ahead})
			synctest.Wait()
			if got := s.bytes; got < test.want || got > test.want+max(64, test.line) {
				t.Errorf("lines of %d bytes, %d blocks ahead: %d bytes are read, want %d", test.line, test.ahead, got, test.want)
			}
			r.Close()
		}
	})
}

// A body that breaks off is a fault of the way, which another attempt may not meet; only a body that ends well before its
// object does says that the object changed.
func TestBrokenBodyIsNoChange(t *testing.T) {
	t.Parallel()
	s := &source{objects: map[string][]byte{"mem://b/k": []byte("a\nb\n")}}
	s.late = fmt.Errorf("the body ended 3 bytes early (tried 8 times): %w", io.ErrUnexpectedEOF)
	r := input.Open(t.Context(), s, []input.Piece{{URL: "mem://b/k", Size: 4, Length: 4}}, input.Options{})
	defer r.Close()
	for {
		_, err := r.Next()
		if err == io.EOF {
			t.Fatal("the broken body was taken as whole")
		}
		if err != nil {
			if errors.Is(err, storage.ErrChanged) {
				t.Errorf("Next = %v, want no ErrChanged", err)
			}
			return
		}
	}
}
