package jobs

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Size is a number of bytes. As a parameter it is written as a whole number with or without a unit: 4096, 64KiB, 1.5GiB
// (powers of 1024), 10kB, 64MB (powers of 1000). Case does not matter.
type Size int64

var sizeUnits = []struct {
	name  string
	bytes float64
}{
	{"kib", 1 << 10}, {"mib", 1 << 20}, {"gib", 1 << 30}, {"tib", 1 << 40},
	{"kb", 1e3}, {"mb", 1e6}, {"gb", 1e9}, {"tb", 1e12},
	{"b", 1}, {"", 1},
}

// ParseSize reads a size of 0 bytes or more.
func ParseSize(text string) (Size, error) {
	lower := strings.ToLower(strings.TrimSpace(text))
	number := strings.TrimRight(lower, "abcdefghijklmnopqrstuvwxyz ")
	unit := strings.TrimSpace(lower[len(number):])
	for _, u := range sizeUnits {
		if u.name != unit {
			continue
		}
		if n, err := strconv.ParseInt(number, 10, 64); err == nil && u.bytes == 1 && n >= 0 {
			return Size(n), nil
		}
		f, err := strconv.ParseFloat(number, 64)
		if err != nil || !(f >= 0) || f*u.bytes >= math.MaxInt64 || f*u.bytes != math.Trunc(f*u.bytes) {
			break
		}
		return Size(f * u.bytes), nil
	}
	return 0, fmt.Errorf("%q is not a size: write bytes like 4096, 64KiB, 64MiB or 1GB", text)
}

// String writes the size in the largest binary unit that divides it.
func (s Size) String() string {
	for i := 3; i >= 0; i-- {
		if u := int64(sizeUnits[i].bytes); s != 0 && int64(s)%u == 0 {
			return strconv.FormatInt(int64(s)/u, 10) + []string{"KiB", "MiB", "GiB", "TiB"}[i]
		}
	}
	return strconv.FormatInt(int64(s), 10) + "B"
}

// Set reads a size of 1 byte or more, so that a Size is a command-line flag as it is.
func (s *Size) Set(text string) error {
	n, err := ParseSize(text)
	if err == nil && n == 0 {
		err = fmt.Errorf("%q is no size to work with: give 1 byte or more, as in 64MiB", text)
	}
	if err == nil {
		*s = n
	}
	return err
}

// Type names the kind of value in help texts.
func (*Size) Type() string { return "SIZE" }
