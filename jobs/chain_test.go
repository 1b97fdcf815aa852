package jobs_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/millrace/millrace/jobs"
)

// stageJob is a job that can be a stage.
func stageJob(name string) *jobs.Job {
	type params struct {
		Round int `default:"0"`
	}
	return jobs.Define(name, func(*jobs.Task, params) (jobs.Code, error) {
		return jobs.MapReduce(func(line string, emit func(string, int)) error { return nil },
			func(string, jobs.Values[int], func(string)) error { return nil }), nil
	})
}

var first, loop, last = stageJob("first"), stageJob("loop"), stageJob("last")

// rounds loops until a stage's counter is zero.
func rounds(c *jobs.Chain, p struct{ Most int }) error {
	done := c.Run(first, jobs.Stage{})
	for i := range p.Most {
		before := done
		done = c.Run(loop, jobs.Stage{From: []*jobs.Done{before}, Params: map[string]string{"round": fmt.Sprint(i)}, Reducers: 2})
		before.Drop()
		if done.Counter("left") == 0 {
			break
		}
	}
	c.Finish(last, jobs.Stage{From: []*jobs.Done{done}})
	return nil
}

// drive advances a chain as an engine does, with the counter "left" of each stage, and returns the stages in words.
func drive(t *testing.T, j *jobs.Job, params map[string]string, left ...int64) []string {
	t.Helper()
	var words []string
	var done []jobs.StageResult
	for {
		s, err := j.Advance(params, done)
		if err != nil {
			t.Fatal(err)
		}
		if s == nil {
			return words
		}
		words = append(words, fmt.Sprintf("%d %s from %v params %v reducers %d drop %v last %v", s.N, s.Job, s.From, s.Params, s.Reducers, s.Drop, s.Last))
		r := jobs.StageResult{Spec: *s}
		if n := len(done); n < len(left) {
			r.Counters = map[string]int64{"left": left[n]}
		}
		done = append(done, r)
	}
}

// A chain's function is asked again after each stage, and goes on from what is done: a loop ends by a counter, or by its
// bound, and what is dropped is told with the next stage.
func TestChain(t *testing.T) {
	t.Parallel()
	j := jobs.DefineChain("rounds", []*jobs.Job{first, loop, last}, rounds)
	got := drive(t, j, map[string]string{"most": "5"}, 0, 7, 0)
	want := []string{
		"0 first from [] params map[] reducers 0 drop [] last false",
		"1 loop from [0] params map[round:0] reducers 2 drop [] last false",
		"2 loop from [1] params map[round:1] reducers 2 drop [0] last false",
		"3 last from [2] params map[] reducers 0 drop [0 1] last true",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if got := drive(t, j, map[string]string{"most": "1"}, 1, 1); len(got) != 3 {
		t.Errorf("a bound of one round: got %q", got)
	}
}

// What a chain's author or submitter gets wrong is an error that says what to do.
func TestChainErrors(t *testing.T) {
	t.Parallel()
	type none struct{}
	chain := func(run func(c *jobs.Chain, p none) error) *jobs.Job {
		return jobs.DefineChain("c", []*jobs.Job{first, loop}, run)
	}
	var kept *jobs.Done
	_, _ = chain(func(c *jobs.Chain, _ none) error {
		kept = c.Run(first, jobs.Stage{})
		return nil
	}).Advance(nil, []jobs.StageResult{{Spec: jobs.StageSpec{Job: "first"}}})
	ran := []jobs.StageResult{{Spec: jobs.StageSpec{Job: "first"}}}
	for want, tt := range map[string]struct {
		job  *jobs.Job
		done []jobs.StageResult
	}{
		"its function ended without Finish":        {chain(func(*jobs.Chain, none) error { return nil }), nil},
		"stage last is none of the chain's":        {chain(func(c *jobs.Chain, _ none) error { c.Run(last, jobs.Stage{}); return nil }), nil},
		"stage nil is none of the chain's":         {chain(func(c *jobs.Chain, _ none) error { c.Run(nil, jobs.Stage{}); return nil }), nil},
		"Collect -1":                               {chain(func(c *jobs.Chain, _ none) error { c.Run(first, jobs.Stage{Collect: -1}); return nil }), nil},
		"Reducers -1":                              {chain(func(c *jobs.Chain, _ none) error { c.Run(first, jobs.Stage{Reducers: -1}); return nil }), nil},
		"names a stage that this run of the chain": {chain(func(c *jobs.Chain, _ none) error { c.Run(first, jobs.Stage{From: []*jobs.Done{kept}}); return nil }), nil},
		`unknown parameter "x"`: {chain(func(c *jobs.Chain, _ none) error {
			c.Run(first, jobs.Stage{Params: map[string]string{"x": ""}})
			return nil
		}), nil},
		"its function panicked after 0 stages: oh": {chain(func(*jobs.Chain, none) error { panic("oh") }), nil},
		"no good":                                   {chain(func(*jobs.Chain, none) error { return fmt.Errorf("no good") }), nil},
		"stage 1 (loop) was 1 (first) before":       {chain(func(c *jobs.Chain, _ none) error { c.Run(loop, jobs.Stage{}); return nil }), ran},
		"ended after 0 stages, of which 1 are done": {chain(func(*jobs.Chain, none) error { return nil }), ran},
		"which was dropped": {chain(func(c *jobs.Chain, _ none) error {
			d := c.Run(first, jobs.Stage{})
			d.Drop()
			c.Run(loop, jobs.Stage{From: []*jobs.Done{d}})
			return nil
		}), ran},
		"a stage after Finish": {chain(func(c *jobs.Chain, _ none) error {
			c.Finish(first, jobs.Stage{})
			c.Run(loop, jobs.Stage{})
			return nil
		}), []jobs.StageResult{{Spec: jobs.StageSpec{Job: "first", Last: true}}}},
		"more than 1000 stages": {chain(func(c *jobs.Chain, _ none) error {
			for {
				c.Run(first, jobs.Stage{})
			}
		}), manyDone(jobs.MaxStages)},
		"a chain needs stages":    {jobs.DefineChain("c", nil, func(*jobs.Chain, none) error { return nil }), nil},
		"two stages are named":    {jobs.DefineChain("c", []*jobs.Job{first, stageJob("first")}, func(*jobs.Chain, none) error { return nil }), nil},
		"list its stages":         {jobs.DefineChain("c", []*jobs.Job{chain(func(*jobs.Chain, none) error { return nil })}, func(*jobs.Chain, none) error { return nil }), nil},
		"the run function is nil": {jobs.DefineChain[none]("c", []*jobs.Job{first}, nil), nil},
		"give it to the stage":    {jobs.DefineChain("c", []*jobs.Job{first}, func(*jobs.Chain, none) error { return nil }, jobs.Reducers(2)), nil},
		"it is no chain":          {first, nil},
		"job needs a name":        {jobs.DefineChain("", []*jobs.Job{first}, func(*jobs.Chain, none) error { return nil }), nil},
	} {
		_, err := tt.job.Advance(nil, tt.done)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q in it", err, want)
		}
	}
	if _, err := chain(func(*jobs.Chain, none) error { return nil }).Bind(nil); err == nil || !strings.Contains(err.Error(), "it is a chain") {
		t.Errorf("a chain is bound: %v", err)
	}
}

// manyDone are the results of n times the stage first.
func manyDone(n int) []jobs.StageResult {
	done := make([]jobs.StageResult, n)
	for i := range done {
		done[i].Spec = jobs.StageSpec{N: i, Job: "first"}
	}
	return done
}

// A chain tells its stages; another job has none. Names of stages are told apart from names of jobs.
func TestStages(t *testing.T) {
	t.Parallel()
	j := jobs.DefineChain("rounds", []*jobs.Job{first, loop, last}, rounds, jobs.Doc("loops"))
	if !j.IsChain() || len(j.Stages()) != 3 || j.Doc() != "loops" || first.IsChain() || first.Stages() != nil {
		t.Errorf("chain %v with %d stages; first %v", j.IsChain(), len(j.Stages()), first.IsChain())
	}
	if c, s := jobs.SplitStage("rounds/loop"); c != "rounds" || s != "loop" {
		t.Errorf("got %q, %q", c, s)
	}
	if c, s := jobs.SplitStage("rounds"); c != "rounds" || s != "" {
		t.Errorf("got %q, %q", c, s)
	}
}
