package pagerank

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/millrace/millrace/jobs/jobstest"
)

// iterate is PageRank as a textbook has it: a dense loop over float64.
func iterate(links map[string]map[string]bool, damping float64) map[string]float64 {
	ranks := map[string]float64{}
	for p := range links {
		ranks[p] = 1 / float64(len(links))
	}
	for range 500 {
		next := map[string]float64{}
		rest := 0.0
		for p, targets := range links {
			if len(targets) == 0 {
				rest += ranks[p]
			}
			for q := range targets {
				next[q] += ranks[p] / float64(len(targets))
			}
		}
		for p := range links {
			next[p] = (1-damping)/float64(len(links)) + damping*(next[p]+rest/float64(len(links)))
		}
		ranks = next
	}
	return ranks
}

// The chain's ranks are those of a plain loop, sum to 1, and come in order; whether a link comes once or more does not matter.
func TestAgainstLoop(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(1, 2))
	links := map[string]map[string]bool{}
	var lines []string
	for range 300 {
		from, to := fmt.Sprint("p", rnd.IntN(60)), fmt.Sprint("p", rnd.IntN(90)) // those from p60 on have no links
		lines = append(lines, from+" "+to)
		for _, p := range []string{from, to} {
			if links[p] == nil {
				links[p] = map[string]bool{}
			}
		}
		links[from][to] = true
	}
	lines = append(lines, lines[:50]...)
	for _, damping := range []float64{0.85, 0.3, 0} {
		params := map[string]string{"damping": fmt.Sprint(damping), "tolerance": "1e-13"}
		rows := jobstest.Run(t, Job(), params, strings.Join(lines[:120], "\n"), strings.Join(lines[120:], "\n")+"\n")
		want := iterate(links, damping)
		if len(rows) != len(want) {
			t.Errorf("damping %v: got %d pages, want %d", damping, len(rows), len(want))
		}
		sum, last := 0.0, math.Inf(1)
		for _, row := range rows {
			rank := row[1].(float64)
			sum += rank
			if page := row[0].(string); math.Abs(rank-want[page]) > 1e-11 {
				t.Errorf("damping %v: %s has rank %v, want %v", damping, page, rank, want[page])
			}
			if rank > last {
				t.Fatalf("%v comes after rank %v", row, last)
			}
			last = rank
		}
		if math.Abs(sum-1) > 1e-12 {
			t.Errorf("damping %v: ranks sum to %v", damping, sum)
		}
	}
}

// A few graphs whose ranks can be told by hand.
func TestSmall(t *testing.T) {
	t.Parallel()
	third := 1.0 / 3
	for text, want := range map[string][]jobstest.Row{
		"a b\nb c\nc a\n": {{"a", third}, {"b", third}, {"c", third}},
		"a a\n":           {{"a", 1.0}},
	} {
		rows := jobstest.Run(t, Job(), nil, text)
		if len(rows) != len(want) {
			t.Fatalf("%q: got %v", text, rows)
		}
		for i, row := range rows {
			if row[0] != want[i][0] || math.Abs(row[1].(float64)-want[i][1].(float64)) > 1e-12 {
				t.Errorf("%q: row %d is %v, want %v", text, i, row, want[i])
			}
		}
	}
}

// What cannot be is an error that says what to do.
func TestErrors(t *testing.T) {
	t.Parallel()
	for want, tt := range map[string]struct {
		params map[string]string
		text   string
	}{
		"damping 1":                         {map[string]string{"damping": "1"}, "a b"},
		"tolerance -1":                      {map[string]string{"tolerance": "-1"}, "a b"},
		"iterations 0":                      {map[string]string{"iterations": "0"}, "a b"},
		"the input has no link":             {nil, ""},
		"it has 3 words, not a source":      {nil, "a b\na b c\n"},
		`no source and target with one ","`: {map[string]string{"separator": ","}, "a,b,c\n"},
		"its source or target is empty":     {map[string]string{"separator": ","}, "a,\n"},
		"valid UTF-8":                       {nil, "a \xff\n"},
	} {
		if _, err := jobstest.RunObjects(Job(), tt.params, jobstest.Objects(tt.text), 1); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q in it", err, want)
		}
	}
}
