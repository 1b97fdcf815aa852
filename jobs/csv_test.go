package jobs_test

import (
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/jobs/jobstest"
)

// countCSV is a reduce function for what is only looked at in the map function.
func countCSV(k int64, ns jobs.Values[int64], emit func(int64)) error {
	emit(jobs.Total(ns))
	return nil
}

// read runs a job over CSV and returns its records.
func readCSV[R any](t *testing.T, o jobs.CSVOptions, texts ...string) (all []R, err error) {
	t.Helper()
	job := jobs.New("read", func(r R, emit func(int64, int64)) error {
		all = append(all, r)
		emit(1, 1)
		return nil
	}, countCSV, jobs.CSV(o))
	result, err := jobstest.RunObjects(job, nil, jobstest.Objects(texts...), 1)
	if err == nil && result.Records != int64(len(all)) {
		t.Errorf("%d records are counted, %d were mapped", result.Records, len(all))
	}
	return all, err
}

type csvBase struct {
	UserID int64
}

// csvEvery has a field of every kind.
type csvEvery struct {
	csvBase
	Name    string
	Raw     []byte
	OK      bool `column:"is ok"`
	I8      int8
	U16     uint16
	F       float32
	Day     time.Time `layout:"2006-01-02"`
	At      time.Time
	Took    time.Duration
	Addr    netip.Addr
	Big     *big.Int
	MaybeI  *int
	MaybeS  *string
	MaybeT  *time.Time `layout:"15:04"`
	Skipped string     `column:"-"`
	hidden  int
}

// A struct has its fields from the columns of their names, in any order, with columns it does not name left out.
func TestCSVIntoStruct(t *testing.T) {
	t.Parallel()
	header := "extra,Maybe_T,maybe_s,maybe_i,big,addr,took,AT,day,f,u16,i8,is ok,raw,name,user_id\r\n"
	got, err := readCSV[csvEvery](t, jobs.CSVOptions{},
		"\ufeff"+header+
			"x,23:59,\"\",-7,12345678901234567890,10.0.0.1,1m30s,2026-07-01T12:00:00+02:00,2026-07-01,1.5,65535,-128,true,\"a\"\"b\",\"two\nlines, \"\"quoted\"\"\",42\r\n"+
			"\r\n"+
			",,s,,,::1,0s,2026-07-01T12:00:00Z,2026-07-02,-0.25,0,127,F,,,-1\r\n",
		"user_id,name,raw,is ok,i8,u16,f,day,at,took,addr,big,maybe_i,maybe_s,maybe_t\n")
	if err != nil {
		t.Fatal(err)
	}
	at := func(text string) time.Time {
		v, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	seven, s, clock, big1 := -7, "s", time.Date(0, 1, 1, 23, 59, 0, 0, time.UTC), new(big.Int)
	big1.SetString("12345678901234567890", 10)
	want := []csvEvery{
		{csvBase: csvBase{42}, Name: "two\nlines, \"quoted\"", Raw: []byte(`a"b`), OK: true, I8: -128, U16: 65535, F: 1.5,
			Day: at("2026-07-01T00:00:00Z"), At: at("2026-07-01T12:00:00+02:00"), Took: 90 * time.Second, Addr: netip.MustParseAddr("10.0.0.1"),
			Big: big1, MaybeI: &seven, MaybeT: &clock},
		{csvBase: csvBase{-1}, Raw: []byte{}, I8: 127, F: -0.25, Day: at("2026-07-02T00:00:00Z"), At: at("2026-07-01T12:00:00Z"),
			Addr: netip.MustParseAddr("::1"), MaybeS: &s},
	}
	for i := range want {
		if i >= len(got) || !got[i].At.Equal(want[i].At) {
			t.Fatalf("got %+v, want %+v", got, want)
		}
		got[i].At = want[i].At
	}
	if got[1].Raw = append([]byte{}, got[1].Raw...); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	_ = csvEvery{}.hidden
}

type csvPair struct {
	A string
	B int
}

// The same records are read whatever separates the fields, with names from the options, by position, and without quotes.
func TestCSVOptions(t *testing.T) {
	t.Parallel()
	want := []csvPair{{"x", 1}, {"y,\tz;", 2}}
	for name, c := range map[string]struct {
		o    jobs.CSVOptions
		text string
	}{
		"comma":            {jobs.CSVOptions{}, "a,b\nx,1\n\"y,\tz;\",2"},
		"tab":              {jobs.CSVOptions{Comma: '\t'}, "b\ta\r\n1\tx\r\n2\t\"y,\tz;\"\r\n"},
		"semicolon":        {jobs.CSVOptions{Comma: ';'}, "A;B\nx;1\n\"y,\tz;\";2\n\n"},
		"names":            {jobs.CSVOptions{Columns: []string{"b", "c", "a"}}, "\ufeff1,,x\n2,,\"y,\tz;\"\n"},
		"by position":      {jobs.CSVOptions{NoHeader: true}, "\n\nx,1\n\"y,\tz;\",2"},
		"without quotes":   {jobs.CSVOptions{Comma: '|', NoQuotes: true}, "a|b\nx|1\ny,\tz;|2\n"},
		"any case":         {jobs.CSVOptions{}, "A,b,B\nx,1,7\n\"y,\tz;\",2,8\n"},
		"whole":            {jobs.CSVOptions{WholeFiles: true}, "a,b\nx,1\n\"y,\tz;\",2"},
		"the last CR":      {jobs.CSVOptions{}, "a,b\nx,1\n\"y,\tz;\",2\r"},
		"lines before":     {jobs.CSVOptions{}, "\ufeff\r\n\na,b\nx,1\n\"y,\tz;\",2"},
		"quotes in header": {jobs.CSVOptions{}, "\ufeff\"a\",\"b\"\nx,1\n\"y,\tz;\",2"},
	} {
		if got, err := readCSV[csvPair](t, c.o, c.text); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %v, %v; want %v", name, got, err, want)
		}
	}
	got, err := readCSV[csvPair](t, jobs.CSVOptions{NoQuotes: true}, "a,b\n\"x,1\ny\"\"z,2\n")
	if want := []csvPair{{`"x`, 1}, {`y""z`, 2}}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("quotes without a meaning: got %v, %v; want %v", got, err, want)
	}
	for _, text := range []string{"", "\n", "\ufeff", "a,b", "a,b\r\n", "only,header\n\n", "\r"} {
		if got, err := readCSV[csvPair](t, jobs.CSVOptions{}, text); err != nil || len(got) > 0 {
			t.Errorf("%q: got %v, %v", text, got, err)
		}
	}
}

// Cells are a record's texts with their names; what is kept of the texts stays.
func TestCSVCells(t *testing.T) {
	t.Parallel()
	var kept []string
	see := func(c jobs.Cells, emit func(int64, int64)) error {
		v, ok := c.Get("b")
		kept = append(kept, fmt.Sprintf("%d %q %q %q %v", c.Offset, c.Names, c.Values, v, ok))
		return nil
	}
	run := func(o jobs.CSVOptions, text string) error {
		_, err := jobstest.RunObjects(jobs.New("see", see, countCSV, jobs.CSV(o)), nil, jobstest.Objects(text), 1)
		return err
	}
	if err := errors.Join(run(jobs.CSVOptions{}, "a,b\n1,2\n\n\"3\n\",\"4\"\"\"\n"), run(jobs.CSVOptions{NoHeader: true}, "1,2\n3\n"),
		run(jobs.CSVOptions{Columns: []string{"b"}}, "5\n")); err != nil {
		t.Fatal(err)
	}
	want := []string{`4 ["a" "b"] ["1" "2"] "2" true`, `9 ["a" "b"] ["3\n" "4\""] "4\"" true`, `0 [] ["1" "2"] "" false`, `4 [] ["3"] "" false`, `0 ["b"] ["5"] "5" true`}
	if !reflect.DeepEqual(kept, want) {
		t.Errorf("got  %q\nwant %q", kept, want)
	}
	if err := run(jobs.CSVOptions{}, "a,b\n1,2\n3\n"); err == nil || !strings.Contains(err.Error(), "at byte 8: csv: the record has 1 fields, and there are 2 columns") {
		t.Errorf("got %v", err)
	}
}

// A bad record is an error that names the object, the offset, the column and the value, and says what to do.
func TestCSVBadRecords(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"a,b\nx,1\ny,z\n":                     `mem://input/0 at byte 8: csv: column 2 (b): "z" does not fit int`,
		"a,b\nx,\n":                           `at byte 4: csv: column 2 (b): "" does not fit int: where it can be empty, let the field be a pointer`,
		"a,b\nx,9223372036854775808\n":        `column 2 (b): "9223372036854775808" does not fit int: out of range`,
		"a,b\nx,1,2\n":                        `at byte 4: csv: the record has 3 fields, and there are 2 columns: "x,1,2\n"`,
		"a,b\nx\n":                            `the record has 1 fields, and there are 2 columns: "x\n"`,
		"a,b\n5\" disk,1\n":                   `at byte 4: csv: column 1 (a): a quote within a field that is not quoted`,
		"a,b\n\"x\"y,1\n":                     `at byte 4: csv: column 1 (a): text after the closing quote`,
		"a,b\nx,1\n\"y,2\nz,3\n":              `at byte 8: csv: column 1 (a): its quote is not closed: "\"y,2\nz,3\n"`,
		"a,b\nx\ry,1\n":                       `at byte 4: csv: column 1 (a): a carriage return without a line feed`,
		"a,b\n\"x\"\ry,1\n":                   `at byte 4: csv: column 1 (a): a carriage return without a line feed`,
		"a,b\nx," + strings.Repeat("9", 5000): `99"... does not fit int: out of range`,
	} {
		_, err := readCSV[csvPair](t, jobs.CSVOptions{}, text)
		if err == nil || !strings.Contains(err.Error(), want) || len(err.Error()) > 400 {
			t.Errorf("%.30q: got %v, want %s", text, err, want)
		}
	}
	type timed struct {
		At   time.Time `layout:"2006-01-02"`
		Took time.Duration
	}
	for text, want := range map[string]string{
		"at,took\n1.7.2026,1s\n":   `column 1 (at): "1.7.2026" does not fit time.Time: its layout is "2006-01-02"`,
		"at,took\n2026-07-01,12\n": `column 2 (took): "12" does not fit time.Duration: a duration is like`,
	} {
		if _, err := readCSV[timed](t, jobs.CSVOptions{}, text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %s", text, err, want)
		}
	}
}

// An object whose header does not fit the record type is an error that lists the columns; errors.Is tells it from a bad record.
func TestCSVHeaders(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"a,c\nx,1\n":       `the header has no column "b": the columns are ["a" "c"]`,
		"a,b,b\nx,1,2\n":   `the header has the column "b" twice`,
		"a,Bb,B,B\nx\n":    `the header has the column "b" twice`,
		"a,\"b\"x\nx,1\n":  `header: csv: column 2: text after the closing quote`,
		"a,\"b\nx,1\n":     `header: csv: column 2: its quote is not closed`,
		"a,b\rx,1\ry,2\r":  `header: csv: column 2: a carriage return without a line feed`,
		"a;b\nx;1\ny;\"2;": `the columns are ["a;b"]`,
	} {
		_, err := readCSV[csvPair](t, jobs.CSVOptions{}, text)
		if !errors.Is(err, jobs.ErrColumns) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "mem://input/0") {
			t.Errorf("%q: got %v, want %s", text, err, want)
		}
	}
}

// A block from amid an object is read by the header that comes with it.
func TestCSVBlockWithHeader(t *testing.T) {
	t.Parallel()
	var got []csvPair
	job := jobs.New("read", func(p csvPair, emit func(int64, int64)) error { got = append(got, p); return nil }, countCSV, jobs.CSV(jobs.CSVOptions{}))
	prog, err := job.Bind(nil)
	if err != nil {
		t.Fatal(err)
	}
	blocks := &someBlocks{{URL: "u", Offset: 7, Data: []byte("1,x\n"), Header: []byte("\ufeff\nb,a\n")}, {URL: "u", Offset: 11, Data: []byte("2,y"), Header: []byte("\ufeff\nb,a\n")}}
	if err := prog.Map(t.Context(), &jobs.Task{Reducers: 1}, blocks, noPairs{}); err != nil {
		t.Fatal(err)
	}
	if want := []csvPair{{"x", 1}, {"y", 2}}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// A mistake in options or record type is refused when the job is bound, by name.
func TestCSVMistakes(t *testing.T) {
	t.Parallel()
	bind := func(job *jobs.Job) error { _, err := job.Bind(nil); return err }
	one := func(o jobs.CSVOptions, more ...jobs.Option) error {
		return bind(jobs.New("j", func(csvPair, func(int64, int64)) error { return nil }, countCSV, append(more, jobs.CSV(o))...))
	}
	for want, err := range map[string]error{
		`Comma is '"'`:                       one(jobs.CSVOptions{Comma: '"'}),
		`Comma is 'ÿ'`:                       one(jobs.CSVOptions{Comma: 0xff}),
		`column "a" is empty or named twice`: one(jobs.CSVOptions{Columns: []string{"a", "b", "a"}}),
		`no column "b" among`:                one(jobs.CSVOptions{Columns: []string{"a"}}),
		"CSV and FixedLength exclude":        one(jobs.CSVOptions{}, jobs.FixedLength(3)),
		"record type is string":              bind(jobs.New("j", func(string, func(int64, int64)) error { return nil }, countCSV, jobs.CSV(jobs.CSVOptions{}))),
		"with the option CSV":                bind(jobs.New("j", func(csvPair, func(int64, int64)) error { return nil }, countCSV)),
		"type map[string]int cannot be read": bind(jobs.New("j", func(struct{ M map[string]int }, func(int64, int64)) error { return nil }, countCSV, jobs.CSV(jobs.CSVOptions{}))),
		"field N: a layout is for": bind(jobs.New("j", func(struct {
			N int `layout:"x"`
		}, func(int64, int64)) error {
			return nil
		}, countCSV, jobs.CSV(jobs.CSVOptions{}))),
		"has no exported field": bind(jobs.New("j", func(struct{ n int }, func(int64, int64)) error { return nil }, countCSV, jobs.CSV(jobs.CSVOptions{}))),
		"column a appears twice": bind(jobs.New("j", func(struct {
			A int
			B int `column:"a"`
		}, func(int64, int64)) error {
			return nil
		}, countCSV, jobs.CSV(jobs.CSVOptions{}))),
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// someBlocks yields blocks.
type someBlocks []jobs.Block

func (s *someBlocks) Next() (jobs.Block, error) {
	if len(*s) == 0 {
		return jobs.Block{}, io.EOF
	}
	b := (*s)[0]
	*s = (*s)[1:]
	return b, nil
}

// noPairs takes pairs and drops them.
type noPairs struct{}

func (noPairs) Put(jobs.Pairs) (jobs.Pairs, error) { return jobs.Pairs{}, nil }
