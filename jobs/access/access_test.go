package access_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/jobs/access"
	"github.com/millrace/millrace/jobs/jobstest"
)

// log is lines of both formats, with what clients send that is no request.
const log = `10.0.0.7 - ann [10/Oct/2025:13:55:36 -0700] "GET /a?b=1 HTTP/1.1" 200 100 "https://example.com/" "curl/8.5"
10.0.0.7 - - [10/Oct/2025:13:59:59 -0700] "GET /a HTTP/1.1" 304 - "-" "curl/8.5"
10.0.0.9 - - [10/Oct/2025:21:00:00 +0000] "POST /a#top HTTP/1.1" 500 7 "-" "Mozilla/5.0 (X11)"
10.0.0.9 - - [11/Oct/2025:00:00:00 +0000] "GET /b HTTP/1.1" 404 5
::1 - - [11/Oct/2025:00:00:01 +0000] "\x16\x03?" 400 226 "-" "-"
::1 - - [11/Oct/2025:00:00:02 +0000] "-" 408 0 "-" "-"
`

// Each key that may be chosen gives its counts, in order.
func TestBy(t *testing.T) {
	t.Parallel()
	row := func(key string, n ...int64) jobstest.Row {
		return jobstest.Row{key, n[0], n[1], n[2], n[3], n[4]}
	}
	for by, want := range map[string][]jobstest.Row{
		"url": {row("-", 1, 0, 0, 1, 0), row("/a", 1, 0, 1, 0, 0), row("/a#top", 1, 7, 0, 0, 1), row("/a?b=1", 1, 100, 0, 0, 0),
			row("/b", 1, 5, 0, 1, 0), row(`\x16\x03?`, 1, 226, 0, 1, 0)},
		"path":    {row("-", 1, 0, 0, 1, 0), row("/a", 3, 107, 1, 0, 1), row("/b", 1, 5, 0, 1, 0), row(`\x16\x03?`, 1, 226, 0, 1, 0)},
		"host":    {row("10.0.0.7", 2, 100, 1, 0, 0), row("10.0.0.9", 2, 12, 0, 1, 1), row("::1", 2, 226, 0, 2, 0)},
		"user":    {row("-", 5, 238, 1, 3, 1), row("ann", 1, 100, 0, 0, 0)},
		"method":  {row("-", 1, 0, 0, 1, 0), row("GET", 3, 105, 1, 1, 0), row("POST", 1, 7, 0, 0, 1), row(`\x16\x03?`, 1, 226, 0, 1, 0)},
		"status":  {row("200", 1, 100, 0, 0, 0), row("304", 1, 0, 1, 0, 0), row("400", 1, 226, 0, 1, 0), row("404", 1, 5, 0, 1, 0), row("408", 1, 0, 0, 1, 0), row("500", 1, 7, 0, 0, 1)},
		"referer": {row("-", 5, 238, 1, 3, 1), row("https://example.com/", 1, 100, 0, 0, 0)},
		"agent":   {row("-", 3, 231, 0, 3, 0), row("Mozilla/5.0 (X11)", 1, 7, 0, 0, 1), row("curl/8.5", 2, 100, 1, 0, 0)},
		"hour":    {row("2025-10-10 20:00", 2, 100, 1, 0, 0), row("2025-10-10 21:00", 1, 7, 0, 0, 1), row("2025-10-11 00:00", 3, 231, 0, 3, 0)},
		"day":     {row("2025-10-10", 3, 107, 1, 0, 1), row("2025-10-11", 3, 231, 0, 3, 0)},
	} {
		half := strings.Index(log, "10.0.0.9")
		jobstest.Equal(t, jobstest.Run(t, access.Job(), map[string]string{"by": by}, log[:half], "", log[half:]), want...)
	}
}

// Random logs, cut by another way than the job's, give the sums of a map.
func TestAgainstMap(t *testing.T) {
	t.Parallel()
	var text bytes.Buffer
	want := map[string][5]int64{}
	for i := range 5000 {
		url := fmt.Sprintf("/%d", i*i%97)
		status := 100 + i*37%500
		fmt.Fprintf(&text, "h%d - - [%02d/Feb/2024:00:00:00 +0100] \"GET %s HTTP/1.1\" %d %d \"-\" \"a\\\"b\"\n", i%7, 1+i%29, url, status, i)
		sums := want[url]
		sums[0]++
		sums[1] += int64(i)
		if class := status / 100; class >= 3 {
			sums[class-1]++
		}
		want[url] = sums
	}
	var rows []jobstest.Row
	for _, url := range slices.Sorted(maps.Keys(want)) {
		n := want[url]
		rows = append(rows, jobstest.Row{url, n[0], n[1], n[2], n[3], n[4]})
	}
	jobstest.Equal(t, jobstest.Run(t, access.Job(), nil, text.String()), rows...)
}

// A line that is none of a log, or whose key is no text, fails by its place, with what is wrong.
func TestBadLines(t *testing.T) {
	t.Parallel()
	good, _, _ := strings.Cut(log, "\n")
	for line, want := range map[string]string{
		"":                                      `the line "" is none of an access log: it does not begin with a host`,
		good[:len(good)-1]:                      "the user agent has no closing quotation mark",
		strings.Replace(good, "/a", "/\xff", 1): `the key "/\xff?b=1" is not valid UTF-8`,
	} {
		_, err := jobstest.RunObjects(access.Job(), nil, jobstest.Objects(good+"\n"+line+"\n"), 1)
		bad, ok := errors.AsType[*jobs.RecordError](err)
		if !ok || bad.Offset != int64(len(good)+1) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", line, err, want)
		}
	}
	if _, err := access.Job().Bind(map[string]string{"by": "urls"}); err == nil || !strings.Contains(err.Error(), "did you mean url?") {
		t.Errorf("got %v", err)
	}
}

func ExampleJob() {
	result, err := jobstest.RunObjects(access.Job(), map[string]string{"by": "path"}, jobstest.Objects(log), 1)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, row := range result.Rows() {
		fmt.Println(row)
	}
	// Output:
	// {"-" 1 0 0 1 0}
	// {"/a" 3 107 1 0 1}
	// {"/b" 1 5 0 1 0}
	// {"\\x16\\x03?" 1 226 0 1 0}
}
