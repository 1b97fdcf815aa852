package shuffle

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/millrace/millrace/storage/runfile"
)

// place of a source's blocks.
type sourceKind uint8

const (
	inMemory sourceKind = iota
	inTemp              // a section in the reader's temporary file
	inRun               // a section in a run's file on this machine
	inMerged            // a temporary run that holds several sources merged
)

// source is one section of sorted pairs, ready to be merged.
type source struct {
	kind     sourceKind
	run      Run // what it was fetched from; not of inMerged
	section  runfile.Section
	blocks   [][]byte // inMemory
	file     *os.File // inTemp
	offset   int64    // inTemp: of the section in file
	path     string   // inRun, inMerged
	base     int64    // inRun: of the run in the file
	maxBlock int      // bytes that reading it needs, unless inMemory
}

// open returns the source's blocks. It may be called again.
func (s *source) open() blockSource {
	switch s.kind {
	case inMemory:
		b := memoryBlocks(s.blocks)
		return &b
	case inTemp:
		return sectionBlocks{runfile.NewReader(io.NewSectionReader(s.file, s.offset, s.section.Length), s.section)}
	default:
		return sectionBlocks{runfile.NewReader(io.NewSectionReader(closedFile(s.path), s.base+s.section.Offset, s.section.Length), s.section)}
	}
}

// fail says what an error in reading the source means: a run on this machine that cannot be read any more is a run that
// could not be fetched.
func (s *source) fail(err error) error {
	if s.kind == inRun {
		return &FetchError{Map: s.run.Map, Attempt: s.run.Attempt, URL: s.run.URL, Err: err}
	}
	return fmt.Errorf("merge fetched runs: %w", err)
}

// buffer is the memory that merging the source takes.
func (s *source) buffer() int64 {
	if s.kind == inMemory {
		return 0
	}
	return int64(s.maxBlock)
}

// memoryBlocks yields blocks that lie in memory.
type memoryBlocks [][]byte

func (b *memoryBlocks) next([]byte) ([]byte, error) {
	if len(*b) == 0 {
		return nil, io.EOF
	}
	block := (*b)[0]
	*b = (*b)[1:]
	return block, nil
}

// closedFile reads a file that it opens for each read: a merge of thousands of files needs no thousands of descriptors,
// and a read of a block costs far more than opening.
type closedFile string

func (c closedFile) ReadAt(b []byte, at int64) (int, error) {
	f, err := os.Open(string(c))
	if err != nil {
		return 0, err
	}
	n, err := f.ReadAt(b, at)
	if closeErr := f.Close(); closeErr != nil {
		err = closeErr
	}
	return n, err
}

// prepare brings the sources in map order and merges neighbours until what is left fits into one merge. Neighbours only:
// equal keys stay in the order of the maps.
func (r *Reader) prepare(ctx context.Context) error {
	r.mu.Lock() // the caller may still tell of runs
	for i := range r.total {
		if s := r.maps[i].source; s.section.Blocks > 0 {
			r.sources = append(r.sources, s)
		}
	}
	r.mu.Unlock()
	for at := 0; r.fanIn(0) < len(r.sources); at++ {
		n := r.fanIn(at)
		if n < 2 {
			at = -1 // the next pass
			continue
		}
		if err := r.mergeSources(ctx, at, n); err != nil {
			return err
		}
	}
	in := make([]blockSource, len(r.sources))
	for i, s := range r.sources {
		in[i] = s.open()
	}
	r.merge.reset(in)
	return nil
}

// fanIn is how many sources from the given one on the budget lets be merged at once: at least two if there are.
func (r *Reader) fanIn(at int) int {
	free := r.o.Memory - r.memory - runfile.BlockSize
	n := 0
	for ; at+n < len(r.sources); n++ {
		if free -= r.sources[at+n].buffer(); free < 0 && n >= 2 {
			break
		}
	}
	return n
}

// mergeSources replaces n sources by one.
func (r *Reader) mergeSources(ctx context.Context, at, n int) error {
	group := r.sources[at : at+n]
	f, err := os.CreateTemp(r.o.Dir, "merge-*.run")
	if err != nil {
		return fmt.Errorf("merge fetched runs: %w", err)
	}
	merged, err := writeMerged(ctx, f, group)
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	r.spilled.Add(merged.section.Length)
	var errs []error
	r.mu.Lock()
	for _, s := range group {
		r.releaseLocked(s)
		if s.kind == inMerged {
			errs = append(errs, os.Remove(s.path))
		}
	}
	r.mu.Unlock()
	r.sources = slices.Replace(r.sources, at, at+n, merged)
	return errors.Join(errs...)
}

// writeMerged merges sources into a run of one partition.
func writeMerged(ctx context.Context, f *os.File, group []*source) (*source, error) {
	in := make([]blockSource, len(group))
	for i, s := range group {
		in[i] = s.open()
	}
	var m merger
	m.reset(in)
	buf := bufio.NewWriterSize(f, fileBuffer)
	out := &output{run: runfile.NewWriter(buf, 1), blockSize: runfile.BlockSize, maxPair: runfile.MaxBlock}
	if source, err := mergePartition(ctx, &m, 0, &sink{out: out}); err != nil {
		if source >= 0 {
			return nil, group[source].fail(err)
		}
		return nil, fmt.Errorf("merge fetched runs: %w", err)
	}
	sum, err := out.close()
	if err != nil {
		return nil, fmt.Errorf("merge fetched runs: %w", err)
	}
	if err := buf.Flush(); err != nil {
		return nil, fmt.Errorf("merge fetched runs: %w", err)
	}
	section, _, err := runfile.ReadSection(f, sum.Size, 0)
	return &source{kind: inMerged, section: section, path: f.Name(), maxBlock: sum.Largest}, err
}
