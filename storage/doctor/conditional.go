package doctor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/millrace/millrace/storage"
)

// The manifest of an output is written on condition that there is none. Two writers that both succeed are two jobs that both
// believe that the output is theirs.
const (
	lostCondition = "Two jobs, or two masters, that write to one output can both believe that they committed it: parts of both get mixed."
	doCondition   = "Use a server whose If-None-Match on PUT is atomic: AWS S3, Ceph RGW in a recent release, SeaweedFS from 4.18 on, versitygw from 1.8.0 on. On a network file system use a local disk, or one with hard links."
)

var conditionalChecks = []check{
	{name: "conditional write", lost: lostCondition, do: doCondition, run: (*exam).refused},
	{name: "conditional write, raced", lost: lostCondition, do: doCondition, run: (*exam).raced},
	{
		name: "conditional write, answer lost", run: (*exam).answerLost, do: doCondition,
		lost: "A commit whose answer was lost on the way fails, though it was done.",
	},
}

// refused: where an object is, a conditional write is refused and changes nothing; where it has been removed, one succeeds.
func (e *exam) refused(ctx context.Context) (string, error) {
	url := e.url("conditional/refused")
	if err := e.store.Put(ctx, url, []byte("first"), false); err != nil {
		return "", err
	}
	err := e.store.Put(ctx, url, []byte("second"), true)
	if err == nil {
		return "", faultf("it replaced an object that was there: the condition is ignored")
	}
	if !errors.Is(err, storage.ErrPrecondition) {
		return "", err
	}
	if err := e.holds(ctx, url, []byte("first")); err != nil {
		return "", orFault(err, "it was refused, but the object is another one now")
	}
	if err := e.store.Remove(ctx, url); err != nil {
		return "", err
	}
	err = e.store.Put(ctx, url, []byte("third"), true)
	if errors.Is(err, storage.ErrPrecondition) {
		return "", faultf("it was refused where the object had just been removed")
	}
	if err != nil {
		return "", err
	}
	return "it is refused where there is an object, and only there", e.holds(ctx, url, []byte("third"))
}

// orFault gives a fault another text, and leaves other errors as they are.
func orFault(err error, text string) error {
	if _, ok := errors.AsType[*fault](err); ok {
		return faultf("%s", text)
	}
	return err
}

// largeBody is the size of every other round's bodies, bytes: some servers look, receive the body, and write then.
const largeBody = 64 << 10

// raced: of many writers of one object at the same time one wins, and the object is what it wrote.
func (e *exam) raced(ctx context.Context) (string, error) {
	for round := range e.o.Rounds {
		if err := e.race(ctx, round); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("of %d writers at a time one won, and the object was its own, in each of %d rounds", e.o.Writers, e.o.Rounds), nil
}

func (e *exam) race(ctx context.Context, round int) error {
	url := e.url(fmt.Sprintf("conditional/race-%d", round))
	bodies, errs := make([][]byte, e.o.Writers), make([]error, e.o.Writers)
	start := make(chan struct{})
	var g sync.WaitGroup
	for i := range bodies {
		bodies[i] = fmt.Appendf(nil, "writer %d of round %d", i, round)
		if round%2 == 1 {
			bodies[i] = append(bodies[i], make([]byte, largeBody)...)
		}
		g.Go(func() {
			<-start
			errs[i] = e.store.Put(ctx, url, bodies[i], true)
		})
	}
	close(start)
	g.Wait()
	winners, unclear := 0, error(nil)
	var won []byte
	for i, err := range errs {
		switch {
		case err == nil:
			winners++
			won = bodies[i]
		case !errors.Is(err, storage.ErrPrecondition):
			unclear = err
		}
	}
	switch {
	case winners > 1:
		return faultf("%d of %d writers won in round %d", winners, e.o.Writers, round+1)
	case winners == 1:
		return orFault(e.holds(ctx, url, won), fmt.Sprintf("one writer of round %d was told that it won, but the object is another's", round+1))
	case unclear != nil: // perhaps it won
		return unclear
	}
	return faultf("none of %d writers won in round %d", e.o.Writers, round+1)
}

// answerLost: a writer whose answer was lost tries again, is refused, reads the object and finds its own bytes; and one that
// finds another's bytes knows that it lost.
func (e *exam) answerLost(ctx context.Context) (string, error) {
	deaf := &deaf{Backend: e.traces}
	store := storage.New(storage.Options{Attempts: attempts, CallTimeout: callTimeout, Schemes: map[string]storage.Opener{
		scheme(e.folder): func(context.Context, string) (storage.Backend, error) { return deaf, nil },
	}})
	url, ours := e.url("conditional/lost"), []byte("ours")
	err := store.Put(ctx, url, ours, true)
	if errors.Is(err, storage.ErrPrecondition) {
		return "", faultf("the object that was written cannot be recognised: reading it back gives no or other bytes")
	}
	if err != nil {
		return "", err
	}
	err = store.Put(ctx, url, []byte("theirs"), true)
	if err == nil {
		return "", faultf("a second writer was let win over the first")
	}
	if !errors.Is(err, storage.ErrPrecondition) {
		return "", err
	}
	return "a repeat is refused, and the object is recognised as the writer's own", e.holds(ctx, url, ours)
}

// deaf does a write and hears no answer, once.
type deaf struct {
	storage.Backend
	told atomic.Bool
}

func (d *deaf) Put(ctx context.Context, key string, body []byte, ifAbsent bool) (storage.Object, error) {
	o, err := d.Backend.Put(ctx, key, bytes.Clone(body), ifAbsent)
	if err == nil && !d.told.Swap(true) {
		return storage.Object{}, storage.Transient(fmt.Errorf("the answer was lost: %w", syscall.ECONNRESET))
	}
	return o, err
}

// scheme is a URL's.
func scheme(url string) string {
	u, err := storage.ParseURL(url)
	if err != nil { // it was made of a parsed one
		panic(err)
	}
	return u.Scheme
}
