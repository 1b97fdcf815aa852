package arrowfile

import (
	"errors"
	"fmt"
	"io"
	"math"

	flatbuffers "github.com/google/flatbuffers/go"
)

// Arrow v15 believes a footer: it allocates what a length field says before it looks for the bytes, and follows nested
// fields however deep they are, so that 100 bytes can end the process in a way that no recover catches. screen reads the
// footer before Arrow does and lets through only what a Writer writes.

const (
	magic       = "ARROW1"
	tailLen     = 4 + len(magic) // the footer's length, the magic number
	maxFooter   = 64 << 20       // about 2.6 million batches
	maxName     = 64 << 10       // bytes; Arrow copies a name for each field that points at it
	blockLen    = 24             // offset int64, metadata length int32, padding, body length int64
	maxTimeZone = 64
)

// The numbers of the columns of a flatbuffers table, in the order of the specification's File.fbs and Schema.fbs.
const (
	footerSchema       = 1
	footerDictionaries = 2
	footerBatches      = 3
	footerMetadata     = 4

	schemaFields   = 1
	schemaMetadata = 2

	fieldName       = 0
	fieldTypeKind   = 2
	fieldType       = 3
	fieldDictionary = 4
	fieldChildren   = 5
	fieldMetadata   = 6

	timestampZone = 1
)

// The kinds of types in Schema.fbs that a Writer writes.
const (
	kindInt       = 2
	kindFloat     = 3
	kindBinary    = 4
	kindUtf8      = 5
	kindBool      = 6
	kindTimestamp = 10
	kindList      = 12
	kindStruct    = 13
)

// errFooter reports a footer that a Writer does not write.
var errFooter = errors.New("not a file that millrace wrote")

// block is where a batch lies in the file.
type block struct {
	offset int64
	meta   int64 // bytes of its metadata
	body   int64 // bytes of its buffers, which follow
}

// readFooter returns the footer's bytes.
func readFooter(r io.ReaderAt, size int64) ([]byte, error) {
	if size < int64(len(magic)+2+tailLen) {
		return nil, fmt.Errorf("%d bytes are too few for an Arrow file", size)
	}
	head, tail := make([]byte, len(magic)), make([]byte, tailLen)
	if err := readFull(r, head, 0); err != nil {
		return nil, err
	}
	if err := readFull(r, tail, size-int64(tailLen)); err != nil {
		return nil, err
	}
	if string(head) != magic || string(tail[4:]) != magic {
		return nil, errors.New("not an Arrow file: it does not begin and end with " + magic)
	}
	n := int64(flatbuffers.GetUint32(tail))
	if n < 8 || n > maxFooter || n > size-int64(len(magic)+2+tailLen) {
		return nil, fmt.Errorf("footer of %d bytes in a file of %d: want 8 to %d, and to fit", n, size, maxFooter)
	}
	footer := make([]byte, n)
	return footer, readFull(r, footer, size-int64(tailLen)-n)
}

func readFull(r io.ReaderAt, p []byte, offset int64) error {
	n, err := r.ReadAt(p, offset)
	if n == len(p) {
		return nil
	}
	if err == nil || err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("read %d bytes at %d: %w", len(p), offset, err)
}

// screen checks the footer of a file whose batches must lie before end, and returns where they are.
func screen(footer []byte, end int64) (blocks []block, err error) {
	defer func() {
		if recover() != nil { // flatbuffers indexes out of range
			err = fmt.Errorf("%w: its footer points outside of itself", errFooter)
		}
	}()
	root := table{flatbuffers.Table{Bytes: footer, Pos: flatbuffers.GetUOffsetT(footer)}}
	if n, _ := root.vector(footerDictionaries, blockLen); n != 0 {
		return nil, fmt.Errorf("%w: it has dictionaries", errFooter)
	}
	if n, _ := root.vector(footerMetadata, 4); n != 0 {
		return nil, fmt.Errorf("%w: it has metadata of its own", errFooter)
	}
	schema, ok := root.child(footerSchema)
	if !ok {
		return nil, fmt.Errorf("%w: it has no schema", errFooter)
	}
	if n, _ := schema.vector(schemaMetadata, 4); n != 0 {
		return nil, fmt.Errorf("%w: its schema has metadata", errFooter)
	}
	budget := maxFields
	if err := screenFields(schema, schemaFields, 1, &budget); err != nil {
		return nil, err
	}
	return screenBlocks(root, footerBatches, end)
}

func screenFields(parent table, column, depth int, budget *int) error {
	n, at := parent.vector(column, 4)
	*budget -= n
	if depth > maxDepth+1 || *budget < 0 {
		return fmt.Errorf("%w: its schema has more than %d fields or nests more than %d levels deep", errFooter, maxFields, maxDepth)
	}
	for i := range n {
		f := table{flatbuffers.Table{Bytes: parent.Bytes, Pos: parent.Indirect(at + flatbuffers.UOffsetT(4*i))}}
		if err := screenField(f); err != nil {
			return err
		}
		if err := screenFields(f, fieldChildren, depth+1, budget); err != nil {
			return err
		}
	}
	return nil
}

// screenField checks what a field holds besides its children.
func screenField(f table) error {
	if n, _ := f.vector(fieldName, 1); n == 0 || n > maxName {
		return fmt.Errorf("%w: a column has a name of %d bytes", errFooter, n)
	}
	if n, _ := f.vector(fieldMetadata, 4); n != 0 {
		return fmt.Errorf("%w: a column has metadata", errFooter)
	}
	if _, ok := f.child(fieldDictionary); ok {
		return fmt.Errorf("%w: a column is dictionary encoded", errFooter)
	}
	t, ok := f.child(fieldType)
	if !ok {
		return fmt.Errorf("%w: a column has no type", errFooter)
	}
	switch kind := f.GetByteSlot(slot(fieldTypeKind), 0); kind {
	case kindInt, kindFloat, kindBinary, kindUtf8, kindBool, kindList, kindStruct:
	case kindTimestamp:
		if n, _ := t.vector(timestampZone, 1); n > maxTimeZone {
			return fmt.Errorf("%w: a time zone's name has %d bytes", errFooter, n)
		}
	default:
		return fmt.Errorf("%w: a column has a type of kind %d", errFooter, kind)
	}
	return nil
}

// screenBlocks checks that every batch of a list lies between the magic number and end, aligned as Arrow wants it.
func screenBlocks(root table, list int, end int64) ([]block, error) {
	n, at := root.vector(list, blockLen)
	blocks := make([]block, n)
	for i := range blocks {
		p := at + flatbuffers.UOffsetT(blockLen*i)
		b := block{offset: root.GetInt64(p), meta: int64(root.GetInt32(p + 8)), body: root.GetInt64(p + 16)}
		if b.offset < 8 || b.meta < 8 || b.body < 0 || (b.offset|b.meta|b.body)%8 != 0 ||
			b.offset > end-b.meta || b.body > end-b.meta-b.offset {
			return nil, fmt.Errorf("batch %d of %d+%d bytes at %d does not lie in the file", i, b.meta, b.body, b.offset)
		}
		blocks[i] = b
	}
	return blocks, nil
}

// table reads a flatbuffers table. A position out of range panics, in flatbuffers or here.
type table struct{ flatbuffers.Table }

func slot(column int) flatbuffers.VOffsetT { return flatbuffers.VOffsetT(4 + 2*column) }

func (t table) child(column int) (table, bool) {
	o := flatbuffers.UOffsetT(t.Offset(slot(column)))
	if o == 0 {
		return table{}, false
	}
	return table{flatbuffers.Table{Bytes: t.Bytes, Pos: t.Indirect(o + t.Pos)}}, true
}

// vector returns the length and the position of a vector of elements of size bytes; it panics unless all of them lie in
// the buffer.
func (t table) vector(column, size int) (int, flatbuffers.UOffsetT) {
	o := flatbuffers.UOffsetT(t.Offset(slot(column)))
	if o == 0 {
		return 0, 0
	}
	n, at := t.VectorLen(o), t.Vector(o)
	if n < 0 || n > math.MaxInt32 || int64(at)+int64(n)*int64(size) > int64(len(t.Bytes)) {
		panic("flatbuffers: vector out of range")
	}
	return n, at
}
