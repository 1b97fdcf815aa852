package master

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/jobs/plan"
	"github.com/millrace/millrace/master/journal"
	"github.com/millrace/millrace/master/records"
	"github.com/millrace/millrace/master/sched"
	"github.com/millrace/millrace/master/wire"
	"github.com/millrace/millrace/storage/manifest"
	"github.com/millrace/millrace/storage/storagetest"
)

// seen is all that people are shown of an ended job.
type seen struct {
	Status    wire.JobStatus
	Listed    wire.JobStatus
	Lines     []wire.LogLine
	Explained wire.Explanation
	Task      wire.TaskReply
}

func (l *leader) seen(id wire.JobID, task string) (s seen) {
	l.t.Helper()
	ctx := l.t.Context()
	st, err := l.c.Watch(ctx, &wire.WatchArgs{Job: id})
	list, e := l.c.List(ctx, &wire.ListArgs{})
	err = errors.Join(err, e)
	logs, e := l.c.Logs(ctx, &wire.LogsArgs{Job: id})
	err = errors.Join(err, e)
	x, e := l.c.Explain(ctx, &wire.ExplainArgs{Job: id})
	if err = errors.Join(err, e); err != nil {
		l.t.Fatal(err)
	}
	s = seen{Status: *st, Lines: logs.Lines, Explained: *x}
	for _, j := range list.Jobs {
		if j.ID == id {
			s.Listed = j
		}
	}
	if task != "" {
		r, err := l.c.Task(ctx, &wire.TaskArgs{Job: id, Task: task})
		if err != nil {
			l.t.Fatal(err)
		}
		s.Task = *r
	}
	for _, st := range []*wire.JobStatus{&s.Status, &s.Listed, &s.Explained.Status} {
		st.Version, st.Workers = 0, 0 // of the master and the moment
	}
	return s
}

// entries counts the journal's entries and bytes of a job.
func (w *world) entries(id wire.JobID) (n, size int) {
	w.t.Helper()
	err := w.mem.Load(context.WithoutCancel(w.t.Context()), func(e journal.Entry) bool {
		if e.Job == id {
			n++
			size += len(bytes.Join(e.Records, nil))
		}
		return true
	})
	if err != nil {
		w.t.Error(err)
	}
	return n, size
}

// What is shown of a job that ended is the same under the next master, who knows it by a summary of some kilobytes, without the
// plan and without the storage: status, list, log, explanation, what its tasks read. Its id is known when it is submitted again, and its
// output is free.
func TestSummaries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		l := w.lead(false)
		s := spec()
		s.SkipBad = plan.Tolerance{Records: 9}
		l.mustSubmit(jobA, s)
		h := l.hire("w", 4)
		task := h.get(wire.Map)
		h.args.Done = append(h.args.Done, wire.Outcome{Attempt: task.Attempt, Failure: &wire.Failure{Text: "no luck"}})
		h.work(wire.Map, 3)
		h.work(wire.Reduce, 2)
		l.status(jobA, wire.Done)
		s.Output = "mem://b/out2"
		l.mustSubmit(jobB, s)
		l.cancel(jobB)
		l.status(jobB, wire.Cancelled)
		chain := chainSpec()
		chain.Output = "mem://b/chain"
		l.mustSubmit("cccccccc", chain)
		h.stage(3)
		h.waitFor("cccccccc", 1)
		l.cancel("cccccccc")
		l.status("cccccccc", wire.Cancelled)
		time.Sleep(time.Second)
		want := map[wire.JobID]seen{jobA: l.seen(jobA, "map-00001"), jobB: l.seen(jobB, "map-00001"), "cccccccc": l.seen("cccccccc", "")}
		if x := want[jobA]; x.Status.Retries != 1 || len(x.Lines) < 3 || x.Task.Checksum != 1 || x.Explained.Master.Total() != 0 && x.Status.Rows != 20 {
			t.Errorf("a job that proves nothing: %+v", x)
		}
		for id := range want {
			if n, size := w.entries(id); n != 2 || size > 5<<10 {
				t.Errorf("job %s: %d entries of %d bytes", id, n, size)
			}
		}
		l.depose()

		w.bad.Plan(storagetest.Fault{Times: -1})
		calls := w.bad.Calls(storagetest.OpList) + w.bad.Calls(storagetest.OpRead)
		next := w.lead(false)
		for id, was := range want {
			task := "map-00001"
			if id == "cccccccc" {
				task = ""
			}
			now := next.seen(id, task)
			for i := range reflect.TypeFor[seen]().NumField() {
				got, err := json.Marshal(reflect.ValueOf(now).Field(i).Interface())
				want, e := json.Marshal(reflect.ValueOf(was).Field(i).Interface())
				if !bytes.Equal(got, want) || err != nil || e != nil {
					t.Errorf("job %s: %s is\n%s, was\n%s", id, reflect.TypeFor[seen]().Field(i).Name, got, want)
				}
			}
			if err := next.submit(id, s); err != nil {
				t.Errorf("job %s submitted again: %v", id, err)
			}
		}
		time.Sleep(time.Minute)
		if n := w.bad.Calls(storagetest.OpList) + w.bad.Calls(storagetest.OpRead) - calls; n != 0 {
			t.Errorf("the next master asks the storage %d times", n)
		}
		w.bad.Plan()
		s.Overwrite = true
		next.mustSubmit("dddddddd", s)
		next.end()
	})
}

// However the master ends behind a job's end, between two of the steps of which its cleaning consists, the next one goes on: nothing is left
// in the output, the output is free, and the journal has the summary. The job's figures are the same.
func TestConcludeAtEveryStep(t *testing.T) {
	for _, plan := range []struct {
		name  string
		cut   string // the write to the journal that is the first not to be done
		nth   int
		fault storagetest.Fault
	}{
		{"before the sweep", "", 0, storagetest.Fault{Op: storagetest.OpUploads, Times: -1, Kind: storagetest.Stall}},
		{"before the log is replaced", "replace", 1, storagetest.Fault{}},
		{"before the plan is removed", "", 0, storagetest.Fault{Op: storagetest.OpRemove, Key: "**/submission-*", Times: -1, Kind: storagetest.Stall}},
		{"before the release", "release", 1, storagetest.Fault{}},
		{"before it is said that nothing is left", "append", 1, storagetest.Fault{}},
		{"after all of it", "append", 2, storagetest.Fault{}},
	} {
		for _, done := range []bool{true, false} {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				l := w.lead(false)
				w.manyInputs()
				s := spec()
				s.SplitSize = 1300
				l.mustSubmit(jobA, s)
				h := l.hire("w", 4)
				h.work(wire.Map, 3)
				if done {
					h.work(wire.Reduce, 1)
					h.do(wire.Reduce)
				}
				ends := plan.cut == "release" || plan.cut == "append" // the term, perhaps before this call is answered
				end := false                                          // the job's end is durable
				n := 0
				w.cut = func(op string) error {
					if l.ended(jobA) {
						end = true
					}
					if end && op == plan.cut {
						if n++; n >= plan.nth {
							return errors.New("cut off")
						}
					}
					return nil
				}
				w.bad.Plan(plan.fault)
				if done {
					if err := h.poll(); err != nil && !ends {
						t.Fatal(err)
					}
				} else if _, err := l.c.Cancel(t.Context(), &wire.CancelArgs{Job: jobA}); err != nil && !ends {
					t.Fatal(err)
				}
				time.Sleep(5 * time.Second)
				l.depose()
				w.cut = nil
				w.bad.Plan()

				next := w.lead(false)
				state := wire.Cancelled
				if done {
					state = wire.Done
				}
				st := next.status(jobA, state)
				if st.Map.Tasks != 3 || st.Records != 30 || done && st.Rows != 20 {
					t.Errorf("%s, done %v: status %+v", plan.name, done, st)
				}
				if done {
					w.want("out/", manifest.Name, "part-00000.arrow", "part-00001.arrow")
				} else {
					w.want("out/")
				}
				s.Overwrite = true
				if err := next.submit(jobB, s); err != nil {
					t.Errorf("%s, done %v: the output is not free: %v", plan.name, done, err)
				}
				time.Sleep(time.Second)
				if n, size := w.entries(jobA); n != 2 || size > maxSummary {
					t.Errorf("%s, done %v: %d entries of %d bytes", plan.name, done, n, size)
				}
				next.end()
			})
		}
	}
}

// ended says whether a job has ended. It is called amid a write of the loop.
func (l *leader) ended(id wire.JobID) bool {
	m := l.m()
	if m == nil || !m.mu.TryLock() {
		return false
	}
	defer m.mu.Unlock()
	j := m.jobs[id]
	return j != nil && !j.ended.IsZero()
}

// manyInputs adds so many inputs, with names that do not shrink, that a plan does not fit the journal.
func (w *world) manyInputs() {
	rnd := rand.New(rand.NewPCG(1, 2))
	for i := range 300 {
		name := make([]byte, 300)
		for k := range name {
			name[k] = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"[rnd.IntN(62)]
		}
		w.put(fmt.Sprintf("in/%s-%d", name, i), "some words\n")
	}
}

// A summary has a bound, whatever a job and its user put into it; what people look at first stays longest.
func TestSummaryBound(t *testing.T) {
	t.Parallel()
	m := newMaster(Options{}, term1)
	for name, grow := range map[string]func(*job){
		"lines": func(j *job) {
			j.log = slicesOf(500, func(int) wire.LogLine { return wire.LogLine{Text: noise(1 << 10)} })
		},
		"the spec": func(j *job) { j.spec.Inputs = slicesOf(5000, func(int) string { return noise(100) }) },
		"listed":   func(j *job) { j.listed = slicesOf(200, func(int) plan.Object { return plan.Object{URL: noise(1000)} }) },
		"explained": func(j *job) {
			j.explained = &wire.Explanation{Counters: slicesOf(1000, func(int) wire.CounterSpread { return wire.CounterSpread{Name: noise(100)} })}
		},
		"all": func(j *job) {
			j.spec.Params = map[string]string{noise(10): noise(100_000)}
			j.warnings = slicesOf(200, func(int) string { return noise(10_000) })
			j.reason = noise(16 << 10)
			j.log = slicesOf(500, func(int) wire.LogLine { return wire.LogLine{Text: noise(16 << 10)} })
			for range jobs.MaxCounters {
				j.counters.add(map[string]int64{noise(200): 1}, false)
			}
		},
	} {
		j := newJob(jobA, &plan.Plan{Spec: spec(), Maps: 1, Reducers: 1}, time.Now())
		grow(j)
		j.ended, j.state, j.explained = time.Now(), wire.JobFailed, j.explain()
		m.sched = sched.New(sched.Options{})
		block, err := m.summaryLocked(j)
		if err != nil || len(block) > maxSummary {
			t.Errorf("%s: %d bytes, %v", name, len(block), err)
			continue
		}
		kind, doc, err := m.codec.Open(block)
		if err != nil || kind != records.Summary {
			t.Fatal(err)
		}
		r, err := restore(jobA, doc)
		if err != nil || r.state != wire.JobFailed || r.spec.Output != "mem://b/out" || r.ended.IsZero() {
			t.Errorf("%s: restored %+v, %v", name, r, err)
			continue
		}
		if name == "the spec" {
			wantError(t, name, r.specGone(), wire.ErrNoTask, "mem://b/out", string(jobA))
		}
	}
	for _, doc := range []string{"{", "{}", `{"status":{"State":3}}`} {
		if _, err := restore(jobA, []byte(doc)); !errors.Is(err, records.ErrDamaged) || !strings.Contains(err.Error(), "summary") {
			t.Errorf("%s: %v", doc, err)
		}
	}
}

var (
	term1     = journal.Term{N: 1}
	candidate = journal.Candidate{}
)

// noise is a text that does not shrink, another one each time.
func noise(n int) string {
	b := make([]byte, n+8)
	for i := 0; i < n; i += 8 {
		binary.LittleEndian.PutUint64(b[i:], rand.Uint64()&0x3f3f3f3f3f3f3f3f+0x3030303030303030)
	}
	return string(b[:n])
}

func slicesOf[T any](n int, f func(int) T) []T {
	list := make([]T, n)
	for i := range list {
		list[i] = f(i)
	}
	return list
}
