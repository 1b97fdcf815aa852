package journal

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// slow is a Backend whose writes wait until the test lets them happen.
type slow struct {
	writes chan []Entry // each write as it begins
	let    chan error   // its outcome
	logs   []Entry
}

func newSlow() *slow { return &slow{writes: make(chan []Entry, 100), let: make(chan error)} }

func (s *slow) Append(ctx context.Context, _ uint64, entries []Entry) error {
	s.writes <- entries
	select {
	case err := <-s.let:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *slow) Load(_ context.Context, yield func(Entry) bool) error {
	for _, e := range s.logs {
		if !yield(e) {
			break
		}
	}
	return nil
}

func (s *slow) Claim(_ context.Context, _ uint64, _ string, job JobID) (JobID, error) {
	return "holder", nil
}
func (s *slow) Release(context.Context, uint64, string, JobID) error   { return ErrFenced }
func (s *slow) Replace(context.Context, uint64, JobID, [][]byte) error { return ErrFenced }

func open(t *testing.T, b Backend, o Options) *Journal {
	t.Helper()
	j := New(b, Term{N: 7}, o)
	if _, err := j.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	return j
}

// start begins an Append and returns when it waits.
func start(ctx context.Context, j *Journal, job JobID, records ...string) chan error {
	var bs [][]byte
	for _, r := range records {
		bs = append(bs, []byte(r))
	}
	done := make(chan error, 1)
	go func() { done <- j.Append(ctx, job, bs) }()
	synctest.Wait()
	return done
}

func describe(entries []Entry) string {
	var b strings.Builder
	for _, e := range entries {
		fmt.Fprintf(&b, "%s/%d%s ", e.Job, e.Seq, e.Records)
	}
	return strings.TrimSpace(b.String())
}

// Proves that the first Append writes at once, and that those that come meanwhile share the next write, each job's
// records in one entry and in order.
func TestGroupCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newSlow()
		j := open(t, b, Options{})
		begun := time.Now()
		first := start(t.Context(), j, "a", "1")
		if got := describe(<-b.writes); got != "a/0[1]" {
			t.Errorf("first write: got %s", got)
		}
		rest := []chan error{
			start(t.Context(), j, "a", "2", "3"), start(t.Context(), j, "b", "4"), start(t.Context(), j, "a", "5"),
		}
		if len(b.writes) != 0 {
			t.Error("a second write began while the first was in flight")
		}
		b.let <- nil
		if err := <-first; err != nil {
			t.Errorf("first Append: %v", err)
		}
		if got := describe(<-b.writes); got != "a/1[2 3 5] b/0[4]" {
			t.Errorf("second write: got %s", got)
		}
		b.let <- nil
		for i, done := range rest {
			if err := <-done; err != nil {
				t.Errorf("Append %d: %v", i, err)
			}
		}
		if time.Since(begun) != 0 {
			t.Errorf("the journal waited %v", time.Since(begun))
		}
	})
}

// Proves that a batch has at most a thousand records, a megabyte and a hundred jobs, and that the rest follows.
func TestBatchLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, c := range map[string]struct {
			append func(j *Journal, i int) chan error
			n      int
			want   []int // Appends in each write after the first
		}{
			"records": {func(j *Journal, i int) chan error { return start(t.Context(), j, "a", make([]string, 400)...) }, 5, []int{2, 2, 1}},
			"bytes":   {func(j *Journal, i int) chan error { return start(t.Context(), j, "a", strings.Repeat("x", 400_000)) }, 5, []int{2, 2, 1}},
			"jobs":    {func(j *Journal, i int) chan error { return start(t.Context(), j, JobID(fmt.Sprint(i)), "x") }, 150, []int{60, 60, 30}},
			"one":     {func(j *Journal, i int) chan error { return start(t.Context(), j, "a", make([]string, 3000)...) }, 2, []int{1, 1}},
		} {
			b := newSlow()
			j := open(t, b, Options{})
			all := []chan error{start(t.Context(), j, "first", "x")}
			for i := range c.n {
				all = append(all, c.append(j, i))
			}
			<-b.writes
			b.let <- nil
			for i, want := range c.want {
				entries := <-b.writes
				ended := 0
				b.let <- nil
				synctest.Wait()
				for _, done := range all[1:] {
					if len(done) == 1 {
						ended++
					}
				}
				for _, before := range c.want[:i] {
					ended -= before
				}
				if ended != want {
					t.Errorf("%s: write %d of %d entries ended %d Appends, want %d", name, i, len(entries), ended, want)
				}
			}
			for _, done := range all {
				if err := <-done; err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
		}
	})
}

// Proves that so many writes as Burst says begin without a pause, that Interval spaces those after them, and that a pause gives as many
// back as it was long.
func TestBurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newSlow()
		j := open(t, b, Options{Interval: 100 * time.Millisecond, Burst: 3})
		begun := time.Now()
		write := func(want time.Duration) {
			t.Helper()
			done := start(t.Context(), j, "a", "x")
			<-b.writes
			if at := time.Since(begun); at != want {
				t.Errorf("a write began after %v, want %v", at, want)
			}
			b.let <- nil
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		for _, want := range []time.Duration{0, 0, 0, 100, 200} {
			write(want * time.Millisecond)
		}
		time.Sleep(200 * time.Millisecond)
		for _, want := range []time.Duration{400, 400, 500} {
			write(want * time.Millisecond)
		}
		time.Sleep(time.Minute)
		for _, want := range []time.Duration{0, 0, 0, 100} {
			write(time.Minute + (500+want)*time.Millisecond)
		}
	})
}

// Proves that batches of several jobs are one write, that one too long for a write is cut, and that of several one that is
// too long for the journal fails all before anything is written.
func TestAppendAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newSlow()
		j := open(t, b, Options{Interval: time.Hour})
		all := func(batches ...Batch) chan error {
			done := make(chan error, 1)
			go func() { done <- j.AppendAll(t.Context(), batches) }()
			synctest.Wait()
			return done
		}
		records := func(texts ...string) (list [][]byte) {
			for _, s := range texts {
				list = append(list, []byte(s))
			}
			return list
		}
		done := all(Batch{"a", records("1", "2")}, Batch{"b", records("3")}, Batch{"c", nil}, Batch{"a", records("4")})
		if got := describe(<-b.writes); got != "a/0[1 2 4] b/0[3]" {
			t.Errorf("got %s", got)
		}
		b.let <- nil
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := <-all(Batch{"a", nil}); err != nil {
			t.Error(err)
		}
		if err := <-all(Batch{"a", records("5")}, Batch{"b", [][]byte{make([]byte, 2<<20)}}); err == nil || !strings.Contains(err.Error(), "job b: record 0") {
			t.Errorf("too long: %v", err)
		}
		half := make([]byte, 600<<10)
		done = all(Batch{"a", [][]byte{half, half, half}})
		for want := range 3 {
			time.Sleep(time.Hour)
			if got := <-b.writes; len(got) != 1 || got[0].Seq != uint64(want+1) || len(got[0].Records) != 1 {
				t.Errorf("write %d: %d entries, the first is %d", want, len(got), got[0].Seq)
			}
			b.let <- nil
			synctest.Wait()
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		done = all(Batch{"a", records("6")}, Batch{"b", records("7")})
		time.Sleep(time.Hour)
		<-b.writes
		b.let <- ErrFenced
		if err := <-done; !errors.Is(err, ErrFenced) {
			t.Errorf("a write that is fenced: %v", err)
		}
	})
}

// Proves that Interval spaces writes, that the first after a pause goes at once, and that a full batch does not wait.
func TestInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newSlow()
		j := open(t, b, Options{Interval: 100 * time.Millisecond})
		write := func(records int) (after time.Duration) {
			begun := time.Now()
			done := start(t.Context(), j, "a", make([]string, records)...)
			<-b.writes
			after = time.Since(begun)
			b.let <- nil
			<-done
			return after
		}
		for i, c := range []struct {
			records int
			want    time.Duration
		}{{1, 0}, {1, 100 * time.Millisecond}, {1000, 0}, {1, 100 * time.Millisecond}} {
			if got := write(c.records); got != c.want {
				t.Errorf("write %d of %d records: began after %v, want %v", i, c.records, got, c.want)
			}
		}
		time.Sleep(time.Second)
		if got := write(1); got != 0 {
			t.Errorf("after a pause: began after %v", got)
		}
		begun := time.Now()
		one := start(t.Context(), j, "a", "x")
		time.Sleep(30 * time.Millisecond)
		many := start(t.Context(), j, "a", make([]string, 999)...)
		<-b.writes
		if got := time.Since(begun); got != 30*time.Millisecond {
			t.Errorf("a batch that filled up: began after %v, want 30ms", got)
		}
		b.let <- nil
		<-one
		<-many
	})
}

// Proves that an Append whose context ends before its write leaves no trace, wherever it waits, and never stops the others;
// and that one that is being written waits for the outcome.
func TestCancelledAppend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newSlow()
		j := open(t, b, Options{Interval: 100 * time.Millisecond})
		ctx, cancel := context.WithCancel(t.Context())
		first := start(ctx, j, "a", "1")
		<-b.writes
		second := start(ctx, j, "a", "2")
		third := start(t.Context(), j, "a", "3")
		cancel()
		if err := <-second; !errors.Is(err, context.Canceled) {
			t.Errorf("in the queue: got %v, want context.Canceled", err)
		}
		synctest.Wait()
		if len(first) != 0 {
			t.Error("the Append being written did not wait for the outcome")
		}
		b.let <- nil
		if err := <-first; err != nil {
			t.Errorf("the Append being written: got %v, want its success", err)
		}
		if got := describe(<-b.writes); got != "a/1[3]" {
			t.Errorf("second write: got %s", got)
		}
		b.let <- nil
		<-third

		ctx, cancel = context.WithCancel(t.Context())
		leader := start(ctx, j, "a", "4") // waits for the interval, as the leader
		follower := start(t.Context(), j, "a", "5")
		cancel()
		if err := <-leader; !errors.Is(err, context.Canceled) {
			t.Errorf("the leader: got %v, want context.Canceled", err)
		}
		if got := describe(<-b.writes); got != "a/2[5]" {
			t.Errorf("third write: got %s", got)
		}
		b.let <- nil
		if err := <-follower; err != nil {
			t.Errorf("the follower: %v", err)
		}
		done, cancelled := context.WithCancel(t.Context())
		cancelled()
		if err := j.Append(done, "a", [][]byte{{1}}); !errors.Is(err, context.Canceled) {
			t.Errorf("a context that had ended: got %v", err)
		}
	})
}

// Proves that a failed write, or one that hangs, fails all that wait and all that come: what is durable is not known.
func TestFailedWriteEndsTheJournal(t *testing.T) {
	for name, cause := range map[string]error{"fenced": ErrFenced, "other": errors.New("disk on fire"), "hangs": context.DeadlineExceeded} {
		synctest.Test(t, func(t *testing.T) {
			b := newSlow()
			j := open(t, b, Options{})
			writing, queued := start(t.Context(), j, "a", "1"), start(t.Context(), j, "b", "2")
			if name != "hangs" {
				b.let <- cause
			}
			for _, done := range []chan error{writing, queued, start(t.Context(), j, "c", "3")} {
				if err := <-done; !errors.Is(err, cause) || !strings.Contains(err.Error(), "term 7") {
					t.Errorf("%s: got %v", name, err)
				}
			}
			if len(b.writes) != 1 {
				t.Errorf("%s: %d writes, want 1", name, len(b.writes))
			}
		})
	}
}

// Proves that a claim or release of which it is not known whether it was done ends the journal, as a failed write does, and
// that one which was not begun, or was answered, does not.
func TestUnclearClaimEndsTheJournal(t *testing.T) {
	t.Parallel()
	b := newSlow()
	j := open(t, b, Options{})
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if err := j.Release(over, "o", "a"); !errors.Is(err, context.Canceled) {
		t.Errorf("Release in a context that is over: got %v", err)
	}
	if err := j.Claim(t.Context(), "o", "a"); !errors.Is(err, ErrClaimed) {
		t.Errorf("Claim: got %v", err)
	}
	if err := j.Err(); err != nil {
		t.Errorf("the journal has failed: %v", err)
	}
	if err := j.Release(t.Context(), "o", "a"); !errors.Is(err, ErrFenced) {
		t.Errorf("Release: got %v", err)
	}
	select {
	case <-j.Failed():
	default:
		t.Error("the journal has not failed")
	}
	for what, err := range map[string]error{
		"Append": j.Append(t.Context(), "a", [][]byte{{1}}), "Claim": j.Claim(t.Context(), "o", "a"), "Release": j.Release(t.Context(), "o", "a"), "Err": j.Err(),
	} {
		if !errors.Is(err, ErrFenced) || !strings.Contains(err.Error(), "term 7") {
			t.Errorf("%s afterwards: got %v", what, err)
		}
	}
	if len(b.writes) != 0 {
		t.Error("something was written")
	}
}

// Proves that what cannot be journalled is refused before anything is written, and that a damaged log is not loaded.
func TestRefusals(t *testing.T) {
	t.Parallel()
	b := newSlow()
	if err := New(b, Term{N: 1}, Options{}).Append(t.Context(), "a", [][]byte{{1}}); err == nil {
		t.Error("Append before Load: no error")
	}
	j := open(t, b, Options{MaxRecord: 3})
	if err := j.Append(t.Context(), "a", [][]byte{{1}, make([]byte, 4)}); err == nil || !strings.Contains(err.Error(), "record 1 is 4 bytes") {
		t.Errorf("a long record: got %v", err)
	}
	if err := j.Append(t.Context(), "a", nil); err != nil {
		t.Errorf("no records: got %v", err)
	}
	if len(b.writes) != 0 {
		t.Error("something was written")
	}
	err := j.Claim(t.Context(), "s3://b/out", "me")
	claimed, ok := errors.AsType[*ClaimedError](err)
	if !errors.Is(err, ErrClaimed) || !ok || claimed.Job != "holder" || !strings.Contains(err.Error(), "s3://b/out") {
		t.Errorf("Claim: got %v, want a ClaimedError that names holder and output", err)
	}
	if err := j.Replace(t.Context(), "a", nil); !errors.Is(err, ErrFenced) {
		t.Errorf("Replace: got %v", err)
	}
	b.logs = []Entry{{Job: "a", Seq: 0}, {Job: "a", Seq: 2}}
	if _, err := j.Load(t.Context()); err == nil || !strings.Contains(err.Error(), "job a: entry 1 is missing") {
		t.Errorf("a gap: got %v", err)
	}
}
