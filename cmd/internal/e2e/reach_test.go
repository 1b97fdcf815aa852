package e2e

import (
	"context"
	"fmt"
	"testing"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/cmd/internal/netns"
	"github.com/millrace/millrace/cmd/internal/procs"
	"github.com/millrace/millrace/master/wire"
)

// startOnNodes starts a master on the network's own node and a worker on each other, of this test's own binary. Their data lies in files,
// which no cable leads to.
func startOnNodes(ctx context.Context, t testing.TB, n *netns.Network, nodes ...*netns.Node) *cluster {
	t.Helper()
	c := &cluster{t: t, bin: "/proc/self/exe", addr: n.Host.Address + ":0", temp: t.TempDir(), logs: t.TempDir(), data: t.TempDir(), lease: clusterLease}
	t.Cleanup(c.stop)
	c.startMaster(ctx)
	for _, node := range nodes {
		var p *procs.Process
		err := node.Do(func() (err error) {
			p, err = c.start(node.Name, "worker", "--master", c.addr, "--listen", node.Address+":0", "--memory", fmt.Sprint(clusterMemory), "--temp-dir", c.temp)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		c.workers = append(c.workers, p)
	}
	c.joined(ctx, len(nodes))
	return c
}

// Workers that cannot reach each other, on a network that nobody mends: while a third one reaches both, it does what they cannot, and no
// map runs again; when it has died, one of the two does all.
func TestWorkersOutOfReach(t *testing.T) {
	t.Parallel()
	if !netns.Inside(t) {
		return
	}
	ctx, cancel := context.WithTimeout(t.Context(), killBudget)
	defer cancel()
	n := netns.New(t, killSeed)
	a, b, other := n.Add("worker-a"), n.Add("worker-b"), n.Add("worker-c")
	w := killSort(t, smallSize)
	w.reducers = 6
	p := inFiles(t)
	in, err := w.write(ctx, p)
	if err != nil {
		t.Fatal(err)
	}
	k := killed{p: p, in: in, want: undisturbed(ctx, t, w, p, in, 0)}
	c := startOnNodes(ctx, t, n, a, b, other)
	n.Set(netns.Quality{Cut: true}, []*netns.Node{a}, []*netns.Node{b})

	o := millrace.Options{Inputs: []string{in}, Output: p.root + "/three", SplitSize: 1 << 20}
	id := c.submit(ctx, w, o)
	c.await(ctx, id, "all maps are done", func(s *wire.JobStatus) bool { return s.Map.Done == s.Map.Tasks })
	s := c.await(ctx, id, "it has ended", func(s *wire.JobStatus) bool {
		if s.Map.Done < s.Map.Tasks {
			t.Errorf("%d of %d maps are done: all were done before, and one worker can read all runs", s.Map.Done, s.Map.Tasks)
		}
		return !s.Ended.IsZero()
	})
	if s.State != wire.Done {
		t.Fatalf("the job is %v: %s", s.State, s.Error)
	}
	k.wantSame(ctx, t, w, o.Output)
	t.Logf("three workers, two of which cannot reach each other: %.1f s, %d retries", s.Ended.Sub(s.Submitted).Seconds(), s.Retries)
	if n.Sent(a, b)+n.Sent(b, a) == 0 {
		t.Error("neither tried to reach the other: it proves nothing")
	}

	if testing.Short() {
		return // it takes each of them a quarter of a minute to find out
	}
	if err := c.workers[2].Kill(); err != nil {
		t.Fatal(err)
	}
	c.workers = c.workers[:2]
	o.Output = p.root + "/two"
	id = c.submit(ctx, w, o)
	s = c.finish(ctx, id)
	k.wantSame(ctx, t, w, o.Output)
	t.Logf("two workers that cannot reach each other: %.1f s, %d retries; warnings %q", s.Ended.Sub(s.Submitted).Seconds(), s.Retries, s.Warnings)
	if len(s.Warnings) == 0 {
		t.Error("nobody is told that workers cannot reach each other")
	}
}
