package wire

import (
	"errors"
	"fmt"
)

// This file walks a gob stream before gob decodes it. gob trusts what it reads more than a server can: it makes a map of
// the size that a message claims before it looks for the elements, a buffer of a message's claimed length up to 10 MiB, a
// full-sized struct for each byte of a slice of empty ones, and recurses as deep as a value is nested, which ends in a
// stack overflow that nothing can recover from. The walk allocates for type definitions only. The format is described in
// the documentation of encoding/gob.

// Bounds on one message.
const (
	maxRequestValues = 1 << 17 // values in a request, those inside of others included: some 30 MiB once decoded
	maxReplyValues   = 1 << 20 // values in a reply, which comes from a master that the client chose
	maxValueDepth    = 100     // a schema's nesting is the only one without a bound of its own
	maxTypes         = 200     // type definitions; our largest message has some 20
)

var errGob = errors.New("malformed or excessive gob")

// gob's numbers for types.
const (
	gobBool = iota + 1
	gobInt
	gobUint
	gobFloat
	gobBytes
	gobString
	gobFirstUser = 64
)

// gobKind is what a type definition defines, in the order of the fields of gob's wireType.
type gobKind int

const (
	kindArray gobKind = iota
	kindSlice
	kindStruct
	kindMap
	kindOpaque // encoded by its own methods; the two after it are the same
)

// gobType is a type that a stream defines.
type gobType struct {
	kind  gobKind
	parts []int // types of the elements, of key and element, or of the fields
}

// complete says whether a type has the parts that its kind asks for.
func (t gobType) complete() bool {
	switch t.kind {
	case kindArray, kindSlice:
		return len(t.parts) == 1
	case kindMap:
		return len(t.parts) == 2
	}
	return true
}

// guard walks one stream.
type guard struct {
	b      []byte // what is left of the current message
	types  map[int]gobType
	values int // that may still come
}

// checkGob says whether b is a gob stream of one value that is safe to decode, of at most that many values in all.
func checkGob(b []byte, values int) error {
	g := guard{types: map[int]gobType{}, values: values}
	_, err := g.message(b)
	return err
}

// message walks a stream of one value, and returns the length of the definitions before it.
func (g *guard) message(b []byte) (definitions int, err error) {
	for whole := len(b); len(b) > 0; {
		definitions = whole - len(b)
		n, used := readUint(b)
		if used == 0 || n > uint64(len(b)-used) {
			return 0, fmt.Errorf("%w: a message is longer than its frame", errGob)
		}
		g.b, b = b[used:used+int(n)], b[used+int(n):]
		id, err := g.int()
		if err != nil {
			return 0, err
		}
		if id >= 0 {
			if err := g.top(id); err != nil {
				return 0, err
			}
			if len(g.b)+len(b) > 0 {
				return 0, fmt.Errorf("%w: bytes after the value", errGob)
			}
			return definitions, nil
		}
		if err := g.define(-id); err != nil {
			return 0, err
		}
	}
	return 0, fmt.Errorf("%w: no value", errGob)
}

// readUint reads an unsigned integer: one byte below 128, or the negated number of big-endian bytes that follow. It returns
// 0 used bytes when there is none.
func readUint(b []byte) (v uint64, used int) {
	if len(b) == 0 {
		return 0, 0
	}
	if b[0] < 0x80 {
		return uint64(b[0]), 1
	}
	n := -int(int8(b[0]))
	if n > 8 || n >= len(b) {
		return 0, 0
	}
	for _, c := range b[1 : 1+n] {
		v = v<<8 | uint64(c)
	}
	return v, 1 + n
}

func (g *guard) uint() (uint64, error) {
	v, used := readUint(g.b)
	if used == 0 {
		return 0, fmt.Errorf("%w: cut short", errGob)
	}
	g.b = g.b[used:]
	return v, nil
}

// int reads a signed integer, whose lowest bit says whether the others are complemented; types' numbers are such.
func (g *guard) int() (int, error) {
	v, err := g.uint()
	if v>>1 > 1<<30 {
		return 0, fmt.Errorf("%w: number of a type out of range", errGob)
	}
	if v&1 != 0 {
		return ^int(v >> 1), err
	}
	return int(v >> 1), err
}

// count reads how many things follow, each of which takes a byte at least.
func (g *guard) count() (int, error) {
	n, err := g.uint()
	if err == nil && n > uint64(len(g.b)) {
		return 0, fmt.Errorf("%w: %d elements in %d bytes", errGob, n, len(g.b))
	}
	return int(n), err
}

// skip passes over counted bytes.
func (g *guard) skip() error {
	n, err := g.count()
	if err == nil {
		g.b = g.b[n:]
	}
	return err
}

// fields calls field with the index of each field of a struct that is present; it must read the field's value.
func (g *guard) fields(field func(i int) error) error {
	for i := -1; ; {
		delta, err := g.uint()
		if err != nil || delta == 0 {
			return err
		}
		if delta > 1<<16 {
			return fmt.Errorf("%w: field number out of range", errGob)
		}
		i += int(delta)
		if err := field(i); err != nil {
			return err
		}
	}
}

// define reads the definition of a type: a wireType, whose only field present is the one for the type's kind.
func (g *guard) define(id int) error {
	if _, twice := g.types[id]; twice || id < gobFirstUser || len(g.types) == maxTypes {
		return fmt.Errorf("%w: definition of type %d", errGob, id)
	}
	var t gobType
	defined := false
	err := g.fields(func(i int) (err error) {
		if i > int(kindOpaque)+2 || defined {
			return fmt.Errorf("%w: definition of type %d", errGob, id)
		}
		defined = true
		t.kind = min(gobKind(i), kindOpaque)
		return g.definition(&t)
	})
	if err != nil {
		return err
	}
	if !defined || !t.complete() || len(g.b) > 0 {
		return fmt.Errorf("%w: definition of type %d", errGob, id)
	}
	g.types[id] = t
	return nil
}

// definition reads arrayType{CommonType, Elem, Len}, sliceType{CommonType, Elem}, structType{CommonType, []fieldType},
// mapType{CommonType, Key, Elem} or gobEncoderType{CommonType}.
func (g *guard) definition(t *gobType) error {
	return g.fields(func(i int) error {
		switch {
		case i == 0:
			return g.nameAndType(nil) // CommonType{Name, Id}
		case t.kind == kindStruct && i == 1:
			n, err := g.count()
			for range n {
				if err == nil {
					t.parts = append(t.parts, 0)
					err = g.nameAndType(&t.parts[len(t.parts)-1]) // fieldType{Name, Id}
				}
			}
			return err
		case t.kind == kindArray && i == 2:
			_, err := g.uint() // Len, which the value repeats
			return err
		case t.kind != kindStruct && t.kind != kindOpaque:
			id, err := g.int()
			t.parts = append(t.parts, id)
			return err
		}
		return fmt.Errorf("%w: definition of a type", errGob)
	})
}

// nameAndType reads a struct of a string and a type's number.
func (g *guard) nameAndType(id *int) error {
	return g.fields(func(i int) error {
		if i == 0 {
			return g.skip()
		}
		n, err := g.int()
		if id != nil {
			*id = n
		}
		return err
	})
}

// top walks the value of a stream: one that is no struct comes behind a zero.
func (g *guard) top(id int) error {
	if g.types[id].kind != kindStruct {
		zero, err := g.uint()
		if err != nil || zero != 0 {
			return fmt.Errorf("%w: no zero before the value", errGob)
		}
	}
	return g.value(id, 0)
}

// value walks one value.
func (g *guard) value(id, depth int) error {
	if g.values--; g.values < 0 {
		return fmt.Errorf("%w: too many values", errGob)
	}
	if depth > maxValueDepth {
		return fmt.Errorf("%w: nested deeper than %d", errGob, maxValueDepth)
	}
	switch id {
	case gobBool, gobInt, gobUint, gobFloat:
		_, err := g.uint()
		return err
	case gobBytes, gobString:
		return g.skip()
	}
	t, ok := g.types[id]
	if !ok { // also complex numbers and interfaces, which no message of ours has
		return fmt.Errorf("%w: type %d", errGob, id)
	}
	switch t.kind {
	case kindOpaque:
		return g.skip()
	case kindStruct:
		return g.fields(func(i int) error {
			if i >= len(t.parts) {
				return fmt.Errorf("%w: field number out of range", errGob)
			}
			return g.value(t.parts[i], depth+1)
		})
	}
	n, err := g.count()
	for range n {
		for _, part := range t.parts {
			if err == nil {
				err = g.value(part, depth+1)
			}
		}
	}
	return err
}
