package console

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/millrace/millrace/master/wire"
)

const (
	barMin = 10
	barMax = 40
)

// bar is the line on a terminal:
//
//	wordcount  ━━━━━━━━━━━━━━━━╸━━━━━━━━━   68%  map 12/18  reduce 0/4  345 MB/s  4 workers  ETA 0:12
//
// It is always narrower than width, since a terminal that breaks a line cannot draw it anew: the least important things
// go first.
func (p *Progress) bar(st wire.JobStatus, now time.Time, width int) string {
	name := title(st)
	percent := fmt.Sprintf("%3d%%", int(math.Floor(100*p.fraction)))
	var facts []string
	add := func(fact string) {
		used := text.StringWidth(name) + 2 + barMin + 2 + len(percent)
		for _, f := range append(facts, fact) {
			used += 2 + text.StringWidth(f)
		}
		if used < width {
			facts = append(facts, fact)
		}
	}
	for _, fact := range p.facts(st, now) {
		add(fact)
	}
	if text.StringWidth(name)+2+barMin+2+len(percent) >= width {
		return cut(name+" "+strings.TrimSpace(percent), width-1)
	}
	rest := ""
	for _, f := range facts {
		rest += "  " + f
	}
	room := min(barMax, width-1-text.StringWidth(name)-4-len(percent)-text.StringWidth(rest))
	if p.screen != width || room < p.stripes {
		p.screen, p.stripes = width, room
	}
	return name + "  " + p.stripe(p.stripes) + "  " + percent + rest
}

// facts are what stands beside the bar, in the order in which they are worth their place. What is not known yet has its
// place kept, since the bar would shrink when it comes.
func (p *Progress) facts(st wire.JobStatus, now time.Time) []string {
	phases := phaseFact("map", st.Map) + "  " + phaseFact("reduce", st.Reduce)
	if st.State == wire.Committing {
		phases = "committing"
	} else if st.Map.Tasks == 0 {
		phases = "planning"
	}
	facts := []string{phases}
	if phases != "planning" && phases != "committing" {
		facts = append(facts, "ETA "+cmp.Or(p.eta(now), "-:--"), fmt.Sprintf("%8s", p.rate()))
	}
	if st.Retries > 0 {
		facts = append(facts, count(st.Retries, "retry", "retries"))
	}
	if st.Workers > 0 {
		facts = append(facts, count(st.Workers, "worker", "workers"))
	}
	return facts
}

func phaseFact(name string, ph wire.PhaseStatus) string {
	return fmt.Sprintf("%s %*d/%d", name, len(strconv.Itoa(ph.Tasks)), ph.Done, ph.Tasks)
}

// stripe draws the bar itself, in half columns where there is colour.
func (p *Progress) stripe(columns int) string {
	if p.o.NoColor {
		full := int(p.fraction * float64(columns))
		return strings.Repeat("█", full) + strings.Repeat("░", columns-full)
	}
	halves := int(p.fraction * float64(2*columns))
	done := strings.Repeat("━", halves/2)
	if halves%2 == 1 {
		done += "╸"
	}
	left := strings.Repeat("━", columns-halves/2-halves%2)
	return "\x1b[32m" + done + "\x1b[90m" + left + "\x1b[0m"
}

// draw replaces the line on the terminal.
func (p *Progress) draw(line string) {
	width := text.StringWidthWithoutEscSequences(line)
	if p.o.NoColor {
		io.WriteString(p.out, "\r"+line+strings.Repeat(" ", max(0, p.drawn-width)))
		p.drawn = max(p.drawn, width)
		return
	}
	io.WriteString(p.out, "\r"+line+"\x1b[K")
	p.drawn = width
}

// erase takes the bar off the terminal.
func (p *Progress) erase() {
	if p.drawn == 0 {
		return
	}
	if p.o.NoColor {
		io.WriteString(p.out, "\r"+strings.Repeat(" ", p.drawn)+"\r")
	} else {
		io.WriteString(p.out, "\r\x1b[K")
	}
	p.drawn = 0
}

// plain is a line of progress for a log:
//
//	30 s: 68%, map 12/18 (1.2 of 1.8 GB), reduce 0/4, 345 MB/s, 4 workers, ETA 0:12
func (p *Progress) plain(st wire.JobStatus, now time.Time) string {
	head := fmt.Sprintf("%s: %d%%", coarse(now.Sub(p.started)), int(math.Floor(100*p.fraction)))
	facts := []string{head, fmt.Sprintf("map %d/%d", st.Map.Done, st.Map.Tasks) + progressOf(p.done[0], p.total[0]),
		fmt.Sprintf("reduce %d/%d", st.Reduce.Done, st.Reduce.Tasks) + progressOf(p.done[1], p.total[1])}
	switch {
	case st.State == wire.Committing:
		facts = []string{head, "committing"}
	case st.Map.Tasks == 0:
		facts = []string{head, "planning"}
	}
	if r := p.rate(); r != "" {
		facts = append(facts, r)
	}
	facts = append(facts, count(st.Workers, "worker", "workers"))
	if st.Retries > 0 {
		facts = append(facts, count(st.Retries, "retry", "retries"))
	}
	if eta := p.eta(now); eta != "" && st.State == wire.Running {
		facts = append(facts, "ETA "+eta)
	}
	return strings.Join(facts, ", ")
}

func progressOf(done, total int64) string {
	if total == 0 {
		return ""
	}
	return " (" + amountOf(done, total) + ")"
}
