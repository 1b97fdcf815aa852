package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/millrace/millrace/storage/storagetest/servers"
	"github.com/millrace/millrace/storage/verify"
)

// TestVerify proves that a job's own output is found whole, that each damage to it is printed and ends with 1, for people and
// for programs, and that little is printed of much.
func TestVerify(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir+"/in.txt", "the owl and the cat\nwent to sea\n")
	cli(t, dir, 0, "run", "wordcount", "in.txt", "-o", "out", "--reducers", "4", "-q")
	whole := cli(t, dir, 0, "verify", "out")
	if !strings.HasPrefix(whole.out, dir+"/out is whole: 7 rows of ") || !strings.Contains(whole.out, " in 4 parts, written by job wordcount ") || whole.errout != "" {
		t.Errorf("stdout: %s\nstderr: %s", whole.out, whole.errout)
	}
	if quiet := cli(t, dir, 0, "verify", "out", "-q"); quiet.out+quiet.errout != "" {
		t.Errorf("quiet: %s%s", quiet.out, quiet.errout)
	}

	part := func(n int) string { return filepath.Join(dir, "out", fmt.Sprintf("part-%05d.arrow", n)) }
	must(t, os.Remove(part(0)))
	must(t, os.Truncate(part(2), 50))
	write(t, part(7), "extra")
	bad := cli(t, dir, 1, "verify", "out")
	for _, want := range []string{"part-00000.arrow  missing   it is not there\n", "part-00002.arrow  size      it has 50 bytes", "part-00007.arrow  extra     a file of 5 bytes"} {
		if !strings.Contains(bad.out, want) {
			t.Errorf("%q is not in\n%s", want, bad.out)
		}
	}
	if want := "Error: verify " + dir + "/out: 3 problems; 2 of 4 parts are good: do not use it"; !strings.HasPrefix(bad.errout, want) {
		t.Errorf("stderr: %s", bad.errout)
	}
	few := cli(t, dir, 1, "verify", "out", "--limit", "1")
	if strings.Count(few.out, "\n") != 2 || !strings.HasSuffix(few.out, "… and 2 more problems\n") {
		t.Errorf("with a limit:\n%s", few.out)
	}
	var r verify.Report
	if err := json.Unmarshal([]byte(cli(t, dir, 1, "verify", "out", "--json").out), &r); err != nil || r.OK || r.Count != 3 || len(r.Problems) != 3 || r.Good != 2 || r.Parts != 4 {
		t.Errorf("JSON: %+v, %v", r, err)
	}

	none := cli(t, dir, 1, "verify", ".")
	if !strings.HasPrefix(none.out, "_SUCCESS  missing ") || !strings.Contains(none.errout, "no output that can be checked") {
		t.Errorf("no output: %s%s", none.out, none.errout)
	}
}

// TestVerifyExtra proves that an output with nothing but a file too many gets the advice for that.
func TestVerifyExtra(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir+"/in.txt", "a\n")
	cli(t, dir, 0, "run", "wordcount", "in.txt", "-o", "out", "-q")
	write(t, dir+"/out/copy.arrow", "x")
	if r := cli(t, dir, 1, "verify", "out"); !strings.Contains(r.errout, "1 problem; 1 of 1 part is good: remove what no job named") {
		t.Errorf("stderr: %s", r.errout)
	}
}

// TestVerifyBucket proves the same over real S3 servers, also of parts of several megabytes, which are read in a stream.
func TestVerifyBucket(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(testing.TB) *servers.Server{"minio": servers.MinIO, "versitygw": servers.VersityGW} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t)
			bucket := "s3://" + s.NewBucket(t)
			run := func(code int, args ...string) result {
				t.Helper()
				r := call{args: args, env: s.Env()}.run(t)
				if r.code != code {
					t.Fatalf("millrace %v: exit code %d, want %d\n%s\n%s", args, r.code, code, r.out, r.errout)
				}
				return r
			}
			run(0, "gen", "text", "--size", "12MB", "-o", bucket+"/in.txt")
			run(0, "run", "sort", bucket+"/in.txt", "-o", bucket+"/out", "--reducers", "2", "-q")
			if r := run(0, "verify", bucket+"/out"); !strings.Contains(r.out, bucket+"/out is whole: ") || !strings.Contains(r.out, "in 2 parts") {
				t.Errorf("stdout: %s", r.out)
			}
			run(0, "gen", "text", "--size", "1kB", "-o", bucket+"/out/part-00001.arrow")
			if r := run(1, "verify", bucket+"/out"); !strings.HasPrefix(r.out, "part-00001.arrow  size ") {
				t.Errorf("stdout: %s", r.out)
			}
		})
	}
}
