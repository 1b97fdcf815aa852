// Package accesslog takes lines of web server access logs apart: the common log format, and the combined one, which Apache and
// nginx write unless they are told otherwise.
//
//	common      host ident user [time] "request" status bytes
//	combined    the same, then: "referer" "user agent", and after a space whatever else the server adds, which is not looked at
//
//	10.0.0.7 - ann [10/Oct/2025:13:55:36 -0700] "GET /a?b=1 HTTP/1.1" 200 2326 "https://example.com/" "curl/8.5"
//
// It knows no job. Fields are views into the line, as they were logged: servers write a quotation mark within a field as \" or
// \x22, other bytes as \xhh, and this stays so. Jobs that read logs call it.
//
// Sources: https://httpd.apache.org/docs/2.4/logs.html, https://nginx.org/en/docs/http/ngx_http_log_module.html.
package accesslog

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Entry is a line taken apart. What a server does not know it logs as "-".
type Entry struct {
	Host    string // of the client: a name or an address
	Ident   string // what the client's identd says, nearly always "-"
	User    string // who was let in; it may hold spaces
	Time    time.Time
	Request string // the first line of the request

	// The parts of a request that reads METHOD TARGET PROTOCOL, or METHOD TARGET as in HTTP/0.9. Of what else clients send,
	// such as "-" when they send nothing, all three are "".
	Method, Target, Protocol string

	Status int   // 100 to 599, or as the server says: three digits
	Bytes  int64 // sent, without headers; 0 if logged as "-"

	Combined bool // the line has the two fields that follow
	Referer  string
	Agent    string
}

// Parse takes a line apart. Times are in UTC. The error says what is wrong and shows the beginning of the line.
func Parse(line string) (Entry, error) {
	var e Entry
	if err := e.parse(line); err != nil {
		return Entry{}, fmt.Errorf("the line %.200q is none of an access log: %w", line, err)
	}
	return e, nil
}

func (e *Entry) parse(line string) error {
	rest, err := e.client(line)
	if err != nil {
		return err
	}
	if e.Request, rest, err = quoted(rest, "request"); err != nil {
		return err
	}
	e.splitRequest()
	if rest, err = e.outcome(rest); err != nil || rest == "" {
		return err
	}
	if e.Referer, rest, err = quoted(rest, "referer"); err != nil {
		return err
	}
	if rest, err = space(rest, "referer"); err != nil {
		return err
	}
	if e.Agent, rest, err = quoted(rest, "user agent"); err != nil {
		return err
	}
	e.Combined = true
	if rest != "" && rest[0] != ' ' {
		return errors.New("no space after the user agent")
	}
	return nil
}

// client reads what stands before the request.
func (e *Entry) client(line string) (rest string, err error) {
	var ok bool
	if e.Host, rest, ok = strings.Cut(line, " "); !ok || e.Host == "" {
		return "", errors.New("it does not begin with a host and a space")
	}
	if e.Ident, rest, ok = strings.Cut(rest, " "); !ok || e.Ident == "" {
		return "", errors.New("no ident (or \"-\") after the host")
	}
	var at string
	if e.User, at, rest, err = userAndTime(rest); err != nil {
		return "", err
	}
	e.Time, err = parseTime(at)
	return rest, err
}

// userAndTime finds the time by what stands around it, up to the quotation mark of the request: clients choose their user names,
// which may hold spaces and brackets, but servers put a backslash before a quotation mark in one.
func userAndTime(s string) (user, at, rest string, err error) {
	for from := 0; ; {
		i := strings.Index(s[from:], " [")
		if i < 0 {
			return "", "", "", fmt.Errorf("no user (or \"-\") and time like [%s] after the ident, with a request in quotation marks behind", timeFormat)
		}
		from += i + 2
		end := from + len(timeFormat)
		if from > 2 && len(s) > end+2 && s[end:end+3] == `] "` {
			return s[:from-2], s[from:end], s[end+2:], nil
		}
	}
}

// splitRequest finds the parts of a request. A target may hold spaces if a careless client sent them.
func (e *Entry) splitRequest() {
	method, target, ok := strings.Cut(e.Request, " ")
	if !ok || !isMethod(method) {
		return
	}
	protocol := ""
	if i := strings.LastIndexByte(target, ' '); i >= 0 && strings.HasPrefix(target[i+1:], "HTTP/") {
		target, protocol = target[:i], target[i+1:]
	}
	if target != "" && !strings.HasPrefix(target, "HTTP/") {
		e.Method, e.Target, e.Protocol = method, target, protocol
	}
}

// isMethod says whether a word may be a method: those of HTTP and its extensions are letters and hyphens.
func isMethod(word string) bool {
	for i := range len(word) {
		if c := word[i] | 0x20; (c < 'a' || c > 'z') && word[i] != '-' {
			return false
		}
	}
	return word != ""
}

// outcome reads status and bytes. Nothing is left of a line in the common format.
func (e *Entry) outcome(rest string) (string, error) {
	rest, err := space(rest, "request")
	if err != nil {
		return "", err
	}
	if len(rest) < 4 || rest[3] != ' ' {
		return "", errors.New("no status of three digits after the request")
	}
	status, ok := digits(rest[:3])
	if !ok {
		return "", fmt.Errorf("the status %q is no number", rest[:3])
	}
	e.Status = int(status)
	size, rest, more := strings.Cut(rest[4:], " ")
	if size != "-" {
		if e.Bytes, ok = digits(size); !ok {
			return "", fmt.Errorf("%.30q stands for the bytes sent: a number or \"-\" is expected", size)
		}
	}
	if more && rest == "" {
		return "", errors.New("it ends after the bytes with a space: a referer is expected")
	}
	return rest, nil
}

// quoted reads a field in quotation marks, in which a backslash takes the next byte's meaning away.
func quoted(s, name string) (field, rest string, err error) {
	if s == "" || s[0] != '"' {
		return "", "", fmt.Errorf("no %s in quotation marks where it is expected", name)
	}
	for end := 1; ; end++ {
		i := strings.IndexByte(s[end:], '"')
		if i < 0 {
			return "", "", fmt.Errorf("the %s has no closing quotation mark", name)
		}
		end += i
		backslashes := 0
		for s[end-1-backslashes] == '\\' { // s[0] ends this
			backslashes++
		}
		if backslashes%2 == 0 {
			return s[1:end], s[end+1:], nil
		}
	}
}

// space takes the space off that stands after a field.
func space(s, field string) (string, error) {
	if s == "" || s[0] != ' ' {
		return "", fmt.Errorf("no space after the %s", field)
	}
	return s[1:], nil
}

// digits reads a decimal number of at most 18 digits, without a sign.
func digits(s string) (n int64, ok bool) {
	if s == "" || len(s) > 18 {
		return 0, false
	}
	for i := range len(s) {
		d := s[i] - '0'
		if d > 9 {
			return 0, false
		}
		n = 10*n + int64(d)
	}
	return n, true
}
