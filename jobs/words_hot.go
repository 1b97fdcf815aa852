package jobs

import (
	"encoding/binary"
	"iter"
	"math/bits"
	"unicode"
	"unicode/utf8"
	"unsafe"
)

// Words iterates over the words of a text: maximal runs of Unicode letters. Bytes that are not UTF-8 are no letters.
// The words are views into the text.
//
// It looks at 64 bytes at a time: one bit for each byte says whether it belongs to a letter, and the words begin and end where
// the bits change. On lines of prose that takes 7 ns a word, where a loop over characters takes 38, much of it for word ends
// that the processor cannot foresee, and strings.FieldsFunc 56 (BenchmarkWords). The loop calls yield in one place only
// and leaves all else to edges, so that the compiler puts it and the body of the caller's loop into the caller: no word
// costs a call.
func Words(text string) iter.Seq[string] {
	return func(yield func(string) bool) {
		e := edges{text: text}
		base, bounds := -windowSize, uint64(0)
		for {
			for bounds == 0 {
				if base += windowSize; base >= len(text) {
					return
				}
				bounds = e.at(base)
			}
			begin := base + bits.TrailingZeros64(bounds)
			for bounds &= bounds - 1; bounds == 0; {
				base += windowSize
				bounds = e.at(base)
			}
			end := base + bits.TrailingZeros64(bounds)
			bounds &= bounds - 1
			if !yield(text[begin:end]) {
				return
			}
		}
	}
}

// windowSize is how many bytes edges looks at: as many as a word of the machine has bits.
const windowSize = 64

// edges finds where words begin and end, window by window.
type edges struct {
	text   string
	inside uint64 // 1 if the window before ended in a letter

	// The character found last that is not ASCII; it may reach into the next window.
	end    int // offset of the byte after it
	letter bool
}

// at has a bit set for each byte of the window at base that begins a word, or is the first one after a word. A word that ends
// with the text ends in the window after it.
func (e *edges) at(base int) uint64 {
	var m, foreign uint64
	switch rest := len(e.text) - base; {
	case rest >= windowSize:
		m, foreign = letterBits(window(e.text, base))
	case rest <= 0:
	case len(e.text) >= windowSize: // the text's last 64 bytes, less what was looked at before
		m, foreign = letterBits(window(e.text, len(e.text)-windowSize))
		m, foreign = m>>(windowSize-rest), foreign>>(windowSize-rest)
	default:
		var short [windowSize]byte
		copy(short[:], e.text)
		m, foreign = letterBits(&short)
	}
	if foreign != 0 {
		m = e.decode(base, m, foreign)
	}
	bounds := m ^ (m<<1 | e.inside)
	e.inside = m >> (windowSize - 1)
	return bounds
}

// decode corrects m for the bytes that are not ASCII.
func (e *edges) decode(base int, m, foreign uint64) uint64 {
	m &^= foreign
	for ; foreign != 0; foreign &= foreign - 1 {
		i := bits.TrailingZeros64(foreign)
		if base+i >= e.end {
			r, n := utf8.DecodeRuneInString(e.text[base+i:]) // of bytes that are not UTF-8: U+FFFD, which is no letter
			e.end, e.letter = base+i+n, unicode.IsLetter(r)
		}
		if e.letter {
			m |= 1 << i
		}
	}
	return m
}

// window is the 64 bytes of s at i.
func window(s string, i int) *[windowSize]byte {
	return (*[windowSize]byte)(unsafe.Slice(unsafe.StringData(s[i:i+windowSize]), windowSize))
}

const (
	eachByte = 0x0101010101010101
	highBits = 0x80 * eachByte
)

// letterBits has a bit set in m for each byte that is an ASCII letter, and in foreign for each that is not ASCII, for which m
// may say anything.
func letterBits(b *[windowSize]byte) (m, foreign uint64) {
	w0, w1, w2, w3 := word(b, 0), word(b, 8), word(b, 16), word(b, 24)
	w4, w5, w6, w7 := word(b, 32), word(b, 40), word(b, 48), word(b, 56)
	m = letters(w0) | letters(w1)<<8 | letters(w2)<<16 | letters(w3)<<24 |
		letters(w4)<<32 | letters(w5)<<40 | letters(w6)<<48 | letters(w7)<<56
	if (w0|w1|w2|w3|w4|w5|w6|w7)&highBits != 0 {
		for i := 0; i < windowSize; i += 8 {
			foreign |= gather(word(b, i)>>7) << i
		}
	}
	return m, foreign
}

func word(b *[windowSize]byte, i int) uint64 { return binary.LittleEndian.Uint64(b[i:]) }

// letters has a bit set for each byte of w that is an ASCII letter, if all are ASCII. Setting bit 5 makes letters lower case,
// and nothing else a lower-case letter; then the first sum reaches bit 7 from 'a' on and the second beyond 'z'.
func letters(w uint64) uint64 {
	t := (w | 0x20*eachByte) & (0x7f * eachByte)
	return gather(((t + (0x80-'a')*eachByte) ^ (t + (0x7f-'z')*eachByte)) >> 7)
}

// gather collects the lowest bit of each byte in a byte: the product moves bit 8i to bit 56+i, and nothing else there.
func gather(w uint64) uint64 { return w & eachByte * 0x0102040810204080 >> 56 }
