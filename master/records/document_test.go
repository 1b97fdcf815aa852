package records

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/millrace/millrace/jobs/plan"
)

// What a newer version has asked for is not passed over: a document with a field that this one does not know, wherever it stands, is
// ErrNewer by its name, and what is known of it is read. A field without a value asks for nothing.
func TestUnmarshal(t *testing.T) {
	t.Parallel()
	type inner struct{ A, B int }
	type doc struct {
		Name  string
		Inner inner
		List  []inner
		Map   map[string]string `json:",omitempty"`
		None  *inner            `json:",omitempty"`
	}
	for text, want := range map[string]string{
		`{"Name": "x"}`: "",
		`{"Name": "x", "Inner": {"A": 1}, "List": [{"B": 2}], "Map": {"any": "name"}}`: "",
		`{"Name": "x", "New": null, "Off": false, "Zero": 0, "Text": "", "Empty": []}`: "",
		`{"Name": "x", "New": {"A": 0, "B": {}}, "Map": {}, "None": null}`:             "",
		`{"Name": "x", "New": true}`:                            "New",
		`{"Name": "x", "New": {"A": 0, "B": [0]}}`:              "New",
		`{"Name": "x", "Inner": {"A": 1, "C": 0.5}}`:            "Inner.C",
		`{"Name": "x", "List": [{"A": 1}, {"A": 2, "C": "c"}]}`: "List.C",
		`{"Name": "x", "None": {"A": 1, "C": 1}}`:               "None.C",
	} {
		var d doc
		err := Unmarshal([]byte(text), &d)
		if d.Name != "x" {
			t.Errorf("%s: read %+v", text, d)
		}
		switch {
		case want == "" && err != nil:
			t.Errorf("%s: %v", text, err)
		case want != "" && (!errors.Is(err, ErrNewer) || err.Error() != `the field "`+want+`": `+ErrNewer.Error()):
			t.Errorf("%s: got %v, want the field %s", text, err, want)
		}
	}
	for _, text := range []string{``, `{`, `[1]`, `{"Name": 3}`, `{"New": true} x`} {
		if err := Unmarshal([]byte(text), new(doc)); !errors.Is(err, ErrDamaged) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// FuzzUnmarshal looks for documents that are neither read nor refused: what passes says no more than what was read says again.
func FuzzUnmarshal(f *testing.F) {
	f.Add([]byte(`{"Job": "count", "Info": {"Inputs": [{"Format": {}}], "Other": 1}}`))
	f.Add([]byte(`{"job": "count", "SkipBad": {"Rate": 0.5}, "New": {"deep": [{}]}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var spec plan.Spec
		err := Unmarshal(text, &spec)
		if err != nil {
			if !errors.Is(err, ErrNewer) && !errors.Is(err, ErrDamaged) {
				t.Fatal(err)
			}
			return
		}
		again, err := json.Marshal(spec)
		if err != nil {
			return // nobody could have written it
		}
		if err := Unmarshal(again, new(plan.Spec)); err != nil {
			t.Errorf("%s, read from %s: %v", again, text, err)
		}
	})
}
