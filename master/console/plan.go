package console

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/jedib0t/go-pretty/v6/table"

	"github.com/millrace/millrace/jobs/plan"
	"github.com/millrace/millrace/storage"
)

// PlanReport is the machine-readable form of a plan.
type PlanReport struct {
	Objects   int     `json:"objects"`
	Bytes     int64   `json:"bytes"`
	Excluded  int     `json:"excluded_objects,omitempty"` // that --exclude left out
	Splits    int     `json:"splits"`
	Reducers  int     `json:"reducers"`
	Largest   int64   `json:"largest_split_bytes"`
	Smallest  int64   `json:"smallest_split_bytes"`
	Reads     int     `json:"input_reads"` // pieces: requests for ranges of input objects
	Fetches   int64   `json:"run_fetches"` // sections of runs that reducers fetch
	PlannedIn float64 `json:"planned_in_seconds"`

	Inputs []PlanInput `json:"inputs,omitempty"` // of a job with several
	Side   []PlanSide  `json:"side_inputs,omitempty"`
	Notes  []plan.Note `json:"notes,omitempty"` // on objects that are not cut

	PackedSplits  int                          `json:"packed_splits"`  // that hold several objects
	PackedObjects int                          `json:"packed_objects"` // in those
	LargestPack   int                          `json:"largest_pack"`   // objects of one split
	CutObjects    int                          `json:"cut_objects"`    // that are in several splits
	Requests      map[string]ExplainedRequests `json:"requests"`       // by stage; none of local files
	Dollars       float64                      `json:"dollars"`
	PriceBasis    string                       `json:"price_basis"`
}

// PlanInput is one input of a job that has several.
type PlanInput struct {
	Name    string `json:"name"`
	Objects int    `json:"objects"`
	Bytes   int64  `json:"bytes"`
}

// PlanSide is a small file that every worker reads.
type PlanSide struct {
	Name string `json:"name"` // of the parameter that names it
	URL  string `json:"url"`
	Size int64  `json:"bytes"`
	ETag string `json:"etag"`
}

// planInputs counts what belongs to each input of a job that has several.
func planInputs(p *plan.Plan) []PlanInput {
	inputs := p.Spec.Info.Inputs
	if len(inputs) < 2 {
		return nil
	}
	out := make([]PlanInput, len(inputs))
	for i := range inputs {
		out[i].Name = inputs[i].Name
	}
	for _, o := range p.Objects {
		out[o.Input].Objects++
		out[o.Input].Bytes += o.Size
	}
	return out
}

// PlanStage is what a stage of a run is expected to ask of the storage.
type PlanStage struct {
	Name     string
	Requests storage.Requests
}

// PlanOptions say how a plan is shown.
type PlanOptions struct {
	Took  time.Duration // to make it
	JSON  bool
	Width int // of the terminal in columns; 0: 80
}

// Plan shows what a run of a plan would do.
func Plan(out io.Writer, p *plan.Plan, stages []PlanStage, o PlanOptions) error {
	r := planReport(p, stages)
	r.PlannedIn = o.Took.Seconds()
	if o.JSON {
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		return e.Encode(r)
	}
	if o.Width <= 0 {
		o.Width = explainWidth
	}
	var b strings.Builder
	parts, reduce := r.Splits, "" // of a job of maps only
	if r.Reducers > 0 {
		parts = r.Reducers
		reduce = fmt.Sprintf("reduce     %s, %s of runs\n", count(r.Reducers, "partition", "partitions"), count(r.Fetches, "fetch", "fetches"))
	}
	fmt.Fprintf(&b, "input      %s in %s\n", humanize.IBytes(uint64(r.Bytes)), count(r.Objects, "object", "objects"))
	if r.Excluded > 0 {
		fmt.Fprintf(&b, "excluded   %s\n", count(r.Excluded, "object", "objects"))
	}
	for _, in := range r.Inputs {
		fmt.Fprintf(&b, "           %s: %s in %s\n", Line(in.Name), humanize.IBytes(uint64(in.Bytes)), count(in.Objects, "object", "objects"))
	}
	for i, in := range r.Side {
		fmt.Fprintf(&b, "%-10s %s: %s, %s\n", label("side", i), Line(in.Name), Line(place(in.URL)), humanize.IBytes(uint64(in.Size)))
	}
	fmt.Fprintf(&b, "map        %s of %s to %s, %s\n%s%soutput     %s\n",
		count(r.Splits, "split", "splits"), humanize.IBytes(uint64(r.Smallest)), humanize.IBytes(uint64(r.Largest)), count(r.Reads, "read", "reads"),
		packing(r), reduce, count(parts, "part", "parts"))
	planCost(&b, stages, o.Width)
	fmt.Fprintf(&b, "planned in %.3f s\n", r.PlannedIn)
	for _, n := range r.Notes {
		fmt.Fprintf(&b, "note: %s of %s not cut, of %s: %s\n      the first: %s\n", count(n.Objects, "object", "objects"), Line(n.Encoding),
			humanize.IBytes(uint64(n.Bytes)), n.Why, Line(place(n.URL)))
	}
	_, err := io.WriteString(out, b.String())
	return err
}

func planReport(p *plan.Plan, stages []PlanStage) PlanReport {
	r := PlanReport{
		Objects: len(p.Objects), Bytes: p.InBytes, Excluded: p.Excluded, Splits: p.Maps, Reducers: p.Reducers, Smallest: p.SplitBytes(0),
		Fetches: int64(p.Maps) * int64(p.Reducers), Inputs: planInputs(p), Notes: p.Notes(), PriceBasis: storage.PriceBasis, Requests: map[string]ExplainedRequests{},
	}
	for _, s := range p.Spec.SideInputs {
		r.Side = append(r.Side, PlanSide(s))
	}
	cut := ""
	for i := range p.Maps {
		n := p.SplitBytes(i)
		r.Largest, r.Smallest = max(r.Largest, n), min(r.Smallest, n)
		pieces := p.Split(i).Pieces
		r.Reads += len(pieces)
		r.LargestPack = max(r.LargestPack, len(pieces))
		switch first := pieces[0]; {
		case len(pieces) > 1:
			r.PackedSplits++
			r.PackedObjects += len(pieces)
		case first.Length < first.Size && first.URL != cut:
			r.CutObjects++
			cut = first.URL
		}
	}
	var all storage.Requests
	for _, s := range stages {
		r.Requests[s.Name] = explainedRequests(s.Requests)
		all.Add(s.Requests)
	}
	r.Dollars = math.Round(1e9*all.Dollars()) / 1e9
	return r
}

// packing says how objects and splits go together, a line or none.
func packing(r PlanReport) string {
	var say []string
	if r.PackedSplits > 0 {
		say = append(say, fmt.Sprintf("%s share %s, up to %s each", count(r.PackedObjects, "small object", "small objects"),
			count(r.PackedSplits, "split", "splits"), humanize.Comma(int64(r.LargestPack))))
	}
	if r.CutObjects > 0 {
		say = append(say, count(r.CutObjects, "large object is cut", "large objects are cut"))
	}
	if len(say) == 0 {
		return ""
	}
	return "packing    " + strings.Join(say, "; ") + "\n"
}

// planCost shows the requests by stage and kind, and what they cost.
func planCost(b *strings.Builder, stages []PlanStage, width int) {
	var all storage.Requests
	for _, s := range stages {
		all.Add(s.Requests)
	}
	if all.Total() == 0 {
		b.WriteString("requests   none: local files\n")
		return
	}
	b.WriteString("\nrequests, if none fails, runs are no larger than their splits, and the output than the input:\n")
	short := func(r storage.Requests) []int64 {
		return []int64{r.Get, r.Head, r.List, r.Put, r.Create + r.Part + r.Complete, r.Delete + r.Abort}
	}
	cells := func(name string, r storage.Requests) table.Row {
		row := table.Row{name}
		for _, n := range short(r) {
			row = append(row, humanize.Comma(n))
		}
		return append(row, price(r))
	}
	var lines []table.Row
	for _, s := range stages {
		if s.Requests.Total() > 0 {
			lines = append(lines, cells(s.Name, s.Requests))
		}
	}
	rows(b, width, 0, table.Row{"", "GET", "HEAD", "LIST", "PUT", "MULTIPART", "DELETE", "PRICE"}, append(lines, cells("all", all)))
	said(b, "price", "at "+storage.PriceBasis, width)
	b.WriteString("\n")
}
