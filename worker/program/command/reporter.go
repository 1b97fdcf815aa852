package command

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strconv"
	"strings"

	"github.com/millrace/millrace/jobs"
)

const (
	// maxSaid is how much of a command's standard error is kept, bytes: its end, where programs say why they fail.
	maxSaid = 4 << 10
	// maxReport bounds a line to the reporter. Longer ones are no more than text.
	maxReport = 64 << 10
	// maxStatus bounds the status, bytes.
	maxStatus = 200
)

// reporter takes a command's standard error. Of the lines that begin with "reporter:" it knows
//
//	reporter:counter:GROUP,NAME,N    adds N to the counter GROUP:NAME
//	reporter:status:TEXT             says what the command is doing
//
// A line that is neither is text, and so is one whose N is no number, as in Hadoop.
type reporter struct {
	counts jobs.Task // its counters alone, which are bounded
	status string
	said   []byte // text: the end of it
	cut    bool   // there was more
}

const (
	counterReport = "reporter:counter:"
	statusReport  = "reporter:status:"
)

// listen reads to the end. Only then may another goroutine use the reporter.
func (r *reporter) listen(from io.Reader) {
	in := bufio.NewReaderSize(from, maxReport)
	for whole := true; ; { // whether the line is a whole one as far as it was read
		line, err := in.ReadSlice('\n')
		full := errors.Is(err, bufio.ErrBufferFull)
		if !whole || full || !r.report(line) {
			r.say(line)
		}
		whole = !full
		if err != nil && !full {
			return // the end, or that of the time there is for it
		}
	}
}

// report takes a line to the reporter; it says whether it is one.
func (r *reporter) report(line []byte) bool {
	text := strings.TrimRight(string(line), "\r\n")
	if status, ok := strings.CutPrefix(text, statusReport); ok {
		r.status = strings.ToValidUTF8(status[:min(len(status), maxStatus)], "?")
		return true
	}
	counter, ok := strings.CutPrefix(text, counterReport)
	if !ok {
		return false
	}
	fields := strings.Split(counter, ",")
	if len(fields) != 3 {
		return false
	}
	n, err := strconv.ParseInt(strings.TrimSpace(fields[2]), 10, 64)
	if err != nil {
		return false
	}
	r.counts.Counter(strings.ToValidUTF8(fields[0]+":"+fields[1], "?")).Add(n)
	return true
}

// say keeps text, and forgets what is too long ago.
func (r *reporter) say(text []byte) {
	r.said = append(r.said, text...)
	if len(r.said) > 2*maxSaid {
		r.said = append(r.said[:0], r.said[len(r.said)-maxSaid:]...)
		r.cut = true
	}
}

// last is the end of the text: from the beginning of a line, if it has one.
func (r *reporter) last() string {
	text := bytes.TrimSpace(r.said)
	if len(text) > maxSaid || r.cut {
		text = text[max(len(text)-maxSaid, 0):]
		if i := bytes.IndexByte(text, '\n'); i >= 0 {
			text = text[i+1:]
		}
	}
	return strings.ToValidUTF8(string(text), "?")
}

// count adds what was counted to the task's counters.
func (r *reporter) count(t *jobs.Task) {
	last := ""
	for name, n := range r.counts.Counters() {
		t.Counter(name).Add(n)
		last = max(last, name)
	}
	if r.counts.CountersCut() { // t has as many names as there may be now: one behind them all is dropped, and that is noted
		t.Counter(last + "\xff")
	}
}
