package kmeans

import (
	"fmt"
	"hash/fnv"
	"math"
	"slices"
	"strings"

	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/jobs/exact"
)

// reader reads the points of an attempt, each into the same slice.
type reader struct {
	separator string
	decimals  int
	one       float64 // units in 1
	point     []int64 // in units of the last decimal
}

func newReader(separator string, decimals int) *reader {
	return &reader{separator: separator, decimals: decimals, one: math.Pow10(decimals)}
}

// read takes a line apart. The point is good until the next call.
func (r *reader) read(line string) ([]int64, error) {
	r.point = r.point[:0]
	for x := range strings.SplitSeq(line, r.separator) {
		v, err := jobs.ParseFixed(strings.TrimSpace(x), r.decimals)
		if err != nil {
			return nil, fmt.Errorf("coordinate %d: %w: correct the line, or state what it is with -p separator and -p decimals", len(r.point)+1, err)
		}
		r.point = append(r.point, v)
	}
	return r.point, nil
}

// candidate is a point that may be drawn: those with the lowest ranks are, wherever in the input they lie.
type candidate struct {
	Rank  uint64
	Point []float64
}

// drawJob draws k different points at random, the same ones for the same seed.
func drawJob() *jobs.Job {
	type params struct {
		K         int
		Seed      int64
		Separator string
		Decimals  int
	}
	return jobs.Define("draw", func(_ *jobs.Task, p params) (jobs.Code, error) {
		points := newReader(p.Separator, p.Decimals)
		var lowest []uint64 // the k lowest ranks so far: a point beyond them need not travel
		lower := func(a, b []candidate) []candidate { return merge(a, b, p.K) }
		return jobs.MapReduce(func(line string, emit func(bool, []candidate)) error {
			point, err := points.read(line)
			if err != nil {
				return err
			}
			r := rank(p.Seed, point)
			at, known := slices.BinarySearch(lowest, r)
			if known || at == p.K {
				return nil
			}
			lowest = slices.Insert(lowest, at, r)[:min(p.K, len(lowest)+1)]
			c := candidate{r, make([]float64, len(point))}
			for i, x := range point {
				c.Point[i] = float64(x) / points.one
			}
			emit(true, []candidate{c})
			return nil
		}, func(_ bool, drawn jobs.Values[[]candidate], emit func(Center)) error {
			var all []candidate
			for c := range drawn.All() {
				all = lower(all, c)
			}
			for i, c := range all {
				emit(Center{int64(i), 0, c.Point})
			}
			return nil
		}, jobs.Combine(lower), jobs.Reducers(1)), nil
	}, jobs.Doc("Draws k different points to begin with."))
}

// rank is a number that depends on a point and the seed, and otherwise looks random. Points of one rank count as one.
func rank(seed int64, point []int64) uint64 {
	h := fnv.New64a()
	for _, x := range append([]int64{seed}, point...) {
		var b [8]byte
		for i := range b {
			b[i] = byte(x >> (8 * i))
		}
		h.Write(b[:]) // never fails
	}
	x := h.Sum64() // its high bits hardly depend on the last bytes: the finalizer of MurmurHash3 spreads them
	x = (x ^ x>>33) * 0xff51afd7ed558ccd
	x = (x ^ x>>33) * 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}

// merge returns the k candidates of lowest rank, each rank once.
func merge(a, b []candidate, k int) []candidate {
	all := append(slices.Clone(a), b...)
	slices.SortFunc(all, func(x, y candidate) int {
		if x.Rank < y.Rank {
			return -1
		}
		return int(min(1, x.Rank-y.Rank))
	})
	all = slices.CompactFunc(all, func(x, y candidate) bool { return x.Rank == y.Rank })
	return all[:min(k, len(all))]
}

// roundParams are those of a job that knows the centers.
type roundParams struct {
	Centers   string
	Separator string
	Decimals  int
}

// nearest finds the center nearest to each point of an attempt.
type nearest struct {
	*reader
	centers [][]float64
}

func newNearest(p roundParams) (*nearest, error) {
	centers, err := parseCenters(p.Centers)
	return &nearest{newReader(p.Separator, p.Decimals), centers}, err
}

// find returns a line's point and the number of its center; of centers equally near it is the first.
func (n *nearest) find(line string) (point []int64, cluster int64, err error) {
	if point, err = n.read(line); err != nil {
		return nil, 0, err
	}
	if len(point) != len(n.centers[0]) {
		return nil, 0, fmt.Errorf("it has %d coordinates, the centers have %d: all points must have the same number", len(point), len(n.centers[0]))
	}
	best := math.Inf(1)
	for i, center := range n.centers {
		var d float64
		for j, x := range point {
			delta := float64(x)/n.one - center[j]
			d += float64(delta * delta) // a product of its own: fused with the sum it would differ from processor to processor
		}
		if d < best {
			best, cluster = d, int64(i)
		}
	}
	return point, cluster, nil
}

// total is the exact sum of some points.
type total struct {
	Points int64
	Sums   []exact.Sum // of each coordinate
}

func add(a, b total) total {
	a.Points += b.Points
	for i := range a.Sums {
		a.Sums[i] = exact.Add(a.Sums[i], b.Sums[i])
	}
	return a
}

// roundJob moves each center to the mean of the points that are nearest to it.
func roundJob() *jobs.Job {
	return jobs.Define("round", func(_ *jobs.Task, p roundParams) (jobs.Code, error) {
		near, err := newNearest(p)
		if err != nil {
			return jobs.Code{}, err
		}
		one := total{1, make([]exact.Sum, len(near.centers[0]))}
		return jobs.MapReduce(func(line string, emit func(int64, total)) error {
			point, cluster, err := near.find(line)
			if err != nil {
				return err
			}
			for i, x := range point {
				one.Sums[i] = exact.Int(x)
			}
			emit(cluster, one)
			return nil
		}, func(cluster int64, totals jobs.Values[total], emit func(Center)) error {
			t := jobs.Fold(totals, add)
			mean := make([]float64, len(t.Sums))
			for i, s := range t.Sums {
				mean[i] = s.Value(0) / (float64(t.Points) * near.one)
			}
			emit(Center{cluster, t.Points, mean})
			return nil
		}, jobs.Combine(add), jobs.TotalOrder(), jobs.Reducers(1)), nil
	}, jobs.Doc("Moves each center to the mean of its points."))
}

// assignJob tells the cluster of each point.
func assignJob() *jobs.Job {
	return jobs.Define("assign", func(_ *jobs.Task, p roundParams) (jobs.Code, error) {
		near, err := newNearest(p)
		if err != nil {
			return jobs.Code{}, err
		}
		return jobs.MapReduce(func(line string, emit func(int64, string)) error {
			_, cluster, err := near.find(line)
			if err == nil {
				emit(cluster, line)
			}
			return err
		}, func(cluster int64, lines jobs.Values[string], emit func(Member)) error {
			for line := range lines.All() {
				emit(Member{cluster, line})
			}
			return nil
		}), nil
	}, jobs.Doc("Tells the cluster of each point."))
}
