// Package exact adds numbers without rounding, so that a sum does not depend on the order in which it is made: a job with a
// combiner gives the same bytes for every split size, number of workers and memory budget. Sums of float64 do not.
package exact

import (
	"math"
	"math/bits"
)

// Sum is a whole number of 128 bits in two's complement, of units that its maker chooses. The zero Sum is 0. It is a value
// that jobs can emit and combine.
type Sum struct {
	High int64
	Low  uint64
}

// Int is x as a Sum.
func Int(x int64) Sum { return Sum{x >> 63, uint64(x)} }

// Float is x in units of 2^-scale, cut off after the last unit; scale is from 0 to 1000. What does not fit into 127 bits, or
// is no number, gives ok false.
func Float(x float64, scale int) (s Sum, ok bool) {
	fraction, exp := math.Frexp(math.Abs(x)) // x is fraction * 2^exp, fraction from 1/2 up to 1
	if math.IsNaN(x) || math.IsInf(x, 0) || exp+scale > 127 {
		return Sum{}, false
	}
	mantissa, shift := uint64(math.Ldexp(fraction, 53)), exp+scale-53
	switch {
	case shift <= 0:
		s.Low = mantissa >> min(-shift, 63)
	case shift < 64:
		s.High, s.Low = int64(mantissa>>(64-shift)), mantissa<<shift
	default:
		s.High = int64(mantissa << (shift - 64))
	}
	if x < 0 {
		s = s.negated()
	}
	return s, true
}

func (s Sum) negated() Sum {
	low, borrow := bits.Sub64(0, s.Low, 0)
	return Sum{-s.High - int64(borrow), low}
}

// Add is a+b: a combiner. What goes beyond 128 bits is lost; 2^63 values of 64 bits stay within.
func Add(a, b Sum) Sum {
	low, carry := bits.Add64(a.Low, b.Low, 0)
	return Sum{a.High + b.High + int64(carry), low}
}

// Value is s, a sum in units of 2^-scale, as the nearest float64, of two that are equally near the even one.
func (s Sum) Value(scale int) float64 {
	negative := s.High < 0
	if negative {
		s = s.negated()
	}
	high := uint64(s.High)
	// The upper 64 significant bits, of which the last one is set if any bit below it is: float64 rounds them as it would all.
	zeros := bits.LeadingZeros64(high)
	exp := 0
	low := s.Low
	if high != 0 {
		exp = 64 - zeros
		rest := s.Low << zeros
		low = high<<zeros | s.Low>>exp
		if rest != 0 {
			low |= 1
		}
	}
	v := math.Ldexp(float64(low), exp-scale)
	if negative {
		return -v
	}
	return v
}
