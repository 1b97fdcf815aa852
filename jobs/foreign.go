package jobs

import (
	"errors"
	"fmt"
	"reflect"
)

// DefineProgram returns a job whose code is not written with this package: it stands behind Program by itself, as a command or a
// module does. program is called by Bind with the parameters, which are as those of Define, but for SideInput: which files the
// tasks need, Program.Info says.
//
// Of the options, Doc applies.
func DefineProgram[P any](name string, program func(P) (Program, error), opts ...Option) *Job {
	j := define(name, reflect.TypeFor[P](), program == nil, opts)
	for _, p := range j.params.list {
		if p.Type == fileParam && j.err == nil {
			j.err = fmt.Errorf("parameter %s: a jobs.SideInput is for Define alone: let Info of the program name the file", p.Name)
		}
	}
	j.program = func(values paramValues) (Program, error) {
		if j.err != nil {
			return nil, j.err
		}
		var p P
		if err := values.fill(reflect.ValueOf(&p).Elem()); err != nil {
			return nil, err
		}
		code, err := program(p)
		if err == nil && code == nil {
			err = errors.New("its function returned no program")
		}
		return code, err
	}
	return j
}

// bindProgram is Bind for such a job.
func (j *Job) bindProgram(params map[string]string) (Program, error) {
	var code Program
	err := j.err
	if err == nil {
		var values paramValues
		if values, err = j.params.parse(params); err == nil {
			code, err = j.program(values)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("job %s: %w", j.name, err)
	}
	return code, nil
}
