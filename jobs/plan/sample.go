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
	// sampleBytes is shared out to the places: 40,000 records of 100 bytes, 40 to 160 for the price of a request.
	sampleBytes = 4 << 20
	// sampleFiles and sampleFileBytes bound a sample where each file is a record and cannot be read in part.
	sampleFiles     = 100
	sampleFileBytes = 64 << 20
)

// Sample returns the input of the task that chooses the partition boundaries of a totally ordered job: tiny pieces at
// evenly spaced places of the concatenated input, all of it when it is small. It depends on the objects and the record
// format alone, never on split size, reducers or workers, and so do the boundaries.
func (p *Plan) Sample() Split {
	for _, in := range p.Spec.Info.Inputs {
		if in.Format.Kind == jobs.FormatFile {
			return p.sampleWhole()
		}
	}
	if p.InBytes == 0 {
		return p.Split(0)
	}
	if p.InBytes <= sampleBytes && len(p.Objects) <= MaxPieces {
		return p.all()
	}
	places := min(max(leastPlaces, p.InBytes/placeEvery), mostPlaces)
	stride := (p.InBytes-1)/places + 1
	var pieces []Piece
	var begin, next int64 // where the object begins and where the sample goes on, in the concatenated input
	for _, o := range p.Objects {
		record := int64(1)
		if f := p.format(o); f.Kind == jobs.FormatFixed {
			record = int64(f.Length)
		}
		for end := begin + o.Size; next < end; {
			off := (next - begin) / record * record
			n := min(o.Size-off, roundUp(min(sampleBytes/places, stride), record))
			pieces = append(pieces, Piece{Object: o, Offset: off, Length: n})
			next += max(stride, begin+off+n-next) // records longer than the stride: no byte is taken twice
		}
		begin += o.Size
	}
	return Split{Pieces: pieces}
}

// all returns the whole input as one split.
func (p *Plan) all() Split {
	return Split{Pieces: p.pieces(span{end: len(p.Objects)})}
}

// sampleWhole returns evenly spaced whole files, at least one, and no more than the limits allow.
func (p *Plan) sampleWhole() Split {
	stride := (len(p.Objects)-1)/sampleFiles + 1
	var s Split
	var sum int64
	for i := 0; i < len(p.Objects); i += stride {
		o := p.Objects[i]
		if len(s.Pieces) > 0 && o.Size > sampleFileBytes-sum {
			continue
		}
		n := o.Size
		if f := p.format(o); f.Kind != jobs.FormatFile { // of a job that reads other files as well
			n = min(n, roundUp(sampleBytes/sampleFiles, max(1, int64(f.Length))))
		}
		s.Pieces = append(s.Pieces, Piece{Object: o, Length: n})
		sum += n
	}
	return s
}

func roundUp(n, to int64) int64 { return (n-1)/to*to + to }
