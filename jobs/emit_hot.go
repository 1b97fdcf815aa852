package jobs

import (
	"math/bits"
	"unsafe"
)

// The way of a pair whose key is in the combine table already, which is the way of nearly all. It is written out in the emit
// functions: no check of the attempt's state but one, no call but the user's combiner. All other pairs go on to
// combineHashed, which does the same for any pair, and is the plain reference. With calls from emit to the mapper, from
// there to the table, and in it for the key's ends, a word of prose took 29 ns, tokenizing included, in place of 20.
//
// The functions that make them are not inlined, for the compiler inlines nothing into a closure that it has inlined with the
// function around it.

// emitText returns the emit function for keys that are strings or byte slices, and values that own their memory.
//
//go:noinline
func (m *mapper[K, V]) emitText() func(K, V) {
	t, combine := m.table, m.table.combine
	return func(key K, v V) {
		text := *(*string)(unsafe.Pointer(&key))
		if m.aside || !roomy(text) {
			m.combine(text, key, v)
			return
		}
		first, last := roomyEnds(text)
		h := hashEnds(first, last)
		if len(text) > 16 {
			m.emitLong(h, first, last, text, key, v)
			return
		}
		s := &t.slots[h&t.mask]
		if s.is(first, last, len(text)) {
			t.adds++
			s.value = combine(s.value, v)
			return
		}
		m.combineHashed(h, first, last, text, len(text), key, v)
	}
}

// emitLong is emitText's function for keys of more than 16 bytes. It is a function of its own because a call amid the way of
// the short ones would have all their registers saved.
func (m *mapper[K, V]) emitLong(h, first, last uint64, text string, key K, v V) {
	t := m.table
	h = hashMiddle(h, text)
	s := &t.slots[h&t.mask]
	if s.is(first, last, len(text)) && t.sameKey(s, text) {
		t.adds++
		s.value = t.combine(s.value, v)
		return
	}
	m.combineHashed(h, first, last, text, len(text), key, v)
}

// emitWord returns the emit function for integer keys of 8 bytes. flip is what their encoding changes, see keyInt in package
// codec.
//
//go:noinline
func (m *mapper[K, V]) emitWord(flip uint64) func(K, V) {
	t, combine := m.table, m.table.combine
	return func(key K, v V) {
		word := bits.ReverseBytes64(*(*uint64)(unsafe.Pointer(&key)) ^ flip)
		h := hashEnds(word, word)
		s := &t.slots[h&t.mask]
		if s.is(word, word, 8) && t.keeper == nil && !m.aside {
			t.adds++
			s.value = combine(s.value, v)
			return
		}
		m.combineHashed(h, word, word, "", 8, key, v)
	}
}
