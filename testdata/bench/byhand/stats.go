package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"math/bits"
)

const stationSlots = 1 << 14

type station struct {
	first    uint64 // the first 8 bytes of the name, or all of it
	name     []byte
	min, max int32 // tenths
	sum, n   int64
}

// stats computes minimum, mean and maximum of the values of each station.
func stats(data []byte, out string) {
	pieces := chunks(data, 64)
	tables := make([][]station, workers())
	for i := range tables {
		tables[i] = make([]station, stationSlots)
	}
	parallel(len(pieces), func(w, task int) { measure(pieces[task], (*[stationSlots]station)(tables[w])) })
	total := map[string]*station{}
	for _, table := range tables {
		for i := range table {
			s := &table[i]
			if t := total[string(s.name)]; s.n > 0 && t != nil {
				t.min, t.max, t.sum, t.n = min(t.min, s.min), max(t.max, s.max), t.sum+s.sum, t.n+s.n
			} else if s.n > 0 {
				total[string(s.name)] = s
			}
		}
	}
	writeTo(out, func(w *bufio.Writer) {
		for name, s := range total {
			fmt.Fprintf(w, "%s;%.1f;%.4f;%.1f\n", name, float64(s.min)/10, float64(s.sum)/float64(s.n)/10, float64(s.max)/10)
		}
	})
}

// margin is how many bytes after a line's begin are looked at without asking whether they are there.
const margin = 32

func measure(b []byte, table *[stationSlots]station) {
	at := 0
	for at+128 < len(b) { // no name is longer than 100 bytes
		first, hash, end := key(b[at:])
		value, next := tenths(b[end+at+1:])
		add(table, b[at:at+end:at+end], first, hash, value)
		at += end + 1 + next
	}
	for at < len(b) { // the same for the last lines, of a copy that has bytes behind it
		padded := append(bytes.Clone(b[at:]), make([]byte, 128)...)
		first, hash, end := key(padded)
		value, next := tenths(padded[end+1:])
		add(table, b[at:at+end:at+end], first, hash, value)
		at += end + 1 + next
	}
}

// key returns the first 8 bytes of a name, a hash of 16, and the name's length.
func key(b []byte) (first, hash uint64, end int) {
	_ = b[margin]
	w := binary.LittleEndian.Uint64(b)
	x := w ^ ';'*ones
	if found := (x - ones) &^ x & highs; found != 0 {
		n := bits.TrailingZeros64(found)
		w &= 1<<(n&^7) - 1
		return w, w * mix, n >> 3
	}
	v := binary.LittleEndian.Uint64(b[8:])
	x = v ^ ';'*ones
	if found := (x - ones) &^ x & highs; found != 0 {
		n := bits.TrailingZeros64(found)
		v &= 1<<(n&^7) - 1
		return w, (w ^ bits.RotateLeft64(v*mix, 29)) * mix, 8 + n>>3
	}
	return w, (w ^ v*mix) * mix, 16 + bytes.IndexByte(b[16:], ';')
}

// tenths reads a number like -12.3 without a branch and returns the offset of what follows its line end. The point is at the
// first byte of 2 to 4 whose bit 4 is not set; digits are shifted to where one multiplication adds them up by their weights.
func tenths(b []byte) (value int32, next int) {
	w := binary.LittleEndian.Uint64(b)
	minus := int64(^w<<59) >> 63 // all ones if the first byte is no digit
	point := bits.TrailingZeros64(^w & 0x10101000)
	digits := (w &^ uint64(minus&0xff)) << (28 - point) & 0x0f000f0f00
	n := int64(digits * 0x640a0001 >> 32 & 0x3ff)
	return int32((n ^ minus) - minus), point>>3 + 3
}

func add(table *[stationSlots]station, name []byte, first, hash uint64, value int32) {
	for i := hash >> 50; ; i++ {
		s := &table[i%stationSlots]
		if s.first == first && len(s.name) == len(name) && (len(name) <= 8 || bytes.Equal(s.name, name)) {
			s.min, s.max = min(s.min, value), max(s.max, value)
			s.sum += int64(value)
			s.n++
			return
		}
		if s.n == 0 {
			*s = station{first, name, value, value, int64(value), 1}
			return
		}
	}
}
