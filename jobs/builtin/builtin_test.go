package builtin_test

import (
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
		if _, err := job.Bind(required(job)); err != nil && job.Name() != "histogram" { // which needs one of two
			t.Error(err)
		}
	}
	if want := []string{"access", "countdistinct", "distinct", "grep", "histogram", "invertedindex", "links", "quantiles", "sessions", "sort", "stats", "termvector", "topk", "wordcount"}; !slices.Equal(names, want) {
		t.Errorf("got %q, want %q", names, want)
	}
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
