package main

import (
	"fmt"
	"io"
	"runtime"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/jedib0t/go-pretty/v6/table"
)

// Targets, of the largest job and of the idle workers.
const (
	targetCPU    = 50 * time.Microsecond // of the master, for a task
	targetHeap   = 500                   // bytes for a task
	targetRate   = 20_000                // assignments a second
	targetBytes  = 50 << 20              // of etcd, for a million tasks
	targetWrites = 10                    // of etcd, a second
	targetLoad   = 5 * time.Second
	targetCores  = 1
	targetIdle   = 1 << 30 // bytes
)

// linearWithin is how much more a task of the largest job may cost than one of a job a tenth of its size: twice would be a
// square's first sign at a tenth of its slope.
const linearWithin = 1.3

// report is all that was measured.
type report struct {
	o    options
	jobs []figures
	idle idleFigures
}

// perTask are a job's costs for each of its tasks.
func (f figures) perTask() (cpu time.Duration, heap float64, etcd float64) {
	return time.Duration(float64(f.CPU) / f.tasks()), float64(f.Heap) / f.tasks(), float64(f.Bytes) / f.tasks()
}

// missed names the targets that are not met.
func (r *report) missed() (list []string) {
	check := func(met bool, name string) {
		if !met {
			list = append(list, name)
		}
	}
	if len(r.jobs) > 0 {
		f := r.jobs[len(r.jobs)-1]
		cpu, heap, etcd := f.perTask()
		check(cpu <= targetCPU, "CPU for a task")
		check(heap <= targetHeap, "memory for a task")
		check(f.perSecond(f.Tasks) >= targetRate, "assignments a second")
		check(etcd*1e6 <= targetBytes, "bytes of etcd")
		check(f.perSecond(f.Writes) <= targetWrites, "writes of etcd")
		check(f.Load <= targetLoad, "loading the state")
		check(r.linear(), "linear")
	}
	if r.idle.Workers > 0 {
		check(r.idle.CPU <= targetCores, "cores for idle workers")
		check(r.idle.RSS <= targetIdle, "memory for idle workers")
	}
	return list
}

// linear says whether a task of the largest job costs about what one of the job before it costs.
func (r *report) linear() bool {
	if len(r.jobs) < 2 {
		return true
	}
	small, smallHeap, _ := r.jobs[len(r.jobs)-2].perTask()
	large, largeHeap, _ := r.jobs[len(r.jobs)-1].perTask()
	return float64(large) <= linearWithin*float64(small) && largeHeap <= linearWithin*smallHeap
}

// print writes the table.
func (r *report) print(out io.Writer) error {
	if len(r.jobs) > 0 {
		fmt.Fprintf(out, "%d workers of %d slots, %d reducers; an etcd inside the master\n", r.o.Workers, r.o.Slots, r.o.Reducers)
		t := table.NewWriter()
		t.SetStyle(table.StyleLight)
		head := table.Row{"map tasks"}
		for _, f := range r.jobs {
			head = append(head, humanize.Comma(int64(f.Tasks)))
		}
		t.AppendHeader(append(head, "target"))
		for _, line := range lines {
			row := table.Row{line.name}
			for _, f := range r.jobs {
				row = append(row, line.of(f))
			}
			t.AppendRow(append(row, line.target))
		}
		fmt.Fprintln(out, t.Render())
		if len(r.jobs) > 1 {
			fmt.Fprintf(out, "linear: %v (CPU and memory for a task of the largest job, against the one before it)\n", yesNo(r.linear()))
		}
	}
	if r.idle.Workers > 0 {
		fmt.Fprintf(out, "%s idle workers: %.2f cores of the master (target: under %d), %.0f polls a second, %s resident (target: under %s)\n",
			humanize.Comma(int64(r.idle.Workers)), r.idle.CPU, targetCores, r.idle.Polls, size(r.idle.RSS), size(targetIdle))
	}
	verdict := "every target is met"
	if missed := r.missed(); len(missed) > 0 {
		verdict = fmt.Sprintf("missed: %q", missed)
	}
	_, err := fmt.Fprintln(out, verdict)
	return err
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func size(n int64) string { return humanize.IBytes(uint64(max(0, n))) }

func brief(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return fmt.Sprintf("%.1f µs", float64(d.Nanoseconds())/1e3)
	case d < time.Second:
		return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1e3)
	}
	return fmt.Sprintf("%.2f s", d.Seconds())
}

// lines are the rows of the table.
var lines = []struct {
	name   string
	of     func(figures) string
	target string
}{
	{"submit: list, plan, claim", func(f figures) string { return brief(f.Planned) }, ""},
	{"maps, wall time", func(f figures) string { return brief(f.Mapped) }, ""},
	{"master's CPU for a task", func(f figures) string { cpu, _, _ := f.perTask(); return brief(cpu) }, "50 µs"},
	{"... with its share of reduces, run logs and commit", func(f figures) string {
		return brief(time.Duration(float64(f.CPU+f.Reduced) / f.tasks()))
	}, ""},
	{"simulated workers' CPU for a task", func(f figures) string { return brief(time.Duration(float64(f.Workers) / f.tasks())) }, ""},
	{"processors that both had, full load", func(f figures) string {
		return fmt.Sprintf("%.2f of %d", (f.CPU+f.Workers).Seconds()/f.Mapped.Seconds(), runtime.NumCPU())
	}, ""},
	{"master's memory for a task", func(f figures) string { _, heap, _ := f.perTask(); return fmt.Sprintf("%.0f B", heap) }, "500 B"},
	{"master's peak, resident", func(f figures) string { return size(f.Peak) }, ""},
	{"assignments a second, full load", func(f figures) string { return humanize.Comma(int64(f.perSecond(f.Tasks))) }, "20,000"},
	{"waiting for a task, full load, p50", func(f figures) string { return brief(f.Full.P50) }, ""},
	{"... p99", func(f figures) string { return brief(f.Full.P99) }, ""},
	{"waiting for a task, paced, p50", func(f figures) string { return brief(f.Paced.P50) }, ""},
	{"... p99", func(f figures) string { return brief(f.Paced.P99) }, ""},
	{"etcd's database, a task", func(f figures) string { _, _, etcd := f.perTask(); return fmt.Sprintf("%.1f B", etcd) }, "52 B"},
	{"... in all", func(f figures) string { return size(f.Bytes) }, "50 MiB"},
	{"... its file", func(f figures) string { return size(f.File) }, ""},
	{"... and the write-ahead log", func(f figures) string { return size(f.Log) }, ""},
	{"etcd's writes a second", func(f figures) string { return fmt.Sprintf("%.1f", f.perSecond(f.Writes)) }, "10"},
	{"next master answers after", func(f figures) string { return brief(f.Load) }, "5 s"},
	{"... of that the start of etcd", func(f figures) string { return brief(f.Opened) }, ""},
	{"... its CPU until then", func(f figures) string { return brief(f.LoadCPU) }, ""},
	{"run log events read", func(f figures) string { return humanize.Comma(f.RunReads) }, ""},
}
