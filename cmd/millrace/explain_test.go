package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/millrace/millrace/master/console"
	"github.com/millrace/millrace/master/wire"
)

// TestExplain proves that a cluster's master can tell where a job's time went, while it runs, after its end and of a single
// task; that run --explain tells the same of a run in one process; and what it says to wrong words.
func TestExplain(t *testing.T) {
	t.Parallel()
	c := startCluster(t, "--workers", "2", "--slots", "1")
	cli(t, c.dir, 0, "gen", "text", "--size", "4MB", "-o", "in.txt")
	id := strings.Repeat("0e", 16)
	c.cli(t, 0, "submit", "wordcount", "in.txt", "--reducers", "3", "--split-size", "200kB", "-o", "out", "--detach", "--id", id)
	cl := c.client(t)
	reach(t, cl, wire.JobID(id), func(s *wire.JobStatus) bool { return s.Map.Done > 0 })
	c.cli(t, 0, "explain", id[:8]) // while it may be running
	c.cli(t, 0, "wait", id, "-q")

	text := c.cli(t, 0, "explain", id[:8]).out
	for _, want := range []string{
		"wordcount 0e0e0e0e committed in", "where the time of the tasks went", "\n  map ", "slowest map tasks", "slowest reduce tasks", "skew of the partitions",
		"hot keys, of", "what went otherwise than planned", "none: local files",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in the explanation:\n%s", want, text)
		}
	}
	var x console.Explained
	must(t, json.Unmarshal([]byte(c.cli(t, 0, "explain", id, "--json").out), &x))
	if x.Map.Attempts != 20 || x.Reduce.Attempts != 3 || len(x.Map.Slowest) != wire.MaxSlowest || x.Map.Seconds["map"] <= 0 || x.Reduce.Seconds["reduce"] <= 0 || x.BytesRead < 4_000_000 || x.Missing != 0 {
		t.Errorf("explain --json: %+v", x)
	}
	for _, slow := range x.Map.Slowest {
		sum := 0.0
		for _, s := range slow.Seconds {
			sum += s
		}
		if sum < 0.9*slow.Elapsed || sum > 1.1*slow.Elapsed+0.001 || slow.Worker == "" || len(slow.Why) == 0 {
			t.Errorf("the steps take %f s of the task's %f: %+v", sum, slow.Elapsed, slow)
		}
	}
	task := c.cli(t, 0, "explain", id, "reduce-2").out
	if !strings.Contains(task, "task reduce-00002") || !strings.Contains(task, "rows") {
		t.Errorf("explain of a task:\n%s", task)
	}
	if r := c.cli(t, 1, "explain", id, "map-20"); !strings.Contains(r.errout, "has 20 map tasks") {
		t.Errorf("explain of a task that is none: %+v", r)
	}
	if r := c.cli(t, 1, "explain", "ffff"); !strings.Contains(r.errout, "knows no such job") {
		t.Errorf("explain of a job that is none: %+v", r)
	}
	if r := c.cli(t, 2, "explain"); !strings.Contains(r.errout, "no job id") {
		t.Errorf("explain of nothing: %+v", r)
	}

	run := cli(t, c.dir, 0, "run", "wordcount", "in.txt", "-o", "run", "--explain").out
	if i := strings.Index(run, "more rows\n\nwordcount "); i < 0 || !strings.Contains(run[i:], "where the time of the tasks went") {
		t.Errorf("run --explain:\n%s", run)
	}
	var report console.Report
	must(t, json.Unmarshal([]byte(cli(t, c.dir, 0, "run", "wordcount", "in.txt", "-o", "run2", "--explain", "--json").out), &report))
	if report.Explained == nil || report.Explained.Map.Attempts != report.Tasks.Map {
		t.Errorf("run --explain --json: %+v", report.Explained)
	}

	write(t, c.dir+"/points.csv", "0,0\n1,1\n9,9\n8,9\n0,1\n9,8\n")
	chain := cli(t, c.dir, 0, "run", "kmeans", "points.csv", "-p", "k=2", "-o", "chain", "--explain").out
	if i := strings.Index(chain, "\nkmeans/"); i < 0 || !strings.Contains(chain[i:], "where the time of the tasks went") {
		t.Errorf("run --explain of a chain does not show its longest stage:\n%s", chain)
	}
	c.cli(t, 0, "submit", "kmeans", "points.csv", "-p", "k=2", "-o", "chain2", "--id", strings.Repeat("2e", 16), "-q")
	if got := c.cli(t, 0, "explain", "2e2e2e2e").out; !strings.Contains(got, "millrace explain "+strings.Repeat("2e", 16)+".1") {
		t.Errorf("explain of a chain:\n%s", got)
	}
	if got := c.cli(t, 0, "explain", strings.Repeat("2e", 16)+".1").out; !strings.Contains(got, "2e2e2e2e.1 committed") {
		t.Errorf("explain of a stage:\n%s", got)
	}
}
