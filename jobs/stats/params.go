package stats

import (
	"errors"
	"fmt"
	"math"
	"unicode/utf8"
)

const doc = `Count, minimum, mean, maximum and sum of the values of each key, from lines of "key;value".

The value is what follows the last separator, so keys may contain it. With decimals=N, values are fixed-point numbers of at
most N decimals: sums are exact, and results repeat to the bit. Without it they are floating-point numbers: the last bits of
sum and mean depend on the order of addition, and so on split size and memory.`

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

// check reports statistics that cannot be told: a key that is no text, and sums that left the range of their numbers, or,
// for fixed-point numbers, may have. The bound on those is by count and extremes: to look at each addition would slow down
// every record.
func (g group[N]) check(key string) error {
	if !utf8.ValidString(key) {
		return errors.New("the key is not valid UTF-8: convert the input to UTF-8")
	}
	if !(math.Abs(float64(g.Sum)) <= math.MaxFloat64) { // infinite, or no number any more
		return fmt.Errorf("the sum of %d values is beyond the range of floating-point numbers: state a smaller unit", g.Count)
	}
	largest := max(math.Abs(float64(g.Min)), math.Abs(float64(g.Max)))
	if _, exact := any(g.Sum).(int64); exact && largest*float64(g.Count) >= math.MaxInt64 {
		return fmt.Errorf("the sum of %d values of up to %.15g units may not fit into 64 bits: use floating-point numbers, with -p decimals=-1", g.Count, largest)
	}
	return nil
}
