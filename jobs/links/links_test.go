package links_test

import (
	"errors"
	"fmt"
	"go/build"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/jobs/jobstest"
	"github.com/millrace/millrace/jobs/links"
)

// imports is a real graph: which packages the files of some packages of Go import, a line for each file and import.
func imports(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(build.Default.GOROOT, "src", "[a-n]*", "*.go"))
	if err != nil || len(files) < 200 {
		t.Fatalf("%d files of Go's source: %v", len(files), err)
	}
	var lines []string
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, spec := range file.Imports {
			path, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			lines = append(lines, filepath.Base(filepath.Dir(name))+"\t"+path)
		}
	}
	return lines
}

// A real graph turned around is what maps of maps give, in both layouts.
func TestImports(t *testing.T) {
	t.Parallel()
	lines := imports(t)
	count := map[string]map[string]int64{}
	for _, line := range lines {
		source, target, _ := strings.Cut(line, "\t")
		if count[target] == nil {
			count[target] = map[string]int64{}
		}
		count[target][source]++
	}
	var lists, rows []jobstest.Row
	for _, target := range slices.Sorted(maps.Keys(count)) {
		var sources []any
		var all int64
		for _, source := range slices.Sorted(maps.Keys(count[target])) {
			sources = append(sources, source)
			all += count[target][source]
			rows = append(rows, jobstest.Row{target, source, count[target][source]})
		}
		lists = append(lists, jobstest.Row{target, all, int64(len(sources)), sources})
	}
	half := len(lines) / 2
	a, b := strings.Join(lines[:half], "\n"), strings.Join(lines[half:], "\r\n")
	jobstest.Equal(t, jobstest.Run(t, links.Job(), nil, a, "", b), lists...)
	jobstest.Equal(t, jobstest.Run(t, links.Job(), map[string]string{"layout": "rows"}, a, b), rows...)
}

// The fields and what stands between them may be chosen; comments are left out only if it is said what they are.
func TestFields(t *testing.T) {
	t.Parallel()
	text := "# from, to\n9,b,a\n8,b,c\n"
	params := map[string]string{"source": "3", "target": "2", "separator": ",", "comment": "#"}
	jobstest.Equal(t, jobstest.Run(t, links.Job(), params, text), jobstest.Row{"b", int64(2), int64(2), []any{"a", "c"}})
	delete(params, "comment")
	if _, err := jobstest.RunObjects(links.Job(), params, jobstest.Objects(text), 1); err == nil || !strings.Contains(err.Error(), `the line "# from, to" has no field 3`) {
		t.Errorf("got %v", err)
	}
}

// A target that all link to fails with the way out when its list is too large, and the other layout takes it.
func TestMaxList(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&text, "page %d\thome\npage 1\thome\n", i)
	}
	params := map[string]string{"max-list": "50kB"}
	_, err := jobstest.RunObjects(links.Job(), params, jobstest.Objects(text.String()), 1)
	if err == nil || !strings.Contains(err.Error(), `key "home": the list of those that link to it is larger than 50000B after`) || !strings.Contains(err.Error(), "-p layout=rows") {
		t.Errorf("got %v", err)
	}
	params["layout"] = "rows"
	if rows := jobstest.Run(t, links.Job(), params, text.String()); len(rows) != 1000 {
		t.Errorf("got %d rows", len(rows))
	}
}

// Lines and parameters that cannot be are refused, with what to do.
func TestErrors(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"a":       `the line "a" has no field 2: state another with -p target`,
		"\tb":     `links "" to "b": neither may be empty`,
		"a\t":     `links "a" to "": neither may be empty`,
		"a\t\xff": "both must be valid UTF-8",
	} {
		_, err := jobstest.RunObjects(links.Job(), nil, jobstest.Objects("x\ty\n"+line+"\n"), 1)
		bad, ok := errors.AsType[*jobs.RecordError](err)
		if !ok || bad.Offset != 4 || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v", line, err)
		}
	}
	for want, params := range map[string]map[string]string{
		"source=0, target=2": {"source": "0"}, "source=2, target=2": {"source": "2"}, "parameter separator: it is empty": {"separator": ""},
		"parameter max-list: 0B": {"max-list": "0"}, "layout": {"layout": "columns"},
	} {
		if _, err := links.Job().Bind(params); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: got %v", params, err)
		}
	}
}

func ExampleJob() {
	pages := jobstest.Objects("/home\t/news\n/home\t/about\n", "/news\t/about\n/news\t/about\n")
	result, err := jobstest.RunObjects(links.Job(), nil, pages, 1)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, row := range result.Rows() {
		fmt.Println(row)
	}
	// Output:
	// {"/about" 3 2 ["/home" "/news"]}
	// {"/news" 1 1 ["/home"]}
}
