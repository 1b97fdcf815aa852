// Command badjobs carries jobs that go wrong in every way a user's code can, and one that waits to be told to go on. The tests
// of cmd/millrace run it to see what millrace then says.
package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/jobs"
)

// Row is a line and how often it was there.
type Row struct {
	Line string
	N    int64
}

func count(line string, ns jobs.Values[int64], emit func(Row)) error {
	emit(Row{line, jobs.Total(ns)})
	return nil
}

// bad is a job whose map function fails at lines that contain "bad", after it has emitted something.
func bad(name string, fail func(line string) error) *jobs.Job {
	return jobs.New(name, func(line string, emit func(string, int64)) error {
		emit(line, 1)
		if strings.Contains(line, "bad") {
			return fail(line)
		}
		return nil
	}, count)
}

// badReduce is a job whose reduce function fails at the key "bad", after it has emitted its row.
func badReduce(name string, fail func(line string) error) *jobs.Job {
	return jobs.New(name, func(line string, emit func(string, int64)) error {
		emit(line, 1)
		return nil
	}, func(line string, ns jobs.Values[int64], emit func(Row)) error {
		emit(Row{line, jobs.Total(ns)})
		if line == "bad" {
			return fail(line)
		}
		return nil
	})
}

func returned(line string) error { return fmt.Errorf("cannot parse %q", line) }

func panicked(line string) error { panic("the map of the world is wrong at " + line) }

// rewrite is a job that appends to the file it reads.
type rewrite struct {
	Path string `param:"path" help:"file to change"`
}

// wait is a job that connects to an address for each record, or for each key, and goes on when that connection ends.
type wait struct {
	Address string `param:"address" help:"where to ask"`
}

func (w wait) ask() error {
	c, err := net.Dial("tcp", w.Address)
	if err != nil {
		return err
	}
	_, _ = io.Copy(io.Discard, c)
	return c.Close()
}

func main() {
	millrace.Main(
		bad("fail", returned),
		bad("panic", panicked),
		bad("exit", func(string) error { os.Exit(77); return nil }),
		bad("lines", func(line string) error { return errors.New("first line\nsecond line of " + line) }),
		badReduce("reduce-fail", returned),
		badReduce("reduce-panic", panicked),
		jobs.Define("rewrite", func(_ *jobs.Task, p rewrite) (jobs.Code, error) {
			return jobs.MapReduce(func(line string, emit func(string, int64)) error {
				emit(line, 1)
				f, err := os.OpenFile(p.Path, os.O_APPEND|os.O_WRONLY, 0)
				if err != nil {
					return err
				}
				_, err = f.WriteString("one more line\n")
				return errors.Join(err, f.Close())
			}, count), nil
		}),
		jobs.Define("wait", func(_ *jobs.Task, p wait) (jobs.Code, error) {
			return jobs.MapReduce(func(line string, emit func(string, int64)) error {
				emit(line, 1)
				return p.ask()
			}, count), nil
		}),
		jobs.Define("wait-reduce", func(_ *jobs.Task, p wait) (jobs.Code, error) {
			return jobs.MapReduce(func(line string, emit func(string, int64)) error {
				emit(line, 1)
				return nil
			}, func(line string, ns jobs.Values[int64], emit func(Row)) error {
				if err := p.ask(); err != nil {
					return err
				}
				return count(line, ns, emit)
			}), nil
		}),
	)
}
