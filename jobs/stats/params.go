package stats

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"unicode/utf8"
)

const doc = `Count, minimum, mean, maximum and sum of the values of each key, from lines of "key;value".

With decimals=N, values are fixed-point numbers of at most N decimals: sums are exact, and results repeat to the bit.
Without it they are floating-point numbers: the last bits of sum and mean depend on the order of addition, and so on the
split size, the memory and which workers there are.`

// Params are what a submitter may choose.
type Params struct {
	Separator string `param:"separator" default:";" help:"what stands between key and value"`
	Decimals  int    `param:"decimals" default:"-1" help:"digits after the point: values are fixed-point numbers and sums are exact; -1: floating-point numbers"`
}

// Validate reports a parameter that makes no sense.
func (p Params) Validate() error {
	if p.Separator == "" {
		return errors.New("parameter separator: it is empty: state what stands between key and value")
	}
	if p.Decimals < -1 || p.Decimals > maxDecimals {
		return fmt.Errorf("parameter decimals: %d: must be from 0 to %d, or -1 for floating-point numbers", p.Decimals, maxDecimals)
	}
	return nil
}

// check reports statistics that cannot be told: a key that is no text, and fixed-point sums that may have left the range of
// an int64. The bound is by count and extremes: to look at each addition would slow down every record.
func (g group[N]) check(key string) error {
	if !utf8.ValidString(key) {
		return errors.New("the key is not valid UTF-8: convert the input to UTF-8")
	}
	largest := max(math.Abs(float64(g.Min)), math.Abs(float64(g.Max)))
	if _, exact := any(g.Sum).(int64); exact && largest*float64(g.Count) >= math.MaxInt64 {
		return fmt.Errorf("the sum of %d values of up to %g may not fit into 64 bits: use floating-point numbers, with -p decimals=-1", g.Count, largest)
	}
	return nil
}

// parseFloat reads a finite floating-point number.
func parseFloat(s string) (float64, error) {
	v, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
		return 0, fmt.Errorf("the value %.100q is no finite number: correct the line, or state what stands between key and value with -p separator", s)
	}
	return v, nil
}
