package jobs_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/millrace/millrace/jobs"
)

// foreign is a program that has been made without package jobs.
type foreign struct {
	jobs.Program
	limit int
}

func (f foreign) Info() jobs.Info { return jobs.Info{Reducers: f.limit} }

type foreignParams struct {
	Limit int `param:"limit" default:"3"`
}

func (p foreignParams) Validate() error {
	if p.Limit < 1 {
		return errors.New("limit: give 1 or more")
	}
	return nil
}

// A job whose program is made elsewhere has parameters as any other, which are checked before it is asked; what is wrong with them, with
// the job, or with the program, Bind says with the job's name.
func TestDefineProgram(t *testing.T) {
	t.Parallel()
	made := func(p foreignParams) (jobs.Program, error) { return foreign{limit: p.Limit}, nil }
	job := jobs.DefineProgram("other", made, jobs.Doc("Runs elsewhere."))
	if got := job.Params(); len(got) != 1 || got[0].Name != "limit" || job.Doc() != "Runs elsewhere." || job.IsChain() {
		t.Errorf("the job has parameters %+v and says %q", got, job.Doc())
	}
	for text, want := range map[string]int{"": 3, "7": 7} {
		params := map[string]string{"limit": text}
		if text == "" {
			params = nil
		}
		code, err := job.Bind(params)
		if err != nil || code.Info().Reducers != want {
			t.Errorf("limit %q: %v, %v", text, code, err)
		}
	}
	type withFile struct {
		File jobs.SideInput `param:"file"`
	}
	broken := errors.New("no such module")
	for _, row := range []struct {
		job    *jobs.Job
		params map[string]string
		want   string
	}{
		{job, map[string]string{"limit": "0"}, "job other: parameters: limit: give 1 or more"},
		{job, map[string]string{"limt": "1"}, `job other: unknown parameter "limt": did you mean limit?`},
		{jobs.DefineProgram("other", func(foreignParams) (jobs.Program, error) { return nil, broken }), nil, "job other: no such module"},
		{jobs.DefineProgram("other", func(foreignParams) (jobs.Program, error) { return nil, nil }), nil, "job other: its function returned no program"},
		{jobs.DefineProgram[foreignParams]("other", nil), nil, "job other: the build function is nil"},
		{jobs.DefineProgram("-", made), nil, `the name "-" must be made of`},
		{jobs.DefineProgram("other", made, jobs.Reducers(3)), nil, "option Reducers is given to Define"},
		{jobs.DefineProgram("other", func(withFile) (jobs.Program, error) { return foreign{}, nil }), nil, "parameter file: a jobs.SideInput is for Define alone"},
	} {
		if _, err := row.job.Bind(row.params); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("got %v, want %s", err, row.want)
		}
	}
}
