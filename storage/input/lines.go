package input

import (
	"bytes"
	"context"
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
		begin := o.offset() - int64(len(line)) // of the buffer, in the object
		data, err := o.more(ctx, line, opts)
		if err != nil {
			return err
		}
		if !found {
			n := bytes.IndexByte(data, '\n') + 1
			if found = n > 0; !found {
				if o.offset() >= o.end() || o.ended() { // one line covers the piece, and begins before it
					return nil
				}
				continue
			}
			data, begin = data[n:], begin+int64(n)
			if begin >= o.end() {
				return nil
			}
		}
		n, last := cut(data, o.end()-begin, o.ended())
		if tooLong(data, n, opts.MaxRecord) {
			return o.fail("%w: the line %s is longer than %d bytes: if this is not text, use a job that reads "+
				"fixed records or whole files; otherwise break the line", ErrRecord, o.place(begin), opts.MaxRecord)
		}
		if n > 0 {
			if err := o.send(begin, data[:n:n]); err != nil {
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
	if o.packed != nil {
		return
	}
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
	switch {
	case o.packed != nil:
		return o.morePacked(line, want)
	case o.pos < o.until: // no more than is asked for already
		want = min(want, o.until-o.pos)
	default:
		want = min(max(int64(len(line)), minBeyond), want, o.piece.Size-o.pos)
	}
	buf := fresh(len(line) + int(want))
	copy(buf, line)
	_, err := o.fill(ctx, buf[len(line):])
	return buf, err
}

// morePacked is more of a compressed object, of which nobody knows how much there is.
func (o *object) morePacked(line []byte, want int64) ([]byte, error) {
	if o.plain == 0 { // most objects are small: they come to a few times their size
		want = min(want, max(minBeyond, packedRatio*o.piece.Size))
	}
	buf := fresh(len(line) + int(want))
	copy(buf, line)
	n, err := o.unpacked(buf[len(line):])
	buf = buf[:len(line)+n]
	if len(buf) < cap(buf)/2 { // records keep the whole buffer in memory
		buf = append(fresh(len(buf))[:0], buf...)
	}
	return buf, err
}

// packedRatio is how many times its own size a small compressed object mostly comes to at the most.
const packedRatio = 8

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

// tooLong reports whether the first line of a buffer, of which n bytes are whole lines, is over the limit. No other line
// can be longer than what is read at once, which is within the limit.
func tooLong(data []byte, n, limit int) bool {
	if len(data) <= limit {
		return false
	}
	end := bytes.IndexByte(data[:n], '\n')
	if end < 0 { // it ends with the object, or goes on beyond the buffer
		end = len(data)
	}
	if end > 0 && data[end-1] == '\r' {
		end--
	}
	return end > limit
}
