package jobs

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// ErrColumns reports an object without the columns that a job's records are made of, or with columns of other types.
var ErrColumns = errors.New("columns do not fit the job")

// CSVOptions say how CSV is written. The zero value is RFC 4180 with a header: fields between commas, in quotes if need be, LF or
// CRLF at the end of a record, the first record of each object with the names of the columns.
type CSVOptions struct {
	// Comma is what stands between fields, one character of ASCII: '\t' for TSV. 0: ','.
	Comma byte
	// NoQuotes gives quotes no meaning: a record is a line, and a field all between two commas.
	NoQuotes bool
	// Columns are the names of the columns of objects that have no header.
	Columns []string
	// NoHeader says that objects have no header. Without Columns, the columns are the fields of the record type in their order.
	NoHeader bool
	// WholeFiles makes no object be cut into several splits. It is for objects whose quotes mislead the search for the first
	// record of a split, by which the job fails. Objects are then read by one slot each.
	WholeFiles bool
}

// CSV makes the records of CSV files the job's records. The record type is a struct: as with rows that a job emits, its exported
// fields name the columns (UserID: user_id, or as a tag `column:"name"` says), and only these are read. A name in the header
// matches exactly, or else whatever the case of its letters.
//
//	type Sale struct {
//		UserID int64
//		At     time.Time `column:"sold at" layout:"2006-01-02 15:04"` // without a layout RFC 3339
//		Amount *float64                                             // nil where it is empty
//	}
//
//	jobs.New("sales", mapSale, reduce, jobs.CSV(jobs.CSVOptions{Comma: ';'}))
//
// Fields are strings, []byte, bools, integers, floats, time.Time, time.Duration, types with UnmarshalText, and pointers to these,
// which are nil where the text is empty. Strings and byte slices are views into the file: strings may be kept, byte slices also, but
// not changed. With the record type Cells the function gets all fields as text.
//
// Lines without anything are no records. A record is bad, and its error names the column and the value, if a field does not fit its
// type, if it has more or fewer fields than the header, and if it does not keep to the grammar: a quote within a field that is not
// quoted, text after a closing quote, a quote that is not closed, a CR that no LF follows. The next record begins where it does by
// Python's csv: after the next LF that is not in quotes. An object without a column that the job needs fails the job.
//
// Objects are UTF-8; a byte order mark is skipped.
func CSV(o CSVOptions) Option {
	return Option{"CSV", func(s *settings) {
		o := o // an option may be given to several jobs, and build functions run side by side
		if o.Comma == 0 {
			o.Comma = ','
		}
		if c := o.Comma; c == '"' || c == '\n' || c == '\r' || c >= 0x80 {
			s.fail(fmt.Errorf("option CSV: Comma is %q: it must be one character of ASCII that is no quote and no line end", c))
		}
		for i, name := range o.Columns {
			if name == "" || slices.Contains(o.Columns[:i], name) {
				s.fail(fmt.Errorf("option CSV: the column %q is empty or named twice", name))
			}
		}
		o.NoHeader = o.NoHeader || len(o.Columns) > 0
		s.csv = &o
	}}
}

// Cells is a record: the fields of a CSV record as text. The texts may be kept; the slices are used again for the next record.
type Cells struct {
	URL    string   // of the input object
	Offset int64    // of the record's first byte in the object
	Names  []string // of the columns; nil if the object has no header and CSVOptions no Columns
	Values []string // of as many fields as there are Names
}

// Get returns the field of the column of that name.
func (c Cells) Get(name string) (value string, ok bool) {
	if i := slices.Index(c.Names, name); i >= 0 {
		return c.Values[i], true
	}
	return "", false
}

// csvRecords is recordsOf for CSV.
func csvRecords[R, K, V any](m func(R, func(K, V)) error, o *CSVOptions) (Format, blockMapper[K, V], error) {
	format := Format{Kind: FormatCSV, Comma: o.Comma, NoQuotes: o.NoQuotes, NoHeader: o.NoHeader, Whole: o.WholeFiles}
	if m, ok := any(m).(func(Cells, func(K, V)) error); ok {
		return format, eachCells(m, o), nil
	}
	t := reflect.TypeFor[R]()
	if t.Kind() != reflect.Struct || t == timeType {
		return format, nil, fmt.Errorf("option CSV: the record type is %v: let the map function take a struct, whose fields are the columns, or jobs.Cells", t)
	}
	fields, err := csvFields(t)
	if err != nil {
		return format, nil, fmt.Errorf("option CSV: record type %v: %w", t, err)
	}
	for _, f := range fields {
		if o.Columns != nil && !slices.Contains(o.Columns, f.name) {
			return format, nil, fmt.Errorf("option CSV: record type %v: there is no column %q among CSVOptions.Columns: %q", t, f.name, o.Columns)
		}
	}
	return format, eachCSV(m, o, fields), nil
}

// csvBlock is what a block's records are read with.
type csvBlock struct {
	csvCutter
	options *CSVOptions
	names   []string // of the columns, nil: unknown
	begin   int      // of the first record after the header
}

// openCSV reads the header of a block's object, which the block has in it or with it.
func openCSV(b Block, o *CSVOptions) (*csvBlock, error) {
	c := &csvBlock{options: o, names: o.Columns}
	c.csvCutter = newCSVCutter(o.Comma, !o.NoQuotes)
	header := b.Header
	if b.Offset == 0 {
		header = b.Data
	}
	text := view(header)
	at := 0
	if strings.HasPrefix(text, "\ufeff") && (b.Offset == 0 || b.Header != nil) {
		at = len("\ufeff")
	}
	if !o.NoHeader {
		at = skipEmpty(text, at)
		if at < len(text) {
			next, fault := c.record(text, at)
			if fault.kind != 0 {
				return nil, fmt.Errorf("%w: header: %w", ErrColumns, c.explain(fault))
			}
			c.names = slices.Clone(c.fields)
			at = next
		}
	}
	if b.Offset == 0 {
		c.begin = at
	}
	return c, nil
}

// bind finds the columns of the fields of a record type, and how many there are.
func (c *csvBlock) bind(fields []csvField) (columns []int, err error) {
	columns = make([]int, len(fields))
	for i, f := range fields {
		if c.names == nil {
			columns[i] = i
			continue
		}
		if columns[i], err = c.find(f.name); err != nil {
			return nil, err
		}
	}
	return columns, nil
}

func (c *csvBlock) find(name string) (int, error) {
	for _, same := range []func(a, b string) bool{func(a, b string) bool { return a == b }, strings.EqualFold} {
		at := -1
		for i, n := range c.names {
			switch {
			case !same(n, name):
			case at >= 0:
				return 0, fmt.Errorf("%w: the header has the column %q twice: the columns are %s", ErrColumns, name, clip(fmt.Sprintf("%q", c.names), 500))
			default:
				at = i
			}
		}
		if at >= 0 {
			return at, nil
		}
	}
	return 0, fmt.Errorf("%w: the header has no column %q: the columns are %s", ErrColumns, name, clip(fmt.Sprintf("%q", c.names), 500))
}

// ragged reports a record with another number of fields than there are columns.
func (c *csvBlock) ragged(want int, record string) error {
	return fmt.Errorf("csv: the record has %d fields, and there are %d columns: %s", len(c.fields), want, shownCSV(record))
}

// explain says what is wrong with the field after those that the cutter has cut.
func (c *csvBlock) explain(f csvFault) error {
	return fmt.Errorf("csv: %s: %s: %s", c.column(len(c.fields)), f.kind, shownCSV(f.text))
}

// column names a column for people.
func (c *csvBlock) column(i int) string {
	if i < len(c.names) {
		return fmt.Sprintf("column %d (%s)", i+1, clip(c.names[i], 100))
	}
	return fmt.Sprintf("column %d", i+1)
}

// shownCSV is a piece of a file for a message.
func shownCSV(text string) string {
	const limit = 100
	if len(text) > limit {
		return fmt.Sprintf("%q...", text[:limit])
	}
	return fmt.Sprintf("%q", text)
}
