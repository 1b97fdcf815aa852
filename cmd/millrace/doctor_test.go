package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/storage/doctor"
	"github.com/millrace/millrace/storage/storagetest/servers"
)

// shortDoctor are flags for an examination of a few seconds.
var shortDoctor = []string{"--writers", "16", "--rounds", "2", "--objects", "60", "--bytes", "8MiB", "--time", "1m"}

// TestDoctor proves that a local folder is found suitable, in words and as JSON, and left as it was: a folder that was not
// there is gone again.
func TestDoctor(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir+"/there/mine.txt", "precious\n")
	r := cli(t, dir, 0, append([]string{"doctor", "new/deep"}, shortDoctor...)...)
	for _, want := range []string{dir + "/new/deep/\n", "  ok       conditional write, raced         of 16 writers at a time one won", "\nSuitable: ", "; all that was made is removed.\n"} {
		if !strings.Contains(r.out, want) {
			t.Errorf("%q is not in\n%s", want, r.out)
		}
	}
	if r.errout != "" || strings.Contains(r.out, "FAILED") {
		t.Errorf("stdout: %s\nstderr: %s", r.out, r.errout)
	}
	var report doctor.Report
	j := cli(t, dir, 0, append([]string{"doctor", "there", "--json"}, shortDoctor...)...)
	if err := json.Unmarshal([]byte(j.out), &report); err != nil || !report.Suitable || report.Speed == nil || len(report.Results) < 15 || report.Left == nil {
		t.Errorf("JSON: %v\n%s", err, j.out)
	}
	if q := cli(t, dir, 0, append([]string{"doctor", "there", "-q"}, shortDoctor...)...); q.out != report.Verdict+"\n" || q.errout != "" {
		t.Errorf("quiet: %q, %q", q.out, q.errout)
	}
	if got := append(names(t, dir), names(t, dir+"/there")...); len(got) != 2 || got[0] != "there" || got[1] != "mine.txt" {
		t.Errorf("left are %q", got)
	}
}

// TestDoctorServers proves that real servers are found suitable and left empty, and that a bucket that is not there is named.
func TestDoctorServers(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(testing.TB) *servers.Server{"minio": servers.MinIO, "versitygw": servers.VersityGW} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t)
			bucket := s.NewBucket(t)
			r := call{args: append([]string{"doctor", "s3://" + bucket + "/here", "--json"}, shortDoctor...), env: s.Env()}.run(t)
			var report doctor.Report
			if err := json.Unmarshal([]byte(r.out), &report); err != nil || r.code != 0 || !report.Suitable || len(report.Left) > 0 {
				t.Fatalf("exit code %d, %v\n%s\n%s", r.code, err, r.out, r.errout)
			}
			if left := (call{args: []string{"plan", "wordcount", "s3://" + bucket + "/**"}, env: s.Env()}).run(t); left.code == 0 {
				t.Errorf("something is left:\n%s", left.out)
			}
			r = call{args: []string{"doctor", "s3://" + bucket + "-not"}, env: s.Env()}.run(t)
			if r.code != 1 || !strings.Contains(r.out, "FAILED   access ") || !strings.Contains(r.out, "no such bucket") || !strings.Contains(r.errout, "not suitable") {
				t.Errorf("no bucket: exit code %d\n%s\n%s", r.code, r.out, r.errout)
			}
		})
	}
}

// TestDoctorInterrupted proves that Ctrl-C ends an examination with 130, and that it removes what it made.
func TestDoctorInterrupted(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var out, errout bytes.Buffer
	cmd, _ := call{dir: dir, args: []string{"doctor", "out", "--rounds", "10000000", "--time", "1h"}}.command(t)
	cmd.Stdout, cmd.Stderr = &out, &errout
	must(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill() }) // it has ended, unless the test failed
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for begun := time.Now(); ; <-tick.C {
		if found, _ := filepath.Glob(dir + "/out/" + doctor.Prefix + "*/conditional/race-1"); len(found) > 0 {
			break
		}
		if time.Since(begun) > deadline {
			t.Fatal("it does not begin")
		}
	}
	must(t, cmd.Process.Signal(os.Interrupt))
	if code := exitCode(t, cmd.Wait()); code != 130 {
		t.Errorf("exit code %d, want 130: %s", code, errout.String())
	}
	if !strings.Contains(out.String(), "unknown  conditional write, raced         interrupted") || !strings.Contains(out.String(), "\nNot known: ") {
		t.Errorf("stdout: %s", out.String())
	}
	if got := names(t, dir); len(got) > 0 {
		t.Errorf("left are %q", got)
	}
}

// TestRemoveEmpty proves that folders without files go and those with files stay, whatever is in them.
func TestRemoveEmpty(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	must(t, os.MkdirAll(dir+"/a/b/c", 0o755))
	must(t, os.MkdirAll(dir+"/a/d/e", 0o755))
	write(t, dir+"/a/d/file", "x")
	must(t, removeEmpty(dir+"/a"))
	must(t, removeEmpty(dir+"/none"))
	if got := names(t, dir+"/a"); len(got) != 1 || got[0] != "d" {
		t.Errorf("left are %q", got)
	}
	if got := names(t, dir+"/a/d"); len(got) != 1 || got[0] != "file" {
		t.Errorf("left are %q", got)
	}
}
