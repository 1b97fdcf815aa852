package wire

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
)

// Terms on the wire keep apart what different leaders say. A leader that was cut off or stopped may wake up and answer as if
// nothing had happened; whoever has heard of a later term must not believe it, and it must hear of that term.

// callKey is the key of a call's *inflight in its context.
type callKey struct{}

// PeerTerm is the highest term that the caller has heard of, 0 if of none, for a Service that is called with ctx.
func PeerTerm(ctx context.Context) uint64 {
	if call, ok := ctx.Value(callKey{}).(*inflight); ok {
		return call.peer
	}
	return 0
}

// InTerm says in which term the call of ctx is answered. The answer, also if it is an error, carries the term, and it is not sent
// if lasts is false by then, which is asked last of all: ErrNotLeader is sent in its place. A call of which a Service does
// not say so is answered in no term, by a master that does not lead.
func InTerm(ctx context.Context, term uint64, lasts func() bool) {
	if call, ok := ctx.Value(callKey{}).(*inflight); ok {
		call.reign.Store(&reign{term, lasts})
	}
}

// reign is the term in which a call is answered.
type reign struct {
	term  uint64
	lasts func() bool
}

// of returns the term for a reply, and the fault to send in its place if the term is over.
func (r *reign) of() (uint64, *Fault) {
	switch {
	case r == nil:
		return 0, nil
	case !r.lasts():
		return 0, newFault(CodeNotLeader, "", NotLeader("").Error())
	}
	return r.term, nil
}

// heard is the highest term that a client has heard of, over all its connections.
type heard struct {
	term atomic.Uint64
	mu   sync.Mutex // held while it is raised
}

// hear takes the term of a reply, 0 if it has none, or says that it is over.
func (h *heard) hear(term uint64) error {
	if term == 0 || term == h.term.Load() {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	high := h.term.Load()
	if term < high {
		return &oldTermError{term, high}
	}
	h.term.Store(term)
	return nil
}

// oldTermError is an answer of a term below one that was heard of.
type oldTermError struct{ term, high uint64 }

func (e *oldTermError) Error() string {
	return fmt.Sprintf("it leads in term %d, and term %d has begun: it was cut off from the other masters, or its state was restored from an old snapshot "+
		"(then begin it with --bump-term %d)", e.term, e.high, e.high)
}

func (e *oldTermError) Unwrap() error { return ErrOldTerm }
