package console

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/master/wire"
)

type findParams struct {
	Pattern string `help:"what to look for"`
	Order   string `default:"up" oneof:"up|down" help:"of the lines"`
	Tag     string `default:""`
	Between string `default:"\t"`
}

type found struct {
	Where string
	At    int64
}

func mapNothing(string, func(string, int64)) error { return nil }

// listed are jobs with and without a description and parameters; one name and one text hold what must not reach a terminal.
func listed() []*jobs.Job {
	plain := jobs.New("wc", mapNothing, func(string, jobs.Values[int64], func(found)) error { return nil },
		jobs.Doc("Counts words.\x1b[2J\nA word is a run of letters."))
	params := jobs.Define("find-lines", func(*jobs.Task, findParams) (jobs.Code, error) {
		return jobs.MapReduce(mapNothing, func(string, jobs.Values[int64], func(found)) error { return nil }), nil
	})
	return []*jobs.Job{plain, params}
}

// The list has a line a job, names in a column, with the first line of the description, made safe.
func TestJobs(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := Jobs(&out, listed()); err != nil {
		t.Fatal(err)
	}
	if got, want := out.String(), "wc          Counts words.[2J\nfind-lines  \n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if err := Jobs(brokenPipe{}, listed()); !errors.Is(err, errPipe) {
		t.Errorf("got %v, want the writer's error", err)
	}
}

// brokenPipe takes nothing.
type brokenPipe struct{}

var errPipe = errors.New("broken pipe")

func (brokenPipe) Write([]byte) (int, error) { return 0, errPipe }

// A job is described with all of its text, each parameter with what it may be, and its columns; these are left out when they
// cannot be known without parameters.
func TestJob(t *testing.T) {
	t.Parallel()
	for i, want := range []string{
		"wc\n\nCounts words.[2J\nA word is a run of letters.\n\nRows: where utf8, at int64\n",
		"find-lines\n\n\n\nParameters (-p NAME=VALUE):\n" +
			"  pattern        string; required\n                 what to look for\n" +
			"  order          up|down; default up\n                 of the lines\n" +
			"  tag            string; default empty\n                 \n" +
			"  between        string; default \"\\t\"\n                 \n",
	} {
		var out bytes.Buffer
		if err := Job(&out, listed()[i]); err != nil {
			t.Fatal(err)
		}
		if got := out.String(); got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
	}
}

// A line of a log has its time, then the attempt and the worker if it concerns one, then the text, whose stack keeps its lines.
func TestLogLine(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 1, 7, 8, 9, 12_000_000, time.UTC)
	for _, tt := range []struct {
		line wire.LogLine
		want string
	}{
		{wire.LogLine{Time: at, Text: "submitted"}, "07:08:09.012  submitted"},
		{wire.LogLine{Time: at, Attempt: "map 3.1", Worker: "w2", Text: "panic: x\n\tstack"}, "07:08:09.012  map 3.1  w2  panic: x\n\tstack"},
		{wire.LogLine{Time: at, Worker: "w\n2\x1b]0;evil\a", Text: "\x1b[2Jlost"}, "07:08:09.012  w 2]0;evil  [2Jlost"},
	} {
		if got := LogLine(tt.line); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}

// A file is no terminal, and has no width.
func TestTerminal(t *testing.T) {
	t.Parallel()
	f, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if is, width := Terminal(f); is || width != 0 {
		t.Errorf("a file: %v, %d columns", is, width)
	}
	// The other side of a pseudo-terminal whose size nobody has set.
	pty, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skip("LEFT OUT: a terminal, there are no pseudo-terminals here:", err)
	}
	defer pty.Close()
	if is, width := Terminal(pty); !is || width != 0 {
		t.Errorf("a pseudo-terminal: %v, %d columns", is, width)
	}
}
