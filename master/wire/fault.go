package wire

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Code is the number of a fault on the wire. Numbers are never changed or used again: append only.
type Code uint16

const (
	CodeInternal     Code = 1  // the master failed: a panic, or an error that no caller can act on
	CodeBadMessage   Code = 2  // the call could not be understood
	CodeUnknownCall  Code = 3  // no such call, or not for this role
	CodeNoJob        Code = 4  // ErrNoJob
	CodeNotLeader    Code = 5  // ErrNotLeader
	CodeWorkerLost   Code = 6  // ErrWorkerLost
	CodeOldTerm      Code = 7  // ErrOldTerm
	CodeOutputTaken  Code = 8  // ErrOutputTaken
	CodeBadSpec      Code = 9  // ErrBadSpec
	CodeBusy         Code = 10 // ErrBusy
	CodeShuttingDown Code = 11 // ErrShuttingDown
	CodeAmbiguousID  Code = 12 // ErrAmbiguousID
	CodeJobEnded     Code = 13 // ErrJobEnded
	CodeJobExists    Code = 14 // ErrJobExists
	CodeNoTask       Code = 15 // ErrNoTask
	CodeNoSuchTerm   Code = 16 // ErrNoSuchTerm
	CodeFull         Code = 17 // ErrFull
)

// The decisions that a caller takes on a fault. A Service returns errors that wrap them, and a Client's errors match them
// again by errors.Is. The text between is the Service's.
var (
	ErrNoJob        = errors.New("no such job")
	ErrNotLeader    = errors.New("this master does not lead")                             // ask another
	ErrWorkerLost   = errors.New("the worker was declared lost")                          // come back under a new WorkerID
	ErrOldTerm      = errors.New("the term is over")                                      // the state it speaks of is gone
	ErrOutputTaken  = errors.New("the output is taken")                                   // holds a result, or a running job claims it
	ErrBadSpec      = errors.New("the job cannot be run as stated")                       // nothing was started
	ErrBusy         = errors.New("the master is busy")                                    // try later
	ErrShuttingDown = errors.New("the master is shutting down")                           // try another, or later
	ErrAmbiguousID  = errors.New("the id is the beginning of several jobs' ids")          // give more of it
	ErrJobEnded     = errors.New("the job has ended")                                     // too late for the call
	ErrJobExists    = errors.New("a different job was submitted under the same id")       // make a new id
	ErrNoTask       = errors.New("no such task")                                          // of that job
	ErrNoSuchTerm   = errors.New("there was no such term")                                // who speaks of it was of another cluster, or this one was restored
	ErrFull         = errors.New("the master is full")                                    // submit again when jobs have ended
	ErrInternal     = errors.New("the master failed")                                     // its log says more
	ErrBadMessage   = errors.New("the call could not be understood")                      // program error, or damage
	ErrUnknownCall  = errors.New("the master does not know the call or refuses the role") // another version, or the wrong role
)

// sentinel returns the error that c stands for; codes of a later version are ErrInternal.
func (c Code) sentinel() error {
	switch c {
	case CodeBadMessage:
		return ErrBadMessage
	case CodeUnknownCall:
		return ErrUnknownCall
	case CodeNoJob:
		return ErrNoJob
	case CodeNotLeader:
		return ErrNotLeader
	case CodeWorkerLost:
		return ErrWorkerLost
	case CodeOldTerm:
		return ErrOldTerm
	case CodeOutputTaken:
		return ErrOutputTaken
	case CodeBadSpec:
		return ErrBadSpec
	case CodeBusy:
		return ErrBusy
	case CodeShuttingDown:
		return ErrShuttingDown
	case CodeAmbiguousID:
		return ErrAmbiguousID
	case CodeJobEnded:
		return ErrJobEnded
	case CodeJobExists:
		return ErrJobExists
	case CodeNoTask:
		return ErrNoTask
	case CodeNoSuchTerm:
		return ErrNoSuchTerm
	case CodeFull:
		return ErrFull
	}
	return ErrInternal
}

// lastCode is the highest Code of this version.
const lastCode = CodeFull

// Fault is an error as it travels: what to decide on, the call it came from, and the text for people.
type Fault struct {
	Code Code
	Op   string // the call, "Submit"
	Text string // at most maxFaultText bytes
}

// maxFaultText bounds a fault's text: enough for a user's stack trace.
const maxFaultText = 64 << 10

// Error gives the text, which names the thing and the remedy; a fault of the master itself also names the call.
func (f *Fault) Error() string {
	if f.Code.sentinel() == ErrInternal {
		return fmt.Sprintf("the master failed in %s: %s", f.Op, f.Text)
	}
	return f.Text
}

// Unwrap makes errors.Is find the sentinel of f's code.
func (f *Fault) Unwrap() error { return f.Code.sentinel() }

// faultOf gives the fault that err travels as. A Service that waited until its context ended was told to stop.
func faultOf(op string, err error) *Fault {
	if f, ok := errors.AsType[*Fault](err); ok {
		return newFault(f.Code, op, err.Error())
	}
	for c := CodeInternal + 1; c <= lastCode; c++ {
		if errors.Is(err, c.sentinel()) {
			return newFault(c, op, err.Error())
		}
	}
	if errors.Is(err, context.Canceled) {
		return newFault(CodeShuttingDown, op, ErrShuttingDown.Error())
	}
	return newFault(CodeInternal, op, err.Error())
}

func newFault(c Code, op, text string) *Fault {
	if len(text) > maxFaultText {
		text = strings.ToValidUTF8(text[:maxFaultText], "") + "…"
	}
	return &Fault{Code: c, Op: op, Text: text}
}

// leaderIs begins the end of a fault's text that names the leader's address. It is a part of the protocol.
const leaderIs = "; the leader is "

// NotLeader is ErrNotLeader with the address of the master that leads, "" if nobody does.
func NotLeader(leader string) error {
	if leader == "" {
		return fmt.Errorf("%w, and no other does now", ErrNotLeader)
	}
	return fmt.Errorf("%w%s%s", ErrNotLeader, leaderIs, leader)
}

// leaderOf returns the address in a NotLeader that has travelled, or "".
func leaderOf(err error) string {
	f, ok := errors.AsType[*Fault](err)
	if !ok || f.Code != CodeNotLeader {
		return ""
	}
	_, leader, _ := strings.Cut(f.Text, leaderIs)
	return leader
}
