package jobs

import (
	"math/bits"
	"strings"
)

// FixedCutter returns a function that takes a line apart at its last separator and reads what follows as ParseFixed does: with
// separator ";" and 1 decimal, it makes "Oslo" and -31 of "Oslo;-3.1". The key is a view into the line. Its errors quote the
// line or the value and say what is wrong with it. An empty separator is an error, and so are decimals that ParseFixed refuses.
//
// Where the separator is one byte, the value has up to 7 characters and no more than 5 decimals are asked for, the last 8
// bytes of the line are one word: the separator and the sign are found, the point is taken out and the digits are added up in
// that word, without a branch that depends on the line's lengths. Measured on lines of 14 bytes (BenchmarkFixedCutter): 13 ns,
// against 30 for the plain way; a loop over the value's characters that checks nothing took 17.
func FixedCutter(separator string, decimals int) (func(line string) (key string, value int64, err error), error) {
	if err := checkCut(separator, decimals); err != nil {
		return nil, err
	}
	digit := strings.Contains("0123456789", separator) // one at the end would be taken for a part of the value
	if len(separator) != 1 || digit || decimals >= len(fixedForms) {
		return func(line string) (string, int64, error) { return cutFixed(line, separator, decimals) }, nil
	}
	return shortFixedCutter(uint64(separator[0])*eachByte, &fixedForms[decimals], separator, decimals), nil
}

// shortFixedCutter is a function of its own, and not inlined, for the compiler inlines nothing into a closure that it has inlined
// with the function around it. mark is the separator in every byte.
//
//go:noinline
func shortFixedCutter(mark uint64, form *fixedForm, separator string, decimals int) func(string) (string, int64, error) {
	return func(line string) (key string, value int64, err error) {
		begin := len(line) - 8
		if begin < 0 {
			return cutFixed(line, separator, decimals)
		}
		w := load(line, begin)
		x := bits.ReverseBytes64(w ^ mark)
		// The lowest bit is the last separator; bits above it may be false. One in the last byte is left out: then the
		// value has a separator in it, or there is none.
		marks := (x - eachByte) &^ x & (highBits &^ 0x80)
		if marks == 0 {
			return cutFixed(line, separator, decimals)
		}
		first := (71 - uint(bits.TrailingZeros64(marks))) & 63 // bit of w where the value begins
		d := (w ^ '0'*eachByte) & (^uint64(0) << first)
		bad := d&form.pointIn ^ form.pointIs
		negative := uint64(int64(d>>first&0xff^minusDigit-1) >> 63) // all bits, or none
		d ^= minusDigit << first & negative
		d = d&form.fraction | d&form.whole<<8
		bad |= (d + 0x76*eachByte | d) & highBits
		if bad != 0 {
			return cutFixed(line, separator, decimals)
		}
		d = d*10 + d>>8 // pairs of digits in every second byte
		d = (d&0x000000ff000000ff*(100+1000000<<32) + d>>16&0x000000ff000000ff*(1+10000<<32)) >> 32
		return line[:begin+int(first>>3)-1], int64(d^negative) - int64(negative), nil
	}
}

// fixedForm says where in the last 8 bytes of a line a value of so many decimals has its point and its digits.
type fixedForm struct {
	pointIn  uint64 // the byte of the point; without decimals, the bit that no digit has in the last byte
	pointIs  uint64 // what must be there
	whole    uint64 // the bytes before the point; none without decimals
	fraction uint64 // the bytes after the point; all without decimals
}

const (
	minusDigit = '-' ^ '0' // what is left of the sign when digits are made numbers
	pointDigit = '.' ^ '0'
)

// fixedForms are the forms by the number of decimals. Of 7 characters, one is the point and one stands before it.
var fixedForms = [...]fixedForm{
	{0x10 << 56, 0, 0, 1<<64 - 1},
	{0xff << 48, pointDigit << 48, 1<<48 - 1, 0xff << 56},
	{0xff << 40, pointDigit << 40, 1<<40 - 1, 0xffff << 48},
	{0xff << 32, pointDigit << 32, 1<<32 - 1, 0xffffff << 40},
	{0xff << 24, pointDigit << 24, 1<<24 - 1, 0xffffffff << 32},
	{0xff << 16, pointDigit << 16, 1<<16 - 1, 0xffffffffff << 24},
}
