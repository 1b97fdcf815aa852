package jobs

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"
)

// jsonRow is a row's JSON, decoded by the standard library, numbers as they are written.
func jsonRow(t *testing.T, b Block, row int) map[string]any {
	t.Helper()
	text := appendRowJSON(nil, b.Schema.Fields, b.Columns.Columns, row)
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var out map[string]any
	if err := d.Decode(&out); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return out
}

// jsonCell is the reference: what a cell is to encoding/json.
func jsonCell(f Field, c Column, row int) any {
	if f.Type == TypeNull || c.Valid != nil && c.Valid[row/8]&(1<<(row%8)) == 0 {
		return nil
	}
	cut := func() []byte { return c.Data[c.Offsets[row]:c.Offsets[row+1]] }
	switch f.Type {
	case TypeBool:
		return c.Data[row/8]&(1<<(row%8)) != 0
	case TypeString:
		return string(cut())
	case TypeBytes:
		return cut()
	case TypeStruct:
		out := map[string]any{}
		for i, field := range f.Fields {
			out[field.Name] = jsonCell(field, c.Children[i], row)
		}
		return out
	case TypeList:
		out := []any{}
		for i := c.Offsets[row]; i < c.Offsets[row+1]; i++ {
			out = append(out, jsonCell(f.Fields[0], c.Children[0], int(i)))
		}
		return out
	}
	n := width(f.Type)
	at := reflect.New(map[Type]reflect.Type{
		TypeInt8: reflect.TypeFor[int8](), TypeInt16: reflect.TypeFor[int16](), TypeInt32: reflect.TypeFor[int32](),
		TypeUint8: reflect.TypeFor[uint8](), TypeUint16: reflect.TypeFor[uint16](), TypeUint32: reflect.TypeFor[uint32](), TypeUint64: reflect.TypeFor[uint64](),
		TypeFloat32: reflect.TypeFor[float32](), TypeFloat64: reflect.TypeFor[float64](),
		TypeInt64: reflect.TypeFor[int64](), TypeDuration: reflect.TypeFor[time.Duration](), TypeTimestamp: reflect.TypeFor[int64](),
	}[f.Type])
	if err := binary.Read(bytes.NewReader(c.Data[n*row:n*row+n]), binary.LittleEndian, at.Interface()); err != nil {
		panic(err)
	}
	if f.Type == TypeTimestamp {
		return time.Unix(0, at.Elem().Int()).UTC()
	}
	return at.Elem().Interface()
}

// Rows of every kind of field are the JSON that encoding/json makes of the same values, as whole blocks and as blocks of one row.
func TestRowJSON(t *testing.T) {
	t.Parallel()
	rows := someRows(40, 3)
	rows[0].Word, rows[1].Word, rows[2].Word = "\"quotes\\\" \x00\x1f\n\u2028", "", "\U0001f600é"
	rows[3].F64, rows[4].F64, rows[5].F32 = 1e300, -5e-324, 1e-7
	b := blockOf(t, rows...)
	for row := range rows {
		want := map[string]any{}
		for i, f := range b.Schema.Fields {
			want[f.Name] = jsonCell(f, b.Columns.Columns[i], row)
		}
		text, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		var plain map[string]any
		d := json.NewDecoder(bytes.NewReader(text))
		d.UseNumber()
		if err := d.Decode(&plain); err != nil {
			t.Fatal(err)
		}
		single := b
		single.Columns = oneRow(b.Schema.Fields, b.Columns, row)
		for name, got := range map[string]map[string]any{"of many": jsonRow(t, b, row), "alone": jsonRow(t, single, 0)} {
			for _, f := range b.Schema.Fields {
				if !sameJSON(got[f.Name], plain[f.Name]) {
					t.Fatalf("row %d %s, column %s: got %v, want %v", row, name, f.Name, got[f.Name], plain[f.Name])
				}
			}
		}
	}
}

// sameJSON compares decoded values; numbers may be written in several ways.
func sameJSON(a, b any) bool {
	x, ok := a.(json.Number)
	y, ok2 := b.(json.Number)
	if ok && ok2 && x != y {
		f, err := x.Float64()
		g, err2 := y.Float64()
		return err == nil && err2 == nil && f == g && strings.ContainsAny(string(x+y), "e.")
	}
	list, ok := a.([]any)
	other, ok2 := b.([]any)
	if ok && ok2 && len(list) == len(other) {
		for i := range list {
			if !sameJSON(list[i], other[i]) {
				return false
			}
		}
		return true
	}
	fields, ok := a.(map[string]any)
	others, ok2 := b.(map[string]any)
	if ok && ok2 && len(fields) == len(others) {
		for k := range fields {
			if !sameJSON(fields[k], others[k]) {
				return false
			}
		}
		return true
	}
	return reflect.DeepEqual(a, b)
}

// A row alone is read as it is among others: its columns are those of one row in every way.
func TestOneRow(t *testing.T) {
	t.Parallel()
	rows := someRows(100, 9)
	b := blockOf(t, rows...)
	b.Offset = 1000
	for i := range rows {
		single := one(b, i, i+1)
		got, err := readAll[everyField](single)
		if err != nil || len(got) != 1 || single.Offset != int64(1000+i) {
			t.Fatalf("row %d: %d rows from %d on, %v", i, len(got), single.Offset, err)
		}
		if !reflect.DeepEqual(got[0], rows[i]) {
			t.Fatalf("row %d is\n%+v\nwant\n%+v", i, got[0], rows[i])
		}
		for j, c := range single.Columns.Columns {
			if null := c.Valid != nil && c.Valid[0]&1 == 0; null != (c.Nulls == 1) || c.Nulls > 1 {
				t.Fatalf("row %d, column %s: %d nulls and the bitmap %v", i, b.Schema.Fields[j].Name, c.Nulls, c.Valid)
			}
		}
	}
}

// Types that only files have, and values that JSON has no number for.
func TestRowJSONOfFiles(t *testing.T) {
	t.Parallel()
	minus := uint64(math.MaxUint64)
	for _, c := range []struct {
		typ  Type
		bits uint64
		want any
	}{
		{TypeDate, minus, "1969-12-31T00:00:00Z"},
		{TypeTimestampS, minus, "1969-12-31T23:59:59Z"},
		{TypeTimestampMS, minus, "1969-12-31T23:59:59.999Z"},
		{TypeTimestampUS, minus, "1969-12-31T23:59:59.999999Z"},
		{TypeTimestamp, minus, "1969-12-31T23:59:59.999999999Z"},
		{TypeDuration, minus, json.Number("-1")},
		{TypeUint64, minus, json.Number("18446744073709551615")},
		{TypeInt8, 0x80, json.Number("-128")},
		{TypeFloat64, math.Float64bits(math.NaN()), "NaN"},
		{TypeFloat64, math.Float64bits(math.Inf(-1)), "-Inf"},
		{TypeFloat32, uint64(math.Float32bits(float32(math.Inf(1)))), "+Inf"},
		{TypeFloat32, uint64(math.Float32bits(0.1)), json.Number("0.1")},
		{TypeNull, 0, nil},
	} {
		b := numbersOf(c.typ, c.bits)
		if got := jsonRow(t, b, 0)["n"]; !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %v, want %v", c.typ, got, c.want)
		}
	}
}

// A long row's JSON ends soon after what is kept of a record, whatever makes it long, and begins as the whole would.
func TestRowJSONIsCut(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("ü\x01\"", 200_000)
	check := func(name string, b Block, begin string) {
		t.Helper()
		got := appendRowJSON(nil, b.Schema.Fields, b.Columns.Columns, 0)
		if len(got) <= maxRejectedBytes || len(got) > 16*maxRejectedBytes || !strings.HasPrefix(string(got), begin) {
			t.Errorf("%s: %d bytes that begin with %.40s: want %s", name, len(got), got, begin)
		}
	}
	check("string", blockOf(t, struct{ A, B string }{long, "b"}), `{"a":"ü\u0001\"ü`)
	check("bytes", blockOf(t, struct{ A []byte }{[]byte(long)}), `{"a":"`+base64.StdEncoding.EncodeToString([]byte(long[:300])))
	check("list", blockOf(t, struct{ A []int64 }{make([]int64, 1_000_000)}), `{"a":[0,0,0`)
	check("deep", blockOf(t, struct{ A []point }{make([]point, 100_000)}), `{"a":[{"x":0,"label":null},`)
	wide := Block{Columns: Columns{Rows: 1}}
	for i := range 20_000 {
		wide.Schema.Fields = append(wide.Schema.Fields, Field{Name: fmt.Sprint("column", i), Type: TypeBool})
		wide.Columns.Columns = append(wide.Columns.Columns, Column{Data: []byte{1}})
	}
	check("wide", wide, `{"column0":true,"column1":true`)
}
