// Package secondarysort sorts lines by two fields: by a key, and within each key by a value.
//
// It shows a secondary order. The engine sorts keys anyway; jobs.OrderBy lets it sort the values of each key too, so that the
// reduce function only passes them on, one by one. Collecting the values of a key to sort them would need memory for all of
// the most frequent key's.
package secondarysort

import (
	"fmt"
	"math"
	"strconv"
	"unicode/utf8"

	"github.com/millrace/millrace/jobs"
)

// Params are what a submitter may choose.
type Params struct {
	As         string `param:"as" default:"int" oneof:"int|float|text" help:"what values are: whole numbers, numbers, or text, which is ordered by its bytes"`
	Order      string `param:"order" default:"up" oneof:"up|down" help:"the order of the values of a key: from low to high, or from high to low"`
	KeyField   int    `param:"key-field" default:"1" help:"number of the field that is the key, from 1"`
	ValueField int    `param:"value-field" default:"2" help:"number of the field that is the value, from 1"`
	Separator  string `param:"separator" default:" " help:"what stands between fields; a blank if not stated"`
}

// Validate reports a parameter that makes no sense.
func (p Params) Validate() error {
	if p.KeyField < 1 || p.ValueField < 1 || p.Separator == "" {
		return fmt.Errorf("parameters key-field=%d, value-field=%d, separator=%q: count fields from 1; no separator is empty", p.KeyField, p.ValueField, p.Separator)
	}
	return nil
}

// Row is a row of the result. V is int64, float64 or string.
type Row[V any] struct {
	Key   string
	Value V
}

// Job returns the job "secondarysort".
func Job() *jobs.Job {
	return jobs.Define("secondarysort", func(_ *jobs.Task, p Params) (jobs.Code, error) {
		switch p.As {
		case "int":
			return code(p, parseInt), nil
		case "float":
			return code(p, parseFloat), nil
		}
		return code(p, parseText), nil
	}, jobs.Doc("Sorts lines by a key and, within each key, by a value. One row per line: key, value. Keys are in order within each part,\n"+
		"values within each key; equal values stay as they came."))
}

// code is the job for one type of values.
func code[V any](p Params, parse func(string) (V, error)) jobs.Code {
	m := func(line string, emit func(string, V)) error {
		key, err := jobs.CutField(line, p.Separator, p.KeyField)
		if err != nil {
			return fmt.Errorf("%w: state another with -p key-field, or what stands between fields with -p separator", err)
		}
		text, err := jobs.CutField(line, p.Separator, p.ValueField)
		if err != nil {
			return fmt.Errorf("%w: state another with -p value-field, or what stands between fields with -p separator", err)
		}
		if !utf8.ValidString(key) {
			return fmt.Errorf("the key %.100q is not valid UTF-8: convert the input to UTF-8", key)
		}
		value, err := parse(text)
		if err != nil {
			return err
		}
		emit(key, value)
		return nil
	}
	reduce := func(key string, values jobs.Values[V], emit func(Row[V])) error {
		for v := range values.All() {
			emit(Row[V]{key, v})
		}
		return nil
	}
	order := jobs.OrderBy[V, V]
	if p.Order == "down" {
		order = jobs.OrderByDescending[V, V]
	}
	return jobs.MapReduce(m, reduce, order(func(v V) V { return v }))
}

func parseInt(text string) (int64, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("the value %.100q is no whole number of 64 bits: state what values are with -p as, or where they stand with -p value-field", text)
	}
	return n, nil
}

func parseFloat(text string) (float64, error) {
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(f) {
		return 0, fmt.Errorf("the value %.100q is no number: state what values are with -p as, or where they stand with -p value-field", text)
	}
	return f + 0, nil // -0 is 0: the order takes them for equal
}

func parseText(text string) (string, error) {
	if !utf8.ValidString(text) {
		return "", fmt.Errorf("the value %.100q is not valid UTF-8: convert the input to UTF-8", text)
	}
	return text, nil
}
