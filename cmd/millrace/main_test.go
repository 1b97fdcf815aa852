package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// binaries are the programs that the tests of this package run, built once: millrace, and one with jobs that go wrong.
var binaries struct{ millrace, badjobs string }

func TestMain(m *testing.M) {
	flag.Parse()
	if run := flag.Lookup("test.run").Value; watched != "" && run.String() == "" {
		if err := run.Set(watched); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(withBinaries(m.Run))
}

func withBinaries(run func() int) int {
	dir, err := os.MkdirTemp("", "millrace-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	build := exec.Command("go", "build", "-o", dir+"/", ".", "./testdata/badjobs")
	races := filepath.Join(dir, "race")
	if watched != "" {
		build.Args = []string{"go", "build", "-race", "-o", dir + "/", "."}
		os.Setenv("GORACE", "log_path="+races) // of the processes that the tests start
	}
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build millrace: %v\n%s", err, out)
		return 1
	}
	if err := os.Chmod(dir, 0o755); err != nil { // a row of bad inputs runs as another user
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	binaries.millrace, binaries.badjobs = filepath.Join(dir, "millrace"), filepath.Join(dir, "badjobs")
	code := run()
	found, err := filepath.Glob(races + ".*")
	for _, name := range found {
		report, e := os.ReadFile(name)
		fmt.Fprintf(os.Stderr, "a process raced: %s\n", report)
		err = errors.Join(err, e)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	if err != nil || len(found) > 0 {
		return 1
	}
	return code
}

// result is how a command ended.
type result struct {
	code        int
	out, errout string
}

// call is a command line to run.
type call struct {
	bin  string // default: millrace
	args []string
	env  []string // beside a clean environment
	dir  string   // default: a new folder
	as   uint32   // user to run as; 0: this one
}

// deadline ends a command that hangs; it takes part in no verdict.
const deadline = time.Minute

// command prepares a call in a process group of its own, with a temporary folder of its own.
func (c call) command(t testing.TB) (cmd *exec.Cmd, temp string) {
	t.Helper()
	bin := c.bin
	if bin == "" {
		bin = binaries.millrace
	}
	if c.dir == "" {
		c.dir = t.TempDir()
	}
	temp = t.TempDir()
	cmd = exec.Command(bin, c.args...)
	cmd.Dir = c.dir
	cmd.Env = append(cleanEnv(), append([]string{"TMPDIR=" + temp}, c.env...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if c.as != 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: c.as, Gid: c.as}
	}
	cmd.WaitDelay = 10 * time.Second
	return cmd, temp
}

// run runs a call to its end.
func (c call) run(t testing.TB) result {
	t.Helper()
	cmd, temp := c.command(t)
	if c.as != 0 {
		if err := os.Chmod(temp, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	var out, errout bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(deadline, func() { _ = cmd.Process.Signal(syscall.SIGQUIT) }) // it shows its goroutines
	defer timer.Stop()
	code := exitCode(t, cmd.Wait())
	return result{code, out.String(), errout.String()}
}

func exitCode(t testing.TB, err error) int {
	t.Helper()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.ExitCode()
	}
	t.Fatal(err)
	return -1
}

// cleanEnv is this process's environment without what could lead a command elsewhere.
func cleanEnv() []string {
	var env []string
	for _, e := range os.Environ() {
		name, _, _ := strings.Cut(e, "=")
		if !strings.HasPrefix(name, "AWS_") && !strings.HasPrefix(name, "MILLRACE_") && name != "TMPDIR" && name != "NO_COLOR" {
			env = append(env, e)
		}
	}
	return append(env, "AWS_EC2_METADATA_DISABLED=true")
}

// cli runs millrace in dir, which must end with code, and returns what it wrote.
func cli(t testing.TB, dir string, code int, args ...string) result {
	t.Helper()
	r := call{args: args, dir: dir}.run(t)
	if r.code != code {
		t.Fatalf("millrace %s: exit code %d, want %d\nstdout: %s\nstderr: %s", strings.Join(args, " "), r.code, code, r.out, r.errout)
	}
	return r
}

// write makes a file with its folders.
func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// names lists a folder, hidden names included; nil if there is none.
func names(t testing.TB, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}
