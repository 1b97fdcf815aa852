// Package stats computes statistics of groups: lines of "key;value" become count, minimum, mean, maximum and sum of each key.
package stats

import (
	"math"

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
			return code(floats{p.Separator}.read, 1), nil
		}
		return code(fixed{separator: p.Separator, decimals: p.Decimals}.reader(), math.Pow10(p.Decimals)), nil
	}, jobs.Doc(doc))
}

// code is the job for a map function that gives a group for each line, of values of which so many make 1.
func code[N int64 | float64](read func(line string, emit func(string, group[N])) error, one float64) jobs.Code {
	write := func(key string, groups jobs.Values[group[N]], emit func(Row)) error {
		g := jobs.Fold(groups, join)
		if err := g.check(key); err != nil {
			return err
		}
		sum := float64(g.Sum) / one
		emit(Row{key, g.Count, float64(g.Min) / one, sum / float64(g.Count), float64(g.Max) / one, sum})
		return nil
	}
	return jobs.MapReduce(read, write, jobs.Combine(join[N]))
}
