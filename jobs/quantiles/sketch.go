package quantiles

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/DataDog/sketches-go/ddsketch"
	"github.com/DataDog/sketches-go/ddsketch/mapping"
	"github.com/DataDog/sketches-go/ddsketch/store"
)

// sketch is what is known of some values: how many fall into each bucket of a DDSketch (Masson, Rim, Lee: DDSketch, VLDB 2019).
// Whole numbers are added, so sketches of some values are equal however the values came together.
//
// Invariant: Zeros and the bins' counts add up to Count, but a sketch of one value has none of them: that value is Min. Every
// line makes one, which must not cost a slice.
type sketch struct {
	Count              int64
	Zeros              int64   // values that are 0, or nearer to it than any bucket
	Negative, Positive []bin   // in order of Index
	Min, Max           float64 // of all values
}

// bin is a bucket that has values.
type bin struct {
	Index int32
	Count int64
}

// scale tells buckets by values: the library's logarithmic mapping, which needs the fewest of them.
type scale struct{ mapping.IndexMapping }

func newScale(relativeError float64) (scale, error) {
	m, err := mapping.NewLogarithmicMapping(relativeError)
	return scale{m}, err
}

// one is a sketch of one value.
func (by scale) one(v float64) (sketch, error) {
	if math.Abs(v) > by.MaxIndexableValue() {
		return sketch{}, fmt.Errorf("the value %g is too large: values may be up to %.3g", v, by.MaxIndexableValue())
	}
	return sketch{Count: 1, Min: v, Max: v}, nil
}

// join is the combiner. It keeps nothing of b.
func (by scale) join(a, b sketch) sketch {
	if a.Count == 1 {
		by.add(&a, a.Min)
	}
	if b.Count == 1 {
		by.add(&a, b.Min)
	} else {
		a.Zeros += b.Zeros
		a.Negative, a.Positive = joinBins(a.Negative, b.Negative), joinBins(a.Positive, b.Positive)
	}
	a.Count += b.Count
	a.Min, a.Max = min(a.Min, b.Min), max(a.Max, b.Max)
	return a
}

// add counts a value in its bucket.
func (by scale) add(s *sketch, v float64) {
	abs := math.Abs(v)
	switch {
	case abs <= by.MinIndexableValue():
		s.Zeros++
	case v < 0:
		s.Negative = addBin(s.Negative, bin{int32(by.Index(abs)), 1})
	default:
		s.Positive = addBin(s.Positive, bin{int32(by.Index(abs)), 1})
	}
}

// addBin adds a bin to others, in their memory if that does.
func addBin(to []bin, x bin) []bin {
	i, found := slices.BinarySearchFunc(to, x.Index, func(y bin, index int32) int { return cmp.Compare(y.Index, index) })
	if !found {
		return slices.Insert(to, i, x)
	}
	to[i].Count += x.Count
	return to
}

// joinBins adds b to a, both in order.
func joinBins(a, b []bin) []bin {
	if len(b) == 0 {
		return a
	}
	out := make([]bin, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		switch x, y := a[0], b[0]; {
		case x.Index < y.Index:
			out, a = append(out, x), a[1:]
		case x.Index > y.Index:
			out, b = append(out, y), b[1:]
		default:
			out, a, b = append(out, bin{x.Index, x.Count + y.Count}), a[1:], b[1:]
		}
	}
	return append(append(out, a...), b...)
}

// at estimates quantiles with the library's sketch. None lies outside of what values there were, and the ends are exact.
func (by scale) at(s sketch, quantiles []float64) ([]float64, error) {
	if s.Count == 1 {
		by.add(&s, s.Min)
	}
	d := ddsketch.NewDDSketch(by, store.NewBufferedPaginatedStore(), store.NewBufferedPaginatedStore())
	for _, x := range s.Negative {
		d.GetNegativeValueStore().AddWithCount(int(x.Index), float64(x.Count))
	}
	for _, x := range s.Positive {
		d.GetPositiveValueStore().AddWithCount(int(x.Index), float64(x.Count))
	}
	if err := d.AddWithCount(0, float64(s.Zeros)); err != nil {
		return nil, err
	}
	out, err := d.GetValuesAtQuantiles(quantiles)
	for i, q := range quantiles[:len(out)] {
		switch q {
		case 0:
			out[i] = s.Min
		case 1:
			out[i] = s.Max
		default:
			out[i] = min(max(out[i], s.Min), s.Max)
		}
	}
	return out, err
}
