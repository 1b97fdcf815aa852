package parquetfile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"sync"
	"time"

	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/apache/arrow/go/v15/parquet"
	"github.com/apache/arrow/go/v15/parquet/compress"
	"github.com/apache/arrow/go/v15/parquet/file"

	"github.com/millrace/millrace/storage/arrowfile"
)

// errWide is what one batch of ours cannot hold, nor one of Arrow's.
var errWide = errors.New("its values have more than 2 GiB in one batch of rows")

// feed hands pages to Arrow's column reader one by one: each when its values are needed, so that the reader stays within what was
// checked. It is a file.PageReader.
type feed struct {
	page  file.Page
	ready bool
}

func (f *feed) Next() bool {
	ok := f.ready
	f.ready = false
	return ok
}
func (f *feed) Page() file.Page        { return f.page }
func (f *feed) Err() error             { return nil }
func (*feed) SetMaxPageHeaderSize(int) {}
func (*feed) Reset(parquet.BufferedReader, int64, compress.Compression, *file.CryptoContext) {
}

// column reads one leaf of a row group, some records at a time.
type column struct {
	*leaf
	pages  pageReader
	feed   feed
	arrow  file.ColumnChunkReader
	left   int // levels of the page that are not decoded yet
	levels     // of the page, decoded but not used yet
	defRun runs
	repRun runs

	memory   *arrowfile.Budget // for the batch
	batch    levels            // of the batch
	rows     int               // records of the batch
	values   int               // of the batch that are not null
	data     []byte            // of these, end to end
	offsets  []int32           // where each one ends, for those of any length
	decimals *arrowfile.DecimalWriter
	longest  int // of the dictionary's values, bytes
}

// levels are those of a stretch of values; nil where the highest one is 0.
type levels struct{ defs, reps []uint32 }

// pools are what Arrow's readers share; nothing is put into it here.
var pools = sync.Pool{New: func() any { return memory.NewResizableBuffer(memory.DefaultAllocator) }}

// stretch is how many levels or values are decoded at a time.
const stretch = 1024

// read reads the next records into the batch.
func (c *column) read(records int) error {
	c.batch.defs, c.batch.reps = nil, nil
	c.rows, c.values, c.data, c.offsets, c.decimals = 0, 0, nil, nil, nil
	if c.convert == asDecimal {
		c.decimals = &arrowfile.DecimalWriter{Scale: c.scale, Budget: c.memory}
	}
	if c.rep == 0 {
		return c.readFlat(records)
	}
	return c.readRepeated(records)
}

// readFlat is read for a column in which each record has one level.
func (c *column) readFlat(records int) error {
	if c.def > 0 {
		if err := c.memory.Take(4 * int64(records)); err != nil {
			return err
		}
		c.batch.defs = make([]uint32, records)
	}
	for c.rows < records {
		if err := c.more(); err != nil {
			return c.ended(err)
		}
		n := min(records-c.rows, c.left)
		values := n
		if c.def > 0 {
			defs := c.batch.defs[c.rows : c.rows+n]
			if !c.defRun.fill(defs) {
				return errValues
			}
			values = countOf(defs, uint32(c.def))
		}
		if err := c.take(values); err != nil {
			return err
		}
		c.left -= n
		c.rows += n
	}
	return nil
}

func (c *column) ended(err error) error {
	if err == io.EOF {
		return fmt.Errorf("the column ends before its last row: %w", errValues)
	}
	return err
}

func countOf(levels []uint32, most uint32) int {
	n := 0
	for _, v := range levels {
		if v == most {
			n++
		}
	}
	return n
}

// more makes sure that levels of a page are left.
func (c *column) more() error {
	for c.left == 0 {
		pg, err := c.pages.next()
		if err != nil {
			return err
		}
		if err := c.send(pg); err != nil {
			return err
		}
	}
	return nil
}

// send gives a page's values to Arrow's reader.
func (c *column) send(pg page) error {
	n := pg.pageHeader.values
	body := memory.NewBufferBytes(pg.body)
	encoding := parquet.Encoding(pg.encoding)
	if pg.kind == pageDictionary {
		if c.physical == parquet.Types.ByteArray {
			c.longest = longestPlain(pg.body, int(n))
		}
		c.feed.page, c.feed.ready = file.NewDictionaryPage(body, n, encoding), true
		c.arrow.HasNext() // it wants a page of values too, which comes later
		return c.arrow.Err()
	}
	c.left, c.defRun, c.repRun = pg.total, pg.defs, pg.reps
	if n > 0 {
		c.feed.page = file.NewDataPageV1(body, n, encoding, parquet.Encodings.RLE, parquet.Encodings.RLE, int32(len(pg.body)))
		c.feed.ready = true
	}
	return nil
}

// longestPlain is the length of the longest of n plain values of any length.
func longestPlain(data []byte, n int) int {
	longest := 0
	for range n {
		size := int(binary.LittleEndian.Uint32(data))
		longest = max(longest, size)
		data = data[4+size:]
	}
	return longest
}

// readRepeated is read for a column in lists: a record goes on until a repetition level is 0.
func (c *column) readRepeated(records int) error {
	for {
		if len(c.reps) == 0 {
			err := c.decode()
			if err == io.EOF && c.rows == records {
				return nil
			}
			if err != nil {
				return c.ended(err)
			}
		}
		n := 0
		for ; n < len(c.reps); n++ {
			if c.reps[n] == 0 {
				if c.rows == records {
					break
				}
				c.rows++
			} else if c.rows == 0 {
				return errors.New("the column begins within a record")
			}
		}
		if n == 0 {
			return nil
		}
		if err := c.memory.Take(16 * int64(n)); err != nil { // append may double what there is
			return err
		}
		c.batch.reps = append(c.batch.reps, c.reps[:n]...)
		c.batch.defs = append(c.batch.defs, c.defs[:n]...)
		if err := c.take(countOf(c.defs[:n], uint32(c.def))); err != nil {
			return err
		}
		c.reps, c.defs = c.reps[n:], c.defs[n:]
	}
}

// decode decodes levels of the page ahead.
func (c *column) decode() error {
	if err := c.more(); err != nil {
		return err
	}
	n := min(c.left, stretch)
	both := make([]uint32, 2*n)
	c.reps, c.defs = both[:n:n], both[n:]
	c.left -= n
	if !c.repRun.fill(c.reps) || !c.defRun.fill(c.defs) {
		return errValues
	}
	return nil
}

// reader is what Arrow's column readers have in common.
type reader[T any] interface {
	ReadBatch(n int64, values []T, defs, reps []int16) (total int64, read int, err error)
}

// each calls f for the next n values, some at a time.
func each[T any](r file.ColumnChunkReader, n int, f func([]T) error) error {
	values := make([]T, min(n, stretch))
	for n > 0 {
		k := min(n, len(values))
		_, read, err := r.(reader[T]).ReadBatch(int64(k), values[:k], nil, nil)
		if err == nil && read != k {
			err = errValues
		}
		if err == nil {
			err = f(values[:k])
		}
		if err != nil {
			return err
		}
		n -= k
	}
	return nil
}

// take appends the next n values of the page to the batch.
func (c *column) take(n int) error {
	if n == 0 {
		return nil
	}
	c.values += n
	le := binary.LittleEndian
	switch c.physical {
	case parquet.Types.Boolean:
		return each(c.arrow, n, func(values []bool) error {
			for _, v := range values {
				b := byte(0)
				if v {
					b = 1
				}
				c.data = append(c.data, b)
			}
			return c.room(2 * len(values))
		})
	case parquet.Types.Int32:
		return each(c.arrow, n, func(values []int32) error { return c.int32s(values) })
	case parquet.Types.Int64:
		return each(c.arrow, n, func(values []int64) error { return c.int64s(values) })
	case parquet.Types.Float:
		return each(c.arrow, n, func(values []float32) error {
			for _, v := range values {
				c.data = le.AppendUint32(c.data, math.Float32bits(v))
			}
			return c.room(8 * len(values))
		})
	case parquet.Types.Double:
		return each(c.arrow, n, func(values []float64) error {
			for _, v := range values {
				c.data = le.AppendUint64(c.data, math.Float64bits(v))
			}
			return c.room(16 * len(values))
		})
	case parquet.Types.Int96:
		return each(c.arrow, n, func(values []parquet.Int96) error { return c.int96s(values) })
	case parquet.Types.ByteArray:
		return each(c.arrow, n, func(values []parquet.ByteArray) error { return appendBytes(c, values) })
	case parquet.Types.FixedLenByteArray:
		return each(c.arrow, n, func(values []parquet.FixedLenByteArray) error { return appendBytes(c, values) })
	}
	return fmt.Errorf("physical type %s: not known to this version", c.physical)
}

// room takes from the budget what values of the batch need: append may allocate twice as much as it holds.
func (c *column) room(n int) error { return c.memory.Take(int64(n)) }

func (c *column) int32s(values []int32) error {
	le := binary.LittleEndian
	for _, v := range values {
		switch c.convert {
		case asNarrow:
			if c.length == 1 {
				c.data = append(c.data, byte(v))
			} else {
				c.data = le.AppendUint16(c.data, uint16(v))
			}
		case asDecimal:
			if err := c.decimals.Append(binary.BigEndian.AppendUint32(nil, uint32(v))); err != nil {
				return err
			}
		case asDuration:
			c.data = le.AppendUint64(c.data, uint64(int64(v)*nanoseconds[c.unit]))
		default:
			c.data = le.AppendUint32(c.data, uint32(v))
		}
	}
	return c.room(16 * len(values))
}

// nanoseconds is what a unit of time counts for.
var nanoseconds = [4]int64{1e9, 1e6, 1e3, 1}

func (c *column) int64s(values []int64) error {
	for _, v := range values {
		switch c.convert {
		case asDecimal:
			if err := c.decimals.Append(binary.BigEndian.AppendUint64(nil, uint64(v))); err != nil {
				return err
			}
			continue
		case asDuration:
			f := nanoseconds[c.unit]
			if v > math.MaxInt64/f || v < math.MinInt64/f {
				return fmt.Errorf("%d × %d ns are more than 64 bits of nanoseconds hold", v, f)
			}
			v *= f
		}
		c.data = binary.LittleEndian.AppendUint64(c.data, uint64(v))
	}
	return c.room(16 * len(values))
}

// int96s reads times: nanoseconds of the day, then the Julian day.
func (c *column) int96s(values []parquet.Int96) error {
	const unixDay, dayNanos = 2440588, int64(24 * time.Hour)
	for _, v := range values {
		nanos := int64(binary.LittleEndian.Uint64(v[:8]))
		day := int64(binary.LittleEndian.Uint32(v[8:])) - unixDay
		if day > math.MaxInt64/dayNanos-1 || day < math.MinInt64/dayNanos+1 || nanos < 0 || nanos > dayNanos {
			return fmt.Errorf("a time of day %d since 1970, which 64 bits of nanoseconds do not hold: write it as TIMESTAMP(MICROS)", day)
		}
		c.data = binary.LittleEndian.AppendUint64(c.data, uint64(day*dayNanos+nanos))
	}
	return c.room(16 * len(values))
}

func appendBytes[T ~[]byte](c *column, values []T) error {
	size := 0
	for _, v := range values {
		size += len(v)
	}
	if len(c.data)+size > math.MaxInt32 {
		return errWide
	}
	if err := c.room(2*size + 8*len(values)); err != nil {
		return err
	}
	for _, v := range values {
		switch c.convert {
		case asDecimal:
			if len(v) == 0 {
				v = T{0}
			}
			if err := c.decimals.Append(v); err != nil {
				return err
			}
		case asFloat16:
			half := arrowfile.Float16(binary.LittleEndian.Uint16(v))
			c.data = binary.LittleEndian.AppendUint32(c.data, math.Float32bits(half))
		default:
			c.data = append(c.data, v...)
			c.offsets = append(c.offsets, int32(len(c.data)))
		}
	}
	return nil
}
