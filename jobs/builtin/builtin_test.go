package builtin_test

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/jobs/builtin"
)

// The jobs that ship come by name, once each, with what people need to use them.
func TestAll(t *testing.T) {
	t.Parallel()
	var names []string
	for _, job := range builtin.All() {
		names = append(names, job.Name())
		if job.Doc() == "" {
			t.Errorf("job %s says nothing of itself", job.Name())
		}
		for _, p := range job.Params() {
			if p.Help == "" {
				t.Errorf("job %s: parameter %s has no help", job.Name(), p.Name)
			}
		}
		if err := check(job); err != nil && job.Name() != "histogram" { // which needs one of two
			t.Error(err)
		}
	}
	if !slices.IsSorted(names) || len(slices.Compact(slices.Clone(names))) != len(names) {
		t.Errorf("got %q: not each once, by name", names)
	}
}

// check tells whether a job can be run with parameters that are not there.
func check(job *jobs.Job) error {
	if job.IsChain() {
		_, err := job.Advance(required(job), nil)
		return err
	}
	_, err := job.Bind(required(job))
	return err
}

// required gives a value to each parameter that has none.
func required(job *jobs.Job) map[string]string {
	params := map[string]string{}
	for _, p := range job.Params() {
		if p.Required {
			params[p.Name] = "x"
		}
	}
	return params
}

// Each package beside this one that makes a job ships it.
func TestNoneIsMissing(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../*/*.go")
	if err != nil {
		t.Fatal(err)
	}
	makers := 0
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		makers += bytes.Count(text, []byte("\nfunc Job() *jobs.Job {"))
	}
	if n := len(builtin.All()); makers == 0 || n != makers {
		t.Errorf("%d jobs ship, %d packages make one", n, makers)
	}
}
