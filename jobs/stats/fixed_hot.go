package stats

import (
	"math/bits"
	"strings"
)

const (
	ones  = 0x0101010101010101
	highs = ones << 7
	zeros = ones * '0'
	minus = '-' ^ '0' // what is left of the sign when digits are made numbers
	point = '.' ^ '0'
)

// fixed reads lines whose values are fixed-point numbers of so many decimals.
//
// The way of short, for a separator of one byte and a value of up to 7 characters: the last 8 bytes of the line are one word;
// the separator and the sign are found, the point is taken out and the digits are added up in that word, without a branch
// that depends on the record's lengths. Measured on lines of 14 bytes (BenchmarkShort, BenchmarkPlain): 9 ns, against 35 for
// plain; a loop over the value's characters that checks nothing took 17.
type fixed struct {
	separator string
	decimals  int

	mark     uint64 // the separator, in every byte
	pointIn  uint64 // the byte of the point in the word; without decimals, the bit that no digit has in the last byte
	pointIs  uint64 // what must be there
	whole    uint64 // the bytes before the point; none without decimals
	fraction uint64 // the bytes after the point; all without decimals
}

// reader returns the map function.
func (f fixed) reader() func(line string, emit func(string, group[int64])) error {
	digit := strings.Contains("0123456789", f.separator)  // short takes one at the end for a part of the value
	if len(f.separator) != 1 || digit || f.decimals > 5 { // 7 characters have a digit before the point
		return f.plain
	}
	f.mark = uint64(f.separator[0]) * ones
	f.pointIn, f.fraction = 0x10<<56, 1<<64-1
	if f.decimals > 0 {
		at := 8 * (7 - f.decimals)
		f.pointIn, f.pointIs, f.whole, f.fraction = 0xff<<at, point<<at, 1<<at-1, ^uint64(0)<<(at+8)
	}
	return f.short()
}

// short is not inlined: in the copy of its function that this would make, load would be a call.
//
//go:noinline
func (f *fixed) short() func(line string, emit func(string, group[int64])) error {
	return func(line string, emit func(string, group[int64])) error {
		begin := len(line) - 8
		if begin < 0 {
			return f.plain(line, emit)
		}
		w := load(line[begin:])
		x := bits.ReverseBytes64(w ^ f.mark)
		// The lowest bit is the last separator; bits above it may be false. One in the last byte is left out: then the
		// value has a separator in it, or there is none.
		marks := (x - ones) &^ x & (highs &^ 0x80)
		if marks == 0 {
			return f.plain(line, emit)
		}
		first := (71 - uint(bits.TrailingZeros64(marks))) & 63 // bit of w where the value begins
		d := (w ^ zeros) & (^uint64(0) << first)
		bad := d&f.pointIn ^ f.pointIs
		negative := uint64(int64(d>>first&0xff^minus-1) >> 63) // all bits, or none
		d ^= minus << first & negative
		d = d&f.fraction | d&f.whole<<8
		bad |= (d + 0x76*ones | d) & highs
		if bad != 0 {
			return f.plain(line, emit)
		}
		d = d*10 + d>>8 // pairs of digits in every second byte
		d = (d&0x000000ff000000ff*(100+1000000<<32) + d>>16&0x000000ff000000ff*(1+10000<<32)) >> 32
		v := int64(d^negative) - int64(negative)
		emit(line[:begin+int(first>>3)-1], group[int64]{1, v, v, v})
		return nil
	}
}

// load is the first 8 bytes of s, little endian: one instruction.
func load(s string) uint64 {
	_ = s[7]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}
