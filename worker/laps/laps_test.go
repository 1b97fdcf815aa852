package laps

import (
	"testing"
	"testing/synctest"
	"time"
)

// Steps inside of steps each get their own time, and all of them together the whole.
func TestSteps(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		w := Start()
		time.Sleep(time.Second)
		w.To(Map)
		for range 3 {
			was := w.To(Read)
			time.Sleep(2 * time.Second)
			w.To(was)
			time.Sleep(5 * time.Second)
			was = w.To(Sort)
			inner := w.To(Combine)
			time.Sleep(time.Minute)
			w.To(inner)
			time.Sleep(7 * time.Second)
			w.To(was)
		}
		want := [Steps]time.Duration{Other: time.Second, Read: 6 * time.Second, Map: 15 * time.Second, Combine: 3 * time.Minute, Sort: 21 * time.Second}
		got := w.Spent()
		if got != want {
			t.Errorf("got %v, want %v", got, want)
		}
		var sum time.Duration
		for _, d := range w.Spent() {
			sum += d
		}
		if sum != time.Since(begun) {
			t.Errorf("the steps took %v, the whole %v", sum, time.Since(begun))
		}
	})
}

// Time is moved between steps, never more than there is.
func TestMove(t *testing.T) {
	t.Parallel()
	w := &Watch{since: time.Now()}
	w.spent[Fetch] = 10 * time.Second
	w.Move(Fetch, Wait, 4*time.Second)
	w.Move(Fetch, Merge, time.Minute)
	w.Move(Wait, Fetch, -time.Second)
	if w.spent[Fetch] != 0 || w.spent[Wait] != 4*time.Second || w.spent[Merge] != 6*time.Second {
		t.Errorf("got %v", w.spent)
	}
}

// A nil watch is good for those who measure nothing.
func TestNoWatch(t *testing.T) {
	t.Parallel()
	var w *Watch
	w.To(w.To(Map))
	w.Move(Map, Read, time.Second)
	if w.Spent() != [Steps]time.Duration{} {
		t.Error("a nil watch has measured something")
	}
}
