// Package distinct finds the distinct lines of texts, or the distinct values of one field, and counts each.
package distinct

import (
	"fmt"
	"unicode/utf8"

	"github.com/millrace/millrace/jobs"
)

// Value is a row of the result.
type Value struct {
	Value string
	Count int64
}

// Params are what a submitter may choose.
type Params struct {
	Field     int    `param:"field" default:"0" help:"number of the field to look at, from 1; 0: the whole line"`
	Separator string `param:"separator" default:"\t" help:"what stands between fields; a tab if not stated"`
}

// Validate reports a parameter that makes no sense.
func (p Params) Validate() error {
	if p.Field < 0 || p.Separator == "" {
		return fmt.Errorf("parameters field=%d, separator=%q: count fields from 1, or state 0 for the whole line; no separator is empty", p.Field, p.Separator)
	}
	return nil
}

// Job returns the job "distinct".
func Job() *jobs.Job {
	return jobs.Define("distinct", func(_ *jobs.Task, p Params) (jobs.Code, error) {
		return jobs.MapReduce(p.read, count, jobs.Combine(jobs.Sum[int64])), nil
	}, jobs.Doc("Finds the distinct lines, or values of a field. One row per value, in order, with how often it occurs."))
}

// read is the map function: the line, or its field, counts once.
func (p Params) read(line string, emit func(value string, n int64)) error {
	value, err := jobs.CutField(line, p.Separator, p.Field)
	if err != nil {
		return fmt.Errorf("%w: state another with -p field, or what stands between fields with -p separator", err)
	}
	if !utf8.ValidString(value) {
		return fmt.Errorf("the value %.100q is not valid UTF-8: convert the input to UTF-8", value)
	}
	emit(value, 1)
	return nil
}

// count is the reduce function.
func count(value string, ns jobs.Values[int64], emit func(Value)) error {
	emit(Value{value, jobs.Total(ns)})
	return nil
}
