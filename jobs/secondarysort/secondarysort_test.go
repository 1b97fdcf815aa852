package secondarysort_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/jobs/jobstest"
	"github.com/millrace/millrace/jobs/secondarysort"
)

// Whatever the lines, rows are those of a sort of all of them in memory, by key and then by value, of each type and both ways.
func TestAnyLines(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 100 {
		var lines []string
		for range rnd.IntN(50) {
			lines = append(lines, fmt.Sprintf("%s %d", []string{"", "a", "ab", "é"}[rnd.IntN(4)], rnd.Int64N(2000)-1000))
		}
		for _, as := range []string{"int", "float", "text"} {
			for _, order := range []string{"up", "down"} {
				got := jobstest.Run(t, secondarysort.Job(), map[string]string{"as": as, "order": order}, strings.Join(append(lines, ""), "\n"))
				if jobstest.Equal(t, got, reference(lines, as, order)...); t.Failed() {
					t.Fatalf("%s %s: %q", as, order, lines)
				}
			}
		}
	}
}

// reference sorts rows in memory.
func reference(lines []string, as, order string) []jobstest.Row {
	var rows []jobstest.Row
	for _, line := range lines {
		key, text, _ := strings.Cut(line, " ")
		n, _ := strconv.ParseInt(text, 10, 64)
		rows = append(rows, jobstest.Row{key, map[string]any{"int": n, "float": float64(n), "text": text}[as]})
	}
	slices.SortStableFunc(rows, func(a, b jobstest.Row) int {
		if c := strings.Compare(a[0].(string), b[0].(string)); c != 0 {
			return c
		}
		c := 0
		switch v := a[1].(type) {
		case int64:
			c = int(v - b[1].(int64))
		case float64:
			c = int(v - b[1].(float64))
		case string:
			c = strings.Compare(v, b[1].(string))
		}
		if order == "down" {
			return -c
		}
		return c
	})
	return rows
}

// Lines and parameters that cannot be are refused, with what to do.
func TestErrors(t *testing.T) {
	t.Parallel()
	for want, test := range map[string]struct{ as, line string }{
		`the line "a" has no field 2: state another with -p value-field`:            {"int", "a"},
		`the value "1.5" is no whole number of 64 bits: state what values are with`: {"int", "a 1.5"},
		`the value "9223372036854775808" is no whole number`:                        {"int", "a 9223372036854775808"},
		`the value "x" is no number`:                                                {"float", "a x"},
		`the value "NaN" is no number`:                                              {"float", "a NaN"},
		`the value "\xff" is not valid UTF-8`:                                       {"text", "a \xff"},
		`the key "\xff" is not valid UTF-8`:                                         {"text", "\xff a"},
	} {
		_, err := jobstest.RunObjects(secondarysort.Job(), map[string]string{"as": test.as}, jobstest.Objects("a 1\n"+test.line), 1)
		if bad, ok := errors.AsType[*jobs.RecordError](err); !ok || bad.Offset != 4 || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v", test.line, err)
		}
	}
	_, err := jobstest.RunObjects(secondarysort.Job(), map[string]string{"key-field": "3"}, jobstest.Objects("a 1\n"), 1)
	if err == nil || !strings.Contains(err.Error(), "has no field 3: state another with -p key-field") {
		t.Errorf("got %v", err)
	}
	for want, params := range map[string]map[string]string{
		"key-field=0": {"key-field": "0"}, "value-field=-1": {"value-field": "-1"}, `separator=""`: {"separator": ""}, `"date" is not allowed`: {"as": "date"},
	} {
		if _, err := secondarysort.Job().Bind(params); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: got %v", params, err)
		}
	}
}

func ExampleJob() {
	result, err := jobstest.RunObjects(secondarysort.Job(), nil, jobstest.Objects("oak 12\nelm 3\n", "oak -1\nelm 20\noak 7\n"), 1)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, row := range result.Rows() {
		fmt.Println(row)
	}
	// Output:
	// {"elm" 3}
	// {"elm" 20}
	// {"oak" -1}
	// {"oak" 7}
	// {"oak" 12}
}
