package input

import (
	"bytes"
	"context"
	"fmt"
)

// lines sends the lines that begin within the piece, as blocks.
//
// A buffer is filled from where the last one ended, after a copy of the line that the last one cut (on average half a
// line for each MiB). What it holds of whole lines is a block.
func (o *object) lines(ctx context.Context, opts Options) error {
	p := o.piece
	if p.Length == 0 {
		return nil
	}
	o.plan()
	var line []byte // begun in the buffer before
	for found := p.Offset == 0; ; {
		begin := o.pos - int64(len(line)) // of the buffer, in the object
		data, err := o.more(ctx, line, opts)
		if err != nil {
			return err
		}
		if !found {
			n := bytes.IndexByte(data, '\n') + 1
			if found = n > 0; !found {
				if o.pos >= p.end() { // one line covers the piece, and begins before it
					return nil
				}
				continue
			}
			data, begin = data[n:], begin+int64(n)
			if begin >= p.end() {
				return nil
			}
		}
		n, last := cut(data, p.end()-begin, o.pos == p.Size)
		if err := checkLine(data, n, begin, opts.MaxRecord); err != nil {
			return err
		}
		if n > 0 {
			if err := o.send(ctx, begin, data[:n:n]); err != nil {
				return err
			}
		}
		if last {
			return nil
		}
		line = data[n:]
	}
}

// plan sets where to begin and how far the first request goes.
func (o *object) plan() {
	p := o.piece
	if p.Offset > 0 {
		o.pos = p.Offset - 1 // an LF there means that a line begins with the piece
	}
	o.until = min(p.Size, p.end()+min(max(p.Length/8, minBeyond), maxBeyond))
	if p.end() == p.Size {
		o.until = p.Size
	}
}

// more returns a buffer of line and of what follows it: a block's worth, or as much again as a line that is longer has.
// It is never asked for more at the end of the object.
func (o *object) more(ctx context.Context, line []byte, opts Options) ([]byte, error) {
	want := int64(min(max(opts.BlockSize, len(line)), opts.MaxRecord))
	if o.pos < o.until { // no more than is asked for already
		want = min(want, o.until-o.pos)
	} else {
		want = min(max(int64(len(line)), minBeyond), want, o.piece.Size-o.pos)
	}
	buf := make([]byte, int64(len(line))+want)
	copy(buf, line)
	return buf, o.fill(ctx, buf[len(line):])
}

// cut returns how many bytes of data are whole lines of the piece, which ends at data[end] or beyond, and whether the
// piece ends with them. atEnd says that data reaches to the end of the object. data begins with a line of the piece.
func cut(data []byte, end int64, atEnd bool) (n int, last bool) {
	if end <= int64(len(data)) { // the line that holds the piece's last byte is the last one
		if i := bytes.IndexByte(data[end-1:], '\n'); i >= 0 {
			return int(end) + i, true
		}
	}
	if atEnd {
		return len(data), true
	}
	return bytes.LastIndexByte(data, '\n') + 1, false
}

// checkLine reports a first line over the limit, of which n bytes of data hold whole lines. No other line of a buffer can
// be longer than what was read into it at once, which is within the limit.
func checkLine(data []byte, n int, begin int64, limit int) error {
	if len(data) <= limit {
		return nil
	}
	size := bytes.IndexByte(data[:n], '\n')
	switch {
	case size < 0 && n > 0:
		size = n // at the end of the object
	case size < 0:
		size = len(data)
	}
	if size > 0 && data[size-1] == '\r' {
		size--
	}
	if size <= limit {
		return nil
	}
	return fmt.Errorf("%w: the line at byte %d is longer than %d bytes: if this is not text, "+
		"use a job that reads fixed records or whole files; otherwise break the line", ErrRecord, begin, limit)
}
