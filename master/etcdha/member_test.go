package etcdha

import (
	"fmt"
	"log"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3client"

	"github.com/millrace/millrace/master/journal"
)

// The member that the tests share: each test has a prefix of its own there.
var (
	sharedOnce sync.Once
	shared     *embed.Etcd
	sharedErr  error
	prefixes   sync.Map
)

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "etcdha")
	if err != nil {
		log.Fatal(err)
	}
	sharedDir = dir
	code := m.Run()
	if shared != nil {
		shared.Close()
	}
	os.RemoveAll(dir)
	os.Exit(code)
}

var (
	sharedDir string
	discard   = slog.New(slog.DiscardHandler)
)

// startMember starts a member in a folder: with fast ticks, without syncs to the disk, reachable by a socket in the folder only.
func startMember(dir string, set func(*embed.Config)) (*embed.Etcd, error) {
	cfg := embed.NewConfig()
	cfg.Dir = filepath.Join(dir, "data")
	cfg.LogLevel = "fatal"
	cfg.TickMs, cfg.ElectionMs = 10, 100
	cfg.UnsafeNoFsync = true
	peer := url.URL{Scheme: "unix", Path: filepath.Join(dir, "p")}
	client := url.URL{Scheme: "unix", Path: filepath.Join(dir, "c")}
	cfg.ListenPeerUrls, cfg.AdvertisePeerUrls = []url.URL{peer}, []url.URL{peer}
	cfg.ListenClientUrls, cfg.AdvertiseClientUrls = []url.URL{client}, []url.URL{client}
	cfg.InitialCluster = cfg.InitialClusterFromName(cfg.Name)
	if set != nil {
		set(cfg)
	}
	e, err := embed.StartEtcd(cfg)
	if err != nil {
		return nil, err
	}
	select {
	case <-e.Server.ReadyNotify():
		return e, nil
	case err := <-e.Err():
		return nil, err
	case <-time.After(30 * time.Second):
		e.Close()
		return nil, fmt.Errorf("the member is not ready after 30 s")
	}
}

// ownMember starts a member for one test.
func ownMember(t *testing.T, set func(*embed.Config)) *embed.Etcd {
	t.Helper()
	dir, err := os.MkdirTemp("", "etcdha") // shorter than t.TempDir, for the sockets' sake
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	e, err := startMember(dir, set)
	if err != nil {
		t.Fatalf("start a member: %v", err)
	}
	t.Cleanup(e.Close)
	return e
}

// client returns a client of the shared member, and a prefix for this test.
func client(t *testing.T) (*clientv3.Client, string) {
	t.Helper()
	sharedOnce.Do(func() { shared, sharedErr = startMember(sharedDir, nil) })
	if sharedErr != nil {
		t.Fatalf("start the shared member: %v", sharedErr)
	}
	prefix := fmt.Sprintf("/%s/", t.Name())
	for i := 1; ; i++ {
		if _, used := prefixes.LoadOrStore(prefix, true); !used {
			break
		}
		prefix = fmt.Sprintf("/%s-%d/", t.Name(), i)
	}
	return clientOf(t, shared), prefix
}

// clientOf returns a client in this process of a member.
func clientOf(t *testing.T, e *embed.Etcd) *clientv3.Client {
	c := v3client.New(e.Server)
	t.Cleanup(func() { c.Close() })
	return c
}

// open returns a Store over the shared member.
func open(t *testing.T, o Options) *Store {
	t.Helper()
	c, prefix := client(t)
	if o.Prefix == "" {
		o.Prefix = prefix
	}
	return openOn(t, c, o)
}

func openOn(t *testing.T, c *clientv3.Client, o Options) *Store {
	t.Helper()
	if o.TTL == 0 {
		o.TTL = 5 * time.Second // so that a machine under load ends no term that a test does not end
	}
	s, err := New(t.Context(), c, o)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	return s
}

// campaign makes s a candidate; its term comes out of the channel.
func campaign(t *testing.T, s *Store) <-chan journal.Term {
	c := make(chan journal.Term, 1)
	go func() {
		term, err := s.Campaign(t.Context(), journal.Candidate{Address: t.Name()})
		if err != nil {
			t.Errorf("Campaign: %v", err)
		}
		c <- term
	}()
	return c
}

// lead makes s the leader.
func lead(t *testing.T, s *Store) journal.Term {
	t.Helper()
	term := <-campaign(t, s)
	if term.N == 0 {
		t.FailNow()
	}
	return term
}

// write appends entries.
func write(t *testing.T, s *Store, term journal.Term, entries ...journal.Entry) {
	t.Helper()
	if err := s.Append(t.Context(), term.N, entries); err != nil {
		t.Fatalf("Append: %v", err)
	}
}

// contents is all that the journal holds, "job/seq[record record]".
func contents(t *testing.T, s *Store) string {
	t.Helper()
	var all []string
	err := s.Load(t.Context(), func(e journal.Entry) bool {
		all = append(all, fmt.Sprintf("%s/%d%s", e.Job, e.Seq, e.Records))
		return true
	})
	if err != nil {
		t.Fatalf("Load: %v", err)
	}
	return strings.Join(all, " ")
}
