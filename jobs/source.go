package jobs

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Source is an input of a job that has several: its name, and the map function for its records. From makes it.
type Source[K, V any] struct {
	name    string
	format  Format
	each    blockMapper[K, V]
	grouped bool // records come several at once
	err     error
}

// From is the input of that name, whose records go to m. The record type R is one of New's, and may differ from that of other
// inputs; keys and values are the same for all. Of the options, FixedLength, CSV, Table and Raw apply here.
//
// The submitter says what belongs to an input by its name, as in `millrace run join left=s3://b/people/ right=s3://b/orders/`.
func From[R, K, V any](name string, m func(R, func(K, V)) error, opts ...Option) Source[K, V] {
	s := collect(opts)
	for option := range s.given {
		if !ofRecords[option] {
			s.fail(fmt.Errorf("option %s is given to From: give it to MapReduceFrom", option))
		}
	}
	in := sourceOf(name, m, s)
	if err := inputNameError(name); err != nil {
		in.err = err
	} else if in.err != nil {
		in.err = fmt.Errorf("input %s: %w", name, in.err)
	}
	return in
}

// Inputs lists the inputs of a job. Values of one key reach the reduce function in the order of this list, unless OrderBy says
// another: those of the first input, then those of the second, and so on; of one input they come as with a single one.
func Inputs[K, V any](inputs ...Source[K, V]) []Source[K, V] { return inputs }

// MapReduceFrom is MapReduce for a job with several inputs. With one input alone, which has a name all the same, it is as well.
//
//	jobs.MapReduceFrom(jobs.Inputs(jobs.From("people", mapPerson), jobs.From("orders", mapOrder)), reduce)
func MapReduceFrom[K, V, Out any](inputs []Source[K, V], r func(K, Values[V], func(Out)) error, opts ...Option) Code {
	s := collect(opts)
	for option := range s.given {
		if ofRecords[option] {
			s.fail(fmt.Errorf("option %s is given to MapReduceFrom: give it to From, for the input that it is about", option))
		}
	}
	if len(inputs) == 0 {
		s.fail(errors.New("the job has no input: list them with jobs.Inputs(jobs.From(...), ...)"))
	}
	for i, in := range inputs {
		if slices.ContainsFunc(inputs[:i], func(other Source[K, V]) bool { return other.name == in.name }) {
			s.fail(fmt.Errorf("there are two inputs named %q: give each a name of its own", in.name))
		}
	}
	return compile(inputs, r, s)
}

// NewFrom is New for a job with several inputs.
func NewFrom[K, V, Out any](name string, inputs []Source[K, V], r func(K, Values[V], func(Out)) error, opts ...Option) *Job {
	return newJob(name, MapReduceFrom(inputs, r, opts...))
}

var errNoFunction = errors.New("the map or the reduce function is nil: give both")

// ofRecords are the options that say how an input's records are read.
var ofRecords = map[string]bool{"FixedLength": true, "Raw": true, "CSV": true, "Table": true}

// sourceOf compiles the map function of an input.
func sourceOf[R, K, V any](name string, m func(R, func(K, V)) error, s *settings) Source[K, V] {
	in := Source[K, V]{name: name, err: s.err, grouped: isGrouped[R]()}
	if m == nil && in.err == nil {
		in.err = errNoFunction
	}
	if in.err == nil {
		in.format, in.each, in.err = recordsOf(m, s)
		in.format.Raw = s.raw
	}
	return in
}

// inputNameError says what is wrong with an input's name. It stands before a "=" on a command line, so it must be one that no
// path or URL begins with.
func inputNameError(name string) error {
	if name == "" {
		return errors.New("an input needs a name: give it to From")
	}
	if i := strings.IndexFunc(name, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_')
	}); i >= 0 || name[0] == '-' {
		return fmt.Errorf("the input name %q must be made of letters, digits, '-' and '_', and begin with no '-'", name)
	}
	return nil
}
