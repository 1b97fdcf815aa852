package console

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/millrace/millrace/master/wire"
	"github.com/millrace/millrace/storage"
)

// explanation is that of a job in a bucket, of which everything that can be told is.
func explanation() *wire.Explanation {
	st := finished()
	slow := wire.TaskDetail{
		Task: "map-00003", Worker: "node-1/4711", Elapsed: 9 * time.Second, Bytes: 250_000_000, Records: 3_000_000, Emitted: 40_000_000, Pairs: 90_000,
		Out: 1_900_000, Spilled: 12_000_000, Speed: 0.5, State: "selected", Counters: map[string]int64{"words": 12_345},
		Time: wire.Times{Read: 4 * time.Second, Map: 3 * time.Second, Sort: time.Second, Spill: 900 * time.Millisecond, Other: 100 * time.Millisecond},
	}
	plain := wire.TaskDetail{
		Task: "map-00007", Attempt: 1, Worker: "node-2/815", Elapsed: 2 * time.Second, Bytes: 100_000_000, Records: 1_300_000, State: "selected",
		Time: wire.Times{Read: 200 * time.Millisecond, Map: 1800 * time.Millisecond},
	}
	hot := wire.TaskDetail{
		Task: "reduce-00001", Worker: "node-2/815", Elapsed: 5 * time.Second, Bytes: 20_000_000, Records: 600_000, Groups: 20, Rows: 20, State: "selected",
		Hot: []wire.HotKey{{Key: `"the"`, Pairs: 500_000}, {Key: `"a"`, Pairs: 50_000}}, Time: wire.Times{Wait: 2 * time.Second, Fetch: 2 * time.Second, Reduce: time.Second},
	}
	return &wire.Explanation{
		Status: st,
		Map: wire.PhaseDetail{
			Attempts: 18, Time: wire.Times{Read: 10 * time.Second, Map: 60 * time.Second, Sort: 5 * time.Second, Combine: time.Second, Spill: 900 * time.Millisecond, Write: 2 * time.Second, Other: time.Second},
			Elapsed: wire.Spread{Min: 1e9, Median: 2.1e9, Max: 9e9, Sum: 80e9}, Bytes: wire.Spread{Min: 1e6, Median: 1e8, Max: 25e7, Sum: 18e8},
			Spilled: 1, Slowest: []wire.TaskDetail{slow, plain}, Wasted: 2, Loss: 7 * time.Second,
		},
		Reduce: wire.PhaseDetail{
			Attempts: 3, Time: wire.Times{Wait: 3 * time.Second, Fetch: 4 * time.Second, Merge: 2 * time.Second, Reduce: 2 * time.Second, Write: time.Second},
			Elapsed: wire.Spread{Min: 1e9, Median: 2e9, Max: 5e9, Sum: 12e9}, Bytes: wire.Spread{Min: 4e6, Median: 5e6, Max: 20e6, Sum: 34_500_000},
			Slowest: []wire.TaskDetail{hot}, Running: []wire.TaskDetail{{Task: "reduce-00003", Worker: "node-1/4711", Elapsed: 3 * time.Second, Bytes: 1000, State: "running"}},
		},
		In: wire.Spread{Min: 4e6, Median: 5e6, Max: 20e6, Sum: 34_500_000}, Rows: wire.Spread{Min: 20, Median: 40_000, Max: 50_000, Sum: 123_456}, Out: wire.Spread{Min: 500, Median: 1e6, Max: 2e6, Sum: 4_500_000},
		HotKeys: []wire.HotKey{{Key: `"the"`, Pairs: 500_000, Task: "reduce-00001"}, {Key: `"a"`, Pairs: 50_000, Task: "reduce-00001"}, {Key: `"b"`, Pairs: 2, Task: "reduce-00000"}},
		Reduced: 1_234_567, Backups: wire.Backups{Started: 2, Won: 1, Saved: 65 * time.Second},
		Tasks:  storage.Requests{Get: 1234, Head: 3, Create: 4, Part: 4, Abort: 1},
		Master: storage.Requests{List: 12, Complete: 4, Put: 1, Head: 1, Delete: 2},
		Read:   1_800_000_000, Written: 4_500_000, Missing: 1,
		Counters: []wire.CounterSpread{{Name: "bad lines", Total: 12, Tasks: 2, Most: 11, Task: "map-00003"}, {Name: "words", Total: 98_765_432, Tasks: 18, Most: 12_000_000, Task: "map-00007"}},
	}
}

// An explanation shows all that is known, at 80 columns as at 120, and nothing that is not.
func TestExplain(t *testing.T) {
	t.Parallel()
	task := explanation()
	task.Task = &task.Map.Slowest[0]
	reduce := explanation()
	reduce.Task = &reduce.Reduce.Slowest[0]
	local := explanation()
	local.Tasks, local.Master, local.Counters, local.Missing, local.Reduce.Running, local.Backups, local.Status.Retries = storage.Requests{}, storage.Requests{}, nil, 0, nil, wire.Backups{}, 0
	local.Status.Spilled, local.Map.Spilled, local.Map.Wasted, local.HotKeys = 0, 0, 0, nil
	begun := &wire.Explanation{Status: wire.JobStatus{ID: "0123456789abcdef", Job: "grep", State: wire.Running, Submitted: start}}
	chain := &wire.Explanation{Status: wire.JobStatus{ID: "0123456789abcdef", Job: "kmeans", State: wire.Done, Submitted: start, Ended: start.Add(time.Second), NumStages: 1,
		Stages: []wire.StageStatus{{Job: "round", State: wire.Done, Elapsed: time.Second, Records: 10}}}}
	for name, x := range map[string]*wire.Explanation{"explain-chain": chain, "explain": explanation(), "explain-map": task, "explain-reduce": reduce, "explain-local": local, "explain-begun": begun} {
		for _, width := range []int{0, 120} {
			var b bytes.Buffer
			if err := Explain(&b, x, start.Add(time.Minute), width); err != nil {
				t.Fatal(err)
			}
			if width == 0 {
				golden(t, name, b.Bytes())
				width = explainWidth
			}
			for line := range strings.Lines(b.String()) {
				if n := text.StringWidth(strings.TrimSuffix(line, "\n")); n > width {
					t.Errorf("%s: %d columns of %d: %s", name, n, width, line)
				}
			}
		}
	}
}

// The form for scripts has all figures, and lists and maps also when they are empty.
func TestExplainedJSON(t *testing.T) {
	t.Parallel()
	x := explanation()
	x.Task = &x.Map.Slowest[0]
	var b bytes.Buffer
	if err := NewExplained(x).Write(&b); err != nil {
		t.Fatal(err)
	}
	golden(t, "explained", b.Bytes())
	b.Reset()
	if err := NewExplained(&wire.Explanation{}).Write(&b); err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(b.Bytes(), []byte("null")) || !json.Valid(b.Bytes()) {
		t.Errorf("of a job that has just begun: %s", b.Bytes())
	}
}

// Names from data and users cannot reach the terminal as commands.
func TestExplainIsSafe(t *testing.T) {
	t.Parallel()
	const evil = "\x1b]0;owned\x07\u202e"
	x := explanation()
	x.Status.Job, x.HotKeys[0].Key, x.Counters[0].Name, x.Map.Slowest[0].Worker, x.Reduce.Slowest[0].Hot[0].Key = evil, evil, evil, evil, evil
	for _, task := range []*wire.TaskDetail{nil, &x.Reduce.Slowest[0]} {
		x.Task = task
		var b bytes.Buffer
		if err := Explain(&b, x, start, 200); err != nil {
			t.Fatal(err)
		}
		if err := NewExplained(x).Write(&b); err != nil {
			t.Fatal(err)
		}
		if i := bytes.IndexAny(b.Bytes(), "\x1b\x07\u202e"); i >= 0 {
			t.Errorf("a control character at %d", i)
		}
	}
}

// Why a task was slow is told by what differs from the typical one, and otherwise by where its time went.
func TestReasons(t *testing.T) {
	t.Parallel()
	p := wire.PhaseDetail{Bytes: wire.Spread{Median: 100}}
	base := wire.TaskDetail{Bytes: 100, Records: 10, Time: wire.Times{Map: 9 * time.Second, Read: time.Second}}
	for _, test := range []struct {
		change func(*wire.TaskDetail)
		want   string
	}{
		{func(*wire.TaskDetail) {}, "90% in map"},
		{func(t *wire.TaskDetail) { t.Bytes = 150 }, "1.5 times the typical input"},
		{func(t *wire.TaskDetail) { t.Spilled = 2e6 }, "spilled 2.0 MB"},
		{func(t *wire.TaskDetail) { t.Time.Read = 9 * time.Second }, "waited 9.00 s for input"},
		{func(t *wire.TaskDetail) { t.Time.Fetch = 9 * time.Second }, "waited 9.00 s for runs"},
		{func(t *wire.TaskDetail) { t.Time.Wait = 90 * time.Second }, "waited 1 m 30 s for maps"},
		{func(t *wire.TaskDetail) { t.Speed = 0.5 }, "slow worker: 50% of the speed of all"},
		{func(t *wire.TaskDetail) { t.Speed = 0.9 }, "90% in map"},
		{func(t *wire.TaskDetail) { t.Hot = []wire.HotKey{{Key: "k", Pairs: 3}} }, "key k has 30% of its pairs"},
		{func(t *wire.TaskDetail) { t.Hot = []wire.HotKey{{Key: "k", Pairs: 1}} }, "90% in map"},
		{func(t *wire.TaskDetail) { t.Bytes, t.Spilled = 300, 1e6 }, "3.0 times the typical input, spilled 1.0 MB"},
		{func(t *wire.TaskDetail) { t.Time = wire.Times{} }, ""},
	} {
		d := base
		test.change(&d)
		if got := strings.Join(reasons(d, p), ", "); got != test.want {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
}
