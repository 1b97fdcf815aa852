package master

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/master/wire"
	"github.com/millrace/millrace/storage/output"
)

// The counters of a job are those of its tasks, each counted once: also of tasks that failed first, whose worker was lost
// with its runs, whose backup attempt won, and whose lost attempt comes back later.
func TestCountersAreExact(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newWorld(t).lead(true)
		s := spec()
		s.Backup = true
		l.mustSubmit(jobA, s)
		good, lost := l.hire("good", 1), l.hire("lost", 2)
		// One attempt fails, and says that it had counted.
		failed := lost.get(wire.Map)
		o := lost.result(failed)
		o.Failure, o.Map = &wire.Failure{Text: "no"}, nil
		lost.args.Done = append(lost.args.Done, o)
		// Two runs are on a worker that falls silent.
		lost.work(wire.Map, 2)
		good.work(wire.Map, 1)
		if got := l.status(jobA, wire.Running).Counters["n"]; got != 3 {
			t.Errorf("before the loss the counter is %d, want 3", got)
		}
		good.beat(func() bool { return l.status(jobA, wire.Running).Map.Done == 1 })
		if got := l.status(jobA, wire.Running).Counters["n"]; got != 3 {
			t.Errorf("after the loss of two runs the counter is %d: they count until they are made again", got)
		}
		good.work(wire.Map, 2)
		// A reduce hangs; its backup wins, and then the slow one ends too.
		slow, fast := l.hire("slow", 1), l.hire("fast", 1)
		late := slow.get(wire.Reduce)
		slow.tasks = append(slow.tasks, late)
		good.work(wire.Reduce, 1)
		var backup wire.Task
		for range 3000 {
			for _, h := range []*hand{good, slow, fast} {
				if err := h.poll(); err != nil {
					t.Fatal(err)
				}
			}
			if i := slices.IndexFunc(append(good.tasks, fast.tasks...), func(x wire.Task) bool { return x.Attempt.Task == late.Attempt.Task }); i >= 0 {
				backup = append(good.tasks, fast.tasks...)[i]
				break
			}
		}
		if backup.Attempt.N == late.Attempt.N {
			t.Fatalf("no backup attempt of %v", late.Attempt)
		}
		winner := fast
		if slices.ContainsFunc(good.tasks, func(x wire.Task) bool { return x.Attempt == backup.Attempt }) {
			winner = good
		}
		slow.tasks = nil
		slow.args.Done = append(slow.args.Done, slow.result(late))
		winner.work(wire.Reduce, 1)
		_ = slow.poll()
		done := l.status(jobA, wire.Done)
		if done.Counters["n"] != 5 || len(done.Warnings) != 0 {
			t.Errorf("at the end the counter is %d, want 5: one of each task; warnings %q", done.Counters["n"], done.Warnings)
		}
		l.end()
	})
}

// Of too many names a job keeps the first, exact whatever the order of its tasks and however often they are taken back; its
// status, log and manifest say so.
func TestCountersAreCut(t *testing.T) {
	report := func(from, n int) map[string]int64 {
		m := map[string]int64{}
		for i := range n {
			m[fmt.Sprintf("item %05d", from+i)] = int64(from + 1)
		}
		return m
	}
	reports := []map[string]int64{report(0, 300), report(200, 500), report(600, 1000), report(100, 50), report(900, 600)}
	want := map[string]int64{}
	for _, r := range reports {
		for name, n := range r {
			if name < fmt.Sprintf("item %05d", jobs.MaxCounters) {
				want[name] += n
			}
		}
	}
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 1))
		c, shares := new(counters), make([][]counted, len(reports))
		for _, i := range r.Perm(3 * len(reports)) { // each task is selected three times
			c.takeBack(shares[i%len(reports)])
			shares[i%len(reports)] = c.add(reports[i%len(reports)], false)
		}
		if !maps.Equal(c.totals(), want) || c.warning() == "" || !slices.IsSorted(c.names) {
			t.Fatalf("seed %d: %d counters, warning %q", seed, len(c.names), c.warning())
		}
	}
	synctest.Test(t, func(t *testing.T) {
		l := newWorld(t).lead(true)
		l.mustSubmit(jobA, spec())
		h := l.hire("w", 4)
		for i := range 3 {
			o := h.do(wire.Map)
			maps.Copy(o.Counters, report(500*i, 700))
		}
		h.work(wire.Reduce, 2)
		s := l.status(jobA, wire.Done)
		if len(s.Counters) != jobs.MaxCounters || s.Counters["item 00550"] != 1+501 || len(s.Warnings) != 1 || !strings.Contains(s.Warnings[0], "more than 1000 names") {
			t.Errorf("%d counters, one is %d, warnings %q", len(s.Counters), s.Counters["item 00550"], s.Warnings)
		}
		if n := len(slices.DeleteFunc(l.lines(jobA), func(x wire.LogLine) bool { return !strings.HasPrefix(x.Text, "warning: ") })); n != 1 {
			t.Errorf("the log warns %d times", n)
		}
		out, err := output.Open(t.Context(), l.st, "mem://b/out")
		if err != nil || !maps.Equal(out.Manifest.Counters, s.Counters) {
			t.Errorf("the manifest has %d counters, %v", len(out.Manifest.Counters), err)
		}
		l.end()
	})
}

// Reports of the names that are known, in the way that needs no search, and reports of as many others add up to the same.
func TestCountersOfSameNames(t *testing.T) {
	c := new(counters)
	reports := []map[string]int64{{"b": 1, "a": 2, "c": 3}, {"a": 10, "b": 20, "c": 30}, {"a": 100, "b": 200, "d": 400}, {"a": 1000, "b": 0, "c": 0, "d": 0}}
	want := [][]counted{
		{{"a", 2}, {"b", 1}, {"c", 3}}, {{"a", 10}, {"b", 20}, {"c", 30}}, {{"a", 100}, {"b", 200}, {"d", 400}}, {{"a", 1000}, {"b", 0}, {"c", 0}, {"d", 0}},
	}
	for i, r := range reports {
		if got := c.add(r, false); !slices.Equal(got, want[i]) {
			t.Errorf("report %d: %v, want %v", i, got, want[i])
		}
	}
	if got := c.totals(); !maps.Equal(got, map[string]int64{"a": 1112, "b": 221, "c": 33, "d": 400}) {
		t.Errorf("in all %v", got)
	}
	c.takeBack(want[1])
	if got := c.totals(); !maps.Equal(got, map[string]int64{"a": 1102, "b": 201, "c": 3, "d": 400}) {
		t.Errorf("without the second %v", got)
	}
}

// A report with more counters than a job has is no success.
func TestTooManyCounters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newWorld(t).lead(true)
		l.mustSubmit(jobA, spec())
		h := l.hire("w", 1)
		o := h.do(wire.Map)
		for i := range jobs.MaxCounters {
			o.Counters[fmt.Sprint(i)] = 1
		}
		h.work(wire.Map, 3)
		h.work(wire.Reduce, 2)
		if s := l.status(jobA, wire.Done); s.Retries != 1 || len(s.Counters) != 1 || s.Counters["n"] != 5 {
			t.Errorf("%d retries, %d counters", s.Retries, len(s.Counters))
		}
		l.end()
	})
}
