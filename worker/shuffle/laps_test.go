package shuffle

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/worker/laps"
)

// A writer's time goes to sorting and writing and, where memory is short, to spilling and merging; it leaves the watch in the
// step that it found.
func TestWriterLaps(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		memory int64
		spills bool
	}{{64 << 20, false}, {MinMemory, true}} {
		watch := laps.Start()
		watch.To(laps.Map)
		_, w := makeRun(t, WriterOptions{Partitions: 3, Memory: test.memory, Laps: watch}, randomPairs(1, 60_000), 16<<10)
		if now := watch.To(laps.Other); now != laps.Map {
			t.Errorf("the watch is left in step %d", now)
		}
		spent := watch.Spent()
		if spent[laps.Sort] == 0 || spent[laps.Write] == 0 || spent[laps.Map] == 0 || spent[laps.Fetch]+spent[laps.Reduce]+spent[laps.Read] != 0 {
			t.Errorf("memory %d: steps %v", test.memory, spent)
		}
		if spilled := w.Spilled() > 0; spilled != test.spills || (spent[laps.Spill] > 0) != spilled || (spent[laps.Merge] > 0) != spilled {
			t.Errorf("memory %d: spilled %d bytes, steps %v", test.memory, w.Spilled(), spent)
		}
	}
}

// A reader's time goes to waiting while there is no run to fetch, and to fetching while one is on its way.
func TestReaderLaps(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		runs := makeRuns(t, 1, [][]pair{randomPairs(1, 100), randomPairs(2, 100)})
		opener := newMemOpener(runs)
		opener.fault = func(ctx context.Context, _ Run, _ int, o *Opened) (*Opened, error) {
			return o, sleep(ctx, 7*time.Second) // what a fetch takes
		}
		watch := laps.Start()
		r := NewReader(ReaderOptions{Open: opener, Laps: watch})
		r.Total(2)
		done := make(chan error, 1)
		go func() { done <- r.Run(t.Context()) }()
		go func() {
			for i, at := range []time.Duration{3 * time.Second, 30 * time.Second} {
				time.Sleep(at)
				r.Add(i, 0, runs[i].URL, runs[i].Size, runs[i].Checksum)
			}
		}()
		watch.To(laps.Reduce)
		for {
			if _, err := r.Next(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute) // the reduce function
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		spent := watch.Spent()
		if spent[laps.Wait] != 26*time.Second || spent[laps.Fetch] != 14*time.Second || spent[laps.Reduce] != time.Minute {
			t.Errorf("waited %v, fetched %v, reduced %v: want 26 s, 14 s and 1 m", spent[laps.Wait], spent[laps.Fetch], spent[laps.Reduce])
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
}
