package console

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/jobs/plan"
	"github.com/millrace/millrace/master/wire"
	"github.com/millrace/millrace/storage/manifest"
)

// evil is a string that would take over a terminal: colours, a window title, a cleared screen, a C1 control, text that runs
// backwards, a line end and a byte that is not UTF-8.
const evil = "a\x1b[31mb\x1b]0;title\x07c\x1b[2J\u009b1md\u202ee\r\nf\xff\x00"

// checkSafe fails when a byte of out could make a terminal do something else than show text.
func checkSafe(t *testing.T, what, out string) {
	t.Helper()
	for _, r := range out {
		if r < ' ' && r != '\n' && r != '\t' || r >= 0x7f && r <= 0x9f || r == '\u202e' {
			t.Errorf("%s: %q in %q", what, r, out)
			return
		}
	}
}

// evilStatus has a hostile string wherever a user or a file can put one.
func evilStatus(state wire.JobState) wire.JobStatus {
	st := finished()
	st.State, st.Job, st.ID, st.Error, st.Output = state, evil, evil, evil, "s3://"+evil
	st.Params, st.Counters = map[string]string{evil: evil}, map[string]int64{evil: 1}
	st.Inputs, st.Parts = []string{evil}, []string{evil, evil}
	st.Side = []plan.SideInput{{Name: evil, URL: evil, Size: 1}}
	st.Outputs = []wire.OutputStatus{{Name: evil, Parts: 1, Rows: 1}}
	st.Rejected, st.First = 3, []string{evil, evil}
	return st
}

// No name, path, parameter, counter, error or value reaches the terminal with its control characters.
func TestSafe(t *testing.T) {
	t.Parallel()
	for _, state := range []wire.JobState{wire.Running, wire.Committing, wire.Done, wire.JobFailed, wire.Cancelled} {
		st := evilStatus(state)
		var out bytes.Buffer
		err := errors.Join(
			Summary(&out, "millrace", st, time.Second), StatusText(&out, st, start), JobsTable(&out, []wire.JobStatus{st}, start, 0),
			NewReport(st, time.Second).Write(&out))
		if err != nil {
			t.Fatal(err)
		}
		p := New(&out, Options{})
		p.Update(st)
		p = New(&out, Options{TTY: true, NoColor: true})
		p.Update(st)
		checkSafe(t, state.String(), strings.ReplaceAll(out.String(), "\r", ""))
	}
}

// Line makes one line of anything; Lines keeps the lines of a stack.
func TestLine(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ in, line, lines string }{
		{"plain", "plain", "plain"},
		{"日本語 🙂", "日本語 🙂", "日本語 🙂"},
		{"a\tb\nc", "a b c", "a\tb\nc"},
		{"a\r\nb", "a  b", "a\nb"},
		{"\x1b[31mred", "[31mred", "[31mred"},
		{"\u009b31m\x7f\x00", "31m", "31m"},
		{"bad\xff", "bad\uFFFD", "bad\uFFFD"},
		{"\u202egnp.exe\u2066\u2028", "gnp.exe ", "gnp.exe "},
	} {
		if got := Line(c.in); got != c.line {
			t.Errorf("Line(%q) is %q: want %q", c.in, got, c.line)
		}
		if got := Lines(c.in); got != c.lines {
			t.Errorf("Lines(%q) is %q: want %q", c.in, got, c.lines)
		}
	}
}

// The summaries of jobs that ended well, with little, badly, and by their user's wish.
// The summary and the status name each side input, where it lies and its size, below the input; a job without has no such line.
func TestSideInputFacts(t *testing.T) {
	t.Parallel()
	write := func(st wire.JobStatus) (summary, status string) {
		var a, b bytes.Buffer
		if err := errors.Join(Summary(&a, "millrace", st, time.Second), StatusText(&b, st, start)); err != nil {
			t.Fatal(err)
		}
		return a.String(), b.String()
	}
	st := finished()
	if a, b := write(st); strings.Contains(a+b, "  side ") {
		t.Errorf("without side inputs:\n%s%s", a, b)
	}
	st.Side = []plan.SideInput{{Name: "stations", URL: "file:///data/stations.csv", Size: 12_345}, {Name: "model", URL: "s3://b/model", Size: 8}}
	const want = "  side       stations: /data/stations.csv, 12 kB\n             model: s3://b/model, 8 B\n"
	a, b := write(st)
	if !strings.Contains(a, want+"  tasks ") {
		t.Errorf("the summary is\n%swant\n%s", a, want)
	}
	if !strings.Contains(b, want+"  output ") {
		t.Errorf("the status is\n%swant\n%s", b, want)
	}
}

func TestSummary(t *testing.T) {
	t.Parallel()
	failed := finished()
	failed.State, failed.Parts, failed.NumParts = wire.JobFailed, nil, 0
	failed.Error = "map file:///data/x.log at byte 1234: strconv.Atoi: parsing \"n/a\": invalid syntax\n\tafter 4 attempts"
	cancelled := failed
	cancelled.State, cancelled.Error = wire.Cancelled, ""
	little := finished()
	little.Objects, little.Records, little.InBytes, little.Pairs, little.Shuffled, little.Spilled = 1, 1, 12, 1, 40, 0
	little.Rows, little.OutBytes, little.NumParts, little.Parts = 1, 900, 1, little.Parts[:1]
	little.Map.Tasks, little.Reduce.Tasks, little.Retries, little.Counters = 1, 1, 0, nil
	little.Output = "file:///tmp/it's here"
	many := finished()
	many.NumParts, many.Output = 256, "s3://bucket/out"
	bad := finished()
	bad.Rejected, bad.SkipBad = 7, "0.1%"
	bad.First = []string{"map file:///data/x.log at byte 17: no number: " + strings.Repeat("long ", 50), "map s3://b/y at byte 0: panic: boom"}
	bad.Outputs = []wire.OutputStatus{{Name: manifest.Rejected, Parts: 2, Rows: 7, Bytes: 900}}
	badFailed := bad
	badFailed.State, badFailed.Error = wire.JobFailed, "too many bad records: 8 or more, and --skip-bad-records allows 7"
	badStages := bad
	badStages.NumStages, badStages.Rejected, badStages.Outputs = 2, 2, nil
	for name, st := range map[string]wire.JobStatus{
		"bad": bad, "bad-failed": badFailed, "bad-stages": badStages, "done": finished(), "failed": failed, "cancelled": cancelled, "little": little, "many": many,
	} {
		var out bytes.Buffer
		if err := Summary(&out, "millrace", st, 5210*time.Millisecond); err != nil {
			t.Fatal(err)
		}
		golden(t, "summary-"+name, out.Bytes())
	}
}

// The report has the fields that scripts rely on, also for a job of which little is known, and is JSON whatever the names.
func TestReport(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := errors.Join(NewReport(finished(), 5210*time.Millisecond).Write(&out),
		NewReport(wire.JobStatus{State: wire.JobFailed, Error: "no such input"}, 0).Write(&out)); err != nil {
		t.Fatal(err)
	}
	golden(t, "report", out.Bytes())
	out.Reset()
	st := evilStatus(wire.Done)
	if err := NewReport(st, time.Second).Write(&out); err != nil {
		t.Fatal(err)
	}
	var back Report
	if err := json.Unmarshal(out.Bytes(), &back); err != nil {
		t.Fatal(err)
	}
	if want := strings.ToValidUTF8(evil, "\uFFFD"); back.Job != want {
		t.Errorf("job came back as %q: want %q", back.Job, want)
	}
}

// The list of jobs, cut to a terminal's width and whole, and the status of one job in each state.
func TestJobsAndStatus(t *testing.T) {
	t.Parallel()
	failed := finished()
	failed.State, failed.Error, failed.ID = wire.JobFailed, "map file:///x at byte 3: boom", "91b2c3d4e5"
	busy := running(7)
	busy.ID, busy.Output = "00c2aa", "s3://a-bucket/with/a/rather/long/prefix/for/its/output"
	busy.Map.Failed, busy.Retries = 2, 2
	for i := range 12 {
		busy.Inputs = append(busy.Inputs, "s3://logs/day-"+string(rune('a'+i)))
	}
	now := start.Add(3 * time.Minute)
	var out bytes.Buffer
	if err := errors.Join(
		JobsTable(&out, nil, now, 80),
		JobsTable(&out, []wire.JobStatus{busy, failed, finished()}, now, 0),
		JobsTable(&out, []wire.JobStatus{busy, failed, finished()}, now, 80),
	); err != nil {
		t.Fatal(err)
	}
	golden(t, "jobs", out.Bytes())
	out.Reset()
	if err := errors.Join(StatusText(&out, busy, now), StatusText(&out, failed, now), StatusText(&out, finished(), now)); err != nil {
		t.Fatal(err)
	}
	golden(t, "status", out.Bytes())
}

// Numbers as people read them, at the places where the unit changes.
func TestUnits(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ got, want string }{
		{span(0), "0.00 s"}, {span(-time.Second), "0.00 s"}, {span(1234 * time.Millisecond), "1.23 s"},
		{span(9996 * time.Millisecond), "10.0 s"}, {span(59_940 * time.Millisecond), "59.9 s"},
		{span(59_960 * time.Millisecond), "1 m 00 s"}, {span(3599 * time.Second), "59 m 59 s"},
		{span(3599_600 * time.Millisecond), "1 h 00 m"}, {span(49*time.Hour + 5*time.Minute), "49 h 05 m"},
		{coarse(400 * time.Millisecond), "0 s"}, {coarse(59 * time.Second), "59 s"}, {coarse(60 * time.Second), "1 m 00 s"},
		{speed(0, time.Second), ""}, {speed(10, 0), ""}, {speed(345e6, time.Second), "345 MB/s"}, {speed(1, time.Hour), ""},
		{clock(0), "0:00"}, {clock(59_600 * time.Millisecond), "1:00"}, {clock(59*time.Minute + 59*time.Second), "59:59"}, {clock(2*time.Hour + 5*time.Minute), "2:05:00"},
		{amountOf(1_200_000_000, 1_800_000_000), "1.2 of 1.8 GB"}, {amountOf(5_000_000, 1_800_000_000), "5.0 MB of 1.8 GB"},
		{amountOf(5, 10), "5 of 10 B"}, {amount(-1), "0 B"}, {count(1, "row", "rows"), "1 row"}, {count(1234, "row", "rows"), "1,234 rows"},
		{place("file:///a/b%20c"), "/a/b c"}, {place("s3://b/k"), "s3://b/k"}, {place("/a:b%"), "/a:b%"},
		{word("/tmp/a-b_c.d"), "/tmp/a-b_c.d"}, {word("a b"), "'a b'"}, {word("it's"), `'it'\''s'`}, {word(""), "''"}, {word("$(rm)"), "'$(rm)'"},
		{cut("日本語", 4), "日…"}, {cut("abc", 3), "abc"}, {cut("abcd", 3), "ab…"}, {cut("abcd", 0), "abcd"},
	} {
		if c.got != c.want {
			t.Errorf("got %q: want %q", c.got, c.want)
		}
	}
}
