package codec

import (
	"bytes"
	"cmp"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"
)

func encode[T any](t testing.TB, c *Codec, v T) []byte {
	t.Helper()
	return c.Append([]byte{}, unsafe.Pointer(&v))
}

func decode[T any](c *Codec, b []byte) (T, error) {
	var v T
	err := c.Decode(b, unsafe.Pointer(&v))
	return v, err
}

func keyOf[T any](t testing.TB) *Codec {
	t.Helper()
	c, err := Key(reflect.TypeFor[T]())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// checkKeys compares every two of the keys: bytes.Compare of their encodings must be their order in Go. Each must decode to
// a key that compares equal.
func checkKeys[T any](t *testing.T, compare func(a, b T) int, keys ...T) {
	t.Helper()
	c := keyOf[T](t)
	encoded := make([][]byte, len(keys))
	for i, k := range keys {
		encoded[i] = encode(t, c, k)
		if got, err := decode[T](c, encoded[i]); err != nil || compare(got, k) != 0 {
			t.Errorf("%T %v decodes to %v, %v", k, k, got, err)
		}
	}
	for i, a := range keys {
		for j, b := range keys {
			if got, want := bytes.Compare(encoded[i], encoded[j]), compare(a, b); got != want {
				t.Errorf("%T %v and %v: the encodings compare as %d, the keys as %d (%x, %x)", a, a, b, got, want, encoded[i], encoded[j])
			}
		}
	}
}

func ints[T ~int | ~int8 | ~int16 | ~int32 | ~int64 | ~uint | ~uint8 | ~uint16 | ~uint32 | ~uint64](rng *rand.Rand) []T {
	keys := []T{0, 1, 2, T(0) - 1, T(0) - 2}
	for shift := range 64 {
		keys = append(keys, T(1)<<shift, T(1)<<shift-1, T(rng.Uint64()>>shift))
	}
	return keys
}

func floats[T ~float32 | ~float64](rng *rand.Rand) []T {
	keys := []T{0, T(math.Copysign(0, -1)), T(math.NaN()), T(math.Inf(1)), T(math.Inf(-1)), 1, -1,
		math.SmallestNonzeroFloat32, -math.SmallestNonzeroFloat32, math.MaxFloat32, -math.MaxFloat32}
	for range 60 {
		keys = append(keys, T(rng.NormFloat64()*math.Exp(rng.NormFloat64()*30)))
	}
	return keys
}

func texts(rng *rand.Rand) []string {
	keys := []string{"", "\x00", "\x00\x00", "\x00\x01", "\x00\xff", "\x01", "\xff", "a", "a\x00", "a\x00b", "ab", "é", strings.Repeat("x", 300)}
	for range 80 {
		b := make([]byte, rng.IntN(6))
		for i := range b {
			b[i] = "\x00\x01\xfeab\xff"[rng.IntN(6)]
		}
		keys = append(keys, string(b))
	}
	return keys
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

type (
	celsius int16
	word    string
	nested  struct {
		Name word
		At   time.Time
	}
	event struct {
		Site  string
		Count int32
		Inner nested
		Raw   []byte
		Sum   [2]byte
		Pair  [2]string
		Ratio float32
		On    bool
		Last  string
	}
)

// The order of encodings is the order of Go's cmp.Compare for every kind of key: all integer widths at their edges, floats
// with NaN lowest and -0 equal to 0, strings and bytes with zero bytes, times by instant.
func TestKeyOrder(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 2))
	checkKeys(t, compareBool, false, true)
	checkKeys(t, cmp.Compare[int], ints[int](rng)...)
	checkKeys(t, cmp.Compare[int8], ints[int8](rng)...)
	checkKeys(t, cmp.Compare[int16], ints[int16](rng)...)
	checkKeys(t, cmp.Compare[int32], ints[int32](rng)...)
	checkKeys(t, cmp.Compare[int64], ints[int64](rng)...)
	checkKeys(t, cmp.Compare[uint], ints[uint](rng)...)
	checkKeys(t, cmp.Compare[uint8], ints[uint8](rng)...)
	checkKeys(t, cmp.Compare[uint16], ints[uint16](rng)...)
	checkKeys(t, cmp.Compare[uint32], ints[uint32](rng)...)
	checkKeys(t, cmp.Compare[uint64], ints[uint64](rng)...)
	checkKeys(t, cmp.Compare[celsius], ints[celsius](rng)...)
	checkKeys(t, cmp.Compare[float32], floats[float32](rng)...)
	checkKeys(t, cmp.Compare[float64], floats[float64](rng)...)
	checkKeys(t, cmp.Compare[string], texts(rng)...)
	checkKeys(t, cmp.Compare[word], word("b"), word("a"), word(""))
	var raw [][]byte
	for _, s := range texts(rng) {
		raw = append(raw, []byte(s))
	}
	checkKeys(t, bytes.Compare, raw...)
	checkKeys(t, func(a, b [3]byte) int { return bytes.Compare(a[:], b[:]) }, [3]byte{1, 2, 3}, [3]byte{1, 2, 4}, [3]byte{0, 255, 255})
	checkKeys(t, func(a, b [2]int8) int { return slices.Compare(a[:], b[:]) }, [2]int8{-1, 2}, [2]int8{-1, -2}, [2]int8{1, 0})
	checkKeys(t, time.Time.Compare, times(rng)...)
}

func times(rng *rand.Rand) []time.Time {
	zone := time.FixedZone("east", 3*3600)
	keys := []time.Time{{}, time.Unix(0, 0), time.Unix(0, 0).In(zone), time.Unix(-1, 999_999_999), time.Unix(1<<40, 1), time.Date(-5000, 1, 1, 0, 0, 0, 0, time.UTC)}
	for range 40 {
		keys = append(keys, time.Unix(rng.Int64N(1<<34)-1<<33, rng.Int64N(1e9)).In(zone))
	}
	return keys
}

// compareEvents is the order of the struct in Go: field by field.
func compareEvents(a, b event) int {
	return cmp.Or(
		cmp.Compare(a.Site, b.Site), cmp.Compare(a.Count, b.Count), cmp.Compare(a.Inner.Name, b.Inner.Name),
		a.Inner.At.Compare(b.Inner.At), bytes.Compare(a.Raw, b.Raw), bytes.Compare(a.Sum[:], b.Sum[:]),
		slices.Compare(a.Pair[:], b.Pair[:]), cmp.Compare(a.Ratio, b.Ratio), compareBool(a.On, b.On), cmp.Compare(a.Last, b.Last))
}

// Structs, nested ones too, are ordered field by field: no string runs over into the field after it.
func TestKeyOrderOfStructs(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(3, 4))
	text, number, ratio := texts(rng)[:16], []int32{-1, 0, 1, math.MinInt32}, []float32{0, -1, float32(math.NaN())}
	when := times(rng)[:4]
	var keys []event
	for range 300 {
		pick := func() string { return text[rng.IntN(len(text))] }
		keys = append(keys, event{
			Site: text[rng.IntN(3)], Count: number[rng.IntN(2)], Inner: nested{word(text[rng.IntN(3)]), when[rng.IntN(4)]},
			Raw: []byte(text[rng.IntN(3)]), Sum: [2]byte{byte(rng.IntN(2))}, Pair: [2]string{pick(), pick()},
			Ratio: ratio[rng.IntN(3)], On: rng.IntN(2) == 0, Last: pick(),
		})
	}
	checkKeys(t, compareEvents, keys...)
	checkKeys(t, func(a, b struct{}) int { return 0 }, struct{}{})
}

// The order of any two strings within a struct, and of any two floats, as the fuzzer finds them.
func FuzzKeyOrder(f *testing.F) {
	f.Add("a", "a\x00", int64(1), 1.5, math.Copysign(0, -1))
	f.Add("\x00\xff", "\x00", int64(-1), math.Inf(1), math.NaN())
	type key struct {
		S string
		N int64
		F float64
	}
	c, err := Key(reflect.TypeFor[key]())
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, s1, s2 string, n int64, f1, f2 float64) {
		a, b := key{s1, n, f1}, key{s2, -n, f2}
		want := cmp.Or(cmp.Compare(a.S, b.S), cmp.Compare(a.N, b.N), cmp.Compare(a.F, b.F))
		ea, eb := encode(t, c, a), encode(t, c, b)
		if got := bytes.Compare(ea, eb); got != want {
			t.Errorf("%v and %v compare as %d, want %d", a, b, got, want)
		}
		got, err := decode[key](c, ea)
		if err != nil || got.S != a.S || got.N != a.N || cmp.Compare(got.F, a.F) != 0 {
			t.Errorf("%v decodes to %v, %v", a, got, err)
		}
	})
}

// Arbitrary bytes decode to an error or to a key, never to a panic; a key encodes to bytes that decode to it again.
func FuzzKeyDecode(f *testing.F) {
	c := keyOf[event](f)
	f.Add(encode(f, c, event{Site: "a\x00b", Last: "z"}))
	f.Add([]byte("\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		k, err := decode[event](c, data)
		if err != nil {
			return
		}
		again, err := decode[event](c, encode(t, c, k))
		if err != nil || compareEvents(again, k) != 0 {
			t.Errorf("%v encodes and decodes to %v, %v", k, again, err)
		}
	})
}

// A type that has no order is refused with the path of the field and a remedy.
func TestKeyRefuses(t *testing.T) {
	t.Parallel()
	type hidden struct{ name string }
	type deep struct {
		Tags struct{ List []string }
	}
	for _, tt := range []struct {
		typ  reflect.Type
		want string
	}{
		{reflect.TypeFor[[]string](), "type []string cannot be a key: keys are strings"},
		{reflect.TypeFor[map[string]int](), "cannot be a key"},
		{reflect.TypeFor[*int](), "cannot be a key"},
		{reflect.TypeFor[any](), "cannot be a key"},
		{reflect.TypeFor[complex128](), "cannot be a key"},
		{reflect.TypeFor[uintptr](), "cannot be a key"},
		{reflect.TypeFor[deep](), "field codec.deep.Tags.List: type []string cannot be a key"},
		{reflect.TypeOf(hidden{name: "x"}), "field codec.hidden.name: is not exported"},
		{reflect.TypeFor[[2]any](), "field [2]interface {}[]: type interface {} cannot be a key"},
	} {
		if _, err := Key(tt.typ); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v: got error %v, want %q", tt.typ, err, tt.want)
		}
	}
}

// Bytes that are too many or too few are an error that names the type.
func TestKeyDecodeErrors(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 7, 9} {
		if _, err := decode[int64](keyOf[int64](t), make([]byte, n)); err == nil || !strings.Contains(err.Error(), "decode int64") {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}

// Encoding and decoding a struct allocate nothing once the buffer is there.
func TestKeyAllocatesNothing(t *testing.T) {
	c := keyOf[event](t)
	e := &event{Site: "example.org", Raw: []byte("raw"), Last: "last"}
	var got event
	buf := make([]byte, 0, 1024)
	if n := testing.AllocsPerRun(100, func() {
		buf = c.Append(buf[:0], unsafe.Pointer(e))
		if err := c.Decode(buf, unsafe.Pointer(&got)); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkKey(b *testing.B) {
	c := keyOf[event](b)
	e := &event{Site: "example.org", Raw: []byte("raw"), Last: "last"}
	buf := c.Append(nil, unsafe.Pointer(e))
	b.Run("append", func(b *testing.B) {
		b.SetBytes(int64(len(buf)))
		b.ReportAllocs()
		for b.Loop() {
			buf = c.Append(buf[:0], unsafe.Pointer(e))
		}
	})
	b.Run("decode", func(b *testing.B) {
		b.SetBytes(int64(len(buf)))
		b.ReportAllocs()
		for b.Loop() {
			if err := c.Decode(buf, unsafe.Pointer(e)); err != nil {
				b.Fatal(err)
			}
		}
	})
}
