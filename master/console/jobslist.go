package console

import (
	"fmt"
	"io"
	"strconv"
	"strings"

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
		how := "-p NAME=VALUE"
		if j.Name() == plan.Command {
			how = "each by its flag, files by --file"
		}
		fmt.Fprintf(&b, "\nParameters (%s):\n", how)
		for _, p := range params {
			value := "default " + p.Default
			switch {
			case p.Required:
				value = "required"
			case p.Default == "" && p.Type == "file":
				value = "default none"
			case p.Default == "":
				value = "default empty"
			case strings.TrimSpace(p.Default) != p.Default: // a tab would not show
				value = "default " + strconv.Quote(p.Default)
			}
			kind := p.Type
			if len(p.Allowed) > 0 {
				kind = strings.Join(p.Allowed, "|")
			}
			if p.Type == "file" { // a side input
				kind = fmt.Sprintf("file, a path or URL, up to %v", jobs.Size(p.Max))
			}
			fmt.Fprintf(&b, "  %-14s %s; %s\n  %-14s %s\n", Line(p.Name), Line(kind), Line(value), "", Line(p.Help))
		}
	}
	if code, err := j.Bind(nil); err == nil {
		inputs := []string{}
		for _, in := range code.Info().Inputs {
			inputs = append(inputs, Line(in.Name)+"=INPUT")
		}
		if len(inputs) > 1 {
			fmt.Fprintf(&b, "\nInputs: %s\n", strings.Join(inputs, " "))
		}
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
