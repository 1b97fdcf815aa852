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

// floats takes apart lines whose values are floating-point numbers.
type floats struct{ separator string }

func (f floats) cut(line string) (key string, v float64, err error) {
	key, value, err := cut(line, f.separator)
	if err != nil {
		return "", 0, err
	}
	v, err = strconv.ParseFloat(value, 64)
	if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
		return "", 0, fmt.Errorf("the value %.100q is no finite number: correct the line, or state what stands before the value with -p separator", value)
	}
	return key, v, nil
}

// cutPlain is what cut does, for every line.
func (f *fixed) cutPlain(line string) (key string, v int64, err error) {
	key, value, err := cut(line, f.separator)
	if err != nil {
		return "", 0, err
	}
	v, err = parseFixed(value, f.decimals)
	return key, v, err
}

// parseFixed reads a number of at most so many decimals as a whole number: with 1 decimal, "-12.3" is -123 and "7" is 70.
func parseFixed(s string, decimals int) (int64, error) {
	digits, negative := strings.CutPrefix(s, "-")
	if !negative {
		digits = strings.TrimPrefix(s, "+")
	}
	whole, fraction, _ := strings.Cut(digits, ".")
	if whole+fraction == "" || strings.Trim(whole, "0123456789")+strings.Trim(fraction, "0123456789") != "" {
		return 0, fmt.Errorf("the value %.100q is no fixed-point number: correct the line, or read floating-point numbers with -p decimals=-1", s)
	}
	if len(fraction) > decimals {
		return 0, fmt.Errorf("the value %.100q has more decimals than %d: state how many there are with -p decimals=%d", s, decimals, len(fraction))
	}
	v, err := strconv.ParseInt(whole+fraction+strings.Repeat("0", decimals-len(fraction)), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("the value %.100q with %d decimals does not fit into 64 bits: state fewer with -p decimals, or read floating-point numbers with -p decimals=-1", s, decimals)
	}
	if negative {
		v = -v
	}
	return v, nil
}
