package storage

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"
)

// errStalled is the cause of a try that a timeout ended.
var errStalled = errors.New("no answer in time")

// do tries a call until it is done, fails for good, or the limit of attempts is reached. Each try has CallTimeout.
func (s *Store) do(ctx context.Context, op, url string, try func(context.Context) error) error {
	for n := 1; ; n++ {
		err := s.try(ctx, try)
		if err == nil {
			return nil
		}
		if err = s.next(ctx, n, err); err != nil {
			return fail(op, url, n, err)
		}
	}
}

// try makes one try. One that its timeout ended is transient, and says so instead of "context deadline exceeded".
func (s *Store) try(ctx context.Context, try func(context.Context) error) error {
	tctx, cancel := context.WithTimeoutCause(ctx, s.o.CallTimeout, errStalled)
	defer cancel()
	return stalled(ctx, tctx, s.o.CallTimeout, try(tctx))
}

// stalled turns the error of a try that was ended by its own timeout into a transient one.
func stalled(ctx, tctx context.Context, limit time.Duration, err error) error {
	if err != nil && ctx.Err() == nil && errors.Is(context.Cause(tctx), errStalled) {
		return Transient(fmt.Errorf("%w: no answer for %v", ErrUnreachable, limit))
	}
	return err
}

// next decides after try number n failed with err: nil means that another try may follow (the pause is over), any other
// error is the final one.
func (s *Store) next(ctx context.Context, n int, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if !IsTransient(err) || n >= s.o.Attempts {
		return err
	}
	if s.o.Sleep(ctx, s.pause(n)) != nil {
		return context.Cause(ctx)
	}
	return nil
}

// pause is exponential backoff with full jitter: uniform between nothing and a bound that doubles with each try, so that
// callers that failed together do not come back together.
func (s *Store) pause(n int) time.Duration {
	bound := float64(s.o.Backoff) * math.Pow(2, float64(n-1))
	return time.Duration(s.o.Rand() * min(bound, float64(s.o.MaxBackoff)))
}

// sleep waits for d or for the end of ctx, whichever is first.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// watch is a context that ends when nothing happens for IdleTimeout. Its owner calls active after each sign of life, and
// pause while the wait is its own.
type watch struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	timer  *time.Timer
	limit  time.Duration
}

func newWatch(ctx context.Context, limit time.Duration) *watch {
	w := &watch{limit: limit}
	w.ctx, w.cancel = context.WithCancelCause(ctx)
	w.timer = time.AfterFunc(limit, func() { w.cancel(errStalled) })
	return w
}

func (w *watch) active() { w.timer.Reset(w.limit) }
func (w *watch) pause()  { w.timer.Stop() }

func (w *watch) close() {
	w.timer.Stop()
	w.cancel(nil)
}
