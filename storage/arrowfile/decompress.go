package arrowfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// codec is how the buffers of a batch are compressed.
type codec uint8

const (
	codecNone codec = iota
	codecLZ4        // frames
	codecZstd
)

// zstdWindow bounds the window of a zstd frame, which its decoder allocates beside the result: writers ask for 8 MiB at most.
const zstdWindow = 32 << 20

// buffer returns a buffer of the batch as it is used, decompressed if need be; nil for an empty one. The size that a
// compressed buffer declares is taken from the budget before it is allocated, and is then all that it can become.
func (s *Scanner) buffer(c *cursor) ([]byte, error) {
	if c.buffer == len(c.buffers) {
		return nil, errFew
	}
	data := c.data[c.buffer]
	c.buffer++
	if c.codec == codecNone || len(data) == 0 {
		return data, nil
	}
	if len(data) < 8 {
		return nil, fmt.Errorf("a compressed buffer of %d bytes", len(data))
	}
	size := int64(binary.LittleEndian.Uint64(data))
	data = data[8:]
	if size == -1 { // not worth compressing
		return data, nil
	}
	if err := s.budget.Take(size); err != nil {
		return nil, err
	}
	out := make([]byte, size)
	var err error
	if c.codec == codecLZ4 {
		err = unpackLZ4(out, data)
	} else {
		err = s.zstd.Unpack(out, data)
	}
	if err != nil {
		return nil, fmt.Errorf("decompress: %w", err)
	}
	return out, nil
}

var errUnpacked = errors.New("it does not have the size that the file declares")

func unpackLZ4(out, data []byte) error {
	r := lz4.NewReader(bytes.NewReader(data))
	if _, err := io.ReadFull(r, out); err != nil {
		return err
	}
	var more [1]byte
	if n, err := r.Read(more[:]); n > 0 || err != io.EOF {
		return errUnpacked
	}
	return nil
}

// Zstd decompresses; the zero value is ready. It keeps its decoder, which takes a while to make. One goroutine uses it.
type Zstd struct{ d *zstd.Decoder }

// Unpack decompresses data to exactly out.
func (z *Zstd) Unpack(out, data []byte) error {
	if z.d == nil {
		d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(zstdWindow), zstd.WithDecodeAllCapLimit(true))
		if err != nil {
			return err
		}
		z.d = d
	}
	got, err := z.d.DecodeAll(data, out[:0:len(out)])
	if err == nil && len(got) != len(out) {
		err = errUnpacked
	}
	return err
}
