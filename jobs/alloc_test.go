package jobs

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"reflect"
	"strings"
	"testing"
	"time"
)

// blockAllocs is what a block may cost on the heap: the closure around the map function, and what lines need of it.
const blockAllocs = 4

// mapAllocs is the allocations that a map attempt makes for each block after its first ones.
func mapAllocs(t *testing.T, job *Job, block []byte) float64 {
	t.Helper()
	prog, err := job.Bind(nil)
	if err != nil {
		t.Fatal(err)
	}
	measure := func(times int) float64 {
		return testing.AllocsPerRun(5, func() {
			in := &repeatBlocks{Block{URL: "u", Data: block}, times}
			if err := prog.Map(context.Background(), &Task{Reducers: 4}, in, &reuseSink{}); err != nil {
				t.Fatal(err)
			}
		})
	}
	const few, many = 2, 22
	return (measure(many) - measure(few)) / (many - few)
}

// jobOf is a job whose map function is m, and whose reduce function does nothing.
func jobOf[R, K, V any](m func(R, func(K, V)) error, opts ...Option) *Job {
	return New("job", m, func(K, Values[V], func(int)) error { return nil }, opts...)
}

// The whole way of a record through the map side costs no allocation: cutting it, the call, the emit, the key's and the
// value's encoding, the combine table or the batch; for every kind of record, key and partitioning.
func TestMapAllocatesNothing(t *testing.T) {
	type key struct {
		Host string
		At   time.Time
		N    int8
	}
	text := []byte(strings.Repeat("words of a line that are longer than eight bytes each: internationalization\r\n", 300))
	direct := func(line string, emit func(string, int64)) error {
		for word := range strings.FieldsSeq(line) {
			emit(word, int64(len(word)))
		}
		return nil
	}
	sum := Combine(Sum[int64])
	for name, job := range map[string]*Job{
		"string": jobOf(direct),
		"line":   jobOf(func(l Line, emit func(string, int64)) error { emit(l.Text, l.Offset); return nil }),
		"bytes": jobOf(func(l []byte, emit func([]byte, []byte)) error {
			emit(l[:10], l[10:])
			return nil
		}),
		"fixed": jobOf(func(r []byte, emit func([]byte, []byte)) error {
			emit(r[:2], r[2:])
			return nil
		}, FixedLength(11)),
		"partition": jobOf(direct, Partition(func(k string, n int) int { return len(k) % n })),
		"combine":   jobOf(direct, sum),
		"combine, partition": jobOf(direct, sum, Partition(func(k string, n int) int {
			return len(k) % n
		})),
		"combine, integers": jobOf(func(l string, emit func(int, int64)) error { emit(len(l), 1); return nil }, sum),
		"combine, unsigned": jobOf(func(l string, emit func(uint64, int64)) error { emit(uint64(len(l)), 1); return nil }, sum),
		"combine, bytes":    jobOf(func(l []byte, emit func([]byte, int64)) error { emit(l, 1); return nil }, sum),
		"combine, struct": jobOf(func(l string, emit func(key, int64)) error {
			emit(key{l, time.Unix(1, 0), 3}, 1)
			return nil
		}, sum),
		"combine, text": jobOf(func(l string, emit func(string, string)) error {
			emit(l[:3], l)
			return nil
		}, Combine(Max[string])),
	} {
		if n := mapAllocs(t, job, text); n > blockAllocs {
			t.Errorf("%s: %v allocations for each block of %d lines, want at most %d", name, n, bytes.Count(text, []byte("\n")), blockAllocs)
		}
	}
}

// Combining a sorted batch costs the same few allocations whatever its number of pairs.
func TestCombineAllocatesNothing(t *testing.T) {
	prog, err := jobOf(func(string, func(string, int64)) error { return nil }, Combine(Sum[int64])).Bind(nil)
	if err != nil {
		t.Fatal(err)
	}
	measure := func(pairs int) float64 {
		var batch []byte
		for i := range pairs {
			batch = AppendPair(batch, fmt.Appendf(nil, "key%09d", i/3), []byte{2})
		}
		out, task := make([]byte, 0, len(batch)), &Task{}
		return testing.AllocsPerRun(5, func() {
			if _, err := prog.Combine(t.Context(), task, batch, out); err != nil {
				t.Fatal(err)
			}
		})
	}
	if few, many := measure(3), measure(30_000); few != many {
		t.Errorf("%v allocations for 3 pairs, %v for 30000", few, many)
	}
}

// allocRow has a column of each way in which columns are filled.
type allocRow struct {
	S    string
	Raw  []byte
	Sum  [4]byte
	N    int64
	Half uint16
	F    float32
	On   bool
	At   time.Time
	In   struct{ X, Y string }
	Opt  *struct{ X *int8 }
	List []struct{ S string }
	Deep [][]*string
	Pair [2]bool
}

type keepRows struct{ batches, rows int }

func (k *keepRows) Put(c Columns) error {
	k.batches++
	k.rows += c.Rows
	return nil
}

// Once its buffers have grown, a row costs no allocation, whatever its columns; a batch costs those of its list of columns.
func TestRowsAllocateNothing(t *testing.T) {
	text := "text"
	full := allocRow{S: text, Raw: []byte{0xff}, List: []struct{ S string }{{"a"}, {"b"}}, Deep: [][]*string{{&text, nil}, nil}}
	full.Opt = &struct{ X *int8 }{}
	full.At = time.Unix(1, 0)
	empty := allocRow{At: time.Unix(1, 0)}
	plan, err := newRowPlan(reflect.TypeFor[allocRow]())
	if err != nil {
		t.Fatal(err)
	}
	sink := &keepRows{}
	w := newRowWriter[allocRow](plan, sink, &failed{}, new(int64), func() RecordError { return RecordError{} })
	fill := func(n int) func() {
		return func() {
			for range n {
				w.emit(full)
				w.emit(empty)
			}
			w.flush()
		}
	}
	fill(5_000)()
	few, many := testing.AllocsPerRun(5, fill(1)), testing.AllocsPerRun(5, fill(5_000))
	if few != many {
		t.Errorf("%v allocations for a batch of 2 rows, %v for one of 10000", few, many)
	}
	if want := 2*5_000*(1+6) + 2*6; sink.rows != want || sink.batches != 13 {
		t.Errorf("%d rows in %d batches, want %d in 13", sink.rows, sink.batches, want)
	}
}

// BenchmarkValues loops over the one value of a group, in a function that does not know whose values they are.
func BenchmarkValues(b *testing.B) {
	left := 0
	from := &stream[int64]{value: func() (int64, bool) { left--; return 5, left >= 0 }}
	for name, total := range map[string]func(Values[int64]) int64{"values": Total[int64], "seq": func(v Values[int64]) int64 { return totalOfSeq(v.All()) }} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				left = 1
				from.open++
				total(Values[int64]{from, from.open})
			}
		})
	}
}

// totalOfSeq is a reduce function's loop, which cannot see what it loops over.
//
//go:noinline
func totalOfSeq(ns iter.Seq[int64]) (sum int64) {
	for n := range ns {
		sum += n
	}
	return sum
}
