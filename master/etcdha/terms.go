package etcdha

import (
	"context"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Terms is the number of the last term, 0 before the first.
func (s *Store) Terms(ctx context.Context) (uint64, error) {
	st, err := s.look(ctx)
	if err != nil {
		return 0, fmt.Errorf("read the term: %w", err)
	}
	return st.term.n, nil
}

// Position is how far the state has come: of two copies of one cluster's state the one with the higher term is newer, and of two of
// one term the one with the higher revision.
type Position struct {
	Term     uint64 // the last
	Revision int64  // of etcd
	Leader   string // address of the one that leads, "" if nobody does
}

// Position is how far the state had come when it was called, or later.
func (s *Store) Position(ctx context.Context) (Position, error) {
	st, err := s.look(ctx)
	if err != nil {
		return Position{}, fmt.Errorf("read the term: %w", err)
	}
	p := Position{Term: st.term.n, Revision: st.rev}
	if st.leader != nil {
		p.Leader = st.leader.Address
	}
	return p, nil
}

// MaxBump is the highest number to which a term is raised. Terms rise by one at a time: no cluster comes so far, and a slip of the
// keyboard could not be taken back, since workers believe no lower number after it.
const MaxBump = 999_999_999_999

// BumpTerm raises the number of the last term to at least that, so that the next is higher than any that there was, also after
// an old snapshot was restored. It does so only while nobody leads.
func (s *Store) BumpTerm(ctx context.Context, atLeast uint64) error {
	if atLeast > MaxBump {
		return fmt.Errorf("raise the term to %d: the highest is %d", atLeast, MaxBump)
	}
	for range maxTries {
		st, err := s.look(ctx)
		switch {
		case err != nil:
			return fmt.Errorf("raise the term to %d: %w", atLeast, err)
		case st.term.n >= atLeast:
			return nil
		case st.leader != nil && s.o.Sole && !s.reigns(st.leader):
			if err := (&candidacy{s: s}).depose(ctx, st.leader); err != nil {
				return fmt.Errorf("raise the term to %d: %w", atLeast, err)
			}
			continue
		case st.leader != nil:
			return fmt.Errorf("raise the term from %d to %d: the master at %q leads: stop all masters first", st.term.n, atLeast, st.leader.Address)
		}
		_, err = s.c.Txn(ctx).
			If(absent(s.k.leader()), s.termIs(st.term)).
			Then(clientv3.OpPut(s.k.term(), termValue{n: atLeast}.String())).Commit()
		if refused(err) || ctx.Err() != nil {
			return fmt.Errorf("raise the term from %d to %d: %w", st.term.n, atLeast, s.explain(err))
		}
		// Whatever the answer, or if there is none, the next look tells.
	}
	return fmt.Errorf("raise the term to %d: it changes all the time: stop all masters first", atLeast)
}
