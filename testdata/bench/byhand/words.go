package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"math/bits"
	"strconv"
)

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
	mix   = 0x9e3779b97f4a7c15
)

// letters has bit i set where byte i of 64 is an ASCII letter. Eight bytes are looked at in one word: adding to seven bits
// moves those from 'a' up, or from after 'z' up, past 0x7f, and a multiplication gathers the eight high bits.
func letters(b *[64]byte) (mask uint64) {
	for i := 0; i < 64; i += 8 {
		w := binary.LittleEndian.Uint64(b[i:])
		low := (w | 0x20*ones) & (0x7f * ones)
		is := (low + (0x80-'a')*ones) &^ (low + (0x7f-'z')*ones) &^ w & highs
		mask |= (is >> 7) * 0x0102040810204080 >> 56 << i
	}
	return mask
}

// shortWords counts words of at most 8 letters, which are their own keys.
type shortWords struct {
	slots []shortWord
	shift int
	used  int
}

type shortWord struct{ key, n uint64 }

func newShortWords(bits int) *shortWords {
	return &shortWords{slots: make([]shortWord, 1<<bits), shift: 64 - bits}
}

func (t *shortWords) add(key, n uint64) {
	for i := key * mix >> t.shift; ; i++ {
		s := &t.slots[i&uint64(len(t.slots)-1)]
		if s.key == key {
			s.n += n
			return
		}
		if s.key == 0 {
			*s = shortWord{key, n}
			break
		}
	}
	if t.used++; t.used > len(t.slots)/2 {
		larger := newShortWords(64 - t.shift + 1)
		for _, s := range t.slots {
			if s.key != 0 {
				larger.add(s.key, s.n)
			}
		}
		*t = *larger
	}
}

// longWords counts the others.
type longWords struct {
	slots []longWord
	used  int
}

type longWord struct {
	first, hash uint64 // the first 8 bytes
	word        []byte
	n           int64
}

func (t *longWords) add(word []byte, n int64) {
	first := binary.LittleEndian.Uint64(word)
	hash := (first ^ uint64(len(word))) * mix
	for rest := word[8:]; len(rest) > 8; rest = rest[8:] {
		hash = (bits.RotateLeft64(hash, 31) ^ binary.LittleEndian.Uint64(rest)) * mix
	}
	hash = (bits.RotateLeft64(hash, 31) ^ binary.LittleEndian.Uint64(word[len(word)-8:])) * mix
	t.put(longWord{first, hash, word, n})
}

func (t *longWords) put(w longWord) {
	if t.used >= len(t.slots)/2 {
		old := t.slots
		*t = longWords{slots: make([]longWord, max(1<<17, 2*len(old)))}
		for _, s := range old {
			if s.word != nil {
				t.put(s)
			}
		}
	}
	for i := w.hash >> 32; ; i++ {
		s := &t.slots[i&uint64(len(t.slots)-1)]
		if s.first == w.first && s.hash == w.hash && bytes.Equal(s.word, w.word) {
			s.n += w.n
			return
		}
		if s.word == nil {
			*s = w
			t.used++
			return
		}
	}
}

type words struct {
	short *shortWords
	long  longWords
}

// count walks over 64 bytes at a time: a word is from where letters begin to where they end.
func (c *words) count(b []byte) {
	var padded [64]byte
	var before uint64 // 1 if the block before ends with a letter
	begin := -1       // of a word that is open
	for base := 0; base < len(b); base += 64 {
		block := &padded
		if base+64 <= len(b) {
			block = (*[64]byte)(b[base:])
		} else {
			copy(padded[:], b[base:])
		}
		mask := letters(block)
		edges := mask ^ (mask<<1 | before)
		before = mask >> 63
		if begin >= 0 && edges != 0 {
			c.word(b, begin, base+bits.TrailingZeros64(edges))
			edges &= edges - 1
			begin = -1
		}
		for edges != 0 {
			from := base + bits.TrailingZeros64(edges)
			if edges &= edges - 1; edges == 0 {
				begin = from
				break
			}
			to := base + bits.TrailingZeros64(edges)
			edges &= edges - 1
			if to-from <= 8 && from+8 <= len(b) {
				key := binary.LittleEndian.Uint64(b[from:]) & (^uint64(0) >> (64 - 8*uint(to-from)))
				t := c.short
				if s := &t.slots[key*mix>>t.shift&uint64(len(t.slots)-1)]; s.key == key {
					s.n++
				} else {
					t.add(key, 1)
				}
			} else {
				c.word(b, from, to)
			}
		}
	}
	if begin >= 0 {
		c.word(b, begin, len(b))
	}
}

// word counts any word.
func (c *words) word(b []byte, from, to int) {
	if to-from > 8 {
		c.long.add(b[from:to:to], 1)
		return
	}
	var key [8]byte
	copy(key[:], b[from:to])
	c.short.add(binary.LittleEndian.Uint64(key[:]), 1)
}

func wordcount(data []byte, out string) {
	pieces := chunks(data, 64)
	all := make([]words, workers())
	for i := range all {
		all[i].short = newShortWords(17)
	}
	parallel(len(pieces), func(w, task int) { all[w].count(pieces[task]) })
	total := &all[0]
	for _, o := range all[1:] {
		for _, s := range o.short.slots {
			if s.key != 0 {
				total.short.add(s.key, s.n)
			}
		}
		for _, s := range o.long.slots {
			if s.word != nil {
				total.long.put(s)
			}
		}
	}
	writeTo(out, total.write)
}

func (c *words) write(w *bufio.Writer) {
	var line []byte
	put := func(word []byte, n int64) {
		line = append(append(line[:0], word...), ',')
		line = append(strconv.AppendInt(line, n, 10), '\n')
		w.Write(line)
	}
	for _, s := range c.short.slots {
		if s.key != 0 {
			put(binary.LittleEndian.AppendUint64(nil, s.key)[:8-bits.LeadingZeros64(s.key)/8], int64(s.n))
		}
	}
	for _, s := range c.long.slots {
		if s.word != nil {
			put(s.word, s.n)
		}
	}
}
