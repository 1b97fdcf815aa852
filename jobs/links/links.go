// Package links turns a graph of links around: from lines that say which page (or package, person, paper) links to which, it
// makes for each target the list of those that link to it.
//
// It is a job of two shapes. With a row for each target, the sources are collected in memory, as every list must be; with a
// row for each pair, they stream, and a combiner joins the links between the same two.
package links

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/millrace/millrace/jobs"
)

// Params are what a submitter may choose.
type Params struct {
	Source    int       `param:"source" default:"1" help:"number of the field with the source of a link, from 1"`
	Target    int       `param:"target" default:"2" help:"number of the field with the target of a link, from 1"`
	Separator string    `param:"separator" default:"\t" help:"what stands between fields; a tab if not stated"`
	Comment   string    `param:"comment" default:"" help:"lines that begin so are left out, such as # in many published graphs"`
	Layout    string    `param:"layout" default:"lists" oneof:"lists|rows" help:"lists: a row per target, with the list of its sources; rows: a row per target and source"`
	MaxList   jobs.Size `param:"max-list" default:"16MiB" help:"largest list, for layout=lists: a reduce task holds one in memory; a larger one fails the job"`
}

// maxMaxList is below what a row may take.
const maxMaxList = 512 << 20

// Validate reports a parameter that makes no sense.
func (p Params) Validate() error {
	switch {
	case p.Source < 1 || p.Target < 1 || p.Source == p.Target:
		return fmt.Errorf("parameters source=%d, target=%d: count fields from 1, and name two different ones", p.Source, p.Target)
	case p.Separator == "":
		return fmt.Errorf("parameter separator: it is empty: state what stands between fields")
	case p.MaxList < 1 || p.MaxList > maxMaxList:
		return fmt.Errorf("parameter max-list: %v: must be from 1B to %v", p.MaxList, jobs.Size(maxMaxList))
	}
	return nil
}

// List is a row of layout=lists.
type List struct {
	Target  string
	Links   int64    // all that lead to it
	Count   int64    // of different sources
	Sources []string // each once, in order
}

// Link is a row of layout=rows, and without the count a key.
type Link struct {
	Target, Source string
	Links          int64
}

// pair is the key of layout=rows.
type pair struct{ Target, Source string }

// Job returns the job "links".
func Job() *jobs.Job {
	return jobs.Define("links", func(_ *jobs.Task, p Params) (jobs.Code, error) {
		if p.Layout == "rows" {
			m := func(line string, emit func(pair, int64)) error {
				return p.read(line, func(source, target string) { emit(pair{target, source}, 1) })
			}
			r := func(at pair, ns jobs.Values[int64], emit func(Link)) error {
				emit(Link{at.Target, at.Source, jobs.Total(ns)})
				return nil
			}
			return jobs.MapReduce(m, r, jobs.Combine(jobs.Sum[int64])), nil
		}
		m := func(line string, emit func(string, string)) error {
			return p.read(line, func(source, target string) { emit(target, source) })
		}
		return jobs.MapReduce(m, p.collect), nil
	}, jobs.Doc("Turns a graph of links around: from lines of \"source<TAB>target\", the sources that link to each target.\n"+
		"With layout=lists a target is a row, and its sources, each once and in order, a list; with layout=rows each target and\n"+
		"source is a row, so that any number of sources may link to a target."))
}

// read takes a line apart.
func (p Params) read(line string, link func(source, target string)) error {
	if p.Comment != "" && strings.HasPrefix(line, p.Comment) {
		return nil
	}
	source, err := jobs.CutField(line, p.Separator, p.Source)
	if err != nil {
		return fmt.Errorf("%w: state another with -p source, or what stands between fields with -p separator", err)
	}
	target, err := jobs.CutField(line, p.Separator, p.Target)
	if err != nil {
		return fmt.Errorf("%w: state another with -p target, or what stands between fields with -p separator", err)
	}
	for _, name := range [...]string{source, target} {
		if name == "" || !utf8.ValidString(name) {
			return fmt.Errorf("the line %.100q links %.100q to %.100q: neither may be empty, and both must be valid UTF-8", line, source, target)
		}
	}
	link(source, target)
	return nil
}

// nameBytes is what a name takes beside its bytes, in the set and in the list.
const nameBytes = 64

// collect is the reduce function of layout=lists. A page may link to another many times: its name is kept once.
func (p Params) collect(target string, sources jobs.Values[string], emit func(List)) error {
	row := List{Target: target}
	seen := map[string]struct{}{}
	var size jobs.Size
	for source := range sources.All() {
		row.Links++
		if _, known := seen[source]; known {
			continue
		}
		source = strings.Clone(source) // which is a view into a batch of pairs
		seen[source] = struct{}{}
		row.Sources = append(row.Sources, source)
		if size += jobs.Size(len(source)) + nameBytes; size > p.MaxList {
			return fmt.Errorf("the list of those that link to it is larger than %v after %d of them: choose -p layout=rows, which has a row for each, or a larger -p max-list", p.MaxList, len(row.Sources))
		}
	}
	slices.Sort(row.Sources)
	row.Count = int64(len(row.Sources))
	emit(row)
	return nil
}
