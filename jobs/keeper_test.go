package jobs

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/jobs/internal/codec"
)

// tableOf is a combine table as a map attempt makes it.
func tableOf[V any](t testing.TB, limit int64, combine func(a, b V) V) *table[V] {
	t.Helper()
	c, err := codec.Value(reflect.TypeFor[V]())
	if err != nil {
		t.Fatal(err)
	}
	return newTable(limit, combine, newKeeper[V](c))
}

// feed puts pairs into a table as a mapper does, and returns what was drained, joined by key, and the most bytes that the
// table held.
func feed[V any](t testing.TB, tab *table[V], n int, pair func(i int) (string, V)) (got map[string]V, most int64) {
	t.Helper()
	got = map[string]V{}
	drain := func() {
		for k, v := range contents(tab) {
			if old, ok := got[k]; ok {
				v = tab.combine(old, v)
			}
			got[k] = v
		}
		tab.reset()
	}
	for i := range n {
		k, v := pair(i)
		if tab.add(k, v) == full {
			drain()
			if tab.add(k, v) == full {
				t.Fatalf("pair %d: an empty table is full", i)
			}
		}
		most = max(most, tab.bytes(), tab.bytes()-tab.held+leadTo(tab))
	}
	drain()
	return got, most
}

// leadTo is the bytes that a table's values lead to, counted one by one.
func leadTo[V any](tab *table[V]) (n int64) {
	for i := range tab.slots {
		if s := &tab.slots[i]; s.size != 0 && tab.keeper != nil {
			n += tab.keeper.size(s.value)
		}
	}
	return n
}

// Values that lead to memory are combined as a map would, for every limit, and the table stays within its limit, but for one
// value that was just combined: also when no new key comes, and the values alone grow.
func TestGrowingValuesStayWithinLimit(t *testing.T) {
	t.Parallel()
	const n = 2_000
	for _, keys := range []int{1, 3, 500} {
		for _, limit := range []int64{5_000, 20_000, 100_000} {
			rng := rand.New(rand.NewPCG(uint64(keys), uint64(limit)))
			pieces := make([]string, n)
			for i := range pieces {
				pieces[i] = fmt.Sprintf("%010d", rng.Uint32())[:1+rng.IntN(10)]
			}
			want := map[string]string{}
			for i, p := range pieces {
				want[fmt.Sprint("key ", i%keys)] += p
			}
			check := func(kind string, got map[string]string, most int64) {
				t.Helper()
				if !maps.Equal(got, want) {
					t.Errorf("%s, %d keys, limit %d: the values differ from a map's", kind, keys, limit)
				}
				if most > limit+minSlots*48+4096+64 {
					t.Errorf("%s, %d keys, limit %d: the table held %d bytes", kind, keys, limit, most)
				}
			}
			tab := tableOf(t, limit, func(a, b string) string { return a + b })
			got, most := feed(t, tab, n, func(i int) (string, string) { return fmt.Sprint("key ", i%keys), pieces[i] })
			check("strings", got, most)

			lists := tableOf(t, limit, func(a, b []byte) []byte { return append(a, b...) })
			raw, most := feed(t, lists, n, func(i int) (string, []byte) { return fmt.Sprint("key ", i%keys), []byte(pieces[i]) })
			text := map[string]string{}
			for k, v := range raw {
				text[k] = string(v)
			}
			check("bytes", text, most)
		}
	}
}

// Large values of ever new keys fill the table too.
func TestLargeValuesStayWithinLimit(t *testing.T) {
	t.Parallel()
	value := strings.Repeat("v", 1_000)
	tab := tableOf(t, 20_000, Max[string])
	got, most := feed(t, tab, 200, func(i int) (string, string) { return fmt.Sprint("key ", i), value[i:] })
	if len(got) != 200 || most > 20_000 {
		t.Errorf("%d keys, at most %d bytes", len(got), most)
	}
	if got["key 7"] != value[7:] {
		t.Errorf("a value of %d bytes came back with %d", len(value[7:]), len(got["key 7"]))
	}
}

// A kept value shares no memory with what the map function emitted, whichever argument the combiner returns, nor do two keys
// share any; a number or a struct of numbers needs no keeper.
func TestKeeperCopies(t *testing.T) {
	t.Parallel()
	type row struct {
		Tags []string
		Next *int
	}
	for name, combine := range map[string]func(a, b row) row{
		"first": func(a, _ row) row { return a }, "second": func(_, b row) row { return b },
		"woven": func(a, b row) row { return row{append(a.Tags, b.Tags...), b.Next} },
	} {
		tab := tableOf(t, 1<<20, combine)
		n, tags := 7, []string{"x", "y"}
		for range 3 {
			for _, key := range []string{"a", "b"} {
				tab.add(key, row{tags, &n})
			}
		}
		before := fmt.Sprint(contents(tab)["a"].Tags, *contents(tab)["a"].Next)
		tags[0], n = "changed", 8
		held := contents(tab)
		if after := fmt.Sprint(held["a"].Tags, *held["a"].Next); after != before {
			t.Errorf("%s: %s became %s", name, before, after)
		}
		held["b"].Tags[0] = "b's own"
		if held["a"].Tags[0] != "x" || &held["a"].Tags[0] == &held["b"].Tags[0] {
			t.Errorf("%s: two keys share a value", name)
		}
	}
	if tableOf(t, 1, Sum[int64]).keeper != nil || tableOf(t, 1, func(a, b struct{ X, Y float64 }) struct{ X, Y float64 } { return a }).keeper != nil {
		t.Error("plain values have a keeper")
	}
}

// linesIn cuts text into blocks of so many lines, each with its offset.
func linesIn(text string, lines int) *blockList {
	list, at := &blockList{}, int64(0)
	for chunk := range slices.Chunk(slices.Collect(strings.Lines(text)), lines) {
		data := strings.Join(chunk, "")
		*list = append(*list, Block{URL: "u", Offset: at, Data: []byte(data)})
		at += int64(len(data))
	}
	return list
}

type blockList []Block

func (b *blockList) Next() (Block, error) {
	if len(*b) == 0 {
		return (&repeatBlocks{}).Next()
	}
	first := (*b)[0]
	*b = (*b)[1:]
	return first, nil
}

// crossed keeps all that crosses.
type crossed struct {
	data  []byte
	sizes []int // of the batches
}

func (c *crossed) Put(b Pairs) (Pairs, error) {
	c.data = append(c.data, b.Data...)
	c.sizes = append(c.sizes, len(b.Data))
	return Pairs{Data: make([]byte, 0, batchBytes)}, nil
}

// What crosses depends on the records alone, not on where blocks end: byte for byte, batch by batch, with a table that is
// never full, one that fills and is drained, one whose gate closes and opens again, and none.
func TestBlocksDoNotShow(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	rng := rand.New(rand.NewPCG(11, 11))
	for i := range 30_000 {
		if i/5_000%2 == 0 { // the gate closes here, and opens there
			fmt.Fprintf(&b, "unique %d\n", i)
		} else {
			fmt.Fprintf(&b, "common %d\n", rng.IntN(50))
		}
	}
	text := b.String()
	job := jobOf(func(line string, emit func(string, int64)) error { emit(line, 1); return nil }, Combine(Sum[int64]))
	prog, err := job.Bind(nil)
	if err != nil {
		t.Fatal(err)
	}
	sizes := []int{30_000, 4_999, 100, 1}
	if testing.Short() { // one goroutine: under the race detector two sizes will do
		sizes = sizes[1:3]
	}
	for memory, least := range map[int64]int{-1: 30_000, 10_000: 15_001, 200_000: 15_001, 0: 15_050} {
		var want crossed
		for _, lines := range sizes {
			task, got := &Task{Reducers: 1, Memory: memory}, crossed{}
			if err := prog.Map(context.Background(), task, linesIn(text, lines), &got); err != nil {
				t.Fatal(err)
			}
			if want.data == nil {
				want = got
			}
			if string(got.data) != string(want.data) || !slices.Equal(got.sizes, want.sizes) {
				t.Errorf("memory %d: blocks of %d lines let %d bytes cross in %d batches, one block %d in %d",
					memory, lines, len(got.data), len(got.sizes), len(want.data), len(want.sizes))
			}
			if task.Records != 30_000 || task.Pairs != 30_000 {
				t.Errorf("memory %d, blocks of %d lines: %d records, %d pairs", memory, lines, task.Records, task.Pairs)
			}
		}
		if pairs := count(t, want.data); pairs < least || memory == 0 && pairs != least || memory == 10_000 && pairs > 29_000 {
			t.Errorf("memory %d: %d pairs crossed of %d with 15050 keys", memory, pairs, 30_000)
		}
	}
}

// count counts the pairs of a batch.
func count(t testing.TB, batch []byte) (n int) {
	t.Helper()
	for len(batch) > 0 {
		_, _, rest, err := CutPair(batch, nil)
		if err != nil {
			t.Fatal(err)
		}
		batch, n = rest, n+1
	}
	return n
}

// A key too long for the table passes it by, as do pairs while the gate is closed; all arrive.
func TestLongKeysPassTheTable(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("k", maxTableKey+1)
	job := jobOf(func(line string, emit func(string, int64)) error {
		emit(line, 1)
		emit(line[:maxTableKey], 1)
		return nil
	}, Combine(Sum[int64]))
	prog, err := job.Bind(nil)
	if err != nil {
		t.Fatal(err)
	}
	var out crossed
	if err := prog.Map(context.Background(), &Task{Reducers: 1, Memory: 1 << 20}, linesIn(strings.Repeat(long+"\n", 5), 2), &out); err != nil {
		t.Fatal(err)
	}
	sizes, rest := map[int]int{}, out.data
	for len(rest) > 0 {
		key, _, after, err := CutPair(rest, nil)
		if err != nil {
			t.Fatal(err)
		}
		sizes[len(key)]++
		rest = after
	}
	if want := (map[int]int{maxTableKey + 1: 5, maxTableKey: 1}); !maps.Equal(sizes, want) {
		t.Errorf("keys by their length %v, want %v", sizes, want)
	}
}

// The size that a keeper states is never below what a value leads to, however small its encoding is.
func TestKeeperSizeIsAnUpperBound(t *testing.T) {
	t.Parallel()
	type deep struct {
		Names [][]string
		Next  *[4]int64
	}
	c, err := codec.Value(reflect.TypeFor[deep]())
	if err != nil {
		t.Fatal(err)
	}
	k := newKeeper[deep](c)
	for _, n := range []int{0, 1, 10, 1000} {
		v := deep{Names: append(make([][]string, n), make([]string, n)), Next: new([4]int64)}
		held := int64(cap(v.Names))*24 + int64(n)*16 + 32
		if got := k.size(v); got < held {
			t.Errorf("%d elements: size %d, and the value leads to %d bytes", n, got, held)
		}
	}
}
