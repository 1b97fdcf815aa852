package console

import (
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/millrace/millrace/master/wire"
)

const (
	redrawEvery = 100 * time.Millisecond // faster than the eye follows, slow enough for a remote terminal
	lineEvery   = 10 * time.Second
	rateOver    = 5 * time.Second // the speed shown is that of the last seconds
	etaAfter    = 2 * time.Second // before that a guess is worth nothing
)

// Options says where and how progress is shown.
type Options struct {
	TTY     bool             // out is a terminal: a bar on one line, drawn anew each time; otherwise a line every 10 s
	Quiet   bool             // show nothing
	NoColor bool             // no ANSI sequence, also on a terminal
	Width   func() int       // columns of the terminal, asked for each time; nil or 0: 80
	Now     func() time.Time // nil: time.Now
}

// Progress shows how far a job is. It never goes back, also when maps are run again. It starts no goroutine: whoever
// watches the job calls Update with each status, about once a second also when nothing is new. One goroutine uses it.
type Progress struct {
	out io.Writer
	o   Options

	started  time.Time
	shown    time.Time // when the last bar or line was written
	fraction float64   // of the whole job. Invariant: never falls, below 1 until the job has ended
	phase    int       // phases that were reported as done: 0, 1 (map), 2 (reduce)
	done     [2]int64  // bytes done of map and reduce. Invariant: never fall
	total    [2]int64
	phaseAt  [2]time.Time // when the phase was first seen at work
	samples  []sample     // of the last rateOver, oldest first
	drawn    int          // columns of the line on the screen
	stripes  int          // columns of the bar itself: only fewer while the terminal keeps its width, so that it does not jump
	screen   int          // columns of the terminal when it was last drawn
	stage    int          // stages of a chain that were reported as done
	warned   []string     // warnings that were written
	ended    bool
}

// sample is how many bytes were done at a time.
type sample struct {
	at    time.Time
	bytes int64
}

// New returns a Progress that writes to out. It writes nothing before the first Update.
func New(out io.Writer, o Options) *Progress {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Progress{out: out, o: o}
}

// Update shows a newer status of the job.
func (p *Progress) Update(st wire.JobStatus) {
	if p.o.Quiet || p.ended {
		return
	}
	p.stages(st)
	p.warnings(st)
	now := p.o.Now()
	p.observe(st, now)
	p.ended = st.State.Ended()
	switch {
	case p.o.TTY && p.ended:
		p.erase()
	case p.o.TTY && (p.drawn == 0 || now.Sub(p.shown) >= redrawEvery):
		p.draw(p.bar(st, now, p.width()))
		p.shown = now
	case !p.o.TTY:
		p.lines(st, now)
	}
}

// warnings writes those that are new while the job runs: it may be held up by what they say. At its end the summary has them.
func (p *Progress) warnings(st wire.JobStatus) {
	for _, w := range st.Warnings {
		if !st.State.Ended() && !slices.Contains(p.warned, w) {
			p.warned = append(p.warned, w)
			p.erase()
			fmt.Fprintf(p.out, "warning: %s\n", Line(w))
		}
	}
}

// Close takes the bar off the terminal, so that what follows begins on an empty line.
func (p *Progress) Close() {
	p.erase()
	p.ended = true
}

// observe brings what is remembered of the job up to st.
func (p *Progress) observe(st wire.JobStatus, now time.Time) {
	if p.started.IsZero() {
		p.started, p.shown = now, now
	}
	for i, ph := range [2]wire.PhaseStatus{st.Map, st.Reduce} {
		p.done[i] = max(p.done[i], ph.BytesDone)
		p.total[i] = max(p.done[i], ph.Bytes)
		if p.phaseAt[i].IsZero() && (ph.Running > 0 || ph.Done > 0 || ph.BytesDone > 0) {
			p.phaseAt[i] = now
		}
	}
	p.samples = append(p.samples, sample{now, p.done[0] + p.done[1]})
	for len(p.samples) > 2 && now.Sub(p.samples[1].at) >= rateOver {
		p.samples = p.samples[1:]
	}
	p.fraction = max(p.fraction, min(0.999, p.estimate(st)))
	if st.State == wire.Done {
		p.fraction = 1
	}
}

// estimate is the fraction of the job's bytes that are done. What reduce will read is known when all maps are done; until
// then it is taken to grow with the input.
func (p *Progress) estimate(st wire.JobStatus) float64 {
	reduce := max(p.total[1], st.Shuffled)
	if st.Map.Done < st.Map.Tasks && p.done[0] > 0 {
		reduce = max(reduce, int64(float64(reduce)*float64(p.total[0])/float64(p.done[0])))
	}
	all := p.total[0] + reduce
	if all == 0 { // empty input: by tasks
		return part(int64(st.Map.Done+st.Reduce.Done), int64(st.Map.Tasks+st.Reduce.Tasks))
	}
	return part(p.done[0]+min(p.done[1], reduce), all)
}

func part(n, of int64) float64 {
	if of <= 0 {
		return 0
	}
	return float64(n) / float64(of)
}

// rate is the speed of the last seconds.
func (p *Progress) rate() string {
	first, last := p.samples[0], p.samples[len(p.samples)-1]
	return speed(last.bytes-first.bytes, last.at.Sub(first.at))
}

// eta is what is left by the speed so far, "" while that cannot be said.
func (p *Progress) eta(now time.Time) string {
	spent := now.Sub(p.started)
	if spent < etaAfter || p.fraction < 0.01 || p.fraction >= 1 {
		return ""
	}
	return clock(time.Duration(float64(spent) * (1 - p.fraction) / p.fraction))
}

// lines writes the plain lines: one at the end of each phase and otherwise one every 10 s.
func (p *Progress) lines(st wire.JobStatus, now time.Time) {
	for i, ph := range [2]wire.PhaseStatus{st.Map, st.Reduce} {
		if p.phase != i || ph.Tasks == 0 || ph.Done < ph.Tasks || st.NumStages > 0 { // a chain has a line for each stage
			continue
		}
		p.phase++
		p.shown = now
		fmt.Fprintf(p.out, "%s done: %s%s\n", phaseNames[i], count(ph.Tasks, "task", "tasks"), p.phaseWork(i, now))
	}
	if !p.ended && now.Sub(p.shown) >= lineEvery {
		p.shown = now
		fmt.Fprintln(p.out, p.plain(st, now))
	}
}

var phaseNames = [2]string{"map", "reduce"}

// phaseWork is what a finished phase did, ", 1.8 GB in 5.20 s (345 MB/s)".
func (p *Progress) phaseWork(i int, now time.Time) string {
	if p.phaseAt[i].IsZero() {
		return ""
	}
	d := now.Sub(p.phaseAt[i])
	if p.done[i] == 0 || d <= 0 {
		return ""
	}
	work := fmt.Sprintf(", %s in %s", amount(p.done[i]), span(d))
	if s := speed(p.done[i], d); s != "" {
		work += " (" + s + ")"
	}
	return work
}

func (p *Progress) width() int {
	if p.o.Width != nil {
		if w := p.o.Width(); w > 0 {
			return w
		}
	}
	return 80
}
