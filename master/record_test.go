package master

import (
	"testing"
	"testing/synctest"

	"github.com/millrace/millrace/master/journal"
	"github.com/millrace/millrace/master/wire"
)

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
			if j := l.m().jobs[jobA]; len(j.plan.Objects)+len(j.runs)+len(j.maps)+len(j.reduces)+len(j.parts[wire.Map])+len(j.parts[wire.Reduce])+len(j.bounds) > 0 {
				t.Errorf("volatile %v: the job keeps what its tasks needed", volatile)
			}
			l.m().mu.Unlock()
			l.end()
		})
	}
}
