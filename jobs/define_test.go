package jobs_test

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/jobs/jobstest"
)

type allParams struct {
	Pattern  string        `param:"pattern" help:"what to look for"`
	On       bool          `param:"on" default:"false"`
	Small    int8          `param:"small" default:"-5"`
	Limit    uint16        `param:"limit" default:"10"`
	Ratio    float64       `param:"ratio" default:"0.5"`
	Words    []string      `param:"words" default:"a,b"`
	MaxAge   time.Duration `default:"24h"`
	Memory   jobs.Size     `param:"memory" default:"64MiB"`
	Order    string        `param:"order" default:"up" oneof:"up|down"`
	internal int
}

func (p allParams) Validate() error {
	if p.Limit == 13 {
		return errors.New("limit 13 brings bad luck: use 12 or 14")
	}
	return nil
}

// defined returns a job that hands its parameters to see.
func defined[P any](see func(*jobs.Task, P)) *jobs.Job {
	return jobs.Define("job", func(t *jobs.Task, p P) (jobs.Code, error) {
		see(t, p)
		return jobs.MapReduce(countMap, countReduce, jobs.Combine(jobs.Sum[int64])), nil
	}, jobs.Doc("Counts."))
}

// Bind fills the parameters from text and defaults, by type.
func TestBindParams(t *testing.T) {
	t.Parallel()
	var got allParams
	job := defined(func(_ *jobs.Task, p allParams) { got = p })
	if _, err := job.Bind(map[string]string{"pattern": "x", "on": "true", "words": "c, d", "max-age": "90s", "memory": "1.5KiB", "order": "down"}); err != nil {
		t.Fatal(err)
	}
	want := allParams{"x", true, -5, 10, 0.5, []string{"c", "d"}, 90 * time.Second, 1536, "down", 0}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if _, err := job.Bind(map[string]string{"pattern": "", "words": ""}); err != nil || len(got.Words) != 0 {
		t.Errorf("empty values: %+v, %v", got, err)
	}
}

// Each bad parameter gives one line that names the job, the parameter, the value and what is allowed.
func TestBindParamErrors(t *testing.T) {
	t.Parallel()
	job := defined(func(*jobs.Task, allParams) {})
	for _, tt := range []struct{ name, value, want string }{
		{"", "", "job job: parameter pattern is missing: give pattern=STRING, what to look for"},
		{"on", "maybe", `job job: parameter on: "maybe" is neither true nor false`},
		{"small", "200", `job job: parameter small: "200" is not in range: allowed are whole numbers from -128 to 127`},
		{"small", "a\nb", `parameter small: "a\nb" is not a whole number in range`},
		{"limit", "-1", `allowed are whole numbers from 0 to 65535`},
		{"ratio", "half", `parameter ratio: "half" is not a number`},
		{"max-age", "5", `parameter max-age: "5" is not a duration: write it like 90s`},
		{"memory", "64XB", `parameter memory: "64XB" is not a size: write bytes like`},
		{"order", "dwon", `parameter order: "dwon" is not allowed: did you mean down? Use one of up, down`},
		{"order", "sideways", `parameter order: "sideways" is not allowed: use one of up, down`},
		{"limit", "13", "job job: parameters: limit 13 brings bad luck"},
		{"limti", "1", `job job: unknown parameter "limti": did you mean limit? It takes: pattern, on, small, limit`},
		{"zzzzzzzz", "1", `unknown parameter "zzzzzzzz": it takes: pattern`},
	} {
		params := map[string]string{}
		if tt.name != "" {
			params["pattern"] = "x"
			params[tt.name] = tt.value
		}
		_, err := job.Bind(params)
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s=%q: got error %v, want %q", tt.name, tt.value, err, tt.want)
		}
	}
	_, err := jobs.New("plain", countMap, countReduce).Bind(map[string]string{"x": "1"})
	if err == nil || err.Error() != `job plain: unknown parameter "x": it takes no parameters` {
		t.Errorf("a job without parameters: %v", err)
	}
}

// Params describes the parameters in the order of the struct; what it returns can be changed without harm.
func TestParams(t *testing.T) {
	t.Parallel()
	job := defined(func(*jobs.Task, allParams) {})
	p := job.Params()
	if job.Name() != "job" || job.Doc() != "Counts." || len(p) != 9 {
		t.Fatalf("%s %s %+v", job.Name(), job.Doc(), p)
	}
	if want := (jobs.Param{Name: "pattern", Type: "string", Help: "what to look for", Required: true}); !reflect.DeepEqual(p[0], want) {
		t.Errorf("got %+v, want %+v", p[0], want)
	}
	if p[6].Name != "max-age" || p[6].Type != "duration" || p[6].Default != "24h" {
		t.Errorf("%+v", p[6])
	}
	p[8].Allowed[0] = "changed"
	if job.Params()[8].Allowed[0] != "up" {
		t.Error("Params shares its memory")
	}
}

// Mistakes in a definition surface in Bind, by name, and never as a panic.
func TestDefineErrors(t *testing.T) {
	t.Parallel()
	type badDefault struct {
		N int `default:"x"`
	}
	type badType struct{ F func() }
	type twice struct {
		A int `param:"n" default:"0"`
		B int `param:"n" default:"0"`
	}
	type none struct{}
	code := func(*jobs.Task, none) (jobs.Code, error) { return jobs.Code{}, nil }
	for _, tt := range []struct {
		job  *jobs.Job
		want string
	}{
		{defined(func(*jobs.Task, int) {}), "parameter type int: it must be a struct"},
		{defined(func(*jobs.Task, badDefault) {}), `field N: the default "x" is not a whole number`},
		{defined(func(*jobs.Task, badType) {}), "field F: type func() cannot be a parameter"},
		{defined(func(*jobs.Task, twice) {}), "field B: there is a parameter n already"},
		{defined(func(*jobs.Task, none) { panic("boom") }), "the build function panicked: boom"},
		{jobs.Define("job", code), "the build function returned an empty Code"},
		{jobs.Define[none]("job", nil), "the build function is nil"},
		{jobs.Define("job", code, jobs.TotalOrder()), "option TotalOrder is given to Define: give it to MapReduce"},
		{jobs.Define("my job", code), `the name "my job" must be made of letters`},
		{jobs.Define("job", func(*jobs.Task, none) (jobs.Code, error) { return jobs.Code{}, errors.New("bad pattern") }), "job job: bad pattern"},
	} {
		_, err := tt.job.Bind(nil)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("got error %v, want %q", err, tt.want)
		}
	}
}

// The build function runs once per attempt, with the attempt's task and parameters that share no memory with those of
// another attempt; its counters count in that task.
func TestBuildPerAttempt(t *testing.T) {
	t.Parallel()
	builds := 0
	type params struct {
		Words []string `default:"a,b"`
	}
	job := jobs.Define("counted", func(t *jobs.Task, p params) (jobs.Code, error) {
		builds++
		if p.Words[0] != "a" {
			return jobs.Code{}, errors.New("another attempt changed the words")
		}
		p.Words[0] = "changed"
		lines := t.Counter("lines")
		return jobs.MapReduce(func(line string, emit func(string, int64)) error {
			lines.Add(1)
			return countMap(line, emit)
		}, countReduce, jobs.Combine(jobs.Sum[int64])), nil
	})
	prog, err := job.Bind(nil)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		task := &jobs.Task{Reducers: 1}
		if err := prog.Map(context.Background(), task, &blocks{{Data: []byte("x\ny\n")}}, &pairs{}); err != nil {
			t.Fatal(err)
		}
		if _, err := prog.Combine(t.Context(), task, nil, nil); err != nil {
			t.Fatal(err)
		}
		if n := task.Counters()["lines"]; n != 2 {
			t.Errorf("the attempt counted %d lines, want 2", n)
		}
	}
	if builds != 3 {
		t.Errorf("built %d times, want 3: at Bind and for 2 attempts", builds)
	}
}

// Parameters may decide over Info.
func TestInfoDependsOnParams(t *testing.T) {
	t.Parallel()
	type params struct {
		Fixed int `default:"0"`
	}
	job := jobs.Define("records", func(_ *jobs.Task, p params) (jobs.Code, error) {
		var opts []jobs.Option
		if p.Fixed > 0 {
			opts = append(opts, jobs.FixedLength(p.Fixed), jobs.TotalOrder(), jobs.Reducers(3))
		}
		m := func(r []byte, emit func([]byte, int)) error { emit(r, 1); return nil }
		r := func(k []byte, vs jobs.Values[int], emit func([]byte)) error { emit(k); return nil }
		return jobs.MapReduce(m, r, opts...), nil
	})
	schema := jobs.Schema{Fields: []jobs.Field{{Name: "value", Type: jobs.TypeBytes}}}
	for text, want := range map[string]jobs.Info{
		"0": {Inputs: make([]jobs.Input, 1), Schema: schema},
		"4": {Inputs: []jobs.Input{{Format: jobs.Format{Kind: jobs.FormatFixed, Length: 4}}}, TotalOrder: true, Reducers: 3, Schema: schema},
	} {
		prog, err := job.Bind(map[string]string{"fixed": text})
		if err != nil {
			t.Fatal(err)
		}
		if got := prog.Info(); !reflect.DeepEqual(got, want) {
			t.Errorf("fixed %s: got %+v, want %+v", text, got, want)
		}
	}
	rows := jobstest.Run(t, job, map[string]string{"fixed": "2"}, "bbaabb")
	jobstest.Equal(t, rows, jobstest.Row{[]byte("aa")}, jobstest.Row{[]byte("bb")})
}

// Sizes are read with and without units and printed so that they read back.
func TestSize(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]jobs.Size{
		"0": 0, "4096": 4096, "64KiB": 64 << 10, "64mib": 64 << 20, "1.5 GiB": 3 << 29, "10kB": 10_000, "1TB": 1e12, "7b": 7, "9223372036854775807": 1<<63 - 1,
	} {
		got, err := jobs.ParseSize(text)
		if err != nil || got != want {
			t.Errorf("%q: got %d, %v, want %d", text, got, err, want)
		}
		if again, err := jobs.ParseSize(got.String()); err != nil || again != got {
			t.Errorf("%d prints as %s, which reads as %d, %v", got, got, again, err)
		}
	}
	for _, text := range []string{"", "KiB", "-1", "-1KiB", "1.5", "0.1KiB", "8EiB", "NaN", "Inf", "1e3x", "9223372036854775808", "99999999TiB", "1 2"} {
		if got, err := jobs.ParseSize(text); err == nil {
			t.Errorf("%q: got %d, want an error", text, got)
		}
	}
}
