package master

import (
	"testing"

	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/jobs/plan"
)

// What no small run shows: large runs and parts are written in parts, many partitions need a third read of each run.
func TestEstimateOfLargeJobs(t *testing.T) {
	t.Parallel()
	info := jobs.Info{Inputs: make([]jobs.Input, 1)}
	p, err := plan.Make(plan.Spec{Info: info, SplitSize: 64 << 20, Reducers: 1000, Shuffle: "bucket", Overwrite: true}, []plan.Object{{URL: "s3://b/x", Size: 64 << 30}})
	if err != nil {
		t.Fatal(err)
	}
	e := EstimateRequests(p)
	if p.Maps != 1024 || e.Reading.Get != 1024 || e.Shuffling.Part != 8*1024 || e.Shuffling.Get != 1024*(2*1000+899) {
		t.Errorf("%d maps: reading %+v, shuffling %+v", p.Maps, e.Reading, e.Shuffling)
	}
	if e.Writing.Part != 9*1000 || e.Committing.Complete != 1000 || e.Committing.Delete != 1026 {
		t.Errorf("writing %+v, committing %+v", e.Writing, e.Committing)
	}
}
