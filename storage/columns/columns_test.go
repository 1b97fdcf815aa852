package columns_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/arrowfile"
	"github.com/millrace/millrace/storage/columns"
)

func fileData(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// Only the wanted columns are read, in the order in which they are named: their bytes, the footer and little else.
func TestProjection(t *testing.T) {
	t.Parallel()
	const rows = 200_000
	schema := arrowfile.Schema{Fields: []arrowfile.Field{{Name: "a", Type: arrowfile.TypeInt64}, {Name: "b", Type: arrowfile.TypeInt64}, {Name: "c", Type: arrowfile.TypeInt64}}}
	var file bytes.Buffer
	w, err := arrowfile.NewWriter(&file, schema, arrowfile.Options{})
	if err != nil {
		t.Fatal(err)
	}
	column := func(n byte) arrowfile.Column {
		return arrowfile.Column{Data: bytes.Repeat([]byte{n, 0, 0, 0, 0, 0, 0, 0}, rows)}
	}
	if err := w.Write(arrowfile.Batch{Rows: rows, Columns: []arrowfile.Column{column(1), column(2), column(3)}}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Close(); err != nil {
		t.Fatal(err)
	}
	src := &memory{data: file.Bytes()}
	got, err := read(src, pieces(int64(file.Len()), int64(file.Len()), "c", "a"), columns.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if want := exactNumbers("c", "3", "a", "1"); len(got) != rows || !reflect.DeepEqual(got[rows-1], want) {
		t.Errorf("%d rows, the last %v: want %d, %v", len(got), got[len(got)-1], rows, want)
	}
	if n, most := src.reads.Load(), int64(2*8*rows+256<<10); n > most || n < 2*8*rows {
		t.Errorf("%d bytes were read of a file of %d: want at most %d", n, file.Len(), most)
	}

	data := fileData(t, "duckdb-V2-zstd.parquet")
	for _, names := range [][]string{{"word"}, {"point", "id"}, {"list"}} {
		src := &memory{data: data}
		got, err := read(src, pieces(int64(len(data)), int64(len(data)), names...), columns.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range expected(t, filepath.Join("testdata", "duckdb-V2-zstd.parquet")) {
			for _, name := range names {
				if !reflect.DeepEqual(got[i].(map[string]any)[name], want.(map[string]any)[name]) || len(got[i].(map[string]any)) != len(names) {
					t.Fatalf("row %d is %v: want %v of %v", i, got[i], names, want)
				}
			}
		}
	}
}

func exactNumbers(pairs ...string) map[string]any {
	out := map[string]any{}
	for i := 0; i < len(pairs); i += 2 {
		out[pairs[i]] = exact(arrowfile.Field{Type: arrowfile.TypeUint8}, arrowfile.Column{Data: []byte{pairs[i+1][0] - '0'}}, 0)
	}
	return out
}

// What is wrong with an object, or with what is wanted of it, is said by name.
func TestErrors(t *testing.T) {
	t.Parallel()
	parquet, arrow := fileData(t, "required.parquet"), fileData(t, "sliced.arrow")
	encrypted := append(bytes.Clone(parquet[:len(parquet)-4]), "PARE"...)
	for _, c := range []struct {
		name    string
		data    []byte
		columns []string
		want    string
	}{
		{"text", []byte("just text, line by line\n"), nil, `neither an Arrow nor a Parquet file: it begins with "just tex"`},
		{"no such column", parquet, []string{"word", "none"}, `it has no column "none": its columns are ["i64" "word"]`},
		{"nor there", arrow, []string{"none"}, `it has no column "none"`},
		{"encrypted", encrypted, nil, "it is encrypted"},
		{"cut", parquet[:len(parquet)-9], nil, "not a whole Parquet file"},
		{"cut", arrow[:len(arrow)-9], nil, "it does not begin and end with ARROW1"},
		{"short", []byte("PAR1"), nil, "4 bytes are too few for a Parquet file"},
	} {
		size := int64(len(c.data))
		_, err := read(&memory{data: c.data}, pieces(size, size, c.columns...), columns.Options{})
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "read mem://input/0: ") || !errors.Is(err, columns.ErrUnreadable) {
			t.Errorf("%s: error is %v: want one with %q", c.name, err, c.want)
		}
	}
}

// What storage says comes out as it is: an object that changed, a connection that failed. Neither is the object's fault.
func TestSourceErrors(t *testing.T) {
	t.Parallel()
	data := fileData(t, "required.parquet")
	size := int64(len(data))
	broken := errors.New("connection reset")
	_, err := read(&memory{data: data, fail: broken}, pieces(size, size), columns.Options{})
	if !errors.Is(err, broken) || errors.Is(err, columns.ErrUnreadable) {
		t.Errorf("error is %v: want %v", err, broken)
	}
	_, err = read(&memory{data: data, etag: "new"}, pieces(size, size), columns.Options{})
	if !errors.Is(err, storage.ErrChanged) || !strings.Contains(err.Error(), "input changed during the job") {
		t.Errorf("error is %v: want %v", err, storage.ErrChanged)
	}
	grown := &memory{data: append(bytes.Clone(data), 0)}
	if _, err = read(grown, pieces(size, size), columns.Options{}); !errors.Is(err, storage.ErrChanged) {
		t.Errorf("error is %v: want %v", err, storage.ErrChanged)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(broken)
	r := columns.Open(ctx, &memory{data: data}, pieces(size, size), columns.Options{})
	if _, err := r.Next(); !errors.Is(err, broken) {
		t.Errorf("error is %v: want %v", err, broken)
	}
}

// A sample takes rows from everywhere in an object, each at most once, the same ones whatever the memory; of a piece that is a
// whole object it takes all.
func TestSample(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"duckdb-V2-zstd.parquet", "sliced.arrow", "polars-deep.parquet", "odd.arrows"} {
		data := fileData(t, name)
		size := int64(len(data))
		all := expected(t, filepath.Join("testdata", name))
		var first []int64
		for _, limit := range []int64{0, 1 << 20} {
			var places []columns.Piece
			for off := int64(0); off < size; off += size/20 + 1 {
				p := pieces(size, size)[0]
				p.Offset, p.Length = off, min(size/40+1, size-off)
				places = append(places, p)
			}
			got := sampled(t, data, places, all, limit)
			if first == nil {
				first = got
			}
			if !reflect.DeepEqual(got, first) {
				t.Errorf("%s: the sample depends on the memory: %v and %v", name, got, first)
			}
			// Each place has a row at least, so that little of a small file is left out.
			if n := len(got); n < 2 || len(all) > 50 && n > len(all)*3/4 || got[n-1] < int64(len(all))*2/3 {
				t.Errorf("%s: sample is %v of %d rows", name, got, len(all))
			}
		}
		whole := sampled(t, data, pieces(size, size), all, 0)
		if len(whole) != len(all) {
			t.Errorf("%s: %d rows of a whole object: want %d", name, len(whole), len(all))
		}
	}
}

// sampled reads a sample, compares its rows with those of the object, and returns their numbers.
func sampled(t *testing.T, data []byte, places []columns.Piece, all []any, limit int64) []int64 {
	t.Helper()
	r := columns.Open(t.Context(), &memory{data: data}, places, columns.Options{Memory: limit, Sample: true})
	defer r.Close()
	var rows []int64
	last := int64(-1)
	for {
		b, err := r.Next()
		if err == io.EOF {
			return rows
		}
		if err != nil {
			t.Fatal(err)
		}
		for i := range b.Batch.Rows {
			row := b.Row + int64(i)
			if row <= last {
				t.Fatalf("row %d comes after row %d", row, last)
			}
			if got := exactRow(b.Schema.Fields, b.Batch.Columns, i); !reflect.DeepEqual(got, all[row]) {
				t.Fatalf("row %d is %v: want %v", row, got, all[row])
			}
			rows, last = append(rows, row), row
		}
	}
}

// The rows of an Arrow file before a piece are counted once for all readers that share Counts.
func TestCounts(t *testing.T) {
	t.Parallel()
	data := fileData(t, "sliced.arrow")
	size := int64(len(data))
	p := pieces(size, size/2+1)[1:]
	requests := func(c *columns.Counts) int64 {
		src := &memory{data: data}
		r := columns.Open(t.Context(), src, p, columns.Options{Counts: c})
		defer r.Close()
		b, err := r.Next()
		if err != nil || b.Row == 0 {
			t.Fatalf("first block is at row %d, %v", b.Row, err)
		}
		return src.requests.Load()
	}
	var c columns.Counts
	first, again, alone := requests(&c), requests(&c), requests(nil)
	if first != alone || again >= first {
		t.Errorf("%d requests, then %d, and %d without memory: want fewer the second time", first, again, alone)
	}
}

// A piece that no object can have is refused.
func TestPieces(t *testing.T) {
	t.Parallel()
	data := fileData(t, "required.parquet")
	for _, r := range [][2]int64{{-1, 5}, {0, math.MaxInt64}, {int64(len(data)) + 1, 0}, {0, -1}} {
		p := pieces(int64(len(data)), int64(len(data)))[:1]
		p[0].Offset, p[0].Length = r[0], r[1]
		reader := columns.Open(t.Context(), &memory{data: data}, p, columns.Options{})
		if _, err := reader.Next(); err == nil || !strings.Contains(err.Error(), "not a piece of it") {
			t.Errorf("bytes %v: error is %v", r, err)
		}
	}
}
