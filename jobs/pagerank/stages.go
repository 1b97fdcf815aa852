package pagerank

import (
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/jobs/exact"
)

// page is a row between the stages. The links of a page lie in one row: a page of millions of links makes a row of their size.
type page struct {
	Page  string
	Rank  float64
	Links []string
}

// graphJob gathers each page's links, in order and each once.
func graphJob() *jobs.Job {
	type params struct{ Separator string }
	return jobs.Define("graph", func(t *jobs.Task, p params) (jobs.Code, error) {
		pages, dangling := t.Counter(pagesCounter), t.Counter(danglingCounter)
		return jobs.MapReduce(func(line string, emit func(string, *string)) error {
			source, target, err := link(line, p.Separator)
			if err != nil {
				return err
			}
			emit(source, &target)
			emit(target, nil) // a page that is only linked to is one as well
			return nil
		}, func(name string, targets jobs.Values[*string], emit func(page)) error {
			row := page{Page: name}
			for target := range targets.All() {
				if n := len(row.Links); target != nil && (n == 0 || row.Links[n-1] != *target) {
					row.Links = append(row.Links, *target)
				}
			}
			pages.Add(1)
			if len(row.Links) == 0 {
				dangling.Add(1)
			}
			emit(row)
			return nil
		}, jobs.OrderBy(func(target *string) string {
			if target == nil {
				return ""
			}
			return *target
		})), nil
	}, jobs.Doc("Gathers each page's links."))
}

// link takes a line apart.
func link(line, separator string) (source, target string, err error) {
	if separator != "" {
		var found bool
		source, target, found = strings.Cut(line, separator)
		if !found || strings.Contains(target, separator) {
			return "", "", fmt.Errorf("it is no source and target with one %q between them: correct the line, or state -p separator", separator)
		}
		if source == "" || target == "" {
			return "", "", errors.New("its source or target is empty: correct the line, or state -p separator")
		}
		return source, target, nil
	}
	words := strings.Fields(line)
	if len(words) != 2 {
		return "", "", fmt.Errorf("it has %d words, not a source and a target: correct the line, or state -p separator", len(words))
	}
	return words[0], words[1], nil
}

// scale is the unit of sums of ranks, 2^-scale: a sum of all ranks is 1, which leaves room for rounding beyond it.
const scale = 120

// given is what a page gets in a round, and, from the page itself, what it was.
type given struct {
	Sum   exact.Sum
	Known bool // Rank and Links are the page's
	Rank  float64
	Links []string
}

// join adds what a page gets.
func join(a, b given) given {
	sum := exact.Add(a.Sum, b.Sum)
	if b.Known {
		a = b
	}
	a.Sum = sum
	return a
}

// spreadJob lets each page give its rank away.
func spreadJob() *jobs.Job {
	type params struct {
		Damping  float64
		Pages    int64
		Begin    float64 // the rank of all pages in the first round; 0: it is in the rows
		Dangling float64 // the sum of the ranks of pages without links
	}
	return jobs.Define("spread", func(t *jobs.Task, p params) (jobs.Code, error) {
		dangling, moved := t.Counter(danglingCounter), t.Counter(movedCounter)
		all := (1-p.Damping)/float64(p.Pages) + p.Damping*(p.Dangling/float64(p.Pages))
		return jobs.MapReduce(func(row page, emit func(string, given)) error {
			if p.Begin > 0 {
				row.Rank = p.Begin
			}
			emit(row.Page, given{Known: true, Rank: row.Rank, Links: row.Links})
			share, ok := exact.Float(row.Rank/float64(max(1, len(row.Links))), scale)
			if !ok {
				return fmt.Errorf("the rank of page %q is %v: ranks are from 0 to 1", row.Page, row.Rank)
			}
			for _, target := range row.Links {
				emit(target, given{Sum: share})
			}
			return nil
		}, func(name string, got jobs.Values[given], emit func(page)) error {
			g := jobs.Fold(got, join)
			rank := all + float64(p.Damping*g.Sum.Value(scale))
			if len(g.Links) == 0 {
				dangling.Add(int64(math.Round(rank * (1 << unit))))
			}
			moved.Add(int64(math.Round(math.Abs(rank-g.Rank) * (1 << unit))))
			emit(page{name, rank, g.Links})
			return nil
		}, jobs.Table(), jobs.Combine(join)), nil
	}, jobs.Doc("Lets each page give its rank to those that it links to."))
}

// place is where a page comes in the result: by rank, the highest first, and then by name.
type place struct {
	Below float64 // the rank, negated
	Page  string
}

// orderJob orders pages by rank.
func orderJob() *jobs.Job {
	return jobs.New("order", func(row page, emit func(place, struct{})) error {
		emit(place{-row.Rank, row.Page}, struct{}{})
		return nil
	}, func(p place, _ jobs.Values[struct{}], emit func(Rank)) error {
		emit(Rank{p.Page, -p.Below})
		return nil
	}, jobs.Table(), jobs.TotalOrder(), jobs.Doc("Orders pages by rank."))
}
