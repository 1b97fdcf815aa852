// Command demo shows a cluster at work on this machine: a real S3 server, generated text in a bucket, a master, workers, and
// a job submitted to them. Then it says how to submit more, and waits for Ctrl-C; without a terminal it ends. `make cluster`
// runs it. It knows the millrace binary by its commands only, and leaves nothing behind.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/pflag"
	"golang.org/x/term"

	"github.com/millrace/millrace/jobs"
)

func main() {
	o := options{Objects: 4, ObjectSize: 64 << 20, Workers: 4, Out: os.Stdout, Err: os.Stderr}
	pflag.StringVar(&o.Millrace, "millrace", "./millrace", "the binary")
	pflag.IntVar(&o.Workers, "workers", o.Workers, "worker processes")
	pflag.IntVar(&o.Objects, "objects", o.Objects, "objects of text to generate")
	pflag.Var((*jobs.Size)(&o.ObjectSize), "object-size", "bytes of each")
	pflag.Parse()
	o.Wait = term.IsTerminal(int(os.Stdin.Fd())) && os.Getenv("CI") == ""

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if err := run(ctx, o); err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// options says what the demonstration is made of.
type options struct {
	Millrace   string // path of the binary
	Workers    int
	Objects    int   // of text to generate
	ObjectSize int64 // bytes of each
	Wait       bool  // for ctx, after the job
	Out, Err   io.Writer
}

// run is the demonstration, from the first line to the last.
func run(ctx context.Context, o options) (err error) {
	dir, err := os.MkdirTemp("", "millrace-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	s := &stage{options: o, dir: dir}
	defer func() { err = errors.Join(err, s.close()) }()

	for _, step := range []func(context.Context) error{s.startServer, s.fillBucket, s.startCluster, s.submit} {
		if err := step(ctx); err != nil {
			return errors.Join(context.Cause(ctx), err)
		}
	}
	if o.Wait {
		s.invite()
		<-ctx.Done()
		fmt.Fprintln(o.Out, "\nEnding it all.")
	}
	return nil
}
