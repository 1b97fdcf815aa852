package grep

import (
	"math/bits"
	"strings"
)

// maxSets bounds a needle that is not plain text: the bits of its masks.
const maxSets = 32

// needle is a series of bytes, each one of a set, and how to search for it: by those of its bytes that are rarest where they
// are one or two, with the library's search for a byte, at up to 20 GB/s; or in windows of its length from their ends, where
// a byte that may stand nowhere in the needle rules a whole window out.
//
// The second is BNDM of Navarro and Raffinot (A bit-parallel approach to suffix automata, 1998): bit i of a state says that
// what was read of the window, from its end, can stand in the needle so that it ends i bytes before the needle's end.
type needle struct {
	sets  []byteSet
	text  string       // if each set is of one byte
	masks *[256]uint32 // bit i: the byte may stand at len(sets)-1-i; nil for text longer than that
	tells int          // see step.tells

	windows bool   // search in windows
	at      int    // position of the byte to search for
	rare    []byte // what that byte may be
	second  int    // position of the byte to look at next, if rare is one byte
	other   byte   // that byte
}

func newNeedle(sets []byteSet) needle {
	n := needle{sets: sets}
	var text []byte
	for _, s := range sets {
		n.tells += 8 - bits.Len(uint(s.len()-1))
		if s.len() == 1 {
			text = append(text, s.bytes()...)
		}
	}
	if len(text) == len(sets) {
		n.text = string(text)
	}
	if len(sets) <= maxSets {
		n.masks = new([256]uint32)
		for i, s := range sets {
			for _, c := range s.bytes() {
				n.masks[c] |= 1 << (len(sets) - 1 - i)
			}
		}
	}
	n.aim(new([256]uint32))
	return n
}

// What a search costs, in nanoseconds: for each occurrence of the bytes searched for, for each byte that is passed over for
// each of them, and for each window.
const (
	costHit    = 8.0
	costPassed = 0.05
	costWindow = 3.0
)

// aim chooses how to search, by how often each byte was seen, and returns what the search for so many bytes costs.
func (n *needle) aim(seen *[256]uint32) float64 {
	total := 1.0
	for _, count := range seen {
		total += float64(count)
	}
	best := -1.0
	for i, s := range n.sets {
		if s.len() > 2 {
			continue
		}
		cost := 0.0
		for _, c := range s.bytes() {
			cost += float64(seen[c])*costHit + total*costPassed
		}
		if best < 0 || cost < best {
			n.at, n.rare, best = i, s.bytes(), cost
		}
	}
	n.aimSecond(seen)
	if n.masks == nil {
		return best
	}
	windows := total / float64(len(n.sets)) * costWindow
	if n.windows = best < 0 || windows < best; n.windows {
		return windows
	}
	return best
}

// aimSecond chooses a byte to look at beside the one that was found: the rarest, if there is another that can be but one.
func (n *needle) aimSecond(seen *[256]uint32) {
	n.second = n.at
	for i, s := range n.sets {
		if s.len() == 1 && i != n.at {
			if c := s.bytes()[0]; n.second == n.at || seen[c] < seen[n.other] {
				n.second, n.other = i, c
			}
		}
	}
	if n.second == n.at && len(n.rare) > 0 {
		n.other = n.rare[0]
	}
}

// find returns where the first occurrence in s begins that begins at from or later, -1 if there is none.
func (n *needle) find(s string, from int) int {
	switch {
	case n.windows:
		return n.findWindow(s, from)
	case len(n.rare) == 2:
		return n.findEither(s, from)
	}
	last := len(s) - len(n.sets) // where it may begin
	for i := from; i <= last; i++ {
		j := strings.IndexByte(s[i+n.at:last+n.at+1], n.rare[0])
		if j < 0 {
			return -1
		}
		if i += j; s[i+n.second] == n.other && n.is(s[i:i+len(n.sets)]) {
			return i
		}
	}
	return -1
}

// is reports whether s, of the needle's length, is an occurrence.
func (n *needle) is(s string) bool {
	if n.text != "" {
		return s == n.text
	}
	bit := uint32(1)
	for i := len(s) - 1; i >= 0; i-- {
		if n.masks[s[i]]&bit == 0 {
			return false
		}
		bit <<= 1
	}
	return true
}

// findEither is find where the rarest byte is one of two.
func (n *needle) findEither(s string, from int) int {
	last := len(s) - len(n.sets)
	if from > last {
		return -1
	}
	within := s[:last+n.at+1]
	one, other := indexFrom(within, n.rare[0], from+n.at), indexFrom(within, n.rare[1], from+n.at)
	for {
		i := min(one, other)
		if i == len(within) {
			return -1
		}
		if begin := i - n.at; n.is(s[begin : begin+len(n.sets)]) {
			return begin
		}
		if i == one {
			one = indexFrom(within, n.rare[0], i+1)
		} else {
			other = indexFrom(within, n.rare[1], i+1)
		}
	}
}

// indexFrom returns where c is in s from i on, len(s) if it is not.
func indexFrom(s string, c byte, i int) int {
	if j := strings.IndexByte(s[i:], c); j >= 0 {
		return i + j
	}
	return len(s)
}

// findWindow is find by windows.
func (n *needle) findWindow(s string, from int) int {
	size := len(n.sets)
	first := uint32(1) << (size - 1) // what was read can begin the needle
	masks := n.masks
	for i := from; i <= len(s)-size; {
		state, shift := ^uint32(0), size
		for j := size - 1; ; j-- {
			state &= masks[s[i+j]]
			if state == 0 {
				break
			}
			if state&first != 0 {
				if j == 0 {
					return i
				}
				shift = j
			}
			state <<= 1
		}
		i += shift
	}
	return -1
}
