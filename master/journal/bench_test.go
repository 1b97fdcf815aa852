package journal_test

import (
	"fmt"
	"testing"

	"github.com/millrace/millrace/master/journal"
	"github.com/millrace/millrace/master/memha"
)

// BenchmarkAppend measures what the journal itself costs an Append of one record, over memory, alone and contended.
func BenchmarkAppend(b *testing.B) {
	for _, writers := range []int{1, 64} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			s := memha.New()
			term, err := s.Campaign(b.Context(), journal.Candidate{})
			if err != nil {
				b.Fatal(err)
			}
			j := journal.New(s, term, journal.Options{})
			if _, err := j.Load(b.Context()); err != nil {
				b.Fatal(err)
			}
			record := [][]byte{make([]byte, 50)}
			b.ReportAllocs()
			b.SetParallelism(writers)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if err := j.Append(b.Context(), "job", record); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}
