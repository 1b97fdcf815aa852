package millrace

import (
	"strings"

	"github.com/millrace/millrace/jobs/plan"
	"github.com/millrace/millrace/master"
	"github.com/millrace/millrace/master/console"
	"github.com/millrace/millrace/storage"
)

// planOutput stands for an output that nobody has chosen: beside the inputs, in local files or in a bucket.
func planOutput(inputs []string) string {
	for _, in := range inputs {
		if _, rest, named := strings.Cut(in, "="); named && strings.Contains(rest, "://") { // NAME=URL
			in = rest
		}
		if u, err := storage.ParseURL(in); err == nil && u.Scheme != "file" {
			return "mem://plan/output"
		}
	}
	return "file:///nowhere/millrace-plan-output"
}

// planStages are the requests of a run of a plan, stage by stage. Listing the inputs is what it has just cost.
func planStages(p *plan.Plan, listing storage.Requests) []console.PlanStage {
	e := master.EstimateRequests(p)
	planning := listing
	planning.Add(e.Planning)
	return []console.PlanStage{
		{Name: "planning", Requests: planning}, {Name: "sampling", Requests: e.Sampling}, {Name: "reading", Requests: e.Reading},
		{Name: "shuffling", Requests: e.Shuffling}, {Name: "writing", Requests: e.Writing}, {Name: "committing", Requests: e.Committing},
	}
}
