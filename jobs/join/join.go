// Package join joins two inputs of lines by a field of each: inner, left, right or full.
//
// It shows how a job reads two inputs. Each has a map function of its own, which finds the key in its lines and marks the side.
// Values of one key come by input, the left lines of a key before the right ones, so the reduce function holds the left lines
// of one key and lets the right ones stream past: a key that half of the right lines have costs no memory.
package join

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/millrace/millrace/jobs"
)

// Params are what a submitter may choose.
type Params struct {
	Type           string    `param:"type" default:"inner" oneof:"inner|left|right|full" help:"which lines without a partner are kept: inner, none; left and right, those of that side; full, both"`
	LeftField      int       `param:"left-field" default:"1" help:"number of the left lines' field to join by, from 1; 0: the whole line"`
	RightField     int       `param:"right-field" default:"1" help:"number of the right lines' field to join by, from 1; 0: the whole line"`
	LeftSeparator  string    `param:"left-separator" default:"\t" help:"what stands between the left lines' fields; a tab if not stated"`
	RightSeparator string    `param:"right-separator" default:"\t" help:"what stands between the right lines' fields; a tab if not stated"`
	Hold           jobs.Size `param:"hold" default:"64MiB" help:"most memory for the left lines of one key; each reduce task under way may need as much"`
}

// Validate reports a parameter that makes no sense.
func (p Params) Validate() error {
	if p.LeftField < 0 || p.RightField < 0 || p.LeftSeparator == "" || p.RightSeparator == "" {
		return fmt.Errorf("parameters left-field=%d, right-field=%d, left-separator=%q, right-separator=%q: count fields from 1, or state 0 for the whole line; no separator is empty",
			p.LeftField, p.RightField, p.LeftSeparator, p.RightSeparator)
	}
	if p.Hold < 1 {
		return fmt.Errorf("parameter hold: %d bytes hold no line", p.Hold)
	}
	return nil
}

// Row is a row of the result: two lines that share a key. One that has no partner stands alone.
type Row struct {
	Key   string
	Left  *string
	Right *string
}

// Job returns the job "join".
func Job() *jobs.Job {
	return jobs.Define("join", func(_ *jobs.Task, p Params) (jobs.Code, error) {
		j := &joiner{
			keepLeft:  p.Type == "left" || p.Type == "full",
			keepRight: p.Type == "right" || p.Type == "full",
			most:      int64(p.Hold),
		}
		return jobs.MapReduceFrom(jobs.Inputs(
			jobs.From("left", keyed("left", p.LeftField, p.LeftSeparator, false)),
			jobs.From("right", keyed("right", p.RightField, p.RightSeparator, true)),
		), j.reduce), nil
	}, jobs.Doc("Joins the lines of two inputs by a field of each. One row per pair of lines with the same key: key, left line, right line.\n"+
		"Rows are in order of the key, then of the right line, then of the left one, as the inputs have them. A line without a\n"+
		"partner is kept as -p type says, with nothing on the other side. The left lines of one key are held in memory: let the\n"+
		"left input be the one with fewer lines a key."))
}

// line is a line of one of the inputs.
type line struct {
	Right bool
	Text  string
}

// keyed returns the map function of one side.
func keyed(side string, field int, separator string, right bool) func(string, func(string, line)) error {
	return func(text string, emit func(string, line)) error {
		key, err := jobs.CutField(text, separator, field)
		if err != nil {
			return fmt.Errorf("%w: state another with -p %s-field, or what stands between fields with -p %[2]s-separator", err, side)
		}
		if !utf8.ValidString(text) {
			return fmt.Errorf("the line %.100q is not valid UTF-8: convert the input to UTF-8", text)
		}
		emit(key, line{right, text})
		return nil
	}
}

// joiner is the reduce function with the left lines of the key at hand. Its slice and strings are used again for every key, so
// that a row of the result costs no memory of its own.
type joiner struct {
	keepLeft, keepRight bool

	most        int64 // bytes of held
	held        []string
	left, right string // of the row
}

// lineOverhead is what a held line takes beside its text: the string, and the allocator's rounding.
const lineOverhead = 32

func (j *joiner) reduce(key string, lines jobs.Values[line], emit func(Row)) error {
	clear(j.held)
	j.held = j.held[:0]
	bytes, matched := int64(0), false
	for l := range lines.All() {
		if !l.Right {
			if bytes += int64(len(l.Text)) + lineOverhead; bytes > j.most {
				return fmt.Errorf("the %d left lines read so far that have this key take more than %v: let the input with fewer lines a key be the left one, or raise -p hold",
					len(j.held)+1, jobs.Size(j.most))
			}
			// A copy: what l.Text is a view of is a whole batch of pairs.
			j.held = append(j.held, strings.Clone(l.Text))
			continue
		}
		matched = true
		if len(j.held) == 0 && !j.keepRight {
			return nil // the rest of the key's lines are right ones too
		}
		j.right = l.Text
		if len(j.held) == 0 {
			emit(Row{Key: key, Right: &j.right})
		}
		for _, left := range j.held {
			j.left = left
			emit(Row{Key: key, Left: &j.left, Right: &j.right})
		}
	}
	if matched || !j.keepLeft {
		return nil
	}
	for _, left := range j.held {
		j.left = left
		emit(Row{Key: key, Left: &j.left})
	}
	return nil
}
