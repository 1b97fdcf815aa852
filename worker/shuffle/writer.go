package shuffle

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/storage/runfile"
	"github.com/millrace/millrace/worker/laps"
)

// Partitioning says how a pair's partition is found.
type Partitioning uint8

const (
	ByHash   Partitioning = iota // of the key's bytes
	ByBounds                     // partition p holds the keys from Bounds[p-1] on and below Bounds[p]
	ByBatch                      // jobs.Pairs.Partitions says it
)

// HashPartition is the partition of a key, of n, where it is found ByHash.
func HashPartition(key []byte, n int) uint32 { return hashPartition(key, n) }

// WriterOptions configure a Writer.
type WriterOptions struct {
	Partitions int          // 1 to runfile.MaxPartitions; no default
	By         Partitioning // default: ByHash
	Bounds     [][]byte     // ascending, fewer than Partitions; for ByBounds
	// Combine is jobs.Program.Combine of the attempt. It may keep neither in nor out. Default: pairs are not combined.
	Combine func(in, out []byte) ([]byte, error)
	// CombineBatch is how large a batch of Combine may become where the budget allows it, bytes. Default: maxBatch, which is also
	// the least.
	CombineBatch int
	// Memory is the budget in bytes, at least MinMemory: for batches, entries and the buffers of merging. Beyond it, the
	// writer spills. Default: 64 MiB.
	Memory  int64
	Dir     string      // of temporary files; default: the system's
	Buffers *Buffers    // of the writers before this one; default: none
	Laps    *laps.Watch // of the goroutine that uses the writer; default: none
}

const (
	// MinMemory is the least budget, bytes: a block to write and some to sort.
	MinMemory = 1 << 20
	// defaultMemory is the least that a slot is given, see DESIGN.md.
	defaultMemory = 64 << 20
	// maxPairShare bounds a pair to this part of the budget: a merge holds it in two sources and in the output.
	maxPairShare = 4
	// combineShare is the part of the budget that each of a combiner's buffers gets: four, and one for what it is fed with.
	combineShare   = 32
	combineBuffers = 5
	// batchShare and spillShare bound the size of a batch and of a spill's block: small enough that a small budget still
	// holds dozens of them.
	batchShare, spillShare       = 32, 64
	minBatch, maxBatch           = 16 << 10, 256 << 10
	minSpillBlock                = 16 << 10
	minEntries                   = 1 << 10
	entriesShrink                = 4 // entries of which less than this part was used are given back after a spill
	largestBatch           int64 = math.MaxUint32
)

// Writer turns the pairs of one map attempt into a run. One goroutine uses it. It implements jobs.PairSink.
//
// Invariant: held() is at most limit(), but for the batch being taken.
type Writer struct {
	o       WriterOptions
	bounds  bounds
	maxPair int64 // bytes
	largest int   // size of the largest pair so far
	pairs   int64
	err     error // the first one; the attempt is over

	batches [][]byte // that entries refer to
	entries []entry
	scratch []entry  // what sorting moves entries through; made when it is needed
	free    [][]byte // empty batches
	bytes   int64    // capacity of batches and free
	lent    []byte   // the batch that the caller fills
	parts   []uint32 // the caller's, for the next batch

	touched byte // the sum of what touch read, which keeps the compiler from leaving its reads out

	partitionBits int // of an entry's word, 0 where the order of keys gives the partition

	batchBytes, spillBlock, combineBytes int

	spills  []spill
	spilled int64
}

// NewWriter checks the options and returns a writer.
func NewWriter(o WriterOptions) (*Writer, error) {
	if o.Memory == 0 {
		o.Memory = defaultMemory
	}
	if o.Buffers == nil {
		o.Buffers = new(Buffers)
	}
	switch {
	case o.Partitions < 1 || o.Partitions > runfile.MaxPartitions:
		return nil, fmt.Errorf("shuffle writer: Partitions %d: want 1 to %d", o.Partitions, runfile.MaxPartitions)
	case o.By > ByBatch:
		return nil, fmt.Errorf("shuffle writer: By %d is unknown", o.By)
	case o.By == ByBounds && (len(o.Bounds) >= o.Partitions || !slices.IsSortedFunc(o.Bounds, bytes.Compare)):
		return nil, fmt.Errorf("shuffle writer: Bounds: want fewer than %d, ascending; got %d", o.Partitions, len(o.Bounds))
	case o.By != ByBounds && len(o.Bounds) > 0:
		return nil, fmt.Errorf("shuffle writer: Bounds: %d are given, but By is not ByBounds", len(o.Bounds))
	case o.Memory < MinMemory:
		return nil, fmt.Errorf("shuffle writer: Memory %d bytes: want %d or more", o.Memory, MinMemory)
	}
	w := &Writer{
		o:            o,
		maxPair:      min(o.Memory/maxPairShare, runfile.MaxBlock),
		batchBytes:   int(min(max(o.Memory/batchShare, minBatch), maxBatch)),
		spillBlock:   int(min(max(o.Memory/spillShare, minSpillBlock), runfile.BlockSize)),
		combineBytes: int(min(o.Memory/combineShare, int64(max(maxBatch, o.CombineBatch)))),
	}
	if o.By == ByBounds {
		w.bounds = newBounds(o.Bounds)
	} else {
		w.partitionBits = partitionBits(o.Partitions)
	}
	return w, nil
}

// Put takes a batch over, spills when the budget is used up, and returns an empty batch. After an error the attempt is over.
func (w *Writer) Put(b jobs.Pairs) (jobs.Pairs, error) {
	if w.err != nil {
		return jobs.Pairs{}, w.err
	}
	was := w.o.Laps.To(laps.Sort)
	err := w.take(b)
	if err == nil {
		b, err = w.empty()
	}
	w.o.Laps.To(was)
	if err != nil {
		w.err = fmt.Errorf("sort the map's output: %w", err)
		return jobs.Pairs{}, w.err
	}
	return b, nil
}

// take indexes a batch's pairs, in pieces with spills between when there is no room for all of their entries.
func (w *Writer) take(b jobs.Pairs) error {
	w.lent = nil
	w.parts = b.Partitions[:0]
	if len(b.Partitions) > 0 && w.o.By != ByBatch {
		return errors.New("a batch states partitions, but By is not ByBatch")
	}
	if w.o.By == ByBatch && len(b.Partitions) != b.Count {
		return fmt.Errorf("a batch of %d pairs states %d partitions", b.Count, len(b.Partitions))
	}
	for i, p := range b.Partitions {
		if p >= uint32(w.o.Partitions) {
			return fmt.Errorf("pair %d of a batch: the program chose partition %d, want one below %d", i, p, w.o.Partitions)
		}
	}
	if int64(len(b.Data)) > largestBatch {
		return fmt.Errorf("a batch of %d bytes is larger than %d", len(b.Data), largestBatch)
	}
	if w.held()+int64(cap(b.Data)) > w.limit() && len(w.entries) > 0 {
		if err := w.spill(-1); err != nil {
			return err
		}
	}
	batch, start := w.place(b.Data)
	for offset, done := start, 0; ; {
		w.reserve(b.Count - done)
		view := jobs.Pairs{Data: w.batches[batch], Partitions: b.Partitions}
		reached, n, err := w.index(view, uint32(batch), offset, done)
		if err != nil {
			return err
		}
		offset, done = reached, done+n
		if offset == len(view.Data) {
			w.pairs += int64(done)
			if done != b.Count {
				return fmt.Errorf("a batch of %d pairs says that it has %d: %w", done, b.Count, jobs.ErrPairs)
			}
			return nil
		}
		if err := w.spill(batch); err != nil {
			return err
		}
		batch = 0
	}
}

// place puts a batch into the buffer and returns its number and the offset of its first byte there. A batch that is less
// than half full is copied behind the last one if it fits, so that its capacity is not wasted.
func (w *Writer) place(data []byte) (batch, offset int) {
	w.bytes += int64(cap(data))
	if last := len(w.batches) - 1; last >= 0 && len(data) <= cap(data)/2 {
		if to := w.batches[last]; cap(to)-len(to) >= len(data) {
			w.batches[last] = append(to, data...)
			w.recycle(data)
			return last, len(to)
		}
	}
	w.batches = append(w.batches, data)
	return len(w.batches) - 1, 0
}

// reserve makes room for n more entries as far as the budget allows.
func (w *Writer) reserve(n int) {
	want := len(w.entries) + max(n, 1)
	if want <= cap(w.entries) {
		return
	}
	fits := func(entries int) bool { return w.held()+int64(entries)*entryBytes <= w.limit() }
	if w.entries == nil {
		kept := w.o.Buffers.arrays(fits)
		if w.entries, w.scratch = kept.entries, kept.scratch; want <= cap(w.entries) {
			return
		}
	}
	size := max(want, cap(w.entries)*3/2, minEntries)
	for len(w.free) > 0 && !fits(size) {
		w.bytes -= int64(cap(w.free[len(w.free)-1]))
		w.free = w.free[:len(w.free)-1]
	}
	if !fits(size) {
		size = max(want, minEntries)
	}
	if !fits(size) {
		if cap(w.entries) > 0 {
			return // the pairs are indexed in pieces
		}
		size = minEntries
	}
	grown := make([]entry, len(w.entries), size)
	copy(grown, w.entries)
	w.entries = grown
}

// empty lends the caller a batch to fill.
func (w *Writer) empty() (jobs.Pairs, error) {
	if len(w.free) == 0 && w.held()+int64(w.batchBytes) > w.limit() && len(w.entries) > 0 {
		if err := w.spill(-1); err != nil {
			return jobs.Pairs{}, err
		}
	}
	var data []byte
	if n := len(w.free); n > 0 {
		data, w.free = w.free[n-1], w.free[:n-1]
		w.bytes -= int64(cap(data))
	} else {
		data = w.o.Buffers.batch(w.batchBytes)
	}
	w.lent = data
	return jobs.Pairs{Data: data, Partitions: w.parts}, nil
}

// recycle keeps a batch that is no longer needed, unless its capacity is odd.
func (w *Writer) recycle(data []byte) {
	if c := cap(data); c < w.batchBytes || c > 4*w.batchBytes {
		w.bytes -= int64(c)
		return
	}
	w.free = append(w.free, data[:0])
}

// held is the memory in use, bytes.
func (w *Writer) held() int64 { return w.bytes + int64(cap(w.lent)) + int64(cap(w.entries))*entryBytes }

// limit is what held may reach: the budget less what writing a run takes, an output block or the largest pair included.
func (w *Writer) limit() int64 {
	return w.o.Memory - max(runfile.BlockSize, int64(w.largest)) - combineBuffers*int64(w.combineBytes)
}

// spill sorts the buffer into a temporary run and empties it, but for the batch numbered keep (-1: none), which becomes
// number 0.
func (w *Writer) spill(keep int) error {
	s, err := w.spillTo(w.drain)
	if err != nil {
		return err
	}
	w.spills = append(w.spills, s)
	if len(w.entries) < cap(w.entries)/entriesShrink {
		w.entries, w.scratch = nil, nil
	}
	w.entries = w.entries[:0]
	for i, b := range w.batches {
		if i != keep {
			w.recycle(b)
		}
	}
	if keep >= 0 {
		w.batches[0] = w.batches[keep]
	}
	n := min(keep+1, 1)
	clear(w.batches[n:])
	w.batches = w.batches[:n]
	return nil
}

// Finish writes the run to dst. The caller gives the batch that it was lent last back, as it is. The writer's memory is free
// afterwards; Close is still to be called.
func (w *Writer) Finish(ctx context.Context, dst io.Writer) (runfile.Summary, error) {
	if w.err != nil {
		return runfile.Summary{}, w.err
	}
	w.err = errors.New("shuffle writer: it is finished")
	w.o.Buffers.keepBatches([][]byte{w.lent}, w.batchBytes)
	w.lent = nil
	defer w.o.Laps.To(w.o.Laps.To(laps.Write))
	buf := bufio.NewWriterSize(dst, fileBuffer)
	to := w.newSink(buf, runfile.BlockSize)
	if err := w.fill(ctx, to); err != nil {
		return runfile.Summary{}, err
	}
	sum, err := to.close()
	if err != nil {
		return runfile.Summary{}, err
	}
	if err := buf.Flush(); err != nil {
		return runfile.Summary{}, fmt.Errorf("write run: %w", err)
	}
	return sum, nil
}

// fill puts all pairs into the final run's sink. Where something was spilled, the rest is spilled too: its memory is what
// the merge reads into.
func (w *Writer) fill(ctx context.Context, to *sink) error {
	if len(w.spills) == 0 {
		err := w.drain(to)
		w.release()
		return err
	}
	if len(w.entries) > 0 {
		if err := w.spill(-1); err != nil {
			return err
		}
	}
	w.entries, w.scratch, w.batches, w.free, w.bytes = nil, nil, nil, nil, 0 // not kept: memory is short
	if err := w.reduceSpills(ctx); err != nil {
		return err
	}
	return w.mergeSpills(ctx, w.spills, to)
}

// Close removes the temporary files. It ends an attempt at any point.
func (w *Writer) Close() error {
	if w.err == nil {
		w.err = errors.New("shuffle writer: it is closed")
	}
	err := removeSpills(w.spills)
	w.spills = nil
	w.release()
	return err
}

// release gives the memory of pairs away.
func (w *Writer) release() {
	w.o.Buffers.keepBatches(w.batches, w.batchBytes)
	w.o.Buffers.keepBatches(w.free, w.batchBytes)
	w.o.Buffers.keepArrays(sortArrays{w.entries, w.scratch})
	w.entries, w.scratch, w.batches, w.free, w.bytes = nil, nil, nil, nil, 0
}

// Spilled is the number of bytes written to temporary files so far.
func (w *Writer) Spilled() int64 { return w.spilled }

// Pairs is the number of pairs taken so far.
func (w *Writer) Pairs() int64 { return w.pairs }
