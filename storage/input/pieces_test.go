package input_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/millrace/millrace/storage/encoding"
	"github.com/millrace/millrace/storage/input"
)

// cuttable reads a file of storage/encoding's testdata that can be cut, and what it holds.
func cuttable(t testing.TB, name string) (data []byte, plain string) {
	t.Helper()
	data, err := os.ReadFile("../encoding/testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	s := of(string(data))
	for _, b := range mustRead(t, s, s.pieces(len(data)), input.Format{}, input.Options{BlockSize: 64 << 10}) {
		plain += string(b.Data)
	}
	return data, plain
}

// packedPieces cuts the object at url every n bytes.
func packedPieces(s *source, kind encoding.Kind, n int) []input.Piece {
	pieces := s.pieces(n)
	for i := range pieces {
		pieces[i].Encoding = kind
	}
	return pieces
}

// Cut at every byte, or into pieces of any size, and read in blocks of any size, bzip2 gives the lines of the plain reader, each
// once and in order: also lines that begin in one block and end in a later one, or at the first byte of one.
func TestBzip2Lines(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"streams.bz2", "blocks.bz2", "one.bz2", "planted.bz2", "planted-ends.bz2", "empty.bz2"} {
		data, want := cuttable(t, name)
		if name == "streams.bz2" && want != packedText(t) {
			t.Fatalf("%s is another text", name)
		}
		s := of(string(data))
		splits := []int{1, 2, 7, 50, 97, 150, 225, 226, 227, 433, 434, 435, len(data)/2 + 1, len(data) - 1}
		if len(data) > 2000 {
			splits = splits[len(splits)-3:]
		}
		if testing.Short() { // each takes seconds under the race detector
			splits = splits[max(0, len(splits)-3):][:1]
		}
		for _, split := range splits {
			if split < 1 {
				continue
			}
			for _, block := range []int{7, 4 << 10, 200 << 10} {
				if block == 7 && len(want) > 5000 {
					continue
				}
				var got strings.Builder
				for _, p := range packedPieces(s, encoding.Bzip2, split) {
					for _, b := range mustRead(t, s, []input.Piece{p}, input.Format{}, input.Options{BlockSize: block}) {
						if p.Offset == 0 && b.From != 0 || p.Offset > 0 && (b.From < p.Offset || b.From >= p.Offset+p.Length) {
							t.Fatalf("%s, split %d: a block of the piece at %d counts from %d", name, split, p.Offset, b.From)
						}
						got.Write(b.Data)
					}
				}
				if got.String() != want {
					t.Errorf("%s, split %d, block %d: got %d bytes, want %d", name, split, block, got.Len(), len(want))
				}
			}
		}
	}
}

// A line that begins with the first byte of a block belongs to the piece before, whatever lies before it.
func TestLineAtABlocksBegin(t *testing.T) {
	t.Parallel()
	data, want := cuttable(t, "blocks.bz2")
	s := of(string(data))
	pieces := packedPieces(s, encoding.Bzip2, 226) // the second block begins in byte 225
	var first, second string
	for i, p := range pieces[:2] {
		for _, b := range mustRead(t, s, []input.Piece{p}, input.Format{}, input.Options{BlockSize: 64 << 10}) {
			if i == 0 {
				first += string(b.Data)
			} else {
				second += string(b.Data)
			}
		}
	}
	if !strings.HasPrefix(want, first+second) || len(first) < 150_000 || len(second) < 90_000 {
		t.Errorf("the first two pieces have %d and %d bytes", len(first), len(second))
	}
}

// An error of a piece amid an object says where its offset counts from; damage at the next piece's beginning fails this one; a
// source that fails is an error too.
func TestBzip2PieceFaults(t *testing.T) {
	t.Parallel()
	data, _ := cuttable(t, "planted.bz2")
	second := packedPieces(of(string(data)), encoding.Bzip2, 4000)[1]
	s := of(string(data))
	_, err := readAll(t, s, []input.Piece{second}, input.Format{}, input.Options{BlockSize: 16, MaxRecord: 20})
	if !errors.Is(err, input.ErrRecord) || !strings.Contains(err.Error(), "of what decompresses from its byte 4930 on") {
		t.Errorf("a long line: got %v", err)
	}
	s = of(string(data))
	s.objects[url][8400] ^= 1 // in the second block, which begins behind the first piece
	if _, err := readAll(t, s, packedPieces(s, encoding.Bzip2, 4000)[:1], input.Format{}, input.Options{BlockSize: 4 << 10}); !errors.Is(err, input.ErrRecord) {
		t.Errorf("damage behind the piece: got %v", err)
	}
	boom := fmt.Errorf("source %s: boom", url)
	s = of(string(data))
	s.late = boom
	if _, err := readAll(t, s, []input.Piece{second}, input.Format{}, input.Options{BlockSize: 64 << 10}); !errors.Is(err, boom) {
		t.Errorf("a failing source: got %v", err)
	}
}

// A sample's piece amid an object gives what the first block that begins in it holds, and no more than it is asked for.
func TestBzip2Sample(t *testing.T) {
	t.Parallel()
	data, want := cuttable(t, "planted.bz2")
	s := of(string(data))
	p := packedPieces(s, encoding.Bzip2, len(data)-100)
	p[0].Offset, p[0].Length, p[0].Most, p[0].Every = 100, int64(len(data)-100), 50_000, 20_000
	blocks := mustRead(t, s, p[:1], input.Format{}, input.Options{})
	if len(blocks) != 3 {
		t.Errorf("%d blocks, want 3", len(blocks))
	}
	for _, b := range blocks {
		if !strings.Contains(want, "\n"+string(b.Data)) || b.From != 4930 || len(b.Data) > 8<<10 {
			t.Errorf("%d bytes at %d from %d", len(b.Data), b.Offset, b.From)
		}
	}
}

// Cut at every byte or into pieces of any size, zstd with a seek table gives the lines and the fixed records of the plain reader,
// each once, in order and with its offset in the plain bytes.
func TestSeekableRecords(t *testing.T) {
	t.Parallel()
	data, want := cuttable(t, "seekable.zst")
	s := of(string(data))
	for split := 1; split <= len(data); split = split*5/4 + 1 {
		if testing.Short() && split < 100 {
			continue
		}
		for _, block := range []int{7, 100, 64 << 10} {
			for _, format := range []input.Format{{}, {Kind: input.Fixed, Length: 1}, {Kind: input.Fixed, Length: 25}, {Kind: input.Fixed, Length: 600}} {
				pieces := packedPieces(s, encoding.Seekable, split)
				var got []byte
				for _, b := range mustRead(t, s, pieces, format, input.Options{BlockSize: block}) {
					if b.Offset != int64(len(got)) || b.From != 0 || format.Kind == input.Fixed && len(b.Data)%format.Length != 0 {
						t.Fatalf("split %d, block %d, %v: %d bytes at %d from %d, want them at %d", split, block, format, len(b.Data), b.Offset, b.From, len(got))
					}
					got = append(got, b.Data...)
				}
				if string(got) != want {
					t.Fatalf("split %d, block %d, %v: got %d bytes, want %d", split, block, format, len(got), len(want))
				}
			}
		}
	}
	pieces := packedPieces(s, encoding.Seekable, 500)
	if _, err := readAll(t, s, pieces[1:2], input.Format{Kind: input.Fixed, Length: 7}, input.Options{}); !errors.Is(err, input.ErrRecord) ||
		!strings.Contains(err.Error(), "3000 decompressed bytes are not a whole number") {
		t.Errorf("records of 7 bytes: got %v", err)
	}
	s = of(string(data))
	s.objects[url][len(data)-1]++
	if _, err := readAll(t, s, packedPieces(s, encoding.Seekable, 500)[:1], input.Format{}, input.Options{}); err == nil || !strings.Contains(err.Error(), "seek table cannot be used") {
		t.Errorf("without its table: got %v", err)
	}
}

// A sample's piece of such an object begins with a frame's lines and ends after as many bytes as it is asked for.
func TestSeekableSample(t *testing.T) {
	t.Parallel()
	data, want := cuttable(t, "seekable.zst")
	s := of(string(data))
	p := packedPieces(s, encoding.Seekable, len(data)-300)
	p[0].Offset, p[0].Length, p[0].Most, p[0].Every = 300, int64(len(data)-300), 600, 300
	blocks := mustRead(t, s, p[:1], input.Format{}, input.Options{BlockSize: 64})
	if len(blocks) < 2 || len(blocks) > 3 {
		t.Errorf("%d blocks, want 2 or 3", len(blocks))
	}
	for _, b := range blocks {
		if b.Offset < 800 || b.Offset > 1400 || want[b.Offset:b.Offset+int64(len(b.Data))] != string(b.Data) {
			t.Errorf("%d bytes at %d", len(b.Data), b.Offset)
		}
	}
}
