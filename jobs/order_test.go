package jobs_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/jobs/jobstest"
)

// visits is a job over lines "key order id", that emits the ids of each key in the order that the option states.
func visits[K, S any](parse func(key, order string) (K, S), option func(func(visit[S]) S) jobs.Option, opts ...jobs.Option) *jobs.Job {
	m := func(line string, emit func(K, visit[S])) error {
		f := strings.SplitN(line, " ", 3)
		k, s := parse(f[0], f[1])
		emit(k, visit[S]{s, f[2]})
		return nil
	}
	r := func(k K, vs jobs.Values[visit[S]], emit func(string)) error {
		emit(fmt.Sprintf("key %q", fmt.Sprint(k)))
		for v := range vs.All() {
			emit(v.ID)
		}
		return nil
	}
	return jobs.New("visits", m, r, append(opts, option(func(v visit[S]) S { return v.At }))...)
}

type visit[S any] struct {
	At S
	ID string
}

func ascending[S any](f func(visit[S]) S) jobs.Option { return jobs.OrderBy(f) }

func descending[S any](f func(visit[S]) S) jobs.Option { return jobs.OrderByDescending(f) }

// engine runs a job at the border as the engine does: it sorts the pairs of each partition by their keys' bytes, in the order in
// which they came, and hands them back in batches of any size.
func engine(t *testing.T, prog jobs.Program, objects []jobstest.Object, reducers int, rnd *rand.Rand) [][]jobstest.Row {
	t.Helper()
	type pair struct{ key, value []byte }
	parts := make([][]pair, reducers)
	for _, o := range objects {
		e := &edge{blocks: []jobs.Block{{URL: o.URL, Data: o.Data}}, err: io.EOF}
		if err := prog.Map(t.Context(), &jobs.Task{Reducers: reducers}, edgeBlocks{e}, e); err != nil {
			t.Fatal(err)
		}
		for _, b := range e.out {
			for i := range b.Count {
				key, value, rest, err := jobs.CutPair(b.Data, nil)
				if err != nil {
					t.Fatal(err)
				}
				b.Data = rest
				parts[b.Partitions[i]] = append(parts[b.Partitions[i]], pair{key, value})
			}
		}
	}
	var out [][]jobstest.Row
	for _, pairs := range parts {
		slices.SortStableFunc(pairs, func(a, b pair) int { return bytes.Compare(a.key, b.key) })
		list := [][]byte{nil}
		var last []byte
		for i, p := range pairs {
			batch := &list[len(list)-1]
			if len(*batch) > 0 && bytes.Equal(p.key, last) && rnd.IntN(4) > 0 {
				*batch = jobs.AppendSame(*batch, p.value)
			} else {
				*batch = jobs.AppendPair(*batch, p.key, p.value)
			}
			if last = p.key; rnd.IntN(3) == 0 && i+1 < len(pairs) {
				list = append(list, nil)
			}
		}
		rows := &decoded{schema: prog.Info().Schema}
		if err := prog.Reduce(t.Context(), &jobs.Task{Reducers: reducers}, &batches{list: list}, rows); err != nil {
			t.Fatal(err)
		}
		out = append(out, rows.rows)
	}
	return out
}

// decoded keeps rows.
type decoded struct {
	schema jobs.Schema
	rows   []jobstest.Row
}

func (d *decoded) Put(c jobs.Columns) error {
	rows, err := jobstest.Decode(d.schema, c)
	d.rows = append(d.rows, rows...)
	return err
}

// Whatever keys and orders are, ascending or descending, the reduce function sees each key once, and its values as the oracle
// has them, which orders them by comparing in Go: equal ones as they came, over the borders of objects and batches, in the same
// partitions.
func TestOrderBy(t *testing.T) {
	t.Parallel()
	text := func(k, o string) (string, string) { return k, o }
	number := func(k, o string) (int16, float64) {
		return int16(k[0]) - 100, []float64{math.NaN(), -1.5, 0, math.Copysign(0, -1), math.Inf(1)}[len(o)%5]
	}
	type pair struct {
		Name string
		N    int8
	}
	structs := func(k, o string) ([]byte, pair) { return []byte(k), pair{o[:len(o)/2], int8(len(o))} }
	moments := func(k, o string) (time.Time, time.Time) {
		return time.Unix(int64(len(k)), 0), time.Unix(0, int64(len(o))-2)
	}
	flags := func(k, o string) (struct{}, bool) { return struct{}{}, len(o) > 2 }
	byFirst := jobs.Partition(func(k string, n int) int { return int(k[0]) % n })
	for name, job := range map[string]*jobs.Job{
		"text": visits(text, ascending), "text down": visits(text, descending),
		"numbers": visits(number, ascending), "numbers down": visits(number, descending),
		"structs": visits(structs, ascending), "structs down": visits(structs, descending),
		"times": visits(moments, ascending), "times down": visits(moments, descending),
		"one key": visits(flags, ascending), "one key down": visits(flags, descending),
		"partitioned": visits(text, ascending, byFirst), "partitioned down": visits(text, descending, byFirst),
	} {
		prog, rnd := bind(t, job), rand.New(rand.NewPCG(1, 2))
		if !prog.Info().Ordered || !prog.Info().Partitions {
			t.Errorf("%s: Info = %+v, want Ordered and Partitions", name, prog.Info())
		}
		for range 20 {
			objects := visitLines(rnd)
			want, err := jobstest.Oracle(prog, objects, 3, nil)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if got := engine(t, prog, objects, 3, rnd); !reflect.DeepEqual(got, want.Partitions) {
				t.Fatalf("%s: got %v, want %v", name, got, want.Partitions)
			}
		}
	}
}

// visitLines makes objects of lines "key order id" in which keys and orders are often equal, or one the beginning of another.
func visitLines(rnd *rand.Rand) []jobstest.Object {
	words := []string{"a", "ab", "a\x00", "a\x00\x01", "b", "\xff", "\xff\xff", "\x00", strings.Repeat("long", 60), "abc", "b\x01"}
	var contents []string
	for i := range 3 {
		var b strings.Builder
		for j := range rnd.IntN(60) {
			fmt.Fprintf(&b, "%s %s %d-%d\n", words[rnd.IntN(len(words))], words[rnd.IntN(len(words))], i, j)
		}
		contents = append(contents, b.String())
	}
	return jobstest.Objects(contents...)
}

// The oracle's order is right by itself: a few values, written out.
func TestOrderByHand(t *testing.T) {
	t.Parallel()
	parse := func(k, o string) (string, int) { return k, len(o) }
	lines := "b xx b2\na xxx a3\nb x b1\na x a1\na xxx a3-again\n"
	jobstest.Equal(t, jobstest.Run(t, visits(parse, ascending), nil, lines),
		jobstest.Row{`key "a"`}, jobstest.Row{"a1"}, jobstest.Row{"a3"}, jobstest.Row{"a3-again"},
		jobstest.Row{`key "b"`}, jobstest.Row{"b1"}, jobstest.Row{"b2"})
	jobstest.Equal(t, jobstest.Run(t, visits(parse, descending), nil, lines),
		jobstest.Row{`key "a"`}, jobstest.Row{"a3"}, jobstest.Row{"a3-again"}, jobstest.Row{"a1"},
		jobstest.Row{`key "b"`}, jobstest.Row{"b2"}, jobstest.Row{"b1"})
}

// A total order is one of keys: the engine partitions by boundaries, for which it asks keys without the order of their values.
func TestOrderByInTotalOrder(t *testing.T) {
	t.Parallel()
	parse := func(k, o string) (string, string) { return k, o }
	prog := bind(t, visits(parse, ascending, jobs.TotalOrder()))
	if i := prog.Info(); !i.Ordered || !i.TotalOrder || i.Partitions {
		t.Errorf("Info = %+v, want Ordered and TotalOrder, no Partitions", i)
	}
	for _, unordered := range []bool{false, true} {
		e := &edge{blocks: []jobs.Block{{Data: []byte("key order id\n")}}, err: io.EOF}
		if err := prog.Map(t.Context(), &jobs.Task{Reducers: 2, Unordered: unordered}, edgeBlocks{e}, e); err != nil {
			t.Fatal(err)
		}
		keys, _ := cut(t, e.out, false)
		want := "key\x00\x01order\x00\x01"
		if unordered {
			want = "key\x00\x01"
		}
		if !slices.Equal(keys, []string{want}) {
			t.Errorf("unordered %v: keys %q, want %q", unordered, keys, want)
		}
	}
}

// Options that do not fit an order of values, and orders that are none, give an error of Bind with the remedy.
func TestOrderByErrors(t *testing.T) {
	t.Parallel()
	type loose struct{ Tags []string }
	self := func(n int) int { return n }
	for want, job := range map[string]*jobs.Job{
		"options Combine and OrderBy exclude each other":                                      with[string, string, int, string](jobs.OrderBy(self), jobs.Combine(jobs.Sum[int])),
		"option OrderBy: the function takes a int, but the values are string":                 with[string, string, string, string](jobs.OrderBy(self)),
		"option OrderBy is given twice":                                                       with[string, string, int, string](jobs.OrderBy(self), jobs.OrderByDescending(self)),
		"option OrderBy: the function is nil":                                                 with[string, string, int, string](jobs.OrderBy[int, int](nil)),
		"option OrderBy: field jobs_test.loose.Tags: type []string cannot be a key: keys are": with[string, string, int, string](jobs.OrderBy(func(int) loose { return loose{} })),
	} {
		if _, err := job.Bind(nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// A panic of the order's function is that of the record, and its error names it.
func TestOrderByPanics(t *testing.T) {
	t.Parallel()
	job := jobs.New("job", func(line string, emit func(string, string)) error { emit("k", line); return nil },
		func(string, jobs.Values[string], func(string)) error { return nil },
		jobs.OrderBy(func(v string) byte { return v[0] }))
	e := &edge{blocks: []jobs.Block{{URL: "u", Data: []byte("a\n\nb\n")}}, err: io.EOF}
	err := bind(t, job).Map(t.Context(), &jobs.Task{Reducers: 1}, edgeBlocks{e}, e)
	if record, ok := errors.AsType[*jobs.RecordError](err); !ok || record.URL != "u" || record.Offset != 2 || record.Stack == "" {
		t.Errorf("Map = %v, want the panic at byte 2", err)
	}
}

// The partition of a key is fixed forever, as parts depend on it, does not depend on the order of the value, and keys spread
// evenly, also when they differ in few bits.
func TestOrderByPartitions(t *testing.T) {
	t.Parallel()
	const reducers, keys = 7, 7000
	var lines strings.Builder
	for i := range keys {
		fmt.Fprintf(&lines, "%d x i\n%d %s i\n", i, i, strings.Repeat("y", i%9))
	}
	parse := func(k, o string) (string, string) { return k, o }
	prog := bind(t, visits(parse, ascending))
	e := &edge{blocks: []jobs.Block{{Data: []byte(lines.String())}}, err: io.EOF}
	if err := prog.Map(t.Context(), &jobs.Task{Reducers: reducers}, edgeBlocks{e}, e); err != nil {
		t.Fatal(err)
	}
	var partitions []uint32
	for _, b := range e.out {
		partitions = append(partitions, b.Partitions...)
	}
	counts := make([]int, reducers)
	for i := 0; i < len(partitions); i += 2 {
		if partitions[i] != partitions[i+1] {
			t.Fatalf("key %d is in partitions %d and %d", i/2, partitions[i], partitions[i+1])
		}
		counts[partitions[i]]++
	}
	if least := slices.Min(counts); least < keys/reducers*9/10 {
		t.Errorf("%d keys are spread as %v", keys, counts)
	}
	if got, want := fmt.Sprint(partitions[:20]), "[2 2 2 2 5 5 1 1 0 0 6 6 0 0 5 5 0 0 0 0]"; got != want {
		t.Errorf("partitions %v, want %v", got, want)
	}
}
