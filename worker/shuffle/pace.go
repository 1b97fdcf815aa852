package shuffle

import (
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// A worker whose disk or network is slow brings its runs, only slowly: no fetch stalls, and none fails. Reader.Slow says when that is so
// and all the rest is here, for the scheduler to weigh what the runs would cost to make elsewhere.

const (
	// slowPatience is how long nothing else is waited for before runs are said to come slowly, and how much longer they must take.
	slowPatience = 15 * time.Second
	// slowTimes is how many times slower than the median worker one must send. Less may be chance, or many who ask at once.
	slowTimes = 10
	// slowShare is how many times more runs than the average a worker may hold: with more it is a fast one, whose network is the limit.
	slowShare = 2
)

// SlowRun is a run that is waited for, of a worker whose runs come far more slowly than all others'.
type SlowRun struct {
	Map, Attempt int
	Left         time.Duration // until all of that worker's are here, as far as can be told
}

// pace is how fast the runs of one worker come.
type pace struct {
	runs   int // Invariant: the reader's runs of it that are not lost
	got    int // of them, that were fetched from it
	bytes  int64
	flying int           // fetches under way
	since  time.Time     // when the first of them began
	busy   time.Duration // in which there were any, before
	last   time.Time     // when one came that was not empty
}

// paceOf is the pace of the worker that serves a run, or nil of a run that lies in a bucket or file. r.mu is held.
func (r *Reader) paceOf(run Run) *pace {
	address, ok := strings.CutPrefix(run.URL, "http://")
	if !ok {
		return nil
	}
	host, _, _ := strings.Cut(address, "/")
	p := r.paces[host]
	if p == nil {
		p = &pace{}
		r.paces[host] = p
	}
	return p
}

// asked is how many fetches are under way.
func (p *pace) asked() int {
	if p == nil {
		return 0
	}
	return p.flying
}

// begin and end are a fetch.
func (p *pace) begin() {
	if p == nil {
		return
	}
	if p.flying == 0 {
		p.since = time.Now()
	}
	p.flying++
}

func (p *pace) end() {
	if p == nil {
		return
	}
	if p.flying--; p.flying == 0 {
		p.busy += time.Since(p.since)
	}
}

// came counts a fetched section. One of this machine's own files was not sent by anybody.
func (p *pace) came(s *source) {
	if p == nil || s.section.Length == 0 {
		return
	}
	p.last = time.Now()
	if s.kind != inRun {
		p.got++
		p.bytes += s.section.Length
	}
}

// rate is in bytes a second, of what came and of what is known to have come on top of that.
func (p *pace) rate(more int64) float64 {
	busy := p.busy
	if p.flying > 0 {
		busy += time.Since(p.since)
	}
	return float64(p.bytes+more) / max(busy, time.Microsecond).Seconds()
}

// Slow returns a run that is waited for if nothing else is but runs of its worker, which come far more slowly than others did. Of one
// that sends nothing at all fetches find out.
func (r *Reader) Slow() (SlowRun, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.got == r.total || len(r.maps) != r.total || time.Since(r.added) < slowPatience {
		return SlowRun{}, false
	}
	p, wanted := r.missingLocked()
	if p == nil || time.Since(later(p.last, wanted.heard)) > slowPatience {
		return SlowRun{}, false
	}
	usual, section, ok := r.usualLocked(p)
	if !ok {
		return SlowRun{}, false
	}
	rate := p.rate(wanted.come)
	rest := max(wanted.known-wanted.come, 0) + int64(wanted.unknown)*section
	left := min(float64(rest)/max(rate, 1), maxLeft.Seconds())
	s := SlowRun{wanted.first.run.Map, wanted.first.run.Attempt, time.Duration(left * float64(time.Second))}
	return s, rate*slowTimes < usual && s.Left > slowPatience
}

// usualLocked is the median rate at which workers other than p sent, and how many bytes a section of theirs has. It is not ok when one of
// them sent something just now, or p holds more than its share.
func (r *Reader) usualLocked(p *pace) (rate float64, section int64, ok bool) {
	var rates []float64
	workers, sections, bytes := 0, 0, int64(0)
	for _, o := range r.paces {
		if o.runs > 0 {
			workers++
		}
		switch {
		case o != p && time.Since(o.last) < slowPatience:
			return 0, 0, false
		case o != p && o.bytes > 0:
			rates = append(rates, o.rate(0))
			sections += o.got
			bytes += o.bytes
		}
	}
	if len(rates) == 0 || p.runs*workers > slowShare*r.total {
		return 0, 0, false
	}
	slices.Sort(rates)
	return rates[(len(rates)-1)/2], bytes / int64(sections), true
}

// maxLeft is the longest time that is told of.
const maxLeft = 24 * time.Hour

// wanted is what is not here of a worker's runs.
type wanted struct {
	first       *mapRun // of the first map
	unknown     int     // sections whose length is not known yet
	known, come int64   // bytes of the others, and how many of those came
	heard       time.Time
}

// missingLocked returns the worker whose runs are all that is missing, or nil, and what is.
func (r *Reader) missingLocked() (p *pace, w wanted) {
	for _, m := range r.maps {
		if m.source != nil {
			continue
		}
		if m.pace == nil || p != nil && m.pace != p {
			return nil, w
		}
		p = m.pace
		if w.first == nil || m.run.Map < w.first.run.Map {
			w.first = m
		}
		length := m.length.Load()
		if length == 0 {
			w.unknown++
			continue
		}
		w.known += length
		w.come += m.come.Load()
		w.heard = later(w.heard, time.Unix(0, m.heard.Load()))
	}
	return p, w
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// arriving is how far a section is that is being fetched. Its fetch writes it, while others look.
type arriving struct {
	length atomic.Int64 // 0: not known yet
	come   atomic.Int64 // bytes
	heard  atomic.Int64 // when the last of them came, in nanoseconds of Unix time
}

func (a *arriving) begin(length, from int64) {
	a.length.Store(length)
	a.come.Store(from)
}

func (a *arriving) add(n int) {
	a.come.Add(int64(n))
	a.heard.Store(time.Now().UnixNano())
}
