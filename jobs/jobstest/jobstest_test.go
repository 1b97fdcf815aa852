package jobstest_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/jobs/jobstest"
)

type count struct {
	Word string
	N    int64
}

// wordcount counts words. Its combiner is wrong on purpose: whoever calls it gets wrong counts.
func wordcount(opts ...jobs.Option) *jobs.Job {
	wrong := jobs.Combine(func(a, b int64) int64 { return -1000 })
	return jobs.Define("wordcount", func(t *jobs.Task, _ struct{}) (jobs.Code, error) {
		lines := t.Counter("lines")
		return jobs.MapReduce(func(line string, emit func(string, int64)) error {
			lines.Add(1)
			for w := range strings.FieldsSeq(line) {
				emit(w, 1)
			}
			return nil
		}, func(w string, ns jobs.Values[int64], emit func(count)) error {
			emit(count{w, jobs.Total(ns)})
			return nil
		}, append(opts, wrong)...), nil
	})
}

// Run gives the rows in the order of their keys, over several inputs, an empty one too, and uses no combiner.
func TestRun(t *testing.T) {
	t.Parallel()
	rows := jobstest.Run(t, wordcount(), nil, "b a\n", "", "a c\na")
	jobstest.Equal(t, rows, jobstest.Row{"a", int64(3)}, jobstest.Row{"b", int64(1)}, jobstest.Row{"c", int64(1)})
}

// The oracle deals pairs out by the given function or by the job's own, and adds up what the tasks count.
func TestOraclePartitions(t *testing.T) {
	t.Parallel()
	objects := jobstest.Objects("a bb\n", "ccc bb")
	for name, job := range map[string]*jobs.Job{
		"given": wordcount(),
		"own":   wordcount(jobs.Partition(func(w string, n int) int { return len(w) - 1 })),
	} {
		prog, err := job.Bind(nil)
		if err != nil {
			t.Fatal(err)
		}
		result, err := jobstest.Oracle(prog, objects, 3, func(key []byte, n int) int { return len(key) - 1 })
		if err != nil {
			t.Fatal(err)
		}
		jobstest.Equal(t, result.Partitions[0], jobstest.Row{"a", int64(1)})
		jobstest.Equal(t, result.Partitions[1], jobstest.Row{"bb", int64(2)})
		jobstest.Equal(t, result.Partitions[2], jobstest.Row{"ccc", int64(1)})
		if result.Counters["lines"] != 2 || result.Records != 2 || result.Pairs != 4 {
			t.Errorf("%s: %+v", name, result)
		}
	}
}

// Values of one key arrive in the order of the objects and of emission.
func TestOracleIsStable(t *testing.T) {
	t.Parallel()
	job := jobs.New("order",
		func(line string, emit func(bool, string)) error { emit(true, line); return nil },
		func(_ bool, lines jobs.Values[string], emit func(string)) error {
			for l := range lines.All() {
				emit(l)
			}
			return nil
		})
	rows := jobstest.Run(t, job, nil, "z\na\n", "m\nb\n")
	jobstest.Equal(t, rows, jobstest.Row{"z"}, jobstest.Row{"a"}, jobstest.Row{"m"}, jobstest.Row{"b"})
}

// Errors are the program's own; a partition out of range and a lack of reducers are named.
func TestOracleErrors(t *testing.T) {
	t.Parallel()
	prog, err := wordcount().Bind(nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := jobstest.Oracle(prog, jobstest.Objects("a"), 0, nil); err == nil || !strings.Contains(err.Error(), "0 reducers") {
		t.Errorf("got %v", err)
	}
	outside := func([]byte, int) int { return 7 }
	if _, err := jobstest.Oracle(prog, jobstest.Objects("a"), 2, outside); err == nil || !strings.Contains(err.Error(), `key "a" goes to partition 7 of 2`) {
		t.Errorf("got %v", err)
	}
	bad := errors.New("bad line")
	job := jobs.New("bad", func(string, func(string, int)) error { return bad }, func(string, jobs.Values[int], func(string)) error { return nil })
	if _, err := jobstest.RunObjects(job, nil, jobstest.Objects("a"), 1); !errors.Is(err, bad) || !strings.Contains(err.Error(), "mem://input/0 at byte 0") {
		t.Errorf("got %v", err)
	}
	if _, err := jobstest.RunObjects(job, map[string]string{"x": "1"}, nil, 1); err == nil {
		t.Error("an unknown parameter passes")
	}
}

// recorder notes what a test helper reports.
type recorder struct {
	testing.TB
	notes []string
}

func (r *recorder) Helper() {}
func (r *recorder) Errorf(format string, a ...any) {
	r.notes = append(r.notes, fmt.Sprintf(format, a...))
}

// Equal names the first difference: a value, a type, a row too many or missing.
func TestEqual(t *testing.T) {
	t.Parallel()
	a, b := jobstest.Row{"a", int64(1)}, jobstest.Row{"b", int64(1)}
	for _, tt := range []struct {
		got, want []jobstest.Row
		note      string
	}{
		{[]jobstest.Row{a, b}, []jobstest.Row{a, b}, ""},
		{[]jobstest.Row{a, b}, []jobstest.Row{b, a}, `row 0: got {"a" 1}, want {"b" 1}`},
		{[]jobstest.Row{a}, []jobstest.Row{{"a", 1}}, `row 0: got {"a" 1}, want {"a" 1} (column 1 is int64, not int)`},
		{[]jobstest.Row{a, b}, []jobstest.Row{a}, `got 2 rows, want 1: the first one too many is {"b" 1}`},
		{nil, []jobstest.Row{a}, `got 0 rows, want 1: the first one missing is {"a" 1}`},
	} {
		r := &recorder{}
		jobstest.Equal(r, tt.got, tt.want...)
		if got := strings.Join(r.notes, "; "); got != tt.note {
			t.Errorf("got %q, want %q", got, tt.note)
		}
	}
}

// Rows print their values so that types can be told apart.
func TestRowString(t *testing.T) {
	t.Parallel()
	row := jobstest.Row{"s", []byte{1, 255}, nil, 1.5, time.Unix(1, 0).UTC(), []any{"x", nil}, jobstest.Row{true}, []any{jobstest.Row{1}, jobstest.Row{[]any{}}}}
	if got, want := row.String(), `{"s" 0x01ff null 1.5 1970-01-01T00:00:01Z ["x" null] {true} [{1} {[]}]}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// Decode refuses columns that are not what the schema says.
func TestDecodeErrors(t *testing.T) {
	t.Parallel()
	schema := jobs.Schema{Fields: []jobs.Field{{Name: "n", Type: jobs.TypeInt8}}}
	text := jobs.Schema{Fields: []jobs.Field{{Name: "s", Type: jobs.TypeString}}}
	list := jobs.Schema{Fields: []jobs.Field{{Name: "l", Type: jobs.TypeList}}}
	for name, tt := range map[string]struct {
		schema jobs.Schema
		batch  jobs.Columns
	}{
		"a batch of 0 columns":           {schema, jobs.Columns{Rows: 1}},
		"column n: 1 nulls are stated":   {schema, jobs.Columns{Rows: 1, Columns: []jobs.Column{{Data: []byte{1}, Nulls: 1}}}},
		"column n: 1 nulls in a column":  {schema, jobs.Columns{Rows: 1, Columns: []jobs.Column{{Data: []byte{1}, Nulls: 1, Valid: []byte{0}}}}},
		"column s: 1 offsets for 1 rows": {text, jobs.Columns{Rows: 1, Columns: []jobs.Column{{Offsets: []int32{0}}}}},
		"column l: a list of 0 children": {list, jobs.Columns{Rows: 1, Columns: []jobs.Column{{Offsets: []int32{0, 0}}}}},
		`column n: unknown type "int9"`:  {jobs.Schema{Fields: []jobs.Field{{Name: "n", Type: "int9"}}}, jobs.Columns{Rows: 1, Columns: []jobs.Column{{Data: []byte{1}}}}},
	} {
		if _, err := jobstest.Decode(tt.schema, tt.batch); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func ExampleRun() {
	// In a test:
	//	rows := jobstest.Run(t, job, nil, "b a", "a")
	//	jobstest.Equal(t, rows, jobstest.Row{"a", int64(2)}, jobstest.Row{"b", int64(1)})
	result, err := jobstest.RunObjects(wordcount(), nil, jobstest.Objects("b a", "a"), 1)
	fmt.Println(result.Rows(), err)
	// Output: [{"a" 2} {"b" 1}] <nil>
}
