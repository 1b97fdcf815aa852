// Package access counts the requests in web server access logs: by URL, or by another part of the line.
package access

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/jobs/accesslog"
)

// Params are what a submitter may choose.
type Params struct {
	By string `param:"by" default:"url" oneof:"url|path|host|user|method|status|referer|agent|hour|day" help:"what to count requests by; path is the url without its query, hour and day are in UTC"`
}

// Row is a row of the result.
type Row struct {
	Key  string
	Hits int64
	// Bytes are those sent, without headers.
	Bytes        int64
	Redirects    int64 // hits with a status from 300 to 399
	ClientErrors int64 // 400 to 499
	ServerErrors int64 // 500 to 599
}

// sums is what is known of some hits of a key; the combiner adds two of them.
type sums struct{ Hits, Bytes, Redirects, ClientErrors, ServerErrors int64 }

func add(a, b sums) sums {
	return sums{a.Hits + b.Hits, a.Bytes + b.Bytes, a.Redirects + b.Redirects, a.ClientErrors + b.ClientErrors, a.ServerErrors + b.ServerErrors}
}

// Job returns the job "access".
func Job() *jobs.Job {
	return jobs.Define("access", func(_ *jobs.Task, p Params) (jobs.Code, error) {
		return jobs.MapReduce(count(keyOf(p.By)), total, jobs.Combine(add)), nil
	}, jobs.Doc("Counts requests in web server access logs (common or combined log format), by URL or another part of the line.\n"+
		"One row per key: hits, bytes, and how many were answered by a redirect, a client error and a server error."))
}

// count returns the map function: each line is one hit of its key.
func count(key func(*accesslog.Entry) string) func(string, func(string, sums)) error {
	return func(line string, emit func(string, sums)) error {
		e, err := accesslog.Parse(line)
		if err != nil {
			return err
		}
		k := key(&e)
		if !utf8.ValidString(k) {
			return fmt.Errorf("the key %.100q is not valid UTF-8: convert the input to UTF-8", k)
		}
		one := sums{Hits: 1, Bytes: e.Bytes}
		switch e.Status / 100 {
		case 3:
			one.Redirects = 1
		case 4:
			one.ClientErrors = 1
		case 5:
			one.ServerErrors = 1
		}
		emit(k, one)
		return nil
	}
}

// total is the reduce function.
func total(key string, all jobs.Values[sums], emit func(Row)) error {
	s := jobs.Fold(all, add)
	emit(Row{key, s.Hits, s.Bytes, s.Redirects, s.ClientErrors, s.ServerErrors})
	return nil
}

// keyOf returns the function that takes the key from a line. A request that is not METHOD URL PROTOCOL is a key as a whole,
// where its method or URL would be: so it is neither lost nor counted as another's.
func keyOf(by string) func(*accesslog.Entry) string {
	orRequest := func(e *accesslog.Entry, part string) string {
		if e.Method == "" {
			return e.Request
		}
		return part
	}
	switch by {
	case "path":
		return func(e *accesslog.Entry) string {
			path := orRequest(e, e.Target)
			if i := strings.IndexAny(path, "?#"); i >= 0 && e.Method != "" {
				path = path[:i]
			}
			return path
		}
	case "host":
		return func(e *accesslog.Entry) string { return e.Host }
	case "user":
		return func(e *accesslog.Entry) string { return e.User }
	case "method":
		return func(e *accesslog.Entry) string { return orRequest(e, e.Method) }
	case "status":
		var names [1000]string // so that no hit makes its own
		for i := range names {
			names[i] = fmt.Sprintf("%03d", i)
		}
		return func(e *accesslog.Entry) string { return names[e.Status] }
	case "referer":
		return func(e *accesslog.Entry) string { return field(e, e.Referer) }
	case "agent":
		return func(e *accesslog.Entry) string { return field(e, e.Agent) }
	case "hour":
		return clock(time.Hour, "2006-01-02 15:00")
	case "day":
		return clock(24*time.Hour, "2006-01-02")
	}
	return func(e *accesslog.Entry) string { return orRequest(e, e.Target) }
}

// field is a field that lines in the common format lack.
func field(e *accesslog.Entry, text string) string {
	if !e.Combined {
		return "-"
	}
	return text
}

// clock returns a function that prints a line's time, and remembers the last one: lines are in the order of time, nearly.
func clock(unit time.Duration, format string) func(*accesslog.Entry) string {
	var begin time.Time
	text := ""
	return func(e *accesslog.Entry) string {
		if t := e.Time.Truncate(unit); t != begin || text == "" {
			begin, text = t, t.Format(format)
		}
		return text
	}
}
