package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/millrace/millrace/cmd/internal/procs"
	"github.com/millrace/millrace/master/sched"
	"github.com/millrace/millrace/master/wire"
)

// cluster is a running `millrace cluster`.
type cluster struct {
	cmd  *exec.Cmd
	temp string
	addr string // of its master; of several with commas
	dir  string // where its clients run

	mu     sync.Mutex // guards what it has printed
	stdout []string
	stderr []string
	news   chan struct{} // one is sent for each line, if nobody has one already
}

// startCluster starts a cluster, which is ended by SIGINT and checked at the end of the test: it must exit with 0 and leave
// no process and no file.
func startCluster(t *testing.T, args ...string) *cluster {
	t.Helper()
	c := &cluster{dir: t.TempDir(), news: make(chan struct{}, 1)}
	c.cmd, c.temp = call{args: append([]string{"cluster", "--listen", "127.0.0.1:0"}, args...), dir: c.dir,
		env: []string{"MILLRACE_LISTEN=127.0.0.1:1"}, // not for the cluster, whose flag is given, nor for its processes
	}.command(t)
	out, err := c.cmd.StdoutPipe()
	must(t, err)
	errout, err := c.cmd.StderrPipe()
	must(t, err)
	must(t, c.cmd.Start())
	var readers sync.WaitGroup
	readers.Go(func() { c.read(out, &c.stdout) })
	readers.Go(func() { c.read(errout, &c.stderr) })
	t.Cleanup(func() {
		must(t, c.cmd.Process.Signal(os.Interrupt))
		readers.Wait()
		if code := exitCode(t, c.cmd.Wait()); code != 0 {
			t.Errorf("the cluster's exit code is %d: %v", code, c.stderr)
		}
		if left := names(t, c.temp); len(left) > 0 {
			t.Errorf("the cluster left %v", left)
		}
		if left := c.processes(t); len(left) > 0 {
			t.Errorf("the cluster left the processes %v", left)
		}
	})
	line := c.waitFor(t, &c.stdout, "master")
	c.addr = strings.Fields(line)[1]
	c.waitFor(t, &c.stdout, "Ctrl-C ends the cluster")
	return c
}

// read keeps the lines that the cluster prints.
func (c *cluster) read(r io.Reader, to *[]string) {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		c.mu.Lock()
		*to = append(*to, lines.Text())
		c.mu.Unlock()
		select {
		case c.news <- struct{}{}:
		default:
		}
	}
}

// waitFor returns the first line with that text, once it is there.
func (c *cluster) waitFor(t *testing.T, in *[]string, text string) string {
	t.Helper()
	timer := time.NewTimer(deadline)
	defer timer.Stop()
	for {
		c.mu.Lock()
		i := slices.IndexFunc(*in, func(line string) bool { return strings.Contains(line, text) })
		if i >= 0 {
			defer c.mu.Unlock()
			return (*in)[i]
		}
		c.mu.Unlock()
		select {
		case <-c.news:
		case <-timer.C:
			t.Fatalf("the cluster does not say %q: %v %v", text, c.stdout, c.stderr)
		}
	}
}

// processes returns the ids of this cluster's processes but the first, which they name in their command lines.
func (c *cluster) processes(t *testing.T) (ids []int) {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	must(t, err)
	for _, e := range entries {
		id, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		args, err := os.ReadFile("/proc/" + e.Name() + "/cmdline")
		if err == nil && bytes.HasPrefix(args, []byte(binaries.millrace+"\x00")) && bytes.Contains(args, []byte(c.addr)) {
			ids = append(ids, id)
		}
	}
	return ids
}

// cli runs a client of the cluster.
func (c *cluster) cli(t *testing.T, code int, args ...string) result {
	t.Helper()
	return cli(t, c.dir, code, append(args, "--master", c.addr)...)
}

// client is a client of the cluster in this process.
func (c *cluster) client(t *testing.T) *wire.Client { return dialTest(t, c.addr) }

func dialTest(t *testing.T, addr string) *wire.Client {
	t.Helper()
	cl, err := wire.Dial(t.Context(), strings.Split(addr, ","), wire.ClientOptions{Role: wire.RoleClient, RetryFor: 10 * time.Second})
	must(t, err)
	t.Cleanup(func() { cl.Close() })
	return cl
}

// reach watches a job until it is as far as wanted.
func reach(t *testing.T, cl *wire.Client, id wire.JobID, far func(*wire.JobStatus) bool) *wire.JobStatus {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	args := &wire.WatchArgs{Job: id}
	for {
		s, err := cl.Watch(ctx, args)
		must(t, err)
		if far(s) {
			return s
		}
		if !s.Ended.IsZero() {
			t.Fatalf("the job ended too early: %v %s", s.State, s.Error)
		}
		args.Version, args.Wait = s.Version, time.Second
	}
}

// same checks that two outputs have the same parts, byte for byte.
func same(t *testing.T, got, want string) {
	t.Helper()
	files := names(t, want)
	if g := names(t, got); !slices.Equal(g, files) || len(files) < 2 {
		t.Fatalf("%s holds %v, %s %v", got, g, want, files)
	}
	for _, f := range files {
		a, err := os.ReadFile(filepath.Join(got, f))
		must(t, err)
		b, err := os.ReadFile(filepath.Join(want, f))
		must(t, err)
		if f != "_SUCCESS" && !bytes.Equal(a, b) {
			t.Errorf("%s differs: %d and %d bytes", f, len(a), len(b))
		}
	}
}

// TestCluster proves that a cluster of processes gives the same parts as a run, byte for byte; that list, status, wait and
// logs know the job, by its whole id and by the beginning of it; and that submitting an id again is the same job.
func TestCluster(t *testing.T) {
	t.Parallel()
	c := startCluster(t, "--workers", "2", "--slots", "1")
	cli(t, c.dir, 0, "gen", "text", "--size", "2MB", "-o", "in.txt")
	cli(t, c.dir, 0, "run", "wordcount", "in.txt", "-o", "run", "-q", "--reducers", "3")
	job := []string{"submit", "wordcount", "in.txt", "--reducers", "3", "--split-size", "100kB"}

	r := c.cli(t, 0, append(job, "-o", "waited")...)
	if !strings.Contains(r.out, "part-00000.arrow") || !strings.Contains(r.errout, "map done: 20 tasks") {
		t.Errorf("submit: %+v", r)
	}
	same(t, c.dir+"/waited", c.dir+"/run")

	id := strings.Repeat("0a", 16)
	for range 2 {
		if r := c.cli(t, 0, append(job, "-o", "detached", "--detach", "--id", id)...); r.out != id+"\n" || r.errout != "" {
			t.Errorf("submit --detach: %+v", r)
		}
		c.cli(t, 0, "wait", id[:9], "-q")
	}
	same(t, c.dir+"/detached", c.dir+"/run")

	if got := c.cli(t, 0, "list").out; strings.Count(got, "wordcount") != 2 || strings.Count(got, "committed") != 2 || !strings.Contains(got, id[:8]) {
		t.Errorf("list:\n%s", got)
	}
	if got := c.cli(t, 0, "list", "--limit", "1"); strings.Count(got.out, "wordcount") != 1 || !strings.Contains(got.errout, "--limit") {
		t.Errorf("list --limit 1: %+v", got)
	}
	if got := c.cli(t, 0, "status", id[:8]).out; !strings.Contains(got, "wordcount committed") || !strings.Contains(got, "20 of 20 tasks done") {
		t.Errorf("status:\n%s", got)
	}
	if got := c.cli(t, 0, "status", id, "--json").out; !strings.Contains(got, `"state": "committed"`) {
		t.Errorf("status --json:\n%s", got)
	}
	if got := c.cli(t, 0, "logs", id, "--follow").out; !strings.HasSuffix(got, "  committed\n") {
		t.Errorf("logs:\n%s", got)
	}
	if got := c.cli(t, 0, "cancel", id).out; got != "committed\n" { // too late: it says what is so
		t.Errorf("cancel after the end: %q", got)
	}
}

// TestRestarts proves that a cluster starts a worker and a master again that were killed, says so, and that the job that ran there
// ends with the same bytes.
func TestRestarts(t *testing.T) {
	t.Parallel()
	c := startCluster(t, "--workers", "1", "--slots", "1", "--lease", minLease.String())
	cli(t, c.dir, 0, "gen", "text", "--size", "40MB", "-o", "in.txt")
	cli(t, c.dir, 0, "run", "wordcount", "in.txt", "-o", "run", "-q", "--reducers", "2")
	id := strings.TrimSpace(c.cli(t, 0, "submit", "wordcount", "in.txt", "-o", "out", "--reducers", "2", "--split-size", "1MB", "--detach").out)
	reach(t, c.client(t), wire.JobID(id), func(s *wire.JobStatus) bool { return s.Map.Done >= 2 })
	workers := c.workers(t)
	if len(workers) != 1 {
		t.Fatalf("%d workers", len(workers))
	}
	must(t, syscall.Kill(workers[0], syscall.SIGKILL))
	c.waitFor(t, &c.stderr, "worker-1 ended (signal: killed): starting another")
	reach(t, c.client(t), wire.JobID(id), func(s *wire.JobStatus) bool { return s.Map.Done >= 10 })
	must(t, syscall.Kill(c.master(t), syscall.SIGKILL))
	c.waitFor(t, &c.stderr, "the master ended (signal: killed): starting another")
	c.cli(t, 0, "wait", id, "-q")
	same(t, c.dir+"/out", c.dir+"/run")
}

// TestClusterDataDir proves that a cluster with a folder for what it knows of its jobs leaves it to the next one.
func TestClusterDataDir(t *testing.T) {
	t.Parallel()
	data, id := t.TempDir(), strings.Repeat("0d", 16)
	t.Run("one", func(t *testing.T) {
		c := startCluster(t, "--workers", "1", "--data-dir", data)
		write(t, c.dir+"/in.txt", "a\n")
		c.cli(t, 0, "submit", "wordcount", "in.txt", "-o", "out", "-q", "--id", id)
	})
	t.Run("next", func(t *testing.T) {
		c := startCluster(t, "--workers", "1", "--data-dir", data)
		if got := c.cli(t, 0, "status", id[:8]).out; !strings.Contains(got, "wordcount committed") {
			t.Errorf("status of the job of an earlier cluster:\n%s", got)
		}
	})
}

// TestClusterKilled proves that the processes of a cluster end by themselves when it is killed, a worker that drains included.
func TestClusterKilled(t *testing.T) {
	t.Parallel()
	cmd, _ := call{args: []string{"cluster", "--listen", "127.0.0.1:0", "--workers", "2"}}.command(t)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill() }) // it has ended, unless the test failed
	line, err := bufio.NewReader(out).ReadString('\n')
	must(t, err)
	c := &cluster{addr: strings.Fields(line)[1]}
	c.await(t, "two workers", func() bool { return len(c.workers(t)) == 2 })
	must(t, syscall.Kill(c.workers(t)[0], syscall.SIGTERM))
	must(t, cmd.Process.Kill())
	c.await(t, "the end of all processes", func() bool { return len(c.processes(t)) == 0 })
	_ = cmd.Wait() // killed
}

// await asks until something is so.
func (c *cluster) await(t *testing.T, what string, is func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for until := time.Now().Add(deadline); !is(); <-tick.C {
		if time.Now().After(until) {
			t.Fatalf("no %s after %v", what, deadline)
		}
	}
}

// workers returns the ids of this cluster's workers.
func (c *cluster) workers(t *testing.T) []int {
	return slices.DeleteFunc(c.processes(t), func(pid int) bool {
		args, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		return err != nil || !bytes.Contains(args, []byte("\x00worker\x00"))
	})
}

// master returns the id of this cluster's master, whose data directory lies in the cluster's folder.
func (c *cluster) master(t *testing.T) int {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/cmdline")
	must(t, err)
	for _, file := range all {
		args, err := os.ReadFile(file)
		if err != nil || !bytes.Contains(args, []byte("\x00master\x00")) || !bytes.Contains(args, []byte(c.temp)) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		must(t, err)
		return pid
	}
	t.Fatal("no master runs")
	return 0
}

// TestDrain proves that a worker that gets SIGTERM while a job runs finishes or hands back its tasks, serves its runs as long
// as they are needed, and exits with 0, and that the job ends with the same bytes.
func TestDrain(t *testing.T) {
	t.Parallel()
	dir, temp := t.TempDir(), t.TempDir()
	addr, _ := startMaster(t)
	cli(t, dir, 0, "gen", "text", "--size", "40MB", "-o", "in.txt")
	cli(t, dir, 0, "run", "wordcount", "in.txt", "-o", "run", "-q", "--reducers", "2")
	worker := func(name string, drain time.Duration) *procs.Process {
		return startProcess(t, name, "worker", "--master", addr, "--slots", "1", "--temp-dir", temp, "--drain", drain.String())
	}
	finishes, returns := worker("finishes", time.Minute), worker("returns", time.Nanosecond)
	id := wire.JobID(strings.TrimSpace(cli(t, dir, 0, "submit", "wordcount", "in.txt", "-o", "out", "--reducers", "2", "--split-size", "1MB",
		"--detach", "--master", addr).out))
	cl := dialTest(t, addr)
	reach(t, cl, id, func(s *wire.JobStatus) bool { return s.Map.Done >= 4 })
	must(t, returns.Signal(syscall.SIGTERM))
	must(t, finishes.Signal(syscall.SIGTERM))
	worker("follows", time.Minute)
	cli(t, dir, 0, "wait", string(id), "-q", "--master", addr)
	same(t, dir+"/out", dir+"/run")
	for _, p := range []*procs.Process{finishes, returns} {
		<-p.Done()
		if p.Err() != nil {
			t.Errorf("worker %s: %v", p.Name, p.Err())
		}
	}
	s, err := cl.Watch(t.Context(), &wire.WatchArgs{Job: id})
	must(t, err)
	if s.State != sched.Done {
		t.Errorf("state %v", s.State)
	}
}

// startMaster starts a master without workers: its jobs wait for ever.
func startMaster(t *testing.T, args ...string) (addr string, p *procs.Process) {
	t.Helper()
	p = startProcess(t, "master", append([]string{"master", "--listen", "127.0.0.1:0", "--data-dir", t.TempDir()}, args...)...)
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	addr, err := p.FirstLine(ctx)
	must(t, err)
	return addr, p
}

// startProcess starts a process that ends with the test.
func startProcess(t *testing.T, name string, args ...string) *procs.Process {
	t.Helper()
	p, err := procs.Start(procs.Options{
		Name: name, Bin: binaries.millrace, Args: append(args, "--with-parent"), Env: cleanEnv(), Log: t.TempDir() + "/log",
	})
	must(t, err)
	t.Cleanup(func() {
		must(t, p.Stop(10*time.Second))
		if t.Failed() {
			log, _ := os.ReadFile(p.Log)
			t.Logf("log of %s:\n%s", name, log)
		}
	})
	return p
}

// TestWaiting proves on a cluster without workers, where nothing ever ends by itself: two jobs of one output are refused; an
// id must be known and clear; Ctrl-C of wait leaves the job alone, Ctrl-C of submit cancels it; cancel cancels it, and
// whoever waits is told by exit code 4; a master that goes away is exit code 3.
func TestWaiting(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir+"/in.txt", "a\n")
	addr, master := startMaster(t)
	cl := dialTest(t, addr)
	client := func(code int, args ...string) result { return cli(t, dir, code, append(args, "--master", addr)...) }
	submit := func(id, out string) result {
		return client(0, "submit", "wordcount", "in.txt", "-o", out, "--detach", "--id", id)
	}
	first, second, third := strings.Repeat("a", 32), "aaaaaaaa"+strings.Repeat("b", 24), strings.Repeat("c", 32)
	submit(first, "one")
	submit(second, "two")

	for _, row := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"submit", "wordcount", "in.txt", "-o", "one"}, 1, "/one: a running job writes there"},
		{[]string{"status", "dddd"}, 1, "dddd: this master knows no such job: see millrace list"},
		{[]string{"wait", "aaaa"}, 1, "aaaa: several jobs begin so: give more of the id"},
		{[]string{"cancel", "dddd"}, 1, "knows no such job"},
		{[]string{"logs", "dddd"}, 1, "knows no such job"},
		{[]string{"submit", "wordcount", "nothing", "-o", "three"}, 1, "/nothing: not found"},
	} {
		if r := client(row.code, row.args...); r.out != "" || !strings.Contains(r.errout, row.want) || strings.Count(r.errout, "\n") != 1 {
			t.Errorf("%v: %+v", row.args, r)
		}
	}

	// Ctrl-C of those who wait.
	front, called := proxy(t, addr)
	wait := startClient(t, dir, "wait", first, "--master", front)
	<-called
	wait.interrupt(t)
	if code := wait.end(t); code != 130 || !strings.Contains(wait.errout.String(), "The job goes on: see millrace status "+first) {
		t.Errorf("wait ended with %d: %s", code, wait.errout.String())
	}
	if s := reach(t, cl, wire.JobID(first), func(*wire.JobStatus) bool { return true }); s.State != sched.Running {
		t.Errorf("Ctrl-C of wait left the job %v", s.State)
	}
	sub := startClient(t, dir, "submit", "wordcount", "in.txt", "-o", "three", "--id", third, "--master", addr)
	reachKnown(t, cl, wire.JobID(third))
	sub.interrupt(t)
	if code := sub.end(t); code != 130 || !strings.HasPrefix(sub.errout.String(), "Error: job cancelled: wordcount "+third) {
		t.Errorf("submit ended with %d: %s", code, sub.errout.String())
	}

	// Cancel, seen by one who waits.
	wait = startClient(t, dir, "wait", first, "--master", addr)
	if r := client(0, "cancel", first); r.out != "cancelled\n" {
		t.Errorf("cancel: %+v", r)
	}
	if code := wait.end(t); code != 4 || !strings.HasPrefix(wait.errout.String(), "Error: job cancelled: wordcount "+first) {
		t.Errorf("wait ended with %d: %s", code, wait.errout.String())
	}
	for _, out := range []string{"one", "three"} {
		if left := names(t, dir+"/"+out); len(left) > 0 {
			t.Errorf("left in %s: %v", out, left)
		}
	}

	// The master goes away.
	must(t, master.Kill())
	if r := client(3, "status", second); !strings.Contains(r.errout, "no master reached") || strings.Count(r.errout, "\n") != 1 {
		t.Errorf("without a master: %+v", r)
	}
}

// clientProcess is a client that waits.
type clientProcess struct {
	cmd    *exec.Cmd
	errout bytes.Buffer
}

func startClient(t *testing.T, dir string, args ...string) *clientProcess {
	t.Helper()
	p := new(clientProcess)
	p.cmd, _ = call{args: args, dir: dir}.command(t)
	p.cmd.Stderr = &p.errout
	must(t, p.cmd.Start())
	t.Cleanup(func() { _ = p.cmd.Process.Kill() }) // it has ended, unless the test failed
	return p
}

func (p *clientProcess) interrupt(t *testing.T) {
	t.Helper()
	must(t, p.cmd.Process.Signal(os.Interrupt))
}

func (p *clientProcess) end(t *testing.T) int { return exitCode(t, p.cmd.Wait()) }

// proxy stands before a master, and closes called when a client has connected and made its first call.
func proxy(t *testing.T, master string) (addr string, called chan struct{}) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { l.Close() })
	called = make(chan struct{})
	var once sync.Once
	go func() { // ends with the listener
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", master)
			if err != nil {
				client.Close()
				return
			}
			var greeted atomic.Bool
			go pass(client, server, func() { greeted.Store(true) })
			go pass(server, client, func() {
				if greeted.Load() {
					once.Do(func() { close(called) })
				}
			})
		}
	}()
	return l.Addr().String(), called
}

// pass copies until one side ends, and then ends the other.
func pass(to, from net.Conn, seen func()) {
	defer to.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
			seen()
		}
		if err != nil {
			return
		}
	}
}

// reachKnown waits until a master knows a job.
func reachKnown(t *testing.T, cl *wire.Client, id wire.JobID) {
	t.Helper()
	for {
		reply, err := cl.List(t.Context(), new(wire.ListArgs))
		must(t, err)
		if slices.ContainsFunc(reply.Jobs, func(s wire.JobStatus) bool { return s.ID == id }) {
			return
		}
	}
}
