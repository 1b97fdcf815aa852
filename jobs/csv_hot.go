package jobs

import (
	"strings"
	"unsafe"
)

// csvCutter takes CSV records apart. The fields are views into the text, but for those with quotes in them.
type csvCutter struct {
	comma  byte
	quotes bool
	ends   [256]bool // bytes that an unquoted field does not simply go on with
	fields []string  // of the record; of one with a fault, those before it
}

func newCSVCutter(comma byte, quotes bool) csvCutter {
	c := csvCutter{comma: comma, quotes: quotes}
	c.ends[comma], c.ends['\n'], c.ends['\r'], c.ends['"'] = true, true, true, quotes
	return c
}

// csvFault is where a record does not keep to the grammar.
type csvFault struct {
	kind csvFaultKind
	text string // from the faulty field's beginning
}

type csvFaultKind uint8

const (
	csvBareQuote csvFaultKind = iota + 1
	csvAfterQuote
	csvOpenQuote
	csvBareCR
)

func (k csvFaultKind) String() string {
	switch k {
	case csvBareQuote:
		return "a quote within a field that is not quoted: quote the field and double the quote, or read the file with CSVOptions.NoQuotes"
	case csvAfterQuote:
		return "text after the closing quote: double quotes within a quoted field, or read the file with CSVOptions.NoQuotes"
	case csvOpenQuote:
		return "its quote is not closed"
	case csvBareCR:
		return "a carriage return without a line feed: quote the field; records end in LF or CRLF"
	}
	return ""
}

// record takes apart the record that text[at:] begins with, which is no empty line, and returns where the next one begins.
//
// A byte after the other is looked up in a table of those that end a field. encoding/csv, which is the plain reference on the texts
// that both take, copies what it reads, allocates for each record and takes four times as long (BenchmarkCSV).
func (c *csvCutter) record(text string, at int) (next int, fault csvFault) {
	fields := c.fields[:0]
	i := at
	for {
		begin := i
		var field string
		if c.quotes && i < len(text) && text[i] == '"' {
			var kind csvFaultKind
			if field, i, kind = quotedField(text, i+1); kind != 0 {
				return c.faulty(fields, kind, text, at, begin)
			}
			if i < len(text) && !c.ends[text[i]] {
				return c.faulty(fields, csvAfterQuote, text, at, begin)
			}
		} else {
			for i < len(text) && !c.ends[text[i]] {
				i++
			}
			field = text[begin:i]
		}
		fields = append(fields, field)
		if i == len(text) {
			break
		}
		switch b := text[i]; {
		case b == c.comma:
			i++
			continue
		case b == '\n':
			c.fields = fields
			return i + 1, csvFault{}
		case b == '"':
			return c.faulty(fields[:len(fields)-1], csvBareQuote, text, at, begin)
		case i+1 < len(text) && text[i+1] != '\n':
			return c.faulty(fields[:len(fields)-1], csvBareCR, text, at, begin)
		}
		c.fields = fields
		return min(i+2, len(text)), csvFault{}
	}
	c.fields = fields
	return i, csvFault{}
}

// faulty ends a record that does not keep to the grammar.
func (c *csvCutter) faulty(fields []string, kind csvFaultKind, text string, at, begin int) (int, csvFault) {
	c.fields = fields
	return at + c.recordEnd(text[at:]), csvFault{kind, text[begin:]}
}

// quotedField returns the field whose text begins at text[at], after its quote, and where it ends, after its quote.
func quotedField(text string, at int) (field string, end int, fault csvFaultKind) {
	n := strings.IndexByte(text[at:], '"')
	if n < 0 {
		return "", 0, csvOpenQuote
	}
	if end = at + n + 1; end == len(text) || text[end] != '"' {
		return text[at : end-1], end, 0
	}
	var b strings.Builder
	for {
		b.WriteString(text[at:end]) // with the first quote of the pair
		at = end + 1
		if n = strings.IndexByte(text[at:], '"'); n < 0 {
			return "", 0, csvOpenQuote
		}
		if end = at + n + 1; end == len(text) || text[end] != '"' {
			b.WriteString(text[at : end-1])
			return b.String(), end, 0
		}
	}
}

// recordEnd is where the record ends that text begins with, whatever is wrong with it: the grammar by which package input cuts
// blocks, byte by byte.
func (c *csvCutter) recordEnd(text string) int {
	const (
		start = iota
		plain
		quoted
		closing
	)
	state := start
	for i := range len(text) {
		switch b := text[i]; {
		case state == quoted && b == '"':
			state = closing
		case state == quoted:
		case b == '\n':
			return i + 1
		case b == c.comma:
			state = start
		case b == '"' && state != plain && c.quotes:
			state = quoted
		default:
			state = plain
		}
	}
	return len(text)
}

// skipEmpty returns where the first line from at on begins that is not empty.
func skipEmpty(text string, at int) int {
	for at < len(text) {
		switch {
		case text[at] == '\n':
			at++
		case text[at] == '\r' && at+1 == len(text):
			at++
		case text[at] == '\r' && text[at+1] == '\n':
			at += 2
		default:
			return at
		}
	}
	return at
}

// eachCSV calls m for each record, as a struct.
//
//go:noinline
func eachCSV[R, K, V any](m func(R, func(K, V)) error, o *CSVOptions, fields []csvField) blockMapper[K, V] {
	return func(b Block, at *int64, emit func(K, V)) (records int64, err error) {
		*at = b.Offset
		c, err := openCSV(b, o)
		if err != nil {
			return 0, err
		}
		text := view(b.Data)
		next := skipEmpty(text, c.begin)
		if next == len(text) { // an object of a header, perhaps not even that
			return 0, nil
		}
		columns, err := c.bind(fields)
		if err != nil {
			return 0, err
		}
		want := len(c.names)
		if c.names == nil {
			want = len(fields)
		}
		record := new(R) // it escapes
		for ; next < len(text); next = skipEmpty(text, next) {
			begin := next
			*at = b.Offset + int64(begin)
			records++
			var fault csvFault
			if next, fault = c.record(text, begin); fault.kind != 0 {
				return records, c.explain(fault)
			}
			if len(c.fields) != want {
				return records, c.ragged(want, text[begin:next])
			}
			var zero R
			*record = zero
			for i := range fields {
				f := &fields[i]
				if err := f.set(unsafe.Add(unsafe.Pointer(record), f.offset), c.fields[columns[i]]); err != nil {
					return records, c.unfit(f, columns[i], err)
				}
			}
			if err := m(*record, emit); err != nil {
				return records, err
			}
		}
		return records, nil
	}
}

// eachCells calls m for each record, as texts.
//
//go:noinline
func eachCells[K, V any](m func(Cells, func(K, V)) error, o *CSVOptions) blockMapper[K, V] {
	return func(b Block, at *int64, emit func(K, V)) (records int64, err error) {
		*at = b.Offset
		c, err := openCSV(b, o)
		if err != nil {
			return 0, err
		}
		text := view(b.Data)
		for next := skipEmpty(text, c.begin); next < len(text); next = skipEmpty(text, next) {
			begin := next
			*at = b.Offset + int64(begin)
			records++
			var fault csvFault
			if next, fault = c.record(text, begin); fault.kind != 0 {
				return records, c.explain(fault)
			}
			if c.names != nil && len(c.fields) != len(c.names) {
				return records, c.ragged(len(c.names), text[begin:next])
			}
			if err := m(Cells{b.URL, *at, c.names, c.fields}, emit); err != nil {
				return records, err
			}
		}
		return records, nil
	}
}
