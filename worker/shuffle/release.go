package shuffle

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/millrace/millrace/storage/runfile"
)

// releaseBytes is from how many bytes a section in the mean on the sections of a run are released: smaller ones take longer
// than they are worth.
const releaseBytes = 64 << 10

// partitionSet is a set of partitions, a bit each. The zero value is empty.
type partitionSet []uint64

func (s partitionSet) has(p int) bool { return p>>6 < len(s) && s[p>>6]>>(p&63)&1 == 1 }

func (s *partitionSet) add(p int) {
	for len(*s) <= p>>6 {
		*s = append(*s, 0)
	}
	(*s)[p>>6] |= 1 << (p & 63)
}

// Release gives the space of a partition's sections back that lie in the job's runs here: the master has selected the result of
// its reduce task, and will ask for them again only if that is lost. From then on they are not found. While a job is reduced,
// the runs here shrink as the parts made here grow, and both take little more of the disk, and of memory for files, than the
// runs alone.
func (s *Server) Release(job string, partition int) error {
	s.mu.Lock()
	var runs []served
	for _, id := range s.jobs[job] {
		run := s.runs[id]
		if partition >= run.tail.Partitions || run.released.has(partition) || run.tail.Size/int64(run.tail.Partitions) < releaseBytes {
			continue
		}
		run.released = slices.Clone(run.released) // others have the set that was there
		run.released.add(partition)
		s.runs[id] = run
		runs = append(runs, run)
	}
	s.mu.Unlock()
	var errs []error
	for _, run := range runs {
		if err := run.free(partition); err != nil && !errors.Is(err, os.ErrNotExist) { // the job is over
			errs = append(errs, fmt.Errorf("release partition %d of a run: %w", partition, err))
		}
	}
	return errors.Join(errs...)
}

// free makes a hole of a section.
func (r served) free(partition int) error {
	f, err := os.OpenFile(r.path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	section, err := runfile.ReadSectionOf(r.in(f), r.tail, partition)
	if err == nil && section.Length > 0 {
		err = punchHole(f, r.base+section.Offset, section.Length)
	}
	return errors.Join(err, f.Close())
}
