package command

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"unicode/utf8"

	"github.com/millrace/millrace/jobs"
)

// Lines become columns in one pass, without an allocation a line: the string that package strconv
// is given stays on the stack, since it keeps none. The plain version, which splits each line
// into strings, is in the tests (plainRows, BenchmarkRows).

// rowWriter hands the lines of a command to the engine as rows.
type rowWriter struct {
	columns columns
	task    *jobs.Task
	out     jobs.RowSink
	cells   []cells
	rows    int
	bytes   int64
	batch   []jobs.Column
}

// cells are the fields of one column.
type cells struct {
	kind    jobs.Type
	offsets []int32
	data    []byte
}

func newRowWriter(columns columns, t *jobs.Task, out jobs.RowSink) *rowWriter {
	w := &rowWriter{columns: columns, task: t, out: out, cells: make([]cells, len(columns.list))}
	for i, f := range columns.schema().Fields {
		w.cells[i].kind = f.Type
	}
	w.reset()
	return w
}

func (w *rowWriter) reset() {
	w.rows, w.bytes = 0, 0
	for i := range w.cells {
		c := &w.cells[i]
		c.data = c.data[:0]
		if c.kind == jobs.TypeString || c.kind == jobs.TypeBytes {
			c.offsets = append(c.offsets[:0], 0)
		}
	}
}

// lines adds a row for each line.
func (w *rowWriter) lines(data []byte) error {
	for len(data) > 0 {
		line := data
		if end := bytes.IndexByte(data, '\n'); end >= 0 {
			line, data = data[:end], data[end+1:]
		} else {
			data = nil
		}
		if err := w.add(line); err != nil {
			return err
		}
		w.rows++
		w.task.Rows++
		if w.rows >= jobs.BatchRows || w.bytes >= jobs.BatchRowBytes {
			if err := w.flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

// add adds the fields of one line.
func (w *rowWriter) add(line []byte) error {
	rest, last := line, len(w.cells)-1
	for i := range w.cells {
		field := rest
		if last > 0 && !(w.columns.pair && i == last) {
			tab := bytes.IndexByte(rest, '\t')
			switch {
			case i == last && tab >= 0:
				return w.fields(line)
			case i < last && tab >= 0:
				field, rest = rest[:tab], rest[tab+1:]
			case w.columns.pair: // there is no value
				rest = nil
			case i < last:
				return w.fields(line)
			}
		}
		if err := w.put(i, field); err != nil {
			return wrong("wrote the line %s: %v", clipped(line), err)
		}
	}
	return nil
}

// put adds one field.
func (w *rowWriter) put(i int, field []byte) error {
	c := &w.cells[i]
	switch c.kind {
	case jobs.TypeString:
		if !utf8.Valid(field) {
			return fmt.Errorf("column %s: it is not valid UTF-8: write UTF-8, or take bytes as they are with --columns %s", w.columns.list[i].name, w.columns.as(i, "bytes"))
		}
		w.text(c, field)
	case jobs.TypeBytes:
		w.text(c, field)
	case jobs.TypeInt64:
		n, err := strconv.ParseInt(string(trim(field)), 10, 64)
		if err != nil {
			return w.noNumber(i, field, "a whole number that 64 bits hold", "float64", "string")
		}
		c.data = binary.LittleEndian.AppendUint64(c.data, uint64(n))
		w.bytes += 8
	case jobs.TypeFloat64:
		f, err := strconv.ParseFloat(string(trim(field)), 64)
		if err != nil {
			return w.noNumber(i, field, "a number that 64 bits hold", "string")
		}
		c.data = binary.LittleEndian.AppendUint64(c.data, math.Float64bits(f))
		w.bytes += 8
	case jobs.TypeBool:
		b, err := strconv.ParseBool(string(trim(field)))
		if err != nil {
			return w.noNumber(i, field, "true or false", "string")
		}
		if w.rows&7 == 0 {
			c.data = append(c.data, 0)
		}
		if b {
			c.data[w.rows>>3] |= 1 << (w.rows & 7)
		}
		w.bytes++
	}
	return nil
}

func (w *rowWriter) text(c *cells, field []byte) {
	c.data = append(c.data, field...)
	c.offsets = append(c.offsets, int32(len(c.data))) // a batch and a line are far below 2 GiB
	w.bytes += int64(len(field)) + 4
}

// flush hands over the rows so far.
func (w *rowWriter) flush() error {
	w.batch = w.batch[:0]
	for i := range w.cells {
		c := &w.cells[i]
		col := jobs.Column{Data: c.data}
		if c.kind == jobs.TypeString || c.kind == jobs.TypeBytes {
			col.Offsets = c.offsets
		}
		w.batch = append(w.batch, col)
	}
	err := w.out.Put(jobs.Columns{Rows: w.rows, Columns: w.batch})
	w.reset()
	return err
}

// end hands over what is left.
func (w *rowWriter) end() error {
	if w.rows == 0 {
		return nil
	}
	return w.flush()
}

// wrong is what is wrong with a line: the command, which is still running, is to be killed.
func wrong(format string, args ...any) error {
	return &ownError{text: fmt.Sprintf(format, args...), killed: true}
}

// fields is the error of a line with too few or too many fields.
func (w *rowWriter) fields(line []byte) error {
	n := bytes.Count(line, []byte{'\t'}) + 1
	count := fmt.Sprintf("%d fields", n)
	if n == 1 {
		count = "1 field"
	}
	return wrong("wrote the line %s, which has %s, and --columns %s names %d: write one for each, with tabs between them, or take whole lines with --columns line:string",
		clipped(line), count, w.columns, len(w.columns.list))
}

func (w *rowWriter) noNumber(i int, field []byte, want string, kinds ...string) error {
	remedy := fmt.Sprintf("--columns %s", w.columns.as(i, kinds[0]))
	for _, k := range kinds[1:] {
		remedy += fmt.Sprintf(" or %s:%s in it", w.columns.list[i].name, k)
	}
	return fmt.Errorf("column %s: %s is not %s: write one, or declare the column as what it is with %s", w.columns.list[i].name, clipped(field), want, remedy)
}

// trim drops the spaces around a number, with which many programs align it.
func trim(field []byte) []byte {
	for len(field) > 0 && field[0] == ' ' {
		field = field[1:]
	}
	for len(field) > 0 && field[len(field)-1] == ' ' {
		field = field[:len(field)-1]
	}
	return field
}
