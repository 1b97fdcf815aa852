package runfile

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/zeebo/xxh3"
)

// Section says where one partition's blocks lie and what they add up to: an entry of the index.
type Section struct {
	Offset int64 // in the file
	Length int64 // bytes, block headers included
	Pairs  int64
	Blocks uint32
	Sum    uint64 // chained over the blocks' headers
}

// Payload is the length of the section without its blocks' headers, bytes.
func (s Section) Payload() int64 { return s.Length - int64(s.Blocks)*blockHeadSize }

// Tail is what a run's footer tells.
type Tail struct {
	Size       int64 // of the file, bytes
	Partitions int
	Checksum   uint64
	Pairs      int64
}

// ReadTail reads the footer of a run of size bytes: one read.
func ReadTail(r io.ReaderAt, size int64) (Tail, error) {
	_, t, err := readTail(r, size, footerSize)
	return t, err
}

// ReadSection finds one partition's section in a run of size bytes. It takes one read, or two when the entry lies far from
// the end. The tail tells the whole run's checksum, for the caller to compare.
func ReadSection(r io.ReaderAt, size int64, partition int) (Section, Tail, error) {
	end, t, err := readTail(r, size, tailSize)
	if err != nil {
		return Section{}, t, err
	}
	if partition < 0 || partition >= t.Partitions {
		return Section{}, t, fmt.Errorf("read run: partition %d of %d", partition, t.Partitions)
	}
	entry := make([]byte, entrySize)
	back := int64(footerSize + (t.Partitions-partition)*entrySize) // from the entry to the end of the file
	if have := int64(len(end)); back <= have {
		entry = end[have-back:][:entrySize]
	} else if err := readAt(r, entry, size-back); err != nil {
		return Section{}, t, fmt.Errorf("read run's index: %w", err)
	}
	s, err := t.section(entry, partition)
	return s, t, err
}

// ReadSectionOf is ReadSection for a caller that has kept the tail: one read of a single entry.
func ReadSectionOf(r io.ReaderAt, t Tail, partition int) (Section, error) {
	if partition < 0 || partition >= t.Partitions {
		return Section{}, fmt.Errorf("read run: partition %d of %d", partition, t.Partitions)
	}
	var entry [entrySize]byte
	if err := readAt(r, entry[:], t.indexAt()+int64(partition)*entrySize); err != nil {
		return Section{}, fmt.Errorf("read run's index: %w", err)
	}
	return t.section(entry[:], partition)
}

// ReadIndex reads and verifies the whole index of a run of size bytes.
func ReadIndex(r io.ReaderAt, size int64) ([]Section, Tail, error) {
	_, t, err := readTail(r, size, footerSize)
	if err != nil {
		return nil, t, err
	}
	var head [headerSize]byte
	index := make([]byte, t.Partitions*entrySize)
	if err := errors.Join(readAt(r, head[:], 0), readAt(r, index, t.indexAt())); err != nil {
		return nil, t, fmt.Errorf("read run's index: %w", err)
	}
	if string(head[:8]) != magic || binary.LittleEndian.Uint32(head[8:]) != uint32(t.Partitions) ||
		binary.LittleEndian.Uint32(head[12:]) != crc32.Checksum(head[:12], castagnoli) {
		return nil, t, fmt.Errorf("%w: header", ErrCorrupt)
	}
	if xxh3.Hash(index) != t.Checksum {
		return nil, t, fmt.Errorf("%w: checksum of the index", ErrCorrupt)
	}
	sections := make([]Section, t.Partitions)
	at, pairs := int64(headerSize), int64(0)
	for p := range sections {
		s, err := parseEntry(index[p*entrySize:][:entrySize], p)
		if err != nil {
			return nil, t, err
		}
		if s.Offset != at || s.Length > t.indexAt()-at {
			return nil, t, fmt.Errorf("%w: section %d is not where it should be", ErrCorrupt, p)
		}
		sections[p], at, pairs = s, at+s.Length, pairs+s.Pairs
	}
	if at != t.indexAt() || pairs != t.Pairs {
		return nil, t, fmt.Errorf("%w: the sections are not the whole run", ErrCorrupt)
	}
	return sections, t, nil
}

// Text gives the entry in hexadecimal, for a protocol's header; ParseSection reads it.
func (s Section) Text(partition int) string {
	return hex.EncodeToString(s.append(nil, partition))
}

// ParseSection reads what Text of the same partition gave.
func ParseSection(text string, partition int) (Section, error) {
	if len(text) != 2*entrySize {
		return Section{}, fmt.Errorf("%w: index entry of %d digits", ErrCorrupt, len(text))
	}
	entry, err := hex.DecodeString(text)
	if err != nil {
		return Section{}, fmt.Errorf("%w: index entry: %v", ErrCorrupt, err)
	}
	return parseEntry(entry, partition)
}

// add counts a block with the given header.
func (s *Section) add(head []byte, payload, pairs int) {
	s.Length += int64(blockHeadSize + payload)
	s.Pairs += int64(pairs)
	s.Blocks++
	s.Sum = xxh3.HashSeed(head, s.Sum)
}

func (s *Section) append(b []byte, partition int) []byte {
	start := len(b)
	b = binary.LittleEndian.AppendUint64(b, uint64(s.Offset))
	b = binary.LittleEndian.AppendUint64(b, uint64(s.Length))
	b = binary.LittleEndian.AppendUint64(b, uint64(s.Pairs))
	b = binary.LittleEndian.AppendUint64(b, s.Sum)
	b = binary.LittleEndian.AppendUint32(b, s.Blocks)
	return binary.LittleEndian.AppendUint32(b, entryCRC(b[start:], partition))
}

func parseEntry(b []byte, partition int) (Section, error) {
	s := Section{
		Offset: int64(binary.LittleEndian.Uint64(b)),
		Length: int64(binary.LittleEndian.Uint64(b[8:])),
		Pairs:  int64(binary.LittleEndian.Uint64(b[16:])),
		Sum:    binary.LittleEndian.Uint64(b[24:]),
		Blocks: binary.LittleEndian.Uint32(b[32:]),
	}
	if binary.LittleEndian.Uint32(b[36:]) != entryCRC(b[:36], partition) {
		return Section{}, fmt.Errorf("%w: index entry %d", ErrCorrupt, partition)
	}
	if s.Offset < 0 || s.Length < 0 || s.Pairs < 0 || s.Pairs > s.Length ||
		s.Length < int64(s.Blocks)*(blockHeadSize+1) || s.Length > int64(s.Blocks)*(blockHeadSize+MaxBlock) {
		return Section{}, fmt.Errorf("%w: index entry %d: impossible numbers", ErrCorrupt, partition)
	}
	return s, nil
}

func entryCRC(b []byte, partition int) uint32 {
	var number [4]byte
	binary.LittleEndian.PutUint32(number[:], uint32(partition))
	return crc32.Update(crc32.Checksum(number[:], castagnoli), castagnoli, b)
}

// footer is the end of a run.
type footer struct {
	pairs      int64
	checksum   uint64
	partitions int
}

func (f footer) append(b []byte) []byte {
	start := len(b)
	b = binary.LittleEndian.AppendUint64(b, uint64(f.pairs))
	b = binary.LittleEndian.AppendUint64(b, f.checksum)
	b = binary.LittleEndian.AppendUint32(b, uint32(f.partitions))
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b[start:], castagnoli))
	return append(b, magic...)
}

// readTail reads the last want bytes, or all when there are fewer, and what the footer in them says.
func readTail(r io.ReaderAt, size int64, want int64) ([]byte, Tail, error) {
	if size < formatOverhead+entrySize {
		return nil, Tail{}, fmt.Errorf("%w: a file of %d bytes is too short", ErrCorrupt, size)
	}
	end := make([]byte, min(size, want))
	if err := readAt(r, end, size-int64(len(end))); err != nil {
		return nil, Tail{}, fmt.Errorf("read run's footer: %w", err)
	}
	b := end[len(end)-footerSize:]
	if string(b[24:]) != magic {
		return nil, Tail{}, fmt.Errorf("%w: not a run of version %d", ErrCorrupt, magic[7])
	}
	if binary.LittleEndian.Uint32(b[20:]) != crc32.Checksum(b[:20], castagnoli) {
		return nil, Tail{}, fmt.Errorf("%w: footer", ErrCorrupt)
	}
	t := Tail{
		Size:       size,
		Partitions: int(binary.LittleEndian.Uint32(b[16:])),
		Checksum:   binary.LittleEndian.Uint64(b[8:]),
		Pairs:      int64(binary.LittleEndian.Uint64(b)),
	}
	if t.Partitions < 1 || t.Partitions > MaxPartitions || t.indexAt() < headerSize {
		return nil, Tail{}, fmt.Errorf("%w: %d partitions in %d bytes", ErrCorrupt, t.Partitions, size)
	}
	return end, t, nil
}

// indexAt is where the index begins.
func (t Tail) indexAt() int64 { return t.Size - footerSize - int64(t.Partitions)*entrySize }

// section parses an entry and holds it against the file's size.
func (t Tail) section(entry []byte, partition int) (Section, error) {
	s, err := parseEntry(entry, partition)
	if err == nil && (s.Offset < headerSize || s.Offset > t.indexAt() || s.Length > t.indexAt()-s.Offset) {
		err = fmt.Errorf("%w: section %d lies outside of the file", ErrCorrupt, partition)
	}
	return s, err
}

// readAt fills b. A file that ends before is corrupt: its size was given.
func readAt(r io.ReaderAt, b []byte, at int64) error {
	n, err := r.ReadAt(b, at)
	if n == len(b) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: it ends at byte %d", ErrCorrupt, at+int64(n))
	}
	return err
}
