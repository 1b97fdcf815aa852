package jobs_test

import (
	"context"
	"encoding/binary"
	"errors"
	"iter"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/jobs/jobstest"
)

// emitRows runs a reduce function, called once, that emits the rows, and returns what crosses.
func emitRows[Out any](t testing.TB, rows iter.Seq[Out]) (*rowsOf, error) {
	t.Helper()
	prog := bind(t, jobs.New("job", func(string, func(string, int64)) error { return nil },
		func(_ string, _ jobs.Values[int64], emit func(Out)) error {
			for r := range rows {
				emit(r)
			}
			return nil
		}))
	out := &rowsOf{schema: prog.Info().Schema}
	return out, prog.Reduce(context.Background(), &jobs.Task{}, sorted("key:x"), out)
}

type (
	inner struct {
		X *int16
		Y string
	}
	base struct {
		Common string
	}
	everything struct {
		base
		I    int
		I8   int8
		I16  int16
		I32  int32
		U    uint
		U8   uint8
		U16  uint16
		U32  uint32
		U64  uint64
		F32  float32
		F64  float64
		On   bool
		S    string
		Raw  []byte
		Sum  [2]byte
		At   time.Time `column:"when"`
		For  time.Duration
		In   inner
		Opt  *inner
		OptS *string
		OptB *bool
		OptL *[]int8
		List []inner
		Deep [][]string
		Opts []*int32
		Pair [2]bool
		Skip chan int `column:"-"`
		priv int
	}
)

func ptr[T any](v T) *T { return &v }

// Every kind of column comes back as it was emitted, nulls and empty lists included.
func TestRowsRoundTrip(t *testing.T) {
	t.Parallel()
	when := time.Unix(12, 345).In(time.FixedZone("east", 3600))
	full := everything{base{"c"}, -1, -2, -3, -4, 1, 2, 3, 4, math.MaxUint64, 0.5, -0.25, true, "é", []byte{0xff}, [2]byte{1, 2}, when, time.Second,
		inner{ptr(int16(9)), "y"}, &inner{nil, "z"}, ptr("s"), ptr(true), &[]int8{1, 2}, []inner{{nil, "a"}, {ptr(int16(1)), "b"}},
		[][]string{{"p"}, nil, {"q", "r"}}, []*int32{nil, ptr(int32(5))}, [2]bool{true, false}, nil, 1}
	empty := everything{At: time.Unix(0, 0)}
	out, err := emitRows(t, slices.Values([]everything{full, empty, full}))
	if err != nil {
		t.Fatal(err)
	}
	wantFull := jobstest.Row{"c", int64(-1), int8(-2), int16(-3), int32(-4), uint64(1), uint8(2), uint16(3), uint32(4), uint64(math.MaxUint64), float32(0.5), -0.25, true,
		"é", []byte{0xff}, []byte{1, 2}, when.UTC(), int64(1e9), jobstest.Row{int16(9), "y"}, jobstest.Row{nil, "z"}, "s", true, []any{int8(1), int8(2)},
		[]any{jobstest.Row{nil, "a"}, jobstest.Row{int16(1), "b"}}, []any{[]any{"p"}, []any{}, []any{"q", "r"}}, []any{nil, int32(5)}, []any{true, false}}
	wantEmpty := jobstest.Row{"", int64(0), int8(0), int16(0), int32(0), uint64(0), uint8(0), uint16(0), uint32(0), uint64(0), float32(0), 0.0, false,
		"", []byte{}, []byte{0, 0}, time.Unix(0, 0).UTC(), int64(0), jobstest.Row{nil, ""}, nil, nil, nil, nil,
		[]any{}, []any{}, []any{}, []any{false, false}}
	jobstest.Equal(t, out.rows, wantFull, wantEmpty, wantFull)
	var names []string
	for _, f := range out.schema.Fields {
		names = append(names, f.Name)
	}
	if got, want := strings.Join(names, " "), "common i i8 i16 i32 u u8 u16 u32 u64 f32 f64 on s raw sum when for in opt opt_s opt_b opt_l list deep opts pair"; got != want {
		t.Errorf("columns %s, want %s", got, want)
	}
}

// A schema as the engine sees it: names, types, nullability, children.
func TestSchema(t *testing.T) {
	t.Parallel()
	type row struct {
		UserID   int
		HTTPCode uint16
		Tags     []*string `column:"labels"`
		Where    *struct{ Lat, Lon float32 }
	}
	want := jobs.Schema{Fields: []jobs.Field{
		{Name: "user_id", Type: jobs.TypeInt64},
		{Name: "http_code", Type: jobs.TypeUint16},
		{Name: "labels", Type: jobs.TypeList, Fields: []jobs.Field{{Name: "item", Type: jobs.TypeString, Nullable: true}}},
		{Name: "where", Type: jobs.TypeStruct, Nullable: true, Fields: []jobs.Field{{Name: "lat", Type: jobs.TypeFloat32}, {Name: "lon", Type: jobs.TypeFloat32}}},
	}}
	if got := bind(t, with[string, string, int, row]()).Info().Schema; !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	value := jobs.Schema{Fields: []jobs.Field{{Name: "value", Type: jobs.TypeTimestamp}}}
	if got := bind(t, with[string, string, int, time.Time]()).Info().Schema; !reflect.DeepEqual(got, value) {
		t.Errorf("got %+v, want %+v", got, value)
	}
}

// Batches end at 65,536 rows or 8 MiB, counted from the rows alone, and the next batch begins afresh.
func TestRowBatches(t *testing.T) {
	t.Parallel()
	out, err := emitRows(t, func(yield func(bool) bool) {
		for i := range 150_000 {
			if !yield(i%3 == 0) {
				return
			}
		}
	})
	if err != nil || !slices.Equal(out.sizes, []int{65_536, 65_536, 18_928}) {
		t.Fatalf("batches of %v rows, %v", out.sizes, err)
	}
	for i, r := range out.rows {
		if r[0] != (i%3 == 0) {
			t.Fatalf("row %d is %v", i, r)
		}
	}
	big := strings.Repeat("x", 3<<20)
	out, err = emitRows(t, slices.Values([]string{big, big, big, "y"}))
	if err != nil || !slices.Equal(out.sizes, []int{3, 1}) || out.rows[3][0] != "y" {
		t.Errorf("batches of %v rows, %v", out.sizes, err)
	}
}

// Values that no column can hold are an error that names the column, the key and the remedy.
func TestRowErrors(t *testing.T) {
	t.Parallel()
	type wide struct{ Blobs []inner }
	type late struct{ At time.Time }
	_, err := emitRows(t, slices.Values([]wide{{[]inner{{Y: "a\xffb"}}}}))
	checkRowError(t, err, `reduce key "key": column blobs[].y: "a\xffb" is not valid UTF-8: declare the field as []byte`)
	for _, at := range []time.Time{{}, time.Unix(0, math.MaxInt64).Add(1), time.Unix(0, math.MinInt64).Add(-1)} {
		_, err = emitRows(t, slices.Values([]late{{at}}))
		checkRowError(t, err, `reduce key "key": column at: the time `+at.UTC().Format(time.RFC3339)+` is outside 1677-09-21 to 2262-04-11`)
	}
	if _, err = emitRows(t, slices.Values([]late{{time.Unix(0, math.MaxInt64)}, {time.Unix(0, math.MinInt64)}})); err != nil {
		t.Error(err)
	}
	type blobs struct{ Parts [][]byte }
	_, err = emitRows(t, slices.Values([]blobs{{[][]byte{make([]byte, 1<<30+1)}}})) // never touched, so it costs no memory
	checkRowError(t, err, `reduce key "key": column parts[]: the row is larger than 1GiB: split it`)
}

func checkRowError(t *testing.T, err error, want string) {
	t.Helper()
	if _, ok := errors.AsType[*jobs.RecordError](err); !ok || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got error %v, want %q", err, want)
	}
}

func emitRowsTo[Out any](t testing.TB, sink jobs.RowSink, row Out, n int) (*jobs.Task, error) {
	prog := bind(t, jobs.New("job", func(string, func(string, int64)) error { return nil },
		func(_ string, _ jobs.Values[int64], emit func(Out)) error {
			for range n {
				emit(row)
			}
			return nil
		}))
	task := &jobs.Task{}
	return task, prog.Reduce(context.Background(), task, &batches{list: [][]byte{jobs.AppendPair(nil, []byte("k"), []byte{2})}}, sink)
}

// BenchmarkRows fills columns; its plain reference is one append per field, by hand.
func BenchmarkRows(b *testing.B) {
	const n = 100_000
	row := count{"millrace", 12345}
	b.Run("columns", func(b *testing.B) {
		b.SetBytes(n * (8 + 4 + 8))
		b.ReportAllocs()
		for b.Loop() {
			if _, err := emitRowsTo(b, discardRows{}, row, n); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("by hand", func(b *testing.B) {
		b.SetBytes(n * (8 + 4 + 8))
		b.ReportAllocs()
		var words, numbers []byte
		var offsets []int32
		for b.Loop() {
			words, numbers, offsets = words[:0], numbers[:0], offsets[:0]
			for range n {
				words = append(words, row.Word...)
				offsets = append(offsets, int32(len(words)))
				numbers = binary.LittleEndian.AppendUint64(numbers, uint64(row.N))
			}
		}
	})
}
