package member

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"go.etcd.io/etcd/client/pkg/v3/types"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Bounds of looking after the database's size.
const (
	lookEvery = 2 * time.Second
	healAgain = time.Minute // after a try that did not free enough
	// othersAfter so many looks an alarm of another member is ended that this one leads: by then that one would have done so.
	othersAfter = 5
	// healthyShare of the quota, at most, must be in use before writing is allowed again: else the alarm comes back at once, and
	// masters would only take turns at it.
	healthyShare = 0.8
)

// watchAlarms ends alarms, until ctx ends. etcd takes no writes from anybody while one stands, and leaves it to people to end it.
func (m *Member) watchAlarms(ctx context.Context) error {
	tick := time.NewTicker(m.lookEvery)
	defer tick.Stop()
	var next time.Time
	looks := map[alarm]int{}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if time.Now().After(next) && !m.endAlarms(ctx, looks) {
			next = time.Now().Add(healAgain)
		}
	}
}

// endAlarms ends those that are due, and says whether it could.
func (m *Member) endAlarms(ctx context.Context, looks map[alarm]int) bool {
	for _, a := range m.due(looks) {
		if err := m.end(ctx, a); err != nil {
			if ctx.Err() == nil {
				m.o.Log.Error("the master's database is still full", "member", m.o.Name, "error", err)
			}
			return false
		}
	}
	return true
}

// alarm is one that etcd has raised.
type alarm struct {
	member uint64
	kind   etcdserverpb.AlarmType
}

// due lists the alarms that this member is to end now: its own, of a database that has reached its quota; and, while it leads the
// others, those that nobody else will end: of members that were removed, and of one that does not end its own, as when it is dead. looks counts
// how often each was seen to stand.
func (m *Member) due(looks map[alarm]int) (list []alarm) {
	s, standing := m.etcd.Server, map[alarm]bool{}
	leads := s.Leader() == s.MemberID()
	for _, x := range s.Alarms() {
		a := alarm{x.MemberID, x.Alarm}
		standing[a] = true
		looks[a]++
		full := a.kind == etcdserverpb.AlarmType_NOSPACE
		switch {
		case full && a.member == uint64(s.MemberID()):
		case leads && s.Cluster().Member(types.ID(a.member)) == nil:
		case leads && full && looks[a] > othersAfter:
		default:
			continue
		}
		list = append(list, a)
	}
	maps.DeleteFunc(looks, func(a alarm, _ int) bool { return !standing[a] })
	return list
}

// end ends an alarm, when there is no more reason for it here. A member for which there still is one raises it again.
func (m *Member) end(ctx context.Context, a alarm) error {
	if a.member != uint64(m.etcd.Server.MemberID()) {
		m.o.Log.Warn("ending the alarm of a master that does not do so itself", "master", fmt.Sprintf("%x", a.member), "alarm", a.kind.String())
		return m.heal(ctx, a)
	}
	m.o.Log.Error("the master's database has reached its quota: nothing can be written; freeing what is not needed", "member", m.o.Name,
		"bytes", m.etcd.Server.Backend().Size(), "quota", m.o.Quota)
	if err := m.heal(ctx, a); err != nil {
		return err
	}
	m.o.Log.Info("the master's database takes writes again", "member", m.o.Name, "bytes", m.etcd.Server.Backend().Size(), "quota", m.o.Quota)
	return nil
}

// ErrFull is a database that is full of what is needed.
var ErrFull = errors.New("what must be kept fills the database")

// heal frees what space can be, and allows writing again if there is enough, by ending an alarm. Nothing that is needed is lost: only
// what was overwritten or deleted goes.
func (m *Member) heal(ctx context.Context, a alarm) error {
	m.healing.Lock() // one that comes second would find the history dropped, and not wait until it is gone
	defer m.healing.Unlock()
	ctx, cancel := context.WithTimeout(ctx, healAgain)
	defer cancel()
	if !m.roomy() {
		if err := m.free(ctx); err != nil {
			return err
		}
	}
	if !m.roomy() {
		return fmt.Errorf("%w: %d of %d bytes: cancel jobs, and start the masters with a larger --data-quota", ErrFull, m.etcd.Server.Backend().Size(), m.o.Quota)
	}
	if _, err := m.client.AlarmDisarm(ctx, &clientv3.AlarmMember{MemberID: a.member, Alarm: a.kind}); err != nil {
		return fmt.Errorf("allow writing again: %w", explain(err))
	}
	return nil
}

// roomy says whether so much space is free that writing may go on for a while.
func (m *Member) roomy() bool {
	return float64(m.etcd.Server.Backend().Size()) <= healthyShare*float64(m.o.Quota)
}

// free drops the database's history, and gives the space back.
func (m *Member) free(ctx context.Context) error {
	now, err := m.client.Get(ctx, "/", clientv3.WithCountOnly())
	if err != nil {
		return fmt.Errorf("find the newest revision: %w", explain(err))
	}
	_, err = m.client.Compact(ctx, now.Header.Revision, clientv3.WithCompactPhysical())
	if err != nil && !errors.Is(err, rpctypes.ErrCompacted) { // another member was first
		return fmt.Errorf("drop the history: %w", explain(err))
	}
	if err := m.etcd.Server.Defragment(); err != nil {
		return fmt.Errorf("give space back: %w", err)
	}
	return nil
}
