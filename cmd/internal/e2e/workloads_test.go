package e2e

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/millrace/millrace/cmd/internal/gen"
	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/jobs/access"
	"github.com/millrace/millrace/jobs/countdistinct"
	"github.com/millrace/millrace/jobs/distinct"
	"github.com/millrace/millrace/jobs/grep"
	"github.com/millrace/millrace/jobs/histogram"
	"github.com/millrace/millrace/jobs/invertedindex"
	"github.com/millrace/millrace/jobs/join"
	"github.com/millrace/millrace/jobs/links"
	"github.com/millrace/millrace/jobs/quantiles"
	"github.com/millrace/millrace/jobs/secondarysort"
	"github.com/millrace/millrace/jobs/sessions"
	"github.com/millrace/millrace/jobs/sortrecords"
	"github.com/millrace/millrace/jobs/stats"
	"github.com/millrace/millrace/jobs/termvector"
	"github.com/millrace/millrace/jobs/topk"
	"github.com/millrace/millrace/jobs/wordcount"
)

// group is a row of the job "groups".
type group struct {
	Bytes int64
	Lines []string
}

// groups is a job that shows what the shipped ones do not: the order of a group's values, counters of both phases, and
// a value that is larger than its key. It groups lines by their length.
func groups() *jobs.Job {
	return jobs.Define("groups", func(t *jobs.Task, _ struct{}) (jobs.Code, error) {
		lines, letters, rows := t.Counter("lines"), t.Counter("bytes"), t.Counter("groups")
		m := func(line jobs.Line, emit func(int64, string)) error {
			lines.Add(1)
			letters.Add(int64(len(line.Text)))
			emit(int64(len(line.Text)), fmt.Sprintf("%s+%d", filepath.Base(line.URL), line.Offset))
			return nil
		}
		r := func(n int64, places jobs.Values[string], emit func(group)) error {
			rows.Add(1)
			g := group{Bytes: n}
			for p := range places.All() {
				g.Lines = append(g.Lines, p)
			}
			emit(g)
			return nil
		}
		return jobs.MapReduce(m, r), nil
	})
}

// places is a row of the job "ordered".
type places struct {
	First string
	Lines []string
}

// ordered is a job that orders values: it groups lines by their first letter and lists them from the longest to the
// shortest, then by text, with their places, so that equal ones show in which order they came.
func ordered(opts ...jobs.Option) *jobs.Job {
	type at struct {
		Text  []byte
		Place string
	}
	type order struct {
		Size int
		Text []byte
	}
	m := func(line jobs.Line, emit func(string, at)) error {
		emit(line.Text[:min(1, len(line.Text))], at{[]byte(line.Text), fmt.Sprintf("%s+%d", filepath.Base(line.URL), line.Offset)})
		return nil
	}
	r := func(first string, lines jobs.Values[at], emit func(places)) error {
		row := places{First: strconv.QuoteToASCII(first)}
		for l := range lines.All() {
			row.Lines = append(row.Lines, l.Place)
		}
		emit(row)
		return nil
	}
	return jobs.New("ordered", m, r, append(opts, jobs.OrderByDescending(func(a at) order { return order{len(a.Text), a.Text} }))...)
}

// names are the parameters of jobs over words that have other names in a side input.
type names struct {
	Names jobs.SideInput `help:"lines word=name"`
}

// renamed parses the side input.
func renamed(data []byte) (map[string]string, error) {
	names := map[string]string{}
	for line := range strings.Lines(string(data)) {
		word, name, _ := strings.Cut(strings.TrimSpace(line), "=")
		names[word] = name
	}
	return names, nil
}

func sides() map[string]file {
	return map[string]file{"names": {"names.txt", []byte("the=article\nmill=building\nrace=building\n水=water\na=article\n")}}
}

// sided counts words by the names that a side input has for them. Its map, partition, combine and reduce functions read it.
func sided() *jobs.Job {
	return jobs.Define("sided", func(t *jobs.Task, p names) (jobs.Code, error) {
		names := jobs.Shared(t, p.Names, renamed)
		m := func(line string, emit func(string, int64)) error {
			for word := range jobs.Words(line) {
				emit(names.Get()[word], int64(len(p.Names.Bytes())))
			}
			return nil
		}
		r := func(name string, ns jobs.Values[int64], emit func(string)) error {
			emit(fmt.Sprintf("%s %d of %d", name, jobs.Total(ns), len(names.Get())))
			return nil
		}
		sum := func(a, b int64) int64 {
			if names.Get() == nil { // as it is in no combiner: then the counts would be wrong
				return 0
			}
			return a + b
		}
		return jobs.MapReduce(m, r, jobs.Combine(sum), jobs.Partition(func(name string, n int) int {
			return (len(name) + len(p.Names.Bytes())) % n
		})), nil
	})
}

// nasty is text that breaks naive readers: CRLF, lines of nothing, ends without a line end, a lone CR, lines longer than most
// splits, words of many scripts, an empty file.
func nasty() []file {
	long := strings.Repeat("a long line of many words that no small split holds ", 8)
	return []file{
		{"a-crlf.txt", []byte("The mill\r\nground the corn\r\n\r\nof the race\r\n")},
		{"b-empty.txt", nil},
		{"c-long.txt", []byte("short\n" + long + "\nmill\n" + strings.Repeat("x", 150))},
		{"d-lines.txt", []byte("\n\n\n\r\n\n")},
		{"e-unicode.txt", []byte("Mühle мельница 水車 the\u2028mill ǅ e\u0301 \u00a0end\nτὸ mill\n\ufeffthe\n𐐷𐐷 mill")},
		{"f-cr.txt", []byte("one\rtwo\r\n\rthree\n\r")},
		{"g-end.txt", []byte("the")},
		{"h-again.txt", []byte(strings.Repeat("the mill of the race\nthe corn\n", 12))},
	}
}

// twoSides is lines with keys of their own and common ones on the left and on the right, in files of an input each.
func twoSides(lines int) []file {
	var left, right bytes.Buffer
	for i := range lines {
		fmt.Fprintf(&left, "key%d\tleft %d\n", i*i%11, i)
		fmt.Fprintf(&right, "%d\tkey%d\tright\r\n", i, i%(5+i%9))
	}
	half := left.Len() / 2
	half += bytes.IndexByte(left.Bytes()[half:], '\n') + 1
	return []file{{"left/a", left.Bytes()[:half]}, {"left/b", left.Bytes()[half:]}, {"left/none", nil}, {"right/a", right.Bytes()}, {"right/z", []byte("x\tonly\t\n")}}
}

// scored is lines "word number".
func scored(lines int) []file {
	var a, b bytes.Buffer
	for i := range lines {
		fmt.Fprintf(&a, "%s %d\n", strings.Repeat("é", i%4), i*i*37%101-50)
		fmt.Fprintf(&b, "word%d %d\r\n", i%5, i*i*i%13)
	}
	return []file{{"a", a.Bytes()}, {"b", b.Bytes()}, {"c-empty", nil}}
}

// garbled is bytes that are no UTF-8, and control characters.
func garbled() file {
	return file{"i-garbled.txt", []byte("the \xff\xfe mill\n\x00\x01\nhalf \xe6\xb0\n\xed\xa0\x80 the\nend \xc3")}
}

// fixed is records of 10 bytes, in several files, of which many have the same key of 2 bytes.
func fixed(records int) []file {
	var all bytes.Buffer
	for i := range records {
		fmt.Fprintf(&all, "%02x%06d\r\n", i*i*37%23, i)
	}
	b := all.Bytes()
	a, c := len(b)/30*10, len(b)/20*10
	return []file{{"a", b[:a]}, {"b", b[a:c]}, {"c-empty", nil}, {"d", b[c:]}}
}

// measured is lines "key;value" in several files, with values of one to ten characters.
func measured(lines int) []file {
	var a, b bytes.Buffer
	for i := range lines {
		fmt.Fprintf(&a, "%s;%d.%d\r\n", strings.Repeat("é", i%5), i*i*i%9-4, i%10)
		fmt.Fprintf(&b, "station %d;%d\n", i%7, (i-20)*(i*i*i+1))
	}
	return []file{{"a", a.Bytes()}, {"b-empty", nil}, {"c", bytes.TrimSuffix(b.Bytes(), []byte("\n"))}}
}

// tiny is all jobs over so few bytes that a split of one byte each makes few tasks.
func tiny() []workload {
	text := []file{
		{"a", []byte("the mill\r\n\r\n\nü")}, {"b", nil}, {"c", []byte("水 mill\n")}, {"d", []byte("\n")},
		{"e", []byte("a\rthe\r\nthe\na b")},
	}
	list := overText(2, text, append(text[:len(text):len(text)], file{"f", []byte("\xffa\xc3\nb")}), fixed(5), measured(3))
	return append(list, overLess(text, measured(3))...)
}

// overLess is the jobs that ship and are in no other list, over text and keys with values: that they are right over more is
// for TestShippedJobs.
func overLess(text, values []file) []workload {
	first := "10.0.0.7 - - [10/Oct/2025:13:55:36 +0000] \"GET / HTTP/1.1\" 200 7\r\n"
	log := []file{{"a", []byte(first)}, {"b", []byte(strings.Replace(first, "13:55", "11:11", 1) + strings.Replace(first, "7", "8", 1))}}
	edges := []file{{"a", []byte("x\ty\nz\ty\n")}, {"b", []byte("x\ty\ny\tx")}}
	return []workload{
		{name: "access", job: access.Job(), reducers: 2, files: log},
		{name: "countdistinct", job: countdistinct.Job(), params: map[string]string{"key": "1", "separator": "e"}, reducers: 3, files: text},
		{name: "histogram", job: histogram.Job(), params: map[string]string{"width": "0.5"}, reducers: 2, files: values},
		{name: "invertedindex", job: invertedindex.Job(), params: map[string]string{"positions": "true"}, reducers: 3, files: text},
		{name: "invertedindex-rows", job: invertedindex.Job(), params: map[string]string{"layout": "rows"}, reducers: 2, files: text},
		{name: "links", job: links.Job(), reducers: 2, files: edges},
		{name: "links-rows", job: links.Job(), params: map[string]string{"layout": "rows"}, reducers: 3, files: edges},
		{name: "quantiles", job: quantiles.Job(), reducers: 2, files: values},
		{name: "sessions", job: sessions.Job(), params: map[string]string{"idle": "1h"}, reducers: 2, files: log},
		{name: "termvector", job: termvector.Job(), params: map[string]string{"terms": "2"}, reducers: 2, files: text},
		{name: "topk", job: topk.Job(), params: map[string]string{"k": "2"}, reducers: 2, files: text},
	}
}

// small is all jobs over an input of one or two kilobytes.
func small() []workload {
	return overText(40, nasty(), append(nasty(), garbled()), fixed(200), measured(60))
}

// overText is all jobs over small inputs: text, any bytes in lines, records of 10 bytes, and keys with values; size is the lines
// of inputs that only one job reads.
func overText(size int, text, lines, records, values []file) []workload {
	return []workload{
		{name: "wordcount", job: wordcount.Job(), reducers: 3, files: lines},
		{name: "grep-1", job: grep.Job(), params: map[string]string{"pattern": `m.ll|^$|\xff`}, reducers: 1, files: lines, sorted: true},
		{name: "grep-3", job: grep.Job(), params: map[string]string{"pattern": `the`, "invert": "true"}, reducers: 3, files: lines, sorted: true},
		{name: "sort-lines", job: sortrecords.Job(), reducers: 3, files: text, sorted: true},
		{name: "sort-bytes", job: sortrecords.Job(), params: map[string]string{"format": "bytes"}, reducers: 2, files: lines, sorted: true},
		{name: "sort-records", job: sortrecords.Job(), params: map[string]string{"format": "records", "record-length": "10", "key-length": "2"}, reducers: 3, files: records, sorted: true},
		{name: "groups", job: groups(), reducers: 2, files: lines},
		{name: "ordered", job: ordered(), reducers: 2, files: lines},
		{name: "ordered-total", job: ordered(jobs.TotalOrder()), reducers: 3, files: lines, sorted: true},
		{name: "stats", job: stats.Job(), params: map[string]string{"decimals": "1"}, reducers: 2, files: values},
		{name: "distinct", job: distinct.Job(), reducers: 3, files: text},
		{name: "sided", job: sided(), reducers: 3, files: text, side: sides()},
		{name: "sided-empty", job: sided(), reducers: 2, files: text, side: map[string]file{"names": {"none", nil}}},
		{name: "join", job: join.Job(), params: map[string]string{"type": "full", "right-field": "2"}, reducers: 3, files: twoSides(size), inputs: []string{"left", "right"}},
		{name: "secondarysort", job: secondarysort.Job(), params: map[string]string{"order": "down"}, reducers: 2, files: scored(size)},
	}
}

// large is all jobs over some megabytes: real books and generated data.
func large(t testing.TB) []workload {
	t.Helper()
	var text []file
	paths, err := filepath.Glob("../../../testdata/text/*.txt")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no books: %v", err)
	}
	for _, p := range paths {
		b, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		text = append(text, file{filepath.Base(p), b})
	}
	text = append(text, file{"made.txt", made(t, "text", 4<<20)}, file{"none.txt", nil})
	records := []file{{"a", made(t, "records", 3<<20)}, {"b", made(t, "records", 5<<20)}} // a's are in b once more
	return []workload{
		{name: "wordcount", job: wordcount.Job(), params: map[string]string{"lower": "true"}, reducers: 4, files: text},
		{name: "grep-1", job: grep.Job(), params: map[string]string{"pattern": `(?i)\bmill`}, reducers: 1, files: text, sorted: true},
		{name: "grep-3", job: grep.Job(), params: map[string]string{"pattern": `,$`}, reducers: 3, files: text, sorted: true},
		{name: "sort-lines", job: sortrecords.Job(), reducers: 3, files: text, sorted: true},
		{name: "sort-records", job: sortrecords.Job(), params: map[string]string{"format": "records"}, reducers: 4, files: records, sorted: true},
		{name: "groups", job: groups(), reducers: 2, files: text},
		{name: "ordered", job: ordered(), reducers: 2, files: text},
		{name: "ordered-total", job: ordered(jobs.TotalOrder()), reducers: 3, files: text, sorted: true},
		{name: "stats", job: stats.Job(), params: map[string]string{"decimals": "1"}, reducers: 3, files: []file{{"a", made(t, "measurements", 3<<20)}, {"b", measured(20_000)[0].data}}},
		{name: "distinct", job: distinct.Job(), params: map[string]string{"field": "1", "separator": " "}, reducers: 3, files: []file{{"a", made(t, "access-log", 4<<20)}}},
		{name: "join", job: join.Job(), params: map[string]string{"type": "left", "right-field": "2"}, reducers: 3, files: twoSides(500), inputs: []string{"left", "right"}},
		{name: "secondarysort", job: secondarysort.Job(), params: map[string]string{"separator": ";", "as": "float"}, reducers: 3, files: []file{{"a", made(t, "measurements", 1<<20)}}},
		{name: "stop-words", job: termvector.Job(), params: map[string]string{"lower": "true"}, reducers: 2, files: text, side: map[string]file{"stop-words": {"a book", text[0].data}}},
	}
}

func made(t testing.TB, kind string, size int64) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := gen.Write(&b, kind, size, 5); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
