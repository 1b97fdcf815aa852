package grep_test

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/jobs/grep"
	"github.com/millrace/millrace/jobs/jobstest"
)

// The job finds the lines that a plain loop finds, in real text, at their places.
func TestOnRealText(t *testing.T) {
	t.Parallel()
	var texts []string
	for _, name := range []string{"sherlock-holmes.txt", "opticks.txt"} {
		data, err := os.ReadFile("../../testdata/text/" + name)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(data[:100_000])) // the race detector makes expressions slow
	}
	for _, pattern := range []string{"Watson", "^$", `\bl[a-z]+t\b.*colou?r`, "é|æ"} {
		for _, invert := range []bool{false, true} {
			for _, ignore := range []bool{false, true} {
				params := map[string]string{"pattern": pattern, "invert": fmt.Sprint(invert), "ignore-case": fmt.Sprint(ignore)}
				jobstest.Equal(t, jobstest.Run(t, grep.Job(), params, texts...), reference(texts, pattern, invert, ignore)...)
			}
		}
	}
}

func reference(texts []string, pattern string, invert, ignore bool) []jobstest.Row {
	if ignore {
		pattern = "(?i)(?:" + pattern + ")"
	}
	matches := regexp.MustCompile(pattern).MatchString
	var out []jobstest.Row
	for i, text := range texts {
		at := 0
		for line := range strings.Lines(text) {
			shown := strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")
			if matches(shown) != invert {
				out = append(out, jobstest.Row{fmt.Sprintf("mem://input/%d", i), int64(at), shown})
			}
			at += len(line)
		}
	}
	return out
}

// Rows are in order of file and offset, as numbers; bytes that are not UTF-8 are shown as U+FFFD; empty lines count.
func TestRows(t *testing.T) {
	t.Parallel()
	got := jobstest.Run(t, grep.Job(), map[string]string{"pattern": "^x|^$"}, "x\n\nno\nx\xff\xfey\r\n", "xlast")
	jobstest.Equal(t, got,
		jobstest.Row{"mem://input/0", int64(0), "x"},
		jobstest.Row{"mem://input/0", int64(2), ""},
		jobstest.Row{"mem://input/0", int64(6), "x\uFFFDy"},
		jobstest.Row{"mem://input/1", int64(0), "xlast"})
	long := strings.Repeat(strings.Repeat("-", 99)+"\n", 300)
	last := int64(-1)
	for _, row := range jobstest.Run(t, grep.Job(), map[string]string{"pattern": "-"}, long) {
		if at := row[1].(int64); at <= last {
			t.Fatalf("offset %d comes after %d", at, last)
		} else {
			last = at
		}
	}
}

// The result is one ordered part unless the submitter wants more.
func TestInfo(t *testing.T) {
	t.Parallel()
	prog, err := grep.Job().Bind(map[string]string{"pattern": "a"})
	if err != nil {
		t.Fatal(err)
	}
	if info := prog.Info(); !info.TotalOrder || info.Reducers != 1 || info.Combines || info.Inputs[0].Format.Kind != jobs.FormatLines {
		t.Errorf("got %+v", info)
	}
}

// A bad or missing pattern is refused before anything runs, and named.
func TestBadPattern(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		params map[string]string
		want   string
	}{
		{nil, "pattern"},
		{map[string]string{"pattern": "a(b"}, `"a(b" is no regular expression`},
		{map[string]string{"pattern": "a(b", "ignore-case": "true"}, `"a(b" is no regular expression`},
		{map[string]string{"pattern": `(a)\1`}, `\1`},
	} {
		_, err := grep.Job().Bind(test.params)
		if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), "job grep") {
			t.Errorf("%v: got %v, want %q in it", test.params, err, test.want)
		}
	}
}

func ExampleJob() {
	logs := jobstest.Objects("ok\nerror: disk full\n", "ok\nok\nError: no route\n")
	result, err := jobstest.RunObjects(grep.Job(), map[string]string{"pattern": "^error", "ignore-case": "true"}, logs, 1)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, row := range result.Rows() {
		fmt.Println(row)
	}
	// Output:
	// {"mem://input/0" 3 "error: disk full"}
	// {"mem://input/1" 6 "Error: no route"}
}
