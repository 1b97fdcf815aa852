// Package stats computes statistics of groups: lines of "key;value" become count, minimum, mean, maximum and sum of each key.
package stats

import (
	"fmt"
	"math"
	"unicode/utf8"

	"github.com/millrace/millrace/jobs"
)

// Params are what a submitter may choose.
type Params struct {
	Separator string `param:"separator" default:";" help:"what stands between key and value; the last one in a line counts"`
	Decimals  int    `param:"decimals" default:"-1" help:"digits after the point: values are fixed-point numbers and sums are exact; -1: floating-point numbers"`
}

// Row is a row of the result.
type Row struct {
	Key                 string
	Count               int64
	Min, Mean, Max, Sum float64
}

// group is what is known of some values of a key; the combiner joins two of them.
type group[N int64 | float64] struct {
	Count         int64
	Min, Max, Sum N
}

func join[N int64 | float64](a, b group[N]) group[N] {
	return group[N]{a.Count + b.Count, min(a.Min, b.Min), max(a.Max, b.Max), a.Sum + b.Sum}
}

// Job returns the job "stats".
func Job() *jobs.Job {
	return jobs.Define("stats", func(_ *jobs.Task, p Params) (jobs.Code, error) {
		if p.Decimals == -1 {
			cut, err := jobs.FloatCutter(p.Separator)
			return code(cut, err, 1, 0)
		}
		cut, err := jobs.FixedCutter(p.Separator, p.Decimals)
		return code(cut, err, math.Pow10(p.Decimals), 1<<63-2048) // as near to 2^63 as rounded bounds allow
	}, jobs.Doc("Count, minimum, mean, maximum and sum of the values of each key, from lines of \"key;value\". With decimals=N, results\n"+
		"repeat to the bit; without it, the last bits of sum and mean depend on split size and memory."))
}

// code is the job for numbers of which so many make 1, and whose sums must stay below a limit if that is not 0. refused is why
// there is no cut.
func code[N int64 | float64](cut func(line string) (string, N, error), refused error, one, limit float64) (jobs.Code, error) {
	if refused != nil {
		return jobs.Code{}, fmt.Errorf("parameter %w", refused)
	}
	return jobs.MapReduce(func(line string, emit func(string, group[N])) error {
		key, v, err := cut(line)
		if err != nil {
			return fmt.Errorf("%w: correct the line, or state what it is with -p separator and -p decimals", err)
		}
		emit(key, group[N]{1, v, v, v})
		return nil
	}, func(key string, groups jobs.Values[group[N]], emit func(Row)) error {
		g := jobs.Fold(groups, join)
		n, least, most, sum := float64(g.Count), float64(g.Min), float64(g.Max), float64(g.Sum)/one
		// A look at each addition would slow down every record. Floating-point numbers say by themselves that it was too much.
		if limit > 0 && n*max(-least, most) >= limit || math.IsInf(sum, 0) || math.IsNaN(sum) {
			return fmt.Errorf("the sum of %d values from %g to %g may not fit into 64 bits: choose fewer -p decimals, or -1", g.Count, least/one, most/one)
		}
		if !utf8.ValidString(key) {
			return fmt.Errorf("the key is not valid UTF-8: convert the input to UTF-8")
		}
		emit(Row{key, g.Count, least / one, sum / n, most / one, sum})
		return nil
	}, jobs.Combine(join[N])), nil
}
