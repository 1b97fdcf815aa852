package termvector

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/jobs/jobstest"
)

// vector is the row of a host, by a map and a sort of everything.
func vector(host string, words []string, terms int, least int64) jobstest.Row {
	counts := map[string]int64{}
	for _, w := range words {
		counts[w]++
	}
	var all []string
	for w, n := range counts {
		if n >= least {
			all = append(all, w)
		}
	}
	slices.SortFunc(all, func(a, b string) int { return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b)) })
	list := []any{}
	for _, w := range all[:min(terms, len(all))] {
		list = append(list, jobstest.Row{w, counts[w]})
	}
	return jobstest.Row{host, int64(len(words)), int64(len(counts)), list}
}

func split(text string, least int) (words []string) {
	for _, w := range strings.FieldsFunc(text, func(r rune) bool { return !unicode.IsLetter(r) }) {
		if len([]rune(w)) >= least {
			words = append(words, w)
		}
	}
	return words
}

// The vectors of real books, each in a folder or file of its own, are those of maps; so are those of their lines, when each line
// begins with a URL.
func TestRealText(t *testing.T) {
	t.Parallel()
	var objects []jobstest.Object
	var folders, files []jobstest.Row
	var lines strings.Builder
	byLine := map[string][]string{}
	for _, name := range []string{"opticks", "sherlock-holmes", "tom-sawyer"} {
		data, err := os.ReadFile(filepath.Join("../../testdata/text", name+".txt"))
		if err != nil {
			t.Fatal(err)
		}
		data = data[:100_000]
		host := name + ".example"
		half := len(data) / 2
		half += strings.IndexByte(string(data[half:]), '\n') + 1
		for i, part := range []string{string(data[:half]), string(data[half:])} {
			o := jobstest.Object{URL: fmt.Sprintf("s3://crawl/2026/%s/%d.txt", host, i), Data: []byte(part)}
			objects = append(objects, o)
			files = append(files, vector(o.URL, split(part, 4), 25, 1))
		}
		folders = append(folders, vector(host, split(string(data), 4), 25, 1))
		for i, line := range strings.Split(string(data), "\n") {
			if i < 1500 {
				fmt.Fprintf(&lines, "https://%s:8080/page/%d?q\t%s\n", strings.ToUpper(host), i, line)
				byLine[host] = append(byLine[host], split(strings.ToLower(line), 1)...)
			}
		}
	}
	for by, want := range map[string][]jobstest.Row{"folder": folders, "file": files} {
		result, err := jobstest.RunObjects(Job(), map[string]string{"host": by, "terms": "25", "min-length": "4"}, objects, 1)
		if err != nil {
			t.Fatal(err)
		}
		jobstest.Equal(t, result.Rows(), want...)
	}
	var want []jobstest.Row
	for _, host := range []string{"opticks.example", "sherlock-holmes.example", "tom-sawyer.example"} {
		want = append(want, vector(host, byLine[host], 10, 20))
	}
	params := map[string]string{"host": "line", "lower": "true", "min-count": "20"}
	jobstest.Equal(t, jobstest.Run(t, Job(), params, lines.String()), want...)
}

// A host is found in any URL, and what is no URL is a host.
func TestHostOf(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"https://Example.com/a/b": "example.com", "http://example.com": "example.com", "//example.com?x": "example.com",
		"https://ann:secret@example.com:8443/": "example.com", "http://[::1]:80/x": "[::1]", "http://[2001:DB8::1]/": "[2001:db8::1]",
		"example.com": "example.com", "the host": "the host", "http://#": "", "": "",
	} {
		if got := hostOf(url); got != want {
			t.Errorf("%q: got %q, want %q", url, got, want)
		}
	}
}

// A host whose texts have no words that count has no row; one whose words are too rare to show has no terms.
func TestFewWords(t *testing.T) {
	t.Parallel()
	params := map[string]string{"host": "line", "min-count": "2", "separator": " "}
	jobstest.Equal(t, jobstest.Run(t, Job(), params, "a 1 2 3\nb x y\nc \nd z\nd z!\n"),
		jobstest.Row{"b", int64(2), int64(2), []any{}},
		jobstest.Row{"d", int64(2), int64(1), []any{jobstest.Row{"z", int64(2)}}})
}

// Lines and parameters that cannot be are refused, with what to do.
func TestErrors(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"a b": `the line "a b" does not begin with a host or URL and "\t": state what stands behind it`, "http://\tb": "does not begin with a host",
		"\xff\tb": `the host "\xff" is not valid UTF-8`,
	} {
		_, err := jobstest.RunObjects(Job(), map[string]string{"host": "line"}, jobstest.Objects("a\tb\n"+line), 1)
		bad, ok := errors.AsType[*jobs.RecordError](err)
		if !ok || bad.Offset != 4 || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v", line, err)
		}
	}
	for want, params := range map[string]map[string]string{
		"parameter terms: 0": {"terms": "0"}, "parameter terms: 100001": {"terms": "100001"}, "parameter min-count: 0": {"min-count": "0"},
		"parameter min-length: 0": {"min-length": "0"}, "parameter separator: it is empty": {"separator": ""}, "host": {"host": "url"},
	} {
		if _, err := Job().Bind(params); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: got %v", params, err)
		}
	}
}

func ExampleJob() {
	pages := jobstest.Objects("https://mill.example/corn\tThe mill grinds corn.\nhttps://mill.example/\tCorn! The corn of the mill\n")
	result, err := jobstest.RunObjects(Job(), map[string]string{"host": "line", "lower": "true", "terms": "3"}, pages, 1)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, row := range result.Rows() {
		fmt.Println(row)
	}
	// Output:
	// {"mill.example" 10 5 [{"corn" 3} {"the" 3} {"mill" 2}]}
}

// Words of the side input stop-words count nowhere, also where they are written in other cases and words are counted in lower case.
func TestStopWords(t *testing.T) {
	t.Parallel()
	files := jobstest.Files{"stop.txt": "The, of\nÜber"}
	params := map[string]string{"host": "line", "separator": ":", "stop-words": "stop.txt"}
	const text = "h:The mill of the race\nh:über Über mill"
	got := jobstest.RunWith(t, Job(), params, files, text)
	jobstest.Equal(t, got, vector("h", []string{"mill", "the", "race", "über", "mill"}, 10, 1))
	params["lower"] = "true"
	got = jobstest.RunWith(t, Job(), params, files, text)
	jobstest.Equal(t, got, vector("h", []string{"mill", "race", "mill"}, 10, 1))
	files["stop.txt"] = "caf\xe9"
	_, err := jobstest.RunObjects(Job(), params, append(files.Objects(), jobstest.Objects(text)...), 1)
	if err == nil || !strings.Contains(err.Error(), "side input stop-words (stop.txt): parse: it is not UTF-8 text") {
		t.Errorf("got %v", err)
	}
}
