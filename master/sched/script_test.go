package sched

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "rewrite the transcripts in testdata")

// TestScripts proves each policy by a transcript: testdata/*.txt holds events and, below each, the effects that follow,
// in a language that reads aloud (testdata/README.md). After each step the invariants hold, and replaying the records so
// far gives the same durable state.
func TestScripts(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) < 15 {
		t.Fatalf("transcripts: got %d (%v), want at least 15", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := runScript(t, string(text))
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != string(text) {
				t.Errorf("%s: effects differ from the transcript (-update rewrites it):\n%s", file, firstDiff(got, string(text)))
			}
		})
	}
}

func firstDiff(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			return fmt.Sprintf("line %d\n got: %s\nwant: %s", i+1, g[i], w[i])
		}
	}
	return fmt.Sprintf("got %d lines, want %d", len(g), len(w))
}

// script is a scheduler driven by a transcript, with workers that run exactly what they were told.
type script struct {
	t       *testing.T
	o       Options
	s       *State
	now     time.Duration
	records []Record
	has     map[WorkerID][]AttemptID
	slots   map[WorkerID]int
}

func runScript(t *testing.T, text string) string {
	c := &script{t: t, s: New(Options{}), has: map[WorkerID][]AttemptID{}, slots: map[WorkerID]int{}}
	var out strings.Builder
	for n, line := range strings.Split(strings.TrimRight(text, "\n"), "\n") {
		if strings.HasPrefix(line, "  ") {
			continue // effects, made anew
		}
		out.WriteString(line + "\n")
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		lines, err := c.line(line)
		if err != nil {
			t.Fatalf("line %d: %s: %v", n+1, line, err)
		}
		for _, l := range lines {
			out.WriteString("  " + l + "\n")
		}
	}
	return out.String()
}

// line runs one line, "at 3s" first if time passes, and returns what it prints.
func (c *script) line(line string) ([]string, error) {
	words := strings.Fields(line)
	if words[0] == "at" && len(words) > 2 {
		d, err := time.ParseDuration(words[1])
		if err != nil {
			return nil, err
		}
		c.now, words = d, words[2:]
	}
	args := parseArgs(words[1:])
	switch words[0] {
	case "options":
		return nil, c.options(args)
	case "replay":
		return c.replay(args)
	case "job":
		return c.job(JobID(args.word(0)))
	case "workers":
		var out []string
		for _, w := range c.s.Workers() {
			out = append(out, fmt.Sprintf("%s slots=%d running=%d draining=%v needed=%v", w.ID, w.Slots, len(w.Running), w.Draining, w.Needed))
		}
		return out, nil
	}
	ev, err := c.event(words[0], args)
	if err != nil {
		return nil, err
	}
	return c.step(ev)
}

func (c *script) step(ev Event) ([]string, error) {
	effects := c.s.Step(c.now, ev)
	var out []string
	for _, e := range effects {
		switch e := e.(type) {
		case Assign:
			if !slices.Contains(c.has[e.Worker], e.Attempt) {
				c.has[e.Worker] = append(c.has[e.Worker], e.Attempt)
			}
		case Kill:
			c.has[e.Worker] = remove(c.has[e.Worker], e.Attempt)
		case Record:
			c.records = append(c.records, e)
		}
		out = append(out, showEffect(e))
	}
	if len(out) == 0 {
		out = []string{"nothing"}
	}
	if err := c.s.Check(); err != nil {
		return out, fmt.Errorf("invariant: %w (after %v)", err, out)
	}
	return out, sameAfterReplay(c.s, c.records)
}

// sameAfterReplay says whether the records alone rebuild the durable state, and its Durable does as well.
func sameAfterReplay(s *State, records []Record) error {
	want := s.Durable()
	for _, from := range [][]Record{records, want} {
		r, err := Replay(Options{Term: 1}, from)
		if err != nil {
			return err
		}
		if got := r.Durable(); !reflect.DeepEqual(got, want) {
			return fmt.Errorf("replay of %d records differs:\n got %+v\nwant %+v", len(from), got, want)
		}
		if err := r.Check(); err != nil {
			return fmt.Errorf("after replay: %w", err)
		}
	}
	return nil
}

func (c *script) replay(a args) ([]string, error) {
	c.o.Term = a.number("term", c.o.Term+1)
	s, err := Replay(c.o, c.records)
	if err != nil {
		return nil, err
	}
	c.s = s
	return nil, s.Check()
}

func (c *script) job(id JobID) ([]string, error) {
	v, ok := c.s.Job(id)
	if !ok {
		return []string{"no such job"}, nil
	}
	phase := func(p PhaseView) string {
		return fmt.Sprintf("%d/%d running=%d failed=%d bytes=%d/%d", p.Done, p.Tasks, p.Running, p.Failed, p.BytesDone, p.Bytes)
	}
	return []string{
		fmt.Sprintf("%v %s retries=%d workers=%d", v.State, v.Reason, v.Retries, v.Workers),
		"sample " + phase(v.Sample), "map " + phase(v.Map), "reduce " + phase(v.Reduce),
	}, nil
}

// args are the words after a command: plain ones and key=value.
type args struct {
	plain []string
	named map[string]string
}

func parseArgs(words []string) args {
	a := args{named: map[string]string{}}
	for _, w := range words {
		if k, v, ok := strings.Cut(w, "="); ok {
			a.named[k] = v
			continue
		}
		a.plain = append(a.plain, w)
	}
	return a
}

func (a args) word(i int) string {
	if i < len(a.plain) {
		return a.plain[i]
	}
	return ""
}

func (a args) has(flag string) bool { return slices.Contains(a.plain, flag) }

func (a args) number(key string, otherwise int) int {
	if n, err := strconv.Atoi(a.named[key]); err == nil {
		return n
	}
	return otherwise
}

func (a args) list(key string) []string {
	if a.named[key] == "" {
		return nil
	}
	return strings.Split(a.named[key], ",")
}

func (c *script) options(a args) error {
	c.o = Options{
		MaxUncharged:   a.number("max-uncharged", 0),
		BackupFraction: float64(a.number("backup-percent", 0)) / 100,
	}
	c.s = New(c.o)
	return nil
}

func (c *script) event(name string, a args) (Event, error) {
	job := JobID(a.word(0))
	switch name {
	case "submit":
		maps := make([]int64, a.number("maps", 0))
		for i := range maps {
			maps[i] = int64(a.number("bytes", 100))
		}
		return Submit{Job: JobID(a.named["job"]), Maps: maps, Reducers: a.number("reduce", 1), Weight: a.number("weight", 1),
			MaxAttempts: a.number("attempts", 0), Sample: a.has("sample"), Backup: a.has("backup"), Durable: a.has("durable")}, nil
	case "poll":
		return c.poll(WorkerID(a.word(0)), a)
	case "leave":
		return Leave{Worker: WorkerID(a.word(0))}, nil
	case "tick":
		return Tick{}, nil
	case "cancel":
		return Cancel{Job: job}, nil
	case "fail":
		return Fail{Job: job, Reason: strings.Join(a.plain[1:], " ")}, nil
	case "decided":
		return Decided{Job: job}, nil
	case "committed":
		return Committed{Job: job}, nil
	case "partslost":
		var lost []AttemptID
		for _, text := range a.list("of") {
			id, err := parseAttempt(text)
			if err != nil {
				return nil, err
			}
			lost = append(lost, id)
		}
		return PartsLost{Job: job, Attempts: lost}, nil
	}
	return nil, fmt.Errorf("unknown command")
}

// poll makes a worker's report: what it has runs on, but for what done= and fail= name. run= names attempts with their
// progress; with "only" nothing else runs.
func (c *script) poll(w WorkerID, a args) (Event, error) {
	c.slots[w] = a.number("slots", max(c.slots[w], 1))
	p := Poll{Worker: w, Slots: c.slots[w], Draining: a.has("draining")}
	for _, text := range a.list("done") {
		id, err := parseAttempt(text)
		if err != nil {
			return nil, err
		}
		p.Done = append(p.Done, Outcome{Attempt: id, Checksum: uint64(a.number("sum", 7))})
	}
	for _, text := range a.list("fail") {
		o, err := parseFailure(text)
		if err != nil {
			return nil, err
		}
		p.Done = append(p.Done, o)
	}
	for _, o := range p.Done {
		c.has[w] = remove(c.has[w], o.Attempt)
	}
	named := map[AttemptID]bool{}
	for _, text := range a.list("run") {
		id, progress, _ := strings.Cut(text, ":")
		at, err := parseAttempt(id)
		if err != nil {
			return nil, err
		}
		done, total, _ := strings.Cut(progress, "/")
		pr := Progress{Attempt: at}
		pr.Bytes, _ = strconv.ParseInt(done, 10, 64)
		pr.Total, _ = strconv.ParseInt(total, 10, 64)
		named[at] = true
		p.Running = append(p.Running, pr)
	}
	for _, id := range c.has[w] {
		if !named[id] && !a.has("only") {
			p.Running = append(p.Running, Progress{Attempt: id})
		}
	}
	for _, text := range a.list("slow") {
		if err := setSlow(p.Running, text); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// setSlow reads attempt:run:time into the progress of an attempt that runs.
func setSlow(running []Progress, text string) error {
	parts := strings.Split(text, ":")
	if len(parts) != 3 {
		return fmt.Errorf("slow %q: want attempt:run:time", text)
	}
	id, err := parseAttempt(parts[0])
	run, err1 := parseAttempt(parts[1])
	left, err2 := time.ParseDuration(parts[2])
	i := slices.IndexFunc(running, func(p Progress) bool { return p.Attempt == id })
	if i < 0 {
		err = errors.New("it does not run")
	}
	if err = errors.Join(err, err1, err2); err != nil {
		return fmt.Errorf("slow %q: %w", text, err)
	}
	running[i].Slow, running[i].Left = run, left
	return nil
}

// parseFailure reads attempt:kind:text, where the text of a failed fetch is the run.
func parseFailure(text string) (Outcome, error) {
	parts := strings.SplitN(text, ":", 3)
	id, err := parseAttempt(parts[0])
	if err != nil || len(parts) != 3 {
		return Outcome{}, fmt.Errorf("failure %q: want attempt:kind:text", text)
	}
	f := &Failure{Text: strings.ReplaceAll(parts[2], "_", " ")}
	f.Kind = FailureKind(slices.Index(failureNames, parts[1]))
	if f.Kind == FailFetch || f.Kind == FailReach {
		f.Run, err = parseAttempt(parts[2])
	}
	return Outcome{Attempt: id, Failure: f}, err
}

var failureNames = []string{"task", "fetch", "returned", "job", "worker", "reach"}

// parseAttempt reads job/phase-index.n.
func parseAttempt(text string) (AttemptID, error) {
	job, rest, _ := strings.Cut(text, "/")
	name, rest, _ := strings.Cut(rest, "-")
	index, n, _ := strings.Cut(rest, ".")
	phase := slices.Index([]string{"sample", "map", "reduce"}, name)
	i, err1 := strconv.Atoi(index)
	k, err2 := strconv.Atoi(n)
	if phase < 0 || err1 != nil || err2 != nil {
		return AttemptID{}, fmt.Errorf("attempt %q: want job/phase-index.n", text)
	}
	return AttemptID{Task: TaskID{Job: JobID(job), Phase: Phase(phase), Index: i}, N: k}, nil
}

func showAttempt(a AttemptID) string {
	return fmt.Sprintf("%s/%s-%d.%d", a.Task.Job, a.Task.Phase, a.Task.Index, a.N)
}

func showEffect(e Effect) string {
	switch e := e.(type) {
	case Assign:
		return fmt.Sprintf("assign %s %s", e.Worker, showAttempt(e.Attempt))
	case Kill:
		return fmt.Sprintf("kill %s %s: %s", e.Worker, showAttempt(e.Attempt), e.Reason)
	case Selected:
		return fmt.Sprintf("selected %s %s", e.Worker, showAttempt(e.Attempt))
	case RunLost:
		return fmt.Sprintf("runlost %s %s", e.Worker, showAttempt(e.Attempt))
	case Commit:
		parts := make([]string, len(e.Parts))
		for i, p := range e.Parts {
			parts[i] = strconv.Itoa(p.N)
		}
		return fmt.Sprintf("commit %s parts=%s", e.Job, strings.Join(parts, ","))
	case Ended:
		return strings.TrimSpace(fmt.Sprintf("ended %s %v %s", e.Job, e.State, e.Reason))
	case Failed:
		return fmt.Sprintf("failed %s %s %s charged %d/%d: %s", e.Worker, showAttempt(e.Attempt), failureNames[e.Failure.Kind], e.Charged, e.Max, e.Failure.Text)
	case Refused:
		return fmt.Sprintf("refused %s", e.Worker)
	case Noted:
		return "note " + strings.TrimSpace(fmt.Sprintf("%s %s: %s", e.Job, e.Worker, e.Text))
	case Record:
		switch e.Kind {
		case RecordSubmit:
			return fmt.Sprintf("record submit %s", e.Job)
		case RecordSelected:
			return fmt.Sprintf("record selected %s %s sum=%d", e.Worker, showAttempt(e.Attempt), e.Checksum)
		case RecordLost:
			return fmt.Sprintf("record lost %s", showAttempt(e.Attempt))
		case RecordRemake:
			return fmt.Sprintf("record remake %s", showAttempt(e.Attempt))
		}
		return fmt.Sprintf("record state %s %v", e.Job, e.State)
	}
	return fmt.Sprintf("%T", e)
}
