package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/millrace/millrace/jobs/builtin"
)

// waiting is a run of the job "wait" of badjobs, stopped inside the map function at its first record.
type waiting struct {
	cmd    *exec.Cmd
	errout *bytes.Buffer
	temp   string
	record net.Conn // the map function goes on when this is closed
	listen net.Listener
}

// startWaiting runs the job wait over in.txt of dir, and returns when its map function has begun.
func startWaiting(t *testing.T, dir string) *waiting {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { l.Close() })
	// So many that a command hears of a signal long before it has gone through those that are left.
	write(t, dir+"/in.txt", strings.Repeat("a line\n", 1000))
	w := &waiting{errout: new(bytes.Buffer), listen: l}
	w.cmd, w.temp = call{
		bin: binaries.badjobs, dir: dir, args: []string{"run", "wait", "in.txt", "-o", "out", "-p", "address=" + l.Addr().String()},
	}.command(t)
	w.cmd.Stderr = w.errout
	must(t, w.cmd.Start())
	t.Cleanup(func() { _ = w.cmd.Process.Kill() }) // it has ended, unless the test failed
	w.record, err = l.Accept()
	must(t, err)
	t.Cleanup(func() { w.record.Close() })
	return w
}

// signal sends the command a signal, and returns when it has arrived.
func (w *waiting) signal(t *testing.T, s os.Signal) {
	t.Helper()
	must(t, w.cmd.Process.Signal(s))
	for pending := true; pending; runtime.Gosched() {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", w.cmd.Process.Pid))
		must(t, err)
		pending = !strings.Contains(string(status), "\nShdPnd:\t0000000000000000\n")
	}
}

// release lets the map function go on with this record and all that follow.
func (w *waiting) release() {
	w.record.Close()
	go func() { // ends with the listener
		for {
			c, err := w.listen.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
}

// TestInterrupt proves that Ctrl-C cancels a run and leaves nothing of it, neither in the output nor in the temporary
// folder, that SIGTERM does the same, and that the exit code is 130.
func TestInterrupt(t *testing.T) {
	t.Parallel()
	for _, s := range []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP} {
		t.Run(s.String(), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			w := startWaiting(t, dir)
			w.signal(t, s)
			w.signal(t, s) // as timeout(1) does: it is the same one
			w.release()
			if code := exitCode(t, w.cmd.Wait()); code != 130 {
				t.Errorf("exit code %d, want 130: %s", code, w.errout)
			}
			if got := names(t, dir+"/out"); len(got) > 0 {
				t.Errorf("left in the output: %v", got)
			}
			if got := names(t, w.temp); len(got) > 0 {
				t.Errorf("left in the temporary folder: %v", got)
			}
			if got := w.errout.String(); !strings.HasPrefix(got, "Error: job cancelled: wait ") || strings.Count(got, "\n") != 1 {
				t.Errorf("stderr: %s", got)
			}
		})
	}
}

// TestInterruptTwice proves that a second Ctrl-C ends a run at once, while its map function still hangs; and that the next
// run over the same output and temporary folder finds nothing in its way and leaves nothing of the first.
func TestInterruptTwice(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	w := startWaiting(t, dir)
	// Signals that arrive together are taken for one: the second is sent until the process is gone.
	ended := make(chan error, 1)
	go func() { ended <- w.cmd.Wait() }()
	var err error
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for gone := false; !gone; {
		_ = w.cmd.Process.Signal(os.Interrupt) // fails only when it has ended
		select {
		case err = <-ended:
			gone = true
		case <-tick.C:
		}
	}
	if code := exitCode(t, err); code != 130 {
		t.Errorf("exit code %d, want 130: %s", code, w.errout)
	}
	write(t, dir+"/words.txt", "one two two\n")
	r := call{args: []string{"run", "wordcount", "words.txt", "-o", "out", "-q"}, dir: dir, env: []string{"TMPDIR=" + w.temp}}.run(t)
	if r != (result{}) {
		t.Errorf("the next run: %+v", r)
	}
	if got := names(t, w.temp); len(got) > 0 {
		t.Errorf("left in the temporary folder: %v", got)
	}
	if got := names(t, dir+"/out"); !slices.Equal(got, []string{"_SUCCESS", "part-00000.arrow"}) {
		t.Errorf("the output holds %v", got)
	}
}

// TestExit proves that a program whose own function ends the process leaves nothing visible, and that a new run takes over, also
// if the process ended just when it began with a part: the file is what it leaves now and then.
func TestExit(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir+"/in.txt", "bad\n")
	r := call{bin: binaries.badjobs, args: []string{"run", "exit", "in.txt", "-o", "out"}, dir: dir}.run(t)
	if r.code != 77 || r.out != "" {
		t.Errorf("got %+v", r)
	}
	write(t, dir+"/out/.part-00000.arrow.19de1bfefb30831f6dfac999496a5177.pending.parts", "")
	cli(t, dir, 0, "run", "wordcount", "in.txt", "-o", "out", "-q")
	if got := names(t, dir+"/out"); !slices.Equal(got, []string{"_SUCCESS", "part-00000.arrow"}) {
		t.Errorf("the output holds %v", got)
	}
}

// TestRun proves what a run prints: the summary and rows on stdout and progress on stderr, one JSON object with --json,
// nothing with -q; and that flags come from the environment, where the command line wins.
func TestRun(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir+"/in/a.txt", "b a\nb\n")
	r := cli(t, dir, 0, "run", "wordcount", "in", "-o", "out")
	for _, want := range []string{"wordcount", "word", "part-00000.arrow", "millrace cat"} {
		if !strings.Contains(r.out, want) {
			t.Errorf("%q is not in the summary:\n%s", want, r.out)
		}
	}
	if !strings.HasPrefix(r.errout, "map done: 1 task") || strings.Contains(r.out+r.errout, "\x1b") {
		t.Errorf("stderr: %q", r.errout)
	}
	if r := cli(t, dir, 0, "run", "wordcount", "in", "-o", "out", "--overwrite", "-q"); r != (result{}) {
		t.Errorf("-q printed %+v", r)
	}
	r = cli(t, dir, 0, "run", "wordcount", "in", "-o", "out", "--overwrite", "--json")
	var report struct {
		State    string
		Rows     int64
		NumParts int `json:"num_parts"`
	}
	if err := json.Unmarshal([]byte(r.out), &report); err != nil || report.State != "committed" || report.Rows != 2 || report.NumParts != 1 {
		t.Errorf("--json: %+v, %v\n%s", report, err, r.out)
	}
	env := []string{"MILLRACE_OUTPUT=elsewhere", "MILLRACE_REDUCERS=3", "MILLRACE_QUIET=true"}
	for _, row := range []struct {
		args  []string
		where string
		parts int
	}{{nil, "elsewhere", 3}, {[]string{"--reducers", "2", "-o", "here"}, "here", 2}} {
		r := call{args: append([]string{"run", "wordcount", "in"}, row.args...), dir: dir, env: env}.run(t)
		if got := len(names(t, dir+"/"+row.where)) - 1; r != (result{}) || got != row.parts {
			t.Errorf("%v: %+v, %d parts, want %d", row.args, r, got, row.parts)
		}
	}
}

// TestCat proves each format of cat, and its limit.
func TestCat(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir+"/in.txt", "b a\nb\n")
	cli(t, dir, 0, "run", "wordcount", "in.txt", "-o", "out", "-q", "--reducers", "1")
	cli(t, dir, 0, "run", "sort", "in.txt", "-o", "sorted", "-q")
	for _, row := range []struct{ args, want string }{
		{"out --format csv", "word,n\na,1\nb,2\n"},
		{"out --format csv --limit 1", "word,n\na,1\n"},
		{"out --format ndjson --limit 0", `{"word":"a","n":1}` + "\n" + `{"word":"b","n":2}` + "\n"},
		{"sorted --format raw --limit 0", "b\nb a\n"},
	} {
		if got := cli(t, dir, 0, append([]string{"cat"}, strings.Fields(row.args)...)...).out; got != row.want {
			t.Errorf("cat %s:\n%q, want\n%q", row.args, got, row.want)
		}
	}
	if got := cli(t, dir, 0, "cat", "out").out; !strings.Contains(got, "│ a    │ 1 │") {
		t.Errorf("cat out:\n%s", got)
	}
}

// TestHelp proves that every command has a help text with an example, that version prints a version, and that shells are
// given jobs, parameters and formats.
func TestHelp(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{
		"run", "submit", "cluster", "master", "worker", "list", "status", "wait", "cancel", "logs", "plan", "cat", "jobs", "gen", "bench", "version",
	} {
		if got := cli(t, dir, 0, name, "--help").out; !strings.Contains(got, "Examples:\n  millrace "+name) || strings.Contains(got, "(default 0") {
			t.Errorf("%s --help:\n%s", name, got)
		}
	}
	if got := cli(t, dir, 0, "version").out; got != cli(t, dir, 0, "--version").out || strings.Count(got, ".") != 2 {
		t.Errorf("version: %q", got)
	}
	for _, row := range []struct{ line, want string }{
		{"run ", "wordcount\t"},
		{"submit w", "wordcount\t"},
		{"run wordcount -p ", "lower=true\n"},
		{"plan grep -p ", "pattern=\t"},
		{"run join ", "left=\n"},
		{"plan join left=a -p type=full r", "right=\n"},
		{"submit join left=", ":0\n"}, // files
		{"run wordcount ", ":0\n"},
		{"run wordcount --compression ", "zstd\n"},
		{"cat --format ", "ndjson\n"},
		{"jobs ", "grep\t"},
		{"gen ", "records\n"},
		{"bench w", "wordcount\n"},
	} {
		if got := cli(t, dir, 0, append([]string{"__complete"}, strings.Split(row.line, " ")...)...).out; !strings.Contains(got, row.want) {
			t.Errorf("completing %q: %q is not among\n%s", row.line, row.want, got)
		}
	}
	if got := cli(t, dir, 0, "completion", "bash").out; !strings.Contains(got, "complete -o default") {
		t.Error("no completion for bash")
	}
}

// TestLists proves plan and jobs, and that gen makes the same data again, in a file as on stdout.
func TestLists(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cli(t, dir, 0, "gen", "text", "--size", "100kB", "-o", "in/text.txt")
	b, err := os.ReadFile(dir + "/in/text.txt")
	must(t, err)
	if got := cli(t, dir, 0, "gen", "text", "--size", "100kB").out; got != string(b) || len(b) != 100_000 {
		t.Errorf("gen wrote %d bytes to the file and %d to stdout", len(b), len(got))
	}
	var plan struct{ Bytes, Splits, Reducers int }
	r := cli(t, dir, 0, "plan", "wordcount", "in", "--split-size", "10kB", "--reducers", "3", "--json")
	if err := json.Unmarshal([]byte(r.out), &plan); err != nil || plan.Bytes != 100_000 || plan.Splits != 10 || plan.Reducers != 3 {
		t.Errorf("plan --json: %+v, %v", plan, err)
	}
	if got := cli(t, dir, 0, "plan", "wordcount", "in").out; !strings.Contains(got, "1 object") {
		t.Errorf("plan:\n%s", got)
	}
	lines := strings.Split(cli(t, dir, 0, "jobs").out, "\n")
	names := []string{"command"} // beside what the binary carries
	for _, job := range builtin.All() {
		names = append(names, job.Name())
	}
	slices.Sort(names)
	for i, want := range names {
		if name, _, _ := strings.Cut(lines[min(i, len(lines)-1)], " "); name != want || len(lines) != len(names)+1 {
			t.Errorf("jobs: line %d is of %q, want a line of %q, one for each job:\n%s", i, name, want, strings.Join(lines, "\n"))
		}
	}
	if got := cli(t, dir, 0, "jobs", "wordcount").out; !strings.Contains(got, "min-length") || !strings.Contains(got, "Rows: word utf8") {
		t.Errorf("jobs wordcount:\n%s", got)
	}
}
