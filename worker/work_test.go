package worker

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/master/wire"
	"github.com/millrace/millrace/storage"
)

// An attempt tells where its time went, what it asked of the storage and, of a reduce, the keys with the most pairs. The
// steps add up to the whole; a failed attempt tells too.
func TestWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Options{})
		m, red := mapTask("slow-bucket", 0), reduceTask("slow-bucket", 0)
		r.script.once(assign(m))
		r.start()
		let(3 * time.Second)
		close(r.gate)
		let(3 * time.Second)
		o := r.outcome(m)
		if o.Failure != nil || o.Work == nil {
			t.Fatalf("the map ends with %+v", o)
		}
		if o.Work.Time.Map != 3*time.Second || o.Work.Time.Total() != o.Elapsed {
			t.Errorf("the map took %v, by steps %+v", o.Elapsed, o.Work.Time)
		}
		if want := (storage.Requests{Get: 1, Create: 1, Part: 1, List: 1, Complete: 1}); o.Work.Requests != want || o.Work.In != 6 || o.Work.Out != o.Map.Size || o.Work.Emitted != 3 {
			t.Errorf("the map's work is %+v", o.Work)
		}
		r.script.once(assign(red))
		let(5 * time.Second)
		r.script.publish(o)
		let(5 * time.Second)
		o = r.outcome(red)
		if o.Failure != nil || o.Work == nil {
			t.Fatalf("the reduce ends with %+v", o)
		}
		if w := o.Work.Time.Wait; w < 4*time.Second || o.Work.Time.Total() != o.Elapsed {
			t.Errorf("the reduce took %v, by steps %+v", o.Elapsed, o.Work.Time)
		}
		want := []wire.HotKey{{Key: `"b"`, Pairs: 2}, {Key: `"a"`, Pairs: 1}}
		if h := o.Work.Hot; len(h) != 2 || h[0] != want[0] || h[1] != want[1] || o.Records != 3 || o.Work.Groups != 2 {
			t.Errorf("hot keys %+v, of %d pairs", h, o.Records)
		}
		if q := o.Work.Requests; q.Create != 1 || q.Part != 1 || q.Get == 0 || q.Put+q.Complete != 0 || o.Work.Out != o.Parts[0].Pending.Size {
			t.Errorf("the reduce asked %+v", q)
		}
		r.script.once(assign(mapTask("broken", 0)))
		let(3 * time.Second)
		if o := r.outcome(mapTask("broken", 0)); o.Failure == nil || o.Work == nil || o.Work.Requests.Get != 1 {
			t.Errorf("a failed map tells %+v", o.Work)
		}
		r.stop()
	})
}
