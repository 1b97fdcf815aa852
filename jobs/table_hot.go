package jobs

import (
	"encoding/binary"
	"math"
	"math/bits"
	"unsafe"
)

// table is the combine table: open addressing with linear probing, the first 8 bytes of a key and its value in the slot, so
// that the usual word costs one cache line and no pointer. A built-in map[string]V took 1.4 to 1.6 times as long on words of
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
	keys    []byte // of more than 8 bytes, end to end
	limit   int64  // bytes of slots, keys and values
	held    int64  // bytes that values lead to, at most
	over    bool   // values have grown beyond the limit: nothing is taken until reset
	combine func(a, b V) V
	keeper  *keeper[V] // nil if values lead to no memory but their own
}

// slot is one key. Invariant: prefix holds the key's first 8 bytes, zero padded, little endian.
type slot[V any] struct {
	prefix uint64
	offset uint32 // in keys, if the key is longer than 8 bytes
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
// costs a branch that the processor does not foresee, so a table that is small has room to spare.
func fill(slots int) int {
	if slots <= smallTable {
		return slots / 4
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
	prefix := keyPrefix(key)
	return t.addHashed(hash(prefix, key), prefix, key, len(key), v)
}

// addWord is add for the key of 8 bytes that is word, big endian.
func (t *table[V]) addWord(word uint64, v V) outcome {
	prefix := bits.ReverseBytes64(word)
	return t.addHashed(hashWord(prefix), prefix, "", 8, v)
}

// addHashed is add for a key of which hash and prefix are known. A key of up to 8 bytes is its prefix and size.
func (t *table[V]) addHashed(h, prefix uint64, key string, length int, v V) outcome {
	size := uint32(length) + 1
	for i := h & t.mask; ; i = (i + 1) & t.mask {
		s := &t.slots[i]
		if s.prefix == prefix && s.size == size && (size <= 9 || t.sameTail(s, key)) {
			if t.keeper != nil {
				return t.combineKept(s, v)
			}
			t.adds++
			s.value = t.combine(s.value, v)
			return combined
		}
		if s.size == 0 {
			return t.insert(h, i, prefix, key, length, v)
		}
	}
}

// insert puts a new key into the empty slot i, growing the table first if it must.
func (t *table[V]) insert(h, i, prefix uint64, key string, size int, v V) outcome {
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
	if size > 8 && !t.growKeys(size) {
		return full
	}
	if t.keeper != nil {
		n := t.keeper.size(v)
		if t.used > 0 && t.bytes()+n > t.limit && !t.measure(n) {
			return full
		}
		t.held += n
		v = t.keeper.copy(v)
	}
	s := &t.slots[i]
	s.prefix, s.size, s.value = prefix, uint32(size)+1, v
	if size > 8 {
		s.offset = uint32(len(t.keys))
		t.keys = append(t.keys, key...)
	}
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

// sameTail compares a key of more than 8 bytes with a slot of the same prefix and size.
func (t *table[V]) sameTail(s *slot[V], key string) bool {
	stored := t.keys[s.offset : int(s.offset)+len(key)]
	if len(key) <= 16 {
		return binary.LittleEndian.Uint64(stored[len(stored)-8:]) == load(key, len(key)-8)
	}
	return view(stored[8:]) == key[8:]
}

// hashOf is the hash of a slot's key.
func (t *table[V]) hashOf(s *slot[V]) uint64 {
	size := uint64(s.size - 1)
	h := mix(s.prefix^size*mixB, mixA)
	if size > 8 {
		h = hashTail(h, view(t.keys[s.offset:uint64(s.offset)+size]))
	}
	return h
}

// appendKey appends a slot's key.
func (t *table[V]) appendKey(buf []byte, s *slot[V]) []byte {
	size := int(s.size - 1)
	if size > 8 {
		return append(buf, t.keys[s.offset:int(s.offset)+size]...)
	}
	return binary.LittleEndian.AppendUint64(buf, s.prefix)[:len(buf)+size]
}

// mix multiplies and folds both halves of the product.
func mix(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}

// hash is the hash of a key with that prefix.
func hash(prefix uint64, key string) uint64 {
	h := mix(prefix^uint64(len(key))*mixB, mixA)
	if len(key) > 8 {
		h = hashTail(h, key)
	}
	return h
}

// hashWord is the hash of the key of 8 bytes that is its prefix.
func hashWord(prefix uint64) uint64 { return mix(prefix^8*mixB&math.MaxUint64, mixA) }

// hashTail goes on with the bytes of key after the 8th; the last step overlaps.
func hashTail(h uint64, key string) uint64 {
	for i := 8; i+8 < len(key); i += 8 {
		h = mix(h^load(key, i), mixB)
	}
	return mix(h^load(key, len(key)-8), mixA)
}

// load reads 8 bytes of s at i, little endian.
func load(s string, i int) uint64 {
	s = s[i : i+8]
	return binary.LittleEndian.Uint64(unsafe.Slice(unsafe.StringData(s), 8))
}

// keyPrefix is the first 8 bytes of s, zero padded, little endian.
func keyPrefix(s string) uint64 {
	if roomy(s) {
		return roomyPrefix(s)
	}
	return slowPrefix(s)
}

// pageSize is the least size of a page of memory on any system that Go runs on.
const pageSize = 4096

// roomy reports whether 8 bytes from the beginning of s on lie in one page of memory.
func roomy(s string) bool {
	return uintptr(unsafe.Pointer(unsafe.StringData(s)))&(pageSize-1) <= pageSize-8 && len(s) != 0
}

// roomyPrefix is keyPrefix of a roomy string. It reads 8 bytes even of a shorter one and masks the others off: branches on
// the length cost 4 ns a word, for the processor cannot foresee them. A page can be read as a whole or not at all, so reading
// there beyond the string is harmless; Go's own assembly does so to compare and hash short strings. The race detector and
// the pointer checks must not see it: those bytes may be somebody else's.
//
//go:norace
//go:nocheckptr
func roomyPrefix(s string) uint64 {
	b := (*[8]byte)(unsafe.Pointer(unsafe.StringData(s)))
	return binary.LittleEndian.Uint64(b[:]) & (math.MaxUint64 >> (8 * uint(8-min(len(s), 8))))
}

// slowPrefix is the plain version of keyPrefix: it reads short strings in overlapping pieces, never beyond their end.
func slowPrefix(s string) uint64 {
	switch n := len(s); {
	case n >= 8:
		return load(s, 0)
	case n >= 4:
		b := unsafe.Slice(unsafe.StringData(s), n)
		return uint64(binary.LittleEndian.Uint32(b)) | uint64(binary.LittleEndian.Uint32(b[n-4:]))<<(8*(n-4))
	case n > 0:
		return uint64(s[0]) | uint64(s[n/2])<<(8*(n/2)) | uint64(s[n-1])<<(8*(n-1))
	}
	return 0
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
