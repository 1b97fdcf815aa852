package jobs

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"strings"
)

// Rejected is a record that was set aside, as a row of the files in which these lie. It is also a record type, for a job that reads
// such files with the option Table.
type Rejected struct {
	File   string // URL of the input object
	Offset int64  // of the record's first byte, as RecordError.Offset; of a row its number
	From   int64  // what Offset counts from, as Block.From
	Size   int64  // of the whole record, bytes; of a row its JSON's, or more than 64 KiB if that is longer
	Bytes  []byte // the record with its line end, at most its first 64 KiB; a row of columns as JSON
	Error  string
	Stack  string // of a panic
}

// RejectedSchema is the schema of the files of rejected records.
func RejectedSchema() Schema {
	plan, err := rejectedRows()
	if err != nil {
		panic(err) // a type of our own
	}
	return plan.schema
}

func rejectedRows() (*rowPlan, error) { return newRowPlan(reflect.TypeFor[Rejected]()) }

// ErrRejects reports more bad records than may be set aside.
var ErrRejects = errors.New("too many bad records")

// RejectsRemedy is what to do then.
const RejectsRemedy = "correct them, or allow more; with 100% all bad records are set aside to be looked at"

const (
	maxRejectedBytes = 64 << 10 // of a record that is set aside
	maxRejectedText  = 16 << 10 // of its error, and of its stack
	maxFirst         = 5        // length of Task.FirstRejected
	maxFirstText     = 400      // of each, bytes
)

// sieve sets bad records aside.
type sieve struct {
	rows    *rowWriter[Rejected] // nil: they are dropped
	grouped []bool               // by input: the map function takes several records at once
}

// setAside makes the attempt set bad records aside, if its task says so.
func (w *walk) setAside(grouped []bool) error {
	t := w.task
	if t.MaxRejected <= 0 {
		return nil
	}
	w.sieve = &sieve{grouped: grouped}
	w.trial = &trial{walk: w}
	if t.Sinks.Rejected != nil {
		plan, err := rejectedRows()
		if err != nil {
			return err
		}
		w.sieve.rows = newRowWriter[Rejected](plan, t.Sinks.Rejected, &w.failed, new(int64), w.here)
	}
	t.counters.try(w.trial)
	return nil
}

func (s *sieve) flush() {
	if s != nil && s.rows != nil {
		s.rows.flush()
	}
}

// isGrouped says whether a map function for such records takes several of them at once.
func isGrouped[R any]() bool {
	t := reflect.TypeFor[R]()
	return t == reflect.TypeFor[Lines]() || t == reflect.TypeFor[Batch]()
}

// sift runs the map function over a block and sets the records aside on which it fails. The loops over records are those of any
// attempt: one that ends in an error begins again behind the bad record.
func (w *walk) sift(b Block, f Format, each func(Block) (int64, error)) error {
	return w.siftRest(b, f, w.sieve.grouped[b.Input], each)
}

func (w *walk) siftRest(b Block, f Format, grouped bool, each func(Block) (int64, error)) error {
	for {
		w.at = b.Offset + int64(b.skip)
		before := w.task.Records
		err := w.guard(func() error { return w.mapBlock(b, each) })
		if err == nil {
			return w.guard(func() error { w.trial.settle(); return nil })
		}
		grouped = grouped && recordEnd(b, f, 0) < size(b)
		bad, ok := w.isBad(err, grouped)
		if !ok {
			return err
		}
		w.trial.reject()
		if err := w.guard(func() error { w.trial.settle(); return nil }); err != nil {
			return err
		}
		if grouped { // which of them it was shows when they come one by one
			w.task.Records = before
			return w.siftEach(b, f, each)
		}
		begin := int(w.at - b.Offset)
		end := recordEnd(b, f, begin)
		w.task.Records = before + countRecords(b, f, end)
		if err := w.reject(b, f, bad, begin, end); err != nil {
			return err
		}
		next := nextRecord(b, f, begin)
		if next >= size(b) {
			return nil
		}
		b = rest(b, next)
	}
}

// siftEach is sift for a map function that takes several records at once: it gets one at a time.
func (w *walk) siftEach(b Block, f Format, each func(Block) (int64, error)) error {
	for begin := 0; begin < size(b); {
		end := recordEnd(b, f, begin)
		if err := w.siftRest(one(b, begin, end), f, false, each); err != nil {
			return err
		}
		begin = end
	}
	return nil
}

// isBad says whether an error is the record's: not the engine's, not that of an object as a whole, and not of what was made final
// of the record before.
func (w *walk) isBad(err error, grouped bool) (*RecordError, bool) {
	if w.trial.settling {
		return nil, false
	}
	bad, ok := err.(*RecordError)
	switch {
	case errors.Is(err, ErrHeld) && grouped: // one alone emits less
	case !ok || errors.Is(err, ErrColumns) || errors.Is(err, ErrHeld):
		return nil, false
	}
	w.err = nil
	w.at = bad.Offset // a function that recovers an error may have gone on to other records
	return bad, true
}

// reject sets aside the record of a block that lies from begin to end.
func (w *walk) reject(b Block, f Format, bad *RecordError, begin, end int) error {
	t := w.task
	if len(t.FirstRejected) < maxFirst {
		t.FirstRejected = append(t.FirstRejected, firstLine(bad.Error()))
	}
	t.Rejected++
	if t.Rejected > t.MaxRejected {
		return fmt.Errorf("%w: %d or more, and --skip-bad-records allows %d; the first:\n%s\n%s", ErrRejects, t.Rejected, t.MaxRejected, strings.Join(t.FirstRejected, "\n"), RejectsRemedy)
	}
	if w.sieve.rows == nil {
		return nil
	}
	row := Rejected{
		File: strings.ToValidUTF8(bad.URL, "?"), Offset: bad.Offset, From: bad.From,
		Error: strings.ToValidUTF8(clip(fmt.Sprint(bad.Err), maxRejectedText), "?"), Stack: strings.ToValidUTF8(clip(bad.Stack, maxRejectedText), "?"),
	}
	if isColumns(b) {
		row.Bytes = appendRowJSON(nil, b.Schema.Fields, b.Columns.Columns, begin)
	} else {
		row.Bytes = b.Data[begin:end]
	}
	row.Size = int64(len(row.Bytes))
	if f.Kind == FormatLines || f.Kind == FormatCSV {
		row.Bytes = withoutEnd(row.Bytes)
	}
	row.Bytes = row.Bytes[:min(len(row.Bytes), maxRejectedBytes)]
	return w.guard(func() error { w.sieve.rows.emit(row); return nil })
}

// withoutEnd cuts a record's line end off, LF or CRLF.
func withoutEnd(record []byte) []byte {
	if line, ended := bytes.CutSuffix(record, []byte{'\n'}); ended {
		return bytes.TrimSuffix(line, []byte{'\r'})
	}
	return record
}

// firstLine is a text for a list of few.
func firstLine(text string) string {
	text, _, _ = strings.Cut(text, "\n")
	return strings.ToValidUTF8(clip(text, maxFirstText), "?")
}

func isColumns(b Block) bool { return len(b.Schema.Fields) > 0 }

// size is how many bytes, or rows, a block has.
func size(b Block) int {
	if isColumns(b) {
		return b.Columns.Rows
	}
	return len(b.Data)
}

// nextRecord is where the record begins that follows the one at byte, or row, i of a block, or the block ends.
func nextRecord(b Block, f Format, i int) int {
	i = recordEnd(b, f, i)
	if f.Kind == FormatCSV {
		i = skipEmpty(view(b.Data), i)
	}
	return i
}

// recordEnd is where the record ends that begins at byte, or row, i of a block.
func recordEnd(b Block, f Format, i int) int {
	switch f.Kind {
	case FormatLines:
		if n := bytes.IndexByte(b.Data[i:], '\n'); n >= 0 {
			return i + n + 1
		}
	case FormatFixed:
		return min(i+f.Length, len(b.Data))
	case FormatCSV:
		c := newCSVCutter(f.Comma, !f.NoQuotes)
		return i + c.recordEnd(view(b.Data[i:]))
	case FormatColumns:
		return i + 1
	}
	return size(b)
}

// countRecords is how many records a block has up to the end of one of them.
func countRecords(b Block, f Format, end int) (n int64) {
	i := b.skip
	switch f.Kind {
	case FormatFile: // an empty one too
		return 1
	case FormatCSV:
		i = csvBegin(b, f)
	}
	for ; i < end; i = nextRecord(b, f, i) {
		n++
	}
	return n
}

// csvBegin is where the first record of a block of CSV begins.
func csvBegin(b Block, f Format) int {
	text := view(b.Data)
	if b.Offset > 0 {
		return skipEmpty(text, 0)
	}
	i := skipEmpty(text, len(text)-len(strings.TrimPrefix(text, "\ufeff")))
	if !f.NoHeader && i < len(text) {
		i = nextRecord(b, f, i)
	}
	return i
}

// rest is what a block has from a record on that is not its first.
func rest(b Block, i int) Block {
	if isColumns(b) {
		b.skip = i
		return b
	}
	return one(b, i, len(b.Data))
}

// one is the part of a block from one record to another.
func one(b Block, begin, end int) Block {
	if isColumns(b) {
		b.Columns = oneRow(b.Schema.Fields, b.Columns, begin)
		b.Offset += int64(begin)
		return b
	}
	if b.Offset == 0 && begin > 0 { // the header, if there is one, was in the block
		b.Header = b.Data[:begin]
	}
	b.Data = b.Data[begin:end:end]
	b.Offset += int64(begin)
	return b
}
