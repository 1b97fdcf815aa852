package output_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/arrowfile"
	"github.com/millrace/millrace/storage/manifest"
	"github.com/millrace/millrace/storage/output"
)

// withSides commits an output of the number 1, with the numbers 2 and 3 in a side output, and another one without rows.
func withSides(t *testing.T, st *storage.Store) {
	t.Helper()
	s, err := json.Marshal(schema)
	if err != nil {
		t.Fatal(err)
	}
	m := &manifest.Manifest{Version: manifest.Version, ID: "job", Job: "sieve", Rows: 1, Outputs: []manifest.Output{
		{Name: "empty", Schema: s}, {Name: "errors", Schema: s, Rows: 2},
	}}
	add := func(to *[]manifest.Part, name string, n byte) {
		p := part(t, n)
		put(t, st, name, p)
		*to = append(*to, manifest.Part{Name: name, Bytes: int64(len(p)), Rows: 1})
	}
	add(&m.Parts, manifest.PartName(0), 1)
	add(&m.Outputs[1].Parts, manifest.MapSideName("errors", 7), 2)
	add(&m.Outputs[1].Parts, manifest.SideName("errors", 0), 3)
	body, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	put(t, st, manifest.Name, body)
}

// numbers reads all rows; -1 stands for an empty batch.
func numbers(t *testing.T, o *output.Output) (list []int) {
	t.Helper()
	err := o.Batches(t.Context(), func(s arrowfile.Schema, b arrowfile.Batch) bool {
		if len(s.Fields) != 1 || s.Fields[0].Name != "n" || len(b.Columns) != 1 {
			t.Errorf("schema %+v", s)
		}
		if b.Rows == 0 {
			list = append(list, -1)
		}
		for row := range b.Rows {
			list = append(list, int(b.Columns[0].Data[8*row]))
		}
		return true
	})
	if err != nil {
		t.Error(err)
	}
	return list
}

// Each output has its own rows, those of the maps first; one without rows still has its columns. Nobody reads another's rows.
func TestSide(t *testing.T) {
	t.Parallel()
	st, _ := bucket()
	withSides(t, st)
	for at, want := range map[string][]int{folder: {1}, folder + "/": {1}, folder + "/errors": {2, 3}, folder + "/errors/": {2, 3}, folder + "/empty": {-1}} {
		o, err := output.Locate(t.Context(), st, at)
		if err != nil {
			t.Errorf("%s: %v", at, err)
			continue
		}
		rows := int64(len(want))
		if want[0] < 0 {
			rows = 0
		}
		if got := numbers(t, o); len(got) != len(want) || got[0] != want[0] || o.Rows() != rows || o.URL != folder {
			t.Errorf("%s: got %v of %d rows in %s, want %v", at, got, o.Rows(), o.URL, want)
		}
	}
	o, err := output.Open(t.Context(), st, folder)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := o.Side("nothing"); err == nil || !strings.Contains(err.Error(), "job sieve has empty, errors") {
		t.Errorf("a side output that there is not: got %v", err)
	}
	if _, err := (&output.Output{Manifest: &manifest.Manifest{Job: "sieve"}}).Side("x"); err == nil || !strings.Contains(err.Error(), "sieve has none") {
		t.Errorf("of a job without any: got %v", err)
	}
	o.Manifest.Outputs[0].Schema = []byte("7")
	if o, err = o.Side("empty"); err != nil {
		t.Fatal(err)
	}
	if err := o.Batches(t.Context(), func(arrowfile.Schema, arrowfile.Batch) bool { return true }); err == nil || !strings.Contains(err.Error(), "schema of output empty") {
		t.Errorf("a schema that is none: got %v", err)
	}
}

// What is no output, and no side output of the one above, has the error of an output that is not there.
func TestLocateNothing(t *testing.T) {
	t.Parallel()
	st, _ := bucket()
	withSides(t, st)
	put(t, st, "foreign/"+manifest.Name, nil)
	for _, at := range []string{folder + "/others", folder + "/errors/deeper", "mem://b", "mem://b/", folder + "/foreign/errors"} {
		if _, err := output.Locate(t.Context(), st, at); !errors.Is(err, output.ErrNone) || !strings.Contains(err.Error(), strings.TrimSuffix(at, "/")) {
			t.Errorf("%s: got %v, want %v that names it", at, err, output.ErrNone)
		}
	}
	if _, err := output.Open(t.Context(), st, folder+"/errors"); !errors.Is(err, output.ErrNone) {
		t.Errorf("Open of a side output: got %v: only a person's words are taken so", err)
	}
	if _, err := output.Locate(t.Context(), st, "other://b/x"); err == nil {
		t.Error("an unknown scheme passes")
	}
}
