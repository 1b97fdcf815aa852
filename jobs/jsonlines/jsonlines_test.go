package jsonlines

import (
	stdjson "encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/jobs/jobstest"
)

// event is a line of a web server's log.
type event struct {
	Time    time.Time `json:"time"`
	Level   string    `json:"level"`
	Status  int       `json:"status"`
	Bytes   int64     `json:"bytes"`
	Elapsed float64   `json:"elapsed"`
	User    struct {
		ID   uint64  `json:"id"`
		Name *string `json:"name"`
	} `json:"user"`
	Tags []string `json:"tags"`
}

// logLines makes lines of a web server's log, with members that event does not have.
func logLines(n int) []string {
	r := rand.New(rand.NewPCG(1, 2))
	lines := make([]string, n)
	for i := range lines {
		lines[i] = fmt.Sprintf(`{"time":"2026-07-01T12:%02d:%02d.%03dZ","level":%q,"host":"web-%02d.example.net","path":"/items/%d?ref=a%d",`+
			`"status":%d,"bytes":%d,"elapsed":%.6f,"agent":"Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Firefox/128.0","user":{"id":%d,"name":"user \"%d\""},"tags":["shop","v%d"]}`,
			r.IntN(60), r.IntN(60), r.IntN(1000), []string{"info", "warn", "error"}[r.IntN(3)], r.IntN(40), r.IntN(1e6), i,
			200+100*r.IntN(4), r.IntN(1e6), r.Float64(), r.Uint64(), r.IntN(1000), r.IntN(9))
	}
	return lines
}

// decodeAll runs a map function from Map over lines, as the engine does.
func decodeAll[T any](lines []string, opts ...Option) (all []T, err error) {
	m := Map(func(v T, emit func(int, int)) error { all = append(all, v); return nil }, opts...)
	for _, line := range lines {
		if err := m(line, nil); err != nil {
			return all, err
		}
	}
	return all, nil
}

// Real-looking lines decode to what encoding/json makes of them, and what was kept of one is not changed by the next.
func TestMapAgreesWithStandardLibrary(t *testing.T) {
	t.Parallel()
	lines := logLines(200)
	got, err := decodeAll[event](lines)
	if err != nil || len(got) != len(lines) {
		t.Fatalf("got %d of %d records, error %v", len(got), len(lines), err)
	}
	for i, line := range lines {
		var want event
		if err := stdjson.Unmarshal([]byte(line), &want); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got[i], want) {
			t.Fatalf("line %d: got %+v, want %+v", i, got[i], want)
		}
	}
}

// A record never sees what another one held: members that a line lacks are zero, also after a line that failed half-way.
func TestRecordsAreZeroed(t *testing.T) {
	t.Parallel()
	type rec struct {
		A string         `json:"a"`
		B []int          `json:"b"`
		C *int           `json:"c"`
		D map[string]int `json:"d"`
	}
	var got []rec
	m := Map(func(r rec, emit func(int, int)) error { got = append(got, r); return nil })
	for _, line := range []string{`{"a":"x","b":[1,2],"c":3,"d":{"e":4}}`, `{"a":"y","b":[9,9,9],"c":7,"d":{"f":1}} x`, `{}`, `{"b":[5]}`, `{"d":{"g":6}}`} {
		if err := m(line, nil); (err != nil) != strings.HasSuffix(line, " x") {
			t.Fatalf("%s: error %v", line, err)
		}
	}
	three := 3
	want := []rec{{"x", []int{1, 2}, &three, map[string]int{"e": 4}}, {}, {B: []int{5}}, {D: map[string]int{"g": 6}}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// Blank lines are no records; a byte order mark before a value is not seen.
func TestBlankLines(t *testing.T) {
	t.Parallel()
	got, err := decodeAll[map[string]int]([]string{"\ufeff{\"a\":1}", "", " \t", "\r", "\ufeff", ` {"a":2} ` + "\r", "\ufeff  {\"a\":3}"})
	if want := []map[string]int{{"a": 1}, {"a": 2}, {"a": 3}}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v; want %v", got, err, want)
	}
}

// What no decoder should guess at is an error that names the column, the member and the value.
func TestErrors(t *testing.T) {
	t.Parallel()
	deep := `{"x":` + strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000) + "}"
	for _, c := range []struct {
		line string
		want []string
		opts []Option
	}{
		{line: `{"level":"a","level":"b"}`, want: []string{"column 14", "/level", "duplicate"}},
		{line: "{\"level\":\"\xff\"}", want: []string{"column 11", "/level", "invalid UTF-8"}},
		{line: "{\"host\":\"\xff\"}", want: []string{"column 10", "/host", "invalid UTF-8"}},
		{line: `{"level":"\ud800"}`, want: []string{"column 11", "/level", "surrogate"}},
		{line: `{"host":"\x"}`, want: []string{"column 10", "/host", "escape"}},
		{line: "{\"level\":\"a\tb\"}", want: []string{"column 12", "/level", "control"}},
		{line: `{"bytes":9223372036854775808}`, want: []string{"column 10", "/bytes", "9223372036854775808", "int64", "range"}},
		{line: `{"user":{"id":-1}}`, want: []string{"column 15", "/user/id", "-1", "uint64"}},
		{line: `{"bytes":1.5}`, want: []string{"column 10", "/bytes", "1.5", "int64"}},
		{line: `{"elapsed":1e999}`, want: []string{"/elapsed", "1e999", "float64", "range"}},
		{line: `{"status":"12"}`, want: []string{"column 11", "/status", `"12"`, "int"}},
		{line: `{"time":"yesterday"}`, want: []string{"column 9", "/time", "yesterday", "time.Time"}},
		{line: `{"bytes":01}`, want: []string{"column 11", "invalid character '1'"}},
		{line: `{"bytes":1} x`, want: []string{"column 13", "after top-level value"}},
		{line: `{"bytes":1}{"bytes":2}`, want: []string{"column 12", "after top-level value"}},
		{line: `{"bytes":1`, want: []string{"column 11", "EOF"}},
		{line: "\ufeff  {\"bytes\":true}", want: []string{"column 15", "/bytes", "int64"}},
		{line: `[1]`, want: []string{"column 1:", "[1] does not fit", "jsonlines.event"}},
		{line: ` null `, want: []string{"null", "object"}},
		{line: `{'a':1}`, want: []string{"column 2", `'\''`}},
		{line: deep, want: []string{"max depth"}},
		{line: `{"bytes":1,"extra":2}`, want: []string{"column 12", "/extra", "unknown"}, opts: []Option{KnownOnly()}},
		{line: `{"BYTES":1}`, want: []string{"/BYTES", "unknown"}, opts: []Option{KnownOnly()}},
		{line: `{"status":"` + strings.Repeat("7", 5000) + `"}`, want: []string{"7777...", "does not fit int"}},
	} {
		got, err := decodeAll[event]([]string{c.line}, c.opts...)
		if err == nil {
			t.Errorf("%.60s: no error, got %+v", c.line, got)
			continue
		}
		for _, want := range append(c.want, "decode json") {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%.60s: %q is not in error %v", c.line, want, err)
			}
		}
		if len(err.Error()) > 400 || strings.Contains(err.Error(), "\n") {
			t.Errorf("%.60s: the error has %d bytes, or lines: %v", c.line, len(err.Error()), err)
		}
	}
}

// The decoder's own error can be had from that of a record.
func TestErrorsUnwrap(t *testing.T) {
	t.Parallel()
	_, err := decodeAll[event]([]string{`{"status":"12"}`})
	if e, ok := err.(interface{ Unwrap() error }); !ok {
		t.Errorf("%v unwraps to nothing", err)
	} else if _, ok := e.Unwrap().(*json.SemanticError); !ok {
		t.Errorf("%v unwraps to a %T", err, e.Unwrap())
	}
}

// Names match exactly, or in any case where that is asked for; both options go together.
func TestOptions(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		opts []Option
		want int64
	}{{nil, 0}, {[]Option{AnyCase()}, 7}, {[]Option{AnyCase(), KnownOnly()}, 7}, {[]Option{KnownOnly(), AnyCase()}, 7}} {
		got, err := decodeAll[event]([]string{`{"BYTES":7}`}, c.opts...)
		if err != nil || got[0].Bytes != c.want {
			t.Errorf("%d options: got %+v, %v; want %d", len(c.opts), got, err, c.want)
		}
	}
	if _, err := decodeAll[event]([]string{`{"BYTES":7,"else":1}`}, AnyCase(), KnownOnly()); err == nil {
		t.Error("the unknown name is no error")
	}
}

// A record can be any type: raw values, maps, slices, numbers; null is a value of those that can hold it.
func TestTypes(t *testing.T) {
	t.Parallel()
	lines := []string{`{"a":[1, 2]}`, `null`, `"x"`, `12`}
	raw, err := decodeAll[jsontext.Value](lines)
	if err != nil || fmt.Sprintf("%s", raw) != `[{"a":[1, 2]} null "x" 12]` {
		t.Errorf("raw values: %s, %v", raw, err)
	}
	values, err := decodeAll[any](lines)
	if want := []any{map[string]any{"a": []any{1.0, 2.0}}, nil, "x", 12.0}; err != nil || !reflect.DeepEqual(values, want) {
		t.Errorf("any: got %v, %v; want %v", values, err, want)
	}
	pointers, err := decodeAll[*event]([]string{`{"bytes":1}`, `null`, `{"bytes":2}`})
	if err != nil || pointers[0].Bytes != 1 || pointers[1] != nil || pointers[2].Bytes != 2 {
		t.Errorf("pointers: got %v, %v", pointers, err)
	}
}

// A job of JSON lines: the error names the object, the record's offset and the column, and a record can have its position.
func TestJob(t *testing.T) {
	t.Parallel()
	sum := func(user string, ns jobs.Values[int64], emit func(struct {
		User string
		N    int64
	})) error {
		emit(struct {
			User string
			N    int64
		}{user, jobs.Total(ns)})
		return nil
	}
	job := jobs.New("traffic", Map(func(e event, emit func(string, int64)) error { emit(e.Level, e.Bytes); return nil }), sum, jobs.Combine(jobs.Sum[int64]))
	rows := jobstest.Run(t, job, nil, "\ufeff{\"level\":\"a\",\"bytes\":1}\r\n\r\n{\"level\":\"b\",\"bytes\":2}\n", `{"level":"a","bytes":3}`)
	jobstest.Equal(t, rows, jobstest.Row{"a", int64(4)}, jobstest.Row{"b", int64(2)})
	_, err := jobstest.RunObjects(job, nil, jobstest.Objects("{\"bytes\":1}\n{\"bytes\":x}\n"), 1)
	for _, want := range []string{"mem://input/0 at byte 12", "column 10"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in error %v", want, err)
		}
	}
	places := jobs.New("places", MapRecord(func(r Record[event], emit func(string, int64)) error {
		emit(fmt.Sprintf("%s:%d", r.URL, r.Offset), r.Value.Bytes)
		return nil
	}), sum)
	rows = jobstest.Run(t, places, nil, "{\"bytes\":1}\n\n{\"bytes\":2}\n")
	jobstest.Equal(t, rows, jobstest.Row{"mem://input/0:0", int64(1)}, jobstest.Row{"mem://input/0:13", int64(2)})
}

// One map function serves many attempts at once.
func TestConcurrentAttempts(t *testing.T) {
	t.Parallel()
	lines := logLines(50)
	m := Map(func(e event, emit func(string, int64)) error { emit(*e.User.Name+e.Tags[1], e.Bytes); return nil })
	sum := func() (n int64) {
		for _, line := range lines {
			if err := m(line, func(name string, bytes int64) { n += bytes + int64(len(name)) }); err != nil {
				t.Error(err)
			}
		}
		return n
	}
	want := sum()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if got := sum(); got != want {
				t.Errorf("got %d, want %d", got, want)
			}
		})
	}
	wg.Wait()
}

// FuzzMap proves that no line makes the decoder panic, and that what it takes, encoding/json takes as the same value.
func FuzzMap(f *testing.F) {
	for _, line := range append(logLines(2), `{"a":1,"a":2}`, `{"a":"\ud800"}`, "\ufeff{}", "null", " 1e5 ", `{"a":[{}, null, true, -0]}`, `"x"]`, `{"a":"\u0000\n"}`) {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		got, err := decodeAll[any]([]string{line})
		if _, e := decodeAll[event]([]string{line}); e != nil && !utf8.ValidString(e.Error()) && utf8.ValidString(line) {
			t.Fatalf("the error is no text: %q", e)
		}
		if err != nil || len(got) == 0 {
			return
		}
		var want any
		if err := stdjson.Unmarshal([]byte(strings.TrimPrefix(line, byteOrderMark)), &want); err != nil {
			t.Fatalf("got %v, encoding/json fails: %v", got, err)
		}
		if !reflect.DeepEqual(got[0], want) {
			t.Fatalf("got %#v, encoding/json has %#v", got[0], want)
		}
	})
}

// BenchmarkMap is the decoding of lines of a log by Map, and by encoding/json for comparison.
func BenchmarkMap(b *testing.B) {
	lines := logLines(1000)
	size := 0
	for _, line := range lines {
		size += len(line) + 1
	}
	take := func(e event, emit func(int64, int)) error { emit(e.Bytes, e.Status); return nil }
	emit := func(int64, int) {}
	for name, m := range map[string]func(string, func(int64, int)) error{
		"map": Map(take),
		"encoding_json": func(line string, emit func(int64, int)) error {
			var e event
			if err := stdjson.Unmarshal([]byte(line), &e); err != nil {
				return err
			}
			return take(e, emit)
		},
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				for _, line := range lines {
					if err := m(line, emit); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}
