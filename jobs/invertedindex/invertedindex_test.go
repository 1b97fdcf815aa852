package invertedindex_test

import (
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/jobs/invertedindex"
	"github.com/millrace/millrace/jobs/jobstest"
)

// reference finds the offsets of each word in each document with a loop over characters.
func reference(objects []jobstest.Object, lower bool) map[string]map[string][]any {
	index := map[string]map[string][]any{}
	for _, o := range objects {
		begin := -1
		for i, r := range string(o.Data) + "." {
			switch {
			case unicode.IsLetter(r) && begin < 0:
				begin = i
			case !unicode.IsLetter(r) && begin >= 0:
				word := string(o.Data[begin:i])
				if lower {
					word = strings.ToLower(word)
				}
				if index[word] == nil {
					index[word] = map[string][]any{}
				}
				index[word][o.URL] = append(index[word][o.URL], int64(begin))
				begin = -1
			}
		}
	}
	return index
}

// rows is what the job must give of an index, for each layout.
func rows(index map[string]map[string][]any, layout string, positions bool) (out []jobstest.Row) {
	for _, word := range slices.Sorted(maps.Keys(index)) {
		var postings []any
		var total int64
		for _, document := range slices.Sorted(maps.Keys(index[word])) {
			places := index[word][document]
			total += int64(len(places))
			posting := jobstest.Row{document, int64(len(places))}
			if positions {
				posting = append(posting, places)
			}
			postings = append(postings, posting)
			if layout == "rows" {
				out = append(out, append(jobstest.Row{word}, posting...))
			}
		}
		if layout == "lists" {
			out = append(out, jobstest.Row{word, int64(len(postings)), total, postings})
		}
	}
	return out
}

// The index of real texts is that of a loop over characters, in both layouts, with and without places.
func TestRealText(t *testing.T) {
	t.Parallel()
	var texts []string
	for _, name := range []string{"sherlock-holmes.txt", "opticks.txt", "tom-sawyer.txt"} {
		data, err := os.ReadFile("../../testdata/text/" + name)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(data[:60_000]))
	}
	texts = append(texts, "", "Don't, l'été\r\n\xff語語 x1x\nX \xc3 \xe8\xaa. é", "the")
	objects := jobstest.Objects(texts...)
	slices.Reverse(objects) // so that the order of the input is not that of the names
	for _, lower := range []bool{false, true} {
		index := reference(objects, lower)
		for _, layout := range []string{"lists", "rows"} {
			for _, positions := range []bool{false, true} {
				params := map[string]string{"layout": layout, "positions": fmt.Sprint(positions), "lower": fmt.Sprint(lower)}
				result, err := jobstest.RunObjects(invertedindex.Job(), params, objects, 1)
				if err != nil {
					t.Fatal(err)
				}
				jobstest.Equal(t, result.Rows(), rows(index, layout, positions)...)
			}
		}
	}
}

// A document that is cut into many pieces is still one, and one that is read twice counts twice.
func TestPieces(t *testing.T) {
	t.Parallel()
	a, b := jobstest.Object{URL: "mem://a", Data: []byte("x y x\nx\n")}, jobstest.Object{URL: "mem://b", Data: []byte("x")}
	for layout, want := range map[string][]jobstest.Row{
		"lists": {
			{"x", int64(2), int64(7), []any{jobstest.Row{"mem://a", int64(6), []any{int64(0), int64(0), int64(4), int64(4), int64(6), int64(6)}}, jobstest.Row{"mem://b", int64(1), []any{int64(0)}}}},
			{"y", int64(1), int64(2), []any{jobstest.Row{"mem://a", int64(2), []any{int64(2), int64(2)}}}},
		},
		"rows": {
			{"x", "mem://a", int64(6), []any{int64(0), int64(0), int64(4), int64(4), int64(6), int64(6)}},
			{"x", "mem://b", int64(1), []any{int64(0)}},
			{"y", "mem://a", int64(2), []any{int64(2), int64(2)}},
		},
	} {
		result, err := jobstest.RunObjects(invertedindex.Job(), map[string]string{"layout": layout, "positions": "true"}, []jobstest.Object{a, b, a}, 1)
		if err != nil {
			t.Fatal(err)
		}
		jobstest.Equal(t, result.Rows(), want...)
	}
}

// Short words are left out, by letters and not by bytes.
func TestMinLength(t *testing.T) {
	t.Parallel()
	got := jobstest.Run(t, invertedindex.Job(), map[string]string{"min-length": "3", "layout": "rows"}, "an été éé owl")
	for _, row := range got {
		if utf8.RuneCountInString(row[0].(string)) < 3 {
			t.Errorf("got %v", row)
		}
	}
	if len(got) != 2 {
		t.Errorf("got %d rows", len(got))
	}
}

// A word that is everywhere fails with the way out when its list is too large, and the other layout takes it.
func TestMaxList(t *testing.T) {
	t.Parallel()
	var texts []string
	for range 200 {
		texts = append(texts, "the the the\nthe")
	}
	for _, test := range []struct{ layout, positions, want string }{
		{"lists", "false", `key "the": the list of the word's documents is larger than 8KiB after`},
		{"lists", "true", "choose -p layout=rows"},
		{"rows", "false", ""},
		{"rows", "true", ""},
	} {
		params := map[string]string{"layout": test.layout, "positions": test.positions, "max-list": "8KiB"}
		_, err := jobstest.RunObjects(invertedindex.Job(), params, jobstest.Objects(texts...), 1)
		if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%v: got %v", test, err)
		}
	}
	params := map[string]string{"layout": "rows", "positions": "true", "max-list": "1KiB"}
	_, err := jobstest.RunObjects(invertedindex.Job(), params, jobstest.Objects(strings.Repeat("the ", 200)), 1)
	if err == nil || !strings.Contains(err.Error(), "positions in the document is larger than 1KiB: leave out -p positions") {
		t.Errorf("got %v", err)
	}
}

// What cannot be is refused by name.
func TestErrors(t *testing.T) {
	t.Parallel()
	for _, params := range []map[string]string{{"min-length": "0"}, {"max-list": "0"}, {"max-list": "1GiB"}, {"layout": "list"}} {
		for name := range params {
			if _, err := invertedindex.Job().Bind(params); err == nil || !strings.Contains(err.Error(), "parameter "+name) && !strings.Contains(err.Error(), "parameters: parameter "+name) {
				t.Errorf("%v: got %v", params, err)
			}
		}
	}
	_, err := jobstest.RunObjects(invertedindex.Job(), nil, []jobstest.Object{{URL: "mem://\xff", Data: []byte("a")}}, 1)
	if err == nil || !strings.Contains(err.Error(), "name is not valid UTF-8") {
		t.Errorf("got %v", err)
	}
}

// one is a source of one block.
type one struct {
	block jobs.Block
	done  bool
}

func (o *one) Next() (jobs.Block, error) {
	if o.done {
		return jobs.Block{}, io.EOF
	}
	o.done = true
	return o.block, nil
}

// nowhere keeps no pairs.
type nowhere struct{}

func (nowhere) Put(p jobs.Pairs) (jobs.Pairs, error) { return jobs.Pairs{Data: p.Data[:0]}, nil }

// BenchmarkMap is the map side of the job with places.
func BenchmarkMap(b *testing.B) {
	data, err := os.ReadFile("../../testdata/text/sherlock-holmes.txt")
	if err != nil {
		b.Fatal(err)
	}
	prog, err := invertedindex.Job().Bind(map[string]string{"positions": "true"})
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if err := prog.Map(b.Context(), &jobs.Task{Reducers: 1}, &one{block: jobs.Block{URL: "mem://a", Data: data}}, nowhere{}); err != nil {
			b.Fatal(err)
		}
	}
}

func ExampleJob() {
	result, err := jobstest.RunObjects(invertedindex.Job(), map[string]string{"positions": "true"}, jobstest.Objects("to be\nor not to be", "not so"), 1)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, row := range result.Rows() {
		fmt.Println(row)
	}
	// Output:
	// {"be" 1 2 [{"mem://input/0" 2 [3 16]}]}
	// {"not" 2 2 [{"mem://input/0" 1 [9]} {"mem://input/1" 1 [0]}]}
	// {"or" 1 1 [{"mem://input/0" 1 [6]}]}
	// {"so" 1 1 [{"mem://input/1" 1 [4]}]}
	// {"to" 1 2 [{"mem://input/0" 2 [0 13]}]}
}
