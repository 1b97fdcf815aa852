package shuffle

// Choosing a pair's partition. By bounds, a binary search over the bounds' prefixes as integers: only keys that share 8
// bytes with a bound look at the bound itself. Among 255 bounds it takes 70 ns a key where slices.BinarySearchFunc with
// bytes.Compare takes 120 (BenchmarkBounds).

import (
	"bytes"
	"encoding/binary"
	"math/bits"

	"github.com/zeebo/xxh3"
)

// partitionSeed is fixed forever: the parts that a job makes depend on it. It differs from the seeds of the hash tables
// before (combine) and after (reduce), so that the keys of one partition do not crowd in one corner of a table.
const partitionSeed = 0x6d696c6c72616365 // "millrace"

// hashPartition maps a key to one of n partitions by the high bits of its hash.
func hashPartition(key []byte, n int) uint32 {
	hi, _ := bits.Mul64(xxh3.HashSeed(key, partitionSeed), uint64(n))
	return uint32(hi)
}

// bounds is sorted boundaries: partition p holds the keys from keys[p-1] on and below keys[p].
type bounds struct {
	keys     [][]byte
	prefixes []uint64 // of keys
}

func newBounds(keys [][]byte) bounds {
	b := bounds{keys: keys, prefixes: make([]uint64, len(keys))}
	for i, k := range keys {
		b.prefixes[i] = prefix(k)
	}
	return b
}

// partition counts the boundaries that are not above key.
func (b *bounds) partition(key []byte, pre uint64) uint32 {
	lo, hi := 0, len(b.prefixes)
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		if p := b.prefixes[mid]; p < pre || p == pre && bytes.Compare(b.keys[mid], key) <= 0 {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return uint32(lo)
}

// prefix is a key's first 8 bytes as a big-endian number, a shorter key padded with zeros: keys of different prefixes are
// ordered as their prefixes are.
func prefix(key []byte) uint64 {
	if len(key) >= 8 {
		return binary.BigEndian.Uint64(key)
	}
	var p uint64
	for i, c := range key {
		p |= uint64(c) << (56 - 8*i)
	}
	return p
}
