package command

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/millrace/millrace/jobs"
)

// Counters and status are taken from standard error as Hadoop takes them; all other lines are text, of which the end is kept.
func TestReporter(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		stderr   string
		counters map[string]int64
		status   string
		last     string
	}{
		{"", map[string]int64{}, "", ""},
		{"reporter:counter:g,n,2\nreporter:counter:g,n,-5\r\nreporter:counter:a b,c:d, 1 \n", map[string]int64{"g:n": -3, "a b:c:d": 1}, "", ""},
		{"reporter:status:one\nreporter:status:two, and more\n", map[string]int64{}, "two, and more", ""},
		{"reporter:counter:g,n\nreporter:counter:g,n,x\nreporter:counter:a,b,c,1\nreporter:other\n", map[string]int64{}, "", "reporter:counter:g,n\nreporter:counter:g,n,x\nreporter:counter:a,b,c,1\nreporter:other"},
		{"warn\nreporter:counter:g,n,1\nfail", map[string]int64{"g:n": 1}, "", "warn\nfail"},
		{"\xff\nreporter:counter:\xff,n,1\n", map[string]int64{"?:n": 1}, "", "?"},
		{strings.Repeat("x", maxReport) + "reporter:counter:g,n,1\nreporter:status:s\n", map[string]int64{}, "s", strings.Repeat("x", maxSaid-len("reporter:counter:g,n,1")) + "reporter:counter:g,n,1"},
		{strings.Repeat("0123456789abcde\n", 10_000) + "the end\n", map[string]int64{}, "", strings.Repeat("0123456789abcde\n", 255) + "the end"},
		{"reporter:status:" + strings.Repeat("s", 1000), map[string]int64{}, strings.Repeat("s", maxStatus), ""},
	} {
		r := new(reporter)
		r.listen(strings.NewReader(row.stderr))
		task := new(jobs.Task)
		r.count(task)
		if got := task.Counters(); !maps.Equal(got, row.counters) || r.status != row.status || r.last() != row.last {
			t.Errorf("%.60q: counters %v, status %q, last %q; want %v, %q, %q", row.stderr, got, r.status, r.last(), row.counters, row.status, row.last)
		}
		if len(r.said) > 2*maxSaid+maxReport {
			t.Errorf("%.60q: %d bytes are kept", row.stderr, len(r.said))
		}
	}
}

// A command that counts under more names than a job has keeps those that come first, and the task says that some were dropped.
func TestReporterCounterLimit(t *testing.T) {
	t.Parallel()
	for n, cut := range map[int]bool{jobs.MaxCounters: false, jobs.MaxCounters + 1: true} {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "reporter:counter:g,%05d,1\n", i)
		}
		r, task := new(reporter), new(jobs.Task)
		r.listen(strings.NewReader(b.String()))
		r.count(task)
		if got := task.Counters(); len(got) != jobs.MaxCounters || got["g:00999"] != 1 || task.CountersCut() != cut {
			t.Errorf("%d names: %d are kept, cut: %v", n, len(got), task.CountersCut())
		}
	}
}

// FuzzReporter proves that no standard error makes the reporter keep much, or panic, and that what it keeps is text.
func FuzzReporter(f *testing.F) {
	f.Add([]byte("reporter:counter:g,n,1\nx\n"))
	f.Add([]byte("reporter:counter:,,\nreporter:status:\xff"))
	f.Add([]byte(strings.Repeat("x", maxSaid) + "\n\n" + strings.Repeat("y", 2*maxSaid)))
	f.Fuzz(func(t *testing.T, stderr []byte) {
		r, task := new(reporter), new(jobs.Task)
		r.listen(strings.NewReader(string(stderr)))
		r.count(task)
		if last := r.last(); len(last) > maxSaid || strings.ToValidUTF8(last+r.status, "") != last+r.status {
			t.Fatalf("%q: last %q, status %q", stderr, last, r.status)
		}
	})
}
