package stats

import "math/bits"

const (
	ones  = 0x0101010101010101
	highs = ones << 7
	zeros = ones * '0'
	minus = '-' ^ '0' // what is left of the sign when digits are made numbers
	point = '.' ^ '0'
)

// fixed takes apart lines whose values are fixed-point numbers of so many decimals.
//
// The way of cut, for a separator of one byte and a value of up to 7 characters: the last 8 bytes of the line are one word;
// the separator and the sign are found, the point is taken out and the digits are added up in that word, without a branch
// that depends on the record's lengths. Measured on lines of 14 bytes: 12 ns, against 120 for cutPlain; a loop over the
// value's characters that checks nothing takes 15.
type fixed struct {
	separator string
	decimals  int

	short    bool   // the separator is one byte, and 7 characters leave room for a digit before the point
	mark     uint64 // the separator, in every byte
	pointAt  uint64 // the point where it must be in the word; 0 without decimals
	pointIn  uint64 // the byte of the point; 0 without decimals
	fraction uint64 // the bytes after the point; all without decimals
	whole    uint64 // the bytes before the point; none without decimals
}

func newFixed(separator string, decimals int) *fixed {
	f := &fixed{separator: separator, decimals: decimals, short: len(separator) == 1 && decimals <= 5, fraction: 1<<64 - 1}
	if f.short {
		f.mark = uint64(separator[0]) * ones
	}
	if f.short && decimals > 0 {
		at := 8 * (7 - decimals)
		f.pointAt, f.pointIn = point<<at, 0xff<<at
		f.whole, f.fraction = 1<<at-1, ^uint64(0)<<(at+8)
	}
	return f
}

// cut returns the key and the value of a line.
func (f *fixed) cut(line string) (key string, v int64, err error) {
	begin := len(line) - 8
	if begin < 0 || !f.short {
		return f.cutPlain(line)
	}
	w := load(line[begin:])
	x := w ^ f.mark
	marks := ^((x&^highs + ^uint64(highs)) | x) & highs // exact: the high bit of each byte that is the separator
	size := uint(bits.LeadingZeros64(marks))            // of the value, in bits; 64 if there is no separator
	if size-8 > 48 {
		return f.cutPlain(line)
	}
	first := (64 - size) & 63 // bit where the value begins; the compiler sees that it is below 64
	d := (w ^ zeros) & (^uint64(0) << first)
	negative := uint64(int64(d>>first&0xff^minus-1) >> 63) // all bits, or none
	d ^= minus << first & negative
	bad := d&f.pointIn ^ f.pointAt
	d = d&f.fraction | d&f.whole<<8
	bad |= (d + 0x76*ones | d) & highs
	if bad != 0 || size <= uint(negative&8) {
		return f.cutPlain(line)
	}
	d = d*10 + d>>8 // pairs of digits in every second byte
	d = (d&0x000000ff000000ff*(100+1000000<<32) + d>>16&0x000000ff000000ff*(1+10000<<32)) >> 32
	return line[:begin+int(first>>3)-1], int64(d^negative) - int64(negative), nil
}

// load is the first 8 bytes of s, little endian: one instruction.
func load(s string) uint64 {
	_ = s[7]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}
