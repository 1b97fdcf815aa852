package e2e

import (
	"context"
	"flag"
	"math/rand/v2"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/master/wire"
)

var (
	leaderKills = flag.Int("kills.leader", 3, "how many leaders TestLeadersDie kills")
	pairKills   = flag.Int("kills.pairs", 2, "how many pairs of processes TestAnyTwoDie kills")
	killsSeed   = flag.Uint64("kills.seed", killSeed, "chooses the moments and the victims of these tests")
)

// perKill is how long such a test may take for each kill: a failover, and a job's share.
const perKill = 30 * time.Second

// moment is when a leader is killed: when a share of a job's tasks is done, or at a step beside them.
type moment float64

const (
	submitting moment = -1
	committing moment = 2
	idle       moment = 3
)

// somewhere draws a moment: half of them among the tasks.
func somewhere(rnd *rand.Rand) moment {
	return []moment{submitting, committing, committing, idle, moment(rnd.Float64()), moment(rnd.Float64()), moment(rnd.Float64()), moment(rnd.Float64())}[rnd.IntN(8)]
}

// reached says whether a job, as its status is, has come to a moment.
func (m moment) reached(s *wire.JobStatus) bool {
	switch {
	case m == committing:
		return s.State == wire.Committing || s.State.Ended()
	case m == idle:
		return !s.Ended.IsZero()
	}
	tasks, done := s.Map.Tasks+s.Reduce.Tasks, s.Map.Done+s.Reduce.Done
	return s.State != wire.Running || float64(done) >= float64(m)*float64(tasks)
}

// TestLeadersDie proves that leaders may die by kill -9 in any phase: while a job is submitted, in its maps and reduces, in the
// commit, between jobs. Each job ends with the oracle's bytes and counters, and nothing beside them.
func TestLeadersDie(t *testing.T) {
	kills := *leaderKills
	if testing.Short() {
		kills = min(kills, 2)
	}
	ctx := processesWithin(t, killBudget+time.Duration(kills)*perKill)
	words, sort := killWordcount(t, smallSize/2), killSort(t, smallSize/2)
	words.reducers, sort.reducers = 8, 8 // many parts: a longer commit
	ks := stageAll(ctx, t, words, sort)
	e := startEnsemble(ctx, t, ks[0].s, 3, 4, nil)
	rnd := rand.New(rand.NewPCG(*killsSeed, 1))
	var f failovers
	for job := 0; kills > 0; job++ {
		var moments []moment
		for range 1 + rnd.IntN(3) {
			moments = append(moments, somewhere(rnd))
		}
		moments = moments[:min(kills, len(moments))]
		slices.Sort(moments)
		kills -= len(moments)
		k, w := ks[job%2], []workload{words, sort}[job%2]
		out := k.p.root + "/out-" + string(millrace.NewJobID()[:8])
		e.dieAt(ctx, rnd, moments, k, w, out, &f)
		if t.Failed() {
			t.Fatalf("seed %d, job %d, leaders killed at %v", *killsSeed, job, moments)
		}
	}
	t.Logf("from kill -9 of a leader to the first new assignment: %v", &f)
	e.wantNoTemp()
}

// dieAt runs a job and kills the leader at each of the moments.
func (e *ensemble) dieAt(ctx context.Context, rnd *rand.Rand, moments []moment, k killed, w workload, out string, f *failovers) {
	e.t.Helper()
	var killer chan struct{}
	for len(moments) > 0 && moments[0] == submitting {
		moments = moments[1:]
		m, after, done := e.leader(ctx), time.Duration(rnd.IntN(30))*time.Millisecond, make(chan struct{})
		before := killer
		killer = done
		time.AfterFunc(after, func() {
			defer close(done)
			if before != nil {
				<-before
			}
			f.killed(e.replaceMaster(m), len(e.workers))
		})
	}
	id := e.submit(ctx, w, k.options(out, 250_000))
	if killer != nil {
		<-killer
	}
	args, maps := &wire.WatchArgs{Job: id, Wait: time.Second}, 0
	for {
		s, err := e.client.Watch(ctx, args)
		if err != nil {
			e.t.Errorf("watch: %v", err)
			return
		}
		if s.Map.Done < maps {
			e.t.Errorf("%d maps are done, there were %d before: finished tasks run again", s.Map.Done, maps)
			return
		}
		f.saw(s)
		maps, args.Version = s.Map.Done, s.Version
		if len(moments) > 0 && moments[0].reached(s) {
			moments, args.Version = moments[1:], 0
			f.killed(e.replaceMaster(e.leader(ctx)), len(e.workers))
			continue
		}
		if !s.Ended.IsZero() && len(moments) == 0 {
			if s.State != wire.Done {
				e.t.Errorf("the job is %v: %s", s.State, s.Error)
				return
			}
			k.wantSame(ctx, e.t, w, out)
			return
		}
	}
}

// stageAll stages workloads on one server.
func stageAll(ctx context.Context, t testing.TB, ws ...workload) (ks []killed) {
	t.Helper()
	k := stage(ctx, t, ws[0])
	ks = append(ks, k)
	for _, w := range ws[1:] {
		ks = append(ks, stageAt(ctx, t, w, k.s, 0))
	}
	return ks
}

// TestLeaderStopped proves that a leader that is stopped in the middle of a commit for three leases, and then goes on, changes
// nothing: another finishes the job meanwhile, and the old one says at once that it does not lead.
func TestLeaderStopped(t *testing.T) {
	ctx := processes(t)
	w := killSort(t, smallSize/2)
	w.reducers = 12
	k, e := stageEnsemble(ctx, t, w, 2)
	out := k.p.root + "/out"
	id := e.submit(ctx, w, k.options(out, 500_000))
	e.await(ctx, id, "the job commits", moment(committing).reached)
	m := e.leader(ctx)
	pause(t, m)
	begun := time.Now()
	e.finish(ctx, id)
	if other := e.leader(ctx); other == m {
		t.Errorf("%s leads still, though it is stopped", m.name)
	}
	k.wantSame(ctx, t, w, out)
	before := listing(ctx, t, k.p)
	until(ctx, t, "three leases are over", func() bool { return time.Since(begun) > 3*leaderLease })
	c, err := wire.Dial(ctx, []string{m.addr}, wire.ClientOptions{Role: wire.RoleClient, Cluster: e.client.Cluster(), RetryFor: time.Second})
	if e := m.Signal(syscall.SIGCONT); e != nil {
		t.Fatal(e)
	}
	if err != nil { // it was asked while it was stopped
		c, err = wire.Dial(ctx, []string{m.addr}, wire.ClientOptions{Role: wire.RoleClient})
	}
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if s, err := c.List(ctx, &wire.ListArgs{}); err == nil {
		t.Errorf("a master that was stopped for three leases answers: %+v", s)
	}
	if after := listing(ctx, t, k.p); !slices.Equal(after, before) {
		t.Errorf("after the old leader came back the bucket holds\n%q\nbefore it held\n%q", after, before)
	}
	e.wantNoTemp()
}

// leaderLease is the default of how long a leader that is not heard of leads.
const leaderLease = 2 * time.Second

// TestAnyTwoDie proves that any two of the seven processes may die at once every three seconds, masters and workers, and start
// again: each job ends with the oracle's bytes.
func TestAnyTwoDie(t *testing.T) {
	pairs := *pairKills
	if testing.Short() {
		pairs = min(pairs, 1)
	}
	ctx := processesWithin(t, killBudget+time.Duration(pairs)*perKill)
	w := killWordcount(t, killSize)
	k := stage(ctx, t, w)
	e := startEnsemble(ctx, t, k.s, 3, 4, nil)
	out := k.p.root + "/out"
	id := e.submit(ctx, w, k.options(out, 500_000))
	rnd := rand.New(rand.NewPCG(*killsSeed, 2))
	tick := time.NewTicker(3 * time.Second)
	defer tick.Stop()
	for n := 0; n < pairs; n++ {
		victims := rnd.Perm(7)[:2]
		slices.Sort(victims)
		for _, v := range victims { // both are dead before one of them starts again
			p := e.workers[max(v-3, 0)]
			if v < 3 {
				p = e.masters[v].Process
			}
			if err := p.Signal(syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
		}
		for i := len(victims) - 1; i >= 0; i-- { // replacing a worker moves those after it
			if v := victims[i]; v < 3 {
				e.replaceMaster(e.masters[v])
			} else {
				e.replace(v - 3)
			}
		}
		<-tick.C
		if s, err := e.client.Watch(ctx, &wire.WatchArgs{Job: id}); err == nil && !s.Ended.IsZero() {
			e.finish(ctx, id)
			k.wantSame(ctx, t, w, out)
			out = k.p.root + "/out-" + string(millrace.NewJobID()[:8])
			id = e.submit(ctx, w, k.options(out, 500_000))
		}
	}
	e.finish(ctx, id)
	k.wantSame(ctx, t, w, out)
	e.wantNoTemp()
}
