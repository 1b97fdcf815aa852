package command

import (
	"strings"
	"testing"

	"github.com/millrace/millrace/jobs"
)

// combinedLines are the lines for which the pairs stand that a combiner makes of a batch.
func combinedLines(t *testing.T, combiner string, batch []byte) (lines string, pairs int) {
	t.Helper()
	out, err := program(t, Params{Mapper: "cat", Reducer: "cat", Combiner: combiner}).Combine(t.Context(), taskIn(t.TempDir()), batch, []byte(nil))
	if err != nil {
		t.Fatal(err)
	}
	var text []byte
	for len(out) > 0 {
		key, value, rest, err := jobs.CutPair(out, nil)
		if err != nil {
			t.Fatal(err)
		}
		text, out = appendLines(text, key, value), rest
		pairs++
	}
	return string(text), pairs
}

// Whatever a combiner writes for its keys, in whatever order, becomes one pair of each key in the keys' order, which the engine wants;
// these stand for all of its lines, and no line is added.
func TestCombine(t *testing.T) {
	t.Parallel()
	batch := pairsOf("a", "1", "a", "2", "b", "3", "b", "4", "c", "5", "c", "")
	all := "a\t1\na\t2\nb\t3\nb\t4\nc\t5\nc\t\n"
	for combiner, want := range map[string]string{
		sums:                       "a\t3\nb\t7\nc\t5\n",
		"cat":                      all,
		"sort -r":                  "a\t2\na\t1\nb\t4\nb\t3\nc\t5\nc\t\n",
		"cat > x; cat x; cat x":    "a\t1\na\t2\na\t1\na\t2\nb\t3\nb\t4\nb\t3\nb\t4\nc\t5\nc\t\nc\t5\nc\t\n",
		"grep -v b":                "a\t1\na\t2\nc\t5\nc\t\n",
		"true":                     "",
		"printf 'b\\t1'":           "b\t1\n",
		"printf 'c\\nb\\t1\\nc\n'": "b\t1\nc\t\nc\t\n",
	} {
		if got, pairs := combinedLines(t, combiner, batch); got != want || pairs != 3 {
			t.Errorf("%s: %d pairs that stand for\n%q, want 3 for\n%q", combiner, pairs, got, want)
		}
	}
	// What was combined is combined again.
	again := pairsOf("a", "\n1\n2\n", "a", "3", "b", "\n", "b", "\n")
	if got, pairs := combinedLines(t, sums, again); got != "a\t6\n" || pairs != 2 {
		t.Errorf("got %d pairs, %q", pairs, got)
	}
	if out, err := program(t, Params{Mapper: "cat", Reducer: "cat", Combiner: "exit 1"}).Combine(t.Context(), taskIn(t.TempDir()), nil, []byte("before")); string(out) != "before" || err != nil {
		t.Errorf("of no pairs: %q, %v", out, err)
	}
}

// A combiner's counters count; what it was given counts as nobody's records.
func TestCombinerCounts(t *testing.T) {
	t.Parallel()
	task := taskIn(t.TempDir())
	p := program(t, Params{Mapper: "cat", Reducer: "cat", Combiner: "echo reporter:counter:g,n,1 >&2; cat"})
	for range 2 {
		if _, err := p.Combine(t.Context(), task, pairsOf("a", "1"), nil); err != nil {
			t.Fatal(err)
		}
	}
	if task.Counters()["g:n"] != 2 || task.Records != 0 || task.Groups != 0 {
		t.Errorf("counters %v, %d records, %d groups", task.Counters(), task.Records, task.Groups)
	}
}

// A reducer's groups and pairs are counted to the end, also those that it does not read; the keys with the most pairs are known.
func TestReduceCounts(t *testing.T) {
	t.Parallel()
	for _, reducer := range []string{"cat", "head -n 1", "true"} {
		task := taskIn(t.TempDir())
		in := &pairSource{batches: [][]byte{pairsOf("a", "1", "a", "2"), pairsOf("a", "3", "b", strings.Repeat("x", 1<<20)), pairsOf("b", "2"), pairsOf("c", "")}}
		if err := program(t, Params{Mapper: "cat", Reducer: reducer}).Reduce(t.Context(), task, in, &rowSink{}); err != nil {
			t.Fatal(err)
		}
		if task.Groups != 3 || task.Records != 6 || len(task.Hot) != 3 || task.Hot[0] != (jobs.HotKey{Key: `"a"`, Pairs: 3}) {
			t.Errorf("%s: %d groups, %d pairs, hot %v", reducer, task.Groups, task.Records, task.Hot)
		}
	}
}
