package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"syscall"
)

// The sentinels, one per decision a caller takes. Backends wrap them: fmt.Errorf("%w: %s", ErrDenied, detail).
var (
	ErrNotFound     = errors.New("not found")
	ErrPrecondition = errors.New("already exists")
	ErrChanged      = errors.New("changed since it was listed")
	ErrDenied       = errors.New("access denied")
	ErrNoBucket     = errors.New("no such bucket")
	ErrUnreachable  = errors.New("unreachable")
	ErrBadURL       = errors.New("bad URL")
	ErrNoSpace      = errors.New("no space left")
	// ErrConflict is a conditional write that met another one and was not done (S3: 409). It says nothing about who
	// won, so the Store tries again.
	ErrConflict = errors.New("conflicting write")
	// ErrSlowDown is a call that was refused for now and not done (S3: SlowDown, 429).
	ErrSlowDown = errors.New("told to slow down")
	// ErrPendingLost is a pending upload that can no longer be completed: its part must be written again.
	ErrPendingLost = errors.New("pending upload lost")
	// ErrCorrupt is a body that is not what its store announced.
	ErrCorrupt = errors.New("corrupt body")
)

// TransientError marks an error that may pass by itself. The Store tries such calls again, within its limits.
type TransientError struct{ Err error }

func (e *TransientError) Error() string { return e.Err.Error() }

// Unwrap gives the cause, so that sentinels stay visible under the mark.
func (e *TransientError) Unwrap() error { return e.Err }

// Transient marks an error as one that may pass by itself: 5xx, 429, SlowDown, resets, short bodies. nil stays nil.
func Transient(err error) error {
	if err == nil {
		return nil
	}
	return &TransientError{err}
}

// IsTransient tells whether a call that failed with err may be tried again: it is marked, or it is a refusal that says so
// itself (ErrConflict, ErrSlowDown), or the connection broke under a body.
func IsTransient(err error) bool {
	if _, ok := errors.AsType[*TransientError](err); ok {
		return true
	}
	for _, passing := range []error{ErrConflict, ErrSlowDown, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.EPIPE} {
		if errors.Is(err, passing) {
			return true
		}
	}
	return false
}

// isAmbiguous tells whether a call that failed with err may have been done all the same: its answer was lost.
func isAmbiguous(err error) bool {
	return IsTransient(err) && !errors.Is(err, ErrConflict) && !errors.Is(err, ErrSlowDown)
}

// isCancelled tells whether err is the end of a context rather than an answer of the store.
func isCancelled(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// opError is what callers of a Store get: what was tried, on what, and why it failed.
type opError struct {
	op, url  string
	attempts int
	err      error
}

func (e *opError) Error() string {
	if e.attempts > 1 {
		return fmt.Sprintf("%s %s: %v (tried %d times)", e.op, e.url, e.err, e.attempts)
	}
	return fmt.Sprintf("%s %s: %v", e.op, e.url, e.err)
}

func (e *opError) Unwrap() error { return e.err }

// fail names the operation and the URL, once: an error that carries a name already is left as it is.
func fail(op, url string, attempts int, err error) error {
	if err == nil {
		return nil
	}
	if _, named := errors.AsType[*opError](err); named {
		return err
	}
	return &opError{op, url, attempts, err}
}
