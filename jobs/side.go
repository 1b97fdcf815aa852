package jobs

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// SideOutput takes rows of another kind than the job's, which lie in files of their own: errors beside the parsed records,
// statistics beside the result. It is made by Side and used by one goroutine.
type SideOutput[Row any] struct {
	name string
	plan *rowPlan
	rows *rowWriter[Row] // while a map or reduce function runs
}

// Side declares a side output of the job that Define's build function makes, with rows of the given type:
//
//	build := func(t *jobs.Task, p params) (jobs.Code, error) {
//		bad := jobs.Side[BadLine](t, "bad-lines")
//		return jobs.MapReduce(func(line string, emit func(string, int64)) error {
//			if !valid(line) {
//				bad.Emit(BadLine{line})
//			}
//			...
//
// Its parts lie in the folder of that name below the job's output, and count together with the job's rows: all of them become
// visible, or none, and of an attempt that fails or loses nothing stays. The rows of map functions come first, in the order of
// the input, then those of reduce functions, partition by partition. Map and reduce functions may write to the same one; a
// combiner must not.
//
// The name is a folder's: letters, digits, '-', '_' and '.'. The build function must declare the same side outputs each time it is
// called with the same parameters. A mistake is reported by Bind.
func Side[Row any](t *Task, name string) *SideOutput[Row] {
	s := &SideOutput[Row]{name: name}
	err := sideNameError(name)
	if err == nil && slices.ContainsFunc(t.sides, func(o sideOutput) bool { return o.output().Name == name }) {
		err = fmt.Errorf("it is declared twice")
	}
	if err == nil {
		if s.plan, err = newRowPlan(reflect.TypeFor[Row]()); err != nil {
			err = fmt.Errorf("row type %s: %w", typeName[Row](), err)
		}
	}
	if err != nil {
		if t.sideErr == nil {
			t.sideErr = fmt.Errorf("side output %q: %w", name, err)
		}
		return s
	}
	t.sides = append(t.sides, s)
	return s
}

// Emit adds a row. It is called by a map or reduce function while that runs.
func (s *SideOutput[Row]) Emit(row Row) {
	if s.rows == nil {
		panic(fmt.Sprintf("a row for the side output %s is emitted while no map or reduce function of the attempt runs", s.name))
	}
	s.rows.emit(row)
}

// sideNameError says what is wrong with a side output's name. The engine has the same rules for the folder.
func sideNameError(name string) error {
	if err := nameError(name); err != nil {
		return fmt.Errorf("it is a folder's name: it must be made of letters, digits, '-', '_' and '.', and begin with a letter or digit")
	}
	switch {
	case name[0] == '_':
		return fmt.Errorf("names that begin with '_' are the engine's: choose another one")
	case name == "rejected":
		return fmt.Errorf("records that are set aside go there: choose another name")
	case strings.HasPrefix(name, "part-"):
		return fmt.Errorf("the parts of the job's rows begin so: choose another name")
	case len(name) > 100:
		return fmt.Errorf("it has %d bytes: at most 100 are possible", len(name))
	}
	return nil
}

// sideOutput is a SideOutput of whatever rows.
type sideOutput interface {
	output() Output
	open(sink RowSink, f *failed, at func() RecordError)
	try(t *trial)
	flush()
	close()
}

func (s *SideOutput[Row]) output() Output { return Output{Name: s.name, Schema: s.plan.schema} }

func (s *SideOutput[Row]) open(sink RowSink, f *failed, at func() RecordError) {
	s.rows = newRowWriter[Row](s.plan, sink, f, new(int64), at)
}

func (s *SideOutput[Row]) try(t *trial) { s.rows.try(t) }

func (s *SideOutput[Row]) flush() { s.rows.flush() }

func (s *SideOutput[Row]) close() { s.rows = nil }

// outputs are the side outputs that the build function has declared, by name.
func (t *Task) outputs() (list []Output) {
	for _, s := range t.sides {
		list = append(list, s.output())
	}
	slices.SortFunc(list, byOutput)
	return list
}

func byOutput(a, b Output) int { return strings.Compare(a.Name, b.Name) }

// openSides lets the side outputs take rows, which at places in errors.
func (t *Task) openSides(f *failed, at func() RecordError) error {
	if len(t.sides) > len(t.Sinks.Sides) {
		return fmt.Errorf("the job has %d side outputs: %w", len(t.sides), errNoSink)
	}
	places := t.outputs()
	for _, s := range t.sides {
		i, _ := slices.BinarySearchFunc(places, s.output(), byOutput)
		s.open(t.Sinks.Sides[i], f, at)
	}
	return nil
}

// trySides puts the side outputs on trial.
func (t *Task) trySides(on *trial) {
	for _, s := range t.sides {
		s.try(on)
	}
}

func (t *Task) flushSides() {
	for _, s := range t.sides {
		s.flush()
	}
}

func (t *Task) closeSides() {
	for _, s := range t.sides {
		s.close()
	}
}
