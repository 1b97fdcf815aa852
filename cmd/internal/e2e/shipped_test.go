//go:build unix

package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/build"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/jobs/access"
	"github.com/millrace/millrace/jobs/countdistinct"
	"github.com/millrace/millrace/jobs/histogram"
	"github.com/millrace/millrace/jobs/invertedindex"
	"github.com/millrace/millrace/jobs/join"
	"github.com/millrace/millrace/jobs/links"
	"github.com/millrace/millrace/jobs/quantiles"
	"github.com/millrace/millrace/jobs/secondarysort"
	"github.com/millrace/millrace/jobs/sessions"
	"github.com/millrace/millrace/jobs/termvector"
	"github.com/millrace/millrace/jobs/topk"
	"github.com/millrace/millrace/storage/storagetest/python"
)

// TestShippedJobs proves that jobs that ship give the right rows over real files: the engine's are those of the oracle, have
// the same bytes for every size of split and memory, and are those that a program in Python (testdata/shipped.py) computes in
// its own way from the same files, reading the parts with pyarrow. With -short the files are a tenth as long, and Python is not asked.
func TestShippedJobs(t *testing.T) {
	rowsOnly(t)
	interpreter := python.Interpreter(t, filepath.Join("..", "..", "..", "storage", "arrowfile", "testdata", "requirements.txt"))
	for _, w := range shipped(t) {
		if testing.Short() {
			w.files = beginnings(w.files)
		}
		t.Run(w.name, func(t *testing.T) {
			b := newBench(t, w, inFiles(t))
			settings := []setting{
				{workers: 1, slots: 2, split: 256 << 10, memory: tinyMemory, shuffle: "local", compression: "none"},
				{workers: 2, slots: 1, split: 50_021, memory: largeMemory, shuffle: "bucket", compression: "none"},
			}
			b.checkAll(t, slices.Values(settings))
			if testing.Short() {
				return
			}
			folder := t.TempDir() + "/out"
			if _, err := millrace.Run(t.Context(), w.job, b.options(settings[0], folder)); err != nil {
				t.Fatal(err)
			}
			params, err := json.Marshal(w.params)
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.CommandContext(t.Context(), interpreter, filepath.Join("testdata", "shipped.py"), w.job.Name(), string(params), folder, strings.TrimPrefix(b.input, "file://"))
			cmd.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1", "PYTHONUTF8=1")
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%s %v: %v\n%s", w.name, w.params, err, out)
			}
			t.Logf("%s", bytes.TrimSpace(out))
		})
	}
}

// beginnings is the first tenth of each file's lines, by bytes.
func beginnings(files []file) (out []file) {
	for _, f := range files {
		end := len(f.data) / 10
		out = append(out, file{f.name, f.data[:end+bytes.IndexByte(f.data[end:], '\n')+1]})
	}
	return out
}

// shipped is jobs over real books, generated logs and the graph of imports of Go's own packages.
func shipped(t *testing.T) []workload {
	t.Helper()
	var books []file
	for _, f := range large(t)[0].files {
		if strings.HasPrefix(f.name, "king-james-g") || strings.HasPrefix(f.name, "opticks") {
			books = append(books, f)
		}
	}
	log := made(t, "access-log", 3<<20)
	half := bytes.IndexByte(log[len(log)/2:], '\n') + len(log)/2 + 1
	logs := []file{{"a.log", log[:half]}, {"b.log", log[half:]}, {"none.log", nil}}
	values := []file{{"a", made(t, "measurements", 1<<20)}, {"b", measured(5_000)[0].data}}
	graph := []file{{"imports.tsv", importGraph(t)}}
	var psalms []file
	for _, f := range large(t)[0].files {
		if strings.HasPrefix(f.name, "king-james-ps") {
			psalms = append(psalms, file{"left/" + f.name, f.data})
		}
	}
	lengths := chapterLengths(psalms)
	sides := append(psalms, file{"right/lengths", lengths}, file{"right/more", append([]byte("Psa999,0\nnone,1\n"), lengths[:len(lengths)/2]...)})
	joined := func(kind string) workload {
		return workload{name: "join-" + kind, job: join.Job(), reducers: 3, files: sides, inputs: []string{"left", "right"},
			params: map[string]string{"type": kind, "left-separator": ":", "right-separator": ","}}
	}
	return []workload{
		joined("inner"), joined("left"), joined("right"), joined("full"),
		{name: "secondarysort", job: secondarysort.Job(), params: map[string]string{"separator": ";", "as": "float", "order": "down"}, reducers: 3, files: values},
		{name: "access", job: access.Job(), reducers: 3, files: logs},
		{name: "access-hour", job: access.Job(), params: map[string]string{"by": "hour"}, reducers: 1, files: logs},
		{name: "access-agent", job: access.Job(), params: map[string]string{"by": "agent"}, reducers: 2, files: logs},
		{name: "countdistinct", job: countdistinct.Job(), params: map[string]string{"field": "1", "separator": " "}, reducers: 1, files: logs},
		{name: "countdistinct-key", job: countdistinct.Job(), params: map[string]string{"field": "1", "key": "9", "separator": " "}, reducers: 3, files: logs},
		{name: "quantiles", job: quantiles.Job(), params: map[string]string{"quantiles": "0,0.1,0.5,0.99,1"}, reducers: 3, files: values},
		{name: "sessions", job: sessions.Job(), params: map[string]string{"idle": "3s"}, reducers: 3, files: logs},
		{name: "sessions-visitor", job: sessions.Job(), params: map[string]string{"by": "visitor"}, reducers: 1, files: logs},
		{name: "termvector", job: termvector.Job(), params: map[string]string{"terms": "50", "lower": "true", "host": "file"}, reducers: 2, files: books},
		{name: "topk", job: topk.Job(), params: map[string]string{"k": "100", "field": "7", "separator": " "}, reducers: 3, files: logs},
		{name: "topk-words", job: topk.Job(), params: map[string]string{"k": "1000", "words": "true", "lower": "true"}, reducers: 1, files: books},
		{name: "histogram", job: histogram.Job(), params: map[string]string{"width": "2.5", "decimals": "1"}, reducers: 3, files: values},
		{name: "histogram-bounds", job: histogram.Job(), params: map[string]string{"bounds": "-10,0,0.1,25"}, reducers: 2, files: values},
		{name: "invertedindex", job: invertedindex.Job(), params: map[string]string{"positions": "true"}, reducers: 3, files: books},
		{name: "invertedindex-rows", job: invertedindex.Job(), params: map[string]string{"layout": "rows", "lower": "true", "min-length": "4"}, reducers: 2, files: books},
		{name: "links", job: links.Job(), reducers: 3, files: graph},
		{name: "links-rows", job: links.Job(), params: map[string]string{"layout": "rows"}, reducers: 2, files: graph},
	}
}

// chapterLengths is a line "chapter,verses" for each of the first hundred chapters of lines "chapter:verse: text", with a chapter
// that comes twice.
func chapterLengths(texts []file) []byte {
	counts := map[string]int{}
	for _, f := range texts {
		for line := range strings.Lines(string(f.data)) {
			chapter, _, _ := strings.Cut(line, ":")
			counts[chapter]++
		}
	}
	var out bytes.Buffer
	names := slices.Sorted(maps.Keys(counts))
	for _, name := range append(names[:min(100, len(names))], names[0]) {
		fmt.Fprintf(&out, "%s,%d\n", name, counts[name])
	}
	return out.Bytes()
}

// importGraph is a line "package<TAB>imported package" for each import of each file of Go's own packages, tests left out.
func importGraph(t *testing.T) []byte {
	t.Helper()
	root := filepath.Join(build.Default.GOROOT, "src")
	var lines bytes.Buffer
	for _, pattern := range []string{"*/*.go", "*/*/*.go", "*/*/*/*.go"} {
		names, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if strings.HasSuffix(name, "_test.go") || strings.Contains(name, "testdata") {
				continue
			}
			parsed, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
			if err != nil {
				t.Fatal(err)
			}
			dir, _ := filepath.Rel(root, filepath.Dir(name))
			for _, spec := range parsed.Imports {
				path, _ := strconv.Unquote(spec.Path.Value)
				fmt.Fprintf(&lines, "%s\t%s\n", filepath.ToSlash(dir), path)
			}
		}
	}
	if n := bytes.Count(lines.Bytes(), []byte("\n")); n < 5_000 {
		t.Fatalf("only %d imports: these are not Go's packages", n)
	}
	return lines.Bytes()
}
