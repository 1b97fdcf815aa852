package worker

import "sync"

// crew runs functions in goroutines that it uses again: the stack of a new one grows step by step, with a copy at each, to
// what an attempt or a call to the master takes, which for a small task is a tenth of its time. One goroutine calls Go, and
// then Wait.
type crew struct {
	next chan func() // to who has nothing to do
	over chan struct{}
	all  sync.WaitGroup
}

func newCrew() *crew { return &crew{next: make(chan func()), over: make(chan struct{})} }

// Go runs f.
func (c *crew) Go(f func()) {
	select {
	case c.next <- f:
	default:
		c.all.Go(func() { c.work(f) })
	}
}

// work runs f and what comes after it.
func (c *crew) work(f func()) {
	for {
		f()
		select {
		case f = <-c.next:
		case <-c.over:
			return
		}
	}
}

// Wait waits for the functions' ends.
func (c *crew) Wait() {
	close(c.over)
	c.all.Wait()
}
