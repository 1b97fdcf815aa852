package master

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/master/journal"
	"github.com/millrace/millrace/master/memha"
	"github.com/millrace/millrace/master/records"
	"github.com/millrace/millrace/master/sched"
	"github.com/millrace/millrace/master/wire"
)

// logOf is a log of a document and of so many blocks of three tasks each.
func logOf(m *Master, blocks int) *log {
	l := &log{id: jobA, kind: records.Submission, doc: []byte("doc"), blocks: [][]byte{m.codec.Document(records.Submission, []byte("doc"))}}
	w := records.NewWriter(m.codec)
	for i := range 3 * blocks {
		id := sched.AttemptID{Task: sched.TaskID{Job: jobA, Phase: sched.Map, Index: i}}
		w.Add(time.UnixMilli(int64(i)), sched.Record{Kind: sched.RecordSelected, Job: jobA, Attempt: id, Worker: "w", Checksum: uint64(i)}, &wire.Outcome{
			Attempt: id, Records: int64(i), Counters: map[string]int64{"n": int64(i)}, Map: &wire.MapResult{URL: fmt.Sprint("http://h/", i), Checksum: uint64(i)},
		})
		if i%3 == 2 {
			l.blocks = append(l.blocks, w.Blocks()...)
		}
	}
	return l
}

func codecOnly() *Master { return newMaster(Options{Backend: memha.New()}, journal.Term{}) }

// Blocks come in their order, each once and whole while it is worked on, though others are opened meanwhile; and each counts as
// getting on.
func TestEachBlock(t *testing.T) {
	t.Parallel()
	m := codecOnly()
	const blocks = 50
	seen := 0
	err := m.eachBlock(t.Context(), logOf(m, blocks), func(i int, b block) error {
		if i != seen || b.err != nil || i == 0 != (b.kind == records.Submission) {
			t.Errorf("block %d comes as %d, %s, %v", seen, i, b.kind, b.err)
		}
		seen++
		if i == 0 {
			return nil
		}
		for range 3 { // time for those behind to be opened
			for k, r := range b.tasks.Records {
				o, want := b.tasks.Outcomes[k], 3*(i-1)+k
				if r.Attempt.Task.Index != want || o.Records != int64(want) || o.Counters["n"] != int64(want) || o.Map.URL != fmt.Sprint("http://h/", want) {
					t.Errorf("block %d holds %+v %+v at %d", i, r, o, k)
				}
			}
		}
		return nil
	})
	if err != nil || seen != blocks+1 || m.load.moved.IsZero() {
		t.Errorf("%d blocks, %v; the load has moved at %v", seen, err, m.load.moved)
	}
}

// Whatever ends the replay, an error of who replays, a damaged block or the end of the context, ends the opening too, and is told.
func TestEachBlockEnds(t *testing.T) {
	no := errors.New("no")
	for name, c := range map[string]struct {
		spoil func(l *log, cancel func())
		do    func(i int, cancel func()) error
		want  error
		seen  int
	}{
		"an error":           {do: func(i int, _ func()) error { return map[bool]error{true: no}[i == 5] }, want: no, seen: 6},
		"damage":             {spoil: func(l *log, _ func()) { l.blocks[7] = l.blocks[7][:20] }, want: records.ErrDamaged, seen: 8},
		"an end amid it":     {do: func(i int, cancel func()) error { cancel(); return nil }, want: context.Canceled},
		"an end before it":   {spoil: func(_ *log, cancel func()) { cancel() }, want: context.Canceled},
		"damaged at the end": {spoil: func(l *log, _ func()) { l.blocks[30] = nil }, want: records.ErrDamaged, seen: 31},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // which waits for all goroutines
				m := codecOnly()
				l := logOf(m, 30)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if c.spoil != nil {
					c.spoil(l, cancel)
				}
				seen := 0
				err := m.eachBlock(ctx, l, func(i int, b block) error {
					seen++
					if c.do != nil {
						if err := c.do(i, cancel); err != nil {
							return err
						}
					}
					return b.err
				})
				if !errors.Is(err, c.want) || c.seen > 0 && seen != c.seen {
					t.Errorf("%v after %d blocks, want %v after %d", err, seen, c.want, c.seen)
				}
			})
		})
	}
}
