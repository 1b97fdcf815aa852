package shuffle

import (
	"bytes"
	"cmp"
	"container/heap"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/jobs"
)

// The partition of a key is part of the output format: a job's parts depend on it for ever.
func TestHashPartitionGolden(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		key  string
		n    int
		want uint32
	}{
		{"", 7, 5}, {"a", 7, 0}, {"millrace", 7, 5}, {"the", 1000, 906}, {"\x00\x00\x00\x00\x00\x00\x00\x01", 1000, 691}, {"any", 1, 0},
	} {
		if got := hashPartition([]byte(c.key), c.n); got != c.want {
			t.Errorf("hashPartition(%q, %d) = %d, want %d", c.key, c.n, got, c.want)
		}
	}
}

// Hashing spreads keys evenly: no partition is a tenth off.
func TestHashPartitionSpread(t *testing.T) {
	t.Parallel()
	counts := make([]int, 64)
	for i := range 128_000 {
		counts[hashPartition(fmt.Appendf(nil, "key%d", i), 64)]++
	}
	if lo, hi := slices.Min(counts), slices.Max(counts); lo < 1_800 || hi > 2_200 {
		t.Errorf("between %d and %d keys in a partition, want about 2,000", lo, hi)
	}
}

// Walking through sorted keys, bounds give what comparing every bound with every key gives, for all short keys over a small
// alphabet, whether the walk saw all keys before or only a few.
func TestBoundsPartition(t *testing.T) {
	t.Parallel()
	var keys [][]byte
	var grow func(key []byte)
	grow = func(key []byte) {
		keys = append(keys, bytes.Clone(key))
		if len(key) < 3 {
			for _, c := range []byte{0, 'a', 0xff} {
				grow(append(bytes.Clone(key), c))
			}
		}
	}
	grow(nil)
	grow([]byte("12345678"))
	grow([]byte("1234567"))
	slices.SortFunc(keys, bytes.Compare)
	keys = slices.CompactFunc(keys, bytes.Equal)
	b, all := newBounds(keys), keys
	for _, key := range keys {
		all = append(all, append(bytes.Clone(key), 'b'))
	}
	slices.SortFunc(all, bytes.Compare)
	for step := range 7 {
		last := 0
		for i := 0; i < len(all); i += step + 1 {
			want := 0
			for _, k := range keys {
				if bytes.Compare(k, all[i]) <= 0 {
					want++
				}
			}
			if last = b.from(last, all[i], prefix(all[i])); last != want {
				t.Errorf("key %q: partition %d, want %d", all[i], last, want)
			}
		}
	}
}

// The prefix of a key is the same whether its bytes lie among others or alone.
func TestShortPrefix(t *testing.T) {
	t.Parallel()
	data := []byte("\x01\xff\x80\x00\x7fabcdefgh")
	for n := range len(data) + 1 {
		if got, want := shortPrefix(binary.BigEndian.Uint64(data), n), prefix(data[:n]); got != want {
			t.Errorf("%d bytes: %x, want %x", n, got, want)
		}
	}
}

// makeEntries encodes pairs into batches and indexes them.
func makeEntries(t testing.TB, pairs []pair, partitions int) ([]entry, [][]byte) {
	t.Helper()
	w := &Writer{o: WriterOptions{Partitions: partitions}, maxPair: 1 << 30, partitionBits: partitionBits(partitions)}
	w.entries = make([]entry, 0, len(pairs)+1)
	for chunk := range slices.Chunk(pairs, 1000) {
		b := jobs.Pairs{Count: len(chunk)}
		for _, p := range chunk {
			b.Data = jobs.AppendPair(b.Data, []byte(p.key), []byte(p.value))
		}
		w.batches = append(w.batches, b.Data)
		if reached, n, err := w.index(b, uint32(len(w.batches)-1), 0, 0); err != nil || n != len(chunk) || reached != len(b.Data) {
			t.Fatalf("index: %d of %d pairs, %v", n, len(chunk), err)
		}
	}
	return w.entries, w.batches
}

// The radix sort gives what a stable comparison sort gives, for sizes around its thresholds, few and many partitions, and
// keys with common prefixes and repeats.
func TestSortEqualsReference(t *testing.T) {
	t.Parallel()
	for _, partitions := range []int{1, 2, 256, 257, 70_000} {
		for _, n := range []int{0, 1, 2, smallBucket, smallBucket + 1, 300, manyEntries, 3 * manyEntries} {
			entries, data := makeEntries(t, randomPairs(uint64(n), n), partitions)
			want := slices.Clone(entries)
			sortReference(want, data)
			sortEntries(entries, make([]entry, n), data)
			if !slices.Equal(entries, want) {
				t.Fatalf("%d entries, %d partitions: not the reference's order", n, partitions)
			}
		}
	}
}

// Any bytes as keys sort as the reference sorts them: the input is cut into keys at its first byte.
func FuzzSort(f *testing.F) {
	f.Add([]byte(",a,ab,,b,a,aaaaaaaa,aaaaaaaa\x00,aaaaaaaab"), uint8(3))
	f.Fuzz(func(t *testing.T, data []byte, partitions uint8) {
		if len(data) == 0 {
			return
		}
		var pairs []pair
		for key := range bytes.SplitSeq(data[1:], data[:1]) {
			pairs = append(pairs, pair{key: string(key)}, pair{key: string(key) + "12345678"}, pair{key: "12345678" + string(key)})
		}
		entries, batches := makeEntries(t, pairs, int(partitions)+1)
		want := slices.Clone(entries)
		sortReference(want, batches)
		sortEntries(entries, make([]entry, len(entries)), batches)
		if !slices.Equal(entries, want) {
			t.Error("not the reference's order")
		}
	})
}

// A number has one accepted encoding, and decodes as encoding/binary decodes it.
func FuzzUvarint(f *testing.F) {
	f.Add([]byte{0x80, 0x01})
	f.Add(bytes.Repeat([]byte{0xff}, 10))
	f.Fuzz(func(t *testing.T, b []byte) {
		v, n := uvarint(b)
		want, m := binary.Uvarint(b)
		if m > 0 && len(binary.AppendUvarint(nil, want)) != m {
			m = -1 // not the shortest form
		}
		if (n > 0) != (m > 0) || n > 0 && (v != want || n != m) {
			t.Errorf("%x: %d, %d; want %d, %d", b, v, n, want, m)
		}
	})
}

// blocksOf is a blockSource over given blocks.
type blocksOf [][]byte

func (b *blocksOf) next([]byte) ([]byte, error) {
	if len(*b) == 0 {
		return nil, io.EOF
	}
	block := (*b)[0]
	*b = (*b)[1:]
	return block, nil
}

// sortedBlocks encodes sorted pairs in blocks of at most n pairs.
func sortedBlocks(pairs []pair, n int) *blocksOf {
	var out blocksOf
	for chunk := range slices.Chunk(pairs, n) {
		var block []byte
		for i, p := range chunk {
			if i > 0 && p.key == chunk[i-1].key {
				block = jobs.AppendSame(block, []byte(p.value))
			} else {
				block = jobs.AppendPair(block, []byte(p.key), []byte(p.value))
			}
		}
		out = append(out, block)
	}
	return &out
}

// Merging k sources gives the stable sort of their concatenation, for any k and any block size, also with empty sources;
// the pairs marked as of the same key are exactly those.
func TestMergeEqualsReference(t *testing.T) {
	t.Parallel()
	var m merger
	for _, k := range []int{0, 1, 2, 3, 5, 8, 33, 100} {
		for _, blockPairs := range []int{1, 7, 1000} {
			var all []pair
			for i := range k {
				all = append(all, randomPairs(uint64(i), i*37%100)...)
			}
			open := func() (sources []blockSource) {
				for i := range k {
					part := reference(randomPairs(uint64(i), i*37%100), func(pair) int { return 0 })
					sources = append(sources, sortedBlocks(part, blockPairs))
				}
				return sources
			}
			want := reference(all, func(pair) int { return 0 })
			for _, limit := range []int{1, 100, 1 << 20} {
				m.reset(open())
				if got, err := fillAll(&m, limit); err != nil || !slices.Equal(got, want) {
					t.Fatalf("%d sources, limit %d: got %d pairs, %v; want %d", k, limit, len(got), err, len(want))
				}
			}
		}
	}
}

// fillAll merges into batches of up to limit bytes and decodes them. It checks the batches' sizes, what fill tells of them,
// and that exactly the pairs of the same key as the one before are marked so.
func fillAll(m *merger, limit int) (out []pair, err error) {
	for more := true; more; {
		var batch []byte
		if batch, more, _, err = m.fill(make([]byte, 0, limit), limit); err != nil {
			return out, err
		}
		var key, value []byte
		n := 0
		for rest := batch; len(rest) > 0; n++ {
			same := rest[0] == 0 || n == 0 && m.joins
			if key, value, rest, err = jobs.CutPair(rest, key); err != nil {
				return out, err
			}
			if same != (len(out) > 0 && out[len(out)-1].key == string(key)) {
				return out, fmt.Errorf("pair %d, %q: same is %v", len(out), key, same)
			}
			out = append(out, pair{key: string(key), value: string(value)})
		}
		if len(batch) > limit && n > 1 || n != m.pairs || more && n == 0 {
			return out, fmt.Errorf("%d pairs, said to be %d, in a batch of %d bytes", n, m.pairs, len(batch))
		}
	}
	return out, nil
}

// A source's error, or a block that holds no pairs, ends the merge with that source's number.
func TestMergeErrors(t *testing.T) {
	t.Parallel()
	good := func() blockSource { return sortedBlocks([]pair{{key: "a"}, {key: "b"}, {key: "c"}}, 1) }
	broken := errors.New("broken")
	for name, bad := range map[string]blockSource{
		"error":      &failAfter{sortedBlocks([]pair{{key: "b"}}, 1), broken},
		"header 0":   &blocksOf{{0, 0}},
		"cut key":    &blocksOf{{9, 0, 'x'}},
		"cut value":  &blocksOf{{2, 9, 'x'}},
		"cut header": &blocksOf{{0x80}},
	} {
		var m merger
		m.reset([]blockSource{good(), bad, good()})
		more, source, err := true, 0, error(nil)
		for more && err == nil {
			_, more, source, err = m.fill(nil, 1)
		}
		if more {
			t.Errorf("%s: there is more after an error", name)
		}
		if source != 1 || !errors.Is(err, broken) && !errors.Is(err, jobs.ErrPairs) {
			t.Errorf("%s: source %d, error %v", name, source, err)
		}
	}
}

type failAfter struct {
	blockSource
	err error
}

func (f *failAfter) next(buf []byte) ([]byte, error) {
	b, err := f.blockSource.next(buf)
	if err != nil {
		return nil, f.err
	}
	return b, nil
}

// record writes the i-th pair of the benchmarks: a key of 10 random bytes and a value of 88, 100 bytes encoded.
func record(r *rand.ChaCha8, key []byte) []byte {
	binary.BigEndian.PutUint64(key, r.Uint64())
	binary.BigEndian.PutUint16(key[8:], uint16(r.Uint64()))
	return key
}

// BenchmarkWriter sorts 100-byte pairs and writes the run to nowhere: all in memory, and with eight times too little.
func BenchmarkWriter(b *testing.B) {
	for _, c := range []struct {
		name   string
		memory int64
	}{{"memory", 256 << 20}, {"spill", 16 << 20}} {
		b.Run(c.name, func(b *testing.B) {
			const n = 1 << 20
			batch := make([]byte, 0, n*100)
			r, key, value := rand.NewChaCha8([32]byte{}), make([]byte, 10), make([]byte, 88)
			for range n {
				batch = jobs.AppendPair(batch, record(r, key), value)
			}
			dir := b.TempDir()
			b.SetBytes(n * 100)
			b.ReportAllocs()
			for b.Loop() {
				w, err := NewWriter(WriterOptions{Partitions: 64, Memory: c.memory, Dir: dir})
				if err != nil {
					b.Fatal(err)
				}
				p, err := w.Put(jobs.Pairs{})
				for rest := batch; len(rest) > 0 && err == nil; {
					size := min(len(rest), cap(p.Data)/100*100)
					p.Data, p.Count, rest = append(p.Data, rest[:size]...), size/100, rest[size:]
					p, err = w.Put(p)
				}
				if err != nil {
					b.Fatal(err)
				}
				if _, err := w.Finish(b.Context(), io.Discard); err != nil {
					b.Fatal(err)
				}
				w.Close()
			}
		})
	}
}

// BenchmarkWriteEntries writes 32 MB of sorted pairs that lie in the order of arrival, as a map attempt over a split does.
func BenchmarkWriteEntries(b *testing.B) {
	const n = 320_000
	r, key, value := rand.NewChaCha8([32]byte{}), make([]byte, 10), string(make([]byte, 88))
	pairs := make([]pair, n)
	for i := range pairs {
		pairs[i] = pair{key: string(record(r, key)), value: value}
	}
	entries, data := makeEntries(b, pairs, 16)
	sortEntries(entries, make([]entry, n), data)
	w := &Writer{o: WriterOptions{Partitions: 16}, maxPair: 1 << 20, partitionBits: 4, entries: entries, batches: data}
	b.SetBytes(n * 100)
	b.ReportAllocs()
	for b.Loop() {
		to := w.newSink(io.Discard, 256<<10)
		if err := w.writeEntries(to); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkSort sorts entries with random 10-byte keys in 64 partitions, for sizes that leave the radix sort's buckets of
// different lengths.
func BenchmarkSort(b *testing.B) {
	sorts := map[string]func(e, scratch []entry, data [][]byte){
		"radix": sortEntries,
		"sortfunc": func(e, _ []entry, data [][]byte) {
			slices.SortFunc(e, func(a, b entry) int {
				if a.word != b.word {
					return cmp.Compare(a.word, b.word)
				}
				return cmp.Or(bytes.Compare(a.key(data), b.key(data)), cmp.Compare(a.ref, b.ref))
			})
		},
	}
	for _, n := range []int{100_000, 250_000, 500_000, 1_000_000} {
		r, key := rand.NewChaCha8([32]byte{}), make([]byte, 10)
		pairs := make([]pair, n)
		for i := range pairs {
			pairs[i] = pair{key: string(record(r, key)), value: "value"}
		}
		entries, data := makeEntries(b, pairs, 64)
		work, scratch := slices.Clone(entries), make([]entry, n)
		for name, sort := range sorts {
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) {
				b.SetBytes(int64(n) * entryBytes)
				b.ReportAllocs()
				for b.Loop() {
					copy(work, entries)
					sort(work, scratch, data)
				}
			})
		}
	}
}

// mergeReference is the plain version of merger: container/heap over the cursors.
type mergeReference struct {
	cursors []*cursor
	order   []int // of the cursors, as sources
}

func (m *mergeReference) Len() int { return len(m.cursors) }
func (m *mergeReference) Less(i, j int) bool {
	c := bytes.Compare(m.cursors[i].keyBytes(), m.cursors[j].keyBytes())
	return c < 0 || c == 0 && m.order[i] < m.order[j]
}
func (m *mergeReference) Swap(i, j int) {
	m.cursors[i], m.cursors[j] = m.cursors[j], m.cursors[i]
	m.order[i], m.order[j] = m.order[j], m.order[i]
}
func (m *mergeReference) Push(any) {}
func (m *mergeReference) Pop() any {
	n := len(m.cursors) - 1
	m.cursors, m.order = m.cursors[:n], m.order[:n]
	return nil
}

// merge calls yield for each pair in order.
func (m *mergeReference) merge(sources []blockSource, yield func(key, value []byte)) error {
	for i, s := range sources {
		c := &cursor{source: s}
		if err := c.advance(); err != nil {
			return err
		}
		if !c.done {
			m.cursors, m.order = append(m.cursors, c), append(m.order, i)
		}
	}
	heap.Init(m)
	for len(m.cursors) > 0 {
		c := m.cursors[0]
		yield(c.keyBytes(), c.valueBytes())
		if err := c.advance(); err != nil {
			return err
		}
		if c.done {
			heap.Pop(m)
		} else {
			heap.Fix(m, 0)
		}
	}
	return nil
}

// The tree of losers yields what a heap yields, for sources of any sizes over few keys.
func FuzzMerge(f *testing.F) {
	f.Add([]byte("abc|aab||cc|\x00\x00|aaaaaaaaaaaaa"))
	f.Fuzz(func(t *testing.T, data []byte) {
		open := func() (sources []blockSource) {
			for part := range bytes.SplitSeq(data, []byte("|")) {
				var pairs []pair
				for i, c := range part {
					pairs = append(pairs, pair{key: "12345678" + strings.Repeat(string(c), int(c%3)), value: fmt.Sprint(len(sources), i)})
				}
				sources = append(sources, sortedBlocks(reference(pairs, func(pair) int { return 0 }), 3))
			}
			return sources
		}
		var want []pair
		if err := new(mergeReference).merge(open(), func(key, value []byte) {
			want = append(want, pair{key: string(key), value: string(value)})
		}); err != nil {
			t.Fatal(err)
		}
		var m merger
		for _, limit := range []int{1, 20, 1000} {
			m.reset(open())
			if got, err := fillAll(&m, limit); err != nil || !slices.Equal(got, want) {
				t.Errorf("limit %d: got %v, %v; want %v", limit, got, err, want)
			}
		}
	})
}

// BenchmarkMerge merges 100-byte pairs out of k sources in memory, with the tree and with container/heap.
func BenchmarkMerge(b *testing.B) {
	for _, k := range []int{2, 16, 256} {
		const n = 1 << 18
		r, key := rand.NewChaCha8([32]byte{}), make([]byte, 10)
		value := string(make([]byte, 88))
		var sources []*blocksOf
		for range k {
			part := make([]pair, n/k)
			for i := range part {
				part[i] = pair{key: string(record(r, key)), value: value}
			}
			sources = append(sources, sortedBlocks(reference(part, func(pair) int { return 0 }), 2600))
		}
		open := func() (in []blockSource) {
			for _, s := range sources {
				view := *s
				in = append(in, &view)
			}
			return in
		}
		b.Run(fmt.Sprintf("tree/%d", k), func(b *testing.B) {
			b.SetBytes(n * 100)
			b.ReportAllocs()
			var m merger
			batch := make([]byte, 0, 256<<10)
			for b.Loop() {
				m.reset(open())
				for more, err := true, error(nil); more; {
					if batch, more, _, err = m.fill(batch[:0], 256<<10); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
		b.Run(fmt.Sprintf("heap/%d", k), func(b *testing.B) {
			b.SetBytes(n * 100)
			b.ReportAllocs()
			for b.Loop() {
				batch := make([]byte, 0, 256<<10)
				if err := new(mergeReference).merge(open(), func(key, value []byte) {
					if len(batch) > 255<<10 {
						batch = batch[:0]
					}
					batch = jobs.AppendPair(batch, key, value)
				}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
