package main

import (
	"errors"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/millrace/millrace/master/wire"
)

// Bounds of what is logged of connections. A thousand workers come back twice a second each while their master waits for the others,
// and a health check that only connects does so for ever.
const (
	incidentEvery = time.Minute // an incident of one kind is logged once in that time
	incidentKinds = 100         // that are told apart; what peers send may be in the errors
)

// incidents logs what nobody else hears of connections. Panics are logged all.
type incidents struct {
	log *slog.Logger
	now func() time.Time

	mu   sync.Mutex
	seen map[string]*incidentKind
}

// incidentKind is the incidents of one operation with one cause.
type incidentKind struct {
	logged time.Time
	more   int // that were not logged since
}

func newIncidents(log *slog.Logger) *incidents {
	return &incidents{log: log, now: time.Now, seen: map[string]*incidentKind{}}
}

// report takes one incident.
func (x *incidents) report(i wire.Incident) {
	attrs := []any{"remote", i.Remote, "op", i.Op, "error", i.Err}
	if i.Stack != nil {
		x.log.Warn("connection", append(attrs, "stack", string(i.Stack))...)
		return
	}
	more, due := x.count(i)
	if !due {
		return
	}
	if more > 0 {
		attrs = append(attrs, "more_before", more)
	}
	x.log.Warn("connection", attrs...)
}

// count says whether an incident is to be logged, and how many of its kind were not since the last that was.
func (x *incidents) count(i wire.Incident) (more int, due bool) {
	root := i.Err // what wraps it may name the peer's port, which is another each time
	for next := i.Err; next != nil; next = errors.Unwrap(next) {
		root = next
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	now := x.now()
	kind := i.Op + ": " + root.Error()
	if x.seen[kind] == nil && len(x.seen) >= incidentKinds {
		maps.DeleteFunc(x.seen, func(_ string, k *incidentKind) bool { return now.Sub(k.logged) >= incidentEvery })
		if len(x.seen) >= incidentKinds {
			kind = "" // any other
		}
	}
	k := x.seen[kind]
	if k == nil {
		k = &incidentKind{logged: now.Add(-incidentEvery)}
		x.seen[kind] = k
	}
	if now.Sub(k.logged) < incidentEvery {
		k.more++
		return 0, false
	}
	more, k.logged, k.more = k.more, now, 0
	return more, true
}
