package jobs

import (
	"errors"
	"fmt"
	"reflect"
	"sync"
)

// DefaultSideInput is the most bytes of a side input whose parameter states no other bound.
const DefaultSideInput = 64 << 20

// ErrSideInput reports a side input that Shared could not parse: another attempt would read the same bytes.
var ErrSideInput = errors.New("bad side input")

// SideInput is a parameter that names a small file which every task may read beside the job's input: a table to look things up in,
// a list of words, a model. (Others call it a distributed cache, or a broadcast.) The submitter names it as inputs are named,
// by a path or URL:
//
//	type params struct {
//		Stations jobs.SideInput `param:"stations" help:"CSV: id,name"`         // -p stations=s3://bucket/stations.csv
//		Holidays jobs.SideInput `param:"holidays" default:"" max:"1MiB"`       // may be left out
//	}
//
// The engine looks it up when the job is submitted, and refuses one that is not there or has more than 64 MiB, or than the
// field's tag max says. Each worker reads it once, whatever the number of tasks, and what it reads is what was there at the
// submission: a file that changed since fails the job, as a changed input does. Its bytes come as they are, compressed or not.
//
// Map, reduce, combine and partition functions may read it. Most jobs need it parsed: see Shared.
type SideInput struct {
	name string // the parameter's
	url  string
	open *opened // of the attempt that the parameters were made for; nil if it is not given
}

// opened is a side input of one attempt: data from the attempt's begin on.
type opened struct {
	ready bool
	data  []byte
}

// URL is how the parameters name the file; "" if they name none. A chain hands it on as a stage's parameter.
func (s SideInput) URL() string { return s.url }

// Given says whether the parameters name a file.
func (s SideInput) Given() bool { return s.url != "" }

// Bytes are the file's, nil if none is given. All tasks of a worker share them, at the same time: they must not be changed. They
// may be kept, in part too.
//
// It panics in Define's build function and in DefineChain's function, which also run where the file is not.
func (s SideInput) Bytes() []byte {
	if !s.Given() {
		return nil
	}
	if s.open == nil || !s.open.ready {
		panic(fmt.Sprintf("side input %s is read before a task runs: read it in a map, combine or reduce function, or give it to jobs.Shared", s.name))
	}
	return s.open.data
}

// Parsed is what Shared makes of a side input.
type Parsed[V any] struct {
	in    SideInput
	parse func(data []byte) (V, error)
	value V
	ready bool
}

// Shared declares, in Define's build function, that a side input is needed in another form than its bytes: as a map, a set, a tree.
//
//	build := func(t *jobs.Task, p params) (jobs.Code, error) {
//		stations := jobs.Shared(t, p.Stations, parseStations) // func([]byte) (map[string]Station, error)
//		return jobs.MapReduce(func(line string, emit func(string, int64)) error {
//			station, ok := stations.Get()[id]
//			...
//
// A worker calls parse once for the job, before the first task that needs it begins; all tasks, which run at the same time, then
// share what it returned. So nobody may change that: it is read only. It may hold on to the bytes that it is given, and is
// dropped when the job has ended. The memory that it takes counts nowhere: it should be no multiple of the file's.
// An error or panic of parse fails the job at once, since the bytes stay the same, and names the parameter and the file. If no file
// is given, parse is not called.
//
// The build function must declare the same each time it is called with the same parameters.
func Shared[V any](t *Task, in SideInput, parse func(data []byte) (V, error)) *Parsed[V] {
	p := &Parsed[V]{in: in, parse: parse, ready: !in.Given()}
	if parse == nil && t.sideErr == nil {
		t.sideErr = fmt.Errorf("side input %s: the function given to Shared is nil", in.name)
	}
	if in.Given() {
		t.shared = append(t.shared, p)
	}
	return p
}

// Get returns what parse returned; the zero value if no file is given. It is cheap: call it for each record. It panics in the build
// function.
func (p *Parsed[V]) Get() V {
	if !p.ready {
		panic(fmt.Sprintf("the parsed side input %s is asked for before a task runs: do so in a map, combine or reduce function", p.in.name))
	}
	return p.value
}

// SideFile is a side input that a job's parameters name, for the engine.
type SideFile struct {
	Name string // the parameter's
	URL  string // as the parameters name it
	Max  int64  // bytes
}

// SideData is what an engine holds of a job's side inputs for all attempts in its process: their bytes, and what Shared makes of
// them. It goes with the job. Any number of goroutines may use it.
type SideData struct {
	files [][]byte

	mu     sync.Mutex
	shared []*sharedValue // by the number of the call of Shared in the build function
}

// sharedValue is one parsed form. Its lock is held while it is being made, so that it is made once.
type sharedValue struct {
	mu    sync.Mutex
	value any // nil until parse has succeeded: a *V
}

// NewSideData holds the content of the side inputs of Info, in that order. It must not be changed afterwards.
func NewSideData(files ...[]byte) *SideData { return &SideData{files: files} }

// File is the content of the i-th of Info.SideInputs. It must not be changed.
func (d *SideData) File(i int) []byte { return d.files[i] }

// slot is where the parsed form lies that the n-th call of Shared declares.
func (d *SideData) slot(n int) *sharedValue {
	d.mu.Lock()
	defer d.mu.Unlock()
	for len(d.shared) <= n {
		d.shared = append(d.shared, new(sharedValue))
	}
	return d.shared[n]
}

// sharer is a Parsed of whatever type.
type sharer interface{ load(v *sharedValue) error }

func (p *Parsed[V]) load(slot *sharedValue) error {
	slot.mu.Lock()
	defer slot.mu.Unlock()
	if slot.value == nil {
		v, err := p.call()
		if err != nil {
			return fmt.Errorf("%w %s (%s): parse: %w", ErrSideInput, p.in.name, p.in.url, err)
		}
		slot.value = &v
	}
	v, ok := slot.value.(*V)
	if !ok {
		return fmt.Errorf("side input %s: the build function declares another Shared than before: it must declare the same each time", p.in.name)
	}
	p.value, p.ready = *v, true
	return nil
}

// call is parse, whose panic is an error with its stack.
func (p *Parsed[V]) call() (v V, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v\n%s", r, userStack())
		}
	}()
	return p.parse(p.in.Bytes())
}

var errNoSideData = errors.New("the engine gives its side inputs no bytes")

// openSideInputs gives the attempt's side inputs their bytes, and makes the forms that Shared declares.
func (t *Task) openSideInputs() error {
	if len(t.sideInputs) == 0 {
		return nil
	}
	if t.Side == nil || len(t.Side.files) != len(t.sideInputs) {
		return errNoSideData
	}
	for i, o := range t.sideInputs {
		o.data, o.ready = t.Side.files[i], true
	}
	for n, s := range t.shared {
		if err := s.load(t.Side.slot(n)); err != nil {
			return err
		}
	}
	return nil
}

var sideInputType = reflect.TypeFor[SideInput]()

// openIn gives the side inputs among the fields of v, a struct of parameters, to an attempt.
func (values paramValues) openIn(t *Task, v reflect.Value) {
	for i, p := range values.set.list {
		if in, ok := v.Field(values.set.fields[i]).Addr().Interface().(*SideInput); ok && p.Type == fileParam && in.Given() {
			in.open = new(opened)
			t.sideInputs = append(t.sideInputs, in.open)
		}
	}
}

// sideFiles lists the side inputs that the parameters name, in the order of the parameters.
func (values paramValues) sideFiles() (list []SideFile) {
	for i, p := range values.set.list {
		if p.Type == fileParam && values.text[i] != "" {
			list = append(list, SideFile{Name: p.Name, URL: values.text[i], Max: p.Max})
		}
	}
	return list
}

// SideFiles returns the side inputs that a job with these parameters names. Of a chain these are its own; its stages may have more.
func (j *Job) SideFiles(params map[string]string) ([]SideFile, error) {
	values, err := j.params.parse(params)
	if err != nil {
		return nil, fmt.Errorf("job %s: %w", j.name, err)
	}
	return values.sideFiles(), nil
}
