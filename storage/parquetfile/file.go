package parquetfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/apache/arrow/go/v15/parquet"
	"github.com/apache/arrow/go/v15/parquet/file"
	"github.com/apache/arrow/go/v15/parquet/metadata"

	"github.com/millrace/millrace/storage/arrowfile"
)

const (
	magic     = "PAR1"
	tailLen   = 4 + len(magic) // the footer's length, the magic number
	tailGuess = 64 << 10       // is read from the end of a file at once: the footer of most files
	maxFooter = 256 << 20
)

// File is an open Parquet file, of which some columns are wanted. It is not safe for concurrent use.
type File struct {
	r       io.ReaderAt
	size    int64
	budget  *arrowfile.Budget
	held    int64 // of the budget, for as long as the file is open
	meta    *metadata.FileMetaData
	schema  arrowfile.Schema
	columns []*node // the wanted ones
	leaves  []*leaf // of them
	groups  []int64 // where each row group begins
	rows    []int64 // the number of each group's first row in the file, and of all rows
}

// IsParquet says whether a file that begins with head is a Parquet file.
func IsParquet(head []byte) bool { return bytes.HasPrefix(head, []byte(magic)) }

// Open opens the file of size bytes to read the named columns, in that order; of no names: all columns.
func Open(r io.ReaderAt, size int64, columns []string, b *arrowfile.Budget) (*File, error) {
	f := &File{r: r, size: size, budget: b}
	if err := guard(func() error { return f.open(columns) }); err != nil {
		return nil, fmt.Errorf("read Parquet file: %w", err)
	}
	return f, nil
}

// guard runs f and turns a panic inside of Arrow into an error.
func guard(f func() error) (err error) {
	defer func() {
		switch p := recover().(type) {
		case nil:
		case error:
			err = fmt.Errorf("inside Arrow: %w", p)
		default:
			err = fmt.Errorf("inside Arrow: %v", p)
		}
	}()
	return f()
}

func (f *File) open(columns []string) error {
	footer, err := f.readFooter()
	if err != nil {
		return err
	}
	if err := screen(footer, f.budget); err != nil {
		return err
	}
	if f.meta, err = metadata.NewFileMetaData(footer, nil); err != nil {
		return fmt.Errorf("footer: %w", err)
	}
	var t tree
	all, err := t.columns(f.meta.Schema.Root())
	if err != nil {
		return err
	}
	if t.leaves != f.meta.Schema.NumColumns() {
		return errors.New("footer: its schema has columns in other places")
	}
	if err := f.project(all, columns); err != nil {
		return err
	}
	f.held = f.budget.Live()
	return f.locate()
}

// readFooter returns the footer's bytes.
func (f *File) readFooter() ([]byte, error) {
	if f.size < int64(2*len(magic)+4) {
		return nil, fmt.Errorf("%d bytes are too few for a Parquet file", f.size)
	}
	live := f.budget.Live()
	tail, err := arrowfile.ReadRanges(f.r, []arrowfile.Range{{Offset: 0, Length: int64(len(magic))}, lastOf(f.size, tailGuess)}, f.budget)
	if err != nil {
		return nil, err
	}
	head, end := tail[0], tail[1]
	n := int64(binary.LittleEndian.Uint32(end[len(end)-tailLen:]))
	switch string(end[len(end)-len(magic):]) {
	case "PARE":
		return nil, errors.New("it is encrypted: encrypted files cannot be read")
	case magic:
	default:
		return nil, errors.New("not a whole Parquet file: it does not end with " + magic)
	}
	if string(head) != magic {
		return nil, errors.New("not a Parquet file: it does not begin with " + magic)
	}
	if n > maxFooter || n > f.size-int64(len(magic)+tailLen) {
		return nil, fmt.Errorf("footer of %d bytes in a file of %d: want at most %d, and to fit", n, f.size, maxFooter)
	}
	if int64(len(end)) >= n+int64(tailLen) {
		end = end[:len(end)-tailLen]
		return end[int64(len(end))-n:], nil
	}
	f.budget.Back(live)
	footer, err := arrowfile.ReadRanges(f.r, []arrowfile.Range{{Offset: f.size - int64(tailLen) - n, Length: n}}, f.budget)
	if err != nil {
		return nil, fmt.Errorf("footer: %w", err)
	}
	return footer[0], nil
}

func lastOf(size, n int64) arrowfile.Range {
	n = min(n, size)
	return arrowfile.Range{Offset: size - n, Length: n}
}

// project chooses the columns.
func (f *File) project(all []*node, columns []string) error {
	names := make([]string, len(all))
	for i, n := range all {
		names[i] = n.field.Name
	}
	order, err := arrowfile.Choose(names, columns)
	if err != nil {
		return err
	}
	for _, i := range order {
		n := all[i]
		if n.refused != "" {
			return fmt.Errorf("column %q is a %s, which cannot be read: name the columns that you need, or convert it with the program that wrote the file",
				n.field.Name, n.refused)
		}
		f.schema.Fields = append(f.schema.Fields, n.field)
		f.columns = append(f.columns, n)
		n.eachLeaf(func(l *leaf) { f.leaves = append(f.leaves, l) })
	}
	return nil
}

func (n *node) eachLeaf(do func(*leaf)) {
	if n.leaf != nil {
		do(n.leaf)
	}
	for _, child := range n.children {
		child.eachLeaf(do)
	}
}

// locate finds where the row groups begin: with their first column.
func (f *File) locate() error {
	f.rows = []int64{0}
	for i, g := range f.meta.RowGroups {
		n := g.GetNumRows()
		last := f.rows[i]
		if len(g.Columns) != f.meta.Schema.NumColumns() || n < 0 || n > 1<<60 || last > 1<<62-n {
			return fmt.Errorf("row group %d has %d columns and %d rows: its schema has %d columns", i, len(g.Columns), n, f.meta.Schema.NumColumns())
		}
		begin, _, err := f.extent(i, 0)
		if err != nil {
			return err
		}
		f.groups, f.rows = append(f.groups, begin), append(f.rows, last+n)
	}
	return nil
}

// extent is where a column of a row group lies.
func (f *File) extent(group, column int) (begin, n int64, err error) {
	c := f.meta.RowGroups[group].Columns[column]
	if c == nil || c.MetaData == nil || c.CryptoMetadata != nil {
		return 0, 0, fmt.Errorf("row group %d, column %d: it is encrypted or not described", group, column)
	}
	if path := c.GetFilePath(); path != "" {
		return 0, 0, fmt.Errorf("row group %d, column %d: it lies in another file, %.200q", group, column, path)
	}
	begin, n = c.MetaData.DataPageOffset, c.MetaData.TotalCompressedSize
	if d := c.MetaData.DictionaryPageOffset; d != nil && *d > 0 && *d < begin {
		begin = *d
	}
	if begin < 0 || n < 0 || begin > f.size || n > f.size-begin {
		return 0, 0, fmt.Errorf("row group %d, column %d: its %d bytes at %d do not lie in the file", group, column, n, begin)
	}
	return begin, n, nil
}

// Schema returns the wanted columns.
func (f *File) Schema() arrowfile.Schema { return f.schema }

// Groups returns where the row groups begin, in the order of the footer.
func (f *File) Groups() []int64 { return f.groups }

// Row returns the number of a row group's first row in the file, from 0.
func (f *File) Row(group int) int64 { return f.rows[group] }

// Rows reads a row group, some rows at a time.
type Rows struct {
	file    *File
	group   int
	columns map[int]*column
	left    int64
	size    int               // rows of a batch
	memory  *arrowfile.Budget // for a batch
	started bool
	zstd    arrowfile.Zstd
}

const (
	// batchBytes is the aimed size of a batch, as that of blocks of lines is; batchRows bounds its rows.
	batchBytes = 1 << 20
	batchRows  = 64 << 10
	// A row group whose wanted columns fit into half of the memory is read at once. Of a larger one each column has a window, of
	// an eighth of the memory together, within these bounds.
	minWindow, maxWindow = 64 << 10, 4 << 20
)

// Read starts to read a row group. One is read at a time: what was read before is over.
func (f *File) Read(group int) (*Rows, error) {
	f.budget.Back(f.held)
	g := &Rows{file: f, group: group, columns: map[int]*column{}, memory: f.budget.Part(), left: f.rows[group+1] - f.rows[group]}
	if err := guard(g.open); err != nil {
		return nil, g.fail(err)
	}
	return g, nil
}

func (g *Rows) fail(err error) error {
	return fmt.Errorf("read Parquet row group %d: %w", g.group, err)
}

func (g *Rows) open() error {
	f := g.file
	ranges, sum, plain := make([]arrowfile.Range, len(f.leaves)), int64(0), int64(0)
	for i, l := range f.leaves {
		begin, n, err := f.extent(g.group, l.index)
		if err != nil {
			return err
		}
		ranges[i] = arrowfile.Range{Offset: begin, Length: n}
		sum += n
		plain += max(8*g.left, min(f.meta.RowGroups[g.group].Columns[l.index].MetaData.TotalUncompressedSize, 1<<40))
	}
	var whole [][]byte
	if sum <= f.budget.Limit()/2 {
		var err error
		if whole, err = arrowfile.ReadRanges(f.r, ranges, f.budget); errors.Is(err, arrowfile.ErrBudget) {
			f.budget.Back(f.held)
			whole, err = nil, nil
		} else if err != nil {
			return err
		}
	}
	window := min(max(f.budget.Limit()/8/int64(len(ranges)), minWindow), maxWindow)
	for i, l := range f.leaves {
		c := chunk{r: f.r, pos: ranges[i].Offset, end: ranges[i].Offset + ranges[i].Length, window: window, budget: f.budget}
		if whole != nil {
			c.data = whole[i]
		}
		if err := g.openColumn(l, c); err != nil {
			return err
		}
	}
	target := min(batchBytes, f.budget.Limit()/8)
	g.size = int(min(max(1, target*g.left/max(1, plain)), batchRows))
	return nil
}

func (g *Rows) openColumn(l *leaf, c chunk) error {
	about := g.file.meta.RowGroups[g.group].Columns[l.index].MetaData
	switch {
	case parquet.Type(about.Type) != l.physical:
		return fmt.Errorf("column %s is of type %s, but the schema says %s", l.column.Path(), about.Type, l.physical)
	case about.NumValues < 0 || l.rep == 0 && about.NumValues != g.left:
		return fmt.Errorf("column %s has %d values in %d rows", l.column.Path(), about.NumValues, g.left)
	}
	own := *l
	col := &column{leaf: &own, memory: g.memory}
	col.pages = pageReader{chunk: c, leaf: &own, codec: unpacker{int(about.Codec), &g.zstd}, rows: about.NumValues, dict: -1}
	col.arrow = file.NewColumnReader(l.column, &col.feed, memory.DefaultAllocator, &pools)
	g.columns[l.index] = col
	return nil
}

// Next returns the next rows; after the last ones comes io.EOF. Their buffers are new each time and never changed afterwards; from
// the budget they are given back at the next call.
func (g *Rows) Next() (b arrowfile.Batch, err error) {
	if g.left == 0 {
		return b, io.EOF
	}
	err = guard(func() error {
		b, err = g.read()
		return err
	})
	if err == nil {
		err = g.file.schema.Check(b)
	}
	if err != nil {
		g.left = 0
		return arrowfile.Batch{}, g.fail(err)
	}
	g.left -= int64(b.Rows)
	return b, nil
}

func (g *Rows) read() (arrowfile.Batch, error) {
	g.memory.Back(0)
	for _, l := range g.file.leaves {
		if g.started {
			break
		}
		if err := g.start(g.columns[l.index]); err != nil {
			return arrowfile.Batch{}, fmt.Errorf("column %s: %w", l.column.Path(), err)
		}
	}
	g.started = true
	b := arrowfile.Batch{Rows: int(min(int64(g.size), g.left))}
	for _, l := range g.file.leaves {
		if err := g.columns[l.index].read(b.Rows); err != nil {
			return b, fmt.Errorf("column %s: %w", l.column.Path(), err)
		}
	}
	for _, n := range g.file.columns {
		column, err := g.assemble(n, shape{rows: b.Rows})
		if err != nil {
			return b, fmt.Errorf("column %q: %w", n.field.Name, err)
		}
		b.Columns = append(b.Columns, column)
	}
	return b, nil
}

// start reads a column's first pages, so that long values in a dictionary make batches shorter.
func (g *Rows) start(c *column) error {
	if err := c.more(); err != nil && err != io.EOF {
		return err
	}
	if c.longest > 0 {
		g.size = int(max(1, min(int64(g.size), g.memory.Limit()/16/int64(c.longest))))
	}
	return nil
}
