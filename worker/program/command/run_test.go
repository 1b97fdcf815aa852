package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/millrace/millrace/jobs"
)

// mapped runs a mapper over one object.
func mapped(t *testing.T, ctx context.Context, p Params, task *jobs.Task, in jobs.BlockSource) (*pairSink, error) {
	t.Helper()
	out := &pairSink{}
	p.Reducer = "cat"
	err := program(t, p).Map(ctx, task, in, out)
	return out, err
}

// A command that goes wrong fails its attempt with one line that tells where in the job, which command, how, and the last line it said,
// which is where programs put the reason; what it said before follows.
func TestFailures(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		mapper string
		want   []string // in the first line
		more   string   // the rest
	}{
		"exit code": {"cat >/dev/null; exit 3", []string{"map mem://in/0 from byte 17: the mapper `cat >/dev/null; exit 3` ended with exit code 3"}, ""},
		"one line":  {"echo 'no such luck' >&2; exit 1", []string{"ended with exit code 1: no such luck"}, ""},
		"a traceback": {
			`printf 'Traceback (most recent call last):\n  File "m.py", line 3\nValueError: bad\n' >&2; exit 1`,
			[]string{"ended with exit code 1: ValueError: bad"}, "Traceback (most recent call last):\n  File \"m.py\", line 3",
		},
		"no such command":                    {"nosuchcommand", []string{"ended with exit code 127 (the shell finds no such command: is it installed where the task runs, or is a file missing in --file?)", "nosuchcommand"}, ""},
		"not executable":                     {"/dev/null", []string{"ended with exit code 126 (the shell cannot execute it)"}, ""},
		"killed":                             {"kill -9 $$", []string{"the mapper `kill -9 $$` ended with exit code 137 (killed by signal 9: out of memory?)"}, ""},
		"killed otherwise":                   {"kill -15 $$", []string{"ended with exit code 143 (killed by signal 15, terminated)"}, ""},
		"with all it started":                {"kill -9 0", []string{"the mapper `kill -9 0` was killed by signal 9: out of memory?"}, ""},
		"a child that is":                    {"sh -c 'kill -9 $$'; exit $?", []string{"ended with exit code 137 (killed by signal 9: out of memory?)"}, ""},
		"status":                             {"echo reporter:status:at line 7 >&2; exit 1", []string{"ended with exit code 1 (its last status: at line 7)"}, ""},
		"the failure, not what it broke off": {"printf 'half a line'; exit 1", []string{"ended with exit code 1"}, ""},
		"syntax":                             {"if", []string{"ended with exit code 2"}, ""},
		"binary on stderr":                   {`printf 'a\377b' >&2; exit 1`, []string{"exit code 1: a?b"}, ""},
		"several lines":                      {"false\nexit 4", []string{"the mapper `false; exit 4` ended with exit code 4"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := &blocks{list: []jobs.Block{{URL: "mem://in/0", Offset: 17, Data: []byte("a\n")}}}
			_, err := mapped(t, t.Context(), Params{Mapper: row.mapper}, taskIn(t.TempDir()), in)
			if err == nil {
				t.Fatal("no error")
			}
			first, rest, _ := strings.Cut(err.Error(), "\n")
			for _, want := range row.want {
				if !strings.Contains(first, want) {
					t.Errorf("got %q, want %q in it", first, want)
				}
			}
			if rest != row.more {
				t.Errorf("then %q, want %q", rest, row.more)
			}
		})
	}
}

// What is wrong with a line names the command and where it ran; so does a failing reducer and combiner.
func TestFailuresElsewhere(t *testing.T) {
	t.Parallel()
	bad := func(p Params) *Program { return program(t, p) }
	check := func(err error, want string) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	task := taskIn(t.TempDir())
	task.Sinks.Rows = &rowSink{}
	check(bad(Params{Mapper: "cat", Columns: "n:int64"}).Map(t.Context(), task, block("mem://in/0", "1\nx\n"), nil),
		"map mem://in/0 from byte 0: the mapper `cat` wrote the line \"x\": column n: \"x\" is not a whole number")
	p := bad(Params{Mapper: "cat", Reducer: "cat; exit 5", Combiner: "sed s/a/b/"})
	check(p.Reduce(t.Context(), task, &pairSource{batches: [][]byte{pairsOf("a", "1")}}, &rowSink{}), "reduce: the reducer `cat; exit 5` ended with exit code 5")
	_, err := p.Combine(t.Context(), task, pairsOf("a", "1", "a", "2", "c", "3"), nil)
	check(err, "combine: the combiner `sed s/a/b/` wrote the key \"b\", which is none of those that it was given: it must keep the keys")
	_, err = bad(Params{Mapper: "cat", Reducer: "cat", Combiner: "exit 6"}).Combine(t.Context(), task, pairsOf("a", "1"), nil)
	check(err, "combine: the combiner `exit 6` ended with exit code 6")
	_, err = bad(Params{Mapper: "cat", Reducer: "cat", Combiner: "cat >/dev/null; yes a"}).Combine(t.Context(), task, pairsOf("a", "1"), nil)
	check(err, "wrote more than 16MiB beyond twice what it was given: it must write fewer lines than it reads")
	p = bad(Params{Mapper: "cat >/dev/null; tr '\\000' x </dev/zero", Reducer: "cat"})
	p.limits.line = 1 << 20
	check(p.Map(t.Context(), task, block("mem://in/0", "a\n"), &pairSink{}), "wrote a line of more than 1MiB, which begins \""+strings.Repeat("x", 60)+"\": break it into shorter ones")
}

// Errors of the engine come back as they are: it decides by them what becomes of the task.
func TestEngineErrors(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	p := program(t, Params{Mapper: "cat", Reducer: "cat"})
	task := taskIn(t.TempDir())
	within(t, func() {
		if err := p.Map(t.Context(), task, &blocks{err: broken}, &pairSink{}); err != broken {
			t.Errorf("a source that fails at once: %v", err)
		}
		in := block("mem://in/0", "a\n")
		in.err = broken
		if err := p.Map(t.Context(), task, in, &pairSink{}); err != broken {
			t.Errorf("a source that fails later: %v", err)
		}
		if err := p.Map(t.Context(), task, endless{jobs.Block{URL: "mem://in/0", Data: []byte(strings.Repeat("line\n", 1<<17))}}, &pairSink{err: broken}); err != broken {
			t.Errorf("a sink that fails: %v", err)
		}
		if err := p.Reduce(t.Context(), task, &pairSource{batches: [][]byte{pairsOf("a", "1")}, err: broken}, &rowSink{}); err != broken {
			t.Errorf("pairs that fail: %v", err)
		}
		if err := p.Reduce(t.Context(), task, &pairSource{batches: [][]byte{pairsOf("a", "1")}}, &rowSink{err: broken}); err != broken {
			t.Errorf("rows that fail: %v", err)
		}
		if err := p.Reduce(t.Context(), task, &pairSource{batches: [][]byte{{0, 0}}}, &rowSink{}); !errors.Is(err, jobs.ErrPairs) {
			t.Errorf("pairs that are none: %v", err)
		}
	})
}

// watch sees the processes that have opened its pipe, and those that these start, as long as they live.
type watch struct {
	t    *testing.T
	pipe string   // its name
	both *os.File // both ends, so that the pipe is open before and after the processes
}

func newWatch(t *testing.T) *watch {
	t.Helper()
	w := &watch{t: t, pipe: filepath.Join(t.TempDir(), "pipe")}
	err := syscall.Mkfifo(w.pipe, 0o600)
	if err == nil {
		w.both, err = os.OpenFile(w.pipe, os.O_RDWR, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// script is a shell script all of whose processes are seen. Each of its words @ says that one more process has begun.
func (w *watch) script(text string) string {
	return fmt.Sprintf("exec 9>%s; @; %s", w.pipe, text)
}

const begun = "echo >&9"

// await returns when n processes have begun.
func (w *watch) await(n int) {
	if _, err := io.ReadFull(w.both, make([]byte, n)); err != nil {
		w.t.Error(err)
	}
}

// gone checks that the last of the processes ends.
func (w *watch) gone() {
	w.t.Helper()
	end, err := os.Open(w.pipe)
	if err != nil {
		w.t.Fatal(err)
	}
	defer end.Close()
	if err := errors.Join(w.both.Close(), end.SetReadDeadline(time.Now().Add(10*time.Second))); err != nil {
		w.t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, end); err != nil {
		w.t.Errorf("a process is left: %v", err)
	}
}

// empty says what is left in a folder.
func empty(t *testing.T, dir string) {
	t.Helper()
	left, err := os.ReadDir(dir)
	if err != nil || len(left) > 0 {
		t.Errorf("left in %s: %v, %v", dir, left, err)
	}
}

// A command that is given up ends at once with all that it started, whatever it does or does not: nothing of it is left, neither a
// process nor a folder.
func TestCancel(t *testing.T) {
	t.Parallel()
	for name, mapper := range map[string]string{
		"reads nothing, writes nothing":  "sleep 1000",
		"reads nothing, writes for ever": "yes",
		"reads all, writes nothing":      "cat >/dev/null",
		"grandchildren":                  "sleep 1000 & sh -c 'sleep 1000 & @; wait' & @; cat >/dev/null",
		"ignores signals":                "trap '' TERM INT HUP PIPE; while :; do sleep 1000; done",
		"closed everything":              "exec <&- >&- 2>&-; sleep 1000",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, w := t.TempDir(), newWatch(t)
			script := w.script(mapper)
			ctx, cancel := context.WithCancelCause(t.Context())
			stop := errors.New("given up")
			go func() {
				w.await(strings.Count(script, "@"))
				cancel(stop)
			}()
			within(t, func() {
				in := endless{jobs.Block{URL: "mem://in/0", Data: []byte(strings.Repeat("line\n", 1<<16))}}
				if _, err := mapped(t, ctx, Params{Mapper: strings.ReplaceAll(script, "@", begun)}, taskIn(dir), in); err != stop {
					t.Errorf("got %v", err)
				}
			})
			w.gone()
			empty(t, dir)
		})
	}
}

// A worker that is killed takes its commands with it: they see the end of a pipe that only the worker has.
func TestEndsWithTheWorker(t *testing.T) {
	t.Parallel()
	w := newWatch(t)
	p, err := start(strings.ReplaceAll(w.script("sleep 1000 >/dev/null & sleep 1000"), "@", begun), t.TempDir(), nil, maxLine)
	if err != nil {
		t.Fatal(err)
	}
	w.await(1)
	if err := p.life.Close(); err != nil { // as the system does when a process is gone
		t.Fatal(err)
	}
	w.gone()
	close(p.in)
	if state := p.finish(); state.Success() {
		t.Errorf("it ended with %v", state)
	}
}

// A combiner is given up with its attempt as well.
func TestCancelCombine(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	within(t, func() {
		if _, err := program(t, Params{Mapper: "cat", Reducer: "cat", Combiner: "sleep 1000"}).Combine(ctx, taskIn(t.TempDir()), pairsOf("a", "1"), nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
}

// What a command leaves behind when it ends is killed, and does not hold it up, if the output is closed.
func TestLeftBehind(t *testing.T) {
	t.Parallel()
	dir, w := t.TempDir(), newWatch(t)
	script := strings.ReplaceAll(w.script("sleep 1000 >/dev/null & cat; mkdir left; touch left/file"), "@", begun)
	within(t, func() {
		out, err := mapped(t, t.Context(), Params{Mapper: script}, taskIn(dir), block("mem://in/0", "a\n"))
		if err != nil || len(out.pairs) != 1 {
			t.Errorf("got %q, %v", out.pairs, err)
		}
	})
	w.gone()
	empty(t, dir)
}

// While one that was left behind holds the output open, what it still writes is waited for; when it writes nothing any more, that is an
// error, since nobody knows whether something is missing.
func TestOutputHeldOpen(t *testing.T) {
	t.Parallel()
	t.Run("writes later", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		out, err := mapped(t, t.Context(), Params{Mapper: "cat >/dev/null; (sleep 0.2; echo late) & echo early"}, taskIn(dir), block("mem://in/0", "a\n"))
		if err != nil || len(out.pairs) != 2 || string(out.pairs[1].key) != "late" {
			t.Errorf("got %q, %v", out.pairs, err)
		}
		empty(t, dir)
	})
	t.Run("writes no more", func(t *testing.T) {
		t.Parallel()
		w := newWatch(t)
		p := program(t, Params{Mapper: strings.ReplaceAll(w.script("sleep 1000 & cat"), "@", begun), Reducer: "cat"})
		p.limits.linger = 20 * time.Millisecond
		within(t, func() {
			err := p.Map(t.Context(), taskIn(t.TempDir()), block("mem://in/0", "a\n"), &pairSink{})
			if err == nil || !strings.Contains(err.Error(), "has ended, but processes that it started hold its output open and have written nothing for 20ms: let it wait for them") {
				t.Errorf("got %v", err)
			}
		})
		w.gone()
	})
	t.Run("and it failed", func(t *testing.T) {
		t.Parallel()
		p := program(t, Params{Mapper: "sleep 1000 & exit 3", Reducer: "cat"})
		p.limits.linger = 20 * time.Millisecond
		if err := p.Map(t.Context(), taskIn(t.TempDir()), block("mem://in/0", "a\n"), &pairSink{}); err == nil || !strings.Contains(err.Error(), "exit code 3") {
			t.Errorf("got %v", err)
		}
	})
}

// The time for that begins when the command has ended, not before.
func TestLingerBeginsAtTheEnd(t *testing.T) {
	t.Parallel()
	p := program(t, Params{Mapper: "sleep 0.3; cat", Reducer: "cat"})
	p.limits.linger = 10 * time.Millisecond
	if err := p.Map(t.Context(), taskIn(t.TempDir()), block("mem://in/0", "a\n"), &pairSink{}); err != nil {
		t.Error(err)
	}
}

// Without a folder of the engine's a program makes one for each call, and leaves nothing of it.
func TestOwnFolder(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	p := program(t, Params{Mapper: "pwd", Files: "mem://f/x"})
	out := &pairSink{}
	task := &jobs.Task{Side: jobs.NewSideData([]byte("x"))}
	task.Sinks.Rows = &rowSink{}
	if err := p.Map(t.Context(), task, block("mem://in/0", "a\n"), out); err != nil {
		t.Fatal(err)
	}
	if got := task.Sinks.Rows.(*rowSink).text; len(got) != 1 || !strings.HasPrefix(got[0], dir) {
		t.Errorf("it ran in %q", got)
	}
	empty(t, dir)
	t.Setenv("TMPDIR", filepath.Join(dir, "none"))
	if err := p.Map(t.Context(), task, block("mem://in/0", "a\n"), out); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}
