package parquetfile

import (
	"errors"
	"fmt"
	"math"

	"github.com/millrace/millrace/storage/arrowfile"
)

// errLevels reports columns of one struct or list that do not agree on where their values are.
var errLevels = errors.New("its levels contradict each other")

// shape is what a nested column's levels are seen from: the rows are the elements of the lists around it.
type shape struct {
	def, rep int // of an element of the innermost list around; 0: of a record
	rows     int
}

// starts says whether the ith level begins a row.
func (s shape) starts(l levels, i int) bool {
	return (l.reps == nil || l.reps[i] <= uint32(s.rep)) && (l.defs == nil || l.defs[i] >= uint32(s.def))
}

// assemble makes the column of a node from the batches of its leaves.
func (g *Rows) assemble(n *node, s shape) (arrowfile.Column, error) {
	if n.leaf != nil {
		return g.flat(n, s)
	}
	var out arrowfile.Column
	c := g.columns[n.first().index]
	count := c.batch.count(c.rows)
	if n.field.Type == arrowfile.TypeStruct {
		if n.field.Nullable {
			if err := g.validity(&out, n.def, c.batch, s, count); err != nil {
				return out, err
			}
		}
		for _, child := range n.children {
			column, err := g.assemble(child, s)
			if err != nil {
				return out, err
			}
			out.Children = append(out.Children, column)
		}
		return out, nil
	}
	if n.field.Nullable {
		if err := g.validity(&out, n.def, c.batch, s, count); err != nil {
			return out, err
		}
	}
	if err := g.memory.Take(4 * int64(s.rows+1)); err != nil {
		return out, err
	}
	out.Offsets = make([]int32, 0, s.rows+1)
	elements := shape{def: n.elementDef, rep: n.elementRep}
	for i := range count {
		if s.starts(c.batch, i) {
			out.Offsets = append(out.Offsets, int32(elements.rows))
		}
		if elements.starts(c.batch, i) {
			if elements.rows++; elements.rows > math.MaxInt32-1 {
				return out, errWide
			}
		}
	}
	out.Offsets = append(out.Offsets, int32(elements.rows))
	if len(out.Offsets) != s.rows+1 {
		return out, errLevels
	}
	child, err := g.assemble(n.children[0], elements)
	out.Children = []arrowfile.Column{child}
	return out, err
}

// count is how many levels there are; without any, the rows.
func (l levels) count(rows int) int {
	if l.defs != nil {
		return len(l.defs)
	}
	return rows
}

// first is the leaf whose levels stand for those of a nested column: all its leaves have them alike.
func (n *node) first() *leaf {
	for n.leaf == nil {
		n = n.children[0]
	}
	return n.leaf
}

// validity fills a column's nulls: what is below level def.
func (g *Rows) validity(out *arrowfile.Column, def int, l levels, s shape, count int) error {
	if err := g.memory.Take(int64(s.rows+7) / 8); err != nil {
		return err
	}
	valid, row := make([]byte, (s.rows+7)/8), 0
	for i := range count {
		if !s.starts(l, i) {
			continue
		}
		if row == s.rows {
			return errLevels
		}
		if l.defs == nil || l.defs[i] >= uint32(def) {
			valid[row/8] |= 1 << (row % 8)
		} else {
			out.Nulls++
		}
		row++
	}
	if row != s.rows {
		return errLevels
	}
	if out.Nulls > 0 {
		out.Valid = valid
	}
	return nil
}

// flat makes the column of a leaf.
func (g *Rows) flat(n *node, s shape) (arrowfile.Column, error) {
	c := g.columns[n.leaf.index]
	count := c.batch.count(c.rows)
	var out arrowfile.Column
	if n.field.Type == arrowfile.TypeNull {
		if s.rows == 0 {
			return out, nil
		}
		err := g.memory.Take(int64(s.rows+7) / 8)
		if err == nil {
			out = arrowfile.Column{Nulls: s.rows, Valid: make([]byte, (s.rows+7)/8)}
		}
		return out, err
	}
	if err := g.validity(&out, n.leaf.def, c.batch, s, count); err != nil {
		return out, err
	}
	if s.rows-out.Nulls != c.values {
		return out, errLevels
	}
	if c.decimals != nil {
		c.offsets, c.data = c.decimals.Column(c.values)
		c.offsets = c.offsets[1:]
	}
	switch n.field.Type {
	case arrowfile.TypeString, arrowfile.TypeBytes:
		return g.spreadText(out, c, s.rows)
	case arrowfile.TypeBool:
		return g.spreadBits(out, c, s.rows)
	}
	return g.spread(out, c, s.rows, n.field.Type.Width())
}

func has(valid []byte, row int) bool { return valid == nil || valid[row/8]>>(row%8)&1 == 1 }

// spread puts values of one width where their rows are.
func (g *Rows) spread(out arrowfile.Column, c *column, rows, width int) (arrowfile.Column, error) {
	if out.Nulls == 0 {
		out.Data = c.data
		return out, nil
	}
	if err := g.memory.Take(int64(rows) * int64(width)); err != nil {
		return out, err
	}
	out.Data = make([]byte, rows*width)
	at := 0
	for row := range rows {
		if has(out.Valid, row) {
			copy(out.Data[row*width:], c.data[at:at+width])
			at += width
		}
	}
	return out, nil
}

func (g *Rows) spreadBits(out arrowfile.Column, c *column, rows int) (arrowfile.Column, error) {
	if err := g.memory.Take(int64(rows+7) / 8); err != nil {
		return out, err
	}
	out.Data = make([]byte, (rows+7)/8)
	at := 0
	for row := range rows {
		if has(out.Valid, row) {
			out.Data[row/8] |= c.data[at] << (row % 8)
			at++
		}
	}
	return out, nil
}

func (g *Rows) spreadText(out arrowfile.Column, c *column, rows int) (arrowfile.Column, error) {
	if err := g.memory.Take(4 * int64(rows+1)); err != nil {
		return out, err
	}
	out.Data, out.Offsets = c.data, make([]int32, rows+1)
	at := 0
	for row := range rows {
		out.Offsets[row+1] = out.Offsets[row]
		if has(out.Valid, row) {
			out.Offsets[row+1] = c.offsets[at]
			at++
		}
	}
	if at != len(c.offsets) {
		return out, fmt.Errorf("%w: %d values for %d rows", errLevels, len(c.offsets), at)
	}
	return out, nil
}
