package plan

import (
	"slices"

	"github.com/millrace/millrace/jobs"
)

// What a plan knows of compressed objects: the names that storage/encoding has for those that are not compressed, and for
// those that can be cut.
const (
	PlainEncoding = "plain"
	bzip2Encoding = "bzip2"
	zstdEncoding  = "seekable zstd"
)

// packed says whether an object is decompressed when it is read.
func (p *Plan) packed(o Object) bool {
	return o.Encoding != "" && o.Encoding != PlainEncoding && p.Spec.Decompresses(p.format(o))
}

// Decompresses says whether compressed objects of a format are decompressed before they are cut into records.
func (s Spec) Decompresses(f jobs.Format) bool {
	return s.Decompress != "none" && !f.Raw && f.Kind != jobs.FormatColumns
}

// uncut says why a compressed object is not cut, "" if it is.
func uncut(o Object, f jobs.Format) string {
	switch {
	case o.Encoding == zstdEncoding && (f.Kind == jobs.FormatLines || f.Kind == jobs.FormatFixed):
		return ""
	case o.Encoding != bzip2Encoding && o.Encoding != zstdEncoding:
		return "nothing of it can be read without what comes before it"
	case f.Offsets:
		return "the job's records tell their offsets, which are known from the beginning on only"
	case f.Kind != jobs.FormatLines:
		return "where a record begins is known from the beginning on only"
	}
	return ""
}

// Note tells of objects that are larger than a split and are not cut.
type Note struct {
	URL      string `json:"url"`     // of the first one
	Objects  int    `json:"objects"` // how many
	Bytes    int64  `json:"bytes"`   // of all of them
	Encoding string `json:"encoding"`
	Why      string `json:"why"`
}

// Notes tells what is not cut and why, a note for each reason: a person may want to compress it in another way.
func (p *Plan) Notes() (notes []Note) {
	for _, o := range p.Objects {
		f := p.format(o)
		if !p.packed(o) || f.Kind == jobs.FormatFile || f.Whole || o.Size <= p.Spec.SplitSize {
			continue
		}
		why := uncut(o, f)
		if why == "" {
			continue
		}
		i := slices.IndexFunc(notes, func(n Note) bool { return n.Encoding == o.Encoding && n.Why == why })
		if i < 0 {
			i = len(notes)
			notes = append(notes, Note{URL: o.URL, Encoding: o.Encoding, Why: why})
		}
		notes[i].Objects++
		notes[i].Bytes += o.Size
	}
	return notes
}

// Unseen lists the objects, by their indices, whose Encoding must be known before Make: those that would be cut, those that
// the sample reads in part, and those that are not a whole number of records. Small objects are never among them otherwise,
// so that a hundred thousand of them cost no request. It errs as Make does.
func Unseen(spec Spec, objects []Object) ([]int, error) {
	if err := spec.Check(); err != nil {
		return nil, err
	}
	p := &Plan{Objects: objects, Spec: spec}
	for _, o := range objects {
		p.InBytes += max(0, o.Size)
		if o.Input < 0 || o.Input >= len(spec.Info.Inputs) {
			return nil, nil // which Make will tell
		}
	}
	p.Spec = spec.filled(p.InBytes)
	if p.Reducers = p.Spec.Reducers; p.Reducers == 0 && !p.Spec.Info.MapOnly {
		p.Reducers = reducers(p.InBytes)
	}
	need := map[int]bool{}
	if p.Spec.Info.TotalOrder && p.Reducers > 1 {
		for _, s := range p.sample() {
			if s.Length < s.Size {
				need[s.object] = true
			}
		}
	}
	var out []int
	for i, o := range objects {
		f := p.format(o)
		cut := f.Kind != jobs.FormatFile && !f.Whole && o.Size > p.splitOf(p.Spec.SplitSize, o)
		odd := f.Kind == jobs.FormatFixed && o.Size%int64(f.Length) != 0
		if o.Encoding == "" && p.Spec.Decompresses(f) && (cut || odd || need[i]) {
			out = append(out, i)
		}
	}
	return out, nil
}
