package jobs

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// DefineChain returns a job that runs other jobs, its stages, one after the other: each reads what the chain reads or what
// former stages wrote. run says which, in ordinary Go: it calls c.Run for each stage, looks at what came out, loops until a
// condition holds, and ends with c.Finish, whose stage writes the chain's output.
//
//	jobs.DefineChain("pagerank", []*jobs.Job{start, spread, finish}, func(c *jobs.Chain, p params) error {
//		ranks := c.Run(start, jobs.Stage{})
//		for range p.Iterations {
//			ranks = c.Run(spread, jobs.Stage{From: []*jobs.Done{ranks}})
//			if ranks.Counter("moved") < limit {
//				break
//			}
//		}
//		c.Finish(finish, jobs.Stage{From: []*jobs.Done{ranks}})
//		return nil
//	})
//
// The engine calls run anew after each stage, with all that is done so far: c.Run returns at once for a stage that is done,
// and does not return for the first one that is not. So a chain holds no goroutine and no state, and goes on under another
// master from where it was; and so run must do the same each time: no clock, no randomness, no state of its own, no recover.
// A run that asks for another stage than it did before fails the chain.
//
// stages are the jobs that run may name; their names must differ. P is as for Define. Of the options, Doc applies.
func DefineChain[P any](name string, stages []*Job, run func(c *Chain, p P) error, opts ...Option) *Job {
	s := collect(opts)
	j := &Job{name: name, doc: s.doc, stages: slices.Clone(stages)}
	var err error
	j.params, err = newParamSet(reflect.TypeFor[P]())
	j.err = firstError(nameError(name), s.err, err, chainError(stages, run == nil, s))
	if j.err != nil {
		return j
	}
	j.run = func(c *Chain, values paramValues) error {
		var p P
		if err := values.fill(reflect.ValueOf(&p).Elem()); err != nil {
			return err
		}
		return run(c, p)
	}
	return j
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// chainError says what is wrong with the definition of a chain.
func chainError(stages []*Job, noRun bool, s *settings) error {
	if noRun {
		return errors.New("the run function is nil")
	}
	if len(stages) == 0 {
		return errors.New("a chain needs stages: list the jobs that its run function names")
	}
	names := map[string]bool{}
	for _, stage := range stages {
		switch {
		case stage == nil:
			return errors.New("a stage is nil")
		case stage.err != nil:
			return fmt.Errorf("stage %s: %w", stage.name, stage.err)
		case stage.run != nil:
			return fmt.Errorf("stage %s: it is a chain: list its stages instead", stage.name)
		case names[stage.name]:
			return fmt.Errorf("two stages are named %q: give each a name of its own", stage.name)
		}
		names[stage.name] = true
	}
	for _, option := range slices.Sorted(maps.Keys(s.given)) {
		if option != "Doc" {
			return fmt.Errorf("option %s is given to DefineChain: give it to the stage that it is for", option)
		}
	}
	return nil
}

// Stage says what a stage reads, and how it runs. The zero value reads what the chain reads.
type Stage struct {
	From     []*Done           // the stages whose output it reads; none: the chain's own input
	Params   map[string]string // the stage's parameters
	Reducers int               // partitions; 0: the job's own number, or by the size of the input
	Collect  int               // how many of its first rows Collected gives
}

// MaxCollect bounds Stage.Collect: what is collected travels in the master's memory and journal.
const MaxCollect = 10_000

// MaxStages is the most stages that a chain can run: a loop that does not end is a mistake.
const MaxStages = 1000

// Chain is the run of a chain's function: see DefineChain.
type Chain struct {
	job      *Job
	done     []StageResult
	handles  []*Done // what Run returned; the zeroth stage first
	dropped  map[int]bool
	finished bool
	next     *StageSpec
}

// Done is a stage that has run.
type Done struct {
	chain  *Chain
	n      int
	result *StageResult
}

// Counter returns a counter that the stage's tasks added up; one that they did not touch is 0.
func (d *Done) Counter(name string) int64 { return d.result.Counters[name] }

// Rows is how many rows the stage wrote.
func (d *Done) Rows() int64 { return d.result.Rows }

// Drop says that no stage to come reads this one's output: it is removed before the chain's end, unless stages are kept.
func (d *Done) Drop() { d.chain.dropped[d.n] = true }

// Collected returns the first rows of a stage that was run with Stage.Collect, in the order of its parts. T is the stage's
// row type, or one with some of its columns. Strings and byte slices must not be changed.
func Collected[T any](d *Done) ([]T, error) {
	var rows []T
	plan, err := newRowPlan(reflect.TypeFor[T]())
	if err != nil {
		return nil, err
	}
	each := eachRow(func(row T, _ func(struct{}, struct{})) error {
		rows = append(rows, row)
		return nil
	}, plan)
	var at int64
	for _, batch := range d.result.Collected {
		if _, err := each(Block{Schema: d.result.Schema, Columns: batch}, &at, nil); err != nil {
			return nil, fmt.Errorf("rows of stage %s: %w", d.result.Spec.label(), err)
		}
	}
	return rows, nil
}

// StageSpec is a stage for the engine to run.
type StageSpec struct {
	N        int               `json:"n"`   // its place in the chain, from 0
	Job      string            `json:"job"` // the name of one of the chain's stages
	Params   map[string]string `json:"params,omitempty"`
	From     []int             `json:"from,omitempty"` // the stages whose output it reads, in that order; none: the chain's input
	Reducers int               `json:"reducers,omitempty"`
	Collect  int               `json:"collect,omitempty"`
	Last     bool              `json:"last,omitempty"` // it writes the chain's output
	Drop     []int             `json:"-"`              // the stages whose output is needed no more when this one begins
}

func (s StageSpec) label() string { return fmt.Sprintf("%d (%s)", s.N+1, s.Job) }

// same reports whether two stages are the same, as far as the chain's function says.
func (s StageSpec) same(t StageSpec) bool {
	return s.N == t.N && s.Job == t.Job && maps.Equal(s.Params, t.Params) && slices.Equal(s.From, t.From) &&
		s.Reducers == t.Reducers && s.Collect == t.Collect && s.Last == t.Last
}

// StageResult is what the engine tells of a stage that is done.
type StageResult struct {
	Spec      StageSpec        `json:"spec"`
	Rows      int64            `json:"rows"`
	Counters  map[string]int64 `json:"counters,omitempty"`
	Schema    Schema           `json:"schema"`              // of Collected
	Collected []Columns        `json:"collected,omitempty"` // at most Spec.Collect rows
}

// Run runs a stage and returns what came of it.
func (c *Chain) Run(stage *Job, s Stage) *Done { return c.stage(stage, s, false) }

// Finish runs the stage that writes the chain's output. It is the last one.
func (c *Chain) Finish(stage *Job, s Stage) *Done { return c.stage(stage, s, true) }

// unwind ends the chain's function early: the next stage is not done, or there is a mistake.
type unwind struct{ err error }

func (c *Chain) stage(stage *Job, s Stage, last bool) *Done {
	spec := StageSpec{N: len(c.handles), Params: maps.Clone(s.Params), Reducers: s.Reducers, Collect: s.Collect, Last: last}
	if err := c.fill(&spec, stage, s); err != nil {
		panic(unwind{err})
	}
	if spec.N == len(c.done) {
		spec.Drop = slices.Sorted(maps.Keys(c.dropped))
		c.next = &spec
		panic(unwind{})
	}
	result := &c.done[spec.N]
	if !result.Spec.same(spec) {
		panic(unwind{fmt.Errorf("stage %s was %s before: the chain's function must ask for the same stages each time it runs", spec.label(), result.Spec.label())})
	}
	d := &Done{chain: c, n: spec.N, result: result}
	c.handles = append(c.handles, d)
	c.finished = last
	return d
}

// fill checks a stage and completes its spec.
func (c *Chain) fill(spec *StageSpec, stage *Job, s Stage) error {
	switch {
	case c.finished:
		return errors.New("the chain's function runs a stage after Finish: that one must be the last")
	case stage == nil || !slices.Contains(c.job.stages, stage):
		name := "nil"
		if stage != nil {
			name = stage.name
		}
		return fmt.Errorf("stage %s is none of the chain's: list it in DefineChain", name)
	case spec.N >= MaxStages:
		return fmt.Errorf("the chain asks for more than %d stages: bound its loop", MaxStages)
	case s.Collect < 0 || s.Collect > MaxCollect:
		return fmt.Errorf("stage %s: Collect %d: it must be from 0 to %d rows", stage.name, s.Collect, MaxCollect)
	case s.Reducers < 0:
		return fmt.Errorf("stage %s: Reducers %d: it must be 1 or more, or 0 for the job's own number", stage.name, s.Reducers)
	}
	spec.Job = stage.name
	for _, d := range s.From {
		if d == nil || d.chain != c {
			return fmt.Errorf("stage %s: From names a stage that this run of the chain's function did not run", stage.name)
		}
		if c.dropped[d.n] {
			return fmt.Errorf("stage %s reads stage %s, which was dropped: drop it later", stage.name, d.result.Spec.label())
		}
		spec.From = append(spec.From, d.n)
	}
	if _, err := stage.Bind(s.Params); err != nil {
		return fmt.Errorf("stage %w", err)
	}
	return nil
}

// IsChain reports whether the job is a chain, whose stages the engine runs one after the other.
func (j *Job) IsChain() bool { return len(j.stages) > 0 }

// Stages returns the jobs that a chain may run.
func (j *Job) Stages() []*Job { return slices.Clone(j.stages) }

// Advance runs a chain's function with what is done so far, in order, and returns the stage to run next, or nil when the
// chain is complete. With nothing done it checks params and the chain's definition.
func (j *Job) Advance(params map[string]string, done []StageResult) (*StageSpec, error) {
	next, err := j.advance(params, done)
	if err != nil {
		return nil, fmt.Errorf("chain %s: %w", j.name, err)
	}
	return next, nil
}

func (j *Job) advance(params map[string]string, done []StageResult) (*StageSpec, error) {
	switch {
	case j.err != nil:
		return nil, j.err
	case j.run == nil:
		return nil, errors.New("it is no chain: it is bound and run as a whole")
	}
	values, err := j.params.parse(params)
	if err != nil {
		return nil, err
	}
	c := &Chain{job: j, done: done, dropped: map[int]bool{}}
	if err := c.call(values); err != nil {
		return nil, err
	}
	switch {
	case c.next != nil:
		return c.next, nil
	case len(c.handles) < len(done):
		return nil, fmt.Errorf("its function ended after %d stages, of which %d are done: it must ask for the same stages each time", len(c.handles), len(done))
	case !c.finished:
		return nil, errors.New("its function ended without Finish: call it for the stage that writes the output")
	}
	return nil, nil
}

// call runs the function up to the first stage that is not done.
func (c *Chain) call(values paramValues) (err error) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case unwind:
			err = r.err
		default:
			err = fmt.Errorf("its function panicked after %d stages: %v", len(c.handles), r)
		}
	}()
	return c.job.run(c, values)
}

// SplitStage splits the name by which a stage of a chain is known to the engine, "chain/stage". A job that is no stage has
// none.
func SplitStage(name string) (chain, stage string) {
	chain, stage, _ = strings.Cut(name, "/")
	return chain, stage
}
