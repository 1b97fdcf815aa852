package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/millrace/millrace/cmd/internal/bench"
	"github.com/millrace/millrace/storage/storagetest/python"
	"github.com/millrace/millrace/storage/storagetest/servers"
)

// TestBench proves that the standard jobs are measured, as a table and as JSON, on generated and on given data, and that
// nothing of it stays.
func TestBench(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	table := cli(t, dir, 0, "bench", "--size", "200kB", "--repeats", "1")
	for _, want := range append(bench.Names(), "MB/CPU S", "limits of this machine", "memory copy") {
		if !strings.Contains(table.out, want) {
			t.Errorf("%q is not in\n%s", want, table.out)
		}
	}
	if !strings.Contains(table.errout, "sort: run 1 of 1") {
		t.Errorf("stderr: %s", table.errout)
	}
	write(t, filepath.Join(dir, "books.txt"), "the owl and the cat\n")
	got := cli(t, dir, 0, "bench", "wordcount", "small", "--input", "text=books.txt", "--repeats", "2", "--store", "work", "--memory", "64MiB", "--json", "-q")
	var report bench.Report
	if err := json.Unmarshal([]byte(got.out), &report); err != nil || len(report.Results) != 2 || got.errout != "" {
		t.Fatalf("%v\n%s\n%s", err, got.out, got.errout)
	}
	if r := report.Results[0]; r.Bytes != 20 || r.Runs != 2 || r.Shares.Map <= 0 || r.PeakRSS < 1<<20 || !strings.HasSuffix(r.Input, "/books.txt") {
		t.Errorf("got %+v", r)
	}
	if left := append(names(t, filepath.Join(dir, "work")), names(t, dir)...); len(left) > 2 {
		t.Errorf("left are %q", left)
	}
}

// TestBenchBucket proves the same for data and outputs in a bucket.
func TestBenchBucket(t *testing.T) {
	t.Parallel()
	s := servers.MinIO(t)
	bucket := s.NewBucket(t)
	got := call{args: []string{"bench", "sort", "--size", "1MB", "--repeats", "1", "--store", "s3://" + bucket + "/here"}, env: s.Env()}.run(t)
	if got.code != 0 || !strings.Contains(got.out, "sort") {
		t.Fatalf("exit code %d\n%s\n%s", got.code, got.out, got.errout)
	}
	if left := (call{args: []string{"plan", "wordcount", "s3://" + bucket + "/here/"}, env: s.Env()}).run(t); left.code == 0 {
		t.Errorf("something is left:\n%s", left.out)
	}
}

// TestBenchPeers proves that the measurement beside other programs runs, and that each program's result equals millrace's:
// of the programs those are run that the tests of files need as well, or that every machine has.
func TestBenchPeers(t *testing.T) {
	t.Parallel()
	interpreter := python.Interpreter(t, filepath.Join("..", "..", "storage", "arrowfile", "testdata", "requirements.txt"))
	dir := t.TempDir()
	report := filepath.Join(dir, "report.md")
	write(t, report, "# Before\n<!-- measured: written by make bench-peers -->\nold\n<!-- end of measured -->\nafter\n")
	cmd := exec.Command(interpreter, filepath.Join("..", "..", "testdata", "bench", "peers.py"))
	jobs := "wordcount stats sort sort-256m grep-literal grep-regex distinct small cluster-2x1"
	if !testing.Short() { // it builds a server
		jobs += " s3-stats"
	}
	cmd.Env = append(cleanEnv(), "JOB="+jobs,
		"ONLY=byhand duckdb polars awk coreutils grep fetch-byhand cluster", "SIZE=1000000", "REPEATS=1", "DIR="+dir, "REPORT="+report)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	b, err := os.ReadFile(report)
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	rows := 0
	for line := range strings.Lines(text) {
		cells := strings.Split(line, "|")
		if len(cells) != 10 || !strings.Contains(line, " × |") { // a row of a program beside millrace
			continue
		}
		rows++
		if !strings.Contains(cells[8], "equal") {
			t.Errorf("%s", line)
		}
	}
	if rows < 25 || !strings.HasPrefix(text, "# Before\n") || !strings.HasSuffix(text, "after\n") || strings.Contains(text, "old") {
		t.Errorf("%d rows in\n%s", rows, text)
	}
}
