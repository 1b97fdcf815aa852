package wire

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/millrace/millrace/jobs/plan"
	"github.com/millrace/millrace/master/sched"
)

// BenchmarkCall measures whole calls over loopback: nearly empty ones, and a worker's poll with four tasks in the reply.
func BenchmarkCall(b *testing.B) {
	m := empty()
	m.poll = func(context.Context, *PollArgs) (*PollReply, error) {
		tasks := make([]Task, 4)
		for i := range tasks {
			tasks[i].Attempt = AttemptID{Task: TaskID{Job: "0123456789abcdef0123456789abcdef", Phase: sched.Map, Index: i}}
			tasks[i].Split.Pieces = []plan.Piece{{Object: plan.Object{URL: "s3://logs/2026/07/01/00.log", Size: 1 << 30}, Length: 1 << 26}}
		}
		return &PollReply{Term: 1, Assign: tasks}, nil
	}
	l := tcp(b)
	serveOn(b, m, ServerOptions{}, l)
	for _, callers := range []int{1, 64} {
		for name, o := range map[string]ClientOptions{"empty": {Role: RoleClient}, "poll": {Role: RoleWorker}} {
			b.Run(fmt.Sprintf("%s/callers=%d", name, callers), func(b *testing.B) {
				c, err := Dial(b.Context(), []string{l.Addr().String()}, o)
				if err != nil {
					b.Fatal(err)
				}
				defer c.Close()
				b.ReportAllocs()
				b.ResetTimer()
				var wg sync.WaitGroup
				for i := range callers {
					wg.Go(func() {
						for n := i; n < b.N; n += callers {
							if o.Role == RoleWorker {
								_, err = c.Poll(b.Context(), &PollArgs{Worker: "w", Running: make([]Progress, 4)})
							} else {
								_, err = c.List(b.Context(), &ListArgs{})
							}
							if err != nil {
								b.Error(err)
								return
							}
						}
					})
				}
				wg.Wait()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
			})
		}
	}
}
