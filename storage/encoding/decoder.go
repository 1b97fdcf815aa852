package encoding

import (
	"bufio"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
)

var (
	// ErrData reports compressed data that no attempt can read: damaged, cut off, or larger than allowed.
	ErrData = errors.New("unreadable compressed data")

	// errGarbage is what lies behind the last member of an object, and is no other one.
	errGarbage = errors.New("what follows is no compressed data")
)

// Limits bound what a Decoder takes and gives. The zero value means the defaults.
type Limits struct {
	// Window is the most memory for what data refer back to, bytes; 0: 128 MiB, zstd's own default. Only zstd can need more
	// than 4 MiB.
	Window int64
	// Plain is the most bytes that one object, or a piece of it, may come to. 0: 4 TiB, and from 4 GiB on no more than 10,000
	// times as much as was read. gzip reaches 1,032 times, and real logs with zstd about as much.
	Plain int64
}

const (
	defaultWindow = 128 << 20
	defaultPlain  = 4 << 40
	ratioFrom     = 4 << 30 // bytes; less than that costs a few seconds, whoever sent it
	ratioMost     = 10_000

	bufferBytes = 64 << 10 // of compressed data, read at a time
)

func (l Limits) filled() Limits {
	if l.Window <= 0 {
		l.Window = defaultWindow
	}
	return l
}

// Decoder turns compressed bytes into plain ones. It is used again and again, by one goroutine at a time.
type Decoder struct {
	limits Limits

	kind  Kind
	src   source
	in    *bufio.Reader // over src
	base  int64         // offset of the first of the plain bytes
	plain int64         // bytes returned
	now   io.Reader     // the kind's
	cut   cutter        // now, if it is read from one place to another
	err   error

	gz *gzip.Reader // kept between objects, as are the others
	zs *zstd.Decoder
	s2 *s2.Reader
}

// cutter reads a piece of an object, up to a boundary that it finds on its way.
type cutter interface {
	io.Reader
	boundary() (int64, bool) // see Decoder.Boundary
	origin() int64           // see Decoder.Origin
	verified() bool          // what the boundary lies before was read to its end, and checked
}

// NewDecoder returns a Decoder that reads nothing yet.
func NewDecoder(l Limits) *Decoder {
	d := &Decoder{limits: l.filled()}
	d.in = bufio.NewReaderSize(&d.src, bufferBytes)
	return d
}

// Reset begins to read an object, of which src yields all bytes. An error of src comes back from Read as it is.
func (d *Decoder) Reset(kind Kind, src io.Reader) {
	d.begin(kind, src, 0)
	switch kind {
	case Gzip:
		d.now = &members{d: d, open: d.openGzip}
	case Zstd, Seekable:
		d.now = &members{d: d, open: d.openZstd}
	case LZ4:
		d.now = &members{d: d, open: d.openLZ4}
	case Skippable:
		d.now = &members{d: d, open: d.openFrame}
	case Snappy:
		d.now = &members{d: d, open: d.openSnappy}
	case Bzip2:
		d.now = newBlocks(&d.src, 0, -1)
	default:
		d.err = fmt.Errorf("encoding %q: not known to this version", kind)
	}
}

// ResetPiece begins to read a piece of an object that can be cut: what begins in its compressed bytes from begin to end, and what
// follows, as long as it is read. src yields the object's bytes from begin on. Nothing begins in some pieces: they are empty.
func (d *Decoder) ResetPiece(kind Kind, src io.Reader, begin, end int64) {
	d.begin(kind, src, begin)
	if kind != Bzip2 {
		d.err = fmt.Errorf("a piece of %s data: they cannot be cut so", kind)
		return
	}
	d.cut = newBlocks(&d.src, begin, end)
	d.now = d.cut
}

// Boundary returns how many plain bytes lie before the first one of what begins behind the piece, once the reading has come there.
func (d *Decoder) Boundary() (int64, bool) {
	if d.cut == nil {
		return 0, false
	}
	return d.cut.boundary()
}

// Origin returns the compressed byte of the object from which on the plain bytes are counted. It is known with the first of them.
func (d *Decoder) Origin() int64 {
	if d.cut == nil {
		return 0
	}
	return d.cut.origin()
}

// Base returns the offset of the first of the plain bytes, counted from Origin.
func (d *Decoder) Base() int64 { return d.base }

// Verify reads on to the end of what the Boundary lies before, to check it. Whoever reads the next piece takes what is damaged at
// its beginning for data that merely look like a beginning, and passes over it: this reader has to tell.
func (d *Decoder) Verify() error {
	buf := make([]byte, 32<<10)
	for d.err == nil && d.cut != nil && !d.cut.verified() {
		_, _ = d.Read(buf) // its error stays
	}
	if d.err != io.EOF {
		return d.err
	}
	return nil
}

// begin forgets the last object. src yields bytes from off on.
func (d *Decoder) begin(kind Kind, src io.Reader, off int64) {
	d.kind, d.base, d.plain, d.err, d.now, d.cut = kind, 0, 0, nil, nil, nil
	d.src = source{r: src, n: off, begin: off}
	d.in.Reset(&d.src)
}

// Read implements io.Reader. io.EOF says that all of the object was read, and its checksums were right.
func (d *Decoder) Read(p []byte) (int, error) {
	if d.err != nil || len(p) == 0 {
		return 0, d.err
	}
	n, err := d.now.Read(p)
	d.plain += int64(n)
	if err == nil {
		err = d.checkSize()
	}
	if err != nil && err != io.EOF {
		err = d.explain(err)
	}
	d.err = err
	if n > 0 && err == io.EOF {
		return n, nil // the next Read says so
	}
	return n, err
}

// Taken returns where in the object the compressed bytes that were not read yet begin, or a little before.
func (d *Decoder) Taken() int64 { return d.src.n - int64(d.in.Buffered()) }

// checkSize ends an object that grows beyond all bounds.
func (d *Decoder) checkSize() error {
	most := d.limits.Plain
	if most <= 0 {
		most = defaultPlain
		if taken := d.Taken() - d.src.begin; d.plain > ratioFrom && d.plain/ratioMost > taken {
			return fmt.Errorf("%w: %s data of %d bytes come to more than %d bytes: if that is right, allow more with --max-decompressed",
				ErrData, d.kind, taken, d.plain)
		}
	}
	if d.plain > most {
		return fmt.Errorf("%w: %s data come to more than %d bytes: if that is right, allow more with --max-decompressed",
			ErrData, d.kind, most)
	}
	return nil
}

// explain says what is wrong with the data, where, and what to do; an error of the source says it itself.
func (d *Decoder) explain(err error) error {
	switch {
	case d.src.err != nil && d.src.err != io.EOF:
		return d.src.err
	case errors.Is(err, ErrData):
		return err
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w: %s data end too early, at byte %d: they were cut off; copy or compress them anew", ErrData, d.kind, d.src.n)
	case errors.Is(err, zstd.ErrWindowSizeExceeded):
		return fmt.Errorf("%w: zstd data near byte %d need a window of more than %d MiB: allow more --memory for each slot, or compress them without --long or --ultra",
			ErrData, d.Taken(), d.limits.Window>>20)
	case errors.Is(err, zstd.ErrUnknownDictionary):
		return fmt.Errorf("%w: zstd data near byte %d need a dictionary: compress them without one", ErrData, d.Taken())
	}
	return fmt.Errorf("%w: %s data are damaged or cut off near byte %d, %d bytes decompressed: %w: copy or compress them anew; "+
		"if they are no %s data, read them as they are with --decompress none", ErrData, d.kind, d.Taken(), d.plain, err, d.kind)
}

// source counts an object's compressed bytes, and remembers what was wrong with them.
type source struct {
	r        io.Reader
	n, begin int64 // of the next byte and of the first one, in the object
	err      error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	s.n += int64(n)
	if err != nil {
		s.err = err
	}
	return n, err
}
