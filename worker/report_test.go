package worker

import (
	"bytes"
	"encoding/gob"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/master/wire"
	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/worker/shuffle"
)

// A report says of a reduce attempt which run it waits for that comes slowly, as the attempt that made it, and of others nothing.
func TestReportTellsOfSlowRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Options{})
		waits := &attempt{task: wire.Task{Attempt: wire.AttemptID{Task: wire.TaskID{Job: "a", Phase: wire.Reduce, Index: 3}, N: 1}}}
		waits.slow.Store(&shuffle.SlowRun{Map: 7, Attempt: 2, Left: time.Minute})
		other := &attempt{task: mapTask("a", 1)}
		r.mu.Lock()
		r.running[waits.task.Attempt], r.running[other.task.Attempt] = waits, other
		args, _, _ := r.pollArgs(false)
		clear(r.running)
		r.mu.Unlock()
		run := wire.AttemptID{Task: wire.TaskID{Job: "a", Phase: wire.Map, Index: 7}, N: 2}
		if p := args.Running; len(p) != 2 || p[0] != (wire.Progress{Attempt: other.task.Attempt}) || p[1] != (wire.Progress{Attempt: waits.task.Attempt, Slow: run, Left: time.Minute}) {
			t.Errorf("it reports %+v", p)
		}
	})
}

// What does not fit into one report goes with the next ones, which follow at once and in order. No attempt is missing from
// a report meanwhile, and each report fits into a request.
func TestReportsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Options{})
		bounds := &wire.SampleResult{}
		for range 10_000 {
			bounds.Bounds = append(bounds.Bounds, make([]byte, maxBound))
		}
		counters := map[string]int64{}
		for i := range jobs.MaxCounters {
			counters[fmt.Sprintf("%0*d", maxCounterName, i)] = 1 << 60
		}
		const outcomes = 20
		for i := range outcomes {
			o := wire.Outcome{Attempt: mapTask("count", i).Attempt, Failure: &wire.Failure{Text: strings.Repeat("x", maxFailureText)}}
			switch {
			case i%5 == 1:
				o = wire.Outcome{Attempt: o.Attempt, Sample: bounds}
			case i%2 == 0:
				o = wire.Outcome{Attempt: o.Attempt, Counters: counters, Parts: []wire.Part{{Name: "x", Pending: storage.Pending{URL: "mem://b/x", ID: "1"}}}}
			}
			r.finished(r.id, &o)
		}
		begun := time.Now()
		r.start()
		if got := r.script.outcomes(); len(got) != outcomes || got[0].Attempt.N != 0 || got[outcomes-1].Attempt.N != outcomes-1 || time.Since(begun) > 0 {
			t.Errorf("%d outcomes are reported after %v", len(got), time.Since(begun))
		}
		reported := 0
		for _, p := range r.script.polls {
			if n := reported + len(p.Done) + len(p.Running); n != outcomes {
				t.Errorf("poll %d knows %d attempts", p.Seq, n)
			}
			reported += len(p.Done)
			var b bytes.Buffer
			if err := gob.NewEncoder(&b).Encode(p); err != nil || b.Len() > wire.MaxRequest*9/10 {
				t.Errorf("poll %d has %d bytes, %v", p.Seq, b.Len(), err)
			}
		}
		let(3 * time.Second)
		if p := r.script.last(); len(p.Done)+len(p.Running) > 0 || p.Wait != r.o.Poll {
			t.Errorf("at the end it reports %+v", p)
		}
		r.stop()
	})
}

// A report that failed is sent again, and the rest after it.
func TestReportFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Options{})
		for i := range 40 {
			r.finished(r.id, &wire.Outcome{Attempt: mapTask("count", i).Attempt, Failure: &wire.Failure{Text: strings.Repeat("x", maxFailureText)}})
		}
		r.script.reply(func(args *wire.PollArgs) (*wire.PollReply, error) {
			if args.Seq%2 == 1 && len(args.Done) > 0 {
				return nil, wire.ErrUnreachable
			}
			return nil, nil
		})
		r.start()
		let(3 * time.Second)
		if got := r.script.outcomes(); len(got) != 40 || len(r.script.last().Done) > 0 {
			t.Errorf("%d outcomes are reported, and %d of them still", len(got), len(r.script.last().Done))
		}
		r.stop()
	})
}

// A task that counts under a name that is too long fails by that, in either phase, and leaves nothing in a bucket.
func TestCounterNameTooLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Options{})
		m, bucket, red := mapTask("long", 0), mapTask("long-bucket", 0), reduceTask("long", 0)
		r.script.once(assign(mapTask("count", 0)))
		r.start()
		r.script.publish(r.outcome(mapTask("count", 0)))
		r.script.once(assign(m, bucket), assign(red))
		let(5 * time.Second)
		for _, task := range []wire.Task{m, bucket, red} {
			if f := r.outcome(task).Failure; f == nil || f.Kind != wire.FailTask || !strings.Contains(f.Text, "has 257 bytes") {
				t.Errorf("%v: got %+v", task.Attempt, f)
			}
		}
		r.want("after they failed")
		r.stop()
	})
}

// Of too many names of counters a report has the first ones, and says that there were more, in either phase.
func TestTooManyCounters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Options{})
		m, red := mapTask("many", 0), reduceTask("many", 0)
		r.script.once(assign(m))
		r.start()
		r.script.publish(r.outcome(m))
		r.script.once(assign(red))
		let(5 * time.Second)
		for _, task := range []wire.Task{m, red} {
			o := r.outcome(task)
			if o.Failure != nil || len(o.Counters) != jobs.MaxCounters || !o.CountersCut {
				t.Errorf("%v: %d counters, cut %v, failure %+v", task.Attempt, len(o.Counters), o.CountersCut, o.Failure)
			}
		}
		if o := r.outcome(m); o.Counters["item 1000"] == 0 || o.Counters["item 999"] != 0 {
			t.Errorf("not the first names are kept: %v", o.Counters)
		}
		r.stop()
	})
}

// The names of counters are bounded.
func TestCheckCounters(t *testing.T) {
	long := strings.Repeat("n", maxCounterName)
	if err := checkCounters(map[string]int64{long: 1}); err != nil {
		t.Error(err)
	}
	if err := checkCounters(map[string]int64{long + "n": 1}); err == nil || !strings.Contains(err.Error(), "257 bytes") {
		t.Errorf("a long name: %v", err)
	}
}

// A failure's text is cut between characters, says so, and is text whatever it was.
func TestCutText(t *testing.T) {
	whole := strings.Repeat("x", maxFailureText)
	for _, test := range []struct{ in, want string }{
		{"", ""},
		{"bad \xff luck", "bad ? luck"},
		{whole, whole},
		{whole + "y", whole + "... (cut: the text has 16385 bytes)"},
		{whole[1:] + "\u20ac", whole[1:] + "... (cut: the text has 16386 bytes)"},
	} {
		if got := cutText(test.in); got != test.want {
			t.Errorf("of %d bytes: got %.20q...%q", len(test.in), got, got[max(0, len(got)-60):])
		}
	}
	if got := cutText(strings.Repeat("\x80", 3*maxFailureText)); !utf8.ValidString(got) || len(got) > maxFailureText+60 {
		t.Errorf("of no text: %d bytes", len(got))
	}
}

// A long error reaches the master by its beginning.
func TestLongError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Options{})
		m := mapTask("wordy", 0)
		r.script.once(assign(m))
		r.start()
		if f := r.outcome(m).Failure; f == nil || len(f.Text) > maxFailureText+100 || !strings.Contains(f.Text, "no number: xx") || !strings.Contains(f.Text, "cut:") {
			t.Errorf("got %+.300v", f)
		}
		r.stop()
	})
}
