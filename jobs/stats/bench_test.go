package stats_test

import (
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/jobs/stats"
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

// BenchmarkMap is the whole map side: lines, values, the combine table. The lines are like those of weather stations: 14 bytes
// each on average, of 400 stations.
func BenchmarkMap(b *testing.B) {
	rnd := rand.New(rand.NewPCG(1, 2))
	var stations []string
	for i := range 400 {
		stations = append(stations, fmt.Sprintf("%.*s", 3+rnd.IntN(12), fmt.Sprint(i, "th station")))
	}
	var lines strings.Builder
	for range 1 << 16 { // too many for a processor to learn their lengths by heart
		fmt.Fprintf(&lines, "%s;%.1f\n", stations[rnd.IntN(len(stations))], 12+10*rnd.NormFloat64())
	}
	prog, err := stats.Job().Bind(map[string]string{"decimals": "1"})
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
