package master

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/master/memha"
	"github.com/millrace/millrace/master/wire"
	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/manifest"
	"github.com/millrace/millrace/storage/storagetest"
)

// twoClusters are two clusters with one bucket.
func twoClusters(t *testing.T) (a, b *world) {
	a = newWorld(t)
	a.cluster = wire.ClusterID{10}
	other := *a
	other.cluster, other.mem = wire.ClusterID{11}, memha.New()
	return a, &other
}

// claim writes a claim, whatever is there.
func (w *world) claim(out string, c manifest.Claim) {
	w.t.Helper()
	body, err := c.Encode()
	if err != nil {
		w.t.Fatal(err)
	}
	w.put(out+"/"+manifest.ClaimName, string(body))
}

func (w *world) remove(key string) {
	w.t.Helper()
	if err := w.st.Remove(w.t.Context(), "mem://b/"+key); err != nil {
		w.t.Fatal(err)
	}
}

// Of two clusters that aim at one output one wins. The other is told who, since when and what to do if that one is gone, with
// --overwrite too, and changes nothing there. When the first one's job has ended, the output is free for both.
func TestTwoClusters(t *testing.T) {
	for _, volatile := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			wa, wb := twoClusters(t)
			a, b := wa.lead(volatile), wb.lead(volatile)
			a.mustSubmit(jobA, spec())
			h := a.hire("w", 4)
			h.work(wire.Map, 3)
			h.work(wire.Reduce, 1)
			s := spec()
			for _, s.Overwrite = range []bool{false, true} {
				wantError(t, "the second cluster", b.submit(jobB, s), wire.ErrOutputTaken, "mem://b/out", "job "+string(jobA)+" of cluster 0a00", "since 2000-01-01 00:00:00 UTC",
					"millrace gc mem://b/out --older-than 0s", "--overwrite does not take it")
			}
			wa.want("out/", manifest.ClaimName, "pending part-00000.arrow")
			h.work(wire.Reduce, 1)
			a.status(jobA, wire.Done)
			wa.want("out/", manifest.Name, "part-00000.arrow", "part-00001.arrow")
			b.mustSubmit(jobB, s)
			wantError(t, "the first cluster", a.submit("cccccccc", s), wire.ErrOutputTaken, string(jobB), "of cluster 0b00")
			b.cancel(jobB)
			b.status(jobB, wire.Cancelled)
			wa.want("out/", manifest.Name, "part-00000.arrow", "part-00001.arrow")
			a.mustSubmit("cccccccc", s)
			a.cancel("cccccccc")
			a.end()
			b.end()
		})
	}
}

// Of two that submit at the same moment one wins.
func TestTwoClustersRace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wa, wb := twoClusters(t)
		a, b := wa.lead(false), wb.lead(false)
		errs := make(chan error, 2)
		go func() { errs <- a.submit(jobA, spec()) }()
		go func() { errs <- b.submit(jobB, spec()) }()
		first, second := <-errs, <-errs
		if (first == nil) == (second == nil) || !errors.Is(errors.Join(first, second), wire.ErrOutputTaken) {
			t.Errorf("got %v and %v", first, second)
		}
		a.end()
		b.end()
	})
}

// A store that lets two conditional writes win: whose claim is not there at the decision fails by name, and leaves all that is the
// other's: its claim, its uploads, its plan. What it knows to be its own goes. The other commits.
func TestBothClaimsWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wa, wb := twoClusters(t)
		a, b := wa.lead(false), wb.lead(false)
		s := spec()
		s.Shuffle = "bucket"
		a.mustSubmit(jobA, s)
		wa.remove("out/" + manifest.ClaimName)
		b.mustSubmit(jobB, s) // its write wins as well
		ha, hb := a.hire("w", 4), b.hire("v", 4)
		ha.work(wire.Map, 3)
		hb.work(wire.Map, 3)
		hb.do(wire.Reduce)
		wa.put("out/.millrace-"+string(jobA)+"/map-00000.0.run", "a's")
		wa.put("out/.millrace-"+string(jobB)+"/map-00000.0.run", "b's")
		ha.work(wire.Reduce, 2)
		if st := a.status(jobA, wire.JobFailed); !strings.Contains(st.Error, "job "+string(jobB)+" of cluster 0b00") || !strings.Contains(st.Error, "millrace gc") {
			t.Errorf("error %q", st.Error)
		}
		wa.want("out/", ".millrace-"+string(jobB)+"/map-00000.0.run", manifest.ClaimName, "pending part-00000.arrow")
		hb.work(wire.Reduce, 1)
		b.status(jobB, wire.Done)
		wa.want("out/", manifest.Name, "part-00000.arrow", "part-00001.arrow")
		a.end()
		b.end()
	})
}

// A cancelled job whose output another cluster has taken leaves what is that one's; so does a chain.
func TestCancelWithoutClaim(t *testing.T) {
	for _, volatile := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			wa, wb := twoClusters(t)
			a, b := wa.lead(volatile), wb.lead(volatile)
			a.mustSubmit(jobA, spec())
			ha := a.hire("w", 4)
			ha.work(wire.Map, 3)
			ha.work(wire.Reduce, 1)
			chain := chainSpec()
			chain.Output = "mem://b/chain"
			a.mustSubmit("cccccccc", chain)
			synctest.Wait() // its first stage has begun
			for _, out := range []string{"out/", "chain/"} {
				wa.remove(out + manifest.ClaimName)
				s := spec()
				s.Output = "mem://b/" + strings.TrimSuffix(out, "/")
				b.mustSubmit(wire.JobID("bbbbbbbb"+out[:1]), s)
				wa.pending(out+manifest.PartName(1), "b's")
			}
			wa.put("chain/_stages/001-a/part-00000.arrow", "b's")
			a.cancel(jobA)
			a.status(jobA, wire.Cancelled)
			a.cancel("cccccccc")
			a.status("cccccccc", wire.Cancelled)
			wa.want("out/", manifest.ClaimName, "pending part-00001.arrow")
			wa.want("chain/", manifest.ClaimName, "_stages/001-a/part-00000.arrow", "pending part-00001.arrow")
			a.end()
			b.end()
		})
	}
}

// A claim that somebody removed while its job ran is written again before the decision, and what lies in the output is looked at once more.
func TestClaimRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		l := w.lead(false)
		l.mustSubmit(jobA, spec())
		h := l.hire("w", 4)
		h.work(wire.Map, 3)
		w.remove("out/" + manifest.ClaimName)
		w.bad.Plan(storagetest.Fault{Op: storagetest.OpComplete, Times: -1})
		h.work(wire.Reduce, 2)
		l.status(jobA, wire.Committing)
		w.want("out/", manifest.ClaimName, "pending part-00000.arrow", "pending part-00001.arrow")
		w.bad.Plan()
		l.status(jobA, wire.Done)
		w.want("out/", manifest.Name, "part-00000.arrow", "part-00001.arrow")
		l.end()
	})
}

// A claim whose answer was lost is a claim, and one that cannot be written or read makes no job.
func TestClaimFaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		l := w.lead(false)
		key := "out/" + manifest.ClaimName
		w.bad.Plan(storagetest.Fault{Op: storagetest.OpPut, Key: key, Kind: storagetest.LoseAnswer})
		l.mustSubmit(jobA, spec())
		l.cancel(jobA)
		l.status(jobA, wire.Cancelled)
		w.want("out/")
		w.bad.Plan(storagetest.Fault{Op: storagetest.OpPut, Key: key, Err: storage.ErrDenied})
		wantError(t, "a claim that cannot be written", l.submit(jobB, spec()), nil, key, "access denied")
		w.bad.Plan(storagetest.Fault{Op: storagetest.OpPut, Key: key, Kind: storagetest.LoseAnswer, Times: -1})
		if err := l.submit(jobB, spec()); err != nil {
			t.Errorf("answers that are all lost: %v", err)
		}
		w.bad.Plan()
		l.cancel(jobB)
		l.status(jobB, wire.Cancelled)
		w.put(key, "something else")
		wantError(t, "what is no claim", l.submit("cccccccc", spec()), wire.ErrOutputTaken, "mem://b/"+key, "not the claim of a job", "remove it")
		w.want("out/", manifest.ClaimName)
		w.remove(key)
		l.mustSubmit("cccccccc", spec())
		l.end()
	})
}

// A cluster that crashed keeps its claim: its next master goes on. When people have removed the claim since and another cluster has taken
// the output, its job fails by name, decided or not, and leaves the other's.
func TestClusterCrashed(t *testing.T) {
	for _, decided := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			wa, wb := twoClusters(t)
			a, b := wa.lead(false), wb.lead(false)
			s := spec()
			s.Overwrite = true
			a.mustSubmit(jobA, s)
			h := a.hire("w", 4)
			h.work(wire.Map, 3)
			if decided {
				wa.bad.Plan(storagetest.Fault{Op: storagetest.OpComplete, Times: -1})
				h.work(wire.Reduce, 2)
				a.status(jobA, wire.Committing)
			}
			a.depose()
			wa.bad.Plan()
			wantError(t, "after the crash", b.submit(jobB, s), wire.ErrOutputTaken, string(jobA))
			wa.remove("out/" + manifest.ClaimName)
			b.mustSubmit(jobB, s)
			wa.pending("out/"+manifest.PartName(0), "b's")

			a = wa.lead(false)
			if !decided {
				h.l, h.c = a, a.dial(wire.RoleWorker)
				h.work(wire.Reduce, 2)
			}
			st := a.status(jobA, wire.JobFailed)
			if !strings.Contains(st.Error, string(jobB)) || decided != strings.Contains(st.Error, "may be visible") {
				t.Errorf("decided %v: error %q", decided, st.Error)
			}
			names := wa.names("out/")
			if len(names) < 2 || names[0] != manifest.ClaimName || names[len(names)-1] != "pending part-00000.arrow" {
				t.Errorf("decided %v: left %q", decided, names)
			}
			if st, err := b.c.Watch(t.Context(), &wire.WatchArgs{Job: jobB}); err != nil || st.State != wire.Running {
				t.Errorf("decided %v: the other is %v, %v", decided, st.State, err)
			}
			a.end()
			b.end()
		})
	}
}

// The claim of a program that is gone is taken over, if it ended with its job: it ran on this machine, and its process is no more. That
// of a process that lives, or of another machine, is not.
func TestProcessGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		l := w.lead(true)
		dead, older, away := thisProcess(), thisProcess(), thisProcess()
		dead.PID = 1 << 30 // above all that a system gives
		older.Start += "0"
		away.Machine, away.PID = "another", dead.PID
		here := thisProcess()
		for name, c := range map[string]struct {
			p    *manifest.Process
			gone bool
		}{
			"dead": {&dead, true}, "before us with our number": {&older, here.Start != ""}, "alive": {&here, false}, "elsewhere": {&away, false}, "with masters that go on": {nil, false},
		} {
			w.claim("out", manifest.Claim{Job: "eeeeeeee", Process: c.p})
			id := wire.JobID("job, " + name)
			err := l.submit(id, spec())
			if (err == nil) != c.gone {
				t.Errorf("%s: %v", name, err)
			}
			if err == nil {
				l.cancel(id)
				l.status(id, wire.Cancelled)
			} else {
				w.remove("out/" + manifest.ClaimName)
			}
		}
		l.stop()
	})
	if os.Getpid() > 0 && processGone(manifest.Process{Machine: machine()}) {
		t.Error("a process without a number is gone")
	}
}

// What a master of this cluster claimed for a submission that it did not come to the end of, or did not come to remove, is free again.
func TestOrphanedClaims(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _ := twoClusters(t)
		w.claim("out", manifest.Claim{Job: "eeeeeeee", Cluster: w.cluster.String()})
		term, err := w.mem.Campaign(t.Context(), candidate)
		if err == nil {
			_, err = w.mem.Claim(t.Context(), term.N, "mem://b/out", "eeeeeeee")
		}
		if err != nil {
			t.Fatal(err)
		}
		w.mem.Depose()
		l := w.lead(false)
		l.mustSubmit(jobA, spec())
		wantError(t, "a job that runs", l.submit(jobB, spec()), wire.ErrOutputTaken, string(jobA))
		l.cancel(jobA)
		l.status(jobA, wire.Cancelled)
		w.claim("out", manifest.Claim{Job: string(jobA), Cluster: w.cluster.String()})
		l.mustSubmit(jobB, spec())
		l.end()
	})
}

// A submitter that goes away while the claim is written leaves none.
func TestSubmitterGoneAtClaim(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		l := w.lead(true)
		w.bad.Plan(storagetest.Fault{Op: storagetest.OpPut, Key: "out/" + manifest.ClaimName, Kind: storagetest.Stall})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := l.m().Submit(ctx, &wire.SubmitArgs{Job: jobA, Spec: spec()}); err == nil {
			t.Error("it is submitted")
		}
		w.want("out/")
		l.mustSubmit(jobB, spec())
		l.end()
		w.want("out/")
	})
}

// A next master that begins a chain, since the one before did not come to it, looks at the claim before it removes the stages that an
// earlier chain may have left: the output may be another cluster's by now, and those the stages under way there.
func TestChainBeginsWithoutClaim(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.put("out/_stages/001-a/part-00000.arrow", "old")
		l := w.lead(false)
		s := chainSpec()
		s.Overwrite = true
		w.bad.Plan(storagetest.Fault{Op: storagetest.OpRemove, Key: "out/_stages/**", Times: -1, Kind: storagetest.Stall})
		l.mustSubmit(jobA, s)
		synctest.Wait()
		l.depose()
		w.bad.Plan()
		w.claim("out", manifest.Claim{Job: "eeeeeeee", Cluster: "another"})
		w.put("out/_stages/001-a/part-00000.arrow", "the other's")

		next := w.lead(false)
		st := next.status(jobA, wire.JobFailed)
		if !strings.Contains(st.Error, "job eeeeeeee of cluster another") {
			t.Errorf("error %q", st.Error)
		}
		w.want("out/", manifest.ClaimName, "_stages/001-a/part-00000.arrow")
		next.end()
	})
}
