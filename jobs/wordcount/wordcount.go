// Package wordcount counts the words of texts: the job to read first. A word is a maximal run of Unicode letters; bytes
// that are not UTF-8 are no letters.
package wordcount

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/millrace/millrace/jobs"
)

// Count is a row of the result.
type Count struct {
	Word string
	N    int64
}

// Params are what a submitter may choose.
type Params struct {
	Lower     bool `param:"lower" default:"false" help:"count words in lower case: The and the are one word"`
	MinLength int  `param:"min-length" default:"1" help:"leave out words with fewer letters"`
}

// Validate reports a parameter that makes no sense.
func (p Params) Validate() error {
	if p.MinLength < 1 {
		return fmt.Errorf("parameter min-length: %d: a word has 1 letter at least", p.MinLength)
	}
	return nil
}

// Job returns the job "wordcount".
func Job() *jobs.Job {
	return jobs.Define("wordcount", func(_ *jobs.Task, p Params) (jobs.Code, error) {
		return jobs.MapReduce(p.words, total, jobs.Combine(jobs.Sum[int64])), nil
	}, jobs.Doc("Counts words: maximal runs of Unicode letters. One row per word, with how often it occurs."))
}

// words is the map function: each word of a line counts once.
func (p Params) words(line string, emit func(word string, n int64)) error {
	for word := range jobs.Words(line) {
		if p.MinLength > 1 && utf8.RuneCountInString(word) < p.MinLength {
			continue
		}
		if p.Lower {
			word = strings.ToLower(word)
		}
		emit(word, 1)
	}
	return nil
}

// total is the reduce function.
func total(word string, ns jobs.Values[int64], emit func(Count)) error {
	emit(Count{word, jobs.Total(ns)})
	return nil
}
