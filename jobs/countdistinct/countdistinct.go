// Package countdistinct counts how many different values there are, in all or for each key, in little memory.
//
// To count exactly, a set of all values would have to be kept, or each value sent to a reduce task as the job distinct does.
// A HyperLogLog keeps 16 KiB for any number of values and joins with others, so a combiner can do most of the work. This
// package is the only one that knows the library of it.
package countdistinct

import (
	"fmt"
	"unicode/utf8"

	"github.com/zeebo/xxh3"

	"github.com/millrace/millrace/jobs"
)

// Params are what a submitter may choose.
type Params struct {
	Field     int    `param:"field" default:"0" help:"number of the field whose values are counted, from 1; 0: the whole line"`
	Key       int    `param:"key" default:"0" help:"number of the field by which they are counted, from 1; 0: in all"`
	Separator string `param:"separator" default:"\t" help:"what stands between fields; a tab if not stated"`
}

// Validate reports a parameter that makes no sense.
func (p Params) Validate() error {
	if p.Field < 0 || p.Key < 0 || p.Separator == "" {
		return fmt.Errorf("parameters field=%d, key=%d, separator=%q: count fields from 1; no separator is empty", p.Field, p.Key, p.Separator)
	}
	return nil
}

// Row is a row of the result.
type Row struct {
	Key      string // "" for all
	Distinct int64
	Exact    bool  // up to 1,024 values are counted exactly; of more, the standard error is 0.81 %
	Lines    int64 // of the key
}

// tally is what is known of some lines of a key.
type tally struct {
	Lines  int64
	Values set
}

// Job returns the job "countdistinct".
func Job() *jobs.Job {
	return jobs.Define("countdistinct", func(_ *jobs.Task, p Params) (jobs.Code, error) {
		add := func(a, b tally) tally { return tally{a.Lines + b.Lines, join(a.Values, b.Values)} }
		r := func(key string, all jobs.Values[tally], emit func(Row)) error {
			t := jobs.Fold(all, add)
			n, exact := t.Values.count()
			emit(Row{key, n, exact, t.Lines})
			return nil
		}
		return jobs.MapReduce(p.read(), r, jobs.Combine(add)), nil
	}, jobs.Doc("Counts different lines, or values of a field, in all or by another field, with a sketch (HyperLogLog).\n"+
		"One row per key: key, distinct, exact, lines. Up to 1,024 values are counted exactly; of more, the standard error is 0.81 %."))
}

// read returns the map function: each line is a set of one value.
func (p Params) read() func(string, func(string, tally)) error {
	var hash [1]uint64 // of one attempt: emit copies what it is given
	return func(line string, emit func(string, tally)) error {
		value, err := jobs.CutField(line, p.Separator, p.Field)
		if err != nil {
			return fmt.Errorf("%w: state another with -p field, or what stands between fields with -p separator", err)
		}
		key := ""
		if p.Key > 0 {
			if key, err = jobs.CutField(line, p.Separator, p.Key); err != nil {
				return fmt.Errorf("%w: state another with -p key, or what stands between fields with -p separator", err)
			}
			if !utf8.ValidString(key) {
				return fmt.Errorf("the key %.100q is not valid UTF-8: convert the input to UTF-8", key)
			}
		}
		hash[0] = xxh3.HashString(value)
		emit(key, tally{1, set{hashes: hash[:]}})
		return nil
	}
}
