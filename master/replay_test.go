package master

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/master/wire"
)

func (l *leader) task(id wire.JobID, name string) *wire.TaskReply {
	l.t.Helper()
	r, err := l.c.Task(l.t.Context(), &wire.TaskArgs{Job: id, Task: name})
	if err != nil {
		l.t.Fatal(err)
	}
	return r
}

// What running a task again takes is known while its job runs and when it has ended, with what its result was; of a job that
// failed the first inputs too, since no manifest has them.
func TestTask(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		l := w.lead(true)
		l.mustSubmit(jobA, spec())
		h := l.hire("w", 4)
		m := h.do(wire.Map)
		o := h.do(wire.Map)
		h.report()
		_ = o
		r := l.task(jobA, "map-0")
		if r.Selected != (m.Map.Checksum != 0) || r.Checksum != m.Map.Checksum || r.Objects != 3 || len(r.Listed) != 3 || r.Spec.SplitSize != 110 || r.Spec.Reducers != 2 || r.State != wire.Running {
			t.Errorf("a running job's map: %+v", r)
		}
		if r := l.task(jobA, "map-1"); !r.Selected || r.Checksum != 1 {
			t.Errorf("map 1: %+v", r)
		}
		if r := l.task(jobA, "map-2"); r.Selected {
			t.Errorf("a map without a run: %+v", r)
		}
		digest := r.Digest
		h.work(wire.Map, 1)
		part := h.do(wire.Reduce)
		h.report()
		if r := l.task(jobA, taskName(part.Attempt.Task)); !r.Selected || !slices.Equal(r.Parts, part.Parts) || len(r.Parts) != 1 {
			t.Errorf("a running job's reduce: %+v", r)
		}
		h.work(wire.Reduce, 1)
		l.status(jobA, wire.Done)
		if r := l.task(jobA, "map-2"); !r.Selected || r.Checksum != 2 || r.Digest != digest || digest == "" || r.State != wire.Done || len(r.Listed) != 0 {
			t.Errorf("an ended job's map: %+v", r)
		}

		s := spec()
		s.Output = "mem://b/other"
		l.mustSubmit(jobB, s)
		time.Sleep(time.Second)
		l.cancel(jobB)
		h.beat(func() bool { return l.status(jobB, wire.Cancelled) != nil })
		if r := l.task(jobB, "reduce-1"); r.Selected || r.Digest != digest || len(r.Listed) != 3 {
			t.Errorf("a cancelled job's reduce: %+v", r)
		}
		for name, want := range map[string]string{"map-3": "has 3 map tasks", "sample-0": "write map-00003"} {
			_, err := l.c.Task(t.Context(), &wire.TaskArgs{Job: jobA, Task: name})
			wantError(t, name, err, wire.ErrNoTask, want)
		}
		l.end()
	})
}
