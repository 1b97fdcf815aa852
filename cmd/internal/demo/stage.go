package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/millrace/millrace/cmd/internal/procs"
	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/storage/storagetest/servers"
)

const (
	bucket       = "demo"
	readyWithin  = 20 * time.Second
	stopGrace    = 5 * time.Second // for a process to end by itself
	workerMemory = 256 << 20       // bytes: four workers fit a small machine
	lease        = 5 * time.Second // here silence means death
)

// stage is what stands while the demonstration runs.
type stage struct {
	options
	dir string // of all data and logs

	server  *servers.Server
	env     []string // of the commands: this process's, and where the server and the master are
	master  *procs.Process
	address string // of the master
	workers []*procs.Process
}

// close ends every process: those that need another one before that.
func (s *stage) close() error {
	var g errgroup.Group
	for _, w := range s.workers {
		g.Go(func() error { return w.Stop(stopGrace) })
	}
	err := g.Wait()
	if s.master != nil {
		err = errors.Join(err, s.master.Stop(stopGrace))
	}
	if s.server != nil {
		s.server.Close()
	}
	return err
}

func (s *stage) startServer(ctx context.Context) (err error) {
	fmt.Fprintln(s.Out, "S3 server  MinIO (the first time it is built from source, which takes some minutes)")
	if s.server, err = servers.Start(ctx, servers.KindMinIO, s.dir); err != nil {
		return err
	}
	if err := s.server.MakeBucket(bucket); err != nil {
		return err
	}
	// Settings of this shell for another store or cluster must not reach the commands.
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "AWS_") && !strings.HasPrefix(e, "MILLRACE_") {
			s.env = append(s.env, e)
		}
	}
	s.env = append(s.env, s.server.Env()...)
	fmt.Fprintf(s.Out, "           %s, its data in %s\n", s.server.Endpoint, s.dir)
	return nil
}

func (s *stage) fillBucket(ctx context.Context) error {
	fmt.Fprintf(s.Out, "data       %d objects of %v of text in s3://%s/text/\n", s.Objects, jobs.Size(s.ObjectSize), bucket)
	for i := range s.Objects {
		c := s.command(ctx, "gen", "text", "--seed", fmt.Sprint(i+1), "--size", fmt.Sprint(s.ObjectSize),
			"-o", fmt.Sprintf("s3://%s/text/%d.txt", bucket, i))
		if out, err := c.CombinedOutput(); err != nil {
			return fmt.Errorf("generate text: %w\n%s", err, out)
		}
	}
	return nil
}

// startCluster starts a master and its workers, which end with this process however it ends.
func (s *stage) startCluster(ctx context.Context) (err error) {
	if s.master, err = s.start("master", "master", "--listen", "127.0.0.1:0", "--data-dir", filepath.Join(s.dir, "master"), "--lease", lease.String()); err != nil {
		return err
	}
	ready, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	if s.address, err = s.master.FirstLine(ready); err != nil {
		return err
	}
	for i := range s.Workers {
		w, err := s.start(fmt.Sprintf("worker-%d", i+1), "worker", "--master", s.address, "--slots", "1",
			"--memory", fmt.Sprint(workerMemory), "--temp-dir", s.dir, "--drain", "1s")
		if err != nil {
			return err
		}
		s.workers = append(s.workers, w)
	}
	s.env = append(s.env, "MILLRACE_MASTER="+s.address)
	fmt.Fprintf(s.Out, "cluster    a master at %s and %d workers, their logs in %s\n", s.address, s.Workers, s.dir)
	return nil
}

func (s *stage) start(name string, args ...string) (*procs.Process, error) {
	return procs.Start(procs.Options{
		Name: name, Bin: s.Millrace, Env: s.env, Log: filepath.Join(s.dir, name+".log"), Args: append(args, "--with-parent"),
	})
}

// submit runs the job over the bucket, with the terminal's progress bar.
func (s *stage) submit(ctx context.Context) error {
	input, output := fmt.Sprintf("s3://%s/text/*", bucket), fmt.Sprintf("s3://%s/words", bucket)
	fmt.Fprintf(s.Out, "\n$ millrace submit wordcount '%s' -o %s\n", input, output)
	c := s.command(ctx, "submit", "wordcount", input, "-o", output)
	c.Stdout, c.Stderr = s.Out, s.Err
	if err := c.Run(); err != nil {
		return fmt.Errorf("millrace submit: %w", err)
	}
	return nil
}

// command is one call of the binary. A terminal's Ctrl-C reaches it as it does this process, and it ends by itself then.
func (s *stage) command(ctx context.Context, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, s.Millrace, args...)
	c.Env = s.env
	c.Cancel = func() error { return nil }
	c.WaitDelay = stopGrace
	return c
}

// invite says how to go on.
func (s *stage) invite() {
	fmt.Fprint(s.Out, "\nThe cluster stays until Ctrl-C. In another terminal:\n\n")
	for _, e := range append(s.server.Env(), "MILLRACE_MASTER="+s.address) {
		fmt.Fprintf(s.Out, "  export %s\n", e)
	}
	fmt.Fprintf(s.Out, "\n  %s submit sort 's3://%s/text/*' -o s3://%s/sorted\n", s.Millrace, bucket, bucket)
	fmt.Fprintf(s.Out, "  kill -9 %d    # a worker, while the job runs: it is done all the same\n", s.workers[0].PID())
	fmt.Fprintf(s.Out, "  %s list\n  %s cat s3://%s/words\n", s.Millrace, s.Millrace, bucket)
}
