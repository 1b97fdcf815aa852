package shuffle

// Choosing a pair's partition. By bounds, it is found where the sorted keys are walked through: then it is one comparison of
// two integers a key, and only keys that share 8 bytes with the next bound look at the bound itself. A search among 255
// bounds when a pair came took 70 ns.

import (
	"bytes"
	"encoding/binary"
	"math"
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

// from is the partition of key, whose prefix is pre, given that of a key that is not above it.
func (b *bounds) from(partition int, key []byte, pre uint64) int {
	for partition < len(b.prefixes) {
		if p := b.prefixes[partition]; p > pre || p == pre && bytes.Compare(b.keys[partition], key) > 0 {
			break
		}
		partition++
	}
	return partition
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

// shortPrefix is the prefix of a key of n bytes, given the 8 bytes from where it lies. It does not branch on the length:
// those of words are as good as random.
func shortPrefix(eight uint64, n int) uint64 {
	return eight &^ (math.MaxUint64 >> (8 * uint(min(n, 8))))
}

// partitionBits is how many bits the number of one of n partitions takes.
func partitionBits(n int) int { return bits.Len(uint(n - 1)) }
