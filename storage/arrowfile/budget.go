package arrowfile

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"golang.org/x/sync/errgroup"
)

// ErrBudget reports a file of which one batch, page or dictionary needs more memory than there is for it.
var ErrBudget = errors.New("more than the memory for columns")

// Budget counts the memory that reading a file takes, so that what a file declares is refused before it is allocated: Go ends
// a process that finds no memory, and no recover helps then. One goroutine uses it.
type Budget struct {
	limit  int64
	live   int64
	parent *Budget // of which this one is a part
}

// Part returns a budget for something that is given back at once, with Back: what it takes is taken from b too.
func (b *Budget) Part() *Budget { return &Budget{limit: b.limit, parent: b} }

// NewBudget allows so many bytes; 0 or less: DefaultMaxBatchBytes.
func NewBudget(limit int64) *Budget {
	if limit <= 0 {
		limit = DefaultMaxBatchBytes
	}
	return &Budget{limit: limit}
}

// Limit returns the bytes that may be taken in all.
func (b *Budget) Limit() int64 { return b.limit }

// Live returns the bytes that are taken now.
func (b *Budget) Live() int64 { return b.live }

// Take counts n bytes more, or says that there is no room for them.
func (b *Budget) Take(n int64) error {
	if b.parent != nil {
		if err := b.parent.Take(n); err != nil {
			return err
		}
		b.live += n
		return nil
	}
	if n < 0 || n > b.limit-b.live {
		return fmt.Errorf("%d bytes beside %d in use are %w, %d bytes: give the worker more memory or fewer slots, "+
			"or write the file in smaller batches or row groups", n, b.live, ErrBudget, b.limit)
	}
	b.live += n
	return nil
}

// Back sets the count back to what it was: Live before what has ended since then.
func (b *Budget) Back(live int64) { b.Give(b.live - live) }

// Give takes back what Take has counted.
func (b *Budget) Give(n int64) {
	b.live -= n
	if b.parent != nil {
		b.parent.Give(n)
	}
}

// Range is a part of a file.
type Range struct{ Offset, Length int64 }

const (
	// nearRange is the largest gap that is read with what lies on both sides of it: a request of its own costs more.
	nearRange = 64 << 10
	// parallelRanges bounds the requests under way at once for one batch or row group.
	parallelRanges = 4
)

// ReadRanges reads ranges of a file, those near each other in one read, and returns the bytes of each, in the order of ranges.
// The bytes of neighbours share memory. Gaps that are read too are taken from the budget like the ranges.
func ReadRanges(r io.ReaderAt, ranges []Range, b *Budget) ([][]byte, error) {
	order := make([]int, len(ranges))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return int(min(1, max(-1, ranges[a].Offset-ranges[b].Offset))) })
	out := make([][]byte, len(ranges))
	var reads errgroup.Group
	reads.SetLimit(parallelRanges)
	for len(order) > 0 {
		n, end := 1, ranges[order[0]].Offset+ranges[order[0]].Length
		for ; n < len(order) && ranges[order[n]].Offset-end <= nearRange; n++ {
			end = max(end, ranges[order[n]].Offset+ranges[order[n]].Length)
		}
		begin := ranges[order[0]].Offset
		if err := b.Take(end - begin); err != nil {
			return nil, errors.Join(err, reads.Wait())
		}
		data := make([]byte, end-begin)
		for _, i := range order[:n] {
			at := ranges[i].Offset - begin
			out[i] = data[at : at+ranges[i].Length : at+ranges[i].Length]
		}
		order = order[n:]
		reads.Go(func() error { return readFull(r, data, begin) })
	}
	return out, reads.Wait()
}
