package member

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

// ErrNoMajority is a change that the members must agree on while most of them cannot be reached.
var ErrNoMajority = errors.New("no majority of the masters answers")

// Status is what a member says of another, or of itself.
type Status struct {
	Peer
	ID      uint64
	Learner bool // it does not count for a majority yet
}

// Status lists the members, as a majority of them sees it.
func (m *Member) Status(ctx context.Context) ([]Status, error) {
	got, err := m.client.MemberList(ctx)
	for range listTries - 1 {
		if !errors.Is(err, rpctypes.ErrLeaderChanged) {
			break
		}
		got, err = m.client.MemberList(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("list the masters: %w", explain(err))
	}
	return statuses(got.Members), nil
}

// listTries is how often the members are asked for while etcd has a new leader each time, which drops the question.
const listTries = 5

func statuses(members []*etcdserverpb.Member) (all []Status) {
	for _, x := range members {
		s := Status{Peer: Peer{Name: x.Name}, ID: x.ID, Learner: x.IsLearner}
		if len(x.PeerURLs) > 0 {
			s.Address = address(x.PeerURLs[0])
		}
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b Status) int { return cmp.Compare(a.Address, b.Address) })
	return all
}

// Add lets another member join; list is who shall be a member in the end. The new one takes the place of the one with the same
// address, which has lost its data directory, or of one that is on the list no more; neither answers. It returns all members,
// for the other's Options.Peers. The new one counts for no majority until it is promoted. One joins at a time.
//
// Invariant: a member is taken away only while the rest is a majority that answers, as etcd sees to, and only when nothing that is
// known beforehand hinders the new one from taking its place.
func (m *Member) Add(ctx context.Context, p Peer, list []Peer) ([]Peer, error) {
	now, err := m.Status(ctx)
	if err != nil {
		return nil, err
	}
	if slices.ContainsFunc(now, func(old Status) bool { return old.Address == p.Address && old.Learner && old.Name == "" }) {
		return peersOf(now, p), nil // added before, by a call whose answer was lost
	}
	gone, err := replaced(ctx, now, p, list)
	if err != nil {
		return nil, err
	}
	for _, old := range gone {
		if err := m.Remove(ctx, old.ID); err != nil {
			return nil, err
		}
	}
	u := m.urlOf(p)
	got, err := m.client.MemberAddAsLearner(ctx, []string{u.String()})
	if err != nil {
		return nil, fmt.Errorf("add master %s: %w", p.Name, explain(err))
	}
	m.o.Log.Info("a master joins", "master", p.Name, "peer", p.Address)
	return peersOf(statuses(got.Members), p), nil
}

// Why a member does not join.
var (
	ErrStillRuns = errors.New("a master cannot be replaced while it runs")
	ErrTooMany   = errors.New("a master replaces one at a time")
	ErrJoining   = errors.New("another master is joining")
)

// replaced lists whose place p takes among the members, one at the most.
func replaced(ctx context.Context, now []Status, p Peer, list []Peer) (gone []Status, err error) {
	var joining []Status
	for _, old := range now {
		listed := slices.ContainsFunc(list, func(l Peer) bool { return l.Address == old.Address })
		switch {
		case old.Address == p.Address && answers(ctx, old.Address):
			return nil, fmt.Errorf("%w: %s listens at %s already, and %s with an empty data directory would take its place: stop that one first, or give this one another address",
				ErrStillRuns, old.Name, old.Address, p.Name)
		case old.Address == p.Address:
			gone = append(gone, old)
		case listed && old.Learner:
			joining = append(joining, old)
		case listed:
		case answers(ctx, old.Address):
			return nil, fmt.Errorf("%w: %s would take the place of %s: stop that one first, or name it in --masters", ErrStillRuns, p.Name, old.Name)
		default:
			gone = append(gone, old)
		}
	}
	switch {
	case len(gone) > 1:
		return nil, fmt.Errorf("%w: %s would take the places of %s and %s: give it a list of masters that lacks one", ErrTooMany, p.Name, gone[0].Name, gone[1].Name)
	case len(joining) > 0:
		return nil, fmt.Errorf("%w: %s can when the one at %s has caught up: start that one, or name another in its place in --masters", ErrJoining, p.Name, joining[0].Address)
	}
	return gone, nil
}

// answers says whether somebody listens at an address.
func answers(ctx context.Context, address string) bool {
	conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", address)
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

// peersOf gives the members as the options of p's first start: those that have not started have no name yet.
func peersOf(members []Status, p Peer) (peers []Peer) {
	for _, s := range members {
		if s.Address == p.Address {
			s.Name = p.Name
		} else if s.Name == "" {
			s.Name = s.Address
		}
		peers = append(peers, s.Peer)
	}
	return peers
}

// Remove takes a member away for good. What is in its data directory is of no use from then on.
func (m *Member) Remove(ctx context.Context, id uint64) error {
	if _, err := m.client.MemberRemove(ctx, id); err != nil && !errors.Is(err, rpctypes.ErrMemberNotFound) {
		return fmt.Errorf("remove a master: %w", explain(err))
	}
	m.o.Log.Info("a master was removed", "id", fmt.Sprintf("%x", id))
	return nil
}

// address is the HOST:PORT of a peer URL.
func address(peerURL string) string {
	u, err := url.Parse(peerURL)
	if err != nil {
		return peerURL
	}
	return u.Host
}

// explain says what etcd's words about the members mean here. What it refuses is as it was; what timed out may yet happen.
func explain(err error) error {
	for _, e := range []error{rpctypes.ErrUnhealthy, rpctypes.ErrMemberNotEnoughStarted, rpctypes.ErrGRPCUnhealthy, rpctypes.ErrGRPCMemberNotEnoughStarted} {
		if errors.Is(err, e) {
			return fmt.Errorf("%w reliably enough to change who is one of them (%w): start those that are down; one that was started just now counts after 5 s", ErrNoMajority, err)
		}
	}
	for _, e := range []error{rpctypes.ErrTimeout, rpctypes.ErrTimeoutDueToLeaderFail, rpctypes.ErrTimeoutDueToConnectionLost, rpctypes.ErrNoLeader, rpctypes.ErrStopped, context.DeadlineExceeded} {
		if errors.Is(err, e) {
			return fmt.Errorf("%w (%w): start those that are down", ErrNoMajority, err)
		}
	}
	return err
}

// Bounds of looking after learners.
const (
	promoteEvery = 500 * time.Millisecond // how often a learner is looked at
	callWithin   = 5 * time.Second
)

// promoteLearners makes members of the learners that have caught up, until ctx ends.
func (m *Member) promoteLearners(ctx context.Context) error {
	tick := time.NewTicker(promoteEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		for _, x := range m.etcd.Server.Cluster().Members() {
			if x.IsLearner && m.etcd.Server.Leader() == m.etcd.Server.MemberID() {
				m.promote(ctx, uint64(x.ID), x.Name)
			}
		}
	}
}

// promote makes a member of a learner, if it has caught up.
func (m *Member) promote(ctx context.Context, id uint64, name string) {
	ctx, cancel := context.WithTimeout(ctx, callWithin)
	defer cancel()
	_, err := m.client.MemberPromote(ctx, id)
	switch {
	case err == nil:
		m.o.Log.Info("a master has joined", "master", name)
	case errors.Is(err, rpctypes.ErrMemberLearnerNotReady), ctx.Err() != nil:
	default:
		m.o.Log.Warn("let a master join", "master", name, "error", explain(err))
	}
}
