package jobs

import (
	"context"
	"fmt"
	"testing"
)

// BenchmarkSift is the price of being able to set records aside where none is bad: map attempts with and without.
func BenchmarkSift(b *testing.B) {
	text := []byte(prose(1 << 20))
	line := func(l string, emit func(string, int64)) error {
		emit(l[:min(len(l), 10)], int64(len(l)))
		return nil
	}
	var rows []byte
	for i := range 20_000 {
		rows = fmt.Appendf(rows, "%d,\"Smith, John\",12 High Street,%d.5,true\n", i, i%100)
	}
	csv := CSVOptions{Columns: []string{"id", "name", "address", "amount", "paid"}}
	sales := func(s sale, emit func(string, int64)) error { emit(s.Name, s.ID); return nil }
	for _, c := range []struct {
		name string
		job  *Job
		text []byte
	}{
		{"words/combine", New("j", fastWords, wordReduce, Combine(Sum[int64])), text},
		{"lines/direct", New("j", line, wordReduce), text},
		{"lines/rows", NewMapOnly("j", func(l string, emit func(wordRow)) error { emit(wordRow{l, 1}); return nil }), text},
		{"csv/combine", New("j", sales, wordReduce, Combine(Sum[int64]), CSV(csv)), rows},
	} {
		for name, limit := range map[string]int64{"without": 0, "with": 1000} {
			b.Run(c.name+"/"+name, func(b *testing.B) {
				prog, err := c.job.Bind(nil)
				if err != nil {
					b.Fatal(err)
				}
				b.SetBytes(int64(4 * len(c.text)))
				b.ReportAllocs()
				sink := &reuseSink{}
				for b.Loop() {
					t := &Task{Reducers: 4, MaxRejected: limit, Sinks: Sinks{Rows: noRows{}}}
					if err := prog.Map(context.Background(), t, &repeatBlocks{Block{Offset: 1, Data: c.text}, 4}, sink); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
