package runfile

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/zeebo/xxh3"
)

// Summary describes a finished run.
type Summary struct {
	Size     int64  // bytes
	Checksum uint64 // of the content: equal for equal runs
	Pairs    int64
	Largest  int // bytes of the largest block's payload
}

// Writer writes a run in one pass. It does not buffer: each block is two writes.
type Writer struct {
	w        io.Writer
	offset   int64
	sections []Section
	current  int // partition being written; -1 before the header
	pairs    int64
	largest  int
	head     [blockHeadSize]byte
	err      error // the first one; nothing is written after it
}

// NewWriter returns a writer of a run with that many partitions, 1 to MaxPartitions. It writes nothing yet.
func NewWriter(w io.Writer, partitions int) *Writer {
	f := &Writer{w: w, current: -1}
	if partitions < 1 || partitions > MaxPartitions {
		f.err = fmt.Errorf("write run: %d partitions: want 1 to %d", partitions, MaxPartitions)
		return f
	}
	f.sections = make([]Section, partitions)
	return f
}

// Block writes one block of a partition. Partitions come in ascending order; the payload is the caller's again afterwards.
func (w *Writer) Block(partition int, payload []byte, pairs int) error {
	switch {
	case w.err != nil:
	case partition < max(w.current, 0) || partition >= len(w.sections):
		w.err = fmt.Errorf("write run: block of partition %d after %d of %d", partition, w.current, len(w.sections))
	case len(payload) == 0 || len(payload) > MaxBlock || pairs < 0 || pairs > len(payload):
		w.err = fmt.Errorf("write run: partition %d: block of %d bytes and %d pairs: want 1 to %d bytes",
			partition, len(payload), pairs, MaxBlock)
	default:
		w.enter(partition)
		w.block(&w.sections[partition], payload, pairs)
	}
	return w.err
}

// Close writes index and footer. It does not close what the run is written to.
func (w *Writer) Close() (Summary, error) {
	if w.err != nil {
		return Summary{}, w.err
	}
	w.enter(len(w.sections))
	index := make([]byte, 0, len(w.sections)*entrySize+footerSize)
	for p := range w.sections {
		index = w.sections[p].append(index, p)
	}
	sum := Summary{Checksum: xxh3.Hash(index), Pairs: w.pairs, Largest: w.largest}
	w.write(footer{pairs: w.pairs, checksum: sum.Checksum, partitions: len(w.sections)}.append(index))
	sum.Size = w.offset
	if w.err != nil {
		return Summary{}, w.err
	}
	w.err = fmt.Errorf("write run: it is closed")
	return sum, nil
}

// enter begins the sections up to the given partition's, and the file itself at the first call.
func (w *Writer) enter(partition int) {
	if w.current < 0 {
		head := binary.LittleEndian.AppendUint32([]byte(magic), uint32(len(w.sections)))
		w.write(binary.LittleEndian.AppendUint32(head, crc32.Checksum(head, castagnoli)))
		w.sections[0].Offset = w.offset
		w.current = 0
	}
	for w.current < partition {
		if w.current++; w.current < len(w.sections) {
			w.sections[w.current].Offset = w.offset
		}
	}
}

func (w *Writer) block(s *Section, payload []byte, pairs int) {
	head := w.head[:0]
	head = binary.LittleEndian.AppendUint32(head, uint32(len(payload)))
	head = binary.LittleEndian.AppendUint32(head, uint32(pairs))
	head = binary.LittleEndian.AppendUint32(head, s.Blocks)
	crc := crc32.Update(crc32.Checksum(head, castagnoli), castagnoli, payload)
	head = binary.LittleEndian.AppendUint32(head, crc)
	s.add(head, len(payload), pairs)
	w.pairs += int64(pairs)
	w.largest = max(w.largest, len(payload))
	w.write(head)
	w.write(payload)
}

func (w *Writer) write(b []byte) {
	if w.err != nil {
		return
	}
	n, err := w.w.Write(b)
	w.offset += int64(n)
	if err == nil && n < len(b) {
		err = io.ErrShortWrite
	}
	if err != nil {
		w.err = fmt.Errorf("write run at byte %d: %w", w.offset, err)
	}
}
