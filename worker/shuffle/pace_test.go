package shuffle

import (
	"context"
	"fmt"
	"io"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// sender is a worker that serves runs.
type sender struct {
	runs  int
	every time.Duration // a hundred bytes; below 0: it answers and then sends nothing
	url   string        // before the run's number; default: http, and a host of its own
}

// dribble gives a hundred bytes at a time, each after a pause.
type dribble struct {
	io.Reader
	pause time.Duration
}

func (d dribble) Read(b []byte) (int, error) {
	<-time.After(d.pause)
	return d.Reader.Read(b[:min(len(b), 100)])
}

// slowScene runs a reader over the runs of some senders, in simulated time, and calls look every second until all is read.
func slowScene(t *testing.T, senders []sender, look func(at time.Duration, r *Reader)) (took time.Duration) {
	t.Helper()
	total := 0
	for _, s := range senders {
		total += s.runs
	}
	maps := someMaps(total, 100)
	made := makeRuns(t, 1, maps)
	every := map[string]time.Duration{}
	n := 0
	for i, s := range senders {
		if s.url == "" {
			s.url = fmt.Sprintf("http://10.0.0.%d:7000/runs/", i)
		}
		for range s.runs {
			made[n].URL = fmt.Sprint(s.url, n)
			every[made[n].URL] = s.every
			n++
		}
	}
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		open := newMemOpener(made)
		open.fault = func(ctx context.Context, run Run, _ int, o *Opened) (*Opened, error) {
			switch pause := every[run.URL]; {
			case pause < 0:
				o.Body = io.NopCloser(stalled{ctx})
			case pause > 0:
				o.Body = io.NopCloser(dribble{o.Body, pause})
			}
			return o, nil
		}
		for _, m := range made { // another worker has them as well
			open.runs[fmt.Sprint("http://10.0.0.99:7000/runs/", m.Map)] = m
		}
		r := NewReader(ReaderOptions{Open: open, Dir: dir})
		for _, m := range made {
			r.Add(m.Map, m.Attempt, m.URL, m.Size, m.Checksum)
		}
		r.Total(total)
		begun, ran := time.Now(), make(chan error, 1)
		go func() { ran <- r.Run(t.Context()) }()
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for done := false; !done; {
			select {
			case err := <-ran:
				done = true
				took = time.Since(begun)
				if stops := slices.ContainsFunc(senders, func(s sender) bool { return s.every < 0 }); (err != nil) != stops {
					t.Errorf("Run: %v", err)
				}
			case <-tick.C:
				look(time.Since(begun), r)
			}
		}
		if s, ok := r.Slow(); ok && r.err == nil {
			t.Errorf("all is read, and it waits for %+v", s)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return took
}

// Runs that come far more slowly than other workers' are told of when nothing else is waited for, with a run of theirs that is missing and
// the time that they take still. What is no worker's fault is not told of.
func TestReaderSlow(t *testing.T) {
	t.Parallel()
	const ms = time.Millisecond
	slow := sender{runs: 10, every: time.Second}
	for _, c := range []struct {
		name    string
		senders []sender
		want    bool
	}{
		{"one of four", []sender{{runs: 10, every: ms}, slow, {runs: 10, every: ms}, {runs: 10, every: 3 * ms}}, true},
		{"one of two others", []sender{{runs: 10}, slow, {runs: 10, every: 10 * ms}}, true},
		{"not much slower than others", []sender{{runs: 10, every: 150 * ms}, slow, {runs: 10, every: 150 * ms}}, false},
		{"soon done", []sender{{runs: 10, every: ms}, {runs: 10, every: 20 * ms}, {runs: 10, every: ms}}, false},
		{"two are slow", []sender{{runs: 10, every: ms}, slow, slow, {runs: 10, every: ms}}, false},
		{"it holds most runs", []sender{{runs: 2, every: ms}, {runs: 20, every: time.Second}, {runs: 2, every: ms}}, false},
		{"it sends nothing", []sender{{runs: 10, every: ms}, {runs: 10, every: -1}, {runs: 10, every: ms}}, false},
		{"nobody to compare with", []sender{slow}, false},
		{"a bucket", []sender{{runs: 10, every: ms}, {runs: 10, every: time.Second, url: "s3://b/runs/"}, {runs: 10, every: ms}}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			first, end := time.Duration(0), time.Duration(0)
			took := slowScene(t, c.senders, func(at time.Duration, r *Reader) {
				s, ok := r.Slow()
				if !ok {
					return
				}
				if first == 0 {
					first, end = at, at+s.Left
				}
				if s.Map < c.senders[0].runs || s.Map >= c.senders[0].runs+c.senders[1].runs || s.Left <= slowPatience {
					t.Errorf("at %v it waits for %+v", at, s)
				}
			})
			t.Logf("it took %v; told at %v, and that it would end at %v", took, first, end)
			if (first > 0) != c.want || c.want && first < slowPatience {
				t.Errorf("told of slow runs at %v, want it %v", first, c.want)
			}
			if c.want && (end < took*7/10 || end > took*13/10) {
				t.Errorf("it was told that it would end at %v, and it ended at %v", end, took)
			}
		})
	}
}

// A run that is lost is waited for no more, and one that was made elsewhere in its place is not its worker's.
func TestReaderSlowLost(t *testing.T) {
	t.Parallel()
	var told, after bool
	var lost time.Duration
	took := slowScene(t, []sender{{runs: 5, every: time.Millisecond}, {runs: 5, every: 10 * time.Second}, {runs: 5, every: time.Millisecond}}, func(at time.Duration, r *Reader) {
		_, ok := r.Slow()
		switch {
		case ok && lost == 0:
			told, lost = true, at
			for i := 5; i < 10; i++ {
				r.mu.Lock()
				m := r.maps[i]
				r.mu.Unlock()
				r.Lost(i, 0)
				if m.source == nil {
					r.Add(i, 1, fmt.Sprint("http://10.0.0.99:7000/runs/", i), m.run.Size, m.run.Checksum)
				}
			}
		case ok:
			after = true
		}
	})
	if !told || after || took < lost {
		t.Errorf("told %v, and after the loss at %v %v; it took %v", told, lost, after, took)
	}
}
