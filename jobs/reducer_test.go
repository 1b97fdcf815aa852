package jobs_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/jobs/jobstest"
)

// batches is a PairSource over encoded batches, that ends with err or io.EOF.
type batches struct {
	list [][]byte
	err  error
}

func (b *batches) Next() ([]byte, error) {
	if len(b.list) == 0 {
		if b.err != nil {
			return nil, b.err
		}
		return nil, io.EOF
	}
	first := b.list[0]
	b.list = b.list[1:]
	return first, nil
}

// sorted encodes "key:n" pairs as sorted batches, a new one at every "|", with repeated keys left out where they may be.
func sorted(text string) *batches {
	var src batches
	for part := range strings.SplitSeq(text, "|") {
		var batch []byte
		prev, first := "", true
		for pair := range strings.FieldsSeq(part) {
			key, value, _ := strings.Cut(pair, ":")
			n := binary.AppendVarint(nil, int64(len(value)))
			if !first && key == prev {
				batch = jobs.AppendSame(batch, n)
			} else {
				batch = jobs.AppendPair(batch, []byte(key), n)
			}
			prev, first = key, false
		}
		src.list = append(src.list, batch)
	}
	return &src
}

// rowsOf keeps the rows put, and fails with err if it is set.
type rowsOf struct {
	schema jobs.Schema
	rows   []jobstest.Row
	sizes  []int // of the batches
	err    error
}

func (r *rowsOf) Put(c jobs.Columns) error {
	if r.err != nil {
		return r.err
	}
	rows, err := jobstest.Decode(r.schema, c)
	r.rows, r.sizes = append(r.rows, rows...), append(r.sizes, c.Rows)
	return err
}

// reduce runs a reduce function over sorted(text).
func reduce[Out any](t *testing.T, in jobs.PairSource, out *rowsOf, r func(string, jobs.Values[int64], func(Out)) error) (*jobs.Task, error) {
	t.Helper()
	prog := bind(t, jobs.New("job", func(string, func(string, int64)) error { return nil }, r))
	out.schema = prog.Info().Schema
	task := &jobs.Task{Reducers: 1}
	return task, prog.Reduce(context.Background(), task, in, out)
}

// Groups run across batches, and are complete whether the function ranges over all values, some or none.
func TestReduceGroups(t *testing.T) {
	t.Parallel()
	in := "a:xx a:x|a:xxx b:x|c:x c:x|c:x||d:xxxxx"
	for _, tt := range []struct {
		name string
		f    func(key string, ns jobs.Values[int64], emit func(count)) error
		want []jobstest.Row
	}{
		{"all", countReduce, []jobstest.Row{{"a", int64(6)}, {"b", int64(1)}, {"c", int64(3)}, {"d", int64(5)}}},
		{"first", func(key string, ns jobs.Values[int64], emit func(count)) error {
			for n := range ns.All() {
				emit(count{key, n})
				break
			}
			return nil
		}, []jobstest.Row{{"a", int64(2)}, {"b", int64(1)}, {"c", int64(1)}, {"d", int64(5)}}},
		{"none", func(key string, ns jobs.Values[int64], emit func(count)) error {
			emit(count{Word: key})
			return nil
		}, []jobstest.Row{{"a", int64(0)}, {"b", int64(0)}, {"c", int64(0)}, {"d", int64(0)}}},
		{"pulled", func(key string, ns jobs.Values[int64], emit func(count)) error {
			next, stop := iter.Pull(ns.All())
			defer stop()
			n, _ := next()
			emit(count{key, n})
			return nil
		}, []jobstest.Row{{"a", int64(2)}, {"b", int64(1)}, {"c", int64(1)}, {"d", int64(5)}}},
	} {
		out := &rowsOf{}
		task, err := reduce(t, sorted(in), out, tt.f)
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		jobstest.Equal(t, out.rows, tt.want...)
		if task.Groups != 4 || task.Rows != 4 {
			t.Errorf("%s: counted %d groups, %d rows", tt.name, task.Groups, task.Rows)
		}
	}
	out := &rowsOf{}
	if _, err := reduce(t, &batches{}, out, countReduce); err != nil || len(out.sizes) != 0 {
		t.Errorf("no pairs: %v, %d batches", err, len(out.sizes))
	}
}

// A key of zero bytes is a group as any other.
func TestReduceEmptyKey(t *testing.T) {
	t.Parallel()
	in := &batches{list: [][]byte{jobs.AppendSame(jobs.AppendPair(nil, nil, []byte{2}), []byte{4}), jobs.AppendPair(nil, []byte{}, []byte{2})}}
	out := &rowsOf{}
	if _, err := reduce(t, in, out, countReduce); err != nil {
		t.Fatal(err)
	}
	jobstest.Equal(t, out.rows, jobstest.Row{"", int64(4)})
}

// Errors and panics of the reduce function name the key; ranging twice, or over the values of a former group, is one.
func TestReduceErrors(t *testing.T) {
	t.Parallel()
	user := errors.New("no good")
	var kept []jobs.Values[int64]
	for _, tt := range []struct {
		f    func(key string, ns jobs.Values[int64], emit func(count)) error
		want string
	}{
		{func(string, jobs.Values[int64], func(count)) error { return user }, `reduce key "a": no good`},
		{func(string, jobs.Values[int64], func(count)) error { explode(); return nil }, `reduce key "a": panic: boom`},
		{func(_ string, ns jobs.Values[int64], _ func(count)) error {
			jobs.Total(ns)
			jobs.Total(ns)
			return nil
		}, `reduce key "a": panic: the values of a key are ranged over a second time`},
		{func(_ string, ns jobs.Values[int64], _ func(count)) error {
			for _, old := range kept {
				jobs.Total(old)
			}
			kept = append(kept, ns)
			return nil
		}, `reduce key "b": panic: the values of a key are ranged over a second time, or after`},
		{func(_ string, _ jobs.Values[int64], emit func(count)) error { emit(count{Word: "\xff"}); return nil },
			`reduce key "a": column word: "\xff" is not valid UTF-8: declare the field as []byte`},
	} {
		_, err := reduce(t, sorted("a:x a:x b:x"), &rowsOf{}, tt.f)
		re, ok := errors.AsType[*jobs.RecordError](err)
		if !ok || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("got error %v, want %q", err, tt.want)
			continue
		}
		if strings.Contains(tt.want, "boom") && (!strings.HasPrefix(re.Stack, "github.com/millrace/millrace/jobs_test.explode") || strings.Contains(re.Stack, "millrace/jobs.")) {
			t.Errorf("stack %q", re.Stack)
		}
	}
}

// Errors of the source and the sink surface as themselves, also from within the user's loop, and malformed pairs by name.
func TestReduceEngineErrors(t *testing.T) {
	t.Parallel()
	lost, full := errors.New("connection lost"), errors.New("disk full")
	for _, text := range []string{"", "a:x", "a:x a:x|b:x"} {
		in := sorted(text)
		in.err = lost
		if _, err := reduce(t, in, &rowsOf{}, countReduce); err != lost {
			t.Errorf("after %q: got %v", text, err)
		}
	}
	if _, err := reduce(t, sorted("a:x"), &rowsOf{err: full}, countReduce); err != full {
		t.Errorf("got %v", err)
	}
	for _, bad := range [][]byte{{0, 1, 1}, {9}, {2, 9, 'a'}} {
		if _, err := reduce(t, &batches{list: [][]byte{bad}}, &rowsOf{}, countReduce); !errors.Is(err, jobs.ErrPairs) {
			t.Errorf("%x: got %v", bad, err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	prog := bind(t, jobs.New("job", countMap, countReduce))
	if err := prog.Reduce(ctx, &jobs.Task{}, sorted("a:x"), &rowsOf{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// Combine leaves one pair a key with the sum of its values, in order, and appends to what out holds.
func TestCombine(t *testing.T) {
	t.Parallel()
	prog := bind(t, jobs.New("job", countMap, countReduce, jobs.Combine(jobs.Sum[int64])))
	rng := rand.New(rand.NewPCG(1, 1))
	for range 200 {
		var in, want []byte
		for _, key := range []string{"", "a", "a\x00", "b", strings.Repeat("long", 50)} {
			var sum int64
			times := rng.IntN(4)
			for i := range times {
				n := rng.Int64N(1000) - 500
				sum += n
				if i > 0 && rng.IntN(2) == 0 {
					in = jobs.AppendSame(in, binary.AppendVarint(nil, n))
				} else {
					in = jobs.AppendPair(in, []byte(key), binary.AppendVarint(nil, n))
				}
			}
			if times > 0 {
				want = jobs.AppendPair(want, []byte(key), binary.AppendVarint(nil, sum))
			}
		}
		got, err := prog.Combine(t.Context(), &jobs.Task{}, in, []byte("before"))
		if err != nil || !bytes.Equal(got, append([]byte("before"), want...)) {
			t.Fatalf("%x combines to %x, %v, want %x", in, got, err, want)
		}
	}
}

// A combiner that panics, and bytes that are no pairs, end Combine with an error.
func TestCombineErrors(t *testing.T) {
	t.Parallel()
	prog := bind(t, jobs.New("job", countMap, countReduce, jobs.Combine(func(a, b int64) int64 { explode(); return 0 })))
	_, err := prog.Combine(t.Context(), &jobs.Task{}, sorted("k:x k:x").list[0], nil)
	if re, ok := errors.AsType[*jobs.RecordError](err); !ok || re.Key != `"k"` || !strings.Contains(re.Stack, "explode") {
		t.Errorf("got %v", err)
	}
	if _, err := prog.Combine(t.Context(), &jobs.Task{}, []byte{0, 0}, nil); !errors.Is(err, jobs.ErrPairs) {
		t.Errorf("got %v", err)
	}
	long := bytes.Repeat([]byte{0xff}, 20)
	if _, err := prog.Combine(t.Context(), &jobs.Task{}, jobs.AppendSame(jobs.AppendPair(nil, []byte("k"), long), long), nil); err == nil || !strings.Contains(err.Error(), `combine key "k"`) {
		t.Errorf("got %v", err)
	}
	plain := bind(t, jobs.New("job", countMap, countReduce))
	if _, err := plain.Combine(t.Context(), &jobs.Task{}, nil, nil); err == nil {
		t.Error("a job without a combiner combines")
	}
}

// Neither a value nor a group costs an allocation.
func TestReduceAllocations(t *testing.T) {
	prog := bind(t, jobs.New("job", countMap, countReduce))
	measure := func(groups, values int) float64 {
		var batch []byte
		for i := range groups * values {
			batch = jobs.AppendPair(batch, fmt.Appendf(nil, "%08d", i/values), []byte{2})
		}
		list := [][]byte{batch}
		return testing.AllocsPerRun(5, func() {
			if err := prog.Reduce(context.Background(), &jobs.Task{}, &batches{list: slices.Clone(list)}, discardRows{}); err != nil {
				t.Fatal(err)
			}
		})
	}
	few := measure(2_000, 1) // the columns' buffers grow to what the first groups need
	if n := measure(2_000, 10); n > few {
		t.Errorf("%v allocations for 20000 values in 2000 groups, %v for 2000 values", n, few)
	}
	if n := measure(20_000, 1); n > few+40 {
		t.Errorf("%v allocations for 20000 groups, %v for 2000", n, few)
	}
}

type discardRows struct{}

func (discardRows) Put(jobs.Columns) error { return nil }

// BenchmarkReduce is the whole of a reduce attempt but the engine: groups of 4 values and of 1, and records that are sorted.
func BenchmarkReduce(b *testing.B) {
	const pairs = 40_000
	words := func(values int) (batch []byte) {
		for i := range pairs {
			batch = jobs.AppendPair(batch, fmt.Appendf(nil, "word%06d", i/values), []byte{2})
		}
		return batch
	}
	var records []byte
	for i := range pairs {
		records = jobs.AppendPair(records, fmt.Appendf(nil, "%010d", i), bytes.Repeat([]byte{byte(i)}, 90))
	}
	var joined []byte
	join := func(key []byte, rests jobs.Values[[]byte], emit func([]byte)) error {
		for rest := range rests.All() {
			joined = append(append(joined[:0], key...), rest...)
			emit(joined)
		}
		return nil
	}
	count := jobs.New("count", countMap, countReduce)
	for _, tt := range []struct {
		name  string
		job   *jobs.Job
		batch []byte
	}{
		{"words/4", count, words(4)},
		{"words/1", count, words(1)},
		{"records", jobs.New("sort", func([]byte, func(k, v []byte)) error { return nil }, join), records},
	} {
		b.Run(tt.name, func(b *testing.B) {
			prog := bind(b, tt.job)
			var list [][]byte
			for range 20 {
				list = append(list, tt.batch)
			}
			b.SetBytes(int64(len(list) * len(tt.batch)))
			b.ReportAllocs()
			for b.Loop() {
				if err := prog.Reduce(context.Background(), &jobs.Task{}, &batches{list: list}, discardRows{}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(list)*pairs), "ns/pair")
		})
	}
}
