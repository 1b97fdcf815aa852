package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/master/wire"
	"github.com/millrace/millrace/storage/storagetest/servers"
)

// What workers in trouble cost a job, at the default lease. Sixteen processes share this machine's processors, so that two that die would
// leave more for the others: the job's work is waiting, a fixed time a record, and what it costs is a matter of who is given what. Time in
// which a process is stopped does not count as work.
const (
	paceWorkers  = 16
	paceLines    = 6400
	paceLine     = 32 // bytes
	paceSplit    = 20 // lines
	paceMap      = 100 * time.Millisecond
	paceReducers = 64
	paceReduce   = 40 * time.Millisecond
	paceLease    = 15 * time.Second
	paceLimit    = 15 * time.Minute
)

// paced is a job that waits for a time for each of its lines and keys, and its input.
func paced(lines, reducers int, perLine, perKey time.Duration) workload {
	var b bytes.Buffer
	for i := range lines {
		fmt.Fprintf(&b, "%0*d\n", paceLine-1, i*7919%lines)
	}
	return workload{
		name: "paced", job: pacedJob(), reducers: reducers, files: []file{{"lines", b.Bytes()}},
		params: map[string]string{"map": fmt.Sprint(perLine.Milliseconds()), "reduce": fmt.Sprint(perKey.Milliseconds())},
	}
}

// disturbance is what happens to workers while the job runs.
type disturbance struct {
	name    string
	shuffle string
	dead    int  // of the workers, killed when a quarter of the maps are done
	slow    int  // times slower that one worker is
	late    bool // only from when half of the maps are done, so that it holds runs
}

// BenchmarkWorkersInTrouble runs one job with all workers well, with two of sixteen killed, and with one of them 20 times slower, and says
// how long each took beside what the lost share of the workers accounts for. It takes some eight minutes, mostly of waiting: make bench-faults.
func BenchmarkWorkersInTrouble(b *testing.B) {
	ctx, cancel := context.WithTimeout(b.Context(), paceLimit)
	defer cancel()
	w := paced(paceLines, paceReducers, paceMap, paceReduce) // 320 maps of 2 s and 64 reduces of 4 s
	s := servers.MinIO(b)
	k := killed{p: inBucket(b, "minio", s), s: s}
	var err error
	if k.in, err = w.write(ctx, k.p); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		var base time.Duration
		k.want = nil
		for _, d := range []disturbance{
			{name: "all well", shuffle: "local"},
			{name: "two of sixteen killed", shuffle: "local", dead: 2},
			{name: "one of sixteen 20 times slower", shuffle: "local", slow: 20},
			{name: "one 20 times slower in the middle", shuffle: "local", slow: 20, late: true},
			{name: "all well, runs in the bucket", shuffle: "bucket"},
			{name: "two of sixteen killed, runs in the bucket", shuffle: "bucket", dead: 2},
		} {
			took, left := d.run(ctx, b, w, &k)
			if d.dead+d.slow == 0 { // its requests make a shuffle by the bucket another job
				base = took
			}
			share := base
			if d.dead > 0 {
				share = lostShare(base, took, left, d.dead)
			}
			b.Logf("%-42s %6.1f s, %.2f times undisturbed; by the lost share %6.1f s: %+.1f %%",
				d.name, took.Seconds(), took.Seconds()/base.Seconds(), share.Seconds(), 100*(took.Seconds()/share.Seconds()-1))
		}
	}
}

// run runs the job, and returns how long it took, and how much of that was after the kill. The first one's output is what the others'
// must be.
func (d disturbance) run(ctx context.Context, b *testing.B, w workload, k *killed) (took, left time.Duration) {
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	c := startClusterWith(ctx, b, k.s, paceWorkers, self, paceLease)
	defer c.stop()
	c.patient(ctx)
	c.joined(ctx, paceWorkers)
	if d.slow > 0 && !d.late {
		defer slowDown(b, c.workers[1], d.slow)()
	}
	out := fmt.Sprint(k.p.root, "/", c.addr)
	begun := time.Now()
	id := c.submit(ctx, w, millrace.Options{Inputs: []string{k.in}, Output: out, SplitSize: paceSplit * paceLine, Shuffle: d.shuffle})
	if d.late {
		c.await(ctx, id, "half of the maps are done", func(s *wire.JobStatus) bool { return s.Map.Done >= s.Map.Tasks/2 })
		defer slowDown(b, c.workers[1], d.slow)()
	}
	if d.dead > 0 {
		c.await(ctx, id, "a quarter of the maps are done", func(s *wire.JobStatus) bool { return s.Map.Done >= s.Map.Tasks/4 })
		c.kill9(d.dead)
		left = -time.Since(begun)
	}
	s := c.finish(ctx, id)
	took = s.Ended.Sub(s.Submitted)
	if left < 0 {
		left += took
	}
	if got := w.read(ctx, b, k.p, out); k.want == nil {
		k.want = got
	} else {
		k.wantSame(ctx, b, w, out)
	}
	return took, left
}
