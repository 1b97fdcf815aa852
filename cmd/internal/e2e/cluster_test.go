package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/cmd/internal/netns"
	"github.com/millrace/millrace/cmd/internal/procs"
	"github.com/millrace/millrace/master/wire"
	"github.com/millrace/millrace/storage/storagetest/servers"
)

// cluster is a master and workers as processes of the real binary, whose data lies in a bucket of a server.
type cluster struct {
	t      testing.TB
	bin    string
	env    []string
	addr   string // of the master
	temp   string // parent of the workers' temporary folders
	logs   string
	data   string   // of the master
	more   []string // flags of the master
	lease  time.Duration
	client *wire.Client
	master *procs.Process                   // of a cluster of one; nil in others
	nodes  func(process string) *netns.Node // where a process runs; nil: here

	mu      sync.Mutex // guards everything below
	workers []*procs.Process
	started int
}

// Settings of a cluster's processes.
const (
	clusterLease  = 2 * time.Second
	clusterMemory = 16 << 20 // of a worker, bytes: far less than a job's data
	clusterReady  = 20 * time.Second
	clusterGrace  = 10 * time.Second
)

// stageCluster is how most tests of processes begin: with a workload on a server, and a cluster of n workers that finds it.
func stageCluster(ctx context.Context, t testing.TB, w workload, n int) (killed, *cluster) {
	t.Helper()
	k := stage(ctx, t, w)
	return k, startCluster(ctx, t, k.s, n)
}

// startCluster starts a master and n workers of one slot, of the real binary. They end with the test.
func startCluster(ctx context.Context, t testing.TB, s *servers.Server, n int) *cluster {
	t.Helper()
	return startClusterOf(ctx, t, s, n, buildBinary(t))
}

// startClusterOf is startCluster of another binary.
func startClusterOf(ctx context.Context, t testing.TB, s *servers.Server, n int, bin string) *cluster {
	t.Helper()
	return startClusterWith(ctx, t, s, n, bin, clusterLease)
}

// startClusterWith is startClusterOf with another lease than these tests' short one.
func startClusterWith(ctx context.Context, t testing.TB, s *servers.Server, n int, bin string, lease time.Duration) *cluster {
	t.Helper()
	c := &cluster{t: t, bin: bin, env: envOf(s), addr: "127.0.0.1:0", temp: t.TempDir(), logs: t.TempDir(), data: t.TempDir(), lease: lease}
	t.Cleanup(c.stop)
	c.startMaster(ctx)
	for range n {
		c.addWorker()
	}
	return c
}

// envOf is an environment of processes that leads to a server, and not elsewhere.
func envOf(s *servers.Server) (env []string) {
	for _, e := range os.Environ() {
		if name, _, _ := strings.Cut(e, "="); !strings.HasPrefix(name, "AWS_") && !strings.HasPrefix(name, "MILLRACE_") {
			env = append(env, e)
		}
	}
	return append(env, s.Env()...)
}

// startMaster starts the master, or the next one after that has died: on the same folder, and at the same address.
func (c *cluster) startMaster(ctx context.Context) {
	c.t.Helper()
	var err error
	args := []string{"master", "--listen", c.addr, "--lease", c.lease.String(), "--data-dir", c.data}
	c.master, err = c.start("master", append(args, c.more...)...)
	if err != nil {
		c.t.Fatal(err)
	}
	ready, cancel := context.WithTimeout(ctx, clusterReady)
	defer cancel()
	if c.addr, err = c.master.FirstLine(ready); err != nil {
		c.t.Fatal(err)
	}
	if c.client != nil {
		c.client.Close()
	}
	if c.client, err = wire.Dial(ready, []string{c.addr}, wire.ClientOptions{Role: wire.RoleClient}); err != nil {
		c.t.Fatal(err)
	}
}

func (c *cluster) start(name string, args ...string) (p *procs.Process, err error) {
	start := func() (err error) {
		p, err = procs.Start(procs.Options{
			Name: name, Bin: c.bin, Env: c.env, Log: filepath.Join(c.logs, name+".log"), Args: append(args, "--with-parent"),
		})
		return err
	}
	if c.nodes != nil {
		err = c.nodes(name).Do(start)
	} else {
		err = start()
	}
	return p, err
}

// addWorker starts one more worker.
func (c *cluster) addWorker() *procs.Process {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.started++
	name := fmt.Sprintf("worker-%d", c.started)
	args := []string{"worker", "--master", c.addr, "--slots", "1", "--memory", fmt.Sprint(clusterMemory), "--temp-dir", c.temp, "--drain", "100ms"}
	if c.nodes != nil {
		args = append(args, "--listen", c.nodes(name).Address+":0")
	}
	p, err := c.start(name, args...)
	if err != nil {
		c.t.Error(err) // not Fatal: a killer calls this from a goroutine of its own
		return nil
	}
	c.workers = append(c.workers, p)
	return p
}

// replace kills a worker as kill -9 does and starts another in its place.
func (c *cluster) replace(i int) {
	c.t.Helper()
	c.mu.Lock()
	p := c.workers[i]
	c.workers = append(c.workers[:i], c.workers[i+1:]...)
	c.mu.Unlock()
	if err := p.Kill(); err != nil {
		c.t.Error(err)
	}
	c.addWorker()
}

// kill replaces a random worker now and every period until stop is called, which returns how many it killed.
func (c *cluster) kill(rnd *rand.Rand, period time.Duration) (stop func() int) {
	done, killed := make(chan struct{}), make(chan int, 1)
	go func() {
		tick := time.NewTicker(period)
		defer tick.Stop()
		for n := 1; ; n++ {
			c.replace(rnd.IntN(len(c.workers)))
			select {
			case <-done:
				killed <- n
				return
			case <-tick.C:
			}
		}
	}()
	return func() int {
		close(done)
		return <-killed
	}
}

// stop ends all processes, also those that were paused, and shows their logs if the test failed.
func (c *cluster) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.client != nil {
		c.client.Close()
	}
	var wg sync.WaitGroup
	for _, p := range c.workers {
		wg.Go(func() {
			if err := p.Signal(syscall.SIGCONT); err != nil {
				c.t.Error(err)
			}
			if err := p.Stop(clusterGrace); err != nil {
				c.t.Error(err)
			}
		})
	}
	wg.Wait()
	c.workers = nil
	if c.master != nil {
		if err := c.master.Stop(clusterGrace); err != nil {
			c.t.Error(err)
		}
	}
	c.readLogs()
}

// readLogs checks that no process broke down or raced, and shows all logs if the test failed.
func (c *cluster) readLogs() {
	names, err := filepath.Glob(filepath.Join(c.logs, "*.log"))
	if err != nil {
		c.t.Error(err)
	}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			c.t.Error(err)
		}
		for _, sign := range []string{"DATA RACE", "panic: ", "millrace itself failed"} {
			if at := strings.Index(string(b), sign); at >= 0 {
				c.t.Errorf("%s: %s", filepath.Base(name), b[at:min(len(b), at+4000)])
			}
		}
		if c.t.Failed() {
			c.t.Logf("%s:\n%s", filepath.Base(name), b[max(0, len(b)-4000):])
		}
	}
}

// submit hands a workload to the master, reading from input and writing to out, and returns the job's id.
func (c *cluster) submit(ctx context.Context, w workload, o millrace.Options) wire.JobID {
	c.t.Helper()
	reg, err := registry()
	if err != nil {
		c.t.Fatal(err)
	}
	o.Params, o.Reducers = w.params, w.reducers
	spec, err := o.Spec(reg, w.job.Name())
	if err != nil {
		c.t.Fatal(err)
	}
	id := millrace.NewJobID()
	if _, err := c.client.Submit(ctx, &wire.SubmitArgs{Job: id, Spec: spec}); err != nil {
		c.t.Fatal(err)
	}
	return id
}

// await watches a job until ok says so of its status.
func (c *cluster) await(ctx context.Context, id wire.JobID, what string, ok func(*wire.JobStatus) bool) *wire.JobStatus {
	c.t.Helper()
	args := &wire.WatchArgs{Job: id, Wait: 100 * time.Millisecond}
	for {
		s, err := c.client.Watch(ctx, args)
		if err != nil {
			c.t.Fatalf("wait until %s: %v", what, err)
		}
		if ok(s) {
			return s
		}
		if !s.Ended.IsZero() {
			c.t.Fatalf("wait until %s: the job is %v: %s", what, s.State, s.Error)
		}
		args.Version = s.Version
	}
}

// finish waits for the job's end, which must be its commit.
func (c *cluster) finish(ctx context.Context, id wire.JobID) *wire.JobStatus {
	c.t.Helper()
	s := c.await(ctx, id, "the job has ended", func(s *wire.JobStatus) bool { return !s.Ended.IsZero() })
	if s.State != wire.Done {
		c.t.Fatalf("the job is %v: %s", s.State, s.Error)
	}
	return s
}

// events returns the job's log lines that contain a text.
func (c *cluster) events(ctx context.Context, id wire.JobID, text string) (found []wire.LogLine) {
	c.t.Helper()
	for args := (&wire.LogsArgs{Job: id}); ; {
		r, err := c.client.Logs(ctx, args)
		if err != nil {
			c.t.Fatal(err)
		}
		for _, l := range r.Lines {
			if strings.Contains(l.Text, text) {
				found = append(found, l)
			}
		}
		if r.End || len(r.Lines) == 0 {
			return found
		}
		args.Cursor = r.Cursor
	}
}

// logged waits until the log of a process holds a text.
func (c *cluster) logged(ctx context.Context, p *procs.Process, text string) {
	c.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		b, err := os.ReadFile(p.Log)
		if err != nil {
			c.t.Fatal(err)
		}
		if strings.Contains(string(b), text) {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			c.t.Fatalf("%s never logged %q: %v", p.Name, text, ctx.Err())
		}
	}
}

// wantNoTemp ends the cluster and checks that no worker, dead or alive, left a temporary file.
func (c *cluster) wantNoTemp() {
	c.t.Helper()
	c.stop()
	left, err := os.ReadDir(c.temp)
	if err != nil {
		c.t.Fatal(err)
	}
	for _, e := range left {
		c.t.Errorf("%s is left in the folder for temporary files", e.Name())
	}
}
