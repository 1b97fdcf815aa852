package worker

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/millrace/millrace/master/wire"
)

// report is an outcome on its way to the master.
type report struct {
	serial  uint64
	outcome wire.Outcome
}

// reportBytes bounds the outcomes of one report, half of a request. One that is larger goes alone: the boundaries of most
// partitions are some 650 KB.
const reportBytes = wire.MaxRequest / 2

// outcomeBytes is how much of a report an outcome takes, estimated from above.
func outcomeBytes(o *wire.Outcome) int {
	n := 512 // numbers, ids and the names of a wire's types
	if o.Failure != nil {
		n += len(o.Failure.Text)
	}
	if o.Sample != nil {
		for _, b := range o.Sample.Bounds {
			n += len(b) + 4
		}
	}
	if o.Map != nil {
		n += len(o.Map.URL)
	}
	for _, p := range o.Parts {
		n += 64 + len(p.Name) + len(p.Pending.URL) + len(p.Pending.ID) + len(p.Pending.ETag)
	}
	if o.Work != nil {
		n += 512 // some 30 numbers, and their types
		for _, k := range o.Work.Hot {
			n += len(k.Key) + 16
		}
	}
	for _, text := range o.FirstRejected {
		n += len(text) + 4
	}
	for name := range o.Counters {
		n += len(name) + 16
	}
	return n
}

// pollArgs is the next report, the serial of the last outcome in it, and whether it had no room for the rest of them. mu is
// held.
func (w *Worker) pollArgs(draining bool) (args *wire.PollArgs, serial uint64, rest bool) {
	w.seq++
	host, _ := os.Hostname() // for people only
	args = &wire.PollArgs{
		Worker: w.id, Seq: w.seq, Host: fmt.Sprintf("%s/%d", host, os.Getpid()), RunsURL: w.runURL, Slots: w.o.Slots,
		Draining: draining, Wait: max(w.o.Poll, w.heartbeat), Holding: slices.Collect(maps.Keys(w.orphans)),
	}
	for id, js := range w.jobs {
		if !js.ended && w.orphans[id] == nil {
			args.Holding = append(args.Holding, id)
		}
	}
	slices.Sort(args.Holding)
	for _, a := range w.running {
		args.Running = append(args.Running, a.progress())
	}
	size := 0
	for _, r := range w.done {
		size += outcomeBytes(&r.outcome)
		if rest = rest || len(args.Done) > 0 && size > reportBytes; rest { // what a report misses is taken for lost
			args.Running = append(args.Running, wire.Progress{Attempt: r.outcome.Attempt, Bytes: r.outcome.Bytes, Total: r.outcome.Bytes})
			continue
		}
		args.Done, serial = append(args.Done, r.outcome), r.serial
	}
	slices.SortFunc(args.Running, func(a, b wire.Progress) int { return compareAttempts(a.Attempt, b.Attempt) })
	if rest {
		args.Wait = 0 // the next one follows at once
	}
	w.wake = make(chan struct{})
	return args, serial, rest
}

func compareAttempts(a, b wire.AttemptID) int {
	return cmp.Or(
		cmp.Compare(a.Task.Job, b.Task.Job), cmp.Compare(a.Task.Phase, b.Task.Phase),
		cmp.Compare(a.Task.Index, b.Task.Index), cmp.Compare(a.N, b.N),
	)
}

// The bounds of what an attempt's code can make a report carry. Reports go to the master in requests of limited size, and
// the master keeps what they say.
const (
	maxCounterName = 256      // bytes
	maxFailureText = 16 << 10 // bytes; a stack is some 4 KiB
)

// checkCounters refuses a name that no report has room for. Of names there are jobs.MaxCounters at most.
func checkCounters(counters map[string]int64) error {
	for name := range counters {
		if len(name) > maxCounterName {
			return fmt.Errorf("count: the name of counter %.40q... has %d bytes, and %d are the most", name, len(name), maxCounterName)
		}
	}
	return nil
}

// cutText keeps the beginning of a text that is too long for a report, and makes it text whatever bytes it holds.
func cutText(s string) string {
	if len(s) <= maxFailureText {
		return strings.ToValidUTF8(s, "?")
	}
	n := maxFailureText
	for n > maxFailureText-utf8.UTFMax && !utf8.RuneStart(s[n]) {
		n--
	}
	return fmt.Sprintf("%s... (cut: the text has %d bytes)", strings.ToValidUTF8(s[:n], "?"), len(s))
}
