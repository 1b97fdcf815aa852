package encoding

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"sort"
)

// A zstd object can end with a seek table, as zstd's seekable format (version 0.1.0) has it: a skippable frame, so that every
// other reader passes over it. Numbers are little-endian.
//
//	4  0x184d2a5e
//	4  how many bytes follow
//	   for each frame before it, in order:
//	     4  its bytes
//	     4  the plain bytes that it holds
//	     4  a checksum of these, if the descriptor says so; a frame mostly has one of its own, which is checked
//	4  how many frames there are
//	1  descriptor: 0x80 if there are checksums; 0x7c must be 0
//	4  0x8f92eab1
//
// A table counts only if its frames fill the object. Each frame is decompressed by itself, and must be of as many bytes as the
// table says before and after it.
const (
	tableMagic    = 0x184d2a5e
	footerMagic   = 0x8f92eab1
	tableHead     = 8
	tableFoot     = 9
	tableChecksum = 0x80
	tableReserved = 0x7c
	// maxTable is the largest table that is read, bytes: whoever reads a piece has it in memory.
	maxTable = 2 << 20
	// firstRead is how much of an object's end is read at once: most tables are smaller.
	firstRead = 4 << 10
)

// SeekTable tells where the frames of a zstd object begin.
type SeekTable struct {
	packed, plain []int64 // of each frame's begin, and of the last one's end
}

// LoadTable reads the seek table of a zstd object of that size; nil if it has none, or one that cannot be used. read returns n bytes
// from off on.
func LoadTable(size int64, read func(off, n int64) ([]byte, error)) (*SeekTable, error) {
	n := min(size, firstRead)
	tail, err := read(size-n, n)
	if err != nil || n < tableHead+tableFoot {
		return nil, err
	}
	want := tableSize(tail)
	if want < 0 || want > min(size, maxTable) {
		return nil, nil
	}
	if want > n {
		if tail, err = read(size-want, want); err != nil {
			return nil, err
		}
	}
	return parseTable(tail[int64(len(tail))-want:], size), nil
}

// tableSize is how many bytes the table has that an object ends with, -1 if it ends with none.
func tableSize(tail []byte) int64 {
	foot := tail[len(tail)-tableFoot:]
	if binary.LittleEndian.Uint32(foot[5:]) != footerMagic || foot[4]&tableReserved != 0 {
		return -1
	}
	return tableHead + int64(binary.LittleEndian.Uint32(foot))*entrySize(foot[4]) + tableFoot
}

func entrySize(descriptor byte) int64 {
	if descriptor&tableChecksum != 0 {
		return 12
	}
	return 8
}

// parseTable returns nil for a table that does not fit the object.
func parseTable(table []byte, size int64) *SeekTable {
	head, entries := table[:tableHead], table[tableHead:len(table)-tableFoot]
	each := entrySize(table[len(table)-5])
	if binary.LittleEndian.Uint32(head) != tableMagic || int64(binary.LittleEndian.Uint32(head[4:])) != int64(len(table)-tableHead) {
		return nil
	}
	t := &SeekTable{}
	var packed, plain int64
	for ; len(entries) > 0; entries = entries[each:] {
		t.packed, t.plain = append(t.packed, packed), append(t.plain, plain)
		packed += int64(binary.LittleEndian.Uint32(entries))
		plain += int64(binary.LittleEndian.Uint32(entries[4:])) // fits: there are 2^18 frames at most
	}
	if packed+int64(len(table)) != size {
		return nil
	}
	t.packed, t.plain = append(t.packed, packed), append(t.plain, plain)
	return t
}

// Plain returns how many plain bytes the object holds.
func (t *SeekTable) Plain() int64 { return t.plain[len(t.plain)-1] }

// Begin returns the first byte of the first frame that begins at or behind a byte of the object; behind the last one, the end of
// all frames.
func (t *SeekTable) Begin(at int64) int64 { return t.packed[t.frame(at)] }

// frame is the index of that frame.
func (t *SeekTable) frame(at int64) int {
	last := len(t.packed) - 1
	return sort.Search(last, func(i int) bool { return t.packed[i] >= at })
}

// ResetFrames begins to read a piece of an object as ResetPiece does, by its seek table. src yields the object's bytes from
// t.Begin(begin) on.
func (d *Decoder) ResetFrames(t *SeekTable, src io.Reader, begin, end int64) {
	first := t.frame(begin)
	d.begin(Seekable, src, t.packed[first])
	f := &frames{d: d, t: t, at: first, first: first, next: t.frame(end)}
	d.cut, d.now, d.base = f, f, t.plain[first]
}

// frames reads frames one by one.
type frames struct {
	d               *Decoder
	t               *SeekTable
	at, first, next int // frames: the one after now, and of the piece
	now             *io.LimitedReader
	left            int64 // plain bytes of now
}

func (f *frames) Read(p []byte) (int, error) {
	for {
		if f.now == nil {
			if f.first == f.next || f.at == len(f.t.packed)-1 {
				return 0, io.EOF
			}
			if err := f.open(); err != nil {
				return 0, err
			}
		}
		n, err := f.d.zs.Read(p)
		f.left -= int64(n)
		switch {
		case f.left < 0 || err == io.EOF && (f.left > 0 || f.now.N > 0):
			if f.d.src.err == io.EOF && f.now.N > 0 {
				return 0, io.ErrUnexpectedEOF
			}
			return 0, fmt.Errorf("frame %d is not what the seek table says", f.at-1)
		case err == io.EOF:
			f.now, err = nil, nil
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
}

func (f *frames) open() error {
	t, i := f.t, f.at
	f.now = &io.LimitedReader{R: f.d.in, N: t.packed[i+1] - t.packed[i]}
	f.left = t.plain[i+1] - t.plain[i]
	f.at++
	if err := f.d.newZstd(); err != nil {
		return err
	}
	return inside(f.d.zs.Reset(f.now))
}

func (f *frames) boundary() (int64, bool) {
	if f.next == len(f.t.packed)-1 { // nothing follows
		return math.MaxInt64, false
	}
	return f.t.plain[f.next] - f.t.plain[f.first], true
}

func (f *frames) origin() int64 { return 0 }

// verified implements cutter: where frames begin the table says, so that no piece passes over one.
func (f *frames) verified() bool { return true }
