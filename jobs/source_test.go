package jobs_test

import (
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/jobs/jobstest"
)

// tagged joins what the values of a key are, in order.
func tagged(key string, vs jobs.Values[string], emit func(string)) error {
	row := key
	for v := range vs.All() {
		row += " " + v
	}
	emit(row)
	return nil
}

// threeKinds reads lines, records of three bytes and whole files.
func threeKinds(opts ...jobs.Option) *jobs.Job {
	return jobs.NewFrom("kinds", jobs.Inputs(
		jobs.From("lines", func(l jobs.Line, emit func(string, string)) error {
			emit(l.Text[:1], fmt.Sprint("line:", l.Text, "@", l.Offset))
			return nil
		}),
		jobs.From("fixed", func(r []byte, emit func(string, string)) error {
			emit(string(r[:1]), "fixed:"+string(r))
			return nil
		}, jobs.FixedLength(3), jobs.Raw()),
		jobs.From("files", func(f jobs.File, emit func(string, string)) error {
			emit(string(f.Data[:1]), "file:"+f.URL)
			return nil
		}),
	), tagged, opts...)
}

// Each input has its own map function and format; the values of a key come by input, in the order of the inputs' list, whatever
// the order of the objects, or as OrderBy says.
func TestSources(t *testing.T) {
	t.Parallel()
	in := map[string]string{"files": "b-file", "lines": "a1\nb1\na2\n", "fixed": "b22a33"}
	jobstest.Equal(t, jobstest.RunInputs(t, threeKinds(), nil, in),
		jobstest.Row{"a line:a1@0 line:a2@6 fixed:a33"}, jobstest.Row{"b line:b1@3 fixed:b22 file:mem://files/0"})
	ordered := threeKinds(jobs.OrderBy(func(v string) string { return v }))
	jobstest.Equal(t, jobstest.RunInputs(t, ordered, nil, in),
		jobstest.Row{"a fixed:a33 line:a1@0 line:a2@6"}, jobstest.Row{"b file:mem://files/0 fixed:b22 line:b1@3"})
	combined := threeKinds(jobs.Combine(func(a, b string) string { return a + "|" + b }))
	if !bind(t, combined).Info().Combines {
		t.Error("a job with several inputs does not combine")
	}
	want := []jobs.Input{
		{Name: "lines", Format: jobs.Format{Offsets: true}}, {Name: "fixed", Format: jobs.Format{Kind: jobs.FormatFixed, Length: 3, Raw: true}}, {Name: "files", Format: jobs.Format{Kind: jobs.FormatFile}},
	}
	if got := bind(t, threeKinds()).Info().Inputs; !reflect.DeepEqual(got, want) {
		t.Errorf("Info.Inputs = %+v, want %+v", got, want)
	}
}

// A task that reads blocks of several inputs, as a sample does, gives each to its own function; a block of no input, or one that
// is no whole number of its input's records, is an error.
func TestSourcesOfOneTask(t *testing.T) {
	t.Parallel()
	run := func(in ...jobs.Block) ([]string, error) {
		e := &edge{blocks: in, err: io.EOF}
		err := bind(t, threeKinds()).Map(t.Context(), &jobs.Task{Reducers: 1}, edgeBlocks{e}, e)
		_, values := cut(t, e.out, false)
		return values, err
	}
	got, err := run(jobs.Block{URL: "u", Input: 1, Data: []byte("abcdef")}, jobs.Block{URL: "v", Input: 2, Data: []byte("x")}, jobs.Block{URL: "w", Data: []byte("ab\n")})
	if want := []string{"fixed:abc", "fixed:def", "file:v", "line:ab@0"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	if _, err := run(jobs.Block{URL: "u", Input: 3, Data: []byte("a")}); err == nil || !strings.Contains(err.Error(), "map u: a block of input 3 of a job that has 3") {
		t.Errorf("got %v", err)
	}
	if _, err := run(jobs.Block{URL: "u", Input: 1, Data: []byte("abcd")}); err == nil || !strings.Contains(err.Error(), "no whole number of 3-byte records") {
		t.Errorf("got %v", err)
	}
}

// Inputs that cannot be are refused when the job is bound, by their names and with the remedy.
func TestSourceErrors(t *testing.T) {
	t.Parallel()
	text := func(string, func(string, string)) error { return nil }
	number := func(int, func(string, string)) error { return nil }
	good := jobs.From("a", text)
	list := func(in ...jobs.Source[string, string]) []jobs.Source[string, string] { return in }
	for want, job := range map[string]*jobs.Job{
		"the job has no input: list them with jobs.Inputs":                               jobs.NewFrom("job", list(), tagged),
		`there are two inputs named "a"`:                                                 jobs.NewFrom("job", list(good, jobs.From("b", text), good), tagged),
		"a Source is empty: make inputs with jobs.From":                                  jobs.NewFrom("job", list(good, jobs.Source[string, string]{}), tagged),
		"an input needs a name":                                                          jobs.NewFrom("job", list(jobs.From("", text)), tagged),
		`the input name "a/b" must be made of letters, digits`:                           jobs.NewFrom("job", list(jobs.From("a/b", text)), tagged),
		`the input name "-a" must be made of`:                                            jobs.NewFrom("job", list(jobs.From("-a", text)), tagged),
		"input n: record type int: records are string":                                   jobs.NewFrom("job", list(good, jobs.From("n", number)), tagged),
		"input n: option FixedLength: the record type is string":                         jobs.NewFrom("job", list(jobs.From("n", text, jobs.FixedLength(3))), tagged),
		"input n: the map or the reduce function is nil":                                 jobs.NewFrom("job", list(jobs.From[string, string, string]("n", nil)), tagged),
		"job job: the map or the reduce function is nil":                                 jobs.NewFrom[string, string, string]("job", list(good), nil),
		"input n: option TotalOrder is given to From: give it to MapReduceFrom":          jobs.NewFrom("job", list(jobs.From("n", text, jobs.TotalOrder())), tagged),
		"option FixedLength is given to MapReduceFrom: give it to From, for the input t": jobs.NewFrom("job", list(good), tagged, jobs.FixedLength(3)),
	} {
		if _, err := job.Bind(nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// The oracle refuses objects of inputs that the job does not have.
func TestOracleOfOtherInputs(t *testing.T) {
	t.Parallel()
	_, err := jobstest.Oracle(bind(t, threeKinds()), []jobstest.Object{{URL: "mem://x/0", Input: 3}}, 1, nil)
	if err == nil || !strings.Contains(err.Error(), "mem://x/0 belongs to input 3 of a job that has 3") {
		t.Errorf("got %v", err)
	}
}
