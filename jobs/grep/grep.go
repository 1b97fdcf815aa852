// Package grep finds the lines that match a regular expression, and says where they are.
package grep

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/millrace/millrace/jobs"
)

// Match is a row of the result. A line that is not valid UTF-8 has the character U+FFFD in place of the bytes that are not;
// File and Offset say where the bytes themselves are.
type Match struct {
	File   string
	Offset int64 // of the line's first byte
	Line   string
}

// Params are what a submitter may choose.
type Params struct {
	Pattern    string `param:"pattern" help:"regular expression (RE2: https://github.com/google/re2/wiki/Syntax)"`
	IgnoreCase bool   `param:"ignore-case" default:"false" help:"let letters match in either case"`
	Invert     bool   `param:"invert" default:"false" help:"find the lines that do not match"`
}

// Place is the key: rows come out by file, and within it by offset.
type Place struct {
	File   string
	Offset int64
}

// Job returns the job "grep".
func Job() *jobs.Job {
	return jobs.Define("grep", func(_ *jobs.Task, p Params) (jobs.Code, error) {
		pattern, err := p.matcher()
		if err != nil {
			return jobs.Code{}, err
		}
		find := func(text jobs.Lines, emit func(Place, string)) error {
			found := func(line jobs.Line) { emit(Place{line.URL, line.Offset}, line.Text) }
			if p.Invert {
				pattern.others(text, found)
			} else {
				pattern.find(text, found)
			}
			return nil
		}
		// One part is what a person wants of a search; with more of them, they are in order all the same.
		return jobs.MapReduce(find, rows, jobs.TotalOrder(), jobs.Reducers(1)), nil
	}, jobs.Doc("Finds the lines that match a regular expression. One row per line: file, byte offset, line; in this order."))
}

// matcher returns what lines are matched with.
func (p Params) matcher() (*matcher, error) {
	if _, err := regexp.Compile(p.Pattern); err != nil {
		return nil, fmt.Errorf("parameter pattern: %q is no regular expression: %w", p.Pattern, err)
	}
	if p.IgnoreCase {
		return newMatcher("(?i:" + p.Pattern + ")")
	}
	return newMatcher(p.Pattern)
}

// rows is the reduce function: a place has one line, unless a file is given twice.
func rows(at Place, lines jobs.Values[string], emit func(Match)) error {
	for line := range lines.All() {
		emit(Match{valid(at.File), at.Offset, valid(line)})
	}
	return nil
}

func valid(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }
