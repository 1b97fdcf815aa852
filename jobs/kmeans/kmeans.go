// Package kmeans groups points into k clusters (Lloyd's algorithm): a chain of jobs, and an example of one that loops until
// nothing changes. Each round is a MapReduce: map finds the center nearest to a point, reduce takes the mean of its points.
//
// The rounds pass the centers on as a parameter, since there are few of them. Coordinates are fixed-point numbers, whose sums
// are exact: so the centers are the same to the bit, whatever the splits.
package kmeans

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/millrace/millrace/jobs"
)

// Params are what a submitter may choose.
type Params struct {
	K          int    `param:"k" default:"8" help:"clusters"`
	Centers    string `param:"centers" default:"" help:"where to begin, as 'x,y;x,y'; none: k of the points, drawn by the seed"`
	Seed       int64  `param:"seed" default:"1" help:"another one draws other points to begin with"`
	Iterations int    `param:"iterations" default:"100" help:"rounds at most; it ends before when no center moves"`
	Separator  string `param:"separator" default:"," help:"what stands between the coordinates of a point"`
	Decimals   int    `param:"decimals" default:"6" help:"digits after the point that a coordinate may have"`
	Output     string `param:"output" default:"centers" oneof:"centers|points" help:"a row per cluster, or a row per point with its cluster"`
}

// Validate says which parameter is out of range.
func (p Params) Validate() error {
	switch {
	case p.K < 1 || p.K > jobs.MaxCollect:
		return fmt.Errorf("k %d: it must be from 1 to %d", p.K, jobs.MaxCollect)
	case p.Iterations < 1 || p.Iterations > jobs.MaxStages-2:
		return fmt.Errorf("iterations %d: it must be from 1 to %d", p.Iterations, jobs.MaxStages-2)
	case p.Separator == "":
		return errors.New("separator: it must not be empty")
	}
	_, err := jobs.ParseFixed("0", p.Decimals)
	return err
}

// Center is a row of the result: a cluster's number, how many points it has, and their mean.
type Center struct {
	Cluster int64
	Points  int64
	Center  []float64
}

// Member is a row of the result with output=points.
type Member struct {
	Cluster int64
	Point   string // the line
}

// Job returns the job "kmeans".
func Job() *jobs.Job {
	draw, round, assign := drawJob(), roundJob(), assignJob()
	return jobs.DefineChain("kmeans", []*jobs.Job{draw, round, assign}, func(c *jobs.Chain, p Params) error {
		centers, err := begin(c, draw, p)
		if err != nil {
			return err
		}
		shared := map[string]string{"separator": p.Separator, "decimals": strconv.Itoa(p.Decimals)}
		with := func(centers [][]float64) map[string]string {
			shared["centers"] = formatCenters(centers)
			return shared
		}
		for range p.Iterations - 1 { // the last round is the one that writes the output
			done := c.Run(round, jobs.Stage{Params: with(centers), Collect: len(centers)})
			next, err := move(done, centers)
			if err != nil {
				return err
			}
			done.Drop()
			if slices.EqualFunc(next, centers, slices.Equal) {
				break
			}
			centers = next
		}
		if p.Output == "points" {
			c.Finish(assign, jobs.Stage{Params: with(centers)})
			return nil
		}
		c.Finish(round, jobs.Stage{Params: with(centers)})
		return nil
	}, jobs.Doc("K-means: points, a line of coordinates each, grouped around k centers, each the mean of its points (Lloyd's\n"+
		"algorithm). It ends when no center moves. A cluster that loses its last point keeps its center, and has no row."))
}

// begin returns the centers of the first round.
func begin(c *jobs.Chain, draw *jobs.Job, p Params) ([][]float64, error) {
	if p.Centers != "" {
		centers, err := parseCenters(p.Centers)
		if err != nil {
			return nil, fmt.Errorf("parameter centers: %w", err)
		}
		return centers, nil
	}
	done := c.Run(draw, jobs.Stage{Collect: p.K, Params: map[string]string{
		"k": strconv.Itoa(p.K), "seed": strconv.FormatInt(p.Seed, 10), "separator": p.Separator, "decimals": strconv.Itoa(p.Decimals),
	}})
	rows, err := jobs.Collected[Center](done)
	if err != nil {
		return nil, err
	}
	done.Drop()
	if len(rows) < p.K {
		return nil, fmt.Errorf("the input has %d different points, fewer than k=%d clusters: choose a smaller k", len(rows), p.K)
	}
	centers := make([][]float64, p.K)
	for i, r := range rows {
		centers[i] = r.Center
	}
	return centers, nil
}

// move returns the centers after a round.
func move(done *jobs.Done, centers [][]float64) ([][]float64, error) {
	rows, err := jobs.Collected[Center](done)
	if err != nil {
		return nil, err
	}
	next := slices.Clone(centers)
	for _, r := range rows {
		next[r.Cluster] = r.Center
	}
	return next, nil
}

// formatCenters writes centers so that parseCenters reads the same numbers, to the bit.
func formatCenters(centers [][]float64) string {
	var b []byte
	for i, center := range centers {
		if i > 0 {
			b = append(b, ';')
		}
		for j, x := range center {
			if j > 0 {
				b = append(b, ',')
			}
			b = strconv.AppendFloat(b, x, 'g', -1, 64)
		}
	}
	return string(b)
}

func parseCenters(s string) ([][]float64, error) {
	var centers [][]float64
	for text := range strings.SplitSeq(s, ";") {
		var center []float64
		for x := range strings.SplitSeq(text, ",") {
			v, err := strconv.ParseFloat(strings.TrimSpace(x), 64)
			if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
				return nil, fmt.Errorf("center %d: %q is no number: write centers as 'x,y;x,y'", len(centers)+1, x)
			}
			center = append(center, v)
		}
		if len(centers) > 0 && len(center) != len(centers[0]) {
			return nil, fmt.Errorf("center %d has %d coordinates, the first one has %d", len(centers)+1, len(center), len(centers[0]))
		}
		centers = append(centers, center)
	}
	return centers, nil
}
