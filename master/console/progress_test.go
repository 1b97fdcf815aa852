package console

import (
	"bytes"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/millrace/millrace/master/wire"
)

// play shows a job from its submission to its end, a tenth of a phase every step.
func play(p *Progress, clock *fakeClock, step time.Duration) {
	planning := wire.JobStatus{Job: "wordcount", State: wire.Running}
	p.Update(planning)
	for n := range 21 {
		clock.advance(step)
		p.Update(running(n))
		clock.advance(step / 2)
		p.Update(running(n))
	}
	committing := running(20)
	committing.State = wire.Committing
	clock.advance(step)
	p.Update(committing)
	clock.advance(step)
	p.Update(finished())
	p.Close()
}

// In a log: a line every 10 s and one at the end of each phase, without any control character.
func TestPlainProgress(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	clock := &fakeClock{at: start}
	play(New(&out, Options{Now: clock.now}), clock, 3*time.Second)
	golden(t, "progress-plain", out.Bytes())
	for _, r := range out.String() {
		if r < ' ' && r != '\n' {
			t.Fatalf("control character %q in the log", r)
		}
	}
}

// On a terminal: each frame of the bar, at several widths, with and without colour. Nothing is left of it at the end.
func TestBar(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]Options{
		"bar-120":      {TTY: true, Width: func() int { return 120 }},
		"bar-80":       {TTY: true},
		"bar-40":       {TTY: true, Width: func() int { return 40 }},
		"bar-20":       {TTY: true, Width: func() int { return 20 }},
		"bar-no-color": {TTY: true, NoColor: true},
	} {
		var out bytes.Buffer
		clock := &fakeClock{at: start}
		o.Now = clock.now
		play(New(&out, o), clock, 3*time.Second)
		golden(t, name, bytes.ReplaceAll(bytes.ReplaceAll(out.Bytes(), []byte("\r"), []byte("\n")), []byte("\x1b"), []byte("^")))
		if o.NoColor && strings.Contains(out.String(), "\x1b") {
			t.Errorf("%s: an escape sequence in spite of NoColor", name)
		}
		frames := strings.Split(out.String(), "\r")
		width := 80
		if o.Width != nil {
			width = o.Width()
		}
		for _, f := range frames {
			if w := text.StringWidthWithoutEscSequences(strings.TrimSuffix(f, "\x1b[K")); w >= width {
				t.Errorf("%s: a frame of %d columns on a terminal of %d: %q", name, w, width, f)
			}
		}
		if last := strings.TrimSpace(strings.TrimSuffix(frames[len(frames)-1], "\x1b[K")); last != "" {
			t.Errorf("%s: %q is left on the terminal", name, last)
		}
	}
}

// A warning is written once, on a line of its own, when it comes: also when the next master knows fewer than the last one.
func TestProgressWarns(t *testing.T) {
	t.Parallel()
	for _, tty := range []bool{false, true} {
		var out bytes.Buffer
		clock := &fakeClock{at: start}
		p := New(&out, Options{TTY: tty, Now: clock.now})
		for _, ws := range [][]string{{"one\x1b"}, {"one\x1b", "two"}, {}, {"three"}, {"three", "one\x1b"}} {
			st := running(20)
			st.Warnings = ws
			p.Update(st)
			clock.advance(time.Second)
		}
		last := finished()
		last.Warnings = []string{"for the summary"}
		p.Update(last)
		var got []string
		for l := range strings.FieldsFuncSeq(out.String(), func(r rune) bool { return r == '\n' || r == '\r' }) {
			if w, ok := strings.CutPrefix(strings.TrimPrefix(l, "\x1b[K"), "warning: "); ok {
				got = append(got, w)
			}
		}
		if want := []string{Line("one\x1b"), "two", "three"}; !slices.Equal(got, want) {
			t.Errorf("terminal %v: warned of %q, want %q:\n%q", tty, got, want, out.String())
		}
	}
}

// However the master's numbers jump (maps run again, the shuffle grows, a new master knows less), the percentage never
// falls and is 100 only when the job is committed.
func TestProgressIsMonotone(t *testing.T) {
	t.Parallel()
	percent := regexp.MustCompile(`(\d+)%`)
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 0))
		var out bytes.Buffer
		clock := &fakeClock{at: start}
		p := New(&out, Options{TTY: true, NoColor: true, Now: clock.now})
		for range 100 {
			st := running(rng.IntN(21))
			st.Shuffled, st.Reduce.Bytes = rng.Int64N(5e9), rng.Int64N(5e9)
			st.Map.BytesDone = rng.Int64N(1 + st.Map.Bytes)
			p.Update(st)
			clock.advance(time.Duration(rng.Int64N(int64(time.Second))))
		}
		last := 0
		for _, m := range percent.FindAllStringSubmatch(out.String(), -1) {
			n, _ := strconv.Atoi(m[1])
			if n < last || n > 99 {
				t.Fatalf("seed %d: %d%% after %d%%", seed, n, last)
			}
			last = n
		}
		if last == 0 {
			t.Fatalf("seed %d: no progress in %q", seed, out.String())
		}
	}
}

// While a job runs the filled part of the bar only grows: what comes to stand beside it has had its place from the start.
func TestBarGrows(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	clock := &fakeClock{at: start}
	p := New(&out, Options{TTY: true, NoColor: true, Now: clock.now})
	for n := range 201 {
		p.Update(running(n / 10))
		clock.advance(200 * time.Millisecond)
	}
	last := 0
	for _, frame := range strings.Split(out.String(), "\r") {
		if n := strings.Count(frame, "█"); n < last {
			t.Fatalf("%d blocks after %d: %s", n, last, frame)
		} else {
			last = n
		}
	}
	if last == 0 {
		t.Error("no bar was drawn")
	}
}

// A bar is drawn at most ten times a second, whatever the rate of the updates.
func TestRedrawLimit(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	clock := &fakeClock{at: start}
	p := New(&out, Options{TTY: true, Now: clock.now})
	for n := range 1000 {
		p.Update(running(n / 50))
		clock.advance(time.Millisecond)
	}
	if frames := strings.Count(out.String(), "\r"); frames > 11 {
		t.Errorf("%d frames in a second", frames)
	}
}

// Quiet shows nothing, and after Close nothing more is shown.
func TestQuietAndClosed(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	clock := &fakeClock{at: start}
	play(New(&out, Options{TTY: true, Quiet: true, Now: clock.now}), clock, time.Minute)
	p := New(&out, Options{Now: clock.now})
	p.Close()
	play(p, clock, time.Minute)
	if out.Len() > 0 {
		t.Errorf("shown: %q", out.String())
	}
}

// An empty input, a job without tasks and one that fails at once neither divide by zero nor stop at a strange place.
func TestProgressOfNothing(t *testing.T) {
	t.Parallel()
	for name, st := range map[string]wire.JobStatus{
		"no tasks": {Job: "j", State: wire.Running},
		"no bytes": {Job: "j", State: wire.Running, Map: wire.PhaseStatus{Tasks: 2, Done: 1}, Reduce: wire.PhaseStatus{Tasks: 2}},
		"failed":   {Job: "j", State: wire.JobFailed},
	} {
		for _, tty := range []bool{true, false} {
			var out bytes.Buffer
			clock := &fakeClock{at: start}
			p := New(&out, Options{TTY: tty, Now: clock.now})
			for range 3 {
				p.Update(st)
				clock.advance(30 * time.Second)
			}
			if s := out.String(); strings.Contains(s, "NaN") || strings.Contains(strings.ReplaceAll(s, "-:--", ""), "-") || strings.Contains(s, "Inf") {
				t.Errorf("%s: %q", name, s)
			}
		}
	}
}
