// Package plan turns a job's spec and the listing of its inputs into splits and tasks, as plain values. It does no I/O
// and knows no master, worker or clock: the same spec and the same listing give the same plan, whatever will run it. The
// master calls it to run a job, the CLI to show what a run would do.
//
//	size   who chooses no split size gets splits of equal size, 64 MiB or a little less, from the size of the input alone
//	pack   objects of at most one split size share a split, in listed order
//	cut    a larger object is cut at multiples of the split size; a last piece under a tenth of it joins the one before
//	whole  files that are one record each, or whose job wants them whole, are never cut, nor are compressed objects of which
//	       nothing can be read without what comes before it
package plan

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/millrace/millrace/jobs"
)

const (
	// DefaultSplitSize is the most bytes of a split that the submitter does not choose: so much that a task's table, its
	// sort and its run in the merge cost little next to it (a word count takes 6 % less CPU than with half of it, and no
	// less with twice), small enough that a lost attempt is soon made good.
	DefaultSplitSize = 64 << 20
	// sortedSplitSize is the same for a job with a reduce function and no combiner, of which all that a map function emits is sorted: with twice
	// as much, a task's buffers take fresh memory that no larger run makes good (sorting 1 GB took 470 MB in place of 270).
	sortedSplitSize = 32 << 20
	// evenSplits and leastSplit keep few tasks from leaving slots idle at the end: the numbers of splits and of reducers are
	// multiples of the first, unless splits would become smaller than the second.
	evenSplits = 4
	leastSplit = 4 << 20
	// MaxPieces is the most pieces in a split: a split travels in one message, which has a limit of its own.
	MaxPieces = 1000
	// MaxMaps is the most splits in a job: the scheduler keeps each of them in memory.
	MaxMaps = 2_000_000

	bytesPerReducer = 64 << 20 // of input, when nobody says how many reducers
	autoReducers    = 256      // and the most that this yields
)

// Object is one input object as listed.
type Object struct {
	URL   string
	Size  int64
	ETag  string
	Input int // which of Spec.Info.Inputs it belongs to

	// Encoding is how the object is compressed, as storage/encoding names it: PlainEncoding if it is not, "" if nobody has
	// looked, since the plan does not depend on it.
	Encoding string `json:",omitempty"`
}

// Piece is a byte range of one object. A record belongs to the piece in which it begins.
type Piece struct {
	Object
	Offset int64
	Length int64

	// Of a sample, and of a compressed object: how many of its plain bytes are read at most, and every how many of them some
	// are taken; 0: all.
	Most, Every int64 `json:",omitempty"`
}

// Split is the input of one map task: a byte range of one object, or several small objects of one input, in input order.
type Split struct {
	Pieces []Piece
}

// Plan is a job's tasks. It keeps no splits: they are computed from the listing when asked for, so that a million of
// them cost what the listing costs. It must not be changed.
type Plan struct {
	Spec     Spec     // with every default filled in
	Objects  []Object // as listed; the caller's slice
	Maps     int      // number of splits, at least 1
	Reducers int      // 0 in a job of maps only
	InBytes  int64
	Excluded int // objects that Spec.Exclude left out, for people to see: whoever lists counts them

	spans []span
}

// span is a series of splits: of one object that is cut, or a single split of the objects from object to end.
//
// Invariant: spans[i].split + spans[i].count == spans[i+1].split; every object that holds a byte is in exactly one span.
type span struct {
	split  int   // index of the first split
	count  int   // splits; 1 for objects packed together
	object int   // index of the first object
	end    int   // index after the last object
	bytes  int64 // of all its splits
}

// Make plans a job over the listed objects. It checks the spec first (see Spec.Check).
func Make(spec Spec, objects []Object) (*Plan, error) {
	if err := spec.Check(); err != nil {
		return nil, err
	}
	p := &Plan{Objects: objects}
	p.Spec = spec
	if err := p.measure(); err != nil {
		return nil, err
	}
	spec = spec.filled(p.InBytes)
	if err := p.cut(spec); err != nil {
		return nil, err
	}
	if spec.Reducers == 0 && !spec.Info.MapOnly {
		spec.Reducers = reducers(p.InBytes)
	}
	p.Spec, p.Reducers = spec, spec.Reducers
	return p, nil
}

// reducers is how many there are for so many bytes of input. From three on it is a multiple of four, as splits are: with 15
// of them two slots sorted 1 GB with one idle at the end.
func reducers(input int64) int {
	n := max(1, (input-1)/bytesPerReducer+1)
	if n > 2 {
		n = roundUp(n, evenSplits)
	}
	return int(min(n, autoReducers))
}

// splitSize is the size of a split for so many bytes of a job's input. It depends on nothing else: what a job makes of
// floating-point numbers may depend on where its input was cut.
func splitSize(input int64, sorts bool) int64 {
	most := int64(DefaultSplitSize)
	if sorts {
		most = sortedSplitSize
	}
	n := (input-1)/most + 1
	n = roundUp(n, evenSplits)
	n = max(1, min(n, input/leastSplit))
	return max(1, (input-1)/n+1)
}

// measure checks the objects and sums their sizes.
func (p *Plan) measure() error {
	if len(p.Objects) == 0 {
		return fmt.Errorf("plan: no input objects: name a file, folder, glob or prefix that holds some")
	}
	for _, o := range p.Objects {
		if o.Input < 0 || o.Input >= len(p.Spec.Info.Inputs) {
			return fmt.Errorf("plan %s: it belongs to input %d of a job that has %d", o.URL, o.Input, len(p.Spec.Info.Inputs))
		}
		f := p.format(o)
		switch {
		case o.Size < 0:
			return fmt.Errorf("plan %s: size %d is negative", o.URL, o.Size)
		case o.Size > math.MaxInt64-p.InBytes:
			return fmt.Errorf("plan %s: the inputs are larger than %d bytes in all", o.URL, int64(math.MaxInt64))
		case f.Kind == jobs.FormatFixed && o.Size%int64(f.Length) != 0 && !p.packed(o):
			return fmt.Errorf("plan %s: %d bytes are not a whole number of %d-byte records: %d bytes are left over; "+
				"mend the object or choose another record length", o.URL, o.Size, f.Length, o.Size%int64(f.Length))
		}
		p.InBytes += o.Size
	}
	return nil
}

// cut fills spans and Maps.
func (p *Plan) cut(spec Spec) error {
	var pack span // being filled; its pieces counted here, since empty objects are none
	pieces, maps := 0, int64(0)
	flush := func() {
		if pieces > 0 {
			pack.split, pack.count = int(maps), 1
			p.spans = append(p.spans, pack)
			maps++
		}
		pack, pieces = span{}, 0
	}
	for i, o := range p.Objects {
		f := p.format(o)
		if !hasRecords(o, f) {
			continue
		}
		size := p.splitOf(spec.SplitSize, o)
		whole := f.Kind == jobs.FormatFile || f.Whole || o.Size <= size || p.packed(o) && uncut(o, f) != ""
		if !whole || pieces == MaxPieces || pieces > 0 && (o.Size > size-pack.bytes || o.Input != p.Objects[pack.object].Input) {
			flush()
		}
		if !whole {
			n := cuts(o.Size, size)
			if n > MaxMaps-maps {
				return tooManySplits(spec, p.InBytes)
			}
			p.spans = append(p.spans, span{split: int(maps), count: int(n), object: i, end: i + 1, bytes: o.Size})
			maps += n
			continue
		}
		if pieces == 0 {
			pack.object = i
		}
		pack.end, pack.bytes, pieces = i+1, pack.bytes+o.Size, pieces+1
	}
	flush()
	if maps == 0 { // nothing but empty objects: one task that reads nothing, so that every job has a task
		p.spans, maps = []span{{count: 1, end: 1}}, 1
	}
	if maps > MaxMaps {
		return tooManySplits(spec, p.InBytes)
	}
	p.spans, p.Maps = slices.Clip(p.spans), int(maps)
	return nil
}

// format is how an object is cut into records.
func (p *Plan) format(o Object) jobs.Format { return p.Spec.Info.Inputs[o.Input].Format }

// splitOf is the split size of an object: fixed records are cut between two of them only.
func (p *Plan) splitOf(size int64, o Object) int64 {
	f := p.format(o)
	if n := int64(f.Length); f.Kind == jobs.FormatFixed && !p.packed(o) {
		return max(1, size/n) * n
	}
	return size
}

// hasRecords reports whether an object needs reading. An empty file is a record only where each file is one.
func hasRecords(o Object, f jobs.Format) bool { return o.Size > 0 || f.Kind == jobs.FormatFile }

// cuts returns the number of pieces of an object larger than one split.
func cuts(size, split int64) int64 {
	n := (size-1)/split + 1
	if tail := size - (n-1)*split; tail < split/10 {
		n--
	}
	return n
}

func tooManySplits(spec Spec, bytes int64) error {
	need := bytes/(MaxMaps/2) + 1
	return fmt.Errorf("plan: splits of %d bytes cut %d bytes of input into more than %d map tasks: "+
		"use a split size of %d or more", spec.SplitSize, bytes, MaxMaps, need)
}

// Split returns map task i's input. It panics unless 0 <= i < Maps.
func (p *Plan) Split(i int) Split {
	s := p.span(i)
	if s.count == 1 {
		return Split{Pieces: p.pieces(s)}
	}
	o := p.Objects[s.object]
	off, n := p.part(s, i)
	return Split{Pieces: []Piece{{Object: o, Offset: off, Length: n}}}
}

// SplitBytes returns the bytes of map task i's input. It panics unless 0 <= i < Maps.
func (p *Plan) SplitBytes(i int) int64 {
	s := p.span(i)
	if s.count == 1 {
		return s.bytes
	}
	_, n := p.part(s, i)
	return n
}

// SplitSizes returns the bytes of all map tasks' inputs, without the search that each SplitBytes is.
func (p *Plan) SplitSizes() []int64 {
	sizes := make([]int64, 0, p.Maps)
	for _, s := range p.spans {
		if s.count == 1 {
			sizes = append(sizes, s.bytes)
			continue
		}
		size := p.splitOf(p.Spec.SplitSize, p.Objects[s.object])
		for range s.count - 1 {
			sizes = append(sizes, size)
		}
		sizes = append(sizes, s.bytes-int64(s.count-1)*size)
	}
	return sizes
}

// Cut returns the map tasks that read one object between them, task i among them: n of them, from first on. n is 1 for a split of
// whole objects. It panics unless 0 <= i < Maps.
func (p *Plan) Cut(i int) (first, n int) {
	s := p.span(i)
	return s.split, s.count
}

// span returns the span that split i is in.
func (p *Plan) span(i int) span {
	if i < 0 || i >= p.Maps {
		panic(fmt.Sprintf("plan: split %d of %d", i, p.Maps))
	}
	at, found := slices.BinarySearchFunc(p.spans, i, func(s span, i int) int { return cmp.Compare(s.split, i) })
	if !found {
		at--
	}
	return p.spans[at]
}

// part returns the byte range of split i of a span that cuts one object.
func (p *Plan) part(s span, i int) (off, n int64) {
	k := int64(i - s.split)
	size := p.splitOf(p.Spec.SplitSize, p.Objects[s.object])
	off = k * size
	if k == int64(s.count)-1 {
		return off, s.bytes - off
	}
	return off, size
}

// pieces returns the whole objects of a span, without those that hold no record.
func (p *Plan) pieces(s span) []Piece {
	pieces := make([]Piece, 0, min(s.end-s.object, MaxPieces))
	for _, o := range p.Objects[s.object:s.end] {
		if hasRecords(o, p.format(o)) {
			pieces = append(pieces, Piece{Object: o, Length: o.Size})
		}
	}
	if len(pieces) == 0 {
		pieces = append(pieces, Piece{Object: p.Objects[s.object]})
	}
	return pieces
}
