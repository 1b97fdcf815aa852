package jobs

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"syscall"
	"testing"

	"github.com/millrace/millrace/jobs/internal/codec"
)

// pairSink keeps what is put.
type pairSink struct {
	data       []byte
	partitions []uint32
	count      int
}

func (s *pairSink) Put(b Pairs) (Pairs, error) {
	s.data = append(s.data, b.Data...)
	s.partitions = append(s.partitions, b.Partitions...)
	s.count += b.Count
	return Pairs{Data: b.Data[:0], Partitions: b.Partitions[:0]}, nil
}

// emitted is what a map attempt makes of pairs that are emitted by the function that of chooses.
func emitted[K any](t *testing.T, keys []K, memory int64, of func(*mapper[K, int64]) func(K, int64), opts ...Option) *pairSink {
	t.Helper()
	code := MapReduce(func(string, func(K, int64)) error { return nil }, func(K, Values[int64], func(int)) error { return nil }, append(opts, Combine(Sum[int64]))...)
	if code.err != nil {
		t.Fatal(code.err)
	}
	sink := &pairSink{}
	m, err := code.program.(*typed[K, int64, int]).newMapper(&Task{Reducers: 3, Memory: memory}, sink)
	if err != nil {
		t.Fatal(err)
	}
	emit := of(m)
	for i, k := range keys {
		emit(k, int64(i))
	}
	if n := m.pairs(); n != int64(len(keys)) {
		t.Errorf("counted %d pairs, want %d", n, len(keys))
	}
	m.finish()
	return sink
}

// checkEmit compares an emit function with combine, which does the same for any pair, byte for byte.
func checkEmit[K any](t *testing.T, keys []K, memory int64, fast, plain func(*mapper[K, int64]) func(K, int64), opts ...Option) {
	t.Helper()
	got, want := emitted(t, keys, memory, fast, opts...), emitted(t, keys, memory, plain, opts...)
	if !slices.Equal(got.data, want.data) || !slices.Equal(got.partitions, want.partitions) || got.count != want.count {
		t.Errorf("memory %d: %d pairs differ from the plain way's %d", memory, got.count, want.count)
	}
}

func emitString(m *mapper[string, int64]) func(string, int64) { return m.emitText() }

func plainString(m *mapper[string, int64]) func(string, int64) {
	return func(k string, v int64) { m.combine(k, k, v) }
}

func emitSigned(m *mapper[int, int64]) func(int, int64) { return m.emitWord(1 << 63) }

func plainSigned(m *mapper[int, int64]) func(int, int64) {
	return func(k int, v int64) {
		m.combine(string(binary.BigEndian.AppendUint64(nil, uint64(k)^1<<63)), k, v)
	}
}

// The emit functions do what combine does, whether the table holds all keys, fills or gives up, with keys of all lengths, too
// long ones among them.
func TestEmitEqualsCombine(t *testing.T) {
	t.Parallel()
	long := string(make([]byte, maxTableKey+1))
	partition := Partition(func(k string, n int) int { return len(k) % n })
	for _, memory := range []int64{1, 3_000, 20_000, 1 << 24} {
		for seed := range uint64(3) {
			keys := testKeys(seed, 20_000, 3_000)
			keys[500], keys[700] = long, long
			checkEmit(t, keys, memory, emitString, plainString)
			checkEmit(t, keys, memory, emitString, plainString, partition)
			rng := rand.New(rand.NewPCG(seed, 2))
			numbers := make([]int, 20_000)
			for i := range numbers {
				numbers[i] = rng.IntN(1+rng.IntN(3_000)) - 700<<rng.IntN(40)
			}
			checkEmit(t, numbers, memory, emitSigned, plainSigned)
		}
	}
}

// Long keys of one length that differ only between their first and last 8 bytes stay apart: there the middle decides.
func TestEmitMiddles(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(7, 7))
	var keys []string
	want := map[string]int64{}
	values, err := codec.Value(reflect.TypeFor[int64]())
	if err != nil {
		t.Fatal(err)
	}
	for i := range 40_000 {
		keys = append(keys, fmt.Sprintf("the begin%07d and the end", rng.IntN(10_000)))
		want[keys[i]] += int64(i)
	}
	for _, memory := range []int64{20_000, 1 << 24} {
		for name, of := range map[string]func(*mapper[string, int64]) func(string, int64){"emit": emitString, "combine": plainString} {
			got := map[string]int64{}
			for rest := emitted(t, keys, memory, of).data; len(rest) > 0; {
				key, value, tail, err := CutPair(rest, nil)
				if err != nil {
					t.Fatal(err)
				}
				n, err := newCoder[int64](values).decode(value)
				if err != nil {
					t.Fatal(err)
				}
				got[string(key)] += n
				rest = tail
			}
			if !maps.Equal(got, want) {
				t.Errorf("%s, memory %d: %d keys, want %d with their sums", name, memory, len(got), len(want))
			}
		}
	}
}

func FuzzEmit(f *testing.F) {
	f.Add([]byte("\x01a\x01a\x09abcdefghi\x00"), uint16(100))
	f.Fuzz(func(t *testing.T, data []byte, memory uint16) {
		var keys []string
		for len(data) > 0 {
			n := min(int(data[0]), len(data)-1)
			keys = append(keys, string(data[1:1+n]))
			data = data[1+n:]
		}
		checkEmit(t, keys, int64(memory), emitString, plainString)
	})
}

// keyEnds and roomyEnds find what the plain way does for strings at every place of a page of memory beside which nothing can be
// read, and whatever surrounds the string.
func TestKeyEndsAtPageEnds(t *testing.T) {
	t.Parallel()
	size := syscall.Getpagesize()
	memory, err := syscall.Mmap(-1, 0, 3*size, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = syscall.Munmap(memory) }()
	page := memory[size : 2*size]
	for _, beside := range [][]byte{memory[:size], memory[2*size:]} {
		if err := syscall.Mprotect(beside, syscall.PROT_NONE); err != nil {
			t.Fatal(err)
		}
	}
	for i := range page {
		page[i] = byte(i*7 + 1)
	}
	for _, begin := range []int{0, 1, size - 40} {
		for i := begin; i <= size && i < begin+41; i++ {
			for n := 0; n <= 25 && i+n <= size; n++ {
				s := view(page[i : i+n])
				var wantFirst, wantLast [8]byte
				copy(wantFirst[max(0, 8-n):], s)
				copy(wantLast[:], s[max(n-8, 0):])
				for name, ends := range map[string]func(string) (uint64, uint64){"keyEnds": keyEnds, "slowEnds": slowEnds, "roomyEnds": roomyEnds} {
					if name == "roomyEnds" && !roomy(s) {
						continue
					}
					if first, last := ends(s); first != binary.LittleEndian.Uint64(wantFirst[:]) || last != binary.LittleEndian.Uint64(wantLast[:]) {
						t.Fatalf("%s of %d bytes at %d: got %#x and %#x, want %x and %x", name, n, i, first, last, wantFirst, wantLast)
					}
				}
			}
		}
	}
}

// BenchmarkEmit compares the emit function with the plain way, on the words of prose.
func BenchmarkEmit(b *testing.B) {
	var words []string
	text := prose(4 << 20)
	for word := range Words(text) {
		words = append(words, word)
	}
	for name, of := range map[string]func(*mapper[string, int64]) func(string, int64){"emit": emitString, "plain": plainString} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			m := &mapper[string, int64]{walk: walk{task: &Task{}}, table: newTable(1<<24, Sum[int64], nil)}
			emit := of(m)
			for b.Loop() {
				for _, w := range words {
					emit(w, 1)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(words)), "ns/word")
		})
	}
}
