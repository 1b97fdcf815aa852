package arrowfile

import (
	"encoding/binary"
	"encoding/json"
	"math"
	"reflect"
	"testing"
	"time"
	"unicode/utf8"
)

func numbers(t Type, values ...uint64) Column {
	var c Column
	for _, v := range values {
		var buf [8]byte
		binary.LittleEndian.PutUint64(buf[:], v)
		c.Data = append(c.Data, buf[:t.width()]...)
	}
	return c
}

func texts(values ...string) Column {
	c := Column{Offsets: []int32{0}}
	for _, v := range values {
		c.Data = append(c.Data, v...)
		c.Offsets = append(c.Offsets, int32(len(c.Data)))
	}
	return c
}

// Every type as text and as JSON, extreme values included.
func TestCells(t *testing.T) {
	t.Parallel()
	f64, f32 := math.Float64bits, func(v float32) uint64 { return uint64(math.Float32bits(v)) }
	moment := time.Date(2026, 3, 1, 2, 3, 4, 56_000_000, time.UTC)
	null := Column{Nulls: 1, Valid: []byte{0}, Data: make([]byte, 8), Offsets: []int32{0, 0}}
	pair := Field{Name: "p", Type: TypeStruct, Fields: []Field{{Name: `a"b`, Type: TypeInt8}, {Name: "s", Type: TypeString, Nullable: true}}}
	list := Field{Name: "l", Type: TypeList, Fields: []Field{{Name: "item", Type: TypeInt8}}}
	for _, c := range []struct {
		field      Field
		column     Column
		text, json string
	}{
		{Field{Type: TypeBool}, Column{Data: []byte{1}}, "true", "true"},
		{Field{Type: TypeBool}, Column{Data: []byte{2}}, "false", "false"},
		{Field{Type: TypeInt8}, numbers(TypeInt8, 0x80), "-128", "-128"},
		{Field{Type: TypeInt16}, numbers(TypeInt16, 0xffff), "-1", "-1"},
		{Field{Type: TypeInt32}, numbers(TypeInt32, 1<<31), "-2147483648", "-2147483648"},
		{Field{Type: TypeInt64}, numbers(TypeInt64, 1<<63), "-9223372036854775808", "-9223372036854775808"},
		{Field{Type: TypeInt64}, numbers(TypeInt64, 9007199254740993), "9007199254740993", "9007199254740993"},
		{Field{Type: TypeUint8}, numbers(TypeUint8, 0xff), "255", "255"},
		{Field{Type: TypeUint16}, numbers(TypeUint16, 0xffff), "65535", "65535"},
		{Field{Type: TypeUint32}, numbers(TypeUint32, math.MaxUint32), "4294967295", "4294967295"},
		{Field{Type: TypeUint64}, numbers(TypeUint64, math.MaxUint64), "18446744073709551615", "18446744073709551615"},
		{Field{Type: TypeFloat32}, numbers(TypeFloat32, f32(0.1)), "0.1", "0.1"},
		{Field{Type: TypeFloat64}, numbers(TypeFloat64, f64(0.1)), "0.1", "0.1"},
		{Field{Type: TypeFloat64}, numbers(TypeFloat64, f64(100)), "100", "100"},
		{Field{Type: TypeFloat64}, numbers(TypeFloat64, f64(1e21)), "1e+21", "1e+21"},
		{Field{Type: TypeFloat64}, numbers(TypeFloat64, f64(-1e-7)), "-1e-07", "-1e-07"},
		{Field{Type: TypeFloat64}, numbers(TypeFloat64, f64(math.Copysign(0, -1))), "-0", "-0"},
		{Field{Type: TypeFloat64}, numbers(TypeFloat64, f64(math.NaN())), "NaN", "null"},
		{Field{Type: TypeFloat64}, numbers(TypeFloat64, f64(math.Inf(1))), "Inf", "null"},
		{Field{Type: TypeFloat32}, numbers(TypeFloat32, f32(float32(math.Inf(-1)))), "-Inf", "null"},
		{Field{Type: TypeString}, texts("a\"b\\c\nd\te\rf\x01"), "a\"b\\c\nd\te\rf\x01", `"a\"b\\c\nd\te\rf\u0001"`},
		{Field{Type: TypeString}, texts("\x1b[31m \u009b \x7f"), "\x1b[31m \u009b \x7f", `"\u001b[31m \u009b \u007f"`},
		{Field{Type: TypeString}, texts("a\u202eb"), "a\u202eb", `"a\u202eb"`},
		{Field{Type: TypeString}, texts("日本 🙂"), "日本 🙂", `"日本 🙂"`},
		{Field{Type: TypeBytes}, texts("plain text"), "plain text", `"cGxhaW4gdGV4dA=="`},
		{Field{Type: TypeBytes}, texts("\x00\xff"), "0x00ff", `"AP8="`},
		{Field{Type: TypeBytes}, texts("two\nlines"), "two\nlines", `"dHdvCmxpbmVz"`},
		{Field{Type: TypeBytes}, texts("a\tb\r\n"), "a\tb\r\n", `"YQliDQo="`},
		{Field{Type: TypeBytes}, texts("日\t本"), "日\t本", `"5pelCeacrA=="`},
		{Field{Type: TypeBytes}, texts("a\tb\xff"), "0x610962ff", `"YQli/w=="`},
		{Field{Type: TypeBytes}, texts("a\tb\x00"), "0x61096200", `"YQliAA=="`},
		{Field{Type: TypeBytes}, texts("\x0b\x0c"), "0x0b0c", `"Cww="`},
		{Field{Type: TypeBytes}, texts("\x1b[31m"), "0x1b5b33316d", `"G1szMW0="`},
		{Field{Type: TypeBytes}, texts("a\u0085"), "0x61c285", `"YcKF"`},
		{Field{Type: TypeBytes}, texts("a\u2028"), "0x61e280a8", `"YeKAqA=="`},
		{Field{Type: TypeBytes}, texts("a\u202eb"), "0x61e280ae62", `"YeKArmI="`},
		{Field{Type: TypeBytes}, texts("\uFFFD"), "\uFFFD", `"77+9"`},
		{Field{Type: TypeTimestamp}, numbers(TypeTimestamp, uint64(moment.UnixNano())), "2026-03-01T02:03:04.056Z", `"2026-03-01T02:03:04.056Z"`},
		{Field{Type: TypeTimestamp}, numbers(TypeTimestamp, math.MaxUint64), "1969-12-31T23:59:59.999999999Z", `"1969-12-31T23:59:59.999999999Z"`},
		{Field{Type: TypeInt64, Nullable: true}, null, "", "null"},
		{Field{Type: TypeString, Nullable: true}, null, "", "null"},
		{list, Column{Offsets: []int32{0, 2}, Children: []Column{numbers(TypeInt8, 1, 2)}}, "[1,2]", "[1,2]"},
		{list, Column{Offsets: []int32{0, 0}, Children: []Column{{}}}, "[]", "[]"},
		{pair, Column{Children: []Column{numbers(TypeInt8, 7), null}}, `{"a\"b":7,"s":null}`, `{"a\"b":7,"s":null}`},
	} {
		if got := string(AppendText(nil, c.field, c.column, 0)); got != c.text {
			t.Errorf("%s as text is %q: want %q", c.field.Type, got, c.text)
		}
		if got := string(AppendJSON(nil, c.field, c.column, 0)); got != c.json {
			t.Errorf("%s as JSON is %s: want %s", c.field.Type, got, c.json)
		}
	}
}

// Every row of a batch with all types is one line of valid JSON.
func TestRowsAreJSON(t *testing.T) {
	t.Parallel()
	s := everyType()
	for _, row := range rowsOf(s, fill(s, 100, nullPatterns["some"], 1)) {
		var value map[string]any
		if err := json.Unmarshal([]byte(row), &value); err != nil {
			t.Fatalf("%v: %s", err, row)
		}
		if len(value) != len(s.Fields) {
			t.Fatalf("%d values: want %d", len(value), len(s.Fields))
		}
	}
}

// Whatever the text, AppendQuoted makes a JSON string of it that reads back the same (what is not UTF-8 as U+FFFD) and
// holds no control character.
func FuzzAppendQuoted(f *testing.F) {
	for _, seed := range []string{"", "plain", "\"\\\n\r\t\x00\x1b\x7f\u0085\u009b", "日本 🙂", "\xff\xc3", "\u2028", "\u202e\u2066"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		quoted := AppendQuoted(nil, text)
		var got string
		if err := json.Unmarshal(quoted, &got); err != nil {
			t.Fatalf("%q became %q: %v", text, quoted, err)
		}
		if want := string([]rune(string(text))); got != want {
			t.Errorf("%q came back as %q", text, got)
		}
		for rest := quoted; len(rest) > 0; {
			r, n := utf8.DecodeRune(rest)
			if r < 0x20 || r >= 0x7f && r < 0xa0 {
				t.Fatalf("%q became %q with a control character", text, quoted)
			}
			rest = rest[n:]
		}
	})
}

// The row renderers do not allocate per cell.
func TestCellsDoNotAllocate(t *testing.T) {
	s := everyType()
	b := fill(s, 50, nullPatterns["some"], 1)
	buf := AppendRow(nil, s, b, 0)
	buf = append(buf, make([]byte, 1<<16)...)
	if n := testing.AllocsPerRun(20, func() {
		for row := range b.Rows {
			buf = AppendRow(buf[:0], s, b, row)
		}
	}); n > float64(b.Rows*len(s.Fields)) {
		t.Errorf("%v allocations for %d rows of %d columns", n, b.Rows, len(s.Fields))
	}
	if !reflect.DeepEqual(b, fill(s, 50, nullPatterns["some"], 1)) {
		t.Error("reading the cells changed the batch")
	}
}

func BenchmarkAppendRow(b *testing.B) {
	s := Schema{Fields: []Field{{Name: "word", Type: TypeString}, {Name: "n", Type: TypeInt64}}}
	batch := fill(s, 10_000, nullPatterns["none"], 1)
	b.ReportAllocs()
	var buf []byte
	for b.Loop() {
		n := 0
		for row := range batch.Rows {
			buf = AppendRow(buf[:0], s, batch, row)
			n += len(buf)
		}
		b.SetBytes(int64(n))
	}
}

func BenchmarkWrite(b *testing.B) {
	s := Schema{Fields: []Field{{Name: "word", Type: TypeString}, {Name: "n", Type: TypeInt64}}}
	batch := fill(s, 64<<10, nullPatterns["none"], 1)
	size := int64(len(batch.Columns[0].Data) + 4*len(batch.Columns[0].Offsets) + len(batch.Columns[1].Data))
	for _, compression := range compressions {
		b.Run(compression, func(b *testing.B) {
			b.SetBytes(size)
			b.ReportAllocs()
			w, err := NewWriter(new(discard), s, Options{Compression: compression})
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if err := w.Write(batch); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }
