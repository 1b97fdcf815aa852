package jobs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"
	"unsafe"
)

// everyField has a field of each kind that a column can fill, plain and behind a pointer, and nested ones.
type everyField struct {
	Flag    bool
	I8      int8
	I16     int16
	I32     int32
	I64     int64
	I       int
	U8      uint8
	U16     uint16
	U32     uint32
	U64     uint64
	F32     float32
	F64     float64
	Word    string
	Raw     []byte
	Four    [4]byte
	At      time.Time
	Span    time.Duration
	Words   []string
	Pair    [2]int16
	Point   point
	Points  []point
	MaybeI  *int64
	MaybeS  *string
	MaybeT  *time.Time
	MaybeP  *point
	MaybeL  *[]int32
	MaybeLs []*string
	Grid    [][]uint8 `column:"grid"`
	hidden  int       // not exported: no column
	Left    int       `column:"-"`
}

type point struct {
	X     int32
	Label *string
}

func someRows(n int, seed uint64) []everyField {
	rng := rand.New(rand.NewPCG(seed, 1))
	text := func() string { return strings.Repeat("ü", rng.IntN(5)) + fmt.Sprint(rng.IntN(100)) }
	rows := make([]everyField, n)
	for i := range rows {
		label := text()
		p := point{X: int32(i), Label: &label}
		r := &rows[i]
		*r = everyField{
			Flag: rng.IntN(2) == 0, I8: int8(rng.Int()), I16: int16(rng.Int()), I32: int32(rng.Int()), I64: int64(rng.Uint64()),
			I: rng.Int(), U8: uint8(rng.Int()), U16: uint16(rng.Int()), U32: rng.Uint32(), U64: rng.Uint64(),
			F32: rng.Float32(), F64: rng.Float64(), Word: text(), Raw: []byte(text()), Four: [4]byte{1, 2, byte(i), 4},
			At: time.Unix(0, rng.Int64()).UTC(), Span: time.Duration(rng.Int64()), Words: []string{}, Pair: [2]int16{int16(i), -1},
			Point: point{X: int32(-i)}, Points: []point{}, MaybeLs: []*string{}, Grid: [][]uint8{},
		}
		for range rng.IntN(4) {
			r.Words, r.Points, r.MaybeLs = append(r.Words, text()), append(r.Points, p, point{}), append(r.MaybeLs, &label, nil)
			r.Grid = append(r.Grid, []uint8{1, byte(i)}, []uint8{})
		}
		if rng.IntN(2) == 0 {
			list := []int32{int32(i), 7}
			r.MaybeI, r.MaybeS, r.MaybeT, r.MaybeP, r.MaybeL = &r.I64, &r.Word, &r.At, &p, &list
		}
	}
	return rows
}

// blockOf is rows as the engine hands them to the program.
func blockOf[R any](t testing.TB, rows ...R) Block {
	t.Helper()
	schema, columns, err := ColumnsOf(rows...)
	if err != nil {
		t.Fatal(err)
	}
	return Block{URL: "mem://t", Schema: schema, Columns: columns}
}

// readAll reads a block into records.
func readAll[R any](b Block) ([]R, error) {
	plan, err := newRowPlan(reflect.TypeFor[R]())
	if err != nil {
		return nil, err
	}
	var out []R
	var at int64
	_, err = eachRow(func(r R, _ func(int, int)) error {
		out = append(out, r)
		return nil
	}, plan)(b, &at, nil)
	return out, err
}

// Rows of every kind of field come out of their columns as they went in, however many share an allocation.
func TestTableRoundTrip(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 3, 1000} {
		want := someRows(n, uint64(n))
		got, err := readAll[everyField](blockOf(t, want...))
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != n {
			t.Fatalf("%d rows: want %d", len(got), n)
		}
		for i := range want {
			if got[i].hidden != 0 || !reflect.DeepEqual(got[i], want[i]) {
				t.Fatalf("row %d of %d is\n%+v\nwant\n%+v", i, n, got[i], want[i])
			}
		}
	}
}

// byReflection is the plain reference of fillRow: it sets a struct's fields from columns by package reflect.
func byReflection(to reflect.Value, plans []columnPlan, fields []Field, columns []Column, row int) {
	for i, plan := range plans {
		for j, f := range fields {
			if f.Name == plan.field.Name {
				v := reflect.NewAt(plan.valueType(), unsafe.Add(to.Addr().UnsafePointer(), plan.offset)).Elem()
				if plan.field.Nullable {
					v = reflect.NewAt(reflect.PointerTo(plan.valueType()), unsafe.Add(to.Addr().UnsafePointer(), plan.offset)).Elem()
				}
				reflectValue(v, &plans[i], f, columns[j], row)
			}
		}
	}
}

func reflectValue(v reflect.Value, plan *columnPlan, f Field, c Column, row int) {
	if c.Valid != nil && c.Valid[row/8]>>(row%8)&1 == 0 {
		v.SetZero()
		return
	}
	if plan.field.Nullable {
		v.Set(reflect.New(plan.valueType()))
		v = v.Elem()
	}
	le := binary.LittleEndian
	switch {
	case f.Type == TypeStruct:
		byReflection(v, plan.children, f.Fields, c.Children, row)
	case f.Type == TypeList:
		from, end := int(c.Offsets[row]), int(c.Offsets[row+1])
		if v.Kind() == reflect.Slice {
			v.Set(reflect.MakeSlice(v.Type(), end-from, end-from))
		}
		for i := from; i < end; i++ {
			reflectValue(v.Index(i-from), &plan.children[0], f.Fields[0], c.Children[0], i)
		}
	case f.Type == TypeBytes && v.Kind() == reflect.Array:
		reflect.Copy(v, reflect.ValueOf(c.Data[c.Offsets[row]:c.Offsets[row+1]]))
	case f.Type == TypeString || f.Type == TypeBytes:
		v.Set(reflect.ValueOf(c.Data[c.Offsets[row]:c.Offsets[row+1]]).Convert(v.Type()))
	case f.Type == TypeBool:
		v.SetBool(c.Data[row/8]>>(row%8)&1 == 1)
	case f.Type == TypeTimestamp:
		v.Set(reflect.ValueOf(time.Unix(0, int64(le.Uint64(c.Data[8*row:]))).UTC()))
	case f.Type == TypeFloat32:
		v.SetFloat(float64(math.Float32frombits(le.Uint32(c.Data[4*row:]))))
	case f.Type == TypeFloat64:
		v.SetFloat(math.Float64frombits(le.Uint64(c.Data[8*row:])))
	default:
		var b [8]byte
		n := width(f.Type)
		copy(b[:], c.Data[n*row:n*row+n])
		if v.CanUint() {
			v.SetUint(le.Uint64(b[:]))
		} else {
			shift := 64 - 8*n
			v.SetInt(int64(le.Uint64(b[:])<<shift) >> shift)
		}
	}
}

// fillRow gives what the reference gives, for columns of every kind and pattern of nulls.
func TestTableReference(t *testing.T) {
	t.Parallel()
	plan, err := newRowPlan(reflect.TypeFor[everyField]())
	if err != nil {
		t.Fatal(err)
	}
	for seed := range uint64(20) {
		b := blockOf(t, someRows(50, seed)...)
		got, err := readAll[everyField](b)
		if err != nil {
			t.Fatal(err)
		}
		for row := range got {
			var want everyField
			byReflection(reflect.ValueOf(&want).Elem(), plan.columns, b.Schema.Fields, b.Columns.Columns, row)
			if !reflect.DeepEqual(got[row], want) {
				t.Fatalf("seed %d, row %d is\n%+v\nwant\n%+v", seed, row, got[row], want)
			}
		}
	}
}

// numbersOf is a column of one number of a type.
func numbersOf(t Type, v uint64) Block {
	data := binary.LittleEndian.AppendUint64(nil, v)[:width(t)]
	return Block{URL: "mem://t", Schema: Schema{[]Field{{Name: "n", Type: t}}}, Columns: Columns{1, []Column{{Data: data}}}}
}

func firstOf[T any](b Block) (T, error) {
	rows, err := readAll[struct{ N T }](b)
	var zero T
	if err != nil {
		return zero, err
	}
	return rows[0].N, nil
}

// Numbers widen where every value fits, and times come from every unit; nothing else is converted.
func TestTableTypes(t *testing.T) {
	t.Parallel()
	minus := uint64(math.MaxUint64) // -1, or the largest
	check := func(name string, got any, err error, want any) {
		t.Helper()
		if err != nil || got != want {
			t.Errorf("%s: got %v, %v: want %v", name, got, err, want)
		}
	}
	i64, err := firstOf[int64](numbersOf(TypeInt8, minus))
	check("int8", i64, err, int64(-1))
	i64, err = firstOf[int64](numbersOf(TypeUint32, minus))
	check("uint32", i64, err, int64(math.MaxUint32))
	u16, err := firstOf[uint16](numbersOf(TypeUint8, minus))
	check("uint8", u16, err, uint16(255))
	f64, err := firstOf[float64](numbersOf(TypeFloat32, uint64(math.Float32bits(0.5))))
	check("float32", f64, err, 0.5)
	span, err := firstOf[time.Duration](numbersOf(TypeDuration, 5))
	check("duration", span, err, 5*time.Nanosecond)
	for unit, want := range map[Type]time.Time{
		TypeDate:        time.Date(1969, 12, 31, 0, 0, 0, 0, time.UTC),
		TypeTimestampS:  time.Unix(-1, 0).UTC(),
		TypeTimestampMS: time.Unix(-1, 999e6).UTC(),
		TypeTimestampUS: time.Unix(-1, 999_999e3).UTC(),
		TypeTimestamp:   time.Unix(-1, 999_999_999).UTC(),
	} {
		at, err := firstOf[time.Time](numbersOf(unit, minus))
		check(string(unit), at, err, want)
	}
	null := Block{URL: "mem://t", Schema: Schema{[]Field{{Name: "n", Type: TypeNull}}}, Columns: Columns{1, []Column{{Nulls: 1, Valid: []byte{0}}}}}
	p, err := firstOf[*string](null)
	check("null", p, err, (*string)(nil))

	fails := func(err error, want string) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), want) || !errors.Is(err, ErrColumns) {
			t.Errorf("error is %v: want one with %q", err, want)
		}
	}
	_, err = firstOf[int32](numbersOf(TypeInt64, 1))
	fails(err, `column "n" is int64 in the file, which a field of type int32 cannot hold: declare it as int64, or as a wider type`)
	_, err = firstOf[int32](numbersOf(TypeUint32, 1))
	fails(err, "is uint32 in the file")
	_, err = firstOf[float64](numbersOf(TypeInt32, 1))
	fails(err, "is int32 in the file")
	_, err = firstOf[string](numbersOf(TypeTimestampMS, 1))
	fails(err, "declare it as time.Time")
	_, err = firstOf[int64](numbersOf(TypeDuration, 1))
	fails(err, "declare it as time.Duration")
	_, err = firstOf[string](null)
	fails(err, "all its rows are null")
	_, err = readAll[struct{ M int }](numbersOf(TypeInt8, 1))
	fails(err, `there is no column "m": the columns are ["n"]`)
	_, err = readAll[struct{ P struct{ Q int } }](blockOf(t, struct{ P point }{}))
	fails(err, `there is no column "p.q"`)
	_, err = readAll[struct{ P []int8 }](blockOf(t, struct{ P []int16 }{}))
	fails(err, `column "p[]" is int16 in the file`)
	_, err = readAll[struct{ P []int8 }](blockOf(t, struct{ P point }{}))
	fails(err, `column "p" is struct in the file`)
}

// A null in a plain field, and a value of the wrong length, are errors of their row, which name it, the column and the object.
func TestTableRowErrors(t *testing.T) {
	t.Parallel()
	three := int64(3)
	type maybe struct{ N *int64 }
	type plain struct{ N int64 }
	count := func(r plain, emit func(int64, int64)) error {
		emit(r.N, 1)
		return nil
	}
	p, err := New("t", count, func(int64, Values[int64], func(int64)) error { return nil }, Table()).Bind(nil)
	if err != nil {
		t.Fatal(err)
	}
	task := &Task{Reducers: 1}
	b := blockOf(t, maybe{&three}, maybe{&three}, maybe{nil}, maybe{&three})
	b.Offset = 100
	err = p.Map(t.Context(), task, &oneBlock{b: b}, &noPairs{})
	var record *RecordError
	if !errors.As(err, &record) || record.Offset != 102 || !record.Row {
		t.Fatalf("error is %#v", err)
	}
	if got, want := err.Error(), "map mem://t at row 102: column n: it is null: declare the field as *int64"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if task.Records != 3 {
		t.Errorf("%d records: want 3", task.Records)
	}
	_, err = readAll[struct{ B [3]byte }](blockOf(t, struct{ B []byte }{[]byte("four")}))
	if err == nil || err.Error() != "column b: 4 bytes do not fit a [3]uint8" {
		t.Errorf("error is %v", err)
	}
	_, err = readAll[struct{ L [3]int8 }](blockOf(t, struct{ L []int8 }{[]int8{1}}))
	if err == nil || err.Error() != "column l: a list of 1 elements does not fit a [3]int8" {
		t.Errorf("error is %v", err)
	}
}

type oneBlock struct {
	b    Block
	done bool
}

func (s *oneBlock) Next() (Block, error) {
	if s.done {
		return Block{}, io.EOF
	}
	s.done = true
	return s.b, nil
}

type noPairs struct{}

func (noPairs) Put(Pairs) (Pairs, error) { return Pairs{}, nil }

// What the engine must know of a job over tables, and the mistakes in its definition.
func TestTableDefinition(t *testing.T) {
	t.Parallel()
	type row struct {
		UserID int64
		Name   string `column:"full name"`
	}
	sum := func(string, Values[int64], func(int64)) error { return nil }
	rows := func(row, func(string, int64)) error { return nil }
	batches := func(Batch, func(string, int64)) error { return nil }
	for _, c := range []struct {
		job  *Job
		want []string
		err  string
	}{
		{New("j", rows, sum, Table()), []string{"user_id", "full name"}, ""},
		{New("j", batches, sum, Table("b", "a")), []string{"b", "a"}, ""},
		{New("j", batches, sum, Table()), nil, ""},
		{New("j", rows, sum, Table("a")), nil, "option Table names columns, but the record type jobs.row does already"},
		{New("j", rows, sum), nil, "with the option Table a struct"},
		{New("j", batches, sum, Table("a", "a")), nil, `the column "a" is empty or named twice`},
		{New("j", rows, sum, Table(), FixedLength(4)), nil, "options Table and FixedLength exclude each other"},
		{New("j", func(string, func(string, int64)) error { return nil }, sum, Table()), nil, "the record type is string, but rows are a struct"},
		{New("j", func(struct{ C chan int }, func(string, int64)) error { return nil }, sum, Table()), nil, "column c: type chan int cannot be a column"},
	} {
		p, err := c.job.Bind(nil)
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("error is %v: want one with %q", err, c.err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if f := p.Info().Inputs[0].Format; f.Kind != FormatColumns || !reflect.DeepEqual(f.Columns, c.want) {
			t.Errorf("format is %+v: want columns %v", f, c.want)
		}
	}
}

// A batch has the columns that were asked for, in that order, and counts for as many records as it has rows.
func TestTableBatch(t *testing.T) {
	t.Parallel()
	b := blockOf(t, struct {
		A string
		N int64
	}{"x", 1}, struct {
		A string
		N int64
	}{"y", 2})
	b.Offset = 7
	var got []Batch
	m := func(b Batch, _ func(int, int)) error {
		got = append(got, b)
		return nil
	}
	for _, names := range [][]string{{"n"}, {"n", "a"}, nil} {
		got = nil
		var at int64
		records, err := eachBatch(m, names)(b, &at, nil)
		if err != nil || records != 2 || at != 7 || len(got) != 1 || got[0].Row != 7 || got[0].URL != "mem://t" || got[0].Rows != 2 {
			t.Fatalf("%v: %d records at %d, %v: %+v", names, records, at, err, got)
		}
		if names == nil {
			names = []string{"a", "n"}
		}
		for i, name := range names {
			f, c, ok := got[0].Column(name)
			if !ok || f.Name != name || got[0].Schema.Fields[i].Name != name || len(c.Data) == 0 {
				t.Errorf("%v: column %s is %+v %+v", names, name, f, c)
			}
		}
	}
	var at int64
	if _, err := eachBatch(m, []string{"z"})(b, &at, nil); !errors.Is(err, ErrColumns) {
		t.Errorf("error is %v: want %v", err, ErrColumns)
	}
}

// BenchmarkTableRows reads records of a word and a number.
func BenchmarkTableRows(b *testing.B) {
	type row struct {
		Word string
		N    int64
	}
	rows := make([]row, 10_000)
	for i := range rows {
		rows[i] = row{fmt.Sprint("word", i%100), int64(i)}
	}
	block := blockOf(b, rows...)
	plan, err := newRowPlan(reflect.TypeFor[row]())
	if err != nil {
		b.Fatal(err)
	}
	b.Run("quick", func(b *testing.B) {
		var sum int64
		each := eachRow(func(r row, _ func(int, int)) error {
			sum += r.N + int64(len(r.Word))
			return nil
		}, plan)
		b.SetBytes(int64(len(rows)))
		b.ReportAllocs()
		for b.Loop() {
			var at int64
			if _, err := each(block, &at, nil); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("closures", func(b *testing.B) {
		r, err := newRowReader(plan, block)
		if err != nil {
			b.Fatal(err)
		}
		for _, c := range r.cells {
			c.quick = quickNone
		}
		b.SetBytes(int64(len(rows)))
		for b.Loop() {
			var to row
			for i := range rows {
				fillRow(r.cells, i, unsafe.Pointer(&to))
			}
		}
	})
	b.Run("reflection", func(b *testing.B) {
		b.SetBytes(int64(len(rows)))
		for b.Loop() {
			var to row
			for i := range rows {
				byReflection(reflect.ValueOf(&to).Elem(), plan.columns, block.Schema.Fields, block.Columns.Columns, i)
			}
		}
	})
}
