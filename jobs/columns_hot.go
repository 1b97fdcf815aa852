package jobs

import (
	"encoding/binary"
	"fmt"
	"math"
	"reflect"
	"time"
	"unicode/utf8"
	"unsafe"
)

// Columns are filled through closures over field offsets: a call for each field of each row, no reflection and, once the
// buffers have grown, no allocation. The commonest types of column need no call (addRow): a row of a word and a number took
// 70 ns through the closures alone, which are its plain reference (TestAddRow), and takes 48 (BenchmarkRows, growing buffers
// included).

// addFunc appends the value at p to a column and returns what it counts for in a batch, bytes.
type addFunc func(c *column, p unsafe.Pointer) int64

// column is one column of the batch that is being filled.
type column struct {
	plan     *columnPlan
	fail     func(error) // ends the attempt: it does not return
	rows     int
	nulls    int
	valid    []byte
	offsets  []int32
	data     []byte
	children []*column
}

func newColumn(plan *columnPlan, fail func(error)) *column {
	c := &column{plan: plan, fail: fail}
	for i := range plan.children {
		c.children = append(c.children, newColumn(&plan.children[i], fail))
	}
	c.reset()
	return c
}

// reset empties the column and keeps its buffers.
func (c *column) reset() {
	c.rows, c.nulls = 0, 0
	c.valid, c.data, c.offsets = c.valid[:0], c.data[:0], c.offsets[:0]
	switch c.plan.field.Type {
	case TypeString, TypeBytes, TypeList:
		c.offsets = append(c.offsets, 0)
	}
	for _, child := range c.children {
		child.reset()
	}
}

// batch is the column as it crosses to the engine: views into its buffers.
func (c *column) batch() Column {
	out := Column{Nulls: c.nulls, Data: c.data}
	if c.nulls > 0 {
		out.Valid = c.valid
	}
	switch c.plan.field.Type {
	case TypeString, TypeBytes, TypeList:
		out.Offsets = c.offsets
	}
	if c.plan.field.Type == TypeList || c.plan.field.Type == TypeStruct {
		out.Data = nil
		for _, child := range c.children {
			out.Children = append(out.Children, child.batch())
		}
	}
	return out
}

// addRow appends the row at p and returns what it counts for in a batch, bytes.
func addRow(columns []*column, p unsafe.Pointer) int64 {
	var n int64
	for _, c := range columns {
		at := unsafe.Add(p, c.plan.offset)
		switch c.plan.quick {
		case quickText:
			s := *(*string)(at)
			if !isASCII(s) {
				n += c.put(at)
				continue
			}
			n += c.addVar(s)
		case quickBytes:
			n += c.addVar(view(*(*[]byte)(at)))
		case quick64:
			c.data = binary.LittleEndian.AppendUint64(c.data, *(*uint64)(at))
			n += 8
		default:
			n += c.put(at)
			continue
		}
		c.rows++
	}
	return n
}

// quick is the kind of column that addRow fills by itself.
type quick uint8

const (
	quickNone  quick = iota
	quickText        // a string that cannot be null
	quickBytes       // a byte slice that cannot be null
	quick64          // a number of 8 bytes that cannot be null
)

// quickOf finds the quick way for a column whose kind is known.
func quickOf(k reflect.Kind) quick {
	switch k {
	case reflect.String:
		return quickText
	case reflect.Int64, reflect.Int, reflect.Uint64, reflect.Uint, reflect.Float64:
		return quick64
	}
	return quickNone
}

// isASCII reports whether s is free of bytes that need a closer look. Its pieces overlap, so that no length needs a loop over
// single bytes as in utf8.ValidString.
func isASCII(s string) bool {
	const high = 0x8080808080808080
	n := len(s)
	if n < 8 {
		_, all := keyEnds(s)
		return all&high == 0
	}
	any := load(s, n-8)
	for i := 0; i+8 < n; i += 8 {
		any |= load(s, i)
	}
	return any&high == 0
}

// put appends the value of a field, which may be a null.
func (c *column) put(p unsafe.Pointer) int64 {
	if !c.plan.field.Nullable {
		n := c.plan.add(c, p)
		c.rows++
		return n
	}
	to := *(*unsafe.Pointer)(p)
	c.valid = setBit(c.valid, c.rows, to != nil)
	if to == nil {
		c.nulls++
		n := c.addZero()
		c.rows++
		return n
	}
	n := c.plan.add(c, to)
	c.rows++
	return n
}

// skip appends a row whose value does not show, as it lies within a null struct.
func (c *column) skip() int64 {
	if c.plan.field.Nullable {
		c.valid = setBit(c.valid, c.rows, false)
		c.nulls++
	}
	n := c.addZero()
	c.rows++
	return n
}

// addZero appends the bytes that stand in the place of a null.
func (c *column) addZero() int64 {
	switch c.plan.field.Type {
	case TypeString, TypeBytes:
		c.offsets = append(c.offsets, int32(len(c.data)))
		return 4
	case TypeList:
		c.offsets = append(c.offsets, c.offsets[len(c.offsets)-1])
		return 4
	case TypeStruct:
		n := int64(1)
		for _, child := range c.children {
			n += child.skip()
		}
		return n
	case TypeBool:
		c.data = setBit(c.data, c.rows, false)
		return 1
	}
	var zero [8]byte
	n := width(c.plan.field.Type)
	c.data = append(c.data, zero[:n]...)
	return int64(n)
}

// setBit appends bit i of a bitmap that has i bits.
func setBit(bitmap []byte, i int, on bool) []byte {
	if i&7 == 0 {
		bitmap = append(bitmap, 0)
	}
	if on {
		bitmap[i>>3] |= 1 << (i & 7)
	}
	return bitmap
}

// width is the bytes of a value of a type of fixed width.
func width(t Type) int {
	switch t {
	case TypeInt8, TypeUint8:
		return 1
	case TypeInt16, TypeUint16:
		return 2
	case TypeInt32, TypeUint32, TypeFloat32, TypeDate:
		return 4
	}
	return 8
}

// scalarColumn is the column type of a kind that needs no more than its kind; add is nil for the other kinds.
func scalarColumn(k reflect.Kind) (t Type, add addFunc) {
	switch k {
	case reflect.Bool:
		return TypeBool, addBool
	case reflect.Int8:
		return TypeInt8, add8
	case reflect.Int16:
		return TypeInt16, add16
	case reflect.Int32:
		return TypeInt32, add32
	case reflect.Int64, reflect.Int:
		return TypeInt64, add64
	case reflect.Uint8:
		return TypeUint8, add8
	case reflect.Uint16:
		return TypeUint16, add16
	case reflect.Uint32:
		return TypeUint32, add32
	case reflect.Uint64, reflect.Uint:
		return TypeUint64, add64
	case reflect.Float32:
		return TypeFloat32, add32
	case reflect.Float64:
		return TypeFloat64, add64
	case reflect.String:
		return TypeString, addString
	}
	return "", nil
}

func addBool(c *column, p unsafe.Pointer) int64 {
	c.data = setBit(c.data, c.rows, *(*bool)(p))
	return 1
}

func add8(c *column, p unsafe.Pointer) int64 {
	c.data = append(c.data, *(*uint8)(p))
	return 1
}

func add16(c *column, p unsafe.Pointer) int64 {
	c.data = binary.LittleEndian.AppendUint16(c.data, *(*uint16)(p))
	return 2
}

func add32(c *column, p unsafe.Pointer) int64 {
	c.data = binary.LittleEndian.AppendUint32(c.data, *(*uint32)(p))
	return 4
}

func add64(c *column, p unsafe.Pointer) int64 {
	c.data = binary.LittleEndian.AppendUint64(c.data, *(*uint64)(p))
	return 8
}

func addString(c *column, p unsafe.Pointer) int64 {
	s := *(*string)(p)
	if !utf8.ValidString(s) {
		c.fail(fmt.Errorf("column %s: %q is not valid UTF-8: declare the field as []byte, or make it valid with strings.ToValidUTF8", c.plan.path, clip(s, 100)))
	}
	return c.addVar(s)
}

func addBytes(c *column, p unsafe.Pointer) int64 { return c.addVar(view(*(*[]byte)(p))) }

func addByteArray(c *column, p unsafe.Pointer) int64 {
	return c.addVar(unsafe.String((*byte)(p), int(c.plan.size)))
}

func (c *column) addVar(s string) int64 {
	c.limit(len(s))
	c.data = append(c.data, s...)
	c.offsets = append(c.offsets, int32(len(c.data)))
	return int64(len(s)) + 4
}

// limit refuses a row before it could overflow an offset. A batch is flushed at BatchRowBytes, so a column holds less than
// that before the row.
func (c *column) limit(n int) {
	if n > maxRowBytes || len(c.data)+n > maxRowBytes+BatchRowBytes {
		c.fail(fmt.Errorf("column %s: the row is larger than %v: split it into several rows", c.plan.path, Size(maxRowBytes)))
	}
}

func addTime(c *column, p unsafe.Pointer) int64 {
	t := (*time.Time)(p)
	minTime, maxTime := time.Unix(0, math.MinInt64), time.Unix(0, math.MaxInt64)
	if t.Before(minTime) || t.After(maxTime) {
		c.fail(fmt.Errorf("column %s: the time %s is outside %s to %s, which 64-bit nanoseconds can hold: for no time declare the field as *time.Time",
			c.plan.path, t.UTC().Format(time.RFC3339), minTime.UTC().Format(time.DateOnly), maxTime.UTC().Format(time.DateOnly)))
	}
	c.data = binary.LittleEndian.AppendUint64(c.data, uint64(t.UnixNano()))
	return 8
}

func addStruct(c *column, p unsafe.Pointer) int64 {
	n := int64(1)
	for _, child := range c.children {
		n += child.put(unsafe.Add(p, child.plan.offset))
	}
	return n
}

func addSlice(c *column, p unsafe.Pointer) int64 {
	s := *(*[]byte)(p) // the header only: len counts elements
	return c.addElements(unsafe.Pointer(unsafe.SliceData(s)), len(s))
}

func addArray(n int) addFunc {
	return func(c *column, p unsafe.Pointer) int64 { return c.addElements(p, n) }
}

func (c *column) addElements(p unsafe.Pointer, n int) int64 {
	child, bytes := c.children[0], int64(4)
	for i := range n {
		bytes += child.put(unsafe.Add(p, uintptr(i)*c.plan.size))
		if bytes > maxRowBytes {
			c.limit(maxRowBytes + 1)
		}
	}
	c.offsets = append(c.offsets, int32(child.rows))
	return bytes
}
