package input

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/encoding"
)

const (
	// A line piece asks for a little more than its length at once, since its last line mostly ends beyond it: an eighth
	// of the piece within these bounds. Each further request doubles.
	minBeyond = 4 << 10
	maxBeyond = 64 << 10
)

// object reads one piece of an object, front to back, in as few requests as possible. What cuts it into records asks for plain
// bytes with fill, and for offset, end and ended, whether the object is compressed or not.
type object struct {
	src   Source
	piece Piece
	body  io.ReadCloser // of the current request; nil between requests
	pos   int64         // of the next byte from body
	until int64         // where the current request ends
	to    func(progress) error
	sent  int64 // progress was reported up to here

	turn    func(context.Context) (*encoding.Decoder, error) // waits until a decoder is free for this piece
	looked  bool                                             // at the object's first bytes
	seen    *isPacked                                        // by that look, until the object is packed
	*packed                                                  // of a compressed object, else nil

	// Of CSV.
	header      []byte // for the blocks to send
	first, next int64  // what cut says
}

func newObject(src Source, p Piece, to func(progress) error) *object {
	return &object{src: src, piece: p, pos: p.Offset, sent: p.Offset, to: to, first: -1}
}

// cut says where the piece's records begin and end, if that was for the piece's reader to find out.
func (o *object) cut() *Cut {
	p := o.piece
	if p.Format.Kind != CSV || !p.Format.Quotes || p.Length == 0 || p.Length == p.Size {
		return nil
	}
	return &Cut{o.first, o.next}
}

// read sends the blocks of the piece.
func (o *object) read(ctx context.Context, opts Options) error {
	err := o.check(opts)
	if err == nil && o.piece.Encoding.Packed() {
		err = o.unpack(ctx, o.piece.Encoding, nil)
	}
	if err == nil {
		err = o.records(ctx, opts)
	}
	if err != nil && o.seen != nil { // before any record was cut
		if err = o.unpack(ctx, o.seen.kind, o.seen.head); err == nil {
			err = o.records(ctx, opts)
		}
	}
	if err == nil {
		err = o.verify()
	}
	if err == nil && !o.stops() {
		err = o.finish()
	}
	if o.body != nil {
		o.body.Close() // after an error, which says more
	}
	if errors.Is(err, storage.ErrChanged) {
		return fmt.Errorf("input changed during the job: %w", err)
	}
	return err
}

// records sends the piece's records.
func (o *object) records(ctx context.Context, opts Options) error {
	if o.packed != nil && o.piece.Every > 0 {
		opts.BlockSize = min(opts.BlockSize, sampleBlock)
	}
	switch f := o.piece.Format; f.Kind {
	case Lines:
		return o.lines(ctx, opts)
	case Fixed:
		return o.fixed(ctx, f.Length, opts)
	case CSV:
		return o.csv(ctx, opts)
	default:
		return o.whole(ctx, opts)
	}
}

// fail is an error of this package's own; those of the source name the object themselves.
func (o *object) fail(format string, args ...any) error {
	return fmt.Errorf("read %s: "+format, append([]any{o.piece.URL}, args...)...)
}

// check reports a piece or a record length that cannot be read.
func (o *object) check(opts Options) error {
	p := o.piece
	f := p.Format
	switch {
	case f.Kind > CSV:
		return o.fail("record format %d: not known to this version", f.Kind)
	case f.Kind == CSV && (f.Comma == 0 || f.Comma == '"' || f.Comma == '\n' || f.Comma == '\r' || f.Comma >= 0x80):
		return o.fail("csv separator %q: must be one character of ASCII that is no quote and no line end", f.Comma)
	case p.Offset < 0 || p.Length < 0 || p.Offset > p.Size || p.Length > p.Size-p.Offset:
		return o.fail("bytes %d+%d of an object of %d bytes: not a piece of it", p.Offset, p.Length, p.Size)
	case f.Kind == Fixed && (f.Length < 1 || f.Length > opts.MaxRecord):
		return o.fail("%w: record length %d: must be between 1 and %d bytes", ErrRecord, f.Length, opts.MaxRecord)
	case f.Kind == File && p.Length != p.Size:
		return o.fail("bytes %d+%d of %d: a file that is one record is not cut", p.Offset, p.Length, p.Size)
	case f.Kind == File && p.Size > opts.MaxFile:
		return o.failFile(fmt.Sprint(p.Size), opts)
	}
	return nil
}

// failFile reports a file that is too large for one record.
func (o *object) failFile(size string, opts Options) error {
	return o.fail("%w: %s bytes are more than the %d that a file read as one record may have: "+
		"use a job that reads lines or fixed records, or smaller files", ErrRecord, size, opts.MaxFile)
}

// fill reads len(buf) plain bytes, fewer only of a compressed object that ends, or near the end of a piece of it. Of others no more
// may be asked for than the object holds.
func (o *object) fill(ctx context.Context, buf []byte) (int, error) {
	if o.packed != nil {
		return o.unpacked(buf)
	}
	if !o.looked {
		if done, err := o.look(ctx, buf); done || err != nil {
			return len(buf), err
		}
	}
	return len(buf), o.fetch(ctx, buf)
}

// fetch reads len(buf) of the object's own bytes at pos. No request may have to be made for more than the object holds.
func (o *object) fetch(ctx context.Context, buf []byte) error {
	for len(buf) > 0 {
		if o.body == nil {
			if err := o.request(ctx, int64(len(buf))); err != nil {
				return err
			}
		}
		n, err := io.ReadFull(o.body, buf[:min(int64(len(buf)), o.until-o.pos)])
		o.pos += int64(n)
		buf = buf[n:]
		switch {
		case err == io.EOF || err == io.ErrUnexpectedEOF:
			return o.short()
		case err != nil:
			return fmt.Errorf("input at byte %d: %w", o.pos, err)
		}
		if o.pos == o.until {
			if err := o.finish(); err != nil {
				return err
			}
		}
	}
	return nil
}

// request opens the object from pos up to until, or for n bytes if that is further.
func (o *object) request(ctx context.Context, n int64) error {
	o.until = min(o.piece.Size, max(o.until, o.pos+n))
	body, info, err := o.src.Read(ctx, o.piece.URL, o.pos, o.until-o.pos, o.piece.ETag)
	if err != nil {
		return fmt.Errorf("input at byte %d: %w", o.pos, err)
	}
	o.body = body
	if info.Size != o.piece.Size {
		return o.fail("has %d bytes now, had %d: %w", info.Size, o.piece.Size, storage.ErrChanged)
	}
	return nil
}

// finish reads the current request to its end, if there is one, and closes it: only there does a source say that the
// object changed meanwhile, and a connection that is read to its end can be used again. It is at most maxBeyond away.
func (o *object) finish() error {
	if o.body == nil {
		return nil
	}
	n, err := io.Copy(io.Discard, o.body)
	o.pos += n
	if err != nil {
		return fmt.Errorf("input at byte %d: %w", o.pos, err)
	}
	if o.pos != o.until {
		return o.short()
	}
	err = o.body.Close()
	o.body = nil
	if err != nil {
		return fmt.Errorf("input at byte %d: %w", o.pos, err)
	}
	return nil
}

// short reports a body that ended before, or went on beyond, where an object of this size must end.
func (o *object) short() error {
	return o.fail("ends at byte %d, not %d: %w", o.pos, o.until, storage.ErrChanged)
}

// send hands a block to the reader.
func (o *object) send(off int64, data []byte) error {
	p := off + int64(len(data))
	if o.packed != nil {
		if off < o.due {
			return nil
		}
		o.due = off + o.piece.Every
		p = max(o.sent, o.dec.Taken())
	}
	p = min(p, o.piece.end())
	b := progress{Block: Block{URL: o.piece.URL, From: o.from(), Input: o.piece.Input, Offset: off, Data: data, Header: o.header}, read: p - o.sent}
	o.sent = p
	return o.to(b)
}
