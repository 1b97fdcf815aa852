package stats

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// maxDecimals leaves a digit before the point to every number of 64 bits.
const maxDecimals = 18

// cut takes a line apart at its last separator.
func cut(line, separator string) (key, value string, err error) {
	i := strings.LastIndex(line, separator)
	if i < 0 {
		return "", "", fmt.Errorf("the line %.100q has no %q: state what stands between key and value with -p separator", line, separator)
	}
	return line[:i], line[i+len(separator):], nil
}

// floats reads lines whose values are floating-point numbers.
type floats struct{ separator string }

// read is the map function.
func (f floats) read(line string, emit func(string, group[float64])) error {
	key, value, err := cut(line, f.separator)
	if err != nil {
		return err
	}
	v, err := strconv.ParseFloat(value, 64)
	if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
		return fmt.Errorf("the value %.100q is no finite number: correct the line, or state what stands before the value with -p separator", value)
	}
	emit(key, group[float64]{1, v, v, v})
	return nil
}

// plain is the map function for every line.
func (f fixed) plain(line string, emit func(string, group[int64])) error {
	key, value, err := cut(line, f.separator)
	if err != nil {
		return err
	}
	v, err := parseFixed(value, f.decimals)
	if err != nil {
		return err
	}
	emit(key, group[int64]{1, v, v, v})
	return nil
}

// parseFixed reads a number of at most so many decimals as a whole number: with 1 decimal, "-12.3" is -123 and "7" is 70.
func parseFixed(s string, decimals int) (int64, error) {
	digits, negative := strings.CutPrefix(s, "-")
	if !negative {
		digits = strings.TrimPrefix(s, "+")
	}
	whole, fraction, _ := strings.Cut(digits, ".")
	v, fits, ok := addDigits(0, whole)
	v, fits2, ok2 := addDigits(v, fraction)
	fits = fits && fits2
	for range decimals - len(fraction) {
		fits = fits && v <= math.MaxInt64/10
		v *= 10
	}
	switch {
	case !ok || !ok2 || len(whole)+len(fraction) == 0:
		return 0, fmt.Errorf("the value %.100q is no fixed-point number: correct the line, or read floating-point numbers with -p decimals=-1", s)
	case len(fraction) > decimals:
		return 0, fmt.Errorf("the value %.100q has more decimals than %d: state how many there are with -p decimals=%d", s, decimals, len(fraction))
	case !fits:
		return 0, fmt.Errorf("the value %.100q with %d decimals does not fit into 64 bits: state fewer with -p decimals, or read floating-point numbers with -p decimals=-1", s, decimals)
	case negative:
		return -int64(v), nil
	}
	return int64(v), nil
}

// addDigits appends decimal digits to a number, and reports whether it fits into an int64 and whether all are digits.
func addDigits(v uint64, digits string) (_ uint64, fits, ok bool) {
	fits = true
	for i := range len(digits) {
		d := uint64(digits[i] - '0')
		if d > 9 {
			return 0, false, false
		}
		fits = fits && v <= math.MaxInt64/10 && v*10+d <= math.MaxInt64
		v = v*10 + d
	}
	return v, fits, true
}
