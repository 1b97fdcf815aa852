package console

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/millrace/millrace/master/wire"
	"github.com/millrace/millrace/storage"
)

// explainWidth is the width where nobody knows that of the terminal.
const explainWidth = 80

// Explain writes where a job's time went, for people; width is that of the terminal in columns, 0 for 80.
func Explain(out io.Writer, x *wire.Explanation, now time.Time, width int) error {
	if width <= 0 {
		width = explainWidth
	}
	var b strings.Builder
	st := x.Status
	took := "committed in"
	switch st.State {
	case wire.Running, wire.Committing:
		took = st.State.String() + " for"
	case wire.JobFailed, wire.Cancelled:
		took = st.State.String() + " after"
	}
	work := fmt.Sprintf("%s map and %s", humanize.Comma(int64(st.Map.Tasks)), count(st.Reduce.Tasks, "reduce task", "reduce tasks"))
	if st.NumStages > 0 {
		work = count(st.NumStages, "stage", "stages")
	}
	fmt.Fprintf(&b, "%s %s %s %s, %s\n", Line(st.Job), shortStage(st.ID), took, span(timeOf(st, now)), work)
	if x.Task != nil {
		explainTask(&b, x, width)
		_, err := io.WriteString(out, b.String())
		return err
	}
	if st.NumStages > 0 { // a chain has no tasks of its own
		writeStages(&b, st)
		writeFacts(&b, []fact{{"a stage", "millrace explain " + Line(string(st.ID)) + ".1"}})
		_, err := io.WriteString(out, b.String())
		return err
	}
	explainTimes(&b, x, width)
	explainTasks(&b, "slowest map tasks", x.Map, x.Map.Slowest, width)
	explainTasks(&b, "slowest reduce tasks", x.Reduce, x.Reduce.Slowest, width)
	explainTasks(&b, "running map tasks, the longest", x.Map, x.Map.Running, width)
	explainTasks(&b, "running reduce tasks, the longest", x.Reduce, x.Reduce.Running, width)
	explainSkew(&b, x, width)
	explainHot(&b, x, width)
	explainAttempts(&b, x, width)
	explainRequests(&b, x, width)
	explainCounters(&b, x.Counters, width)
	_, err := io.WriteString(out, b.String())
	return err
}

// shortStage is the beginning of a job's id and, of a stage of a chain, its number.
func shortStage(id wire.JobID) string {
	if _, n, ok := strings.Cut(string(id), "."); ok {
		return short(id) + "." + Line(n)
	}
	return short(id)
}

// section writes a heading.
func section(b *strings.Builder, title string) { fmt.Fprintf(b, "\n%s\n", title) }

// rows writes a table of bare columns, indented; the columns from the second to the last but free are aligned to the right.
func rows(b *strings.Builder, width, free int, header table.Row, list []table.Row) {
	t := table.NewWriter()
	t.SetStyle(bare())
	var configs []table.ColumnConfig
	for i := 2; i <= len(header)-free; i++ {
		configs = append(configs, table.ColumnConfig{Number: i, Align: text.AlignRight, AlignHeader: text.AlignRight})
	}
	t.SetColumnConfigs(configs)
	t.AppendHeader(header)
	t.AppendRows(list)
	for line := range strings.Lines(narrow(t.Render(), width-2)) {
		b.WriteString("  " + line)
	}
}

// said writes a fact that may take several lines.
func said(b *strings.Builder, label, what string, width int) {
	const indent = 13 // of writeFacts
	for i, line := range strings.Split(text.WrapSoft(what, max(20, width-indent)), "\n") {
		if i > 0 {
			label = ""
		}
		writeFacts(b, []fact{{label, strings.TrimRight(line, " ")}})
	}
}

func explainTimes(b *strings.Builder, x *wire.Explanation, width int) {
	if x.Map.Attempts+x.Reduce.Attempts+x.Missing == 0 {
		b.WriteString("\nno task has ended yet\n")
		return
	}
	section(b, "where the time of the tasks went")
	var list []table.Row
	m, r := x.Map.Time.Steps(), x.Reduce.Time.Steps()
	for i := range m {
		if m[i].Time+r[i].Time > 0 {
			list = append(list, table.Row{m[i].Name, timeCell(m[i].Time), share(m[i].Time, x.Map.Time.Total()), timeCell(r[i].Time), share(r[i].Time, x.Reduce.Time.Total()), stepMeans[m[i].Name]})
		}
	}
	list = append(list, table.Row{"all", span(x.Map.Time.Total()), "", span(x.Reduce.Time.Total()), "", ""})
	rows(b, width, 1, table.Row{"STEP", "MAP", "", "REDUCE", "", "WHAT IT IS"}, list)
	if x.Missing > 0 {
		said(b, "note", count(x.Missing, "task", "tasks")+" more ended under another master: their steps are not known", width)
	}
}

// stepMeans says what each step is.
var stepMeans = map[string]string{
	"wait": "for maps without a run", "read": "for input", "map": "the map function, and its table", "sort": "partitions and sorts",
	"combine": "of sorted pairs", "spill": "temporary files", "fetch": "runs of the maps", "merge": "of sorted pairs",
	"reduce": "the reduce function", "write": "the run, or the part", "other": "beginning and end",
}

// timeCell is a step's time; one that took none is no number.
func timeCell(d time.Duration) string {
	if d == 0 {
		return "-"
	}
	return span(d)
}

func share(part, whole time.Duration) string {
	if part == 0 || whole == 0 {
		return ""
	}
	return fmt.Sprintf("%.0f%%", 100*float64(part)/float64(whole))
}

func explainTasks(b *strings.Builder, title string, p wire.PhaseDetail, list []wire.TaskDetail, width int) {
	if len(list) == 0 {
		return
	}
	if typical := time.Duration(p.Elapsed.Median); typical > 0 {
		title += ", of which the typical one took " + span(typical)
	}
	section(b, title)
	var cells []table.Row
	var notes []string
	for _, t := range list {
		cells = append(cells, table.Row{taskLabel(t), span(t.Elapsed), amount(t.Bytes), humanize.Comma(t.Records), Line(t.Worker)})
		notes = append(notes, strings.Join(reasons(t, p), ", "))
	}
	var lines strings.Builder
	rows(&lines, width, 1, table.Row{"TASK", "TIME", "INPUT", "RECORDS", "WORKER"}, cells)
	for i, line := range strings.SplitAfter(lines.String(), "\n") {
		b.WriteString(line)
		if i > 0 && i <= len(notes) && notes[i-1] != "" { // behind the header, a line a task
			for _, l := range strings.Split(text.WrapSoft(notes[i-1], max(20, width-6)), "\n") {
				b.WriteString("      " + strings.TrimRight(l, " ") + "\n")
			}
		}
	}
}

func taskLabel(t wire.TaskDetail) string { return fmt.Sprintf("%s.%d", Line(t.Task), t.Attempt) }

func explainSkew(b *strings.Builder, x *wire.Explanation, width int) {
	if x.In == (wire.Spread{}) && x.Rows == (wire.Spread{}) {
		return
	}
	section(b, "skew of the partitions")
	row := func(name string, s wire.Spread, show func(int64) string) table.Row {
		return table.Row{name, show(s.Min), show(s.Median), show(s.Max), times(s.Max, s.Median)}
	}
	rows(b, width, 0, table.Row{"", "MIN", "MEDIAN", "MAX", "MAX/MEDIAN"}, []table.Row{
		row("bytes in", x.In, amount), row("rows", x.Rows, humanize.Comma), row("bytes out", x.Out, amount),
	})
}

// times is how many times b goes into a.
func times(a, b int64) string {
	if b <= 0 {
		return ""
	}
	return fmt.Sprintf("%.1f", float64(a)/float64(b))
}

// hotShare is the part of all pairs from which a key is worth a line.
const hotShare = 0.001

func explainHot(b *strings.Builder, x *wire.Explanation, width int) {
	if x.Reduced == 0 {
		return
	}
	var list []table.Row
	for _, k := range x.HotKeys {
		part := float64(k.Pairs) / float64(x.Reduced)
		if k.Pairs > 1 && part >= hotShare {
			list = append(list, table.Row{cut(Line(k.Key), width/2), humanize.Comma(k.Pairs), fmt.Sprintf("%.1f%%", 100*part), Line(k.Task)})
		}
	}
	section(b, fmt.Sprintf("hot keys, of %s that came to the reduce tasks", count(x.Reduced, "pair", "pairs")))
	if len(list) == 0 {
		fmt.Fprintf(b, "  none: no key has more than %.1f%% of them\n", 100*hotShare)
		return
	}
	rows(b, width, 1, table.Row{"KEY", "PAIRS", "SHARE", "TASK"}, list)
}

func explainAttempts(b *strings.Builder, x *wire.Explanation, width int) {
	section(b, "what went otherwise than planned")
	spills := "none"
	if x.Status.Spilled > 0 {
		var by []string
		if n := x.Map.Spilled; n > 0 {
			by = append(by, count(n, "map task", "map tasks"))
		}
		if n := x.Reduce.Spilled; n > 0 {
			by = append(by, count(n, "reduce task", "reduce tasks"))
		}
		spills = fmt.Sprintf("%s, by %s: more --memory would save it", amount(x.Status.Spilled), strings.Join(by, " and "))
	}
	said(b, "spills", spills, width)
	retries := "none"
	if x.Status.Retries > 0 {
		retries = humanize.Comma(int64(x.Status.Retries)) + ": millrace logs " + short(x.Status.ID) + " says why"
	}
	said(b, "retries", retries, width)
	if n := x.Map.Wasted + x.Reduce.Wasted; n > 0 {
		said(b, "in vain", fmt.Sprintf("%s that failed, lost or were given up took %s", count(n, "attempt", "attempts"), span(x.Map.Loss+x.Reduce.Loss)), width)
	}
	backups := "none"
	if k := x.Backups; k.Started > 0 {
		backups = fmt.Sprintf("%d started, %d won", k.Started, k.Won)
		if k.Won > 0 {
			backups += ", and saved about " + span(k.Saved) + " of waiting for slow attempts"
		}
	}
	said(b, "backups", backups, width)
	for i, w := range x.Status.Warnings {
		said(b, label("warning", i), Line(w), width)
	}
}

// requestKinds are the numbers of requests by the names of price lists.
func requestKinds(r storage.Requests) []struct {
	name string
	n    int64
} {
	return []struct {
		name string
		n    int64
	}{
		{"GET", r.Get}, {"HEAD", r.Head}, {"LIST", r.List}, {"PUT", r.Put}, {"DELETE", r.Delete},
		{"multipart create", r.Create}, {"multipart part", r.Part}, {"multipart complete", r.Complete}, {"multipart abort", r.Abort},
	}
}

func explainRequests(b *strings.Builder, x *wire.Explanation, width int) {
	section(b, "storage")
	said(b, "bytes", fmt.Sprintf("%s read, %s written by the tasks", amount(x.Read), amount(x.Written)), width)
	all := x.Tasks
	all.Add(x.Master)
	if all.Total() == 0 {
		said(b, "requests", "none: local files", width)
		return
	}
	var list []table.Row
	tasks, master := requestKinds(x.Tasks), requestKinds(x.Master)
	for i := range tasks {
		if n, m := tasks[i].n, master[i].n; n+m > 0 {
			list = append(list, table.Row{tasks[i].name, humanize.Comma(n), humanize.Comma(m)})
		}
	}
	list = append(list, table.Row{"all", humanize.Comma(x.Tasks.Total()), humanize.Comma(x.Master.Total())})
	rows(b, width, 0, table.Row{"REQUESTS", "TASKS", "MASTER"}, list)
	said(b, "price", price(all)+" at "+storage.PriceBasis, width)
}

// price is an estimate in US dollars.
func price(r storage.Requests) string {
	d := r.Dollars()
	if d >= 0.01 {
		return fmt.Sprintf("$%.2f", d)
	}
	return fmt.Sprintf("$%.6f", d)
}

// maxCountersShown bounds the lines of counters; --json has all.
const maxCountersShown = 50

func explainCounters(b *strings.Builder, counters []wire.CounterSpread, width int) {
	if len(counters) == 0 {
		return
	}
	section(b, "counters")
	var list []table.Row
	for _, c := range counters[:min(len(counters), maxCountersShown)] {
		list = append(list, table.Row{cut(Line(c.Name), width/2), humanize.Comma(c.Total), humanize.Comma(int64(c.Tasks)), humanize.Comma(c.Most), Line(c.Task)})
	}
	rows(b, width, 1, table.Row{"NAME", "TOTAL", "TASKS", "MOST", "IN"}, list)
	if n := len(counters) - maxCountersShown; n > 0 {
		fmt.Fprintf(b, "  and %s more: see --json\n", humanize.Comma(int64(n)))
	}
}

// explainTask writes one task.
func explainTask(b *strings.Builder, x *wire.Explanation, width int) {
	t, p := *x.Task, x.Map
	if t.Phase() == wire.Reduce {
		p = x.Reduce
	}
	section(b, "task "+Line(t.Task))
	said(b, "state", t.State, width)
	if t.Attempt >= 0 {
		said(b, "attempt", fmt.Sprint(t.Attempt), width)
	}
	if t.Worker != "" {
		said(b, "worker", Line(t.Worker), width)
	}
	if t.Elapsed > 0 {
		said(b, "time", span(t.Elapsed)+", the typical one "+span(time.Duration(p.Elapsed.Median)), width)
	}
	if why := reasons(t, p); len(why) > 0 && t.Elapsed > 0 {
		said(b, "why", strings.Join(why, ", "), width)
	}
	for i, s := range slices.DeleteFunc(t.Time.Steps(), func(s wire.Step) bool { return s.Time == 0 }) {
		said(b, label("steps", i), fmt.Sprintf("%-8s %9s %5s", s.Name, span(s.Time), share(s.Time, t.Time.Total())), width)
	}
	for _, f := range []struct {
		name string
		n    int64
		show func(int64) string
	}{
		{"bytes in", t.Bytes, amount}, {"records", t.Records, humanize.Comma}, {"emitted", t.Emitted, humanize.Comma}, {"pairs", t.Pairs, humanize.Comma},
		{"groups", t.Groups, humanize.Comma}, {"rows", t.Rows, humanize.Comma}, {"bytes out", t.Out, amount}, {"spilled", t.Spilled, amount},
	} {
		if f.n > 0 {
			said(b, f.name, f.show(f.n), width)
		}
	}
	for i, k := range t.Hot[:min(len(t.Hot), 3)] {
		if k.Pairs > 1 {
			said(b, label("hot keys", i), fmt.Sprintf("%s: %s", Line(k.Key), count(k.Pairs, "pair", "pairs")), width)
		}
	}
	writeFacts(b, counterFacts(t.Counters))
	if t.Elapsed == 0 && t.State == "selected" {
		said(b, "note", "its time is not kept: only the slowest tasks' is", width)
	}
}
