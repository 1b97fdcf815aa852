package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// child is this program again, as the master or the workers: it reads words on its standard input, a line each, and answers
// each with a line of JSON. It ends when its input does.
type child struct {
	name string
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *bufio.Reader
	gone chan struct{} // closed when it has ended
	err  error         // how; read after gone
}

// start starts a child and reads its first answer, which it gives when it is ready.
func start(ctx context.Context, name string, ready any, args ...string) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	c := &child{name: name, cmd: exec.CommandContext(ctx, self, args...)}
	c.cmd.Stderr = os.Stderr
	c.cmd.Env = append(os.Environ(), childMark+"=1")
	out, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	c.cmd.Stdout = w
	if c.in, err = c.cmd.StdinPipe(); err == nil {
		err = c.cmd.Start()
	}
	w.Close() // the child has its own
	if err != nil {
		out.Close()
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	c.out, c.gone = bufio.NewReader(out), make(chan struct{})
	go func() {
		c.err = c.cmd.Wait()
		close(c.gone)
	}()
	if err := c.answer(ready); err != nil {
		return nil, errors.Join(err, c.kill())
	}
	return c, nil
}

// childMark tells this program that it is a child: a test binary would run its tests otherwise.
const childMark = "MILLRACE_SCALE_CHILD"

// ask sends a word and reads the answer into v.
func (c *child) ask(word string, v any) error {
	if _, err := io.WriteString(c.in, word+"\n"); err != nil {
		return fmt.Errorf("%s: %s: %w", c.name, word, err)
	}
	return c.answer(v)
}

func (c *child) answer(v any) error {
	line, err := c.out.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("%s ended: %w", c.name, err)
	}
	if err := json.Unmarshal(line, v); err != nil {
		return fmt.Errorf("%s says %q: %w", c.name, line, err)
	}
	return nil
}

// kill ends the child at once.
func (c *child) kill() error {
	if err := c.cmd.Process.Signal(syscall.SIGKILL); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill %s: %w", c.name, err)
	}
	<-c.gone
	return nil
}

// obey answers words until in ends, as a child does. The handler of a word gets the rest of the line and gives the answer.
//
// It returns when ctx ends, too: then the reading is left to the end of the process.
func obey(ctx context.Context, in io.Reader, out io.Writer, words map[string]func(rest string) (any, error)) error {
	done := make(chan error, 1)
	go func() { done <- obeyAll(in, out, words) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func obeyAll(in io.Reader, out io.Writer, words map[string]func(rest string) (any, error)) error {
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		word, rest, _ := strings.Cut(lines.Text(), " ")
		do, ok := words[word]
		if !ok {
			return fmt.Errorf("told %q, which is no word", word)
		}
		v, err := do(rest)
		if err != nil {
			return fmt.Errorf("%s: %w", word, err)
		}
		if err := say(out, v); err != nil {
			return err
		}
	}
	return lines.Err()
}

func say(out io.Writer, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = out.Write(append(b, '\n'))
	return err
}

// used is the CPU time that this process has used.
func used() (time.Duration, error) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0, fmt.Errorf("getrusage: %w", err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), nil
}

// manyFiles raises the limit on open files as far as it goes, and says how far that is.
func manyFiles() (int, error) {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return 0, fmt.Errorf("getrlimit: %w", err)
	}
	l.Cur = l.Max
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return 0, fmt.Errorf("setrlimit: %w", err)
	}
	return int(min(l.Cur, 1<<20)), nil
}

// memory is the resident memory of this process, now and at most so far, in bytes; zeros where the system does not tell.
func memory() (now, peak int64) {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, 0
	}
	for line := range strings.Lines(string(b)) {
		for name, to := range map[string]*int64{"VmRSS:": &now, "VmHWM:": &peak} {
			if rest, ok := strings.CutPrefix(line, name); ok {
				_, _ = fmt.Sscan(rest, to) // of another form: it stays zero
				*to <<= 10
			}
		}
	}
	return now, peak
}
