// Package termvector says for each host what its pages are about: its most frequent terms. A term is a word.
//
// A host may have any number of terms, of which few are shown. They reach the reduce function in order (option OrderBy), so that
// it adds up one after the other and keeps the best alone. The map function counts the terms of many lines before it emits
// them: OrderBy leaves no room for a combiner.
package termvector

import (
	"errors"
	"fmt"
	"path"
	"strings"
	"unicode/utf8"

	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/jobs/internal/best"
)

// Params are what a submitter may choose.
type Params struct {
	Host      string `param:"host" default:"folder" oneof:"folder|file|line" help:"what names the host of a text: the folder that a file is in, the file, or the beginning of each line, a URL or a host"`
	Separator string `param:"separator" default:"\t" help:"what stands between host and text, for host=line; a tab if not stated"`
	Terms     int    `param:"terms" default:"10" help:"how many terms to show of a host, at most 100,000"`
	MinCount  int64  `param:"min-count" default:"1" help:"show no terms that occur less often"`
	Lower     bool   `param:"lower" default:"false" help:"count terms in lower case: The and the are one term"`
	MinLength int    `param:"min-length" default:"1" help:"leave out words with fewer letters"`

	StopWords jobs.SideInput `param:"stop-words" default:"" help:"a file of words to leave out, with anything but letters between them"`
}

const maxTerms = 100_000

// Validate reports a parameter that makes no sense.
func (p Params) Validate() error {
	switch {
	case p.Terms < 1 || p.Terms > maxTerms:
		return fmt.Errorf("parameter terms: %d: must be from 1 to %d", p.Terms, maxTerms)
	case p.MinCount < 1:
		return fmt.Errorf("parameter min-count: %d: a term occurs once at least", p.MinCount)
	case p.MinLength < 1:
		return fmt.Errorf("parameter min-length: %d: a word has 1 letter at least", p.MinLength)
	case p.Separator == "":
		return errors.New("parameter separator: it is empty: state what stands between host and text")
	}
	return nil
}

// Row is a row of the result.
type Row struct {
	Host     string
	Words    int64 // in all texts of the host
	Distinct int64 // different terms among them
	Terms    []Term
}

// Term is a term with how often it occurs. The most frequent comes first, and of those equally frequent the lesser one.
type Term struct {
	Term  string
	Count int64
}

// Job returns the job "termvector".
func Job() *jobs.Job {
	return jobs.Define("termvector", func(t *jobs.Task, p Params) (jobs.Code, error) {
		c := &counter{params: p, index: map[string]int{}, stop: jobs.Shared(t, p.StopWords, p.stopWords)}
		order := jobs.OrderBy(func(t Term) string { return t.Term })
		if p.Host == "line" {
			return jobs.MapReduce(c.line, p.vectors(), order), nil
		}
		return jobs.MapReduce(c.lines, p.vectors(), order), nil
	}, jobs.Doc("Makes a term vector per host: the most frequent words of its texts.\n"+
		"Texts lie in a folder or file per host, or in lines that begin with a host or URL. One row per host: host, words, distinct,\n"+
		"terms (a list of term and count, the most frequent first)."))
}

// stopWords reads the words to leave out. What counts words in lower case compares them so, too.
func (p Params) stopWords(text []byte) (map[string]bool, error) {
	if !utf8.Valid(text) {
		return nil, errors.New("it is not UTF-8 text: write the words in UTF-8")
	}
	words := map[string]bool{}
	for word := range jobs.Words(string(text)) {
		if p.Lower {
			word = strings.ToLower(word)
		}
		words[word] = true
	}
	return words, nil
}

// counter is the state of one map attempt: the terms of one record.
type counter struct {
	params Params
	stop   *jobs.Parsed[map[string]bool]
	terms  []Term // in the order of their first places
	index  map[string]int
}

// lines is the map function for files.
func (c *counter) lines(lines jobs.Lines, emit func(string, Term)) error {
	host := lines.URL
	if c.params.Host == "folder" {
		host = path.Base(path.Dir(lines.URL))
	}
	return c.count(host, lines.Text, emit)
}

// line is the map function for lines that begin with their host.
func (c *counter) line(line string, emit func(string, Term)) error {
	url, text, ok := strings.Cut(line, c.params.Separator)
	host := hostOf(url)
	if !ok || host == "" {
		return fmt.Errorf("the line %.100q does not begin with a host or URL and %q: state what stands behind it with -p separator", line, c.params.Separator)
	}
	return c.count(host, text, emit)
}

// hostOf is the host of a URL, without user and port and in lower case; of what has no "//" all is the host.
func hostOf(url string) string {
	_, rest, ok := strings.Cut(url, "//")
	if !ok {
		return url
	}
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		rest = rest[:i]
	}
	rest = rest[strings.LastIndexByte(rest, '@')+1:]
	if i := strings.LastIndexByte(rest, ':'); i >= 0 && strings.Trim(rest[i+1:], "0123456789") == "" {
		rest = rest[:i]
	}
	return strings.ToLower(rest)
}

// count emits each term of a text once.
func (c *counter) count(host, text string, emit func(string, Term)) error {
	if !utf8.ValidString(host) {
		return fmt.Errorf("the host %.100q is not valid UTF-8: rename it", host)
	}
	clear(c.index)
	c.terms = c.terms[:0]
	stop := c.stop.Get()
	for word := range jobs.Words(text) {
		if c.params.MinLength > 1 && utf8.RuneCountInString(word) < c.params.MinLength {
			continue
		}
		if c.params.Lower {
			word = strings.ToLower(word)
		}
		if stop[word] {
			continue
		}
		i, known := c.index[word]
		if !known {
			i = len(c.terms)
			c.index[word] = i
			c.terms = append(c.terms, Term{Term: word})
		}
		c.terms[i].Count++
	}
	for _, t := range c.terms {
		emit(host, t)
	}
	return nil
}

// vectors returns the reduce function of one attempt: the terms of a host come in order, those that are equal together.
func (p Params) vectors() func(string, jobs.Values[Term], func(Row)) error {
	top := best.New(p.Terms)
	return func(host string, terms jobs.Values[Term], emit func(Row)) error {
		row := Row{Host: host}
		var last Term
		end := func() {
			if last.Count >= p.MinCount {
				top.See(last.Term, last.Count)
			}
		}
		for t := range terms.All() {
			row.Words += t.Count
			if row.Distinct > 0 && t.Term == last.Term {
				last.Count += t.Count
				continue
			}
			end()
			row.Distinct++
			last = t
		}
		end()
		for _, c := range top.Take() {
			row.Terms = append(row.Terms, Term{c.Value, c.Count})
		}
		emit(row)
		return nil
	}
}
