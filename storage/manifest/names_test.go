package manifest

import (
	"strings"
	"testing"
)

// The names of parts are those that CutName takes apart, and no other names are.
func TestNames(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		PartName(0): "", PartName(1_234_567): "", SideName("errors", 3): "errors", MapSideName("errors", 100_000): "errors",
		MapSideName(Rejected, 0): "rejected", "a.b-c_9/part-00000.arrow": "a.b-c_9",
	} {
		if got, ok := CutName(name); !ok || got != want {
			t.Errorf("%s: got output %q, %v, want %q", name, got, ok, want)
		}
	}
	for _, name := range []string{
		"", "_SUCCESS", "map-00000.arrow", "part-0000.arrow", "part-00000.arrow.tmp", "a/b/part-00000.arrow", "/part-00000.arrow",
		"errors/", "errors/_SUCCESS", "errors/other.arrow", ".millrace-1/map-00000.arrow", "_tmp/part-00000.arrow",
		"part-1/part-00000.arrow", "../part-00000.arrow", "errors/map-00000.0.run",
	} {
		if output, ok := CutName(name); ok {
			t.Errorf("%q: got a part of output %q, want none", name, output)
		}
	}
}

// A side output's name is a folder's that no store, shell or reader of the output takes for something else.
func TestCheckOutput(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"errors", "2026", "a.b", "A_b-c", "rejected", strings.Repeat("x", maxOutputName)} {
		if err := CheckOutput(name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, want := range map[string]string{
		"": "needs a name", ".": "letters", "..": "letters", ".a": "letters", "_SUCCESS": "letters", "-o": "letters", "a/b": "letters",
		"a b": "letters", "ü": "letters", "part-00000.arrow": "begins as the files", strings.Repeat("x", maxOutputName+1): "101 bytes",
	} {
		if err := CheckOutput(name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want it to say %q", name, err, want)
		}
	}
}

// All names every file once, the job's rows first; Output finds one side output.
func TestAllParts(t *testing.T) {
	t.Parallel()
	m := &Manifest{Parts: []Part{{Name: PartName(0)}}, Outputs: []Output{
		{Name: "a", Parts: []Part{{Name: MapSideName("a", 0)}, {Name: SideName("a", 0)}}}, {Name: "b"},
	}}
	var names []string
	for p := range m.All() {
		names = append(names, p.Name)
	}
	if got := strings.Join(names, " "); got != "part-00000.arrow a/map-00000.arrow a/part-00000.arrow" {
		t.Errorf("got %s", got)
	}
	for p := range m.All() {
		if p.Name != PartName(0) {
			t.Errorf("it went on after the first part, to %s", p.Name)
		}
		break
	}
	if o, ok := m.Output("a"); !ok || len(o.Parts) != 2 {
		t.Errorf("output a: got %+v, %v", o, ok)
	}
	if _, ok := m.Output("c"); ok {
		t.Error("there is an output c")
	}
}
