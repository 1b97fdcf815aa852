package shuffle

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"

	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/storage/runfile"
	"github.com/millrace/millrace/worker/laps"
)

const (
	// maxFanIn bounds the files open in one merge, well below the 1,024 that a process usually may open.
	maxFanIn = 256
	// fileBuffer gathers block headers and small blocks into writes that are worth a system call, bytes.
	fileBuffer = 16 << 10
)

// spill is a temporary run file. It is open only while it is merged.
type spill struct {
	path     string
	tail     runfile.Tail
	maxBlock int // bytes that reading it needs
}

// sink is where sorted pairs go: through a combiner if there is one, into the blocks of a run.
type sink struct {
	out      *output
	combiner *combiner
	fed      []byte // what a merge feeds the combiner with
}

func (s *sink) add(partition int, key, value []byte, same bool) error {
	if s.combiner != nil {
		return s.combiner.add(partition, key, value, same)
	}
	return s.out.add(partition, key, value, same)
}

func (s *sink) close() (runfile.Summary, error) {
	if s.combiner != nil {
		if err := s.combiner.close(); err != nil {
			return runfile.Summary{}, err
		}
	}
	return s.out.close()
}

// newSink returns a sink that writes a run with blocks of blockSize to dst.
func (w *Writer) newSink(dst io.Writer, blockSize int) *sink {
	s := &sink{out: &output{
		run:       runfile.NewWriter(dst, w.o.Partitions),
		blockSize: blockSize,
		maxPair:   w.maxPair,
		block:     make([]byte, 0, w.firstBlock(blockSize)),
	}}
	if w.o.Combine != nil {
		s.combiner = &combiner{out: s.out, combine: w.o.Combine, limit: w.combineBytes}
	}
	return s
}

// firstBlock is what to make a block of a run: a small run needs no more than its pairs take.
func (w *Writer) firstBlock(blockSize int) int {
	if len(w.spills) > 0 {
		return blockSize
	}
	size := 0
	for _, b := range w.batches {
		size += len(b)
	}
	return min(size, blockSize)
}

// spillTo writes one temporary run: fill puts the pairs into it.
func (w *Writer) spillTo(fill func(*sink) error) (s spill, err error) {
	defer w.o.Laps.To(w.o.Laps.To(laps.Spill))
	f, err := os.CreateTemp(w.o.Dir, "spill-*.run")
	if err != nil {
		return spill{}, fmt.Errorf("spill: %w", err)
	}
	defer func() {
		if err = errors.Join(err, f.Close()); err != nil {
			err = errors.Join(fmt.Errorf("spill to %s: %w", f.Name(), err), os.Remove(f.Name()))
		}
	}()
	buf := bufio.NewWriterSize(f, fileBuffer)
	to := w.newSink(buf, w.spillBlock)
	if err := fill(to); err != nil {
		return spill{}, err
	}
	sum, err := to.close()
	if err != nil {
		return spill{}, err
	}
	if err := buf.Flush(); err != nil {
		return spill{}, err
	}
	w.spilled += sum.Size
	tail := runfile.Tail{Size: sum.Size, Partitions: w.o.Partitions, Checksum: sum.Checksum, Pairs: sum.Pairs}
	return spill{path: f.Name(), tail: tail, maxBlock: max(w.spillBlock, sum.Largest)}, nil
}

// reduceSpills merges neighbours until the spills left fit into one merge, and no more than that. Neighbours only: equal
// keys stay in the order of emission.
func (w *Writer) reduceSpills(ctx context.Context) error {
	for at := 0; w.fanIn(w.spills) < len(w.spills); at++ {
		n := w.fanIn(w.spills[at:])
		if n < 2 {
			at = -1 // the next pass
			continue
		}
		merged, err := w.mergeGroup(ctx, w.spills[at:at+n])
		if err != nil {
			return err
		}
		w.spills = slices.Replace(w.spills, at, at+n, merged)
	}
	return nil
}

// mergeGroup merges spills to one and removes them.
func (w *Writer) mergeGroup(ctx context.Context, group []spill) (spill, error) {
	merged, err := w.spillTo(func(to *sink) error { return w.mergeSpills(ctx, group, to) })
	if err != nil {
		return spill{}, err
	}
	if err := removeSpills(group); err != nil {
		return spill{}, errors.Join(err, os.Remove(merged.path))
	}
	return merged, nil
}

// fanIn is how many of the first spills the budget lets be merged at once: at least two, since no block takes more than a
// quarter of it.
func (w *Writer) fanIn(spills []spill) int {
	free := w.o.Memory - runfile.BlockSize - combineBuffers*int64(w.combineBytes)
	n := 0
	for n < min(len(spills), maxFanIn) {
		if free -= int64(spills[n].maxBlock); free < 0 && n >= 2 {
			break
		}
		n++
	}
	return n
}

// mergeSpills merges spills into a sink.
func (w *Writer) mergeSpills(ctx context.Context, spills []spill, to *sink) (err error) {
	defer w.o.Laps.To(w.o.Laps.To(laps.Merge))
	files := make([]*os.File, 0, len(spills))
	defer func() {
		for _, f := range files {
			err = errors.Join(err, f.Close())
		}
	}()
	for _, s := range spills {
		f, err := os.Open(s.path)
		if err != nil {
			return fmt.Errorf("merge spills: %w", err)
		}
		files = append(files, f)
	}
	var m merger
	var sources []blockSource
	for p := range w.o.Partitions {
		sources = sources[:0]
		for i, f := range files {
			section, err := runfile.ReadSectionOf(f, spills[i].tail, p)
			if err != nil {
				return fmt.Errorf("merge spill %s: %w", f.Name(), err)
			}
			if section.Blocks > 0 {
				sources = append(sources, newSectionBlocks(f, section))
			}
		}
		m.reset(sources)
		if _, err := mergePartition(ctx, &m, p, to); err != nil {
			return fmt.Errorf("merge spills: %w", err)
		}
	}
	return ctx.Err()
}

// mergePartition moves one partition's pairs from a merger to a sink. An error comes with the number of the source that
// gave it, or -1.
func mergePartition(ctx context.Context, m *merger, partition int, to *sink) (source int, err error) {
	if err := to.out.enter(partition); err != nil {
		return -1, err
	}
	if to.combiner != nil {
		return combinePartition(ctx, m, partition, to)
	}
	for out := to.out; ; {
		var more bool
		if out.block, more, source, err = m.fill(out.block[:0], out.blockSize); err != nil {
			return source, err
		}
		out.pairs = m.pairs
		if !more {
			return 0, nil // what is in the block is written when the next partition begins, or at the end
		}
		if err := out.flush(); err != nil {
			return -1, err
		}
		if ctx.Err() != nil {
			return -1, ctx.Err()
		}
	}
}

// combinePartition is mergePartition through a combiner.
func combinePartition(ctx context.Context, m *merger, partition int, to *sink) (source int, err error) {
	var key []byte
	for more := true; more; {
		if to.fed, more, source, err = m.fill(to.fed[:0], to.combiner.limit); err != nil {
			return source, err
		}
		for i, rest := 0, to.fed; i < m.pairs; i++ {
			h, n, ok := pairHeader(rest)
			if !ok {
				return -1, jobs.ErrPairs
			}
			if !h.same {
				key, n = rest[n:n+h.key], n+h.key
			}
			end := n + h.value
			if err := to.add(partition, key, rest[n:end:end], h.same || i == 0 && m.joins); err != nil {
				return -1, err
			}
			rest = rest[end:]
		}
		if ctx.Err() != nil {
			return -1, ctx.Err()
		}
	}
	return 0, nil
}

func removeSpills(spills []spill) error {
	var errs []error
	for _, s := range spills {
		if err := os.Remove(s.path); !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// sectionBlocks is a section of a file as a blockSource.
type sectionBlocks struct{ r *runfile.Reader }

func newSectionBlocks(f io.ReaderAt, s runfile.Section) sectionBlocks {
	return sectionBlocks{runfile.NewReader(io.NewSectionReader(f, s.Offset, s.Length), s)}
}

func (b sectionBlocks) next(buf []byte) ([]byte, error) {
	block, _, err := b.r.Next(buf)
	return block, err
}
