package verify

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/millrace/millrace/storage"
)

const (
	smallPart = 4 << 20   // a part up to this size is held whole: one request, where its footer and batches would take several
	gapBytes  = 1 << 20   // what lies between two batches is at most the schema: up to here it is read over, farther is read apart
	scratch   = 256 << 10 // of what is read over
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// errGreedy ends the reading of a file whose footer leads to the same bytes again and again.
var errGreedy = errors.New("its footer asks for more bytes than it has: it is damaged, or made to waste time")

// source is a part as the io.ReaderAt of an Arrow reader. What is asked for in order comes from one stream over the whole
// part, whose checksum is computed on the way; the footer, which is asked for first, is a read of its own. So every byte
// comes over the network once. One goroutine uses it.
//
// Invariant: crc is that of the first at bytes.
type source struct {
	ctx   context.Context // of the call that made it, which outlives it
	store *storage.Store
	info  storage.Info
	body  io.ReadCloser
	count func(int) // is told of bytes of the stream

	at    int64
	crc   uint32
	asked int64
	small []byte // the whole part, if it is small
	over  []byte // of scratch bytes
	err   error  // of the storage: the part cannot be read
}

// begin reads a small part.
func (s *source) begin() error {
	if s.info.Size > smallPart {
		return nil
	}
	s.small = make([]byte, s.info.Size)
	return s.stream(s.small)
}

// ReadAt implements io.ReaderAt.
func (s *source) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || off > s.info.Size-int64(len(p)) {
		return 0, fmt.Errorf("%w: bytes %d to %d of %d", io.ErrUnexpectedEOF, off, off+int64(len(p)), s.info.Size)
	}
	if s.asked += int64(len(p)); s.asked > 3*s.info.Size { // the whole file, and its footer twice
		return 0, errGreedy
	}
	if s.small != nil {
		return copy(p, s.small[off:]), nil
	}
	if off < s.at || off-s.at > gapBytes {
		return len(p), s.apart(p, off)
	}
	if err := s.skip(off - s.at); err != nil {
		return 0, err
	}
	return len(p), s.stream(p)
}

// stream reads the next bytes.
func (s *source) stream(p []byte) error {
	n, err := io.ReadFull(s.body, p)
	s.crc = crc32.Update(s.crc, castagnoli, p[:n])
	s.at += int64(n)
	s.count(n)
	return s.failed(err)
}

// skip reads over n bytes.
func (s *source) skip(n int64) error {
	if s.over == nil && n > 0 {
		s.over = make([]byte, scratch)
	}
	for n > 0 {
		piece := s.over[:min(n, scratch)]
		if err := s.stream(piece); err != nil {
			return err
		}
		n -= int64(len(piece))
	}
	return nil
}

// rest reads to the part's end, and behind it, where a change of the object shows that was noticed with the last byte.
func (s *source) rest() {
	if err := s.skip(s.info.Size - s.at); err != nil { // which is kept
		return
	}
	if _, err := s.body.Read(make([]byte, 1)); err != io.EOF {
		_ = s.failed(err)
	}
}

// apart reads bytes that are not next in the stream.
func (s *source) apart(p []byte, off int64) error {
	body, _, err := s.store.Read(s.ctx, s.info.URL, off, int64(len(p)), s.info.ETag)
	if err != nil {
		return s.failed(err)
	}
	defer body.Close()
	_, err = io.ReadFull(body, p)
	return s.failed(err)
}

// failed keeps an error of the storage.
func (s *source) failed(err error) error {
	if err != nil && s.err == nil {
		s.err = err
	}
	return err
}

func (s *source) close() { s.body.Close() }
