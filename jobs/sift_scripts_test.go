package jobs_test

import (
	"errors"
	"fmt"
	"strings"

	"github.com/millrace/millrace/jobs"
)

// script is what a map function does with a record of TestSift, word by word. Words that begin with '!' fail.
type script struct {
	emit  func(word string, n int) // a pair, or a row
	task  *jobs.Task
	built *jobs.Counter // made by the build function
	side  *jobs.SideOutput[sideRow]
}

// sideRow has columns of each kind of memory. The last ones cannot hold every text.
type sideRow struct {
	N     int64
	Flag  bool
	Raw   []byte
	Maybe *int32
	Point struct {
		Yes  *bool
		List []string
	}
	Small uint8
	Word  string
}

func sideOf(word string, n int) sideRow {
	r := sideRow{N: int64(n), Flag: n%3 > 0, Raw: []byte(word), Small: uint8(n), Word: word}
	r.Point.List = []string{}
	if n%2 == 0 {
		small, yes := int32(n), n%4 == 0
		r.Maybe, r.Point.Yes = &small, &yes
		r.Point.List = []string{word, "", word}
	}
	return r
}

// failure is a way to fail.
type failure struct {
	words  []string
	err    string
	panics bool
}

var failures = []failure{
	{[]string{"!error"}, "scripted error", false},
	{[]string{"!panic"}, "panic: scripted", true},
	{[]string{"!nil"}, "invalid memory address", true},
	{[]string{"!utf8"}, "column word", false},
	{[]string{"!list"}, "column point.list", false},
	{[]string{"!swallow"}, "column word", false},
	{[]string{"!swallow-on"}, "column word", false},
	{[]string{"!much", "!error"}, "scripted error", false},
	{[]string{"!much", "!swallow"}, "column word", false},
	{[]string{"!made", "!panic"}, "panic: scripted", true},
}

func (s *script) run(text string) error {
	for i, word := range strings.Fields(text) {
		switch word {
		case "!error":
			return errors.New("scripted error")
		case "!panic":
			panic("scripted")
		case "!nil":
			var p *sideRow
			s.built.Add(int64(p.N))
		case "!utf8":
			s.side.Emit(sideOf("\xff", 1))
		case "!list":
			row := sideOf("x", 2)
			row.Point.List[2] = "\xff"
			s.side.Emit(row)
		case "!swallow", "!swallow-on":
			func() {
				defer func() { _ = recover() }()
				s.side.Emit(sideOf("\xff", 1))
			}()
			if word == "!swallow" {
				return nil
			}
		case "!made":
			s.task.Counter("of bad records").Add(1)
		case "!much", "+much":
			for n := range 3000 {
				s.emit(fmt.Sprintf("%s-%086d", word[1:], n), n)
				if n%10 == 0 {
					s.side.Emit(sideOf(word[1:], n))
				}
			}
			s.built.Add(7)
		case "!partition", "!value":
			s.emit(word, i)
		default:
			s.word(word, i)
		}
	}
	return nil
}

func (s *script) word(word string, i int) {
	switch word[0] {
	case 'b':
		s.built.Add(int64(i))
	case 'c':
		s.task.Counter("made-" + word).Add(int64(i))
	case 's':
		s.side.Emit(sideOf(word, i))
	}
	if word[0] != 'b' {
		s.emit(word, i)
	}
}

// siftCase is a job of scripts.
type siftCase struct {
	name   string
	layout layout
	bad    []failure
	job    *jobs.Job
}

// one is the texts of a record that has one.
func one[R any](text func(R) string) func(R, func(string) error) error {
	return func(r R, f func(string) error) error { return f(text(r)) }
}

// casesOf makes a case of each way that pairs can go, for a type of record.
func casesOf[R any](name string, l layout, texts func(R, func(string) error) error, opts ...jobs.Option) []siftCase {
	text := func(word string, _ int) string { return word }
	number := func(_ string, n int) int64 { return int64(n) }
	word := func(w string, _ int) int64 { return int64(len(w))<<8 + int64(w[len(w)-1]) }
	type group struct {
		First byte
		Word  string
	}
	groupOf := func(w string, _ int) group { return group{w[0], w} }
	list := func(w string, n int) []string { return []string{w, fmt.Sprint(n)} }
	longest := jobs.Combine(func(a, b string) string { return max(a, b, (a + b)[:min(100, len(a)+len(b))]) })
	sum := jobs.Combine(jobs.Sum[int64])
	refuse := func(w string, n int) int {
		if w == "!partition" {
			return n
		}
		return len(w) % n
	}
	failing := func(w string, _ int) picky2 { return picky2{w} }
	with := func(o ...jobs.Option) []jobs.Option { return append(o, opts...) }
	partition := append(failures[:len(failures):len(failures)], failure{[]string{"!partition"}, "the Partition function gave 4", false})
	values := append(failures[:len(failures):len(failures)], failure{[]string{"!value"}, "refused", false})
	return []siftCase{
		{name + ", direct", l, failures, scripted(texts, text, number, with()...)},
		{name + ", texts", l, failures, scripted(texts, text, text, with()...)},
		{name + ", partition", l, partition, scripted(texts, text, number, with(jobs.Partition(refuse))...)},
		{name + ", order", l, failures, scripted(texts, text, number, with(jobs.OrderBy(func(n int64) int64 { return n }))...)},
		{name + ", total order", l, failures, scripted(texts, text, number, with(jobs.TotalOrder())...)},
		{name + ", values that fail", l, values, scripted(texts, text, failing, with()...)},
		{name + ", combine values that fail", l, values, scripted(texts, text, failing, with(jobs.Combine(func(a, _ picky2) picky2 { return a }))...)},
		{name + ", combine", l, failures, scripted(texts, text, number, with(sum)...)},
		{name + ", combine numbers", l, failures, scripted(texts, word, number, with(sum)...)},
		{name + ", combine structs", l, failures, scripted(texts, groupOf, number, with(sum)...)},
		{name + ", combine bytes", l, failures, scripted(texts, func(w string, _ int) []byte { return []byte(w) }, text, with(longest)...)},
		{name + ", combine lists", l, failures, scripted(texts, text, list, with(jobs.Combine(func(a, b []string) []string { return append(a, b...)[:min(9, len(a)+len(b))] }))...)},
		{name + ", combine in partitions", l, partition, scripted(texts, text, number, with(sum, jobs.Partition(refuse))...)},
		{name + ", maps only", l, failures, scriptedRows(texts, with()...)},
	}
}

// picky2 is a value that cannot always be encoded.
type picky2 struct{ word string }

func (p picky2) AppendBinary(b []byte) ([]byte, error) {
	if p.word == "!value" {
		return b, errors.New("refused")
	}
	return append(b, p.word...), nil
}

func (p picky2) MarshalBinary() ([]byte, error) { return p.AppendBinary(nil) }

func (p *picky2) UnmarshalBinary(b []byte) error { p.word = string(b); return nil }

// scripted is a job that runs scripts and emits pairs.
func scripted[R, K, V any](texts func(R, func(string) error) error, key func(string, int) K, value func(string, int) V, opts ...jobs.Option) *jobs.Job {
	return jobs.Define("scripts", func(t *jobs.Task, _ struct{}) (jobs.Code, error) {
		s := &script{task: t, built: t.Counter("built"), side: jobs.Side[sideRow](t, "side")}
		return jobs.MapReduce(func(r R, emit func(K, V)) error {
			s.emit = func(w string, n int) { emit(key(w, n), value(w, n)) }
			return texts(r, s.run)
		}, func(K, jobs.Values[V], func(count)) error { return nil }, opts...), nil
	})
}

// scriptedRows is a job that runs scripts and emits rows.
func scriptedRows[R any](texts func(R, func(string) error) error, opts ...jobs.Option) *jobs.Job {
	return jobs.Define("scripts", func(t *jobs.Task, _ struct{}) (jobs.Code, error) {
		s := &script{task: t, built: t.Counter("built"), side: jobs.Side[sideRow](t, "side")}
		return jobs.MapOnly(func(r R, emit func(sideRow)) error {
			s.emit = func(w string, n int) { emit(sideOf(w, n)) }
			return texts(r, s.run)
		}, opts...), nil
	})
}
