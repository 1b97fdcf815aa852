package member

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Bounds of looking after the database's size.
const (
	lookEvery = 2 * time.Second
	healAgain = time.Minute // after a try that did not free enough
	// healthyShare of the quota, at most, must be in use before writing is allowed again: else the alarm comes back at once, and
	// masters would only take turns at it.
	healthyShare = 0.8
)

// watchAlarms frees space when the database has reached its quota and etcd takes no more writes, until ctx ends.
func (m *Member) watchAlarms(ctx context.Context) error {
	tick := time.NewTicker(m.lookEvery)
	defer tick.Stop()
	var next time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if !m.full() || time.Now().Before(next) {
			continue
		}
		m.o.Log.Error("the master's database has reached its quota: nothing can be written; freeing what is not needed", "member", m.o.Name,
			"bytes", m.etcd.Server.Backend().Size(), "quota", m.o.Quota)
		err := m.heal(ctx)
		switch {
		case ctx.Err() != nil:
		case err != nil:
			m.o.Log.Error("the master's database is still full", "member", m.o.Name, "error", err)
			next = time.Now().Add(healAgain)
		default:
			m.o.Log.Info("the master's database takes writes again", "member", m.o.Name, "bytes", m.etcd.Server.Backend().Size(), "quota", m.o.Quota)
		}
	}
}

// full says whether etcd has raised the alarm for this member.
func (m *Member) full() bool {
	for _, a := range m.etcd.Server.Alarms() {
		if a.Alarm == etcdserverpb.AlarmType_NOSPACE && a.MemberID == uint64(m.etcd.Server.MemberID()) {
			return true
		}
	}
	return false
}

// ErrFull is a database that is full of what is needed.
var ErrFull = errors.New("what must be kept fills the database")

// heal drops the database's history, gives the space back, and allows writing again if that was enough. Nothing that is needed is
// lost: only what was overwritten or deleted goes.
func (m *Member) heal(ctx context.Context) error {
	m.healing.Lock() // one that comes second would find the history dropped, and not wait until it is gone
	defer m.healing.Unlock()
	ctx, cancel := context.WithTimeout(ctx, healAgain)
	defer cancel()
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
	if size := m.etcd.Server.Backend().Size(); float64(size) > healthyShare*float64(m.o.Quota) {
		return fmt.Errorf("%w: %d of %d bytes: cancel jobs, and start the masters with a larger --data-quota", ErrFull, size, m.o.Quota)
	}
	alarm := clientv3.AlarmMember{MemberID: uint64(m.etcd.Server.MemberID()), Alarm: etcdserverpb.AlarmType_NOSPACE}
	if _, err := m.client.AlarmDisarm(ctx, &alarm); err != nil {
		return fmt.Errorf("allow writing again: %w", explain(err))
	}
	return nil
}
