package master

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/jobs/plan"
	"github.com/millrace/millrace/master/records"
	"github.com/millrace/millrace/master/wire"
	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/manifest"
	"github.com/millrace/millrace/storage/storagetest"
)

// bulkIn names the block of the journal that lies in the output, and fails without one.
func (w *world) bulkIn(prefix string) string {
	w.t.Helper()
	for _, name := range w.names(prefix) {
		if isBulk("mem://b/" + prefix + name) {
			return "mem://b/" + prefix + name
		}
	}
	w.t.Fatalf("no plan lies in %s: %q", prefix, w.names(prefix))
	return ""
}

// A plan that is too long for the journal lies in the output while the job runs, whoever leads, and is gone when it has ended. A
// short one costs no request. Runs in the bucket, which are swept before, do not take it along.
func TestBulk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		l := w.lead(false)
		s := spec()
		s.Shuffle = "bucket"
		puts := w.bad.Calls(storagetest.OpPut)
		l.mustSubmit(jobB, s)
		if n := w.bad.Calls(storagetest.OpPut) - puts; n != 1 {
			t.Errorf("a small job writes %d objects when it is submitted, not its claim alone", n)
		}
		l.cancel(jobB)
		l.status(jobB, wire.Cancelled)
		w.manyInputs()
		s.SplitSize = 1300
		l.mustSubmit(jobA, s)
		w.bulkIn("out/")
		if n, size := w.entries(jobA); n != 1 || size > 1<<10 {
			t.Errorf("the journal has %d entries of %d bytes of it", n, size)
		}
		l.hire("w", 4).work(wire.Map, 1)
		l.depose()

		next := w.lead(false)
		if st := next.status(jobA, wire.Running); st.Objects != 303 || st.Map.Tasks != 3 || st.Map.Done != 1 {
			t.Errorf("the next master knows %+v", st)
		}
		h := next.hire("v", 4)
		h.work(wire.Map, 2)
		h.do(wire.Reduce)
		h.do(wire.Reduce)
		w.bad.Plan(storagetest.Fault{Op: storagetest.OpPut, Key: "**/" + manifest.Name, Times: -1}) // the sweep before it has been
		if err := h.poll(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		w.bulkIn("out/")
		next.depose()
		w.bad.Plan()
		third := w.lead(false)
		third.status(jobA, wire.Done)
		w.want("out/", manifest.Name, "part-00000.arrow", "part-00001.arrow")
		third.end()
	})
}

// A submission of which the plan cannot be written is none, leaves its output free, and nothing in it.
func TestBulkRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		l := w.lead(false)
		w.manyInputs()
		w.bad.Plan(storagetest.Fault{Op: storagetest.OpPut, Key: "**/submission-*", Times: -1, Err: storage.ErrDenied})
		wantError(t, "a plan that cannot be written", l.submit(jobA, spec()), nil, "out/.millrace-"+string(jobA)+"/submission-", "access denied")
		w.bad.Plan()
		l.mustSubmit(jobB, spec())
		s := spec()
		s.Output = "mem://b/out/inside"
		wantError(t, "a nested output", l.submit(jobA, s), wire.ErrOutputTaken)
		w.want("out/inside/")
		l.end()
	})
}

// A plan that is gone or damaged fails its job by name, whatever the job had come to, and no other. The next master knows that by
// the summary. A storage that does not answer fails nothing: the journal is loaded later.
func TestBulkLost(t *testing.T) {
	gone := func(w *world, url string) error { return w.st.Remove(w.t.Context(), url) }
	for name, c := range map[string]struct {
		damage func(w *world, url string) error
		decide bool
		want   []string
	}{
		"gone":         {gone, false, []string{"its plan: ", "is gone", "out/.millrace-" + string(jobA) + "/submission-", "run the job again"}},
		"cut off":      {func(w *world, url string) error { return w.st.Put(w.t.Context(), url, []byte("x"), false) }, false, []string{"it has 1 bytes, not "}},
		"other bytes":  {flip, false, []string{"it is damaged", "SHA-256"}},
		"when decided": {gone, true, []string{"with --overwrite", manifest.Name}},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			l := w.lead(false)
			s := spec()
			s.Output = "mem://b/other"
			l.mustSubmit(jobB, s)
			w.manyInputs()
			s = spec()
			s.SplitSize = 1300
			l.mustSubmit(jobA, s)
			url := w.bulkIn("out/")
			h := l.hire("w", 9)
			h.work(wire.Map, 1)
			if c.decide {
				h.work(wire.Map, 5)
				h.do(wire.Reduce)
				h.do(wire.Reduce)
				h.do(wire.Reduce)
				w.bad.Plan(storagetest.Fault{Op: storagetest.OpComplete, Key: "out/*", Times: -1})
				h.work(wire.Reduce, 1)
				l.status(jobA, wire.Committing)
				time.Sleep(time.Second)
			}
			l.depose()
			w.bad.Plan()
			if err := c.damage(w, url); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				next := w.lead(false)
				st := next.status(jobA, wire.JobFailed)
				for _, text := range c.want {
					if !strings.Contains(st.Error, text) {
						t.Errorf("%s: error %q, want %q in it", name, st.Error, text)
					}
				}
				if st, err := next.c.Watch(t.Context(), &wire.WatchArgs{Job: jobB}); err != nil || st.State == wire.JobFailed {
					t.Errorf("%s: another job is %v: %s, %v", name, st.State, st.Error, err)
				}
				if names := w.names("out/"); slices.ContainsFunc(names, func(n string) bool { return n != "part-00000.arrow" }) {
					t.Errorf("%s: %q is left", name, names)
				}
				next.depose()
			}
			l = w.lead(false)
			l.mustSubmit("cccccccc", spec())
			l.end()
		})
	}
}

func flip(w *world, url string) error {
	body, info, err := w.st.Read(w.t.Context(), url, 0, -1, "")
	if err != nil {
		return err
	}
	defer body.Close()
	b := make([]byte, info.Size)
	for n := 0; n < len(b) && err == nil; {
		var k int
		k, err = body.Read(b[n:])
		n += k
	}
	b[len(b)/2] ^= 1
	return errors.Join(err, w.st.Put(w.t.Context(), url, b, false))
}

// A chain of which the spec is gone fails, and with it the stage under way; one of which a stage's result is gone fails too.
func TestBulkOfChain(t *testing.T) {
	for _, name := range []string{"the chain", "a stage"} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			l := w.lead(false)
			s := chainSpec()
			if name == "the chain" {
				w.manyInputs()
				s.Inputs = nil
				for _, in := range w.names("in/") {
					s.Inputs = append(s.Inputs, "mem://b/in/"+in)
				}
			}
			s.SplitSize = 1 << 30
			l.mustSubmit(jobA, s)
			h := l.hire("w", 4)
			if name == "a stage" {
				h.stage(1)
				h.waitFor(jobA, 1)
				m := l.m()
				m.mu.Lock()
				j := m.jobs[jobA]
				m.mu.Unlock()
				e := chainEntry{Done: &j.chain.done[0], Status: &j.chain.stages[0], Reason: noise(1 << 20)}
				if err := m.noteChain(t.Context(), j, e, nil); err != nil {
					t.Fatal(err)
				}
			} else {
				h.work(wire.Map, 1)
			}
			url := w.bulkIn("out/")
			l.depose()
			if err := w.st.Remove(t.Context(), url); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				next := w.lead(false)
				st := next.status(jobA, wire.JobFailed)
				if !strings.Contains(st.Error, "is gone") || !strings.Contains(st.Error, url) {
					t.Errorf("%s: error %q", name, st.Error)
				}
				next.status(stageID(jobA, len(st.Stages)), wire.JobFailed)
				next.depose()
			}
		})
	}
}

// A pointer to a pointer, or to something too large, is damage.
func TestBadBulk(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := newMaster(Options{Store: w.st, Backend: w.mem}, term1)
	j := newJob(jobA, &plan.Plan{Spec: spec()}, time.Now())
	far, err := m.document(t.Context(), j, records.Bulk, []byte(noise(maxInline*2)))
	if err != nil {
		t.Fatal(err)
	}
	_, _, _, err = m.openBlock(t.Context(), far)
	wantError(t, "a pointer to a pointer", err, records.ErrDamaged, "points elsewhere")
	_, _, _, err = m.openBlock(t.Context(), m.codec.Document(records.Bulk, []byte("{")))
	wantError(t, "no pointer", err, records.ErrDamaged)
	_, err = m.readBulk(t.Context(), &bulk{Size: maxBulk + 1, URL: "mem://b/x"})
	wantError(t, "a large one", err, errBulk, "mem://b/x")
}
