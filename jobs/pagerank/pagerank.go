// Package pagerank ranks the pages of a graph of links by PageRank: a chain of jobs, and an example of one whose stages read
// what the stage before wrote.
//
//	graph   lines "source target"       -> a row per page: its links, each once
//	spread  page, rank, links           -> page, new rank, links; again until the ranks hardly move
//	order   page, rank, links           -> page, rank, the highest rank first
//
// A page gives its rank to those that it links to, in equal shares; one without links gives it to all pages. The damping
// factor of what a page gets in this way counts, and the rest is the same for all:
//
//	rank(p) = (1-d)/N + d * (sum over q that link to p of rank(q)/links(q) + sum over q without links of rank(q)/N)
//
// Ranks sum to 1. They are added up exactly, so that they are the same to the bit for every split size.
//
// Source: S. Brin, L. Page: The anatomy of a large-scale hypertextual Web search engine, 1998.
package pagerank

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/millrace/millrace/jobs"
)

// Params are what a submitter may choose.
type Params struct {
	Damping    float64 `param:"damping" default:"0.85" help:"how much of a page's rank comes through links, from 0 up to 1"`
	Tolerance  float64 `param:"tolerance" default:"1e-9" help:"it ends when all ranks together move by less than this in a round"`
	Iterations int     `param:"iterations" default:"200" help:"rounds at most"`
	Separator  string  `param:"separator" default:"" help:"what stands between source and target; none: blanks and tabs"`
}

// Validate says which parameter is out of range.
func (p Params) Validate() error {
	switch {
	case !(p.Damping >= 0 && p.Damping < 1):
		return fmt.Errorf("damping %v: it must be from 0 up to, but not, 1", p.Damping)
	case !(p.Tolerance >= 0):
		return fmt.Errorf("tolerance %v: it must not be negative", p.Tolerance)
	case p.Iterations < 1 || p.Iterations > jobs.MaxStages-2:
		return fmt.Errorf("iterations %d: it must be from 1 to %d", p.Iterations, jobs.MaxStages-2)
	}
	return nil
}

// Rank is a row of the result.
type Rank struct {
	Page string
	Rank float64
}

// Counters by which a stage tells the chain what it found. Sums of ranks are counted in units of 2^-unit.
const (
	pagesCounter    = "pages"
	danglingCounter = "dangling" // ranks of pages without links; of the graph, their number
	movedCounter    = "moved"    // by how much the ranks moved
	unit            = 60
)

// Job returns the job "pagerank".
func Job() *jobs.Job {
	graph, spread, order := graphJob(), spreadJob(), orderJob()
	return jobs.DefineChain("pagerank", []*jobs.Job{graph, spread, order}, func(c *jobs.Chain, p Params) error {
		now := c.Run(graph, jobs.Stage{Params: map[string]string{"separator": p.Separator}})
		pages := now.Counter(pagesCounter)
		if pages == 0 {
			return errors.New("the input has no link: each line is to be a source and a target")
		}
		// All pages begin with the same rank, which the graph's rows do not hold.
		share, dangling := 1/float64(pages), float64(now.Counter(danglingCounter))/float64(pages)
		for range p.Iterations {
			next := c.Run(spread, jobs.Stage{From: []*jobs.Done{now}, Params: map[string]string{
				"damping": format(p.Damping), "pages": strconv.FormatInt(pages, 10), "begin": format(share), "dangling": format(dangling),
			}})
			now.Drop()
			now, share, dangling = next, 0, units(next.Counter(danglingCounter))
			if units(now.Counter(movedCounter)) < p.Tolerance {
				break
			}
		}
		c.Finish(order, jobs.Stage{From: []*jobs.Done{now}})
		return nil
	}, jobs.Doc("PageRank of the pages of a graph, from lines \"source target\"; the highest rank first. It ends when the ranks hardly\n"+
		"move. A link that comes twice counts once."))
}

// format writes a number so that it is read as the same, to the bit.
func format(x float64) string { return strconv.FormatFloat(x, 'g', -1, 64) }

// units is a counter of ranks as a number.
func units(n int64) float64 { return float64(n) / (1 << unit) }
