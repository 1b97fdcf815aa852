// Package quantiles estimates quantiles of the values of each key, from lines of "key;value": the median, the 99th percentile.
//
// To know them exactly all values of a key would have to be sorted. A DDSketch counts values in buckets whose bounds grow by a
// constant factor, so each estimate is within a relative error of a true value, and the counts of many map tasks can be added:
// the combiner does. This package is the only one that knows the library of sketches.
package quantiles

import (
	"errors"
	"fmt"
	"strconv"
	"unicode/utf8"

	"github.com/millrace/millrace/jobs"
)

// Params are what a submitter may choose.
type Params struct {
	Quantiles []string `param:"quantiles" default:"0.5,0.9,0.95,0.99" help:"which quantiles to estimate, from 0 (the least value) to 1 (the greatest)"`
	Error     float64  `param:"error" default:"0.01" help:"relative error of an estimate at most, from 0.001 to 0.5; a lesser one needs more memory"`
	Separator string   `param:"separator" default:";" help:"what stands between key and value; the last one in a line counts"`
}

// A sketch of values over all of float64's range has 1.4 million bins of 16 bytes at the least error.
const leastError, largestError = 0.001, 0.5

// Validate reports a parameter that makes no sense.
func (p Params) Validate() error {
	if !(p.Error >= leastError && p.Error <= largestError) {
		return fmt.Errorf("parameter error: %g: must be from %g to %g", p.Error, leastError, largestError)
	}
	_, err := p.wanted()
	return err
}

// wanted are the quantiles as numbers.
func (p Params) wanted() ([]float64, error) {
	var out []float64
	for _, text := range p.Quantiles {
		q, err := strconv.ParseFloat(text, 64)
		if err != nil || !(q >= 0 && q <= 1) {
			return nil, fmt.Errorf("parameter quantiles: %q: each is a number from 0 to 1, such as 0.5 for the median", text)
		}
		out = append(out, q)
	}
	if len(out) == 0 {
		return nil, errors.New("parameter quantiles: there is none: give some, as in 0.5,0.99")
	}
	return out, nil
}

// Row is a row of the result: one quantile of a key.
type Row struct {
	Key      string
	Quantile float64
	// Value is the estimate: within the relative error of the value at rank Quantile·(Count-1), counted from 0, rounded down or
	// up. Those of quantiles 0 and 1 are exact.
	Value float64
	Count int64 // values of the key
}

// Job returns the job "quantiles".
func Job() *jobs.Job {
	return jobs.Define("quantiles", func(_ *jobs.Task, p Params) (jobs.Code, error) {
		cut, err := jobs.FloatCutter(p.Separator)
		if err != nil {
			return jobs.Code{}, fmt.Errorf("parameter %w", err)
		}
		by, err := newScale(p.Error)
		if err != nil {
			return jobs.Code{}, fmt.Errorf("parameter error: %w", err)
		}
		wanted, err := p.wanted()
		if err != nil {
			return jobs.Code{}, err
		}
		return jobs.MapReduce(measure(cut, by), estimate(by, wanted), jobs.Combine(by.join)), nil
	}, jobs.Doc("Estimates quantiles of the values of each key, from lines of \"key;value\", by a sketch (DDSketch).\n"+
		"One row per key and quantile: key, quantile, value, count. An estimate is within a relative error, 1 % unless stated, of a\n"+
		"true value."))
}

// measure returns the map function: a sketch of one value for each line.
func measure(cut func(string) (string, float64, error), by scale) func(string, func(string, sketch)) error {
	return func(line string, emit func(string, sketch)) error {
		key, value, err := cut(line)
		if err != nil {
			return fmt.Errorf("%w: correct the line, or state what it is with -p separator", err)
		}
		if !utf8.ValidString(key) {
			return fmt.Errorf("the key %.100q is not valid UTF-8: convert the input to UTF-8", key)
		}
		s, err := by.one(value)
		if err != nil {
			return err
		}
		emit(key, s)
		return nil
	}
}

// estimate returns the reduce function.
func estimate(by scale, wanted []float64) func(string, jobs.Values[sketch], func(Row)) error {
	return func(key string, sketches jobs.Values[sketch], emit func(Row)) error {
		s := jobs.Fold(sketches, by.join)
		values, err := by.at(s, wanted)
		if err != nil {
			return err
		}
		for i, q := range wanted {
			emit(Row{key, q, values[i], s.Count})
		}
		return nil
	}
}
