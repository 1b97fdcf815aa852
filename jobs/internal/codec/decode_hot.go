package codec

import (
	"encoding/binary"
	"reflect"
	"unsafe"
)

// Reading the commonest types, one call for each value. Codec.Decode is the plain reference: it goes through a closure for
// each part of the type and a value on the heap, and checks for bytes left over; a small count takes it 8 ns, where
// the shortcut takes 3 (BenchmarkDecoder).

// Decoder returns the function that reads a T as c does. What it returns is for one goroutine.
func Decoder[T any](c *Codec) func(b []byte) (T, error) {
	if !c.Own && !c.part {
		switch k := c.Type.Kind(); {
		case k == reflect.String:
			return func(b []byte) (T, error) {
				s := unsafe.String(unsafe.SliceData(b), len(b))
				return *(*T)(unsafe.Pointer(&s)), nil
			}
		case isBytes(c.Type):
			return func(b []byte) (T, error) {
				b = b[:len(b):len(b)]
				return *(*T)(unsafe.Pointer(&b)), nil
			}
		case (k == reflect.Int64 || k == reflect.Int) && !c.key:
			return decodeInt64[T](c)
		}
	}
	slot := new(T) // every value escapes that a closure of the codec is given; this one does so once
	return func(b []byte) (T, error) {
		var zero T
		*slot = zero
		err := c.Decode(b, unsafe.Pointer(slot))
		return *slot, err
	}
}

// Cutter returns the function that reads a T off the beginning of what it is given, as c.Cut does. What it returns is for one
// goroutine.
func Cutter[T any](c *Codec) func(b []byte) (v T, rest []byte, err error) {
	slot := new(T)
	return func(b []byte) (T, []byte, error) {
		var zero T
		*slot = zero
		rest, err := c.Cut(b, unsafe.Pointer(slot))
		return *slot, rest, err
	}
}

// decodeInt64 reads zigzag varints, T being a kind of int64.
func decodeInt64[T any](c *Codec) func(b []byte) (T, error) {
	return func(b []byte) (T, error) {
		var u uint64
		var w int
		if len(b) == 1 && b[0] < 0x80 {
			u = uint64(b[0])
		} else if u, w = binary.Uvarint(b); w != len(b) || w == 0 {
			return malformed[T](c, b)
		}
		n := int64(u>>1) ^ -int64(u&1)
		return *(*T)(unsafe.Pointer(&n)), nil
	}
}

// malformed lets the plain way state what is wrong with b.
func malformed[T any](c *Codec, b []byte) (T, error) {
	v := new(T)
	err := c.Decode(b, unsafe.Pointer(v))
	return *v, err
}
