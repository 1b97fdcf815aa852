package plan

import "github.com/millrace/millrace/jobs"

const (
	// A sample has a place every placeEvery bytes of the input, within these bounds. They say how finely it sees where in
	// the input which keys lie: with ten places for each partition, which is 25 partitions up to 1 GB and a hundred from 4 GB
	// on, input that is sorted already is still divided evenly. Each is a request, that MinIO reads and checks a whole MiB for: a thousand of them took as long as a
	// sixth of the sort of 1 GB.
	placeEvery  = 4 << 20
	leastPlaces = 250
	mostPlaces  = MaxPieces
	// columnPlaces is the number of places for input of columns, in all of it: of each, the whole record batch or row group that
	// holds it is read.
	columnPlaces = 64
	// sampleBytes is shared out to the places: 40,000 records of 100 bytes, 40 to 160 for the price of a request.
	sampleBytes = 4 << 20
	// sampleFiles and sampleFileBytes bound a sample where each file is a record and cannot be read in part, or is CSV, which is
	// read from its beginning.
	sampleFiles     = 100
	sampleFileBytes = 64 << 20

	// Of compressed objects the plain bytes count. Those that cannot be read from the middle are read from the beginning,
	// unpackedBytes of all of them together, which takes a second, and each leastUnpacked at least; takenBytes are taken at
	// each place. The keys of what lies beyond are not seen: input that is larger and sorted already is not divided evenly.
	unpackedBytes = 256 << 20
	leastUnpacked = 64 << 10
	takenBytes    = 8 << 10
	// Of others each place costs the decompressing of a block or frame, so that there are fewer places, of blockBytes each.
	blockEvery = 2 << 20
	blockBytes = 900_000
)

// sampled is a piece of the sample and its object's index.
type sampled struct {
	Piece
	object int
}

// Sample returns the input of the task that chooses the partition boundaries of a totally ordered job: tiny pieces at
// evenly spaced places of the concatenated input, all of it when it is small. It depends on the objects and the record
// format alone, never on split size, reducers or workers, and so do the boundaries.
func (p *Plan) Sample() Split {
	var s Split
	for _, piece := range p.sample() {
		s.Pieces = append(s.Pieces, piece.Piece)
	}
	if len(s.Pieces) == 0 {
		return p.Split(0)
	}
	return s
}

func (p *Plan) sample() []sampled {
	for _, in := range p.Spec.Info.Inputs {
		if k := in.Format.Kind; k == jobs.FormatFile || k == jobs.FormatCSV {
			return p.sampleWhole()
		}
	}
	if p.InBytes <= sampleBytes && len(p.Objects) <= MaxPieces {
		return p.all()
	}
	places := min(max(leastPlaces, p.InBytes/placeEvery), mostPlaces)
	stride := (p.InBytes-1)/places + 1
	var pieces []sampled
	var begin, next int64 // where the object begins and where the sample goes on, in the concatenated input
	for i, o := range p.Objects {
		record, step, share := int64(1), stride, sampleBytes/places
		switch f := p.format(o); {
		case f.Kind == jobs.FormatFixed && !p.packed(o):
			record = int64(f.Length)
		case f.Kind == jobs.FormatColumns:
			step, share = max(stride, (p.InBytes-1)/columnPlaces+1), sampleBytes/columnPlaces
		}
		first := len(pieces)
		for end := begin + o.Size; next < end; {
			off := (next - begin) / record * record
			n := min(o.Size-off, roundUp(min(share, step), record))
			pieces = append(pieces, sampled{p.thin(Piece{Object: o, Offset: off, Length: n}, 1), i})
			next += max(step, begin+off+n-next) // records longer than the stride: no byte is taken twice
		}
		if taken := pieces[first:]; len(taken) > 0 && taken[0].Length < o.Size && p.packed(o) {
			pieces = append(pieces[:first], p.samplePacked(i, len(taken))...)
		}
		begin += o.Size
	}
	return pieces
}

// samplePacked returns the pieces of a compressed object that would have so many places if it were not.
func (p *Plan) samplePacked(i, places int) (pieces []sampled) {
	o := p.Objects[i]
	if uncut(o, p.format(o)) != "" {
		return []sampled{{p.thin(Piece{Object: o, Length: o.Size}, places), i}}
	}
	n := max(1, min(int64(places), o.Size/blockEvery))
	for k := range n {
		off, end := o.Size/n*k, o.Size/n*(k+1)
		if k == n-1 {
			end = o.Size
		}
		pieces = append(pieces, sampled{Piece{Object: o, Offset: off, Length: end - off, Most: blockBytes, Every: blockBytes / 8}, i})
	}
	return pieces
}

// thin bounds what a piece from an object's beginning on is read of, should it be compressed, to so many places.
func (p *Plan) thin(piece Piece, places int) Piece {
	share := float64(piece.Size) / float64(max(1, p.InBytes))
	piece.Most = max(leastUnpacked, int64(unpackedBytes*share))
	piece.Every = max(takenBytes, piece.Most/int64(max(places, int(sampleBytes/takenBytes*share), 1)))
	return piece
}

// all returns the whole input as one split.
func (p *Plan) all() (pieces []sampled) {
	for i, o := range p.Objects {
		if hasRecords(o, p.format(o)) {
			pieces = append(pieces, sampled{p.thin(Piece{Object: o, Length: o.Size}, 1), i})
		}
	}
	return pieces
}

// sampleWhole returns evenly spaced whole files, at least one, and no more than the limits allow.
func (p *Plan) sampleWhole() (pieces []sampled) {
	stride := (len(p.Objects)-1)/sampleFiles + 1
	var sum int64
	for i := 0; i < len(p.Objects); i += stride {
		o := p.Objects[i]
		n := o.Size
		switch f := p.format(o); {
		case f.Kind == jobs.FormatFile || p.packed(o):
		case f.Kind == jobs.FormatCSV: // from the beginning, the only place of which it is sure that a record begins there
			n = min(n, int64(sampleBytes/min(len(p.Objects), sampleFiles)))
		default: // of a job that reads other files as well
			n = min(n, roundUp(sampleBytes/sampleFiles, max(1, int64(f.Length))))
		}
		if len(pieces) > 0 && n > sampleFileBytes-sum {
			continue
		}
		pieces = append(pieces, sampled{p.thin(Piece{Object: o, Length: n}, 1), i})
		sum += n
	}
	return pieces
}

func roundUp(n, to int64) int64 { return (n-1)/to*to + to }
