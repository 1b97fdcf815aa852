package shuffle

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"

	"github.com/millrace/millrace/storage/runfile"
)

// shelfBytes is the size from which a shelf takes no more runs. Many small runs share a file, since creating and removing one
// each cost half of a task over a small input, and far more on a file system that searches long for a free inode; a large run
// has one to itself.
const shelfBytes = 16 << 20

// shelf is a file of a job's runs, one behind the other. One attempt at a time writes to it, behind the runs that are there.
type shelf struct {
	path string
	file *os.File
	size int64 // of the runs that are kept
	gone bool  // the job was dropped; Server.mu guards it
}

// RunFile is where an attempt writes its run. One goroutine uses it, and ends it with Keep or Abandon.
type RunFile struct {
	s     *Server
	job   string
	shelf *shelf
	end   int64 // of what was written
}

// Create returns a place for a run of a job. If it takes a new file, that lies in dir.
func (s *Server) Create(job, dir string) (*RunFile, error) {
	s.mu.Lock()
	if idle := s.idle[job]; len(idle) > 0 {
		sh := idle[len(idle)-1]
		s.idle[job] = idle[:len(idle)-1]
		s.mu.Unlock()
		return &RunFile{s, job, sh, sh.size}, nil
	}
	s.mu.Unlock()
	f, err := os.CreateTemp(dir, "runs-*.run")
	if err != nil {
		return nil, err
	}
	sh := &shelf{path: f.Name(), file: f}
	s.mu.Lock()
	s.shelves[job] = append(s.shelves[job], sh)
	s.mu.Unlock()
	return &RunFile{s, job, sh, 0}, nil
}

// Write implements io.Writer.
func (f *RunFile) Write(b []byte) (int, error) {
	n, err := f.shelf.file.WriteAt(b, f.end)
	f.end += int64(n)
	return n, err
}

// Keep serves the run that was written, under an id. largest is what runfile.Summary says of it, 0 if unknown.
func (f *RunFile) Keep(id string, largest int) (err error) {
	run := served{path: f.shelf.path, base: f.shelf.size, largest: largest}
	size := f.end - run.base
	if run.tail, err = runfile.ReadTail(io.NewSectionReader(f.shelf.file, run.base, size), size); err != nil {
		return errors.Join(fmt.Errorf("serve run %s: %w", id, err), f.Abandon())
	}
	f.shelf.size = f.end
	if err = f.leave(f.end < shelfBytes); err == nil {
		err = f.s.add(id, f.job, run)
	}
	if err != nil {
		return fmt.Errorf("serve run %s: %w", id, err)
	}
	return nil
}

// Abandon gives up what was written.
func (f *RunFile) Abandon() error {
	err := f.shelf.file.Truncate(f.shelf.size)
	return errors.Join(err, f.leave(err == nil))
}

// leave gives the shelf back for more runs, or closes it.
func (f *RunFile) leave(more bool) error {
	s, sh := f.s, f.shelf
	f.shelf = nil
	s.mu.Lock()
	defer s.mu.Unlock()
	if !more || sh.gone {
		return sh.file.Close()
	}
	s.idle[f.job] = append(s.idle[f.job], sh)
	return nil
}

// Close drops all jobs. No attempt may run any more.
func (s *Server) Close() error {
	s.mu.Lock()
	jobs := slices.Collect(maps.Keys(s.shelves))
	s.mu.Unlock()
	var errs []error
	for _, job := range jobs {
		errs = append(errs, s.Drop(job))
	}
	return errors.Join(errs...)
}

// dropShelves removes a job's files. Those that attempts write to are closed by them.
func (s *Server) dropShelves(job string) error {
	s.mu.Lock()
	all, idle := s.shelves[job], s.idle[job]
	delete(s.shelves, job)
	delete(s.idle, job)
	for _, sh := range all {
		sh.gone = true
	}
	s.mu.Unlock()
	var errs []error
	for _, sh := range idle {
		errs = append(errs, sh.file.Close())
	}
	for _, sh := range all {
		if err := os.Remove(sh.path); !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
