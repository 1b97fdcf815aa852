package sched

import (
	"fmt"
	"testing"
	"time"
)

// TestHeartbeat proves that few workers poll as they like and keep their leases, and that many poll less often each, with leases of
// five of their heartbeats: one that is silent for less is not lost, one that is silent for longer is.
func TestHeartbeat(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		workers          int
		heartbeat, lease time.Duration
	}{
		{1, 0, 15 * time.Second}, {10, 0, 15 * time.Second}, {30, 3 * time.Second, 15 * time.Second}, {60, 6 * time.Second, 30 * time.Second},
	} {
		s := New(Options{MaxHeartbeats: 10})
		poll := func(at time.Duration, i int) { s.Step(at, Poll{Worker: WorkerID(fmt.Sprint("w", i)), Slots: 1}) }
		for i := range row.workers {
			poll(0, i)
		}
		if got := s.Heartbeat(); got != row.heartbeat {
			t.Errorf("%d workers: a heartbeat every %v, want %v", row.workers, got, row.heartbeat)
		}
		poll(time.Second, 0) // with all of them there
		last := time.Second + row.lease
		s.Step(last-1, Tick{})
		if !s.Known("w0") {
			t.Errorf("%d workers: one is lost that was silent for less than %v", row.workers, row.lease)
		}
		s.Step(last, Tick{})
		if s.Known("w0") {
			t.Errorf("%d workers: one is not lost that was silent for %v", row.workers, row.lease)
		}
	}
}
