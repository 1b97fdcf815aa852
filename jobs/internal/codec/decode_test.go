package codec

import (
	"math"
	"reflect"
	"strings"
	"testing"
	"time"
	"unsafe"
)

// checkDecoder compares Decoder with Decode on all prefixes of an encoding, and on it with bytes behind it.
func checkDecoder[T any](t *testing.T, c *Codec, values ...T) {
	t.Helper()
	decode := Decoder[T](c)
	for _, v := range values {
		b := c.Append(nil, unsafe.Pointer(&v))
		for n := range len(b) + 2 {
			cut := append(b[:len(b):len(b)], 0x80)[:n]
			want := new(T)
			wantErr := c.Decode(cut, unsafe.Pointer(want))
			got, err := decode(cut)
			if (err == nil) != (wantErr == nil) || err != nil && err.Error() != wantErr.Error() || !reflect.DeepEqual(got, *want) {
				t.Fatalf("%v of %x: %v, %v, want %v, %v", c.Type, cut, got, err, *want, wantErr)
			}
		}
	}
}

type name string

type count int64

// Decoder reads what Decode reads, and refuses the same, with a shortcut or without.
func TestDecoder(t *testing.T) {
	t.Parallel()
	compile := func(f func(reflect.Type) (*Codec, error), typ reflect.Type) *Codec {
		c, err := f(typ)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	ints := []int64{0, 1, -1, 63, 64, -64, -65, 1 << 20, math.MinInt64, math.MaxInt64}
	counts := make([]count, len(ints))
	for i, n := range ints {
		counts[i] = count(n)
	}
	texts := []string{"", "a", "\x00", strings.Repeat("x", 20)}
	for _, f := range []func(reflect.Type) (*Codec, error){Key, Value} {
		checkDecoder(t, compile(f, reflect.TypeFor[string]()), texts...)
		checkDecoder(t, compile(f, reflect.TypeFor[name]()), "", "n")
		checkDecoder(t, compile(f, reflect.TypeFor[int64]()), ints...)
		checkDecoder(t, compile(f, reflect.TypeFor[count]()), counts...)
		checkDecoder(t, compile(f, reflect.TypeFor[int]()), 0, -5, math.MaxInt)
		checkDecoder[uint64](t, compile(f, reflect.TypeFor[uint64]()), 0, 5, math.MaxUint64)
		checkDecoder(t, compile(f, reflect.TypeFor[[]byte]()), []byte{}, []byte("bytes"))
		checkDecoder(t, compile(f, reflect.TypeFor[time.Time]()), time.Unix(5, 6).UTC())
		checkDecoder(t, compile(f, reflect.TypeFor[[2]string]()), [2]string{"a", ""})
	}
}

// BenchmarkDecoder reads a small count, with the shortcut and through the closures.
func BenchmarkDecoder(b *testing.B) {
	c, err := Value(reflect.TypeFor[int64]())
	if err != nil {
		b.Fatal(err)
	}
	in := []byte{2}
	b.Run("shortcut", func(b *testing.B) {
		decode := Decoder[int64](c)
		b.SetBytes(1)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := decode(in); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("plain", func(b *testing.B) {
		v := new(int64)
		b.SetBytes(1)
		b.ReportAllocs()
		for b.Loop() {
			*v = 0
			if err := c.Decode(in, unsafe.Pointer(v)); err != nil {
				b.Fatal(err)
			}
		}
	})
}
