package member

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3client"
	"golang.org/x/sync/errgroup"
)

// Peer is a member as the others know it.
type Peer struct {
	Name    string // unique in the cluster: a master's own address
	Address string // HOST:PORT where it listens for the others
}

// TLS are the files for mutual TLS between members, in PEM. All or none.
type TLS struct{ CA, Cert, Key string }

func (t TLS) empty() bool { return t == TLS{} }

// Options configures a member. The zero value of a field means its default.
type Options struct {
	Name    string // of this member; default "master"
	Peers   []Peer // all members at the first start, this one too; nil: it is alone, and listens nowhere
	Token   string // tells clusters with equal Peers apart; all members give the same
	Join    bool   // at the first start: Peers are a cluster that runs, and has been told of this member
	TLS     TLS    // needed unless all Peers are loopback addresses
	Quota   int64  // bytes of the database; default 1 GiB
	Log     *slog.Logger
	Tick    time.Duration // between heartbeats, from the leader to the others; default 100 ms
	Timeout time.Duration // without one, until a new leader is elected; default 10 ticks

	// ReadyWithin bounds the start of a member that is alone; default 1 min. One that has peers waits for them until its context ends.
	ReadyWithin time.Duration
}

// Bounds of a member.
const (
	// defaultTick and ten of it as timeout are etcd's own: an election takes 1 to 2 s. Half of that makes a failover little
	// shorter, since a leader's term must run out first, and costs elections over networks that lose packets.
	defaultTick  = 100 * time.Millisecond
	defaultName  = "master"
	defaultQuota = 1 << 30
	maxRequest   = 3 << 19 // 1.5 MiB, etcd's own bound
	// keepRevisions of history are enough for a watch that fell behind by minutes; older ones go every 5 minutes.
	keepRevisions = "1000"
	// snapshotEvery so many entries the log is cut; keepEntries of it stay for members that are behind. An entry may have 1.5
	// MiB, so etcd's own 10,000 and 5,000 could hold gigabytes of memory.
	snapshotEvery = 2000
	keepEntries   = 1000
	// defragAtStart frees space in the database's file at the start, if so many MiB of it are unused: then nobody waits for it yet.
	defragAtStart = 100
	saySoAfter    = 5 * time.Second // a member that waits for the others says so, and again every
	saySoEvery    = time.Minute
)

func (o Options) withDefaults() (Options, error) {
	if o.Name == "" {
		o.Name = defaultName
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Quota <= 0 {
		o.Quota = defaultQuota
	}
	if o.Tick <= 0 {
		o.Tick = defaultTick
	}
	if o.Timeout <= 0 {
		o.Timeout = 10 * o.Tick
	}
	if o.ReadyWithin <= 0 {
		o.ReadyWithin = time.Minute
	}
	if !o.TLS.empty() && (o.TLS.CA == "" || o.TLS.Cert == "" || o.TLS.Key == "") {
		return o, errors.New("mutual TLS between masters: give all three of --peer-ca, --peer-cert and --peer-key")
	}
	if len(o.Peers) == 0 {
		return o, nil
	}
	self := slices.IndexFunc(o.Peers, func(p Peer) bool { return p.Name == o.Name })
	if self < 0 {
		return o, fmt.Errorf("member %s is not among the members %v", o.Name, o.Peers)
	}
	for _, p := range o.Peers {
		host, _, err := net.SplitHostPort(p.Address)
		if err != nil {
			return o, fmt.Errorf("member %s: address %s: %w", p.Name, p.Address, err)
		}
		if ip := net.ParseIP(host); o.TLS.empty() && host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			return o, fmt.Errorf("member %s: address %s is reached from other machines: masters talk to each other there with mutual TLS only: "+
				"give --peer-ca, --peer-cert and --peer-key", p.Name, p.Address)
		}
	}
	return o, nil
}

// Check says what is wrong with options, if anything is.
func (o Options) Check() error {
	_, err := o.withDefaults()
	return err
}

// Member is a running etcd member.
type Member struct {
	o      Options
	dir    *Dir
	etcd   *embed.Etcd
	client *clientv3.Client
	sink   *sink

	lookEvery time.Duration // at alarms
	healing   sync.Mutex    // held while space is freed
}

// Start starts the member of a data directory, and returns when it answers: when it is one of a majority that does. On a first
// start it makes the cluster that Options tells of, or joins it; later it goes on as what it is. The caller closes dir after it.
func Start(ctx context.Context, dir *Dir, o Options) (*Member, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("start etcd: %w", err)
	}
	m := &Member{o: o, dir: dir, sink: newSink(o.Log), lookEvery: lookEvery}
	if err := m.launch(ctx); err != nil {
		return nil, err
	}
	err = m.fits()
	if err == nil {
		err = m.ready(ctx)
	}
	if err != nil {
		m.Close()
		return nil, fmt.Errorf("start etcd in %s: %w", dir.path, err)
	}
	m.client = v3client.New(m.etcd.Server)
	if err := m.moved(ctx); err != nil {
		return nil, errors.Join(err, m.Close())
	}
	m.endAlarms(ctx, map[alarm]int{}) // what comes before Run may have to write
	return m, nil
}

// knownWithin is how long one that joins waits until the others know of it, each of which hears of it by itself; launchAgain is the pause
// between two tries.
const (
	knownWithin = 15 * time.Second
	launchAgain = 100 * time.Millisecond
)

// launch starts etcd. One that joins asks one of the others, whichever answers first, who the members are, and that one may be behind the
// majority that has taken this one in.
func (m *Member) launch(ctx context.Context) error {
	for begun, said := time.Now(), false; ; {
		c, err := m.config()
		if err != nil {
			return fmt.Errorf("start etcd: %w", err)
		}
		if m.etcd, err = embed.StartEtcd(c); err == nil {
			return nil
		}
		behind := m.o.Join && strings.Contains(err.Error(), "error validating peerURLs") // etcd has no other word for it
		if !behind || ctx.Err() != nil || time.Since(begun) > knownWithin {
			return fmt.Errorf("start etcd in %s: %w", m.dir.path, err)
		}
		if !said {
			said = true
			m.o.Log.Info("waiting until the other masters know of this one", "cause", err)
		}
		select {
		case <-time.After(launchAgain):
		case <-ctx.Done():
		}
	}
}

// moved tells the others where this member is now, if it was elsewhere before: so one that was alone gets company.
func (m *Member) moved(ctx context.Context) error {
	id, self := m.etcd.Server.MemberID(), m.peerURL()
	now := m.etcd.Server.Cluster().Member(id)
	if len(m.o.Peers) == 0 || now == nil || slices.Equal(now.PeerURLs, []string{self.String()}) {
		return nil
	}
	if _, err := m.client.MemberUpdate(ctx, uint64(id), []string{self.String()}); err != nil {
		return fmt.Errorf("tell the other masters that this one is at %s now: %w", self.Host, err)
	}
	return nil
}

// fits refuses a member that could not reach the others.
func (m *Member) fits() error {
	if n := len(m.etcd.Server.Cluster().Members()); n > 1 && len(m.o.Peers) == 0 {
		return fmt.Errorf("it is of a cluster of %d masters: name them with --masters", n)
	}
	return nil
}

// config is etcd's own configuration for the member.
func (m *Member) config() (*embed.Config, error) {
	c := embed.NewConfig()
	c.Name, c.Dir = m.o.Name, filepath.Join(m.dir.path, etcdName)
	c.ZapLoggerBuilder = embed.NewZapLoggerBuilder(m.sink.logger())
	c.TickMs, c.ElectionMs = uint(m.o.Tick.Milliseconds()), uint(m.o.Timeout.Milliseconds())
	c.ListenClientUrls, c.AdvertiseClientUrls, c.EnableGRPCGateway = nil, nil, false
	c.QuotaBackendBytes, c.MaxRequestBytes = m.o.Quota, maxRequest
	c.AutoCompactionMode, c.AutoCompactionRetention = embed.CompactorModeRevision, keepRevisions
	c.SnapshotCount, c.SnapshotCatchUpEntries = snapshotEvery, keepEntries
	c.StrictReconfigCheck = true
	c.BootstrapDefragThresholdMegabytes = defragAtStart
	c.Metrics = "basic"
	c.InitialClusterToken = m.o.Token
	if m.o.Join {
		c.ClusterState = embed.ClusterStateFlagExisting
	}
	if !m.o.TLS.empty() {
		c.PeerTLSInfo = transport.TLSInfo{CertFile: m.o.TLS.Cert, KeyFile: m.o.TLS.Key, TrustedCAFile: m.o.TLS.CA, ClientCertAuth: true}
		c.TlsMinVersion = "TLS1.3"
	}
	self := m.peerURL()
	c.AdvertisePeerUrls = []url.URL{self}
	c.ListenPeerUrls = nil
	c.InitialCluster = m.o.Name + "=" + self.String()
	if len(m.o.Peers) > 0 {
		listen, err := listenURL(self)
		if err != nil {
			return nil, err
		}
		c.ListenPeerUrls = []url.URL{listen}
		var all []string
		for _, p := range m.o.Peers {
			u := m.urlOf(p)
			all = append(all, p.Name+"="+u.String())
		}
		slices.Sort(all)
		c.InitialCluster = strings.Join(all, ",")
	}
	return c, nil
}

// listenURL is where the member listens for others who know it as self: etcd wants an IP address there.
func listenURL(self url.URL) (url.URL, error) {
	host, port, err := net.SplitHostPort(self.Host)
	if err != nil {
		return self, err
	}
	if net.ParseIP(host) == nil && host != "localhost" {
		ips, err := net.LookupHost(host)
		if err != nil {
			return self, fmt.Errorf("this master's own address %s: %w", host, err)
		}
		self.Host = net.JoinHostPort(ips[0], port)
	}
	return self, nil
}

// peerURL is where the others find this member. One that is alone has none, but etcd wants a name for it.
func (m *Member) peerURL() url.URL {
	for _, p := range m.o.Peers {
		if p.Name == m.o.Name {
			return m.urlOf(p)
		}
	}
	return url.URL{Scheme: "unix", Host: "alone"}
}

func (m *Member) urlOf(p Peer) url.URL {
	scheme := "http"
	if !m.o.TLS.empty() {
		scheme = "https"
	}
	return url.URL{Scheme: scheme, Host: p.Address}
}

// ready waits until the member answers.
func (m *Member) ready(ctx context.Context) error {
	var limit <-chan time.Time
	if len(m.o.Peers) == 0 {
		limit = time.After(m.o.ReadyWithin)
	}
	say := time.NewTimer(saySoAfter)
	defer say.Stop()
	for {
		select {
		case <-m.etcd.Server.ReadyNotify():
			return nil
		case <-m.etcd.Server.StopNotify():
			return m.ended()
		case err := <-m.etcd.Err():
			return err
		case <-limit:
			return fmt.Errorf("it is not ready after %v: is the disk very slow, or full?", m.o.ReadyWithin)
		case <-ctx.Done():
			return ctx.Err()
		case <-say.C:
			m.o.Log.Info("waiting for a majority of the masters", "member", m.o.Name, "masters", len(m.o.Peers))
			say.Reset(saySoEvery)
		}
	}
}

// ErrRemoved is a member that the others have removed from the cluster.
var ErrRemoved = errors.New("the cluster has removed this master")

// ended is why the member stopped by itself.
func (m *Member) ended() error {
	if m.sink.removed.Load() {
		return fmt.Errorf("%w: its data directory %s is of no use any more: begin with an empty one to join again", ErrRemoved, m.dir.path)
	}
	return errors.New("it has stopped by itself: the log says why")
}

// Client is the client of the member, in process.
func (m *Member) Client() *clientv3.Client { return m.client }

// Run looks after the member until ctx ends: it makes members of learners that have caught up, and frees space when there is none
// left. It returns an error if the member stops by itself.
func (m *Member) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return m.promoteLearners(ctx) })
	g.Go(func() error { return m.watchAlarms(ctx) })
	g.Go(func() error {
		select {
		case <-ctx.Done():
			return nil
		case <-m.etcd.Server.StopNotify():
			return fmt.Errorf("etcd in %s: %w", m.dir.path, m.ended())
		case err := <-m.etcd.Err():
			return fmt.Errorf("etcd in %s: %w", m.dir.path, err)
		}
	})
	return g.Wait()
}

// Close stops the member. One that leads the others lets another do so first, if one does within two elections: etcd's own stop
// would wait 6 s for that, also when all of them end together.
func (m *Member) Close() error {
	m.sink.closing.Store(true)
	var err error
	if m.client != nil {
		err = m.client.Close()
	}
	s, moved := m.etcd.Server, make(chan struct{})
	go func() {
		defer close(moved)
		_ = s.TryTransferLeadershipOnShutdown() // the others elect one without it
	}()
	select {
	case <-moved:
	case <-time.After(2 * m.o.Timeout):
	}
	s.HardStop() // ends the transfer, too
	<-moved
	m.etcd.Close()
	if errors.Is(err, context.Canceled) { // what closing an in-process client says
		err = nil
	}
	return err
}
