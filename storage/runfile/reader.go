package runfile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
)

// Reader reads one section from a stream of exactly its bytes. It hands out no block that it has not verified, and io.EOF
// only when the blocks are the ones that the index counted, in their order.
type Reader struct {
	r    io.Reader
	want Section
	got  Section // of the blocks handed out
	head [blockHeadSize]byte
}

// NewReader returns a reader of section s, whose bytes r yields.
func NewReader(r io.Reader, s Section) *Reader { return &Reader{r: r, want: s} }

// Next returns the next block's payload and its number of pairs, or io.EOF. The payload lies in buf if its capacity is
// enough, otherwise in fresh memory. After an error, Resume goes on.
func (r *Reader) Next(buf []byte) ([]byte, int, error) {
	if r.got.Length == r.want.Length {
		return nil, 0, r.end()
	}
	if err := r.fill(r.head[:]); err != nil {
		return nil, 0, err
	}
	n := int(binary.LittleEndian.Uint32(r.head[:]))
	pairs := int(binary.LittleEndian.Uint32(r.head[4:]))
	if n < 1 || n > MaxBlock || int64(n) > r.want.Length-r.got.Length-blockHeadSize || pairs > n {
		return nil, 0, r.corrupt("header")
	}
	if number := binary.LittleEndian.Uint32(r.head[8:]); number != r.got.Blocks {
		return nil, 0, r.corrupt(fmt.Sprintf("it is number %d", number))
	}
	payload, err := r.payload(buf[:0], n)
	if err != nil {
		return nil, 0, err
	}
	crc := crc32.Update(crc32.Checksum(r.head[:12], castagnoli), castagnoli, payload)
	if crc != binary.LittleEndian.Uint32(r.head[12:]) {
		return nil, 0, r.corrupt("CRC")
	}
	r.got.add(r.head[:], n, pairs)
	return payload, pairs, nil
}

// Verified is how many of the section's bytes lie in blocks handed out so far.
func (r *Reader) Verified() int64 { return r.got.Length }

// Resume goes on with the block after the last verified one: from yields the section's bytes from Verified on.
func (r *Reader) Resume(from io.Reader) { r.r = from }

// payload reads n bytes, in steps: a length that is not true ends with the stream, not with the memory.
func (r *Reader) payload(buf []byte, n int) ([]byte, error) {
	for len(buf) < n {
		step := min(n-len(buf), max(readStep, cap(buf)-len(buf)))
		if cap(buf)-len(buf) < step {
			buf = slices.Grow(buf, step)
		}
		at := len(buf)
		buf = buf[:at+step]
		if err := r.fill(buf[at:]); err != nil {
			return nil, err
		}
	}
	return buf, nil
}

func (r *Reader) fill(b []byte) error {
	_, err := io.ReadFull(r.r, b)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return r.corrupt("the section ends early")
	}
	if err != nil {
		return fmt.Errorf("read run's section from byte %d: %w", r.got.Length, err)
	}
	return nil
}

// end is io.EOF if the section is whole and nothing follows.
func (r *Reader) end() error {
	r.got.Offset = r.want.Offset
	if r.got != r.want {
		return r.corrupt("the blocks are not those of the index")
	}
	if n, err := io.ReadFull(r.r, r.head[:1]); n > 0 {
		return r.corrupt("bytes follow the section")
	} else if !errors.Is(err, io.EOF) {
		return fmt.Errorf("read run's section at its end: %w", err)
	}
	return io.EOF
}

func (r *Reader) corrupt(what string) error {
	return fmt.Errorf("%w: block %d at byte %d of its section: %s", ErrCorrupt, r.got.Blocks, r.got.Length, what)
}
