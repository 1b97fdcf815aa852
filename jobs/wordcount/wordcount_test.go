package wordcount

import (
	"cmp"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/jobs/jobstest"
)

// reference finds words in the plainest way.
func reference(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return !unicode.IsLetter(r) })
}

var text = strings.Repeat("The quick brown fox jumps over the lazy dog; and, being a fox of letters, it writes.\n", 1000)

// The job's rows are those of the plain tokenizer and a map, on real text, for each parameter.
func TestJobOnRealText(t *testing.T) {
	t.Parallel()
	var texts []string
	for _, name := range []string{"sherlock-holmes.txt", "opticks.txt"} {
		data, err := os.ReadFile(filepath.Join("../../testdata/text", name))
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(data))
	}
	for _, params := range []map[string]string{nil, {"lower": "true"}, {"min-length": "5"}, {"lower": "true", "min-length": "2"}} {
		least, _ := strconv.Atoi(cmp.Or(params["min-length"], "1"))
		counts := map[string]int64{}
		for _, word := range reference(strings.Join(texts, "\n")) {
			if params["lower"] == "true" {
				word = strings.ToLower(word)
			}
			if len([]rune(word)) >= least {
				counts[word]++
			}
		}
		var want []jobstest.Row
		for _, word := range slices.Sorted(maps.Keys(counts)) {
			want = append(want, jobstest.Row{word, counts[word]})
		}
		jobstest.Equal(t, jobstest.Run(t, Job(), params, texts...), want...)
	}
}

// Words of the letters of all the world; digits, marks, apostrophes and broken characters end them.
func TestJob(t *testing.T) {
	t.Parallel()
	got := jobstest.Run(t, Job(), nil, "Don't, l'été\r\n語語 x1x\n", "", "\xffÉté été x\xc3y")
	want := []jobstest.Row{{"Don", int64(1)}, {"l", int64(1)}, {"t", int64(1)}, {"x", int64(3)}, {"y", int64(1)}, {"Été", int64(1)}, {"été", int64(2)}, {"語語", int64(1)}}
	jobstest.Equal(t, got, want...)
}

// A parameter that makes no sense is refused by name.
func TestBadParams(t *testing.T) {
	t.Parallel()
	for name, value := range map[string]string{"min-length": "0", "lower": "perhaps", "length": "1"} {
		_, err := Job().Bind(map[string]string{name: value})
		if err == nil || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "wordcount") {
			t.Errorf("%s=%s: got %v", name, value, err)
		}
	}
}

// blocks yields the text n times.
type blocks struct{ n int }

func (b *blocks) Next() (jobs.Block, error) {
	if b.n == 0 {
		return jobs.Block{}, io.EOF
	}
	b.n--
	return jobs.Block{Data: []byte(text)}, nil
}

// discard drops batches and gives the same memory back.
type discard struct{}

func (discard) Put(b jobs.Pairs) (jobs.Pairs, error) { return jobs.Pairs{Data: b.Data[:0]}, nil }

// BenchmarkMap is the job's map side as the engine runs it: lines, words, combine table.
func BenchmarkMap(b *testing.B) {
	prog, err := Job().Bind(nil)
	if err != nil {
		b.Fatal(err)
	}
	const count = 100
	b.SetBytes(count * int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		t := &jobs.Task{Reducers: 4, Memory: 32 << 20}
		if err := prog.Map(b.Context(), t, &blocks{count}, discard{}); err != nil {
			b.Fatal(err)
		}
	}
}
