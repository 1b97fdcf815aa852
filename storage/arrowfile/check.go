package arrowfile

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
	"unicode/utf8"
)

// ErrShape reports a batch whose buffers do not fit its schema or each other.
var ErrShape = errors.New("malformed batch")

// Check returns an error unless a batch that was read fits its schema: see check.
func (s Schema) Check(b Batch) error { return s.check(b) }

// check returns an error unless b's buffers have the lengths, offsets and null counts that s and b.Rows ask for, and its
// strings are valid UTF-8. It runs before each write and after each read: behind it no access can be out of range.
func (s Schema) check(b Batch) error {
	if b.Rows < 0 || b.Rows > math.MaxInt32-1 {
		return fmt.Errorf("%w: %d rows: want at most %d", ErrShape, b.Rows, math.MaxInt32-1)
	}
	return checkColumns("", s.Fields, b.Columns, b.Rows)
}

func checkColumns(path string, fields []Field, columns []Column, rows int) error {
	if len(columns) != len(fields) {
		return fmt.Errorf("%w: %s has %d columns: want %d", ErrShape, orSchema(path), len(columns), len(fields))
	}
	for i, f := range fields {
		if err := checkColumn(join(path, f.Name), f, columns[i], rows); err != nil {
			return err
		}
	}
	return nil
}

func checkColumn(path string, f Field, c Column, rows int) error {
	if err := checkNulls(path, f, c, rows); err != nil {
		return err
	}
	switch f.Type {
	case TypeStruct:
		return checkColumns(path, f.Fields, c.Children, rows)
	case TypeList:
		n := 0
		if len(c.Offsets) > 0 {
			n = int(c.Offsets[len(c.Offsets)-1])
		}
		if err := checkOffsets(path, c.Offsets, rows, n); err != nil {
			return err
		}
		return checkColumns(path, f.Fields, c.Children, n)
	case TypeString, TypeBytes:
		if err := checkOffsets(path, c.Offsets, rows, len(c.Data)); err != nil {
			return err
		}
		if f.Type == TypeString {
			return checkText(path, c)
		}
		return nil
	case TypeNull:
		if c.Nulls != rows || len(c.Data) != 0 {
			return fmt.Errorf("%w: column %q of type null has values", ErrShape, path)
		}
		return nil
	case TypeBool:
		if len(c.Data) < bitmapLen(rows) {
			return fmt.Errorf("%w: column %q has a bitmap of %d bytes: want %d", ErrShape, path, len(c.Data), bitmapLen(rows))
		}
		return nil
	}
	if want := rows * f.Type.width(); len(c.Data) != want {
		return fmt.Errorf("%w: column %q has %d bytes: want %d", ErrShape, path, len(c.Data), want)
	}
	return nil
}

// checkNulls compares the null count with the bitmap: Arrow's readers trust the count and drop the bitmap when it is 0.
func checkNulls(path string, f Field, c Column, rows int) error {
	nulls := 0
	if c.Valid != nil {
		if len(c.Valid) < bitmapLen(rows) {
			return fmt.Errorf("%w: column %q has a validity bitmap of %d bytes: want %d", ErrShape, path, len(c.Valid), bitmapLen(rows))
		}
		nulls = rows - countBits(c.Valid, rows)
	}
	switch {
	case nulls != c.Nulls:
		return fmt.Errorf("%w: column %q states %d nulls and marks %d", ErrShape, path, c.Nulls, nulls)
	case nulls > 0 && !f.Nullable:
		return fmt.Errorf("%w: column %q has %d nulls but is not nullable", ErrShape, path, nulls)
	}
	return nil
}

// checkOffsets wants rows+1 positions that rise from 0 to end. No rows may have no positions.
func checkOffsets(path string, offsets []int32, rows, end int) error {
	if end > math.MaxInt32 {
		return fmt.Errorf("%w: column %q has %d bytes or elements in one batch: want at most %d, write smaller batches",
			ErrShape, path, end, math.MaxInt32)
	}
	if rows == 0 && len(offsets) == 0 && end == 0 {
		return nil
	}
	if len(offsets) != rows+1 {
		return fmt.Errorf("%w: column %q has %d offsets: want %d", ErrShape, path, len(offsets), rows+1)
	}
	last := int32(0)
	if offsets[0] != 0 {
		return fmt.Errorf("%w: column %q: its first offset is %d: want 0", ErrShape, path, offsets[0])
	}
	for row, o := range offsets {
		if o < last {
			return fmt.Errorf("%w: column %q: offset %d at row %d is below the one before it, %d", ErrShape, path, o, row, last)
		}
		last = o
	}
	if int(last) != end {
		return fmt.Errorf("%w: column %q: its last offset is %d: want %d", ErrShape, path, last, end)
	}
	return nil
}

// checkText wants valid UTF-8 in every value: readers take it for granted and some of them crash on anything else.
// One pass over all values together is three times as fast as one call each; then no value may begin inside a character.
func checkText(path string, c Column) error {
	if !utf8.Valid(c.Data) {
		return fmt.Errorf("%w: column %q of type utf8 has a value that is not valid UTF-8: declare it as bytes, "+
			"or clean it with strings.ToValidUTF8", ErrShape, path)
	}
	for row, o := range c.Offsets {
		if int(o) < len(c.Data) && !utf8.RuneStart(c.Data[o]) {
			return fmt.Errorf("%w: column %q of type utf8: the value at row %d begins inside a character", ErrShape, path, row)
		}
	}
	return nil
}

func bitmapLen(rows int) int { return (rows + 7) / 8 }

// countBits returns the set bits among the first rows bits.
func countBits(bitmap []byte, rows int) int {
	n := 0
	for _, b := range bitmap[:rows/8] {
		n += bits.OnesCount8(b)
	}
	if tail := rows % 8; tail > 0 {
		n += bits.OnesCount8(bitmap[rows/8] & (1<<tail - 1))
	}
	return n
}
