package console

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/jobs/plan"
	"github.com/millrace/millrace/master/wire"
)

// Jobs lists the jobs that a program carries, with the first line of each one's description.
func Jobs(out io.Writer, list []*jobs.Job) error {
	var b strings.Builder
	width := 0
	for _, j := range list {
		width = max(width, len(j.Name()))
	}
	for _, j := range list {
		first, _, _ := strings.Cut(j.Doc(), "\n")
		fmt.Fprintf(&b, "%-*s  %s\n", width, Line(j.Name()), Line(first))
	}
	_, err := io.WriteString(out, b.String())
	return err
}

// Job describes one job: what it does, its parameters, and its columns where they do not depend on a parameter.
func Job(out io.Writer, j *jobs.Job) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n%s\n", Line(j.Name()), Lines(j.Doc()))
	if params := j.Params(); len(params) > 0 {
		b.WriteString("\nParameters (-p NAME=VALUE):\n")
		for _, p := range params {
			value := "default " + p.Default
			switch {
			case p.Required:
				value = "required"
			case p.Default == "":
				value = "default empty"
			case strings.TrimSpace(p.Default) != p.Default: // a tab would not show
				value = "default " + strconv.Quote(p.Default)
			}
			kind := p.Type
			if len(p.Allowed) > 0 {
				kind = strings.Join(p.Allowed, "|")
			}
			fmt.Fprintf(&b, "  %-14s %s; %s\n  %-14s %s\n", Line(p.Name), Line(kind), Line(value), "", Line(p.Help))
		}
	}
	if code, err := j.Bind(nil); err == nil {
		fields := []string{}
		for _, f := range code.Info().Schema.Fields {
			fields = append(fields, Line(f.Name)+" "+string(f.Type))
		}
		fmt.Fprintf(&b, "\nRows: %s\n", strings.Join(fields, ", "))
	}
	_, err := io.WriteString(out, b.String())
	return err
}

// LogLine is one line of a job's log as text.
func LogLine(l wire.LogLine) string {
	var b strings.Builder
	b.WriteString(l.Time.Format("15:04:05.000"))
	for _, s := range []string{l.Attempt, l.Worker} {
		if s != "" {
			b.WriteString("  " + Line(s))
		}
	}
	return b.String() + "  " + Lines(l.Text)
}

// PlanReport is the machine-readable form of a plan.
type PlanReport struct {
	Objects   int         `json:"objects"`
	Bytes     int64       `json:"bytes"`
	Splits    int         `json:"splits"`
	Reducers  int         `json:"reducers"`
	Largest   int64       `json:"largest_split_bytes"`
	Smallest  int64       `json:"smallest_split_bytes"`
	Reads     int         `json:"input_reads"` // pieces: requests for ranges of input objects
	Fetches   int64       `json:"run_fetches"` // sections of runs that reducers fetch
	PlannedIn float64     `json:"planned_in_seconds"`
	Notes     []plan.Note `json:"notes,omitempty"` // on objects that are not cut
}

// Plan shows what a run of a plan would do.
func Plan(out io.Writer, p *plan.Plan, took time.Duration, asJSON bool) error {
	r := PlanReport{
		Objects: len(p.Objects), Bytes: p.InBytes, Splits: p.Maps, Reducers: p.Reducers, Smallest: p.SplitBytes(0),
		Fetches: int64(p.Maps) * int64(p.Reducers), PlannedIn: took.Seconds(), Notes: p.Notes(),
	}
	for i := range p.Maps {
		n := p.SplitBytes(i)
		r.Largest, r.Smallest = max(r.Largest, n), min(r.Smallest, n)
		r.Reads += len(p.Split(i).Pieces)
	}
	if asJSON {
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		return e.Encode(r)
	}
	_, err := fmt.Fprintf(out, "input      %s in %s\nmap        %s of %s to %s, %s\nreduce     %s, %s of runs\noutput     %s\nplanned in %.3f s\n",
		humanize.IBytes(uint64(r.Bytes)), count(r.Objects, "object", "objects"),
		count(r.Splits, "split", "splits"), humanize.IBytes(uint64(r.Smallest)), humanize.IBytes(uint64(r.Largest)), count(r.Reads, "read", "reads"),
		count(r.Reducers, "partition", "partitions"), count(r.Fetches, "fetch", "fetches"), count(r.Reducers, "part", "parts"), r.PlannedIn)
	for _, n := range r.Notes {
		if err != nil {
			break
		}
		_, err = fmt.Fprintf(out, "note: %s of %s not cut, of %s: %s\n      the first: %s\n", count(n.Objects, "object", "objects"), Line(n.Encoding),
			humanize.IBytes(uint64(n.Bytes)), n.Why, Line(place(n.URL)))
	}
	return err
}
