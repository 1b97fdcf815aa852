// Package topk finds the most frequent lines, fields or words, exactly.
//
// Each value is counted as in package wordcount, with a combiner, so that few pairs travel. What is new is that a row depends
// on all counts, not on those of one key: the reduce function keeps the best so far and must learn when it has seen all keys.
// So the map function emits one more key, which is greater than every value: when its group comes, the others have been.
package topk

import (
	"container/heap"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/millrace/millrace/jobs"
)

// Params are what a submitter may choose.
type Params struct {
	K         int    `param:"k" default:"10" help:"how many values to find, at most 1,000,000"`
	Words     bool   `param:"words" default:"false" help:"count words, maximal runs of Unicode letters, not whole lines or fields"`
	Lower     bool   `param:"lower" default:"false" help:"count values in lower case"`
	Field     int    `param:"field" default:"0" help:"number of the field to look at, from 1; 0: the whole line"`
	Separator string `param:"separator" default:"\t" help:"what stands between fields; a tab if not stated"`
}

// maxK keeps what a reduce task holds small: a million values of 60 bytes are some 100 MB.
const maxK = 1_000_000

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
		best := &best{k: p.K}
		return jobs.MapReduce(p.count(), best.reduce, jobs.Combine(jobs.Sum[int64]),
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

// best is the state of one reduce attempt: the k best values so far, as a heap with the worst at its root.
type best struct {
	k    int
	rows []Row
}

// reduce is the reduce function: keys come in order, end last.
func (b *best) reduce(value string, ns jobs.Values[int64], emit func(Row)) error {
	n := jobs.Total(ns)
	if value != end {
		b.see(value, n)
		return nil
	}
	slices.SortFunc(b.rows, compare)
	for i, row := range b.rows {
		row.Rank = int64(i + 1)
		emit(row)
	}
	return nil
}

// see takes a value with its count. Values come in order, so one that is no more frequent than the worst is behind it.
func (b *best) see(value string, n int64) {
	switch {
	case len(b.rows) < b.k:
		heap.Push(b, Row{Value: strings.Clone(value), Count: n})
	case n > b.rows[0].Count:
		b.rows[0] = Row{Value: strings.Clone(value), Count: n}
		heap.Fix(b, 0)
	}
}

// compare orders rows: the more frequent first, and of those equally frequent the lesser value.
func compare(a, b Row) int {
	if a.Count != b.Count {
		if a.Count > b.Count {
			return -1
		}
		return 1
	}
	return strings.Compare(a.Value, b.Value)
}

// The methods of heap.Interface.

func (b *best) Len() int           { return len(b.rows) }
func (b *best) Less(i, j int) bool { return compare(b.rows[i], b.rows[j]) > 0 }
func (b *best) Swap(i, j int)      { b.rows[i], b.rows[j] = b.rows[j], b.rows[i] }
func (b *best) Push(row any)       { b.rows = append(b.rows, row.(Row)) }

// Pop is never called: the worst is replaced in its place.
func (b *best) Pop() any { panic("topk: the heap shrinks") }
