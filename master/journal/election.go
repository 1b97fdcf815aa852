package journal

import "context"

// Term is one leader's reign.
type Term struct {
	N    uint64          // the fencing number, from 1; higher than that of any term before
	Done <-chan struct{} // closed when the term is over; the leader must stop, its writes are refused by then
	Reign
}

// Reign is what a leader asks about its term, and does.
type Reign interface {
	// Lasts says whether the term lasts, by the monotonic clock of this process alone. It is false before another master can
	// lead, also in a process that was stopped meanwhile and has not come to close Done yet: it is asked before each answer.
	Lasts() bool
	// Confirm asks the backend whether the term lasts: ErrFenced if not.
	Confirm(ctx context.Context) error
	// Resign ends the term, so that the next leader need not wait until it is seen that this one is gone.
	Resign(ctx context.Context) error
}

// Candidate is a master that would lead.
type Candidate struct {
	// Address is told to those who ask a master that does not lead who does.
	Address string
	// Alive is asked before each renewal of the term: while it fails or does not return, nothing is renewed, so that a leader
	// that is stuck makes way for another. nil: always.
	Alive func(ctx context.Context) error
}

// Election chooses the one leader among the masters that share a Backend.
type Election interface {
	// Campaign waits until this master leads and returns its term, or ctx's error.
	Campaign(ctx context.Context, c Candidate) (Term, error)
	// Leader is the address of the master that leads, as far as has been heard; "" if nobody does.
	Leader() string
}
