package encoding

import (
	"compress/bzip2"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
)

// A bzip2 object is streams, each of a header "BZh1" to "BZh9", blocks, and an end; the next stream begins at a whole byte.
//
//	block  48 bits of blockMagic, 32 bits of the CRC of its plain bytes, and data that say themselves where they end
//	end    48 bits of endMagic, 32 bits of a CRC made of those of all blocks, and bits to the next whole byte
//
// Blocks begin at any bit, and nothing but the block before says where: the 48 bits of a magic can lie in a block's data as
// well, by chance or on purpose. A piece of an object has the blocks that begin (with their magic's first bit) in it.
//
// To find its first one, each place in the piece where the magic lies is tried: it is a block only if it can be decoded, its
// CRC is that of its bytes, and at the bit at which it ends the magic of another block or of the end lies. From there on the
// reading is a chain, in which each block says where the next one begins, up to and with the first block of the next piece,
// which is decoded to its end and checked too. So a block that is damaged fails the piece before the one that would pass over
// it for data that merely look like a block.
const (
	blockMagic = 0x314159265359
	endMagic   = 0x177245385090
	magicBits  = 48
	crcBits    = 32
	headerSize = 4
)

// errBlockEnd is what the decoder of a block is told when it asks for bits behind the block's end.
var errBlockEnd = errors.New("bzip2: end of block")

// blocks reads a bzip2 object, or the blocks that begin in a piece of it and then on until told to stop.
type blocks struct {
	in    window
	src   *source
	begin int64 // of the piece, in bits of the object
	end   int64 // of it; -1: none

	now   *block
	bit   int64 // of the next magic or, if fresh, of the next header; in the object
	fresh bool
	level byte   // of the stream, '1' to '9'; the largest where its header was not read
	whole bool   // it was
	crc   uint32 // of its blocks, joined

	found   int64 // bit of the first block
	plain   int64 // bytes returned
	next    int64 // plain bytes before the next piece's first block
	nextBit int64 // where that begins
	hasNext bool
}

// newBlocks reads from the object's byte that src stands at. If that is not 0, or end is not negative, it reads a piece.
func newBlocks(src *source, begin, end int64) *blocks {
	b := &blocks{src: src, begin: 8 * begin, bit: 8 * begin, end: -1, fresh: begin == 0, level: '9'}
	b.in = window{r: src, base: begin}
	if end >= 0 {
		b.end = 8 * end
	}
	if !b.fresh {
		b.found = -1
	}
	return b
}

func (b *blocks) boundary() (int64, bool) { return b.next, b.hasNext }

func (b *blocks) origin() int64 { return max(0, b.found/8) }

// verified implements cutter: the reading is beyond the first block of the next piece, or there is none.
func (b *blocks) verified() bool { return !b.hasNext || b.now == nil || b.now.first != b.nextBit }

func (b *blocks) Read(p []byte) (int, error) {
	for {
		if b.now == nil {
			if err := b.open(); err != nil {
				return 0, err
			}
		}
		n, err := b.now.read(p)
		b.plain += int64(n)
		if err == io.EOF {
			b.bit, b.now, err = b.now.end, nil, nil
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
}

// open begins the next block; io.EOF says that there is none.
func (b *blocks) open() error {
	if b.found < 0 {
		if err := b.search(); err != nil {
			return err
		}
	}
	for {
		if b.fresh {
			if err := b.header(); err != nil {
				return err
			}
		}
		magic, ok := b.in.bits48(b.bit)
		switch {
		case !ok:
			return inside(b.in.err)
		case magic == blockMagic:
			return b.openBlock()
		case magic != endMagic:
			return fmt.Errorf("no block of bzip2 follows")
		}
		if err := b.endStream(); err != nil {
			return err
		}
	}
}

// search finds the first block of a piece, or returns io.EOF.
func (b *blocks) search() error {
	for bit := b.begin; bit < b.end; bit++ {
		magic, ok := b.in.bits48(bit)
		if !ok {
			break
		}
		if magic != blockMagic {
			if bit&7 == 7 {
				b.in.drop(bit/8 + 1)
			}
			continue
		}
		good, err := b.try(bit)
		if err != nil {
			return err
		}
		if good {
			b.found, b.bit = bit, bit
			return nil
		}
	}
	return b.in.sourceError(io.EOF)
}

// try says whether a block begins at a bit at which its magic lies. Only an error of the source is one.
func (b *blocks) try(bit int64) (bool, error) {
	block := newBlock(&b.in, bit, b.level)
	buf := make([]byte, 32<<10)
	for {
		_, err := block.read(buf)
		if err == io.EOF {
			return true, nil
		}
		if err != nil {
			return false, b.in.sourceError(nil)
		}
	}
}

// header reads a stream's first bytes.
func (b *blocks) header() error {
	at := b.bit / 8
	head := b.in.bytes(at, headerSize)
	switch {
	case len(head) == 0 && at > 0 || len(head) == 0 && b.in.err != io.EOF:
		return b.in.err
	case len(head) < headerSize:
		return inside(b.in.err)
	case string(head[:3]) != "BZh" || head[3] < '1' || head[3] > '9':
		return errGarbage
	}
	b.bit += 8 * headerSize
	b.fresh, b.whole, b.crc, b.level = false, true, 0, head[3]
	return nil
}

// endStream checks a stream's CRC, if all of it was read, and goes to the byte behind it.
func (b *blocks) endStream() error {
	crc, ok := b.in.bits48(b.bit + magicBits - 16) // its low 32 bits are the CRC
	if !ok {
		return inside(b.in.err)
	}
	if b.whole && uint32(crc) != b.crc {
		return fmt.Errorf("bzip2: the checksum of a stream is wrong")
	}
	b.bit, b.fresh = (b.bit+magicBits+crcBits+7)/8*8, true
	b.in.drop(b.bit / 8)
	return nil
}

func (b *blocks) openBlock() error {
	if b.end >= 0 && b.bit >= b.end && !b.hasNext {
		b.next, b.nextBit, b.hasNext = b.plain, b.bit, true
	}
	b.in.drop(b.bit / 8)
	crc, ok := b.in.bits48(b.bit + magicBits - 16)
	if !ok {
		return inside(b.in.err)
	}
	b.crc = bits.RotateLeft32(b.crc, 1) ^ uint32(crc)
	b.now = newBlock(&b.in, b.bit, b.level)
	return nil
}

// block decodes one block with the standard library, whose decoder takes streams: it gets a header and then the block's bits,
// moved to whole bytes. As it reads byte by byte where the source lets it, and decodes a whole block before it returns the
// first byte of it, the block ends within the byte that it asked for last.
type block struct {
	in     *window
	header [headerSize]byte
	first  int64 // bit
	fed    int   // bytes, with the header
	end    int64 // bit behind the block; 0: not known yet
	dec    io.Reader
}

func newBlock(in *window, bit int64, level byte) *block {
	b := &block{in: in, first: bit, header: [headerSize]byte{'B', 'Z', 'h', level}}
	b.dec = bzip2.NewReader(b)
	return b
}

// read returns io.EOF at the block's end, after its CRC was checked.
func (b *block) read(p []byte) (int, error) {
	n, err := b.dec.Read(p)
	if n > 0 && b.end == 0 {
		if e := b.findEnd(); e != nil {
			return 0, e
		}
	}
	if errors.Is(err, errBlockEnd) {
		err = io.EOF
	}
	return n, err
}

// findEnd looks in the last byte that the decoder has taken for the bit at which a magic begins. There is one at most, as no
// magic lies within seven bits of another one.
func (b *block) findEnd() error {
	last := b.first + 8*int64(b.fed-headerSize)
	for bit := last - 7; bit <= last; bit++ {
		magic, ok := b.in.bits48(bit)
		if !ok {
			return inside(b.in.err)
		}
		if magic == blockMagic || magic == endMagic {
			b.end = bit
			return nil
		}
	}
	return fmt.Errorf("bzip2: no block follows")
}

// ReadByte feeds the decoder.
func (b *block) ReadByte() (byte, error) {
	if b.end != 0 {
		return 0, errBlockEnd
	}
	i := b.fed
	b.fed++
	if i < headerSize {
		return b.header[i], nil
	}
	v, ok := b.in.byteAt(b.first + 8*int64(i-headerSize))
	if !ok {
		return 0, inside(b.in.err)
	}
	return v, nil
}

// Read is never called: the decoder takes a ReadByte where there is one.
func (b *block) Read([]byte) (int, error) { return 0, errors.ErrUnsupported }

// window is a part of an object, in memory, that moves on.
type window struct {
	r    io.Reader
	buf  []byte
	base int64 // of buf[0] in the object
	err  error // why there is no more of it
}

// bytes returns up to n bytes from off on, fewer at the end.
func (w *window) bytes(off int64, n int) []byte {
	for w.err == nil && w.base+int64(len(w.buf)) < off+int64(n) {
		w.grow()
	}
	from := min(off-w.base, int64(len(w.buf)))
	return w.buf[from:min(from+int64(n), int64(len(w.buf)))]
}

func (w *window) grow() {
	have := len(w.buf)
	if cap(w.buf)-have < bufferBytes {
		w.buf = append(make([]byte, 0, 2*have+bufferBytes), w.buf...)
	}
	n, err := w.r.Read(w.buf[have : have+bufferBytes])
	w.buf, w.err = w.buf[:have+n], err
}

// drop forgets the bytes before off.
func (w *window) drop(off int64) {
	if n := min(off-w.base, int64(len(w.buf))); n >= bufferBytes {
		w.buf = append(w.buf[:0], w.buf[n:]...)
		w.base += n
	}
}

// bits48 returns 48 bits from a bit of the object on.
func (w *window) bits48(bit int64) (uint64, bool) {
	at, shift := bit/8, uint(bit%8)
	b := w.bytes(at, 7)
	if len(b) == 7 || len(b) == 6 && shift == 0 {
		var v [8]byte
		copy(v[:], b)
		return binary.BigEndian.Uint64(v[:]) << shift >> 16, true
	}
	return 0, false
}

// byteAt returns 8 bits from a bit of the object on, those behind its end as zeros.
func (w *window) byteAt(bit int64) (byte, bool) {
	at, shift := bit/8-w.base, uint(bit%8)
	if at+1 >= int64(len(w.buf)) {
		w.bytes(bit/8, 2)
		if at = bit/8 - w.base; at >= int64(len(w.buf)) {
			return 0, false
		}
		if at+1 == int64(len(w.buf)) {
			return w.buf[at] << shift, true
		}
	}
	return w.buf[at]<<shift | byte(uint16(w.buf[at+1])>>(8-shift)), true
}

// sourceError is the source's error, or else if it has merely ended or has none.
func (w *window) sourceError(otherwise error) error {
	if w.err != nil && w.err != io.EOF {
		return w.err
	}
	return otherwise
}
