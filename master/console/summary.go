package console

import (
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/millrace/millrace/master/wire"
	"github.com/millrace/millrace/storage/manifest"
)

// Summary writes what a job that has ended did: how much, how fast, what its counters say, and where its output lies. Of a
// job that failed it writes the whole error. program is what the user calls to see rows: millrace, or a program of their own.
func Summary(out io.Writer, program string, st wire.JobStatus, elapsed time.Duration) error {
	var b strings.Builder
	switch st.State {
	case wire.Done:
		fmt.Fprintf(&b, "%s committed in %s\n", Line(st.Job), span(elapsed))
	case wire.JobFailed:
		fmt.Fprintf(&b, "%s failed after %s: %s\n", Line(st.Job), span(elapsed), strings.TrimSpace(Lines(st.Error)))
	default:
		fmt.Fprintf(&b, "%s %s after %s\n", Line(st.Job), st.State, span(elapsed))
	}
	b.WriteString("\n")
	facts := append([]fact{{"input", inputFact(st, elapsed)}}, sideInputFacts(st)...)
	facts = append(facts, fact{"tasks", tasksFact(st)})
	if st.Reduce.Tasks > 0 || st.Pairs > 0 {
		facts = append(facts, fact{"shuffle", shuffleFact(st)})
	}
	if st.State == wire.Done {
		facts = append(append(facts, fact{"output", outputFact(st)}), sideFacts(st)...)
	}
	facts = append(append(facts, rejectedFacts(st)...), counterFacts(st.Counters)...)
	writeFacts(&b, append(facts, warningFacts(st.Warnings)...))
	writeStages(&b, st)
	if st.State == wire.Done {
		b.WriteString("\n")
		writeFacts(&b, openFacts(word(Line(program)), st))
	}
	_, err := io.WriteString(out, b.String())
	return err
}

// fact is a line of a summary: a label, which may be empty, and what is to be said.
type fact struct{ label, text string }

func writeFacts(b *strings.Builder, facts []fact) {
	for _, f := range facts {
		b.WriteString(strings.TrimRight(fmt.Sprintf("  %-10s %s", f.label, f.text), " ") + "\n")
	}
}

func inputFact(st wire.JobStatus, elapsed time.Duration) string {
	s := fmt.Sprintf("%s in %s, %s", amount(st.InBytes), count(st.Objects, "object", "objects"), count(st.Records, "record", "records"))
	if rate := speed(st.InBytes, elapsed); rate != "" {
		s += ", " + rate
	}
	return s
}

// sideInputFacts names the side inputs, a line each.
func sideInputFacts(st wire.JobStatus) (facts []fact) {
	for i, in := range st.Side {
		facts = append(facts, fact{label("side", i), fmt.Sprintf("%s: %s, %s", Line(in.Name), Line(place(in.URL)), amount(in.Size))})
	}
	return facts
}

func tasksFact(st wire.JobStatus) string {
	if st.NumStages > 0 {
		return count(st.NumStages, "stage", "stages")
	}
	s := fmt.Sprintf("%d map", st.Map.Tasks)
	if st.Reduce.Tasks > 0 { // not in a job of maps only
		s += fmt.Sprintf(", %d reduce", st.Reduce.Tasks)
	}
	if st.Retries > 0 {
		s += ", " + count(st.Retries, "retry", "retries")
	}
	return s
}

func shuffleFact(st wire.JobStatus) string {
	s := fmt.Sprintf("%s, %s", count(st.Pairs, "pair", "pairs"), amount(st.Shuffled))
	if st.Spilled > 0 {
		s += ", " + amount(st.Spilled) + " spilled to disk"
	}
	return s
}

func outputFact(st wire.JobStatus) string {
	return fmt.Sprintf("%s, %s in %s", count(st.Rows, "row", "rows"), amount(st.OutBytes), count(st.NumParts, "part", "parts"))
}

// sideFacts says what the side outputs hold, a line each.
func sideFacts(st wire.JobStatus) (facts []fact) {
	for _, o := range st.Outputs {
		if o.Name == manifest.Rejected { // see rejectedFacts
			continue
		}
		facts = append(facts, fact{"", fmt.Sprintf("%s: %s, %s in %s", Line(o.Name), count(o.Rows, "row", "rows"), amount(o.Bytes), count(o.Parts, "part", "parts"))})
	}
	return facts
}

// rejectedFacts says how many bad records were set aside, and names the first ones.
func rejectedFacts(st wire.JobStatus) []fact {
	if st.Rejected == 0 {
		return nil
	}
	text := fmt.Sprintf("%s set aside in rejected, of %s at most", count(st.Rejected, "record", "records"), st.SkipBad)
	if st.State != wire.Done { // nothing is to be seen yet, or ever
		text = fmt.Sprintf("%s so far, of %s at most", count(st.Rejected, "record", "records"), st.SkipBad)
	}
	if st.NumStages > 0 && st.State == wire.Done {
		text = fmt.Sprintf("%s set aside by all stages, of %s at most by each: in rejected here and below _stages", count(st.Rejected, "record", "records"), st.SkipBad)
	}
	facts := []fact{{"bad", text}}
	for _, text := range st.First {
		facts = append(facts, fact{"", cut(strings.ReplaceAll(Line(text), "file:///", "/"), maxFirstLine)})
	}
	if n := st.Rejected - int64(len(st.First)); n > 0 && len(st.First) > 0 {
		facts = append(facts, fact{"", fmt.Sprintf("and %s more", humanize.Comma(n))})
	}
	return facts
}

// maxFirstLine bounds the error of a bad record in a summary, columns.
const maxFirstLine = 160

// counterFacts aligns the counters' names and their numbers.
func counterFacts(counters map[string]int64) []fact {
	names, numbers := 0, 0
	for name, n := range counters {
		names = max(names, text.StringWidth(Line(name)))
		numbers = max(numbers, len(humanize.Comma(n)))
	}
	var facts []fact
	for _, name := range slices.Sorted(maps.Keys(counters)) {
		shown := Line(name)
		facts = append(facts, fact{"", fmt.Sprintf("%s%*s", shown, names-text.StringWidth(shown)+2+numbers, humanize.Comma(counters[name]))})
	}
	if len(facts) > 0 {
		facts[0].label = "counters"
	}
	return facts
}

// warningFacts is a line for each thing that went not quite as it should.
func warningFacts(warnings []string) (facts []fact) {
	for i, w := range warnings {
		facts = append(facts, fact{label("warning", i), Line(w)})
	}
	return facts
}

// openFacts says where the parts lie and how to read them.
func openFacts(program string, st wire.JobStatus) []fact {
	folder := Line(place(st.Output))
	facts := []fact{{"parts", partsFact(st)}, {"show", program + " cat " + word(folder)}}
	for _, o := range st.Outputs {
		if o.Rows > 0 {
			facts = append(facts, fact{"", program + " cat " + word(folder) + " --side " + word(Line(o.Name))})
		}
	}
	if st.NumParts > 0 {
		files := strings.TrimSuffix(folder, "/") + "/*.arrow"
		facts = append(facts, fact{"open", fmt.Sprintf("polars.scan_ipc(%q).collect()", files)})
		switch below := slices.ContainsFunc(st.Outputs, func(o wire.OutputStatus) bool { return o.Rows > 0 }); {
		case !below:
			facts = append(facts, fact{"", fmt.Sprintf("duckdb.arrow(pyarrow.dataset.dataset(%q, format=\"arrow\"))", folder)})
		case !strings.Contains(folder, "://"): // a dataset of the folder would take in the side outputs
			facts = append(facts, fact{"", fmt.Sprintf("duckdb.arrow(pyarrow.dataset.dataset(glob.glob(%q), format=\"arrow\"))", files)})
		}
	}
	return facts
}

// partsFact names the first part, and the last one by its base name.
func partsFact(st wire.JobStatus) string {
	if len(st.Parts) == 0 {
		return Line(place(st.Output))
	}
	first := Line(place(st.Parts[0]))
	switch last := Line(path.Base(place(st.Parts[len(st.Parts)-1]))); {
	case st.NumParts <= 1:
		return first
	case len(st.Parts) < st.NumParts:
		return fmt.Sprintf("%s … (%s)", first, count(st.NumParts, "part", "parts"))
	default:
		return first + " … " + last
	}
}
