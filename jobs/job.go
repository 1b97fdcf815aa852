package jobs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Job is a named job, not yet bound to parameters. It never changes: any number of goroutines may use it.
type Job struct {
	name   string
	doc    string
	params *paramSet
	// build makes the code of one attempt. It is nil when err is set.
	build func(t *Task, values paramValues) (Code, error)
	err   error // the mistake in the job's definition, for Bind
	// program makes the code of a job that is not written in Go: see DefineProgram. Such a job has no build.
	program func(values paramValues) (Program, error)

	// Of a chain, which has no code of its own: see DefineChain.
	stages []*Job
	run    func(c *Chain, values paramValues) error
}

// New returns the job that runs m over every record and r over every group of pairs with one key.
//
// The record type R is string (a text line without its end), []byte (the same, or a record of FixedLength), Line, Lines, File,
// or with the option CSV a struct or Cells.
// Keys K are strings, bytes, numbers, bools, times, and arrays and structs of these; they reach r in the order in which Go
// orders them. Values V are those, slices, pointers, and types with AppendBinary and UnmarshalBinary methods. The row type
// Out is a struct, whose fields are the columns, or a single value, which becomes the column "value".
//
// What r gets, a key of bytes as well, it must not change. A row is copied when it is emitted: its slices may be used again.
//
// The functions may be called from several goroutines at once, for different attempts; code with state or counters of its
// own is made with Define. A mistake in the types or options is reported by Bind.
func New[R, K, V, Out any](name string, m func(R, func(K, V)) error, r func(K, Values[V], func(Out)) error, opts ...Option) *Job {
	return newJob(name, MapReduce(m, r, opts...))
}

// newJob is a job without parameters, whose code all attempts share.
func newJob(name string, code Code) *Job {
	return &Job{
		name:   name,
		doc:    code.doc,
		params: &paramSet{},
		build:  func(*Task, paramValues) (Code, error) { return code, nil },
		err:    nameError(name),
	}
}

// Code is a map and a reduce function with their options: what Define's build function returns.
type Code struct {
	program program
	doc     string
	err     error
}

// program is a Program for one attempt, that may hold state of the attempt.
type program interface {
	info() Info
	mapBlocks(ctx context.Context, t *Task, in BlockSource, out PairSink) error
	combinePairs(in, out []byte) ([]byte, error)
	reduceGroups(ctx context.Context, t *Task, in PairSource, out RowSink) error
	orderOf(value []byte) (any, bool, error)
}

// MapReduce joins a map and a reduce function to a job's code. Its types are those of New.
func MapReduce[R, K, V, Out any](m func(R, func(K, V)) error, r func(K, Values[V], func(Out)) error, opts ...Option) Code {
	s := collect(opts)
	return compile([]Source[K, V]{sourceOf("", m, s)}, r, s)
}

// compile makes a job's code.
func compile[K, V, Out any](inputs []Source[K, V], r func(K, Values[V], func(Out)) error, s *settings) Code {
	p, err := newTyped(inputs, r, s)
	if err != nil {
		return Code{doc: s.doc, err: err}
	}
	return Code{program: p, doc: s.doc}
}

// Name returns the job's name.
func (j *Job) Name() string { return j.name }

// Doc returns the job's description, or "".
func (j *Job) Doc() string { return j.doc }

// Params returns the job's parameters in the order of their declaration.
func (j *Job) Params() []Param {
	out := slices.Clone(j.params.list)
	for i := range out {
		out[i].Allowed = slices.Clone(out[i].Allowed)
	}
	return out
}

// Bind checks params and the job's definition and returns the job ready to run. A parameter that is missing takes its
// default. Each error is one line that names the job, the parameter or type, and what to do.
func (j *Job) Bind(params map[string]string) (Program, error) {
	if j.program != nil {
		return j.bindProgram(params)
	}
	b, err := j.bind(params)
	if err != nil {
		return nil, fmt.Errorf("job %s: %w", cmp.Or(j.name, `""`), err)
	}
	return b, nil
}

func (j *Job) bind(params map[string]string) (*bound, error) {
	if j.err != nil {
		return nil, j.err
	}
	if j.IsChain() {
		return nil, errors.New("it is a chain of jobs: the engine runs its stages one after the other")
	}
	values, err := j.params.parse(params)
	if err != nil {
		return nil, err
	}
	b := &bound{job: j, values: values}
	// What the engine plans with may depend on the parameters, so the code is built once for its Info.
	t := &Task{Reducers: 1}
	p, err := b.build(t)
	if err != nil {
		return nil, err
	}
	b.known = p.info()
	b.known.Outputs = t.outputs()
	b.known.SideInputs = values.sideFiles()
	return b, nil
}

// bound is a job with its parameters: the Program that the engine runs. It holds no state of an attempt.
type bound struct {
	job    *Job
	values paramValues
	known  Info
}

// attempt returns the code of the attempt that t stands for, built at the first call.
func (b *bound) attempt(t *Task) (program, error) {
	if t.program != nil && t.owner == b {
		return t.program, nil
	}
	p, err := b.build(t)
	if err == nil {
		err = t.openSideInputs()
	}
	if err != nil {
		return nil, err
	}
	t.owner, t.program = b, p
	return p, nil
}

// build calls the build function.
func (b *bound) build(t *Task) (p program, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the build function panicked: %v", r)
		}
	}()
	code, err := b.job.build(t, b.values)
	if err == nil {
		err = firstError(t.sideErr, code.err)
	}
	if err == nil && code.program == nil {
		err = errors.New("the build function returned an empty Code: return jobs.MapReduce(...) or jobs.MapOnly(...)")
	}
	if err != nil {
		return nil, err
	}
	return code.program, nil
}

func (b *bound) Info() Info { return b.known }

func (b *bound) Map(ctx context.Context, t *Task, in BlockSource, out PairSink) error {
	p, err := b.attempt(t)
	if err != nil {
		return fmt.Errorf("job %s: %w", b.job.name, err)
	}
	return p.mapBlocks(ctx, t, in, out)
}

func (b *bound) Combine(_ context.Context, t *Task, in, out []byte) ([]byte, error) {
	p, err := b.attempt(t)
	if err != nil {
		return out, fmt.Errorf("job %s: %w", b.job.name, err)
	}
	return p.combinePairs(in, out)
}

func (b *bound) Reduce(ctx context.Context, t *Task, in PairSource, out RowSink) error {
	p, err := b.attempt(t)
	if err != nil {
		return fmt.Errorf("job %s: %w", b.job.name, err)
	}
	return p.reduceGroups(ctx, t, in, out)
}

// OrderOf is what an encoded value is ordered by among those of its key, and whether from high to low, in a job with OrderBy
// (Info.Ordered). The engine orders by the bytes of keys and has no use for it; an oracle has.
func (b *bound) OrderOf(t *Task, value []byte) (order any, descending bool, err error) {
	p, err := b.attempt(t)
	if err != nil {
		return nil, false, fmt.Errorf("job %s: %w", b.job.name, err)
	}
	return p.orderOf(value)
}

// nameError says what is wrong with a job's name: it is typed in a shell and stands in URLs.
func nameError(name string) error {
	if name == "" {
		return errors.New("a job needs a name")
	}
	if i := strings.IndexFunc(name, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_.", r))
	}); i >= 0 || name[0] == '-' || name[0] == '.' {
		return fmt.Errorf("the name %q must be made of letters, digits, '-', '_' and '.', and begin with a letter or digit", name)
	}
	return nil
}
