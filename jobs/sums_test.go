package jobs_test

import (
	"math"
	"testing"

	"github.com/millrace/millrace/jobs"
)

// The helpers do what their names say; Min and Max are the same whichever way round, NaN included.
func TestSums(t *testing.T) {
	t.Parallel()
	if jobs.Sum[int8](100, 100) != -56 || jobs.Sum(0.5, 0.25) != 0.75 {
		t.Error("Sum")
	}
	nan := math.NaN()
	for _, tt := range [][2]float64{{1, 2}, {2, 1}, {1, 1}} {
		if jobs.Min(tt[0], tt[1]) != 1 || jobs.Max(tt[0], tt[1]) != max(tt[0], tt[1]) {
			t.Errorf("Min, Max of %v", tt)
		}
	}
	if !math.IsNaN(jobs.Min(1, nan)) || !math.IsNaN(jobs.Min(nan, 1)) || jobs.Max(1, nan) != 1 || jobs.Max(nan, 1) != 1 {
		t.Error("NaN is not the least")
	}
	if jobs.Min("b", "a") != "a" || jobs.Max("b", "a") != "b" {
		t.Error("strings")
	}
	if jobs.Total(jobs.ValuesOf(3, 4, 5)) != 12 || jobs.Count(jobs.ValuesOf("a", "b", "c")) != 3 {
		t.Error("Total, Count")
	}
	minus := func(a, b int) int { return a - b }
	if jobs.Fold(jobs.ValuesOf(3, 4, 5), minus) != 3-4-5 || jobs.Fold(jobs.ValuesOf(7), minus) != 7 || jobs.Fold(jobs.ValuesOf[int](), minus) != 0 {
		t.Error("Fold")
	}
}
