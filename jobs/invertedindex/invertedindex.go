// Package invertedindex makes an index of texts: for each word the documents, and if wished the places, where it occurs.
//
// A document is a file. The map function takes many lines at a time and emits one pair for each word in them, with its places:
// that is fewer and larger pairs than one for each occurrence, without the work of a combiner. The values of a key arrive in
// the order of the input, so places come in order.
package invertedindex

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/millrace/millrace/jobs"
)

// Params are what a submitter may choose.
type Params struct {
	Positions bool      `param:"positions" default:"false" help:"say at which byte offsets of a document the word begins"`
	Layout    string    `param:"layout" default:"lists" oneof:"lists|rows" help:"lists: a row per word, with the list of its documents; rows: a row per word and document"`
	MaxList   jobs.Size `param:"max-list" default:"16MiB" help:"largest list, for layout=lists: a reduce task holds one in memory; a larger one fails the job"`
	Lower     bool      `param:"lower" default:"false" help:"index words in lower case: The and the are one word"`
	MinLength int       `param:"min-length" default:"1" help:"leave out words with fewer letters"`
}

// Validate reports a parameter that makes no sense.
func (p Params) Validate() error {
	switch {
	case p.MinLength < 1:
		return fmt.Errorf("parameter min-length: %d: a word has 1 letter at least", p.MinLength)
	case p.MaxList < 1 || p.MaxList > maxMaxList:
		return fmt.Errorf("parameter max-list: %v: must be from 1B to %v", p.MaxList, jobs.Size(maxMaxList))
	}
	return nil
}

// maxMaxList is below what a row may take.
const maxMaxList = 512 << 20

// Posting is that a word occurs in a document.
type Posting struct {
	Document string
	Count    int64
}

// PlacedPosting is a posting with the byte offsets at which the word begins, in order.
type PlacedPosting struct {
	Posting
	Positions []int64
}

// List is a row of layout=lists: a word with its documents, in order of their names.
type List[P any] struct {
	Word      string
	Documents int64 // length of Postings
	Count     int64 // in all documents
	Postings  []P
}

// Entry is a row of layout=rows.
type Entry struct {
	Word string
	Posting
}

// PlacedEntry is a row of layout=rows with positions.
type PlacedEntry struct {
	Word string
	PlacedPosting
}

// Job returns the job "invertedindex".
func Job() *jobs.Job {
	return jobs.Define("invertedindex", func(_ *jobs.Task, p Params) (jobs.Code, error) {
		places := &places{params: p, words: map[string]int{}}
		switch {
		case p.Layout == "rows" && p.Positions:
			return jobs.MapReduce(places.byDocument, p.placedEntry), nil
		case p.Layout == "rows":
			return jobs.MapReduce(places.byDocument, entry), nil
		case p.Positions:
			return jobs.MapReduce(places.byWord, lists(p.MaxList, func(p PlacedPosting) PlacedPosting { return p })), nil
		}
		return jobs.MapReduce(places.byWord, lists(p.MaxList, func(p PlacedPosting) Posting { return p.Posting })), nil
	}, jobs.Doc("Makes an inverted index: for each word the documents (files) where it occurs, in order, with counts or byte offsets.\n"+
		"With layout=lists a word is a row, and its documents a list; with layout=rows each word and document is a row, so that a\n"+
		"word may be in any number of documents."))
}

// key is the key of layout=rows.
type key struct{ Word, Document string }

// places is the state of one map attempt: where the words of some lines are.
type places struct {
	params Params
	words  map[string]int // index in found
	found  []found        // in the order of their first places
}

// found is a word with its places in some lines.
type found struct {
	word  string
	count int64
	at    []int64 // offsets, if wished
}

// byWord is the map function of layout=lists.
func (p *places) byWord(lines jobs.Lines, emit func(string, PlacedPosting)) error {
	if err := p.find(lines); err != nil {
		return err
	}
	for _, f := range p.found {
		emit(f.word, PlacedPosting{Posting{lines.URL, f.count}, f.at})
	}
	return nil
}

// byDocument is the map function of layout=rows.
func (p *places) byDocument(lines jobs.Lines, emit func(key, PlacedPosting)) error {
	if err := p.find(lines); err != nil {
		return err
	}
	for _, f := range p.found {
		emit(key{f.word, lines.URL}, PlacedPosting{Posting{"", f.count}, f.at})
	}
	return nil
}

// find fills p.found with the words of lines.
func (p *places) find(lines jobs.Lines) error {
	if !utf8.ValidString(lines.URL) {
		return errors.New("the file's name is not valid UTF-8, which a document's name must be: rename the file")
	}
	clear(p.words)
	p.found = p.found[:0]
	end := 0
	for word := range jobs.Words(lines.Text) {
		if p.params.Positions {
			// Between two words there are no letters, so the next place of its letters is the word itself.
			end += strings.Index(lines.Text[end:], word)
		}
		at := lines.Offset + int64(end)
		if p.params.Positions {
			end += len(word)
		}
		if p.params.MinLength > 1 && utf8.RuneCountInString(word) < p.params.MinLength {
			continue
		}
		if p.params.Lower {
			word = strings.ToLower(word)
		}
		i, known := p.words[word]
		if !known {
			i = p.add(word)
		}
		p.found[i].count++
		if p.params.Positions {
			p.found[i].at = append(p.found[i].at, at)
		}
	}
	return nil
}

// add begins a word that was not found before, with the memory of one that was found in earlier lines.
func (p *places) add(word string) int {
	i := len(p.found)
	if i < cap(p.found) {
		p.found = p.found[:i+1]
		p.found[i] = found{word: word, at: p.found[i].at[:0]}
	} else {
		p.found = append(p.found, found{word: word})
	}
	p.words[word] = i
	return i
}

// entry is the reduce function of layout=rows.
func entry(k key, values jobs.Values[PlacedPosting], emit func(Entry)) error {
	row := Entry{k.Word, Posting{Document: k.Document}}
	for v := range values.All() {
		row.Count += v.Count
	}
	emit(row)
	return nil
}

// placedEntry is the same with positions.
func (p Params) placedEntry(k key, values jobs.Values[PlacedPosting], emit func(PlacedEntry)) error {
	row := PlacedEntry{k.Word, PlacedPosting{Posting{Document: k.Document}, nil}}
	for v := range values.All() {
		row.Count += v.Count
		row.Positions = append(row.Positions, v.Positions...)
		if jobs.Size(8*len(row.Positions)) > p.MaxList {
			return fmt.Errorf("the list of the word's positions in the document is larger than %v: leave out -p positions, or choose a larger -p max-list", p.MaxList)
		}
	}
	slices.Sort(row.Positions) // which they are already, unless an input is stated twice
	emit(row)
	return nil
}

// lists returns the reduce function of layout=lists: shown makes of a posting what the row shows.
func lists[P any](limit jobs.Size, shown func(PlacedPosting) P) func(string, jobs.Values[PlacedPosting], func(List[P])) error {
	var list []PlacedPosting
	var out []P
	return func(word string, values jobs.Values[PlacedPosting], emit func(List[P])) error {
		list, out = list[:0], out[:0]
		var size jobs.Size
		row := List[P]{Word: word}
		for v := range values.All() {
			row.Count += v.Count
			if n := len(list); n > 0 && list[n-1].Document == v.Document {
				list[n-1].Count += v.Count
				list[n-1].Positions = append(list[n-1].Positions, v.Positions...)
			} else {
				v.Document = strings.Clone(v.Document) // which is a view into a batch of pairs
				list = append(list, v)
				size += jobs.Size(len(v.Document)) + postingBytes
			}
			if size += jobs.Size(8 * len(v.Positions)); size > limit {
				return fmt.Errorf("the list of the word's documents is larger than %v after %d of them: choose -p layout=rows, which has a row for each, or a larger -p max-list", limit, len(list))
			}
		}
		// The order of the input is that of the names unless somebody states inputs in another one, or twice.
		slices.SortStableFunc(list, func(a, b PlacedPosting) int { return cmp.Compare(a.Document, b.Document) })
		for _, p := range merge(list) {
			out = append(out, shown(p))
		}
		row.Documents, row.Postings = int64(len(out)), out
		emit(row)
		return nil
	}
}

// postingBytes is what a posting takes beside its name and places.
const postingBytes = 64

// merge joins neighbours with one document.
func merge(list []PlacedPosting) []PlacedPosting {
	kept := list[:0]
	for _, p := range list {
		if n := len(kept); n > 0 && kept[n-1].Document == p.Document {
			kept[n-1].Count += p.Count
			kept[n-1].Positions = append(kept[n-1].Positions, p.Positions...)
			slices.Sort(kept[n-1].Positions)
			continue
		}
		kept = append(kept, p)
	}
	return kept
}
