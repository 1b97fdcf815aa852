package records

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/millrace/millrace/master/sched"
	"github.com/millrace/millrace/master/wire"
)

// The two benchmarks measure what a task costs the master when it is recorded, and when it is loaded. An operation is a task.

func benchItems(uploads string) (items []item) {
	m := &maker{rand.New(rand.NewPCG(3, 4)), uploads, 200}
	for i := range 10_000 {
		items = append(items, m.item(sched.Map, i))
	}
	return items
}

func BenchmarkWrite(b *testing.B) {
	for name, uploads := range map[string]string{"runs": "", "parts": "minio"} {
		b.Run(name, func(b *testing.B) {
			items := benchItems(uploads)
			w := NewWriter(NewCodec())
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				it := items[i%len(items)]
				w.Add(time.Time{}, it.rec, it.o)
				if i%500 == 0 {
					w.Blocks()
				}
			}
		})
	}
}

func BenchmarkRead(b *testing.B) {
	for name, uploads := range map[string]string{"runs": "", "parts": "minio"} {
		b.Run(name, func(b *testing.B) {
			blocks, _ := roundTrip(b, benchItems(uploads), 500)
			c := NewCodec()
			b.ReportAllocs()
			b.ResetTimer()
			for n := 0; n < b.N; {
				r := NewReader(job)
				for _, block := range blocks {
					_, body, err := c.Open(block)
					if err != nil {
						b.Fatal(err)
					}
					if err := r.Tasks(body, func(time.Time, sched.Record, *wire.Outcome) error { n++; return nil }); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}
