package jobs

import (
	"bytes"
	"iter"
	"math/bits"
	"strings"
	"unsafe"
)

// lines iterates over the lines of a block without their ends, LF or CRLF, and where they begin.
//
// Short lines are found many at a time: a bit for each of 64 bytes says whether it ends a line. Alone that takes 6 to 7 ns for
// a line of 14 bytes, where a bytes.IndexByte for each takes 8 (BenchmarkLines); but there the next search waits for the one
// before, so that the whole map side of stats takes 43 ns a line in place of 36. Longer lines are searched for one by one. The
// loop leaves all but the common step to lineEnds, so that it and its caller's body become one.
func lines(data []byte) iter.Seq2[int, string] {
	return func(yield func(begin int, line string) bool) {
		text := view(data)
		base, ahead, last := 0, uint64(0), 0 // the ends found ahead, and the length of the line before
		for begin := 0; begin < len(text); {
			if ahead == 0 {
				base, ahead = lineEnds(data, begin, last <= shortLine)
			}
			end := base + bits.TrailingZeros64(ahead)
			ahead &= ahead - 1
			line := text[begin:end]
			last = len(line)
			if last > 0 && line[last-1] == '\r' && end < len(text) {
				line = line[:last-1]
			}
			if !yield(begin, line) {
				return
			}
			begin = end + 1
		}
	}
}

// shortLine is the length of lines of which lineEnds looks for more than one, bytes.
const shortLine = windowSize / 2

// lineEnds finds the next ends of lines from begin on, one at least: the bytes after base that have a bit in ahead. A last line
// without an end has one at the end of data.
func lineEnds(data []byte, begin int, short bool) (base int, ahead uint64) {
	if short && begin+windowSize <= len(data) {
		if ahead = newlineBits((*[windowSize]byte)(data[begin:])); ahead != 0 {
			return begin, ahead
		}
	}
	if i := bytes.IndexByte(data[begin:], '\n'); i >= 0 {
		return begin + i, 1
	}
	return len(data), 1
}

// lineStart returns where the line begins that the byte at i lies in. The library's search for a last byte takes twice as long
// for lines of 100 bytes.
func lineStart(s string, i int) int {
	for ; i >= windowSize; i -= windowSize {
		window := unsafe.Slice(unsafe.StringData(s[i-windowSize:]), windowSize)
		if ends := newlineBits((*[windowSize]byte)(window)); ends != 0 {
			return i - bits.LeadingZeros64(ends)
		}
	}
	return strings.LastIndexByte(s[:i], '\n') + 1
}

// newlineBits has a bit set for each byte that is a newline.
func newlineBits(b *[windowSize]byte) uint64 {
	return ^(others(word(b, 0)) | others(word(b, 8))<<8 | others(word(b, 16))<<16 | others(word(b, 24))<<24 |
		others(word(b, 32))<<32 | others(word(b, 40))<<40 | others(word(b, 48))<<48 | others(word(b, 56))<<56)
}

// others has a bit set for each byte of w that is no newline: the bytes that the XOR does not make zero. Adding 0x7f to the
// lower bits of a byte sets its bit 7 unless they are zero, and carries nothing into the next byte.
func others(w uint64) uint64 {
	w ^= '\n' * eachByte
	return gather(((w&^highBits + ^uint64(highBits)) | w) >> 7)
}
