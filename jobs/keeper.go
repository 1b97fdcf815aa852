package jobs

import (
	"bytes"
	"reflect"
	"strings"
	"unsafe"

	"github.com/millrace/millrace/jobs/internal/codec"
)

// keeper makes values that lead to other memory safe to keep in the combine table: a view would hold a whole input block,
// and the map function may use a slice again after emit.
type keeper[V any] struct {
	size    func(v V) int64 // bytes that v leads to, an upper bound
	copy    func(v V) V     // a copy that shares no memory with v
	combine func(f func(a, b V) V, kept, v V) V
}

// newKeeper returns nil if the type needs none.
func newKeeper[V any](c *codec.Codec) *keeper[V] {
	if c.Plain {
		return nil
	}
	if reflect.TypeFor[V]().Kind() == reflect.String && !c.Own {
		return stringKeeper[V]()
	}
	values := newCoder[V](c)
	var buf []byte
	spread := 1 + 2*int64(widestElement(reflect.TypeFor[V]())) // append leaves up to as much room again
	k := &keeper[V]{
		size: func(v V) int64 {
			buf = values.append(buf[:0], v)
			return spread * int64(len(buf))
		},
		copy: func(v V) V {
			buf = values.append(buf[:0], v)
			own, err := values.decode(bytes.Clone(buf)) // which has the right size at once
			if err != nil {
				panic(codec.Fault{Err: err})
			}
			return own
		},
	}
	// f may return v, or weave it into its result: only a copy of v is safe with it.
	k.combine = func(f func(a, b V) V, kept, v V) V { return f(kept, k.copy(v)) }
	return k
}

// widestElement is the size in memory of the largest element to which a slice or pointer in t leads. Each element takes at
// least one byte when it is encoded, which bounds the memory of a value by its encoding. Types that encode themselves are
// taken to be as large as what they write.
func widestElement(t reflect.Type) uintptr {
	switch t.Kind() {
	case reflect.Slice, reflect.Pointer:
		return max(t.Elem().Size(), widestElement(t.Elem()))
	case reflect.Array:
		return widestElement(t.Elem())
	case reflect.Struct:
		var widest uintptr
		for f := range t.Fields() {
			widest = max(widest, widestElement(f.Type))
		}
		return widest
	}
	return 0
}

// stringKeeper copies a string only when it replaces the kept one: strings do not change.
func stringKeeper[V any]() *keeper[V] {
	k := &keeper[V]{
		size: func(v V) int64 { return int64(len(asString(v))) },
		copy: func(v V) V { return ofString[V](strings.Clone(asString(v))) },
	}
	k.combine = func(f func(a, b V) V, kept, v V) V {
		result := f(kept, v)
		if s, old := asString(result), asString(kept); len(s) == len(old) && unsafe.StringData(s) == unsafe.StringData(old) {
			return kept
		}
		return k.copy(result)
	}
	return k
}

// asString is a value of a string type as a string. These are functions of their own, not literals in stringKeeper, from
// which each value that they take the address of would escape.
func asString[V any](v V) string { return *(*string)(unsafe.Pointer(&v)) }

// ofString is a string as a value of a string type.
func ofString[V any](s string) V { return *(*V)(unsafe.Pointer(&s)) }
