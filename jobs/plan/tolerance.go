package plan

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Tolerance is how many bad records a job may set aside. The zero value is none: the first one fails the job.
type Tolerance struct {
	Records int64 // at most so many
	PPM     int64 // or so many in a million of all records of the job, at most; of both one is 0
}

// ppmDigits is how many digits behind the point a percentage may have.
const ppmDigits = 4

// ParseTolerance reads a number of records, as "100", or a percentage of them, as "0.5%". "" is none.
func ParseTolerance(s string) (Tolerance, error) {
	wrong := errors.New("give a number of records, as 100, or a percentage of all records up to 100% with at most " +
		strconv.Itoa(ppmDigits) + " digits behind the point, as 0.5%")
	number, percent := strings.CutSuffix(s, "%")
	switch {
	case s == "":
		return Tolerance{}, nil
	case !percent:
		n, err := strconv.ParseInt(number, 10, 64)
		if err != nil || n < 0 {
			return Tolerance{}, wrong
		}
		return Tolerance{Records: n}, nil
	}
	whole, part, _ := strings.Cut(number, ".")
	if len(part) > ppmDigits || strings.ContainsAny(number, "+-") {
		return Tolerance{}, wrong
	}
	n, err := strconv.ParseInt(whole+part+strings.Repeat("0", ppmDigits-len(part)), 10, 64)
	if err != nil || whole == "" || n > 1_000_000 {
		return Tolerance{}, wrong
	}
	return Tolerance{PPM: n}, nil
}

// String is what ParseTolerance reads.
func (t Tolerance) String() string {
	if t.PPM == 0 {
		return strconv.FormatInt(t.Records, 10)
	}
	s := fmt.Sprintf("%d.%04d", t.PPM/10_000, t.PPM%10_000)
	return strings.TrimSuffix(strings.TrimRight(s, "0"), ".") + "%"
}

// Any says whether bad records may be set aside at all.
func (t Tolerance) Any() bool { return t.Records > 0 || t.PPM > 0 }

// Most is how many bad records one task may set aside, as far as it can know. A share can be judged only of the whole job.
func (t Tolerance) Most() int64 {
	if t.PPM > 0 {
		return math.MaxInt64
	}
	return t.Records
}

// Allows says whether a job with so many records may have so many bad ones among them.
func (t Tolerance) Allows(bad, records int64) bool {
	if t.PPM == 0 {
		return bad <= t.Records
	}
	// bad/records <= PPM/1e6, without a product that overflows
	return bad <= records/1_000_000*t.PPM+records%1_000_000*t.PPM/1_000_000
}

func (t Tolerance) check() error {
	if t.Records < 0 || t.PPM < 0 || t.PPM > 1_000_000 || t.Records > 0 && t.PPM > 0 {
		return fmt.Errorf("bad records %d and %d in a million: give one of both, of 0 or more and up to 1,000,000 in a million", t.Records, t.PPM)
	}
	return nil
}
