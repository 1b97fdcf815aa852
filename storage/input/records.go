package input

import (
	"context"
	"fmt"
)

// fixed sends the piece as blocks of as many whole records as fit.
func (o *object) fixed(ctx context.Context, length int, opts Options) error {
	size := max(1, opts.BlockSize/length) * length
	if o.packed != nil {
		return o.fixedPacked(length, size)
	}
	if err := o.checkSize(ctx); err != nil {
		return err
	}
	o.until = o.piece.end() // one request
	for o.pos < o.piece.end() {
		off := o.pos
		data := fresh(int(min(int64(size), o.piece.end()-off)))
		if _, err := o.fill(ctx, data); err != nil {
			return err
		}
		if err := o.send(off, data); err != nil {
			return err
		}
	}
	return nil
}

// fixedPacked is fixed of a compressed object.
func (o *object) fixedPacked(length, size int) error {
	if skip := (length - int(o.offset()%int64(length))) % length; skip > 0 { // of a record that begins before the piece
		if _, err := o.unpacked(make([]byte, skip)); err != nil {
			return err
		}
	}
	for !o.ended() && o.offset() < o.end() {
		off := o.offset()
		want := size
		if rest := o.end() - off; rest < int64(size) { // the records that begin before the piece's end
			want = (int(rest) + length - 1) / length * length
		}
		data := fresh(want)
		n, err := o.unpacked(data)
		if err != nil {
			return err
		}
		if n%length != 0 {
			return o.failLength(o.offset(), "decompressed ")
		}
		if n == 0 {
			return nil
		}
		if err := o.send(off, data[:n:n]); err != nil {
			return err
		}
	}
	return nil
}

// checkSize reports an uncompressed object that is not made of whole records.
func (o *object) checkSize(ctx context.Context) error {
	p, n := o.piece, int64(o.piece.Format.Length)
	if p.Size%n != 0 {
		if _, err := o.look(ctx, nil); err != nil { // if it is compressed, its size says nothing
			return err
		}
		return o.failLength(p.Size, "")
	}
	if p.Offset%n != 0 || p.Length%n != 0 {
		return o.fail("bytes %d+%d: not whole records of %d bytes", p.Offset, p.Length, n)
	}
	return nil
}

func (o *object) failLength(size int64, what string) error {
	n := int64(o.piece.Format.Length)
	return o.fail("%w: %d %sbytes are not a whole number of %d-byte records: the last one has %d bytes; "+
		"mend the object or choose another record length", ErrRecord, size, what, n, size%n)
}

// whole sends the object as one block. An empty one is a record too.
func (o *object) whole(ctx context.Context, opts Options) error {
	if o.packed != nil {
		return o.wholePacked(opts)
	}
	data := fresh(int(o.piece.Size))
	if _, err := o.fill(ctx, data); err != nil {
		return err
	}
	return o.send(0, data)
}

// wholePacked is whole of a compressed object. Its buffer grows with what there is, up to the limit and a byte more.
func (o *object) wholePacked(opts Options) error {
	data := fresh(int(min(max(minBeyond, packedRatio*o.piece.Size), opts.MaxFile+1)))
	for n := 0; ; {
		m, err := o.unpacked(data[n:])
		n += m
		switch {
		case err != nil:
			return err
		case int64(n) > opts.MaxFile:
			return o.failFile(fmt.Sprint("more than ", n-1), opts)
		case n < len(data) || o.ended():
			return o.send(0, data[:n:n])
		}
		grown := fresh(int(min(2*int64(n), opts.MaxFile+1)))
		copy(grown, data)
		data = grown
	}
}
