package histogram_test

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/jobs/histogram"
	"github.com/millrace/millrace/jobs/jobstest"
)

// Buckets of one width are those that exact fractions give, below zero too, and at the very bounds.
func TestWidth(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(5, 6))
	for _, width := range []string{"0.1", "1", "7.3", "250"} {
		w, _ := new(big.Rat).SetString(width)
		type bucket struct {
			key   string
			index int64
		}
		counts := map[bucket]int64{}
		var lines strings.Builder
		for range 2000 {
			key := string(rune('a' + rnd.IntN(3)))
			text := fmt.Sprintf("%.*f", rnd.IntN(3), float64(rnd.IntN(4000)-2000)/10)
			if rnd.IntN(4) == 0 { // a bound itself
				text = new(big.Rat).Mul(w, big.NewRat(int64(rnd.IntN(40)-20), 1)).FloatString(2)
			}
			fmt.Fprintf(&lines, "%s;%s\n", key, text)
			v, _ := new(big.Rat).SetString(text)
			q := new(big.Rat).Quo(v, w)
			index := new(big.Int).Div(q.Num(), q.Denom()).Int64() // Euclid's: down, as the denominator is positive
			counts[bucket{key, index}]++
		}
		var want []jobstest.Row
		all := []bucket{}
		for b := range counts {
			all = append(all, b)
		}
		slices.SortFunc(all, func(a, b bucket) int { return cmp.Or(cmp.Compare(a.key, b.key), cmp.Compare(a.index, b.index)) })
		for _, b := range all {
			lower, _ := new(big.Rat).Mul(w, big.NewRat(b.index, 1)).Float64()
			upper, _ := new(big.Rat).Mul(w, big.NewRat(b.index+1, 1)).Float64()
			want = append(want, jobstest.Row{b.key, lower, upper, counts[b]})
		}
		jobstest.Equal(t, jobstest.Run(t, histogram.Job(), map[string]string{"width": width}, lines.String()), want...)
	}
}

// A bound belongs to the bucket above it; the first and the last bucket are open.
func TestBounds(t *testing.T) {
	t.Parallel()
	got := jobstest.Run(t, histogram.Job(), map[string]string{"bounds": "-1.5, 0, 10", "separator": ","}, "x,-2\nx,-1.5\nx,-0.01\n", "x,0\nx,9.999999\nx,10\n")
	jobstest.Equal(t, got,
		jobstest.Row{"x", nil, -1.5, int64(1)},
		jobstest.Row{"x", -1.5, 0.0, int64(2)},
		jobstest.Row{"x", 0.0, 10.0, int64(2)},
		jobstest.Row{"x", 10.0, nil, int64(1)})
}

// The largest numbers have a bucket, whose bounds do not wrap around.
func TestExtremes(t *testing.T) {
	t.Parallel()
	got := jobstest.Run(t, histogram.Job(), map[string]string{"width": "1", "decimals": "0"}, "a;-9223372036854775807\na;9223372036854775807\n")
	jobstest.Equal(t, got,
		jobstest.Row{"a", -float64(math.MaxInt64), -float64(math.MaxInt64), int64(1)},
		jobstest.Row{"a", float64(math.MaxInt64), float64(math.MaxInt64), int64(1)})
}

// The buckets of a key are in one partition, in order.
func TestPartitions(t *testing.T) {
	t.Parallel()
	var lines strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&lines, "key %d;%d\n", i%20, i)
	}
	result, err := jobstest.RunObjects(histogram.Job(), map[string]string{"width": "100"}, jobstest.Objects(lines.String()), 4)
	if err != nil {
		t.Fatal(err)
	}
	at, used := map[string]int{}, 0
	for i, rows := range result.Partitions {
		for _, row := range rows {
			key := row[0].(string)
			if was, ok := at[key]; ok && was != i {
				t.Errorf("%s is in partitions %d and %d", key, was, i)
			}
			at[key] = i
		}
		if len(rows) > 0 {
			used++
		}
	}
	if len(at) != 20 || used < 2 {
		t.Errorf("%d keys in %d partitions", len(at), used)
	}
}

// Lines and parameters that cannot be are refused, with what to do.
func TestErrors(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"a":           `has no separator ";": correct the line, or state what it is with -p separator`,
		"a;1e5":       `the value "1e5" is no fixed-point number`,
		"a;1.2345678": "has 7 decimals, more than 6",
		"\xff;1":      `the key "\xff" is not valid UTF-8`,
	} {
		_, err := jobstest.RunObjects(histogram.Job(), map[string]string{"width": "1"}, jobstest.Objects("a;1\n"+line), 1)
		bad, ok := errors.AsType[*jobs.RecordError](err)
		if !ok || bad.Offset != 4 || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v", line, err)
		}
	}
	for want, params := range map[string]map[string]string{
		"parameters width and bounds: give one of them":    {},
		"parameters width and bounds: give one of":         {"width": "1", "bounds": "1"},
		"parameter width: 0: must be more than 0":          {"width": "0"},
		`parameter width: the value "a" is no fixed-point`: {"width": "a"},
		`parameter bounds: the value "" is no fixed-point`: {"bounds": "1,,2"},
		"parameter bounds: 1 does not lie above 1.0":       {"bounds": "1.0,1"},
		"parameter separator: it is empty":                 {"width": "1", "separator": ""},
		"parameter decimals: 19: must be from 0 to 18":     {"width": "1", "decimals": "19"},
		`parameter width: the value "0.5" has 1 decimals`:  {"width": "0.5", "decimals": "0"},
	} {
		if _, err := histogram.Job().Bind(params); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: got %v", params, err)
		}
	}
}

func ExampleJob() {
	times := jobstest.Objects("/login;12.5\n/;3\n", "/login;19.9\n/login;20\n")
	result, err := jobstest.RunObjects(histogram.Job(), map[string]string{"width": "10"}, times, 1)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, row := range result.Rows() {
		fmt.Println(row)
	}
	// Output:
	// {"/" 0 10 1}
	// {"/login" 10 20 2}
	// {"/login" 20 30 1}
}
