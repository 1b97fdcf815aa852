package arrowfile

import (
	"errors"
	"fmt"
	"io"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/endian"
	"github.com/apache/arrow/go/v15/arrow/ipc"
	"github.com/apache/arrow/go/v15/arrow/memory"
)

// DefaultMaxBatchBytes is the memory that reading one batch may take: many times what the worker's batches need, and what
// a hostile file that declares a huge uncompressed size gets at most. (A zstd frame may ask for a window of up to 512 MiB
// on top, the limit of its decoder.)
const DefaultMaxBatchBytes = 1 << 30

// Reader reads one file that a Writer wrote, batch by batch. A damaged or hostile file gives an error, never a panic and
// never more memory than Options.MaxBatchBytes. It is not safe for concurrent use.
type Reader struct {
	schema    Schema
	arrow     *arrow.Schema
	file      *ipc.FileReader
	source    *window
	allocator *limitAllocator
	blocks    []block
	next      int
	record    arrow.Record // of the batch that the last Next returned
}

// NewReader reads the schema and the places of the batches of the file of size bytes. It asks r for the two ends of the
// file and then, in Next, once per batch.
func NewReader(r io.ReaderAt, size int64, o Options) (*Reader, error) {
	if o.allocator == nil {
		o.allocator = memory.NewGoAllocator()
	}
	if o.MaxBatchBytes <= 0 {
		o.MaxBatchBytes = DefaultMaxBatchBytes
	}
	source := &window{r: r, size: size}
	if err := source.fill(max(0, size-tailGuess), min(size, tailGuess)); err != nil {
		return nil, fmt.Errorf("read Arrow file: %w", err)
	}
	footer, err := readFooter(source, size)
	if err != nil {
		return nil, fmt.Errorf("read Arrow file: %w", err)
	}
	blocks, err := screen(footer, size-int64(tailLen)-int64(len(footer)))
	if err != nil {
		return nil, fmt.Errorf("read Arrow file: %w", err)
	}
	rd := &Reader{source: source, blocks: blocks, allocator: &limitAllocator{mem: o.allocator, limit: o.MaxBatchBytes}}
	if err := guard(rd.open); err != nil {
		return nil, fmt.Errorf("read Arrow file: %w", err)
	}
	return rd, nil
}

// open lets Arrow read the footer that was screened.
func (r *Reader) open() error {
	file, err := ipc.NewFileReader(io.NewSectionReader(r.source, 0, r.source.size), ipc.WithAllocator(r.allocator))
	if err != nil {
		return err
	}
	if file.Schema().Endianness() != endian.LittleEndian {
		return errors.New("its numbers are big endian: millrace writes little endian")
	}
	r.file = file
	if r.schema, err = fromArrow(file.Schema()); err != nil {
		return err
	}
	r.arrow, err = r.schema.toArrow()
	return err
}

// Schema returns the file's columns.
func (r *Reader) Schema() Schema { return r.schema }

// Batches returns the number of batches.
func (r *Reader) Batches() int { return len(r.blocks) }

// Next returns the next batch, which is good until the next call of Next or Close. After the last one comes io.EOF.
func (r *Reader) Next() (Batch, error) {
	r.release()
	if r.next == len(r.blocks) {
		return Batch{}, io.EOF
	}
	i := r.next
	r.next++
	b, err := r.read(i)
	if err != nil {
		r.release()
		r.next = len(r.blocks)
		return Batch{}, fmt.Errorf("read Arrow batch %d: %w", i, err)
	}
	return b, nil
}

func (r *Reader) read(i int) (Batch, error) {
	k := r.blocks[i]
	if k.meta+k.body > r.allocator.limit {
		return Batch{}, fmt.Errorf("it has %d bytes: %w of %d bytes", k.meta+k.body, ErrLimit, r.allocator.limit)
	}
	if err := r.source.fill(k.offset, k.meta+k.body); err != nil {
		return Batch{}, err
	}
	var b Batch
	err := guard(func() (err error) {
		r.allocator.live = 0
		if r.record, err = r.file.RecordAt(i); err != nil {
			return err
		}
		b, err = batchOf(r.schema, r.record)
		return err
	})
	if err != nil {
		return Batch{}, err
	}
	return b, r.schema.check(b)
}

// Close gives back what the last batch holds.
func (r *Reader) Close() error {
	r.release()
	r.next = len(r.blocks)
	return r.file.Close()
}

func (r *Reader) release() {
	if r.record != nil {
		r.record.Release()
		r.record = nil
	}
}

// batchOf returns views into a record's buffers. They fit the schema in number and kind, but nothing more is known of them:
// check must run before anything is read.
func batchOf(s Schema, rec arrow.Record) (Batch, error) {
	if rec.NumRows() < 0 || rec.NumRows() > 1<<31 {
		return Batch{}, fmt.Errorf("%w: %d rows", ErrShape, rec.NumRows())
	}
	b := Batch{Rows: int(rec.NumRows()), Columns: make([]Column, len(s.Fields))}
	for i, f := range s.Fields {
		var err error
		if b.Columns[i], err = columnOf(f, rec.Column(i).Data(), b.Rows); err != nil {
			return Batch{}, err
		}
	}
	return b, nil
}

func columnOf(f Field, d arrow.ArrayData, rows int) (Column, error) {
	if d.Len() != rows || d.Offset() != 0 {
		return Column{}, fmt.Errorf("%w: column %q has %d rows: want %d", ErrShape, f.Name, d.Len(), rows)
	}
	buffers := d.Buffers()
	c := Column{Valid: bytesOf(buffers[0])}
	if len(c.Valid) > 0 && len(c.Valid) >= bitmapLen(rows) {
		c.Nulls = rows - countBits(c.Valid, rows)
	}
	if c.Nulls == 0 {
		c.Valid = nil
	}
	switch f.Type {
	case TypeStruct:
		return withChildren(c, f, d, rows)
	case TypeList:
		c.Offsets = offsetsIn(buffers[1], rows)
		n := 0
		if len(c.Offsets) > 0 {
			n = int(c.Offsets[len(c.Offsets)-1])
		}
		return withChildren(c, f, d, n)
	case TypeString, TypeBytes:
		c.Offsets, c.Data = offsetsIn(buffers[1], rows), bytesOf(buffers[2])
		return c, nil
	}
	c.Data = bytesOf(buffers[1])
	if n := rows * f.Type.width(); n > 0 && len(c.Data) > n {
		c.Data = c.Data[:n] // other writers count the padding as data
	}
	return c, nil
}

func withChildren(c Column, f Field, d arrow.ArrayData, rows int) (Column, error) {
	c.Children = make([]Column, len(f.Fields))
	for i, g := range f.Fields {
		var err error
		if c.Children[i], err = columnOf(g, d.Children()[i], rows); err != nil {
			return Column{}, err
		}
	}
	return c, nil
}

func offsetsIn(b *memory.Buffer, rows int) []int32 {
	offsets := arrow.Int32Traits.CastFromBytes(bytesOf(b))
	return offsets[:min(len(offsets), rows+1)]
}

func bytesOf(b *memory.Buffer) []byte {
	if b == nil {
		return nil
	}
	return b.Bytes()
}

// ErrLimit reports a batch that needs too much memory.
var ErrLimit = errors.New("it needs more than the limit")

// limitAllocator panics where the live memory would pass the limit, since Arrow's allocators cannot return an error. Go
// itself ends the process when it finds no memory, and no recover helps then.
type limitAllocator struct {
	mem   memory.Allocator
	limit int64
	live  int64 // since the batch began
}

func (a *limitAllocator) charge(n int) {
	if int64(n) > a.limit-a.live {
		panic(fmt.Errorf("%w of %d bytes", ErrLimit, a.limit))
	}
	a.live += int64(n)
}

func (a *limitAllocator) Allocate(size int) []byte {
	a.charge(size)
	return a.mem.Allocate(size)
}

func (a *limitAllocator) Reallocate(size int, b []byte) []byte {
	a.charge(size - len(b))
	return a.mem.Reallocate(size, b)
}

func (a *limitAllocator) Free(b []byte) {
	a.live -= int64(len(b))
	a.mem.Free(b)
}

// tailGuess is read from the end of a file at once: it holds the footer of all but the largest files.
const tailGuess = 64 << 10

// window serves reads from the stretch of the file that was fetched last, so that Arrow's several small reads of a batch
// are one request to a bucket.
type window struct {
	r      io.ReaderAt
	size   int64
	offset int64
	data   []byte
}

func (w *window) fill(offset, n int64) error {
	if int64(cap(w.data)) < n {
		w.data = make([]byte, n)
	}
	w.data, w.offset = w.data[:n], offset
	if err := readFull(w.r, w.data, offset); err != nil {
		w.data = w.data[:0]
		return err
	}
	return nil
}

func (w *window) ReadAt(p []byte, offset int64) (int, error) {
	if at := offset - w.offset; at >= 0 && at+int64(len(p)) <= int64(len(w.data)) {
		return copy(p, w.data[at:]), nil
	}
	return w.r.ReadAt(p, offset)
}
