package join_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/jobs/jobstest"
	"github.com/millrace/millrace/jobs/join"
)

// reference joins by comparing every left line with every right one.
func reference(left, right []string, kind string) (rows []jobstest.Row) {
	key := func(line string) string { return strings.Split(line, "\t")[0] }
	for _, r := range right {
		matched := false
		for _, l := range left {
			if key(l) == key(r) {
				matched = true
				rows = append(rows, jobstest.Row{key(r), l, r})
			}
		}
		if !matched && (kind == "right" || kind == "full") {
			rows = append(rows, jobstest.Row{key(r), nil, r})
		}
	}
	for _, l := range left {
		if (kind == "left" || kind == "full") && !slices.ContainsFunc(right, func(r string) bool { return key(l) == key(r) }) {
			rows = append(rows, jobstest.Row{key(l), l, nil})
		}
	}
	slices.SortStableFunc(rows, func(a, b jobstest.Row) int { return strings.Compare(a[0].(string), b[0].(string)) })
	return rows
}

// Whatever the lines, keys that are missing on a side, that come many times on both, empty ones and lines that are equal: each
// type of join gives the rows of a comparison of all with all, in their order.
func TestAnyLines(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(1, 2))
	make := func() (lines []string) {
		for range rnd.IntN(30) {
			lines = append(lines, fmt.Sprintf("%s\t%d", []string{"", "a", "ab", "b", "é", "c"}[rnd.IntN(6)], rnd.IntN(3)))
		}
		return lines
	}
	for range 100 {
		left, right := make(), make()
		for _, kind := range []string{"inner", "left", "right", "full"} {
			got := jobstest.RunInputs(t, join.Job(), map[string]string{"type": kind}, map[string]string{
				"left": strings.Join(append(left, ""), "\n"), "right": strings.Join(append(right, ""), "\n"),
			})
			if jobstest.Equal(t, got, reference(left, right, kind)...); t.Failed() {
				t.Fatalf("%s join of %q and %q", kind, left, right)
			}
		}
	}
}

// Fields and separators are each side's own; a whole line can be the key.
func TestFields(t *testing.T) {
	t.Parallel()
	params := map[string]string{"left-field": "2", "left-separator": ",", "right-field": "3", "right-separator": "::"}
	jobstest.Equal(t, jobstest.RunInputs(t, join.Job(), params, map[string]string{"left": "Ann,7\r\nBob,9\n", "right": "1::tea::7::2"}),
		jobstest.Row{"7", "Ann,7", "1::tea::7::2"})
	params = map[string]string{"left-field": "0", "type": "left"}
	jobstest.Equal(t, jobstest.RunInputs(t, join.Job(), params, map[string]string{"left": "tea\nsalt\n", "right": "tea\t1\n"}),
		jobstest.Row{"salt", "salt", nil}, jobstest.Row{"tea", "tea", "tea\t1"})
	if rows := jobstest.RunInputs(t, join.Job(), nil, map[string]string{"left": "", "right": "a\n"}); len(rows) > 0 {
		t.Errorf("an empty left input gives %v", rows)
	}
}

// Only the left lines of one key are held: many right lines need none of it, and left lines beyond the limit are an error that
// names the key and the remedy.
func TestHold(t *testing.T) {
	t.Parallel()
	small := map[string]string{"hold": "1000"}
	many := strings.Repeat("k\tvalue\n", 1000)
	if rows := jobstest.RunInputs(t, join.Job(), small, map[string]string{"left": "k\n", "right": many}); len(rows) != 1000 {
		t.Errorf("got %d rows", len(rows))
	}
	_, err := jobstest.RunObjects(join.Job(), small, []jobstest.Object{{URL: "l", Data: []byte(many)}, {URL: "r", Input: 1, Data: []byte("k\n")}}, 1)
	if bad, ok := errors.AsType[*jobs.RecordError](err); !ok || bad.Key != `"k"` || !strings.Contains(err.Error(), "take more than 1000B: let the input with fewer lines a key be the left one, or raise -p hold") {
		t.Errorf("got %v", err)
	}
	var keys strings.Builder // the limit is each key's
	for i := range 1000 {
		fmt.Fprintf(&keys, "k%d\n", i)
	}
	if rows := jobstest.RunInputs(t, join.Job(), small, map[string]string{"left": keys.String(), "right": keys.String()}); len(rows) != 1000 {
		t.Errorf("got %d rows", len(rows))
	}
}

// Lines and parameters that cannot be are refused, with the side and what to do.
func TestErrors(t *testing.T) {
	t.Parallel()
	for want, right := range map[string]string{
		`the line "x" has no field 2: state another with -p right-field, or what stands between fields with -p right-separator`: "a\tb\nx\n",
		`the line "\xff\tb" is not valid UTF-8`: "a\tb\n\xff\tb",
	} {
		_, err := jobstest.RunObjects(join.Job(), map[string]string{"right-field": "2"}, []jobstest.Object{{URL: "r", Input: 1, Data: []byte(right)}}, 1)
		if bad, ok := errors.AsType[*jobs.RecordError](err); !ok || bad.URL != "r" || bad.Offset != 4 || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	for want, params := range map[string]map[string]string{
		"left-field=-1": {"left-field": "-1"}, `right-separator=""`: {"right-separator": ""}, `"outer" is not allowed`: {"type": "outer"}, "hold: 0 bytes": {"hold": "0"},
	} {
		if _, err := join.Job().Bind(params); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: got %v", params, err)
		}
	}
}

func ExampleJob() {
	result, err := jobstest.RunObjects(join.Job(), map[string]string{"type": "full"}, []jobstest.Object{
		{URL: "mem://people", Input: 0, Data: []byte("7\tAnn\n8\tBob\n")},
		{URL: "mem://orders", Input: 1, Data: []byte("7\ttea\n9\tsalt\n7\tjam\n")},
	}, 1)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, row := range result.Rows() {
		fmt.Println(row)
	}
	// Output:
	// {"7" "7\tAnn" "7\ttea"}
	// {"7" "7\tAnn" "7\tjam"}
	// {"8" "8\tBob" null}
	// {"9" null "9\tsalt"}
}
