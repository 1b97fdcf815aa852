package jobstest

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/millrace/millrace/jobs"
)

// runChain runs a chain's stages one after the other, each in memory as any job.
func runChain(job *jobs.Job, params map[string]string, objects []Object) (*Result, error) {
	var done []jobs.StageResult
	var results []*Result
	for {
		next, err := job.Advance(params, done)
		if err != nil {
			return nil, err
		}
		if next == nil {
			return results[len(results)-1], nil
		}
		i := slices.IndexFunc(job.Stages(), func(s *jobs.Job) bool { return s.Name() == next.Job })
		stage := job.Stages()[i]
		in, err := stageInput(stage, next, objects, results)
		if err != nil {
			return nil, fmt.Errorf("stage %d (%s): %w", next.N+1, next.Job, err)
		}
		r, err := RunObjects(stage, next.Params, in, cmp.Or(next.Reducers, 1))
		if err != nil {
			return nil, fmt.Errorf("stage %d (%s): %w", next.N+1, next.Job, err)
		}
		results = append(results, r)
		done = append(done, jobs.StageResult{Spec: *next, Rows: int64(len(r.Rows())), Counters: r.Counters, Schema: r.Schema, Collected: r.head(next.Collect)})
	}
}

// stageInput is what a stage reads: the chain's objects, or what former stages wrote. A job with several inputs gets a stage for each
// of them, in their order.
func stageInput(stage *jobs.Job, next *jobs.StageSpec, objects []Object, results []*Result) ([]Object, error) {
	if len(next.From) == 0 {
		return objects, nil
	}
	prog, err := stage.Bind(next.Params)
	if err != nil {
		return nil, err
	}
	inputs := len(prog.Info().Inputs)
	if inputs > 1 && inputs != len(next.From) {
		return nil, fmt.Errorf("the stage's job has %d inputs: give it as many stages to read from, in their order; it has %d", inputs, len(next.From))
	}
	in := slices.DeleteFunc(slices.Clone(objects), func(o Object) bool { return !o.Side })
	for i, n := range next.From {
		for _, o := range results[n].tables(n) {
			if inputs > 1 {
				o.Input = i
			}
			in = append(in, o)
		}
	}
	return in, nil
}

// tables are the rows as input objects, for a stage that reads what stage n wrote.
func (r *Result) tables(n int) []Object {
	var out []Object
	for i, b := range r.batches {
		out = append(out, Object{URL: fmt.Sprintf("mem://stage/%03d/%05d", n, i), Schema: r.Schema, Columns: b})
	}
	return out
}

// head is the first n rows as they were put.
func (r *Result) head(n int) []jobs.Columns {
	var out []jobs.Columns
	for _, b := range r.batches {
		b.Rows = min(b.Rows, n)
		if b.Rows > 0 {
			out = append(out, b)
		}
		n -= b.Rows
	}
	return out
}
