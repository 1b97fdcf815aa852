package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/millrace/millrace/jobs"
)

// lingerFor is how long a command that has ended may leave its output open, in the hands of processes that it started, while nothing
// is written to it. What they still wrote would be missing without a word.
const lingerFor = 5 * time.Second

// run is one run of a command.
type run struct {
	command command
	at      string // where in the job, for errors
	place   *place
	env     []string
	task    *jobs.Task
	limits  limits
}

// do runs the command. next gives what goes to its standard input, and then io.EOF; what it returned may change with the call after
// the next one. take gets what comes from its standard output. Both are called in this goroutine. Nothing of the command is under way
// when do returns, but for processes that left its group.
func (r *run) do(ctx context.Context, next func() ([]byte, error), take func([]byte) error) error {
	dir, err := r.place.folder()
	if err != nil {
		return fmt.Errorf("make a folder for the %s: %w", r.command, err)
	}
	defer removeAll(dir)
	p, err := start(r.command.line, dir, r.env, r.limits.line)
	if err != nil {
		return fmt.Errorf("start the %s: %w", r.command, err)
	}
	pump := pump{process: p, next: next, take: take, limits: r.limits}
	err = pump.run(ctx)
	state := p.finish()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err == nil && state.Success() && len(pump.rest) > 0 { // now it is known that it is no line that was broken off
		err = take(pump.rest)
	}
	var own *ownError
	switch {
	case err == nil && !state.Success(), errors.As(err, &own) && !own.killed && !state.Success():
		return r.failed(ending(state), &p.said)
	case own != nil:
		return r.failed(own.text, &p.said)
	case err != nil:
		return err
	}
	p.said.count(r.task)
	return nil
}

// ownError is a fault of the command's that shows in what it does, not in how it ends.
type ownError struct {
	text   string
	killed bool // it was still running: how it ended tells nothing
}

func (e *ownError) Error() string { return e.text }

// pump drives a process: it brings its input and takes its output.
type pump struct {
	*process
	next   func() ([]byte, error)
	take   func([]byte) error
	limits limits
	rest   []byte // the last line, if it has no line end

	data []byte // to be written
	more bool   // next has more
}

// run returns when the output is at its end and the command has ended, or at the first error.
func (p *pump) run(ctx context.Context) error {
	p.more = true
	defer p.stop()
	lingers := time.NewTimer(p.limits.linger)
	lingers.Stop()
	out, exited, broken := p.out, p.exited, p.broken
	for out != nil || exited != nil {
		if err := p.fill(); err != nil {
			return err
		}
		var in chan<- []byte
		if p.data != nil {
			in = p.in
		}
		select {
		case in <- p.data:
			p.data = nil
		case <-broken:
			broken = nil
			p.stop()
		case o, ok := <-out:
			if !ok {
				out = nil
				continue
			}
			if err := p.took(o); err != nil {
				return err
			}
			if exited == nil {
				lingers.Reset(p.limits.linger)
			}
		case <-exited:
			exited = nil
			p.stop()
			lingers.Reset(p.limits.linger)
		case <-lingers.C:
			return &ownError{text: fmt.Sprintf("has ended, but processes that it started hold its output open and have written nothing for %v: "+
				"let it wait for them, or give them another output (>/dev/null)", p.limits.linger)}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// fill asks for more input, unless there is some or there is to be no more.
func (p *pump) fill() error {
	for p.more && len(p.data) == 0 {
		var err error
		p.data, err = p.next()
		if err == io.EOF {
			p.stop()
		} else if err != nil {
			return err
		}
	}
	return nil
}

// stop ends the command's input.
func (p *pump) stop() {
	p.data = nil
	if p.more {
		p.more = false
		close(p.in)
	}
}

func (p *pump) took(o output) error {
	switch {
	case o.err == errLine:
		return &ownError{text: fmt.Sprintf("wrote a line of more than %v, which begins %.60q: break it into shorter ones", jobs.Size(p.limits.line), o.data), killed: true}
	case o.err != nil:
		return o.err
	case o.rest:
		p.rest = o.data
		return nil
	}
	err := p.take(o.data)
	p.giveBack(o)
	return err
}

// failed is the error of a command that went wrong: what it is, where, how, and what it said.
func (r *run) failed(how string, said *reporter) error {
	text := fmt.Sprintf("%s: the %s %s", r.at, r.command, how)
	if said.status != "" {
		text += fmt.Sprintf(" (its last status: %s)", said.status)
	}
	// The last line is the one that says what is wrong, the others where; a Go panic is told in this order, too.
	before, last := "", said.last()
	if i := strings.LastIndexByte(last, '\n'); i >= 0 {
		before, last = last[:i], strings.TrimSpace(last[i+1:])
	}
	if last != "" {
		text += ": " + last
	}
	if before != "" {
		text += "\n" + before
	}
	return errors.New(text)
}

// The exit codes that shells give meanings (POSIX, Shell Command Language, 2.8.2).
const (
	exitNotExecutable = 126
	exitNotFound      = 127
	exitSignal        = 128 // and the signal's number: of a process that the shell waited for
)

// ending says how a command ended that did not succeed.
func ending(state *os.ProcessState) string {
	if s, ok := state.Sys().(syscall.WaitStatus); ok && s.Signaled() {
		return "was " + killedBy(s.Signal())
	}
	code := state.ExitCode()
	text := fmt.Sprintf("ended with exit code %d", code)
	switch {
	case code == exitNotFound:
		text += " (the shell finds no such command: is it installed where the task runs, or is a file missing in --file?)"
	case code == exitNotExecutable:
		text += " (the shell cannot execute it)"
	case code > exitSignal && code <= exitSignal+64:
		text += fmt.Sprintf(" (%s)", killedBy(syscall.Signal(code-exitSignal)))
	}
	return text
}

func killedBy(s syscall.Signal) string {
	text := fmt.Sprintf("killed by signal %d", int(s))
	if s == syscall.SIGKILL {
		return text + ": out of memory?"
	}
	return text + ", " + s.String()
}
