package master

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/millrace/millrace/master/wire"
)

// A success without the result of its phase, or with one that is not its task's, is a failure of its attempt: it ends neither
// the master nor the job, and the task is done again.
func TestUnfitSuccess(t *testing.T) {
	for want, test := range map[string]struct {
		phase wire.Phase
		spoil func(*wire.Outcome)
	}{
		"no sample in it":                    {wire.Sample, func(o *wire.Outcome) { o.Sample = nil }},
		"2 boundaries for 2 partitions":      {wire.Sample, func(o *wire.Outcome) { o.Sample.Bounds = make([][]byte, 2) }},
		"no run in it":                       {wire.Map, func(o *wire.Outcome) { o.Map = nil }},
		"a run of -1 bytes":                  {wire.Map, func(o *wire.Outcome) { o.Map.Size = -1 }},
		"bytes of names and texts, of which": {wire.Map, func(o *wire.Outcome) { o.Counters[strings.Repeat("x", maxOutcome)] = 1 }},
		"no result of a reduce task":         {wire.Reduce, func(o *wire.Outcome) { o.Reduce = nil }},
		"no part part-0000":                  {wire.Reduce, func(o *wire.Outcome) { o.Parts = nil }},
		`part "errors/part-0000`:             {wire.Reduce, func(o *wire.Outcome) { o.Parts = append(o.Parts, wire.Part{Name: "errors/part-00000.arrow", Rows: 1}) }},
		`part "part-00000.arrow" of 1 rows`:  {wire.Map, func(o *wire.Outcome) { o.Parts = []wire.Part{{Name: "part-00000.arrow", Rows: 1}} }},
		"a part of 0 bytes and -1 rows":      {wire.Reduce, func(o *wire.Outcome) { o.Parts[0].Rows, o.Parts[0].Pending.Size = -1, 0 }},
		`its part is "mem://b/in/0", not me`: {wire.Reduce, func(o *wire.Outcome) { o.Parts[0].Pending.URL = "mem://b/in/0" }},
	} {
		synctest.Test(t, func(t *testing.T) {
			l := newWorld(t).lead(true)
			s := spec()
			s.Info.TotalOrder = true
			l.mustSubmit(jobA, s)
			h := l.hire("w", 1)
			for phase, n := range []int{1, 3, 2} {
				if wire.Phase(phase) == test.phase {
					o := h.result(h.get(test.phase))
					test.spoil(&o)
					h.args.Done = []wire.Outcome{o}
				}
				h.work(wire.Phase(phase), n)
			}
			if got := l.status(jobA, wire.Done); got.Retries != 1 || got.Records != 30 || got.Rows != 20 {
				t.Errorf("%s: %d retries, %d records, %d rows", want, got.Retries, got.Records, got.Rows)
			}
			if !slices.ContainsFunc(l.lines(jobA), func(x wire.LogLine) bool { return strings.Contains(x.Text, want) }) {
				t.Errorf("the log does not say %q", want)
			}
			l.end()
		})
	}
}

// lines reads a job's whole log, page by page.
func (l *leader) lines(id wire.JobID) (lines []wire.LogLine) {
	l.t.Helper()
	args := &wire.LogsArgs{Job: id}
	for {
		r, err := l.c.Logs(l.t.Context(), args)
		if err != nil {
			l.t.Fatal(err)
		}
		lines = append(lines, r.Lines...)
		if r.End || len(r.Lines) == 0 {
			return lines
		}
		args.Cursor = r.Cursor
	}
}

// Failures with long texts neither fill the master nor make a log or a list too long to be delivered.
func TestLongFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newWorld(t).lead(true)
		s := spec()
		s.MaxAttempts = 100
		l.mustSubmit(jobA, s)
		h := l.hire("w", 3)
		for range 90 {
			o := wire.Outcome{Attempt: h.get(wire.Map).Attempt, Failure: &wire.Failure{Text: strings.Repeat("x", 900<<10)}}
			h.args.Done = []wire.Outcome{o}
			if err := h.poll(); err != nil {
				t.Fatal(err)
			}
		}
		o := wire.Outcome{Attempt: h.get(wire.Map).Attempt, Failure: &wire.Failure{Kind: wire.FailJob, Text: strings.Repeat("y", 900<<10)}}
		h.args.Done = []wire.Outcome{o}
		if err := h.poll(); err != nil {
			t.Fatal(err)
		}
		if got := l.status(jobA, wire.JobFailed); len(got.Error) < maxFailure || len(got.Error) > maxFailure+1000 {
			t.Errorf("the job's error has %d bytes", len(got.Error))
		}
		if r, err := l.c.Logs(t.Context(), &wire.LogsArgs{Job: jobA}); err != nil || len(r.Lines) < 60 || r.End {
			t.Errorf("the first page has %d lines, %v", len(r.Lines), err)
		}
		if lines := l.lines(jobA); len(lines) < 91 {
			t.Errorf("the log has %d lines", len(lines))
		}
		if r, err := l.c.List(t.Context(), &wire.ListArgs{}); err != nil || len(r.Jobs[0].Error) > maxListed+100 {
			t.Errorf("List gives %d bytes of error, %v", len(r.Jobs[0].Error), err)
		}
		l.end()
	})
}

// Tasks of many objects with long names come in several answers, one right after the other, and none is lost.
func TestLongTasks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newWorld(t).lead(true)
		const objects = 8000
		for i := range objects {
			l.put(fmt.Sprintf("long/%s/%06d", strings.Repeat("k", 900), i), "x")
		}
		s := spec()
		s.Inputs = []string{"mem://b/long/"}
		l.mustSubmit(jobA, s)
		h := l.hire("w", 80)
		h.args.Wait = time.Minute
		begun, pieces := time.Now(), 0
		for range s.MaxAttempts + objects/110 + 2 {
			if err := h.poll(); err != nil {
				t.Fatal(err)
			}
			size := 0
			for _, task := range h.reply.Assign {
				size += len(task.Split.Pieces)
			}
			if pieces += size; pieces == objects {
				break
			}
			if size == 0 || size > 1200 {
				t.Fatalf("an answer has %d tasks of %d objects after %d", len(h.reply.Assign), size, pieces)
			}
		}
		if pieces != objects || time.Since(begun) > 0 {
			t.Errorf("%d objects were given in %v", pieces, time.Since(begun))
		}
		h.tasks = nil
		l.end()
	})
}

// A text is cut between two characters.
func TestCut(t *testing.T) {
	t.Parallel()
	if got := cut("short", 5); got != "short" {
		t.Errorf("got %q", got)
	}
	for n := range 6 {
		if got := cut("äöü", n); !utf8.ValidString(got) || n < 6 && !strings.Contains(got, "bytes more") {
			t.Errorf("cut to %d: %q", n, got)
		}
	}
}
