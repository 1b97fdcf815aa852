package jobs_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/jobs/jobstest"
)

// field is a row of the jobs below.
type field struct {
	Name  string
	Value int64
}

// badLine is a row of a side output.
type badLine struct {
	File   string
	Offset int64
}

// parse is a map function alone, with a side output: lines "name value" become fields, other lines go to bad-lines.
func parse(t *jobs.Task) func(jobs.Line, func(field)) error {
	bad := jobs.Side[badLine](t, "bad-lines")
	return func(l jobs.Line, emit func(field)) error {
		var f field
		if _, err := fmt.Sscanf(l.Text, "%s %d", &f.Name, &f.Value); err != nil {
			bad.Emit(badLine{l.URL, l.Offset})
			return nil
		}
		emit(f)
		return nil
	}
}

// A job of maps only gives its rows in the order of the input; what it puts aside lies in the side output.
func TestMapOnly(t *testing.T) {
	t.Parallel()
	job := jobs.Define("parse", func(t *jobs.Task, _ struct{}) (jobs.Code, error) { return jobs.MapOnly(parse(t)), nil })
	result, err := jobstest.RunObjects(job, nil, jobstest.Objects("b 2\nwhat\na 1\n", "hm\nc 3"), 1)
	if err != nil {
		t.Fatal(err)
	}
	jobstest.Equal(t, result.Rows(), jobstest.Row{"b", int64(2)}, jobstest.Row{"a", int64(1)}, jobstest.Row{"c", int64(3)})
	jobstest.Equal(t, result.Outputs["bad-lines"], jobstest.Row{"mem://input/0", int64(4)}, jobstest.Row{"mem://input/1", int64(0)})
	if result.Records != 5 || result.Pairs != 0 {
		t.Errorf("got %d records and %d pairs", result.Records, result.Pairs)
	}
	prog, err := job.Bind(nil)
	if err != nil {
		t.Fatal(err)
	}
	info := prog.Info()
	if !info.MapOnly || len(info.Outputs) != 1 || info.Outputs[0].Name != "bad-lines" || len(info.Outputs[0].Schema.Fields) != 2 || len(info.Schema.Fields) != 2 {
		t.Errorf("info %+v", info)
	}
	if err := prog.Reduce(context.Background(), &jobs.Task{Sinks: jobs.Sinks{Sides: make([]jobs.RowSink, 1)}}, nil, nil); err == nil {
		t.Error("it has a reduce function")
	}
}

// Every type of record works without a reduce function, and so does a job made of a function alone.
func TestMapOnlyRecords(t *testing.T) {
	t.Parallel()
	for name, job := range map[string]*jobs.Job{
		"string": jobs.NewMapOnly("x", func(l string, emit func(string)) error { emit(l); return nil }),
		"bytes":  jobs.NewMapOnly("x", func(l []byte, emit func(string)) error { emit(string(l)); return nil }),
		"fixed":  jobs.NewMapOnly("x", func(l []byte, emit func(string)) error { emit(string(l[:1])); return nil }, jobs.FixedLength(2)),
		"lines": jobs.NewMapOnly("x", func(l jobs.Lines, emit func(string)) error {
			for line := range l.All() {
				emit(line.Text)
			}
			return nil
		}),
		"file": jobs.NewMapOnly("x", func(f jobs.File, emit func(string)) error {
			for line := range strings.Lines(string(f.Data)) {
				emit(strings.TrimSpace(line))
			}
			return nil
		}, jobs.Doc("It splits files.")),
	} {
		rows := jobstest.Run(t, job, nil, "b\na\n")
		if t.Run(name, func(t *testing.T) { jobstest.Equal(t, rows, jobstest.Row{"b"}, jobstest.Row{"a"}) }); name == "file" && job.Doc() == "" {
			t.Error("Doc is lost")
		}
	}
}

// A map function's error and panic name the record, whether it emits rows, side rows or pairs.
func TestMapOnlyErrors(t *testing.T) {
	t.Parallel()
	no := errors.New("no")
	bad := jobs.NewMapOnly("x", func(l string, emit func(string)) error {
		switch l {
		case "fail":
			return no
		case "panic":
			panic("oh")
		}
		emit(l)
		return nil
	})
	for in, want := range map[string]string{"a\nfail\n": "map mem://input/0 at byte 2: no", "panic": "at byte 0: panic: oh", "\xff": "at byte 0: column value: "} {
		if _, err := jobstest.RunObjects(bad, nil, jobstest.Objects(in), 1); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", in, err, want)
		}
	}
	for want, job := range map[string]*jobs.Job{
		"option Combine is given to a job of maps only": jobs.NewMapOnly("x", func(string, func(string)) error { return nil }, jobs.Combine(jobs.Sum[int])),
		"the map function is nil":                       jobs.NewMapOnly[string, string]("x", nil),
		"row type func()":                               jobs.NewMapOnly("x", func(string, func(func())) error { return nil }),
		"record type int":                               jobs.NewMapOnly("x", func(int, func(string)) error { return nil }),
		"option Reducers":                               jobs.NewMapOnly("x", func(string, func(string)) error { return nil }, jobs.Reducers(2)),
	} {
		if _, err := job.Bind(nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	prog, err := bad.Bind(nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := prog.Map(context.Background(), &jobs.Task{}, nil, nil); err == nil || !strings.Contains(err.Error(), "no sink") {
		t.Errorf("without a sink: got %v", err)
	}
}

// withSides counts words; its map function notes the lines' lengths in one side output, its reduce function rare words in
// another, and both of them a row each in a third.
func withSides() *jobs.Job {
	return jobs.Define("sides", func(t *jobs.Task, _ struct{}) (jobs.Code, error) {
		lengths, rare, both := jobs.Side[int64](t, "lengths"), jobs.Side[string](t, "rare"), jobs.Side[field](t, "both")
		return jobs.MapReduce(func(l string, emit func(string, int64)) error {
			lengths.Emit(int64(len(l)))
			both.Emit(field{"map " + l, 0})
			for w := range strings.FieldsSeq(l) {
				emit(w, 1)
			}
			return nil
		}, func(w string, ns jobs.Values[int64], emit func(field)) error {
			n := jobs.Total(ns)
			if n == 1 {
				rare.Emit(w)
				both.Emit(field{"reduce " + w, n})
			}
			emit(field{w, n})
			return nil
		}, jobs.Combine(jobs.Sum[int64])), nil
	})
}

// Map and reduce functions write side outputs beside pairs and rows; what both write has the maps' rows first.
func TestSides(t *testing.T) {
	t.Parallel()
	result, err := jobstest.RunObjects(withSides(), nil, jobstest.Objects("b a b\n", "c"), 1)
	if err != nil {
		t.Fatal(err)
	}
	jobstest.Equal(t, result.Rows(), jobstest.Row{"a", int64(1)}, jobstest.Row{"b", int64(2)}, jobstest.Row{"c", int64(1)})
	jobstest.Equal(t, result.Outputs["lengths"], jobstest.Row{int64(5)}, jobstest.Row{int64(1)})
	jobstest.Equal(t, result.Outputs["rare"], jobstest.Row{"a"}, jobstest.Row{"c"})
	jobstest.Equal(t, result.Outputs["both"], jobstest.Row{"map b a b", int64(0)}, jobstest.Row{"map c", int64(0)},
		jobstest.Row{"reduce a", int64(1)}, jobstest.Row{"reduce c", int64(1)})
	prog, err := withSides().Bind(nil)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, o := range prog.Info().Outputs {
		names = append(names, o.Name)
	}
	if got := strings.Join(names, " "); got != "both lengths rare" {
		t.Errorf("outputs %s: want them by name", got)
	}
	if err := prog.Map(context.Background(), &jobs.Task{}, nil, discard{}); err == nil || !strings.Contains(err.Error(), "3 side outputs") {
		t.Errorf("without sinks: got %v", err)
	}
}

type discard struct{}

func (discard) Put(p jobs.Pairs) (jobs.Pairs, error) { return p, nil }

// A side output that cannot be is reported by Bind, and a row at the wrong time by the attempt.
func TestSideErrors(t *testing.T) {
	t.Parallel()
	defined := func(declare func(t *jobs.Task)) *jobs.Job {
		return jobs.Define("x", func(t *jobs.Task, _ struct{}) (jobs.Code, error) {
			declare(t)
			return jobs.MapOnly(func(l string, emit func(string)) error { return nil }), nil
		})
	}
	for name, want := range map[string]string{
		"": "a folder's name", "a/b": "a folder's name", ".x": "a folder's name", "_x": "the engine's", "rejected": "set aside", "part-1": "begin so",
		strings.Repeat("x", 101): "101 bytes",
	} {
		_, err := defined(func(t *jobs.Task) { jobs.Side[string](t, name) }).Bind(nil)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), fmt.Sprintf("job x: side output %q", name)) {
			t.Errorf("%q: got %v, want %q", name, err, want)
		}
	}
	twice := func(t *jobs.Task) { jobs.Side[string](t, "a"); jobs.Side[int64](t, "a") }
	if _, err := defined(twice).Bind(nil); err == nil || !strings.Contains(err.Error(), "twice") {
		t.Errorf("twice: got %v", err)
	}
	if _, err := defined(func(t *jobs.Task) { jobs.Side[chan int](t, "a") }).Bind(nil); err == nil || !strings.Contains(err.Error(), "row type chan int") {
		t.Errorf("a type that is no row: got %v", err)
	}
	early := func(t *jobs.Task) { jobs.Side[string](t, "a").Emit("x") }
	if _, err := defined(early).Bind(nil); err == nil || !strings.Contains(err.Error(), "no map or reduce function") {
		t.Errorf("a row from the build function: got %v", err)
	}
	for name, text := range map[string]string{"map": "map mem://input/0 at byte 0: column value", "reduce": `reduce key "k": column value`} {
		job := jobs.Define("x", func(t *jobs.Task, _ struct{}) (jobs.Code, error) {
			s := jobs.Side[string](t, "a")
			return jobs.MapReduce(func(l string, emit func(string, string)) error {
				if name == "map" {
					s.Emit(l)
				}
				emit("k", l)
				return nil
			}, func(_ string, ls jobs.Values[string], _ func(string)) error {
				for l := range ls.All() {
					s.Emit(l)
				}
				return nil
			}), nil
		})
		if _, err := jobstest.RunObjects(job, nil, jobstest.Objects("\xff\n"), 1); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: got %v, want %q", name, err, text)
		}
	}
}

func ExampleNewMapOnly() {
	type request struct {
		Method, Path string
	}
	job := jobs.NewMapOnly("requests", func(line string, emit func(request)) error {
		if method, path, found := strings.Cut(line, " "); found {
			emit(request{method, path})
		}
		return nil
	})
	result, err := jobstest.RunObjects(job, nil, jobstest.Objects("GET /a\n\nPUT /b\n"), 1)
	fmt.Println(result.Rows(), err)
	// Output: [{"GET" "/a"} {"PUT" "/b"}] <nil>
}

func ExampleSide() {
	job := jobs.Define("numbers", func(t *jobs.Task, _ struct{}) (jobs.Code, error) {
		bad := jobs.Side[string](t, "no-numbers")
		return jobs.MapOnly(func(line string, emit func(int64)) error {
			n, err := jobs.ParseFixed(line, 0)
			if err != nil {
				bad.Emit(line)
				return nil
			}
			emit(n)
			return nil
		}), nil
	})
	result, err := jobstest.RunObjects(job, nil, jobstest.Objects("7\nseven\n8\n"), 1)
	fmt.Println(result.Rows(), result.Outputs["no-numbers"], err)
	// Output: [{7} {8}] [{"seven"}] <nil>
}
