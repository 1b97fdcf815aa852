package master

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/master/wire"
)

// While writes of the journal are paced, what many workers report until the next one goes with it: each waits for one write, not
// for the one before its own too.
func TestPacedWritesShare(t *testing.T) {
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
		s := spec()
		s.SplitSize = 11
		l.mustSubmit(jobA, s)
		var hands [10]*hand
		for i := range hands {
			hands[i] = l.hire(wire.WorkerID(rune('a'+i)), 3)
			hands[i].args.Wait = 0
			for len(hands[i].tasks) < 3 {
				if err := hands[i].poll(); err != nil {
					t.Fatal(err)
				}
			}
		}
		report := func(h *hand) {
			h.args.Done = append(h.args.Done, h.result(h.tasks[0]))
			h.tasks = h.tasks[1:]
			if err := h.poll(); err != nil {
				t.Error(err)
			}
		}
		for _, h := range hands { // one after the other, until the burst of quick writes is used up
			report(h)
			report(h)
		}
		before := writes.Load()
		var wg sync.WaitGroup
		for i, h := range hands {
			wg.Go(func() {
				time.Sleep(time.Duration(i) * 5 * time.Millisecond)
				begun := time.Now()
				if report(h); time.Since(begun) > writeInterval {
					t.Errorf("the report of worker %d is answered after %v, the writes are %v apart", i, time.Since(begun), writeInterval)
				}
			})
		}
		wg.Wait()
		if n := writes.Load() - before; n != 1 {
			t.Errorf("ten reports within one interval take %d writes, want 1", n)
		}
		l.end()
	})
}
