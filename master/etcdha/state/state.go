// Package state opens what a master keeps its state in and becomes the leader by: an etcdha.Store, in whichever way it is had. A
// master that is alone has an etcd member of its own; an outside etcd may be used in its place. What is on top of it, the
// journal and the master, does not know the difference. Only command millrace imports it.
package state

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"

	"github.com/millrace/millrace/master/etcdha"
	"github.com/millrace/millrace/master/etcdha/member"
)

// Options says where a master's state is. The zero value of a field means its default.
type Options struct {
	DataDir string         // of the member; required
	Member  member.Options // Log is that below
	Log     *slog.Logger   // default: none
}

// State is an open state.
type State struct {
	*etcdha.Store
	dir    *member.Dir
	member *member.Member
}

// Open opens the state, which may take as long as ctx lasts. The caller closes it after the master has ended.
func Open(ctx context.Context, o Options) (_ *State, err error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.Member.Log = o.Log
	s := &State{}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if s.dir, err = member.OpenDir(o.DataDir); err != nil {
		return nil, err
	}
	if s.member, err = member.Start(ctx, s.dir, o.Member); err != nil {
		return nil, err
	}
	if s.Store, err = etcdha.New(ctx, s.member.Client(), etcdha.Options{Log: o.Log, Sole: len(o.Member.Peers) == 0}); err != nil {
		return nil, err
	}
	id := s.Cluster()
	return s, s.dir.SetCluster(hex.EncodeToString(id[:]))
}

// Run watches over the state until ctx ends. It fails when the state can be used no more.
func (s *State) Run(ctx context.Context) error {
	if err := s.member.Run(ctx); err != nil {
		return fmt.Errorf("the master's state: %w", err)
	}
	return nil
}

// Close closes what Open has opened.
func (s *State) Close() error {
	var errs []error
	if s.member != nil {
		errs = append(errs, s.member.Close())
	}
	if s.dir != nil {
		errs = append(errs, s.dir.Close())
	}
	return errors.Join(errs...)
}
