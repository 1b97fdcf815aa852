package master

import (
	"errors"
	"fmt"
	"time"

	"github.com/millrace/millrace/jobs/plan"
	"github.com/millrace/millrace/master/records"
)

// While masters are upgraded one after the other, those of two versions take turns, and an older one may find in the journal what it
// does not understand; a newer one may plan otherwise than the one that began a job. About such a job this master decides nothing: it
// is parked (parked.go), and goes on when a master leads that can. To look at the journal again would change nothing, so the term
// lasts.
//
// Who can lead with it may stand by, and have lost the election. So a master that finds such a job does not begin to lead at first: it
// resigns, and stands aside for a moment, in which others are elected. Of three masters of which one has the right version, that one
// leads after two moments at most: each of the others that is elected before stands aside, too. If none has it, the first one to come
// back leads, with the job parked, and does not stand aside again for a while: so two jobs, each of which needs another version, or
// masters that are replaced one after the other, make nobody wait for long.
//
//	elected -> finds the job -> resigns, stands aside -> another leads, with the job | elected again -> leads, without it

const (
	// standAside is how long a master stands aside, beside twice what it took to find why: another one of its version takes as long,
	// and is to resign again before this one comes back.
	standAside = 3 * time.Second
	// asideEvery is how long it does not stand aside again.
	asideEvery = time.Minute
)

// errAside ends a term before it has begun to serve.
var errAside = errors.New("standing aside: a job needs a master of another version, which may stand by")

// errPlannedElsewhere is a job whose tasks would not be those of which its log tells.
var errPlannedElsewhere = errors.New("it was planned by another version of millrace: start masters of that one until it has ended, or cancel it")

// carries says whether this master can ask a chain's code which stage comes next.
func (m *Master) carries(chain plan.Spec) error {
	if m.o.Programs == nil {
		return fmt.Errorf("%w: this master carries no chains", errPlannedElsewhere)
	}
	if _, err := m.o.Programs.Advance(chain, nil); err != nil { // as when it was submitted
		return fmt.Errorf("%w: %w", errPlannedElsewhere, err)
	}
	return nil
}

// isOther says whether a log cannot be replayed for what another version has written in it.
func isOther(err error) bool {
	return errors.Is(err, records.ErrNewer) || errors.Is(err, errPlannedElsewhere)
}

// needsOther says whether a job waits for a master of another version.
func (m *Master) needsOther() bool {
	for _, p := range m.parked { // one is enough
		if p.other {
			return true
		}
	}
	return false
}

// waitsForStorage says whether a job waits for what the storage does not give.
func (m *Master) waitsForStorage() bool {
	for _, p := range m.parked { // one is enough
		if p.far != nil {
			return true
		}
	}
	return false
}
