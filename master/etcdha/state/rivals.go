package state

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/millrace/millrace/master/wire"
)

// ErrStrangers are masters of the same cluster with another state than this one's.
var ErrStrangers = errors.New("another master has another state of this cluster")

// strangers refuses a state with one member, as a restored one is, while another of the masters says that it is a member of that
// cluster, too: it would be known here if it were. Either the cluster lives, and this one is to join it, or what is left of it must go.
func (s *State) strangers(ctx context.Context) error {
	members, err := s.members(ctx)
	if err != nil || len(members) > 1 {
		return err
	}
	for name, r := range s.meetAll(ctx) {
		if r.Stage == wire.StageMember && r.Cluster == s.cluster() {
			return fmt.Errorf("%w: %s, and it is not that of data directory %s, which was restored, or is a copy. If more than half of the masters live, empty that one "+
				"to let it join them. If they are lost, stop %s and empty its data directory, to let it join this one", ErrStrangers, name, s.dir.Path(), name)
		}
	}
	if from := s.dir.Identity().Restored; from != nil {
		return s.rivals(ctx, from.Masters)
	}
	return nil
}

// rivals refuses a state with one member while a master at one of some addresses leads, or stands by in, the same cluster: that one has
// the state that this is a copy of. Both would decide about the same jobs, and commit to the same outputs.
func (s *State) rivals(ctx context.Context, addresses []string) error {
	members, err := s.members(ctx)
	if err != nil || len(members) > 1 {
		return err
	}
	if rival := alive(ctx, s.Cluster(), addresses, s.o.Listener); rival != "" {
		return fmt.Errorf("%w: the one at %s runs, and is of cluster %s as data directory %s is, which was restored, or is a copy. If that one is well, leave this one alone. "+
			"If this one is to take its place, stop that one first, and all others of its cluster", ErrStrangers, rival, s.cluster(), s.dir.Path())
	}
	return nil
}

// aliveWithin is how long a master may take to say of which cluster it is.
const aliveWithin = time.Second

// alive is the first of some addresses where a master of a cluster answers, "" if none does. The one that listens on self, which may be
// nil, is not asked.
func alive(ctx context.Context, cluster wire.ClusterID, addresses []string, self *net.TCPListener) string {
	for _, address := range addresses {
		if self != nil && isAt(self.Addr(), address) {
			continue
		}
		c, err := wire.Dial(ctx, []string{address}, wire.ClientOptions{Role: wire.RoleClient, Cluster: cluster, DialTimeout: aliveWithin})
		if err == nil {
			_ = c.Close()
			return address
		}
	}
	return ""
}

// isAt says whether a listener has this address.
func isAt(l net.Addr, address string) bool {
	a, err := net.ResolveTCPAddr("tcp", address)
	return err == nil && a.String() == l.String()
}
