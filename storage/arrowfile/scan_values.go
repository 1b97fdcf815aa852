package arrowfile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"unsafe"
)

// errShort reports a buffer with fewer bytes than the rows of its column need.
var errShort = errors.New("a buffer is too short for the rows")

// column reads a column of so many rows from the buffers at c.
func (s *Scanner) column(c *cursor, f *scanField, rows int) (Column, error) {
	if c.node == len(c.nodes) {
		return Column{}, errFew
	}
	if n := c.nodes[c.node]; n != int64(rows) {
		return Column{}, fmt.Errorf("it has %d rows of %d", n, rows)
	}
	c.node++
	if f.kind == kindNull {
		return nullColumn(rows, s.budget)
	}
	bits, err := s.buffer(c)
	if err != nil {
		return Column{}, err
	}
	var out Column
	if len(bits) > 0 {
		if len(bits) < bitmapLen(rows) {
			return out, errShort
		}
		if out.Nulls = rows - countBits(bits, rows); out.Nulls > 0 {
			out.Valid = bits[:bitmapLen(rows)]
		}
	}
	switch f.kind {
	case kindStruct:
		for i := range f.children {
			child, err := s.column(c, &f.children[i], rows)
			if err != nil {
				return out, fmt.Errorf("%s: %w", f.children[i].field.Name, err)
			}
			out.Children = append(out.Children, child)
		}
		return out, nil
	case kindList, kindMap, kindLargeList, kindFixedSizeList:
		return s.list(c, f, out, rows)
	case kindUtf8, kindBinary, kindLargeUtf8, kindLargeBinary:
		return s.text(c, f, out, rows)
	case kindUtf8View, kindBinaryView:
		return s.viewed(c, out, rows)
	}
	if out.Data, err = s.buffer(c); err != nil {
		return out, err
	}
	if f.dictionary != nil {
		return s.look(f, out, rows)
	}
	return s.plain(f, out, rows)
}

// nullColumn is a column of nothing but nulls.
func nullColumn(rows int, b *Budget) (Column, error) {
	if rows == 0 {
		return Column{}, nil
	}
	if err := b.Take(int64(bitmapLen(rows))); err != nil {
		return Column{}, err
	}
	return Column{Nulls: rows, Valid: make([]byte, bitmapLen(rows))}, nil
}

// take counts n elements of so many bytes each.
func (s *Scanner) take(n, width int) error { return s.budget.Take(int64(n) * int64(width)) }

// plain makes a column of values of one width of its buffer in out.Data.
func (s *Scanner) plain(f *scanField, out Column, rows int) (Column, error) {
	width := f.bits / 8
	switch f.kind {
	case kindBool:
		if len(out.Data) < bitmapLen(rows) {
			return out, errShort
		}
		out.Data = out.Data[:bitmapLen(rows)]
		return out, nil
	case kindFixedSizeBinary:
		width = f.size
	case kindDate:
		width = 4 + 4*min(1, f.unit)
	case kindTimestamp:
		width = 8
	}
	if int64(len(out.Data)) < int64(rows)*int64(width) {
		return out, errShort
	}
	out.Data = out.Data[:rows*width]
	switch f.kind {
	case kindFixedSizeBinary:
		return s.cut(out, rows, width)
	case kindDecimal:
		return s.decimals(f, out, rows)
	case kindTime, kindDuration:
		return s.durations(f, out, rows)
	case kindFloat:
		if f.bits == 16 {
			return s.halves(out, rows)
		}
	}
	return out, nil
}

// cut gives values of one width the offsets of binary ones.
func (s *Scanner) cut(out Column, rows, width int) (Column, error) {
	if int64(rows)*int64(width) > math.MaxInt32 {
		return out, errWide
	}
	if err := s.take(rows+1, 4); err != nil {
		return out, err
	}
	out.Offsets = make([]int32, rows+1)
	for i := range out.Offsets {
		out.Offsets[i] = int32(i * width)
	}
	return out, nil
}

func (s *Scanner) halves(out Column, rows int) (Column, error) {
	if err := s.take(rows, 4); err != nil {
		return out, err
	}
	data := make([]byte, 4*rows)
	for i := range rows {
		binary.LittleEndian.PutUint32(data[4*i:], math.Float32bits(Float16(binary.LittleEndian.Uint16(out.Data[2*i:]))))
	}
	out.Data = data
	return out, nil
}

// Float16 is a number of 16 bits (IEEE 754 binary16) as one of 32.
func Float16(bits uint16) float32 {
	sign := uint32(bits&0x8000) << 16
	exponent, fraction := uint32(bits>>10&0x1f), uint32(bits&0x3ff)
	switch exponent {
	case 0: // zero and subnormal numbers: fraction × 2^-24
		v := float32(fraction) / (1 << 24)
		return math.Float32frombits(math.Float32bits(v) | sign)
	case 0x1f:
		return math.Float32frombits(sign | 0xff<<23 | fraction<<13)
	}
	return math.Float32frombits(sign | (exponent+127-15)<<23 | fraction<<13)
}

// nanoseconds is what a unit of time counts for.
var nanoseconds = [4]int64{1e9, 1e6, 1e3, 1}

func (s *Scanner) durations(f *scanField, out Column, rows int) (Column, error) {
	if f.unit == 3 {
		return out, nil
	}
	if err := s.take(rows, 8); err != nil {
		return out, err
	}
	data, factor := make([]byte, 8*rows), nanoseconds[f.unit]
	for i := range rows {
		var v int64
		if f.bits == 32 {
			v = int64(int32(binary.LittleEndian.Uint32(out.Data[4*i:])))
		} else {
			v = int64(binary.LittleEndian.Uint64(out.Data[8*i:]))
		}
		if v > math.MaxInt64/factor || v < math.MinInt64/factor {
			if out.Valid == nil || bit(out.Valid, i) {
				return out, fmt.Errorf("row %d: %d × %d ns are more than 64 bits of nanoseconds hold", i, v, factor)
			}
			v = 0
		}
		binary.LittleEndian.PutUint64(data[8*i:], uint64(v*factor))
	}
	out.Data = data
	return out, nil
}

func (s *Scanner) decimals(f *scanField, out Column, rows int) (Column, error) {
	w := DecimalWriter{Scale: f.scale, Budget: s.budget}
	width, value := f.bits/8, make([]byte, f.bits/8)
	for i := range rows {
		if out.Valid != nil && !bit(out.Valid, i) {
			if err := w.Skip(); err != nil {
				return out, err
			}
			continue
		}
		for j := range width { // to big endian
			value[j] = out.Data[i*width+width-1-j]
		}
		if err := w.Append(value); err != nil {
			return out, err
		}
	}
	out.Offsets, out.Data = w.Column(rows)
	return out, nil
}

var errWide = errors.New("its values have more than 2 GiB in one batch: write smaller batches")

// offsets reads the rows+1 positions of a list, text or binary column, and where the first value begins, which the result
// counts from.
func (s *Scanner) offsets(c *cursor, large bool, rows int) (_ []int32, first int64, err error) {
	data, err := s.buffer(c)
	if err != nil {
		return nil, 0, err
	}
	if len(data) == 0 && rows == 0 {
		return []int32{0}, 0, nil
	}
	width := 4
	if large {
		width = 8
	}
	if len(data) < (rows+1)*width {
		return nil, 0, errShort
	}
	at := func(i int) int64 {
		if large {
			return int64(binary.LittleEndian.Uint64(data[8*i:]))
		}
		return int64(int32(binary.LittleEndian.Uint32(data[4*i:])))
	}
	first = at(0)
	if first == 0 && !large && uintptr(unsafe.Pointer(&data[0]))%4 == 0 {
		return unsafe.Slice((*int32)(unsafe.Pointer(&data[0])), rows+1), 0, nil
	}
	if err := s.take(rows+1, 4); err != nil {
		return nil, 0, err
	}
	out := make([]int32, rows+1)
	for i := range out {
		v := at(i)
		if v < first || v-first > math.MaxInt32 || first < 0 {
			return nil, 0, errWide
		}
		out[i] = int32(v - first)
	}
	return out, first, nil
}

// text reads a text or binary column.
func (s *Scanner) text(c *cursor, f *scanField, out Column, rows int) (Column, error) {
	offsets, first, err := s.offsets(c, f.kind == kindLargeUtf8 || f.kind == kindLargeBinary, rows)
	if err != nil {
		return out, err
	}
	data, err := s.buffer(c)
	if err != nil {
		return out, err
	}
	end := first + int64(offsets[rows])
	if offsets[rows] < 0 || end > int64(len(data)) {
		return out, errShort
	}
	out.Offsets, out.Data = offsets, data[first:end]
	return out, nil
}

// viewed reads a column of views: 16 bytes a value, which has up to 12 of them there or else lies in one of several buffers.
func (s *Scanner) viewed(c *cursor, out Column, rows int) (Column, error) {
	views, err := s.buffer(c)
	if err != nil {
		return out, err
	}
	n, err := c.views()
	if err != nil {
		return out, err
	}
	parts := make([][]byte, n)
	for i := range parts {
		if parts[i], err = s.buffer(c); err != nil {
			return out, err
		}
	}
	if len(views) < 16*rows {
		return out, errShort
	}
	value := func(i int) ([]byte, error) {
		v := views[16*i : 16*i+16]
		size := int64(int32(binary.LittleEndian.Uint32(v)))
		if size < 0 || out.Valid != nil && !bit(out.Valid, i) {
			return nil, nil
		}
		if size <= 12 {
			return v[4 : 4+size], nil
		}
		part, at := int64(binary.LittleEndian.Uint32(v[8:])), int64(binary.LittleEndian.Uint32(v[12:]))
		if part >= int64(len(parts)) || at+size > int64(len(parts[part])) {
			return nil, fmt.Errorf("row %d: its value does not lie in the batch", i)
		}
		return parts[part][at : at+size], nil
	}
	return s.gather(out, rows, value)
}

// gather copies values of any length to one place, once it is known how much they are.
func (s *Scanner) gather(out Column, rows int, value func(row int) ([]byte, error)) (Column, error) {
	var size int64
	for i := range rows {
		v, err := value(i)
		if err != nil {
			return out, err
		}
		size += int64(len(v))
	}
	if size > math.MaxInt32 {
		return out, errWide
	}
	if err := s.budget.Take(size + 4*int64(rows+1)); err != nil {
		return out, err
	}
	out.Offsets, out.Data = make([]int32, 1, rows+1), make([]byte, 0, size)
	for i := range rows {
		v, _ := value(i)
		out.Data = append(out.Data, v...)
		out.Offsets = append(out.Offsets, int32(len(out.Data)))
	}
	return out, nil
}

// list reads a column of lists.
func (s *Scanner) list(c *cursor, f *scanField, out Column, rows int) (Column, error) {
	var first int64
	var err error
	if f.kind == kindFixedSizeList {
		if int64(rows)*int64(f.size) > math.MaxInt32 {
			return out, errWide
		}
		whole, err := s.cut(out, rows, f.size)
		if err != nil {
			return out, err
		}
		out.Offsets = whole.Offsets
	} else if out.Offsets, first, err = s.offsets(c, f.kind == kindLargeList, rows); err != nil {
		return out, err
	}
	if c.node == len(c.nodes) {
		return out, errFew
	}
	elements := c.nodes[c.node]
	n := int64(out.Offsets[rows])
	if elements < 0 || elements > math.MaxInt32 || n < 0 || first+n > elements {
		return out, errShort
	}
	child, err := s.column(c, &f.children[0], int(elements))
	if err != nil {
		return out, fmt.Errorf("%s: %w", f.children[0].field.Name, err)
	}
	child, err = slice(f.children[0].field, child, int(first), int(first+n), int(elements), s.budget)
	out.Children = []Column{child}
	return out, err
}
