package arrowfile

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow/memory"
)

var update = flag.Bool("update", false, "rewrite the golden files")

var compressions = []string{"none", "lz4", "zstd"}

func writeFile(t testing.TB, s Schema, o Options, batches ...Batch) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := NewWriter(&out, s, o)
	if err != nil {
		t.Fatal(err)
	}
	rows := int64(0)
	for _, b := range batches {
		if err := w.Write(b); err != nil {
			t.Fatal(err)
		}
		rows += int64(b.Rows)
	}
	stats, err := w.Close()
	if err != nil {
		t.Fatal(err)
	}
	if stats.Bytes != int64(out.Len()) || stats.Rows != rows {
		t.Errorf("stats are %+v: want %d bytes and %d rows", stats, out.Len(), rows)
	}
	return out.Bytes()
}

// readRows reads a file back as one JSON object per row.
func readRows(t testing.TB, data []byte, o Options) (Schema, []string) {
	t.Helper()
	r, err := NewReader(bytes.NewReader(data), int64(len(data)), o)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var rows []string
	for {
		b, err := r.Next()
		if err == io.EOF {
			return r.Schema(), rows
		}
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, rowsOf(r.Schema(), b)...)
	}
}

func rowsOf(s Schema, b Batch) []string {
	var rows []string
	for row := range b.Rows {
		rows = append(rows, string(AppendRow(nil, s, b, row)))
	}
	return rows
}

// Every type, with every pattern of nulls, at row counts around the bitmaps' bytes and words, comes back as it was written,
// under every compression, and all memory is given back.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	s := everyType()
	for _, compression := range compressions {
		for pattern, null := range nullPatterns {
			for _, rows := range []int{0, 1, 7, 8, 65, 513} {
				t.Run(fmt.Sprintf("%s/%s/%d", compression, pattern, rows), func(t *testing.T) {
					t.Parallel()
					mem := memory.NewCheckedAllocator(memory.NewGoAllocator())
					defer mem.AssertSize(t, 0)
					o := Options{Compression: compression, allocator: mem}
					one, two := fill(s, rows, null, 1), fill(s, 3, null, 2)
					schema, got := readRows(t, writeFile(t, s, o, one, two), o)
					if !reflect.DeepEqual(schema, s) {
						t.Errorf("schema is %+v: want %+v", schema, s)
					}
					want := append(rowsOf(s, one), rowsOf(s, two)...)
					if !reflect.DeepEqual(got, want) {
						t.Errorf("rows are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
					}
				})
			}
		}
	}
}

// The same batches give the same bytes: as last year's (golden files), again in one process, with more processors, with
// stray bits behind the last row of a bitmap, and cut out of larger buffers.
func TestSameBytes(t *testing.T) {
	s := everyType()
	batches := func() []Batch {
		return []Batch{fill(s, 13, nullPatterns["some"], 7), fill(s, 100, nullPatterns["some"], 8)}
	}
	for _, compression := range compressions {
		o := Options{Compression: compression}
		got := writeFile(t, s, o, batches()...)
		golden := filepath.Join("testdata", "golden-"+compression+".arrow")
		if *update {
			if err := os.WriteFile(golden, got, 0o666); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s: bytes differ from %s (go test -update rewrites it)", compression, golden)
		}
		stray := batches()
		for i := range stray[0].Columns {
			soil(&stray[0].Columns[i], stray[0].Rows)
		}
		if !bytes.Equal(writeFile(t, s, o, stray...), want) {
			t.Errorf("%s: stray bits behind the last row of a bitmap change the file", compression)
		}
	}
}

// soil sets the bits of the bitmaps behind the last row, and gives them bytes to spare.
func soil(c *Column, rows int) {
	dirty := func(bitmap []byte) []byte {
		bitmap = append(bitmap, 0xff)
		for i := rows; i < 8*len(bitmap); i++ {
			bitmap[i/8] |= 1 << (i % 8)
		}
		return bitmap
	}
	if c.Valid != nil {
		c.Valid = dirty(c.Valid)
	}
	if c.Offsets == nil && len(c.Children) == 0 && len(c.Data) == bitmapLen(rows) {
		c.Data = dirty(c.Data)
	}
}

// A part must not depend on how many processors the worker has, and zstd works in several goroutines.
func TestSameBytesOnMoreProcessors(t *testing.T) {
	s := Schema{Fields: []Field{{Name: "line", Type: TypeBytes}, {Name: "n", Type: TypeInt64}}}
	big := func() Batch { return fill(s, 50_000, nullPatterns["none"], 3) }
	for _, compression := range compressions {
		var want []byte
		for _, procs := range []int{1, 2, 5} {
			before := runtime.GOMAXPROCS(procs)
			got := writeFile(t, s, Options{Compression: compression}, big(), big())
			runtime.GOMAXPROCS(before)
			if want == nil {
				want = got
			}
			if !bytes.Equal(got, want) {
				t.Errorf("%s: the bytes differ with %d processors", compression, procs)
			}
		}
	}
}

// A batch whose buffers do not fit gives an error that names the column, and the file goes on as if it had not been there.
func TestWriteMalformed(t *testing.T) {
	t.Parallel()
	s := Schema{Fields: []Field{
		{Name: "n", Type: TypeInt64},
		{Name: "word", Type: TypeString, Nullable: true},
		{Name: "flag", Type: TypeBool},
		{Name: "list", Type: TypeList, Fields: []Field{{Name: "item", Type: TypeInt8}}},
		{Name: "pair", Type: TypeStruct, Fields: []Field{{Name: "left", Type: TypeInt16}}},
	}}
	for _, c := range []struct {
		name  string
		spoil func(*Batch)
		want  string
	}{
		{"negative rows", func(b *Batch) { b.Rows = -1 }, "-1 rows"},
		{"too many rows", func(b *Batch) { b.Rows = 1 << 40 }, "rows: want at most"},
		{"no columns", func(b *Batch) { b.Columns = nil }, "0 columns: want 5"},
		{"short numbers", func(b *Batch) { b.Columns[0].Data = b.Columns[0].Data[1:] }, `column "n" has 79 bytes: want 80`},
		{"nulls in a plain column", func(b *Batch) { b.Columns[0].Valid, b.Columns[0].Nulls = []byte{0xff, 1}, 1 }, "not nullable"},
		{"wrong null count", func(b *Batch) { b.Columns[1].Nulls++ }, "states 4 nulls and marks 3"},
		{"nulls without bitmap", func(b *Batch) { b.Columns[1].Valid = nil }, "states 3 nulls and marks 0"},
		{"short bitmap", func(b *Batch) { b.Columns[1].Valid = b.Columns[1].Valid[:1] }, "bitmap of 1 bytes: want 2"},
		{"short bools", func(b *Batch) { b.Columns[2].Data = nil }, `column "flag"`},
		{"few offsets", func(b *Batch) { b.Columns[1].Offsets = b.Columns[1].Offsets[:10] }, "10 offsets: want 11"},
		{"first offset", func(b *Batch) { b.Columns[1].Offsets[0] = 1 }, "first offset is 1"},
		{"falling offset", func(b *Batch) { b.Columns[1].Offsets[4] = 1 }, "below the one before"},
		{"last offset", func(b *Batch) { b.Columns[1].Data = b.Columns[1].Data[:3] }, "last offset is"},
		{"not UTF-8", func(b *Batch) { b.Columns[1].Data[0] = 0xff }, "not valid UTF-8"},
		{"cut character", func(b *Batch) { b.Columns[1].Offsets[2] += 1 }, "begins inside a character"},
		{"no element", func(b *Batch) { b.Columns[3].Children = nil }, `column "list" has 0 columns: want 1`},
		{"short element", func(b *Batch) { b.Columns[3].Children[0].Data = nil }, `column "list.item" has 0 bytes`},
		{"negative offset", func(b *Batch) { b.Columns[3].Offsets[10] = -5 }, "below the one before"},
		{"short child", func(b *Batch) { b.Columns[4].Children[0].Data = nil }, `column "pair.left" has 0 bytes`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			w, err := NewWriter(&out, s, Options{})
			if err != nil {
				t.Fatal(err)
			}
			good, bad := fill(s, 10, nullPatterns["some"], 1), fill(s, 10, nullPatterns["some"], 1)
			bad.Columns[1].Data = []byte("日本語日本語日本語")
			bad.Columns[1].Offsets = []int32{0, 3, 3, 6, 9, 12, 15, 18, 21, 24, 27}
			c.spoil(&bad)
			if err := w.Write(bad); !errors.Is(err, ErrShape) || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("error is %v: want ErrShape with %q", err, c.want)
			}
			if err := w.Write(good); err != nil {
				t.Fatal(err)
			}
			if _, err := w.Close(); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(out.Bytes(), writeFile(t, s, Options{}, good)) {
				t.Error("the malformed batch left something in the file")
			}
		})
	}
}

// A schema that some reader could not open is refused before anything is written, and so is an unknown compression.
func TestNewWriterRefuses(t *testing.T) {
	t.Parallel()
	deep := Field{Name: "leaf", Type: TypeInt8}
	for range maxDepth {
		deep = Field{Name: "d", Type: TypeStruct, Fields: []Field{deep}}
	}
	n := Field{Name: "n", Type: TypeInt64}
	for _, c := range []struct {
		fields      []Field
		compression string
		want        string
	}{
		{nil, "", "has no columns"},
		{[]Field{n, n}, "", `two columns have the name "n"`},
		{[]Field{{Name: "", Type: TypeInt8}}, "", "column 0 has the name"},
		{[]Field{{Name: "\xff", Type: TypeInt8}}, "", "want valid UTF-8"},
		{[]Field{{Name: "a", Type: "decimal"}}, "", `column "a" has the unknown type "decimal"`},
		{[]Field{{Name: "a", Type: TypeInt8, Fields: []Field{n}}}, "", "cannot have columns"},
		{[]Field{{Name: "a", Type: TypeStruct}}, "", `column "a" has no columns`},
		{[]Field{{Name: "a", Type: TypeList}}, "", "0 element types: want 1"},
		{[]Field{{Name: "a", Type: TypeList, Fields: []Field{{Type: "x"}}}}, "", `column "a.item" has the unknown type`},
		{[]Field{deep}, "", "levels deep"},
		{[]Field{n}, "gzip", `unknown compression "gzip": want none, lz4 or zstd`},
	} {
		_, err := NewWriter(io.Discard, Schema{Fields: c.fields}, Options{Compression: c.compression})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error is %v: want %q", err, c.want)
		}
	}
}

// failingWriter takes n bytes and then fails.
type failingWriter struct{ n int }

var errFull = errors.New("disk full")

func (f *failingWriter) Write(p []byte) (int, error) {
	if len(p) > f.n {
		return f.n, errFull
	}
	f.n -= len(p)
	return len(p), nil
}

// Wherever the underlying writer fails, its error comes out of Write or Close, stays, and no memory is lost.
func TestWriteFails(t *testing.T) {
	t.Parallel()
	s := everyType()
	b := fill(s, 20, nullPatterns["some"], 1)
	size := len(writeFile(t, s, Options{Compression: "lz4"}, b))
	for n := 0; n < size; n += 97 {
		mem := memory.NewCheckedAllocator(memory.NewGoAllocator())
		w, err := NewWriter(&failingWriter{n}, s, Options{Compression: "lz4", allocator: mem})
		if err != nil {
			t.Fatal(err)
		}
		first := w.Write(b)
		if _, err := w.Close(); !errors.Is(err, errFull) {
			t.Fatalf("after %d bytes Close returned %v: want %v", n, err, errFull)
		}
		if first != nil && w.Write(b) != first {
			t.Fatalf("after %d bytes the error did not stay", n)
		}
		mem.AssertSize(t, 0)
	}
}

// A file of no rows has a schema and no batches; a second Close is an error.
func TestEmptyFile(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	w, err := NewWriter(&out, everyType(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if stats, err := w.Close(); err != nil || stats.Batches != 0 {
		t.Fatalf("Close returned %+v, %v", stats, err)
	}
	if _, err := w.Close(); err == nil {
		t.Error("a second Close succeeded")
	}
	if s, rows := readRows(t, out.Bytes(), Options{}); len(rows) != 0 || !reflect.DeepEqual(s, everyType()) {
		t.Errorf("the empty file has %d rows and the schema %v", len(rows), s)
	}
}
