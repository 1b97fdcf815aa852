package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/cmd/internal/gen"
	"github.com/millrace/millrace/jobs/sortrecords"
	"github.com/millrace/millrace/master/wire"
	"github.com/millrace/millrace/storage/output"
	"github.com/millrace/millrace/storage/storagetest/servers"
)

// The sort of BenchmarkSortLosesWorkers: it takes a minute or more on two processors.
const (
	sortObjects  = 12
	sortObject   = 100_000_000 // bytes
	sortSplit    = 12_500_000  // 96 maps, six for each worker
	sortReducers = 48
	sortPairs    = 3
)

// BenchmarkSortLosesWorkers runs the sort that ships on 1.2 GB of records in MinIO, with sixteen worker processes, undisturbed and with
// two of them killed when half of the maps are done, in turns. All outputs are the same to the byte. What is lost are the runs that the
// two held, their attempts, and two slots of sixteen; the processors stay, so the share of the two is no more than a bound.
func BenchmarkSortLosesWorkers(b *testing.B) {
	ctx, cancel := context.WithTimeout(b.Context(), 2*paceLimit)
	defer cancel()
	s := servers.MinIO(b)
	p := inBucket(b, "minio", s)
	for i := range sortObjects {
		var data bytes.Buffer
		if err := gen.Write(&data, "records", sortObject, uint64(i)); err != nil {
			b.Fatal(err)
		}
		if err := p.store.Put(ctx, fmt.Sprintf("%s/in/records-%02d", p.root, i), data.Bytes(), true); err != nil {
			b.Fatal(err)
		}
	}
	bin := buildBinary(b)
	for b.Loop() {
		var want map[string][sha256.Size]byte
		var more []float64
		for range sortPairs {
			base, _ := sortOnce(ctx, b, p, s, bin, 0, &want)
			took, left := sortOnce(ctx, b, p, s, bin, 2, &want)
			share := lostShare(base, took, left, 2)
			more = append(more, 100*(took.Seconds()/share.Seconds()-1))
			b.Logf("all well %6.1f s; two of sixteen killed %6.1f s, %.2f times; by the lost share %6.1f s: %+.1f %%",
				base.Seconds(), took.Seconds(), took.Seconds()/base.Seconds(), share.Seconds(), more[len(more)-1])
		}
		slices.Sort(more)
		b.ReportMetric(more[len(more)/2], "%over-share")
	}
}

// lostShare is how long a job would take as long as before until some workers die, with the given time left then, and after that by as
// much longer as there are fewer workers.
func lostShare(base, took, left time.Duration, dead int) time.Duration {
	return took - left + time.Duration(float64(base-took+left)*paceWorkers/float64(paceWorkers-dead))
}

// sortOnce sorts, kills some workers on the way, and returns how long it took and how much of that was after it. The parts must be those
// of want, which the first time fills.
func sortOnce(ctx context.Context, b *testing.B, p place, s *servers.Server, bin string, dead int, want *map[string][sha256.Size]byte) (took, left time.Duration) {
	c := startClusterWith(ctx, b, s, paceWorkers, bin, paceLease)
	defer c.stop()
	c.patient(ctx)
	c.joined(ctx, paceWorkers)
	w := workload{name: "sort", job: sortrecords.Job(), params: map[string]string{"format": "records"}, reducers: sortReducers}
	out := fmt.Sprint(p.root, "/", c.addr)
	begun := time.Now()
	id := c.submit(ctx, w, millrace.Options{Inputs: []string{p.root + "/in/*"}, Output: out, SplitSize: sortSplit})
	if dead > 0 {
		c.await(ctx, id, "half of the maps are done", func(s *wire.JobStatus) bool { return s.Map.Done >= s.Map.Tasks/2 })
		c.kill9(dead)
		left = -time.Since(begun)
	}
	end := c.finish(ctx, id)
	took = end.Ended.Sub(end.Submitted)
	if dead > 0 {
		left += took
	}
	if dead > 0 {
		for _, l := range c.events(ctx, id, "") {
			b.Logf("%6.1f s: %s %s %.120s", l.Time.Sub(end.Submitted).Seconds(), l.Worker, l.Attempt, l.Text)
		}
	}
	got := digests(ctx, b, p, out)
	if *want == nil {
		*want = got
	}
	if !maps.Equal(got, *want) {
		b.Errorf("the parts are %x, want %x", got, *want)
	}
	if err := p.store.RemoveFolder(ctx, out); err != nil { // six of them would take room
		b.Error(err)
	}
	return took, left
}

// patient makes the cluster's client try again for a while when no master leads: on a busy machine a master may lose its term for a moment.
func (c *cluster) patient(ctx context.Context) {
	c.t.Helper()
	client, err := wire.Dial(ctx, []string{c.addr}, wire.ClientOptions{Role: wire.RoleClient, RetryFor: time.Minute})
	if err != nil {
		c.t.Fatal(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.client.Close()
	c.client = client
}

// kill9 kills the first workers.
func (c *cluster) kill9(n int) {
	c.t.Helper()
	for range n {
		c.mu.Lock()
		p := c.workers[0]
		c.workers = c.workers[1:]
		c.mu.Unlock()
		if err := p.Kill(); err != nil {
			c.t.Fatal(err)
		}
	}
}

// digests are the hashes of an output's parts, by name.
func digests(ctx context.Context, b *testing.B, p place, out string) map[string][sha256.Size]byte {
	b.Helper()
	o, err := output.Open(ctx, p.store, out)
	if err != nil {
		b.Fatal(err)
	}
	list := map[string][sha256.Size]byte{}
	for part := range o.Manifest.All() {
		body, _, err := p.store.Read(ctx, out+"/"+part.Name, 0, -1, "")
		if err != nil {
			b.Fatal(err)
		}
		h := sha256.New()
		if _, err := io.Copy(h, body); err != nil {
			b.Fatal(err)
		}
		if err := body.Close(); err != nil {
			b.Fatal(err)
		}
		list[part.Name] = [sha256.Size]byte(h.Sum(nil))
	}
	return list
}
