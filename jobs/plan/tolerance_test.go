package plan

import (
	"math"
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"
)

// What a person states is read, and printed as it can be read again; what is no number or share is refused with the remedy.
func TestParseTolerance(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		in    string
		want  Tolerance
		print string
	}{
		{"", Tolerance{}, "0"},
		{"0", Tolerance{}, "0"},
		{"7", Tolerance{Records: 7}, "7"},
		{"9223372036854775807", Tolerance{Records: math.MaxInt64}, "9223372036854775807"},
		{"0%", Tolerance{}, "0"},
		{"0.5%", Tolerance{PPM: 5000}, "0.5%"},
		{"0.0001%", Tolerance{PPM: 1}, "0.0001%"},
		{"12.34%", Tolerance{PPM: 123400}, "12.34%"},
		{"10%", Tolerance{PPM: 100000}, "10%"},
		{"100%", Tolerance{PPM: 1000000}, "100%"},
		{"1.%", Tolerance{PPM: 10000}, "1%"},
	} {
		got, err := ParseTolerance(tt.in)
		if err != nil || got != tt.want || got.String() != tt.print {
			t.Errorf("%q: got %+v (%s), %v, want %+v (%s)", tt.in, got, got, err, tt.want, tt.print)
		}
		if again, err := ParseTolerance(got.String()); err != nil || again != got {
			t.Errorf("%q printed as %q is read as %+v, %v", tt.in, got, again, err)
		}
		if err := got.check(); err != nil || got.Any() != (got != Tolerance{}) {
			t.Errorf("%q: %v, any: %v", tt.in, err, got.Any())
		}
	}
	for _, in := range []string{"-1", "x", "1.5", "%", ".5%", "+1%", "-1%", "1.2.3%", "100.0001%", "101%", "0.00001%", "1e3", "9223372036854775808", " 1", "1 %", "99999999999999999999%"} {
		if got, err := ParseTolerance(in); err == nil || !strings.Contains(err.Error(), "as 100") {
			t.Errorf("%q: got %+v, %v", in, got, err)
		}
	}
	for _, bad := range []Tolerance{{Records: -1}, {PPM: -1}, {PPM: 1000001}, {Records: 1, PPM: 1}} {
		if err := bad.check(); err == nil {
			t.Errorf("%+v passes", bad)
		}
	}
}

// A share is judged exactly, for any number of records, as fractions do it.
func TestToleranceAllows(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		t            Tolerance
		bad, records int64
		want         bool
	}{
		{Tolerance{}, 0, 0, true},
		{Tolerance{}, 1, 1000, false},
		{Tolerance{Records: 3}, 3, 3, true},
		{Tolerance{Records: 3}, 4, 1000, false},
		{Tolerance{PPM: 100000}, 1, 10, true},
		{Tolerance{PPM: 100000}, 1, 9, false},
		{Tolerance{PPM: 1}, 0, 0, true},
		{Tolerance{PPM: 1000000}, 5, 5, true},
		{Tolerance{PPM: 1}, math.MaxInt64/1000000 + 1, math.MaxInt64, false},
	} {
		if got := tt.t.Allows(tt.bad, tt.records); got != tt.want {
			t.Errorf("%v, %d of %d: got %v", tt.t, tt.bad, tt.records, got)
		}
	}
	rnd := rand.New(rand.NewPCG(4, 2))
	for range 100_000 {
		records := rnd.Int64() >> rnd.IntN(63)
		tol := Tolerance{PPM: rnd.Int64N(1_000_001)}
		most := new(big.Int).Div(new(big.Int).Mul(big.NewInt(records), big.NewInt(tol.PPM)), big.NewInt(1_000_000)).Int64()
		if tol.PPM > 0 && (!tol.Allows(most, records) || tol.Allows(most+1, records)) {
			t.Fatalf("%v of %d records: %d are to be the most", tol, records, most)
		}
	}
}

// A task is bounded by a number, and by a share not at all.
func TestToleranceMost(t *testing.T) {
	t.Parallel()
	if got := (Tolerance{Records: 7}).Most(); got != 7 {
		t.Errorf("got %d", got)
	}
	if got := (Tolerance{PPM: 7}).Most(); got != math.MaxInt64 {
		t.Errorf("got %d", got)
	}
}
