package quantiles

import (
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/millrace/millrace/jobs"
)

// memory is a source of the same block again and again.
type memory struct {
	block jobs.Block
	left  int
}

func (m *memory) Next() (jobs.Block, error) {
	if m.left--; m.left < 0 {
		return jobs.Block{}, io.EOF
	}
	return m.block, nil
}

// nowhere keeps no pairs.
type nowhere struct{}

func (nowhere) Put(p jobs.Pairs) (jobs.Pairs, error) { return jobs.Pairs{Data: p.Data[:0]}, nil }

// BenchmarkMap is the whole map side: lines, values, sketches in the combine table. The lines are those of 400 weather stations.
func BenchmarkMap(b *testing.B) {
	rnd := rand.New(rand.NewPCG(1, 2))
	var lines strings.Builder
	for range 1 << 16 {
		fmt.Fprintf(&lines, "station %d;%.1f\n", rnd.IntN(400), 12+10*rnd.NormFloat64())
	}
	prog, err := Job().Bind(nil)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(lines.Len()))
	b.ReportAllocs()
	in := &memory{jobs.Block{URL: "mem://lines", Data: []byte(lines.String())}, b.N}
	b.ResetTimer()
	if err := prog.Map(b.Context(), &jobs.Task{Reducers: 1}, in, nowhere{}); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N<<16), "ns/line")
}
