package arrowfile

import (
	"errors"
	"fmt"
	"io"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/ipc"
	"github.com/apache/arrow/go/v15/arrow/memory"
)

// Options says how files are written and read. The zero value is good.
type Options struct {
	// Compression of the buffers when writing: "none", "lz4" or "zstd". "": none.
	Compression string
	// MaxBatchBytes is the memory that one batch may take when reading. 0: DefaultMaxBatchBytes.
	MaxBatchBytes int64

	allocator memory.Allocator // for tests that count allocations; nil: Go's heap
}

// Stats is what a Writer wrote.
type Stats struct {
	Rows    int64
	Bytes   int64 // of the whole file
	Batches int64
}

// Writer writes one file. It is not safe for concurrent use.
type Writer struct {
	schema Schema
	arrow  *arrow.Schema
	file   *ipc.FileWriter
	out    *countingWriter
	stats  Stats
	err    error // of an earlier call: the file is broken from there on
}

// NewWriter returns a Writer that streams to w. It writes nothing before the first Write or Close.
func NewWriter(w io.Writer, s Schema, o Options) (*Writer, error) {
	schema, err := s.toArrow()
	if err != nil {
		return nil, fmt.Errorf("write Arrow file: %w", err)
	}
	if o.allocator == nil {
		o.allocator = memory.NewGoAllocator()
	}
	options := []ipc.Option{ipc.WithSchema(schema), ipc.WithAllocator(o.allocator)}
	switch o.Compression {
	case "", "none":
	case "lz4":
		options = append(options, ipc.WithLZ4())
	case "zstd":
		// Arrow v15 makes an encoder for every batch: about 124 MB/s a thread where a kept one does 248.
		options = append(options, ipc.WithZstd())
	default:
		return nil, fmt.Errorf("write Arrow file: unknown compression %q: want none, lz4 or zstd", o.Compression)
	}
	out := &countingWriter{w: w}
	file, err := ipc.NewFileWriter(out, options...)
	if err != nil {
		return nil, fmt.Errorf("write Arrow file: %w", err)
	}
	return &Writer{schema: s, arrow: schema, file: file, out: out}, nil
}

// Write writes b as one batch of the file; a batch without rows is left out. It neither keeps nor changes b's buffers.
// A malformed batch gives an ErrShape and leaves the file as it was; any other error ends the file.
func (w *Writer) Write(b Batch) error {
	if w.err != nil {
		return w.err
	}
	if err := w.schema.check(b); err != nil {
		return fmt.Errorf("write Arrow batch %d: %w", w.stats.Batches, err)
	}
	if b.Rows == 0 {
		return nil
	}
	if err := guard(func() error { return w.write(b) }); err != nil {
		w.err = fmt.Errorf("write Arrow batch %d: %w", w.stats.Batches, err)
		return w.err
	}
	w.stats.Rows += int64(b.Rows)
	w.stats.Batches++
	return nil
}

func (w *Writer) write(b Batch) error {
	columns := make([]arrow.Array, len(b.Columns))
	for i, c := range b.Columns {
		d := view(w.arrow.Field(i).Type, c, b.Rows)
		columns[i] = array.MakeFromData(d)
		d.Release()
		defer columns[i].Release()
	}
	record := array.NewRecord(w.arrow, columns, int64(b.Rows))
	defer record.Release()
	return w.file.Write(record)
}

// Close ends the file with its footer. It does not close the underlying writer.
func (w *Writer) Close() (Stats, error) {
	if w.err != nil {
		return Stats{}, w.err
	}
	if err := guard(w.file.Close); err != nil {
		w.err = fmt.Errorf("write Arrow footer: %w", err)
		return Stats{}, w.err
	}
	w.err = errors.New("write Arrow file: already closed")
	w.stats.Bytes = w.out.n
	return w.stats, nil
}

// view wraps a checked column as Arrow data. The buffers are c's own; only a bitmap with stray bits behind its last row is
// copied, since those bits would end up in the file and make equal batches differ.
func view(t arrow.DataType, c Column, rows int) arrow.ArrayData {
	var valid *memory.Buffer
	if c.Nulls > 0 {
		valid = memory.NewBufferBytes(trimBitmap(c.Valid, rows))
	}
	switch t := t.(type) {
	case *arrow.StructType:
		children := make([]arrow.ArrayData, len(c.Children))
		for i, child := range c.Children {
			children[i] = view(t.Field(i).Type, child, rows)
			defer children[i].Release()
		}
		return array.NewData(t, rows, []*memory.Buffer{valid}, children, c.Nulls, 0)
	case *arrow.ListType:
		offsets := offsetsOf(c)
		child := view(t.Elem(), c.Children[0], int(offsets[rows]))
		defer child.Release()
		return array.NewData(t, rows, []*memory.Buffer{valid, offsetBuffer(offsets)}, []arrow.ArrayData{child}, c.Nulls, 0)
	case *arrow.StringType, *arrow.BinaryType:
		buffers := []*memory.Buffer{valid, offsetBuffer(offsetsOf(c)), memory.NewBufferBytes(c.Data)}
		return array.NewData(t, rows, buffers, nil, c.Nulls, 0)
	case *arrow.BooleanType:
		buffers := []*memory.Buffer{valid, memory.NewBufferBytes(trimBitmap(c.Data, rows))}
		return array.NewData(t, rows, buffers, nil, c.Nulls, 0)
	}
	return array.NewData(t, rows, []*memory.Buffer{valid, memory.NewBufferBytes(c.Data)}, nil, c.Nulls, 0)
}

// offsetsOf spells out the one offset of a column without rows.
func offsetsOf(c Column) []int32 {
	if len(c.Offsets) == 0 {
		return []int32{0}
	}
	return c.Offsets
}

func offsetBuffer(offsets []int32) *memory.Buffer {
	return memory.NewBufferBytes(arrow.Int32Traits.CastToBytes(offsets))
}

// trimBitmap returns the bytes of rows bits, the bits behind the last row unset.
func trimBitmap(bitmap []byte, rows int) []byte {
	n := bitmapLen(rows)
	bitmap = bitmap[:n]
	tail := rows % 8
	if tail == 0 || bitmap[n-1]>>tail == 0 {
		return bitmap
	}
	trimmed := append([]byte(nil), bitmap...)
	trimmed[n-1] &= 1<<tail - 1
	return trimmed
}

// countingWriter gives Arrow the io.Seeker that it wants only in order to learn its position.
type countingWriter struct {
	w io.Writer
	n int64
}

func (c *countingWriter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

func (c *countingWriter) Seek(offset int64, whence int) (int64, error) {
	if offset != 0 || whence != io.SeekCurrent {
		return 0, fmt.Errorf("seek to %d from %d: the file is a stream", offset, whence)
	}
	return c.n, nil
}

// guard runs f and turns a panic inside of Arrow into an error.
func guard(f func() error) (err error) {
	defer func() {
		switch p := recover().(type) {
		case nil:
		case error:
			err = fmt.Errorf("inside Arrow: %w", p)
		default:
			err = fmt.Errorf("inside Arrow: %v", p)
		}
	}()
	return f()
}
