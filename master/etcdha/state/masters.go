package state

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/millrace/millrace/master/etcdha/member"
	"github.com/millrace/millrace/master/wire"
)

// Bounds of how masters find each other.
const (
	meetWithin = 2 * time.Second // for the answer of another master
	joinWithin = 10 * time.Second
	meetEvery  = 250 * time.Millisecond
	sayAgain   = time.Minute // why it still waits
)

// Meet implements wire.MasterService.
func (s *State) Meet(context.Context, *wire.MeetArgs) (*wire.MeetReply, error) {
	id := s.dir.Identity()
	r := &wire.MeetReply{Address: s.o.Member.Name, Master: id.Master, Masters: texts(s.o.Masters), Cluster: id.Cluster}
	switch {
	case id.Cluster == "" && id.Founders != nil:
		r.Stage = wire.StageFounding
		for _, f := range id.Founders {
			r.Founders = append(r.Founders, wire.Founder(f))
		}
	case id.Cluster != "" || s.dir.Initialized():
		r.Stage = wire.StageMember
	default:
		r.Stage = wire.StageNew
	}
	return r, nil
}

// Join implements wire.MasterService.
func (s *State) Join(ctx context.Context, args *wire.JoinArgs) (*wire.JoinReply, error) {
	list, err := ParseMasters(args.Masters)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", wire.ErrBadMessage, err)
	}
	i := slices.IndexFunc(list, func(p member.Peer) bool { return p.Name == args.Address })
	if i < 0 {
		return nil, fmt.Errorf("%w: %s is not in its own list of masters %v", wire.ErrBadMessage, args.Address, args.Masters)
	}
	m := s.started()
	if m == nil {
		return nil, fmt.Errorf("%w: it waits for the others itself", wire.ErrNotLeader)
	}
	members, err := m.Add(ctx, list[i], list)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", wire.ErrBusy, err)
	}
	reply := &wire.JoinReply{}
	for _, p := range members {
		reply.Members = append(reply.Members, wire.Member{Name: p.Name, Peer: p.Address})
	}
	return reply, nil
}

// gather finds out what the member of a master with others is to do at its start.
func (s *State) gather(ctx context.Context) (member.Options, error) {
	o := s.o.Member
	o.Peers = s.o.Masters
	id := s.dir.Identity()
	look := search{self: member.Founder{Address: o.Name, Master: id.Master}, masters: s.o.Masters}
	said, saidAt := "", time.Time{}
	for ; ; id = s.dir.Identity() {
		if s.dir.Initialized() {
			return o, nil
		}
		if id.Founders != nil {
			if err := checkList(id.Founders, s.o.Masters); err != nil {
				return o, fmt.Errorf("data directory %s: %w", s.dir.Path(), err)
			}
			var err error
			o.Token, err = token(id.Founders)
			return o, err
		}
		d := look.decide(s.meetAll(ctx))
		if d.propose != nil {
			// The others are asked once more after this: if they are new then, the cluster that the bucket knows is none of theirs.
			look.barred = s.mayFound(ctx)
		}
		if d.barred != nil {
			return o, d.barred
		}
		if d.found != nil {
			if err := s.dir.SetFounders(d.found); err != nil {
				return o, err
			}
			s.o.Log.Info("founding a cluster", "masters", texts(s.o.Masters))
			continue
		}
		if d.join != nil {
			peers, err := s.join(ctx, d.join)
			if err == nil {
				o.Peers, o.Join = peers, true
				return o, nil
			}
			d.wait = err.Error()
		}
		if ctx.Err() != nil {
			return o, ctx.Err()
		}
		if d.wait != "" && (d.wait != said || time.Since(saidAt) > sayAgain) {
			said, saidAt = d.wait, time.Now()
			s.o.Log.Info("waiting for the other masters", "reason", d.wait+s.remedy(ctx))
		}
		wait(ctx, meetEvery)
	}
}

// meetAll asks all others who they are.
func (s *State) meetAll(ctx context.Context) map[string]*wire.MeetReply {
	replies := map[string]*wire.MeetReply{}
	var mu sync.Mutex
	var all sync.WaitGroup
	for _, p := range s.o.Masters {
		if p.Name == s.o.Member.Name {
			continue
		}
		all.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, meetWithin)
			defer cancel()
			r, err := callMaster(ctx, p.Name, func(c *wire.Client) (*wire.MeetReply, error) {
				return c.Meet(ctx, &wire.MeetArgs{From: s.o.Member.Name})
			})
			if err != nil {
				return // as one that does not run
			}
			mu.Lock()
			defer mu.Unlock()
			replies[p.Name] = r
		})
	}
	all.Wait()
	return replies
}

// join asks one master after the other to let this one join.
func (s *State) join(ctx context.Context, members []string) (peers []member.Peer, err error) {
	var errs []error
	for _, address := range members {
		ctx, cancel := context.WithTimeout(ctx, joinWithin)
		r, err := callMaster(ctx, address, func(c *wire.Client) (*wire.JoinReply, error) {
			return c.Join(ctx, &wire.JoinArgs{Address: s.o.Member.Name, Masters: texts(s.o.Masters)})
		})
		cancel()
		if err != nil {
			errs = append(errs, fmt.Errorf("join by %s: %w", address, err))
			continue
		}
		for _, x := range r.Members {
			peers = append(peers, member.Peer{Name: x.Name, Address: x.Peer})
		}
		s.o.Log.Info("joining a cluster", "by", address, "members", len(peers))
		return peers, nil
	}
	return nil, errors.Join(errs...)
}

// callMaster makes a call to another master.
func callMaster[R any](ctx context.Context, address string, call func(*wire.Client) (R, error)) (r R, err error) {
	c, err := wire.Dial(ctx, []string{address}, wire.ClientOptions{Role: wire.RoleMaster, DialTimeout: meetWithin})
	if err != nil {
		return r, err
	}
	defer c.Close()
	return call(c)
}

// wait returns after d or when ctx ends.
func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// receive answers other masters on l until stop is called, which leaves l open for the master.
func (s *State) receive(ctx context.Context, l *net.TCPListener, o wire.ServerOptions) (stop func() error) {
	ctx, cancel := context.WithCancel(ctx)
	o.Masters = s
	ended := make(chan error, 1)
	go func() { ended <- wire.NewServer(nil, o).Serve(ctx, &lent{TCPListener: l}) }()
	return func() error {
		cancel()
		return errors.Join(<-ended, l.SetDeadline(time.Time{}))
	}
}

// lent is a listener that stays open when the one it is lent to closes it.
type lent struct{ *net.TCPListener }

// Close ends Accept. After a server's last Accept nothing is accepted until the owner sets another deadline.
func (l *lent) Close() error { return l.SetDeadline(time.Unix(1, 0)) }
