package master

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/jobs/plan"
	"github.com/millrace/millrace/master/wire"
	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/manifest"
	"github.com/millrace/millrace/storage/output"
	"github.com/millrace/millrace/storage/storagetest"
)

// sidesSpec is spec with side outputs, of which nobody writes to the second.
func sidesSpec() plan.Spec {
	s := spec()
	s.Info.Outputs = []jobs.Output{{Name: "strange"}, {Name: "errors", Schema: jobs.Schema{Fields: []jobs.Field{{Name: "n", Type: jobs.TypeInt64}}}}}
	return s
}

func (l *leader) hireForSides(slots int) *hand {
	h := l.hire("w", slots)
	h.sides = true
	return h
}

// withSides is what an output of sidesSpec holds.
var withSides = []string{
	manifest.Name, "errors/map-00000.arrow", "errors/map-00001.arrow", "errors/map-00002.arrow", "errors/part-00000.arrow", "errors/part-00001.arrow",
	"part-00000.arrow", "part-00001.arrow",
}

// A job's side outputs commit with its rows: parts of maps and reduces, each once, and listed in the manifest with a schema.
func TestSides(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newWorld(t).lead(true)
		l.mustSubmit(jobA, sidesSpec())
		h := l.hireForSides(4)
		l.pending("out/"+manifest.MapSideName("errors", 1), "of an attempt that lost")
		below := l.pending("out/other/"+manifest.PartName(1), "of a job that writes below")
		h.work(wire.Map, 3)
		h.work(wire.Reduce, 2)
		s := l.status(jobA, wire.Done)
		if want := []wire.OutputStatus{{Name: "errors", Parts: 5, Rows: 17, Bytes: s.Outputs[0].Bytes}, {Name: "strange"}}; !slices.Equal(s.Outputs, want) || s.Rows != 20 || s.NumParts != 2 {
			t.Errorf("status %+v", s)
		}
		l.want("out/", append(slices.Clone(withSides), "pending other/part-00001.arrow")...)
		if err := l.st.Abort(t.Context(), below); err != nil {
			t.Error(err)
		}
		out, err := output.Open(t.Context(), l.st, "mem://b/out")
		if err != nil {
			t.Fatal(err)
		}
		mf := out.Manifest
		if mf.Rows != 20 || len(mf.Parts) != 2 || len(mf.Outputs) != 2 || mf.Outputs[0].Rows != 17 || mf.Outputs[0].Bytes != s.Outputs[0].Bytes || len(mf.Outputs[1].Parts) != 0 {
			t.Errorf("manifest %+v", mf)
		}
		var names []string
		for p := range mf.All() {
			names = append(names, p.Name)
		}
		if want := append(slices.Clone(withSides[6:]), withSides[1:6]...); !slices.Equal(names, want) {
			t.Errorf("parts %q, want %q", names, want)
		}
		var schema jobs.Schema
		if err := json.Unmarshal(mf.Outputs[0].Schema, &schema); err != nil || len(schema.Fields) != 1 {
			t.Errorf("schema %s, %v", mf.Outputs[0].Schema, err)
		}
		l.end()
	})
}

// Whatever request of the commit fails, an output that is overwritten ends with the new parts of all its outputs, and without
// any of the old ones.
func TestSidesOverwritten(t *testing.T) {
	for _, fault := range []storagetest.Fault{
		{},
		{Op: storagetest.OpComplete, Kind: storagetest.Fail, Nth: 4, Times: 3},
		{Op: storagetest.OpComplete, Kind: storagetest.LoseAnswer, Times: 5},
		{Op: storagetest.OpRemove, Kind: storagetest.Fail, Nth: 2, Times: 2},
		{Op: storagetest.OpPut, Key: "**/" + manifest.Name, Kind: storagetest.LoseAnswer, Times: 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			l := newWorld(t).lead(true)
			for _, name := range []string{manifest.Name, "part-00007.arrow", "errors/map-00000.arrow", "errors/map-00009.arrow", "older/part-00000.arrow"} {
				l.put("out/"+name, "{}")
			}
			s := sidesSpec()
			if err := l.submit(jobB, s); err == nil || !strings.Contains(err.Error(), "--overwrite") {
				t.Errorf("an output that is there: got %v", err)
			}
			s.Overwrite = true
			l.mustSubmit(jobA, s)
			h := l.hireForSides(4)
			h.work(wire.Map, 3)
			h.do(wire.Reduce)
			h.do(wire.Reduce)
			if fault.Op != "" {
				l.bad.Plan(fault)
			}
			if err := h.poll(); err != nil {
				t.Fatal(err)
			}
			l.status(jobA, wire.Done)
			if fault.Op != "" && l.bad.Hits() == 0 {
				t.Errorf("%+v: nothing failed", fault)
			}
			l.bad.Plan()
			l.want("out/", withSides...)
			l.end()
		})
	}
}

// A file below that is no part of a side output, as another job's manifest, keeps an output from being overwritten.
func TestOverwriteRefusesOutputBelow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newWorld(t).lead(true)
		for _, name := range []string{manifest.Name, "part-00000.arrow", "other/" + manifest.Name, "other/part-00000.arrow"} {
			l.put("out/"+name, "{}")
		}
		s := sidesSpec()
		s.Overwrite = true
		if err := l.submit(jobA, s); err == nil || !strings.Contains(err.Error(), "other/_SUCCESS") {
			t.Errorf("got %v", err)
		}
		l.end()
	})
}

// A side part whose pending upload is gone when the commit looks is made again, by a map or a reduce task: also when the map's
// run went with its worker, and under another master. Each task counts once.
func TestSidePartsLost(t *testing.T) {
	for name, deposed := range map[string]bool{"one master": false, "two": true} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			l := w.lead(!deposed)
			l.mustSubmit(jobA, sidesSpec())
			h := l.hireForSides(4)
			lost := []storage.Pending{h.do(wire.Map).Parts[0].Pending}
			h.work(wire.Map, 2)
			if deposed {
				l.depose()
				l = w.lead(false)
				h = l.hireForSides(4)
				h.args.Worker = "v" // the runs of w are gone once its lease is over
				time.Sleep(time.Minute)
				h.work(wire.Map, 3)
				lost = nil
			}
			o := h.do(wire.Reduce)
			lost = append(lost, o.Parts[1].Pending)
			for _, p := range lost {
				if err := l.st.Abort(t.Context(), p); err != nil {
					t.Fatal(err)
				}
			}
			h.work(wire.Reduce, 1)
			if !deposed {
				h.work(wire.Map, 1)
			}
			h.work(wire.Reduce, 1)
			s := l.status(jobA, wire.Done)
			if s.Rows != 20 || s.Outputs[0].Rows != 17 || s.Outputs[0].Parts != 5 || s.Counters["n"] != 5 || s.Records != 30 {
				t.Errorf("%s: status %+v", name, s)
			}
			l.want("out/", withSides...)
			l.end()
		})
	}
}

// The parts of a map stay, and count, when its run goes with its worker after the last reduce has read it; if a part goes too,
// the map runs again all the same.
func TestSidesOfLostRuns(t *testing.T) {
	for name, gone := range map[string]bool{"parts stay": false, "a part goes": true} {
		synctest.Test(t, func(t *testing.T) {
			l := newWorld(t).lead(true)
			l.mustSubmit(jobA, sidesSpec())
			h := l.hireForSides(1)
			part := h.do(wire.Map).Parts[0].Pending
			h.work(wire.Map, 1)
			h.do(wire.Map)
			h.args.Draining = true // it takes no reduce task
			if err := h.poll(); err != nil {
				t.Fatal(err)
			}
			other := l.hireForSides(2)
			other.args.Worker, other.args.Wait = "v", time.Second                                    // the commit's next look may be half a minute away
			l.bad.Plan(storagetest.Fault{Op: storagetest.OpList, Kind: storagetest.Fail, Times: -1}) // the commit has looked at the parts, and cannot go on
			other.work(wire.Reduce, 2)
			h.args.Leaving = true
			if err := h.poll(); err != nil {
				t.Fatal(err)
			}
			if gone {
				if err := l.st.Abort(t.Context(), part); err != nil {
					t.Fatal(err)
				}
			}
			for range 60 { // until the try that has seen the part has given up
				if err := other.poll(); err != nil {
					t.Fatal(err)
				}
			}
			l.bad.Plan()
			if gone {
				other.work(wire.Map, 1)
			}
			if s := l.status(jobA, wire.Done); s.Outputs[0].Rows != 17 || s.Rows != 20 {
				t.Errorf("%s: status %+v", name, s)
			}
			l.want("out/", withSides...)
			l.end()
		})
	}
}

// Cancelling a job leaves nothing of its side outputs.
func TestCancelSides(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newWorld(t).lead(true)
		l.mustSubmit(jobA, sidesSpec())
		h := l.hireForSides(4)
		h.work(wire.Map, 3)
		h.work(wire.Reduce, 1)
		l.cancel(jobA)
		if err := h.poll(); err != nil {
			t.Fatal(err)
		}
		l.status(jobA, wire.Cancelled)
		l.want("out/")
		l.end()
	})
}
