package doctor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/millrace/millrace/storage"
)

// maxSkew is how far the clocks may be apart: much less than the 15 minutes after which S3 refuses requests, and enough for
// millrace gc to tell old from new.
const maxSkew = time.Minute

var speedChecks = []check{
	{
		name: "clock", minor: true, run: (*exam).clock,
		lost: "S3 refuses requests of clocks that are 15 minutes wrong, and millrace gc takes things for older or younger than they are.",
		do:   "Set the clocks of this machine and of the server (NTP).",
	},
	{
		name: "latency", minor: true, run: (*exam).latency,
		lost: "How fast small objects are written and read is not known.", do: "See the error.",
	},
	{
		name: "throughput", minor: true, run: (*exam).throughput,
		lost: "How fast large objects are written and read is not known.", do: "See the error.",
	},
}

// Speed is what was measured of a store. Latencies are of one request at a time for 4 KiB, in milliseconds; rates are of
// several at a time, 1 MB = 1,000,000 bytes.
type Speed struct {
	PutP50  float64 `json:"put_p50_ms"`
	PutP99  float64 `json:"put_p99_ms"`
	GetP50  float64 `json:"get_p50_ms"`
	GetP99  float64 `json:"get_p99_ms"`
	PutRate float64 `json:"put_mb_per_s"`
	GetRate float64 `json:"get_mb_per_s"`
}

// clock: an object that is written now was modified now, by the store's clock too.
func (e *exam) clock(ctx context.Context) (string, error) {
	var low, high time.Duration // bounds of how much the store's clock is before ours
	low, high = math.MinInt64, math.MaxInt64
	for range 3 {
		before := e.o.Now()
		if err := e.store.Put(ctx, e.url("clock"), []byte("now"), false); err != nil {
			return "", err
		}
		after := e.o.Now()
		info, err := e.store.Stat(ctx, e.url("clock"))
		if err != nil {
			return "", err
		}
		if info.Modified.IsZero() {
			return "", faultf("the store does not say when an object was written")
		}
		// S3 gives whole seconds, cut off.
		low = max(low, info.Modified.Sub(after))
		high = min(high, info.Modified.Add(time.Second).Sub(before))
	}
	switch {
	case low > maxSkew:
		return "", faultf("the store's clock is %v before this machine's", low.Round(time.Second))
	case high < -maxSkew:
		return "", faultf("the store's clock is %v behind this machine's", -high.Round(time.Second))
	}
	return fmt.Sprintf("the store's clock and this machine's are at most %v apart", max(high, -low).Round(time.Second)), nil
}

const (
	smallBytes = 4 << 10
	smallCount = 100
	smallTime  = 2 * time.Second // for the puts, and again for the gets
	largeTime  = 4 * time.Second
	chunkBytes = 16 << 20 // an object of the throughput's, of two parts
	writersOf  = 4        // chunks at a time: more than one, as the slots of a worker
	readersOf  = 8
)

// latency measures small requests, one after the other.
func (e *exam) latency(ctx context.Context) (string, error) {
	body := content(8, smallBytes)
	name := func(i int) string { return e.url(fmt.Sprintf("small/%03d", i)) }
	puts, err := timed(smallCount, func(i int) error { return e.store.Put(ctx, name(i), body, false) })
	if err != nil {
		return "", err
	}
	gets, err := timed(smallCount, func(i int) error {
		_, _, err := e.read(ctx, name(i%len(puts)), 0, -1, "")
		return err
	})
	if err != nil {
		return "", err
	}
	e.speed = &Speed{PutP50: quantile(puts, 0.5), PutP99: quantile(puts, 0.99), GetP50: quantile(gets, 0.5), GetP99: quantile(gets, 0.99)}
	return fmt.Sprintf("4 KiB are written in %.1f ms (p99 %.1f), read in %.1f ms (p99 %.1f)", e.speed.PutP50, e.speed.PutP99, e.speed.GetP50, e.speed.GetP99), nil
}

// timed calls do up to count times, within smallTime, and returns how long the calls took, sorted.
func timed(count int, do func(i int) error) ([]time.Duration, error) {
	var took []time.Duration
	for begun := time.Now(); len(took) < count && (len(took) == 0 || time.Since(begun) < smallTime); {
		start := time.Now()
		if err := do(len(took)); err != nil {
			return nil, err
		}
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	return took, nil
}

// quantile is the least of sorted durations that a share q of them does not exceed, in milliseconds.
func quantile(sorted []time.Duration, q float64) float64 {
	i := int(math.Ceil(q*float64(len(sorted)))) - 1
	return math.Round(float64(sorted[max(0, i)].Microseconds())/10) / 100
}

// throughput measures uploads and ranged reads, several at a time, as workers make them.
func (e *exam) throughput(ctx context.Context) (string, error) {
	written, put, err := e.putMany(ctx)
	if err != nil {
		return "", err
	}
	get, err := e.getMany(ctx, written)
	if err != nil {
		return "", err
	}
	if e.speed == nil {
		e.speed = &Speed{}
	}
	e.speed.PutRate, e.speed.GetRate = put, get
	return fmt.Sprintf("written at %.0f MB/s, %d uploads at a time; read at %.0f MB/s, %d ranges at a time", put, writersOf, get, readersOf), nil
}

// errSlow ends an upload for which there is no more time: what was written of it counts all the same.
var errSlow = errors.New("slow")

// putMany writes objects until Options.Bytes or largeTime are used up, and returns those that became whole, and MB/s.
func (e *exam) putMany(ctx context.Context) (written []storage.Pending, rate float64, err error) {
	piece := content(9, 1<<20)
	chunks := int((e.o.Bytes + chunkBytes - 1) / chunkBytes)
	done := make([]storage.Pending, chunks)
	begun, before := time.Now(), e.traces.parts.Load()
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(writersOf)
	for i := range chunks {
		if gctx.Err() != nil || i > 0 && time.Since(begun) > largeTime {
			break
		}
		g.Go(func() error {
			p, err := e.putChunk(gctx, i, piece, begun, min(chunkBytes, e.o.Bytes-int64(i)*chunkBytes))
			if errors.Is(err, errSlow) {
				return nil
			}
			done[i] = p
			return err
		})
	}
	if err := errors.Join(g.Wait(), context.Cause(ctx)); err != nil {
		return nil, 0, err
	}
	rate = megabytes(e.traces.parts.Load()-before, time.Since(begun))
	return slices.DeleteFunc(done, func(p storage.Pending) bool { return p.Parts == 0 }), rate, nil
}

func (e *exam) putChunk(ctx context.Context, i int, piece []byte, begun time.Time, size int64) (p storage.Pending, err error) {
	u, err := e.store.Create(ctx, e.url(fmt.Sprintf("large/%05d", i)), storage.UploadOptions{})
	if err != nil {
		return p, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, u.Abort(context.WithoutCancel(ctx)))
		}
	}()
	for left := size; left > 0; left -= int64(len(piece)) {
		if i > 0 && time.Since(begun) > largeTime { // the first one is read later
			return p, errSlow
		}
		if _, err := u.Write(piece[:min(left, int64(len(piece)))]); err != nil {
			return p, err
		}
	}
	if p, err = u.Finish(ctx); err != nil {
		return p, err
	}
	return p, e.store.Complete(ctx, p)
}

// getMany reads ranges of objects until Options.Bytes or largeTime are used up, and returns MB/s.
func (e *exam) getMany(ctx context.Context, written []storage.Pending) (float64, error) {
	const rangeBytes = 4 << 20
	var read atomic.Int64
	begun := time.Now()
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(readersOf)
	for _, p := range written {
		for off := int64(0); off < p.Size; off += rangeBytes {
			if gctx.Err() != nil || off > 0 && time.Since(begun) > largeTime {
				break
			}
			g.Go(func() error {
				body, _, err := e.store.Read(gctx, p.URL, off, rangeBytes, "")
				if err != nil {
					return err
				}
				defer body.Close()
				n, err := io.Copy(io.Discard, body)
				read.Add(n)
				return err
			})
		}
	}
	err := errors.Join(g.Wait(), context.Cause(ctx))
	return megabytes(read.Load(), time.Since(begun)), err
}

func megabytes(bytes int64, d time.Duration) float64 {
	return math.Round(float64(bytes)/max(d.Seconds(), 1e-9)/1e5) / 10
}
