package jobs

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unsafe"
)

// sized is a column whose every value counts for so many bytes and takes none.
func sized(path string, typ Type, n int64) columnPlan {
	return columnPlan{field: Field{Name: path, Type: typ}, path: path, size: 1, add: func(*column, unsafe.Pointer) int64 { return n }}
}

// failure runs f, which may end an attempt, and returns its error, "" for none.
func failure(f func(fail *failed)) (text string) {
	var state failed
	defer func() {
		if r := recover(); r != nil {
			if _, ok := r.(stop); !ok {
				panic(r)
			}
			text = state.err.Error()
		}
	}()
	f(&state)
	return ""
}

// A row over the limit is refused however it is made up: one value, the elements of a list (while the list still grows, not
// after it has), or columns that are each within it.
func TestRowLimit(t *testing.T) {
	t.Parallel()
	const half = maxRowBytes / 2
	elements := columnPlan{field: Field{Name: "list", Type: TypeList}, path: "list", size: 1, add: addSlice, children: []columnPlan{sized("list[]", TypeInt8, half)}}
	for _, tt := range []struct {
		name    string
		columns []columnPlan
		list    int
		want    string
	}{
		{"two columns", []columnPlan{sized("a", TypeInt8, half), sized("b", TypeInt8, half)}, 0, ""},
		{"three columns", []columnPlan{sized("a", TypeInt8, half), sized("b", TypeInt8, half), sized("c", TypeInt8, half)}, 0, "column a: the row is larger than 1GiB: split it into several rows"},
		{"one element", []columnPlan{elements}, 1, ""},
		{"many elements", []columnPlan{elements}, 1_000, "column list: the row is larger than 1GiB: split it into several rows"},
		{"a list and a column", []columnPlan{elements, sized("b", TypeInt8, half)}, 1, "column list: the row is larger"},
	} {
		var w *rowWriter[[]byte]
		got := failure(func(f *failed) {
			w = newRowWriter[[]byte](&rowPlan{columns: tt.columns}, &keepRows{}, f, new(int64), func() RecordError { return RecordError{Key: "k"} })
			w.emit(make([]byte, tt.list))
		})
		if want := "reduce key k: " + tt.want; (tt.want == "") != (got == "") || got != "" && !strings.HasPrefix(got, want) {
			t.Errorf("%s: got %q, want %q", tt.name, got, want)
		}
		if rows := w.columns[0].children; tt.name == "many elements" && rows[0].rows != 2 {
			t.Errorf("the list had %d elements when it was refused, want 2", rows[0].rows)
		}
	}
}

// What earlier rows of the batch left counts too, so that no offset of a column overflows.
func TestOffsetLimit(t *testing.T) {
	t.Parallel()
	room := make([]byte, maxRowBytes+BatchRowBytes) // never touched, so it costs no memory
	for have, want := range map[int]string{0: "", len(room) - 5: "", len(room) - 4: "column s: the row is larger than 1GiB: split it into several rows"} {
		got := failure(func(f *failed) {
			c := newColumn(&columnPlan{path: "s"}, f.fail)
			c.data = room[:have]
			c.limit(5)
		})
		if got != want {
			t.Errorf("5 bytes after %d: got %q, want %q", have, got, want)
		}
	}
}

// nested is a row whose parts may be missing at every level.
type nested struct {
	A *struct {
		S *string
		N int32
		L []*bool
		I *struct{ T string }
	}
	B []struct{ F *float64 }
	C bool
}

func randomNested(rng *rand.Rand) nested {
	maybe := func() bool { return rng.IntN(2) == 0 }
	var n nested
	if maybe() {
		n.A = &struct {
			S *string
			N int32
			L []*bool
			I *struct{ T string }
		}{N: rng.Int32()}
		if maybe() {
			s := strings.Repeat("é", rng.IntN(5))
			n.A.S = &s
		}
		for range rng.IntN(4) {
			on := maybe()
			n.A.L = append(n.A.L, []*bool{&on, nil}[rng.IntN(2)])
		}
		if maybe() {
			n.A.I = &struct{ T string }{"t"}
		}
	}
	for range rng.IntN(3) {
		f := rng.Float64()
		n.B = append(n.B, struct{ F *float64 }{[]*float64{&f, nil}[rng.IntN(2)]})
	}
	n.C = maybe()
	return n
}

// checkColumn checks what the engine relies on: a column of so many rows has the bytes, offsets and bits of so many rows, and
// counts its nulls.
func checkColumn(t *testing.T, f Field, c Column, rows int) {
	t.Helper()
	if c.Nulls > 0 != (c.Valid != nil) || c.Nulls > 0 && !f.Nullable {
		t.Fatalf("%s: %d nulls, bitmap %v, nullable %v", f.Name, c.Nulls, c.Valid, f.Nullable)
	}
	if c.Valid != nil {
		ones := 0
		for i := range rows {
			ones += int(c.Valid[i/8] >> (i % 8) & 1)
		}
		if len(c.Valid) != (rows+7)/8 || rows-ones != c.Nulls {
			t.Fatalf("%s: %d of %d bits in %d bytes, %d nulls", f.Name, ones, rows, len(c.Valid), c.Nulls)
		}
	}
	switch f.Type {
	case TypeString, TypeBytes, TypeList:
		if len(c.Offsets) != rows+1 || c.Offsets[0] != 0 || !slices.IsSorted(c.Offsets) {
			t.Fatalf("%s: offsets %v for %d rows", f.Name, c.Offsets, rows)
		}
		if last := int(c.Offsets[rows]); f.Type == TypeList {
			checkColumn(t, f.Fields[0], c.Children[0], last)
		} else if last != len(c.Data) {
			t.Fatalf("%s: the last offset is %d, the data %d bytes", f.Name, last, len(c.Data))
		}
	case TypeStruct:
		for i, child := range c.Children {
			checkColumn(t, f.Fields[i], child, rows)
		}
	case TypeBool:
		if len(c.Data) != (rows+7)/8 {
			t.Fatalf("%s: %d bytes for %d bools", f.Name, len(c.Data), rows)
		}
	default:
		if len(c.Data) != rows*width(f.Type) {
			t.Fatalf("%s: %d bytes for %d rows of %s", f.Name, len(c.Data), rows, f.Type)
		}
	}
}

type checkRows struct {
	t      *testing.T
	schema Schema
}

func (s *checkRows) Put(c Columns) error {
	for i, col := range c.Columns {
		checkColumn(s.t, s.schema.Fields[i], col, c.Rows)
	}
	return nil
}

// Whatever is missing in whichever row, every column, also within lists and null structs, has exactly the bytes and offsets of
// the batch's rows, batch after batch in the same buffers.
func TestColumnsKeepStep(t *testing.T) {
	t.Parallel()
	plan, err := newRowPlan(reflect.TypeFor[nested]())
	if err != nil {
		t.Fatal(err)
	}
	for seed := range uint64(50) {
		rng := rand.New(rand.NewPCG(seed, 1))
		w := newRowWriter[nested](plan, &checkRows{t, plan.schema}, &failed{}, new(int64), func() RecordError { return RecordError{Key: fmt.Sprint("seed ", seed)} })
		for range 4 {
			for range rng.IntN(40) {
				w.emit(randomNested(rng))
			}
			w.flush()
		}
	}
}

// The bytes of every kind of number are little endian, at the width that the type has.
func TestNumbersOnTheBorder(t *testing.T) {
	t.Parallel()
	type numbers struct {
		A int8
		B uint8
		C int16
		D uint16
		E int32
		F uint32
		G float32
		H int64
		I uint64
		J float64
		K int
		L uint
	}
	plan, err := newRowPlan(reflect.TypeFor[numbers]())
	if err != nil {
		t.Fatal(err)
	}
	row := numbers{-2, 254, -3, 65_000, -4, 4_000_000_000, 1.5, -5, 1 << 63, -2.5, -6, 7}
	w := newRowWriter[numbers](plan, &keepRows{}, &failed{}, new(int64), func() RecordError { return RecordError{} })
	w.emit(row)
	v := reflect.ValueOf(row)
	for i, c := range w.columns {
		value := v.Field(i).Interface()
		switch n := value.(type) { // encoding/binary knows no int
		case int:
			value = int64(n)
		case uint:
			value = uint64(n)
		}
		want, err := binary.Append(nil, binary.LittleEndian, value)
		if err != nil || !slices.Equal(c.data, want) || len(want) != width(c.plan.field.Type) {
			t.Errorf("%s: %x, want %x, %v", c.plan.path, c.data, want, err)
		}
	}
}

// addRow fills columns as put does, whatever it does by itself, and refuses the same.
func TestAddRow(t *testing.T) {
	t.Parallel()
	type row struct {
		S    string
		B    []byte
		N    int64
		U    uint
		F    float64
		Opt  *string
		Nums *int64
		Raw  *[]byte
		I    int32
	}
	n, raw := int64(-5), []byte("raw")
	texts := []string{"", "a", "abc", "abcdefg", "abcdefgh", "abcdefghi", strings.Repeat("x", 100), "é", "abcdefghé", "é" + strings.Repeat("x", 30)}
	for i := range 17 {
		texts = append(texts, strings.Repeat("x", i)+"\xff"+strings.Repeat("x", 16-i))
	}
	plan, err := newRowPlan(reflect.TypeFor[row]())
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range texts {
		r := row{text, []byte(text), n, 7, -0.5, &texts[0], &n, &raw, 3}
		fill := func(add func(columns []*column) int64) (columns []*column, bytes int64, refused string) {
			refused = failure(func(f *failed) {
				for i := range plan.columns {
					columns = append(columns, newColumn(&plan.columns[i], f.fail))
				}
				for range 3 {
					bytes += add(columns)
				}
			})
			return columns, bytes, refused
		}
		got, gotBytes, gotErr := fill(func(columns []*column) int64 { return addRow(columns, unsafe.Pointer(&r)) })
		want, wantBytes, wantErr := fill(func(columns []*column) (n int64) {
			for _, c := range columns {
				n += c.put(unsafe.Add(unsafe.Pointer(&r), c.plan.offset))
			}
			return n
		})
		if gotBytes != wantBytes || gotErr != wantErr {
			t.Fatalf("%q: %d bytes, %q, want %d, %q", text, gotBytes, gotErr, wantBytes, wantErr)
		}
		for i, c := range got {
			w := want[i]
			if c.rows != w.rows || c.nulls != w.nulls || !bytes.Equal(c.data, w.data) || !bytes.Equal(c.valid, w.valid) || !slices.Equal(c.offsets, w.offsets) {
				t.Fatalf("%q: column %s is %+v, want %+v", text, c.plan.path, c, w)
			}
		}
	}
}
