package input

import (
	"strings"
	"testing"
)

// cutByState is cutCSV as one would write it: byte by byte through the grammar.
func cutByState(data []byte, end int64, f Format, first, atEnd bool) (n int, last bool) {
	state, from := csvStart, 0
	if first && strings.HasPrefix(string(data), byteOrderMark) {
		from = len(byteOrderMark)
	}
	for i := from; i < len(data); i++ {
		if state, _ = state.next(data[i], f.Comma); data[i] == '\n' && state == csvStart {
			if n = i + 1; int64(n) >= end {
				return n, true
			}
		}
	}
	if atEnd {
		return len(data), true
	}
	return n, false
}

// cutCSV agrees with the grammar read byte by byte on every text of up to seven of these bytes, for every end.
func TestCutCSV(t *testing.T) {
	t.Parallel()
	f := Format{Kind: CSV, Comma: ',', Quotes: true}
	var grow func(text string, left int)
	grow = func(text string, left int) {
		for end := int64(1); end <= int64(len(text))+1; end++ {
			for _, atEnd := range []bool{false, true} {
				for _, first := range []bool{false, true} {
					n, last := cutCSV([]byte(text), end, f, first, atEnd)
					if wantN, wantLast := cutByState([]byte(text), end, f, first, atEnd); n != wantN || last != wantLast {
						t.Fatalf("%q, end %d, first %v, at end %v: got %d %v, want %d %v", text, end, first, atEnd, n, last, wantN, wantLast)
					}
				}
			}
		}
		for _, c := range "a,\"\n\r" {
			if left > 0 {
				grow(text+string(c), left-1)
			}
		}
	}
	grow("", 7)
	grow(byteOrderMark, 5)
}

// A search that skips from quote to quote finds what one finds that takes every step.
func TestStartSearchSkips(t *testing.T) {
	t.Parallel()
	var grow func(text string, left int)
	grow = func(text string, left int) {
		for from := int64(1); from <= 3; from++ {
			fast, plain := guessing(',', 0, from), guessing(',', 0, from)
			fast.scan([]byte(text))
			for i := 0; i < len(text); i++ {
				if _, known := plain.known(); !known {
					plain.step(text[i])
				}
			}
			fast.settle(true)
			plain.settle(true)
			if fast.best().begin != plain.best().begin {
				t.Fatalf("%q from %d: got %+v, want %+v", text, from, fast, plain)
			}
		}
		for _, c := range "a,\"\n\r" {
			if left > 0 {
				grow(text+string(c), left-1)
			}
		}
	}
	depth := 7
	if testing.Short() { // one goroutine: under the race detector shorter texts will do
		depth = 5
	}
	grow("", depth)
}

// BenchmarkCutCSV compares the ways to find the last record in a block.
func BenchmarkCutCSV(b *testing.B) {
	f := Format{Kind: CSV, Comma: ',', Quotes: true}
	quoted := []byte(strings.Repeat("1027,\"Smith, John\",2026-07-01T12:00:00Z,\"12 High Street\",4711.50,true\n", 14_000))
	plain := []byte(strings.Repeat("1027,Smith John,2026-07-01T12:00:00Z,12 High Street,4711.50,true\n", 14_000))
	for _, c := range []struct {
		name string
		data []byte
		cut  func([]byte, int64, Format, bool, bool) (int, bool)
	}{{"quoted/hot", quoted, cutCSV}, {"quoted/plain", quoted, cutByState}, {"unquoted/hot", plain, cutCSV}, {"unquoted/plain", plain, cutByState}} {
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(int64(len(c.data)))
			b.ReportAllocs()
			for b.Loop() {
				c.cut(c.data, 1<<40, f, false, false)
			}
		})
	}
}
