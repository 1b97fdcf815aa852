package master

import (
	"strings"
	"testing"

	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/jobs/plan"
	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/memstore"
)

// Side inputs are pinned as they are found: the size may be just what is allowed, or nothing; one byte more, a missing object, a
// folder and an empty name are refused by the parameter's name.
func TestPinSideInputs(t *testing.T) {
	t.Parallel()
	st := storage.New(storage.Options{Schemes: map[string]storage.Opener{"mem": memstore.Opener()}})
	for url, text := range map[string]string{"mem://b/four": "four", "mem://b/none": ""} {
		if err := st.Put(t.Context(), url, []byte(text), false); err != nil {
			t.Fatal(err)
		}
	}
	pinned, err := pinSideInputs(t.Context(), st, "job", []jobs.SideFile{{Name: "a", URL: "mem://b/four", Max: 4}, {Name: "b", URL: "mem://b/none", Max: 4}})
	if err != nil || len(pinned) != 2 || pinned[0].Size != 4 || pinned[0].ETag == "" || pinned[1].Size != 0 || pinned[1].Name != "b" {
		t.Errorf("got %+v, %v", pinned, err)
	}
	if m := manifestSideInputs(pinned); len(m) != 2 || m[0].ETag != pinned[0].ETag || m[1].URL != "mem://b/none" {
		t.Errorf("the manifest has %+v", m)
	}
	for url, want := range map[string]string{
		"mem://b/four": "parameter p: side input mem://b/four: 4B are more than the 3B that it may have, since each worker holds all of it",
		"mem://b/gone": "parameter p: side input: stat mem://b/gone: not found: name one file or object that is there",
		"mem://b/dir/": "it names a folder, not an object: name one file or object that is there",
		"":             "parameter p: side input: stat: bad URL: the name is empty",
	} {
		if _, err := pinSideInputs(t.Context(), st, "job", []jobs.SideFile{{Name: "p", URL: url, Max: 3}}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %s", url, err, want)
		}
	}
	for url, want := range map[string]string{
		"mem://b/four": "--file map.py: mem://b/four has 4B, more than the 3B that it may have",
		"mem://b/gone": "--file map.py: stat mem://b/gone: not found: name one file or object that is there, and that workers see under this name, too",
	} {
		if _, err := pinSideInputs(t.Context(), st, plan.Command, []jobs.SideFile{{Name: "map.py", URL: url, Max: 3}}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %s", url, err, want)
		}
	}
}

// What changed between two looks at the side inputs of a job is named; between a chain and a stage only what both read counts.
func TestSameSideInputs(t *testing.T) {
	t.Parallel()
	a, b := plan.SideInput{Name: "a", URL: "mem://b/a", Size: 1, ETag: "x"}, plan.SideInput{Name: "b", URL: "mem://b/b", Size: 2, ETag: "y"}
	changed, longer := a, a
	changed.ETag, longer.Size = "z", 9
	for _, tt := range []struct {
		now, was []plan.SideInput
		same     string // what sameSideInputs says
		chain    string // what chainSideInputs says
	}{
		{nil, nil, "", ""},
		{[]plan.SideInput{a, b}, []plan.SideInput{a, b}, "", ""},
		{[]plan.SideInput{a}, []plan.SideInput{a, b}, "no longer reads the side input b", ""},
		{[]plan.SideInput{a, b}, []plan.SideInput{a}, "which it did not then", ""},
		{[]plan.SideInput{changed}, []plan.SideInput{a}, "has 1 bytes and ETag z, had 1 and x", "input changed during the job: side input mem://b/a"},
		{[]plan.SideInput{b, longer}, []plan.SideInput{b, a}, "has 9 bytes and ETag x, had 1 and x", "input changed during the job: side input mem://b/a"},
	} {
		for _, c := range []struct {
			err  error
			want string
		}{{sameSideInputs(tt.now, tt.was), tt.same}, {chainSideInputs(tt.now, tt.was), tt.chain}} {
			if (c.err == nil) != (c.want == "") || c.err != nil && !strings.Contains(c.err.Error(), c.want) {
				t.Errorf("%v after %v: got %v, want %q", tt.now, tt.was, c.err, c.want)
			}
		}
	}
}
