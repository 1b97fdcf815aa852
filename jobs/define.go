package jobs

import (
	"errors"
	"fmt"
	"reflect"
)

// Define returns a job with parameters, state of its own or counters. build is called for every attempt at a task, with the
// attempt's Task and the parameters, so that what its functions close over belongs to that attempt alone and needs no lock.
// It is also called once by Bind, to learn what the job's options are.
//
// P is a struct whose exported fields are the parameters:
//
//	type params struct {
//		Pattern string        `param:"pattern" help:"regular expression (RE2)"`         // required: it has no default
//		Limit   int           `param:"limit" default:"10" help:"lines to keep a file"`
//		Order   string        `param:"order" default:"up" oneof:"up|down"`
//		Age     time.Duration `default:"24h"`                                           // named "age" after the field
//	}
//
// Fields are bools, integers, floats, strings, []string (separated by commas), time.Duration, Size, and SideInput, which names a
// small file for every task. If P or *P has a method Validate() error, Bind calls it. Of the options, Doc applies here; the others
// go to MapReduce.
func Define[P any](name string, build func(t *Task, p P) (Code, error), opts ...Option) *Job {
	j := define(name, reflect.TypeFor[P](), build == nil, opts)
	if j.err != nil {
		return j
	}
	j.build = func(t *Task, values paramValues) (Code, error) {
		var p P
		v := reflect.ValueOf(&p).Elem()
		if err := values.fill(v); err != nil {
			return Code{}, err
		}
		values.openIn(t, v)
		return build(t, p)
	}
	return j
}

// define is a job with the parameters of a struct, and without code. Of the options it takes Doc.
func define(name string, params reflect.Type, isNil bool, opts []Option) *Job {
	s := collect(opts)
	j := &Job{name: name, doc: s.doc}
	var err error
	j.params, err = newParamSet(params)
	j.err = nameError(name)
	switch {
	case j.err != nil:
	case s.err != nil:
		j.err = s.err
	case err != nil:
		j.err = err
	case isNil:
		j.err = errors.New("the build function is nil")
	}
	for option := range s.given {
		if option != "Doc" && j.err == nil {
			j.err = fmt.Errorf("option %s is given to Define: give it to MapReduce, in the build function", option)
		}
	}
	return j
}
