package accesslog

import (
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

const (
	common   = `10.0.0.7 - ann [10/Oct/2025:13:55:36 -0700] "GET /a?b=1 HTTP/1.1" 200 2326`
	combined = common + ` "https://example.com/" "curl/8.5"`
)

// Lines of both formats, and what servers really write into them, are taken apart.
func TestParse(t *testing.T) {
	t.Parallel()
	at := time.Date(2025, 10, 10, 20, 55, 36, 0, time.UTC)
	plain := Entry{Host: "10.0.0.7", Ident: "-", User: "ann", Time: at, Request: "GET /a?b=1 HTTP/1.1", Method: "GET", Target: "/a?b=1",
		Protocol: "HTTP/1.1", Status: 200, Bytes: 2326}
	full := plain
	full.Combined, full.Referer, full.Agent = true, "https://example.com/", "curl/8.5"
	with := func(e Entry, change func(*Entry)) Entry { change(&e); return e }
	request := func(method, target, protocol, all string) func(*Entry) {
		return func(e *Entry) { e.Method, e.Target, e.Protocol, e.Request = method, target, protocol, all }
	}
	swap := func(line, old, new string) string { return strings.Replace(line, old, new, 1) }
	for line, want := range map[string]Entry{
		common:                                                     plain,
		combined:                                                   full,
		combined + ` "10.1.2.3" 0.005`:                             full,
		swap(combined, "10.0.0.7", "::1"):                          with(full, func(e *Entry) { e.Host = "::1" }),
		swap(combined, "ann", "Ann [x] B"):                         with(full, func(e *Entry) { e.User = "Ann [x] B" }),
		swap(common, " 2326", " -"):                                with(plain, func(e *Entry) { e.Bytes = 0 }),
		swap(common, "-0700", "+0530"):                             with(plain, func(e *Entry) { e.Time = time.Date(2025, 10, 10, 8, 25, 36, 0, time.UTC) }),
		swap(combined, "curl/8.5", `say \"hi\" \\`):                with(full, func(e *Entry) { e.Agent = `say \"hi\" \\` }),
		swap(combined, "curl/8.5", ""):                             with(full, func(e *Entry) { e.Agent = "" }),
		swap(combined, "GET /a?b=1 HTTP/1.1", "-"):                 with(full, request("", "", "", "-")),
		swap(combined, "GET /a?b=1 HTTP/1.1", ""):                  with(full, request("", "", "", "")),
		swap(combined, "GET /a?b=1 HTTP/1.1", `\x16\x03\x01 \xa5`): with(full, request("", "", "", `\x16\x03\x01 \xa5`)),
		swap(combined, "GET /a?b=1 HTTP/1.1", "GET /a"):            with(full, request("GET", "/a", "", "GET /a")),
		swap(combined, "GET /a?b=1 HTTP/1.1", "GET HTTP/1.1"):      with(full, request("", "", "", "GET HTTP/1.1")),
		swap(combined, "GET /a?b=1 HTTP/1.1", "GET /a b HTTP/2.0"): with(full, request("GET", "/a b", "HTTP/2.0", "GET /a b HTTP/2.0")),
		swap(combined, "GET /a?b=1", "M-SEARCH *"):                 with(full, request("M-SEARCH", "*", "HTTP/1.1", "M-SEARCH * HTTP/1.1")),
	} {
		if got, err := Parse(line); err != nil || got != want {
			t.Errorf("%s: got\n%+v, %v, want\n%+v", line, got, err, want)
		}
	}
}

// A line that is cut off or garbled is refused, with what is wrong and the line's beginning.
func TestParseErrors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ old, new, want string }{
		{combined, "", "does not begin with a host"},
		{"10.0.0.7 ", " ", "does not begin with a host"},
		{" - ann", "  ann", "no ident"},
		{"ann [10", "ann 10", "no user"},
		{"ann [", "[", "no user"},
		{"ann [", " [", "no user"},
		{"36 -0700]", "36]", "time like [02/Jan/2006:15:04:05 -0700]"},
		{"36 -0700]", "36 -0700 ", "time like [02/Jan/2006:15:04:05 -0700]"},
		{"-0700]", `-0700] \`, "with a request in quotation marks behind"},
		{"Oct", "Okt", `the time "10/Okt/2025:13:55:36 -0700" is not like`},
		{"Oct", "anF", "is not like"},
		{"10/Oct", "32/Oct", "a day that its month does not have"},
		{"10/Oct", "31/Feb", "a day that its month does not have"},
		{"10/Oct", "00/Oct", "a day that its month does not have"},
		{"13:55", "24:55", "is not like"},
		{":55:", ":5x:", "is not like"},
		{` "GET`, ` GET`, "with a request in quotation marks behind"},
		{`HTTP/1.1" 200 2326 "https://example.com/" "curl/8.5"`, "HTTP/1.1", "the request has no closing quotation mark"},
		{`1.1" 200`, `1.1"200`, "no space after the request"},
		{"200 2326", "20 2326", "no status of three digits"},
		{"200 2326", "2x0 2326", `the status "2x0" is no number`},
		{"2326", "-2326", `"-2326" stands for the bytes sent`},
		{"2326", "1234567890123456789", "stands for the bytes sent"},
		{`2326 "https://example.com/" "curl/8.5"`, "2326 ", "a referer is expected"},
		{`"https://example.com/" "curl`, `https://example.com/ "curl`, "no referer in quotation marks"},
		{`com/" "curl`, `com/""curl`, "no space after the referer"},
		{`com/" "curl/8.5"`, `com/" -`, "no user agent in quotation marks"},
		{`8.5"`, `8.5\"`, "the user agent has no closing quotation mark"},
		{`8.5"`, `8.5"x`, "no space after the user agent"},
	} {
		line := strings.Replace(combined, c.old, c.new, 1)
		got, err := Parse(line)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), strconv.Quote(line)) {
			t.Errorf("%s: got %v, want %q", line, err, c.want)
		}
		if got != (Entry{}) {
			t.Errorf("%s: an error comes with %+v", line, got)
		}
	}
	if _, err := Parse(strings.Repeat("x", 1<<20)); err == nil || len(err.Error()) > 500 {
		t.Errorf("of a long line: %v", err)
	}
}

// shape is what stands from the request on, for a regular expression, which knows nothing of how Parse goes about it.
var shape = regexp.MustCompile(`^"((?s:[^"\\]|\\.)*)" (\d{3}) (\d{1,18}|-)( "((?s:[^"\\]|\\.)*)" "((?s:[^"\\]|\\.)*)"(?: (?s:.*))?)?$`)

// reference takes a line apart with that expression and time.Parse.
func reference(line string) (e Entry, ok bool) {
	words := strings.SplitN(line, " ", 3)
	if len(words) < 3 || words[0] == "" || words[1] == "" {
		return e, false
	}
	for i := 1; i < len(words[2]); i++ {
		user, rest := words[2][:i], words[2][i:]
		if len(rest) < 31 || rest[:2] != " [" || rest[28:31] != `] "` {
			continue
		}
		m := shape.FindStringSubmatch(rest[30:])
		leap := strings.Contains(rest[2:28], ":60 ")
		at, err := time.Parse(timeFormat, strings.Replace(rest[2:28], ":60 ", ":59 ", 1))
		// Of these, time.Parse is more lenient.
		if m == nil || err != nil || rest[5:8] != at.Month().String()[:3] || rest[24:26] == "24" {
			return e, false
		}
		if leap {
			at = at.Add(time.Second)
		}
		e = Entry{Host: words[0], Ident: words[1], User: user, Time: at.UTC(), Request: m[1], Combined: m[4] != "", Referer: m[5], Agent: m[6]}
		e.Status, _ = strconv.Atoi(m[2])
		e.Bytes, _ = strconv.ParseInt(strings.Replace(m[3], "-", "0", 1), 10, 64)
		return e, true
	}
	return e, false
}

// FuzzParse proves that Parse takes what the regular expression takes, to the same fields, and that a request's parts are
// its words.
func FuzzParse(f *testing.F) {
	for _, line := range []string{"", common, combined, combined + " x", `a b c [01/Jan/1999:00:00:60 +0000] "\"" 200 - "\\" ""`, `a b c [ [01/Jan/1999:00:00:00 +0000] "-" 408 0`} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		got, err := Parse(line)
		want, ok := reference(line)
		if (err == nil) != ok {
			t.Fatalf("%q: got %v, the reference takes it: %v", line, err, ok)
		}
		if err != nil {
			return
		}
		parts := strings.TrimSuffix(got.Method+" "+got.Target+" "+got.Protocol, " ")
		if got.Method != "" && parts != got.Request || got.Method == "" && parts != " " {
			t.Errorf("%q: a request of %q, %q, %q", got.Request, got.Method, got.Target, got.Protocol)
		}
		got.Method, got.Target, got.Protocol = "", "", ""
		if got != want {
			t.Errorf("%q: got\n%+v, want\n%+v", line, got, want)
		}
	})
}

// Nothing is allocated for a line.
func TestParseAllocates(t *testing.T) {
	if n := testing.AllocsPerRun(100, func() { _, _ = Parse(combined) }); n > 0 {
		t.Errorf("%v allocations a line", n)
	}
}

func BenchmarkParse(b *testing.B) {
	b.SetBytes(int64(len(combined)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(combined); err != nil {
			b.Fatal(err)
		}
	}
}
