package millrace

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/storage/manifest"
	"github.com/millrace/millrace/worker/program"
)

// labelled gives each line the label that a side input has for it.
func labelled() *jobs.Job {
	type params struct {
		Labels jobs.SideInput `max:"1kB" help:"lines key=label"`
	}
	type row struct{ Line, Label string }
	return jobs.Define("labelled", func(t *jobs.Task, p params) (jobs.Code, error) {
		labels := jobs.Shared(t, p.Labels, func(data []byte) (map[string]string, error) {
			out := map[string]string{}
			for line := range strings.Lines(string(data)) {
				key, label, _ := strings.Cut(strings.TrimSpace(line), "=")
				out[key] = label
			}
			return out, nil
		})
		return jobs.MapOnly(func(line string, emit func(row)) error {
			emit(row{line, labels.Get()[line]})
			return nil
		}), nil
	})
}

// TestSideInput proves that a job reads a side input named by a path, that the manifest says what it was, and that its tasks
// can be run again as long as it is that.
func TestSideInput(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	in, labels := write("in.txt", "a\nb\n"), write("labels", "a=first\n")
	o := Options{Inputs: []string{in}, Output: filepath.Join(dir, "out"), Params: map[string]string{"labels": labels}}
	status, err := Run(t.Context(), labelled(), o)
	if err != nil {
		t.Fatal(err)
	}
	if s := status.Side; len(s) != 1 || s[0].Name != "labels" || s[0].URL != "file://"+labels || s[0].Size != 8 {
		t.Errorf("the status says of side inputs: %+v", s)
	}
	b, err := os.ReadFile(filepath.Join(dir, "out", manifest.Name))
	if err != nil {
		t.Fatal(err)
	}
	m, err := manifest.Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	if s := m.Inputs.Side; len(s) != 1 || s[0].Name != "labels" || s[0].URL != "file://"+labels || s[0].Size != 8 || s[0].ETag == "" {
		t.Errorf("the manifest says of side inputs: %+v", s)
	}
	reg, err := program.NewRegistry(Version, labelled())
	if err != nil {
		t.Fatal(err)
	}
	replay := func() error {
		o := Options{}
		o.fill()
		r, err := findReplay(t.Context(), o.Store, nil, filepath.Join(dir, "out"), "map-00000")
		if err != nil {
			t.Fatal(err)
		}
		o.Output = filepath.Join(dir, "again")
		return r.run(t.Context(), reg, o, "map-00000")
	}
	if err := replay(); err != nil {
		t.Error(err)
	}
	write("labels", "a=other\n")
	if err := replay(); err == nil || !strings.Contains(err.Error(), "side input labels: file://"+labels+" has changed since") {
		t.Errorf("got %v", err)
	}
}

// TestSideInputRefused proves that a side input that cannot be one is refused before anything runs, with its name and a remedy.
func TestSideInputRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	in, large := filepath.Join(dir, "in.txt"), filepath.Join(dir, "large")
	for path, n := range map[string]int{in: 1, large: 1001} {
		if err := os.WriteFile(path, make([]byte, n), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for value, want := range map[string]string{
		filepath.Join(dir, "none"): "parameter labels: side input: stat file://" + filepath.Join(dir, "none") + ": not found",
		dir:                        "parameter labels: side input: ",
		dir + "/":                  "names a folder, not an object: name one file or object that is there",
		large:                      "parameter labels: side input file://" + large + ": 1001B are more than the 1000B that it may have",
		"s3:/bucket/x":             `parameter labels: side input: bad URL: "s3:/bucket/x": write s3://`,
	} {
		o := Options{Inputs: []string{in}, Output: filepath.Join(dir, "out"), Params: map[string]string{"labels": value}}
		if _, err := Run(t.Context(), labelled(), o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", value, err, want)
		}
	}
	inside := filepath.Join(dir, "out", "labels")
	if err := os.Mkdir(filepath.Dir(inside), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(inside, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	o := Options{Inputs: []string{in}, Output: filepath.Join(dir, "out"), Params: map[string]string{"labels": inside}}
	if _, err := Run(t.Context(), labelled(), o); err == nil || !strings.Contains(err.Error(), "holds the side input file://"+inside) {
		t.Errorf("got %v", err)
	}
}

// TestStateSideInputs proves that a relative path is made absolute where the command runs, a default too, and that the caller's
// parameters stay as they are.
func TestStateSideInputs(t *testing.T) {
	t.Parallel()
	type params struct {
		A jobs.SideInput `default:"a.csv"`
		B jobs.SideInput `default:""`
		C string         `default:"c"`
	}
	j := jobs.Define("j", func(*jobs.Task, params) (jobs.Code, error) {
		return jobs.MapOnly(func(s string, emit func(string)) error { emit(s); return nil }), nil
	})
	reg, err := program.NewRegistry(Version, j)
	if err != nil {
		t.Fatal(err)
	}
	wd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	given := map[string]string{"b": "../b.csv"}
	o := Options{Inputs: []string{"x"}, Output: "y", Params: given}
	spec, err := o.Spec(reg, "j")
	if err != nil {
		t.Fatal(err)
	}
	want := []jobs.SideFile{
		{Name: "a", URL: "file://" + wd + "/a.csv", Max: jobs.DefaultSideInput},
		{Name: "b", URL: "file://" + filepath.Dir(wd) + "/b.csv", Max: jobs.DefaultSideInput},
	}
	if got := spec.Info.SideInputs; len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("got %v, want %v", got, want)
	}
	if len(given) != 1 || spec.Params["a"] != want[0].URL || spec.SideInputs != nil {
		t.Errorf("given %v, spec %v, %v", given, spec.Params, spec.SideInputs)
	}
}
