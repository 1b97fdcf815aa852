package shuffle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/millrace/millrace/storage/runfile"
)

const (
	runsPath = "/runs/"
	// sectionHeader carries the section's index entry, see runfile.Section.Text.
	sectionHeader = "Millrace-Section"
)

// Server serves the sections of a worker's runs:
//
//	GET /runs/ID?partition=P    with Range, to resume
//	200, 206  the section's bytes; its index entry in Millrace-Section, the run's checksum in ETag (hexadecimal)
//	400       no such partition
//	404       no such run, or its section was released
//	500       the run's file cannot be read
//
// Of each run it keeps the footer only: the system's page cache holds the indexes, and an entry is one small read.
type Server struct {
	client *http.Client // shared by all attempts, so that connections are used again

	mu      sync.RWMutex
	runs    map[string]served
	jobs    map[string][]string // ids of each job's runs
	shelves map[string][]*shelf // of each job
	idle    map[string][]*shelf // those of them that may take more runs and that nobody writes to
}

// served is one run.
type served struct {
	path    string
	base    int64 // of the run in the file
	tail    runfile.Tail
	largest int // bytes of its largest block
	// released are the partitions whose sections are there no more. A set is never changed, but replaced.
	released partitionSet
}

// NewServer returns a server without runs.
func NewServer() *Server {
	return &Server{
		client: newClient(), runs: map[string]served{}, jobs: map[string][]string{}, shelves: map[string][]*shelf{}, idle: map[string][]*shelf{},
	}
}

// add serves a run of a job under an id.
func (s *Server) add(id, job string, run served) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.runs[id]; ok {
		return errors.New("the id is taken")
	}
	s.runs[id] = run
	s.jobs[job] = append(s.jobs[job], id)
	return nil
}

// Drop stops serving a job's runs and removes their files. A section that is being sent is sent to its end.
func (s *Server) Drop(job string) error {
	s.mu.Lock()
	for _, id := range s.jobs[job] {
		delete(s.runs, id)
	}
	delete(s.jobs, job)
	s.mu.Unlock()
	return s.dropShelves(job)
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "only GET and HEAD", http.StatusMethodNotAllowed)
		return
	}
	id, ok := strings.CutPrefix(r.URL.Path, runsPath)
	run, found := s.run(id)
	if !ok || !found {
		http.Error(w, "no such run", http.StatusNotFound)
		return
	}
	partition, err := strconv.Atoi(r.URL.Query().Get("partition"))
	if err != nil || partition < 0 || partition >= run.tail.Partitions {
		http.Error(w, fmt.Sprintf("partition: want 0 to %d", run.tail.Partitions-1), http.StatusBadRequest)
		return
	}
	if run.released.has(partition) {
		http.Error(w, "no such run: the partition was released", http.StatusNotFound)
		return
	}
	s.serve(w, r, run, partition)
}

func (s *Server) run(id string) (served, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	run, ok := s.runs[id]
	return run, ok
}

// serve sends one section. The reader verifies the blocks, so they go out as they are.
func (s *Server) serve(w http.ResponseWriter, r *http.Request, run served, partition int) {
	f, err := os.Open(run.path)
	if errors.Is(err, fs.ErrNotExist) {
		http.Error(w, "no such run: its file is gone", http.StatusNotFound)
		return
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer f.Close() // it was only read
	section, err := runfile.ReadSectionOf(run.in(f), run.tail, partition)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("ETag", fmt.Sprintf(`"%016x"`, run.tail.Checksum))
	h.Set(sectionHeader, section.Text(partition))
	http.ServeContent(w, r, "", time.Time{}, io.NewSectionReader(f, run.base+section.Offset, section.Length))
}

// in is the run in its file.
func (r served) in(f *os.File) *io.SectionReader { return io.NewSectionReader(f, r.base, r.tail.Size) }

// Opener returns an opener of any run's sections for a reducer on this worker, whose runs have URLs under self
// ("http://host:port"): its own runs are read from their files, other workers' over HTTP, and all else from the store.
func (s *Server) Opener(self string, store Store) Opener {
	return anyOpener{server: s, self: self + runsPath, http: HTTPOpener{s.client}, store: StoreOpener{store}}
}

type anyOpener struct {
	server *Server
	self   string
	http   HTTPOpener
	store  StoreOpener
}

// Open implements Opener.
func (o anyOpener) Open(ctx context.Context, run Run, partition int, from int64) (*Opened, error) {
	if id, ok := strings.CutPrefix(run.URL, o.self); ok {
		own, ok := o.server.run(id)
		if !ok {
			return nil, ErrNoRun
		}
		if own.released.has(partition) {
			return nil, fmt.Errorf("%w: partition %d was released", ErrNoRun, partition)
		}
		opened, err := openFile(own.path, own.base, run, partition, from)
		if err == nil {
			opened.Largest = own.largest
		}
		return opened, err
	}
	if strings.HasPrefix(run.URL, "http://") || strings.HasPrefix(run.URL, "https://") {
		return o.http.Open(ctx, run, partition, from)
	}
	return o.store.Open(ctx, run, partition, from)
}
