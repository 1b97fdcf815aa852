package master

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/jobs/plan"
	"github.com/millrace/millrace/master/journal"
	"github.com/millrace/millrace/master/records"
	"github.com/millrace/millrace/master/sched"
	"github.com/millrace/millrace/master/wire"
	"github.com/millrace/millrace/storage/manifest"
	"github.com/millrace/millrace/worker/program"
)

// nextFormat is a journal as a newer version of millrace writes it: an older one does not understand that, and it understands both.
type nextFormat struct{ journal.Backend }

func withFormat(list [][]byte, format byte) [][]byte {
	out := make([][]byte, len(list))
	for i, r := range list {
		out[i] = append([]byte{format}, r[1:]...)
	}
	return out
}

func (f nextFormat) Append(ctx context.Context, term uint64, entries []journal.Entry) error {
	entries = slices.Clone(entries)
	for i := range entries {
		entries[i].Records = withFormat(entries[i].Records, 2)
	}
	return f.Backend.Append(ctx, term, entries)
}

func (f nextFormat) Replace(ctx context.Context, term uint64, id journal.JobID, list [][]byte) error {
	return f.Backend.Replace(ctx, term, id, withFormat(list, 2))
}

func (f nextFormat) Load(ctx context.Context, yield func(journal.Entry) bool) error {
	return f.Backend.Load(ctx, func(e journal.Entry) bool {
		e.Records = withFormat(e.Records, 1)
		return yield(e)
	})
}

// leads returns the master that leads, of some processes.
func leads(list ...*Process) *Master {
	synctest.Wait()
	for _, p := range list {
		if m, _, _ := p.state(); m != nil {
			return m
		}
	}
	return nil
}

// In the midst of a rolling upgrade the only master of the newer version dies, and there are jobs that it began or went on with. The
// older ones give it the chance to lead, then lead without these jobs, decide nothing about them and end nothing of theirs, and do all
// else. Once the newer one is back and an older one has led, it leads, and the jobs go on with what was done and under way.
func TestMixedVersions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		const begun, goneOn, untouched = jobA, jobB, wire.JobID("aaaaaaaa03")
		into := func(output string) plan.Spec {
			s := spec()
			s.Output = "mem://b/" + output
			return s
		}
		addrs := []string{"old:1", "new:1", "old:2"}
		l := &leader{world: w.world}
		_, stop := w.start("old:1", nil)
		l.c = w.dial(wire.RoleClient, time.Minute, addrs...)
		l.mustSubmit(goneOn, into("on"))
		l.mustSubmit(untouched, into("no"))
		h := w.hire("w", 30, addrs...)
		h.l = l
		h.beat(func() bool { return len(h.tasks) == 10 }) // all maps and reduces
		w.newer = true
		_, stopNew := w.start("new:1", nil)
		stop()
		i := slices.IndexFunc(h.tasks, func(t wire.Task) bool { return t.Attempt.Task.Job == goneOn })
		done := h.tasks[i]
		h.tasks = slices.Delete(h.tasks, i, i+1)
		h.args.Done = append(h.args.Done, h.result(done))
		l.mustSubmit(begun, into("out"))
		h.args.Holding = []wire.JobID{begun, goneOn, untouched}
		h.beat(func() bool { return len(h.tasks) == 14 && len(h.args.Done) == 0 })
		w.newer = false
		a, stopA := w.start("old:1", nil)
		c, stopC := w.start("old:2", nil)
		stopNew()
		time.Sleep(standAside + time.Second)
		old := leads(a, c)
		if old == nil || old.term.N != 5 {
			t.Fatal("after two that stood aside none leads in term 5")
		}
		for id, version := range map[wire.JobID]string{begun: "version 2.0.0 began it, this master has version 1.0.0", goneOn: "record "} {
			st := l.status(id, wire.Running)
			if len(st.Warnings) != 1 || !strings.Contains(st.Warnings[0], records.ErrNewer.Error()) || id == goneOn && !strings.Contains(st.Warnings[0], version) {
				t.Errorf("job %s: warnings %q", id, st.Warnings)
			}
			_, err := l.c.Cancel(t.Context(), &wire.CancelArgs{Job: id})
			wantError(t, "cancel", err, wire.ErrBusy, string(id), "cannot be read here", "a master of that version")
		}
		wantError(t, "another job in the same output", l.submit("cccccccc01", into("on")), wire.ErrOutputTaken)
		for range 20 {
			if err := h.poll(); err != nil {
				t.Fatal(err)
			}
			if len(h.reply.Ended) > 0 || len(h.tasks) != 14 {
				t.Fatalf("told %+v, has %d tasks", h.reply, len(h.tasks))
			}
		}
		h.finish(untouched)
		time.Sleep(10 * time.Minute)
		if m := leads(a, c); m != old {
			t.Error("its term does not last")
		}

		w.newer = true
		b, stopNew := w.start("new:1", nil)
		w.mem.Depose()
		time.Sleep(time.Second)
		if leads(b) == nil {
			t.Error("the newer one does not lead")
		}
		if err := h.poll(); err != nil {
			t.Fatal(err)
		}
		if st := l.status(goneOn, wire.Running); st.Map.Done != 1 || len(st.Warnings) > 0 {
			t.Errorf("it goes on as %+v", st)
		}
		h.finish(begun)
		h.finish(goneOn)
		for _, id := range []wire.JobID{begun, goneOn, untouched} {
			l.status(id, wire.Done)
		}
		for _, out := range []string{"out/", "on/", "no/"} {
			w.want(out, manifest.Name, "part-00000.arrow", "part-00001.arrow")
		}
		for _, stop := range []func(){stopA, stopC, stopNew} {
			stop()
		}
		w.ended.Wait()
		l.c.Close()
		h.c.Close()
	})
}

// A master alone, with a job that needs another version, stands aside once and then leads; soon after that it does not again.
func TestStandAside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		w.writeLog("x", []byte(`{"record":{}}`))
		p, stop := w.start("a:1", nil)
		for _, x := range []struct {
			after time.Duration
			aside bool
		}{{0, true}, {time.Second, false}, {asideEvery / 2, false}, {asideEvery, true}} {
			time.Sleep(x.after)
			w.mem.Depose()
			time.Sleep(maxStandPause / 2)
			if m := leads(p); (m == nil) != x.aside {
				t.Errorf("deposed after another %v: stood aside %v", x.after, !x.aside)
			}
			time.Sleep(standAside)
			if leads(p) == nil {
				t.Fatalf("deposed after another %v: it does not lead", x.after)
			}
		}
		stop()
		w.ended.Wait()
	})
}

// unknown is the first block of a log with a field that only another version knows.
func unknown(t *testing.T, s plan.Spec) []byte {
	t.Helper()
	packed, err := records.AppendPlan(nil, &s, []plan.Object{oneObject})
	if err != nil {
		t.Fatal(err)
	}
	doc, err := withPlan(map[string]any{"job": s.Job, "output": s.Output, "maps": 1, "reducers": 2, "version": "0.0.9", "sorted": true}, packed)
	if err != nil {
		t.Fatal(err)
	}
	return records.NewCodec().Document(records.Submission, doc)
}

// What was begun in a way that this version would not go on with waits, by name. It can be cancelled as long as its records say that
// nothing is decided; then its output is free. Where they are not understood, nobody knows.
func TestPlannedElsewhere(t *testing.T) {
	p, err := plan.Make(spec(), []plan.Object{oneObject})
	if err != nil {
		t.Fatal(err)
	}
	other := spec()
	other.Shuffle = "by post"
	foreign := states(sched.Committing)
	foreign[0] = 2
	for name, x := range map[string]struct {
		blocks  [][]byte
		warning string
		refused string // why it cannot be cancelled
		state   wire.JobState
	}{
		"other cuts":                  {[][]byte{planned(t, spec(), 1, oneObject)}, "cuts the input otherwise", "", wire.Running},
		"a setting that is new":       {[][]byte{planned(t, other, cutsOf(p), oneObject)}, "by post", "", wire.Running},
		"no inputs":                   {[][]byte{planned(t, spec(), 0)}, "no input objects", "", wire.Running},
		"decided":                     {[][]byte{planned(t, spec(), 1, oneObject), states(sched.Committing)}, "cuts the input otherwise", "was decided", wire.Committing},
		"a field that is new":         {[][]byte{unknown(t, spec())}, `record 0: its head: the field "sorted"`, "cannot be read here", wire.Running},
		"a record of another format":  {[][]byte{planned(t, spec(), cutsOf(p), oneObject), foreign}, "record 1: format 2", "cannot be read here", wire.Running},
		"other cuts, and a newer end": {[][]byte{planned(t, spec(), 1, oneObject), foreign}, "cuts the input otherwise", "cannot be read here", wire.Running},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newTown(t)
			w.writeLog(jobA, x.blocks...)
			_, stop := w.start("a:1", nil)
			time.Sleep(standAside)
			l := &leader{world: w.world, c: w.dial(wire.RoleClient, time.Minute, "a:1")}
			st := l.status(jobA, x.state)
			if len(st.Warnings) != 1 || !strings.Contains(st.Warnings[0], x.warning) || !strings.Contains(st.Warnings[0], "version 0.0.9 began it, this master has version 1.0.0") ||
				st.Output != "mem://b/out" || st.Job != "count" {
				t.Errorf("%s: status %+v", name, st)
			}
			lines, err := l.c.Logs(t.Context(), &wire.LogsArgs{Job: jobA})
			if err != nil || len(lines.Lines) != 1 || !strings.Contains(lines.Lines[0].Text, "it waits until a master leads") {
				t.Errorf("%s: its log says %+v, %v", name, lines, err)
			}
			r, err := l.c.Cancel(t.Context(), &wire.CancelArgs{Job: jobA})
			switch {
			case x.refused != "":
				wantError(t, name+": cancel", err, wire.ErrBusy, x.refused, x.warning)
			case err != nil || r.State != wire.Cancelled:
				t.Errorf("%s: cancel: %v, %v", name, r, err)
			default:
				time.Sleep(time.Second)
				l.status(jobA, wire.Cancelled)
				l.mustSubmit(jobB, spec())
			}
			stop()
			w.ended.Wait()
			l.c.Close()
		})
	}
}

// A chain waits for a master that carries the code which says what stage comes next, and goes on there; no other fails it. Until then
// its workers keep what they have done.
func TestChainOfAnotherVersion(t *testing.T) {
	other, err := program.NewRegistry("another version", chains.Jobs()...)
	if err != nil {
		t.Fatal(err)
	}
	for name, programs := range map[string]Programs{"of another version": other, "without chains": nil} {
		synctest.Test(t, func(t *testing.T) {
			w := newTown(t)
			w.programs = chains
			_, stop := w.start("a:1", nil)
			addrs := []string{"a:1", "b:1", "c:1"}
			l := &leader{world: w.world, c: w.dial(wire.RoleClient, time.Minute, addrs...)}
			l.mustSubmit(jobA, chainSpec())
			h := w.hire("w", 4, addrs...)
			h.l = l
			h.stage(3)
			h.waitFor(jobA, 1)
			h.work(wire.Map, 1)
			stop()
			w.ended.Wait()

			w.programs = programs
			_, stop = w.start("b:1", nil)
			time.Sleep(standAside + time.Second)
			had := len(h.tasks)
			if err := h.poll(); err != nil || len(h.tasks) != had {
				t.Errorf("%s: it is given %v, %v", name, h.tasks[had:], err)
			}
			if st := l.status(jobA, wire.Running); len(st.Warnings) != 1 || !strings.Contains(st.Warnings[0], "another version") {
				t.Errorf("%s: %+v", name, st)
			}
			stop()
			w.ended.Wait()

			w.programs = chains
			_, stop = w.start("c:1", nil)
			time.Sleep(time.Second)
			h.work(wire.Reduce, 1)
			if st := h.waitFor(jobA, 2); len(st.Warnings) > 0 || st.Stages[0].Rows != 10 {
				t.Errorf("%s: it goes on as %+v", name, st)
			}
			h.stage(1)
			if st := l.status(jobA, wire.Done); st.NumStages != 3 || st.Retries != 0 {
				t.Errorf("%s: it ends as %+v", name, st)
			}
			w.want("out/", manifest.Name, "part-00000.arrow")
			stop()
			w.ended.Wait()
			l.c.Close()
			h.c.Close()
		})
	}
}
