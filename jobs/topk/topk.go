// Package topk finds the most frequent lines, fields or words, exactly.
//
// Each value is counted as in package wordcount, with a combiner, so that few pairs travel. What is new is that a row depends
// on all counts, not on those of one key: the reduce function keeps the best so far and must learn when it has seen all keys.
// So the map function emits one more key, which is greater than every value: when its group comes, the others have been.
package topk

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/jobs/internal/best"
)

// Params are what a submitter may choose.
type Params struct {
	K         int    `param:"k" default:"10" help:"how many values to find, at most 100,000"`
	Words     bool   `param:"words" default:"false" help:"count words, maximal runs of Unicode letters, not whole lines or fields"`
	Lower     bool   `param:"lower" default:"false" help:"count values in lower case"`
	Field     int    `param:"field" default:"0" help:"number of the field to look at, from 1; 0: the whole line"`
	Separator string `param:"separator" default:"\t" help:"what stands between fields; a tab if not stated"`
}

// maxK keeps what a reduce task holds small: 100,000 values of 60 bytes are some 10 MB.
const maxK = 100_000

// Validate reports a parameter that makes no sense.
func (p Params) Validate() error {
	if p.K < 1 || p.K > maxK {
		return fmt.Errorf("parameter k: %d: must be from 1 to %d; the job distinct counts all values", p.K, maxK)
	}
	if p.Field < 0 || p.Separator == "" {
		return fmt.Errorf("parameters field=%d, separator=%q: count fields from 1, or state 0 for the whole line; no separator is empty", p.Field, p.Separator)
	}
	return nil
}

// Row is a row of the result.
type Row struct {
	Rank  int64 // from 1; of values that are equally frequent, the lesser one is first
	Value string
	Count int64
}

// end is a key greater than every value: values are valid UTF-8, in which this byte does not occur.
const end = "\xff"

// Job returns the job "topk".
func Job() *jobs.Job {
	return jobs.Define("topk", func(_ *jobs.Task, p Params) (jobs.Code, error) {
		return jobs.MapReduce(p.count(), ranking(p.K), jobs.Combine(jobs.Sum[int64]),
			jobs.Reducers(1), jobs.Partition(together)), nil
	}, jobs.Doc("Finds the K most frequent lines, values of a field, or words. One row for each: rank, value, count; in order of rank.\n"+
		"Counts are exact. Of values that are equally frequent, the lesser one comes first."))
}

// together sends all keys to one partition, however many there are: what is best of all is known in one place only.
func together(string, int) int { return 0 }

// count returns the map function of one attempt.
func (p Params) count() func(string, func(string, int64)) error {
	ended := false // the attempt has emitted end
	one := func(value string, emit func(string, int64)) {
		if p.Lower {
			value = strings.ToLower(value)
		}
		emit(value, 1)
	}
	return func(line string, emit func(string, int64)) error {
		text, err := jobs.CutField(line, p.Separator, p.Field)
		if err != nil {
			return fmt.Errorf("%w: state another with -p field, or what stands between fields with -p separator", err)
		}
		if p.Words {
			for word := range jobs.Words(text) {
				one(word, emit)
			}
		} else if utf8.ValidString(text) {
			one(text, emit)
		} else {
			return fmt.Errorf("the value %.100q is not valid UTF-8: convert the input to UTF-8", text)
		}
		if !ended { // after what can fail, so that a record that is left out takes nothing with it
			emit(end, 0)
			ended = true
		}
		return nil
	}
}

// ranking returns the reduce function of one attempt: keys come in order, end last.
func ranking(k int) func(string, jobs.Values[int64], func(Row)) error {
	top := best.New(k)
	return func(value string, ns jobs.Values[int64], emit func(Row)) error {
		n := jobs.Total(ns)
		if value != end {
			top.See(value, n)
			return nil
		}
		for i, c := range top.Take() {
			emit(Row{int64(i + 1), c.Value, c.Count})
		}
		return nil
	}
}
