package codec

import (
	"encoding/binary"
	"math"
	"reflect"
	"unsafe"
)

// valueNumber is the node of a bool or a number as part of a value, and whether t is one.
func valueNumber(t reflect.Type) (node, bool) {
	switch t.Kind() {
	case reflect.Bool:
		return keyBool(), true
	case reflect.Int8, reflect.Uint8:
		return keyInt(1, false), true
	case reflect.Int16:
		return varint[int16](), true
	case reflect.Int32:
		return varint[int32](), true
	case reflect.Int64, reflect.Int:
		return varint[int64](), true
	case reflect.Uint16:
		return uvarint[uint16](), true
	case reflect.Uint32:
		return uvarint[uint32](), true
	case reflect.Uint64, reflect.Uint:
		return uvarint[uint64](), true
	case reflect.Float32:
		return valueFloat32(), true
	case reflect.Float64:
		return valueFloat64(), true
	}
	return node{}, false
}

func varint[N int16 | int32 | int64]() node {
	return node{
		append: func(buf []byte, p unsafe.Pointer) []byte { return binary.AppendVarint(buf, int64(*(*N)(p))) },
		decode: func(b []byte, p unsafe.Pointer) ([]byte, error) {
			x, w := binary.Varint(b)
			if w <= 0 || int64(N(x)) != x {
				return nil, ErrMalformed
			}
			*(*N)(p) = N(x)
			return b[w:], nil
		},
	}
}

func uvarint[N uint16 | uint32 | uint64]() node {
	return node{
		append: func(buf []byte, p unsafe.Pointer) []byte { return binary.AppendUvarint(buf, uint64(*(*N)(p))) },
		decode: func(b []byte, p unsafe.Pointer) ([]byte, error) {
			x, w := binary.Uvarint(b)
			if w <= 0 || uint64(N(x)) != x {
				return nil, ErrMalformed
			}
			*(*N)(p) = N(x)
			return b[w:], nil
		},
	}
}

// Floats are stored bit by bit: a value, unlike a key, keeps its -0 and its NaN's payload.

func valueFloat32() node {
	return node{
		append: func(buf []byte, p unsafe.Pointer) []byte {
			return binary.LittleEndian.AppendUint32(buf, math.Float32bits(*(*float32)(p)))
		},
		decode: func(b []byte, p unsafe.Pointer) ([]byte, error) {
			if len(b) < 4 {
				return nil, ErrMalformed
			}
			*(*float32)(p) = math.Float32frombits(binary.LittleEndian.Uint32(b))
			return b[4:], nil
		},
	}
}

func valueFloat64() node {
	return node{
		append: func(buf []byte, p unsafe.Pointer) []byte {
			return binary.LittleEndian.AppendUint64(buf, math.Float64bits(*(*float64)(p)))
		},
		decode: func(b []byte, p unsafe.Pointer) ([]byte, error) {
			if len(b) < 8 {
				return nil, ErrMalformed
			}
			*(*float64)(p) = math.Float64frombits(binary.LittleEndian.Uint64(b))
			return b[8:], nil
		},
	}
}
