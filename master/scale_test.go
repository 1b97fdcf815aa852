package master

import (
	"fmt"
	"testing"
	"time"

	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/jobs/plan"
	"github.com/millrace/millrace/master/journal"
	"github.com/millrace/millrace/master/memha"
	"github.com/millrace/millrace/master/records"
	"github.com/millrace/millrace/master/sched"
	"github.com/millrace/millrace/master/wire"
)

// BenchmarkLoad measures how long a master takes to load the journal of a job of which all maps are done, and what such a
// journal holds. An operation is a map.
func BenchmarkLoad(b *testing.B) {
	for _, maps := range []int{10_000, 100_000, 1_000_000} {
		b.Run(fmt.Sprint(maps), func(b *testing.B) {
			bytes := 0
			mem, term := memha.New(), journal.Term{}
			spec := plan.Spec{Job: "count", Info: jobs.Info{Inputs: make([]jobs.Input, 1)}, Output: "s3://b/out", SplitSize: 1 << 20, Reducers: 100}
			p, err := plan.Make(spec, []plan.Object{{URL: "s3://b/in", Size: int64(maps) << 20}})
			if err == nil {
				term, err = mem.Campaign(b.Context(), journal.Candidate{})
			}
			if err != nil {
				b.Fatal(err)
			}
			m := newMaster(Options{Backend: mem}, term)
			j := newJob("0123456789abcdef0123456789abcdef", p, time.Now())
			if err := m.openLog(b.Context(), j); err != nil {
				b.Fatal(err)
			}
			blocks := [][]byte{j.opening}
			w := records.NewWriter(m.codec)
			for i := range p.Maps {
				id := sched.AttemptID{Task: sched.TaskID{Job: j.id, Phase: sched.Map, Index: i}}
				o := &wire.Outcome{Attempt: id, Records: int64(i), Counters: map[string]int64{"a": int64(i), "b": 2, "c": int64(i % 100)}}
				o.Map = &wire.MapResult{URL: fmt.Sprintf("http://10.0.0.%d:40000/runs/%032x", i%200, uint64(i)*0x9e3779b97f4a7c15), Size: int64(i), Checksum: uint64(i) * 7919, Pairs: int64(i)}
				w.Add(time.Now(), sched.Record{Kind: sched.RecordSelected, Job: j.id, Attempt: id, Worker: sched.WorkerID(fmt.Sprint("worker-", i%200)), Checksum: o.Map.Checksum}, o)
				if i%1000 == 999 {
					blocks = append(blocks, w.Blocks()...)
				}
			}
			blocks = append(blocks, w.Blocks()...)
			for i, block := range blocks {
				bytes += len(block)
				if err := mem.Append(b.Context(), term.N, []journal.Entry{{Job: j.id, Seq: uint64(i), Records: [][]byte{block}}}); err != nil {
					b.Fatal(err)
				}
			}
			b.ResetTimer()
			for n := 0; n < b.N; n += p.Maps {
				if err := newMaster(Options{Backend: mem}, term).recover(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(bytes)/float64(p.Maps), "bytes/map")
		})
	}
}
