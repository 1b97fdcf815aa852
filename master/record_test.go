package master

import (
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/master/journal"
	"github.com/millrace/millrace/master/wire"
)

// The steps of a small job do not wait for each other's writes, though the journal takes ten a second; those of many jobs one after the
// other do.
func TestSmallJobIsNotPaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var writes atomic.Int64
		w.cut = func(op string) error {
			if op == "append" {
				writes.Add(1)
			}
			return nil
		}
		l := w.lead(false)
		h := l.hire("w", 4)
		h.args.Wait = 0
		begun := time.Now()
		l.mustSubmit(jobA, spec())
		for range 3 { // one report for each task: as many writes as there can be
			h.work(wire.Map, 1)
		}
		h.work(wire.Reduce, 1)
		h.work(wire.Reduce, 1)
		l.status(jobA, wire.Done)
		if took := time.Since(begun); took > 0 || writes.Load() < 8 {
			t.Errorf("a small job takes %v, with %d writes", took, writes.Load())
		}
		time.Sleep(time.Minute)
		writes.Store(0)
		begun = time.Now()
		s := spec()
		for i := range 60 {
			s.Output = fmt.Sprint("mem://b/some", i)
			id := wire.JobID(fmt.Sprintf("job-%08d", i))
			l.mustSubmit(id, s)
			l.cancel(id)
			l.status(id, wire.Cancelled)
		}
		if most := int64(time.Since(begun)/writeInterval) + writeBurst; writes.Load() > most || most < 100 {
			t.Errorf("%d writes, want at most %d", writes.Load(), most)
		}
		l.end()
	})
}

// An ended job keeps its figures and nothing that only its tasks needed, also when the journal brings it back; a master without
// a successor writes no journal.
func TestEndedJobIsSmall(t *testing.T) {
	for _, volatile := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			l := w.lead(volatile)
			l.mustSubmit(jobA, spec())
			h := l.hire("w", 4)
			h.work(wire.Map, 3)
			h.work(wire.Reduce, 2)
			l.status(jobA, wire.Done)
			records := 0
			err := w.mem.Load(t.Context(), func(e journal.Entry) bool { records += len(e.Records); return true })
			if err != nil || volatile != (records == 0) {
				t.Errorf("volatile %v: %d records, %v", volatile, records, err)
			}
			if !volatile {
				l.depose()
				l = w.lead(false)
			}
			s := l.status(jobA, wire.Done)
			if s.Objects != 3 || s.InBytes != 330 || s.NumParts != 2 || len(s.Parts) != 2 || s.Map.Tasks != 3 || s.Rows != 20 || s.Records != 30 {
				t.Errorf("status %+v", s)
			}
			l.m().mu.Lock()
			if j := l.m().jobs[jobA]; len(j.plan.Objects)+j.runs.len()+len(j.maps)+len(j.reduces)+len(j.parts[wire.Map])+len(j.parts[wire.Reduce])+len(j.bounds) > 0 {
				t.Errorf("volatile %v: the job keeps what its tasks needed", volatile)
			}
			l.m().mu.Unlock()
			l.end()
		})
	}
}
