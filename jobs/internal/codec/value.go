package codec

import (
	"encoding"
	"encoding/binary"
	"fmt"
	"math"
	"reflect"
	"runtime"
	"slices"
	"time"
	"unsafe"
)

// The encoding of values.
//
//	bool, int8, uint8    1 byte
//	intN                 zigzag varint
//	uintN                uvarint
//	float32, float64     4 or 8 bytes, little endian
//	string, []byte       alone: as they are; within another value: length as uvarint, bytes; a nil slice as below
//	[]T                  0 for nil, else length + 1 as uvarint, then the elements
//	*T                   0 for nil, else 1 and the T
//	time.Time            seconds since 1970 as zigzag varint, nanoseconds as uvarint; the zone is dropped
//	[N]T, struct         their elements or fields, end to end
//	own encoding         alone: as it is; within another value: length as 4 bytes little endian, bytes

// Value compiles the codec of a value type. The error names the field that cannot be encoded.
func Value(t reflect.Type) (*Codec, error) {
	c := valueCompiler{}
	n, err := c.node(t, t.String(), true)
	if err != nil {
		return nil, err
	}
	return &Codec{Type: t, Plain: isPlain(t), Own: t != timeType && hasOwnEncoding(t), node: n}, nil
}

// valueCompiler remembers the types around the one it compiles, to find the ones that contain themselves.
type valueCompiler struct{ outer []reflect.Type }

func (c *valueCompiler) node(t reflect.Type, path string, alone bool) (node, error) {
	if slices.Contains(c.outer, t) {
		return node{}, typeError(path, t, "contains itself: give it AppendBinary and UnmarshalBinary methods")
	}
	c.outer = append(c.outer, t)
	defer func() { c.outer = c.outer[:len(c.outer)-1] }()

	switch {
	case t == timeType:
		return valueTime(), nil
	case inheritsEncoding(t):
		return node{}, typeError(path, t, "embeds a type that encodes itself, so that its other fields would be lost: give that field a name, or the struct methods of its own")
	case hasOwnEncoding(t):
		return valueOwn(t, alone), nil
	case isBytes(t) && alone:
		return rawString(true), nil
	case isBytes(t):
		return valueBytes(), nil
	}
	switch k := t.Kind(); k {
	case reflect.String:
		if alone {
			return rawString(false), nil
		}
		return valueString(), nil
	case reflect.Array:
		return c.array(t, path)
	case reflect.Slice:
		return c.slice(t, path)
	case reflect.Pointer:
		return c.pointer(t, path)
	case reflect.Struct:
		return c.structure(t, path)
	case reflect.Map:
		return node{}, typeError(path, t, "cannot be a value: a map has no order, so its bytes would not repeat; use a slice of pairs")
	default:
		if n, ok := valueNumber(t); ok {
			return n, nil
		}
		return node{}, typeError(path, t, "cannot be a value: values are strings, bytes, numbers, bools, times, slices, arrays, structs and pointers of these, and types with AppendBinary and UnmarshalBinary methods")
	}
}

func (c *valueCompiler) array(t reflect.Type, path string) (node, error) {
	if t.Elem().Kind() == reflect.Uint8 {
		return rawArray(t.Len()), nil
	}
	elem, err := c.node(t.Elem(), path+"[]", false)
	if err != nil {
		return node{}, err
	}
	return array(elem, t.Len(), t.Elem().Size()), nil
}

func (c *valueCompiler) structure(t reflect.Type, path string) (node, error) {
	var fields []field
	for f := range t.Fields() {
		if !f.IsExported() {
			return node{}, fmt.Errorf("field %s: is not exported, so it would be lost on the way; export it or give %v AppendBinary and UnmarshalBinary methods", join(path, f), t)
		}
		n, err := c.node(f.Type, join(path, f), false)
		if err != nil {
			return node{}, err
		}
		fields = append(fields, field{n, f.Offset})
	}
	return sequence(fields), nil
}

func (c *valueCompiler) slice(t reflect.Type, path string) (node, error) {
	elem, err := c.node(t.Elem(), path+"[]", false)
	if err != nil {
		return node{}, err
	}
	size := t.Elem().Size()
	return node{
		append: func(buf []byte, p unsafe.Pointer) []byte {
			s := *(*[]byte)(p) // the header only: len counts elements
			if s == nil {
				return append(buf, 0)
			}
			buf = binary.AppendUvarint(buf, uint64(len(s))+1)
			at := unsafe.Pointer(unsafe.SliceData(s))
			for i := range len(s) {
				buf = elem.append(buf, unsafe.Add(at, uintptr(i)*size))
			}
			return buf
		},
		decode: func(b []byte, p unsafe.Pointer) ([]byte, error) {
			n, b, err := cutLength(b)
			if err != nil || n < 0 {
				return b, err
			}
			if size > 0 && n > len(b) { // every element takes a byte at least: no allocation for a length that is a lie
				return nil, ErrMalformed
			}
			s := reflect.NewAt(t, p).Elem()
			s.Set(reflect.MakeSlice(t, n, n))
			at := s.UnsafePointer()
			for i := range n {
				if b, err = elem.decode(b, unsafe.Add(at, uintptr(i)*size)); err != nil {
					return nil, err
				}
			}
			return b, nil
		},
	}, nil
}

func (c *valueCompiler) pointer(t reflect.Type, path string) (node, error) {
	elem, err := c.node(t.Elem(), path, false)
	if err != nil {
		return node{}, err
	}
	return node{
		append: func(buf []byte, p unsafe.Pointer) []byte {
			to := *(*unsafe.Pointer)(p)
			if to == nil {
				return append(buf, 0)
			}
			return elem.append(append(buf, 1), to)
		},
		decode: func(b []byte, p unsafe.Pointer) ([]byte, error) {
			if len(b) == 0 || b[0] > 1 {
				return nil, ErrMalformed
			}
			if b[0] == 0 {
				return b[1:], nil
			}
			to := reflect.New(t.Elem()).UnsafePointer()
			*(*unsafe.Pointer)(p) = to
			return elem.decode(b[1:], to)
		},
	}, nil
}

// cutLength reads a length that is stored plus one; -1 stands for nil.
func cutLength(b []byte) (int, []byte, error) {
	n, w := binary.Uvarint(b)
	if w <= 0 || n > math.MaxInt32 {
		return 0, nil, ErrMalformed
	}
	return int(n) - 1, b[w:], nil
}

func valueString() node {
	return node{
		append: func(buf []byte, p unsafe.Pointer) []byte {
			s := *(*string)(p)
			return append(binary.AppendUvarint(buf, uint64(len(s))), s...)
		},
		decode: func(b []byte, p unsafe.Pointer) ([]byte, error) {
			n, w := binary.Uvarint(b)
			if w <= 0 || n > uint64(len(b)-w) {
				return nil, ErrMalformed
			}
			s := b[w : w+int(n)]
			*(*string)(p) = unsafe.String(unsafe.SliceData(s), len(s))
			return b[w+int(n):], nil
		},
	}
}

func valueBytes() node {
	return node{
		append: func(buf []byte, p unsafe.Pointer) []byte {
			s := *(*[]byte)(p)
			if s == nil {
				return append(buf, 0)
			}
			return append(binary.AppendUvarint(buf, uint64(len(s))+1), s...)
		},
		decode: func(b []byte, p unsafe.Pointer) ([]byte, error) {
			n, w := binary.Uvarint(b)
			if w <= 0 || n > uint64(len(b)-w)+1 {
				return nil, ErrMalformed
			}
			if n == 0 {
				return b[w:], nil
			}
			end := w + int(n) - 1
			*(*[]byte)(p) = b[w:end:end]
			return b[end:], nil
		},
	}
}

func valueTime() node {
	return node{
		append: func(buf []byte, p unsafe.Pointer) []byte {
			t := (*time.Time)(p)
			return binary.AppendUvarint(binary.AppendVarint(buf, t.Unix()), uint64(t.Nanosecond()))
		},
		decode: func(b []byte, p unsafe.Pointer) ([]byte, error) {
			sec, w := binary.Varint(b)
			if w <= 0 {
				return nil, ErrMalformed
			}
			nanos, v := binary.Uvarint(b[w:])
			if v <= 0 || nanos >= 1e9 {
				return nil, ErrMalformed
			}
			*(*time.Time)(p) = time.Unix(sec, int64(nanos)).UTC()
			return b[w+v:], nil
		},
	}
}

// hasOwnEncoding reports whether *t encodes and decodes itself. A pointer or interface type never does: its element may.
func hasOwnEncoding(t reflect.Type) bool {
	if t.Kind() == reflect.Pointer || t.Kind() == reflect.Interface {
		return false
	}
	p := reflect.PointerTo(t)
	return p.Implements(unmarshalerType) && (p.Implements(appenderType) || p.Implements(marshalerType))
}

// inheritsEncoding reports whether a struct has the methods that encode it only because it embeds a type that has them: they
// would encode that field and none of the others. The compiler writes such a method itself, which its position tells.
func inheritsEncoding(t reflect.Type) bool {
	if t.Kind() != reflect.Struct || t.NumField() < 2 || !hasOwnEncoding(t) {
		return false
	}
	m, _ := reflect.PointerTo(t).MethodByName("UnmarshalBinary")
	file, _ := runtime.FuncForPC(m.Func.Pointer()).FileLine(m.Func.Pointer())
	return file == "<autogenerated>"
}

func valueOwn(t reflect.Type, alone bool) node {
	write := func(buf []byte, p unsafe.Pointer) []byte { return appendOwn(buf, reflect.NewAt(t, p).Interface()) }
	read := func(b []byte, p unsafe.Pointer) error {
		return reflect.NewAt(t, p).Interface().(encoding.BinaryUnmarshaler).UnmarshalBinary(b)
	}
	if alone {
		return node{write, func(b []byte, p unsafe.Pointer) ([]byte, error) { return nil, read(b, p) }}
	}
	return node{
		append: func(buf []byte, p unsafe.Pointer) []byte {
			at := len(buf)
			buf = write(append(buf, 0, 0, 0, 0), p)
			n := len(buf) - at - 4
			if uint64(n) > math.MaxUint32 {
				panic(Fault{fmt.Errorf("encode %v: %d bytes, the limit is 4 GiB", t, n)})
			}
			binary.LittleEndian.PutUint32(buf[at:], uint32(n))
			return buf
		},
		decode: func(b []byte, p unsafe.Pointer) ([]byte, error) {
			if len(b) < 4 || uint64(binary.LittleEndian.Uint32(b)) > uint64(len(b)-4) {
				return nil, ErrMalformed
			}
			end := 4 + int(binary.LittleEndian.Uint32(b))
			return b[end:], read(b[4:end:end], p)
		},
	}
}

// appendOwn appends what v, a pointer, encodes itself to.
func appendOwn(buf []byte, v any) []byte {
	var err error
	if a, ok := v.(encoding.BinaryAppender); ok {
		buf, err = a.AppendBinary(buf)
	} else {
		var own []byte
		own, err = v.(encoding.BinaryMarshaler).MarshalBinary()
		buf = append(buf, own...)
	}
	if err != nil {
		panic(Fault{fmt.Errorf("encode %T: %w", v, err)})
	}
	return buf
}

// isPlain reports whether values of t lead to no memory but their own. A time's zone does not count: zones are shared and
// never change.
func isPlain(t reflect.Type) bool {
	if t == timeType {
		return true
	}
	switch t.Kind() {
	case reflect.Array:
		return isPlain(t.Elem())
	case reflect.Struct:
		for f := range t.Fields() {
			if !isPlain(f.Type) {
				return false
			}
		}
		return true
	default:
		return t.Kind() >= reflect.Bool && t.Kind() <= reflect.Complex128
	}
}
