package quantiles

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/DataDog/sketches-go/ddsketch"

	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/jobs/jobstest"
)

// spread is values of several kinds: near to each other, over many magnitudes, negative, zeros, equal ones.
func spread(rnd *rand.Rand, n int) (values []float64) {
	for range n {
		switch rnd.IntN(6) {
		case 0:
			values = append(values, 0)
		case 1:
			values = append(values, math.Exp(rnd.NormFloat64()*20))
		case 2:
			values = append(values, -math.Exp(rnd.NormFloat64()*3))
		case 3:
			values = append(values, 17)
		default:
			values = append(values, math.Round(1000+100*rnd.NormFloat64())/10)
		}
	}
	return values
}

func sketchOf(t testing.TB, by scale, values ...float64) (s sketch) {
	t.Helper()
	for i, v := range values {
		one, err := by.one(v)
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			s = one
		} else {
			s = by.join(s, one)
		}
	}
	return s
}

// However values are dealt out to sketches and in which order these are joined, the result is the same to the bit.
func TestJoinInAnyOrder(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(11, 12))
	by, err := newScale(0.01)
	if err != nil {
		t.Fatal(err)
	}
	for range 100 {
		values := spread(rnd, 1+rnd.IntN(300))
		want := sketchOf(t, by, values...)
		rnd.Shuffle(len(values), func(i, j int) { values[i], values[j] = values[j], values[i] })
		var heap []sketch
		for len(values) > 0 {
			n := 1 + rnd.IntN(len(values))
			heap, values = append(heap, sketchOf(t, by, values[:n]...)), values[n:]
		}
		for len(heap) > 1 {
			i := rnd.IntN(len(heap) - 1)
			heap[i] = by.join(heap[i], heap[i+1])
			heap = slices.Delete(heap, i+1, i+2)
		}
		if !reflect.DeepEqual(heap[0], want) {
			t.Fatalf("got %+v, want %+v", heap[0], want)
		}
	}
}

// The combiner keeps nothing of its second argument.
func TestJoinKeepsNothing(t *testing.T) {
	t.Parallel()
	by, _ := newScale(0.1)
	for _, first := range [][]float64{{1}, {2}, {-1}, {5, 6, 7}} {
		for _, second := range [][]float64{{3}, {-4}, {8, 9, 10}} {
			b := sketchOf(t, by, second...)
			got := by.join(sketchOf(t, by, first...), b)
			for _, bins := range [][]bin{b.Negative, b.Positive} {
				for i := range bins {
					bins[i] = bin{-1, -1}
				}
			}
			if want := sketchOf(t, by, append(slices.Clone(first), second...)...); !reflect.DeepEqual(got, want) {
				t.Errorf("%v and %v: got %+v, want %+v", first, second, got, want)
			}
		}
	}
}

// within says whether an estimate is as near as promised to the value at the rank, rounded down or up.
func within(estimate, q, relative float64, sorted []float64) bool {
	rank := q * float64(len(sorted)-1)
	for _, v := range []float64{sorted[int(math.Floor(rank))], sorted[int(math.Ceil(rank))]} {
		if math.Abs(estimate-v) <= relative*(1+1e-9)*math.Abs(v)+1e-300 {
			return true
		}
	}
	return false
}

// Estimates are within the stated relative error of exact quantiles, those of 0 and 1 exact, and the others equal
// to those of the library's own sketch, which never was taken apart, within the least and the greatest value.
func TestError(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(13, 14))
	for _, relative := range []float64{0.001, 0.01, 0.05, 0.5} {
		params := map[string]string{"error": fmt.Sprint(relative), "quantiles": "0,0.01,0.25,0.5,0.75,0.9,0.99,0.999,1"}
		var lines bytes.Buffer
		values := map[string][]float64{}
		for i := range 20 {
			key := strconv.Itoa(i)
			values[key] = spread(rnd, 1+i*i*10)
			for _, v := range values[key] {
				fmt.Fprintf(&lines, "%s;%v\n", key, v)
			}
		}
		rows := jobstest.Run(t, Job(), params, lines.String())
		keys := slices.Sorted(maps.Keys(values))
		if len(rows) != 9*len(keys) {
			t.Fatalf("got %d rows", len(rows))
		}
		for i, row := range rows {
			key, q, got := row[0].(string), row[1].(float64), row[2].(float64)
			sorted := slices.Sorted(slices.Values(values[key]))
			if key != keys[i/9] || row[3] != int64(len(sorted)) {
				t.Fatalf("row %d is %v, want key %s and %d values", i, row, keys[i/9], len(sorted))
			}
			if !within(got, q, relative, sorted) || q == 0 && got != sorted[0] || q == 1 && got != sorted[len(sorted)-1] {
				t.Errorf("error %g: quantile %g of %d values is %g", relative, q, len(sorted), got)
			}
			if want := library(t, relative, values[key], q); q > 0 && q < 1 && got != min(max(want, sorted[0]), sorted[len(sorted)-1]) {
				t.Errorf("error %g: quantile %g of %d values is %v, the library says %v", relative, q, len(sorted), got, want)
			}
		}
	}
}

// library is an estimate of the library's sketch.
func library(t *testing.T, relative float64, values []float64, q float64) float64 {
	t.Helper()
	d, err := ddsketch.NewDefaultDDSketch(relative)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range values {
		if err := d.Add(v); err != nil {
			t.Fatal(err)
		}
	}
	v, err := d.GetValueAtQuantile(q)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// Lines and parameters that cannot be are refused, with what to do; the largest and smallest numbers are told apart from them.
func TestErrors(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"a": `has no separator ";": correct the line`, "a;b": `the value "b" is no finite number`, "a;Inf": "is no finite number",
		"a;1.7e308": "the value 1.7e+308 is too large: values may be up to", "\xff;1": `the key "\xff" is not valid UTF-8`,
	} {
		_, err := jobstest.RunObjects(Job(), nil, jobstest.Objects("a;1\n"+line), 1)
		bad, ok := errors.AsType[*jobs.RecordError](err)
		if !ok || bad.Offset != 4 || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v", line, err)
		}
	}
	for want, params := range map[string]map[string]string{
		`parameter quantiles: "2": each is a number from 0 to 1`: {"quantiles": "0.5,2"},
		`parameter quantiles: "NaN"`:                             {"quantiles": "NaN"},
		"parameter quantiles: there is none":                     {"quantiles": ""},
		"parameter error: 0: must be from 0.001 to 0.5":          {"error": "0"},
		"parameter error: NaN":                                   {"error": "NaN"},
		"parameter separator: it is empty":                       {"separator": ""},
	} {
		if _, err := Job().Bind(params); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: got %v", params, err)
		}
	}
	rows := jobstest.Run(t, Job(), map[string]string{"quantiles": "0.5"}, "a;1e-320\nb;1e308\n")
	if rows[0][2] != 1e-320 || rows[1][2] != 1e308 {
		t.Errorf("got %v", rows)
	}
}

func ExampleJob() {
	times := jobstest.Objects("/login;12\n/;3\n/login;19\n", "/login;20\n/login;4000\n")
	result, err := jobstest.RunObjects(Job(), map[string]string{"quantiles": "0.5,1"}, times, 1)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, row := range result.Rows() {
		fmt.Printf("%s %v %.3g\n", row[0], row[1], row[2])
	}
	// Output:
	// / 0.5 3
	// / 1 3
	// /login 0.5 19.1
	// /login 1 4e+03
}
