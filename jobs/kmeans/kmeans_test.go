package kmeans

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/jobs/jobstest"
)

// blobs are n points around each of the centers, as lines of two decimals.
func blobs(n int, centers ...[]float64) string {
	rnd := rand.New(rand.NewPCG(1, 2))
	var lines []string
	for range n {
		for _, c := range centers {
			var x []string
			for _, v := range c {
				x = append(x, fmt.Sprintf("%.2f", v+rnd.NormFloat64()))
			}
			lines = append(lines, strings.Join(x, ","))
		}
	}
	return strings.Join(lines, "\n") + "\n"
}

// lloyd is the algorithm as a textbook has it: all in one loop, over float64.
func lloyd(points, centers [][]float64) (counts []int, _ [][]float64) {
	for {
		counts = make([]int, len(centers))
		sums := make([][]float64, len(centers))
		for _, p := range points {
			best, at := math.Inf(1), 0
			for i, c := range centers {
				d := 0.0
				for j := range p {
					d += (p[j] - c[j]) * (p[j] - c[j])
				}
				if d < best {
					best, at = d, i
				}
			}
			if sums[at] == nil {
				sums[at] = make([]float64, len(p))
			}
			counts[at]++
			for j := range p {
				sums[at][j] += p[j]
			}
		}
		moved := 0.0
		next := make([][]float64, len(centers))
		for i, c := range centers {
			next[i] = c
			if counts[i] > 0 {
				next[i] = make([]float64, len(c))
				for j := range c {
					next[i][j] = sums[i][j] / float64(counts[i])
					moved = max(moved, math.Abs(next[i][j]-c[j]))
				}
			}
		}
		if centers = next; moved < 1e-12 {
			return counts, centers
		}
	}
}

// The chain finds the same clusters as a plain loop from the same start, and the centers agree to the precision of its sums.
func TestAgainstLoop(t *testing.T) {
	t.Parallel()
	text := blobs(300, []float64{0, 0, 5}, []float64{9, 1, 0}, []float64{-4, 7, 2}, []float64{3, 3, 3})
	cut := strings.Index(text[len(text)/3:], "\n") + len(text)/3 + 1
	start := "1,1,1;2,2,2;3,3,3;-1,4,2"
	rows := jobstest.Run(t, Job(), map[string]string{"centers": start, "decimals": "2"}, text[:cut], text[cut:])
	centers, err := parseCenters(start)
	if err != nil {
		t.Fatal(err)
	}
	var points [][]float64
	for _, line := range strings.Fields(text) {
		p, err := parseCenters(line)
		if err != nil {
			t.Fatal(err)
		}
		points = append(points, p[0])
	}
	counts, want := lloyd(points, centers)
	if len(rows) != len(want) {
		t.Fatalf("got %d clusters, want %d", len(rows), len(want))
	}
	for i, row := range rows {
		if row[0] != int64(i) || row[1] != int64(counts[i]) {
			t.Errorf("cluster %d: got %v with %v points, want %d", i, row[0], row[1], counts[i])
		}
		for j, x := range row[2].([]any) {
			if math.Abs(x.(float64)-want[i][j]) > 1e-9 {
				t.Errorf("cluster %d coordinate %d: got %v, want %v", i, j, x, want[i][j])
			}
		}
	}
}

// The points to begin with are drawn from the whole input, without one twice; another seed draws others, and the order of the
// input does not matter.
func TestDraw(t *testing.T) {
	t.Parallel()
	text := blobs(50, []float64{0, 0}, []float64{100, 100}) + strings.Repeat("7,7\n", 500)
	lines := strings.Fields(text)
	slices.Reverse(lines)
	draw := func(seed, text string) []jobstest.Row {
		return jobstest.Run(t, drawJob(), map[string]string{"k": "5", "seed": seed, "separator": ",", "decimals": "2"}, text)
	}
	first := draw("1", text)
	if len(first) != 5 {
		t.Fatalf("got %d points", len(first))
	}
	seen := map[string]bool{}
	for _, r := range first {
		seen[fmt.Sprint(r[2])] = true
	}
	if len(seen) != 5 {
		t.Errorf("a point is drawn twice: %v", first)
	}
	jobstest.Equal(t, draw("1", strings.Join(lines, "\n")), first...)
	if fmt.Sprint(draw("2", text)) == fmt.Sprint(first) {
		t.Error("another seed draws the same points")
	}
}

// With output=points there is a row for each line, with the number of its cluster; a cluster without points has no row, and a
// single round is one.
func TestOutputs(t *testing.T) {
	t.Parallel()
	text := "0 0\n1 0\n10 10\n0 1\n10 11\n"
	params := map[string]string{"centers": "0,0;9,9;500,500", "separator": " ", "output": "points"}
	jobstest.Equal(t, jobstest.Run(t, Job(), params, text),
		jobstest.Row{int64(0), "0 0"}, jobstest.Row{int64(0), "1 0"}, jobstest.Row{int64(0), "0 1"},
		jobstest.Row{int64(1), "10 10"}, jobstest.Row{int64(1), "10 11"})
	params["output"], params["iterations"] = "centers", "1"
	jobstest.Equal(t, jobstest.Run(t, Job(), params, text),
		jobstest.Row{int64(0), int64(3), []any{1.0 / 3, 1.0 / 3}}, jobstest.Row{int64(1), int64(2), []any{10.0, 10.5}})
}

// What cannot be is an error that says what to do.
func TestErrors(t *testing.T) {
	t.Parallel()
	for want, tt := range map[string]struct {
		params map[string]string
		text   string
	}{
		"k 0":                               {map[string]string{"k": "0"}, "1,2"},
		"iterations 999":                    {map[string]string{"iterations": "999"}, "1,2"},
		"separator":                         {map[string]string{"separator": ""}, "1,2"},
		"decimals":                          {map[string]string{"decimals": "19"}, "1,2"},
		"fewer than k=8":                    {nil, "1,2\n1,2\n3,4\n"},
		`coordinate 2: the value "x"`:       {nil, "1,x\n"},
		"it has 3 coordinates, the centers": {map[string]string{"centers": "1,2"}, "1,2,3\n"},
		`center 1: "y" is no number`:        {map[string]string{"centers": "y"}, "1\n"},
		"center 2 has 1 coordinates":        {map[string]string{"centers": "1,2;3"}, "1,2\n"},
		"more than 6":                       {map[string]string{"k": "1"}, "0.1234567\n"},
	} {
		if _, err := jobstest.RunObjects(Job(), tt.params, jobstest.Objects(tt.text), 1); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q in it", err, want)
		}
	}
}

// Centers are read as they were written, to the bit.
func TestCenters(t *testing.T) {
	t.Parallel()
	want := [][]float64{{0.1, -1.0 / 3}, {math.MaxFloat64, math.SmallestNonzeroFloat64}}
	if got, err := parseCenters(formatCenters(want)); err != nil || fmt.Sprint(got) != fmt.Sprint(want) || got[0][1] != want[0][1] {
		t.Errorf("got %v, %v", got, err)
	}
}

// The description shows, and each stage can be bound.
func TestJob(t *testing.T) {
	t.Parallel()
	j := Job()
	if j.Name() != "kmeans" || !strings.HasPrefix(j.Doc(), "K-means") || len(j.Stages()) != 3 {
		t.Errorf("got %s, %q, %d stages", j.Name(), j.Doc(), len(j.Stages()))
	}
	next, err := j.Advance(nil, nil)
	if err != nil || next.Job != "draw" || next.Collect != 8 {
		t.Errorf("got %+v, %v", next, err)
	}
	if _, err := j.Advance(nil, []jobs.StageResult{{Spec: *next, Rows: 3}}); err == nil {
		t.Error("three points make eight clusters")
	}
}
