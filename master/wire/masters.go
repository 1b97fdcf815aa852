package wire

import "context"

// MasterService is what masters are to each other while they become one cluster; see WorkerService. It needs no leader.
type MasterService interface {
	Meet(ctx context.Context, args *MeetArgs) (*MeetReply, error)
	Join(ctx context.Context, args *JoinArgs) (*JoinReply, error)
}

// Stage is how far a master is on its way into a cluster.
type Stage uint8

const (
	StageNew      Stage = 1 // its data directory is empty
	StageFounding Stage = 2 // it has decided who founds a cluster, and waits for a majority of these
	StageMember   Stage = 3 // it is one of a cluster
)

// Founder is a master that founds a cluster with others.
type Founder struct {
	Address string // as in --masters
	Master  string // its identity: another one after its data directory was emptied
}

// MeetArgs asks a master who it is.
type MeetArgs struct {
	From string // the asker's address, for the log
}

// MeetReply is who a master is.
type MeetReply struct {
	Address  string // as in --masters
	Master   string // its identity
	Stage    Stage
	Masters  []string  // --masters, as the one who answers was told; sorted
	Founders []Founder // StageFounding: those that it has decided for, sorted by address
	Cluster  string    // StageMember: its id in hex, if it is known already
}

// JoinArgs asks a master that is one of a cluster to let another join, which has an empty data directory.
type JoinArgs struct {
	Address string   // of the one that joins, as in --masters
	Masters []string // as it was told
}

// JoinReply is whom the one that joins finds.
type JoinReply struct {
	Members []Member
}

// Member is a member of a cluster as etcd knows it.
type Member struct {
	Name string
	Peer string // HOST:PORT where it listens for the others
}

// Meet asks a master who it is.
func (c *Client) Meet(ctx context.Context, args *MeetArgs) (*MeetReply, error) {
	return invoke[MeetArgs, MeetReply](ctx, c, "Meet", args, short, 0)
}

// Join asks a master to let another join.
func (c *Client) Join(ctx context.Context, args *JoinArgs) (*JoinReply, error) {
	return invoke[JoinArgs, JoinReply](ctx, c, "Join", args, short, 0)
}

type masterDoor struct {
	s   *session
	svc MasterService
}

func (d *masterDoor) Meet(in *Incoming[MeetArgs], out *Answer[MeetReply]) error {
	return perform(d.s, "Meet", in, out, d.svc.Meet)
}

func (d *masterDoor) Join(in *Incoming[JoinArgs], out *Answer[JoinReply]) error {
	return perform(d.s, "Join", in, out, d.svc.Join)
}
