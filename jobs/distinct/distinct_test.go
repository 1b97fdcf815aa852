package distinct_test

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/jobs/distinct"
	"github.com/millrace/millrace/jobs/jobstest"
)

func rows(counts map[string]int64) (out []jobstest.Row) {
	for _, value := range slices.Sorted(maps.Keys(counts)) {
		out = append(out, jobstest.Row{value, counts[value]})
	}
	return out
}

// The distinct lines of real text are those of a map, the empty one too.
func TestLines(t *testing.T) {
	t.Parallel()
	var texts []string
	counts := map[string]int64{}
	for _, name := range []string{"sherlock-holmes.txt", "opticks.txt", "opticks.txt"} {
		data, err := os.ReadFile("../../testdata/text/" + name)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(data))
		for line := range strings.Lines(string(data)) {
			counts[strings.TrimRight(line, "\r\n")]++
		}
	}
	jobstest.Equal(t, jobstest.Run(t, distinct.Job(), nil, texts...), rows(counts)...)
}

// A field is what strings.Split gives, whatever the separator.
func TestFields(t *testing.T) {
	t.Parallel()
	lines := []string{"a\tb\tc", "\t\t", "b\tb\tb\tb", "é::x\t \t::", "a::\tb::b\t::::"}
	for _, separator := range []string{"\t", "::", "b"} {
		for field := 1; field <= 3; field++ {
			counts := map[string]int64{}
			var text strings.Builder
			for _, line := range lines {
				if all := strings.Split(line, separator); len(all) >= field {
					counts[all[field-1]]++
					fmt.Fprintln(&text, line)
				}
			}
			params := map[string]string{"field": fmt.Sprint(field), "separator": separator}
			if separator == "\t" {
				delete(params, "separator")
			}
			jobstest.Equal(t, jobstest.Run(t, distinct.Job(), params, text.String(), ""), rows(counts)...)
		}
	}
}

// A line without the field, or whose value is no text, fails by its place, with what to do.
func TestBadLines(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"x,y":      `the line "x,y" has no field 3: state another with -p field`,
		"":         `the line "" has no field 3`,
		"1,2,\xff": `the value "\xff" is not valid UTF-8: convert the input`,
	} {
		params := map[string]string{"field": "3", "separator": ","}
		_, err := jobstest.RunObjects(distinct.Job(), params, jobstest.Objects("a,b,c\n"+line+"\n"), 1)
		bad, ok := errors.AsType[*jobs.RecordError](err)
		if !ok || bad.Offset != 6 || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", line, err, want)
		}
	}
}

// A parameter that makes no sense is refused by name.
func TestBadParameters(t *testing.T) {
	t.Parallel()
	for want, params := range map[string]map[string]string{
		"field=-1":            {"field": "-1"},
		`separator="": count`: {"separator": ""},
	} {
		if _, err := distinct.Job().Bind(params); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: got %v", params, err)
		}
	}
}

func ExampleJob() {
	visits := jobstest.Objects("10.0.0.7 GET /\n10.0.0.9 GET /\n", "10.0.0.7 POST /login\n")
	result, err := jobstest.RunObjects(distinct.Job(), map[string]string{"field": "1", "separator": " "}, visits, 1)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, row := range result.Rows() {
		fmt.Println(row)
	}
	// Output:
	// {"10.0.0.7" 2}
	// {"10.0.0.9" 1}
}
