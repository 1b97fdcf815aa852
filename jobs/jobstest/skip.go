package jobstest

import (
	"context"
	"math"
	"testing"

	"github.com/millrace/millrace/jobs"
)

// RunSkipping is Run for a job that meets bad records: these are set aside, as --skip-bad-records does. rejected are the rows of
// jobs.Rejected about them, in the order of the input.
//
//	rows, rejected := jobstest.RunSkipping(t, job, nil, "Hamburg;12.0\nbroken\n")
func RunSkipping(t testing.TB, job *jobs.Job, params map[string]string, inputs ...string) (rows, rejected []Row) {
	t.Helper()
	prog, err := job.Bind(params)
	if err != nil {
		t.Fatal(err)
	}
	s := &skipping{Program: prog, rows: &rowSink{schema: jobs.RejectedSchema()}}
	result, err := Oracle(s, Objects(inputs...), 1, nil)
	if err != nil {
		t.Fatalf("job %s: %v", job.Name(), err)
	}
	return result.Rows(), s.rows.rows
}

// skipping is a program that sets bad records aside.
type skipping struct {
	jobs.Program
	rows *rowSink
}

// Map implements jobs.Program.
func (s *skipping) Map(ctx context.Context, t *jobs.Task, in jobs.BlockSource, out jobs.PairSink) error {
	t.MaxRejected, t.Sinks.Rejected = math.MaxInt64, s.rows
	return s.Program.Map(ctx, t, in, out)
}

// OrderOf implements orderer. It is asked of programs that have it alone.
func (s *skipping) OrderOf(t *jobs.Task, value []byte) (any, bool, error) {
	return s.Program.(orderer).OrderOf(t, value)
}
