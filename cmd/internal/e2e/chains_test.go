//go:build unix

package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/jobs/jobstest"
	"github.com/millrace/millrace/jobs/kmeans"
	"github.com/millrace/millrace/jobs/pagerank"
	"github.com/millrace/millrace/storage/storagetest/python"
)

// TestChains proves that the chains that ship give the oracle's rows, the same bytes for every setting, and what networkx and
// scikit-learn compute from the same files: over the graph of imports of Go's own packages, and the lines of real books. With -short
// the files are a tenth as long, and Python is not asked.
func TestChains(t *testing.T) {
	t.Parallel()
	interpreter := python.Interpreter(t, filepath.Join("testdata", "chains.txt"))
	start := "20,3;40,7;60,10;70,14;5,1"
	graph := []file{{"imports.tsv", importGraph(t)}}
	points := []file{{"points.csv", bookPoints(t)}}
	for _, w := range []workload{
		{name: "pagerank", job: pagerank.Job(), params: map[string]string{"damping": "0.85", "tolerance": "1e-12", "separator": "\t"}, files: graph},
		{name: "pagerank-half", job: pagerank.Job(), params: map[string]string{"damping": "0.5", "tolerance": "1e-12", "separator": "\t"}, files: graph},
		{name: "kmeans", job: kmeans.Job(), params: map[string]string{"centers": start}, files: points},
		{name: "kmeans-points", job: kmeans.Job(), params: map[string]string{"centers": start, "output": "points"}, files: points},
	} {
		if testing.Short() {
			w.files = beginnings(w.files)
		}
		t.Run(w.name, func(t *testing.T) {
			p := inFiles(t)
			input, err := w.write(t.Context(), p)
			if err != nil {
				t.Fatal(err)
			}
			want, err := w.oracle(p)
			if err != nil {
				t.Fatal(err)
			}
			var base *product
			folder := t.TempDir() + "/out"
			for i, o := range []millrace.Options{
				{Slots: 2},
				{Slots: 1, SplitSize: 64 << 10, Memory: tinyMemory, Shuffle: "bucket", Overwrite: true},
				{Slots: 3, Workers: 2, SplitSize: 20_021, Overwrite: true},
			} {
				o.Inputs, o.Output, o.Params, o.Store = []string{input}, folder, w.params, p.store
				if _, err := millrace.Run(t.Context(), w.job, o); err != nil {
					t.Fatalf("setting %d: %v", i, err)
				}
				got, err := readProduct(t.Context(), p, "file://"+folder, want.Schema)
				if err != nil {
					t.Fatalf("setting %d: %v", i, err)
				}
				if base == nil {
					base = got
					jobstest.Equal(t, got.rows, want.Rows()...)
				}
				if d := got.diff(base); d != "" {
					t.Errorf("setting %d: %s", i, d)
				}
			}
			if testing.Short() {
				return
			}
			params, err := json.Marshal(w.params)
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(strings.TrimPrefix(input, "file://"), w.files[0].name)
			cmd := exec.CommandContext(t.Context(), interpreter, filepath.Join("testdata", "chains.py"), w.job.Name(), string(params), folder, path)
			cmd.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1", "PYTHONUTF8=1")
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%s: %v\n%s", w.name, err, out)
			}
			t.Logf("%s", bytes.TrimSpace(out))
		})
	}
}

// bookPoints is a point for each line of two books: how many bytes it has, and how many words.
func bookPoints(t *testing.T) []byte {
	t.Helper()
	var out bytes.Buffer
	for _, f := range large(t)[0].files {
		if !strings.HasPrefix(f.name, "tom-sawyer") && !strings.HasPrefix(f.name, "opticks") {
			continue
		}
		for line := range strings.Lines(string(f.data)) {
			fmt.Fprintf(&out, "%d,%d\n", len(line), len(strings.Fields(line)))
		}
	}
	if out.Len() == 0 {
		t.Fatal("no book")
	}
	return out.Bytes()
}
