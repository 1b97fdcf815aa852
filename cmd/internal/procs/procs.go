// Package procs starts processes of the millrace binary, watches them and ends them: for the command cluster, and for tests
// that kill, pause and replace them. It knows their command lines only as far as its callers give them.
package procs

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// Options says what to start.
type Options struct {
	Name string   // for people
	Bin  string   // path of the binary
	Args []string // a master's or worker's must contain --with-parent, so that they end when this process does
	Env  []string // default: this process's
	Log  string   // file that takes stderr; appended to
}

// Process is a running process.
type Process struct {
	Name string
	Log  string

	cmd   *exec.Cmd
	stdin io.Closer // the process ends when this does
	first chan string
	done  chan struct{} // closed when it has ended
	err   error         // how it ended; read after done
}

// Start starts a process in a group of its own, so that a terminal's Ctrl-C reaches only this one.
func Start(o Options) (*Process, error) {
	log, err := os.OpenFile(o.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", o.Name, err)
	}
	defer log.Close()
	cmd := exec.Command(o.Bin, o.Args...)
	cmd.Env = o.Env
	cmd.Stderr = log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", o.Name, err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", o.Name, err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", o.Name, err)
	}
	p := &Process{Name: o.Name, Log: o.Log, cmd: cmd, stdin: stdin, first: make(chan string, 1), done: make(chan struct{})}
	go p.watch(stdout)
	return p, nil
}

// watch keeps the first line of stdout, drops the rest, and collects the end.
func (p *Process) watch(stdout io.Reader) {
	r := bufio.NewReader(stdout)
	line, _ := r.ReadString('\n') // an early end shows as an empty line
	p.first <- strings.TrimSpace(line)
	_, _ = io.Copy(io.Discard, r)
	p.err = p.cmd.Wait()
	close(p.done)
}

// FirstLine returns the first line that the process prints: a master's and worker's address.
func (p *Process) FirstLine(ctx context.Context) (string, error) {
	select {
	case line := <-p.first:
		p.first <- line
		if line == "" {
			return "", fmt.Errorf("%s ended before it was ready: see %s", p.Name, p.Log)
		}
		return line, nil
	case <-ctx.Done():
		return "", fmt.Errorf("%s is not ready: %w: see %s", p.Name, ctx.Err(), p.Log)
	}
}

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err says how the process ended; nil for exit code 0. Call it after Done.
func (p *Process) Err() error { return p.err }

// PID is the process's id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Signal sends the process a signal. One that has ended already is no error.
func (p *Process) Signal(s syscall.Signal) error {
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("signal %s: %w", p.Name, err)
	}
	return nil
}

// Pause stops the process where it is, as if its machine hung, until Continue.
func (p *Process) Pause() error { return p.Signal(syscall.SIGSTOP) }

// Continue lets a paused process go on. One that was not paused is no error.
func (p *Process) Continue() error { return p.Signal(syscall.SIGCONT) }

// Stop asks the process to end and, after grace, ends it; a paused one, which hears nothing, it lets go on first.
func (p *Process) Stop(grace time.Duration) error {
	if err := errors.Join(p.Signal(syscall.SIGTERM), p.Continue()); err != nil {
		return err
	}
	t := time.NewTimer(grace)
	defer t.Stop()
	select {
	case <-p.done:
		return nil
	case <-t.C:
	}
	return p.Kill()
}

// Kill ends the process at once, as kill -9 does, and waits until it is gone.
func (p *Process) Kill() error {
	if err := p.Signal(syscall.SIGKILL); err != nil {
		return err
	}
	<-p.done
	return nil
}
