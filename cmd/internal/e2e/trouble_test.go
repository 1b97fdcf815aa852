package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/millrace/millrace/cmd/internal/procs"
	"github.com/millrace/millrace/master/wire"
)

// Workers in trouble, as processes: each job ends with the undisturbed run's bytes on those that are well, or by name if none is.

// addTroubled starts a worker whose temporary folder is its own, with additions to its environment. The name is its own, too.
func (c *cluster) addTroubled(name, temp string, env ...string) *procs.Process {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	p, err := procs.Start(procs.Options{
		Name: name, Bin: c.bin, Env: append(slices.Clone(c.env), env...), Log: filepath.Join(c.logs, name+".log"),
		Args: []string{"worker", "--master", c.addr, "--slots", "1", "--memory", fmt.Sprint(clusterMemory), "--temp-dir", temp, "--drain", "100ms", "--with-parent"},
	})
	if err != nil {
		c.t.Fatal(err)
	}
	c.workers = append(c.workers, p)
	return p
}

// joined waits until so many workers have joined the master.
func (c *cluster) joined(ctx context.Context, n int) {
	c.t.Helper()
	eventually(ctx, c.t, fmt.Sprint(n, " workers have joined"), func() bool {
		b, err := os.ReadFile(c.master.Log)
		if err != nil {
			c.t.Fatal(err)
		}
		return strings.Count(string(b), "joined with ") >= n
	})
}

// eventually waits for what no call waits for.
func eventually(ctx context.Context, t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("wait until %s: %v", what, ctx.Err())
		}
	}
}

// failures are the job's log lines of attempts that failed on a process.
func (c *cluster) failures(ctx context.Context, id wire.JobID, p *procs.Process) (found []wire.LogLine) {
	c.t.Helper()
	for _, l := range c.events(ctx, id, "") {
		if l.Attempt != "" && strings.HasSuffix(l.Worker, fmt.Sprint("/", p.PID())) {
			found = append(found, l)
		}
	}
	return found
}

// wantWarning checks that a status names a worker and all that a text must say of it.
func wantWarning(t testing.TB, s *wire.JobStatus, p *procs.Process, texts ...string) {
	t.Helper()
	t.Logf("warnings: %q", s.Warnings)
	ok := slices.ContainsFunc(s.Warnings, func(w string) bool {
		return strings.Contains(w, fmt.Sprintf("/%d ", p.PID())) && !slices.ContainsFunc(texts, func(text string) bool { return !strings.Contains(w, text) })
	})
	if !ok {
		t.Errorf("the warnings are %q: none names %s (process %d) and %q", s.Warnings, p.Name, p.PID(), texts)
	}
}

// A disk on which no run has room: 64 KiB.
func smallDisk(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("none", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Skipf("LEFT OUT: a full disk: mounting a small file system needs root: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// A worker whose disk is full is left out of the job with its name and the cause, no failure is charged to a task, and the others
// finish. When there is room again it does what there is to do, in the same job.
func TestFullDisk(t *testing.T) {
	ctx := processes(t)
	disk := smallDisk(t)
	w := killWordcount(t, smallSize)
	k := stage(ctx, t, w)
	c := startCluster(ctx, t, k.s, 0)
	full := c.addTroubled("full", disk)
	c.addWorker()
	c.addWorker()
	c.joined(ctx, 3)
	out := k.p.root + "/out"
	o := k.options(out, 500_000)
	id := c.submit(ctx, w, o)
	s := c.finish(ctx, id)
	k.wantSame(ctx, t, w, out)
	failed := c.failures(ctx, id, full)
	if len(failed) == 0 || len(failed) > 5 {
		t.Errorf("%d attempts failed on the full disk, want a few: %v", len(failed), failed)
	}
	wantWarning(t, s, full, "left out of the job for 8s", "no space left on device", disk, "--temp-dir")

	o.Output = k.p.root + "/again"
	id = c.submit(ctx, w, o)
	c.await(ctx, id, "the full disk was found out again", func(s *wire.JobStatus) bool { return len(s.Warnings) > 0 })
	if err := syscall.Mount("none", disk, "tmpfs", syscall.MS_REMOUNT, "size=64m"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		c.mu.Lock()
		p := c.workers[1]
		c.workers = append(c.workers[:1], c.workers[2:]...)
		c.mu.Unlock()
		if err := p.Kill(); err != nil {
			t.Fatal(err)
		}
	}
	s = c.finish(ctx, id)
	k.wantSame(ctx, t, w, o.Output)
	if s.Map.Failed+s.Reduce.Failed > 0 {
		t.Errorf("%d failures were charged to tasks", s.Map.Failed+s.Reduce.Failed)
	}
	c.stop()
}

// A worker that is not let into the bucket, and one whose temporary folder somebody removed, are left out with their names and causes.
// When no other worker is left, the job fails and says so.
func TestBrokenWorkers(t *testing.T) {
	ctx := processes(t)
	w := killWordcount(t, smallSize)
	k, c := stageCluster(ctx, t, w, 4)
	denied := c.addTroubled("denied", t.TempDir(), "AWS_SECRET_ACCESS_KEY=not-the-secret")
	temp := t.TempDir()
	homeless := c.addTroubled("homeless", temp)
	c.joined(ctx, 6)
	eventually(ctx, t, "the worker has a folder", func() bool {
		dirs, err := filepath.Glob(filepath.Join(temp, "*"))
		return err == nil && len(dirs) == 1 && os.RemoveAll(dirs[0]) == nil
	})
	out := k.p.root + "/out"
	o := k.options(out, 200_000)
	id := c.submit(ctx, w, o)
	s := c.finish(ctx, id)
	k.wantSame(ctx, t, w, out)
	wantWarning(t, s, denied, "failed 3 times", "left out of the job", "denied", "s3://")
	wantWarning(t, s, homeless, "cannot work", "left out of the job", "no such file or directory", temp, "start the worker again")

	c.mu.Lock()
	well := c.workers[:4]
	c.workers = c.workers[4:]
	c.mu.Unlock()
	for _, p := range well {
		if err := p.Kill(); err != nil {
			t.Fatal(err)
		}
	}
	o.Output = k.p.root + "/none"
	id = c.submit(ctx, w, o)
	var end *wire.JobStatus
	eventually(ctx, t, "the job has ended", func() (ended bool) {
		var err error
		if end, err = c.client.Watch(ctx, &wire.WatchArgs{Job: id}); err != nil {
			t.Fatal(err)
		}
		return !end.Ended.IsZero()
	})
	if end.State != wire.JobFailed || !strings.Contains(end.Error, "failed 4 times") || !strings.Contains(end.Error, "on worker ") ||
		!strings.Contains(end.Error, "denied") && !strings.Contains(end.Error, "no such file or directory") {
		t.Errorf("all workers are broken: the job is %v: %s", end.State, end.Error)
	}
	c.stop()
}

// A worker that runs a twentieth of the time holds up nothing: others take its tasks over, and the bytes are the same.
func TestSlowWorker(t *testing.T) {
	ctx := processes(t)
	w := killSort(t, smallSize)
	k, c := stageCluster(ctx, t, w, 3)
	c.joined(ctx, 3)
	out := k.p.root + "/out"
	stop := slowDown(t, c.workers[0], 20)
	id := c.submit(ctx, w, k.options(out, 1<<20))
	s := c.finish(ctx, id)
	stop()
	k.wantSame(ctx, t, w, out)
	t.Logf("it took %.1f s, with %d backup attempts", s.Ended.Sub(s.Submitted).Seconds(), len(c.events(ctx, id, "would need")))
	c.wantNoTemp()
}

// slowDown lets a process run only a part of the time, in turns of a fifth of a second, until stop is called.
func slowDown(t testing.TB, p *procs.Process, times int) (stop func()) {
	const turn = 200 * time.Millisecond
	done, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for on := false; ; on = !on {
			wait, signal := turn-turn/time.Duration(times), syscall.SIGSTOP
			if on {
				wait, signal = turn/time.Duration(times), syscall.SIGCONT
			}
			if err := p.Signal(signal); err != nil {
				t.Error(err)
			}
			select {
			case <-time.After(wait):
			case <-done:
				if err := p.Signal(syscall.SIGCONT); err != nil {
					t.Error(err)
				}
				return
			}
		}
	}()
	return func() {
		close(done)
		<-stopped
	}
}

// With --shuffle=bucket all workers may vanish in the middle of the reduces: others finish, and no map runs again.
func TestKillInReducesKeepsRunsInBucket(t *testing.T) {
	ctx := processes(t)
	w := killSort(t, smallSize)
	k, c := stageCluster(ctx, t, w, 3)
	out := k.p.root + "/out"
	o := k.options(out, 1<<20)
	o.Shuffle = "bucket"
	id := c.submit(ctx, w, o)
	c.await(ctx, id, "reduces run", func(s *wire.JobStatus) bool { return s.Map.Done == s.Map.Tasks && s.Reduce.Running > 0 })
	for range 3 {
		c.replace(0)
	}
	s := c.await(ctx, id, "it has ended", func(s *wire.JobStatus) bool {
		if s.Map.Done < s.Map.Tasks || s.Map.Running > 0 {
			t.Errorf("%d of %d maps are done, %d run: all were done before", s.Map.Done, s.Map.Tasks, s.Map.Running)
		}
		return !s.Ended.IsZero()
	})
	if lost := c.events(ctx, id, "lost:"); s.State != wire.Done || len(lost) == 0 {
		t.Fatalf("the job is %v, %d workers were lost before its end: %s", s.State, len(lost), s.Error)
	}
	k.wantSame(ctx, t, w, out)
	c.wantNoTemp()
}

// Workers that are stopped for longer than the default lease, one in the maps and one in the reduces, change nothing, whenever they
// go on: the bytes are the same, and they come back as other workers.
func TestPausedWorkers(t *testing.T) {
	ctx := processes(t)
	if testing.Short() {
		t.Skip("LEFT OUT: two default leases of waiting: -short")
	}
	w := killSort(t, smallSize)
	k := stage(ctx, t, w)
	c := startClusterWith(ctx, t, k.s, 3, buildBinary(t), 15*time.Second)
	c.joined(ctx, 3)
	out := k.p.root + "/out"
	id := c.submit(ctx, w, k.options(out, 500_000))
	c.await(ctx, id, "some maps are done", func(s *wire.JobStatus) bool { return s.Map.Done >= 6 && s.Map.Done < s.Map.Tasks })
	mapper, reducer := c.workers[0], c.workers[1]
	pause(t, mapper) // its runs are needed: the reduces wait until it is lost, and its maps have run again
	c.await(ctx, id, "it is lost, and reduces run", func(s *wire.JobStatus) bool {
		return s.Workers == 2 && s.Map.Done == s.Map.Tasks && s.Reduce.Running > 0
	})
	pause(t, reducer)
	c.finish(ctx, id)
	k.wantSame(ctx, t, w, out)
	for _, p := range []signaller{mapper, reducer} {
		if err := p.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
	}
	c.logged(ctx, mapper, "starting anew")
	c.logged(ctx, reducer, "starting anew")
	k.wantSame(ctx, t, w, out)
	c.wantNoTemp()
}
