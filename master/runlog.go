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
	job     sched.JobID
	pages   [][]byte        // of runPage events each; never changed
	tail    []wire.RunEvent // Invariant: fewer than runPage. Replies share its memory
	packing *packing        // while a journal is replayed: pages lack what is there
}

func (l *runLog) len() int { return len(l.pages)*runPage + len(l.tail) }

func (l *runLog) add(e wire.RunEvent) {
	l.tail = append(l.tail, e)
	switch {
	case len(l.tail) < runPage:
	case l.packing != nil:
		l.packing.full <- l.tail
		l.tail = <-l.packing.empty
	default:
		l.pages, l.tail = append(l.pages, wire.PackRuns(l.tail)), make([]wire.RunEvent, 0, runPage)
	}
}

// packing packs pages in a goroutine of its own.
type packing struct {
	full  chan []wire.RunEvent // closed when no more come
	empty chan []wire.RunEvent // memory for others: nobody reads the log yet
	pages chan [][]byte        // gets all of them at the end
}

// packAhead makes the log pack its pages beside what else is done, until packed is called. Nobody may read it until then.
func (l *runLog) packAhead() {
	if l.packing != nil {
		return
	}
	p := &packing{make(chan []wire.RunEvent), make(chan []wire.RunEvent, 2), make(chan [][]byte, 1)}
	p.empty <- nil // filled while the one before it is packed
	l.packing = p
	go func() {
		var pages [][]byte
		for events := range p.full {
			pages = append(pages, wire.PackRuns(events))
			p.empty <- events[:0]
		}
		p.pages <- pages
	}()
}

// packed ends packAhead.
func (l *runLog) packed() {
	if l.packing == nil {
		return
	}
	close(l.packing.full)
	l.pages = append(l.pages, <-l.packing.pages...)
	l.packing = nil
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
