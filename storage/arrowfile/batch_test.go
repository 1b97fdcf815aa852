package arrowfile

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"time"
)

// The batches that the tests write. everyType has a column of each type, plain and nullable, and nested ones.

func everyType() Schema {
	var s Schema
	for _, t := range []Type{
		TypeBool, TypeInt8, TypeInt16, TypeInt32, TypeInt64, TypeUint8, TypeUint16, TypeUint32, TypeUint64,
		TypeFloat32, TypeFloat64, TypeString, TypeBytes, TypeTimestamp,
	} {
		name := strings.Trim(strings.ReplaceAll(string(t), "[", "_"), "]")
		s.Fields = append(s.Fields, Field{Name: name, Type: t}, Field{Name: name + "_or_null", Type: t, Nullable: true})
	}
	point := []Field{{Name: "x", Type: TypeInt32}, {Name: "label", Type: TypeString, Nullable: true}}
	s.Fields = append(s.Fields,
		Field{Name: "point", Type: TypeStruct, Fields: point},
		Field{Name: "point_or_null", Type: TypeStruct, Nullable: true, Fields: point},
		Field{Name: "words", Type: TypeList, Fields: []Field{{Name: "item", Type: TypeString}}},
		Field{Name: "numbers_or_null", Type: TypeList, Nullable: true,
			Fields: []Field{{Name: "item", Type: TypeInt64, Nullable: true}}},
		Field{Name: "points", Type: TypeList, Fields: []Field{{Name: "item", Type: TypeStruct, Fields: point}}},
	)
	return s
}

// nullPattern says which rows of a nullable column are null.
type nullPattern func(row int) bool

var nullPatterns = map[string]nullPattern{
	"none":  func(int) bool { return false },
	"some":  func(row int) bool { return row%3 == 1 },
	"every": func(int) bool { return true },
}

// fill makes a batch of a schema with repeatable values, the extreme ones of each type among them.
func fill(s Schema, rows int, null nullPattern, seed uint64) Batch {
	rng := rand.New(rand.NewPCG(seed, 1))
	b := Batch{Rows: rows}
	for _, f := range s.Fields {
		b.Columns = append(b.Columns, fillColumn(f, rows, null, rng))
	}
	return b
}

func fillColumn(f Field, rows int, null nullPattern, rng *rand.Rand) Column {
	var c Column
	if f.Nullable {
		c.Valid = make([]byte, bitmapLen(rows))
		for row := range rows {
			if null(row) {
				c.Nulls++
			} else {
				c.Valid[row/8] |= 1 << (row % 8)
			}
		}
	}
	switch f.Type {
	case TypeStruct:
		for _, g := range f.Fields {
			c.Children = append(c.Children, fillColumn(g, rows, null, rng))
		}
	case TypeList:
		c.Offsets = make([]int32, rows+1)
		for row := range rows {
			c.Offsets[row+1] = c.Offsets[row] + int32(row%4)
		}
		c.Children = []Column{fillColumn(f.Fields[0], int(c.Offsets[rows]), null, rng)}
	case TypeString, TypeBytes:
		c.Offsets = make([]int32, 1, rows+1)
		for row := range rows {
			c.Data = append(c.Data, textValue(f.Type, row, rng)...)
			c.Offsets = append(c.Offsets, int32(len(c.Data)))
		}
	case TypeBool:
		c.Data = make([]byte, bitmapLen(rows))
		for row := range rows {
			c.Data[row/8] |= byte(rng.IntN(2)) << (row % 8)
		}
	default:
		for row := range rows {
			c.Data = appendNumber(c.Data, f.Type, row, rng)
		}
	}
	return c
}

func textValue(t Type, row int, rng *rand.Rand) string {
	values := []string{"", "plain", "Ünïcödé 日本語 🙂", "tab\tnewline\nquote\"comma,", "nul\x00", fmt.Sprint(rng.Uint64())}
	if t == TypeBytes {
		values = append(values, "\xff\xfe\x00", "printable")
	}
	return values[row%len(values)]
}

func appendNumber(dst []byte, t Type, row int, rng *rand.Rand) []byte {
	var v uint64
	switch {
	case t == TypeTimestamp: // years 1970 to 2100, and two before 1970
		v = []uint64{0, uint64(rng.Int64N(4102444800 * int64(time.Second))), 1, math.MaxUint64, uint64(1 << 60)}[row%5]
	case t == TypeFloat32:
		v = uint64(math.Float32bits([]float32{0, -1.5, 0.1, math.MaxFloat32, float32(math.Inf(1)), 1e-7}[row%6]))
	case t == TypeFloat64:
		v = math.Float64bits([]float64{0, -1.5, 0.1, math.MaxFloat64, math.Inf(-1), math.NaN(), 1e21}[row%7])
	default: // all ones are -1 or the largest unsigned; 1 in the top bit is the smallest signed
		v = []uint64{0, math.MaxUint64, 1, 1 << (8*t.width() - 1), 1<<(8*t.width()-1) - 1, rng.Uint64()}[row%6]
	}
	var buf [8]byte
	binary.LittleEndian.PutUint64(buf[:], v)
	return append(dst, buf[:t.width()]...)
}
