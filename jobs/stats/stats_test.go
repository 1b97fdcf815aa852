package stats_test

import (
	"errors"
	"fmt"
	"maps"
	"math/big"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/jobs/jobstest"
	"github.com/millrace/millrace/jobs/stats"
)

// measured is a line of a test's input, its value as a fraction.
type measured struct {
	key   string
	value *big.Rat
}

// input makes lines of random keys and values of so many decimals, some of them long, and their text in several objects.
func input(seed uint64, lines, decimals int) (all []measured, texts []string) {
	rnd := rand.New(rand.NewPCG(seed, 1))
	keys := []string{"", "a", "Abéché", "a;b", "New York", "Las Palmas de Gran Canaria", "x=1"}
	for range 50 {
		keys = append(keys, fmt.Sprint("station ", rnd.IntN(1000)))
	}
	var object strings.Builder
	for i := range lines {
		n := rnd.Int64N(2000) - 1000
		if i%50 == 0 {
			n = (rnd.Int64N(2000) - 1000) * 1_000_000_007
		}
		v := new(big.Rat).Quo(big.NewRat(n, 1), new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(decimals)), nil)))
		m := measured{keys[rnd.IntN(len(keys))], v}
		all = append(all, m)
		fmt.Fprintf(&object, "%s;%s\n", m.key, v.FloatString(decimals))
		if i%700 == 699 {
			texts = append(texts, object.String())
			object.Reset()
		}
	}
	return all, append(texts, object.String())
}

// reference computes the rows with fractions of whole numbers, which are exact.
func reference(all []measured) []jobstest.Row {
	groups := map[string][]*big.Rat{}
	for _, m := range all {
		groups[m.key] = append(groups[m.key], m.value)
	}
	var rows []jobstest.Row
	for _, key := range slices.Sorted(maps.Keys(groups)) {
		values := groups[key]
		sum := new(big.Rat)
		for _, v := range values {
			sum.Add(sum, v)
		}
		count := int64(len(values))
		least, greatest := slices.MinFunc(values, (*big.Rat).Cmp), slices.MaxFunc(values, (*big.Rat).Cmp)
		// Each of these is the float64 nearest to the exact number, but for the mean: that is one division away.
		rows = append(rows, jobstest.Row{key, count, near(least), near(sum) / float64(count), near(greatest), near(sum)})
	}
	return rows
}

func near(r *big.Rat) float64 { f, _ := r.Float64(); return f }

// With decimals, every statistic is that of exact arithmetic, over several objects, in the fast way of values and the plain.
func TestFixed(t *testing.T) {
	t.Parallel()
	for decimals := range 7 {
		all, texts := input(uint64(decimals), 3000, decimals)
		got := jobstest.Run(t, stats.Job(), map[string]string{"decimals": fmt.Sprint(decimals)}, texts...)
		jobstest.Equal(t, got, reference(all)...)
	}
}

// Without decimals, values are floats: where all sums are whole numbers below 2^53 the results are exact too.
func TestFloats(t *testing.T) {
	t.Parallel()
	all, texts := input(9, 2000, 0)
	jobstest.Equal(t, jobstest.Run(t, stats.Job(), nil, texts...), reference(all)...)
	got := jobstest.Run(t, stats.Job(), map[string]string{"separator": " = "}, "k = 1e3\nk = -0.25\r\n", "k = .5")
	jobstest.Equal(t, got, jobstest.Row{"k", int64(3), -0.25, 1000.25 / 3, 1000.0, 1000.25})
}

// A line that cannot be read fails by its place, with what to do.
func TestBadLines(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		decimals, line, want string
	}{
		{"1", "no value", `has no separator ";": correct the line, or state what it is with -p separator and -p decimals`},
		{"-1", "", `has no separator ";"`},
		{"1", "k;1.25", `"1.25" has 2 decimals, more than 1`},
		{"1", "k;x", `the value "x" is no fixed-point number: correct the line`},
		{"-1", "k;x", `the value "x" is no finite number`},
		{"-1", "k;NaN", "no finite number"},
		{"-1", "k;1e999", "no finite number"},
		{"18", "k;12", "does not fit into 64 bits"},
	} {
		_, err := jobstest.RunObjects(stats.Job(), map[string]string{"decimals": test.decimals}, jobstest.Objects("a;1\n", "a;2\n"+test.line+"\n"), 1)
		bad, ok := errors.AsType[*jobs.RecordError](err)
		if !ok || bad.URL != "mem://input/1" || bad.Offset != 4 || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q: got %v, want %q", test.line, err, test.want)
		}
	}
}

// A group whose statistics cannot be told fails by its key, with what to do; one at the limit does not.
func TestBadGroups(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		decimals, lines, want string
	}{
		{"0", "k;9223372036854775807\nk;1", "reduce key \"k\": the sum of 2 values from 1 to 9.223372036854776e+18 may not fit into 64 bits: choose"},
		{"0", "k;-5000000000000000000\nk;1", "choose fewer -p decimals, or -1"},
		{"-1", "k;1e308\nk;1e308", "the sum of 2 values from 1e+308 to 1e+308 may not fit into 64 bits"},
		{"-1", "k;1e308\nk;1e308\nk;-1e308\nk;-1e308", "may not fit"},
		{"0", "k\xff;1", "the key is not valid UTF-8: convert the input"},
	} {
		_, err := jobstest.RunObjects(stats.Job(), map[string]string{"decimals": test.decimals}, jobstest.Objects(test.lines), 1)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q: got %v, want %q", test.lines, err, test.want)
		}
	}
	got := jobstest.Run(t, stats.Job(), nil, "k;1e308\nk;-1e308")
	jobstest.Equal(t, got, jobstest.Row{"k", int64(2), -1e308, 0.0, 1e308, 0.0})
	got = jobstest.Run(t, stats.Job(), map[string]string{"decimals": "0"}, "k;4611686018427386000\nk;-4611686018427386000")
	jobstest.Equal(t, got, jobstest.Row{"k", int64(2), -4611686018427386000.0, 0.0, 4611686018427386000.0, 0.0})
}

// A parameter that makes no sense is refused by name.
func TestBadParameters(t *testing.T) {
	t.Parallel()
	for name, params := range map[string]map[string]string{
		"parameter separator: it is empty": {"separator": ""},
		"parameter decimals: 19: must be":  {"decimals": "19"},
		"parameter decimals: -2: must be":  {"decimals": "-2"},
	} {
		if _, err := stats.Job().Bind(params); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%v: got %v", params, err)
		}
	}
}

func ExampleJob() {
	lines := jobstest.Objects("Oslo;-3.1\nRome;14.0\n", "Oslo;0.5\n")
	result, err := jobstest.RunObjects(stats.Job(), map[string]string{"decimals": "1"}, lines, 1)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, row := range result.Rows() {
		fmt.Println(row)
	}
	// Output:
	// {"Oslo" 2 -3.1 -1.3 0.5 -2.6}
	// {"Rome" 1 14 14 14 14}
}
