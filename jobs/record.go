package jobs

import (
	"bytes"
	"fmt"
	"unsafe"
)

// Line is a record: a text line and where it begins.
type Line struct {
	URL    string // of the input object
	Offset int64  // of the line's first byte in the object
	Text   string // without its line end
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
func recordsOf[R, K, V any](m func(R, func(K, V)) error, length int) (Format, blockMapper[K, V], error) {
	format := Format{Kind: FormatLines}
	var each blockMapper[K, V]
	switch m := any(m).(type) {
	case func(string, func(K, V)) error:
		each = func(b Block, at *int64, emit func(K, V)) (int64, error) {
			return eachLine(b, at, func(line []byte) error { return m(view(line), emit) })
		}
	case func([]byte, func(K, V)) error:
		each = func(b Block, at *int64, emit func(K, V)) (int64, error) {
			return eachLine(b, at, func(line []byte) error { return m(line, emit) })
		}
		if length > 0 {
			format = Format{Kind: FormatFixed, Length: length}
			each = func(b Block, at *int64, emit func(K, V)) (int64, error) {
				return eachFixed(b, at, length, func(record []byte) error { return m(record, emit) })
			}
		}
	case func(Line, func(K, V)) error:
		each = func(b Block, at *int64, emit func(K, V)) (int64, error) {
			return eachLine(b, at, func(line []byte) error { return m(Line{b.URL, *at, view(line)}, emit) })
		}
	case func(File, func(K, V)) error:
		format.Kind = FormatFile
		each = func(b Block, at *int64, emit func(K, V)) (int64, error) {
			*at = b.Offset
			return 1, m(File{b.URL, b.Data}, emit)
		}
	default:
		return format, nil, fmt.Errorf("record type %s: records are string, []byte, jobs.Line or jobs.File", typeName[R]())
	}
	if length > 0 && format.Kind != FormatFixed {
		return format, nil, fmt.Errorf("option FixedLength: the record type is %s, but records of fixed length are []byte: let the map function take a []byte", typeName[R]())
	}
	return format, each, nil
}

// eachLine calls f for each line without its end, LF or CRLF.
func eachLine(b Block, at *int64, f func([]byte) error) (records int64, err error) {
	data, pos := b.Data, 0
	for pos < len(data) {
		*at = b.Offset + int64(pos)
		end, next := len(data), len(data)
		if i := bytes.IndexByte(data[pos:], '\n'); i >= 0 {
			end, next = pos+i, pos+i+1
			if end > pos && data[end-1] == '\r' {
				end--
			}
		}
		records++
		if err := f(data[pos:end:end]); err != nil {
			return records, err
		}
		pos = next
	}
	return records, nil
}

// eachFixed calls f for each record of so many bytes.
func eachFixed(b Block, at *int64, length int, f func([]byte) error) (records int64, err error) {
	for pos := 0; pos < len(b.Data); pos += length {
		*at = b.Offset + int64(pos)
		records++
		if err := f(b.Data[pos : pos+length : pos+length]); err != nil {
			return records, err
		}
	}
	return records, nil
}

// view is b as a string. Blocks never change, so the string never does.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
