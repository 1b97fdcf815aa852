package worker

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/master/wire"
	"github.com/millrace/millrace/worker/laps"
)

// maxBound is the length to which a boundary is cut: any byte string is a valid boundary, and R of them go to every
// worker.
const maxBound = 64

// maxSampleBytes bounds the keys of a sample in memory, with keyOverhead bytes for each: its slice and the allocator's rounding.
const (
	maxSampleBytes = 64 << 20
	keyOverhead    = 40
)

// runSample is the sample task: it maps records at fixed places of the input and cuts their sorted keys into as many
// equal shares as there are partitions. The places depend on the input alone, so the boundaries do too.
func (w *Worker) runSample(ctx context.Context, a *attempt, job loaded) (*wire.Outcome, error) {
	blocks := w.openSplit(ctx, a, job)
	defer blocks.Close()
	keys := new(keySink)
	own := w.scratch()
	defer own.remove()
	task := &jobs.Task{Reducers: job.reply.Spec.Reducers, Memory: w.tableMemory(), Unordered: true, Side: job.side, Scratch: own.folder}
	for range job.code.Info().Outputs {
		task.Sinks.Sides = append(task.Sinks.Sides, noRows{})
	}
	if job.reply.Spec.SkipBad.Any() { // how many there may be the maps will find
		task.MaxRejected = math.MaxInt64
	}
	a.laps.To(laps.Map)
	if err := job.code.Map(ctx, task, blocks, keys); err != nil {
		return nil, err
	}
	slices.SortFunc(keys.keys, bytes.Compare)
	if job.code.Info().Combines { // how often a key comes depends on when the combine table was full
		keys.keys = slices.CompactFunc(keys.keys, bytes.Equal)
	}
	return &wire.Outcome{Sample: &wire.SampleResult{Bounds: boundaries(keys.keys, job.reply.Spec.Reducers)}, Bytes: blocks.Bytes()}, nil
}

// noRows drops the rows of side outputs: the maps will come to these records, too.
type noRows struct{}

// Put implements jobs.RowSink.
func (noRows) Put(jobs.Columns) error { return nil }

// boundaries cuts sorted keys into n shares of about equal size.
func boundaries(keys [][]byte, n int) [][]byte {
	var out [][]byte
	for i := 1; i < n && len(keys) > 0; i++ {
		k := keys[i*len(keys)/n]
		k = slices.Clone(k[:min(len(k), maxBound)])
		if len(out) == 0 || bytes.Compare(out[len(out)-1], k) < 0 {
			out = append(out, k)
		}
	}
	return out
}

// keySink is a jobs.PairSink that keeps the keys.
type keySink struct {
	keys  [][]byte
	bytes int
}

func (s *keySink) Put(p jobs.Pairs) (jobs.Pairs, error) {
	var key []byte
	var err error
	for data := p.Data; len(data) > 0; {
		if key, _, data, err = jobs.CutPair(data, key); err != nil {
			return jobs.Pairs{}, fmt.Errorf("sample: %w", err)
		}
		k := slices.Clone(key[:min(len(key), maxBound)])
		s.keys = append(s.keys, k)
		if s.bytes += len(k) + keyOverhead; s.bytes > maxSampleBytes {
			return jobs.Pairs{}, fmt.Errorf("sample: the map function made more than %d bytes of keys from a sample of the input", maxSampleBytes)
		}
	}
	return jobs.Pairs{Data: p.Data[:0]}, nil
}
