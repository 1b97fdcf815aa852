package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/cmd/internal/procs"
	"github.com/millrace/millrace/master/wire"
)

// reach waits until a share of a job's tasks is done, and returns how many are. No finished map may have run again since there
// were least.
func (e *ensemble) reach(ctx context.Context, id wire.JobID, m moment, least int) (maps int) {
	e.t.Helper()
	s := e.await(ctx, id, fmt.Sprintf("%v of the tasks are done", m), m.reached)
	if s.Map.Done < least {
		e.t.Errorf("%d maps are done, there were %d before: finished tasks run again", s.Map.Done, least)
	}
	return s.Map.Done
}

// silent asks a master for the length of two leases: it must not answer once, since a majority could know better.
func (e *ensemble) silent(ctx context.Context, m *seat, id wire.JobID) {
	e.t.Helper()
	e.refuses(ctx, m)
	c := e.alone(ctx, m)
	defer c.Close()
	over := time.After(2 * leaderLease)
	until(ctx, e.t, "two leases are over", func() bool {
		_, list := c.List(ctx, &wire.ListArgs{Max: 1})
		_, watch := c.Watch(ctx, &wire.WatchArgs{Job: id})
		_, cancel := c.Cancel(ctx, &wire.CancelArgs{Job: id})
		for _, err := range []error{list, watch, cancel} {
			if !errors.Is(err, wire.ErrNotLeader) && !errors.Is(err, wire.ErrUnreachable) { // it may name the dead leader
				e.t.Fatalf("%s answers with %v, while more than half of the masters are dead", m.name, err)
			}
		}
		select {
		case <-over:
			return true
		default:
			return false
		}
	})
}

// TestQuorumLost proves that a master whose two fellows died by kill -9 in the middle of a job answers nothing, whether it led or stood
// by; and that the job goes on when they are back with their folders, and ends with the undisturbed run's bytes, no finished map having
// run again.
func TestQuorumLost(t *testing.T) {
	ctx := processes(t)
	w := killWordcount(t, smallSize)
	k, e := stageEnsemble(ctx, t, w, 2)
	out := k.p.root + "/out"
	id := e.submit(ctx, w, k.options(out, 250_000))
	least := 0
	for i, leads := range []bool{true, false} {
		least = e.reach(ctx, id, moment(0.2+0.3*float64(i)), least)
		left := e.leader(ctx)
		if !leads {
			left = e.besides(left)[0]
		}
		dead := e.besides(left)
		for _, m := range dead { // both are dead before one of them starts again
			if err := m.Kill(); err != nil {
				t.Fatal(err)
			}
		}
		e.silent(ctx, left, id)
		for _, m := range dead {
			e.seatMaster(m)
		}
	}
	e.reach(ctx, id, 0.7, least)
	e.finish(ctx, id)
	k.wantSame(ctx, t, w, out)
	e.wantNoTemp()
}

// TestRollingRestart proves that masters can be stopped and started again one after the other during a job, as for an upgrade, the
// leader first: no attempt fails, no finished task runs again, and the bytes are the undisturbed run's. One worker is of the version
// before, which has no terms in its messages, and has its part in it.
func TestRollingRestart(t *testing.T) {
	ctx := processes(t)
	w := killWordcount(t, smallSize)
	k, e := stageEnsemble(ctx, t, w, 1)
	old, err := procs.Start(procs.Options{
		Name: "worker-old", Bin: "/proc/self/exe", Env: e.env, Log: filepath.Join(e.logs, "worker-old.log"),
		Args: []string{"worker", "--master", e.addr, "--slots", "1", "--memory", fmt.Sprint(clusterMemory), "--temp-dir", e.temp, "--protocol", "1"},
	})
	if err != nil {
		t.Fatal(err)
	}
	e.workers = append(e.workers, old)
	out := k.p.root + "/out"
	id := e.submit(ctx, w, k.options(out, 250_000))
	restarted, done, before := map[*seat]bool{}, 0, 0
	for i := range e.masters {
		done = e.reach(ctx, id, moment(0.2*float64(1+i)), done)
		m := e.leader(ctx)
		if !restarted[m] {
			before = done // so many at least ended under another leader than the last one
		}
		for j := 0; restarted[m]; j++ { // one of the others is next
			m = e.masters[j]
		}
		restarted[m] = true
		if err := m.Stop(clusterGrace); err != nil {
			t.Fatal(err)
		}
		e.seatMaster(m)
		e.seated(ctx)
	}
	s := e.finish(ctx, id)
	k.wantSame(ctx, t, w, out)
	x, err := e.client.Explain(ctx, &wire.ExplainArgs{Job: id})
	if err != nil {
		t.Fatal(err)
	}
	if x.Missing < before || s.Retries > 0 {
		t.Errorf("%d maps ended before the last leader was stopped, but only %d were not run again; %d attempts failed", before, x.Missing, s.Retries)
	}
	went := 0
	for _, m := range e.masters {
		log, err := os.ReadFile(m.Log)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(log)) {
			if strings.Contains(line, "goes on from an earlier term") && strings.Contains(line, fmt.Sprintf("/%d-", old.PID())) {
				went++
			}
		}
	}
	if went == 0 {
		t.Error("the old worker was never at work when a master stopped: it proves nothing")
	}
	e.wantNoTemp()
}
