package stats

import (
	"fmt"
	"strconv"
	"strings"
)

// maxDecimals leaves a digit before the point to every number of 64 bits.
const maxDecimals = 18

// fixed reads numbers of at most so many decimals as whole numbers: with 1 decimal, "-12.3" is -123 and "7" is 70.
type fixed int

func (decimals fixed) parse(s string) (int64, error) {
	whole, fraction, _ := strings.Cut(s, ".")
	n := int(decimals) - len(fraction)
	if n < 0 {
		return 0, fmt.Errorf("the value %.100q has %d decimals: state -p decimals=%[2]d", s, len(fraction))
	}
	v, err := strconv.ParseInt(whole+fraction+strings.Repeat("0", n), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("the value %.100q is no fixed-point number of 64 bits: correct the line, or read floating-point numbers with -p decimals=-1", s)
	}
	return v, nil
}
