package input

import (
	"bytes"
	"context"
	"fmt"
)

// The grammar by which CSV is cut into records, that of RFC 4180 made total, so that every text is records whatever is wrong
// with it. A byte is read in one of these states:
//
//	state         '"'         comma      LF            any other
//	start         quoted      start      record ends   plain
//	plain         plain (!)   start      record ends   plain
//	quoted        closing     quoted     quoted        quoted
//	closing       quoted      start      record ends   plain (!), but for CR, which may belong to the record's end
//
// start is the beginning of a field, closing is after a quote in quotes: the closing one or the first of a pair. (!) breaks the
// grammar: a quote within an unquoted field is a byte of it, and what follows a closing quote makes the field an unquoted one.
// That such records are bad is for their reader to say; the ones after them are not touched.
type csvState uint8

const (
	csvStart csvState = iota
	csvPlain
	csvQuoted
	csvClosing
	csvStates
)

// next is the state after b, and whether b breaks the grammar. A record ends with an LF that leads to csvStart.
func (s csvState) next(b, comma byte) (next csvState, broken bool) {
	switch {
	case s == csvQuoted && b == '"':
		return csvClosing, false
	case s == csvQuoted:
		return csvQuoted, false
	case b == '"' && s != csvPlain:
		return csvQuoted, false
	case b == comma || b == '\n':
		return csvStart, false
	}
	return csvPlain, b == '"' || s == csvClosing && b != '\r'
}

const byteOrderMark = "\ufeff"

// maxHeader is the most that an object may have up to the end of its header, bytes; firstHeader is the first request for it.
const (
	maxHeader   = 1 << 20
	firstHeader = 16 << 10
)

// csv sends the records that begin within the piece, as blocks. It is lines, for lines that can have their ends in quotes: of a
// piece that begins amid the object nobody knows whether it begins in quotes, see startSearch.
func (o *object) csv(ctx context.Context, opts Options) error {
	p := o.piece
	if p.Length == 0 {
		return nil
	}
	header, err := o.headerBefore(ctx)
	if err != nil {
		return err
	}
	o.plan()
	begin, data, err := o.firstRecord(ctx, int64(len(header)), opts)
	if err != nil || begin < 0 {
		return err
	}
	o.first = begin
	for {
		atEnd := o.ended()
		n, last := cutCSV(data, o.end()-begin, p.Format, begin == 0, atEnd)
		if csvTooLong(data, p.Format, begin == 0, atEnd, opts.MaxRecord) {
			return o.fail("%w: the record at byte %d is longer than %d bytes: look for a quote that is not closed; if quotes mean "+
				"nothing in this file, read it with CSVOptions.NoQuotes", ErrRecord, begin, opts.MaxRecord)
		}
		if begin == 0 && p.Format.Header {
			end := headerEnd(data, p.Format, atEnd)
			switch {
			case end > maxHeader || end == 0 && len(data) > maxHeader:
				return o.noHeader()
			case end > 0:
				header = data[:end:end]
			case !last: // empty lines before it
				n = 0
			}
		}
		if n > 0 {
			if err := o.sendRecords(begin, data[:n:n], header); err != nil {
				return err
			}
		}
		if last {
			o.next = begin + int64(n)
			return nil
		}
		rest := data[n:]
		begin += int64(n)
		if data, err = o.more(ctx, rest, opts); err != nil {
			return err
		}
	}
}

// sendRecords sends a block. The object's first one has the header in it.
func (o *object) sendRecords(begin int64, data, header []byte) error {
	o.header = nil
	if begin > 0 {
		o.header = header
	}
	return o.send(begin, data)
}

// headerBefore reads an object's header for a piece that begins beyond byte 0.
func (o *object) headerBefore(ctx context.Context) ([]byte, error) {
	p := o.piece
	if !p.Format.Header || p.Offset == 0 {
		return nil, nil
	}
	for want := int64(firstHeader); ; want *= 4 {
		h := object{src: o.src, piece: p}
		data := make([]byte, min(want, p.Size))
		h.until = int64(len(data))
		err := h.fetch(ctx, data)
		if h.body != nil {
			h.body.Close() // after an error, which says more
		}
		if err != nil {
			return nil, fmt.Errorf("header: %w", err)
		}
		if err := o.checkText(data); err != nil {
			return nil, err
		}
		switch n := headerEnd(data, p.Format, h.pos == p.Size); {
		case n > maxHeader || n == 0 && int64(len(data)) > maxHeader:
			return nil, o.noHeader()
		case n > 0:
			return data[:n:n], nil
		case h.pos == p.Size:
			return nil, nil
		}
	}
}

func (o *object) noHeader() error {
	return o.fail("%w: its first record, the header, does not end within %d bytes: look for a quote that is not closed; if the file "+
		"has no header, say so in CSVOptions", ErrRecord, maxHeader)
}

// checkText reports an object that begins as UTF-16 does.
func (o *object) checkText(data []byte) error {
	if bytes.HasPrefix(data, []byte{0xff, 0xfe}) || bytes.HasPrefix(data, []byte{0xfe, 0xff}) {
		return o.fail("%w: it is UTF-16, by its first two bytes: convert it to UTF-8", ErrRecord)
	}
	return nil
}

// headerEnd is where the first record ends that is no empty line, 0 if it is not whole in data.
func headerEnd(data []byte, f Format, atEnd bool) int {
	begin := 0
	if bytes.HasPrefix(data, []byte(byteOrderMark)) {
		begin = len(byteOrderMark)
	}
	for {
		n := recordEnd(data[begin:], f)
		if n < 0 && atEnd {
			n = len(data) - begin
		}
		if n <= 0 {
			return 0
		}
		if text := bytes.TrimRight(data[begin:begin+n], "\r\n"); len(text) > 0 {
			return begin + n
		}
		begin += n
	}
}

// recordEnd is where the record ends that data begins with, its end included; -1 if that is beyond data.
func recordEnd(data []byte, f Format) int {
	state := csvStart
	for i, b := range data {
		if f.Quotes {
			state, _ = state.next(b, f.Comma)
		}
		if b == '\n' && state == csvStart {
			return i + 1
		}
	}
	return -1
}

// csvTooLong reports whether the first record of a buffer is over the limit. No other one can be longer than what is read at
// once, which is within the limit.
func csvTooLong(data []byte, f Format, first, atEnd bool, limit int) bool {
	if len(data) <= limit {
		return false
	}
	if first && bytes.HasPrefix(data, []byte(byteOrderMark)) {
		data = data[len(byteOrderMark):]
	}
	text := data
	if end := recordEnd(data, f); end >= 0 {
		text = data[:end-1]
	}
	if !atEnd || len(text) < len(data) {
		text = bytes.TrimSuffix(text, []byte("\r"))
	}
	return len(text) > limit
}
