package exact

import (
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
)

func toBig(s Sum) *big.Int {
	return new(big.Int).Add(new(big.Int).Lsh(big.NewInt(s.High), 64), new(big.Int).SetUint64(s.Low))
}

// nearest is x/2^scale as math/big rounds it.
func nearest(x *big.Int, scale int) float64 {
	f := new(big.Float).SetPrec(53).SetMode(big.ToNearestEven).SetInt(x)
	v, _ := f.SetMantExp(f, -scale).Float64()
	return v
}

// numbers are floats of every size and sign.
func numbers(rnd *rand.Rand) float64 {
	x := math.Ldexp(rnd.Float64(), rnd.IntN(80)-60)
	if rnd.IntN(2) == 0 {
		return -x
	}
	return x
}

// Sums are those of math/big, in any order, and become the nearest float.
func TestAdd(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		scale := rnd.IntN(60)
		var s Sum
		want := new(big.Int)
		for range 1 + rnd.IntN(20) {
			x := Int(int64(rnd.Uint64()) >> rnd.IntN(64))
			if rnd.IntN(2) == 0 {
				var ok bool
				if x, ok = Float(numbers(rnd), scale); !ok {
					t.Fatal("a number does not fit")
				}
			}
			s = Add(s, x)
			want.Add(want, toBig(x))
		}
		if toBig(s).Cmp(want) != 0 {
			t.Fatalf("got %v, want %v", toBig(s), want)
		}
		if got := s.Value(scale); got != nearest(want, scale) {
			t.Errorf("%v in units of 2^-%d: got %v, want %v", want, scale, got, nearest(want, scale))
		}
	}
}

// A float is cut off after its last unit, and comes back as it was where none is lost.
func TestFloat(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(3, 4))
	for range 5000 {
		x, scale := numbers(rnd), rnd.IntN(127-20)
		s, ok := Float(x, scale)
		if !ok {
			t.Fatalf("%v in units of 2^-%d does not fit", x, scale)
		}
		exact := new(big.Float).SetFloat64(x)
		want, _ := exact.SetMantExp(exact, scale).Int(nil) // towards zero
		if toBig(s).Cmp(want) != 0 {
			t.Errorf("%v in units of 2^-%d: got %v, want %v", x, scale, toBig(s), want)
		}
	}
	for _, x := range []float64{0, 1, -1, 0.5, -0.1, 1e15, math.Pi} {
		if s, ok := Float(x, 60); !ok || s.Value(60) != x {
			t.Errorf("%v comes back as %v, %v", x, s.Value(60), ok)
		}
	}
	for _, x := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), math.MaxFloat64, math.Ldexp(1, 67)} {
		if s, ok := Float(x, 60); ok {
			t.Errorf("%v fits, as %v", x, s)
		}
	}
	if s, ok := Float(5e-324, 60); !ok || s != (Sum{}) {
		t.Errorf("the smallest float is %v, %v", s, ok)
	}
}

func ExampleAdd() {
	x, y, z := 0.1, 0.2, 0.3
	fmt.Println((x+y)+z == x+(y+z))
	a, _ := Float(x, 64)
	b, _ := Float(y, 64)
	c, _ := Float(z, 64)
	fmt.Println(Add(Add(a, b), c) == Add(a, Add(b, c)))
	// Output:
	// false
	// true
}
