package jobs

import (
	"encoding/binary"
	"fmt"
	"math"
	"reflect"
	"time"
	"unsafe"
)

// Records are filled from columns through closures over field offsets, as columns are from rows: a call for each field of each
// record, no reflection, and no allocation but one for each thousand values behind pointers and of lists. Plain strings and
// numbers of 8 bytes need no call (fillRow): a record of a word and a number takes 40 ns with it, the call of an empty map function
// included, 65 through the closures alone, and 1,000 by reflection, which is the plain reference (BenchmarkTableRows on a busy
// machine, TestTableReference).

// fillFunc fills the field at p from a row of a column.
type fillFunc func(c *cell, row int, p unsafe.Pointer)

// cell is a column of a block bound to a field of the record.
type cell struct {
	plan     *columnPlan
	reader   *rowReader
	fill     fillFunc // of the field
	value    fillFunc // of what is behind its pointer, if it is one
	quick    quick    // how fillRow fills the field without fill
	nullable bool
	offset   uintptr // in the struct around it
	size     uintptr // of the value
	data     []byte
	offsets  []int32
	valid    []byte // nil: no row is null
	children []*cell

	pointed  room // where the values behind pointers are put
	elements room // and those of a list
}

// room has place for so many more values of one type. Each may be kept by the record's receiver: no place is used twice.
type room struct {
	at   unsafe.Pointer
	left int
}

// rowReader reads a block's rows one by one into a record.
type rowReader struct {
	cells []*cell
	err   error // what was wrong with the row
}

// newRowReader binds a block to a record type.
func newRowReader(plan *rowPlan, b Block) (*rowReader, error) {
	r := new(rowReader)
	var err error
	r.cells, err = bindFields(plan.columns, b.Schema.Fields, b.Columns.Columns, r)
	return r, err
}

// eachRow calls m for each row of a block.
func eachRow[R, K, V any](m func(R, func(K, V)) error, plan *rowPlan) blockMapper[K, V] {
	return func(b Block, at *int64, emit func(K, V)) (records int64, err error) {
		*at = b.Offset
		r, err := newRowReader(plan, b)
		if err != nil {
			return 0, err
		}
		slot := new(R)
		for row := b.skip; row < b.Columns.Rows; row++ {
			*at = b.Offset + int64(row)
			records++
			fillRow(r.cells, row, unsafe.Pointer(slot))
			if r.err != nil {
				return records, r.err
			}
			if err := m(*slot, emit); err != nil {
				return records, err
			}
		}
		return records, nil
	}
}

// fillRow fills the record at p.
func fillRow(cells []*cell, row int, p unsafe.Pointer) {
	for _, c := range cells {
		to := unsafe.Add(p, c.offset)
		switch c.quick {
		case quick64:
			*(*uint64)(to) = binary.LittleEndian.Uint64(c.data[8*row:])
		case quickText:
			*(*string)(to) = view(c.data[c.offsets[row]:c.offsets[row+1]])
		default:
			c.fill(c, row, to)
		}
	}
}

// quickValue finds the quick way for a column that has no nulls.
func quickValue(plan *columnPlan, t Type) quick {
	switch k := plan.valueType().Kind(); {
	case k == reflect.String:
		return quickText
	case quickOf(k) == quick64 && width(t) == 8 && t != TypeList && t != TypeStruct:
		return quick64
	}
	return quickNone
}

func (c *cell) fail(format string, args ...any) {
	if c.reader.err == nil {
		c.reader.err = fmt.Errorf("column %s: "+format, append([]any{c.plan.path}, args...)...)
	}
}

func (c *cell) null(row int) bool { return c.valid != nil && c.valid[row>>3]>>(row&7)&1 == 0 }

// fillRequired is for a field that is no pointer.
func fillRequired(c *cell, row int, p unsafe.Pointer) {
	if c.null(row) {
		c.fail("it is null: declare the field as *%v", c.plan.valueType())
		return
	}
	c.value(c, row, p)
}

func fillPointer(c *cell, row int, p unsafe.Pointer) {
	if c.null(row) {
		*(*unsafe.Pointer)(p) = nil
		return
	}
	to := c.pointed.take(1, c.plan.valueType())
	c.value(c, row, to)
	*(*unsafe.Pointer)(p) = to
}

func fillNull(_ *cell, _ int, p unsafe.Pointer) { *(*unsafe.Pointer)(p) = nil }

// valuesAtOnce is how many values behind pointers are allocated together: kept ones hold as many.
const valuesAtOnce = 256

// take returns the place of n values of a type, the same for all calls.
func (r *room) take(n int, t reflect.Type) unsafe.Pointer {
	if n > r.left {
		r.left = max(n, valuesAtOnce)
		r.at = reflect.MakeSlice(reflect.SliceOf(t), r.left, r.left).UnsafePointer()
	}
	p := r.at
	if r.left -= n; r.left > 0 { // a pointer behind the last value would hold what lies there
		r.at = unsafe.Add(p, uintptr(n)*t.Size())
	}
	return p
}

// valueOf is how a value of a column becomes one of a field; nil if it cannot.
func valueOf(plan *columnPlan, t Type) fillFunc {
	typ := plan.valueType()
	switch typ {
	case timeType:
		return map[Type]fillFunc{
			TypeDate: fillDate, TypeTimestampS: fillSeconds, TypeTimestampMS: fillMillis, TypeTimestampUS: fillMicros, TypeTimestamp: fillNanos,
		}[t]
	case durationType:
		if t == TypeDuration {
			t = TypeInt64
		}
	}
	text := t == TypeString || t == TypeBytes
	switch k := typ.Kind(); {
	case k == reflect.Bool && t == TypeBool:
		return fillBool
	case k == reflect.String && text:
		return fillString
	case (k == reflect.Slice || k == reflect.Array) && typ.Elem().Kind() == reflect.Uint8 && plan.field.Type == TypeBytes:
		switch {
		case !text:
			return nil
		case k == reflect.Slice:
			return fillBytes
		}
		return fillByteArray
	case k == reflect.Slice && t == TypeList:
		return fillSlice
	case k == reflect.Array && t == TypeList:
		return fillArray
	case k == reflect.Struct && t == TypeStruct:
		return fillStruct
	}
	return numberOf(typ.Kind(), t)
}

type number interface {
	~int8 | ~int16 | ~int32 | ~int64 | ~uint8 | ~uint16 | ~uint32 | ~uint64 | ~float32 | ~float64
}

// numberOf is valueOf for numbers: every value of the column must fit the field.
func numberOf(k reflect.Kind, t Type) fillFunc {
	switch k {
	case reflect.Int8:
		return numberFrom[int8](t, TypeInt8)
	case reflect.Int16:
		return numberFrom[int16](t, TypeInt8, TypeUint8, TypeInt16)
	case reflect.Int32:
		return numberFrom[int32](t, TypeInt8, TypeUint8, TypeInt16, TypeUint16, TypeInt32)
	case reflect.Int64, reflect.Int:
		return numberFrom[int64](t, TypeInt8, TypeUint8, TypeInt16, TypeUint16, TypeInt32, TypeUint32, TypeInt64)
	case reflect.Uint8:
		return numberFrom[uint8](t, TypeUint8)
	case reflect.Uint16:
		return numberFrom[uint16](t, TypeUint8, TypeUint16)
	case reflect.Uint32:
		return numberFrom[uint32](t, TypeUint8, TypeUint16, TypeUint32)
	case reflect.Uint64, reflect.Uint:
		return numberFrom[uint64](t, TypeUint8, TypeUint16, TypeUint32, TypeUint64)
	case reflect.Float32:
		return numberFrom[float32](t, TypeFloat32)
	case reflect.Float64:
		return numberFrom[float64](t, TypeFloat32, TypeFloat64)
	}
	return nil
}

// numberFrom is the function for a column of type t if that is among those that fit.
func numberFrom[D number](t Type, fit ...Type) fillFunc {
	for _, f := range fit {
		if f == t {
			return map[Type]fillFunc{
				TypeInt8: fillNumber[int8, D], TypeInt16: fillNumber[int16, D], TypeInt32: fillNumber[int32, D], TypeInt64: fillNumber[int64, D],
				TypeUint8: fillNumber[uint8, D], TypeUint16: fillNumber[uint16, D], TypeUint32: fillNumber[uint32, D], TypeUint64: fillNumber[uint64, D],
				TypeFloat32: fillFloat32[D], TypeFloat64: fillFloat64[D],
			}[t]
		}
	}
	return nil
}

// fillNumber fills a number of type D from an integer of type S.
func fillNumber[S, D number](c *cell, row int, p unsafe.Pointer) {
	var s S
	size := int(unsafe.Sizeof(s))
	b := c.data[row*size : row*size+size]
	*(*D)(p) = D(*(*S)(unsafe.Pointer(unsafe.SliceData(b))))
}

func fillFloat32[D number](c *cell, row int, p unsafe.Pointer) {
	*(*D)(p) = D(math.Float32frombits(binary.LittleEndian.Uint32(c.data[4*row:])))
}

func fillFloat64[D number](c *cell, row int, p unsafe.Pointer) {
	*(*D)(p) = D(math.Float64frombits(binary.LittleEndian.Uint64(c.data[8*row:])))
}

func fillBool(c *cell, row int, p unsafe.Pointer) { *(*bool)(p) = c.data[row>>3]>>(row&7)&1 == 1 }

// text is the bytes of a row. What is kept of them cannot reach beyond.
func (c *cell) text(row int) []byte {
	from, end := c.offsets[row], c.offsets[row+1]
	return c.data[from:end:end]
}

func fillString(c *cell, row int, p unsafe.Pointer) { *(*string)(p) = view(c.text(row)) }

func fillBytes(c *cell, row int, p unsafe.Pointer) { *(*[]byte)(p) = c.text(row) }

func fillByteArray(c *cell, row int, p unsafe.Pointer) {
	b := c.text(row)
	if len(b) != int(c.size) {
		c.fail("%d bytes do not fit a %v", len(b), c.plan.valueType())
		return
	}
	copy(unsafe.Slice((*byte)(p), c.size), b)
}

func (c *cell) int64(row int) int64 { return int64(binary.LittleEndian.Uint64(c.data[8*row:])) }

func fillDate(c *cell, row int, p unsafe.Pointer) {
	days := int32(binary.LittleEndian.Uint32(c.data[4*row:]))
	*(*time.Time)(p) = time.Unix(int64(days)*86400, 0).UTC()
}

func fillSeconds(c *cell, row int, p unsafe.Pointer) {
	*(*time.Time)(p) = time.Unix(c.int64(row), 0).UTC()
}

func fillMillis(c *cell, row int, p unsafe.Pointer) {
	*(*time.Time)(p) = time.UnixMilli(c.int64(row)).UTC()
}

func fillMicros(c *cell, row int, p unsafe.Pointer) {
	*(*time.Time)(p) = time.UnixMicro(c.int64(row)).UTC()
}

func fillNanos(c *cell, row int, p unsafe.Pointer) {
	*(*time.Time)(p) = time.Unix(0, c.int64(row)).UTC()
}

func fillStruct(c *cell, row int, p unsafe.Pointer) { fillRow(c.children, row, p) }

// sliceHeader is what a slice is.
type sliceHeader struct {
	data     unsafe.Pointer
	len, cap int
}

func fillSlice(c *cell, row int, p unsafe.Pointer) {
	from, n := int(c.offsets[row]), int(c.offsets[row+1]-c.offsets[row])
	if n == 0 {
		*(*sliceHeader)(p) = sliceHeader{data: unsafe.Pointer(&empty)}
		return
	}
	elem := c.plan.valueType().Elem()
	to := c.elements.take(n, elem)
	c.fillElements(from, n, to, elem.Size())
	*(*sliceHeader)(p) = sliceHeader{to, n, n}
}

// empty is where slices without elements point: they are not nil.
var empty struct{}

func fillArray(c *cell, row int, p unsafe.Pointer) {
	from, n := int(c.offsets[row]), int(c.offsets[row+1]-c.offsets[row])
	if n != c.plan.valueType().Len() {
		c.fail("a list of %d elements does not fit a %v", n, c.plan.valueType())
		return
	}
	c.fillElements(from, n, p, c.plan.valueType().Elem().Size())
}

// fillElements fills n elements of a list.
func (c *cell) fillElements(from, n int, p unsafe.Pointer, size uintptr) {
	child := c.children
	for i := range n {
		fillRow(child, from+i, unsafe.Add(p, uintptr(i)*size))
	}
}
