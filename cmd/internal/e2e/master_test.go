package e2e

import (
	"testing"

	"github.com/millrace/millrace/master/wire"
)

// A master that dies by kill -9 in the middle of a job, once among the maps and once among the reduces, and is started again on
// its folder goes on with it: the workers come back by themselves, nothing that was done runs again, and the result is the same.
func TestMasterRestarts(t *testing.T) {
	ctx := processes(t)
	w := killWordcount(t, smallSize)
	k, c := stageCluster(ctx, t, w, 2)
	out := k.p.root + "/out"
	id := c.submit(ctx, w, k.options(out, 500_000))
	var done int
	for _, when := range []func(*wire.JobStatus) bool{
		func(s *wire.JobStatus) bool { return s.Map.Done >= s.Map.Tasks/2 },
		func(s *wire.JobStatus) bool { return s.Reduce.Running > 0 && s.Map.Done == s.Map.Tasks },
	} {
		s := c.await(ctx, id, "it is time to kill the master", when)
		done = s.Map.Done + s.Reduce.Done
		if err := c.master.Kill(); err != nil {
			t.Fatal(err)
		}
		c.startMaster(ctx)
	}
	s := c.finish(ctx, id)
	k.wantSame(ctx, t, w, out)
	e, err := c.client.Explain(ctx, &wire.ExplainArgs{Job: id})
	if err != nil {
		t.Fatal(err)
	}
	if e.Missing < done {
		t.Errorf("%d tasks ended under a master that died, but only %d were not run again", done, e.Missing)
	}
	t.Logf("%d of %d tasks ended before the last kill; %d attempts tried again, in %.1f s",
		e.Missing, s.Map.Tasks+s.Reduce.Tasks, s.Retries, s.Ended.Sub(s.Submitted).Seconds())
	c.wantNoTemp()
}
