package jobs

import (
	"encoding/binary"
	"fmt"
	"math"
	"reflect"
	"time"
	"unsafe"
)

// rowsOf turns a batch of columns back into the rows that it was made of: T is the row type, or one of the same columns. It
// is for a few rows, read by reflection; nothing in them is a view into the batch.
func rowsOf[T any](batch Columns) ([]T, error) {
	p, err := newRowPlan(reflect.TypeFor[T]())
	if err != nil {
		return nil, err
	}
	if len(batch.Columns) != len(p.columns) {
		return nil, fmt.Errorf("%d columns, but %s has %d: name the row type of the stage", len(batch.Columns), typeName[T](), len(p.columns))
	}
	rows := make([]T, batch.Rows)
	for i := range p.columns {
		col := &p.columns[i]
		if err := fitColumn(col, &batch.Columns[i], batch.Rows); err != nil {
			return nil, err
		}
		for r := range rows {
			at := unsafe.Add(unsafe.Pointer(&rows[r]), col.offset)
			setCell(reflect.NewAt(col.typ, at).Elem(), col, &batch.Columns[i], r)
		}
	}
	return rows, nil
}

// fitColumn reports a column that has not what so many rows need.
func fitColumn(p *columnPlan, c *Column, rows int) error {
	short := func() error {
		return fmt.Errorf("column %s holds no %d values of type %s: name the row type of the stage", p.path, rows, p.field.Type)
	}
	if c.Valid != nil && len(c.Valid) < (rows+7)/8 {
		return short()
	}
	switch p.field.Type {
	case TypeString, TypeBytes, TypeList:
		if len(c.Offsets) < rows+1 {
			return short()
		}
		for i := range rows {
			if c.Offsets[i] < 0 || c.Offsets[i] > c.Offsets[i+1] {
				return short()
			}
		}
		if p.field.Type != TypeList && int(c.Offsets[rows]) > len(c.Data) {
			return short()
		}
		if p.field.Type == TypeList {
			rows = int(c.Offsets[rows])
		}
	case TypeBool:
		if len(c.Data) < (rows+7)/8 {
			return short()
		}
	case TypeStruct:
	default:
		if len(c.Data) < rows*width(p.field.Type) {
			return short()
		}
	}
	if len(c.Children) != len(p.children) {
		return short()
	}
	for i := range p.children {
		if err := fitColumn(&p.children[i], &c.Children[i], rows); err != nil {
			return err
		}
	}
	return nil
}

// setCell sets v to the value in a row of a column that was checked.
func setCell(v reflect.Value, p *columnPlan, c *Column, row int) {
	if p.field.Nullable {
		if c.Valid != nil && c.Valid[row/8]>>(row%8)&1 == 0 {
			return
		}
		v.Set(reflect.New(v.Type().Elem()))
		v = v.Elem()
	}
	switch p.field.Type {
	case TypeBool:
		v.SetBool(c.Data[row/8]>>(row%8)&1 == 1)
	case TypeString:
		v.SetString(string(c.Data[c.Offsets[row]:c.Offsets[row+1]]))
	case TypeBytes:
		setBytes(v, c.Data[c.Offsets[row]:c.Offsets[row+1]])
	case TypeTimestamp:
		v.Set(reflect.ValueOf(time.Unix(0, int64(binary.LittleEndian.Uint64(c.Data[8*row:]))).UTC()))
	case TypeList:
		setList(v, p, c, int(c.Offsets[row]), int(c.Offsets[row+1]))
	case TypeStruct:
		for i := range p.children {
			inner := &p.children[i]
			setCell(reflect.NewAt(inner.typ, unsafe.Add(v.Addr().UnsafePointer(), inner.offset)).Elem(), inner, &c.Children[i], row)
		}
	default:
		setNumber(v, p.field.Type, c.Data[row*width(p.field.Type):])
	}
}

func setBytes(v reflect.Value, b []byte) {
	if v.Kind() == reflect.Array {
		reflect.Copy(v, reflect.ValueOf(b))
		return
	}
	v.SetBytes(append([]byte{}, b...))
}

func setList(v reflect.Value, p *columnPlan, c *Column, from, to int) {
	if v.Kind() == reflect.Slice {
		v.Set(reflect.MakeSlice(v.Type(), to-from, to-from))
	}
	for i := range min(v.Len(), to-from) {
		setCell(v.Index(i), &p.children[0], &c.Children[0], from+i)
	}
}

func setNumber(v reflect.Value, t Type, b []byte) {
	var bits uint64
	switch width(t) {
	case 1:
		bits = uint64(b[0])
	case 2:
		bits = uint64(binary.LittleEndian.Uint16(b))
	case 4:
		bits = uint64(binary.LittleEndian.Uint32(b))
	default:
		bits = binary.LittleEndian.Uint64(b)
	}
	shift := 64 - 8*width(t)
	switch {
	case t == TypeFloat32:
		v.SetFloat(float64(math.Float32frombits(uint32(bits))))
	case t == TypeFloat64:
		v.SetFloat(math.Float64frombits(bits))
	case v.CanInt():
		v.SetInt(int64(bits<<shift) >> shift) // with its sign
	default:
		v.SetUint(bits)
	}
}
