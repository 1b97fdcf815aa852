package input

import (
	"bytes"
	"context"
)

const (
	// startWindow is how far the search for a piece's first record looks, bytes: a false guess is found out by whoever puts
	// the pieces' ends together, so that a field of more text than this, without a quote in it, costs a run and no rows.
	startWindow = 1 << 20
	// startMargin is how many times a guess must break the grammar more often than another to be given up before the end of
	// the window: files have bad records in them.
	startMargin = 4
	// lookBehind is how much before the piece is read, bytes: where a bad record lies on the cut, what comes before it tells more.
	lookBehind = 1 << 10
)

// startSearch finds where the first record begins in a text of which nobody knows whether it begins in quotes. It reads the
// text in all states at once: the false ones soon break the grammar, or come to the same record as the true one.
type startSearch struct {
	comma byte
	from  int64 // a record counts that begins here or beyond
	at    int64 // of the next byte
	paths [csvStates]startPath
}

// startPath is the best of the ways by which a state can have been reached.
type startPath struct {
	alive  bool
	inside bool  // it began in quotes
	broken int   // how often the grammar was broken
	begin  int64 // of the first record; -1 before that
}

// better says whether p is to be believed rather than q. Outside of quotes is the more likely place.
func (p startPath) better(q startPath) bool {
	switch {
	case !p.alive || !q.alive:
		return p.alive
	case p.broken != q.broken:
		return p.broken < q.broken
	}
	return !p.inside && q.inside
}

// guessing begins a search in any state.
func guessing(comma byte, at, from int64) *startSearch {
	s := &startSearch{comma: comma, at: at, from: from}
	for i := range s.paths {
		s.paths[i] = startPath{alive: true, inside: csvState(i) == csvQuoted, begin: -1}
	}
	return s
}

// knowing begins a search at the beginning of a record.
func knowing(comma byte, at, from int64) *startSearch {
	s := &startSearch{comma: comma, at: at, from: from}
	s.paths[csvStart] = startPath{alive: true, begin: -1}
	return s
}

// scan reads on, until the record is known or data ends.
func (s *startSearch) scan(data []byte) {
	for len(data) > 0 {
		n := s.skip(data)
		if n == 0 {
			s.step(data[0])
			n = 1
		}
		data = data[n:]
		if _, known := s.known(); known {
			return
		}
	}
}

// skip reads up to the next quote, if there is one path in quotes and one outside at most.
func (s *startSearch) skip(data []byte) int {
	p := &s.paths
	if p[csvClosing].alive || p[csvStart].alive && p[csvPlain].alive {
		return 0
	}
	n := bytes.IndexByte(data, '"')
	if n < 0 {
		n = len(data)
	}
	if n == 0 {
		return 0
	}
	out := p[csvStart]
	if !out.alive {
		out = p[csvPlain]
	}
	p[csvStart], p[csvPlain] = startPath{}, startPath{}
	if out.alive {
		early := min(int64(n), max(0, s.from-s.at-1)) // an LF before from-1 ends a record of no account
		if i := bytes.IndexByte(data[early:n], '\n'); i >= 0 && out.begin < 0 {
			out.begin = s.at + early + int64(i) + 1
		}
		state, _ := csvPlain.next(data[n-1], s.comma)
		p[state] = out
	}
	s.at += int64(n)
	return n
}

// step reads a byte.
func (s *startSearch) step(b byte) {
	s.at++
	var next [csvStates]startPath
	for i, p := range s.paths {
		if !p.alive {
			continue
		}
		state, broken := csvState(i).next(b, s.comma)
		if broken {
			p.broken++
		}
		if b == '\n' && state == csvStart && p.begin < 0 && s.at >= s.from {
			p.begin = s.at
		}
		if p.better(next[state]) {
			next[state] = p
		}
	}
	s.paths = next
	best := s.best()
	for i := range s.paths {
		if p := &s.paths[i]; p.broken >= best.broken+startMargin {
			*p = startPath{}
		}
	}
}

func (s *startSearch) best() (best startPath) {
	for _, p := range s.paths {
		if p.better(best) {
			best = p
		}
	}
	return best
}

// known returns where the first record begins, if all paths that are left agree on that.
func (s *startSearch) known() (begin int64, known bool) {
	begin = s.best().begin
	for _, p := range s.paths {
		if p.alive && p.begin != begin {
			return 0, false
		}
	}
	return begin, begin >= 0
}

// earliest is where the first record begins by any path, -1 if none has found one.
func (s *startSearch) earliest() int64 {
	least := int64(-1)
	for _, p := range s.paths {
		if p.alive && p.begin >= 0 && (least < 0 || p.begin < least) {
			least = p.begin
		}
	}
	return least
}

// settle gives up all paths but the best. At the object's end a path that is in quotes is broken.
func (s *startSearch) settle(atEnd bool) {
	if p := &s.paths[csvQuoted]; p.alive && atEnd {
		p.broken++
	}
	best, kept := s.best(), false
	for i := range s.paths {
		p := &s.paths[i]
		if kept || *p != best {
			*p = startPath{}
			continue
		}
		kept = true
	}
}

// firstRecord returns where the piece's first record begins and a buffer from there on; begin is below 0 if none begins in the
// piece. header is the length of the object's header, if the piece begins beyond byte 0.
func (o *object) firstRecord(ctx context.Context, header int64, opts Options) (begin int64, data []byte, err error) {
	p := o.piece
	var s *startSearch
	switch {
	case p.Offset == 0:
		if data, err = o.more(ctx, nil, opts); err == nil {
			err = o.checkText(data)
		}
		return 0, data, err
	case !p.Format.Quotes:
		s = knowing(p.Format.Comma, o.pos, p.Offset)
	default:
		o.pos = p.Offset - min(p.Offset, max(1, min(lookBehind, int64(opts.BlockSize))))
		if p.Offset <= max(header, int64(len(byteOrderMark))) { // a quote may open a field after the mark
			o.pos = 0
		}
		s = guessing(p.Format.Comma, o.pos, p.Offset)
		if o.pos == 0 {
			s = knowing(p.Format.Comma, 0, p.Offset)
		}
	}
	return o.search(ctx, s, opts)
}

// search reads until it knows where the first record begins.
func (o *object) search(ctx context.Context, s *startSearch, opts Options) (begin int64, data []byte, err error) {
	p, from := o.piece, o.pos
	for {
		old := len(data)
		if data, err = o.more(ctx, data, opts); err != nil {
			return 0, nil, err
		}
		fresh := data[old:]
		if s.at == 0 {
			if err := o.checkText(fresh); err != nil {
				return 0, nil, err
			}
			if bytes.HasPrefix(fresh, []byte(byteOrderMark)) {
				s.at, fresh = int64(len(byteOrderMark)), fresh[len(byteOrderMark):]
			}
		}
		if p.Format.Quotes {
			s.scan(fresh)
		} else {
			s.lines(fresh)
		}
		atEnd := o.pos == p.Size
		begin, known := s.known()
		if !known && (atEnd || o.pos-from >= startWindow) {
			s.settle(atEnd)
			begin, known = s.known()
		}
		if first := s.earliest(); o.pos >= p.end() && (first < 0 || first >= p.end()) {
			return -1, nil, nil // whichever path is the true one
		}
		if at := o.pos - int64(len(data)); known {
			return begin, data[begin-at:], nil
		} else if first := s.earliest(); first >= 0 {
			data = data[first-at:]
		} else {
			data = nil
		}
	}
}

// lines is scan for a text in which quotes mean nothing.
func (s *startSearch) lines(data []byte) {
	p := &s.paths[csvStart]
	early := min(int64(len(data)), max(0, s.from-s.at-1))
	if i := bytes.IndexByte(data[early:], '\n'); i >= 0 && p.begin < 0 {
		p.begin = s.at + early + int64(i) + 1
	}
	s.at += int64(len(data))
}
