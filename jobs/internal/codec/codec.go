// Package codec turns typed keys and values into bytes and back. A type is compiled once into a Codec, a tree of closures
// over field offsets; encoding then neither reflects nor allocates. It knows no pair, job or engine; package jobs calls it.
//
// Keys keep their order (see Key), values are compact (see Value). Decoded strings and byte slices are views into the
// encoded bytes, which therefore must not change for as long as the decoded value is in use.
package codec

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"time"
	"unsafe"
)

// ErrMalformed reports bytes that are not the encoding of the type.
var ErrMalformed = errors.New("malformed encoding")

// Codec encodes and decodes one type. It is immutable: any number of goroutines may use it.
type Codec struct {
	Type reflect.Type
	// Plain is whether a value owns all its bytes: no string, slice or pointer leads out of it.
	Plain bool
	// Own is whether the type encodes itself, by AppendBinary or MarshalBinary.
	Own bool

	key  bool // it is a key's: see Key
	part bool // no encoding is the beginning of another one: see KeyPart
	node
}

// node is a Codec's way with one type. p points to a value of that type.
//
// The pointers go into indirect calls and so escape: a caller keeps one heap value and encodes from and decodes into that.
type node struct {
	// append writes the value's encoding. It panics with a Fault when the type's own marshaler fails.
	append func(buf []byte, p unsafe.Pointer) []byte
	// decode reads one value into *p, which must be zero, and returns the bytes after it.
	decode func(b []byte, p unsafe.Pointer) (rest []byte, err error)
}

// Fault is what Append panics with when a type's AppendBinary or MarshalBinary returns an error.
type Fault struct{ Err error }

func (f Fault) Error() string { return f.Err.Error() }

func (f Fault) Unwrap() error { return f.Err }

// Append appends the encoding of *p.
func (c *Codec) Append(buf []byte, p unsafe.Pointer) []byte { return c.append(buf, p) }

// Decode reads all of b into *p, which must be the zero value.
func (c *Codec) Decode(b []byte, p unsafe.Pointer) error {
	rest, err := c.decode(b, p)
	if err != nil {
		return fmt.Errorf("decode %v: %w", c.Type, err)
	}
	if len(rest) > 0 {
		return fmt.Errorf("decode %v: %d bytes too many: %w", c.Type, len(rest), ErrMalformed)
	}
	return nil
}

// Cut reads a value off the beginning of b into *p, which must be the zero value, and returns what follows it. The codec must
// be a KeyPart's: only those know where a value ends.
func (c *Codec) Cut(b []byte, p unsafe.Pointer) (rest []byte, err error) {
	if rest, err = c.decode(b, p); err != nil {
		return nil, fmt.Errorf("decode %v: %w", c.Type, err)
	}
	return rest, nil
}

var (
	timeType        = reflect.TypeFor[time.Time]()
	appenderType    = reflect.TypeFor[encoding.BinaryAppender]()
	marshalerType   = reflect.TypeFor[encoding.BinaryMarshaler]()
	unmarshalerType = reflect.TypeFor[encoding.BinaryUnmarshaler]()
)

// field is one field of a struct's plan.
type field struct {
	node
	offset uintptr
}

// sequence is the node of a struct: its fields one after the other.
func sequence(fields []field) node {
	return node{
		append: func(buf []byte, p unsafe.Pointer) []byte {
			for i := range fields {
				buf = fields[i].append(buf, unsafe.Add(p, fields[i].offset))
			}
			return buf
		},
		decode: func(b []byte, p unsafe.Pointer) ([]byte, error) {
			var err error
			for i := range fields {
				if b, err = fields[i].decode(b, unsafe.Add(p, fields[i].offset)); err != nil {
					return nil, err
				}
			}
			return b, nil
		},
	}
}

// array is the node of n elements of size bytes each, one after the other.
func array(elem node, n int, size uintptr) node {
	fields := make([]field, n)
	for i := range fields {
		fields[i] = field{elem, uintptr(i) * size}
	}
	return sequence(fields)
}

// rawArray is the node of an array of n bytes.
func rawArray(n int) node {
	return node{
		append: func(buf []byte, p unsafe.Pointer) []byte {
			return append(buf, unsafe.Slice((*byte)(p), n)...)
		},
		decode: func(b []byte, p unsafe.Pointer) ([]byte, error) {
			if len(b) < n {
				return nil, ErrMalformed
			}
			copy(unsafe.Slice((*byte)(p), n), b)
			return b[n:], nil
		},
	}
}

// rawString is the node of a string, or a byte slice, that is alone in its encoding: its bytes as they are.
func rawString(slice bool) node {
	if slice {
		return node{
			append: func(buf []byte, p unsafe.Pointer) []byte { return append(buf, *(*[]byte)(p)...) },
			decode: func(b []byte, p unsafe.Pointer) ([]byte, error) {
				*(*[]byte)(p) = b[:len(b):len(b)]
				return nil, nil
			},
		}
	}
	return node{
		append: func(buf []byte, p unsafe.Pointer) []byte { return append(buf, *(*string)(p)...) },
		decode: func(b []byte, p unsafe.Pointer) ([]byte, error) {
			*(*string)(p) = unsafe.String(unsafe.SliceData(b), len(b))
			return nil, nil
		},
	}
}

// isBytes reports whether t is a byte slice, of whatever name.
func isBytes(t reflect.Type) bool {
	return t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8
}

// typeError says that the type at path cannot be encoded, why and what to do.
func typeError(path string, t reflect.Type, what string) error {
	if path == "" || path == t.String() {
		return fmt.Errorf("type %v %s", t, what)
	}
	return fmt.Errorf("field %s: type %v %s", path, t, what)
}

// join is the path of a field.
func join(path string, f reflect.StructField) string { return path + "." + f.Name }
