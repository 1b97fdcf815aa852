package input

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/millrace/millrace/storage/encoding"
)

// packed is the state of a compressed object: its plain bytes take the place of the object's own, and offsets count them.
type packed struct {
	dec   *encoding.Decoder
	plain int64 // offset of the next plain byte
	stop  int64 // of the first plain byte that is the next piece's; the largest number as long as that is not known
	all   bool  // there is no further plain byte
	// bounded says that stop is where a piece ends that other pieces follow: there is no need to read far behind it.
	bounded bool
	due     int64 // offset from which on the next block is given, of a sample
}

// isPacked is the discovery that an object is compressed, from its first bytes.
type isPacked struct {
	kind encoding.Kind
	head []byte
}

func (p *isPacked) Error() string { return "it is compressed: " + string(p.kind) }

// unreadable is compressed data that no attempt can read.
type unreadable struct{ error }

func (u unreadable) Unwrap() error { return u.error }

func (u unreadable) Is(target error) bool { return target == ErrRecord }

// offset returns where in the plain bytes the next one that fill reads lies.
func (o *object) offset() int64 {
	if o.packed != nil {
		return o.plain
	}
	return o.pos
}

// end returns the offset of the first plain byte behind the piece. Of a compressed one it may be known only when it is reached.
func (o *object) end() int64 {
	if o.packed != nil {
		return o.stop
	}
	return o.piece.end()
}

// ended says whether fill has read the last byte there is.
func (o *object) ended() bool {
	if o.packed != nil {
		return o.all
	}
	return o.pos == o.piece.Size
}

// sampleBlock is how much of a compressed object is given at each place of a sample, bytes.
const sampleBlock = 8 << 10

// stops says whether the piece may end before the object's own bytes do, so that what is left of them is not worth reading.
func (o *object) stops() bool {
	return o.packed != nil && o.piece.Most > 0 && o.piece.Format.Kind != File
}

// looks says whether the object's first bytes must tell whether it is compressed: whoever cut it into pieces has not looked.
func (o *object) looks() bool {
	p := o.piece
	return !p.Raw && !p.Encoding.Packed() && p.Offset == 0 && p.Size > 0
}

// look reads the object's first bytes to see whether it is compressed. If buf has room for them it is filled, and look returns
// true, so that an object that is not costs nothing more.
func (o *object) look(ctx context.Context, buf []byte) (bool, error) {
	if o.looked || !o.looks() {
		o.looked = true
		return false, nil
	}
	o.looked = true
	n := min(encoding.HeadBytes, int(o.piece.Size))
	enough := len(buf) >= n
	if !enough && o.piece.Length != o.piece.Size { // not worth a request of its own
		return false, nil
	}
	if !enough {
		buf = make([]byte, n)
	}
	if err := o.fetch(ctx, buf); err != nil {
		return false, err
	}
	if err := o.checkForeign(buf[:n]); err != nil {
		return false, err
	}
	if kind := encoding.Detect(buf[:n]); kind.Packed() && o.piece.Encoding == encoding.Unknown {
		if o.piece.Length != o.piece.Size {
			return false, o.fail("it is %s data, of which %d bytes are no piece: plan the job anew, or read them as they are with "+
				"--decompress none", kind, o.piece.Length)
		}
		o.seen = &isPacked{kind, buf}
		return false, o.seen
	}
	if !enough { // from the beginning again
		if o.body != nil {
			o.body.Close() // it was not read to its end
			o.body = nil
		}
		o.pos = 0
	}
	return enough, nil
}

// unpackFrames is unpack for a piece of an object that has a seek table.
func (o *object) unpackFrames(ctx context.Context) error {
	p := o.piece
	table, err := encoding.LoadTable(p.Size, func(off, n int64) ([]byte, error) {
		part := object{src: o.src, piece: p, pos: off, until: off + n}
		buf := make([]byte, n)
		err := part.fetch(ctx, buf)
		if part.body != nil {
			part.body.Close() // after an error, which says more
		}
		return buf, err
	})
	switch {
	case err != nil:
		return err
	case table == nil:
		return o.fail("its seek table cannot be used: plan the job anew, or read it as it is with --decompress none")
	case p.Format.Kind == Fixed && table.Plain()%int64(p.Format.Length) != 0:
		return o.failLength(table.Plain(), "decompressed ")
	}
	o.pos = table.Begin(p.Offset)
	o.dec.ResetFrames(table, &rest{ctx, o}, p.Offset, p.end())
	o.plain = o.dec.Base()
	if o.stops() {
		o.stop += o.plain
	}
	o.bound()
	return nil
}

// checkForeign reports text that is none, but compressed in a way that nobody here can read.
func (o *object) checkForeign(head []byte) error {
	if name := encoding.Foreign(head); name != "" && (o.piece.Format.Kind == Lines || o.piece.Format.Kind == CSV) {
		return o.fail("%w: it is %s data, which millrace does not decompress: decompress them, or compress them with gzip, bzip2, "+
			"zstd, lz4 or snappy; read them as they are with --decompress none", ErrRecord, name)
	}
	return nil
}

// unpack makes the object one of plain bytes. Of its own the first ones have been read already: head.
func (o *object) unpack(ctx context.Context, kind encoding.Kind, head []byte) error {
	dec, err := o.turn(ctx)
	if err != nil {
		return err
	}
	o.packed, o.seen = &packed{dec: dec, stop: math.MaxInt64}, nil
	if o.stops() {
		o.stop = o.piece.Most // from the piece's begin on
	}
	if p := o.piece; p.Length == p.Size {
		dec.Reset(kind, io.MultiReader(bytes.NewReader(head), &rest{ctx, o}))
		return nil
	} else if kind == encoding.Seekable {
		return o.unpackFrames(ctx)
	} else {
		dec.ResetPiece(kind, &rest{ctx, o}, p.Offset, p.end())
		return nil
	}
}

// from is what Block.From says.
func (o *object) from() int64 {
	if o.packed == nil || o.piece.Offset == 0 {
		return 0
	}
	return o.dec.Origin()
}

// place says where a plain byte lies, for an error.
func (o *object) place(off int64) string {
	if from := o.from(); from > 0 {
		return fmt.Sprintf("at byte %d of what decompresses from its byte %d on", off, from)
	}
	return fmt.Sprintf("at byte %d", off)
}

// verify checks what the next piece begins with, where this one has ended.
func (o *object) verify() error {
	if o.packed == nil || o.stops() {
		return nil
	}
	return o.unreadable(o.dec.Verify())
}

// unreadable is an error of the decoder's.
func (o *object) unreadable(err error) error {
	if errors.Is(err, encoding.ErrData) {
		return fmt.Errorf("read %s: %w", o.piece.URL, unreadable{err})
	}
	return err
}

// unpacked reads plain bytes into buf: all of it, but for the end of the object and, as soon as that is known, what lies far behind
// the end of the piece.
func (o *object) unpacked(buf []byte) (n int, err error) {
	for from := o.plain; n < len(buf) && !o.all && !(o.bounded && o.piece.Format.Kind != Fixed && o.plain >= max(o.stop, from)+minBeyond); {
		m, err := o.dec.Read(buf[n:])
		n += m
		o.plain += int64(m)
		o.bound()
		switch {
		case err == io.EOF:
			o.all = true
		case err != nil:
			return n, o.unreadable(err)
		}
	}
	return n, nil
}

// bound sets where the piece ends, as soon as that is known.
func (o *object) bound() {
	at, ok := o.dec.Boundary()
	if !ok {
		return
	}
	if at += o.dec.Base(); o.piece.Format.Kind != Fixed {
		at++ // the line that begins there belongs to this piece too: the next one does not know whether an LF lies before it
	}
	o.stop, o.bounded = min(o.stop, at), true
}

// beyondPacked is how much behind a piece of a compressed object is asked for at once, bytes.
const beyondPacked = 1 << 20

// rest is what follows of an object's own bytes.
type rest struct {
	ctx context.Context // of the object's reading, in which the decoder calls Read
	*object
}

func (r *rest) Read(p []byte) (int, error) {
	o := r.object
	if o.body == nil {
		if o.pos == o.piece.Size {
			return 0, io.EOF
		}
		n := o.piece.Size - o.pos
		if o.piece.Length < o.piece.Size { // what is needed beyond a piece is mostly less than a block of bzip2
			n = max(o.piece.end()-o.pos, 0) + beyondPacked
		}
		if err := o.request(r.ctx, n); err != nil {
			return 0, err
		}
	}
	n, err := o.body.Read(p[:min(int64(len(p)), o.until-o.pos)])
	o.pos += int64(n)
	switch {
	case err == io.EOF && o.pos < o.until:
		return n, o.short()
	case err != nil && err != io.EOF:
		return n, fmt.Errorf("input at byte %d: %w", o.pos, err)
	case o.pos == o.until:
		return n, o.finish()
	}
	return n, nil
}
