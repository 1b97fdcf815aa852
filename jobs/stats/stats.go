// Package stats computes statistics of groups: lines of "key;value" become count, minimum, mean, maximum and sum of each key.
package stats

import (
	"fmt"
	"math"
	"strings"

	"github.com/millrace/millrace/jobs"
)

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
		if p.Decimals < 0 {
			return code(p.Separator, parseFloat, 1), nil
		}
		return code(p.Separator, fixed(p.Decimals).parse, math.Pow10(p.Decimals)), nil
	}, jobs.Doc(doc))
}

// code is the job for values that are N, of which so many make 1.
func code[N int64 | float64](separator string, parse func(string) (N, error), one float64) jobs.Code {
	read := func(line string, emit func(string, group[N])) error {
		key, text, found := strings.Cut(line, separator)
		if !found {
			return fmt.Errorf("no %q in the line %.100q: state what stands between key and value with -p separator", separator, line)
		}
		v, err := parse(text)
		emit(key, group[N]{1, v, v, v})
		return err
	}
	write := func(key string, groups jobs.Values[group[N]], emit func(Row)) error {
		g := jobs.Fold(groups, join)
		sum := float64(g.Sum) / one
		emit(Row{key, g.Count, float64(g.Min) / one, sum / float64(g.Count), float64(g.Max) / one, sum})
		return g.check(key)
	}
	return jobs.MapReduce(read, write, jobs.Combine(join[N]))
}
