package codec

import (
	"bytes"
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"
)

// basics are the types without parts.
func basics() []reflect.Type {
	return []reflect.Type{
		reflect.TypeFor[bool](), reflect.TypeFor[int](), reflect.TypeFor[int8](), reflect.TypeFor[int16](), reflect.TypeFor[int32](),
		reflect.TypeFor[int64](), reflect.TypeFor[uint](), reflect.TypeFor[uint8](), reflect.TypeFor[uint16](), reflect.TypeFor[uint32](),
		reflect.TypeFor[uint64](), reflect.TypeFor[float32](), reflect.TypeFor[float64](), reflect.TypeFor[string](),
		reflect.TypeFor[[]byte](), timeType,
	}
}

// randomType makes a type of at most depth levels; keys have no slices and pointers.
func randomType(rng *rand.Rand, depth int, key bool) reflect.Type {
	n := 5
	if key {
		n = 3
	}
	if depth > 0 {
		switch rng.IntN(n) {
		case 1:
			return reflect.ArrayOf(rng.IntN(4), randomType(rng, depth-1, key))
		case 2:
			fields := make([]reflect.StructField, rng.IntN(5))
			for i := range fields {
				fields[i] = reflect.StructField{Name: fmt.Sprint("F", i), Type: randomType(rng, depth-1, key)}
			}
			return reflect.StructOf(fields)
		case 3:
			return reflect.SliceOf(randomType(rng, depth-1, key))
		case 4:
			return reflect.PointerTo(randomType(rng, depth-1, key))
		}
	}
	list := basics()
	return list[rng.IntN(len(list))]
}

// fillRandom sets v to something out of few values, among them the extremes, so that two of them are often equal in part.
func fillRandom(rng *rand.Rand, v reflect.Value) {
	switch k := v.Kind(); {
	case v.Type() == timeType:
		times := []time.Time{{}, time.Unix(0, 0).UTC(), time.Unix(-1, 999).UTC(), time.Unix(1<<40, 1).UTC()}
		v.Set(reflect.ValueOf(times[rng.IntN(len(times))]))
	case k == reflect.Bool:
		v.SetBool(rng.IntN(2) == 0)
	case v.CanInt():
		v.SetInt([]int64{0, 1, -1, 1 << (v.Type().Bits() - 2), -1 << (v.Type().Bits() - 1), int64(rng.IntN(100))}[rng.IntN(6)])
	case v.CanUint():
		v.SetUint([]uint64{0, 1, 1 << (v.Type().Bits() - 1), math.MaxUint64 >> (64 - v.Type().Bits()), uint64(rng.IntN(100))}[rng.IntN(5)])
	case v.CanFloat():
		v.SetFloat([]float64{0, math.Copysign(0, -1), 1.5, -1.5, math.Inf(1), math.Inf(-1), math.NaN(), 1e-40}[rng.IntN(8)])
	case k == reflect.String, isBytes(v.Type()):
		s := []string{"", "a", "a\x00", "a\x00b", "\x00", "\x00\x01", "\x00\xff", "\xff", "ab", strings.Repeat("x", 200)}[rng.IntN(10)]
		v.Set(reflect.ValueOf(s).Convert(v.Type()))
	case k == reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), rng.IntN(4), 5))
		fallthrough
	case k == reflect.Array:
		for i := range v.Len() {
			fillRandom(rng, v.Index(i))
		}
	case k == reflect.Struct:
		for _, f := range v.Fields() {
			fillRandom(rng, f)
		}
	case k == reflect.Pointer:
		if rng.IntN(3) > 0 {
			v.Set(reflect.New(v.Type().Elem()))
			fillRandom(rng, v.Elem())
		}
	}
}

// compareValues orders two values of a key type as Go does.
func compareValues(a, b reflect.Value) int {
	switch k := a.Kind(); {
	case a.Type() == timeType:
		return a.Interface().(time.Time).Compare(b.Interface().(time.Time))
	case k == reflect.Bool:
		return compareBool(a.Bool(), b.Bool())
	case a.CanInt():
		return cmp.Compare(a.Int(), b.Int())
	case a.CanUint():
		return cmp.Compare(a.Uint(), b.Uint())
	case a.CanFloat():
		return cmp.Compare(a.Float(), b.Float())
	case k == reflect.String:
		return cmp.Compare(a.String(), b.String())
	case isBytes(a.Type()):
		return bytes.Compare(a.Bytes(), b.Bytes())
	case k == reflect.Array:
		for i := range a.Len() {
			if c := compareValues(a.Index(i), b.Index(i)); c != 0 {
				return c
			}
		}
	case k == reflect.Struct:
		for i := range a.NumField() {
			if c := compareValues(a.Field(i), b.Field(i)); c != 0 {
				return c
			}
		}
	}
	return 0
}

// roundTrip checks that v's encoding decodes to what encodes to it again, and that neither a piece of it nor it with something
// behind is taken for whole. raw says that the encoding is the bytes as they are, of which each piece is one too.
func roundTrip(t *testing.T, c *Codec, v reflect.Value, raw bool) (encoded []byte) {
	t.Helper()
	encoded = c.Append(nil, v.Addr().UnsafePointer())
	again := reflect.New(v.Type())
	if err := c.Decode(bytes.Clone(encoded), again.UnsafePointer()); err != nil {
		t.Fatalf("%v %+v does not decode: %v", v.Type(), v, err)
	}
	if second := c.Append(nil, again.UnsafePointer()); !bytes.Equal(second, encoded) {
		t.Fatalf("%v %+v encodes to %x, decodes to %+v and encodes to %x", v.Type(), v, encoded, again.Elem(), second)
	}
	if raw {
		return encoded
	}
	for n := range len(encoded) {
		if err := c.Decode(encoded[:n:n], reflect.New(v.Type()).UnsafePointer()); err == nil {
			t.Fatalf("%v: %d of the %d bytes %x decode too", v.Type(), n, len(encoded), encoded)
		}
	}
	if err := c.Decode(append(bytes.Clone(encoded), 0), reflect.New(v.Type()).UnsafePointer()); err == nil {
		t.Fatalf("%v: a byte more than %x decodes too", v.Type(), encoded)
	}
	return encoded
}

// Whatever type of key is made up of the parts that there are: encodings compare as Go compares the keys, equal keys have equal
// bytes (by which they are grouped), and what decodes is whole.
func TestAnyKeyType(t *testing.T) {
	t.Parallel()
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 1))
		typ := randomType(rng, 3, true)
		c, err := Key(typ)
		if err != nil {
			t.Fatalf("seed %d: %v: %v", seed, typ, err)
		}
		raw := typ.Kind() == reflect.String || isBytes(typ)
		var values []reflect.Value
		var encoded [][]byte
		for range 12 {
			v := reflect.New(typ).Elem()
			fillRandom(rng, v)
			values = append(values, v)
			encoded = append(encoded, roundTrip(t, c, v, raw))
		}
		for i, a := range values {
			for j, b := range values {
				if got, want := bytes.Compare(encoded[i], encoded[j]), compareValues(a, b); got != want {
					t.Fatalf("seed %d: %v: %+v and %+v compare as %d, want %d", seed, typ, a, b, got, want)
				}
			}
		}
	}
}

// Whatever type of value is made up, slices and pointers included, comes back whole, and not from less or more.
func TestAnyValueType(t *testing.T) {
	t.Parallel()
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 2))
		typ := randomType(rng, 4, false)
		c, err := Value(typ)
		if err != nil {
			t.Fatalf("seed %d: %v: %v", seed, typ, err)
		}
		raw := typ.Kind() == reflect.String || isBytes(typ)
		for range 12 {
			v := reflect.New(typ).Elem()
			fillRandom(rng, v)
			roundTrip(t, c, v, raw)
		}
	}
}

// Bytes that something has changed on their way decode to an error or to another value, never to a panic or to more memory than
// they could stand for.
func TestDamagedValues(t *testing.T) {
	t.Parallel()
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 3))
		typ := randomType(rng, 3, false)
		c, err := Value(typ)
		if err != nil {
			t.Fatal(err)
		}
		v := reflect.New(typ)
		fillRandom(rng, v.Elem())
		encoded := c.Append(nil, v.UnsafePointer())
		for i := range encoded {
			for _, x := range []byte{1, 0x80, 0xff} {
				damaged := bytes.Clone(encoded)
				damaged[i] ^= x
				if err := c.Decode(damaged, reflect.New(typ).UnsafePointer()); err != nil && !strings.Contains(err.Error(), "decode ") {
					t.Fatalf("seed %d: %v: %v", seed, typ, err)
				}
			}
		}
	}
}

// Whatever type of key is made up, what follows the encodings of KeyPart does not show in how the keys are ordered, equal keys
// begin alike and others do not, and Cut gives back what follows.
func TestAnyKeyPartType(t *testing.T) {
	t.Parallel()
	follow := []string{"", "\x00", "\x00\x01", "\x01", "\xff", "\xff\xff", "a", "a\x00\x01"}
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 4))
		typ := randomType(rng, 3, true)
		c, err := KeyPart(typ)
		if err != nil {
			t.Fatalf("seed %d: %v: %v", seed, typ, err)
		}
		var values []reflect.Value
		var encoded []string
		for range 12 {
			v := reflect.New(typ).Elem()
			fillRandom(rng, v)
			values = append(values, v)
			encoded = append(encoded, string(roundTrip(t, c, v, false)))
		}
		for i, a := range values {
			for j, b := range values {
				want := compareValues(a, b)
				if starts := strings.HasPrefix(encoded[i], encoded[j]); starts != (want == 0) {
					t.Fatalf("seed %d: %v: %x begins with %x: %v, but their keys compare as %d", seed, typ, encoded[i], encoded[j], starts, want)
				}
				x, y := follow[rng.IntN(len(follow))], follow[rng.IntN(len(follow))]
				if got := strings.Compare(encoded[i]+x, encoded[j]+y); want != 0 && got != want {
					t.Fatalf("seed %d: %v: %+v and %+v with %q and %q behind them compare as %d, want %d", seed, typ, a, b, x, y, got, want)
				}
				again := reflect.New(typ)
				rest, err := c.Cut([]byte(encoded[i]+x), again.UnsafePointer())
				if err != nil || string(rest) != x || compareValues(again.Elem(), a) != 0 {
					t.Fatalf("seed %d: %v: %x with %q behind it is cut into %+v and %q, %v", seed, typ, encoded[i], x, again.Elem(), rest, err)
				}
			}
		}
	}
}

// The readers that package jobs uses for the commonest types do not take what follows a KeyPart for the key.
func TestCutter(t *testing.T) {
	t.Parallel()
	checkCutter(t, "mill")
	checkCutter(t, []byte("mi\x00ll"))
	checkCutter(t, int64(-5))
	checkCutter(t, struct {
		A string
		B int8
	}{"x", 1})
}

func checkCutter[T any](t *testing.T, key T) {
	t.Helper()
	c, err := KeyPart(reflect.TypeFor[T]())
	if err != nil {
		t.Fatal(err)
	}
	encoded := c.Append(nil, reflect.ValueOf(&key).UnsafePointer())
	if got, rest, err := Cutter[T](c)(append(bytes.Clone(encoded), "order"...)); err != nil || string(rest) != "order" || !reflect.DeepEqual(got, key) {
		t.Errorf("%T: got %v, %q, %v", key, got, rest, err)
	}
	if got, err := Decoder[T](c)(encoded); err != nil || !reflect.DeepEqual(got, key) {
		t.Errorf("%T: Decoder gave %v, %v", key, got, err)
	}
	if _, _, err := Cutter[T](c)(encoded[:len(encoded)-1]); err == nil {
		t.Errorf("%T: a key without its last byte is one", key)
	}
}
