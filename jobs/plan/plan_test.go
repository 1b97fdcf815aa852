package plan_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/jobs/plan"
)

var (
	lines = jobs.Format{Kind: jobs.FormatLines}
	files = jobs.Format{Kind: jobs.FormatFile}
)

func fixed(n int) jobs.Format { return jobs.Format{Kind: jobs.FormatFixed, Length: n} }

func objects(sizes ...int64) []plan.Object {
	var out []plan.Object
	for i, n := range sizes {
		out = append(out, plan.Object{URL: fmt.Sprintf("mem://t/in/%05d", i), Size: n, ETag: fmt.Sprint("e", i)})
	}
	return out
}

func spec(f jobs.Format, splitSize int64) plan.Spec {
	return plan.Spec{Job: "t", Info: jobs.Info{Inputs: []jobs.Input{{Format: f}}}, SplitSize: splitSize}
}

// ranges writes a split as "object[offset+length]", to be read in a table.
func ranges(s plan.Split) string {
	var b strings.Builder
	for _, p := range s.Pieces {
		fmt.Fprintf(&b, "%s[%d+%d] ", strings.TrimLeft(p.URL[len("mem://t/in/"):], "0")+"", p.Offset, p.Length)
	}
	return strings.TrimSpace(b.String())
}

// What Make decides, in the cases that a reader would ask about.
func TestMake(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		spec  plan.Spec
		sizes []int64
		want  []string
	}{
		{"one small object", spec(lines, 10), []int64{4}, []string{"[0+4]"}},
		{"small ones share a split", spec(lines, 10), []int64{4, 6, 1, 9}, []string{"[0+4] 1[0+6]", "2[0+1] 3[0+9]"}},
		{"listed order is kept", spec(lines, 10), []int64{4, 7, 3}, []string{"[0+4]", "1[0+7] 2[0+3]"}},
		{"a large one is cut", spec(lines, 10), []int64{25}, []string{"[0+10]", "[10+10]", "[20+5]"}},
		{"between small ones", spec(lines, 10), []int64{1, 12, 2}, []string{"[0+1]", "1[0+10]", "1[10+2]", "2[0+2]"}},
		{"a short tail joins", spec(lines, 100), []int64{209}, []string{"[0+100]", "[100+109]"}},
		{"a longer one does not", spec(lines, 100), []int64{210}, []string{"[0+100]", "[100+100]", "[200+10]"}},
		{"a joined tail may leave one", spec(lines, 100), []int64{101}, []string{"[0+101]"}},
		{"empty objects need no reading", spec(lines, 10), []int64{0, 4, 0, 0, 5, 0}, []string{"1[0+4] 4[0+5]"}},
		{"nothing but empty objects", spec(lines, 10), []int64{0, 0}, []string{"[0+0]"}},
		{"records are not cut", spec(fixed(4), 10), []int64{24}, []string{"[0+8]", "[8+8]", "[16+8]"}},
		{"nor those above the split size", spec(fixed(4), 1), []int64{8}, []string{"[0+4]", "[4+4]"}},
		{"files are not cut", spec(files, 10), []int64{25, 3, 0, 7, 1}, []string{"[0+25]", "1[0+3] 2[0+0] 3[0+7]", "4[0+1]"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p, err := plan.Make(test.spec, objects(test.sizes...))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for i := range p.Maps {
				got = append(got, ranges(p.Split(i)))
			}
			if !reflect.DeepEqual(got, test.want) {
				t.Errorf("splits\n got %q\nwant %q", got, test.want)
			}
		})
	}
}

// Whatever the listing and the split size: every byte is in exactly one piece, in order; splits keep to their limits;
// pieces of records begin at records; SplitBytes and SplitSizes agree with Split.
func TestEveryByteOnce(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		f := []jobs.Format{lines, files, fixed(1 + rnd.IntN(7))}[rnd.IntN(3)]
		sizes := make([]int64, 1+rnd.IntN(30))
		for i := range sizes {
			sizes[i] = int64(rnd.IntN([]int{1, 3, 50, 1000}[rnd.IntN(4)])) * max(1, int64(f.Length))
		}
		s := spec(f, 1+int64(rnd.IntN(300)))
		p, err := plan.Make(s, objects(sizes...))
		if err != nil {
			t.Fatal(err)
		}
		checkCover(t, p, sizes)
		if t.Failed() {
			t.Fatalf("spec %+v sizes %v", s, sizes)
		}
	}
}

func checkCover(t *testing.T, p *plan.Plan, sizes []int64) {
	t.Helper()
	f, limit := p.Spec.Info.Inputs[0].Format, p.Spec.SplitSize
	if f.Kind == jobs.FormatFixed {
		limit = max(1, limit/int64(f.Length)) * int64(f.Length)
	}
	object, at := 0, int64(0) // the next byte to come
	all := p.SplitSizes()
	for i := range p.Maps {
		s := p.Split(i)
		var sum int64
		for _, piece := range s.Pieces {
			for at == sizes[object] && piece.Object != p.Objects[object] {
				object, at = object+1, 0
			}
			if piece.Object != p.Objects[object] || piece.Offset != at {
				t.Errorf("split %d: got piece %+v, want object %d from %d", i, piece, object, at)
				return
			}
			if f.Kind == jobs.FormatFixed && piece.Offset%int64(f.Length) != 0 {
				t.Errorf("split %d: piece %+v begins within a record", i, piece)
			}
			at, sum = at+piece.Length, sum+piece.Length
		}
		if sum != p.SplitBytes(i) || sum != all[i] {
			t.Errorf("split %d: SplitBytes %d, SplitSizes %d, pieces hold %d", i, p.SplitBytes(i), all[i], sum)
		}
		if one := len(s.Pieces) == 1; !one && sum > limit || one && f.Kind != jobs.FormatFile && sum > limit+limit/10 {
			t.Errorf("split %d: %d bytes in %d pieces, limit %d", i, sum, len(s.Pieces), limit)
		}
	}
	for ; object < len(sizes); object, at = object+1, 0 {
		if at != sizes[object] && (object+1 < len(sizes) || sizes[object] != at) {
			t.Errorf("object %d ends at %d, want %d", object, at, sizes[object])
		}
	}
}

// Ten thousand small files are planned in milliseconds, no split above MaxPieces.
func TestManySmallFiles(t *testing.T) {
	t.Parallel()
	sizes := make([]int64, 10_500)
	for i := range sizes {
		sizes[i] = 900
	}
	begin := time.Now()
	p, err := plan.Make(spec(lines, 0), objects(sizes...))
	if err != nil {
		t.Fatal(err)
	}
	for i := range p.Maps {
		if n := len(p.Split(i).Pieces); n > plan.MaxPieces {
			t.Errorf("split %d has %d pieces", i, n)
		}
	}
	if p.Maps != 11 {
		t.Errorf("got %d splits, want 11", p.Maps)
	}
	if took := time.Since(begin); took > time.Second {
		t.Errorf("planning took %v", took)
	}
}

// A million splits cost next to nothing: they are computed from the listing.
func TestMillionSplits(t *testing.T) {
	var before, after runtime.MemStats
	in := objects(1_000_000 << 20)
	runtime.GC()
	runtime.ReadMemStats(&before)
	p, err := plan.Make(spec(lines, 1<<20), in)
	if err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if p.Maps != 1_000_000 {
		t.Errorf("got %d splits, want a million", p.Maps)
	}
	if got := ranges(p.Split(999_999)); got != "[1048574951424+1048576]" {
		t.Errorf("last split: got %s", got)
	}
	if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
		t.Errorf("a million splits took %d bytes", n)
	}
}

// The number of reducers: the submitter's, else the job's, else by the size of the input.
func TestReducers(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		asked, ofJob int
		bytes        int64
		want         int
	}{
		{0, 0, 0, 1},
		{0, 0, 1, 1},
		{0, 0, 64 << 20, 1},
		{0, 0, 64<<20 + 1, 2},
		{0, 0, 128<<20 + 1, 4},
		{0, 0, 256<<20 + 1, 8},
		{0, 0, 1_000_000_000, 16},
		{0, 0, 1 << 50, 256},
		{0, 3, 1 << 40, 3},
		{7, 3, 1 << 40, 7},
	} {
		s := spec(lines, 1<<40)
		s.Reducers, s.Info.Reducers = test.asked, test.ofJob
		p, err := plan.Make(s, objects(test.bytes))
		if err != nil {
			t.Fatal(err)
		}
		if p.Reducers != test.want || p.Spec.Reducers != test.want {
			t.Errorf("%+v: got %d, in the spec %d", test, p.Reducers, p.Spec.Reducers)
		}
	}
}

// Each default is filled in, so that who reads a plan's spec knows no defaults.
func TestDefaults(t *testing.T) {
	t.Parallel()
	info := jobs.Info{Inputs: make([]jobs.Input, 1)}
	p, err := plan.Make(plan.Spec{Info: info}, objects(5))
	if err != nil {
		t.Fatal(err)
	}
	want := plan.Spec{Info: info, Reducers: 1, SplitSize: 5, Shuffle: "local", Compression: "none", MaxAttempts: 4, Decompress: "auto", Weight: 1}
	if !reflect.DeepEqual(p.Spec, want) {
		t.Errorf("got %+v, want %+v", p.Spec, want)
	}
}

// Who chooses no split size gets few splits of equal size: a multiple of four, unless they would be tiny.
func TestDefaultSplits(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		bytes          int64
		maps           int
		most, smallest int64
	}{
		{0, 1, 0, 0},
		{1, 1, 1, 1},
		{8<<20 - 1, 1, 8<<20 - 1, 8<<20 - 1},
		{10_000_000, 2, 5_000_000, 5_000_000},
		{100_000_000, 4, 25_000_000, 25_000_000},
		{1_000_000_000, 16, 62_500_000, 62_500_000},
		{1<<30 + 1, 20, 53_687_092, 53_687_077},
		{20 << 30, 320, 64 << 20, 64 << 20},
	} {
		s := spec(lines, 0)
		s.Info.Combines = true
		p, err := plan.Make(s, objects(test.bytes))
		if err != nil {
			t.Fatal(err)
		}
		most, smallest := int64(0), test.bytes
		for i := range p.Maps {
			most, smallest = max(most, p.SplitBytes(i)), min(smallest, p.SplitBytes(i))
		}
		if p.Maps != test.maps || most != test.most || smallest != test.smallest || most > plan.DefaultSplitSize {
			t.Errorf("%d bytes: got %d splits of %d to %d bytes, want %d of %d to %d", test.bytes, p.Maps, smallest, most, test.maps, test.smallest, test.most)
		}
		s.Info.Combines = false // all is sorted then
		if p, err = plan.Make(s, objects(test.bytes)); err != nil {
			t.Fatal(err)
		}
		if least := test.bytes >> 25; int64(p.Maps) < least || p.SplitBytes(0) > 32<<20 {
			t.Errorf("%d bytes without a combiner: got %d splits of %d bytes, want %d of up to 32 MiB", test.bytes, p.Maps, p.SplitBytes(0), least)
		}
	}
}

func BenchmarkMake10kFiles(b *testing.B) {
	sizes := make([]int64, 10_000)
	for i := range sizes {
		sizes[i] = int64(i)
	}
	in := objects(sizes...)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := plan.Make(spec(lines, 0), in); err != nil {
			b.Fatal(err)
		}
	}
}
