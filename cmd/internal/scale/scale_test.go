package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/jobs/plan"
	"github.com/millrace/millrace/master"
	"github.com/millrace/millrace/master/journal"
)

// TestMain makes this binary the children that the measurement starts.
func TestMain(m *testing.M) {
	if os.Getenv(childMark) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// The measurement itself in small: a job on real processes goes through its maps, a change of masters, its reduces and its
// commit; what was counted is right; idle workers are measured; and all of it is printed. Whether targets are met is no matter
// here.
func TestMeasure(t *testing.T) {
	t.Parallel()
	o := options{
		Tasks: []int{200, 400}, Reducers: 7, Workers: 10, Slots: 3, Splits: 30, Rate: 500, Paced: 300 * time.Millisecond,
		Idle: 20, IdleFor: 1200 * time.Millisecond, Readers: -1,
	}
	r, err := measure(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	for i, f := range r.jobs {
		if f.Tasks != o.Tasks[i] || f.RunReads != int64(f.Tasks*o.Reducers) {
			t.Errorf("job %d: %d tasks, %d events of run logs read; want %d and %d", i, f.Tasks, f.RunReads, o.Tasks[i], o.Tasks[i]*o.Reducers)
		}
		if n := f.Full.Tasks; n < f.Tasks || n > f.Tasks+o.Reducers { // reduce tasks are given at the end, and held
			t.Errorf("job %d: %d assignments of %d maps and %d reduces", i, n, f.Tasks, o.Reducers)
		}
		if f.CPU <= 0 || f.Mapped <= 0 || f.Writes <= 0 || f.Bytes <= 0 || f.Peak <= 0 || f.Load <= 0 || f.Paced.P50 <= 0 || f.Paced.P99 < f.Paced.P50 {
			t.Errorf("job %d: nothing was measured: %+v", i, f)
		}
	}
	if r.idle.Workers != 20 || r.idle.CPU <= 0 || r.idle.Polls <= 0 || r.idle.RSS <= 0 {
		t.Errorf("idle workers: %+v", r.idle)
	}
	var out bytes.Buffer
	if err := r.print(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"200", "400", "master's CPU for a task", "next master answers after", "20 idle workers", "linear: "} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the report lacks %q:\n%s", want, &out)
		}
	}
	if left, err := filepath.Glob(filepath.Join(os.TempDir(), "millrace-scale-*")); err != nil || slices.Contains(left, r.o.Dir) {
		t.Errorf("%s stays: %v", r.o.Dir, err)
	}
}

// A report names each target that is missed, and no other.
func TestMissed(t *testing.T) {
	t.Parallel()
	good := figures{
		Tasks: 1_000_000, CPU: 40 * time.Second, Heap: 400e6, Mapped: 40 * time.Second, Writes: 390, Bytes: 50 << 20, Load: 4 * time.Second,
	}
	half := figures{Tasks: 500_000, CPU: 20 * time.Second, Heap: 200e6}
	idle := idleFigures{Workers: 10_000, CPU: 0.9, RSS: 1 << 29}
	for want, change := range map[string]func(f *figures, i *idleFigures){
		"":                        func(*figures, *idleFigures) {},
		"CPU for a task":          func(f *figures, _ *idleFigures) { f.CPU = 51 * time.Second },
		"memory for a task":       func(f *figures, _ *idleFigures) { f.Heap = 501e6 },
		"assignments a second":    func(f *figures, _ *idleFigures) { f.Mapped = 51 * time.Second },
		"bytes of the journal":    func(f *figures, _ *idleFigures) { f.Bytes = 53 << 20 },
		"writes of the journal":   func(f *figures, _ *idleFigures) { f.Writes = 500 },
		"loading the state":       func(f *figures, _ *idleFigures) { f.Load = 6 * time.Second },
		"cores for idle workers":  func(_ *figures, i *idleFigures) { i.CPU = 1.1 },
		"memory for idle workers": func(_ *figures, i *idleFigures) { i.RSS = 2 << 30 },
	} {
		f, i := good, idle
		change(&f, &i)
		r := report{jobs: []figures{half, f}, idle: i}
		if got := strings.Join(r.missed(), ", "); got != want {
			t.Errorf("missed %q, want %q", got, want)
		}
	}
	steep := report{jobs: []figures{{Tasks: 500_000, CPU: 10 * time.Second, Heap: 200e6}, good}}
	if got := steep.missed(); !slices.Equal(got, []string{"linear"}) {
		t.Errorf("twice the cost for a task: missed %q", got)
	}
}

// The pretended input lists as many objects as make the job's tasks, also when the last one is short, and can be looked at.
func TestPretended(t *testing.T) {
	t.Parallel()
	for _, tasks := range []int{1, 30, 31, 4000, 35_001} {
		spec := plan.Spec{
			Job: "scale", Info: info(), Inputs: []string{fmt.Sprintf("pretend://%d/in/", tasks)}, Output: t.TempDir(), SplitSize: splitBytes, Reducers: 2,
		}
		p, err := master.Plan(t.Context(), newStore(30), spec)
		if err != nil {
			t.Fatal(err)
		}
		if p.Maps != tasks || len(p.Objects) != (tasks+29)/30 {
			t.Errorf("%d tasks: planned %d of %d objects", tasks, p.Maps, len(p.Objects))
		}
		if !slices.IsSortedFunc(p.Objects, func(a, b plan.Object) int { return strings.Compare(a.URL, b.URL) }) {
			t.Errorf("%d tasks: the objects are not in order", tasks)
		}
	}
}

// A journal in a file survives its process: entries, claims, replaced logs and the term; a write of an old term, or one out of
// order, changes nothing, and a torn entry at the end is none.
func TestLogFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "journal")
	ctx := t.Context()
	l, err := openLogFile(path)
	if err != nil {
		t.Fatal(err)
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	entry := func(job journal.JobID, seq uint64, records ...string) journal.Entry {
		e := journal.Entry{Job: job, Seq: seq}
		for _, r := range records {
			e.Records = append(e.Records, []byte(r))
		}
		return e
	}
	term, err := l.Campaign(ctx, journal.Candidate{Address: "here"})
	must(err)
	must(l.Append(ctx, term.N, []journal.Entry{entry("a", 0, "a0", "a1"), entry("b", 0, "b0")}))
	must(l.Append(ctx, term.N, []journal.Entry{entry("a", 1, "a2"), entry("b", 1, "b1")}))
	must(l.Replace(ctx, term.N, "b", [][]byte{[]byte("B")}))
	must(l.Append(ctx, term.N, []journal.Entry{entry("b", 1, "b2"), entry("c", 0, "c0")}))
	must(l.Replace(ctx, term.N, "c", nil))
	if _, err := l.Claim(ctx, term.N, "out", "a"); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Claim(ctx, term.N, "gone", "a"); err != nil {
		t.Fatal(err)
	}
	must(l.Release(ctx, term.N, "gone", "a"))
	if err := l.Append(ctx, term.N-1, []journal.Entry{entry("a", 2, "old")}); !errors.Is(err, journal.ErrFenced) {
		t.Errorf("a write of an old term: %v", err)
	}
	if err := l.Append(ctx, term.N, []journal.Entry{entry("a", 5, "late")}); err == nil {
		t.Error("an entry out of order was taken")
	}
	if writes, bytes := l.counts(); writes != 9 || bytes == 0 {
		t.Errorf("%d writes of %d bytes", writes, bytes)
	}
	if _, err := l.f.Write([]byte{100, kindEntry, 1, 2}); err != nil { // torn
		t.Fatal(err)
	}
	must(l.f.Close())

	l, err = openLogFile(path)
	must(err)
	defer l.f.Close()
	var got []string
	must(l.Load(ctx, func(e journal.Entry) bool {
		got = append(got, fmt.Sprintf("%s%d:%s", e.Job, e.Seq, bytes.Join(e.Records, []byte(" "))))
		return true
	}))
	if want := []string{"a0:a0 a1", "a1:a2", "b0:B", "b1:b2"}; !slices.Equal(got, want) {
		t.Errorf("loaded %q, want %q", got, want)
	}
	if next, err := l.Campaign(ctx, journal.Candidate{Address: "there"}); err != nil || next.N != term.N+1 || l.Leader() != "there" {
		t.Errorf("term %d after %d, leader %q: %v", next.N, term.N, l.Leader(), err)
	}
	must(l.Append(ctx, l.term, []journal.Entry{entry("a", 2, "a3")}))
	reopened, err := openLogFile(path)
	must(err)
	defer reopened.f.Close()
	if reopened.next["a"] != 3 {
		t.Errorf("after a torn entry: %d entries of a, want 3", reopened.next["a"])
	}
	for output, want := range map[string]journal.JobID{"out": "a", "gone": "d"} {
		if holder, err := l.Claim(ctx, l.term, output, "d"); err != nil || holder != want {
			t.Errorf("%s is held by %q: %v", output, holder, err)
		}
	}
	stopped, stop := context.WithCancel(ctx)
	stop()
	if err := l.Append(stopped, l.term, []journal.Entry{entry("e", 0, "x")}); !errors.Is(err, context.Canceled) {
		t.Errorf("a write whose context has ended: %v", err)
	}
}

// Quantiles are values of the list, also of a short one.
func TestQuantile(t *testing.T) {
	t.Parallel()
	list := []time.Duration{5, 1, 4, 2, 3}
	for q, want := range map[float64]time.Duration{0: 1, 0.5: 3, 0.99: 4, 1: 5} {
		if got := quantile(list, q); got != want {
			t.Errorf("quantile %v = %d, want %d", q, got, want)
		}
	}
	if got := quantile(nil, 0.5); got != 0 {
		t.Errorf("of nothing: %d", got)
	}
}
