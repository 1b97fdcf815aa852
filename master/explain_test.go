package master

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/master/sched"
	"github.com/millrace/millrace/master/wire"
	"github.com/millrace/millrace/storage"
)

func (l *leader) explain(id wire.JobID, task string) *wire.Explanation {
	l.t.Helper()
	x, err := l.c.Explain(l.t.Context(), &wire.ExplainArgs{Job: id, Task: task})
	if err != nil {
		l.t.Fatal(err)
	}
	return x
}

// worked is a result with what a worker tells of its work: a reduce task read 100 pairs, of which n have one key.
func (h *hand) worked(t wire.Task, took time.Duration, n int64) wire.Outcome {
	o := h.result(t)
	o.Elapsed, o.Bytes = took, 1000*int64(took/time.Second)
	o.Work = &wire.Work{Requests: storage.Requests{Get: 2, Part: 1}, In: 7, Out: 3}
	if t.Attempt.Task.Phase == wire.Map {
		o.Work.Time = wire.Times{Read: took / 4, Map: took - took/4}
		o.Work.Emitted = 50
		return o
	}
	o.Records = 100
	o.Work.Time = wire.Times{Wait: took / 2, Reduce: took - took/2}
	o.Work.Hot = []wire.HotKey{{Key: fmt.Sprintf("key of %d", t.Attempt.Task.Index), Pairs: n}}
	return o
}

func (h *hand) report(list ...wire.Outcome) {
	h.l.t.Helper()
	h.args.Done = append(h.args.Done, list...)
	if err := h.poll(); err != nil {
		h.l.t.Fatal(err)
	}
}

// What a job is explained by while it runs and after its end: steps, slow tasks, skew, keys, requests, counters, and what
// attempts took that did not count. A report that is sent again counts once.
func TestExplain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newWorld(t).lead(true)
		l.mustSubmit(jobA, spec())
		h := l.hire("w", 4)
		first := h.worked(h.get(wire.Map), 4*time.Second, 0)
		failed := h.worked(h.get(wire.Map), 2*time.Second, 0)
		failed.Failure, failed.Map = &wire.Failure{Text: "no"}, nil
		h.report(first, failed)
		h.report(first, failed) // its answer was lost
		third := h.get(wire.Map)
		h.tasks = append(h.tasks, third)
		h.report()
		time.Sleep(10 * time.Second / 4)
		h.report()
		x := l.explain(jobA, "")
		if x.Map.Attempts != 1 || x.Map.Wasted != 1 || x.Map.Loss != 2*time.Second || x.Tasks.Get != 4 || x.Read != 14 || x.Status.State != wire.Running {
			t.Errorf("while it runs: %+v, requests %+v", x.Map, x.Tasks)
		}
		if len(x.Map.Running) == 0 || x.Map.Running[0].Elapsed < 2*time.Second || x.Map.Running[0].State != stateRunning {
			t.Errorf("it runs %+v", x.Map.Running)
		}
		h.report(h.worked(h.get(wire.Map), 8*time.Second, 0))
		h.report(h.worked(h.get(wire.Map), time.Second, 0))
		h.report(h.worked(h.get(wire.Reduce), 6*time.Second, 90))
		h.report(h.worked(h.get(wire.Reduce), 2*time.Second, 10))
		l.status(jobA, wire.Done)
		x = l.explain(jobA, "")
		if want := (wire.Times{Read: 3250 * time.Millisecond, Map: 9750 * time.Millisecond}); x.Map.Attempts != 3 || x.Map.Time != want {
			t.Errorf("the maps took %+v, want %+v", x.Map.Time, want)
		}
		if e := x.Map.Elapsed; e.Min != int64(time.Second) || e.Max != int64(8*time.Second) || e.Sum != int64(13*time.Second) ||
			e.Median < int64(3600*time.Millisecond) || e.Median > int64(4400*time.Millisecond) {
			t.Errorf("the maps' times are %+v", e)
		}
		if s := x.Map.Slowest; len(s) != 3 || s[0].Elapsed != 8*time.Second || s[2].Elapsed != time.Second || s[0].Worker != "host-w" || s[0].Emitted != 50 || s[0].Pairs != 5 {
			t.Errorf("the slowest maps are %+v", s)
		}
		if x.In != (wire.Spread{Min: 2000, Median: 2000, Max: 6000, Sum: 8000}) || x.Rows.Sum != 20 || x.Out.Sum != 12 || x.Reduced != 200 {
			t.Errorf("skew %+v, %+v, %+v of %d pairs", x.In, x.Rows, x.Out, x.Reduced)
		}
		if k := x.HotKeys; len(k) != 2 || k[0].Pairs != 90 || !strings.HasPrefix(k[0].Task, "reduce-") || k[1].Pairs != 10 {
			t.Errorf("hot keys %+v", k)
		}
		if x.Tasks.Get != 12 || x.Tasks.Part != 6 || x.Written != 18 || x.Master.List == 0 || x.Master.Complete != 2 || x.Master.Put != 2 || x.Master.Delete != 1 {
			t.Errorf("requests of tasks %+v, of the master %+v", x.Tasks, x.Master)
		}
		if c := x.Counters; len(c) != 1 || c[0] != (wire.CounterSpread{Name: "n", Total: 5, Tasks: 5, Most: 1, Task: "map-00000"}) {
			t.Errorf("counters %+v", c)
		}
		if x.Missing != 0 || len(x.Map.Running)+len(x.Reduce.Running) != 0 {
			t.Errorf("at the end %d are missing, %+v run", x.Missing, x.Map.Running)
		}
		l.end()
	})
}

// A task is told of by its name, in every form that is printed; counters are its own.
func TestExplainTask(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newWorld(t).lead(true)
		l.mustSubmit(jobA, spec())
		h := l.hire("w", 1)
		task := h.get(wire.Map)
		o := h.worked(task, time.Second, 0)
		o.Counters["own"] = 7
		h.report(o)
		for _, name := range []string{"map-00000", "map-0", string(jobA) + "/map-00000.0", "map-00000.3"} {
			d := l.explain(jobA, name).Task
			if d == nil || d.Task != "map-00000" || d.State != stateSelected || d.Elapsed != time.Second || !maps.Equal(d.Counters, map[string]int64{"n": 1, "own": 7}) {
				t.Errorf("%s: %+v", name, d)
			}
		}
		if d := l.explain(jobA, "reduce-1").Task; d.State != stateWaiting || d.Attempt != -1 {
			t.Errorf("a task that waits: %+v", d)
		}
		for name, want := range map[string]string{"map-3": "has 3 map tasks", "reduce-7": "has 2 reduce tasks", "map": "write map-00003", "fold-1": "write map-00003", "map--1": "write map-00003"} {
			_, err := l.c.Explain(t.Context(), &wire.ExplainArgs{Job: jobA, Task: name})
			wantError(t, name, err, wire.ErrNoTask, want)
		}
		_, err := l.c.Explain(t.Context(), &wire.ExplainArgs{Job: "none"})
		wantError(t, "no job", err, wire.ErrNoJob)
		l.end()
	})
}

// A next master knows the figures that decide something, and says of how many tasks it has seen nothing else.
func TestExplainAfterSuccession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		l := w.lead(false)
		l.mustSubmit(jobA, spec())
		h := l.hire("w", 4)
		h.report(h.worked(h.get(wire.Map), time.Second, 0), h.worked(h.get(wire.Map), time.Second, 0))
		l.depose()
		next := w.lead(false)
		if x := next.explain(jobA, ""); x.Missing != 2 || x.Map.Attempts != 0 || x.Counters[0].Total != 2 {
			t.Errorf("got %+v", x)
		}
		next.end()
	})
}

// Backup attempts and what they saved are told of: by how much longer the slow attempt would have needed at its rate.
func TestExplainBackups(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newWorld(t).lead(true)
		s := spec()
		s.Backup = true
		l.mustSubmit(jobA, s)
		slow, fast := l.hire("slow", 1), l.hire("fast", 4)
		late := slow.get(wire.Map)
		slow.tasks = append(slow.tasks, late)
		fast.work(wire.Map, 2)
		for range 3000 {
			if err := slow.poll(); err != nil {
				t.Fatal(err)
			}
			if err := fast.poll(); err != nil {
				t.Fatal(err)
			}
			if slices.ContainsFunc(fast.tasks, func(x wire.Task) bool { return x.Attempt.Task == late.Attempt.Task }) {
				break
			}
		}
		time.Sleep(time.Second)
		fast.report(fast.worked(fast.get(wire.Map), time.Second, 0))
		if b := l.explain(jobA, "").Backups; b.Started != 1 || b.Won != 1 || b.Saved < time.Second {
			t.Errorf("backups %+v", b)
		}
		l.end()
	})
}

// What cannot be, and what is too much, is not taken over from a worker's report; its result is.
func TestInsaneWork(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]*wire.Outcome{
		"negative step":    {Work: &wire.Work{Time: wire.Times{Sort: -1}}},
		"negative bytes":   {Work: &wire.Work{In: -1}},
		"negative elapsed": {Elapsed: -1, Work: &wire.Work{}},
	} {
		if w := sane(o); w != nil || o.Elapsed < 0 {
			t.Errorf("%s: got %+v", name, w)
		}
	}
	o := &wire.Outcome{Work: &wire.Work{Hot: make([]wire.HotKey, 1000)}}
	o.Work.Hot[0].Key = strings.Repeat("k", 10_000)
	if w := sane(o); len(w.Hot) != wire.MaxHotKeys || len(w.Hot[0].Key) > 2*maxHotKey {
		t.Errorf("%d hot keys, one of %d bytes", len(w.Hot), len(w.Hot[0].Key))
	}
}

// A histogram's median is within a tenth of the exact one, and its other figures are exact.
func TestHistogram(t *testing.T) {
	t.Parallel()
	for _, list := range [][]int64{{0}, {1}, {5, 5, 5}, {1, 2, 3, 4, 1000}, {0, 0, 7}, {1 << 62, 1 << 40, 1 << 61}} {
		var h histogram
		for _, v := range list {
			h.add(v)
		}
		got, want := h.spread(), spreadOf(list)
		if d := got.Median - want.Median; d > want.Median/10+1 || d < -want.Median/10-1 {
			t.Errorf("%v: median %d, want about %d", list, got.Median, want.Median)
		}
		got.Median = want.Median
		if got != want {
			t.Errorf("%v: got %+v, want %+v", list, got, want)
		}
	}
}

// A task's name is what logs print of it.
func TestTaskName(t *testing.T) {
	t.Parallel()
	for _, index := range []int{0, 7, 99, 100, 9999, 10_000, 1_999_999} {
		for _, phase := range []sched.Phase{sched.Sample, sched.Map, sched.Reduce} {
			id := sched.TaskID{Job: jobA, Phase: phase, Index: index}
			name := taskName(id)
			if want := id.String()[len(jobA)+1:]; name != want || phase != sched.Sample && len(name) > nameBytes {
				t.Errorf("%s, want %s in %d bytes", name, want, nameBytes)
			}
		}
	}
}

// Of the slowest tasks as many are kept as are told of, each once.
func TestLongest(t *testing.T) {
	t.Parallel()
	var p phaseAccount
	p.workers = map[string]*pace{}
	ends := func(index int, elapsed time.Duration) {
		p.selected(sched.AttemptID{Task: sched.TaskID{Job: jobA, Phase: sched.Map, Index: index}}, "w", &wire.Outcome{Elapsed: elapsed, Work: new(wire.Work)})
	}
	for i := range 100 {
		ends(i*37%100, time.Duration(i*37%100))
	}
	ends(99, 1000) // it ran again
	ends(95, 1)    // and this one, faster
	var got []time.Duration
	for _, d := range p.explain().Slowest {
		got = append(got, d.Elapsed)
	}
	if !slices.Equal(got, []time.Duration{1000, 98, 97, 96, 1}) {
		t.Errorf("got %v", got)
	}
}
