package jobs

import (
	"cmp"
	"slices"
)

// MaxHot is how many keys a reduce task names as those with the most pairs.
const MaxHot = 10

// HotKey is a key and how many pairs of it came to the reduce task: after combining, if the job combines.
type HotKey struct {
	Key   string // printable, at most some 200 bytes
	Pairs int64
}

// HotKeys finds the keys with the most pairs. Sorted pairs come key by key, so that no sketch is needed: a group that is no
// larger than the smallest of those kept costs one comparison. Of keys with as many pairs the first ones are kept. The zero value
// has none yet.
type HotKeys struct {
	least int64 // only a group with more pairs is to be added
	top   []hotKey
}

type hotKey struct {
	key   []byte // encoded, the beginning of a long one
	pairs int64
	order int64 // among those added
}

// hotKeyBytes is how much of an encoded key is kept until it is printed.
const hotKeyBytes = 1 << 10

// Add adds the encoded key of a group that has ended and how many pairs the group had.
func (h *HotKeys) Add(key []byte, pairs int64) {
	if pairs <= h.least {
		return
	}
	key = key[:min(len(key), hotKeyBytes)]
	at := 0
	if len(h.top) < MaxHot {
		h.top = append(h.top, hotKey{})
		at = len(h.top) - 1
	} else {
		for i, k := range h.top { // of the smallest the one that came last goes
			if k.pairs < h.top[at].pairs || k.pairs == h.top[at].pairs && k.order > h.top[at].order {
				at = i
			}
		}
	}
	order := int64(0)
	for _, k := range h.top {
		order = max(order, k.order+1)
	}
	h.top[at] = hotKey{append(h.top[at].key[:0], key...), pairs, order}
	if len(h.top) == MaxHot {
		h.least = pairs
		for _, k := range h.top {
			h.least = min(h.least, k.pairs)
		}
	}
}

// List returns the keys, those with the most pairs first.
func (h *HotKeys) List(print func([]byte) string) []HotKey {
	slices.SortFunc(h.top, func(a, b hotKey) int { return cmp.Or(cmp.Compare(b.pairs, a.pairs), cmp.Compare(a.order, b.order)) })
	var out []HotKey
	for _, k := range h.top {
		out = append(out, HotKey{clip(print(k.key), hotPrinted), k.pairs})
	}
	return out
}

// hotPrinted bounds a printed key, bytes.
const hotPrinted = 200
