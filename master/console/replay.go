package console

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/millrace/millrace/jobs/plan"
	"github.com/millrace/millrace/master/wire"
)

// Replayed is a task that was run again.
type Replayed struct {
	Job      string
	ID       wire.JobID
	Task     wire.TaskID
	Pieces   []plan.Piece // of a map task
	Maps     int          // that a reduce task's replay ran
	Outcome  *wire.Outcome
	Took     time.Duration
	Verdicts map[string]Verdict // of the parts by their names, and "" of the run
}

// Same says whether nothing differs from what was before.
func (r Replayed) Same() bool {
	for _, v := range r.Verdicts {
		if v.Known && !v.Same {
			return false
		}
	}
	return true
}

// Verdict says whether a result is the one before.
type Verdict struct {
	Known bool // there is one to compare with
	Same  bool
	Of    string // what it is compared with
	Was   string // its checksum
}

// Replay writes what came of a task that was run again.
func Replay(out io.Writer, r Replayed) error {
	var b strings.Builder
	o := r.Outcome
	fmt.Fprintf(&b, "replayed %s-%05d of %s %s in %s\n\n", r.Task.Phase, r.Task.Index, Line(r.Job), short(r.ID), span(r.Took))
	var facts []fact
	if m := o.Map; m != nil {
		for i, p := range r.Pieces[:min(len(r.Pieces), maxPiecesShown)] {
			facts = append(facts, fact{label("input", i), pieceText(p)})
		}
		if n := len(r.Pieces) - maxPiecesShown; n > 0 {
			facts = append(facts, fact{"", fmt.Sprintf("and %s more", count(n, "object", "objects"))})
		}
		facts = append(facts, fact{"records", humanize.Comma(o.Records)}, fact{"pairs", humanize.Comma(m.Pairs)}, fact{"run", Line(place(m.URL))},
			fact{"bytes", humanize.Comma(m.Size)}, fact{"checksum", fmt.Sprintf("%016x%s", m.Checksum, r.Verdicts[""].text())})
	}
	if d := o.Reduce; d != nil {
		facts = append(facts, fact{"maps", fmt.Sprintf("%s run again for this partition", humanize.Comma(int64(r.Maps)))},
			fact{"pairs", humanize.Comma(o.Records)}, fact{"groups", humanize.Comma(d.Groups)})
	}
	for _, p := range o.Parts {
		facts = append(facts, fact{"part", Line(place(p.Pending.URL))}, fact{"rows", humanize.Comma(p.Rows)}, fact{"bytes", humanize.Comma(p.Pending.Size)},
			fact{"crc32c", fmt.Sprintf("%08x%s", p.Pending.CRC32C, r.Verdicts[p.Name].text())})
	}
	writeFacts(&b, append(facts, counterFacts(o.Counters)...))
	_, err := io.WriteString(out, b.String())
	return err
}

// maxPiecesShown bounds the lines of a split's pieces.
const maxPiecesShown = 10

func pieceText(p plan.Piece) string {
	if p.Offset == 0 && p.Length == p.Size {
		return fmt.Sprintf("%s, %s", Line(place(p.URL)), amount(p.Size))
	}
	return fmt.Sprintf("%s, bytes %s to %s", Line(place(p.URL)), humanize.Comma(p.Offset), humanize.Comma(p.Offset+p.Length))
}

// text follows a checksum.
func (v Verdict) text() string {
	switch {
	case !v.Known:
		return ""
	case v.Same:
		return ", as that of " + v.Of
	}
	return ", but that of " + v.Of + " was " + v.Was
}
