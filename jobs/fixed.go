package jobs

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// MaxDecimals is the most that a fixed-point number can have: it leaves one digit before the point to 64 bits.
const MaxDecimals = 18

// ParseFixed reads a fixed-point number of at most so many decimals as a whole number of units of the last one: with 1 decimal,
// "-12.3" is -123 and "7" is 70. Sums of such numbers are exact, as sums of floating-point numbers are not. decimals is from 0 to
// MaxDecimals; a number may have a sign, and digits on one side of the point alone.
func ParseFixed(s string, decimals int) (int64, error) {
	if err := checkDecimals(decimals); err != nil {
		return 0, err
	}
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
		return 0, fmt.Errorf("the value %.100q is no fixed-point number", s)
	case len(fraction) > decimals:
		return 0, fmt.Errorf("the value %.100q has %d decimals, more than %d", s, len(fraction), decimals)
	case !fits:
		return 0, fmt.Errorf("the value %.100q with %d decimals does not fit into 64 bits", s, decimals)
	case negative:
		return -int64(v), nil
	}
	return int64(v), nil
}

func checkDecimals(n int) error {
	if n < 0 || n > MaxDecimals {
		return fmt.Errorf("decimals: %d: must be from 0 to %d", n, MaxDecimals)
	}
	return nil
}

// checkCut reports what no line can be taken apart by.
func checkCut(separator string, decimals int) error {
	if separator == "" {
		return errors.New("separator: it is empty: state what stands between key and value")
	}
	return checkDecimals(decimals)
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

// cutFixed is what the function does that FixedCutter returns, for any line.
func cutFixed(line, separator string, decimals int) (key string, value int64, err error) {
	key, text, err := cutLast(line, separator)
	if err == nil {
		value, err = ParseFixed(text, decimals)
	}
	if err != nil {
		key = ""
	}
	return key, value, err
}

// FloatCutter returns a function that takes a line apart at its last separator and reads what follows as a floating-point number,
// which must be finite. The key is a view into the line. An empty separator is an error.
func FloatCutter(separator string) (func(line string) (key string, value float64, err error), error) {
	if err := checkCut(separator, 0); err != nil {
		return nil, err
	}
	return func(line string) (string, float64, error) {
		key, text, err := cutLast(line, separator)
		if err != nil {
			return "", 0, err
		}
		value, err := strconv.ParseFloat(text, 64)
		if err != nil || math.IsNaN(value) || math.IsInf(value, 0) {
			return "", 0, fmt.Errorf("the value %.100q is no finite number", text)
		}
		return key, value, nil
	}, nil
}

// cutLast takes a line apart at its last separator.
func cutLast(line, separator string) (before, after string, err error) {
	i := strings.LastIndex(line, separator)
	if i < 0 {
		return "", "", fmt.Errorf("the line %.100q has no separator %q", line, separator)
	}
	return line[:i], line[i+len(separator):], nil
}
