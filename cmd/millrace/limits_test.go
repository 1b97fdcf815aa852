package main

import (
	"strings"
	"testing"
)

// TestMasterFull proves that a master refuses, at once and also one who waits, what is beyond its limits, with exit code 1 and a
// line that says what there is, what helps and which flag raises the limit; and takes it when there is room again.
func TestMasterFull(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir+"/in.txt", "a\n")
	addr, _ := startMaster(t, "--max-jobs-per-user", "1", "--max-tasks", "6")
	client := func(code int, args ...string) result { return cli(t, dir, code, append(args, "--master", addr)...) }
	id := strings.Repeat("a", 32)
	client(0, "submit", "wordcount", "in.txt", "-o", "one", "--detach", "--id", id)
	client(0, "submit", "wordcount", "in.txt", "-o", "one", "--detach", "--id", id) // the same job
	for _, row := range []struct {
		args []string
		want string
	}{
		{nil, "has 1 open jobs, and the master takes 1 of one user: wait until one ends, or cancel one (millrace list shows them); millrace master --max-jobs-per-user raises the limit"},
		{[]string{"--detach"}, "--max-jobs-per-user"},
	} {
		args := append([]string{"submit", "wordcount", "in.txt", "-o", "two"}, row.args...)
		if r := client(1, args...); r.out != "" || !strings.Contains(r.errout, row.want) || strings.Count(r.errout, "\n") != 1 {
			t.Errorf("%v: %+v", args, r)
		}
	}
	client(0, "cancel", id)
	if r := client(1, "submit", "wordcount", "in.txt", "-o", "two", "--reducers", "6"); !strings.Contains(r.errout, "the job has 7 tasks, and the master takes 6") {
		t.Errorf("a job of 7 tasks: %+v", r)
	}
	client(0, "submit", "wordcount", "in.txt", "-o", "two", "--detach")
	if r := cli(t, dir, 2, "master", "--max-jobs", "0"); !strings.Contains(r.errout, "max-jobs") {
		t.Errorf("a master that takes nothing: %+v", r)
	}
}
