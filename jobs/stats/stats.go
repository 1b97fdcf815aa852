// Package stats computes statistics of groups: lines of "key;value" become count, minimum, mean, maximum and sum of each key.
package stats

import (
	"errors"
	"fmt"
	"math"
	"unicode/utf8"

	"github.com/millrace/millrace/jobs"
)

const doc = `Count, minimum, mean, maximum and sum of the values of each key, from lines of "key;value".

The value is what follows the last separator, so keys may contain it. With decimals=N, values are fixed-point numbers of at
most N decimals: sums are exact, and results repeat to the bit. Without it they are floating-point numbers: the last bits of
sum and mean depend on the order of addition, and so on split size and memory.`

// Params are what a submitter may choose.
type Params struct {
	Separator string `param:"separator" default:";" help:"what stands between key and value"`
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
		switch {
		case p.Separator == "":
			return jobs.Code{}, errors.New("parameter separator: it is empty: state what stands between key and value")
		case p.Decimals == -1:
			return code(jobs.FloatCutter(p.Separator), 1, math.Inf(1)), nil
		case p.Decimals < 0 || p.Decimals > jobs.MaxDecimals:
			return jobs.Code{}, fmt.Errorf("parameter decimals: %d: must be from 0 to %d, or -1 for floating-point numbers", p.Decimals, jobs.MaxDecimals)
		}
		return code(jobs.FixedCutter(p.Separator, p.Decimals), math.Pow10(p.Decimals), math.MaxInt64), nil
	}, jobs.Doc(doc))
}

// code is the job for numbers of which so many make 1, and whose sums must stay below a limit.
func code[N int64 | float64](cut func(line string) (string, N, error), one, limit float64) jobs.Code {
	read := func(line string, emit func(string, group[N])) error {
		key, v, err := cut(line)
		if err != nil {
			return fmt.Errorf("%w: correct the line, or state what it is with -p separator and -p decimals", err)
		}
		emit(key, group[N]{1, v, v, v})
		return nil
	}
	write := func(key string, groups jobs.Values[group[N]], emit func(Row)) error {
		g := jobs.Fold(groups, join)
		n, least, most, sum := float64(g.Count), float64(g.Min), float64(g.Max), float64(g.Sum)
		// A bound by count and extremes, for to look at each addition would slow down every record.
		if bound := n * max(-least, most); !(max(bound, sum, -sum) < limit) { // also if it is no number any more
			return fmt.Errorf("the sum of %d values from %g to %g may not fit into 64 bits: choose fewer -p decimals, or -1", g.Count, least/one, most/one)
		}
		if !utf8.ValidString(key) {
			return errors.New("the key is not valid UTF-8: convert the input to UTF-8")
		}
		emit(Row{key, g.Count, least / one, sum / one / n, most / one, sum / one})
		return nil
	}
	return jobs.MapReduce(read, write, jobs.Combine(join[N]))
}
