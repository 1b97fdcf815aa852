package console

import (
	"fmt"
	"io"
	"time"
)

// Meter shows on a terminal how far something is that is no job: one line, which goes when the work is done. Elsewhere it
// shows nothing, since such work is short. It starts no goroutine; one goroutine at a time uses it.
type Meter struct{ line *Progress }

// NewMeter returns a Meter that writes to out.
func NewMeter(out io.Writer, o Options) *Meter { return &Meter{New(out, o)} }

// Say shows what is being done, at most ten times a second.
func (m *Meter) Say(what string) {
	p := m.line
	now := p.o.Now()
	if p.o.Quiet || !p.o.TTY || p.ended || p.drawn > 0 && now.Sub(p.shown) < redrawEvery {
		return
	}
	p.draw(cut(Line(what), p.width()-1))
	p.shown = now
}

// Bytes shows a share of bytes that were done, and how fast it goes: "verify  45%  1.2 of 2.6 GB  345 MB/s".
func (m *Meter) Bytes(what string, done, total int64) {
	p := m.line
	now := p.o.Now()
	if p.started.IsZero() {
		p.started = now
	}
	percent := int64(100)
	if total > 0 {
		percent = int64(100 * (float64(done) / float64(total)))
	}
	m.Say(fmt.Sprintf("%s %3d%%  %s  %s", what, percent, amountOf(done, total), speed(done, now.Sub(p.started).Round(time.Millisecond))))
}

// Close takes the line off the terminal.
func (m *Meter) Close() { m.line.Close() }
