package arrowfile

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"math"
	"strconv"
	"time"
	"unicode"
	"unicode/utf8"
)

// A cell is the value of one column at one row of a checked batch. It becomes text in one of two ways, both of which append
// to a buffer that the caller reuses:
//
//	type               AppendText                            AppendJSON
//	null               nothing                               null
//	bool, intN, uintN  true, -12                             the same, all digits of 64 bits
//	floatN             shortest that reads back: 0.1, 1e+21  the same; NaN and infinities are null
//	                   NaN, Inf, -Inf
//	utf8               as it is                              string; control characters escaped
//	binary             as it is if UTF-8 of printable        string of base64
//	                   characters, tabs and line ends;
//	                   otherwise 0x and hexadecimal
//	timestamp          RFC 3339, UTC, up to 9 decimals       string of that
//	list, struct       as JSON                               array, object

// IsNull says whether the column is null at a row.
func (c Column) IsNull(row int) bool { return c.Nulls > 0 && !bit(c.Valid, row) }

// Raw returns the bytes of a utf8 or binary column at a row, nil where it is null. They are a view into the batch.
func (c Column) Raw(row int) []byte {
	if c.IsNull(row) {
		return nil
	}
	return c.Data[c.Offsets[row]:c.Offsets[row+1]]
}

// Numeric says whether values of the type are numbers, which a table aligns to the right.
func (t Type) Numeric() bool { return t.width() > 0 && t != TypeTimestamp }

// AppendText appends the cell of column c, which f describes, as text for people and for CSV.
func AppendText(dst []byte, f Field, c Column, row int) []byte {
	if c.IsNull(row) {
		return dst
	}
	switch f.Type {
	case TypeString:
		return append(dst, c.Raw(row)...)
	case TypeBytes:
		value := c.Raw(row)
		if readable(value) {
			return append(dst, value...)
		}
		return hex.AppendEncode(append(dst, "0x"...), value)
	case TypeFloat32, TypeFloat64:
		v := floatAt(f.Type, c.Data, row)
		if special := specialFloat(v); special != "" {
			return append(dst, special...)
		}
	case TypeTimestamp:
		return appendTime(dst, c.Data, row)
	}
	return AppendJSON(dst, f, c, row)
}

// AppendJSON appends the cell of column c, which f describes, as a JSON value.
func AppendJSON(dst []byte, f Field, c Column, row int) []byte {
	if c.IsNull(row) {
		return append(dst, "null"...)
	}
	switch f.Type {
	case TypeBool:
		return strconv.AppendBool(dst, bit(c.Data, row))
	case TypeString:
		return AppendQuoted(dst, c.Raw(row))
	case TypeBytes:
		dst = append(dst, '"')
		dst = base64.StdEncoding.AppendEncode(dst, c.Raw(row))
		return append(dst, '"')
	case TypeTimestamp:
		dst = appendTime(append(dst, '"'), c.Data, row)
		return append(dst, '"')
	case TypeFloat32, TypeFloat64:
		return appendFloat(dst, f.Type, c.Data, row)
	case TypeList:
		return appendList(dst, f.Fields[0], c, row)
	case TypeStruct:
		return appendStruct(dst, f.Fields, c.Children, row)
	}
	return appendInt(dst, f.Type, c.Data, row)
}

// AppendRow appends a whole row as a JSON object.
func AppendRow(dst []byte, s Schema, b Batch, row int) []byte {
	return appendStruct(dst, s.Fields, b.Columns, row)
}

func appendStruct(dst []byte, fields []Field, columns []Column, row int) []byte {
	dst = append(dst, '{')
	for i, f := range fields {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = AppendQuoted(dst, []byte(f.Name))
		dst = append(dst, ':')
		dst = AppendJSON(dst, f, columns[i], row)
	}
	return append(dst, '}')
}

func appendList(dst []byte, element Field, c Column, row int) []byte {
	dst = append(dst, '[')
	for i := c.Offsets[row]; i < c.Offsets[row+1]; i++ {
		if i > c.Offsets[row] {
			dst = append(dst, ',')
		}
		dst = AppendJSON(dst, element, c.Children[0], int(i))
	}
	return append(dst, ']')
}

func appendInt(dst []byte, t Type, data []byte, row int) []byte {
	le := binary.LittleEndian
	at := data[row*t.width():]
	switch t {
	case TypeInt8:
		return strconv.AppendInt(dst, int64(int8(at[0])), 10)
	case TypeInt16:
		return strconv.AppendInt(dst, int64(int16(le.Uint16(at))), 10)
	case TypeInt32:
		return strconv.AppendInt(dst, int64(int32(le.Uint32(at))), 10)
	case TypeInt64:
		return strconv.AppendInt(dst, int64(le.Uint64(at)), 10)
	case TypeUint8:
		return strconv.AppendUint(dst, uint64(at[0]), 10)
	case TypeUint16:
		return strconv.AppendUint(dst, uint64(le.Uint16(at)), 10)
	case TypeUint32:
		return strconv.AppendUint(dst, uint64(le.Uint32(at)), 10)
	}
	return strconv.AppendUint(dst, le.Uint64(at), 10)
}

func floatAt(t Type, data []byte, row int) float64 {
	if t == TypeFloat32 {
		return float64(math.Float32frombits(binary.LittleEndian.Uint32(data[4*row:])))
	}
	return math.Float64frombits(binary.LittleEndian.Uint64(data[8*row:]))
}

func specialFloat(v float64) string {
	switch {
	case math.IsNaN(v):
		return "NaN"
	case math.IsInf(v, 1):
		return "Inf"
	case math.IsInf(v, -1):
		return "-Inf"
	}
	return ""
}

// appendFloat writes the fewest digits that read back as the same number, with an exponent where JavaScript has one.
func appendFloat(dst []byte, t Type, data []byte, row int) []byte {
	v, size, form := floatAt(t, data, row), 8*t.width(), byte('f')
	if specialFloat(v) != "" {
		return append(dst, "null"...)
	}
	if abs := math.Abs(v); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		form = 'e'
	}
	return strconv.AppendFloat(dst, v, form, -1, size)
}

func appendTime(dst []byte, data []byte, row int) []byte {
	return time.Unix(0, int64(binary.LittleEndian.Uint64(data[8*row:]))).UTC().AppendFormat(dst, time.RFC3339Nano)
}

// AppendQuoted appends text as a JSON string. Besides what JSON asks for it escapes every control character and the marks
// that reorder text, so that a terminal which shows the line can take no orders from it; bytes that are not UTF-8 become
// U+FFFD.
func AppendQuoted(dst, text []byte) []byte {
	const digits = "0123456789abcdef"
	dst = append(dst, '"')
	for len(text) > 0 {
		if n := plainPrefix(text); n > 0 {
			dst, text = append(dst, text[:n]...), text[n:]
			continue
		}
		r, n := utf8.DecodeRune(text)
		switch {
		case r == '"' || r == '\\':
			dst = append(dst, '\\', byte(r))
		case r == '\n':
			dst = append(dst, '\\', 'n')
		case r == '\r':
			dst = append(dst, '\\', 'r')
		case r == '\t':
			dst = append(dst, '\\', 't')
		case unicode.IsControl(r):
			dst = append(dst, '\\', 'u', '0', '0', digits[r>>4], digits[r&15])
		case unicode.Is(unicode.Bidi_Control, r):
			dst = append(dst, '\\', 'u', digits[r>>12], digits[r>>8&15], digits[r>>4&15], digits[r&15])
		case r == utf8.RuneError && n == 1:
			dst = append(dst, "\uFFFD"...)
		default:
			dst = append(dst, text[:n]...)
		}
		text = text[n:]
	}
	return append(dst, '"')
}

// plainPrefix returns the length of the ASCII text at the beginning that a JSON string shows as it is.
func plainPrefix(text []byte) int {
	for i, b := range text {
		if b < ' ' || b >= 0x7f || b == '"' || b == '\\' {
			return i
		}
	}
	return len(text)
}

// readable says whether a person can read the bytes as they are: UTF-8 of printable characters, tabs and line ends.
func readable(value []byte) bool {
	for len(value) > 0 {
		r, n := utf8.DecodeRune(value)
		switch {
		case r == '\t' || r == '\n' || r == '\r':
		case r == utf8.RuneError && n == 1 || !unicode.IsPrint(r):
			return false
		}
		value = value[n:]
	}
	return true
}

func bit(bitmap []byte, row int) bool { return bitmap[row/8]>>(row%8)&1 == 1 }
