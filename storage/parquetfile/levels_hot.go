package parquetfile

import "encoding/binary"

// Levels and positions in a dictionary are runs: of one value repeated, or of values packed bit by bit. Arrow v15 decodes them
// too, but goes around in circles at some that are cut off, so that each run is looked at here first. One value at a time, and
// a bit at a time, is the plain reference (TestRuns), and many times as slow (BenchmarkRuns).
//
// Source: https://parquet.apache.org/docs/file-format/data-pages/encodings/#RLE

// runs decodes runs of numbers of up to 32 bits.
type runs struct {
	data  []byte
	width uint // bits of a number
	left  int  // of the current run
	value uint32
	// Of a run of packed numbers: where the next one begins in bits, from data's beginning.
	packed []byte
	bit    int
}

// next starts a run. It reports whether there is one.
func (r *runs) next() bool {
	head, n := binary.Uvarint(r.data)
	if n <= 0 || head>>1 == 0 {
		return false
	}
	r.data = r.data[n:]
	if head&1 == 0 { // one value, repeated
		size := int(r.width+7) / 8
		if len(r.data) < size || head>>1 > 1<<31 {
			return false
		}
		r.value = 0
		for i := range size {
			r.value |= uint32(r.data[i]) << (8 * i)
		}
		r.data, r.packed, r.left = r.data[size:], nil, int(head>>1)
		return r.width == 32 || r.value>>r.width == 0
	}
	if head>>1 > 1<<28 {
		return false
	}
	r.left = int(head>>1) * 8
	bytes := int(head>>1) * int(r.width)
	if bytes > len(r.data) { // the last run may leave out what no value needs
		bytes = len(r.data)
		if r.width > 0 {
			r.left = bytes * 8 / int(r.width)
		}
	}
	r.packed, r.data, r.bit = r.data[:bytes], r.data[bytes:], 0
	return r.left > 0
}

// fill decodes the next len(dst) numbers; it reports whether there are as many.
func (r *runs) fill(dst []uint32) bool {
	for len(dst) > 0 {
		if r.left == 0 && !r.next() {
			return false
		}
		n := min(r.left, len(dst))
		r.left -= n
		if r.packed == nil {
			for i := range dst[:n] {
				dst[i] = r.value
			}
		} else {
			unpackBits(dst[:n], r.packed, r.bit, r.width)
			r.bit += n * int(r.width)
		}
		dst = dst[n:]
	}
	return true
}

// unpackBits decodes numbers of width bits that begin at a bit of data, which holds them all.
func unpackBits(dst []uint32, data []byte, bit int, width uint) {
	mask := uint64(1)<<width - 1
	for i := range dst {
		at := bit >> 3
		var word uint64
		if at+8 <= len(data) {
			word = binary.LittleEndian.Uint64(data[at:])
		} else {
			for j := range data[at:] {
				word |= uint64(data[at+j]) << (8 * j)
			}
		}
		dst[i] = uint32(word >> (bit & 7) & mask)
		bit += int(width)
	}
}
