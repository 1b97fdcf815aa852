package master

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/millrace/millrace/master/journal"
	"github.com/millrace/millrace/master/wire"
)

// A leader that is stuck must make way for another, so its term is renewed only while it gets on. Once it serves, its loop is
// asked (see Master.alive). Before, while it loads the journal, it is alive as long as that brings something new.
const (
	loadPatience = 10 * time.Second // without a new entry, or a block that was replayed: a page of the journal takes less
	loadLimit    = 5 * time.Minute  // of all of it: half a minute would be a cluster's largest journal on a slow disk
)

// errLoad is a journal that could not be read now: it may be later, or elsewhere.
var errLoad = errors.New("load the journal")

// unreadableError is a journal that was read and makes no sense to this program. Trying again changes nothing.
type unreadableError struct{ err error }

func (e *unreadableError) Error() string { return e.err.Error() }

func (e *unreadableError) Unwrap() error { return e.err }

// progress is how far a long step is.
type progress struct {
	mu    sync.Mutex
	begun time.Time
	moved time.Time
}

func (p *progress) begin() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.begun = time.Now()
	p.moved = p.begun
}

// start is when the step began; a step that has not begun does so now.
func (p *progress) start() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.begun.IsZero() {
		return time.Now()
	}
	return p.begun
}

// wait lets the step count as getting on until ctx ends or stop is called: somebody else is waited for.
func (p *progress) wait(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(loadPatience / 4)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				p.move()
			case <-ctx.Done():
				return
			}
		}
	}()
	return func() {
		cancel()
		<-done
	}
}

func (p *progress) move() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.moved = time.Now()
}

// check says whether the step gets on. One that has not begun is about to.
func (p *progress) check() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.begun.IsZero():
		return nil
	case time.Since(p.moved) > loadPatience:
		return fmt.Errorf("%w: nothing new for %v", errLoad, loadPatience)
	case time.Since(p.begun) > loadLimit:
		return fmt.Errorf("%w: it takes more than %v", errLoad, loadLimit)
	}
	return nil
}

// watched is a backend whose loading is followed.
type watched struct {
	journal.Backend
	load *progress
}

// Load implements journal.Backend.
func (w watched) Load(ctx context.Context, yield func(journal.Entry) bool) error {
	return w.Backend.Load(ctx, func(e journal.Entry) bool {
		w.load.move()
		return yield(e)
	})
}

// doubtEvery bounds how often the journal is asked whether the term lasts, however many workers doubt it.
const doubtEvery = 200 * time.Millisecond

// doubt is what a peer's word of a higher term gave rise to.
type doubt struct {
	mu    sync.Mutex // held while the journal is asked
	asked time.Time  // when it last confirmed the term
}

// face deals with a peer that has heard of a higher term. Either the reign is over, and this process has not noticed; or the
// peer's word comes from elsewhere, and must not end anything here.
func (m *Master) face(ctx context.Context, peer uint64) error {
	if peer <= m.term.N {
		return nil
	}
	m.doubt.mu.Lock()
	defer m.doubt.mu.Unlock()
	if time.Since(m.doubt.asked) > doubtEvery {
		begun := time.Now()
		err := m.term.Confirm(ctx)
		switch {
		case errors.Is(err, journal.ErrFenced):
			m.endTerm(fmt.Errorf("%w: term %d has begun", err, peer))
			return wire.NotLeader("")
		case err != nil:
			return refuse(wire.ErrBusy, fmt.Sprintf("term %d", m.term.N), fmt.Sprintf("the caller has heard of term %d, and the journal does not say now which one lasts: %v", peer, err))
		}
		m.doubt.asked = begun
	}
	return refuse(wire.ErrNoSuchTerm, fmt.Sprintf("term %d", peer), fmt.Sprintf("this cluster is in term %d: the caller has it from another cluster, or this one was restored from an "+
		"old snapshot: start the caller anew, or the masters with --bump-term %d", m.term.N, peer))
}
