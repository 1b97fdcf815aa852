package plan_test

import (
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/jobs/plan"
)

// A value that no job can have is refused by its name and with what to do instead.
func TestBadSpecs(t *testing.T) {
	t.Parallel()
	many := objects(1 << 40)
	for _, test := range []struct {
		name    string
		change  func(*plan.Spec)
		objects []plan.Object
		want    string // of these words, all
	}{
		{"negative reducers", func(s *plan.Spec) { s.Reducers = -1 }, many, "reducers -1|at least 1"},
		{"too many reducers", func(s *plan.Spec) { s.Reducers = 10_001 }, many, "reducers 10001|at most 10000"},
		{"of the job", func(s *plan.Spec) { s.Info.Reducers = 10_001 }, many, "reducers 10001|at most 10000"},
		{"negative split size", func(s *plan.Spec) { s.SplitSize = -5 }, many, "split size -5|at least 1"},
		{"tiny splits of a large input", func(s *plan.Spec) { s.SplitSize = 1 }, many, "splits of 1 bytes|split size of 1099512 or more"},
		{"shuffle", func(s *plan.Spec) { s.Shuffle = "remote" }, many, `shuffle "remote"|local or bucket`},
		{"compression", func(s *plan.Spec) { s.Compression = "gzip" }, many, `compression "gzip"|none, lz4 or zstd`},
		{"attempts", func(s *plan.Spec) { s.MaxAttempts = 101 }, many, "max attempts 101|between 1 and 100"},
		{"negative attempts", func(s *plan.Spec) { s.MaxAttempts = -1 }, many, "max attempts -1|between 1 and 100"},
		{"weight", func(s *plan.Spec) { s.Weight = -1 }, many, "weight -1|between 1"},
		{"record length", func(s *plan.Spec) { s.Info.Inputs[0].Format = fixed(0) }, many, "record length 0"},
		{"record format", func(s *plan.Spec) { s.Info.Inputs[0].Format.Kind = 9 }, many, "record format 9"},
		{"no objects", func(*plan.Spec) {}, nil, "no input objects"},
		{"half a record", func(s *plan.Spec) { s.Info.Inputs[0].Format = fixed(100) }, objects(250), "mem://t/in/00000|250 bytes|50 bytes are left over"},
		{"negative size", func(*plan.Spec) {}, objects(-1), "mem://t/in/00000|negative"},
		{"overflow", func(*plan.Spec) {}, objects(math.MaxInt64, 1), "mem://t/in/00001|larger than"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := spec(lines, 1<<30)
			test.change(&s)
			_, err := plan.Make(s, test.objects)
			if err == nil {
				t.Fatal("got no error")
			}
			for want := range strings.SplitSeq(test.want, "|") {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got %q, want %q in it", err, want)
				}
			}
		})
	}
}

// The split size that the error names is one that works.
func TestRemedyForTinySplitsWorks(t *testing.T) {
	t.Parallel()
	if p, err := plan.Make(spec(lines, 1099512), objects(1<<40)); err != nil || p.Maps > plan.MaxMaps {
		t.Errorf("got %v, %v", p, err)
	}
}

// The sample is the same for every split size and number of reducers, lies within the objects, takes no byte twice, keeps
// to its limits, and is the whole input when that is small.
func TestSample(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(3, 4))
	for range 300 {
		f := []jobs.Format{lines, fixed(1 + rnd.IntN(300)), fixed(100_000)}[rnd.IntN(3)]
		sizes := make([]int64, 1+rnd.IntN([]int{5, 3000}[rnd.IntN(2)]))
		var sum int64
		for i := range sizes {
			sizes[i] = rnd.Int64N([]int64{1, 100, 10_000, 1 << 34}[rnd.IntN(4)]) * max(1, int64(f.Length))
			sum += sizes[i]
		}
		in := objects(sizes...)
		sample := sampleOf(t, spec(f, 1<<40), in)
		other := spec(f, 1<<45)
		other.Reducers = 99
		if again := sampleOf(t, other, in); !reflect.DeepEqual(sample, again) {
			t.Fatalf("sample depends on more than the objects: %v and %v", ranges(sample), ranges(again))
		}
		checkSample(t, sample, f, sum, len(sizes))
		if t.Failed() {
			t.Fatalf("format %v sizes %v", f, sizes)
		}
	}
}

func sampleOf(t *testing.T, s plan.Spec, in []plan.Object) plan.Split {
	t.Helper()
	p, err := plan.Make(s, in)
	if err != nil {
		t.Fatal(err)
	}
	return p.Sample()
}

func checkSample(t *testing.T, s plan.Split, f jobs.Format, total int64, count int) {
	t.Helper()
	if len(s.Pieces) == 0 || len(s.Pieces) > plan.MaxPieces {
		t.Errorf("sample has %d pieces", len(s.Pieces))
	}
	var sum, end int64
	last := ""
	for _, p := range s.Pieces {
		if p.URL < last || p.URL == last && p.Offset < end {
			t.Errorf("piece %+v comes after %s up to %d", p, last, end)
		}
		last, end = p.URL, p.Offset+p.Length
		sum += p.Length
		if end > p.Size || p.Length < 1 && total > 0 {
			t.Errorf("piece %+v is outside of its object", p)
		}
		if n := int64(max(1, f.Length)); p.Offset%n != 0 || p.Length%n != 0 {
			t.Errorf("piece %+v cuts records of %d bytes", p, n)
		}
	}
	if limit := int64(4<<20 + 1000*f.Length); sum > limit {
		t.Errorf("sample has %d bytes, limit %d", sum, limit)
	}
	if total <= 4<<20 && count <= plan.MaxPieces && sum != total {
		t.Errorf("sample of a small input has %d of %d bytes", sum, total)
	}
}

// A sample takes a request for each 4 MiB of the input, 250 at least and 1,000 at most.
func TestSamplePlaces(t *testing.T) {
	t.Parallel()
	for size, want := range map[int64]int{5 << 20: 250, 1 << 30: 256, 2 << 30: 512, 1 << 40: 1000} {
		if n := len(sampleOf(t, spec(lines, 1<<30), objects(size)).Pieces); n != want {
			t.Errorf("%d bytes are sampled at %d places, want %d", size, n, want)
		}
	}
}

// A sample of whole files takes some of them, evenly, and stays within its bytes.
func TestSampleOfFiles(t *testing.T) {
	t.Parallel()
	if got := ranges(sampleOf(t, spec(files, 1), objects(3, 0, 4))); got != "[0+3] 1[0+0] 2[0+4]" {
		t.Errorf("few files: got %s", got)
	}
	if got := ranges(sampleOf(t, spec(files, 1), objects(1, 1<<40, 5))); got != "[0+1] 2[0+5]" {
		t.Errorf("huge files: got %s", got)
	}
	if n := len(sampleOf(t, spec(files, 1), objects(make([]int64, 100_000)...)).Pieces); n != 100 {
		t.Errorf("many files: got %d pieces, want 100", n)
	}
}

// An output folder that is, holds or lies within an input is refused; its neighbours are not.
func TestCheckOutput(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		output, input, object string
		want                  string // "" if it is allowed
	}{
		{"s3://b/out", "s3://b/in", "s3://b/in/a", ""},
		{"s3://b/in2", "s3://b/in", "s3://b/in/a", ""},
		{"s3://b/in", "s3://b/in2", "s3://b/in2/a", ""},
		{"s3://c/in/out", "s3://b/in", "s3://b/in/a", ""},
		{"s3://b/in", "s3://b/in/", "s3://b/in/a", "holds the input s3://b/in/a"},
		{"s3://b/in/", "s3://b/in/a", "s3://b/in/a", "holds the input"},
		{"s3://b/in/a", "s3://b/in/a", "s3://b/in/a", "is an input"},
		{"s3://b/in", "s3://b/in", "s3://b/other", "is an input"},
		{"s3://b/in/out", "s3://b/in", "s3://b/in/a", "lies inside the input s3://b/in"},
		{"s3://b/out", "s3://b/", "s3://b/a", "lies inside the input s3://b/"},
		{"s3://b/out", "s3://b", "s3://b/a", "lies inside"},
		{"s3://b/x/out", "s3://b/x/*.txt", "s3://b/x/a.txt", ""},
		{"s3://b/x/out", "s3://b/x/*", "s3://b/x/a.txt", "would match the input s3://b/x/*"},
		{"s3://b/x/y/out", "s3://b/x/*", "s3://b/x/a.txt", "would match the input s3://b/x/*"},
		{"s3://b/x/y/out", "s3://b/x/z*", "s3://b/x/za.txt", ""},
		{"s3://b/x/out", "s3://b/**", "s3://b/x/a.txt", "would match"},
		{"s3://b/x/out", "s3://b/**/*.arrow", "s3://b/x/a.arrow", "would match"},
		{"s3://b/x/out", "s3://b/**/*.txt", "s3://b/x/a.txt", ""},
		{"s3://b/x/out", "s3://b/x/{a,out}", "s3://b/x/a", "would match"},
		{"s3://b/x/out", "s3://b/y/{a,out}", "s3://b/y/a", ""},
		{"s3://b/x/out", "s3://b/*/o?t/p*", "s3://b/y/oat/pi", "would match"},
		{"", "s3://b/x", "s3://b/x", "none given"},
	} {
		s := plan.Spec{Inputs: []string{test.input}, Output: test.output}
		err := plan.CheckOutput(s, []plan.Object{{URL: test.object}})
		switch {
		case test.want == "" && err != nil:
			t.Errorf("%+v: got %v", test, err)
		case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
			t.Errorf("%+v: got %v", test, err)
		}
	}
}
