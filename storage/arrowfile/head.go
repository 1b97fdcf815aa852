package arrowfile

import (
	"bytes"
	"slices"
)

// Head returns a copy of the first rows of a batch of that schema, at most as many as it has, and how many bytes the copy
// takes. It is the caller's for as long as it likes.
func (s Schema) Head(b Batch, rows int) (head Batch, size int) {
	head.Rows = min(rows, b.Rows)
	for i, c := range b.Columns {
		col, n := s.Fields[i].head(c, head.Rows)
		head.Columns = append(head.Columns, col)
		size += n
	}
	return head, size
}

func (f Field) head(c Column, rows int) (Column, int) {
	var out Column
	if c.Valid != nil {
		out.Valid = bytes.Clone(c.Valid[:(rows+7)/8])
		for i := range rows {
			if c.Valid[i/8]>>(i%8)&1 == 0 {
				out.Nulls++
			}
		}
	}
	children := rows
	switch f.Type {
	case TypeString, TypeBytes, TypeList:
		out.Offsets = slices.Clone(c.Offsets[:rows+1])
		children = int(c.Offsets[rows])
		if f.Type != TypeList {
			out.Data = bytes.Clone(c.Data[:children])
		}
	case TypeStruct:
	case TypeBool:
		out.Data = bytes.Clone(c.Data[:(rows+7)/8])
	default:
		out.Data = bytes.Clone(c.Data[:rows*f.Type.width()])
	}
	size := len(out.Valid) + 4*len(out.Offsets) + len(out.Data)
	for i, child := range c.Children {
		inner, n := f.Fields[i].head(child, children)
		out.Children = append(out.Children, inner)
		size += n
	}
	return out, size
}
