package jobs

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

// everything has a column of every type, and of every kind of Go field that makes one.
type everything struct {
	A bool
	B int8
	C int16
	D int32
	E int64
	F int
	G uint8
	H uint16
	I uint32
	J uint64
	K float32
	L float64
	M string
	N []byte
	O [3]byte
	P time.Time
	Q []string
	R [2]int16
	S struct {
		X string
		Y []struct{ Z *int64 }
	}
	T *string
	U *time.Time
	embedded
}

type embedded struct{ V bool }

// keep is a RowSink that keeps copies of batches, as what crosses a border would be.
type keep struct{ batches []Columns }

func (k *keep) Put(c Columns) error {
	c.Columns = cloneColumns(c.Columns)
	k.batches = append(k.batches, c)
	return nil
}

func cloneColumns(in []Column) []Column {
	var out []Column
	for _, c := range in {
		out = append(out, Column{
			Nulls: c.Nulls, Valid: append([]byte(nil), c.Valid...), Offsets: append([]int32(nil), c.Offsets...), Data: append([]byte(nil), c.Data...),
			Children: cloneColumns(c.Children),
		})
		if c.Valid == nil {
			out[len(out)-1].Valid = nil
		}
	}
	return out
}

func toColumns[T any](t *testing.T, rows []T) Columns {
	t.Helper()
	p, err := newRowPlan(reflect.TypeFor[T]())
	if err != nil {
		t.Fatal(err)
	}
	out := new(keep)
	w := newRowWriter[T](p, out, new(failed), new(int64), func() RecordError { return RecordError{Key: ""} })
	for _, r := range rows {
		w.emit(r)
	}
	w.flush()
	if len(out.batches) != 1 {
		t.Fatalf("%d batches", len(out.batches))
	}
	return out.batches[0]
}

// Rows of every type are the same after they were columns.
func TestRowsOf(t *testing.T) {
	t.Parallel()
	n, s, at := int64(-7), "text", time.Unix(5, 6).UTC()
	full := everything{
		true, -8, -16, -32, -64, -1, 255, 65535, 1<<32 - 1, 1<<64 - 1, 1.5, -2.25, "ü", []byte{0, 255}, [3]byte{1, 2, 3},
		time.Unix(-1, 999).UTC(), []string{"a", "", "c"}, [2]int16{-3, 4},
		struct {
			X string
			Y []struct{ Z *int64 }
		}{"x", []struct{ Z *int64 }{{&n}, {nil}}}, &s, &at, embedded{true},
	}
	empty := everything{N: []byte{}, P: time.Unix(0, 0).UTC(), Q: []string{}}
	empty.S.Y = []struct{ Z *int64 }{}
	want := []everything{full, empty, full}
	got, err := rowsOf[everything](toColumns(t, want))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v\nwant\n%+v", got, want)
	}
	if got, err := rowsOf[string](toColumns(t, []string{"a", "b"})); err != nil || !reflect.DeepEqual(got, []string{"a", "b"}) {
		t.Errorf("one column: got %q, %v", got, err)
	}
}

// Columns that the type does not fit are an error, never a panic.
func TestRowsOfOthers(t *testing.T) {
	t.Parallel()
	ints := toColumns(t, []int64{1, 2, 3})
	if _, err := rowsOf[everything](ints); err == nil || !strings.Contains(err.Error(), "1 columns, but jobs.everything has 22") {
		t.Errorf("got %v", err)
	}
	for name, err := range map[string]error{
		"text":    second(rowsOf[string](ints)),
		"a list":  second(rowsOf[[]int64](ints)),
		"bytes":   second(rowsOf[[]byte](ints)),
		"wide":    second(rowsOf[int64](toColumns(t, []int8{1, 2, 3}))),
		"a bool":  second(rowsOf[bool](Columns{Rows: 9, Columns: []Column{{Data: []byte{1}}}})),
		"bitmap":  second(rowsOf[*int8](Columns{Rows: 9, Columns: []Column{{Data: make([]byte, 9), Valid: []byte{1}}}})),
		"offsets": second(rowsOf[string](Columns{Rows: 1, Columns: []Column{{Offsets: []int32{5, 2}, Data: make([]byte, 9)}}})),
		"beyond":  second(rowsOf[string](Columns{Rows: 1, Columns: []Column{{Offsets: []int32{0, 20}, Data: make([]byte, 9)}}})),
		"items":   second(rowsOf[[]int64](Columns{Rows: 1, Columns: []Column{{Offsets: []int32{0, 2}, Children: []Column{{Data: make([]byte, 9)}}}}})),
	} {
		if err == nil || !strings.Contains(err.Error(), "name the row type of the stage") {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if _, err := rowsOf[map[string]int](ints); err == nil {
		t.Error("a map is a row")
	}
}

func second[T any](_ T, err error) error { return err }
