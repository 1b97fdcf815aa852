package master

import (
	"fmt"
	"reflect"
	"slices"
	"testing"

	"github.com/millrace/millrace/master/sched"
	"github.com/millrace/millrace/master/wire"
)

// A run log gives the same events, each once and in order, to a reader that takes packed pages and to one that does not, wherever
// they begin and however many they take at a time, while it grows and afterwards; and no answer is longer than it may be.
func TestRunLogPages(t *testing.T) {
	t.Parallel()
	l := runLog{job: jobA}
	var want []wire.RunEvent
	grow := func(n int) {
		for range n {
			i := len(want)
			e := wire.RunEvent{Attempt: sched.AttemptID{Task: sched.TaskID{Job: jobA, Phase: sched.Map, Index: i}}, Lost: i%1000 == 999}
			if !e.Lost {
				e.Run = wire.MapResult{URL: fmt.Sprintf("http://10.0.0.%d:1/runs/%032x", i%200, i), Size: int64(i), Checksum: uint64(i) << 40, Pairs: 7}
			}
			want = append(want, e)
			l.add(e)
		}
	}
	readers := map[string]*struct {
		most   int
		packed bool
		at     int
	}{
		"packed": {most: maxPage, packed: true}, "plain": {most: maxPage}, "packed, from amid a page": {most: maxPage, packed: true, at: runPage + 5},
		"plain, from amid a page": {most: maxPage, at: runPage + 5}, "few at a time": {most: 700, packed: true, at: 3 * runPage},
	}
	for _, n := range []int{10, runPage - 11, 1, 1, 5 * runPage, 3000, 0} {
		grow(n)
		if l.len() != len(want) {
			t.Fatalf("%d events, the log has %d", len(want), l.len())
		}
		for name, r := range readers {
			for r.at < len(want) {
				var reply wire.RunsReply
				if err := l.read(&reply, r.at, r.most, r.packed); err != nil {
					t.Fatal(err)
				}
				size := 0
				for _, page := range reply.Packed {
					size += len(page)
				}
				if !r.packed && size > 0 || len(reply.Events) > r.most || size > maxReply+48*runPage {
					t.Fatalf("%s: an answer of %d packed bytes and %d events", name, size, len(reply.Events))
				}
				got, err := reply.All(jobA)
				if err != nil || len(got) == 0 || reply.Cursor != r.at+len(got) || !reflect.DeepEqual(got, want[r.at:reply.Cursor]) {
					t.Fatalf("%s: from %d on it reads %d events and stands at %d: %v", name, r.at, len(got), reply.Cursor, err)
				}
				r.at = reply.Cursor
			}
		}
	}
	if len(l.pages) != 6 {
		t.Errorf("%d pages of %d events", len(l.pages), len(want))
	}
	var all []wire.RunEvent
	if err := l.each(func(e wire.RunEvent) bool { all = append(all, e); return true }); err != nil || !reflect.DeepEqual(all, want) {
		t.Errorf("each gives %d of %d events: %v", len(all), len(want), err)
	}
	seen := 0
	if err := l.each(func(wire.RunEvent) bool { seen++; return seen < 3 }); err != nil || seen != 3 {
		t.Errorf("each goes on for %d events after it was told to end: %v", seen-3, err)
	}
}

// A reply shares the log's memory, which must not change under it when the log grows.
func TestRunLogReplyStays(t *testing.T) {
	t.Parallel()
	l := runLog{job: jobA}
	l.add(wire.RunEvent{Lost: true})
	var reply wire.RunsReply
	if err := l.read(&reply, 0, 10, true); err != nil {
		t.Fatal(err)
	}
	for range 2 * runPage {
		l.add(wire.RunEvent{})
	}
	if !reply.Events[0].Lost || cap(reply.Events) != 1 {
		t.Errorf("the reply is %+v now", reply.Events)
	}
}

// A log that packs its pages ahead, as while a journal is replayed, is the one that packs them as they fill, however many events come
// and whatever comes after; one that is dropped in between leaves no goroutine behind.
func TestRunLogPacksAhead(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, runPage - 1, runPage, runPage + 1, 4*runPage + 100} {
		plain, ahead := runLog{job: jobA}, runLog{job: jobA}
		add := func(i int) {
			e := wire.RunEvent{Attempt: sched.AttemptID{Task: sched.TaskID{Job: jobA, Phase: sched.Map, Index: i}}, Run: wire.MapResult{URL: fmt.Sprint("http://h/", i), Size: 1}}
			plain.add(e)
			ahead.add(e)
		}
		ahead.packed() // of a log that does not: nothing
		ahead.packAhead()
		for i := range n {
			add(i)
		}
		ahead.packed()
		for i := range runPage {
			add(n + i)
		}
		ahead.packed()
		if ahead.packing != nil || plain.len() != ahead.len() || !reflect.DeepEqual(plain.pages, ahead.pages) || !slices.Equal(plain.tail, ahead.tail) {
			t.Errorf("%d events: %d in %d pages, want %d in %d", n, ahead.len(), len(ahead.pages), plain.len(), len(plain.pages))
		}
	}
}
