package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/jobs/builtin"
	"github.com/millrace/millrace/master"
	"github.com/millrace/millrace/master/journal"
	"github.com/millrace/millrace/master/memha"
	"github.com/millrace/millrace/master/wire"
	"github.com/millrace/millrace/storage/backends"
	"github.com/millrace/millrace/worker/program"
)

// gated is an election that elects its candidate once the gate is open.
type gated struct {
	*memha.Store
	open chan struct{}
}

func (g gated) Campaign(ctx context.Context, c journal.Candidate) (journal.Term, error) {
	select {
	case <-g.open:
		return g.Store.Campaign(ctx, c)
	case <-ctx.Done():
		return journal.Term{}, ctx.Err()
	}
}

// masterHere runs a master in this process, until stop or the test's end.
func masterHere(t *testing.T, reg *program.Registry, mem *memha.Store, e journal.Election) (addr string, stop func()) {
	t.Helper()
	m, err := master.New(master.Options{Store: backends.New(backends.Options{}), Backend: mem, Election: e, Programs: reg})
	must(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- m.Run(ctx, l) }()
	stop = sync.OnceFunc(func() {
		cancel()
		must(t, <-ended)
	})
	t.Cleanup(stop)
	return l.Addr().String(), stop
}

// A command that follows a job says so while no master leads, and goes on with the next one; Ctrl-C ends it meanwhile, and leaves
// the job alone.
func TestWaitOverFailover(t *testing.T) {
	t.Parallel()
	reg, err := program.NewRegistry(millrace.Version, builtin.All()...)
	must(t, err)
	mem, open := memha.New(), make(chan struct{})
	a, stopA := masterHere(t, reg, mem, mem)
	b, _ := masterHere(t, reg, mem, gated{mem, open})
	masters := a + "," + b

	dir := t.TempDir()
	write(t, filepath.Join(dir, "in.txt"), "a b\n")
	id := strings.TrimSpace(cli(t, dir, 0, "submit", "wordcount", "in.txt", "-o", "out", "--detach", "--master", masters).out)

	waiting := func(args ...string) (lines *bufio.Scanner, signal func(os.Signal), end func() int) {
		cmd, _ := call{args: append(args, id, "--master", masters), dir: dir}.command(t)
		errout, err := cmd.StderrPipe()
		must(t, err)
		must(t, cmd.Start())
		timer := time.AfterFunc(deadline, func() { _ = cmd.Process.Signal(syscall.SIGQUIT) })
		return bufio.NewScanner(errout), func(s os.Signal) { must(t, cmd.Process.Signal(s)) }, func() int {
			defer timer.Stop()
			return exitCode(t, cmd.Wait())
		}
	}
	says := func(lines *bufio.Scanner, text string) {
		t.Helper()
		var all []string
		for lines.Scan() {
			if all = append(all, lines.Text()); strings.Contains(lines.Text(), text) {
				return
			}
		}
		t.Errorf("it does not say %q: %q", text, all)
	}
	goesOn, _, endGoesOn := waiting("wait")
	isLeft, interrupt, endIsLeft := waiting("wait")
	logs, _, endLogs := waiting("logs", "-f")
	stopA()
	for _, lines := range []*bufio.Scanner{goesOn, isLeft, logs} {
		says(lines, "no master leads: waiting (1 s)")
	}
	interrupt(os.Interrupt)
	says(isLeft, "The job goes on")
	if code := endIsLeft(); code != 130 {
		t.Errorf("interrupted while no master leads, it exits with %d", code)
	}
	close(open)
	if s := cli(t, dir, 0, "cancel", id[:8], "--master", masters).out; s != "cancelled\n" {
		t.Errorf("cancel at the next leader says %q", s)
	}
	says(goesOn, "cancelled")
	if code := endGoesOn(); code != 4 {
		t.Errorf("after the cancel, wait exits with %d", code)
	}
	if code := endLogs(); code != 0 {
		t.Errorf("after the cancel, logs exits with %d", code)
	}
}

// Of a wait a command tells after a second, and then every ten.
func TestPatience(t *testing.T) {
	t.Parallel()
	out, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
	must(t, err)
	defer out.Close()
	p := &patience{out: out}
	for _, why := range []error{wire.ErrUnreachable, fmt.Errorf("x: %w", wire.ErrBusy)} {
		for waited := time.Duration(0); waited < 25*time.Second; waited += 300 * time.Millisecond {
			p.tell(waited, why)
		}
	}
	text, err := os.ReadFile(out.Name())
	must(t, err)
	want := []string{"no master leads: waiting (1 s)", "no master leads: waiting (11 s)", "no master leads: waiting (22 s)"}
	for _, line := range want[:3:3] {
		want = append(want, strings.Replace(line, "no master leads", "the master is busy", 1))
	}
	if got := strings.Split(strings.TrimSpace(string(text)), "\n"); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Ctrl-C during a submission that nobody answers ends it in time, and says what is not known.
func TestSubmitIsInterrupted(t *testing.T) {
	t.Parallel()
	mem := memha.New()
	reg, err := program.NewRegistry(millrace.Version, builtin.All()...)
	must(t, err)
	addr, _ := masterHere(t, reg, mem, gated{mem, nil}) // which is never elected
	c, err := wire.Dial(t.Context(), []string{addr}, wire.ClientOptions{Role: wire.RoleClient, RetryFor: time.Hour})
	must(t, err)
	defer c.Close()
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(millrace.ErrInterrupted)
	err = submit(ctx, c, &wire.SubmitArgs{Job: "0123456789abcdef"}, time.Millisecond)
	if !errors.Is(err, millrace.ErrInterrupted) || !strings.Contains(err.Error(), "millrace status 0123456789abcdef") {
		t.Errorf("got %v", err)
	}
}
