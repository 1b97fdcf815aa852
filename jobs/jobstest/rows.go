package jobstest

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/millrace/millrace/jobs"
)

// Row is one row, a value per column:
//
//	column                Go
//	bool, intN, uintN     bool, int8 to int64, uint8 to uint64
//	float32, float64      float32, float64
//	utf8, binary          string, []byte (never nil)
//	timestamp[ns]         time.Time in UTC
//	list                  []any (never nil)
//	struct                Row
//	null                  nil
type Row []any

// String prints the values side by side, for messages.
func (r Row) String() string { return string(r.Append(nil)) }

// Append appends what String prints: tests compare rows by the million.
func (r Row) Append(b []byte) []byte { return append(appendCells(append(b, '{'), r), '}') }

func appendCells(b []byte, cells []any) []byte {
	for i, v := range cells {
		if i > 0 {
			b = append(b, ' ')
		}
		b = appendCell(b, v)
	}
	return b
}

func appendCell(b []byte, v any) []byte {
	switch v := v.(type) {
	case nil:
		return append(b, "null"...)
	case string:
		return strconv.AppendQuote(b, v)
	case []byte:
		return hex.AppendEncode(append(b, "0x"...), v)
	case int64:
		return strconv.AppendInt(b, v, 10)
	case uint64:
		return strconv.AppendUint(b, v, 10)
	case time.Time:
		return v.AppendFormat(b, time.RFC3339Nano)
	case Row:
		return v.Append(b)
	case []any:
		return append(appendCells(append(b, '['), v), ']')
	}
	return fmt.Append(b, v)
}

// Decode returns the rows of a batch.
func Decode(schema jobs.Schema, batch jobs.Columns) ([]Row, error) {
	if len(batch.Columns) != len(schema.Fields) {
		return nil, fmt.Errorf("a batch of %d columns, the schema has %d", len(batch.Columns), len(schema.Fields))
	}
	rows := make([]Row, batch.Rows)
	for i := range rows {
		rows[i] = make(Row, len(schema.Fields))
	}
	for j, field := range schema.Fields {
		values, err := decodeColumn(field, batch.Columns[j], batch.Rows)
		if err != nil {
			return nil, fmt.Errorf("column %s: %w", field.Name, err)
		}
		for i, v := range values {
			rows[i][j] = v
		}
	}
	return rows, nil
}

// decodeColumn returns the values of a column of so many rows.
func decodeColumn(f jobs.Field, c jobs.Column, rows int) ([]any, error) {
	values, err := decodeValues(f, c, rows)
	if err != nil {
		return nil, err
	}
	nulls := 0
	for i := range rows {
		if c.Valid != nil && !bit(c.Valid, i) {
			values[i] = nil
			nulls++
		}
	}
	if nulls != c.Nulls {
		return nil, fmt.Errorf("%d nulls are stated, the bitmap has %d", c.Nulls, nulls)
	}
	if nulls > 0 && !f.Nullable {
		return nil, fmt.Errorf("%d nulls in a column that has none", nulls)
	}
	return values, nil
}

func decodeValues(f jobs.Field, c jobs.Column, rows int) ([]any, error) {
	switch f.Type {
	case jobs.TypeList, jobs.TypeString, jobs.TypeBytes:
		if len(c.Offsets) != rows+1 {
			return nil, fmt.Errorf("%d offsets for %d rows", len(c.Offsets), rows)
		}
	}
	switch f.Type {
	case jobs.TypeStruct:
		return decodeStructs(f, c, rows)
	case jobs.TypeList:
		return decodeLists(f, c, rows)
	}
	out := make([]any, rows)
	for i := range rows {
		switch f.Type {
		case jobs.TypeBool:
			out[i] = bit(c.Data, i)
		case jobs.TypeString:
			out[i] = string(c.Data[c.Offsets[i]:c.Offsets[i+1]])
		case jobs.TypeBytes:
			out[i] = append([]byte{}, c.Data[c.Offsets[i]:c.Offsets[i+1]]...)
		default:
			v, err := number(f.Type, c.Data, i)
			if err != nil {
				return nil, err
			}
			out[i] = v
		}
	}
	return out, nil
}

func bit(bitmap []byte, i int) bool { return bitmap[i/8]>>(i%8)&1 == 1 }

// number decodes the ith of end-to-end values of fixed width.
func number(t jobs.Type, data []byte, i int) (any, error) {
	le := binary.LittleEndian
	switch t {
	case jobs.TypeInt8:
		return int8(data[i]), nil
	case jobs.TypeUint8:
		return data[i], nil
	case jobs.TypeInt16:
		return int16(le.Uint16(data[2*i:])), nil
	case jobs.TypeUint16:
		return le.Uint16(data[2*i:]), nil
	case jobs.TypeInt32:
		return int32(le.Uint32(data[4*i:])), nil
	case jobs.TypeUint32:
		return le.Uint32(data[4*i:]), nil
	case jobs.TypeFloat32:
		return math.Float32frombits(le.Uint32(data[4*i:])), nil
	case jobs.TypeInt64:
		return int64(le.Uint64(data[8*i:])), nil
	case jobs.TypeUint64:
		return le.Uint64(data[8*i:]), nil
	case jobs.TypeFloat64:
		return math.Float64frombits(le.Uint64(data[8*i:])), nil
	case jobs.TypeTimestamp:
		return time.Unix(0, int64(le.Uint64(data[8*i:]))).UTC(), nil
	}
	return nil, fmt.Errorf("unknown type %q", t)
}

func decodeStructs(f jobs.Field, c jobs.Column, rows int) ([]any, error) {
	inner, err := Decode(jobs.Schema{Fields: f.Fields}, jobs.Columns{Rows: rows, Columns: c.Children})
	if err != nil {
		return nil, err
	}
	out := make([]any, rows)
	for i := range out {
		out[i] = inner[i]
	}
	return out, nil
}

func decodeLists(f jobs.Field, c jobs.Column, rows int) ([]any, error) {
	if len(c.Children) != 1 || len(f.Fields) != 1 {
		return nil, fmt.Errorf("a list of %d children and %d fields", len(c.Children), len(f.Fields))
	}
	items, err := decodeColumn(f.Fields[0], c.Children[0], int(c.Offsets[rows]))
	if err != nil {
		return nil, err
	}
	out := make([]any, rows)
	for i := range out {
		out[i] = append([]any{}, items[c.Offsets[i]:c.Offsets[i+1]]...)
	}
	return out, nil
}

// rowSink keeps all rows.
type rowSink struct {
	name    string // of a side output
	schema  jobs.Schema
	rows    []Row
	batches []jobs.Columns
}

func (s *rowSink) Put(batch jobs.Columns) error {
	rows, err := Decode(s.schema, batch)
	s.rows = append(s.rows, rows...)
	s.batches = append(s.batches, jobs.Columns{Rows: batch.Rows, Columns: clone(batch.Columns)})
	return err
}

// clone copies columns, whose buffers their maker uses again.
func clone(in []jobs.Column) []jobs.Column {
	var out []jobs.Column
	for _, c := range in {
		out = append(out, jobs.Column{
			Nulls: c.Nulls, Valid: bytes.Clone(c.Valid), Offsets: slices.Clone(c.Offsets), Data: bytes.Clone(c.Data), Children: clone(c.Children),
		})
	}
	return out
}
