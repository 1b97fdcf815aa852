package console

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/jobs/plan"
	"github.com/millrace/millrace/storage"
)

// planned is a plan with cut objects, packed ones and one by itself.
func planned(t *testing.T) *plan.Plan {
	t.Helper()
	objects := []plan.Object{{URL: "s3://x/a", Size: 5 << 19}, {URL: "s3://x/b", Size: 10}, {URL: "s3://x/c", Size: 20}, {URL: "s3://x/d", Size: 1 << 20}, {URL: "s3://x/e", Size: 3 << 20},
		{URL: "s3://x/e.gz", Size: 2 << 20, Encoding: "gzip"}, {URL: "s3://x/f.gz", Size: 3 << 20, Encoding: "gzip"}}
	for i := range 2000 {
		objects = append(objects, plan.Object{URL: fmt.Sprintf("s3://x/f/%04d", i), Size: 100})
	}
	p, err := plan.Make(plan.Spec{Info: jobs.Info{Inputs: make([]jobs.Input, 1)}, SplitSize: 1 << 20, Reducers: 3}, objects)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

var planStages = []PlanStage{
	{"planning", storage.Requests{List: 4}}, {"sampling", storage.Requests{}}, {"reading", storage.Requests{Get: 2009}},
	{"writing", storage.Requests{Create: 3, Part: 3}}, {"committing", storage.Requests{List: 8, Get: 1, Put: 1, Complete: 3}},
}

// A plan says how objects and splits go together, and what a run of it would read, fetch, ask for and cost, as text and as JSON.
func TestPlan(t *testing.T) {
	t.Parallel()
	p := planned(t)
	var out bytes.Buffer
	if err := Plan(&out, p, planStages, PlanOptions{Took: 12 * time.Millisecond, JSON: true}); err != nil {
		t.Fatal(err)
	}
	var got PlanReport
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	reads := 0
	for i := range p.Maps {
		reads += len(p.Split(i).Pieces)
	}
	if got.Objects != 2007 || got.Splits != p.Maps || got.Reducers != 3 || got.Reads != reads || got.Fetches != int64(3*p.Maps) || got.PlannedIn != 0.012 || got.Largest != 3<<20 || len(got.Notes) != 1 {
		t.Errorf("got %+v", got)
	}
	if got.CutObjects != 2 || got.PackedSplits != 3 || got.PackedObjects != 2002 || got.LargestPack != plan.MaxPieces {
		t.Errorf("packing: %+v", got)
	}
	if got.Requests["reading"].Get != 2009 || got.Requests["committing"].Complete != 3 || got.Dollars != 0.000914 {
		t.Errorf("requests: %+v, $%f", got.Requests, got.Dollars)
	}
	out.Reset()
	if err := Plan(&out, p, planStages, PlanOptions{Took: 12 * time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	golden(t, "plan", out.Bytes())
	for line := range strings.Lines(out.String()) {
		if n := text.StringWidth(strings.TrimSuffix(line, "\n")); n > explainWidth+20 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	for _, asJSON := range []bool{true, false} {
		if err := Plan(brokenPipe{}, p, planStages, PlanOptions{JSON: asJSON}); !errors.Is(err, errPipe) {
			t.Errorf("JSON %v: got %v, want the writer's error", asJSON, err)
		}
	}
}

// A plan of local files asks for nothing.
func TestPlanOfFiles(t *testing.T) {
	t.Parallel()
	p, err := plan.Make(plan.Spec{Info: jobs.Info{Inputs: make([]jobs.Input, 1)}}, []plan.Object{{URL: "file:///a", Size: 10}})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := Plan(&out, p, nil, PlanOptions{}); err != nil {
		t.Fatal(err)
	}
	want := "input      10 B in 1 object\nmap        1 split of 10 B to 10 B, 1 read\nreduce     1 partition, 1 fetch of runs\noutput     1 part\nrequests   none: local files\nplanned in 0.000 s\n"
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}

// A plan of a job with several inputs says what belongs to each.
func TestPlanOfSeveralInputs(t *testing.T) {
	t.Parallel()
	spec := plan.Spec{
		Info: jobs.Info{Inputs: []jobs.Input{{Name: "left"}, {Name: "right"}}}, Inputs: []string{"mem://x/r", "mem://x/l"}, InputOf: []int{1, 0},
	}
	p, err := plan.Make(spec, []plan.Object{{URL: "mem://x/l", Size: 1 << 20}, {URL: "mem://x/r1", Size: 10, Input: 1}, {URL: "mem://x/r2", Size: 20, Input: 1}})
	if err != nil {
		t.Fatal(err)
	}
	var text, machine bytes.Buffer
	if err := errors.Join(Plan(&text, p, nil, PlanOptions{}), Plan(&machine, p, nil, PlanOptions{JSON: true})); err != nil {
		t.Fatal(err)
	}
	if want := "objects\n           left: 1.0 MiB in 1 object\n           right: 30 B in 2 objects\nmap "; !strings.Contains(text.String(), want) {
		t.Errorf("%q is not in\n%s", want, text.String())
	}
	var got PlanReport
	if err := json.Unmarshal(machine.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if want := []PlanInput{{"left", 1, 1 << 20}, {"right", 2, 30}}; !slices.Equal(got.Inputs, want) {
		t.Errorf("got %+v, want %+v", got.Inputs, want)
	}
}

// The names of inputs stand before their places, and a URL that holds a "=" is none.
func TestInputPlace(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"left=file:///data/x y": "left=/data/x y", "left=s3://b/k=v": "left=s3://b/k=v", "file:///a=b/c": "/a=b/c", "s3://b/day=1": "s3://b/day=1",
	} {
		if got := inputPlace(in); got != want {
			t.Errorf("%s is shown as %s, want %s", in, got, want)
		}
	}
}

// A plan shows the side inputs, as text and as JSON.
func TestPlanSideInputs(t *testing.T) {
	t.Parallel()
	p := planned(t)
	p.Spec.SideInputs = []plan.SideInput{{Name: "stations", URL: "s3://x/stations.csv", Size: 3 << 10, ETag: "e1"}, {Name: "model", URL: "file:///tmp/m", Size: 1}}
	var out bytes.Buffer
	if err := Plan(&out, p, planStages, PlanOptions{}); err != nil {
		t.Fatal(err)
	}
	const want = "\nside       stations: s3://x/stations.csv, 3.0 KiB\n           model: /tmp/m, 1 B\nmap "
	if !strings.Contains(out.String(), want) {
		t.Errorf("got\n%s\nwant in it\n%s", out.String(), want)
	}
	out.Reset()
	if err := Plan(&out, p, planStages, PlanOptions{JSON: true}); err != nil {
		t.Fatal(err)
	}
	var got PlanReport
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Side) != 2 || got.Side[0] != (PlanSide{"stations", "s3://x/stations.csv", 3 << 10, "e1"}) {
		t.Errorf("got %+v", got.Side)
	}
}
