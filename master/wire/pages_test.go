package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/millrace/millrace/master/sched"
)

const pageJob = JobID("0123456789abcdef0123456789abcdef")

// runEvents are n events as a job's log has them: runs of some workers, in about the order of the maps, a few of them lost again.
func runEvents(n int) []RunEvent {
	r := rand.New(rand.NewPCG(1, 2))
	list := make([]RunEvent, n)
	for i := range list {
		e := &list[i]
		e.Attempt = AttemptID{Task: TaskID{Job: pageJob, Phase: sched.Map, Index: max(0, i-r.IntN(30))}, N: r.IntN(3)}
		if r.IntN(100) == 0 {
			e.Attempt.N, e.Lost = 1000, true
			continue
		}
		e.Run = MapResult{
			URL:  fmt.Sprintf("http://10.1.2.%d:40123/runs/%016x%016x", r.IntN(50), r.Uint64(), r.Uint64()),
			Size: 1<<20 + r.Int64N(1<<16), Checksum: r.Uint64(), Pairs: r.Int64N(100_000),
		}
	}
	return list
}

// Events come out of a page as they went in, whatever their URLs and numbers are, in some 40 bytes each.
func TestPages(t *testing.T) {
	t.Parallel()
	odd := []RunEvent{
		{Run: MapResult{}},
		{Run: MapResult{URL: strings.Repeat("0", hexTail)}},
		{Run: MapResult{URL: strings.Repeat("0", hexTail-1)}},
		{Run: MapResult{URL: "s3://b/" + strings.Repeat("A", hexTail)}}, // not as hexadecimal is written
		{Run: MapResult{URL: "s3://b/out/.millrace-x/map-00001.0", Size: -1, Pairs: -5, Checksum: 1<<64 - 1}},
		{Run: MapResult{URL: "s3://b/out/.millrace-x/map-00001.0"}},
		{Lost: true},
	}
	for i := range odd {
		odd[i].Attempt = AttemptID{Task: TaskID{Job: pageJob, Phase: Map, Index: 1_999_999 * (i % 2)}, N: 1<<31 - 1}
	}
	for name, events := range map[string][]RunEvent{"none": {}, "odd": odd, "many": runEvents(8000)} {
		page := PackRuns(events)
		got, err := UnpackRuns(page, pageJob)
		if err != nil || !reflect.DeepEqual(got, events) {
			t.Errorf("%s: %d events came out as %d others: %v", name, len(events), len(got), err)
		}
		if each := len(page) / max(1, len(events)); name == "many" && each > 40 {
			t.Errorf("%d bytes an event", each)
		}
		for cut := range min(len(page), 300) {
			if _, err := UnpackRuns(page[:cut], pageJob); !errors.Is(err, errPage) {
				t.Fatalf("%s: %d bytes of %d are a page: %v", name, cut, len(page), err)
			}
		}
	}
	reply := &RunsReply{Packed: [][]byte{PackRuns(odd[:3]), PackRuns(odd[3:5])}, Events: odd[5:]}
	if all, err := reply.All(pageJob); err != nil || !reflect.DeepEqual(all, odd) {
		t.Errorf("pages and events together: %v, %v", all, err)
	}
	bomb := append(binary.AppendUvarint(nil, maxUnpacked+1), bytes.Repeat([]byte{0, 1}, maxUnpacked+1)...)
	if _, err := UnpackRuns(bomb, pageJob); !errors.Is(err, errPage) {
		t.Errorf("more events than a reply may have: %v", err)
	}
	reply.Packed[1] = reply.Packed[1][:5]
	if _, err := reply.All(pageJob); !errors.Is(err, errPage) {
		t.Errorf("a damaged page in a reply: %v", err)
	}
}

// What anybody sends as a page is events or an error, and events that were read are written and read again as the same.
func FuzzUnpackRuns(f *testing.F) {
	f.Add(PackRuns(nil))
	f.Add(PackRuns(runEvents(5)))
	f.Add(PackRuns(runEvents(200)))
	f.Add([]byte{3, 0, 1, 0, 1, 0, 1})
	f.Add([]byte{1, 0, 0, 7})
	f.Fuzz(func(t *testing.T, page []byte) {
		events, err := UnpackRuns(page, pageJob)
		if err != nil {
			return
		}
		if again, err := UnpackRuns(PackRuns(events), pageJob); err != nil || !reflect.DeepEqual(again, events) {
			t.Errorf("%d events came out otherwise: %v", len(events), err)
		}
	})
}

func BenchmarkPackRuns(b *testing.B) {
	events := runEvents(8192)
	b.ReportAllocs()
	for b.Loop() {
		PackRuns(events)
	}
}

func BenchmarkUnpackRuns(b *testing.B) {
	page := PackRuns(runEvents(8192))
	b.SetBytes(int64(len(page)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := UnpackRuns(page, pageJob); err != nil {
			b.Fatal(err)
		}
	}
}
