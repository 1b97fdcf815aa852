package state

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/millrace/millrace/master/etcdha/backup"
	"github.com/millrace/millrace/master/etcdha/member"
	"github.com/millrace/millrace/master/journal"
	"github.com/millrace/millrace/storage"
)

// Bounds of asking the bucket of snapshots at the start.
const (
	foundWithin = 30 * time.Second // before a cluster is founded
	vetWithin   = 5 * time.Second
	askAgain    = 250 * time.Millisecond
)

// ErrWouldForget is an empty data directory where the bucket tells of a cluster.
var ErrWouldForget = errors.New("the cluster that was here would be forgotten")

// mayFound refuses to found a cluster when the bucket of snapshots has one, or does not say.
func (s *State) mayFound(ctx context.Context) error {
	b := s.o.Snapshots.Bucket
	if b == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, foundWithin)
	defer cancel()
	claim, err := b.Cluster(ctx)
	if errors.Is(err, backup.ErrNone) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("data directory %s is empty, and whether a cluster was here cannot be read from the bucket of snapshots: %w: mend that; only if none was, begin without --snapshots",
			s.dir.Path(), err)
	}
	has := ""
	if c, err := b.Look(ctx, claim.Cluster); err == nil {
		has = fmt.Sprintf(", whose last term was %d", c.Highest)
		if t, err := b.LastTerm(ctx, c); err == nil {
			has += " with the master at " + t.Leader
		}
		if last := c.Newest(); last != nil {
			has += fmt.Sprintf("; its newest snapshot is of %s, term %d", last.Taken.Format(time.RFC3339), last.Term)
		} else {
			has += "; it has no snapshot"
		}
	}
	return fmt.Errorf("%w: data directory %s is empty, but %s is of cluster %s%s. Bring the data directory back, or restore the newest snapshot: "+
		"millrace master restore %s --data-dir %s. To begin a new cluster, give it another URL with --snapshots, or remove %s",
		ErrWouldForget, s.dir.Path(), b, claim.Cluster, has, b, s.dir.Path(), b.ClaimURL())
}

// remedy is what a master that waits for others may need to know: that the bucket of snapshots has their cluster.
func (s *State) remedy(ctx context.Context) string {
	b := s.o.Snapshots.Bucket
	if b == nil {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, vetWithin)
	defer cancel()
	claim, err := b.Cluster(ctx)
	if err != nil {
		return ""
	}
	return fmt.Sprintf("; if the data directories of all are lost: %s has snapshots of cluster %s, millrace master restore %s --data-dir %s brings it back on one of them",
		b, claim.Cluster, b, s.dir.Path())
}

// Vet refuses a state that is older than the bucket of snapshots says, or of another cluster than that is of: what was put back, or
// restored from a snapshot that is not the newest; and one that another master still has, who began the last term there. bumped is the number to which the term was raised by a person, who thereby said
// that this is meant. While the bucket is not reached the state is taken as it is: it is looked at again when a term begins here (recall).
func (s *State) Vet(ctx context.Context, bumped uint64) error {
	b := s.o.Snapshots.Bucket
	if b == nil {
		return nil
	}
	limited, cancel := context.WithTimeout(ctx, vetWithin)
	defer cancel()
	has, err := b.Of(limited, s.cluster())
	switch {
	case errors.Is(err, backup.ErrNone):
		return nil
	case errors.Is(err, backup.ErrForeign), errors.Is(err, storage.ErrBadURL):
		return err
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		if limited.Err() != nil {
			err = fmt.Errorf("no answer for %v", vetWithin)
		}
		s.o.Log.Warn("whether this state is the newest is not known: the bucket of snapshots does not say", "url", b.String(), "error", err)
		return s.doubt(ctx, bumped)
	}
	if last, err := b.LastTerm(limited, has); err == nil {
		if err := s.rivals(ctx, last.Addresses()); err != nil {
			return err
		}
	}
	at, alone, err := s.stands(ctx)
	if err == nil && bumped < has.Highest {
		err = s.newest(at, has)
	}
	if err != nil || !alone {
		return err
	}
	return s.dir.SetDoubt(nil)
}

// stands is how far the state had come when the bucket is to know whether it is the newest, and whether this is its only master.
func (s *State) stands(ctx context.Context) (at member.Standing, alone bool, err error) {
	members, err := s.members(ctx)
	if err != nil {
		return at, false, err
	}
	id := s.dir.Identity()
	if alone = len(members) == 1; alone && id.Doubt != nil {
		return *id.Doubt, alone, nil
	}
	at.Term, at.Revision, err = s.position(ctx)
	if err == nil && id.Restored != nil && id.Restored.Term == at.Term { // nothing was decided since
		at.Revision = id.Restored.Revision
	}
	return at, alone, err
}

// newest refuses a state that is older than the bucket says.
func (s *State) newest(at member.Standing, has backup.Contents) error {
	if err := has.Older(at.Term, at.Revision); err != nil {
		return fmt.Errorf("data directory %s: %w", s.dir.Path(), err)
	}
	return nil
}

// doubt notes how far the state has come while the bucket does not say whether it is the newest: with the terms that begin here until
// it does, an old state would seem to be a new one, also when it is started again. Of several masters nothing is noted: what one has is
// brought to what the others know before a term begins, and another's term may have moved it on by then.
//
// Invariant: while it is noted, this state has written nothing to the bucket, so whatever is newer there is not its own.
func (s *State) doubt(ctx context.Context, bumped uint64) error {
	at, alone, err := s.stands(ctx)
	if err != nil || !alone {
		return err
	}
	if bumped >= at.Term { // with all that began up to that number, a person said
		at = member.Standing{Term: bumped, Revision: math.MaxInt64}
	}
	return s.dir.SetDoubt(&at)
}

// recall asks the bucket what it did not answer at the start, before a term of this process is noted there.
func (s *State) recall(ctx context.Context) error {
	if s.dir.Identity().Doubt == nil {
		return nil
	}
	at, alone, err := s.stands(ctx)
	if err != nil || !alone {
		return err
	}
	has, err := s.o.Snapshots.Bucket.Of(ctx, s.cluster())
	if err == nil {
		err = s.newest(at, has)
	}
	if err != nil && !errors.Is(err, backup.ErrNone) {
		return err
	}
	return s.dir.SetDoubt(nil)
}

// refused notes that the bucket knows of a later state, for when this one is started again: a term did begin here, and was not noted
// there, so by its number the state might seem to be the newest.
func (s *State) refused(term uint64) {
	if s.dir.Identity().Doubt != nil {
		return
	}
	if err := s.dir.SetDoubt(&member.Standing{Term: term - 1, Revision: math.MaxInt64}); err != nil {
		s.o.Log.Warn("that this state is not the newest cannot be noted", "error", err)
	}
}

// position asks for the state's position until it is told.
func (s *State) position(ctx context.Context) (term uint64, revision int64, err error) {
	for {
		limited, cancel := context.WithTimeout(ctx, vetWithin)
		p, err := s.Store.Position(limited)
		cancel()
		if err == nil || ctx.Err() != nil {
			return p.Term, p.Revision, err
		}
		s.o.Log.Warn("the state cannot be read yet", "error", err)
		wait(ctx, askAgain)
	}
}

// members asks for the members until they are told.
func (s *State) members(ctx context.Context) ([]member.Status, error) {
	for {
		limited, cancel := context.WithTimeout(ctx, vetWithin)
		all, err := s.member.Status(limited)
		cancel()
		if err == nil || ctx.Err() != nil {
			return all, err
		}
		s.o.Log.Warn("the list of masters cannot be read yet", "error", err)
		wait(ctx, askAgain)
	}
}

// keep makes the keeper of the bucket of snapshots.
func (s *State) keep() {
	o := s.o.Snapshots
	if o.Bucket == nil {
		return
	}
	o.Source, o.Cluster, o.Log, o.Recall, o.Refused = source{s}, s.cluster(), s.o.Log, s.recall, s.refused
	for _, p := range s.o.Masters {
		o.Masters = append(o.Masters, p.Name)
	}
	s.keeper = backup.NewKeeper(o)
}

// source gives the keeper what it needs of the state.
type source struct{ s *State }

// Position implements backup.Source.
func (x source) Position(ctx context.Context) (term uint64, revision int64, err error) {
	p, err := x.s.Store.Position(ctx)
	return p.Term, p.Revision, err
}

// Snapshot implements backup.Source. The position was read through this member, so it knows at least that.
func (x source) Snapshot(ctx context.Context) (io.ReadCloser, error) { return x.s.member.Snapshot(ctx) }

// Campaign implements journal.Election. The bucket of snapshots is told of the term before its leader does anything.
func (s *State) Campaign(ctx context.Context, c journal.Candidate) (journal.Term, error) {
	term, err := s.Store.Campaign(ctx, c)
	if err != nil || s.keeper == nil {
		return term, err
	}
	if err := s.keeper.Begin(ctx, term, c.Address); err != nil {
		return journal.Term{}, errors.Join(err, term.Resign(ctx))
	}
	return term, nil
}
