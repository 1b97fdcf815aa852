package arrowfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/ipc"
	"github.com/apache/arrow/go/v15/arrow/memory"
	flatbuffers "github.com/google/flatbuffers/go"
)

// readAll reads every batch and every cell of a file that may be damaged.
func readAll(data []byte, o Options) error {
	r, err := NewReader(bytes.NewReader(data), int64(len(data)), o)
	if err != nil {
		return err
	}
	defer r.Close()
	var cell []byte
	for {
		b, err := r.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		for row := range b.Rows {
			cell = AppendRow(cell[:0], r.Schema(), b, row)
			for i, f := range r.Schema().Fields {
				cell = AppendText(cell[:0], f, b.Columns[i], row)
			}
		}
	}
}

func goldens(t testing.TB) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	for _, compression := range compressions {
		data, err := os.ReadFile(filepath.Join("testdata", "golden-"+compression+".arrow"))
		if err != nil {
			t.Fatal(err)
		}
		files[compression] = data
	}
	return files
}

// Whatever the bytes, reading ends with rows or an error: no panic, no endless work, no memory beyond the limit.
// (go test -fuzz FuzzReader -fuzzminimizetime 100x ./storage/arrowfile: without it all time goes into shrinking the seeds)
func FuzzReader(f *testing.F) {
	for _, data := range goldens(f) {
		f.Add(data)
	}
	small := Schema{Fields: []Field{{Name: "w", Type: TypeString, Nullable: true}, {Name: "n", Type: TypeInt64}}}
	for _, compression := range compressions {
		f.Add(writeFile(f, small, Options{Compression: compression}, fill(small, 9, nullPatterns["some"], 1)))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		_ = readAll(data, Options{MaxBatchBytes: 4 << 20})
	})
}

// A file cut anywhere gives an error, and so does one with 4 bytes overwritten unless the bytes are a value's: then it
// gives rows. Neither panics.
func TestDamagedFiles(t *testing.T) {
	t.Parallel()
	s := Schema{Fields: []Field{
		{Name: "w", Type: TypeString, Nullable: true},
		{Name: "l", Type: TypeList, Fields: []Field{{Name: "item", Type: TypeInt8}}},
	}}
	for _, compression := range compressions {
		data := writeFile(t, s, Options{Compression: compression}, fill(s, 9, nullPatterns["some"], 1))
		t.Run(compression, func(t *testing.T) {
			t.Parallel()
			for n := range data {
				if err := readAll(data[:n], Options{}); err == nil {
					t.Errorf("cut to %d of %d bytes: read without an error", n, len(data))
				}
			}
			refused := 0
			for at := 0; at+4 <= len(data); at += 4 {
				for _, value := range []uint32{math.MaxUint32, 0x7fffffff, 1} {
					bad := bytes.Clone(data)
					binary.LittleEndian.PutUint32(bad[at:], value)
					if readAll(bad, Options{MaxBatchBytes: 16 << 20}) != nil {
						refused++
					}
				}
			}
			if refused < 100 {
				t.Errorf("only %d damaged files were refused", refused)
			}
		})
	}
}

// A file may declare that a few bytes decompress to petabytes, or more than the reader is willing to hold.
func TestDeclaredSize(t *testing.T) {
	t.Parallel()
	s := Schema{Fields: []Field{{Name: "word", Type: TypeBytes}}}
	b := Batch{Rows: 1, Columns: []Column{{Offsets: []int32{0, 1 << 20}, Data: make([]byte, 1<<20)}}}
	for _, compression := range []string{"lz4", "zstd"} {
		data := writeFile(t, s, Options{Compression: compression}, b)
		if err := readAll(data, Options{}); err != nil {
			t.Errorf("%s: the whole file: %v", compression, err)
		}
		if err := readAll(data, Options{MaxBatchBytes: 1 << 20}); !errors.Is(err, ErrLimit) {
			t.Errorf("%s: error is %v: want %v", compression, err, ErrLimit)
		}
		size := binary.LittleEndian.AppendUint64(nil, 1<<20)
		at := bytes.LastIndex(data, size) // of the values: the footer holds no such number
		if at < 0 {
			t.Fatalf("%s: the declared size is not where the format has it", compression)
		}
		for _, declared := range []uint64{1 << 50, math.MaxInt64, 1 << 63, math.MaxUint64 - 1} {
			binary.LittleEndian.PutUint64(data[at:], declared)
			if err := readAll(data, Options{}); err == nil {
				t.Errorf("%s: a declared size of %d was read", compression, declared)
			}
		}
	}
}

// An uncompressed batch larger than the limit is refused before it is fetched.
func TestLargeBatch(t *testing.T) {
	t.Parallel()
	s := Schema{Fields: []Field{{Name: "n", Type: TypeInt64}}}
	data := writeFile(t, s, Options{}, fill(s, 100_000, nullPatterns["none"], 1))
	if err := readAll(data, Options{MaxBatchBytes: 1 << 16}); !errors.Is(err, ErrLimit) {
		t.Errorf("error is %v: want %v", err, ErrLimit)
	}
}

// hostileFooter builds a file of only a footer, whose schema has the given root field.
func hostileFooter(build func(b *flatbuffers.Builder) (field flatbuffers.UOffsetT)) []byte {
	b := flatbuffers.NewBuilder(1 << 10)
	field := build(b)
	b.StartVector(4, 1, 4)
	b.PrependUOffsetT(field)
	fields := b.EndVector(1)
	b.StartObject(4)
	b.PrependUOffsetTSlot(schemaFields, fields, 0)
	schema := b.EndObject()
	b.StartObject(5)
	b.PrependUOffsetTSlot(footerSchema, schema, 0)
	b.Finish(b.EndObject())
	return fileOf(b.FinishedBytes())
}

func fileOf(footer []byte) []byte {
	file := append([]byte(magic+"\x00\x00"), footer...)
	file = binary.LittleEndian.AppendUint32(file, uint32(len(footer)))
	return append(file, magic...)
}

// fieldNode adds a struct field with the given children.
func fieldNode(b *flatbuffers.Builder, children ...flatbuffers.UOffsetT) flatbuffers.UOffsetT {
	name := b.CreateString("f")
	b.StartVector(4, len(children), 4)
	for _, c := range children {
		b.PrependUOffsetT(c)
	}
	list := b.EndVector(len(children))
	b.StartObject(0)
	t := b.EndObject()
	b.StartObject(7)
	b.PrependUOffsetTSlot(fieldName, name, 0)
	b.PrependByteSlot(fieldTypeKind, kindStruct, 0)
	b.PrependUOffsetTSlot(fieldType, t, 0)
	b.PrependUOffsetTSlot(fieldChildren, list, 0)
	return b.EndObject()
}

// Schemas that make Arrow's own reader run for hours, overflow its stack or ask for all memory: a field that is its own
// descendant, one whose children all are the same field thirty levels deep, a vector of 4 billion children.
func TestHostileSchemas(t *testing.T) {
	t.Parallel()
	chain := func(levels, width int) func(*flatbuffers.Builder) flatbuffers.UOffsetT {
		return func(b *flatbuffers.Builder) flatbuffers.UOffsetT {
			f := fieldNode(b)
			for range levels {
				children := make([]flatbuffers.UOffsetT, width)
				for i := range children {
					children[i] = f
				}
				f = fieldNode(b, children...)
			}
			return f
		}
	}
	loop := hostileFooter(chain(1, 1))
	// The child's offset, the first element of the vector of length 1 in the root field, is made to point back at the root.
	footer := loop[8 : len(loop)-tailLen]
	root := table{flatbuffers.Table{Bytes: footer, Pos: flatbuffers.GetUOffsetT(footer)}}
	schema, _ := root.child(footerSchema)
	_, at := schema.vector(schemaFields, 4)
	parent := table{flatbuffers.Table{Bytes: footer, Pos: schema.Indirect(at)}}
	_, child := parent.vector(fieldChildren, 4)
	many := bytes.Clone(loop)
	binary.LittleEndian.PutUint32(footer[child:], uint32(parent.Pos-child))
	binary.LittleEndian.PutUint32(many[8+child-4:], math.MaxUint32)

	for _, c := range []struct {
		name string
		file []byte
		want string
	}{
		{"endless", loop, "levels deep"},
		{"deep", hostileFooter(chain(1000, 1)), "levels deep"},
		{"explosion", hostileFooter(chain(30, 2)), "fields"},
		{"long vector", many, "points outside of itself"},
		{"empty footer", fileOf(make([]byte, 64)), "no schema"},
		{"random footer", fileOf(bytes.Repeat([]byte{0xa5}, 64)), "points outside of itself"},
	} {
		if err := readAll(c.file, Options{}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error is %v: want %q", c.name, err, c.want)
		}
	}
}

// Valid Arrow files with what millrace does not write are refused by name, and so is what is no Arrow file at all.
func TestForeignFiles(t *testing.T) {
	t.Parallel()
	meta := arrow.NewMetadata([]string{"k"}, []string{"v"})
	for _, c := range []struct {
		name   string
		schema *arrow.Schema
		want   string
	}{
		{"date", arrow.NewSchema([]arrow.Field{{Name: "d", Type: arrow.FixedWidthTypes.Date32}}, nil), "type of kind 8"},
		{"seconds", arrow.NewSchema([]arrow.Field{{Name: "t", Type: arrow.FixedWidthTypes.Timestamp_s}}, nil), `"t" has the type timestamp[s`},
		{"float16", arrow.NewSchema([]arrow.Field{{Name: "h", Type: arrow.FixedWidthTypes.Float16}}, nil), `"h" has the type float16`},
		{"metadata", arrow.NewSchema([]arrow.Field{{Name: "n", Type: arrow.PrimitiveTypes.Int8}}, &meta), "metadata"},
		{"column metadata", arrow.NewSchema([]arrow.Field{{Name: "n", Type: arrow.PrimitiveTypes.Int8, Metadata: meta}}, nil), "metadata"},
		{"dictionary", arrow.NewSchema([]arrow.Field{{Name: "n", Type: &arrow.DictionaryType{
			IndexType: arrow.PrimitiveTypes.Int8, ValueType: arrow.BinaryTypes.String}}}, nil), "dictionary encoded"},
		{"no columns", arrow.NewSchema(nil, nil), "no columns"},
	} {
		out := &countingWriter{w: new(bytes.Buffer)}
		w, err := ipc.NewFileWriter(out, ipc.WithSchema(c.schema))
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		err = readAll(out.w.(*bytes.Buffer).Bytes(), Options{})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error is %v: want %q", c.name, err, c.want)
		}
	}
	for _, text := range []string{"", "PAR1", strings.Repeat("just text ", 10), magic + strings.Repeat(" ", 100)} {
		if err := readAll([]byte(text), Options{}); err == nil || !strings.Contains(err.Error(), "Arrow file") {
			t.Errorf("%.20q: error is %v: want one that says it is no Arrow file", text, err)
		}
	}
}

// Buffers that Arrow itself writes but whose reading would go out of range or crash other readers are caught: a text column
// that is not UTF-8, one whose first offset is not 0, one whose offsets fall.
func TestReadChecks(t *testing.T) {
	t.Parallel()
	field := arrow.Field{Name: "w", Type: arrow.BinaryTypes.String}
	for _, c := range []struct {
		offsets []int32
		data    string
	}{
		{[]int32{0, 2}, "\xff\xfe"},
		{[]int32{1, 2}, "ab"},
		{[]int32{0, 9, 2}, "ab"},
	} {
		rows := len(c.offsets) - 1
		d := array.NewData(field.Type, rows, []*memory.Buffer{nil, offsetBuffer(c.offsets), memory.NewBufferBytes([]byte(c.data))}, nil, 0, 0)
		schema := arrow.NewSchema([]arrow.Field{field}, nil)
		out := &countingWriter{w: new(bytes.Buffer)}
		w, err := ipc.NewFileWriter(out, ipc.WithSchema(schema))
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Write(array.NewRecord(schema, []arrow.Array{array.MakeFromData(d)}, int64(rows))); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if err := readAll(out.w.(*bytes.Buffer).Bytes(), Options{}); err == nil {
			t.Errorf("offsets %v, data %q: read without an error", c.offsets, c.data)
		}
	}
}

// flaky fails every read from the nth on.
type flaky struct {
	r    io.ReaderAt
	left int
}

var errRead = errors.New("connection reset")

func (f *flaky) ReadAt(p []byte, at int64) (int, error) {
	if f.left--; f.left < 0 {
		return 0, errRead
	}
	return f.r.ReadAt(p, at)
}

// A failing read comes out as it is, and a file of 2 batches takes 3 or 4 reads: its ends, then one for each batch.
func TestReadFails(t *testing.T) {
	t.Parallel()
	data := goldens(t)["none"]
	large := Schema{Fields: []Field{{Name: "n", Type: TypeInt64}}}
	two := writeFile(t, large, Options{}, fill(large, 20_000, nullPatterns["none"], 1), fill(large, 20_000, nullPatterns["none"], 2))
	for _, c := range []struct {
		data  []byte
		reads int
	}{{data, 3}, {two, 4}} {
		for n := range c.reads + 1 {
			r, err := NewReader(&flaky{bytes.NewReader(c.data), n}, int64(len(c.data)), Options{})
			for err == nil {
				_, err = r.Next()
			}
			if want := map[bool]error{true: errRead, false: io.EOF}[n < c.reads]; !errors.Is(err, want) {
				t.Errorf("with %d of %d reads: error is %v: want %v", n, c.reads, err, want)
			}
		}
	}
}
