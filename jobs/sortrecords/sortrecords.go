// Package sortrecords sorts text lines, or records of fixed length by the bytes that they begin with. The parts are in order
// one after the other; records with the same key stay in the order of the input, none is left out.
package sortrecords

import (
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/millrace/millrace/jobs"
)

// Line is a row of sorted text.
type Line struct{ Line string }

// Bytes is a row of sorted lines that need not be text.
type Bytes struct{ Line []byte }

// Record is a row of sorted records.
type Record struct{ Record []byte }

// Params are what a submitter may choose.
type Params struct {
	Format       string `param:"format" default:"lines" oneof:"lines|bytes|records" help:"what to sort: lines of UTF-8 text, lines of any bytes, or records of fixed length"`
	RecordLength int    `param:"record-length" default:"100" help:"bytes of a record, for format=records"`
	KeyLength    int    `param:"key-length" default:"10" help:"bytes at a record's begin to sort by, for format=records"`
}

// Validate reports lengths that no record can have.
func (p Params) Validate() error {
	switch {
	case p.RecordLength < 1:
		return fmt.Errorf("parameter record-length: %d: a record has 1 byte at least", p.RecordLength)
	case p.KeyLength < 1 || p.KeyLength > p.RecordLength:
		return fmt.Errorf("parameter key-length: %d: must be between 1 and record-length, which is %d", p.KeyLength, p.RecordLength)
	}
	return nil
}

// Job returns the job "sort".
func Job() *jobs.Job {
	return jobs.Define("sort", func(_ *jobs.Task, p Params) (jobs.Code, error) {
		switch p.Format {
		case "records":
			return jobs.MapReduce(p.split, new(joiner).join, jobs.TotalOrder(), jobs.FixedLength(p.RecordLength)), nil
		case "bytes":
			return jobs.MapReduce(anyLine, bytesRows, jobs.TotalOrder()), nil
		}
		return jobs.MapReduce(textLine, lineRows, jobs.TotalOrder()), nil
	}, jobs.Doc("Sorts lines or fixed-length records, over all parts. Order is by bytes, for UTF-8 that of code points."))
}

// none is the value of a pair whose key says all.
type none struct{}

var errNotText = errors.New("the line is not valid UTF-8: sort with -p format=bytes, which gives a binary column")

// textLine makes a line its own key.
func textLine(line string, emit func(string, none)) error {
	if !utf8.ValidString(line) {
		return errNotText
	}
	emit(line, none{})
	return nil
}

// lineRows gives a line as often as it occurred.
func lineRows(line string, times jobs.Values[none], emit func(Line)) error {
	for range times.All() {
		emit(Line{line})
	}
	return nil
}

func anyLine(line []byte, emit func([]byte, none)) error {
	emit(line, none{})
	return nil
}

func bytesRows(line []byte, times jobs.Values[none], emit func(Bytes)) error {
	for range times.All() {
		emit(Bytes{line})
	}
	return nil
}

// split makes a record's first bytes the key and the others the value.
func (p Params) split(record []byte, emit func(key, rest []byte)) error {
	emit(record[:p.KeyLength], record[p.KeyLength:])
	return nil
}

// joiner puts records together again, in a buffer that an attempt keeps.
type joiner struct{ record []byte }

// join gives the records of a key. Those with the same key come in the order of the input.
func (j *joiner) join(key []byte, rests jobs.Values[[]byte], emit func(Record)) error {
	for rest := range rests.All() {
		j.record = append(append(j.record[:0], key...), rest...)
		emit(Record{j.record})
	}
	return nil
}
