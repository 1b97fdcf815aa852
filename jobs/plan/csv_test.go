package plan

import (
	"testing"

	"github.com/millrace/millrace/jobs"
)

// CSV is cut as lines are, unless its job wants it whole or it is compressed; the pieces of an object are known to belong together;
// a sample is taken from the beginnings of objects, for nobody knows where else a record begins.
func TestCSV(t *testing.T) {
	t.Parallel()
	format := jobs.Format{Kind: jobs.FormatCSV, Comma: ','}
	objects := []Object{{URL: "a", Size: 10}, {URL: "b", Size: 100 << 20}, {URL: "c", Size: 50 << 20, Encoding: bzip2Encoding}, {URL: "d", Size: 30}}
	makePlan := func(f jobs.Format) *Plan {
		p, err := Make(Spec{Info: jobs.Info{Inputs: []jobs.Input{{Format: f}}, TotalOrder: true}, SplitSize: 20 << 20, Reducers: 2}, objects)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	p := makePlan(format)
	if p.Maps != 8 {
		t.Errorf("%d maps, want one for a, 5 for b, one for c and one for d", p.Maps)
	}
	for i, want := range [][2]int{{0, 1}, {1, 5}, {1, 5}, {1, 5}, {1, 5}, {1, 5}, {6, 1}, {7, 1}} {
		if first, n := p.Cut(i); first != want[0] || n != want[1] {
			t.Errorf("task %d is one of %d from %d on, want %d from %d on", i, n, first, want[1], want[0])
		}
	}
	for _, piece := range p.Sample().Pieces {
		if piece.Offset != 0 || piece.Length > sampleBytes && piece.Encoding == "" {
			t.Errorf("the sample has %d bytes of %s from %d on", piece.Length, piece.URL, piece.Offset)
		}
	}
	if n := len(p.Sample().Pieces); n != len(objects) {
		t.Errorf("the sample is of %d objects, want all %d", n, len(objects))
	}
	format.Whole = true
	if p := makePlan(format); p.Maps != 4 {
		t.Errorf("%d maps of whole objects, want 4", p.Maps)
	}
}
