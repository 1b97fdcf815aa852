package worker

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
)

// Functions run at once, those of a crew that has nothing to do in its goroutines, and Wait waits for all.
func TestCrew(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCrew()
		var running, most, ran atomic.Int64
		free := make(chan struct{})
		f := func() {
			most.Store(max(most.Load(), running.Add(1)))
			<-free
			running.Add(-1)
			ran.Add(1)
		}
		for range 3 {
			c.Go(f)
			c.Go(f)
			synctest.Wait()
			if n := running.Load(); n != 2 {
				t.Errorf("%d run, want two", n)
			}
			free <- struct{}{}
			free <- struct{}{}
			synctest.Wait()
		}
		c.Go(f)
		done := make(chan struct{})
		go func() {
			c.Wait()
			close(done)
		}()
		synctest.Wait()
		select {
		case <-done:
			t.Error("it did not wait")
		default:
		}
		free <- struct{}{}
		<-done
		if ran.Load() != 7 || most.Load() != 2 {
			t.Errorf("%d ran, at most %d at a time", ran.Load(), most.Load())
		}
	})
}
