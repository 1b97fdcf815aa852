package parquetfile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/millrace/millrace/storage/arrowfile"
)

// Footers and page headers are written in Thrift's compact protocol. Arrow v15 decodes the footer, and allocates whatever length
// stands before a list; so the footer is walked here first, and page headers are read here alone.
//
// Source: https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md

// The types of the compact protocol.
const (
	thriftTrue   = 1
	thriftFalse  = 2
	thriftByte   = 3
	thriftI16    = 4
	thriftI32    = 5
	thriftI64    = 6
	thriftDouble = 7
	thriftBinary = 8
	thriftList   = 9
	thriftSet    = 10
	thriftMap    = 11
	thriftStruct = 12
)

const (
	// maxThriftDepth is more than twice what a footer has.
	maxThriftDepth = 24
	// maxSchema bounds the columns of a file, nested ones included, and how deep Arrow can recurse in them.
	maxSchema = 10_000

	footerSchemaField = 2
	// What Arrow makes of a struct, of an element of a list and of a string in a footer, bytes, at most.
	structBytes, elementBytes, stringBytes = 384, 24, 32
)

var errThrift = errors.New("its bytes are damaged")

// thrift reads the compact protocol. After the first error every method returns zero values.
type thrift struct {
	data   []byte
	err    error
	memory int64 // that Arrow takes for what was walked, an upper bound
}

func (t *thrift) fail() {
	if t.err == nil {
		t.err = errThrift
	}
	t.data = nil
}

func (t *thrift) bytes(n uint64) []byte {
	if n > uint64(len(t.data)) {
		t.fail()
		return nil
	}
	b := t.data[:n]
	t.data = t.data[n:]
	return b
}

func (t *thrift) byte() byte {
	if b := t.bytes(1); len(b) == 1 {
		return b[0]
	}
	return 0
}

func (t *thrift) uvarint() uint64 {
	v, n := binary.Uvarint(t.data)
	if n <= 0 {
		t.fail()
		return 0
	}
	t.data = t.data[n:]
	return v
}

func (t *thrift) varint() int64 {
	v := t.uvarint()
	return int64(v>>1) ^ -int64(v&1)
}

// int32 reads a number that must be from 0 to the largest of 32 bits: sizes, counts and enums are.
func (t *thrift) int32() int32 {
	v := t.varint()
	if v < 0 || v > math.MaxInt32 {
		t.fail()
		return 0
	}
	return int32(v)
}

// fields calls each for every field of a struct, with its number and type; each must read the field.
func (t *thrift) fields(each func(id int16, kind byte)) {
	id := int16(0)
	for t.err == nil {
		head := t.byte()
		kind := head & 0xf
		if head == 0 {
			return
		}
		if delta := head >> 4; delta != 0 {
			id += int16(delta)
		} else {
			v := t.varint()
			if v < math.MinInt16 || v > math.MaxInt16 {
				t.fail()
			}
			id = int16(v)
		}
		if t.err == nil {
			each(id, kind)
		}
	}
}

// list reads the beginning of a list or set: the number and type of its elements, of which each takes a byte at least.
func (t *thrift) list() (n uint64, kind byte) {
	head := t.byte()
	if n = uint64(head >> 4); n == 15 {
		n = t.uvarint()
	}
	if n > uint64(len(t.data)) {
		t.fail()
		return 0, 0
	}
	return n, head & 0xf
}

// skip goes past a value. inList says that it is an element: there bools take a byte.
func (t *thrift) skip(kind byte, depth int, inList bool) {
	if depth > maxThriftDepth {
		t.fail()
	}
	switch kind {
	case thriftTrue, thriftFalse:
		if inList {
			t.byte()
		}
	case thriftByte:
		t.byte()
	case thriftI16, thriftI32, thriftI64:
		t.uvarint()
	case thriftDouble:
		t.bytes(8)
	case thriftBinary:
		n := t.uvarint()
		t.bytes(n)
		t.memory += stringBytes + int64(min(n, math.MaxInt32))
	case thriftList, thriftSet:
		n, of := t.list()
		t.memory += elementBytes * int64(n)
		for ; n > 0 && t.err == nil; n-- {
			t.skip(of, depth+1, true)
		}
	case thriftMap:
		n := t.uvarint()
		if n == 0 {
			return
		}
		kinds := t.byte()
		for ; n > 0 && t.err == nil; n-- {
			t.skip(kinds>>4, depth+1, true)
			t.skip(kinds&0xf, depth+1, true)
		}
	case thriftStruct:
		t.memory += structBytes
		t.fields(func(_ int16, kind byte) { t.skip(kind, depth+1, false) })
	default:
		t.fail()
	}
}

// screen walks the footer and takes from the budget what Arrow will need for it.
func screen(footer []byte, b *arrowfile.Budget) error {
	t := &thrift{data: footer}
	columns := uint64(0)
	t.fields(func(id int16, kind byte) {
		if id == footerSchemaField && kind == thriftList {
			peek := thrift{data: t.data}
			n, _ := peek.list()
			columns += n
		}
		t.skip(kind, 1, false)
	})
	switch {
	case t.err != nil:
		return fmt.Errorf("footer: %w", t.err)
	case columns > maxSchema:
		return fmt.Errorf("footer: more than %d columns, nested ones included", maxSchema)
	}
	if err := b.Take(t.memory); err != nil {
		return fmt.Errorf("footer: %w", err)
	}
	return nil
}

// pageHeader is what stands before a page.
type pageHeader struct {
	kind       int32
	size       int32 // uncompressed
	packed     int32 // compressed, as it lies in the file
	crc        uint32
	hasCRC     bool
	values     int32 // nulls included
	encoding   int32
	defCoding  int32 // of version 1
	repCoding  int32
	defBytes   int32 // of version 2
	repBytes   int32
	compressed bool // of version 2: the values are
}

// The kinds of pages.
const (
	pageData       = 0
	pageDictionary = 2
	pageDataV2     = 3
)

// readPageHeader reads a header and returns how long it is. errThrift may mean that data ends within it.
func readPageHeader(data []byte) (h pageHeader, n int, err error) {
	t := &thrift{data: data}
	h.compressed = true
	numbers := func(into ...*int32) func(int16, byte) {
		return func(id int16, kind byte) {
			if id >= 1 && int(id) <= len(into) && into[id-1] != nil && kind == thriftI32 {
				*into[id-1] = t.int32()
				return
			}
			t.skip(kind, 2, false)
		}
	}
	t.fields(func(id int16, kind byte) {
		switch {
		case id == 1 && kind == thriftI32:
			h.kind = t.int32()
		case id == 2 && kind == thriftI32:
			h.size = t.int32()
		case id == 3 && kind == thriftI32:
			h.packed = t.int32()
		case id == 4 && kind == thriftI32:
			h.crc, h.hasCRC = uint32(t.varint()), true
		case id == 5 && kind == thriftStruct:
			t.fields(numbers(&h.values, &h.encoding, &h.defCoding, &h.repCoding))
		case id == 7 && kind == thriftStruct:
			t.fields(numbers(&h.values, &h.encoding))
		case id == 8 && kind == thriftStruct:
			v2 := numbers(&h.values, nil, nil, &h.encoding, &h.defBytes, &h.repBytes)
			t.fields(func(id int16, kind byte) {
				if id == 7 {
					h.compressed = kind != thriftFalse
				}
				v2(id, kind)
			})
		default:
			t.skip(kind, 1, false)
		}
	})
	return h, len(data) - len(t.data), t.err
}
