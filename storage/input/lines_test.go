package input_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/millrace/millrace/storage/input"
)

// line is a line with its end, and where it begins.
type line struct {
	off  int64
	text string
}

// reference cuts text into lines in the plainest way.
func reference(text string) []line {
	var out []line
	off := 0
	for _, l := range strings.SplitAfter(text, "\n") {
		if l != "" {
			out = append(out, line{int64(off), l})
		}
		off += len(l)
	}
	return out
}

// linesOf cuts blocks into lines. Each block must begin and end with a line's bounds.
func linesOf(blocks []input.Block) []line {
	var out []line
	for _, b := range blocks {
		for _, l := range reference(string(b.Data)) {
			out = append(out, line{b.Offset + l.off, l.text})
		}
	}
	return out
}

// check reads text cut every split bytes, and compares piece by piece with the reference.
func check(t testing.TB, text string, split int, o input.Options, slow bool) {
	t.Helper()
	all := reference(text)
	s := of(text)
	s.slow = slow
	for _, p := range s.pieces(split) {
		var want []line
		for _, l := range all {
			if l.off >= p.Offset && l.off < p.Offset+p.Length {
				want = append(want, l)
			}
		}
		blocks := mustRead(t, s, []input.Piece{p}, input.Format{}, o)
		if got := linesOf(blocks); !reflect.DeepEqual(got, want) {
			t.Fatalf("text %q, split %d, %+v, piece at %d:\n got %v\nwant %v", text, split, o, p.Offset, got, want)
		}
	}
}

// Every text of up to four of these elements, cut at every split size and read in blocks of every size, has exactly the
// lines of the plain reader, each in the piece in which it begins.
func TestLinesExhaustive(t *testing.T) {
	t.Parallel()
	elements := []string{"a", "bc", "\n", "\r\n"}
	var texts []string
	var grow func(text string, left int)
	grow = func(text string, left int) {
		texts = append(texts, text)
		for _, e := range elements {
			if left > 0 {
				grow(text+e, left-1)
			}
		}
	}
	depth := 4
	if testing.Short() { // the readers' goroutines are the same for every text: under the race detector shorter ones will do
		depth = 3
	}
	grow("", depth)
	for _, text := range texts {
		for split := 1; split <= len(text)+1; split++ {
			for _, block := range []int{1, 2, 3, 5, 100} {
				check(t, text, split, input.Options{BlockSize: block}, false)
			}
		}
	}
}

// The same on longer random texts, through bodies that come byte by byte.
func TestLinesRandom(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(5, 6))
	for range 300 {
		var b strings.Builder
		for range rnd.IntN(20) {
			b.WriteString(strings.Repeat("x", rnd.IntN([]int{2, 10, 100}[rnd.IntN(3)])))
			b.WriteString([]string{"\n", "\r\n", "\n\n", "\r"}[rnd.IntN(4)])
		}
		text := b.String() + strings.Repeat("y", rnd.IntN(3))
		check(t, text, 1+rnd.IntN(len(text)+1), input.Options{BlockSize: 1 + rnd.IntN(60)}, true)
	}
}

func FuzzLines(f *testing.F) {
	f.Add("a\r\nb\n\nc", uint8(2), uint8(3))
	f.Add("\n\n\n", uint8(1), uint8(1))
	f.Add(strings.Repeat("long", 50), uint8(7), uint8(5))
	f.Fuzz(func(t *testing.T, text string, split, block uint8) {
		check(t, text, 1+int(split), input.Options{BlockSize: 1 + int(block)}, false)
	})
}

// All pieces in one reader, in order, are the text again.
func TestPiecesInOrder(t *testing.T) {
	t.Parallel()
	text := strings.Repeat("some words\nand more of them\n", 1000)
	s := of(text)
	for _, split := range []int{1, 7, 100, 5000, len(text)} {
		var got []byte
		for _, b := range mustRead(t, s, s.pieces(split)[:min(500, (len(text)-1)/split+1)], input.Format{}, input.Options{BlockSize: 64}) {
			if b.Offset != int64(len(got)) || b.URL != url {
				t.Fatalf("split %d: block %s at %d, want %d", split, b.URL, b.Offset, len(got))
			}
			got = append(got, b.Data...)
		}
		if !strings.HasPrefix(text, string(got)) || split >= 100 && len(got) != len(text) {
			t.Errorf("split %d: got %d bytes, or others", split, len(got))
		}
	}
}

// A line up to the limit is read, whatever the split and block size; one byte more is an error that names the object, the
// line's place, the limit and what to do. A line end of one or two bytes does not count.
func TestLineLimit(t *testing.T) {
	t.Parallel()
	for _, end := range []string{"", "\n", "\r\n"} {
		for extra := range 3 {
			text := "ab\n" + strings.Repeat("x", 19+extra) + end
			if end != "" {
				text += "cd\n" + strings.Repeat("y", 20) + end
			}
			for split := 1; split <= len(text); split++ {
				for _, block := range []int{1, 4, 20, 1000} {
					limitCase(t, text, split, block, extra == 2)
				}
			}
		}
	}
}

func limitCase(t *testing.T, text string, split, block int, over bool) {
	t.Helper()
	s := of(text)
	blocks, err := readAll(t, s, s.pieces(split), input.Format{}, input.Options{BlockSize: block, MaxRecord: 20})
	if !over {
		if got := linesOf(blocks); !reflect.DeepEqual(got, reference(text)) {
			t.Fatalf("%q split %d block %d: got %v, %v", text, split, block, got, err)
		}
		return
	}
	if !errors.Is(err, input.ErrRecord) {
		t.Fatalf("%q split %d block %d: got %v", text, split, block, err)
	}
	for _, want := range []string{url, "at byte 3 ", "longer than 20 bytes", "use a job that"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("got %q, want %q in it", err, want)
		}
	}
}

// A piece is read with one request when its last line ends soon after it, and a line far longer with few.
func TestRequests(t *testing.T) {
	t.Parallel()
	text := strings.Repeat(strings.Repeat("z", 99)+"\n", 5000)
	s := of(text)
	mustRead(t, s, s.pieces(200_050)[1:2], input.Format{}, input.Options{})
	want := []string{fmt.Sprintf("%s %d+%d", url, 200_049, 200_050+1+200_050/8)}
	if !reflect.DeepEqual(s.requests, want) {
		t.Errorf("got %q, want %q", s.requests, want)
	}
	s = of("a\n" + strings.Repeat("z", 10<<20) + "\nb")
	if blocks := mustRead(t, s, s.pieces(10)[:1], input.Format{}, input.Options{}); len(linesOf(blocks)) != 2 {
		t.Errorf("got %d lines, want 2", len(linesOf(blocks)))
	}
	if len(s.requests) > 16 {
		t.Errorf("a line of 10 MiB took %d requests: %q", len(s.requests), s.requests)
	}
}

// A small file costs no more memory than it has bytes, and a block that was returned is never written to again.
func TestBlocksAreTheReceivers(t *testing.T) {
	t.Parallel()
	s := of("tiny\n")
	if b := mustRead(t, s, s.pieces(5), input.Format{}, input.Options{}); cap(b[0].Data) != 5 {
		t.Errorf("block of 5 bytes has capacity %d", cap(b[0].Data))
	}
	text := strings.Repeat("0123456789\n", 300)
	s = of(text)
	blocks := mustRead(t, s, s.pieces(777), input.Format{}, input.Options{BlockSize: 100})
	for i, b := range blocks {
		if cap(b.Data) != len(b.Data) {
			t.Fatalf("block %d can be appended to in place", i)
		}
		copy(b.Data, bytes.Repeat([]byte{'!'}, len(b.Data))) // must show in no other block
	}
	for i, b := range blocks {
		if strings.Trim(string(b.Data), "!") != "" {
			t.Errorf("block %d: got %q", i, b.Data)
		}
	}
}
