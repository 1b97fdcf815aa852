package jobs_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/jobs"
)

// What a combiner counts when there are no more records is final: the engine calls it when it merges what it has spilled.
func TestSiftCountsOfLateCombiner(t *testing.T) {
	t.Parallel()
	job := jobs.Define("late", func(task *jobs.Task, _ struct{}) (jobs.Code, error) {
		return jobs.MapReduce(func(line string, emit func(string, int64)) error { emit(line, 1); return nil },
			func(string, jobs.Values[int64], func(count)) error { return nil },
			jobs.Combine(func(a, b int64) int64 { task.Counter("combined").Add(1); return a + b })), nil
	})
	for _, most := range []int64{0, math.MaxInt64} {
		prog, err := job.Bind(nil)
		if err != nil {
			t.Fatal(err)
		}
		task := &jobs.Task{Reducers: 1, MaxRejected: most}
		if err := prog.Map(context.Background(), task, &blocks{block("a\nb\n")}, &pairs{}); err != nil {
			t.Fatal(err)
		}
		in := jobs.AppendSame(jobs.AppendPair(nil, []byte("a"), []byte{2}), []byte{2})
		for range 2 {
			if _, err := prog.Combine(t.Context(), task, in, nil); err != nil {
				t.Fatal(err)
			}
		}
		if got := fmt.Sprint(task.Counters()); got != "map[combined:2]" {
			t.Errorf("with up to %d bad records the counters are %s", most, got)
		}
	}
}

// Names that only bad records count under take no other name's place, and a counter that code keeps from a bad record counts when a
// good one uses it.
func TestSiftNamesOfBadRecords(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	text.WriteString("good\n")
	for i := range jobs.MaxCounters + 100 {
		fmt.Fprintf(&text, "bad%04d\n", i)
	}
	text.WriteString("again bad0007\n")
	job := jobs.Define("names", func(task *jobs.Task, _ struct{}) (jobs.Code, error) {
		kept := map[string]*jobs.Counter{}
		return jobs.MapOnly(func(line string, _ func(count)) error {
			name := strings.TrimPrefix(line, "again ")
			if kept[name] == nil {
				kept[name] = task.Counter(name)
			}
			kept[name].Add(1)
			if strings.HasPrefix(line, "bad") {
				return errors.New("bad")
			}
			return nil
		}), nil
	})
	got := &jobs.Task{Reducers: 1, MaxRejected: math.MaxInt64, Sinks: jobs.Sinks{Rows: noRows{}}}
	if err := bind(t, job).Map(t.Context(), got, &blocks{block(text.String())}, nil); err != nil {
		t.Fatal(err)
	}
	if counters := fmt.Sprint(got.Counters()); counters != "map[bad0007:1 good:1]" || got.CountersCut() {
		t.Errorf("counters %.200s, cut: %v", counters, got.CountersCut())
	}
}

// batchSizes is a RowSink that notes how many rows come together.
type batchSizes []int

func (b *batchSizes) Put(c jobs.Columns) error {
	*b = append(*b, c.Rows)
	return nil
}

// Batches of rows end where they end without bad records, also amid the rows of one record: so the bytes of a part are the same. A
// bad record that has filled some batches leaves none of them.
func TestSiftBatches(t *testing.T) {
	t.Parallel()
	job := jobs.NewMapOnly("rows", func(line string, emit func(string)) error {
		n := 7
		if line == "bad much" {
			n = 150_000
		}
		for i := range n {
			emit(fmt.Sprint(line, i))
		}
		if strings.HasPrefix(line, "bad") {
			return errors.New("bad")
		}
		return nil
	})
	clean := strings.Repeat("line\n", 20_000)
	dirty := "bad\n" + clean[:50_000] + "bad much\n" + clean[50_000:] + "bad much\nbad\n"
	run := func(text string, most int64) (sizes batchSizes, rows int64) {
		prog, err := job.Bind(nil)
		if err != nil {
			t.Fatal(err)
		}
		task := &jobs.Task{Reducers: 1, MaxRejected: most, Sinks: jobs.Sinks{Rows: &sizes}}
		if err := prog.Map(context.Background(), task, &blocks{block(text)}, nil); err != nil {
			t.Fatal(err)
		}
		return sizes, task.Rows
	}
	want, wantRows := run(clean, 0)
	for _, text := range []string{clean, dirty} {
		got, rows := run(text, 10)
		if !slices.Equal(got, want) || rows != wantRows || len(want) != 3 {
			t.Errorf("batches of %v, %d rows: want %v, %d", got, rows, want, wantRows)
		}
	}
}
