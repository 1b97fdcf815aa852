package memha

import (
	"testing"

	"github.com/millrace/millrace/master/journal"
	"github.com/millrace/millrace/master/journal/journaltest"
)

// Proves that memory keeps the journal's promises, the ones that etcd must keep too.
func TestConformance(t *testing.T) {
	t.Parallel()
	journaltest.Run(t, func(*testing.T) journaltest.Store {
		s := New()
		return journaltest.Store{Backend: s, Election: s, Depose: s.Depose}
	})
}

// Proves that deposing nobody changes nothing: the first term is still 1.
func TestDeposeNobody(t *testing.T) {
	t.Parallel()
	s := New()
	s.Depose()
	term, err := s.Campaign(t.Context(), journal.Candidate{})
	if err != nil || term.N != 1 {
		t.Errorf("got term %d, %v, want 1", term.N, err)
	}
	s.Depose()
	s.Depose()
	if term, err = s.Campaign(t.Context(), journal.Candidate{}); err != nil || term.N != 2 {
		t.Errorf("got term %d, %v, want 2", term.N, err)
	}
}
