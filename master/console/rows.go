package console

import (
	"encoding/csv"
	"fmt"
	"io"
	"strings"

	"github.com/millrace/millrace/storage/arrowfile"
)

// The formats of rows.
const (
	FormatTable  = "table"  // for people: bounded width, cells cut with …, null where a value is missing
	FormatCSV    = "csv"    // RFC 4180 with a header line; a missing value is an empty cell
	FormatNDJSON = "ndjson" // a JSON object per line; NaN and infinities are null, bytes are base64
	FormatRaw    = "raw"    // the values of the one column: a line end after text, nothing after bytes; a missing value is empty
)

// Formats lists the formats, for help texts.
func Formats() []string { return []string{FormatTable, FormatCSV, FormatNDJSON, FormatRaw} }

// RowOptions says how rows are written.
type RowOptions struct {
	Format   string // one of Formats; "": FormatTable
	Limit    int64  // rows to write; 0: all
	Total    int64  // rows that there are in all, if known: a table then says how many it left out
	Width    int    // columns of the terminal, for a table; 0: no limit
	Terminal bool   // out is a terminal: control characters in csv and raw text are left out too
}

// Rows writes batches of rows as text. One goroutine uses it.
type Rows struct {
	out    io.Writer
	schema arrowfile.Schema
	o      RowOptions
	rows   int64
	buf    []byte

	write func(b arrowfile.Batch, rows int) error
	flush func() error
	left  func() int // columns that a table left out
}

// NewRows returns a Rows that writes to out, which should be buffered for many rows.
func NewRows(out io.Writer, s arrowfile.Schema, o RowOptions) (*Rows, error) {
	r := &Rows{out: out, schema: s, o: o}
	switch o.Format {
	case "", FormatTable:
		t := &tableRows{out: out, schema: s, width: o.Width}
		r.write, r.flush, r.left = t.write, t.flush, func() int { return t.left }
	case FormatCSV:
		c := csv.NewWriter(out)
		r.write = func(b arrowfile.Batch, rows int) error { return r.writeCSV(c, b, rows) }
		r.flush = func() error {
			c.Flush()
			return c.Error()
		}
		return r, c.Write(r.header())
	case FormatNDJSON:
		r.write, r.flush = r.writeJSON, func() error { return nil }
	case FormatRaw:
		if n := len(s.Fields); n != 1 || s.Fields[0].Type == arrowfile.TypeStruct || s.Fields[0].Type == arrowfile.TypeList {
			return nil, fmt.Errorf("format raw: the rows are %s: raw writes rows of one plain column; use table, csv or ndjson", columnsOf(s))
		}
		r.write, r.flush = r.writeRaw, func() error { return nil }
	default:
		return nil, fmt.Errorf("unknown format %q: want %s", o.Format, strings.Join(Formats(), ", "))
	}
	return r, nil
}

// columnsOf is "word utf8, n int64".
func columnsOf(s arrowfile.Schema) string {
	var names []string
	for _, f := range s.Fields {
		names = append(names, Line(f.Name)+" "+string(f.Type))
	}
	return strings.Join(names, ", ")
}

// Write writes the rows of a batch, up to the limit. It says whether more are wanted.
func (r *Rows) Write(b arrowfile.Batch) (more bool, err error) {
	rows := b.Rows
	if r.o.Limit > 0 {
		rows = int(min(int64(rows), r.o.Limit-r.rows))
	}
	if rows > 0 {
		if err := r.write(b, rows); err != nil {
			return false, err
		}
		r.rows += int64(rows)
	}
	return r.o.Limit == 0 || r.rows < r.o.Limit, nil
}

// Close writes what is still held back.
func (r *Rows) Close() error {
	if err := r.flush(); err != nil {
		return err
	}
	if r.left == nil {
		return nil
	}
	var more []string
	if n := r.o.Total - r.rows; n > 0 {
		more = append(more, count(n, "more row", "more rows"))
	}
	if n := r.left(); n > 0 {
		more = append(more, count(n, "more column", "more columns"))
	}
	if len(more) == 0 {
		return nil
	}
	_, err := fmt.Fprintf(r.out, "… %s\n", strings.Join(more, ", "))
	return err
}

func (r *Rows) header() []string {
	var names []string
	for _, f := range r.schema.Fields {
		names = append(names, r.shown(f.Name))
	}
	return names
}

// shown is text as it may go out: to a file or pipe unchanged.
func (r *Rows) shown(s string) string {
	if r.o.Terminal {
		return Lines(s)
	}
	return s
}

func (r *Rows) writeCSV(c *csv.Writer, b arrowfile.Batch, rows int) error {
	record := make([]string, len(r.schema.Fields))
	for row := range rows {
		for i, f := range r.schema.Fields {
			r.buf = arrowfile.AppendText(r.buf[:0], f, b.Columns[i], row)
			record[i] = r.shown(string(r.buf))
		}
		if err := c.Write(record); err != nil {
			return err
		}
	}
	return nil
}

func (r *Rows) writeJSON(b arrowfile.Batch, rows int) error {
	for row := range rows {
		r.buf = append(arrowfile.AppendRow(r.buf, r.schema, b, row), '\n')
		if len(r.buf) < 64<<10 && row < rows-1 {
			continue
		}
		if _, err := r.out.Write(r.buf); err != nil {
			return err
		}
		r.buf = r.buf[:0]
	}
	return nil
}

func (r *Rows) writeRaw(b arrowfile.Batch, rows int) error {
	f, c := r.schema.Fields[0], b.Columns[0]
	for row := range rows {
		switch {
		case f.Type == arrowfile.TypeBytes:
			r.buf = append(r.buf[:0], c.Raw(row)...)
		default:
			r.buf = append(arrowfile.AppendText(r.buf[:0], f, c, row), '\n')
		}
		out := r.buf
		if r.o.Terminal {
			out = []byte(Lines(string(r.buf)))
		}
		if _, err := r.out.Write(out); err != nil {
			return err
		}
	}
	return nil
}

// FirstRows writes a table of the first rows of an output, under its summary. next returns batches and then io.EOF; total
// is the number of rows in all.
func FirstRows(out io.Writer, s arrowfile.Schema, next func() (arrowfile.Batch, error), rows, total int64, width int) error {
	w, err := NewRows(out, s, RowOptions{Limit: rows, Total: total, Width: width})
	for more := true; err == nil && more; {
		var b arrowfile.Batch
		if b, err = next(); err == nil {
			more, err = w.Write(b)
		}
	}
	if err != nil && err != io.EOF {
		return err
	}
	return w.Close()
}
