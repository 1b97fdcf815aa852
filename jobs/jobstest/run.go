package jobstest

import (
	"fmt"
	"reflect"
	"testing"

	"github.com/millrace/millrace/jobs"
)

// Run runs a job over inputs, each the content of one object, named mem://input/0, mem://input/1 and so on, with a single
// partition. It returns the rows in the order of their keys. Any error ends the test.
//
//	rows := jobstest.Run(t, wordcount.Job(), nil, "a b a")
//	jobstest.Equal(t, rows, jobstest.Row{"a", int64(2)}, jobstest.Row{"b", int64(1)})
func Run(t testing.TB, job *jobs.Job, params map[string]string, inputs ...string) []Row {
	t.Helper()
	result, err := RunObjects(job, params, Objects(inputs...), 1)
	if err != nil {
		t.Fatalf("job %s: %v", job.Name(), err)
	}
	return result.Rows()
}

// RunObjects binds a job and runs it over objects with so many partitions. Unless the job partitions by itself, all pairs
// go to partition 0. Of a chain it is the last stage's result; its stages say how many partitions they have, or it is 1.
func RunObjects(job *jobs.Job, params map[string]string, objects []Object, reducers int) (*Result, error) {
	if job.IsChain() {
		return runChain(job, params, objects)
	}
	prog, err := job.Bind(params)
	if err != nil {
		return nil, err
	}
	return Oracle(prog, objects, reducers, nil)
}

// RunInputs is Run for a job with several inputs. It is given the content of one object for each, by the input's name; the objects
// are named mem://NAME/0.
//
//	rows := jobstest.RunInputs(t, join.Job(), nil, map[string]string{"left": "1,ann\n", "right": "1,tea\n"})
func RunInputs(t testing.TB, job *jobs.Job, params map[string]string, inputs map[string]string) []Row {
	t.Helper()
	prog, err := job.Bind(params)
	if err != nil {
		t.Fatal(err)
	}
	var objects []Object
	for i, in := range prog.Info().Inputs {
		if content, ok := inputs[in.Name]; ok {
			objects = append(objects, Object{URL: "mem://" + in.Name + "/0", Data: []byte(content), Input: i})
		}
	}
	if len(objects) < len(inputs) {
		t.Fatalf("job %s: of the %d inputs given, it has %d", job.Name(), len(inputs), len(objects))
	}
	result, err := Oracle(prog, objects, 1, nil)
	if err != nil {
		t.Fatalf("job %s: %v", job.Name(), err)
	}
	return result.Rows()
}

// Objects names the contents mem://input/0, mem://input/1 and so on.
func Objects(contents ...string) []Object {
	objects := make([]Object, len(contents))
	for i, c := range contents {
		objects[i] = Object{URL: fmt.Sprintf("mem://input/%d", i), Data: []byte(c)}
	}
	return objects
}

// Equal fails the test, and names the first row that differs, unless got is want.
func Equal(t testing.TB, got []Row, want ...Row) {
	t.Helper()
	for i := range min(len(got), len(want)) {
		if !reflect.DeepEqual(got[i], want[i]) {
			t.Errorf("row %d: got %v, want %v%s", i, got[i], want[i], typesDiffer(got[i], want[i]))
			return
		}
	}
	switch {
	case len(got) > len(want):
		t.Errorf("got %d rows, want %d: the first one too many is %v", len(got), len(want), got[len(want)])
	case len(got) < len(want):
		t.Errorf("got %d rows, want %d: the first one missing is %v", len(got), len(want), want[len(got)])
	}
}

// typesDiffer names the types of the first cells that print alike but differ in type.
func typesDiffer(got, want Row) string {
	for i := range min(len(got), len(want)) {
		if g, w := fmt.Sprintf("%T", got[i]), fmt.Sprintf("%T", want[i]); g != w {
			return fmt.Sprintf(" (column %d is %s, not %s)", i, g, w)
		}
	}
	return ""
}
