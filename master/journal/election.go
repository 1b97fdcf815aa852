package journal

import "context"

// Term is one leader's reign.
type Term struct {
	N    uint64          // the fencing number, from 1; higher than that of any term before
	Done <-chan struct{} // closed when the term is over; the leader must stop, its writes are refused by then
}

// Election chooses the one leader among the masters that share a Backend.
type Election interface {
	// Campaign waits until this master leads and returns its term, or ctx's error.
	Campaign(ctx context.Context) (Term, error)
}
