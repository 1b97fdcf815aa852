package jobs

import (
	"encoding/binary"
	"math"
	"math/bits"
	"unsafe"
)

// table is the combine table: open addressing with linear probing, a key of up to 16 bytes and its value in the slot, so that
// the usual word costs one cache line and no pointer. Such a key is its first and its last 8 bytes, which may overlap, and its
// size: found without a branch on the size, which the processor could not foresee. With the first 8 bytes alone in the slot,
// stats took 31 ns a line in place of 26. A built-in map[string]V took 1.4 to 1.6 times as long on words of
// prose (BenchmarkTable), copies every key to the heap by itself and cannot tell its memory.
//
// Its hash is a multiply-and-fold of its own. The engine partitions by another hash: were they the same, the keys of one
// partition would crowd into a part of the table.
type table[V any] struct {
	slots   []slot[V] // a power of two
	mask    uint64
	room    int    // keys that may still be inserted before the slots must grow
	used    int    // keys
	adds    int    // pairs since the last reset
	keys    []byte // of more than 16 bytes, end to end
	limit   int64  // bytes of slots, keys and values
	held    int64  // bytes that values lead to, at most
	over    bool   // values have grown beyond the limit: nothing is taken until reset
	combine func(a, b V) V
	keeper  *keeper[V] // nil if values lead to no memory but their own
}

// slot is one key. Invariant: first and last are what keyEnds says of it.
type slot[V any] struct {
	first  uint64
	last   uint64
	offset uint32 // in keys, if the key is longer than 16 bytes
	size   uint32 // of the key + 1; 0: the slot is empty
	value  V
}

const (
	minSlots    = 64
	smallTable  = 8 << 10  // slots
	maxTableKey = 32 << 10 // a longer key passes the table by: few of them would fill it
	mixA        = 0x9e3779b97f4a7c15
	mixB        = 0xd6e8feb86659fd93
)

// outcome is what became of an added pair.
type outcome int

const (
	combined outcome = iota // with the value of its key
	inserted                // as a new key
	full                    // not taken: the table must be drained first
)

func newTable[V any](limit int64, combine func(a, b V) V, k *keeper[V]) *table[V] {
	t := &table[V]{limit: limit, combine: combine, keeper: k}
	t.resize(minSlots)
	return t
}

// fill is how many keys so many slots may hold: with more, runs of full slots get long. A key that is not in its first slot
// costs a branch that the processor does not foresee and learns of late, so a table that is small has room to spare: with a
// quarter of 2048 slots in place of an eighth of 4096, 413 stations took 26 ns a line in place of 24.
func fill(slots int) int {
	if slots <= smallTable {
		return slots / 8
	}
	return slots / 2
}

func (t *table[V]) resize(n int) {
	t.slots = make([]slot[V], n)
	t.mask = uint64(n - 1)
	t.room = fill(n) - t.used
}

// reset empties the table and keeps its memory.
func (t *table[V]) reset() {
	clear(t.slots)
	t.keys = t.keys[:0]
	t.used, t.adds, t.held, t.over = 0, 0, 0, false
	t.room = fill(len(t.slots))
}

// add combines v into the value of key. The key's bytes are copied if they are new; they may change afterwards.
func (t *table[V]) add(key string, v V) outcome {
	first, last := keyEnds(key)
	return t.addHashed(hash(first, last, key), first, last, key, len(key), v)
}

// addWord is add for the key of 8 bytes that is word, big endian.
func (t *table[V]) addWord(word uint64, v V) outcome {
	first := bits.ReverseBytes64(word)
	return t.addHashed(hashEnds(first, first), first, first, "", 8, v)
}

// addHashed is add for a key of which hash and ends are known. One of up to 16 bytes is its ends and size.
func (t *table[V]) addHashed(h, first, last uint64, key string, length int, v V) outcome {
	size := uint32(length) + 1
	for i := h & t.mask; ; i = (i + 1) & t.mask {
		s := &t.slots[i]
		if s.is(first, last, length) && (length <= 16 || t.sameKey(s, key)) {
			if t.keeper != nil {
				return t.combineKept(s, v)
			}
			t.adds++
			s.value = t.combine(s.value, v)
			return combined
		}
		if s.size == 0 {
			return t.insert(h, i, slot[V]{first, last, 0, size, v}, key)
		}
	}
}

// insert puts a new key into the empty slot i, growing the table first if it must.
func (t *table[V]) insert(h, i uint64, s slot[V], key string) outcome {
	if t.over {
		return full
	}
	if t.room == 0 {
		if !t.grow() && !t.cram() {
			return full
		}
		for i = h & t.mask; t.slots[i].size != 0; i = (i + 1) & t.mask {
		}
	}
	if len(key) > 16 && !t.growKeys(len(key)) {
		return full
	}
	if t.keeper != nil {
		n := t.keeper.size(s.value)
		if t.used > 0 && t.bytes()+n > t.limit && !t.measure(n) {
			return full
		}
		t.held += n
		s.value = t.keeper.copy(s.value)
	}
	if len(key) > 16 {
		s.offset = uint32(len(t.keys))
		t.keys = append(t.keys, key...)
	}
	t.slots[i] = s
	t.room--
	t.used++
	t.adds++
	return inserted
}

// combineKept combines values that lead to memory of their own. A combiner may join values to ever larger ones, so known
// keys fill the table too.
func (t *table[V]) combineKept(s *slot[V], v V) outcome {
	if t.over {
		return full
	}
	t.adds++
	t.held += t.keeper.size(v)
	s.value = t.keeper.combine(t.combine, s.value, v)
	t.over = t.bytes() > t.limit && !t.measure(0)
	return combined
}

// measure counts anew what values lead to: until then held grows with every value combined, though the result may be no
// larger than before. It reports whether half the limit is free with n more bytes; were it content with less, it would
// have to count again soon.
func (t *table[V]) measure(n int64) bool {
	t.held = 0
	for i := range t.slots {
		if s := &t.slots[i]; s.size != 0 {
			t.held += t.keeper.size(s.value)
		}
	}
	return t.bytes()+n <= t.limit/2
}

// bytes is the memory the table holds.
func (t *table[V]) bytes() int64 {
	return int64(len(t.slots))*int64(unsafe.Sizeof(slot[V]{})) + int64(cap(t.keys)) + t.held
}

// grow doubles the slots, if old and new fit into the limit together.
func (t *table[V]) grow() bool {
	n := 2 * len(t.slots)
	if t.used < fill(len(t.slots)) || t.bytes()+int64(n)*int64(unsafe.Sizeof(slot[V]{})) > t.limit {
		return false
	}
	old := t.slots
	t.resize(n)
	for j := range old {
		s := &old[j]
		if s.size == 0 {
			continue
		}
		i := t.hashOf(s) & t.mask
		for t.slots[i].size != 0 {
			i = (i + 1) & t.mask
		}
		t.slots[i] = *s
	}
	return true
}

// cram lets as many keys in as may be when the slots can grow no more.
func (t *table[V]) cram() bool {
	t.room = len(t.slots)*5/8 - t.used
	return t.room > 0
}

// growKeys makes room for a key of n bytes.
func (t *table[V]) growKeys(n int) bool {
	need := len(t.keys) + n
	if need <= cap(t.keys) {
		return true
	}
	size := max(4096, 2*cap(t.keys), need)
	if size > math.MaxUint32 || t.used > 0 && t.bytes()+int64(size) > t.limit {
		return false
	}
	keys := make([]byte, len(t.keys), size)
	copy(keys, t.keys)
	t.keys = keys
	return true
}

// is compares a slot with a key's ends and size: all there is of a key of up to 16 bytes.
func (s *slot[V]) is(first, last uint64, length int) bool {
	return (s.first^first)|(s.last^last) == 0 && s.size == uint32(length)+1
}

// sameKey compares a key of more than 16 bytes with a slot of the same size.
func (t *table[V]) sameKey(s *slot[V], key string) bool { return t.key(s) == key }

// key is a slot's key of more than 16 bytes.
func (t *table[V]) key(s *slot[V]) string {
	return view(t.keys[s.offset:][:s.size-1])
}

// hashOf is the hash of a slot's key.
func (t *table[V]) hashOf(s *slot[V]) uint64 {
	h := hashEnds(s.first, s.last)
	if s.size > 17 {
		h = hashMiddle(h, t.key(s))
	}
	return h
}

// appendKey appends a slot's key.
func (t *table[V]) appendKey(buf []byte, s *slot[V]) []byte {
	size := int(s.size - 1)
	if size > 16 {
		return append(buf, t.key(s)...)
	}
	end := len(buf) + size
	last := s.last
	if size > 8 {
		buf = binary.LittleEndian.AppendUint64(buf, s.first)
		last >>= 8 * uint(16-size)
	}
	return binary.LittleEndian.AppendUint64(buf, last)[:end]
}

// mix multiplies and folds both halves of the product.
func mix(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}

// hash is the hash of a key with those ends.
func hash(first, last uint64, key string) uint64 {
	h := hashEnds(first, last)
	if len(key) > 16 {
		h = hashMiddle(h, key)
	}
	return h
}

// hashEnds is the hash of a key of up to 16 bytes. It leaves out the size: few such keys have the same ends, at most the 17 of zeros.
func hashEnds(first, last uint64) uint64 {
	return mix(first^mixB, last^mixA)
}

// hashMiddle goes on with the bytes of a longer key between its ends; the last step overlaps.
func hashMiddle(h uint64, key string) uint64 {
	for i := 8; i < len(key)-8; i += 8 {
		h = mix(h^load(key, i), mixB)
	}
	return h
}

// load reads 8 bytes of s at i, little endian.
func load(s string, i int) uint64 {
	s = s[i : i+8]
	return binary.LittleEndian.Uint64(unsafe.Slice(unsafe.StringData(s), 8))
}

// keyEnds is the first and the last 8 bytes of s, little endian. A shorter key has as many zero bytes as it lacks: below the
// bytes of its first, above those of its last.
func keyEnds(s string) (first, last uint64) {
	if roomy(s) {
		return roomyEnds(s)
	}
	return slowEnds(s)
}

// slowEnds is the plain version of keyEnds: it reads short strings in overlapping pieces, never beyond their ends.
func slowEnds(s string) (first, last uint64) {
	switch n := len(s); {
	case n >= 8:
		return load(s, 0), load(s, n-8)
	case n >= 4:
		b := unsafe.Slice(unsafe.StringData(s), n)
		last = uint64(binary.LittleEndian.Uint32(b)) | uint64(binary.LittleEndian.Uint32(b[n-4:]))<<(8*(n-4))
	case n > 0:
		last = uint64(s[0]) | uint64(s[n/2])<<(8*(n/2)) | uint64(s[n-1])<<(8*(n-1))
	}
	return last << (8 * (8 - uint(len(s)))), last
}

// pageSize is the least size of a page of memory on any system that Go runs on.
const pageSize = 4096

// roomy reports whether s is not empty and lies, with 8 bytes before its begin and 8 from there on, in one page of memory.
func roomy(s string) bool {
	return (uintptr(unsafe.Pointer(unsafe.StringData(s)))-8)&(pageSize-1) <= pageSize-16 && len(s) != 0
}

// roomyEnds is keyEnds of a roomy string. It reads 8 bytes from the begin on and 8 up to the end even of a shorter one, and
// shifts the others out: branches on the length cost 4 ns a word, for the processor cannot foresee them, and masks 5
// instructions more. A page can be read as a whole or not at all, so reading there beyond the string is harmless; Go's own
// assembly does so to compare and hash short strings. The race detector and the pointer checks must not see it: those bytes
// may be somebody else's.
//
//go:norace
//go:nocheckptr
func roomyEnds(s string) (first, last uint64) {
	p, rest := unsafe.Pointer(unsafe.StringData(s)), len(s)-8
	lacks := -8 * (rest & (rest >> 63)) & 63 // bits; the compiler makes min a branch here
	a, b := (*[8]byte)(p), (*[8]byte)(unsafe.Add(p, rest))
	return binary.LittleEndian.Uint64(a[:]) << lacks, binary.LittleEndian.Uint64(b[:]) >> lacks
}

// gate decides whether pairs go through the table. When the table fills with keys of which most came only once, it costs
// more than it saves: then the gate closes for a number of pairs, and tries again with an empty table. It depends on the
// pairs and the limit alone, so a repeated attempt decides alike.
type gate struct{ passing int }

// full is told each time a table is full of so many keys after so many pairs.
func (g *gate) full(keys, pairs int) {
	if 2*keys > pairs {
		g.passing = 8 * pairs
	}
}

// closed reports whether this pair passes the table by.
func (g *gate) closed() bool {
	if g.passing == 0 {
		return false
	}
	g.passing--
	return true
}
