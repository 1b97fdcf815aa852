package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/millrace/millrace/master/wire"
)

// TestReplayTask proves that a task of a cluster's job runs again here with the same result, while the job runs, after its end, and
// from its output when no master is there any more; that a task which failed fails again, in the same words; and that an
// input that has changed is named.
func TestReplayTask(t *testing.T) {
	t.Parallel()
	c := startCluster(t, "--workers", "2", "--slots", "1")
	cli(t, c.dir, 0, "gen", "text", "--size", "4MB", "-o", "in.txt")
	id := strings.Repeat("0f", 16)
	c.cli(t, 0, "submit", "wordcount", "in.txt", "--reducers", "3", "--split-size", "200kB", "-o", "out", "--detach", "--id", id)
	reach(t, c.client(t), wire.JobID(id), func(s *wire.JobStatus) bool { return s.Map.Done > 5 })
	if got := c.cli(t, 0, "replay", id[:8], "map-00000", "-o", "early").out; !strings.Contains(got, "replayed map-00000 of wordcount 0f0f0f0f") {
		t.Errorf("replay while the job may run:\n%s", got)
	}
	c.cli(t, 0, "wait", id, "-q")
	if got := c.cli(t, 0, "replay", id, "map-00003", "-o", "again").out; !strings.Contains(got, ", as that of the run that the master selected") {
		t.Errorf("replay of a map:\n%s", got)
	}
	if _, err := os.Stat(c.dir + "/again/map-00003.0.run"); err != nil {
		t.Error(err)
	}
	if got := c.cli(t, 0, "replay", id, "reduce-1", "-o", "from-master").out; !strings.Contains(got, ", as that of the part in the manifest") {
		t.Errorf("replay of an ended job's reduce:\n%s", got)
	}

	got := cli(t, c.dir, 0, "replay", "out", "reduce-1", "-o", "from-output").out
	if !strings.Contains(got, "maps       20 run again") || !strings.Contains(got, ", as that of the part in the manifest") {
		t.Errorf("replay of a reduce:\n%s", got)
	}
	want, err := os.ReadFile(c.dir + "/out/part-00001.arrow")
	must(t, err)
	for _, folder := range []string{"from-master", "from-output"} {
		if part, err := os.ReadFile(filepath.Join(c.dir, folder, "part-00001.arrow")); err != nil || !bytes.Equal(part, want) {
			t.Errorf("the part in %s has %d bytes, want the %d of the job: %v", folder, len(part), len(want), err)
		}
	}

	write(t, c.dir+"/bad.txt", "a;1\nb;2\nc;none\n")
	failed := strings.Repeat("1f", 16)
	first := c.cli(t, 1, "submit", "stats", "bad.txt", "-o", "failed", "--id", failed, "-q")
	again := c.cli(t, 1, "replay", failed, "map-0")
	for _, text := range []string{"bad.txt at byte 8", "none"} {
		if !strings.Contains(first.errout, text) || !strings.Contains(again.errout, text) {
			t.Errorf("%q is not in both errors:\n%s\n%s", text, first.errout, again.errout)
		}
	}

	write(t, c.dir+"/in.txt", "other words\n")
	for _, args := range [][]string{{"replay", "out", "map-1"}, {"replay", id, "map-1", "--master", c.addr}, {"replay", "out", "reduce-0"}} {
		if r := cli(t, c.dir, 1, args...); !strings.Contains(r.errout, "in.txt") || !strings.Contains(r.errout, "no longer what the job read") {
			t.Errorf("%v after the input changed: %+v", args, r)
		}
	}
}

// TestReplayWords proves what replay says to what it cannot run, and that a program of a user's own has it, too.
func TestReplayWords(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir+"/in.txt", "one\ntwo\ntwo\n")
	cli(t, dir, 0, "run", "wordcount", "in.txt", "-o", "out", "-q", "--reducers", "1")
	for _, test := range []struct {
		code int
		want string
		args []string
	}{
		{2, "no task", []string{"out"}},
		{2, "what is \"more\"", []string{"out", "map-0", "more"}},
		{1, "has 1 map tasks, numbered from 0", []string{"out", "map-1"}},
		{1, "write map-00003", []string{"out", "first"}},
		{1, "no committed output there", []string{"in", "map-0"}},
		{2, "--slots", []string{"out", "map-0", "--slots", "0"}},
		{2, "no master", []string{"0123abcd", "map-0"}},
	} {
		if r := cli(t, dir, test.code, append([]string{"replay"}, test.args...)...); !strings.Contains(r.errout, test.want) {
			t.Errorf("replay %v: %+v, want %q", test.args, r, test.want)
		}
	}
	(&call{args: []string{"run", "fail", "in.txt", "-o", "own", "-q"}, dir: dir, bin: binaries.badjobs}).run(t)
	r := (&call{args: []string{"replay", "own", "reduce-0", "-o", "again"}, dir: dir, bin: binaries.badjobs}).run(t)
	if r.code != 0 || !strings.Contains(r.out, "as that of the part in the manifest") {
		t.Errorf("replay by a program of a user's own: %+v", r)
	}
}
