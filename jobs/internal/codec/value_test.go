package codec

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"
	"unsafe"
)

func valueOf[T any](t testing.TB) *Codec {
	t.Helper()
	c, err := Value(reflect.TypeFor[T]())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// checkValues encodes and decodes each value, and wants it back as it was, alone and within a struct.
func checkValues[T any](t *testing.T, values ...T) {
	t.Helper()
	type around struct {
		Before string
		V      T
		After  uint16
	}
	alone, within := valueOf[T](t), valueOf[around](t)
	for _, v := range values {
		if got, err := decode[T](alone, encode(t, alone, v)); err != nil || !reflect.DeepEqual(got, v) {
			t.Errorf("%T %#v decodes to %#v, %v", v, v, got, err)
		}
		a := around{"x", v, 7}
		if got, err := decode[around](within, encode(t, within, a)); err != nil || !reflect.DeepEqual(got, a) {
			t.Errorf("%T %#v decodes to %#v, %v", a, a, got, err)
		}
	}
}

// appended encodes itself by AppendBinary, marshaled by MarshalBinary.
type (
	appended  struct{ secret string }
	marshaled struct{ n int }
)

func (a appended) AppendBinary(b []byte) ([]byte, error) {
	if a.secret == "bad" {
		return nil, errors.New("bad secret")
	}
	return append(b, a.secret...), nil
}

func (a *appended) UnmarshalBinary(b []byte) error {
	a.secret += string(b) // grows if it is not fresh
	return nil
}

func (m *marshaled) MarshalBinary() ([]byte, error) {
	return binary.AppendVarint(nil, int64(m.n)), nil
}

func (m *marshaled) UnmarshalBinary(b []byte) error {
	n, w := binary.Varint(b)
	if w != len(b) {
		return errors.New("no varint")
	}
	m.n = int(n)
	return nil
}

type order struct {
	ID    uint64
	Lines []line
	Note  *string
	Own   appended
	Owns  []*marshaled
	Table [2][]int8
	At    time.Time
	Empty struct{}
	Flags []struct{}
	On    bool
}

type line struct {
	SKU   string
	Price float64
	Blob  []byte
}

// Every kind of value comes back as it went, with nil and empty told apart within other values.
func TestValuesRoundTrip(t *testing.T) {
	t.Parallel()
	checkValues(t, true, false)
	checkValues[int](t, 0, -1, 1, math.MaxInt64, math.MinInt64)
	checkValues[int8](t, 0, -1, math.MaxInt8, math.MinInt8)
	checkValues[int16](t, 0, -1, math.MaxInt16, math.MinInt16)
	checkValues[int32](t, 0, -1, math.MaxInt32, math.MinInt32)
	checkValues[int64](t, 0, -1, math.MaxInt64, math.MinInt64)
	checkValues[uint](t, 0, math.MaxUint64)
	checkValues[uint8](t, 0, math.MaxUint8)
	checkValues[uint16](t, 0, math.MaxUint16)
	checkValues[uint32](t, 0, math.MaxUint32)
	checkValues[uint64](t, 0, math.MaxUint64)
	checkValues[float32](t, 0, -1.5, float32(math.Inf(-1)), math.SmallestNonzeroFloat32)
	checkValues(t, 0, -1.5, math.Inf(1), math.MaxFloat64)
	checkValues(t, "", "a", "\x00\xff", strings.Repeat("long", 100))
	checkValues(t, []byte{}, []byte{0}, bytes.Repeat([]byte("x"), 300))
	checkValues(t, time.Unix(5, 6).UTC(), time.Time{}, time.Unix(-5, 999_999_999).UTC())
	checkValues(t, []string(nil), []string{}, []string{"", "b"})
	checkValues(t, [2]int{1, -1})
	checkValues(t, [3]byte{1, 2, 3})
	checkValues(t, (*int)(nil), new(int))
	checkValues(t, appended{}, appended{"s"})
	checkValues(t, &appended{"s"}, nil)
	checkValues(t, marshaled{5})
	note := "note"
	checkValues(t, order{}, order{
		ID: 1 << 60, Lines: []line{{"a", 1.5, nil}, {"b", -2, []byte{}}, {"", 0, []byte("blob")}}, Note: &note,
		Own: appended{"own"}, Owns: []*marshaled{{5}, nil}, Table: [2][]int8{{1, -1}, nil}, At: time.Unix(1, 2).UTC(),
		Flags: make([]struct{}, 3), On: true,
	})
}

// A float keeps the bits of its -0 and NaN.
func TestValueFloatBits(t *testing.T) {
	t.Parallel()
	c := valueOf[float64](t)
	for _, bits := range []uint64{1 << 63, 0x7ff8000000000123} {
		got, err := decode[float64](c, encode(t, c, math.Float64frombits(bits)))
		if err != nil || math.Float64bits(got) != bits {
			t.Errorf("%x decodes to %x, %v", bits, math.Float64bits(got), err)
		}
	}
}

// Small numbers take one byte.
func TestValuesAreCompact(t *testing.T) {
	t.Parallel()
	if b := encode(t, valueOf[int64](t), int64(-1)); len(b) != 1 {
		t.Errorf("-1 takes %d bytes", len(b))
	}
	if b := encode(t, valueOf[line](t), line{}); len(b) != 1+8+1 {
		t.Errorf("an empty line takes %d bytes", len(b))
	}
}

// What is no value type is refused with the field's path and a remedy.
func TestValueRefuses(t *testing.T) {
	t.Parallel()
	type tree struct{ Children []tree }
	type hidden struct{ name string }
	type deep struct{ A []struct{ M map[string]int } }
	for _, tt := range []struct {
		typ  reflect.Type
		want string
	}{
		{reflect.TypeFor[map[string]int](), "use a slice of pairs"},
		{reflect.TypeFor[deep](), "field codec.deep.A[].M: type map[string]int cannot be a value"},
		{reflect.TypeFor[func()](), "cannot be a value: values are"},
		{reflect.TypeFor[error](), "cannot be a value"},
		{reflect.TypeFor[chan int](), "cannot be a value"},
		{reflect.TypeFor[tree](), "field codec.tree.Children[]: type codec.tree contains itself: give it AppendBinary"},
		{reflect.TypeOf(hidden{name: "x"}), "field codec.hidden.name: is not exported"},
	} {
		if _, err := Value(tt.typ); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v: got error %v, want %q", tt.typ, err, tt.want)
		}
	}
}

// Plain is for values that lead nowhere, Own for those with methods.
func TestValueProperties(t *testing.T) {
	t.Parallel()
	if !valueOf[struct {
		N [2]int
		T time.Time
	}](t).Plain {
		t.Error("numbers and times are plain")
	}
	for _, c := range []*Codec{valueOf[string](t), valueOf[[]int](t), valueOf[*int](t), valueOf[line](t)} {
		if c.Plain || c.Own {
			t.Errorf("%v: plain %v, own %v", c.Type, c.Plain, c.Own)
		}
	}
	if !valueOf[appended](t).Own {
		t.Error("appended encodes itself")
	}
}

// A failing AppendBinary ends in a Fault that wraps its error.
func TestValueFault(t *testing.T) {
	t.Parallel()
	defer func() {
		f, ok := recover().(Fault)
		if !ok || !strings.Contains(f.Error(), "bad secret") || errors.Unwrap(f) == nil {
			t.Errorf("recovered %v", f)
		}
	}()
	encode(t, valueOf[appended](t), appended{"bad"})
}

// Arbitrary bytes decode to an error or a value, never to a panic or a huge allocation; a value comes back as it went.
func FuzzValueDecode(f *testing.F) {
	c := valueOf[order](f)
	f.Add(encode(f, c, order{Lines: []line{{"a", 1.5, nil}}, Owns: []*marshaled{{5}, nil}}))
	f.Add([]byte("\x01\xff\xff\xff\xff\x07"))
	f.Fuzz(func(t *testing.T, data []byte) {
		v, err := decode[order](c, data)
		if err != nil || len(v.Flags) > 1000 {
			return
		}
		again, err := decode[order](c, encode(t, c, v))
		if err != nil || !bytes.Equal(encode(t, c, again), encode(t, c, v)) {
			t.Errorf("%v encodes and decodes to %v, %v", v, again, err)
		}
	})
}

// Numbers, strings and structs of these are encoded and decoded without an allocation.
func TestValueAllocatesNothing(t *testing.T) {
	c := valueOf[line](t)
	in, out := &line{"sku", 1.5, []byte("blob")}, &line{}
	buf := make([]byte, 0, 100)
	if n := testing.AllocsPerRun(100, func() {
		buf = c.Append(buf[:0], unsafe.Pointer(in))
		if err := c.Decode(buf, unsafe.Pointer(out)); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkValue(b *testing.B) {
	c := valueOf[line](b)
	in, out := &line{"sku", 1.5, []byte("blob")}, &line{}
	buf := c.Append(nil, unsafe.Pointer(in))
	b.SetBytes(int64(len(buf)))
	b.ReportAllocs()
	for b.Loop() {
		buf = c.Append(buf[:0], unsafe.Pointer(in))
		if err := c.Decode(buf, unsafe.Pointer(out)); err != nil {
			b.Fatal(err)
		}
	}
}
