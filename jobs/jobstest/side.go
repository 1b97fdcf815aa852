package jobstest

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/millrace/millrace/jobs"
)

// Files are the content of side inputs, by what the parameters name them: no file is needed.
type Files map[string]string

// RunWith is Run for a job whose parameters name side inputs.
//
//	rows := jobstest.RunWith(t, job, map[string]string{"stations": "stations.csv"},
//		jobstest.Files{"stations.csv": "7,Mitte\n"}, "7;21.5\n7;23\n")
func RunWith(t testing.TB, job *jobs.Job, params map[string]string, files Files, inputs ...string) []Row {
	t.Helper()
	result, err := RunObjects(job, params, append(files.Objects(), Objects(inputs...)...), 1)
	if err != nil {
		t.Fatalf("job %s: %v", job.Name(), err)
	}
	return result.Rows()
}

// Objects are the files as objects, to go with those of the job's input.
func (f Files) Objects() []Object {
	var list []Object
	for _, name := range slices.Sorted(maps.Keys(f)) {
		list = append(list, Object{URL: name, Data: []byte(f[name]), Side: true})
	}
	return list
}

// sideData finds the side inputs that a job names among the objects, and returns the others apart.
func sideData(files []jobs.SideFile, objects []Object) (*jobs.SideData, []Object, error) {
	var content [][]byte
	for _, f := range files {
		i := slices.IndexFunc(objects, func(o Object) bool { return o.Side && o.URL == f.URL })
		if i < 0 {
			return nil, nil, fmt.Errorf("oracle: parameter %s names the side input %s, whose bytes are not given: pass them to RunWith, or an Object with Side", f.Name, f.URL)
		}
		if n := int64(len(objects[i].Data)); n > f.Max {
			return nil, nil, fmt.Errorf("oracle: parameter %s: the side input %s has %d bytes, more than the %d that it may have", f.Name, f.URL, n, f.Max)
		}
		content = append(content, objects[i].Data)
	}
	inputs := slices.DeleteFunc(slices.Clone(objects), func(o Object) bool { return o.Side })
	return jobs.NewSideData(content...), inputs, nil
}
