package procs

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// start runs a shell script as a process that ends with the test.
func start(t *testing.T, script string) *Process {
	t.Helper()
	p, err := Start(Options{Name: "script", Bin: "/bin/sh", Args: []string{"-c", script}, Log: filepath.Join(t.TempDir(), "log")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Kill(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func firstLine(t *testing.T, p *Process) string {
	t.Helper()
	line, err := p.FirstLine(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return line
}

// long is a grace that no test lasts for.
const long = time.Minute

// TestFirstLine proves that the first line of stdout is told, also twice, that stderr goes to the log, and that an early end
// and a context's end are errors that name the process and its log.
func TestFirstLine(t *testing.T) {
	t.Parallel()
	p := start(t, "echo 127.0.0.1:1; echo more; echo trouble >&2")
	for range 2 {
		if got := firstLine(t, p); got != "127.0.0.1:1" {
			t.Errorf("first line %q", got)
		}
	}
	<-p.Done()
	if log, err := os.ReadFile(p.Log); err != nil || string(log) != "trouble\n" || p.Err() != nil {
		t.Errorf("log %q, %v; ended with %v", log, err, p.Err())
	}
	p = start(t, "exit 7")
	if _, err := p.FirstLine(t.Context()); err == nil || !strings.Contains(err.Error(), "script ended before it was ready: see "+p.Log) {
		t.Errorf("early end: %v", err)
	}
	<-p.Done()
	if p.Err() == nil || p.Err().Error() != "exit status 7" {
		t.Errorf("Err() = %v", p.Err())
	}
	p = start(t, "exec cat")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.FirstLine(ctx); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "script is not ready") {
		t.Errorf("a silent process: %v", err)
	}
}

// TestStop proves that a process ends when it is asked to, one that does not listen after the grace, and a paused one too;
// and that stopping, killing and signalling one that has ended is no error.
func TestStop(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		script string
		pause  bool
		grace  time.Duration
		want   string
	}{
		"listens":        {`trap 'exit 3' TERM; echo on; while :; do read x; done`, false, long, "signal: terminated exit status 3"},
		"does not":       {`trap '' TERM; echo on; while :; do read x; done`, false, time.Nanosecond, "signal: killed"},
		"paused":         {`echo on; read x`, true, long, "signal: terminated"},
		"has ended":      {`echo on`, false, long, ""},
		"stdin's reader": {`echo on; exec cat`, false, long, "signal: terminated"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := start(t, row.script)
			firstLine(t, p)
			if row.pause {
				if err := p.Pause(); err != nil {
					t.Fatal(err)
				}
			}
			if row.want == "" {
				<-p.Done()
			}
			for range 2 {
				if err := p.Stop(row.grace); err != nil {
					t.Error(err)
				}
			}
			<-p.Done()
			if got := p.Err(); got == nil && row.want != "" || got != nil && !strings.Contains(row.want, got.Error()) {
				t.Errorf("ended with %v, want %q", got, row.want)
			}
			if err := errors.Join(p.Signal(syscall.SIGHUP), p.Kill(), p.Pause(), p.Continue()); err != nil {
				t.Errorf("after the end: %v", err)
			}
		})
	}
}

// TestPause proves that a paused process does nothing until it is continued.
func TestPause(t *testing.T) {
	t.Parallel()
	p := start(t, `trap 'exit 0' HUP; echo on; while :; do read x || exit 9; done`)
	firstLine(t, p)
	if err := errors.Join(p.Pause(), p.Signal(syscall.SIGHUP)); err != nil {
		t.Fatal(err)
	}
	if got := state(t, p); got != "T" {
		t.Errorf("state %q, want T: stopped", got)
	}
	if err := p.Continue(); err != nil {
		t.Fatal(err)
	}
	<-p.Done()
	if p.Err() != nil {
		t.Errorf("ended with %v", p.Err())
	}
}

// state is the kernel's letter for what the process does, once it is not running.
func state(t *testing.T, p *Process) string {
	t.Helper()
	for until := time.Now().Add(long); ; {
		b, err := os.ReadFile("/proc/" + strconv.Itoa(p.PID()) + "/stat")
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(string(b), ") ")
		if state := rest[:1]; state == "T" || time.Now().After(until) {
			return state
		}
	}
}

// TestStartFails proves that what cannot be started is an error that names it.
func TestStartFails(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, o := range []Options{
		{Name: "worker-1", Bin: dir + "/nothing", Log: dir + "/log"},
		{Name: "worker-1", Bin: "/bin/sh", Log: dir + "/nothing/log"},
	} {
		if _, err := Start(o); err == nil || !strings.HasPrefix(err.Error(), "start worker-1: ") {
			t.Errorf("%+v: %v", o, err)
		}
	}
}
