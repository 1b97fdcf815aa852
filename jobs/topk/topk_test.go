package topk_test

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/jobs/jobstest"
	"github.com/millrace/millrace/jobs/topk"
)

// reference counts with a map and sorts everything.
func reference(values []string, k int) (rows []jobstest.Row) {
	counts := map[string]int64{}
	for _, v := range values {
		counts[v]++
	}
	all := []string{}
	for v := range counts {
		all = append(all, v)
	}
	slices.SortFunc(all, func(a, b string) int { return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b)) })
	for i, v := range all[:min(k, len(all))] {
		rows = append(rows, jobstest.Row{int64(i + 1), v, counts[v]})
	}
	return rows
}

// The most frequent words of real text are those of a map that is sorted, for few and for all.
func TestWords(t *testing.T) {
	t.Parallel()
	var texts []string
	for _, name := range []string{"tom-sawyer.txt", "opticks.txt"} {
		data, err := os.ReadFile("../../testdata/text/" + name)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(data[:60_000]))
	}
	words := strings.FieldsFunc(strings.Join(texts, "\n"), func(r rune) bool { return !unicode.IsLetter(r) })
	lower := strings.FieldsFunc(strings.ToLower(strings.Join(texts, "\n")), func(r rune) bool { return !unicode.IsLetter(r) })
	for _, k := range []int{1, 25, 100_000} {
		params := map[string]string{"k": fmt.Sprint(k), "words": "true"}
		jobstest.Equal(t, jobstest.Run(t, topk.Job(), params, texts...), reference(words, k)...)
		params["lower"] = "true"
		jobstest.Equal(t, jobstest.Run(t, topk.Job(), params, texts...), reference(lower, k)...)
	}
}

// Ties are broken by value, wherever in the order the tied ones come, and lines that are empty or as great as a string can be
// are values like others.
func TestTies(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(3, 4))
	for range 200 {
		var lines []string
		for range rnd.IntN(40) + 1 {
			lines = append(lines, []string{"", "a", "b", "aa", "é", "\U0010ffff\U0010ffff", "A", "z"}[rnd.IntN(8)])
		}
		k := rnd.IntN(9) + 1
		got := jobstest.Run(t, topk.Job(), map[string]string{"k": fmt.Sprint(k)}, strings.Join(lines, "\n")+"\n")
		jobstest.Equal(t, got, reference(lines, k)...)
	}
}

// All is in the first partition, however many there are: the result is never that of a part of the values.
func TestPartitions(t *testing.T) {
	t.Parallel()
	result, err := jobstest.RunObjects(topk.Job(), map[string]string{"k": "2", "field": "2"}, jobstest.Objects("1\tb\n2\tc\n", "3\tb\n4\ta\n"), 3)
	if err != nil {
		t.Fatal(err)
	}
	jobstest.Equal(t, result.Partitions[0], jobstest.Row{int64(1), "b", int64(2)}, jobstest.Row{int64(2), "a", int64(1)})
	if len(result.Partitions[1])+len(result.Partitions[2]) > 0 {
		t.Errorf("other partitions hold %v", result.Partitions[1:])
	}
	if rows := jobstest.Run(t, topk.Job(), nil, ""); len(rows) > 0 {
		t.Errorf("an empty input gives %v", rows)
	}
	if rows := jobstest.Run(t, topk.Job(), map[string]string{"words": "true"}, "1, 2\n\n"); len(rows) > 0 {
		t.Errorf("no words give %v", rows)
	}
}

// Lines and parameters that cannot be are refused, with what to do.
func TestErrors(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{"x": `the line "x" has no field 2: state another with -p field`, "1\t\xff": `the value "\xff" is not valid UTF-8`} {
		_, err := jobstest.RunObjects(topk.Job(), map[string]string{"field": "2"}, jobstest.Objects("1\ta\n"+line), 1)
		bad, ok := errors.AsType[*jobs.RecordError](err)
		if !ok || bad.Offset != 4 || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v", line, err)
		}
	}
	for want, params := range map[string]map[string]string{
		"k: 0: must be from 1 to 100000": {"k": "0"}, "k: 100001": {"k": "100001"}, "field=-1": {"field": "-1"}, `separator=""`: {"separator": ""},
	} {
		if _, err := topk.Job().Bind(params); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: got %v", params, err)
		}
	}
}

func ExampleJob() {
	votes := jobstest.Objects("pear\napple\n", "fig\napple\nfig\nplum\n")
	result, err := jobstest.RunObjects(topk.Job(), map[string]string{"k": "3"}, votes, 1)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, row := range result.Rows() {
		fmt.Println(row)
	}
	// Output:
	// {1 "apple" 2}
	// {2 "fig" 2}
	// {3 "pear" 1}
}
