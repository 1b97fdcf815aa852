package millrace

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/master"
	"github.com/millrace/millrace/master/console"
	"github.com/millrace/millrace/storage/backends"
	"github.com/millrace/millrace/worker/program"
)

// command runs a program of the jobs as a person would, and returns its exit code.
func command(t *testing.T, list []*jobs.Job, args ...string) int {
	t.Helper()
	c := Command("mine", list...)
	c.SetArgs(args)
	c.SetOut(io.Discard)
	return Execute(c)
}

// A job that takes rows reads, from the command line, the output of an earlier job as its manifest says: the rows of the parts that it
// names, in folders and by globs, and neither side outputs, nor what was laid beside, nor an older output's parts.
func TestTableOfEarlierOutput(t *testing.T) {
	t.Parallel()
	lengths := jobs.New("lengths", func(r item, emit func(int64, int64)) error {
		emit(int64(len(r.Word)), r.N)
		return nil
	}, func(length int64, ns jobs.Values[int64], emit func(item)) error {
		emit(item{strings.Repeat("x", int(length)), jobs.Total(ns)})
		return nil
	}, jobs.Table())
	list := []*jobs.Job{sidesJob(), lengths}
	dir := t.TempDir()
	in := filepath.Join(dir, "in.txt")
	if err := os.WriteFile(in, []byte("a bb bb a lengthy a lengthy word lengthy\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	words, out := filepath.Join(dir, "words"), filepath.Join(dir, "out")
	if code := command(t, list, "run", "sides", in, "-o", words, "--reducers", "3", "-q"); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	for _, stray := range []string{"notes.txt", "rejected.arrow"} {
		if err := os.WriteFile(filepath.Join(words, stray), []byte("no rows"), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{`{"word":"x","n":3}`, `{"word":"xx","n":2}`, `{"word":"xxxx","n":1}`, `{"word":"xxxxxxx","n":3}`}
	for _, input := range []string{words, words + "/", filepath.Join(dir, "wor*")} {
		if code := command(t, list, "run", "lengths", input, "-o", out, "--overwrite", "--reducers", "1", "-q"); code != 0 {
			t.Errorf("%s: exit code %d", input, code)
			continue
		}
		if got := strings.Fields(catOf(t, backends.New(backends.Options{}), out)); !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", input, got, want)
		}
	}
	if code := command(t, list, "run", "lengths", words+"/notes.txt", "-o", out, "--overwrite", "-q"); code != 1 {
		t.Errorf("what is no table: exit code %d", code)
	}
	if err := os.Remove(filepath.Join(words, "part-00001.arrow")); err != nil {
		t.Fatal(err)
	}
	if code := command(t, list, "run", "lengths", words, "-o", out, "--overwrite", "-q"); code != 1 {
		t.Errorf("a part is missing: exit code %d", code)
	}
}

// A plan says how many objects --exclude leaves out, of all inputs together, and nothing without it.
func TestPlanOfExcluded(t *testing.T) {
	t.Parallel()
	st := memStore(t)
	putAll(t, st, map[string]string{"mem://b/logs/a": "x", "mem://b/logs/b.tmp": "xx", "mem://b/logs/c.tmp": "xxx", "mem://b/logs/d": "y"})
	for want, exclude := range map[string][]string{"": nil, "excluded   1 object\n": {"b.tmp"}, "excluded   2 objects\n": {"*.tmp", "*.bak"}} {
		reg, err := program.NewRegistry(Version, countJob())
		if err != nil {
			t.Fatal(err)
		}
		spec, err := (&Options{Inputs: []string{"mem://b/logs"}, Output: "mem://b/out", Exclude: exclude}).Spec(reg, "count")
		if err != nil {
			t.Fatal(err)
		}
		p, err := master.Plan(t.Context(), st, spec)
		if err != nil {
			t.Fatal(err)
		}
		var text, made bytes.Buffer
		if err := console.Plan(&text, p, nil, console.PlanOptions{}); err != nil {
			t.Fatal(err)
		}
		if err := console.Plan(&made, p, nil, console.PlanOptions{JSON: true}); err != nil {
			t.Fatal(err)
		}
		var r console.PlanReport
		if err := json.Unmarshal(made.Bytes(), &r); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(text.String(), want) || (want == "") == strings.Contains(text.String(), "excluded") || r.Excluded != p.Excluded {
			t.Errorf("without %q: %d excluded, %s", exclude, r.Excluded, text.String())
		}
	}
}
