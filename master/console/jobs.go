package console

import (
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/millrace/millrace/master/wire"
)

// shortID is enough of a job's id to tell it from all others that a master knows.
const shortID = 8

// JobsTable writes a line per job, for `millrace list`. width is that of the terminal in columns, 0 for no limit.
func JobsTable(out io.Writer, jobs []wire.JobStatus, now time.Time, width int) error {
	if len(jobs) == 0 {
		_, err := io.WriteString(out, "no jobs\n")
		return err
	}
	t := table.NewWriter()
	t.SetStyle(bare())
	t.SetColumnConfigs([]table.ColumnConfig{rightAligned("DONE"), rightAligned("INPUT"), rightAligned("TIME")})
	t.AppendHeader(table.Row{"ID", "JOB", "STATE", "DONE", "INPUT", "SUBMITTED", "TIME", "OUTPUT"})
	for _, st := range jobs {
		t.AppendRow(table.Row{
			short(st.ID), cut(Line(st.Job), 20), st.State.String(), donePercent(st), amount(st.InBytes),
			humanize.RelTime(st.Submitted, now, "ago", "from now"), coarse(timeOf(st, now)), Line(place(st.Output)),
		})
	}
	_, err := io.WriteString(out, narrow(t.Render(), width))
	return err
}

// short is the beginning of an id, which the other subcommands take for the whole one.
func short(id wire.JobID) string {
	s := Line(string(id))
	return s[:min(len(s), shortID)]
}

// bare is a table without lines, as other tools list things.
func bare() table.Style {
	s := table.StyleDefault
	s.Options = table.OptionsNoBordersAndSeparators
	s.Box.PaddingLeft, s.Box.PaddingRight = "", "  "
	return s
}

func rightAligned(column string) table.ColumnConfig {
	return table.ColumnConfig{Name: column, Align: text.AlignRight, AlignHeader: text.AlignRight}
}

// narrow cuts each line of a table to a terminal's width and ends it.
func narrow(rendered string, width int) string {
	var b strings.Builder
	for line := range strings.Lines(rendered) {
		b.WriteString(cut(strings.TrimRight(line, " \n"), width) + "\n")
	}
	return b.String()
}

func timeOf(st wire.JobStatus, now time.Time) time.Duration {
	if st.Ended.IsZero() {
		return now.Sub(st.Submitted)
	}
	return st.Ended.Sub(st.Submitted)
}

func donePercent(st wire.JobStatus) string {
	if st.State == wire.Done {
		return "100%"
	}
	var p Progress
	p.observe(st, time.Time{}.Add(1))
	return fmt.Sprintf("%d%%", int(math.Floor(100*p.fraction)))
}

// StatusText writes all that is known of one job, for `millrace status`.
func StatusText(out io.Writer, st wire.JobStatus, now time.Time) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s\n\n", Line(st.Job), st.State)
	facts := []fact{{"id", Line(string(st.ID))}}
	for i, name := range slices.Sorted(maps.Keys(st.Params)) {
		facts = append(facts, fact{label("params", i), Line(name) + "=" + Line(st.Params[name])})
	}
	const inputsShown = 10
	for i, in := range st.Inputs[:min(len(st.Inputs), inputsShown)] {
		facts = append(facts, fact{label("inputs", i), Line(inputPlace(in))})
	}
	if n := max(st.NumInputs, len(st.Inputs)) - inputsShown; n > 0 {
		facts = append(facts, fact{"", fmt.Sprintf("and %d more", n)})
	}
	facts = append(facts, sideInputFacts(st)...)
	facts = append(facts, fact{"output", Line(place(st.Output))}, fact{"time", timeFact(st, now)})
	if st.State == wire.Running || st.State == wire.Committing {
		facts = append(facts, fact{"workers", fmt.Sprint(st.Workers)})
	}
	if st.NumStages == 0 || !st.State.Ended() { // of a chain: those of the stage under way
		facts = append(facts, fact{"map", phaseText(st.Map)}, fact{"reduce", phaseText(st.Reduce)})
	}
	if st.Retries > 0 {
		facts = append(facts, fact{"retries", humanize.Comma(int64(st.Retries))})
	}
	facts = append(facts, fact{"input", inputFact(st, st.Ended.Sub(st.Submitted))}, fact{"shuffle", shuffleFact(st)})
	if st.State == wire.Done {
		facts = append(append(facts, fact{"rows", outputFact(st)}), sideFacts(st)...)
		facts = append(facts, fact{"parts", partsFact(st)})
	}
	facts = append(append(facts, rejectedFacts(st)...), counterFacts(st.Counters)...)
	writeFacts(&b, append(facts, warningFacts(st.Warnings)...))
	writeStages(&b, st)
	if st.Error != "" {
		fmt.Fprintf(&b, "\n%s\n", strings.TrimSpace(Lines(st.Error)))
	}
	_, err := io.WriteString(out, b.String())
	return err
}

// label names the first of several lines.
func label(name string, i int) string {
	if i > 0 {
		return ""
	}
	return name
}

func timeFact(st wire.JobStatus, now time.Time) string {
	at := "submitted " + st.Submitted.UTC().Format("2006-01-02 15:04:05 UTC")
	if st.Ended.IsZero() {
		return at + ", running for " + coarse(timeOf(st, now))
	}
	return at + ", took " + span(timeOf(st, now))
}

func phaseText(ph wire.PhaseStatus) string {
	s := fmt.Sprintf("%d of %s done", ph.Done, count(ph.Tasks, "task", "tasks"))
	if ph.Running > 0 {
		s += fmt.Sprintf(", %d running", ph.Running)
	}
	if ph.Failed > 0 {
		s += fmt.Sprintf(", %d failed", ph.Failed)
	}
	return s + progressOf(ph.BytesDone, ph.Bytes)
}
