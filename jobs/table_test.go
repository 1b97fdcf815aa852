package jobs

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// contents is what a table holds: its plain reference is a Go map, filled pair by pair.
func contents[V any](t *table[V]) map[string]V {
	out := map[string]V{}
	for i := range t.slots {
		if s := &t.slots[i]; s.size != 0 {
			out[string(t.appendKey(nil, s))] = s.value
		}
	}
	return out
}

// testKeys is a stream of keys of all lengths around those at which the table changes its way: 0, 4, 8, 16.
func testKeys(seed uint64, n, distinct int) []string {
	rng := rand.New(rand.NewPCG(seed, 1))
	pool := make([]string, distinct)
	for i := range pool {
		b := make([]byte, rng.IntN(28))
		for j := range b {
			b[j] = "\x00ab\xff"[rng.IntN(4)]
		}
		pool[i] = string(b)
	}
	keys := make([]string, n)
	for i := range keys {
		keys[i] = pool[int(float64(distinct)*rng.Float64()*rng.Float64())]
	}
	return keys
}

// The table equals a map for any keys and any limit: what is drained when it is full and what is left at the end sum up to
// the map's values, no key is twice in the table, and it stays within its limit.
func TestTableEqualsMap(t *testing.T) {
	t.Parallel()
	for _, limit := range []int64{1, 10_000, 100_000, 1 << 24} {
		for seed := range uint64(4) {
			tab := newTable(limit, Sum[int64], nil)
			got, want := map[string]int64{}, map[string]int64{}
			drain := func() {
				for k, n := range contents(tab) {
					got[k] += n
				}
				tab.reset()
			}
			for i, k := range testKeys(seed, 20_000, 3_000) {
				want[k] += int64(i)
				if tab.add(k, int64(i)) == full {
					drain()
					if tab.add(k, int64(i)) == full {
						t.Fatalf("limit %d: an empty table is full", limit)
					}
				}
				if minBytes := int64(minSlots*32 + 4096); tab.bytes() > max(limit, minBytes) {
					t.Fatalf("limit %d: the table holds %d bytes", limit, tab.bytes())
				}
			}
			if held := contents(tab); len(held) != tab.used {
				t.Errorf("limit %d: %d keys are in the table, %d of them distinct", limit, tab.used, len(held))
			}
			drain()
			if !maps.Equal(got, want) {
				t.Errorf("limit %d, seed %d: the table and the map differ", limit, seed)
			}
		}
	}
}

// addWord(w) is add of the 8 bytes of w, big endian: both may be used on one table.
func TestTableWordIsKey(t *testing.T) {
	t.Parallel()
	words, bytes := newTable(1<<20, Sum[int64], nil), newTable(1<<20, Sum[int64], nil)
	rng := rand.New(rand.NewPCG(3, 3))
	for range 5_000 {
		w := rng.Uint64N(500) << rng.UintN(56)
		words.addWord(w, 1)
		bytes.add(string(binary.BigEndian.AppendUint64(nil, w)), 1)
	}
	if !maps.Equal(contents(words), contents(bytes)) {
		t.Error("addWord and add differ")
	}
}

// The same as a fuzz test over raw bytes: the first byte of each piece is a key's length.
func FuzzTable(f *testing.F) {
	f.Add([]byte("\x01a\x01a\x09abcdefghi\x00"), uint16(100))
	f.Add([]byte(strings.Repeat("\x10abcdefghijklmnop", 100)), uint16(1))
	f.Fuzz(func(t *testing.T, data []byte, limit uint16) {
		tab := newTable(int64(limit), Sum[int64], nil)
		want, got := map[string]int64{}, map[string]int64{}
		for len(data) > 0 {
			n := min(int(data[0]), len(data)-1)
			key := string(data[1 : 1+n])
			data = data[1+n:]
			want[key]++
			if tab.add(key, 1) == full {
				for k, n := range contents(tab) {
					got[k] += n
				}
				tab.reset()
				tab.add(key, 1)
			}
		}
		for k, n := range contents(tab) {
			got[k] += n
		}
		if !maps.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}

// closePair writes what AppendPair writes, at every size of header.
func TestClosePairEqualsAppendPair(t *testing.T) {
	t.Parallel()
	sizes := []int{0, 1, 125, 126, 127, 128, 129, 16_382, 16_383, 16_384, 16_385, 70_000, 1 << 21}
	if testing.Short() { // one goroutine: under the race detector the longest, whose varint is of four bytes, costs ten seconds
		sizes = sizes[:len(sizes)-1]
	}
	for _, k := range sizes {
		for _, v := range sizes {
			key, value := slices.Repeat([]byte{'k'}, k), slices.Repeat([]byte{'v'}, v)
			before := []byte("before")
			buf := append(slices.Clone(before), 0, 0)
			buf = append(buf, key...)
			middle := len(buf)
			buf = closePair(append(buf, value...), len(before), middle)
			if want := AppendPair(slices.Clone(before), key, value); !slices.Equal(buf, want) {
				t.Fatalf("key of %d bytes, value of %d: got %d bytes, want %d", k, v, len(buf), len(want))
			}
		}
	}
}

// The gate closes when most keys came only once, and opens again by itself.
func TestGate(t *testing.T) {
	t.Parallel()
	var g gate
	if g.full(10, 100); g.closed() {
		t.Error("closed though the table shrinks the data tenfold")
	}
	g.full(90, 100)
	passed := 0
	for g.closed() {
		passed++
	}
	if passed != 800 {
		t.Errorf("%d pairs passed, want 800", passed)
	}
}

// Once the table has its size, a pair costs no allocation: neither a known key, nor a new one after a reset.
func TestTableAllocatesNothing(t *testing.T) {
	tab := newTable(1<<20, Sum[int64], nil)
	keys := testKeys(1, 2000, 400)
	fill := func() {
		for i, k := range keys {
			tab.add(k, 1)
			tab.addWord(uint64(i%100), 1)
		}
	}
	fill()
	if n := testing.AllocsPerRun(10, func() { tab.reset(); fill() }); n != 0 {
		t.Errorf("%v allocations per %d pairs", n, len(keys))
	}
}

// prose is text of about n bytes, whose words are spread as in a natural language.
func prose(n int) string {
	rng := rand.New(rand.NewPCG(7, 7))
	zipf := rand.NewZipf(rng, 1.2, 4, 20_000)
	words := make([]string, 20_001)
	for i := range words {
		b := make([]byte, 2+min(rng.IntN(9), i/20))
		for j := range b {
			b[j] = "etaoinshrdlucmfwypvbgkjqxz"[min(rng.IntN(26), rng.IntN(26))]
		}
		words[i] = string(b)
	}
	var b strings.Builder
	for b.Len() < n {
		for range 12 {
			b.WriteString(words[zipf.Uint64()])
			b.WriteByte(' ')
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// BenchmarkTable compares the table with a Go map on the words of prose and on integers.
func BenchmarkTable(b *testing.B) {
	text := prose(4 << 20)
	words := strings.Fields(text)
	b.Run("words/table", func(b *testing.B) {
		b.SetBytes(int64(len(text)))
		b.ReportAllocs()
		tab := newTable(1<<24, Sum[int64], nil)
		for b.Loop() {
			for _, w := range words {
				tab.add(w, 1)
			}
		}
	})
	b.Run("words/map", func(b *testing.B) {
		b.SetBytes(int64(len(text)))
		b.ReportAllocs()
		m := map[string]int64{}
		for b.Loop() {
			for _, w := range words {
				m[w] += 1
			}
		}
	})
	for _, distinct := range []uint64{1_000, 1_000_000} {
		b.Run(fmt.Sprintf("ints-%d/table", distinct), func(b *testing.B) {
			b.SetBytes(8)
			b.ReportAllocs()
			tab := newTable(1<<26, Sum[int64], nil)
			i := uint64(0)
			for b.Loop() {
				i += 0x9e3779b97f4a7c15
				tab.addWord(i%distinct, 1)
			}
		})
	}
}

// BenchmarkClosePair compares encoding a pair in place with encoding its parts elsewhere and copying them.
func BenchmarkClosePair(b *testing.B) {
	key, value := []byte("0123456789"), slices.Repeat([]byte{'v'}, 90)
	buf := make([]byte, 0, batchBytes)
	b.Run("in place", func(b *testing.B) {
		b.SetBytes(100)
		b.ReportAllocs()
		for b.Loop() {
			buf = append(append(buf[:0], 0, 0), key...)
			middle := len(buf)
			buf = closePair(append(buf, value...), 0, middle)
		}
	})
	b.Run("append", func(b *testing.B) {
		b.SetBytes(100)
		b.ReportAllocs()
		var k, v []byte
		for b.Loop() {
			k, v = append(k[:0], key...), append(v[:0], value...)
			buf = AppendPair(buf[:0], k, v)
		}
	})
}
