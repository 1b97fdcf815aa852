package etcdha

import (
	"testing"

	"github.com/millrace/millrace/master/journal/journaltest"
)

// Proves that etcd keeps the journal's promises, those that memory keeps.
func TestConformance(t *testing.T) {
	t.Parallel()
	journaltest.Run(t, func(t *testing.T) journaltest.Store {
		s := open(t, Options{})
		return journaltest.Store{Backend: s, Election: s, Depose: func() { depose(t, s) }}
	})
}

// depose removes the leader key, as its lease's end does.
func depose(t *testing.T, s *Store) {
	t.Helper()
	if _, err := s.c.Delete(t.Context(), s.k.leader()); err != nil {
		t.Fatalf("depose: %v", err)
	}
}
