package master

import (
	"github.com/millrace/millrace/master/sched"
	"github.com/millrace/millrace/master/wire"
)

// runPage is how many events make a packed page: so many that the names of a thousand workers in each cost little. A reply has
// some of them, as far as they fit maxReply.
const runPage = 8192

// runLog is which runs of a job can be read, event by event. It is only ever appended to. All but its end is packed: an event
// takes 40 bytes there, and 200 as it is.
type runLog struct {
	job   sched.JobID
	pages [][]byte        // of runPage events each; never changed
	tail  []wire.RunEvent // Invariant: fewer than runPage. Replies share its memory
}

func (l *runLog) len() int { return len(l.pages)*runPage + len(l.tail) }

func (l *runLog) add(e wire.RunEvent) {
	l.tail = append(l.tail, e)
	if len(l.tail) == runPage {
		l.pages, l.tail = append(l.pages, wire.PackRuns(l.tail)), nil
	}
}

// read fills a reply with events from one on: packed pages for who takes them, or most events at most.
func (l *runLog) read(reply *wire.RunsReply, from, most int, packed bool) error {
	reply.Cursor = from
	for size := 0; packed && from%runPage == 0 && from/runPage < len(l.pages); {
		page := l.pages[from/runPage]
		if size += len(page); len(reply.Packed) > 0 && size > maxReply {
			return nil
		}
		reply.Packed = append(reply.Packed, page)
		from += runPage
		reply.Cursor = from
	}
	events := l.tail
	if at := from / runPage; at < len(l.pages) { // amid a page, or for a worker of an older version
		if len(reply.Packed) > 0 {
			return nil
		}
		var err error
		if events, err = wire.UnpackRuns(l.pages[at], l.job); err != nil {
			return err
		}
	}
	events = events[min(from%runPage, len(events)):]
	events = events[:min(most, len(events))]
	reply.Events = events[:len(events):len(events)]
	reply.Cursor += len(events)
	return nil
}

// each calls do for all events, until it returns false.
func (l *runLog) each(do func(wire.RunEvent) bool) error {
	for _, page := range l.pages {
		events, err := wire.UnpackRuns(page, l.job)
		if err != nil {
			return err
		}
		for _, e := range events {
			if !do(e) {
				return nil
			}
		}
	}
	for _, e := range l.tail {
		if !do(e) {
			return nil
		}
	}
	return nil
}
