package jobs

import (
	"encoding/base64"
	"encoding/binary"
	"math"
	"strconv"
	"time"
)

// oneRow is a row of some columns as columns of one row. All but the bits of bitmaps are views.
func oneRow(fields []Field, c Columns, row int) Columns {
	out := Columns{Rows: 1, Columns: make([]Column, len(c.Columns))}
	for i, col := range c.Columns {
		out.Columns[i] = oneOf(fields[i], col, row)
	}
	return out
}

func oneOf(f Field, c Column, row int) Column {
	var out Column
	if c.Valid != nil && !bitOf(c.Valid, row) {
		out.Nulls, out.Valid = 1, []byte{0}
	}
	switch f.Type {
	case TypeNull:
		out.Nulls = 1
	case TypeBool:
		out.Data = setBit(nil, 0, bitOf(c.Data, row))
	case TypeString, TypeBytes:
		out.Offsets, out.Data = c.Offsets[row:row+2:row+2], c.Data
	case TypeList:
		out.Offsets, out.Children = c.Offsets[row:row+2:row+2], c.Children
	case TypeStruct:
		for i, child := range c.Children {
			out.Children = append(out.Children, oneOf(f.Fields[i], child, row))
		}
	default:
		n := width(f.Type)
		out.Data = c.Data[row*n : (row+1)*n : (row+1)*n]
	}
	return out
}

func bitOf(bitmap []byte, i int) bool { return bitmap[i>>3]>>(i&7)&1 == 1 }

// appendRowJSON appends a row as a JSON object, as far as maxRejectedBytes. Bytes are in base64, times as RFC 3339, durations in
// nanoseconds; floats that JSON has no number for are strings.
func appendRowJSON(buf []byte, fields []Field, columns []Column, row int) []byte {
	buf = append(buf, '{')
	for i, f := range fields {
		if i > 0 {
			buf = append(buf, ',')
		}
		buf = append(appendJSONString(buf, f.Name), ':')
		buf = appendCellJSON(buf, f, columns[i], row)
		if len(buf) > maxRejectedBytes {
			return buf
		}
	}
	return append(buf, '}')
}

func appendCellJSON(buf []byte, f Field, c Column, row int) []byte {
	if f.Type == TypeNull || c.Valid != nil && !bitOf(c.Valid, row) {
		return append(buf, "null"...)
	}
	switch f.Type {
	case TypeBool:
		return strconv.AppendBool(buf, bitOf(c.Data, row))
	case TypeString:
		return appendJSONString(buf, view(c.Data[c.Offsets[row]:c.Offsets[row+1]]))
	case TypeBytes:
		data := c.Data[c.Offsets[row]:c.Offsets[row+1]]
		return append(base64.StdEncoding.AppendEncode(append(buf, '"'), data[:min(len(data), maxRejectedBytes)]), '"')
	case TypeStruct:
		return appendRowJSON(buf, f.Fields, c.Children, row)
	case TypeList:
		buf = append(buf, '[')
		for i := int(c.Offsets[row]); i < int(c.Offsets[row+1]) && len(buf) <= maxRejectedBytes; i++ {
			if i > int(c.Offsets[row]) {
				buf = append(buf, ',')
			}
			buf = appendCellJSON(buf, f.Fields[0], c.Children[0], i)
		}
		return append(buf, ']')
	}
	n := width(f.Type)
	return appendNumberJSON(buf, f.Type, c.Data[row*n:(row+1)*n])
}

// appendNumberJSON appends a value of fixed width.
func appendNumberJSON(buf []byte, t Type, b []byte) []byte {
	var wide [8]byte
	copy(wide[:], b)
	bits := binary.LittleEndian.Uint64(wide[:])
	unused := 64 - 8*len(b)
	signed := int64(bits<<unused) >> unused
	at := func(t time.Time) []byte {
		return append(t.UTC().AppendFormat(append(buf, '"'), time.RFC3339Nano), '"')
	}
	switch t {
	case TypeUint8, TypeUint16, TypeUint32, TypeUint64:
		return strconv.AppendUint(buf, bits, 10)
	case TypeFloat32:
		return appendFloatJSON(buf, float64(math.Float32frombits(uint32(bits))), 32)
	case TypeFloat64:
		return appendFloatJSON(buf, math.Float64frombits(bits), 64)
	case TypeDate:
		return at(time.Unix(signed*86400, 0))
	case TypeTimestampS:
		return at(time.Unix(signed, 0))
	case TypeTimestampMS:
		return at(time.UnixMilli(signed))
	case TypeTimestampUS:
		return at(time.UnixMicro(signed))
	case TypeTimestamp:
		return at(time.Unix(0, signed))
	}
	return strconv.AppendInt(buf, signed, 10)
}

func appendFloatJSON(buf []byte, x float64, bits int) []byte {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return append(strconv.AppendFloat(append(buf, '"'), x, 'g', -1, bits), '"')
	}
	return strconv.AppendFloat(buf, x, 'g', -1, bits)
}

// appendJSONString appends a text of which no more is shown than is kept of a record.
func appendJSONString(buf []byte, s string) []byte {
	const hex = "0123456789abcdef"
	buf = append(buf, '"')
	for _, r := range s[:min(len(s), maxRejectedBytes)] {
		switch {
		case r == '"' || r == '\\':
			buf = append(buf, '\\', byte(r))
		case r < ' ':
			buf = append(buf, '\\', 'u', '0', '0', hex[r>>4], hex[r&15])
		default:
			buf = append(buf, string(r)...)
		}
	}
	return append(buf, '"')
}
