package plan_test

import (
	"math"
	"reflect"
	"testing"

	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/jobs/plan"
)

// packed are objects of one encoding.
func packed(encoding string, sizes ...int64) []plan.Object {
	out := objects(sizes...)
	for i := range out {
		out[i].Encoding = encoding
	}
	return out
}

// rangesOf writes all splits of a plan as ranges does.
func rangesOf(p *plan.Plan) (out []string) {
	for i := range p.Maps {
		out = append(out, ranges(p.Split(i)))
	}
	return out
}

// Compressed objects that can only be read from the beginning are one piece each; a note says which and why. The others, and
// all of them where the job or the user takes bytes as they are, are cut.
func TestPackedObjects(t *testing.T) {
	t.Parallel()
	offsets := jobs.Format{Offsets: true}
	raw := jobs.Format{Raw: true}
	whole, cut := []string{"[0+25]"}, []string{"[0+10]", "[10+10]", "[20+5]"}
	for _, test := range []struct {
		name     string
		encoding string
		format   jobs.Format
		want     []string
		notes    int
	}{
		{"not looked at", "", lines, cut, 0},
		{"plain", plan.PlainEncoding, lines, cut, 0},
		{"gzip", "gzip", lines, whole, 1},
		{"zstd", "zstd", lines, whole, 1},
		{"gzip, raw", "gzip", raw, cut, 0},
		{"bzip2", "bzip2", lines, cut, 0},
		{"zstd with a seek table", "seekable zstd", offsets, cut, 0},
		{"fixed records of it, at any byte", "seekable zstd", fixed(3), cut, 0},
		{"CSV of it", "seekable zstd", jobs.Format{Kind: jobs.FormatCSV, Comma: ','}, whole, 1},
		{"bzip2 with offsets", "bzip2", offsets, whole, 1},
		{"bzip2 of fixed records", "bzip2", fixed(10), whole, 1},
		{"gzip of fixed records: its size says nothing", "gzip", fixed(3), whole, 1},
		{"gzip of files", "gzip", files, whole, 0},
	} {
		p, err := plan.Make(spec(test.format, 10), packed(test.encoding, 25))
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		if got := rangesOf(p); !reflect.DeepEqual(got, test.want) || len(p.Notes()) != test.notes {
			t.Errorf("%s: got %q and notes %v, want %q", test.name, got, p.Notes(), test.want)
		}
	}
	s := spec(lines, 10)
	s.Decompress = "none"
	if p, err := plan.Make(s, packed("gzip", 25)); err != nil || !reflect.DeepEqual(rangesOf(p), cut) {
		t.Errorf("decompress none: %v", err)
	}
	if _, err := plan.Make(spec(fixed(3), 10), packed(plan.PlainEncoding, 25)); err == nil {
		t.Error("25 plain bytes pass as records of 3 bytes")
	}
}

// Notes count the objects of each reason, and are in the order of the input.
func TestNotes(t *testing.T) {
	t.Parallel()
	in := packed("gzip", 25, 5, 35)
	in = append(in, packed("lz4", 25)...)
	p, err := plan.Make(spec(lines, 10), in)
	if err != nil {
		t.Fatal(err)
	}
	const why = "nothing of it can be read without what comes before it"
	want := []plan.Note{{URL: in[0].URL, Objects: 2, Bytes: 60, Encoding: "gzip", Why: why}, {URL: in[3].URL, Objects: 1, Bytes: 25, Encoding: "lz4", Why: why}}
	if got := p.Notes(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// Nothing has to be known of small objects, however many there are; of large ones and odd ones it has, and of those that a sample reads
// in part, unless they are not decompressed anyhow.
func TestUnseen(t *testing.T) {
	t.Parallel()
	sizes := make([]int64, 20_000)
	for i := range sizes {
		sizes[i] = 900
	}
	sizes[7], sizes[9] = 101<<20, 1
	ordered := spec(lines, 100<<20)
	ordered.Info.TotalOrder, ordered.Reducers = true, 2
	none := spec(lines, 100<<20)
	none.Decompress = "none"
	for _, test := range []struct {
		name string
		spec plan.Spec
		want []int
	}{
		{"lines", spec(lines, 100<<20), []int{7}},
		{"files", spec(files, 100<<20), nil},
		{"fixed records", spec(fixed(900), 100<<20), []int{7, 9}},
		{"raw", spec(jobs.Format{Raw: true}, 100<<20), nil},
		{"decompress none", none, nil},
	} {
		got, err := plan.Unseen(test.spec, objects(sizes...))
		if err != nil || !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s: got %v and %v, want %v", test.name, got, err, test.want)
		}
	}
	if got, err := plan.Unseen(ordered, objects(sizes...)); err != nil || len(got) < 2 || len(got) > 300 {
		t.Errorf("a sample of many small objects: %d, and %v", len(got), err)
	}
	sizes = []int64{1 << 20, 3 << 20, 5 << 20}
	if got, err := plan.Unseen(ordered, objects(sizes...)); err != nil || !reflect.DeepEqual(got, []int{0, 1, 2}) {
		t.Errorf("a sample that reads parts of small objects: got %v and %v", got, err)
	}
	known := packed("gzip", sizes...)
	if got, err := plan.Unseen(ordered, known); err != nil || got != nil {
		t.Errorf("what is known: got %v and %v", got, err)
	}
	if _, err := plan.Unseen(plan.Spec{}, nil); err == nil {
		t.Error("a spec without an input passes")
	}
}

// The sample of compressed objects is read from their beginnings, thinly, and is the same for every split size, whether the plan
// has looked at an object or not.
func TestSampleOfPackedObjects(t *testing.T) {
	t.Parallel()
	in := objects(60<<20, 40<<20, 100<<20, 500)
	in[0].Encoding, in[1].Encoding = "gzip", "gzip"
	sample := func(splitSize int64, in []plan.Object) plan.Split {
		s := spec(lines, splitSize)
		s.Info.TotalOrder, s.Reducers = true, 4
		p, err := plan.Make(s, in)
		if err != nil {
			t.Fatal(err)
		}
		return p.Sample()
	}
	want := sample(1<<30, in)
	if got := sample(1<<10, in); !reflect.DeepEqual(got, want) {
		t.Error("the sample depends on the split size")
	}
	var most int64
	count := map[string]int{}
	for _, p := range want.Pieces {
		count[p.URL]++
		if p.Encoding == "gzip" {
			most += p.Most
			if p.Offset != 0 || p.Length != p.Size || p.Every < 8<<10 || p.Most/p.Every < 50 {
				t.Errorf("of a compressed object it reads %+v", p)
			}
		}
	}
	if count[in[0].URL] != 1 || count[in[1].URL] != 1 || count[in[2].URL] < 100 || most > 256<<20 {
		t.Errorf("it has pieces %v, and decompresses %d bytes", count, most)
	}
	// Of bzip2 a place is a block, of which there are fewer; of all that begin there some lines are taken.
	in[0].Encoding = "bzip2"
	at := int64(0)
	for _, p := range sample(1<<10, in).Pieces {
		if p.Encoding != "bzip2" {
			break
		}
		if p.Offset != at || p.Most != 900_000 || p.Length < 2<<20 {
			t.Errorf("of bzip2 it reads %+v", p)
		}
		at = p.Offset + p.Length
	}
	if at != 60<<20 {
		t.Errorf("the pieces of bzip2 end at %d", at)
	}
	// Small input is read as a whole; of what turns out to be compressed no more than its share.
	for _, encoding := range []string{"", "gzip", "bzip2"} {
		s := sample(1<<10, packed(encoding, 1<<20, 2<<20))
		for i, p := range s.Pieces {
			share := float64(i+1) / 3 * (256 << 20)
			if p.Offset != 0 || p.Length != p.Size || math.Abs(float64(p.Most)-share) > 1 || p.Every < 8<<10 {
				t.Errorf("%q: piece %d is %+v", encoding, i, p)
			}
		}
	}
}
