package encoding

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// members reads an object that is made of members or frames, each of which says where it ends, one after the other.
type members struct {
	d    *Decoder
	open func(first bool) (io.Reader, error) // begins the next one; io.EOF: none follows
	now  io.Reader
	some bool // one was begun
}

func (m *members) Read(p []byte) (int, error) {
	for {
		if m.now == nil {
			if _, err := m.d.in.Peek(1); err != nil {
				return 0, err // io.EOF where no member is open is the end
			}
			var err error
			if m.now, err = m.open(!m.some); err != nil {
				return 0, err
			}
			m.some = true
		}
		n, err := m.now.Read(p)
		if err == io.EOF {
			m.now, err = nil, nil
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
}

// openGzip begins a member. As gzip(1) does, it passes over zeros at the end, which tapes and some programs pad with; unlike
// it, it refuses anything else there.
func (d *Decoder) openGzip(first bool) (io.Reader, error) {
	if b, _ := d.in.Peek(1); !first && b[0] == 0 {
		return nil, d.passZeros()
	}
	if b, _ := d.in.Peek(2); !first && len(b) == 2 && string(b) != "\x1f\x8b" {
		return nil, errGarbage
	}
	var err error
	if d.gz == nil {
		d.gz, err = gzip.NewReader(d.in)
	} else {
		err = d.gz.Reset(d.in)
	}
	if err != nil {
		return nil, inside(err)
	}
	d.gz.Multistream(false)
	return d.gz, nil
}

// passZeros returns io.EOF after zeros.
func (d *Decoder) passZeros() error {
	for {
		b, err := d.in.ReadByte()
		if err != nil {
			return err
		}
		if b != 0 {
			return errGarbage
		}
	}
}

// openZstd begins all the frames that are left: the library reads one after the other by itself, and passes over skippable ones.
func (d *Decoder) openZstd(bool) (io.Reader, error) {
	if err := d.newZstd(); err != nil {
		return nil, err
	}
	return d.zs, inside(d.zs.Reset(d.in))
}

// newZstd makes the decoder of zstd, if there is none yet.
func (d *Decoder) newZstd() (err error) {
	if d.zs == nil {
		// With one goroutine less is read ahead, and other tasks have the other processors.
		if d.zs, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(uint64(d.limits.Window))); err != nil {
			return fmt.Errorf("zstd: %w", err)
		}
	}
	return nil
}

// openLZ4 begins all the frames that are left, as openZstd does.
func (d *Decoder) openLZ4(bool) (io.Reader, error) {
	// A new one for each object: the library's Reset keeps what a frame before left to refer to.
	return lz4.NewReader(d.in), nil
}

// openFrame passes over skippable frames until the first one that tells what the object is.
func (d *Decoder) openFrame(bool) (io.Reader, error) {
	kind, err := d.frame()
	switch {
	case err != nil:
		return nil, err
	case kind == Skippable:
		return d.passFrame()
	case kind == LZ4:
		d.kind = LZ4
		return d.openLZ4(false)
	case kind == Zstd:
		d.kind = Zstd
		return d.openZstd(false)
	}
	return nil, errGarbage
}

// frame tells what kind of frame follows.
func (d *Decoder) frame() (Kind, error) {
	head, err := d.in.Peek(4)
	if err != nil {
		return Plain, inside(err)
	}
	return Detect(head), nil
}

// passFrame returns the reader of a skippable frame: it has no bytes.
func (d *Decoder) passFrame() (io.Reader, error) {
	var head [8]byte
	if _, err := io.ReadFull(d.in, head[:]); err != nil {
		return nil, inside(err)
	}
	n := int64(binary.LittleEndian.Uint32(head[4:]))
	if _, err := io.CopyN(io.Discard, d.in, n); err != nil {
		return nil, inside(err)
	}
	return nothing{}, nil
}

// openSnappy begins all that is left: a stream may hold the mark of a stream's begin anywhere.
func (d *Decoder) openSnappy(bool) (io.Reader, error) {
	if d.s2 == nil {
		d.s2 = s2.NewReader(d.in, strictChunks()...)
	} else {
		d.s2.Reset(d.in)
	}
	return d.s2, nil
}

// strictChunks refuse the types of chunks that no program writes and that readers are to pass over: one bit that is turned makes
// such a type of the data's. Padding and the index of S2 are passed over.
func strictChunks() (opts []s2.ReaderOption) {
	const first, index, padding = 0x80, 0x99, 0xfe
	refuse := func(io.Reader) error { return errGarbage }
	for id := byte(first); id < padding; id++ {
		if id != index {
			opts = append(opts, s2.ReaderSkippableCB(id, refuse))
		}
	}
	return opts
}

// inside is an error within a member, where the end of the object is not expected.
func inside(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// nothing is what a skippable frame holds.
type nothing struct{}

func (nothing) Read([]byte) (int, error) { return 0, io.EOF }
