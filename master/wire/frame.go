package wire

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// The longest payloads. A request is what a peer that nobody has vouched for may send, so it may be shorter.
const (
	MaxRequest = 1 << 20
	MaxReply   = 4 << 20
)

const (
	frameHeader = 8
	// firstRead is what a frame's length may make the reader allocate before the bytes are there.
	firstRead = 16 << 10
)

// errFrame is damage or malice on the wire: the connection cannot go on.
var errFrame = errors.New("broken frame")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// frameReader reads frames of at most max bytes.
type frameReader struct {
	r   *bufio.Reader
	max int
	buf bytes.Buffer // the current payload
}

func newFrameReader(r io.Reader, max int) *frameReader {
	return &frameReader{r: bufio.NewReaderSize(r, 4<<10), max: max}
}

// wait blocks until the first byte of the next frame is there.
func (f *frameReader) wait() error {
	_, err := f.r.Peek(1)
	return err
}

// next returns the next frame's payload, good until the call after. The buffer grows as bytes arrive, not as the length
// claims.
func (f *frameReader) next() ([]byte, error) {
	var h [frameHeader]byte
	if _, err := io.ReadFull(f.r, h[:]); err != nil {
		return nil, err
	}
	n, sum := int64(binary.BigEndian.Uint32(h[:])), binary.BigEndian.Uint32(h[4:])
	if n > int64(f.max) {
		return nil, fmt.Errorf("%w: %d bytes long, the limit is %d", errFrame, n, f.max)
	}
	if f.buf.Cap() > firstRead {
		f.buf = bytes.Buffer{} // a rare long frame must not pin its memory
	}
	f.buf.Reset()
	f.buf.Grow(int(min(n, firstRead)))
	if _, err := io.CopyN(&f.buf, f.r, n); err != nil {
		return nil, fmt.Errorf("%w: %w", errFrame, io.ErrUnexpectedEOF)
	}
	if crc32.Checksum(f.buf.Bytes(), castagnoli) != sum {
		return nil, fmt.Errorf("%w: bad checksum", errFrame)
	}
	return f.buf.Bytes(), nil
}

// beginFrame empties buf and leaves room for a frame's header.
func beginFrame(buf *bytes.Buffer) {
	if buf.Cap() > firstRead {
		*buf = bytes.Buffer{}
	}
	buf.Reset()
	buf.Write(make([]byte, frameHeader))
}

// endFrame fills in the header and returns the whole frame.
func endFrame(buf *bytes.Buffer, max int) ([]byte, error) {
	b := buf.Bytes()
	payload := b[frameHeader:]
	if len(payload) > max {
		return nil, fmt.Errorf("the message is %d bytes long, the limit is %d", len(payload), max)
	}
	binary.BigEndian.PutUint32(b, uint32(len(payload)))
	binary.BigEndian.PutUint32(b[4:], crc32.Checksum(payload, castagnoli))
	return b, nil
}
