// Package memha is the journal's backend and the leader election in memory, for a master that need not survive its process
// and for tests. It does what etcdha does, without the network: terms rise, a deposed leader is fenced, candidates wait.
// What it holds is gone with the process.
package memha

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/millrace/millrace/master/journal"
)

// Store is a journal.Backend and a journal.Election. The masters that share it are one cluster.
type Store struct {
	mu     sync.Mutex
	term   uint64        // of the current leader, or of the last one
	over   chan struct{} // closed when term is over; nil before the first
	led    bool          // somebody leads
	leader string        // its address
	vacant chan struct{} // closed when nobody leads; made anew by each term
	logs   map[journal.JobID][][][]byte
	order  []journal.JobID // the keys of logs, by their first entries
	claims map[string]journal.JobID
}

var (
	_ journal.Backend  = (*Store)(nil)
	_ journal.Election = (*Store)(nil)
)

// New returns an empty store without a leader.
func New() *Store {
	vacant := make(chan struct{})
	close(vacant)
	return &Store{vacant: vacant, logs: map[journal.JobID][][][]byte{}, claims: map[string]journal.JobID{}}
}

// Campaign waits until nobody leads and begins the next term.
func (s *Store) Campaign(ctx context.Context, c journal.Candidate) (journal.Term, error) {
	for {
		s.mu.Lock()
		if !s.led {
			break
		}
		vacant := s.vacant
		s.mu.Unlock()
		select {
		case <-vacant:
		case <-ctx.Done():
			return journal.Term{}, ctx.Err()
		}
	}
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return journal.Term{}, err
	}
	s.term++
	s.led, s.leader = true, c.Address
	s.over, s.vacant = make(chan struct{}), make(chan struct{})
	return journal.Term{N: s.term, Done: s.over, Reign: &reign{s, s.term}}, nil
}

// Leader implements journal.Election.
func (s *Store) Leader() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.leader
}

// reign is a leader's hold on its term: nothing to be renewed, for memory does not go away while its process lives.
type reign struct {
	s *Store
	n uint64
}

func (r *reign) Lasts() bool { return r.Confirm(context.Background()) == nil }

func (r *reign) Confirm(ctx context.Context) error {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	return r.s.guardLocked(ctx, r.n)
}

func (r *reign) Resign(ctx context.Context) error {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	if err := r.s.guardLocked(ctx, r.n); err != nil {
		return err
	}
	r.s.deposeLocked()
	return nil
}

// Depose ends the current term: its writes are refused from here on, and the next candidate leads.
func (s *Store) Depose() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.led {
		s.deposeLocked()
	}
}

func (s *Store) deposeLocked() {
	s.led, s.leader = false, ""
	close(s.over)
	close(s.vacant)
}

// guardLocked says whether a write of that term may happen.
func (s *Store) guardLocked(ctx context.Context, term uint64) error {
	if !s.led || term != s.term {
		return fmt.Errorf("%w: term %d, now %d", journal.ErrFenced, term, s.term)
	}
	return ctx.Err()
}

// Append implements journal.Backend.
func (s *Store) Append(ctx context.Context, term uint64, entries []journal.Entry) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.guardLocked(ctx, term); err != nil {
		return err
	}
	for i, e := range entries {
		if n := uint64(len(s.logs[e.Job])); e.Seq != n {
			return fmt.Errorf("job %s: entry %d, expected %d", e.Job, e.Seq, n)
		}
		if slices.ContainsFunc(entries[:i], func(o journal.Entry) bool { return o.Job == e.Job }) {
			return fmt.Errorf("job %s: two entries in one write", e.Job)
		}
	}
	for _, e := range entries {
		if len(s.logs[e.Job]) == 0 {
			s.order = append(s.order, e.Job)
		}
		s.logs[e.Job] = append(s.logs[e.Job], cloneRecords(e.Records))
	}
	return nil
}

func cloneRecords(records [][]byte) [][]byte {
	out := make([][]byte, len(records))
	for i, r := range records {
		out[i] = bytes.Clone(r)
	}
	return out
}

// Load implements journal.Backend. It yields what was there when it began.
func (s *Store) Load(ctx context.Context, yield func(journal.Entry) bool) error {
	s.mu.Lock()
	var entries []journal.Entry
	for _, job := range s.order {
		for i, records := range s.logs[job] {
			entries = append(entries, journal.Entry{Job: job, Seq: uint64(i), Records: cloneRecords(records)})
		}
	}
	s.mu.Unlock()
	for _, e := range entries {
		if err := ctx.Err(); err != nil {
			return err
		}
		if !yield(e) {
			return nil
		}
	}
	return ctx.Err()
}

// Claim implements journal.Backend.
func (s *Store) Claim(ctx context.Context, term uint64, output string, job journal.JobID) (journal.JobID, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.guardLocked(ctx, term); err != nil {
		return "", err
	}
	if holder, ok := s.claims[output]; ok {
		return holder, nil
	}
	s.claims[output] = job
	return job, nil
}

// Release implements journal.Backend.
func (s *Store) Release(ctx context.Context, term uint64, output string, job journal.JobID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.guardLocked(ctx, term); err != nil {
		return err
	}
	if s.claims[output] == job {
		delete(s.claims, output)
	}
	return nil
}

// Replace implements journal.Backend.
func (s *Store) Replace(ctx context.Context, term uint64, job journal.JobID, records [][]byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.guardLocked(ctx, term); err != nil {
		return err
	}
	if len(records) > 0 {
		if len(s.logs[job]) == 0 {
			s.order = append(s.order, job)
		}
		s.logs[job] = [][][]byte{cloneRecords(records)}
		return nil
	}
	delete(s.logs, job)
	s.order = slices.DeleteFunc(s.order, func(id journal.JobID) bool { return id == job })
	return nil
}
