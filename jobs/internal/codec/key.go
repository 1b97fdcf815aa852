package codec

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"reflect"
	"time"
	"unsafe"
)

// The encoding of keys. bytes.Compare of two encodings is the order of the typed keys in Go: cmp.Compare for numbers and
// strings, false before true, time.Time by instant, arrays and structs element by element.
//
//	bool                 1 byte, 0 or 1
//	intN, uintN          N/8 bytes, big endian, the sign bit flipped; int and uint have 64 bits
//	float32, float64     4 or 8 bytes, big endian: all zero for NaN, else the sign bit flipped, or all bits when negative
//	string, []byte       alone: as they are; within a struct or array: 0x00 becomes 0x00 0xFF, and 0x00 0x01 ends it
//	[N]byte              N bytes
//	time.Time            seconds since 1970 as an int64, nanoseconds as a uint32
//	[N]T, struct         their elements or fields, end to end
const (
	escape     = 0x00
	escapedNul = 0xFF // after escape: a zero byte of the string
	terminator = 0x01 // after escape: the end of the string; below escapedNul, so that a prefix sorts first
)

// Key compiles the codec of a key type. The error names the field that has no order.
func Key(t reflect.Type) (*Codec, error) {
	n, err := keyNode(t, t.String(), true)
	if err != nil {
		return nil, err
	}
	return &Codec{Type: t, Plain: isPlain(t), key: true, node: n}, nil
}

// KeyPart compiles the codec of a key that more bytes may follow: a string is encoded as it is within a struct, so that no
// key's encoding is the beginning of another one's. The order is the same. Two encodings with anything behind them are
// therefore ordered by their keys first, and of one key exactly if they begin with the same encoding.
func KeyPart(t reflect.Type) (*Codec, error) {
	n, err := keyNode(t, t.String(), false)
	if err != nil {
		return nil, err
	}
	return &Codec{Type: t, Plain: isPlain(t), key: true, part: true, node: n}, nil
}

const keyRemedy = "cannot be a key: keys are strings, bytes, numbers, bools, times, and arrays and structs of these"

func keyNode(t reflect.Type, path string, alone bool) (node, error) {
	switch {
	case t == timeType:
		return keyTime(), nil
	case isBytes(t) && alone:
		return rawString(true), nil
	case isBytes(t):
		return keyBytes(), nil
	}
	switch t.Kind() {
	case reflect.Bool:
		return keyBool(), nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return keyInt(t.Size(), true), nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return keyInt(t.Size(), false), nil
	case reflect.Float32:
		return keyFloat32(), nil
	case reflect.Float64:
		return keyFloat64(), nil
	case reflect.String:
		if alone {
			return rawString(false), nil
		}
		return keyString(), nil
	case reflect.Array:
		return keyArray(t, path)
	case reflect.Struct:
		return keyStruct(t, path)
	}
	return node{}, typeError(path, t, keyRemedy)
}

func keyArray(t reflect.Type, path string) (node, error) {
	if t.Elem().Kind() == reflect.Uint8 {
		return rawArray(t.Len()), nil
	}
	elem, err := keyNode(t.Elem(), path+"[]", false)
	if err != nil {
		return node{}, err
	}
	return array(elem, t.Len(), t.Elem().Size()), nil
}

func keyStruct(t reflect.Type, path string) (node, error) {
	var fields []field
	for f := range t.Fields() {
		if !f.IsExported() {
			return node{}, fmt.Errorf("field %s: is not exported, so two keys that differ in it would be one; export it or leave it out of the key", join(path, f))
		}
		n, err := keyNode(f.Type, join(path, f), false)
		if err != nil {
			return node{}, err
		}
		fields = append(fields, field{n, f.Offset})
	}
	return sequence(fields), nil
}

func keyBool() node {
	return node{
		append: func(buf []byte, p unsafe.Pointer) []byte {
			if *(*bool)(p) {
				return append(buf, 1)
			}
			return append(buf, 0)
		},
		decode: func(b []byte, p unsafe.Pointer) ([]byte, error) {
			if len(b) < 1 || b[0] > 1 {
				return nil, ErrMalformed
			}
			*(*bool)(p) = b[0] == 1
			return b[1:], nil
		},
	}
}

// keyInt is the node of an integer of so many bytes.
func keyInt(size uintptr, signed bool) node {
	flip := uint64(0)
	if signed {
		flip = 1 << (8*size - 1)
	}
	n := node{decode: func(b []byte, p unsafe.Pointer) ([]byte, error) { return decodeInt(b, p, size, flip) }}
	switch size {
	case 1:
		n.append = func(buf []byte, p unsafe.Pointer) []byte { return append(buf, *(*uint8)(p)^uint8(flip)) }
	case 2:
		n.append = func(buf []byte, p unsafe.Pointer) []byte {
			return binary.BigEndian.AppendUint16(buf, *(*uint16)(p)^uint16(flip))
		}
	case 4:
		n.append = func(buf []byte, p unsafe.Pointer) []byte {
			return binary.BigEndian.AppendUint32(buf, *(*uint32)(p)^uint32(flip))
		}
	default:
		n.append = func(buf []byte, p unsafe.Pointer) []byte {
			return binary.BigEndian.AppendUint64(buf, *(*uint64)(p)^flip)
		}
	}
	return n
}

func decodeInt(b []byte, p unsafe.Pointer, size uintptr, flip uint64) ([]byte, error) {
	if len(b) < int(size) {
		return nil, ErrMalformed
	}
	switch size {
	case 1:
		*(*uint8)(p) = b[0] ^ uint8(flip)
	case 2:
		*(*uint16)(p) = binary.BigEndian.Uint16(b) ^ uint16(flip)
	case 4:
		*(*uint32)(p) = binary.BigEndian.Uint32(b) ^ uint32(flip)
	default:
		*(*uint64)(p) = binary.BigEndian.Uint64(b) ^ flip
	}
	return b[size:], nil
}

func keyFloat64() node {
	return node{
		append: func(buf []byte, p unsafe.Pointer) []byte {
			f := *(*float64)(p)
			u := math.Float64bits(f + 0) // -0 + 0 is +0: they are equal in Go, so they are one key
			switch {
			case f != f:
				u = 0
			case u>>63 == 1:
				u = ^u
			default:
				u |= 1 << 63
			}
			return binary.BigEndian.AppendUint64(buf, u)
		},
		decode: func(b []byte, p unsafe.Pointer) ([]byte, error) {
			if len(b) < 8 {
				return nil, ErrMalformed
			}
			u := binary.BigEndian.Uint64(b)
			switch {
			case u == 0:
				u = math.Float64bits(math.NaN())
			case u>>63 == 1:
				u &^= 1 << 63
			default:
				u = ^u
			}
			*(*float64)(p) = math.Float64frombits(u)
			return b[8:], nil
		},
	}
}

func keyFloat32() node {
	return node{
		append: func(buf []byte, p unsafe.Pointer) []byte {
			f := *(*float32)(p)
			u := math.Float32bits(f + 0)
			switch {
			case f != f:
				u = 0
			case u>>31 == 1:
				u = ^u
			default:
				u |= 1 << 31
			}
			return binary.BigEndian.AppendUint32(buf, u)
		},
		decode: func(b []byte, p unsafe.Pointer) ([]byte, error) {
			if len(b) < 4 {
				return nil, ErrMalformed
			}
			u := binary.BigEndian.Uint32(b)
			switch {
			case u == 0:
				u = math.Float32bits(float32(math.NaN()))
			case u>>31 == 1:
				u &^= 1 << 31
			default:
				u = ^u
			}
			*(*float32)(p) = math.Float32frombits(u)
			return b[4:], nil
		},
	}
}

// keyTime drops the zone: two times are one key when they are the same instant. They decode in UTC.
func keyTime() node {
	return node{
		append: func(buf []byte, p unsafe.Pointer) []byte {
			t := (*time.Time)(p)
			buf = binary.BigEndian.AppendUint64(buf, uint64(t.Unix())^1<<63)
			return binary.BigEndian.AppendUint32(buf, uint32(t.Nanosecond()))
		},
		decode: func(b []byte, p unsafe.Pointer) ([]byte, error) {
			if len(b) < 12 {
				return nil, ErrMalformed
			}
			nanos := binary.BigEndian.Uint32(b[8:])
			if nanos >= 1e9 {
				return nil, ErrMalformed
			}
			*(*time.Time)(p) = time.Unix(int64(binary.BigEndian.Uint64(b)^1<<63), int64(nanos)).UTC()
			return b[12:], nil
		},
	}
}

func keyString() node {
	return node{
		append: func(buf []byte, p unsafe.Pointer) []byte {
			s := *(*string)(p)
			return appendEscaped(buf, unsafe.Slice(unsafe.StringData(s), len(s)))
		},
		decode: func(b []byte, p unsafe.Pointer) ([]byte, error) {
			s, rest, err := cutEscaped(b)
			*(*string)(p) = unsafe.String(unsafe.SliceData(s), len(s))
			return rest, err
		},
	}
}

func keyBytes() node {
	return node{
		append: func(buf []byte, p unsafe.Pointer) []byte { return appendEscaped(buf, *(*[]byte)(p)) },
		decode: func(b []byte, p unsafe.Pointer) ([]byte, error) {
			s, rest, err := cutEscaped(b)
			*(*[]byte)(p) = s
			return rest, err
		},
	}
}

func appendEscaped(buf, s []byte) []byte {
	for {
		i := bytes.IndexByte(s, escape)
		if i < 0 {
			buf = append(buf, s...)
			return append(buf, escape, terminator)
		}
		buf = append(buf, s[:i]...)
		buf = append(buf, escape, escapedNul)
		s = s[i+1:]
	}
}

// cutEscaped splits an escaped string off b: a view into b, or a copy when it holds zero bytes.
func cutEscaped(b []byte) (s, rest []byte, err error) {
	var own []byte
	for {
		i := bytes.IndexByte(b, escape)
		if i < 0 || i+1 >= len(b) {
			return nil, nil, ErrMalformed
		}
		switch b[i+1] {
		case terminator:
			if own == nil {
				return b[:i:i], b[i+2:], nil
			}
			return append(own, b[:i]...), b[i+2:], nil
		case escapedNul:
			own = append(append(own, b[:i]...), 0)
			b = b[i+2:]
		default:
			return nil, nil, ErrMalformed
		}
	}
}
