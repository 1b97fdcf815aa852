package parquetfile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"

	"github.com/apache/arrow/go/v15/parquet"

	"github.com/millrace/millrace/storage/arrowfile"
)

const (
	// headerGuess is what is looked at for a page's header; statistics make some larger, up to maxHeader.
	headerGuess = 4 << 10
	maxHeader   = 16 << 20
)

// chunk is the bytes of one column in one row group, read front to back: from memory, if they were read with those of other
// columns, or through a window.
type chunk struct {
	r      io.ReaderAt
	pos    int64 // of data[0] in the file
	end    int64
	data   []byte // from pos on, as far as it was read
	window int64  // how much to read at a time
	budget *arrowfile.Budget
	taken  int64 // of the budget, for data
}

// peek returns n bytes from pos on, fewer at the chunk's end.
func (c *chunk) peek(n int64) ([]byte, error) {
	n = min(n, c.end-c.pos)
	if int64(len(c.data)) >= n {
		return c.data[:n], nil
	}
	size := min(max(n, c.window), c.end-c.pos)
	if err := c.budget.Take(size); err != nil {
		return nil, err
	}
	data := make([]byte, size)
	had := copy(data, c.data)
	got, err := c.r.ReadAt(data[had:], c.pos+int64(had))
	if got < len(data)-had {
		if err == nil || err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return nil, fmt.Errorf("read %d bytes at %d: %w", len(data)-had, c.pos+int64(had), err)
	}
	c.budget.Give(c.taken)
	c.data, c.taken = data, size
	return c.data[:n], nil
}

func (c *chunk) advance(n int64) {
	c.data = c.data[n:]
	c.pos += n
}

// page is a page of values, decompressed. Its levels are still to be decoded.
type page struct {
	pageHeader
	total      int  // levels: values and nulls
	reps, defs runs // at the first value
	body       []byte
}

// pageReader reads the pages of a chunk and checks what Arrow v15 would believe.
type pageReader struct {
	chunk
	leaf  *leaf
	codec unpacker
	rows  int64 // values that may still come, nulls included
	dict  int   // values of the dictionary; -1: none yet
	taken int64 // of the budget, for the page's body
}

// next reads the next page: a dictionary or data. At the end of the chunk it returns io.EOF.
func (p *pageReader) next() (page, error) {
	for p.pos < p.end {
		at := p.pos
		h, err := p.header()
		if err == nil {
			var pg page
			var ok bool
			if pg, ok, err = p.read(h); ok {
				return pg, nil
			}
		}
		if err != nil {
			return page{}, fmt.Errorf("page at byte %d: %w", at, err)
		}
	}
	return page{}, io.EOF
}

func (p *pageReader) header() (pageHeader, error) {
	for guess := int64(headerGuess); ; guess *= 4 {
		data, err := p.peek(guess)
		if err != nil {
			return pageHeader{}, err
		}
		h, n, err := readPageHeader(data)
		if err == nil {
			p.advance(int64(n))
			return h, nil
		}
		if guess > maxHeader || guess > p.end-p.pos {
			return h, fmt.Errorf("header: %w", err)
		}
	}
}

// read reads what follows a header. It reports false for pages that hold no values.
func (p *pageReader) read(h pageHeader) (page, bool, error) {
	if int64(h.packed) > p.end-p.pos {
		return page{}, false, fmt.Errorf("%d bytes do not lie in the column", h.packed)
	}
	packed, err := p.peek(int64(h.packed))
	if err != nil {
		return page{}, false, err
	}
	defer p.advance(int64(h.packed))
	if h.hasCRC && crc32.ChecksumIEEE(packed) != h.crc {
		return page{}, false, errors.New("its checksum is wrong")
	}
	switch h.kind {
	case pageDictionary, pageData, pageDataV2:
	default:
		return page{}, false, nil // an index, or what later versions know
	}
	p.budget.Give(p.taken)
	p.taken = 0
	before := p.budget.Live()
	pg, err := p.open(h, packed)
	p.taken = p.budget.Live() - before
	if h.kind == pageDictionary { // it stays
		p.taken = 0
	}
	return pg, err == nil, err
}

// open decompresses a page and checks it.
func (p *pageReader) open(h pageHeader, packed []byte) (page, error) {
	levels := int64(0) // which version 2 leaves uncompressed
	if h.kind == pageDataV2 {
		levels = int64(h.defBytes) + int64(h.repBytes)
		if levels > int64(h.size) || levels > int64(len(packed)) {
			return page{}, errors.New("its levels do not lie in it")
		}
	}
	if err := p.budget.Take(int64(h.size)); err != nil {
		return page{}, err
	}
	data := make([]byte, h.size)
	copy(data, packed[:levels])
	codec := p.codec
	if h.kind == pageDataV2 && !h.compressed {
		codec.codec = codecNone
	}
	if err := codec.unpack(data[levels:], packed[levels:]); err != nil {
		return page{}, fmt.Errorf("decompress: %w", err)
	}
	pg := page{pageHeader: h}
	switch h.kind {
	case pageDictionary:
		return p.dictionary(pg, data)
	case pageData:
		var err error
		if pg.reps, data, err = levelsV1(data, h.repCoding, p.leaf.rep); err == nil {
			pg.defs, data, err = levelsV1(data, h.defCoding, p.leaf.def)
		}
		if err != nil {
			return pg, err
		}
	case pageDataV2:
		pg.reps = runs{data: data[:h.repBytes], width: levelWidth(p.leaf.rep)}
		pg.defs = runs{data: data[h.repBytes:levels], width: levelWidth(p.leaf.def)}
		data = data[levels:]
	}
	if p.rows -= int64(h.values); p.rows < 0 {
		return pg, errors.New("more values than the footer says")
	}
	return p.values(pg, data)
}

// levelsV1 cuts the levels off the beginning of a page of version 1.
func levelsV1(data []byte, coding int32, most int) (runs, []byte, error) {
	if most == 0 {
		return runs{}, data, nil
	}
	if coding != encodingRLE {
		return runs{}, nil, fmt.Errorf("levels with encoding %d: only %d is in use since 2013", coding, encodingRLE)
	}
	if len(data) < 4 || int64(binary.LittleEndian.Uint32(data)) > int64(len(data)-4) {
		return runs{}, nil, errors.New("its levels do not lie in it")
	}
	n := 4 + int(binary.LittleEndian.Uint32(data))
	return runs{data: data[4:n], width: levelWidth(most)}, data[n:], nil
}

func (p *pageReader) dictionary(pg page, data []byte) (page, error) {
	if p.dict >= 0 {
		return pg, errors.New("a second dictionary")
	}
	if pg.encoding != encodingPlain && pg.encoding != encodingPlainDictionary {
		return pg, fmt.Errorf("a dictionary with encoding %d", pg.encoding)
	}
	l := p.leaf
	if l.physical == parquet.Types.Boolean {
		return pg, errors.New("a dictionary of bools")
	}
	// Arrow makes a slice of each value.
	if err := p.budget.Take(24 * int64(pg.pageHeader.values)); err != nil {
		return pg, err
	}
	p.dict, pg.encoding, pg.body = int(pg.pageHeader.values), encodingPlain, data
	return pg, checkPlain(l.physical, l.length, p.dict, data)
}

// values checks that a page holds as many levels and values as it should, and makes Arrow's decoder fit for them.
func (p *pageReader) values(pg page, data []byte) (page, error) {
	l := p.leaf
	n := int(pg.pageHeader.values)
	pg.total = n
	if l.rep > 0 {
		if _, err := countLevels(pg.reps, n, l.rep); err != nil {
			return pg, err
		}
	}
	if l.def > 0 {
		var err error
		if n, err = countLevels(pg.defs, n, l.def); err != nil {
			return pg, err
		}
	}
	pg.pageHeader.values = int32(n) // the nulls are left out
	pg.body = data
	switch pg.encoding {
	case encodingPlain:
		return pg, checkPlain(l.physical, l.length, n, data)
	case encodingPlainDictionary, encodingDictionary:
		if p.dict < 0 {
			return pg, errors.New("positions, but no dictionary")
		}
		pg.encoding = encodingDictionary
		return pg, checkPositions(n, p.dict, data)
	case encodingRLE:
		if l.physical != parquet.Types.Boolean {
			break
		}
		if len(data) < 4 || int64(binary.LittleEndian.Uint32(data)) > int64(len(data)-4) {
			return pg, errValues
		}
		if n > 0 {
			_, err := countLevels(runs{data: data[4 : 4+binary.LittleEndian.Uint32(data)], width: 1}, n, 1)
			return pg, err
		}
		return pg, nil
	}
	var err error
	pg.body, err = toPlain(pg.encoding, l.physical, l.length, n, data, p.budget)
	pg.encoding = encodingPlain
	return pg, err
}

// countLevels returns how many of the next n levels are most. There must be n, none above it.
func countLevels(r runs, n, most int) (int, error) {
	var buf [1024]uint32
	count := 0
	for n > 0 {
		if r.left == 0 && !r.next() {
			return 0, errors.New("fewer levels than its header says")
		}
		k := min(n, r.left)
		if r.packed == nil {
			r.left -= k
			if r.value > uint32(most) {
				return 0, errors.New("a level that the schema does not have")
			}
			if r.value == uint32(most) {
				count += k
			}
			n -= k
			continue
		}
		k = min(k, len(buf))
		r.fill(buf[:k])
		for _, v := range buf[:k] {
			if v > uint32(most) {
				return 0, errors.New("a level that the schema does not have")
			}
			if v == uint32(most) {
				count++
			}
		}
		n -= k
	}
	if count > math.MaxInt32 {
		return 0, errValues
	}
	return count, nil
}
