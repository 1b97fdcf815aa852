package arrowfile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/big"
)

// Slice returns rows from to end of a checked batch, copied where its buffers do not allow a view.
func (s Schema) Slice(b Batch, from, end int, m *Budget) (Batch, error) {
	out := Batch{Rows: end - from}
	for i, f := range s.Fields {
		c, err := slice(f, b.Columns[i], from, end, b.Rows, m)
		if err != nil {
			return out, err
		}
		out.Columns = append(out.Columns, c)
	}
	return out, nil
}

// slice returns rows from to end of a column of so many rows.
func slice(f Field, c Column, from, end, rows int, m *Budget) (Column, error) {
	if from == 0 && end == rows {
		return c, nil
	}
	n := end - from
	out := Column{}
	var err error
	if c.Valid != nil {
		if out.Valid, err = sliceBits(c.Valid, from, end, m); err != nil {
			return out, err
		}
		if out.Nulls = n - countBits(out.Valid, n); out.Nulls == 0 {
			out.Valid = nil
		}
	}
	switch f.Type {
	case TypeNull:
		return nullColumn(n, m)
	case TypeBool:
		out.Data, err = sliceBits(c.Data, from, end, m)
		return out, err
	case TypeStruct:
		for i, g := range f.Fields {
			child, err := slice(g, c.Children[i], from, end, rows, m)
			if err != nil {
				return out, err
			}
			out.Children = append(out.Children, child)
		}
		return out, nil
	case TypeString, TypeBytes, TypeList:
		return sliceOffsets(f, c, out, from, end, rows, m)
	}
	w := f.Type.width()
	out.Data = c.Data[from*w : end*w]
	return out, nil
}

// sliceOffsets is slice for the types with offsets. A list's elements may be not checked yet.
func sliceOffsets(f Field, c, out Column, from, end, rows int, m *Budget) (Column, error) {
	n := end - from
	if err := m.Take(4 * int64(n+1)); err != nil {
		return out, err
	}
	first, last := c.Offsets[from], c.Offsets[end]
	if first < 0 || last < first {
		return out, errShort
	}
	out.Offsets = make([]int32, n+1)
	for i := range out.Offsets {
		out.Offsets[i] = c.Offsets[from+i] - first
	}
	if f.Type != TypeList {
		if int(last) > len(c.Data) {
			return out, errShort
		}
		out.Data = c.Data[first:last]
		return out, nil
	}
	elements := c.Offsets[rows]
	if last > elements {
		return out, errShort
	}
	child, err := slice(f.Fields[0], c.Children[0], int(first), int(last), int(elements), m)
	out.Children = []Column{child}
	return out, err
}

func sliceBits(bits []byte, from, end int, m *Budget) ([]byte, error) {
	if from%8 == 0 {
		return bits[from/8 : (end+7)/8], nil
	}
	if err := m.Take(int64(bitmapLen(end - from))); err != nil {
		return nil, err
	}
	out := make([]byte, bitmapLen(end-from))
	for i := range end - from {
		if bit(bits, from+i) {
			out[i/8] |= 1 << (i % 8)
		}
	}
	return out, nil
}

// look replaces positions, which are in out.Data, by the values of a dictionary.
func (s *Scanner) look(f *scanField, out Column, rows int) (Column, error) {
	dict := s.values[f.id]
	if dict == nil {
		dict = &dictionary{} // the file may leave out one that only nulls use
	}
	width := f.bits / 8
	if int64(len(out.Data)) < int64(rows)*int64(width) {
		return out, errShort
	}
	// at is the position of a row's value, -1 for a null.
	at := func(row int) (int, error) {
		if out.Valid != nil && !bit(out.Valid, row) {
			return -1, nil
		}
		var buf [8]byte
		copy(buf[:], out.Data[row*width:row*width+width])
		i := binary.LittleEndian.Uint64(buf[:])
		if i >= uint64(dict.rows) {
			return 0, fmt.Errorf("row %d: position %d in a dictionary of %d values", row, i, dict.rows)
		}
		return int(i), nil
	}
	result, err := s.lookNulls(out, dict.column, rows, at)
	if err != nil {
		return out, err
	}
	switch t := f.field.Type; t {
	case TypeNull:
		return nullColumn(rows, s.budget)
	case TypeString, TypeBytes:
		return s.gather(result, rows, func(row int) ([]byte, error) {
			i, err := at(row)
			if i < 0 || err != nil {
				return nil, err
			}
			return dict.column.Data[dict.column.Offsets[i]:dict.column.Offsets[i+1]], nil
		})
	case TypeBool:
		err = s.take(bitmapLen(rows), 1)
		if err == nil {
			result.Data = make([]byte, bitmapLen(rows))
		}
		for row := 0; row < rows && err == nil; row++ {
			if i, _ := at(row); i >= 0 && bit(dict.column.Data, i) {
				result.Data[row/8] |= 1 << (row % 8)
			}
		}
		return result, err
	default:
		w := t.width()
		if err := s.take(rows, w); err != nil {
			return out, err
		}
		result.Data = make([]byte, rows*w)
		for row := range rows {
			if i, _ := at(row); i >= 0 {
				copy(result.Data[row*w:], dict.column.Data[i*w:i*w+w])
			}
		}
		return result, nil
	}
}

// lookNulls checks all positions and returns a column with the nulls of both: a position may be null, or point at a null.
func (s *Scanner) lookNulls(out, values Column, rows int, at func(int) (int, error)) (Column, error) {
	result := Column{Nulls: out.Nulls, Valid: out.Valid}
	if values.Valid != nil {
		if err := s.take(bitmapLen(rows), 1); err != nil {
			return result, err
		}
		result = Column{Valid: make([]byte, bitmapLen(rows))}
	}
	for row := range rows {
		i, err := at(row)
		if err != nil {
			return result, err
		}
		if values.Valid == nil {
			continue
		}
		if i >= 0 && bit(values.Valid, i) {
			result.Valid[row/8] |= 1 << (row % 8)
		} else {
			result.Nulls++
		}
	}
	if result.Nulls == 0 {
		result.Valid = nil
	}
	return result, nil
}

// join appends what is new in a dictionary, whose values are not nested, to what it had.
func (s *Scanner) join(f Field, a, b *dictionary) (Column, error) {
	rows := a.rows + b.rows
	if rows > math.MaxInt32-1 {
		return Column{}, errors.New("more values than a dictionary can have")
	}
	parts := [2]*dictionary{a, b}
	out := Column{Nulls: a.column.Nulls + b.column.Nulls}
	bits := func(of func(Column) []byte) ([]byte, error) {
		if err := s.take(bitmapLen(rows), 1); err != nil {
			return nil, err
		}
		joined, at := make([]byte, bitmapLen(rows)), 0
		for _, p := range parts {
			for i := range p.rows {
				if have := of(p.column); have == nil || bit(have, i) {
					joined[at/8] |= 1 << (at % 8)
				}
				at++
			}
		}
		return joined, nil
	}
	var err error
	if out.Nulls > 0 {
		if out.Valid, err = bits(func(c Column) []byte { return c.Valid }); err != nil {
			return out, err
		}
	}
	switch f.Type {
	case TypeNull:
		return out, nil
	case TypeBool:
		out.Data, err = bits(func(c Column) []byte { return c.Data })
		return out, err
	case TypeString, TypeBytes:
		return s.gather(out, rows, func(row int) ([]byte, error) {
			p := a
			if row >= a.rows {
				p, row = b, row-a.rows
			}
			return p.column.Data[p.column.Offsets[row]:p.column.Offsets[row+1]], nil
		})
	}
	if err := s.take(rows, f.Type.width()); err != nil {
		return out, err
	}
	out.Data = append(append(make([]byte, 0, rows*f.Type.width()), a.column.Data...), b.column.Data...)
	return out, nil
}

// DecimalWriter makes text of decimals: all their digits, with as many after the point as their scale says. Nothing is lost, as
// it would be in a float.
type DecimalWriter struct {
	Scale  int
	Budget *Budget

	offsets []int32
	data    []byte
	taken   int64
}

// maxScale bounds the zeros that a decimal's scale adds on either side.
const maxScale = 100

// Append adds a decimal: its unscaled value as a two's complement number, most significant byte first.
func (w *DecimalWriter) Append(value []byte) error {
	if w.Scale > maxScale || w.Scale < -maxScale {
		return fmt.Errorf("a decimal of scale %d: at most %d is read", w.Scale, maxScale)
	}
	var v int64
	if len(value) <= 8 {
		for i, b := range value {
			if i == 0 {
				v = int64(int8(b))
			} else {
				v = v<<8 | int64(b)
			}
		}
		w.data = appendDecimal(w.data, big.NewInt(v), w.Scale)
	} else {
		n := new(big.Int).SetBytes(value)
		if value[0]&0x80 != 0 {
			n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(value))))
		}
		w.data = appendDecimal(w.data, n, w.Scale)
	}
	return w.end()
}

// Skip adds a null.
func (w *DecimalWriter) Skip() error { return w.end() }

func (w *DecimalWriter) end() error {
	w.offsets = append(w.offsets, int32(len(w.data)))
	if len(w.data) > math.MaxInt32-1024 {
		return errWide
	}
	// What append may have allocated: twice what is used.
	now := 2 * (int64(len(w.data)) + 4*int64(len(w.offsets)))
	if now < w.taken {
		return nil
	}
	step := max(now-w.taken, 4096)
	w.taken += step
	return w.Budget.Take(step)
}

// Column returns the offsets and data of the text, for so many rows.
func (w *DecimalWriter) Column(rows int) ([]int32, []byte) {
	return append([]int32{0}, w.offsets...)[:rows+1], w.data
}

func appendDecimal(dst []byte, v *big.Int, scale int) []byte {
	if v.Sign() < 0 {
		dst = append(dst, '-')
		v = new(big.Int).Neg(v)
	}
	begin := len(dst)
	dst = v.Append(dst, 10)
	for ; scale < 0 && v.Sign() != 0; scale++ {
		dst = append(dst, '0')
	}
	if scale <= 0 {
		return dst
	}
	for len(dst)-begin <= scale {
		dst = append(dst, 0)
		copy(dst[begin+1:], dst[begin:])
		dst[begin] = '0'
	}
	dst = append(dst, 0)
	point := len(dst) - 1 - scale
	copy(dst[point+1:], dst[point:])
	dst[point] = '.'
	return dst
}
