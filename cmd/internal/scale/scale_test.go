package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/jobs/plan"
	"github.com/millrace/millrace/master"
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
		if f.CPU <= 0 || f.Workers <= 0 || f.Mapped <= 0 || f.Writes <= 0 || f.Bytes <= 0 || f.File < f.Bytes || f.Log <= 0 || f.Opened <= 0 || f.Opened > f.Load || f.Peak <= 0 || f.Load <= 0 || f.Paced.P50 <= 0 || f.Paced.P99 < f.Paced.P50 {
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
		"bytes of etcd":           func(f *figures, _ *idleFigures) { f.Bytes = 53 << 20 },
		"writes of etcd":          func(f *figures, _ *idleFigures) { f.Writes = 500 },
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
