package jobs

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"strings"
	"unsafe"
)

// Line is a record: a text line and where it begins.
type Line struct {
	URL    string // of the input object
	Offset int64  // of the line's first byte in the object
	Text   string // without its line end
}

// Lines is a record: some whole lines as they lie in the object, for a function that searches them faster than line by line.
// How many come together is the engine's choice: what the function makes of a line must not depend on it.
type Lines struct {
	URL    string // of the input object
	Offset int64  // of the first byte in the object
	Text   string // with the lines' ends, LF or CRLF; the object's last line may lack it
}

// All iterates over the lines.
func (l Lines) All() iter.Seq[Line] {
	return func(yield func(Line) bool) {
		for begin, text := range lines(unsafe.Slice(unsafe.StringData(l.Text), len(l.Text))) {
			if !yield(Line{l.URL, l.Offset + int64(begin), text}) {
				return
			}
		}
	}
}

// At returns the line that holds the byte at l.Text[i], and where in l.Text the next line begins.
func (l Lines) At(i int) (line Line, next int) {
	begin, next := lineStart(l.Text, i), len(l.Text)
	end := next
	if n := strings.IndexByte(l.Text[i:], '\n'); n >= 0 {
		end = i + n
		next = end + 1
		if end > begin && l.Text[end-1] == '\r' {
			end--
		}
	}
	return Line{l.URL, l.Offset + int64(begin), l.Text[begin:end]}, next
}

// File is a record: a whole input object.
type File struct {
	URL  string
	Data []byte // must not be changed
}

// blockMapper calls a map function for every record of a block. It sets *at to the offset of each record in its object
// before the call, and stops at the function's first error.
type blockMapper[K, V any] func(b Block, at *int64, emit func(K, V)) (records int64, err error)

// recordsOf returns the format that yields records of type R and the loop that calls m for each.
func recordsOf[R, K, V any](m func(R, func(K, V)) error, s *settings) (Format, blockMapper[K, V], error) {
	length := s.length
	if s.csv != nil && length > 0 {
		return Format{}, nil, errors.New("options CSV and FixedLength exclude each other: CSV has records of any length")
	}
	if s.csv != nil {
		return csvRecords(m, s.csv)
	}
	if s.table && length > 0 {
		return Format{}, nil, errors.New("options Table and FixedLength exclude each other: a file of columns has no records of bytes")
	}
	if s.table {
		return tableRecords(m, s.columns)
	}
	format := Format{Kind: FormatLines}
	var each blockMapper[K, V]
	switch m := any(m).(type) {
	case func(string, func(K, V)) error:
		each = eachText(m)
	case func([]byte, func(K, V)) error:
		each = eachBytes(m)
		if length > 0 {
			format = Format{Kind: FormatFixed, Length: length}
			each = eachFixed(m, length)
		}
	case func(Line, func(K, V)) error:
		each = eachLine(m)
		format.Offsets = true
	case func(Lines, func(K, V)) error:
		format.Offsets = true
		each = func(b Block, at *int64, emit func(K, V)) (int64, error) {
			*at = b.Offset
			return countLines(b.Data), m(Lines{b.URL, b.Offset, view(b.Data)}, emit)
		}
	case func(File, func(K, V)) error:
		format.Kind = FormatFile
		each = func(b Block, at *int64, emit func(K, V)) (int64, error) {
			*at = b.Offset
			return 1, m(File{b.URL, b.Data}, emit)
		}
	default:
		return format, nil, fmt.Errorf("record type %s: records are string, []byte, jobs.Line, jobs.Lines or jobs.File; "+
			"with the option CSV a struct, for CSV; with the option Table a struct, for rows of Arrow and Parquet files", typeName[R]())
	}
	if length > 0 && format.Kind != FormatFixed {
		return format, nil, fmt.Errorf("option FixedLength: the record type is %s, but records of fixed length are []byte: let the map function take a []byte", typeName[R]())
	}
	return format, each, nil
}

// The loops over records, one for each type of record, so that nothing stands between a loop and the map function. They are not
// inlined, for the compiler inlines nothing into a closure that it has inlined with the function around it.

//go:noinline
func eachText[K, V any](m func(string, func(K, V)) error) blockMapper[K, V] {
	return func(b Block, at *int64, emit func(K, V)) (records int64, err error) {
		for begin, line := range lines(b.Data) {
			*at = b.Offset + int64(begin)
			records++
			if err := m(line, emit); err != nil {
				return records, err
			}
		}
		return records, nil
	}
}

//go:noinline
func eachBytes[K, V any](m func([]byte, func(K, V)) error) blockMapper[K, V] {
	return func(b Block, at *int64, emit func(K, V)) (records int64, err error) {
		for begin, line := range lines(b.Data) {
			*at = b.Offset + int64(begin)
			records++
			if err := m(unsafe.Slice(unsafe.StringData(line), len(line)), emit); err != nil {
				return records, err
			}
		}
		return records, nil
	}
}

//go:noinline
func eachLine[K, V any](m func(Line, func(K, V)) error) blockMapper[K, V] {
	return func(b Block, at *int64, emit func(K, V)) (records int64, err error) {
		for begin, line := range lines(b.Data) {
			*at = b.Offset + int64(begin)
			records++
			if err := m(Line{b.URL, *at, line}, emit); err != nil {
				return records, err
			}
		}
		return records, nil
	}
}

//go:noinline
func eachFixed[K, V any](m func([]byte, func(K, V)) error, length int) blockMapper[K, V] {
	return func(b Block, at *int64, emit func(K, V)) (records int64, err error) {
		for begin := 0; begin < len(b.Data); begin += length {
			*at = b.Offset + int64(begin)
			records++
			if err := m(b.Data[begin:begin+length:begin+length], emit); err != nil {
				return records, err
			}
		}
		return records, nil
	}
}

// countLines returns how many lines a block has.
func countLines(data []byte) int64 {
	n := int64(bytes.Count(data, []byte{'\n'}))
	if len(data) > 0 && data[len(data)-1] != '\n' {
		n++
	}
	return n
}

// view is b as a string. Blocks never change, so the string never does.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
