package console

import (
	"fmt"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/millrace/millrace/master/wire"
)

// stages writes a line for each stage of a chain that has ended since the last status, and begins a bar of its own for the
// one under way: what a chain still has to do nobody knows, so the bar tells of one stage.
func (p *Progress) stages(st wire.JobStatus) {
	for _, s := range st.Stages {
		if s.N < p.stage || s.State != wire.Done {
			continue
		}
		p.erase()
		fmt.Fprintf(p.out, "stage %s done: %s\n", stageLabel(s), stageWork(s))
		*p = Progress{out: p.out, o: p.o, stage: s.N + 1, warned: p.warned}
	}
}

// stageLabel is a stage's number, from 1 as people count, and its name.
func stageLabel(s wire.StageStatus) string { return fmt.Sprintf("%d %s", s.N+1, Line(s.Job)) }

// stageWork is what a stage did: "47,965 records to 20,511 rows in 0.52 s".
func stageWork(s wire.StageStatus) string {
	work := fmt.Sprintf("%s to %s", count(s.Records, "record", "records"), count(s.Rows, "row", "rows"))
	if s.Reused {
		return work + ", by an earlier chain"
	}
	return work + " in " + span(s.Elapsed)
}

// title is what the bar stands for: the job, and the stage of a chain.
func title(st wire.JobStatus) string {
	name := cut(Line(st.Job), 20)
	if n := len(st.Stages); n > 0 {
		name += " " + cut(stageLabel(st.Stages[n-1]), 20)
	}
	return name
}

// stagesShown is how many stages `status` and the summary show, the newest ones.
const stagesShown = 20

// writeStages writes a table of a chain's stages, a line each; of another job nothing.
func writeStages(b *strings.Builder, st wire.JobStatus) {
	if st.NumStages == 0 {
		return
	}
	t := table.NewWriter()
	t.SetStyle(bare())
	t.SetColumnConfigs([]table.ColumnConfig{rightAligned("STAGE"), rightAligned("RECORDS"), rightAligned("ROWS"), rightAligned("OUTPUT"), rightAligned("TIME")})
	t.AppendHeader(table.Row{"STAGE", "JOB", "STATE", "RECORDS", "ROWS", "OUTPUT", "TIME"})
	shown := st.Stages[max(0, len(st.Stages)-stagesShown):]
	for _, s := range shown {
		state, took := s.State.String(), span(s.Elapsed)
		if s.Reused {
			state, took = "reused", ""
		}
		t.AppendRow(table.Row{s.N + 1, Line(s.Job), state, humanize.Comma(s.Records), humanize.Comma(s.Rows), amount(s.OutBytes), took})
	}
	b.WriteString("\n")
	if left := st.NumStages - len(shown); left > 0 {
		fmt.Fprintf(b, "  %s before these:\n", count(left, "stage", "stages"))
	}
	for line := range strings.Lines(t.Render()) {
		b.WriteString(strings.TrimRight("  "+line, " \n") + "\n")
	}
}
