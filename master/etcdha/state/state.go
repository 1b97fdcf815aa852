// Package state opens what a master keeps its state in and becomes the leader by: an etcdha.Store, in whichever way it is had. A
// master that is alone has an etcd member of its own; three or five masters have one each, which are a cluster; an outside etcd
// may be used in its place. What is on top of it, the journal and the master, does not know the difference. Only command millrace,
// and the program that measures masters, import it.
//
// # How masters become one cluster
//
// Each is told the same list of addresses. A master whose data directory has been used goes on as the member that it is. One with
// an empty directory asks the others who they are (wire.MasterService), and
//
//   - joins, if one of them is a member of a cluster: as a learner, which counts for no majority until it has caught up; it takes
//     the place of the member that had its address, or of the one that the list lacks and that does not answer;
//   - else decides as another has decided that founds a cluster with it;
//   - else founds a cluster with them, if all of them are new as well and were told the same list, and say so twice;
//   - else waits, says why, and asks again.
//
// A decision names the founders by address and by identity, the random number that a data directory gets when it is made. It is on
// disk before etcd is started, and stays. The cluster's name for etcd is the decision's hash, so those who decided otherwise
// are strangers to it.
//
// Invariant: where a majority has decided for a cluster, there will be no other while one of these directories is not lost.
//
// For let S be a majority that has decided for F at some time, and G another decision. Those of S whose directories are not lost
// have decided for F, and stay; so for a majority of its own G needs one of S whose directory was lost, as the new founder that
// this is now. Whoever decides for G first, without another's example, has heard of that new founder, so after S had decided,
// and then asked all masters once more: the one of S that remains says that it has decided. TestNoTwoClusters tries it out.
package state

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/sync/errgroup"

	"github.com/millrace/millrace/master/etcdha"
	"github.com/millrace/millrace/master/etcdha/backup"
	"github.com/millrace/millrace/master/etcdha/member"
	"github.com/millrace/millrace/master/wire"
)

// Options says where a master's state is. The zero value of a field means its default.
type Options struct {
	// External is an etcd that runs already, in which all keys begin with Prefix; nil: a member in DataDir, which is required then.
	External *etcdha.External
	Prefix   string

	DataDir string        // of the member
	Masters []member.Peer // all masters, from ParseMasters; nil: it is alone
	// Listener is where this master listens. It is needed if it is not alone: until the state is open, it answers only the others there.
	Listener *net.TCPListener
	Server   wire.ServerOptions // for that
	Member   member.Options     // Name is this master's address in Masters; Peers, Token, Join and Log are set from here
	// Snapshots says to which bucket snapshots go: Bucket, Every and Kept; the rest is set from here. With Bucket nil there are none.
	// Not for an outside etcd.
	Snapshots backup.Options
	Log       *slog.Logger // default: none
}

// State is an open state.
type State struct {
	*etcdha.Store
	o      Options
	dir    *member.Dir      // nil: an outside etcd
	client *clientv3.Client // of an outside etcd
	keeper *backup.Keeper   // nil: there are no snapshots

	mu     sync.Mutex
	member *member.Member // nil until it is ready
}

// Open opens the state, which may take as long as ctx lasts. The caller closes it after the master has ended.
func Open(ctx context.Context, o Options) (_ *State, err error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.Member.Log = o.Log
	if o.External != nil && o.Snapshots.Bucket != nil {
		return nil, errors.New("no snapshots are taken of an outside etcd")
	}
	if o.Masters != nil && !slices.ContainsFunc(o.Masters, func(p member.Peer) bool { return p.Name == o.Member.Name }) {
		return nil, fmt.Errorf("this master, %s, is not among the masters %v", o.Member.Name, texts(o.Masters))
	}
	if o.Masters != nil {
		check := o.Member
		check.Peers = o.Masters
		if err := check.Check(); err != nil {
			return nil, err
		}
	}
	s := &State{o: o}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if o.External != nil {
		return s, s.dial(ctx)
	}
	if s.dir, err = member.OpenDir(o.DataDir); err != nil {
		return nil, err
	}
	if o.Masters == nil {
		if !s.dir.Initialized() {
			if err := s.mayFound(ctx); err != nil {
				return s, err
			}
		}
		if err := s.start(ctx, o.Member); err != nil {
			return s, err
		}
		return s, s.strangers(ctx)
	}
	stop := s.receive(ctx, o.Listener, o.Server)
	m, err := s.gather(ctx)
	if err == nil {
		err = s.start(ctx, m)
	}
	if err == nil {
		err = s.strangers(ctx)
	}
	return s, errors.Join(err, stop())
}

// dialWithin is how long an outside etcd may take to answer for the first time.
const dialWithin = 30 * time.Second

// dial opens the store on an outside etcd.
func (s *State) dial(ctx context.Context) (err error) {
	if s.client, err = etcdha.Dial(*s.o.External); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, dialWithin)
	defer cancel()
	s.Store, err = etcdha.New(ctx, s.client, etcdha.Options{Log: s.o.Log, Prefix: s.o.Prefix})
	return err
}

// start starts the member and opens the store on it.
func (s *State) start(ctx context.Context, o member.Options) error {
	m, err := member.Start(ctx, s.dir, o)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.member = m
	s.mu.Unlock()
	if s.Store, err = etcdha.New(ctx, m.Client(), etcdha.Options{Log: s.o.Log, Sole: s.o.Masters == nil}); err != nil {
		return err
	}
	s.keep()
	return s.dir.SetCluster(s.cluster())
}

// cluster is the cluster's id as text.
func (s *State) cluster() string {
	id := s.Cluster()
	return hex.EncodeToString(id[:])
}

// started is the member, once it is ready.
func (s *State) started() *member.Member {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.member
}

// Others is what this master is to others that join it; nil: it needs none.
func (s *State) Others() wire.MasterService {
	if s.o.Masters == nil {
		return nil
	}
	return s
}

// Run watches over the state until ctx ends. It fails when the state can be used no more.
func (s *State) Run(ctx context.Context) error {
	if s.dir == nil {
		<-ctx.Done()
		return nil
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.member.Run(ctx) })
	if s.keeper != nil {
		g.Go(func() error { return s.keeper.Run(ctx) })
	}
	if err := g.Wait(); err != nil {
		return fmt.Errorf("the master's state: %w", err)
	}
	return nil
}

// Close closes what Open has opened.
func (s *State) Close() error {
	var errs []error
	if m := s.started(); m != nil {
		errs = append(errs, m.Close())
	}
	if s.client != nil {
		errs = append(errs, s.client.Close())
	}
	if s.dir != nil {
		errs = append(errs, s.dir.Close())
	}
	return errors.Join(errs...)
}
